"""Outputs of what a coach says: JSON lines for other programs, and speech."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable

from humanrt.coach.live_coach import CoachResult
from humanrt.coach.trainer import Coaching
from humanrt.errors import MissingDependencyError
from humanrt.outputs.base import Image, Output
from humanrt.perception.pipeline import Result
from humanrt.resource import Resource

__all__ = ["SPEECH", "Announcer", "Speaker"]

SPEECH = "espeak-ng"
"""The program that speaks."""


class Announcer(Output):
    """Passes on a JSON line whenever there is something new: what is said, the advice that stands, a repetition.

    Args:
        write: takes each line, without a line break.
    """

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._standing: tuple[str, ...] = ()

    def put(self, result: Result, picture: Image | None) -> bool:
        """Pass on what a result of the coach says that is new."""
        coaching = _coaching_of(result)
        if coaching is None:
            return True
        advice = coaching.guidance.sentences
        if coaching.said or coaching.repetition is not None or advice != self._standing:
            self._standing = advice
            line = {
                "frame": result.frame.index,
                "t": round(result.frame.t, 3),
                "said": list(coaching.said),
                "advice": list(advice),
                "differences": [
                    {"part": one.part, "side": one.side, "ways": list(one.ways), one.unit: round(one.size, 2)}
                    for clause in coaching.guidance.clauses
                    for one in clause.differences
                ],
                "matches": coaching.guidance.matches,
            }
            if coaching.repetition is not None:
                numbers = vars(coaching.repetition)
                line["repetition"] = {name: _rounded(value) for name, value in numbers.items()}
            self._write(json.dumps(line, ensure_ascii=False))
        return True


def _rounded(value: float) -> float | None:
    if isinstance(value, int):  # a count, and whether it counts
        return value
    return None if value != value else round(value, 2)  # NaN is not JSON


def _coaching_of(result: Result) -> Coaching | None:
    if not isinstance(result, CoachResult):
        raise TypeError(f"only a coach speaks: this takes a CoachResult, not {type(result).__name__}")
    return result.coaching


class Speaker(Resource, Output):
    """Speaks what the coach says, in the background; what comes while it speaks waits, and only the newest of it.

    Args:
        language: of the voice.
        program: the program that speaks; its arguments are ``-v LANGUAGE`` and the words.

    Raises:
        MissingDependencyError: the program is not installed.
    """

    def __init__(self, language: str = "en", program: str = SPEECH) -> None:
        found = shutil.which(program)
        if found is None:
            raise MissingDependencyError(
                f"--speak needs the program {program}: `apt install {program}`, or leave --speak out"
            )
        self._command = [found, "-v", language]
        self._speaking: subprocess.Popen[bytes] | None = None
        self._waiting: str | None = None

    def put(self, result: Result, picture: Image | None) -> bool:
        """Speak what a result of the coach says that is new."""
        coaching = _coaching_of(result)
        if coaching is not None and coaching.said:
            self._waiting = " ".join(coaching.said)
        if self._waiting and (self._speaking is None or self._speaking.poll() is not None):
            self._speaking = subprocess.Popen(
                [*self._command, self._waiting], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
            self._waiting = None
        return True

    def close(self) -> None:
        """Let the last words be spoken. May be called twice."""
        if self._speaking is not None:
            self._speaking.wait()
            self._speaking = None
