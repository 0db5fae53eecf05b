"""Cleaning of recordings: `clean` repairs short capture errors, cuts at others, and removes the noise.

Optical capture loses and swaps markers: a joint then jumps by up to half a turn within one frame. Such frames must be
used neither as ground truth nor for training. A joint's frame is bad if it rotates faster than people can, or if it is
close to such a jump and far from the median of its neighbourhood. Short spans of bad frames are bridged by SLERP; where
a jump remains, because the joint stays where it jumped to, the recording is cut.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.geometry.skeleton import SMPL_24
from humanrt_export.motion.clip import Motion

__all__ = ["clean", "jumps", "smooth"]

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

_FASTEST = {"trunk": 720.0, "limb": 1500.0}  # degrees per second, of a joint relative to its parent
_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck", "head", "left_collar", "right_collar")
_MOVES = 8.0  # m/s, of the pelvis: a sprinter's
_FAR = np.radians(20)  # from the median of the neighbourhood
_MEDIAN = 0.25  # s, length of that neighbourhood
_NEAR = 0.2  # s on both sides of a jump are examined
_LONGEST = 0.3  # s, maximum span of bad frames to bridge
_TOES = [SMPL_24.index("left_foot"), SMPL_24.index("right_foot")]


def jumps(motion: Motion) -> Bools:
    """Mark [T - 1, 24] joints that rotate faster than people can between two frames; column 0 also: that move so."""
    limits = np.array([_FASTEST["trunk" if name in _TRUNK else "limb"] for name in SMPL_24])
    found = _angles(motion.rotations[:-1], motion.rotations[1:]) * motion.fps > np.radians(limits)
    found[:, 0] |= np.linalg.norm(np.diff(motion.translation, axis=0), axis=1) * motion.fps > _MOVES
    return np.asarray(found)


def clean(motion: Motion, shortest: float = 1.0, noise: float = 0.02) -> list[Motion]:
    """Return the good parts of a recording.

    Args:
        motion: motion at its recorded frame rate, at least 60 frames per second.
        shortest: s, minimum length of a part; shorter ones are dropped.
        noise: s, standard deviation of the Gaussian that removes the recording's noise (0.02: half of the movement at
            9 Hz is kept); 0 leaves it in.

    Returns:
        parts in order, with the name of the recording; the source states the frames.
    """
    rotations = motion.rotations.copy()
    found = jumps(motion)
    for joint in np.flatnonzero(found.any(axis=0) | np.isin(np.arange(24), _TOES)):
        rotations[:, joint] = _mended(rotations[:, joint], found[:, joint], motion.fps)
        if joint in _TOES:  # hardly measured: only the median of their movement is kept
            rotations[:, joint] = _median(rotations[:, joint], _odd(_MEDIAN * motion.fps))
    mended = replace(motion, rotations=rotations)
    cuts = np.flatnonzero(np.delete(jumps(mended), _TOES, axis=1).any(axis=1))
    parts = []
    for start, stop in zip([0, *(cuts + 1)], [*(cuts + 1), len(motion)], strict=True):
        # Frames next to a jump are equally unreliable.
        first, last = start + (3 if start else 0), stop - (3 if stop < len(motion) else 0)
        if last - first > shortest * motion.fps:
            part = replace(
                mended,
                translation=mended.translation[first:last],
                rotations=rotations[first:last],
                source=f"{motion.source} frames {first} to {last - 1}",
            )
            parts.append(smooth(part, noise) if noise > 0 else part)
    return parts


def smooth(motion: Motion, deviation: float) -> Motion:
    """Smooth with a Gaussian of standard deviation ``deviation`` s."""
    sigma = deviation * motion.fps
    reach = min(int(np.ceil(3 * sigma)), len(motion) - 1)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-9)) ** 2)
    flat = np.concatenate((motion.rotations.reshape(len(motion), -1), motion.translation), axis=1)
    # The motion is padded by point reflection at the ends: straight motion stays straight.
    head, tail = 2 * flat[:1] - flat[reach:0:-1], 2 * flat[-1:] - flat[-2 : -reach - 2 : -1]
    padded = np.concatenate((head, flat, tail))
    total = sum(weight * padded[k : k + len(flat)] for k, weight in enumerate(weights / weights.sum()))
    return replace(
        motion,
        rotations=_nearest(np.asarray(total)[:, :-3].reshape(motion.rotations.shape)),
        translation=np.asarray(total)[:, -3:],
    )


def _angles(a: NDArray[Any], b: NDArray[Any]) -> Array:
    """Return the angles [...] rad between rotations."""
    return np.asarray(np.linalg.norm(vectors_from_matrices(np.swapaxes(a, -1, -2) @ b), axis=-1))


def _nearest(matrices: Array) -> Array:
    """Return the rotations nearest to matrices [..., 3, 3]."""
    u, _, v = np.linalg.svd(matrices)
    u[..., -1] *= np.linalg.det(u @ v)[..., None]
    return np.asarray(u @ v)


def _odd(frames: float) -> int:
    return 2 * int(frames / 2) + 1


def _median(rotations: Array, window: int) -> Array:
    """Return the rotations [T, 3, 3] nearest to the entry-wise medians over ``window`` frames."""
    half = window // 2
    padded = np.concatenate((np.repeat(rotations[:1], half, 0), rotations, np.repeat(rotations[-1:], half, 0)))
    return _nearest(np.median(np.lib.stride_tricks.sliding_window_view(padded, window, axis=0), axis=-1))


def _mended(rotations: Array, found: Bools, fps: float) -> Array:
    """Bridge short bad spans of [T, 3, 3]; ``found`` [T - 1]: jumps."""
    frames = len(rotations)
    places = np.flatnonzero(found)
    if not len(places):
        return rotations
    reach = max(int(_NEAR * fps), 1)
    near = np.convolve(found, np.ones(2 * reach))[reach - 1 :][:frames] > 0.5
    bad = near & (_angles(rotations, _median(rotations, _odd(_MEDIAN * fps))) > _FAR)
    bad[places] = bad[places + 1] = True
    bad |= np.append(bad[1:], False) | np.append(False, bad[:-1])
    result = rotations.copy()
    edges = np.flatnonzero(np.diff(np.concatenate(([0], bad.astype(np.int8), [0]))))
    for start, stop in edges.reshape(-1, 2):
        if start == 0 or stop == frames:  # no frame on one side: hold the value of the other
            if (stop - start) <= _LONGEST * fps and stop - start < frames:
                result[start:stop] = result[stop] if start == 0 else result[start - 1]
        elif stop - start <= _LONGEST * fps:
            before, after = rotations[start - 1], rotations[stop]
            part = np.arange(1, stop - start + 1) / (stop - start + 1)
            result[start:stop] = before @ matrices_from_vectors(part[:, None] * vectors_from_matrices(before.T @ after))
    return result
