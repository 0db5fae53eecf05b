"""The LeRobot plugin on a film played at its own pace: with lerobot where it is there, else with its base stood in."""

from __future__ import annotations

import inspect
import sys
import time
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import lerobot_stand_in
import numpy as np
import pytest

import humanrt
from humanrt.data import CLIP
from humanrt.errors import HumanrtError
from humanrt.outputs.video import open_sink
from humanrt.retarget import load_hand

PLUGIN = Path(__file__).parents[2] / "integrations" / "lerobot_teleoperator_humanrt"
NAME = "lerobot_teleoperator_humanrt"


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    lerobot_stand_in.install(monkeypatch)
    monkeypatch.syspath_prepend(str(PLUGIN))
    kept = {name for name in sys.modules if name.startswith(NAME)}
    if not lerobot_stand_in.INSTALLED:
        for name in kept:
            monkeypatch.delitem(sys.modules, name)
    import lerobot_teleoperator_humanrt

    yield lerobot_teleoperator_humanrt
    if not lerobot_stand_in.INSTALLED:
        for name in [name for name in sys.modules if name.startswith(NAME)]:
            del sys.modules[name]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 frames of a hand, then 15 of nothing."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with humanrt.open_source(CLIP) as source, open_sink(path, 10.0) as sink:
        for index, frame in enumerate(source):
            if index == 40:
                break
            sink.write(frame.image if index < 25 else np.zeros_like(frame.image))
    return path


class Paced:
    """Results of a film, none left out: how fast they come does not depend on how busy the machine is, nor the test."""

    def __init__(self, *source: Any, realtime: bool, **options: Any) -> None:
        assert realtime
        self._results = humanrt.track(*source, **options)

    def __enter__(self) -> Paced:
        return self

    def __iter__(self) -> Iterator[Any]:
        for result in self._results:
            yield result
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._results.close()


def watch(teleoperator: Any, seen: list[tuple[float, float, list[float], str]]) -> None:
    """Take actions until there are no more: the times around each, its values, the state."""
    while True:
        before = time.monotonic()
        action = teleoperator.get_action()
        assert list(action) == list(teleoperator.action_features)
        assert all(type(value) is float for value in action.values())
        seen.append((before, time.monotonic(), list(action.values()), teleoperator.motion.state))
        time.sleep(0.01)


def test_actions_follow_a_film_gently_and_end_with_it(
    plugin: Any, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[f"{NAME}.humanrt_hand"], "track", Paced)
    config = plugin.HumanrtHandConfig(
        robot="allegro_right", source=str(clip), max_speed=2.0, max_acceleration=20.0, calibration_dir=tmp_path, id="me"
    )
    teleoperator = plugin.HumanrtHand(config)
    hand = load_hand("allegro_right")
    assert teleoperator.action_features == {f"{joint}.pos": float for joint in hand.joint_names}
    assert (teleoperator.feedback_features, teleoperator.is_calibrated) == ({}, True)
    with pytest.raises(ConnectionError):
        teleoperator.get_action()
    assert not teleoperator.is_connected
    teleoperator.connect()
    with pytest.raises(ConnectionError):
        teleoperator.connect()
    seen: list[tuple[float, float, list[float], str]] = []
    with pytest.raises(ConnectionError, match="has ended"):
        watch(teleoperator, seen)
    teleoperator.disconnect()
    assert not teleoperator.is_connected
    found, states = np.array([one[2] for one in seen]), [one[3] for one in seen]
    assert np.ptp(found, axis=0).max() > 0.1
    span = np.array([later[1] - sooner[0] for sooner, later in pairwise(seen)])
    assert (np.abs(np.diff(found, axis=0)).max(axis=1) <= 2.0 * span + 1e-9).all()
    assert (found >= hand.limits[:, 0] - 1e-9).all()
    assert (found <= hand.limits[:, 1] + 1e-9).all()
    assert {"following", "holding"} <= set(states)
    assert states[-1] == "holding"
    assert np.array_equal(found[-1], found[-2])
    assert max(after - before for before, after, _, _ in seen) < 1.0  # it does not wait for the camera


def test_units_and_names(plugin: Any, tmp_path: Path) -> None:
    hand = load_hand("leap_right")
    first = hand.joint_names[0]
    made = {
        units: plugin.HumanrtHand(
            plugin.HumanrtHandConfig(units=units, names={first: "index_mcp"}, calibration_dir=tmp_path)
        )
        for units in ("rad", "deg", "range_0_100")
    }
    assert next(iter(made["rad"].action_features)) == "index_mcp.pos"
    low, high = hand.limits.T
    assert made["range_0_100"]._in_units(low) == [0.0] * len(low)
    assert made["range_0_100"]._in_units(high) == pytest.approx([100.0] * len(low))
    assert made["deg"]._in_units(high) == pytest.approx(np.degrees(high).tolist())
    assert made["rad"]._in_units(high) == high.tolist()


def test_mistakes_get_one_line(plugin: Any, tmp_path: Path) -> None:
    for options, words in (
        ({"units": "turns"}, "range_0_100"),
        ({"robot": "no_hand"}, "no_hand"),
        ({"names": {"nothing": "x"}}, "no joint nothing"),
        ({"names": dict.fromkeys(load_hand("leap_right").joint_names[:2], "x")}, "same name"),
        ({"on_lost": "drop"}, "hold, open"),
        ({"timeout": float("nan")}, "timeout"),
    ):
        with pytest.raises(HumanrtError, match=words):
            plugin.HumanrtHand(plugin.HumanrtHandConfig(calibration_dir=tmp_path, **options))
    nowhere = plugin.HumanrtHand(plugin.HumanrtHandConfig(source="/nowhere.mp4", calibration_dir=tmp_path))
    with pytest.raises(HumanrtError, match=r"nowhere\.mp4"):
        nowhere.connect()
    assert not nowhere.is_connected


def test_lerobot_finds_the_plugin(plugin: Any, tmp_path: Path) -> None:
    about = tomllib.loads((PLUGIN / "pyproject.toml").read_text())
    assert about["project"]["name"].startswith("lerobot_teleoperator_")  # what register_third_party_plugins looks for
    config_module = sys.modules[f"{NAME}.config_humanrt_hand"]
    assert config_module.TeleoperatorConfig.get_choice_class("humanrt_hand") is plugin.HumanrtHandConfig
    # make_device_from_device_class: the config's class name without Config, in the package of its module.
    assert plugin.HumanrtHandConfig.__name__ == f"{plugin.HumanrtHand.__name__}Config"
    assert plugin.HumanrtHandConfig.__module__.rpartition(".")[0] == plugin.__name__


@pytest.mark.skipif(not lerobot_stand_in.INSTALLED, reason="lerobot is not installed (5 GB)")
def test_the_stand_in_is_as_lerobot(plugin: Any, tmp_path: Path) -> None:
    from lerobot.teleoperators.teleoperator import Teleoperator
    from lerobot.teleoperators.utils import make_teleoperator_from_config

    assert Teleoperator.__abstractmethods__ == lerobot_stand_in.Teleoperator.__abstractmethods__
    for name in ("connect", "get_action", "send_feedback", "disconnect"):
        real = inspect.signature(getattr(Teleoperator, name)).parameters
        assert real.keys() == inspect.signature(getattr(lerobot_stand_in.Teleoperator, name)).parameters.keys()
    made = make_teleoperator_from_config(plugin.HumanrtHandConfig(calibration_dir=tmp_path))
    assert isinstance(made, plugin.HumanrtHand)
