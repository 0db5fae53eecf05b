"""Regions: maps between crop and image, and their invariances."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from humanrt.bundle import load_bundle
from humanrt.bundle.settings import HandsSettings
from humanrt.geometry.region import Region, RegionRule, region_from_box, region_from_keypoints, upright_angle

angles = st.floats(-np.pi, np.pi)


RULE = HandsSettings.of(load_bundle("hands")).region
HAND = np.random.default_rng(3).normal(0, 40, (21, 2)) + np.array((300, 200))


@given(st.floats(-500, 500), st.floats(-500, 500), st.floats(10, 900), angles)
def test_the_crops_middle_and_corners_lie_where_the_region_says(x: float, y: float, size: float, angle: float) -> None:
    matrix = Region(x, y, size, angle).to_image(224)
    np.testing.assert_allclose(matrix @ (112, 112, 1), (x, y), atol=1e-6)
    corner = matrix @ (0, 0, 1)
    np.testing.assert_allclose(np.hypot(*(corner - (x, y))), size / np.sqrt(2), rtol=1e-6)
    up = matrix @ (112, 0, 1) - (x, y)  # the crop's up, in the image: turned clockwise by the angle
    np.testing.assert_allclose(up, size / 2 * np.array([np.sin(angle), -np.cos(angle)]), atol=1e-6)


@given(angles)
def test_upright_angle_turns_the_vector_up(angle: float) -> None:
    end = (np.sin(angle), -np.cos(angle))
    found = upright_angle((0, 0), end)
    assert abs(found) <= np.pi + 1e-9
    np.testing.assert_allclose((np.sin(found), -np.cos(found)), end, atol=1e-9)


@given(angles, st.floats(0.2, 4))
def test_the_region_turns_and_scales_with_the_hand(angle: float, scale: float) -> None:
    c, s = np.cos(angle), np.sin(angle)
    turn = scale * np.array([[c, -s], [s, c]])
    before, after = region_from_keypoints(HAND, RULE), region_from_keypoints(HAND @ turn.T, RULE)
    np.testing.assert_allclose((after.x, after.y), turn @ (before.x, before.y), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(after.size, scale * before.size, rtol=1e-6)
    gap = (after.angle - before.angle - angle + np.pi) % (2 * np.pi) - np.pi
    np.testing.assert_allclose(gap, 0, atol=1e-6)


def test_fingertips_do_not_move_the_region() -> None:
    bent = HAND.copy()
    bent[[4, 7, 8, 11, 12, 15, 16, 19, 20]] += 50
    assert region_from_keypoints(bent, RULE) == region_from_keypoints(HAND, RULE)


def test_a_box_grows_along_its_own_axes() -> None:
    rule = RegionRule(scale=2.0, shift=-0.5)
    upright = region_from_box((100, 100), 40, 60, 0.0, rule)
    assert (upright.x, upright.y, upright.size) == (100, 70, 120)
    right = region_from_box((100, 100), 40, 60, np.pi / 2, rule)  # fingers to the right: the shift goes there
    np.testing.assert_allclose((right.x, right.y), (130, 100), atol=1e-9)
