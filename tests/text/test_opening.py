"""A bundle's tokenizer, from the list that it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from humanrt.bundle import Bundle
from humanrt.errors import BundleError
from humanrt.text.opening import open_tokenizer
from humanrt.text.word_list import WordList

WORDS = ["<pad>", "<start>", "<end>", "<unk>", "knee"]
ENTRY = {"kind": "treebank", "count": 5, "file": "words.txt"}


def holding(folder: Path, content: bytes, entry: Any = ENTRY) -> Bundle:
    (folder / "words.txt").write_bytes(content)
    settings = {} if entry is None else {"words": entry}
    manifest = {"graphs": {}, "files": {"words.txt": {}}, "settings": settings}
    return Bundle(folder, "some", "posefix", "MIT", manifest)


def test_the_list_is_read(tmp_path: Path) -> None:
    content = ("\n".join(WORDS) + "\n").encode()
    tokenizer = open_tokenizer(holding(tmp_path, content), 5)
    assert isinstance(tokenizer, WordList)
    assert tokenizer.encode("knee") == [1, 4, 2]
    assert open_tokenizer(holding(tmp_path, content, None)) is None


@pytest.mark.parametrize(
    ("content", "entry", "message"),
    [
        ("\n".join(WORDS), {**ENTRY, "count": 6}, "not a list of 6 different words"),
        ("\n".join([*WORDS[:4], "<unk>"]), ENTRY, "not a list of 5 different words"),
        ("a\nb\nc\nd\ne", ENTRY, "the word list has no <pad>"),
        ("\n".join(WORDS), {**ENTRY, "file": "other.txt"}, "names 'other.txt', which is not among the bundle's files"),
        ("\n".join(WORDS), {**ENTRY, "kind": "letters"}, "this version has: treebank, wordpiece"),
        ("\n".join(WORDS), {**ENTRY, "kind": "wordpiece"}, r"the list of pieces has no \[CLS\]"),
        (b"\xff", ENTRY, "cannot be read"),
        ("\n".join(WORDS), 3, "must be an object"),
    ],
)
def test_what_is_refused(content: Any, entry: Any, message: str, tmp_path: Path) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    with pytest.raises(BundleError, match=message):
        open_tokenizer(holding(tmp_path, data, entry))


def test_a_list_of_another_size_than_the_network_s(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="5 words, but the network knows 7"):
        open_tokenizer(holding(tmp_path, "\n".join(WORDS).encode()), 7)
