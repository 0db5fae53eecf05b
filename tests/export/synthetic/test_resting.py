"""People who sit and lie: poses, and contact with seat and ground."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from humanrt.errors import HumanrtError, MissingDependencyError
from humanrt.geometry.skeleton import SMPL_24
from humanrt_export.bodies.anny.model import cached_file
from humanrt_export.motion.body_fk import forward
from humanrt_export.synthetic.people import EngineOptions, PeopleEngine
from humanrt_export.synthetic.people.poses import Pose, PoseSource
from humanrt_export.synthetic.people.resting import PRESSED

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


def test_seats_touch_who_sits_on_them(engine: PeopleEngine) -> None:
    """The lowest of buttocks and thighs over a seat is as far below its top as it gives way; feet touch the ground."""
    seats = 0
    for index in range(12):
        world, view = engine.world(index)
        labels = engine._figures(world.people, view)[1]
        figures = engine._figures(world.people, view)[0]
        assert len(labels) == len(world.people)
        sitting = [k for k, subject in enumerate(world.people) if subject.pose.support == "seat"]
        blocks = world.things[len(world.things) - len(sitting) :]
        for k, block in zip(sitting, blocks, strict=False):
            model = engine._models[figures[k].topology]
            body = (figures[k].vertices @ view.turn) + view.position
            top = float(block.vertices[:, 1].max())
            if block.vertices[:, 1].min() > 1e-6 or top > 1.0:
                continue
            seats += 1
            inside = (
                np.abs(body[:, [0, 2]] - block.vertices[:, [0, 2]].mean(axis=0)).max(axis=1)
                < np.ptp(block.vertices[:, 0]) / 3
            )
            low = body[inside & model.vertices_of("root", "pelvis", "upperleg01", "upperleg02"), 1].min()
            # Clothes are painted up to 35 mm off the body, which is what seats are fitted to.
            assert top - PRESSED - 0.06 < low < top + 0.03
            assert abs(body[:, 1].min()) < 0.06
    assert seats >= 3


def test_how_many_rest_is_checked() -> None:
    with pytest.raises(HumanrtError, match="sit or lie is 2"):
        EngineOptions(resting=2.0)
