"""Word lists that a user brings: WordPieces (`vocab.txt`) for DistilBERT, whole words for the other text networks.

No checkpoint holds its list, and a list of the right size in the wrong order gives nonsense silently: its sha256 is
kept in the bundle. Formats: a text file with one word a line; JSON (a list, or word -> id); the published pickle
``{"idx", "word2idx", "idx2word"}``, which is read without running code from it.
"""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humanrt.errors import HumanrtError
from humanrt.text.word_list import WordList
from humanrt.text.wordpiece import WordPiece
from humanrt_export.conversion.bundle_writer import BundleWriter, sha256

__all__ = ["WORDS_FILE", "Words", "read_words"]

WORDS_FILE = "words.txt"
_MAX_BYTES = 1 << 24
_KINDS: Mapping[str, type[WordList] | type[WordPiece]] = {kind.KIND: kind for kind in (WordList, WordPiece)}


@dataclass(frozen=True)
class Words:
    """A word list for a bundle.

    Attributes:
        words: by id.
        kind: how text is cut: ``treebank`` (whole words) or ``wordpiece``.
        source: name and sha256 of the user's file.
    """

    words: tuple[str, ...]
    kind: str
    source: Mapping[str, Mapping[str, str]]

    @property
    def entry(self) -> dict[str, Any]:
        """What stands under ``settings.words`` of the bundle."""
        return {"kind": self.kind, "count": len(self.words), "file": WORDS_FILE}

    def add_to(self, writer: BundleWriter) -> None:
        """Write the list into a bundle."""
        writer.add_file(WORDS_FILE, ("\n".join(self.words) + "\n").encode())


def read_words(path: str | Path, count: int, kind: str) -> Words:
    """Read a user's word list.

    Args:
        path: the file.
        count: how many words the checkpoint has vectors for.
        kind: ``treebank`` or ``wordpiece``.

    Raises:
        HumanrtError: it is no word list, has another number of words, or lacks the marks that the network needs.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise HumanrtError(f"--words {path}: larger than any word list ({_MAX_BYTES >> 20} MiB); check the name")
        data = path.read_bytes()
    except OSError as error:
        raise HumanrtError(f"--words {path}: cannot be read ({error.strerror or error}); check the name") from error
    words = _ordered(path, _content(path, data))
    if len(words) != count:
        raise HumanrtError(
            f"--words {path}: has {len(words)} words, but the checkpoint has vectors for {count}; give the list that "
            "its training used: one that was built again differs"
        )
    for index, word in enumerate(words):
        if not word or word != word.strip() or not word.isprintable():
            raise HumanrtError(f"--words {path}: word {index} is {word[:40]!r}; words are printable, without spaces")
    if len(set(words)) < len(words):
        twice = next(word for word in words if words.count(word) > 1)
        raise HumanrtError(f"--words {path}: has `{twice}` twice; words must differ")
    try:
        _KINDS[kind](words)
    except HumanrtError as error:
        raise HumanrtError(f"--words {path}: {error}") from error
    return Words(tuple(words), kind, {path.name: {"sha256": sha256(data)}})


def _content(path: Path, data: bytes) -> Any:
    if data[:1] == b"\x80":
        return _unpickled(path, data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise HumanrtError(
            f"--words {path}: neither UTF-8 text nor a pickle; give the word list as text, one word a line"
        ) from None
    if path.suffix.lower() == ".json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise HumanrtError(f"--words {path}: not JSON ({error}); give a list of words, in order") from error
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def _ordered(path: Path, content: Any) -> list[str]:
    """Return the words by id, of a list, of word -> id, or of the published pickle's three entries."""
    state = content.state if isinstance(content, _Holder) else content
    if isinstance(state, Mapping) and "word2idx" in state:
        ids = state["word2idx"]
        words = _by_id(path, ids)
        named = state.get("idx2word")
        if named is not None:
            pairs = named.items() if isinstance(named, Mapping) else enumerate(named if _is_list(named) else ())
            if {(str(index), word) for index, word in pairs} != {(str(index), word) for word, index in ids.items()}:
                raise HumanrtError(f"--words {path}: `idx2word` is not the inverse of `word2idx`; the file is damaged")
        return words
    if isinstance(state, Mapping):
        return _by_id(path, state)
    if _is_list(state) and all(isinstance(word, str) for word in state):
        return list(state)
    raise HumanrtError(
        f"--words {path}: no word list; give one word a line, a JSON list, or the pickle with `word2idx`"
    )


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _by_id(path: Path, ids: Any) -> list[str]:
    sound = isinstance(ids, Mapping) and all(
        isinstance(word, str) and isinstance(index, int) and not isinstance(index, bool) for word, index in ids.items()
    )
    if not sound or sorted(ids.values()) != list(range(len(ids))):
        raise HumanrtError(f"--words {path}: must map each word to its id, from 0 on without gaps")
    return sorted(ids, key=ids.__getitem__)


class _Holder:
    """Placeholder for the object that holds the published list; it only keeps the state."""

    state: Mapping[str, Any]

    def __init__(self, *_: object) -> None:
        self.state = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, Mapping) else {}


class _Unpickler(pickle.Unpickler):
    """Containers, text and numbers only; an object called `Vocabulary` becomes a `_Holder`."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "Vocabulary":
            return _Holder
        raise pickle.UnpicklingError(f"it asks for `{module}.{name}`, which no word list needs")


def _unpickled(path: Path, data: bytes) -> Any:
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except Exception as error:  # a damaged pickle can raise almost anything
        reason = str(error).partition("\n")[0][:120] or type(error).__name__
        raise HumanrtError(f"--words {path}: refused: {reason}; give the list as text, one word a line") from error
