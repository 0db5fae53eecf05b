"""The floor, gravity, and feet that stay where they stand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from glb_reader import GlbReader

import humanrt
from command_line import refused
from humanrt.animation import Ground, Soles, Take, convert, find_ground, grounded, planted, soles_of
from humanrt.animation.live_ground import LiveGround
from humanrt.animation.planting import _solve_banded, contacts_of, flights_of
from humanrt.animation.soles import leg_bones
from humanrt.cli import main
from humanrt.data import CLIP
from humanrt.errors import HumanrtError
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.bones import SMPLX_BONES
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.geometry.skeleton import SkeletonError
from humanrt.outputs.record import Recorder
from humanrt.people.pipeline import PeopleResult
from humanrt.people.results import People
from humanrt.people.rig import BodyRig
from humanrt.sources.opening import Frame

SECONDS, HERTZ = 4.0, 30.0
HEIGHT = 1.6  # m, of the camera
STANCE, SPEED = 0.6, 0.7  # s that a foot stands, and is in the air; m/s
STRIDE = 2 * STANCE * SPEED

# From Anny's own axes (z up, y back) to those of the floor (y down, z ahead), facing the camera.
FACING = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def camera(pitch: float, roll: float) -> Ground:
    """A camera that looks down by ``pitch`` and is turned by ``roll`` degrees."""
    turn = matrices_from_vectors(np.radians([0, 0, -roll])) @ matrices_from_vectors(np.radians([-pitch, 0, 0]))
    return Ground(turn.T @ (0.0, -1.0, 0.0), HEIGHT, 0.0)


@pytest.fixture(scope="module")
def soles(rig: BodyRig) -> Soles:
    return soles_of(rig, rig.default_shape)


@pytest.fixture(scope="module")
def walk(rig: BodyRig, soles: Soles) -> Take:
    """A walk in the floor's axes, with knees that bend: feet stand for `STANCE` and lift in between."""
    t = np.arange(round(SECONDS * HERTZ)) / HERTZ
    local = np.broadcast_to(np.eye(3), (len(t), len(rig.bones), 3, 3)).copy()
    local[:, 0] = FACING
    rest = rig.rest()
    below = (rest @ FACING.T)[:, 1]
    depth = float((soles.points @ FACING.T)[..., 1].max())  # of the soles below where the foot begins
    root = np.zeros((len(t), 3))
    root[:, 2] = 5.0 - SPEED * t  # towards the camera
    foot_below = below[soles.legs[0].foot] + depth
    root[:, 1] = -foot_below + 0.06  # lowered, so that the legs reach the ends of a step
    take = Take(1, rig.tree, t, local, root, rest, rig.default_shape, np.zeros((len(t), 0)), t[[0, -1]][None])
    for side, leg in enumerate(soles.legs):
        ahead, up = step(t, side)
        hip, knee, ankle = (rest[bone] @ FACING.T for bone in (leg.thigh, leg.shank, leg.foot))
        target = np.stack([np.full(len(t), ankle[0]), -up - depth, ahead], axis=1)
        target[:, 2] += 5.0
        bend(local, hip + root, knee - hip, ankle - knee, target, leg.thigh, leg.shank, leg.foot)
    return replace(take, local=local)


def step(t: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how far a foot is from where the walk began, and above the floor, m."""
    count, phase = np.divmod(t / (2 * STANCE) + side / 2, 1.0)
    moving = np.clip(phase * 2 - 1, 0, 1)
    moving = moving * moving * (3 - 2 * moving)
    return (side / 2 - 0.25 - count - moving) * STRIDE, 0.1 * np.sin(np.pi * moving)


def bend(
    local: np.ndarray, hip: np.ndarray, thigh: np.ndarray, shank: np.ndarray, target: np.ndarray, *bones: int
) -> None:
    """Turn a leg in the plane that faces the camera, so that its ankle is at a target and its foot level."""
    upper, lower, foot = bones
    reach = target - hip
    distance = np.linalg.norm(reach, axis=1)
    a, b = np.linalg.norm(thigh), np.linalg.norm(shank)
    assert (distance < a + b).all()
    straight = np.arccos(thigh @ shank / a / b)  # between the segments at rest

    def turned(vector: np.ndarray, toward: np.ndarray) -> np.ndarray:
        """Rotations of the floor's axes that take a vector to directions [F, 3], without twist."""
        axis = np.cross(vector, toward)
        sine = np.linalg.norm(axis, axis=-1, keepdims=True)
        angle = np.arctan2(sine, (vector * toward).sum(-1, keepdims=True))
        return matrices_from_vectors(axis / np.maximum(sine, 1e-12) * angle)

    knee = np.arccos(np.clip((distance**2 - a * a - b * b) / (2 * a * b), -1, 1)) - straight
    at_knee = matrices_from_vectors(knee[:, None] * np.array([1.0, 0.0, 0.0]))
    for _ in range(20):  # shank and thigh are not quite in one plane
        end = thigh + at_knee @ shank
        knee += (np.linalg.norm(end, axis=1) - distance) / (0.5 * a)
        at_knee = matrices_from_vectors(knee[:, None] * np.array([1.0, 0.0, 0.0]))
    at_hip = turned(thigh + at_knee @ shank, reach)
    body = FACING.T
    local[:, upper] = body @ at_hip @ FACING
    local[:, lower] = body @ at_knee @ FACING
    local[:, foot] = body @ np.swapaxes(at_hip @ at_knee, -1, -2) @ FACING


def seen(take: Take, ground: Ground, distance: Callable[[np.ndarray], np.ndarray] | None = None) -> Take:
    """A take of the floor's axes as the camera has it; distances may be wrong."""
    local = take.local.copy()
    local[:, 0] = ground.axes.T @ local[:, 0]
    root = (take.root + np.array([0.0, ground.height, 0.0])) @ ground.axes
    return replace(take, local=local, root=root if distance is None else root * distance(take.t)[:, None])


def trembling(t: np.ndarray) -> np.ndarray:
    """Factors of the distance: 2 % from frame to frame, 2 % slowly."""
    rng = np.random.default_rng(3)
    return np.asarray(1 + 0.02 * rng.normal(size=len(t)) + 0.02 * np.sin(2.1 * t))


def degrees(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(one @ other, -1, 1))))


def test_soles_are_below_the_feet(rig: BodyRig, soles: Soles) -> None:
    points = soles.points @ FACING.T  # y down, z back to the heel
    assert (points[..., 1] > 0.04).all()
    assert np.ptp(points[..., 1]) < 0.01
    heel, ball = points[:, 0, 2], points[:, 1, 2]
    assert (np.abs(ball - heel) > 0.1).all()
    np.testing.assert_allclose(points[0] * (-1, 1, 1), points[1], atol=0.01)


def test_legs_of_both_bodies_are_known_by_name() -> None:
    left, right = leg_bones(SMPLX_BONES)
    assert [SMPLX_BONES[k] for k in (left.thigh, left.shank, left.foot)] == ["left_hip", "left_knee", "left_ankle"]
    assert SMPLX_BONES[right.foot] == "right_ankle"
    assert ANNY_BONES[leg_bones(ANNY_BONES)[1].foot] == "foot.R"
    with pytest.raises(SkeletonError, match="Anny or of SMPL-X"):
        leg_bones(("root", "tail"))


@pytest.mark.parametrize(("pitch", "roll"), [(0.0, 0.0), (12.0, 2.0), (35.0, -3.0), (-4.0, 0.0)])
def test_the_floor_is_found(walk: Take, soles: Soles, pitch: float, roll: float) -> None:
    true = camera(pitch, roll)
    found = find_ground([seen(walk, true)], [soles])
    assert degrees(found.up, true.up) < 2.0  # that cameras are seldom rolled counts against a roll
    assert found.height == pytest.approx(true.height, abs=0.03)
    assert np.degrees(found.pitch) == pytest.approx(pitch, abs=0.5)
    assert np.degrees(found.roll) == pytest.approx(np.degrees(true.roll), abs=2.5)
    assert degrees(found.up, true.up) < 2 * np.degrees(found.uncertainty)


def test_the_floor_is_found_where_distances_are_uncertain(walk: Take, soles: Soles) -> None:
    true = camera(12.0, 1.0)
    found = find_ground([seen(walk, true, trembling)], [soles])
    assert degrees(found.up, true.up) < 2.0


@pytest.mark.parametrize("roll", [3.0, -4.0])
def test_how_the_floor_is_inclined_across_a_straight_path_is_known_from_who_walks(
    walk: Take, soles: Soles, roll: float
) -> None:
    """Soles cannot tell, as feet are near each other; bodies that sway from foot to foot do."""
    true = camera(8.0, roll)
    found = find_ground([seen(walk, true)], [soles])
    assert np.degrees(found.roll) == pytest.approx(roll, abs=1.2)
    standing_still = replace(walk, local=np.broadcast_to(walk.local[:1] * 0 + np.eye(3), walk.local.shape).copy())
    standing_still.local[:, 0] = FACING
    stands = find_ground([seen(standing_still, true)], [soles])
    assert abs(np.degrees(stands.roll) - roll) > abs(np.degrees(found.roll) - roll)
    assert stands.uncertainty > found.uncertainty


@pytest.mark.parametrize("lean", [-4.0, 0.0, 4.0])
@pytest.mark.parametrize("ahead", [-6.0, 2.0])
def test_the_true_normal_lies_within_the_uncertainty(walk: Take, soles: Soles, lean: float, ahead: float) -> None:
    """Of people who hold themselves otherwise than most do, at distances that are uncertain."""
    true = camera(10.0, 1.5)
    turn = matrices_from_vectors(np.radians([ahead, 0, lean]))
    local = walk.local.copy()
    local[:, 0] = turn @ local[:, 0]
    found = find_ground([seen(replace(walk, local=local), true, trembling)], [soles])
    assert degrees(found.up, true.up) < 2 * np.degrees(found.uncertainty)


@pytest.mark.parametrize("turn", [90.0, -90.0])
@pytest.mark.parametrize("lean", [-4.0, 4.0])
def test_what_leans_along_the_line_of_sight_is_hardly_seen(
    walk: Take, soles: Soles, turn: float, lean: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who walks across the picture may lean towards the camera, and says less of the floor than whose lean is seen."""
    true = camera(10.0, 1.5)
    across = matrices_from_vectors(np.radians([0, turn, 0]))
    local = walk.local.copy()
    local[:, 0] = across @ matrices_from_vectors(np.radians([0, 0, lean])) @ local[:, 0]
    middle = walk.root.mean(axis=0) * (1, 0, 1)
    given = replace(walk, local=local, root=(walk.root - middle) @ across.T + (0, 0, 5.0))
    found = find_ground([seen(given, true, trembling)], [soles])
    assert degrees(found.up, true.up) < 2 * np.degrees(found.uncertainty)
    monkeypatch.setattr(sys.modules["humanrt.animation.ground"], "_UNSEEN", 0.0)
    assert find_ground([seen(given, true, trembling)], [soles]).uncertainty < 0.75 * found.uncertainty


def test_somebody_on_a_box_does_not_tilt_the_floor(walk: Take, soles: Soles) -> None:
    true = camera(5.0, 0.0)
    there = walk.root + np.array([1.0, -2.0, 6.0]) - (0.0, 0.0, 1.0) * (walk.root[:, 2:] - 5.0)
    high = replace(walk, root=there)
    found = find_ground([seen(walk, true), seen(high, true)], [soles, soles])
    assert degrees(found.up, true.up) < 1.0
    assert found.height == pytest.approx(true.height, abs=0.05)


def test_axes_and_heights_agree() -> None:
    ground = camera(20.0, 3.0)
    np.testing.assert_allclose(ground.axes @ ground.axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(ground.axes) == pytest.approx(1)
    np.testing.assert_allclose(ground.axes @ ground.up, [0, -1, 0], atol=1e-12)
    point = np.array([0.3, 0.2, 4.0])
    assert ground.heights(point) == pytest.approx(ground.height - (ground.axes @ point)[1])
    assert "1.60 m above the floor, looking 20.0 degrees down" in str(ground)


def test_a_camera_that_looks_straight_down_has_axes() -> None:
    axes = Ground(np.array([0.0, 0.0, -1.0]), 3.0, 0.0).axes
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)


def test_nobody_who_stands_tells_no_floor(walk: Take, soles: Soles) -> None:
    lying = walk.local.copy()
    lying[:, 0] = matrices_from_vectors(np.radians([0, 0, 90.0])) @ lying[:, 0]
    with pytest.raises(HumanrtError, match="nobody in the recording stands upright"):
        find_ground([replace(walk, local=lying)], [soles])


def standing(take: Take, soles: Soles) -> list[tuple[int, int, int]]:
    """Foot and frames of the true stances."""
    heights = -soles.at(take)[..., 1].max(axis=-1)
    found = []
    for foot in range(2):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], heights[:, foot] < 1e-3, [0]])))
        found += [(foot, int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a > 5]
    return found


def slides(take: Take, soles: Soles, stances: list[tuple[int, int, int]]) -> np.ndarray:
    """How far across the floor the soles get in each stance, mm."""
    points = soles.at(take)[..., ::2]
    return np.array(
        [1000 * np.linalg.norm(points[a:b, foot] - points[a, foot], axis=-1).max() for foot, a, b in stances]
    )


def test_feet_stay_where_they_stand(walk: Take, soles: Soles) -> None:
    true = camera(12.0, 1.0)
    given = seen(walk, true, trembling)
    stances = standing(walk, soles)
    assert len(stances) >= 4
    assert np.median(slides(grounded(given, true), soles, stances)) > 50
    fixed = planted(given, soles, true)
    assert np.median(slides(fixed, soles, stances)) < 3
    assert slides(fixed, soles, stances).max() < 10
    heights = -soles.at(fixed)[..., 1]
    assert heights.min() > -2e-3
    for foot, a, b in stances:
        assert np.abs(heights[a:b, foot]).max() < 0.01


def test_feet_stay_where_they_stand_while_the_body_is_seen_at_a_wrong_distance(walk: Take, soles: Soles) -> None:
    true = camera(8.0, 0.0)
    at = np.linspace(0.4, walk.t[-1] - 0.4, 4)

    def lurching(t: np.ndarray) -> np.ndarray:
        """For a quarter of a second at a time 6 % too far away: as legs that pass each other are seen."""
        return 1 + 0.06 * np.exp(-(((t[:, None] - at) / 0.1) ** 2)).sum(axis=1)

    given, stances = seen(walk, true, lurching), standing(walk, soles)
    before = slides(grounded(given, true), soles, stances)
    after = slides(planted(given, soles, true), soles, stances)
    assert np.percentile(before, 75) > 100
    assert np.percentile(after, 75) < 10


def test_planting_leaves_the_upper_body_and_bone_lengths(walk: Take, soles: Soles) -> None:
    true = camera(12.0, 1.0)
    given = seen(walk, true, trembling)
    fixed, before = planted(given, soles, true), grounded(given, true)
    legs = {bone for leg in soles.legs for bone in walk.tree.beyond(leg.thigh)}
    others = [k for k in range(len(walk.tree.names)) if k not in legs]
    np.testing.assert_allclose(fixed.local[:, others], before.local[:, others], atol=1e-12)
    np.testing.assert_allclose(
        fixed.local @ np.swapaxes(fixed.local, -1, -2), np.broadcast_to(np.eye(3), fixed.local.shape), atol=1e-9
    )
    moved = np.linalg.norm(fixed.root - walk.root, axis=1)
    assert moved.mean() < 0.5 * np.linalg.norm(before.root - walk.root, axis=1).mean()


def test_a_true_walk_is_hardly_changed(walk: Take, soles: Soles) -> None:
    true = camera(12.0, 1.0)
    fixed = planted(seen(walk, true), soles, true)
    assert 1000 * np.linalg.norm(fixed.heads() - walk.heads(), axis=-1).max() < 30
    assert 1000 * np.linalg.norm(fixed.heads() - walk.heads(), axis=-1).mean() < 8


def test_somebody_in_the_air_is_not_pulled_down(walk: Take, soles: Soles) -> None:
    true = camera(12.0, 0.0)
    flying = replace(walk, root=walk.root - (0.0, 0.8, 0.0))
    assert not contacts_of(flying, soles).any()
    fixed = planted(seen(flying, true), soles, true)
    assert np.abs(fixed.root[:, 1] - flying.root[:, 1]).max() < 0.05


def leap(walk: Take, soles: Soles, ahead: float, height: float) -> Take:
    """Somebody who stands for 1 s, is carried ahead m by a jump of height m with both feet, and stands for 1 s."""
    seconds = np.sqrt(8 * height / 9.81)
    t = np.arange(round((2 + seconds) * HERTZ)) / HERTZ
    part = np.clip((t - 1) / seconds, 0, 1)
    local = np.broadcast_to(np.eye(3), (len(t), *walk.local.shape[1:])).copy()
    local[:, 0] = FACING
    below = (walk.rest @ FACING.T)[soles.legs[0].foot, 1] + float((soles.points @ FACING.T)[..., 1].max())
    root = np.stack([0 * t, -below - 4 * height * part * (1 - part), 5.0 - ahead * part], axis=1)
    return replace(
        walk, t=t, local=local, root=root, expression=np.zeros((len(t), 0)), present=np.array([[t[0], t[-1]]])
    )


@pytest.mark.parametrize(("ahead", "height"), [(0.5, 0.09), (1.0, 0.2), (0.0, 0.2)])
def test_hops_stay_hops(walk: Take, soles: Soles, ahead: float, height: float) -> None:
    true = camera(12.0, 0.0)
    jump = leap(walk, soles, ahead, height)
    seconds = float(np.sqrt(8 * height / 9.81))
    given = grounded(seen(jump, true), true)
    flying = flights_of(given, soles, true)
    middle = round((1 + seconds / 2) * HERTZ)
    up = np.abs(jump.t - jump.t[middle]) < seconds / 2 - 1.5 / HERTZ
    assert flying[up].all()
    assert not flying[np.abs(jump.t - jump.t[middle]) > seconds / 2 + 0.2].any()
    assert not contacts_of(given, soles, flying)[up].any()
    fixed = planted(seen(jump, true), soles, true)
    off = np.linalg.norm((soles.at(fixed) - soles.at(jump))[..., ::2], axis=-1)
    assert off[jump.t < 0.9].max() < 0.03
    assert off[jump.t > 1.1 + seconds].max() < 0.03
    assert -soles.at(fixed)[middle, ..., 1].max() > 0.5 * height


def test_nobody_who_walks_is_in_flight(walk: Take, soles: Soles) -> None:
    true = camera(12.0, 0.0)
    assert not flights_of(grounded(seen(walk, true), true), soles, true).any()
    assert flights_of(grounded(seen(walk, true, trembling), true), soles, true).mean() < 0.02


@pytest.mark.parametrize("count", [3, 4, 9, 20])
def test_banded_systems_are_solved_as_dense_ones(count: int) -> None:
    rng = np.random.default_rng(count)
    dense = np.zeros((count, 3, count, 3))
    for k in range(count):
        for other in range(k, min(k + 3, count)):
            block = rng.normal(size=(3, 3))
            dense[k, :, other] = block if other > k else block @ block.T + 20 * np.eye(3)
            dense[other, :, k] = dense[k, :, other].T
    diagonal = np.array([dense[k, :, k] for k in range(count)])
    upper = np.array([dense[k, :, k + 1] if k + 1 < count else np.zeros((3, 3)) for k in range(count)])
    second = np.array([dense[k, :, k + 2] if k + 2 < count else np.zeros((3, 3)) for k in range(count)])
    right = rng.normal(size=(count, 3))
    expected = np.linalg.solve(dense.reshape(3 * count, -1), right.ravel()).reshape(-1, 3)
    np.testing.assert_allclose(_solve_banded(diagonal, upper, second, right), expected, atol=1e-9)


@pytest.fixture(scope="module")
def recorded(walk: Take, rig: BodyRig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of the first second of the walk."""
    path = tmp_path_factory.mktemp("walk") / "walk.jsonl"
    take = seen(walk, camera(12.0, 1.0))
    header = {
        "humanrt": humanrt.__version__,
        "task": "people",
        "bundle": {"name": "holistic", "version": "1"},
        "bones": list(rig.bones),
        "parents": list(rig.parents),
        "joints": list(rig.joint_names),
        "fps": HERTZ,
    }
    with Recorder(path, header) as recorder:
        for k in range(round(HERTZ)):
            joints = rig.pose(take.shape, take.local[k])[1]
            joints = joints + (take.root[k] - rig.bone_heads(joints)[0])
            person = {
                "id": 1,
                "score": 0.9,
                "head_2d": [10.0, 20.0],
                "translation": joints[rig.joint_names.index("head")],
                "rotations": vectors_from_matrices(take.local[k]),
                "shape": take.shape,
                "expression": [],
                "joints_3d": joints,
            }
            recorder.write(
                {"frame": k, "t": k / HERTZ, "size": [640, 480], "hands": [], "people": [person], "ms": {"total": 1.0}}
            )
    return path


def test_files_stand_on_the_floor(recorded: Path, walk: Take, tmp_path: Path) -> None:
    floor = humanrt.ground_of(recorded)
    reader = GlbReader(convert(recorded, tmp_path / "take.glb", ground=True)[0])
    lowest = [reader.vertices(1, k / HERTZ)[:, 1].min() for k in range(0, round(HERTZ), 3)]
    assert np.abs(lowest).max() < 0.02
    above = convert(recorded, tmp_path / "above.glb", ground=replace(floor, height=floor.height + 1))[0]
    assert GlbReader(above).vertices(1, 0.0)[:, 1].min() > 0.8
    (path,) = convert(recorded, tmp_path / "take.npz", "amass", ground=True, person=1)
    with np.load(path) as arrays:
        np.testing.assert_allclose(arrays["trans"][:, 2], -walk.root[: round(HERTZ), 1], atol=0.03)  # z up


def test_the_command_says_where_the_floor_is(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(recorded), "--ground", "--to", "bvh", "--person", "1", "--out", str(tmp_path)]) == 0
    assert "floor: camera " in capsys.readouterr().err


def test_ground_does_nothing_for_tables(recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HumanrtError, match=r"--ground does nothing for --to csv"):
        convert(recorded, tmp_path / "take.csv", ground=True)
    assert "--ground does nothing" in refused(capsys, "convert", recorded, "--ground", "--out", tmp_path / "take.csv")


def test_the_command_reads_a_recording_once_and_opens_its_body_once(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversion = sys.modules["humanrt.animation.convert"]  # the package's attribute of that name is the function
    counts = {"read_recording": 0, "open_rig": 0}

    def counted(name: str) -> None:
        real = getattr(conversion, name)

        def call(*arguments: Any, **named: Any) -> Any:
            counts[name] += 1
            return real(*arguments, **named)

        monkeypatch.setattr(conversion, name, call)

    for name in counts:
        counted(name)
    assert main(["convert", str(recorded), "--ground", "--to", "glb", "--out", str(tmp_path)]) == 0
    assert counts == {"read_recording": 1, "open_rig": 1}


def live(walk: Take, rig: BodyRig, ground: Ground, places: Sequence[int], hertz: int = 10) -> Iterator[PeopleResult]:
    """Results of the walk, seen by a camera before a wall, at places px of each frame along it."""
    small = np.random.default_rng(2).integers(0, 255, (60, 120, 3), np.uint8)
    wall = cv2.resize(small, (1800, 900), interpolation=cv2.INTER_CUBIC)
    take = seen(walk, ground)
    K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
    for count, place in enumerate(places):
        k = count * round(HERTZ) // hertz
        joints = rig.pose(take.shape, take.local[k])[1]
        joints = (joints + (take.root[k] - rig.bone_heads(joints)[0])).astype(np.float32)
        flat = joints @ K.T
        people = People(
            np.ones(1, np.float32),
            np.zeros((1, 2), np.float32),
            joints[None, rig.joint_names.index("head")],
            take.local[None, k].astype(np.float32),
            take.shape[None].astype(np.float32),
            np.zeros((1, 0), np.float32),
            K,
            joints=joints[None],
            joints_2d=(flat[:, :2] / flat[:, 2:]).astype(np.float32)[None],
        )
        frame = Frame(wall[100:580, place : place + 640], k / HERTZ, k)
        yield PeopleResult(frame, people, (1,), (), {"network": 1.0, "total": 1.0})


def test_the_live_floor_settles_to_that_of_the_recording(walk: Take, soles: Soles, rig: BodyRig) -> None:
    true = camera(12.0, 1.0)
    results = list(map(LiveGround(rig), live(walk, rig, true, [100] * 40)))
    known = [one.ground for one in results]
    assert known[8] is None
    assert all(known[15:])
    first, last = known[15], known[-1]
    assert first is not None
    assert last is not None
    assert first.seconds < last.seconds
    assert last.uncertainty < first.uncertainty
    whole = find_ground([seen(walk, true)], [soles])
    assert degrees(last.up, whole.up) < 0.5
    assert degrees(last.up, true.up) < 2.0
    assert last.height == pytest.approx(whole.height, abs=0.02)
    record = results[-1].record()
    assert record["ground"] == {
        "up": pytest.approx(last.up),
        "height": last.height,
        "uncertainty": last.uncertainty,
        "seconds": last.seconds,
    }
    assert record["ms"]["ground"] > 0
    assert "ground" not in results[0].record()


def test_a_camera_that_moves_loses_its_floor(walk: Take, rig: BodyRig) -> None:
    said = list[str]()
    ground = LiveGround(rig, said.append)
    stops = [100] * 20 + [100 + 40 * k for k in range(1, 6)] + [300] * 15
    known = [ground(one).ground is not None for one in live(walk, rig, camera(5.0, 0.0), stops)]
    assert known[19]
    assert not any(known[25:30])
    assert known[-1]
    assert len(said) == 1
    assert "the camera is no longer where it was" in said[0]


def test_a_camera_that_never_stands_still_gets_no_floor(walk: Take, rig: BodyRig) -> None:
    ground = LiveGround(rig)
    assert not any(ground(one).ground for one in live(walk, rig, camera(5.0, 0.0), range(100, 500, 10)))
    assert ground.moved > 3
    assert "which moved" in ground.missing


def test_a_new_scene_has_another_floor(walk: Take, rig: BodyRig) -> None:
    ground = LiveGround(rig)
    results = list(live(walk, rig, camera(5.0, 0.0), [100] * 20))
    assert ground(results[0]).ground is None
    for one in results[1:]:
        found = ground(one).ground
    assert found is not None
    cut = replace(results[-1], frame=replace(results[-1].frame, cut=True))
    assert ground(cut).ground is None


def test_the_run_command_refuses_ground_where_there_are_no_joints(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("run", CLIP, "--ground", "--headless")
    assert "--ground is for --task people" in refused(capsys, *words)
    assert "--ground needs people's joints" in refused(capsys, *words, "--task", "people", "--parameters-only")
