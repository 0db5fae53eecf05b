"""MediaPipe's 21 landmarks of a hand on Anny's body: each at a constant offset from a joint, for fitting."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from humanrt.fitting.rig import Attached
from humanrt.geometry.anny import hand_axes
from humanrt.geometry.hand import CHAINS
from humanrt.geometry.skeleton import Side, normalised

__all__ = ["OFFSETS_MM", "attached_hand"]

Array = NDArray[np.float64]

OFFSETS_MM: NDArray[np.float64] = np.array(
    [
        (-3, 17, 3),
        *((5, -5, 14), (2, 6, 1), (-6, -2, -1), (0, 0, 0)),
        *((-4, -8, 9), (-1, 0, 6), (0, 0, 4), (0, 0, 0)),
        *((1, -7, 11), (1, -1, 6), (0, -4, 4), (0, 0, 0)),
        *((1, -7, 12), (1, -1, 6), (0, -1, 4), (0, 0, 0)),
        *((3, -5, 8), (1, -1, 4), (-1, 0, 2), (0, 0, 0)),
    ],
    dtype=np.float64,
)
"""[21, 3] mm, rest pose, hand frame of the right hand: from Anny's joint to what MediaPipe calls by its name.

Anny hinges its fingers near their backs and the knuckles near the webs; its wrist lies where the forearm is
narrowest. MediaPipe means the middle of the flesh, the knuckle itself and the wrist's crease. The offsets are
least-deviation fits (`humanrt_export.synthetic.align`) to MediaPipe's full model on 380 frames of the clips `random`,
seeds 101 to 108 (8 people, both sides), rounded to whole millimetres, constant for all people and poses; fingertips
have none. No shipped clip and no benchmark seed took part.
"""
OFFSETS_MM.setflags(write=False)

_FLESH = 0.0064  # m from the end of a finger to the middle of its tip's flesh, of a person 1.7 m tall


def attached_hand(side: Side, rest: Mapping[str, Array]) -> list[Attached]:
    """Return the 21 landmarks of a hand as points of Anny's body, in MediaPipe's order.

    Args:
        side: of the hand.
        rest: joint -> [3] m at rest, Anny's axes.
    """
    end = side[0].upper()
    axes = hand_axes(side) * ((-1.0, 1.0, 1.0) if side == "left" else (1.0, 1.0, 1.0))  # x to the thumb
    names = [("wrist", "wrist")] * 21
    for number, chain in enumerate(CHAINS, start=1):
        for k, landmark in enumerate(chain[1:], start=1):
            bone = f"finger{number}-{min(k, 3)}"
            names[landmark] = (bone if k < 4 else f"finger{number}-tip", bone)
    result = []
    for landmark, (joint, bone) in enumerate(names):
        offset = axes @ OFFSETS_MM[landmark] / 1000
        if joint.endswith("tip"):
            offset -= _FLESH * normalised(rest[f"{joint}.{end}"] - rest[f"{bone}.{end}"])
        x, y, z = offset.tolist()
        result.append(Attached(f"{side}_hand_{landmark}", f"{joint}.{end}", f"{bone}.{end}", (x, y, z)))
    return result
