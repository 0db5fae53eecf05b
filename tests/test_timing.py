from __future__ import annotations

import re
from pathlib import Path

import pytest

from humanrt.timing import STAGES, RunningMean, Stopwatch

DOCS = Path(__file__).parents[1] / "docs" / "use"


def test_a_stopwatch_adds_up_the_laps_of_a_stage() -> None:
    watch = Stopwatch()
    watch.lap("landmarks")
    first = watch.ms["landmarks"]
    watch.lap("detect")
    watch.lap("landmarks")
    assert list(watch.ms) == ["landmarks", "detect"]
    assert watch.ms["landmarks"] > first > 0


def test_a_running_mean_begins_with_the_first_value_and_follows_the_others() -> None:
    mean = RunningMean()
    assert mean.add(10) == 10
    assert mean.add(20) == pytest.approx(11)
    for _ in range(100):
        mean.add(20)
    assert mean.value == pytest.approx(20, abs=0.01)


def test_the_documentation_of_recordings_names_every_stage() -> None:
    row = next(line for line in (DOCS / "recording.md").read_text().splitlines() if line.startswith("| `ms`"))
    named = re.findall(r"`(\w+)`", row.split(": ", 1)[1].split("`total`")[0])
    assert named == list(STAGES)
