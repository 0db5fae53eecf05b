"""Damage to files, structured and not: what a fuzzer writes in place of a good file. Seeded: the same every time."""

from __future__ import annotations

import copy
import io
import json
import pickle
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["junk", "mutated_bytes", "mutated_json", "mutated_text", "mutated_tree", "mutated_zip"]

NUMBERS = (
    float("nan"), float("inf"), -float("inf"), 1e308, -1e308, 1e-308, 5e-324, -0.0, 0, 1, -1, 0.5, 2, 1e12,
    2**31, -(2**31) - 1, 2**63, 2**64, 10**40, 10**400, 1_000_000_007,
)  # fmt: skip
TEXTS = (
    "",
    "x",
    "x" * 5000,
    "\ud800",
    "\u202e\u2028",
    "a\nb",
    "\x00",
    "nan",
    "1e999",
    "../../etc/passwd",
    "日本",
    "%s{0}",
)


def junk(rng: random.Random) -> Any:
    """A value of any type that json can write, often one at a limit."""
    kind = rng.randrange(8)
    if kind < 3:
        return rng.choice(NUMBERS)
    if kind < 5:
        return rng.choice(TEXTS)
    return rng.choice((None, True, False, [], {}, [[]], {"a": 1}, [1] * 1000, [None] * 3, nested(60), ["x", "x"]))


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def paths(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Places of all values below a tree of dictionaries and lists."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*at, key)
        yield from paths(value, (*at, key))


def mutated_tree(rng: random.Random, tree: Any, value: Callable[[random.Random], Any] = junk) -> Any:
    """A copy with one to three entries replaced, removed, doubled, exchanged, renamed or added."""
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(paths(tree))
        if not places:
            return value(rng)
        # First how deep, then where: else long lists of numbers are all that is ever hit.
        depth = rng.choice(sorted({len(place) for place in places}))
        place = rng.choice([place for place in places if len(place) == depth])
        parent = tree
        for key in place[:-1]:
            parent = parent[key]
        key, way = place[-1], rng.randrange(10)
        if way < 5:
            parent[key] = value(rng)
        elif way == 5:
            del parent[key]
        elif way == 6 and isinstance(parent, list):
            parent.insert(rng.randrange(len(parent) + 1), copy.deepcopy(parent[key]))
        elif way == 7 and isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
            parent[key] = parent[key] * rng.choice((-1, 0, 1e6, 1e-6, 3)) + rng.choice((0, 1, -1))
        elif way == 8:
            other = rng.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
            parent[key], parent[other] = parent[other], parent[key]
        elif isinstance(parent, dict):
            parent[rng.choice(TEXTS) if way == 6 else str(key) + "x"] = parent.pop(key)
        else:
            parent.append(value(rng))
    return tree


def mutated_json(rng: random.Random, tree: Any) -> bytes:
    """A damaged tree as JSON, or the JSON damaged as text, or other things that parsers of JSON stumble over."""
    way = rng.randrange(10)
    if way < 7:
        return json.dumps(mutated_tree(rng, tree)).encode()
    if way < 9:
        return mutated_text(rng, json.dumps(tree))
    return rng.choice(
        (b"", b"[" * 100_000, b"{}", b"[]", b"null", b"9" * 10_000, b'{"a":' * 50_000, b"\xff\xfe", b"\xef\xbb\xbf{}")
    )


def mutated_text(rng: random.Random, text: str) -> bytes:
    """A text with numbers or words replaced, lines removed, doubled or exchanged, cut off, or its bytes damaged."""
    way = rng.randrange(9)
    if way < 3 and (found := list(re.finditer(r"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?", text))):
        for match in sorted(rng.sample(found, min(len(found), rng.choice((1, 1, 2, 5)))), key=lambda m: -m.start()):
            text = (
                text[: match.start()]
                + str(rng.choice(("nan", "inf", "-1", "1e999", "1e308", "9" * 400, "", "x", "0")))
                + text[match.end() :]
            )
    elif way == 3 and (words := list(re.finditer(r"[A-Za-z_]\w*", text))):
        match, other = rng.choice(words), rng.choice(words)
        text = text[: match.start()] + rng.choice((other[0], "", "zzz", "x" * 5000, "\u2028")) + text[match.end() :]
    elif way in (4, 5):
        lines = text.splitlines(keepends=True)
        at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        if way == 4:
            del lines[at : at + rng.choice((1, 1, 3, 20))]
        elif rng.random() < 0.5:
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at:at] = lines[other : other + 5] * rng.choice((1, 2, 500))
        text = "".join(lines)
    elif way == 6:
        text = text[: rng.randrange(len(text) + 1)]
    else:
        return mutated_bytes(rng, text.encode("utf-8", "surrogatepass"))
    return text.encode("utf-8", "surrogatepass")


def mutated_bytes(rng: random.Random, data: bytes) -> bytes:
    """Bits turned, bytes cut out, put in, exchanged for others, or the end missing."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 32))):
        if not changed:
            break
        at, way = rng.randrange(len(changed)), rng.randrange(6)
        if way == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            changed[at] = rng.randrange(256)
        elif way == 2:
            changed[at : at + rng.choice((1, 4, 100))] = b""
        elif way == 3:
            changed[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 8))))
        elif way == 4:
            changed[at : at + 4] = rng.choice((b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f"))
        else:
            del changed[at:]
    return bytes(changed)


def mutated_zip(rng: random.Random, data: bytes) -> bytes:
    """An archive damaged as bytes, or written anew with one member damaged, exchanged, doubled, or grown immensely."""
    if rng.random() < 0.3:
        return mutated_bytes(rng, data)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    chosen, way = rng.randrange(len(members)), rng.randrange(10)
    if way == 9:
        members.pop(chosen)
    with zipfile.ZipFile(
        out, "w", zipfile.ZIP_DEFLATED if way in (7, 8) else zipfile.ZIP_STORED, compresslevel=1
    ) as archive:
        for index, (name, content) in enumerate(members):
            if index == chosen and way < 6:
                content = mutated_bytes(rng, content)
            elif index == chosen and way == 6:
                content = pickle.dumps(["not", "what", "was", "here"])
            elif index == chosen and way == 7:  # a bomb: a thousandth of it is stored
                with archive.open(name, "w") as member:
                    for part in (content[:128], *[bytes(1 << 20)] * 600):
                        member.write(part)
                continue
            elif index == chosen and way == 8:
                name = rng.choice(("../" + name, "x" * 200, "\u2028", name + ".npy"))
            archive.writestr(name, content)
    return out.getvalue()
