"""Silhouettes in the fit: outlines of masks, the rim of the mesh, its derivatives, and the shape that they show."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from multiview_cases import SHAPE, SIZE, camera, seen_by, somebody

from humanrt.bundle import load_bundle
from humanrt.evaluation.calibrated import View
from humanrt.fitting.kernel import make_kernel
from humanrt.fitting.problem import Problem
from humanrt.geometry.camera import project
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt_export.multiview.fitting import FitOptions, PersonFitter
from humanrt_export.multiview.scene import LOGIT, SIDE
from humanrt_export.multiview.silhouettes import Matches, Outline, outline_of, residuals
from shipped import shipped

ANGLES = (0.0, 1.4, 2.8, 4.4)
HEAVY = np.array([0.9, 2 / 3, 0.7, 0.85, 0.42, 0.3])  # as SHAPE, but more muscle and weight


@pytest.fixture(scope="module")
def fitter() -> Iterator[PersonFitter]:
    with PersonFitter(load_bundle(shipped("holistic"), task="people")) as made:
        yield made


def test_the_outline_of_a_disk_is_a_circle() -> None:
    centre, radius = np.array([400.0, 300.0]), 90.0
    crop = np.array([410.0, 290.0, 320.0, 0.4], np.float32)
    y, x = (np.mgrid[:SIDE, :SIDE] + 0.5) / SIDE - 0.5
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    at = np.stack([x, y], -1) * 320 @ turn.T + crop[:2]
    inside = (radius - np.linalg.norm(at - centre, axis=-1)) / 10
    outline = outline_of(np.clip(LOGIT * inside, -127, 127).astype(np.int8), crop, (1080, 1920))
    assert outline is not None
    away = outline.points - centre
    assert np.linalg.norm(away, axis=1) == pytest.approx(radius, abs=1.5)
    assert (outline.normals * away).sum(-1) / radius == pytest.approx(1.0, abs=0.03)
    # What the picture's border cuts is no outline.
    cut = outline_of(np.clip(LOGIT * inside, -127, 127).astype(np.int8), crop, (400, 1920))
    assert cut is not None
    assert cut.points[:, 0].max() < 398
    assert outline_of(np.full((SIDE, SIDE), -127, np.int8), crop, (1080, 1920)) is None


def problem_of(fitter: PersonFitter, shape: np.ndarray, solved: np.ndarray) -> Problem:
    """A random pose of a body, of which some phenotypes are solved for."""
    rig = fitter.body.rig
    size = len(solved)
    p = Problem.of(rig, rig.shape(shape, fitter.body.rest, solved), -np.ones(size), np.ones(size), views=4)
    random = np.random.default_rng(3)
    p.x[...] = np.clip(
        rig.rest + 0.3 * random.uniform(rig.lower - rig.rest, rig.upper - rig.rest), rig.lower, rig.upper
    )
    p.rotation[...] = matrices_from_vectors(np.array([1.2, 0.3, 0.4]))
    p.position[...] = (0.1, 0.0, 1.0)
    p.max_iterations = 1
    make_kernel(p).solve()
    return p


def test_vertices_are_those_of_the_body(fitter: PersonFitter) -> None:
    solved = np.array([3])
    p = problem_of(fitter, SHAPE, solved)
    fitter.surface.take(SHAPE, solved)
    there, joints = fitter.mesh.pose(SHAPE, fitter.body.rig.rotations(p.world))
    root = joints[fitter.mesh.joint_names.index("root")]
    # Four bones for each vertex, and not all of them.
    assert fitter.surface.posed(p) == pytest.approx(there - root + p.origin[0], abs=0.01)


def test_derivatives_are_those_of_the_residuals(fitter: PersonFitter) -> None:
    solved = np.array([2, 3])
    p = problem_of(fitter, SHAPE, solved)
    kernel = make_kernel(p)
    fitter.surface.take(SHAPE, solved)
    cameras = tuple(camera(angle) for angle in ANGLES)
    random = np.random.default_rng(0)
    vertex = random.integers(0, len(fitter.surface.posed(p)), 40)
    at, view = fitter.surface.posed(p, vertex), random.integers(0, 4, 40)
    points = np.array([project(cameras[k].camera(one), cameras[k].K) for k, one in zip(view, at, strict=True)])
    angle = random.uniform(0, 2 * np.pi, 40)
    matches = Matches(view, vertex, points + random.normal(0, 3, (40, 2)), np.stack([np.cos(angle), np.sin(angle)], -1))
    J = np.einsum("mi,min->mn", residuals(at, matches, cameras, 0.005)[1], fitter.surface.slopes(p, vertex, at))
    state = p.rotation.copy(), p.position.copy(), p.x.copy(), p.shape.copy()
    for n in [0, 1, 2, 3, 5, 6, 20, 40, J.shape[1] - 2, J.shape[1] - 1]:
        sides = []
        for step in (1e-4, -1e-4):
            move = np.zeros(J.shape[1])
            move[n] = step
            p.rotation[...] = matrices_from_vectors(move[:3]) @ state[0]
            p.position[...] = state[1] + move[3:6]
            p.x[...], p.shape[...] = state[2] + move[6 : 6 + len(p.x)], state[3] + move[6 + len(p.x) :]
            kernel.solve()
            moved = fitter.surface.posed(p, vertex)
            if n >= 6 + len(p.x):  # vertices follow the reference shape, the slopes say how they would move
                moved = at + fitter.surface.slopes(p, vertex, at)[:, :, n] * step
            sides.append(residuals(moved, matches, cameras, 0.005)[0])
            p.rotation[...], p.position[...], p.x[...], p.shape[...] = state
            kernel.solve()
        assert J[:, n] == pytest.approx((sides[0] - sides[1]) / 2e-4, abs=0.02)


def masks(fitter: PersonFitter, vertices: np.ndarray, cameras: list[View]) -> tuple[tuple[Outline | None, ...], ...]:
    """Outlines of a drawn body, as `outline_of` finds them."""
    outlines = []
    for view in cameras:
        flat = project(view.camera(vertices), view.K)
        drawn = np.zeros(SIZE[::-1], np.uint8)
        for face in np.round(flat[fitter.mesh.faces] * 16).astype(np.int32):
            cv2.fillConvexPoly(drawn, face, 1, shift=4)
        low, high = flat.min(axis=0), flat.max(axis=0)
        side = 1.2 * float((high - low).max())
        corner = (low + high - side) / 2
        scale = SIDE / side
        move = scale * (0.5 - corner) - 0.5  # OpenCV counts from the first pixel's centre
        warp = np.array([[scale, 0, move[0]], [0, scale, move[1]]])
        part = cv2.warpAffine(cv2.GaussianBlur(drawn.astype(np.float32), (0, 0), 0.4 / scale), warp, (SIDE, SIDE))
        logits = np.clip(250 * (part - 0.5), -127, 127).astype(np.int8)
        crop = np.array([*(corner + side / 2), side, 0.0], np.float32)
        outlines.append((outline_of(logits, crop, view.size),))
    return tuple(outlines)


def test_silhouettes_show_weight_that_landmarks_do_not(fitter: PersonFitter) -> None:
    cameras = [camera(angle, away=3.0) for angle in ANGLES]
    points, _ = somebody(fitter, 0, 1, shape=HEAVY)
    fit = fitter.fit(seen_by(cameras, points), HEAVY)
    head = fit.joint_names.index("head")
    vertices = fitter.mesh.pose(HEAVY, fit.rotations[0])[0] + fit.joints[0, head]
    noise = np.random.default_rng(1).normal(0, 8, (len(cameras), 1, 33, 2))
    views = replace(seen_by(cameras, points, noise), outlines=masks(fitter, vertices, cameras))
    off = {}
    before = fitter.options
    try:
        for outline in (0.0, 0.006):
            fitter.options = FitOptions(outline=outline, clothes=0.0)
            made = fitter.fit(views)
            mesh = fitter.mesh.pose(made.shape, made.rotations[0])[0] + made.joints[0, head]
            off[outline] = float(np.median(np.linalg.norm(mesh - vertices, axis=1)))
    finally:
        fitter.options = before
    assert off[0.006] < 0.6 * off[0.0], off
    assert off[0.006] < 0.012
