"""Where the heavy network's landmarks lie on Anny: offsets from joints, fitted on rendered people in clothes.

`humanrt.people.body_points` has those of the network of the bundle ``landmarks``, on bare bodies; the heavy network of
``holistic`` puts hips and wrists 24 mm elsewhere. `humanrt_export.multiview.learn_points` made the table.
"""

from __future__ import annotations

import numpy as np

from humanrt.fitting.rig import Attached
from humanrt.geometry.anny import part_axes
from humanrt.geometry.mirror import MIRROR
from humanrt.geometry.skeleton import MEDIAPIPE_33
from humanrt.people.body_points import anchor_of, plain_name

__all__ = ["OFFSETS_MM", "fit_points"]

OFFSETS_MM: dict[str, tuple[float, float, float]] = {
    "nose": (0.0, 13.4, 93.6),
    "eye_inner": (14.7, 39.2, 71.4),
    "eye": (24.2, 38.8, 67.9),
    "eye_outer": (34.0, 38.1, 64.4),
    "ear": (48.6, 21.7, 26.8),
    "mouth": (16.8, -19.2, 81.1),
    "shoulder": (-27.8, 27.5, 1.5),
    "elbow": (-28.0, -14.7, 20.0),
    "wrist": (-3.0, -14.2, 0.7),
    "pinky": (-27.4, -12.1, 30.2),
    "index": (-36.7, -13.0, -16.3),
    "thumb": (-5.5, -0.7, -26.8),
    "hip": (-18.9, 1.6, 36.0),
    "knee": (-6.0, -5.4, -5.1),
    "ankle": (1.1, 23.7, 16.6),
    "heel": (-7.7, -44.5, -14.6),
    "foot_index": (4.1, -2.5, -49.1),
}
"""As `humanrt.people.body_points.OFFSETS_MM`."""


def fit_points() -> list[Attached]:
    """Return the 33 landmarks as points of Anny's body, in MediaPipe's order."""
    result = []
    for landmark in MEDIAPIPE_33:
        joint, part = anchor_of(landmark)
        bone, axes = part_axes(part)
        side, plain = plain_name(landmark)
        offset = np.array(OFFSETS_MM[plain]) / 1000 * (MIRROR if side == "right" else 1.0)
        x, y, z = (axes @ offset).tolist()
        result.append(Attached(landmark, joint, bone, (x, y, z)))
    return result
