"""Text is cut as the Penn Treebank cuts it."""

from __future__ import annotations

import pytest

from humanrt.text.treebank import treebank_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  \n", []),
        ("bend your left knee.", "bend your left knee ."),
        ("raise it, then stop.  lower it.", "raise it , then stop . lower it ."),
        ("don't bend; it's straight!", "do n't bend ; it 's straight !"),
        ("they'll turn, i'd say (a bit).", "they 'll turn , i 'd say ( a bit ) ."),
        ("cannot gonna wanna go", "can not gon na wan na go"),
        ("at 12:30, 1,000 times: now", "at 12:30 , 1,000 times : now"),
        ('say "up" now', "say `` up '' now"),
        ('"up"', "`` up ''"),
        ("turn to 2 o'clock...", "turn to 2 o'clock ..."),
        ("90 degrees. stop", "90 degrees . stop"),
        ("like mr. smith, e.g. with both arms.", "like mr. smith , e.g. with both arms ."),
        ("left/right and half-bent -- or not?", "left/right and half-bent -- or not ?"),
        ("the right hand's fingers, elbows' height", "the right hand 's fingers , elbows ' height"),
        ("is it up? yes! (stop.) go", "is it up ? yes ! ( stop . ) go"),
    ],
)
def test_words(text: str, words: str | list[str]) -> None:
    assert treebank_words(text) == (words.split() if isinstance(words, str) else words)


def test_nothing_is_lost() -> None:
    text = "turn {left} [then] <right>; #1 & 50% @home $5 * it's \"so\" 'so' — «so» ... ok"
    marks = "".join(treebank_words(text)).replace("``", '"').replace("''", '"')
    assert marks == text.replace(" ", "")


def test_long_text_takes_linear_time() -> None:
    for text in ("knee. " * 4_000, ". " * 4_000, "'" * 20_000, " " * 200_000 + "."):
        assert len(treebank_words(text)) <= 40_000
