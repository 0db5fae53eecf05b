"""Word lists that users bring: every format, and what is refused."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx", reason="needs humanrt[export]")

from humanrt.errors import HumanrtError
from humanrt_export.conversion.word_lists import read_words

WORDS = ["<pad>", "<start>", "<end>", "<unk>", "knee", "bend", "n't"]
TABLE = {word: index for index, word in enumerate(WORDS)}
PUBLISHED: dict[str, Any] = {"idx": 7, "word2idx": TABLE, "idx2word": dict(enumerate(WORDS))}


class Vocabulary:
    def __init__(self) -> None:
        self.__dict__.update(PUBLISHED)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("words.txt", "\n".join(WORDS).encode()),
        ("words.txt", ("\ufeff" + "\r\n".join(WORDS) + "\r\n").encode()),
        ("words.json", json.dumps(WORDS).encode()),
        ("words.json", json.dumps(dict(reversed(TABLE.items()))).encode()),
        ("words.json", json.dumps(PUBLISHED).encode()),
        ("vocab.pkl", pickle.dumps(PUBLISHED)),
        ("vocab.pkl", pickle.dumps(Vocabulary(), protocol=2)),
        ("vocab.pkl", pickle.dumps(Vocabulary())),
    ],
)
def test_formats(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    words = read_words(tmp_path / name, 7, "treebank")
    assert list(words.words) == WORDS
    assert words.entry == {"kind": "treebank", "count": 7, "file": "words.txt"}
    assert len(words.source[name]["sha256"]) == 64


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/humanrt-was-here",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\n".join(WORDS[:6]).encode(), "has 6 words, but the checkpoint has vectors for 7"),
        ("\n".join([*WORDS[:6], "knee"]).encode(), "has `knee` twice"),
        ("\n".join([*WORDS[:6], "a b\x00"]).encode(), r"word 6 is 'a b\\x00'; words are printable"),
        ("\n".join([*WORDS[:5], "", "x"]).encode(), "word 5 is ''"),
        ("\n".join(["x", *WORDS[1:]]).encode(), "no <pad>"),
        (b"\xff\xfe", "neither UTF-8 text nor a pickle"),
        (pickle.dumps(Hostile()), r"refused: it asks for `(posix|nt)\.system`, which no word list needs"),
        (pickle.dumps(PUBLISHED)[:-40], "refused: "),
        (pickle.dumps({**PUBLISHED, "idx2word": dict(enumerate(WORDS[::-1]))}), "`idx2word` is not the inverse"),
        (pickle.dumps({**PUBLISHED, "word2idx": {**TABLE, "knee": 5}}), "from 0 on without gaps"),
        (pickle.dumps([1, 2]), "no word list; give one word a line"),
        (pickle.dumps({"word2idx": 3}), "must map each word to its id"),
    ],
)
def test_what_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_bytes(content)
    with pytest.raises(HumanrtError, match=message) as caught:
        read_words(path, 7, "treebank")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"--words {path}: ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "words.json").write_text("[")
    for name, message in (("missing.txt", "No such file"), ("words.json", "not JSON"), (".", "cannot be read")):
        with pytest.raises(HumanrtError, match=message):
            read_words(tmp_path / name, 7, "treebank")
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    with pytest.raises(HumanrtError, match=r"no \[CLS\]"):
        read_words(tmp_path / "words.txt", 7, "wordpiece")
