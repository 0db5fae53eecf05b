"""The words of a language, from one file: `languages/LANGUAGE.json`. A further language is a further file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from humanrt.coach.clauses import Clause
from humanrt.errors import HumanrtError, choices

__all__ = ["Phrases", "languages", "load_phrases"]

_FOLDER = Path(__file__).parent / "languages"
_LITTLE = {"degrees": 25.0, "metres": 0.15}  # below: "a little"
_LOT = {"degrees": 70.0, "metres": 0.45}  # above: "a lot"
_STEP = 5  # numbers are rounded to steps of 5 degrees or 5 cm


@dataclass(frozen=True)
class Phrases:
    """The words of a language.

    Attributes:
        language: its name, in itself.
        parts: part -> side -> the words for it.
        clauses: ``PART.WAY`` (the first way that has one), or ``PART`` -> a clause with ``{part}``, the other ways as
            adverbs ``{ways}``, and ``{amount}``: how much, as an adverb or a number; or, around a comparative,
            ``{degree}`` before it and the number ``{by}`` behind it.
        ways: way -> an adverb.
        amounts: ``little``, ``middle``, ``lot`` -> an adverb.
        degrees_of: likewise, before a comparative.
        numbers: ``degrees`` and ``centimetres`` -> words with ``{n}``.
        both: two clauses, or two adverbs, ``{first}`` and ``{second}``, joined.
        sentence: a sentence of ``{words}``.
        matches: what is said where nothing is to be changed.
        repetitions: the count ``{n}`` of repetitions.
        praise: what is said when a change is done, in turn.
    """

    language: str
    parts: Mapping[str, Mapping[str, str]]
    clauses: Mapping[str, str]
    ways: Mapping[str, str]
    amounts: Mapping[str, str]
    degrees_of: Mapping[str, str]
    numbers: Mapping[str, str]
    both: str
    sentence: str
    matches: str
    repetitions: str
    praise: Sequence[str]

    def clause(self, clause: Clause, *, numbers: bool = False) -> str:
        """Return a clause in words; ``numbers``: with its amount in degrees or cm."""
        named = next((way for way in clause.ways if f"{clause.part}.{way}" in self.clauses), None)
        pattern = self.clauses[clause.part if named is None else f"{clause.part}.{named}"]
        size = _size(clause)
        number = self._number(clause) if numbers else ""
        words = pattern.format(
            part=self.parts.get(clause.part, {}).get(clause.side, ""),
            ways=self._joined([self.ways[way] for way in clause.ways if way != named]),
            amount=number or self.amounts[size],
            degree="" if number else self.degrees_of[size],
            by=number,
        )
        return " ".join(words.split())

    def say(self, sentence: Iterable[Clause], *, numbers: bool = False) -> str:
        """Return a sentence of clauses."""
        words = self._joined([self.clause(one, numbers=numbers) for one in sentence])
        return self.sentence.format(words=words[:1].upper() + words[1:])

    def _joined(self, texts: Sequence[str]) -> str:
        joined = texts[0] if texts else ""
        for text in texts[1:]:
            joined = self.both.format(first=joined, second=text)
        return joined

    def _number(self, clause: Clause) -> str:
        unit, factor = ("degrees", 1.0) if clause.unit == "degrees" else ("centimetres", 100.0)
        return self.numbers[unit].format(n=max(_STEP, round(clause.size * factor / _STEP) * _STEP))


def _size(clause: Clause) -> str:
    """Return ``little``, ``middle`` or ``lot``; of both sides what holds for each."""
    own = [one.size for one in clause.differences if one.unit == clause.unit] or [clause.size]
    if max(own) < _LITTLE[clause.unit]:
        return "little"
    return "lot" if min(own) > _LOT[clause.unit] else "middle"


def languages() -> tuple[str, ...]:
    """Return the languages there are phrases in."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.json")))


@cache
def load_phrases(language: str = "en") -> Phrases:
    """Load the words of a language. HumanrtError for one that is not there lists those that are."""
    if language not in languages():
        raise HumanrtError(f"no phrases in language `{language}`; choose one of: {choices(languages())}")
    entries: dict[str, Any] = json.loads((_FOLDER / f"{language}.json").read_text(encoding="utf-8"))
    return Phrases(both=entries.pop("and"), **entries)
