"""Capture errors are mended or cut out, and movement is left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.geometry.skeleton import SMPL_24
from humanrt_export.motion.clean import clean, jumps, smooth
from humanrt_export.motion.clip import Motion

WRIST, HEAD = SMPL_24.index("left_wrist"), SMPL_24.index("head")


def swinging(seconds: float = 6.0, fps: float = 120.0) -> Motion:
    """All joints swing at 1 to 2 Hz by half a radian, the pelvis walks."""
    generator = np.random.default_rng(2)
    t = np.arange(int(seconds * fps)) / fps
    axes = generator.standard_normal((24, 3))
    axes *= 0.5 / np.linalg.norm(axes, axis=1, keepdims=True)
    waves = np.sin(2 * np.pi * generator.uniform(0.2, 0.8, 24) * t[:, None] + generator.uniform(0, 6, 24))
    walk = np.stack([0.2 * np.sin(t), np.ones_like(t), 1.3 * t], axis=1)
    return Motion(fps, walk, matrices_from_vectors(waves[..., None] * axes), "made", "a_1", "a")


def apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.linalg.norm(vectors_from_matrices(a.swapaxes(-1, -2) @ b), axis=-1))


def test_movement_is_left_alone() -> None:
    motion = swinging()
    assert not jumps(motion).any()
    (kept,) = clean(motion, noise=0)
    toes = [SMPL_24.index("left_foot"), SMPL_24.index("right_foot")]
    np.testing.assert_array_equal(np.delete(kept.rotations, toes, axis=1), np.delete(motion.rotations, toes, axis=1))
    (quiet,) = clean(motion)
    assert np.delete(apart(motion.rotations, quiet.rotations), toes, axis=1).max() < 1.5
    np.testing.assert_allclose(quiet.translation, motion.translation, atol=2e-3)
    assert kept.name == "a_1"


@pytest.mark.parametrize("length", [1, 4, 12])
def test_a_short_jump_is_bridged(length: int) -> None:
    motion = swinging()
    wrong = motion.rotations.copy()
    wrong[300 : 300 + length, WRIST] = wrong[300 : 300 + length, WRIST] @ matrices_from_vectors(np.array([2.5, 0, 0]))
    (mended,) = clean(replace(motion, rotations=wrong), noise=0)
    assert not jumps(mended).any()
    off = apart(mended.rotations, motion.rotations)
    assert off[:, WRIST].max() < 6
    assert off[:, HEAD].max() == 0


def test_a_jump_that_stays_is_cut() -> None:
    motion = swinging()
    wrong = motion.rotations.copy()
    wrong[400:, HEAD] = wrong[400:, HEAD] @ matrices_from_vectors(np.array([0, 1.5, 0]))
    first, second = clean(replace(motion, rotations=wrong), noise=0)
    for part, low, high in ((first, 0, 400), (second, 400, len(motion))):
        words = part.source.split()
        start, last = int(words[-3]), int(words[-1])
        assert low <= start < last < high
        assert len(part) == last - start + 1 > (high - low) - 40
        np.testing.assert_array_equal(part.translation, motion.translation[start : last + 1])
        assert not jumps(part).any()
    # A part that is too short goes.
    wrong = motion.rotations.copy()
    wrong[:60, HEAD] = wrong[:60, HEAD] @ matrices_from_vectors(np.array([0, 1.5, 0]))
    assert len(clean(replace(motion, rotations=wrong))) == 1


def test_a_body_that_is_elsewhere_at_once_is_cut() -> None:
    motion = swinging()
    away = motion.translation.copy()
    away[350:] += (1, 0, 0)
    assert len(clean(replace(motion, translation=away))) == 2


def test_smoothing_takes_noise_out_and_keeps_ends() -> None:
    motion = swinging()
    generator = np.random.default_rng(0)
    noise = matrices_from_vectors(np.radians(1.0) * generator.standard_normal((*motion.rotations.shape[:2], 3)))
    noisy = replace(motion, rotations=motion.rotations @ noise)
    quiet = smooth(noisy, 0.02)
    before, after = apart(noisy.rotations, motion.rotations), apart(quiet.rotations, motion.rotations)
    assert after.mean() < 0.45 * before.mean()
    assert after[[0, -1]].mean() < 1.2 * before.mean()
    products = quiet.rotations @ quiet.rotations.swapaxes(-1, -2)
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), products.shape), atol=1e-12)
    one = replace(motion, rotations=motion.rotations[:1], translation=motion.translation[:1])
    np.testing.assert_allclose(smooth(one, 0.02).rotations, one.rotations, atol=1e-12)


def test_real_recordings_lose_their_jumps(cmu: dict[str, Motion]) -> None:
    for name in ("02_05", "02_07", "03_02", "01_14"):
        motion = cmu[name]
        assert jumps(motion).any()
        parts = clean(motion)
        assert sum(part.seconds for part in parts) > 0.8 * motion.seconds
        for part in parts:
            assert apart(part.rotations[1:], part.rotations[:-1]).max() < 12.5
