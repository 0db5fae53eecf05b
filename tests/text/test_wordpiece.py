"""WordPieces are those of BERT's uncased tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest

from humanrt.errors import HumanrtError
from humanrt.text.wordpiece import WordPiece

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "bend",
    "##ing",
    "##s",
    "knee",
    "both",
    ",",
    ".",
    "$",
    "cafe",
    "人",
    "a",
    "b",
]


@pytest.fixture
def tokenizer() -> WordPiece:
    return WordPiece(PIECES)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", ""),
        ("Bending BOTH knees.", "bend ##ing both knee ##s ."),
        ("knees,bend", "knee ##s , bend"),
        ("Café", "cafe"),  # accents are taken off
        ("Cafe\u0301", "cafe"),
        ("a\u00a0b\ta\nb", "a b a b"),  # any space
        ("a\x00\u200bb\ufffda", "[UNK]"),  # controls vanish: one word, which the list does not have
        ("a人b", "a 人 b"),
        ("bender", "[UNK]"),  # not `bend` and a rest: the whole word is unknown
        ("$a^b", "$ a [UNK] b"),
        ("a" * 101, "[UNK]"),
        ("[SEP]", "[UNK] [UNK] [UNK]"),  # text cannot write the marks
    ],
)
def test_pieces(tokenizer: WordPiece, text: str, pieces: str) -> None:
    ids = tokenizer.encode(text)
    assert [PIECES[index] for index in ids] == ["[CLS]", *pieces.split(), "[SEP]"]


def test_ids_become_text(tokenizer: WordPiece) -> None:
    assert tokenizer.decode([*tokenizer.encode("Bending both knees."), 0, 0]) == "bending both knees ."


def test_a_list_without_the_marks_is_refused() -> None:
    with pytest.raises(HumanrtError, match=r"no \[SEP\]; give the vocab\.txt"):
        WordPiece([piece for piece in PIECES if piece != "[SEP]"])


def test_the_recorded_sentence() -> None:
    """Needs BERT's own list, which a developer may have: HUMANRT_VOCAB=vocab.txt."""
    import os

    from posefix_stand_ins import golden

    if not (file := os.environ.get("HUMANRT_VOCAB")):
        pytest.skip("HUMANRT_VOCAB names no vocab.txt of an uncased BERT (30,522 pieces)")
    case, recorded, _ = golden("posefix_edit")
    tokenizer = WordPiece(Path(file).read_text(encoding="utf-8").removesuffix("\n").split("\n"))
    assert tokenizer.encode(case["sentence_0"]) == recorded["tokens"][0, : recorded["lengths"][0]].tolist()
