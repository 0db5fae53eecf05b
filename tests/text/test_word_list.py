"""Whole words to ids and back, as the published text networks use them."""

from __future__ import annotations

import pytest

from humanrt.errors import HumanrtError
from humanrt.text.word_list import WordList, sentence

WORDS = ["<pad>", "<start>", "<end>", "<unk>", ".", ",", "bend", "your", "knee", "do", "n't"]


def test_words_to_ids_and_back() -> None:
    words = WordList(WORDS)
    ids = words.encode("Don't bend, bend your ELBOW.")
    assert ids == [1, 9, 10, 6, 5, 6, 7, 3, 4, 2]
    assert words.decode([*ids, 0, 0]) == "Do n't bend, bend your <unk>."
    assert words.decode([1, 6, 2, 8]) == "Bend"
    assert words.encode("") == [1, 2]


def test_sentences_are_joined_as_the_published_code_joins_them() -> None:
    assert sentence(["bend", ".", "bend", "your", "knee", ",", "bend", "."]) == "Bend. Bend your knee, bend."
    assert sentence([]) == ""  # the published code raises IndexError
    assert sentence([".", "."]) == ".."


def test_a_list_without_the_marks_is_refused() -> None:
    with pytest.raises(HumanrtError, match="no <unk>; give the list that belongs"):
        WordList([word for word in WORDS if word != "<unk>"])
