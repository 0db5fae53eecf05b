"""What is wrong in a robot's files or in the options is refused in one line, never a traceback, never silently."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_hands import HINTS, URDF, write

from hands import human_hand
from humanrt.errors import HumanrtError
from humanrt.retarget import HandDescription, Retargeter, RetargetOptions, load_hand, robots
from humanrt.retarget.load import ROBOTS

NAN, INF = float("nan"), float("inf")
ALLEGRO = json.loads((ROBOTS / "allegro_right.json").read_text(encoding="utf-8"))


def refused(match: str, call: Callable[[], object]) -> None:
    with pytest.raises(HumanrtError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


LOOP = """<joint name="A" type="{0}"><parent link="x"/><child link="y"/></joint>
  <joint name="B" type="{0}"><parent link="y"/><child link="x"/></joint></robot>"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name="F2"', 'name="F1"', r"two\.urdf: several joints are named F1; give each its own name"),
        ('<child link="f2"/>', '<child link="f1"/>', r"two\.urdf: several joints move link f1; a link has one parent"),
        ("</robot>", LOOP.format("revolute"), r"two\.urdf: links x, y form a loop; a hand is a tree"),
        ("</robot>", LOOP.format("fixed"), "links x, y form a loop"),
        ('"F1" type="revolute"', '"F1" type="floating"', r"two\.urdf: joint F1: type 'floating' is not supported"),
        ('"F1" type="revolute"', '"F1" type="planar"', "type 'planar' is not supported; choose one of: cont.*revolute"),
        ('"F1" type="revolute"', '"F1" type="revolut"', "type 'revolut' is not a URDF joint type; choose one of"),
        ('multiplier="0.7"', 'multiplier="nan"', r"two\.urdf: .*malformed number .*joint F3: mimic multiplier='nan'"),
        ('multiplier="0.7"', 'multiplier="0.7" offset="inf"', "joint F3: mimic offset='inf'"),
        ('upper="0.02"', 'upper="nan"', "joint T2: limit upper='nan'"),
        ('lower="-0.1"', 'lower="-inf"', "joint F1: limit lower='-inf'"),
        ("0 0.02 0.09", "0 1e300 0.09", "joint F1: origin xyz='0 1e300 0.09'"),
        ("0.1 -0.2 0.3", "0.1 inf 0.3", "joint mount: origin rpy"),
        ('name="F1"', 'name="F&#10;1"', "joint name is 'F.n1'; it must be a name"),
        ('<robot name="two">', '<robot name="two"><joint>', "not valid XML"),
        ('<robot name="two">', '<?xml version="1.0" encoding="none"?><robot name="two">', "not valid XML"),
    ],
)
def test_urdf(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in URDF
    refused(message, lambda: Retargeter(write(tmp_path, URDF.replace(old, new))))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": "abc"}, r"two\.json: scale is 'abc'; it must be a finite number"),
        ({"scale": None}, "scale is None; it must be a finite number"),
        ({"scale": True}, "scale is True; it must be a finite number"),
        ({"scale": 0}, "scale is 0; it must be positive"),
        ({"scale": -1}, "scale is -1; it must be positive"),
        ({"scale": NAN}, "scale is nan; it must be a finite number"),
        ({"radius": "x"}, "radius is 'x'; it must be a finite number"),
        ({"radius": -1}, "radius is -1; it must be positive"),
        ({"joints": [1]}, r"two\.json: joints: expected an object such as"),
        ({"joints": {"index": 5}}, "joints: index: give knuckle, middle and last joint, .* F1, F2, F3, not 5"),
        ({"joints": {"index": ["F1", "F2", "T1"]}}, "joints: index: .*out of F1, F2, F3, not T1"),
        ({"joints": {"index": ["F3", "F2", "F1"]}}, "joints: index: .*base to tip"),
        ({"joints": {"pinky": ["F1", "F2", "F3"]}}, "joints: pinky has no tip; tips are given for index, thumb"),
        ({"vector": 5}, r"two\.json: vector: give a list"),
        ({"vector": "tip"}, "vector: give a list such as .* out of distal, knuckle, middle, tip"),
        ({"vector": []}, "vector: give a list"),
        ({"vector": ["foo"]}, "vector is 'foo'; choose one of: distal"),
        ({"source": 5}, "source: expected an object such as"),
        ({"axes": {"fingers": "+z", "palm": ""}}, "axes: give such as"),
        ({"urdf": "two\0.urdf"}, r"two\.json: urdf is 'two.x00.urdf'; it must be a name"),
        ({"urdf": 5}, "urdf is 5; it must be a name"),
        ({"name": "a\nb"}, "name is 'a.nb'"),
        ({"locked": {"F1": NAN}}, r"two\.json: locked: F1 is nan; it must be a finite number"),
        ({"rest": {"F1": "0"}}, "rest: F1 is '0'"),
        ({"tips": {"index": "f1"}}, "cannot tell where the palm faces"),
    ],
)
def test_hints(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    refused(message, lambda: Retargeter(write(tmp_path, **changes)))


@pytest.mark.parametrize("text", ["[]", "5", "null", '"urdf"', '{"urdf": 1, "urdf": 2}', "[" * 100000])
def test_json_that_is_no_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "hand.json").write_text(text)
    refused(
        r"hand\.json: (a robot's description must be a JSON object|not valid JSON)",
        lambda: load_hand(tmp_path / "hand.json"),
    )


def changed(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    data: Any = copy.deepcopy(ALLEGRO)
    where = data
    for key in path[:-1]:
        where = where[key]
    where[path[-1]] = value
    return dict(data)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("joints", 0, "type"), "revolut", "joint joint_0.0: type is 'revolut'; choose one of: prismatic, revolute"),
        (("joints", 0, "xyz"), [0, INF, 0], "joint joint_0.0: xyz is inf"),
        (("joints", 0, "rotation"), [NAN] * 9, "joint joint_0.0: rotation is nan"),
        (("joints", 0, "rotation"), [2, 0, 0, 0, 1, 0, 0, 0, 1], "joint joint_0.0: rotation is not a rotation"),
        (("joints", 0, "rotation"), [-1, 0, 0, 0, 1, 0, 0, 0, 1], "right-handed"),
        (("joints", 0, "axis"), [0, 0, 0], "joint joint_0.0: axis has length 0; it must be 1"),
        (("joints", 0, "lower"), NAN, "joint joint_0.0: lower is nan"),
        (("joints", 0, "mimic"), {"joint": "joint_1.0", "multiplier": NAN, "offset": 0}, "mimic multiplier is nan"),
        (("joints", 1, "name"), "joint_0.0", "several joints are named joint_0.0"),
        (("joints", 0, "parent"), "joint_1.0", "form a loop"),
        (("locked",), {"joint_0.0": NAN}, "locked: joint_0.0 is nan"),
        (("rotation",), [1.0] * 9, "rotation is not a rotation"),
        (("fingers", "index", 3, "xyz"), [0, NAN, 0], "finger index: xyz is nan"),
        (("wrist", "xyz"), [0, 0], "wrist: xyz is .* it must be 3 numbers"),
        (("scale",), 0, "scale is 0; it must be positive"),
        (("radius",), -1, "radius is -1; it must be positive"),
        (("vector",), "tip", "vector: give a list"),
        (("source",), 5, "source: expected an object such as"),
    ],
)
def test_description(path: tuple[str | int, ...], value: object, message: str) -> None:
    refused(message, lambda: HandDescription.from_json(changed(path, value)))


def places(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every field of a JSON value; of a list, the first element stands for all."""
    if path:
        yield path
    items = data.items() if isinstance(data, dict) else enumerate(data[:1]) if isinstance(data, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


@pytest.mark.parametrize(
    "junk", [None, True, 0, -1, NAN, INF, pytest.param(10**400, id="huge"), "", "x", "a\nb", [], [1], {}, {"a": 1}]
)
def test_any_field_may_be_junk(tmp_path: Path, junk: object) -> None:
    """Whatever stands in any field: one line, or finite angles."""
    hints = {
        **HINTS,
        "tips": {"index": {"link": "f3", "xyz": [0.0, 0.0, 0.025]}, "thumb": "ttip"},
        "wrist": "palm",
        "joints": {"index": ["F1", "F2", "F3"]},
        "axes": {"fingers": "+z", "palm": "+x"},
        "locked": {"T1": 0.0},
        "rest": {"T2": 0.01},
        "scale": 1.6,
        "radius": 0.01,
        "vector": ["tip"],
        "source": {},
    }
    described = Retargeter(write(tmp_path, **hints)).hand.to_json()
    keypoints = human_hand(0.4)
    for original in (hints, described):
        for path in places(original):
            data = copy.deepcopy(original)
            where: Any = data
            for key in path[:-1]:
                where = where[key]
            where[path[-1]] = junk
            (tmp_path / "junk.json").write_text(json.dumps(data))
            try:
                q = Retargeter(tmp_path / "junk.json", kernel="numpy", restarts=False).solve(keypoints)
                message = ""
            except HumanrtError as error:
                q, message = np.zeros(0), str(error)
            assert np.isfinite(q).all()
            assert "\n" not in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smoothing": NAN}, "smoothing is nan; it must be a finite number"),
        ({"smoothing": None}, "smoothing is None; it must be a finite number"),
        ({"rest_weight": INF}, "rest_weight is inf; it must be a finite number"),
        ({"rest_weight": -1.0}, "rest_weight is -1.0; it must not be negative"),
        ({"scale": "big"}, "scale is 'big'; it must be a finite number"),
        ({"huber": INF}, "huber is inf"),
        ({"escape": NAN}, "escape is nan"),
        ({"max_iterations": 0}, "max_iterations is 0; it must be positive"),
        ({"max_iterations": -3}, "max_iterations is -3; it must be positive"),
        ({"max_iterations": 2.5}, "max_iterations is 2.5; it must be of type"),
        ({"restarts": "no"}, "restarts is 'no'; it must be of type bool"),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    refused(message, lambda: RetargetOptions(**options))
    refused(message, lambda: Retargeter("allegro_right", **options))


def test_shipped_hands_pass() -> None:
    for name in robots():
        assert load_hand(name).name == name


def test_command_line_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    robot_hand = pytest.importorskip("humanrt_export.commands.robot_hand")  # the command that needs no model
    assert robot_hand.main([str(write(tmp_path, scale="abc"))]) == 2
    error = capsys.readouterr().err
    assert "scale is 'abc'; it must be" in error
    assert "Traceback" not in error
