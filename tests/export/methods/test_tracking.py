"""Curves of a training reach the tracker that is asked for, and go on where a run goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from methods.picture_task import Brightness, quiet

from humanrt.errors import HumanrtError, MissingDependencyError
from humanrt_export.training.loop import TrainOptions, train

FEW = {"steps": 4, "batch": 2, "report_every": 1, "validate_every": 2}


def reported(out: Path) -> dict[tuple[str, int], float]:
    """What log.jsonl says: name and step -> number."""
    found: dict[tuple[str, int], float] = {}
    for line in map(json.loads, (out / "log.jsonl").read_text().splitlines()):
        step, validation = line.pop("step"), line.pop("validation", None)
        line.pop("seconds", None)
        values = line if validation is None else {f"validation/{name}": value for name, value in validation.items()}
        found |= {(name, step): value for name, value in values.items()}
    return found


def test_tensorboard_has_the_numbers_of_the_log(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed: pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for steps in (2, 4):  # the second goes on
        train(
            Brightness(),
            tmp_path / "run",
            TrainOptions(**{**FEW, "minutes": 1e-9 if steps == 2 else None}, track="tensorboard"),
            quiet,
        )
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    shown = {(name, event.step): event.value for name in events.Tags()["scalars"] for event in events.Scalars(name)}
    assert shown == pytest.approx(reported(tmp_path / "run"), rel=1e-5)


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_hosted_trackers_are_begun_fed_and_finished(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a stand-in with the three functions that both have: neither is installed here."""
    begun: list[dict[str, Any]] = []
    logged: dict[tuple[str, int], float] = {}
    ended: list[bool] = []
    stand_in = SimpleNamespace(
        init=lambda **given: begun.append(given),
        log=lambda values, step: logged.update({(key, step): value for key, value in values.items()}),
        finish=lambda: ended.append(True),
    )
    monkeypatch.setitem(sys.modules, name, stand_in)
    train(Brightness(), tmp_path / "run", TrainOptions(**FEW, track=name), quiet)
    assert logged == reported(tmp_path / "run")
    assert (begun[0]["project"], begun[0]["name"], begun[0]["resume"], len(ended)) == ("humanrt", "run", "allow", 1)
    assert begun[0]["config"]["options"]["steps"] == 4

    def refused(**_: object) -> None:
        raise OSError("no network")

    stand_in.init = refused
    with pytest.raises(HumanrtError, match=rf"--track {name}: it cannot begin \(no network\)"):
        train(Brightness(), tmp_path / "other", TrainOptions(**FEW, track=name), quiet)


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "wandb"])
def test_a_tracker_that_is_not_installed_is_asked_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=f"--track {name} needs a package: `pip install {name}`"):
        train(Brightness(), tmp_path / "run", TrainOptions(**FEW, track=name), quiet)


def test_other_trackers_are_refused() -> None:
    with pytest.raises(HumanrtError, match=r"--track is mlflow; choose one of: tensorboard, trackio, wandb"):
        TrainOptions(track="mlflow")
