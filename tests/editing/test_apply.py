"""What an edit does to a pose, measured by the coach's readings, which share no code with it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from humanrt.coach.readings import read_pose
from humanrt.editing.apply import apply
from humanrt.editing.body import Body, readings
from humanrt.editing.changes import ANGLES, CHANNELS, LIMITS, PLACES, Edit
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPLX_BODY, mirrored, other_sides

Array = NDArray[np.float64]
AT = {name: index for index, name in enumerate(SMPLX_BODY)}


def pose(seed: int = 0, bent: float = 0.25) -> Array:
    """Return somebody who stands with arms half lowered, every joint turned a little at random."""
    vectors = bent * np.random.default_rng(seed).normal(size=(22, 3))
    vectors[AT["left_shoulder"]] += (0, 0, -1.0)
    vectors[AT["right_shoulder"]] += (0, 0, 1.0)
    for side, sign in (("left", -1), ("right", 1)):
        vectors[AT[f"{side}_elbow"]] = (0, sign * 0.5, 0)
        vectors[AT[f"{side}_knee"]] = (0.4, 0, 0)
        vectors[AT[f"{side}_hip"]] *= 0.4
    rotations = matrices_from_vectors(vectors)
    rotations[0] = np.diag([1.0, -1.0, -1.0]) @ matrices_from_vectors(np.array([0.05, 0.4, 0.0]))
    return rotations


def edit(**channels: tuple[float, bool] | tuple[float, bool, tuple[float, float, float]] | str) -> Edit:
    """Return an edit: channel = (value, absolute[, way]), or the place of a hand."""
    made = Edit.empty()
    for channel, how in channels.items():
        index = CHANNELS.index(channel)
        made.said[index] = True
        if isinstance(how, str):
            made.absolute[index], made.place[index] = True, PLACES.index(how)
            continue
        made.value[index], made.absolute[index] = how[0], how[1]
        if len(how) > 2:
            made.way[index] = np.array(how[2]) / np.linalg.norm(how[2])
    return made


def turned(a: Array, b: Array) -> dict[str, float]:
    """Return by how many degrees each joint was turned against its parent."""
    cosine = (np.trace(np.swapaxes(a, 1, 2) @ b, axis1=1, axis2=2) - 1) / 2
    return dict(zip(SMPLX_BODY, np.degrees(np.arccos(np.clip(cosine, -1, 1))), strict=True))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("channel", "value", "reading"),
    [
        ("lean", 20.0, "lean"),
        ("side_lean", -15.0, "side_lean"),
        ("twist", 25.0, "twist"),
        ("head_turn", -30.0, "head_turn"),
        ("head_nod", 15.0, "head_nod"),
        ("head_tilt", 12.0, "head_tilt"),
        ("height", -0.2, "height"),
        ("stance", 0.2, "stance"),
    ],
)
def test_numbers_are_reached(seed: int, channel: str, value: float, reading: str) -> None:
    a = pose(seed, 0.12)
    before, after = (getattr(read_pose(one), reading) for one in (a, apply(a, edit(**{channel: (value, False)}))))
    assert after - before == pytest.approx(value, abs=0.02 if reading in ("height", "stance") else 1.0)


@pytest.mark.parametrize("stride", [-0.9, -0.4, 0.4, 0.9])
@pytest.mark.parametrize("wanted", [0.14, 0.3])
def test_feet_of_a_stride_come_together(stride: float, wanted: float) -> None:
    a = pose(1, 0.1)
    for side, sign in (("left", 1), ("right", -1)):
        a[AT[f"{side}_hip"]] = matrices_from_vectors(np.array([sign * stride / 2 - 0.1, 0.0, sign * 0.05]))
    before, after = Body(a), Body(apply(a, edit(stance=(wanted, True))))
    assert before.angle("stance") > 0.33
    assert after.angle("stance") == pytest.approx(wanted, abs=0.01)
    assert after.angle("height") == pytest.approx(before.angle("height"), abs=0.01)
    if wanted < 0.15:  # side by side, each on its own side
        apart = after.level() @ (after.joint("left_ankle") - after.joint("right_ankle"))
        assert apart[0] > 0.13


@pytest.mark.parametrize("seed", range(3))
def test_arms_go_where_they_are_told(seed: int) -> None:
    a = pose(seed)
    before, after = read_pose(a).arms, read_pose(apply(a, edit(left_arm=(40, False, (0, 1, 0))))).arms
    assert np.degrees(np.arccos(before.upper[0] @ after.upper[0])) == pytest.approx(40, abs=1)
    assert after.upper[0, 1] > before.upper[0, 1]
    assert after.bends == pytest.approx(before.bends, abs=0.1)
    assert read_pose(apply(a, edit(right_arm=(0, True, (1, 0, 0))))).arms.upper[1] == pytest.approx((1, 0, 0), abs=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_not_spoken_of_stays(seed: int) -> None:
    a = pose(seed)
    moved = turned(a, apply(a, edit(left_arm=(40, False, (0, 1, 0)), right_knee=(30, False), head_turn=(20, False))))
    still = set(SMPLX_BODY) - {"left_collar", "left_shoulder", "right_knee", "neck", "head"}
    assert max(moved[name] for name in still) < 1e-3
    assert min(moved[name] for name in ("left_shoulder", "right_knee", "neck")) > 5


def test_no_words_no_change() -> None:
    a = pose()
    assert apply(a, Edit.empty()) == pytest.approx(a, abs=1e-12)


@pytest.mark.parametrize("asked", [edit(height=(-0.25, False)), edit(left_knee=(40, False), right_knee=(40, False))])
def test_feet_stay_on_the_floor(asked: Edit) -> None:
    a = pose(1, 0.1)
    before, after = Body(a), Body(apply(a, asked))
    for side in ("left", "right"):
        ankles = [body.joint(f"{side}_ankle") for body in (before, after)]
        assert ankles[1][1] - ankles[0][1] > 0.05  # nearer to the pelvis: the body sank
        assert after.world[AT[f"{side}_ankle"]] == pytest.approx(before.world[AT[f"{side}_ankle"]], abs=1e-6)
    apart = [body.joint("left_ankle")[1] - body.joint("right_ankle")[1] for body in (before, after)]
    assert apart[0] == pytest.approx(apart[1], abs=0.03)


def test_a_foot_in_the_air_does_not_go_through_the_floor() -> None:
    a = apply(pose(1, 0.1), edit(left_foot=(0.25, False, (0, 1, 0))))
    body = Body(apply(a, edit(height=(-0.4, False))))
    heights = [body.joint(f"{side}_ankle")[1] for side in ("left", "right")]
    assert heights[0] >= heights[1] - 0.01
    assert heights[1] > Body(a).joint("right_ankle")[1] + 0.3


def test_leaning_leaves_the_legs_as_they_stand() -> None:
    a = pose(2, 0.1)
    before, after = Body(a), Body(apply(a, edit(lean=(35, False))))
    legs = [AT[f"{side}_{joint}"] for side in ("left", "right") for joint in ("hip", "knee", "ankle")]
    assert after.world[legs] == pytest.approx(before.world[legs], abs=1e-9)


def test_both_hands_to_the_hips() -> None:
    body = Body(apply(pose(), edit(left_hand="hip", right_hand="hip")))
    for side in ("left", "right"):
        assert np.linalg.norm(body.joint(f"{side}_wrist") - body.joint(f"{side}_hip")) < 0.22
        out = 1 if side == "left" else -1
        assert out * (body.chest()[0] @ (body.joint(f"{side}_elbow") - body.joint(f"{side}_wrist"))) > 0.05


def test_limits_hold_and_do_not_pull_back() -> None:
    a = pose()
    far = Body(apply(a, edit(left_elbow=(500, False), head_turn=(400, False), lean=(-300, False))))
    assert far.angle("left_elbow") == pytest.approx(LIMITS["elbow"][1], abs=0.1)
    assert far.angle("head_turn") < LIMITS["head_turn"][1] + 1
    assert far.angle("lean") > LIMITS["lean"][0] - 1
    beyond = apply(a, edit(left_elbow=(145, True)))
    beyond[AT["left_elbow"]] = matrices_from_vectors(np.array([0, -np.radians(155), 0]))
    assert Body(apply(beyond, edit(left_elbow=(10, False)))).angle("left_elbow") == pytest.approx(155, abs=0.1)


def test_mirror() -> None:
    a = pose()
    b = apply(a, edit(mirror=(0, True)))
    assert b[1:] == pytest.approx(mirrored(a)[list(other_sides(SMPLX_BODY))][1:], abs=1e-9)
    assert apply(b, edit(mirror=(0, True))) == pytest.approx(a, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_any_edit_gives_rotations(seed: int) -> None:
    random = np.random.default_rng(seed)
    for number in range(40):
        count = len(CHANNELS)
        made = replace(
            Edit.empty(),
            said=random.random(count) < 0.3,
            absolute=random.random(count) < 0.5,
            value=random.normal(size=count) * np.where(np.isin(CHANNELS, ANGLES), 60, 40),
            way=(ways := random.normal(size=(count, 3))) / np.linalg.norm(ways, axis=1, keepdims=True),
            place=random.integers(len(PLACES), size=count),
        )
        b = apply(pose(number, 1.0), made)
        assert abs(np.swapaxes(b, 1, 2) @ b - np.eye(3)).max() < 1e-6
        assert np.isfinite(readings(Body(b))).all()


@pytest.mark.parametrize(("place", "least"), [("knee", 45.0), ("hip", 0.0)])
def test_who_puts_hands_out_of_reach_leans(place: str, least: float) -> None:
    standing = pose(bent=0.03)
    before, after = Body(standing), Body(apply(standing, edit(left_hand=place, right_hand=place)))
    leant = after.angle("lean") - before.angle("lean")
    assert least - 0.1 <= leant <= (80.0 if least else 1.0)
    assert np.linalg.norm(after.joint("left_wrist") - after.joint(f"left_{place}")) < 0.25
    for side in ("left", "right"):
        feet = [body.joint(f"{side}_ankle") - body.hips for body in (before, after)]
        np.testing.assert_allclose(feet[0], feet[1], atol=0.03)
