"""Poses relative to the body's heading: the numbers of a frame that our own PoseGPT works with.

For J joints a frame is 6 J + 4 numbers: for each joint the first two columns of its matrix, as a 3 x 2 matrix row by
row, the root's without its heading; then the root's height in m, its velocity beside and ahead in m/s, and how fast
the heading turns, in rad/s. The heading is the part of the root's rotation that is about the vertical, y. The
velocity of a frame is that from the frame before, in the axes of the frame before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.rotation import matrices_from_6d

__all__ = ["Heading", "frame_numbers", "frames_from_motion", "motion_from_frames"]

Array = NDArray[np.float64]


def frame_numbers(joints: int) -> int:
    """Return how many numbers a frame of so many joints has."""
    return 6 * joints + 4


class Heading:
    """Where a body stands on the floor, and where it looks to.

    Attributes:
        angle: rad about y.
        place: [2] m, x and z.
    """

    def __init__(self, angle: float = 0.0, place: NDArray[Any] | None = None) -> None:
        self.angle = angle
        self.place: Array = np.zeros(2) if place is None else np.asarray(place, np.float64)

    @classmethod
    def of(cls, root: NDArray[Any], translation: NDArray[Any]) -> Heading:
        """Return the heading of a root rotation [3, 3] and its position [3] m; y is up."""
        return cls(float(angles_of(np.asarray(root, np.float64)[None])[0]), np.asarray(translation)[[0, 2]])


def angles_of(root: Array) -> Array:
    """Return the angle [T] rad about y of rotations [T, 3, 3]."""
    angles: Array = np.arctan2(root[:, 0, 2] - root[:, 2, 0], root[:, 0, 0] + root[:, 2, 2])
    return angles


def turns(angles: Array) -> Array:
    """Return the rotations [T, 3, 3] about y."""
    out = np.zeros((*np.shape(angles), 3, 3))
    cosine, sine = np.cos(angles), np.sin(angles)
    out[..., 0, 0] = out[..., 2, 2] = cosine
    out[..., 0, 2], out[..., 2, 0], out[..., 1, 1] = sine, -sine, 1
    return out


def frames_from_motion(rotations: NDArray[Any], translation: NDArray[Any], fps: float) -> NDArray[np.float32]:
    """Return the frames [T, 6 J + 4] of rotations [T, J, 3, 3] and translation [T, 3] m, in a world with y up.

    The first frame has no frame before it: it is at rest.
    """
    rotations = np.asarray(rotations, np.float64).copy()
    places = np.asarray(translation, np.float64)
    angles = angles_of(rotations[:, 0])
    rotations[:, 0] = turns(-angles) @ rotations[:, 0]
    steps = np.zeros((len(places), 2))
    rates = np.zeros(len(places))
    moved = np.diff(places, axis=0) * fps
    cosine, sine = np.cos(angles[:-1]), np.sin(angles[:-1])
    steps[1:, 0] = cosine * moved[:, 0] - sine * moved[:, 2]
    steps[1:, 1] = sine * moved[:, 0] + cosine * moved[:, 2]
    rates[1:] = ((np.diff(angles) + np.pi) % (2 * np.pi) - np.pi) * fps
    rows = rotations[..., :2].reshape(len(rotations), -1)
    return np.concatenate((rows, places[:, 1:2], steps, rates[:, None]), axis=1).astype(np.float32)


def motion_from_frames(frames: NDArray[Any], fps: float, start: Heading) -> tuple[Array, Array]:
    """Return rotations [T, J, 3, 3] and translation [T, 3] m of frames, which go on from ``start``.

    The inverse of `frames_from_motion`, where ``start`` is where the frame before the first one is.
    """
    frames = np.asarray(frames, np.float64)
    count = (frames.shape[1] - 4) // 6
    rotations = matrices_from_6d(frames[:, : 6 * count].reshape(len(frames), count, 6), "rows")
    height, steps, rates = frames[:, 6 * count], frames[:, 6 * count + 1 : 6 * count + 3], frames[:, -1]
    angles = start.angle + np.cumsum(rates) / fps
    before = np.concatenate(([start.angle], angles[:-1]))
    cosine, sine = np.cos(before), np.sin(before)
    moved = np.stack((cosine * steps[:, 0] + sine * steps[:, 1], cosine * steps[:, 1] - sine * steps[:, 0]), axis=1)
    places = start.place + np.cumsum(moved / fps, axis=0)
    rotations[:, 0] = turns(angles) @ rotations[:, 0]
    return rotations, np.stack((places[:, 0], height, places[:, 1]), axis=1)
