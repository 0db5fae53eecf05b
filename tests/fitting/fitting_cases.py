"""Problems that the tests of fitting solve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from humanrt import native
from humanrt.fitting import Observation, Seen
from humanrt.fitting.kernel import make_kernel
from humanrt.fitting.problem import Problem
from humanrt.fitting.rig import Attached, Rig, RigShape
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.camera import project
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import shortest_arc
from humanrt.people.fitted_body import FittedBody

Floats = NDArray[np.floating[Any]]
Posed = Callable[[Floats, Floats], tuple[Floats, Floats]]
Array = NDArray[np.float64]
SOLVED = (0, 4, 5)
STATE = ("rotation", "position", "x", "shape")
needs_native = pytest.mark.skipif(native.problem() is not None, reason=str(native.problem()))


def problem(body: FittedBody, seed: int, views: int = 1, rig: Rig | None = None) -> tuple[Problem, Rig, RigShape]:
    """A problem with random residuals of every kind, at a random pose and shape."""
    random = np.random.default_rng(seed)
    mean = body.shape().mean
    rig = body.rig if rig is None else rig
    shape = rig.shape(mean, body.rest, SOLVED)
    p = Problem.of(rig, shape, -mean[[*SOLVED]], 1 - mean[[*SOLVED]], views=views)
    p.x[...] = random.uniform(p.lower, p.upper)
    p.rotation[...] = matrices_from_vectors(random.normal(size=3))
    p.position[...] = (0.2, -0.1, 4.0)
    p.shape[...] = random.uniform(-0.05, 0.05, len(SOLVED))
    for k in range(views):
        turn = matrices_from_vectors(0.3 * k * np.array([0.1, 1.0, 0.2]))
        p.camera[k] = [900, 2.0, 640, 880, 360, *turn.ravel(), 0.3 * k, 0, 0]
    p.seen[...] = random.normal(size=p.seen.shape) * 200 + (640, 360)
    p.seen_weight[...] = 1e-3 * random.uniform(0, 1, p.seen_weight.shape)
    p.seen_width[...] = random.uniform(50, 300, p.seen_width.shape)
    p.metric[...] = random.normal(size=p.metric.shape) * 0.5
    p.metric_weight[...] = random.uniform(0, 50, p.metric_weight.shape)
    p.metric_width[...] = random.uniform(0.2, 1, p.metric_width.shape)
    p.moved[...] = random.normal(size=p.moved.shape) * 0.5
    p.moved_weight[...] = random.uniform(0, 20, p.moved.shape)
    p.placed[...], p.placed_weight[...] = (0.1, 0.2, 3.9), (3, 2, 1)
    p.turned[...], p.turned_weight[...] = matrices_from_vectors(random.normal(size=3)), 4
    p.prior_weight[...] = random.uniform(0.1, 1, p.prior_weight.shape)
    root = random.normal(size=(len(SOLVED), len(SOLVED)))
    p.shape_information[...] = root @ root.T + 100 * np.eye(len(SOLVED))
    return p, rig, shape


def state(p: Problem) -> Array:
    return np.concatenate([getattr(p, name).ravel() for name in STATE])


def joints_of(p: Problem, rig: Rig, shape: RigShape) -> Array:
    local = shape.joint + shape.joint_by @ p.shape
    return np.asarray(p.origin[rig.joint_link] + (p.world[rig.joint_link] @ local[:, :, None])[:, :, 0])


def marked(body: FittedBody) -> Rig:
    """The rig with points that show every link: a landmark or two of the face do not tell neck from spine."""
    joints, _ = body.rest(body.shape().mean)
    offsets = ((0.1, 0.02, 0.0), (-0.03, 0.1, 0.05))
    bones = [bone for bone, link in zip(ANNY_BONES, body.rig.bone_link, strict=True) if link]
    points = [Attached(f"{bone} {k}", bone, bone, offset) for bone in bones for k, offset in enumerate(offsets)]
    hips = [Attached(f"hip {end}", f"upperleg01.{end}", "root", (0, 0, 0)) for end in "LR"]
    return Rig.of(body.rig.joint_names, joints, {"body": points + hips}, ["hip L", "hip R"])


def truth(body: FittedBody, seed: int, views: int = 1, away: float = 0.2) -> tuple[Problem, Array, Array]:
    """A problem whose points are those of a pose, started ``away`` rad from it; and the pose's points and state."""
    random = np.random.default_rng(seed)
    p, rig, _ = problem(body, seed, views, marked(body))
    middle = 0.5 * (rig.lower + rig.upper)
    p.x[...] = rig.rest + 0.25 * random.uniform(rig.lower - middle, rig.upper - middle)
    p.x[...] = np.clip(p.x, rig.lower + 0.05, rig.upper - 0.05)
    p.shape[...] = 0
    solver, p.max_iterations = make_kernel(p, "auto"), 1
    solver.solve()
    for k, camera in enumerate(p.camera):
        K = np.array([camera[:3], [0, *camera[3:5]], [0, 0, 1]])
        image = (p.place @ camera[5:14].reshape(3, 3).T + camera[14:]) @ K.T
        p.seen[k] = image[:, :2] / image[:, 2:]
    p.seen_weight[...], p.seen_width[...] = 1.0, 200.0
    p.metric[...], p.metric_weight[...], p.metric_width[...] = p.place - p.position, 1000.0, 0.5
    for quiet in (p.moved_weight, p.placed_weight, p.turned_weight, p.prior_weight):
        quiet[...] = 0
    p.shape_information[...] = 1e12 * np.eye(len(p.shape))
    exact, places = state(p), p.place.copy()
    p.x[...] = np.clip(p.x + away * random.normal(size=p.x.shape), rig.lower, rig.upper)
    p.rotation[...] = matrices_from_vectors(away * random.normal(size=3)) @ p.rotation
    p.position[...] += 0.1 * random.normal(size=3)
    p.max_iterations, p.tolerance = 60, 1e-12
    return p, places, exact


K = np.array([[1000.0, 0, 640], [0, 1000, 360], [0, 0, 1]])
FACING = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


class Person:
    """Somebody of known pose at any time, who sways, waves, bends knees and walks to the side; and cameras on them."""

    def __init__(self, body: FittedBody, shape: Array | None = None) -> None:
        self.rig = body.rig
        self.shape = body.shape().mean if shape is None else shape
        rig_shape = self.rig.shape(self.shape, body.rest, ())
        self._problem = Problem.of(self.rig, rig_shape, np.zeros(0), np.zeros(0))
        self._problem.max_iterations = 1
        self._solver = make_kernel(self._problem)
        names = [f"{joint.name} {k}" for joint in self.rig.joints for k in range(len(joint.axes))]
        self._at = {name: k for k, name in enumerate(names)}

    def points(self, t: float) -> Array:
        """Landmarks [P, 3] m at a time; rotations follow in `rotations`."""
        p, rig = self._problem, self.rig
        p.x[...] = rig.rest
        swing = np.sin(2 * np.pi * 0.5 * t)
        for name, amount in (
            ("shoulder.L 1", 0.6 * swing),
            ("elbow.L 0", 0.5 + 0.4 * swing),
            ("shoulder.R 2", 0.4 * swing),
            ("knee.R 0", 0.5 + 0.3 * swing),
            ("hip.R 0", -0.4 * swing),
            ("spine 0", 0.15 * swing),
            ("finger2-1.L 0", 0.4 + 0.4 * swing),
            ("finger3-2.L 0", 0.7),
            ("finger1-2.R 0", 0.3 * swing),
        ):
            if name in self._at:
                p.x[self._at[name]] += amount
        p.x[...] = np.clip(p.x, p.lower, p.upper)
        p.rotation[...] = FACING @ matrices_from_vectors(np.array([0.0, 0.0, 0.4 + 0.3 * swing]))
        p.position[...] = (0.3 * np.sin(t), 0.1, 4.0 + 0.2 * np.cos(t))
        self._solver.solve()
        return p.place.copy()

    @property
    def rotations(self) -> Array:
        """[74, 3, 3] at the time of the last `points`."""
        return self.rig.rotations(self._problem.world)

    @property
    def pelvis(self) -> Array:
        """[3] m at the time of the last `points`."""
        return self._problem.origin[0].copy()

    def seen(
        self, t: float, turn: Array | None = None, move: Array | None = None, noise: Array | None = None
    ) -> Observation:
        """What a camera sees, without error but the ``noise`` [P, 2] px."""
        turn, move = np.eye(3) if turn is None else turn, np.zeros(3) if move is None else move
        points = self.points(t) @ turn.T + move
        pixels = project(points, K) + (0 if noise is None else noise)
        metres = points - points[list(self.rig.pivot)].mean(axis=0)
        metres = metres @ shortest_arc(np.array([0, 0, 1.0]), points[list(self.rig.pivot)].mean(axis=0))
        seen = {
            kind: Seen(pixels[where], np.ones(where.stop - where.start), metres[where])
            for kind, where in self.rig.kinds.items()
        }
        return Observation(seen, K, turn, move)
