"""The wrist frame: orientation of a hand, from the keypoints of its palm.

Axes of the frame: x out of the palm, z from the wrist to the knuckle of the middle finger, y = z x x (towards the
thumb on a right hand, away from it on a left). It is the frame of dex-retargeting's MANO convention, so its robots
expect vectors in it.

dex-retargeting takes the plane through three keypoints, which tips over when the palm turns edge-on and the landmark
model presses the depths together (its issues 31, 74, 77). Here a rigid palm of known shape is laid over six keypoints:
a rotation with determinant +1 by construction, which one noisy point cannot tip over, and whose handedness is that of
the template and never inferred from the data. Solved as Wahba's problem by Horn's quaternion matrix (Horn 1987,
"Closed-form solution of absolute orientation using unit quaternions", JOSA A 4(4)).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.geometry.hand import KNUCKLES, WRIST

__all__ = ["PALM_POINTS", "PALM_WEIGHTS", "palm_template", "wrist_frame"]

Array = NDArray[np.float64]

PALM_POINTS = (WRIST, *KNUCKLES)
"""Wrist, base of the thumb, knuckles of index, middle, ring and little finger."""

PALM_WEIGHTS = np.array([1.0, 0.5, 1.0, 1.0, 1.0, 1.0])
"""The base of the thumb moves a little with the thumb: half weight."""

_RIGHT = np.array(
    [
        [0.0, 0.0, 0.0],
        [0.0096, 0.0302, 0.0262],
        [0.0, 0.0265, 0.0958],
        [0.0, 0.0, 0.0966],
        [0.0088, -0.0204, 0.0907],
        [0.0170, -0.0355, 0.0746],
    ]
)
"""[6, 3] metres, measured: median over a 621-frame recording of the landmark model's metric keypoints, each frame
aligned to the mean shape (generalised Procrustes), then turned so that wrist, index and middle knuckle lie in x = 0."""

ILL_CONDITIONED = 0.1
"""Below this gap between the two best rotations (relative; 0.2-0.4 on real hands) the last frame is used."""


def palm_template(side: str) -> Array:
    """Return the palm's points [6, 3] m in the wrist frame, in the order of ``PALM_POINTS``; left palms flip y."""
    template: Array = _RIGHT * np.array([1.0, 1.0 if side == "right" else -1.0, 1.0])
    return template


def wrist_frame(keypoints: ArrayLike, side: str = "right", previous: Array | None = None) -> Array:
    """Return the rotation [3, 3] whose columns are the wrist frame's axes in the keypoints' frame.

    ``keypoints @ wrist_frame(keypoints)`` are the keypoints in the wrist frame.

    Args:
        keypoints: [21, 3], MediaPipe order.
        side: side of the hand.
        previous: rotation of the previous frame, used only if the points hardly determine a rotation (all on one
            line): well-determined frames do not depend on earlier ones.
    """
    frame, _ = fit_palm(np.asarray(keypoints, dtype=np.float64), palm_template(side), previous)
    return frame


def fit_palm(keypoints: Array, template: Array, previous: Array | None) -> tuple[Array, float]:
    """Return the rotation, and the size of the palm relative to the template's (at least 0.2)."""
    weights = PALM_WEIGHTS[:, None]
    seen = keypoints[list(PALM_POINTS)]
    seen = seen - (weights * seen).sum(axis=0) / weights.sum()
    shape = template - (weights * template).sum(axis=0) / weights.sum()
    B = (weights * seen).T @ shape
    first, second, frame = _wahba(B)
    size = max(first / float((weights * shape**2).sum()), 0.2)
    health = (first - second) / first if first > 1e-12 else 0.0
    if previous is not None and health < ILL_CONDITIONED:
        lean = (1.0 - health / ILL_CONDITIONED) ** 2
        frame = _wahba(B + lean * (first if first > 1e-12 else 1.0) * previous)[2]
    return frame, size


def _wahba(B: Array) -> tuple[float, float, Array]:
    """Return the two largest eigenvalues of Horn's matrix, and the rotation that maximises tr(R^T B)."""
    K = np.empty((4, 4))
    K[0, 0] = np.trace(B)
    K[0, 1:] = K[1:, 0] = B[2, 1] - B[1, 2], B[0, 2] - B[2, 0], B[1, 0] - B[0, 1]
    K[1:, 1:] = B + B.T - np.trace(B) * np.eye(3)
    values, vectors = np.linalg.eigh(K)
    w, x, y, z = vectors[:, -1]
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    return float(values[-1]), float(values[-2]), rotation
