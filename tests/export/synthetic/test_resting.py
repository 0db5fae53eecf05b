"""People who sit and lie: poses, and contact with seat and ground."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch

from humanrt.errors import HumanrtError, MissingDependencyError
from humanrt.geometry.skeleton import SMPL_24
from humanrt_export.bodies.anny.model import cached_file
from humanrt_export.motion.augment import turn_about_vertical
from humanrt_export.motion.body_fk import forward
from humanrt_export.synthetic.body_model import BodyModel, load_body, sample_phenotypes
from humanrt_export.synthetic.people import EngineOptions, PeopleEngine
from humanrt_export.synthetic.people.poses import Pose, PoseSource, anny_rotations
from humanrt_export.synthetic.people.resting import LEGS, PRESSED, SITTING, draw_seat

UPPER = ("spine", "neck", "head", "collar", "shoulder", "elbow", "wrist", "hand")


@pytest.fixture(scope="module")
def poses() -> list[Pose]:
    source, generator = PoseSource([], resting=1.0), np.random.default_rng(3)
    return [source.draw(generator) for _ in range(60)]


def joints_of(pose: Pose) -> dict[str, np.ndarray]:
    return dict(zip(SMPL_24, forward(pose.body[None])[0][0], strict=True))


def test_who_sits_has_level_thighs_and_upright_shins(poses: list[Pose]) -> None:
    seated = [pose for pose in poses if pose.support == "seat"]
    assert 0.55 < len(seated) / len(poses) < 0.95
    for pose in seated:
        joints = joints_of(pose)
        assert np.degrees(np.arccos(pose.body[0][1, 1])) < 40  # the trunk
        for side in ("left", "right"):
            thigh = joints[f"{side}_knee"] - joints[f"{side}_hip"]
            shin = joints[f"{side}_ankle"] - joints[f"{side}_knee"]
            assert abs(thigh[1]) < 0.35 * np.linalg.norm(thigh)
            assert shin[1] < -0.8 * np.linalg.norm(shin)
            front = pose.body[0][:, 2]
            assert thigh @ front > 0.5 * np.linalg.norm(thigh)


def test_who_lies_is_low(poses: list[Pose]) -> None:
    lying = [pose for pose in poses if pose.support == "ground"]
    assert len(lying) >= 5
    faces = set()
    for pose in lying:
        joints = joints_of(pose)
        height = np.array([place[1] for name, place in joints.items() if "knee" not in name])
        assert np.ptp(height) < 0.45
        faces.add(bool(pose.body[0][1, 2] > 0))
    assert faces == {True, False}  # up and down


def test_legs_stay_where_they_are(poses: list[Pose]) -> None:
    source, generator = PoseSource([], resting=1.0), np.random.default_rng(4)
    lower = [k for k, name in enumerate(SMPL_24) if not any(part in name for part in UPPER)]
    for pose in poses[:10]:
        after = source.later(pose, generator)
        assert after.support == pose.support
        np.testing.assert_array_equal(after.body[lower], pose.body[lower])
        assert np.abs(after.body - pose.body).max() > 0.01


@pytest.fixture(scope="module")
def engine() -> Iterator[PeopleEngine]:
    pytest.importorskip("moderngl", reason="moderngl is not installed: pip install moderngl")
    if not (cached_file("full").is_file() and cached_file("10pc").is_file()):
        pytest.skip("Anny is not in the cache, and building it takes a minute")
    try:
        with PeopleEngine(EngineOptions(size=64, seed=5, most=2, resting=1.0)) as engine:
            yield engine
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def coarse() -> BodyModel:
    if not cached_file("10pc").is_file():
        pytest.skip("Anny is not in the cache, and building it takes a minute")
    return load_body("10pc")


def test_seats_touch_who_sits_on_them_and_leave_room_for_heels(poses: list[Pose], coarse: BodyModel) -> None:
    """The lowest of buttocks and thighs over a seat is as far below its top as it gives way; legs are before it."""
    generator = np.random.default_rng(8)
    sitting, legs = coarse.vertices_of(*SITTING), coarse.vertices_of(*LEGS)
    seated = [pose for pose in poses if pose.support == "seat"]
    hips = [coarse.joint_names.index(f"upperleg01.{side}") for side in "LR"]
    moved = 0
    for pose in seated:
        turn = turn_about_vertical(generator.uniform(0, 2 * np.pi))
        rotations = anny_rotations([pose])
        rotations[0, 0] = turn @ rotations[0, 0]
        shape = sample_phenotypes(generator)
        with torch.inference_mode():
            given = torch.from_numpy(rotations.astype(np.float32)), torch.from_numpy(shape)[None], torch.zeros(1, 3)
            posed = coarse.body(*given)
        body = posed.vertices[0].numpy().astype(np.float64)
        place = np.array([generator.uniform(-3, 3), -body[:, 1].min(), generator.uniform(-3, 3)])
        body, middle = body + place, posed.joints[0].numpy()[hips].mean(axis=0) + place
        front = turn @ pose.body[0][:, 2]
        (seat,) = draw_seat(generator, body, sitting, legs, middle, front, 3)
        corners = seat.vertices[-4:].astype(np.float64)  # the top
        top, centre = corners[0, 1], corners.mean(axis=0)
        assert seat.vertices[:, 1].min() == pytest.approx(0, abs=1e-6)
        sides = (corners - centre)[:, [0, 2]]
        axes = np.stack([sides[0] + sides[1], sides[1] + sides[2]]) / 2
        half = np.linalg.norm(axes, axis=1)
        assert half[0] == pytest.approx(half[1], rel=1e-4)
        at = np.abs((body - centre)[:, [0, 2]] @ (axes / half[:, None]).T)
        over = (at < half).all(axis=1)
        assert body[over & sitting, 1].min() == pytest.approx(top - PRESSED, abs=1e-6)
        assert not (over & legs).any()
        assert (np.abs((middle - centre)[[0, 2]] @ (axes / half[:, None]).T) < half).all()  # under the hips
        moved += np.linalg.norm((centre - middle)[[0, 2]]) > 0.041
    assert len(seated) > 20
    assert 0 < moved < len(seated)


def test_everybody_who_sits_in_a_picture_has_a_seat(engine: PeopleEngine) -> None:
    """Each seat touches one of the bodies that sit; there is no other."""
    sitting, seats = engine.coarse.vertices_of(*SITTING), 0
    for index in range(12):
        world, _ = engine.world(index)
        bodies = [subject for subject in world.people if subject.pose.support == "seat"]
        blocks = [thing for thing in world.things if len(thing.vertices) == 20][-len(bodies) :] if bodies else []
        for subject in bodies:
            given = (subject.rotations, subject.phenotypes, subject.head)
            with torch.inference_mode():
                tensors = (torch.from_numpy(np.asarray(value, np.float32)[None]) for value in given)
                body = engine.coarse.body(*tensors).vertices[0].numpy()
            low = body[sitting, 1].min()
            if low + PRESSED < 0.08:  # squats on the ground
                continue
            tops = [float(block.vertices[:, 1].max()) for block in blocks]
            lows = [
                body[sitting & (np.abs(body - block.vertices[-4:].mean(axis=0))[:, [0, 2]] < 0.12).all(axis=1), 1]
                for block in blocks
            ]
            gaps = [own.min() - (top - PRESSED) for own, top in zip(lows, tops, strict=True) if len(own)]
            assert gaps
            assert min(map(abs, gaps)) < 0.05  # within 12 cm of its middle, so that it may lie higher
            assert max(gaps, key=lambda gap: -abs(gap)) > -1e-5
            seats += 1
    assert seats >= 3


def test_how_many_rest_is_checked() -> None:
    with pytest.raises(HumanrtError, match="sit or lie is 2"):
        EngineOptions(resting=2.0)
