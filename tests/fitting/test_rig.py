"""The rig: poses converted to its variables and back, names that it lacks, shapes to first order."""

from __future__ import annotations

import numpy as np
import pytest
from fitting_cases import Posed

from humanrt import native
from humanrt.errors import HumanrtError
from humanrt.fitting import Attached, Rig
from humanrt.fitting.kernel import make_kernel
from humanrt.fitting.problem import Problem
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.people.fitted_body import FittedBody


def test_variables_of_a_pose_give_it_back(body_with_fingers: FittedBody) -> None:
    rig, random = body_with_fingers.rig, np.random.default_rng(5)
    mean = body_with_fingers.shape().mean
    p = Problem.of(rig, rig.shape(mean, body_with_fingers.rest, ()), np.zeros(0), np.zeros(0))
    solver, p.max_iterations = make_kernel(p), 1
    for _ in range(5):
        middle = 0.5 * (rig.lower + rig.upper)
        p.x[...] = middle + 0.5 * random.uniform(rig.lower - middle, rig.upper - middle)
        p.rotation[...] = matrices_from_vectors(random.normal(size=3))
        solver.solve()
        rotations, world, was = rig.rotations(p.world), p.world.copy(), p.x.copy()
        p.x[...] = rig.variables(rotations)
        solver.solve()
        # A bend shared between bones, or two joints of one bone, are told apart to second order only.
        assert np.abs(p.x - was).max() < 0.1
        turned = np.einsum("lij,lij->l", p.world, world)
        assert np.arccos(np.clip((turned - 1) / 2, -1, 1)).max() < 0.12
        ball = [k for k, joint in enumerate(rig.joints) if len(joint.axes) == 3 and len(joint.bones) == 1]
        for k in ball:
            first = sum(len(joint.axes) for joint in rig.joints[:k])
            assert np.abs(p.x - was)[first : first + 3].max() < 0.1


def test_the_compiled_library_and_numpy_give_the_same_variables(body_with_fingers: FittedBody) -> None:
    if reason := native.problem():
        pytest.skip(reason)
    rig, rng = body_with_fingers.rig, np.random.default_rng(4)
    for size in (0.0, 0.3, 1.0, 3.0):  # rad: also poses that no body can take
        pose = matrices_from_vectors(rng.normal(0, size, (74, 3)))
        found = rig.variables(pose)
        assert np.all((found >= rig.lower) & (found <= rig.upper))
        np.testing.assert_allclose(found, rig._variables(pose), atol=1e-9)


def test_rest_is_rest(body_with_fingers: FittedBody) -> None:
    rig = body_with_fingers.rig
    still = np.broadcast_to(np.eye(3), (74, 3, 3))
    assert np.abs(rig.variables(still) - rig.rest).max() < 1e-9
    assert (rig.rest >= rig.lower).all()
    assert (rig.rest <= rig.upper).all()


def test_left_and_right_are_mirror_images(body_with_fingers: FittedBody) -> None:
    by_name = {joint.name: joint for joint in body_with_fingers.rig.joints}
    for name, joint in by_name.items():
        if name.endswith(".L"):
            other = by_name[f"{name[:-1]}R"]
            assert np.allclose(joint.axes * (1, -1, -1), other.axes)
            assert (joint.lower == other.lower).all()
            assert (joint.upper == other.upper).all()


def test_shape_to_first_order(body: FittedBody, posed: Posed) -> None:
    mean, rig = body.shape().mean, body.rig
    shape = rig.shape(mean, body.rest, (0, 4, 5))
    moved = mean.copy()
    moved[[0, 4, 5]] += (0.02, -0.01, 0.015)
    joints, stature = body.rest(moved)
    _, _, local = rig._placed(joints, stature)
    by_slopes = shape.joint + shape.joint_by @ (0.02, -0.01, 0.015)
    assert np.abs(local - by_slopes).max() < 2e-4
    assert shape.stature + shape.stature_by @ (0.02, -0.01, 0.015) == pytest.approx(stature, abs=1e-3)


@pytest.mark.parametrize(
    ("point", "pivot", "message"),
    [
        (Attached("a", "knee", "root", (0, 0, 0)), ["a"], "point a: the body has no joint knee"),
        (Attached("a", "root", "pelvis", (0, 0, 0)), ["a"], "point a: Anny has no bone pelvis"),
        (Attached("a", "root", "root", (0, 0, 0)), ["b"], "the pivot b is not made of the rig's points"),
        (Attached("a", "root", "root", (0, 0, 0)), [], r"the pivot \(none\) is not made of the rig's points"),
    ],
)
def test_names_that_are_not_there(body: FittedBody, point: Attached, pivot: list[str], message: str) -> None:
    joints, _ = body.rest(body.shape().mean)
    with pytest.raises(HumanrtError, match=message):
        Rig.of(body.rig.joint_names, joints, {"body": [point]}, pivot)
