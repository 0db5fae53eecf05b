"""Human hands of known shape, for the tests of retargeting: no recording, no model needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from humanrt.retarget.wrist import palm_template

Array = NDArray[np.float64]

LENGTHS = np.array(
    [[0.03, 0.03, 0.025], [0.04, 0.025, 0.022], [0.045, 0.028, 0.024], [0.04, 0.026, 0.023], [0.032, 0.02, 0.02]]
)


def human_hand(bend: Array | float = 0.0, thumb: float = 0.3, side: str = "right") -> Array:
    """[21, 3] keypoints in the wrist frame. ``bend``: of each finger (or one for all), rad per joint."""
    bends = np.broadcast_to(np.asarray(bend, dtype=float), (4,))
    palm = palm_template("right")
    points = np.zeros((21, 3))
    for finger in range(5):
        points[1 + 4 * finger] = where = palm[1 + finger]
        for part in range(3):
            if finger == 0:
                angle = thumb * (part + 1)
                step = np.array([np.sin(angle) * 0.7, np.cos(angle) * 0.6, 0.8])
            else:
                angle = bends[finger - 1] * (part + 1)
                step = np.array([np.sin(angle), 0.08 * (2.5 - finger), np.cos(angle)])
            where = where + LENGTHS[finger, part] * step / np.linalg.norm(step)
            points[2 + 4 * finger + part] = where
    return points * np.array([1.0, 1.0 if side == "right" else -1.0, 1.0])


def random_rotation(rng: np.random.Generator) -> Array:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else q * np.array([1.0, 1.0, -1.0])


def sequence(frames: int = 60) -> Array:
    """[frames, 21, 3] camera axes: opens, closes, pinches, and turns slowly."""
    hands = []
    for i in range(frames):
        t = i / frames
        bend = 0.7 * (1 - np.cos(2 * np.pi * (t * 2 + np.arange(4) * 0.1))) / 1.0
        points = human_hand(bend * 0.8, thumb=0.2 + 0.5 * np.sin(2 * np.pi * t) ** 2)
        a = 0.6 * np.sin(2 * np.pi * t)
        turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
        # palm towards the camera, fingers up: x (out of the palm) -> -z, y (thumb side) -> x, z (fingers) -> -y
        camera = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
        hands.append(points @ (turn @ camera).T)
    return np.array(hands)
