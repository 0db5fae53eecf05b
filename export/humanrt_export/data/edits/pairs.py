"""Pairs of captured poses, and what would have to be asked of the first to become the second: `draw_pairs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.coach.differences import Difference, differences
from humanrt.coach.readings import Readings, read_pose
from humanrt.editing.body import Body, readings
from humanrt.geometry.skeleton import SMPLX_BODY, mirrored, other_sides
from humanrt_export.data.edits.texts import Wish
from humanrt_export.motion.clip import Motion

__all__ = ["PosePair", "draw_pairs", "wishes_of"]

Array = NDArray[np.float64]

CAMERA = np.diag([1.0, -1.0, -1.0])
_OTHER_SIDES = list(other_sides(SMPLX_BODY))
_ARMS = [
    SMPLX_BODY.index(f"{side}_{joint}")
    for side in ("left", "right")
    for joint in ("collar", "shoulder", "elbow", "wrist")
]
_LEAST = {"degrees": 8.0, "metres": 0.06}
_SIGNS = {
    "bend": "+",
    "straighten": "-",
    "front": "+",
    "back": "-",
    "left": "+",
    "right": "-",
    "up": "+",
    "down": "-",
}
_DIRECTED = ("arm", "thigh", "hand", "foot")
_ALIKE = 15.0  # degrees
_SAME_CLIP, _APART = 0.4, 0.3  # share, s
_MIXED = 0.4  # share of poses with the arms of another


@dataclass(frozen=True)
class PosePair:
    """What a training needs of a pair of poses.

    Attributes:
        pose: [22, 3, 3], the first.
        seen: float32 [C, 3], its readings.
        wishes: what the second has otherwise.
    """

    pose: Array
    seen: NDArray[np.float32]
    wishes: tuple[Wish, ...]


def draw_pairs(motions: Sequence[Motion], count: int, seed: int) -> list[PosePair]:
    """Draw pairs: from two moments of a clip, or of any two; half of them mirrored, some with other arms."""
    random = np.random.default_rng(seed)
    chances = np.array([np.sqrt(len(motion)) for motion in motions])
    chances /= chances.sum()

    def pose(motion: Motion) -> tuple[Array, int]:
        frame = int(random.integers(len(motion)))
        found = motion.rotations[frame, :22].copy()
        found[0] = CAMERA @ found[0]
        if random.random() < _MIXED:
            other = motions[random.choice(len(motions), p=chances)]
            found[_ARMS] = other.rotations[int(random.integers(len(other)))][_ARMS]
        return found, frame

    pairs: list[PosePair] = []
    while len(pairs) < count:
        first = motions[random.choice(len(motions), p=chances)]
        same = random.random() < _SAME_CLIP
        second = first if same else motions[random.choice(len(motions), p=chances)]
        (a, i), (b, j) = pose(first), pose(second)
        if same and abs(i - j) < _APART * first.fps:
            continue
        if random.random() < 0.5:
            a, b = (mirrored(one)[_OTHER_SIDES] for one in (a, b))
        pairs.append(PosePair(a, readings(Body(a)), wishes_of(read_pose(a), read_pose(b))))
    return pairs


def wishes_of(a: Readings, b: Readings) -> tuple[Wish, ...]:
    """Return what may be asked for to go from ``a`` to ``b``, that which differs most first."""
    found = [wish for one in differences(a, b) if (wish := _wish(one)) is not None]
    for kind, change in (("height", b.height - a.height), ("stance", b.stance - a.stance)):
        if abs(change) > _LEAST["metres"] and max(a.incline, b.incline) < 60:
            found.append(Wish(kind, "", ("+" if change > 0 else "-",), abs(change)))
    both = []
    for left in (wish for wish in found if wish.side == "left"):
        for right in (wish for wish in found if wish.side == "right"):
            assert left.size is not None
            assert right.size is not None
            alike = (left.kind, left.ways) == (right.kind, right.ways)
            if alike and abs(left.size - right.size) < (_ALIKE if left.size > 3 else _ALIKE / 100):
                both.append(Wish(left.kind, "both", left.ways, (left.size + right.size) / 2))
    return (*found, *both, *both)


def _wish(one: Difference) -> Wish | None:
    if one.size < _LEAST[one.unit] or one.part == "incline":
        return None
    ways = one.ways if one.part in _DIRECTED else (_SIGNS[one.ways[0]],)
    return Wish(one.part, one.side if one.side in ("left", "right") else "", ways, one.size)
