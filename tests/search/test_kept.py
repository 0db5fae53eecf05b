"""What is made of an index's poses is made once, grows with it, and survives whatever ends a writer."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humanrt.embedding.facts import NAMES, facts
from humanrt.errors import OutputError
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.search import kept as kept_module
from humanrt.search.descriptor import GROUPS, NAME, describe
from humanrt.search.embedded import ROW_NUMBERS, EmbeddedSpace, FactSpace, kept_embeddings, kept_facts
from humanrt.search.kept import Kept
from humanrt.search.nearest import nearest_in
from humanrt.search.store import ROW, Addition, IndexWriter, PoseIndex, locked

RANDOM = np.random.default_rng(5)
D = 128
MATRIX = RANDOM.standard_normal((57, D)).astype(np.float32)


def poses_of(count: int) -> np.ndarray:
    poses = matrices_from_vectors(0.5 * RANDOM.standard_normal((count, 22, 3)))
    poses[:, 0] = np.diag([1.0, -1.0, -1.0]) @ poses[:, 0]
    return poses


def add(folder: Path, name: str, poses: np.ndarray) -> None:
    rows = np.zeros(len(poses), ROW)
    rows["frame"], rows["t"] = np.arange(len(poses)), np.arange(len(poses)) * 10.0
    with IndexWriter(folder, NAME, GROUPS) as writer:
        writer.add([Addition(Path(f"/{name}.jsonl"), name, describe(poses), rows)])


class Doubler:
    """Makes a column of twice the first number, and counts how many rows it was asked for."""

    def __init__(self, index: PoseIndex, said: list[str] | None = None) -> None:
        self.made = 0
        lines = [] if said is None else said
        self.kept = Kept(index, "double", {"twice": ("<f4", (1,))}, self.constants, self.make, lines.append)

    def constants(self) -> Mapping[str, np.ndarray[Any, Any]]:
        return {"factor": np.array([2.0], np.float32)}

    def make(self, vectors: np.ndarray, constants: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray]:
        self.made += len(vectors)
        return {"twice": vectors[:, :1] * constants["factor"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    add(tmp_path / "index", "one", poses_of(30))
    return tmp_path / "index"


def right(doubler: Doubler, index: PoseIndex) -> bool:
    return bool(np.array_equal(doubler.kept.columns["twice"], 2 * index.vectors[:, :1]))


def test_it_is_made_once_and_grows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_module, "_AT_ONCE", 8)
    index = PoseIndex(folder)
    first, again = Doubler(index), Doubler(index)
    assert (first.made, again.made) == (30, 0)
    assert right(first, index)
    assert right(again, index)
    add(folder, "two", poses_of(11))
    grown = PoseIndex(folder)
    more = Doubler(grown)
    assert more.made == 11
    assert right(more, grown)
    old = Doubler(index)  # opened before
    assert old.made == 0
    assert right(old, index)


def test_a_writer_that_was_killed_costs_only_what_was_not_acknowledged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_module, "_AT_ONCE", 8)
    index = PoseIndex(folder)
    original = Doubler.make

    def killed(self: Doubler, vectors: np.ndarray, constants: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.made >= 16:
            raise KeyboardInterrupt
        return original(self, vectors, constants)

    monkeypatch.setattr(Doubler, "make", killed)
    with pytest.raises(KeyboardInterrupt):
        Doubler(index)
    with (folder / "kept-double" / "twice").open("ab") as stream:
        stream.write(b"half a row of another")
    monkeypatch.setattr(Doubler, "make", original)
    after = Doubler(index)
    assert after.made == 14
    assert right(after, index)


def test_each_acknowledgement_names_the_index_it_is_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_module, "_AT_ONCE", 8)
    Doubler(PoseIndex(folder))
    add(folder, "two", poses_of(30))
    index, original = PoseIndex(folder), Kept._write

    def killed(self: Kept, name: str, rows: int, array: np.ndarray) -> None:
        if rows >= 46:
            raise KeyboardInterrupt
        original(self, name, rows, array)

    monkeypatch.setattr(Kept, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        Doubler(index)
    head = json.loads((folder / "kept-double" / "head.json").read_text())
    assert (head["rows"], head["listed"]) == (46, index.listed)
    assert head["sha256"] == index.listing(index.listed)


@pytest.mark.parametrize("room", [0, 1, 2])
def test_on_a_full_disk_only_what_was_acknowledged_counts(
    folder: Path, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_module, "_AT_ONCE", 8)
    index, said, original = PoseIndex(folder), list[str](), Kept._write

    def full(self: Kept, name: str, rows: int, array: np.ndarray) -> None:
        original(self, name, rows, array[:3] if rows >= 8 * room else array)
        if rows >= 8 * room:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Kept, "_write", full)
        found = Doubler(index, said)
    assert right(found, index)
    (line,) = said
    assert line.endswith("kept-double: cannot be written (No space left on device); what is missing is not kept")
    later = Doubler(index)
    assert later.made == 30 - 8 * room
    assert right(later, index)


def test_where_constants_cannot_be_written_all_is_made_in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OutputError(f"{path} cannot be written (No space left on device)")

    index, said = PoseIndex(folder), list[str]()
    monkeypatch.setattr(kept_module, "write_atomically", full)
    found = Doubler(index, said)
    assert right(found, index)
    assert "No space left on device" in said[0]


def test_another_index_in_its_place_and_damage_are_noticed(folder: Path) -> None:
    Doubler(PoseIndex(folder))
    for name in ("head.json", "vectors.f32", "coarse.f32", "rows.bin", "sources.jsonl"):
        (folder / name).unlink()
    add(folder, "other", poses_of(30))
    index = PoseIndex(folder)
    anew = Doubler(index)
    assert anew.made == 30
    assert right(anew, index)
    (folder / "kept-double" / "twice").write_bytes(b"")
    assert right(Doubler(index), index)
    (folder / "kept-double" / "head.json").write_text("{")
    assert right(Doubler(index), index)
    constant = folder / "kept-double" / "factor.npy"
    content = constant.read_bytes()
    other = content[:-4] + np.float32(3).tobytes()
    for damaged in (content[:-2], content[:20], b"", other):
        constant.write_bytes(damaged)
        anew = Doubler(index)
        assert anew.made == 30
        assert right(anew, index)
        assert Doubler(index).made == 0
    constant.unlink()
    assert right(Doubler(index), index)


def test_while_another_writes_it_is_made_in_memory_and_said(folder: Path) -> None:
    Doubler(PoseIndex(folder))
    add(folder, "two", poses_of(5))
    index, said = PoseIndex(folder), list[str]()
    with (folder / "kept-double" / "lock").open("ab") as other:
        assert locked(other)
        busy = Doubler(index, said)
    assert busy.made == 5
    assert right(busy, index)
    assert "another process writes it" in said[0]
    assert json.loads((folder / "kept-double" / "head.json").read_text())["rows"] == 30


def encode(vectors: np.ndarray) -> np.ndarray:
    found = np.tanh(vectors @ MATRIX)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


def test_embeddings_are_searched_as_by_a_full_scan(tmp_path: Path) -> None:
    for number in range(3):
        add(tmp_path / "index", str(number), poses_of(700))
    index = PoseIndex(tmp_path / "index")
    kept = kept_embeddings(index, "embedder:1", D, encode, lambda _: None)
    assert kept.columns["coarse"].shape == (2100, ROW_NUMBERS)
    for _ in range(5):
        query = encode(RANDOM.standard_normal((1, 57)).astype(np.float32) * 0.2)[0]
        exact = np.linalg.norm(encode(np.asarray(index.vectors)) - query, axis=1)
        space = EmbeddedSpace(kept, query)
        assert (space.lower() <= exact**2 + 1e-3).mean() > 0.99  # all but what is beyond `_SHARE`
        found = nearest_in(index, space, 10, gap=0.0)
        np.testing.assert_allclose([one.distance for one in found], np.sort(exact)[:10], atol=2e-3)


def test_facts_come_before_distances(tmp_path: Path) -> None:
    poses = poses_of(600)
    add(tmp_path / "index", "one", poses)
    index = PoseIndex(tmp_path / "index")
    flags = facts(poses)
    kept = kept_facts(index, lambda _: None)
    embeddings = kept_embeddings(index, "embedder:1", D, encode, lambda _: None)
    inner = EmbeddedSpace(embeddings, encode(describe(poses_of(1)))[0])
    space = FactSpace(inner, kept, [("left_arm.raised",), ("right_knee.bent", "right_knee.very_bent")])
    for name in NAMES:
        np.testing.assert_array_equal(space.true_of(name, None), flags[name], err_msg=name)
    lacking = (~flags["left_arm.raised"]).astype(int) + ~(flags["right_knee.bent"] | flags["right_knee.very_bent"])
    np.testing.assert_array_equal(space.lacking(None), lacking)
    every = np.arange(len(index))
    assert (space.lower() <= space.measured(every) ** 2 + 1e-3).mean() > 0.99
    found = nearest_in(index, space, 600, gap=0.0)
    rows = [one.row for one in found]
    assert lacking[rows].tolist() == sorted(lacking)
    for one in found:
        assert space.inner_distance(one.distance) == pytest.approx(inner.measured(np.array([one.row]))[0], abs=1e-4)
        assert len(space.lacked(one.row)) == lacking[one.row]
