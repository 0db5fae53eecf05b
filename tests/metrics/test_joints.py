"""Errors of joints on cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.similarity import aligned, best_similarity
from humanrt.metrics.joints import area_under_pck, distances, pck, procrustes_distances, rooted

TRUTH = np.array([[[0.0, 0, 4], [0.2, 0, 4], [-0.2, 0, 4], [0, 1, 4]]])  # pelvis, two hips, a foot


def test_the_root_is_part_of_the_metric() -> None:
    # Only the pelvis joint is wrong, by 3 cm: about the hips everything else is right, about the pelvis nothing is.
    points = TRUTH.copy()
    points[:, 0, 1] = 0.03
    about_hips = distances(rooted(points, points, (1, 2)), rooted(TRUTH, TRUTH, (1, 2)))
    about_pelvis = distances(rooted(points, points, (0,)), rooted(TRUTH, TRUTH, (0,)))
    assert about_hips == pytest.approx(np.array([[0.03, 0, 0, 0]]))
    assert about_pelvis == pytest.approx(np.array([[0, 0.03, 0.03, 0.03]]))
    assert (about_hips.mean(), about_pelvis.mean()) == pytest.approx((0.0075, 0.0225))


def test_vertices_are_rooted_by_joints() -> None:
    vertices = np.add(TRUTH, (0.0, 0, 0.1))
    moved = rooted(vertices + 5, TRUTH + 5, (0,))
    assert distances(moved, rooted(vertices, TRUTH, (0,))) == pytest.approx(0, abs=1e-12)


def test_procrustes_forgives_place_turn_and_size() -> None:
    turn = matrices_from_vectors(np.array([0.3, -1.0, 0.4]))
    assert procrustes_distances(1.7 * TRUTH @ turn + 3, TRUTH) == pytest.approx(0, abs=1e-9)


def test_procrustes_does_not_mirror() -> None:
    body = np.concatenate([TRUTH, [[[0.1, 0.4, 4.3]]]], axis=1)
    assert procrustes_distances(body * [-1.0, 1, 1], body).max() > 0.05


def test_procrustes_by_hand() -> None:
    # Two pairs of points on two axes. One pair is 2 m apart, not 1: the best scale is sum(ab) / sum(aa), without turn.
    truth = np.array([[[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]]])
    points = truth * [2.0, 1, 1]
    scale = (2 * 2 + 2 * 1) / (2 * 4 + 2 * 1)
    wanted = np.array([[abs(2 * scale - 1)] * 2 + [abs(scale - 1)] * 2])
    assert procrustes_distances(points, truth) == pytest.approx(wanted)


def test_a_rigid_fit_keeps_the_size() -> None:
    fit = best_similarity(2 * TRUTH, TRUTH, scale=False)
    assert fit.scale == pytest.approx(1)
    assert distances(aligned(2 * TRUTH, TRUTH, scale=False), TRUTH).mean() > 0.1


def test_points_without_extent_are_moved_only() -> None:
    same = np.zeros((1, 4, 3))
    assert aligned(same, TRUTH) == pytest.approx(np.broadcast_to(TRUTH.mean(1, keepdims=True), TRUTH.shape))


def test_pck_and_its_area() -> None:
    errors = np.array([0.0, 0.04, 0.06, 0.3])
    assert pck(errors, 0.05) == 0.5
    assert pck(errors, 0.15) == 0.75
    assert pck(np.array([0.05]), 0.05) == 0  # below, not at
    # Of a joint the curve is 0 up to its error and 1 from there: the areas are 1, 0.8, 0.7 and 0.
    assert area_under_pck(errors, 0.2) == pytest.approx((1 + 0.8 + 0.7 + 0) / 4)
    assert np.isnan(pck(np.zeros(0)))
    assert np.isnan(area_under_pck(np.zeros(0)))


def test_the_area_is_that_under_the_curve() -> None:
    errors = np.random.default_rng(0).gamma(2, 0.04, 500)
    thresholds = np.linspace(0, 0.2, 20001)
    curve = (errors[None] < thresholds[:, None]).mean(1)
    assert area_under_pck(errors, 0.2) == pytest.approx(curve.mean(), abs=1e-4)
