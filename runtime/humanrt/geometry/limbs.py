"""The twelve limb joints that every body has, by which bodies of different kinds are compared, and their names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

__all__ = ["ANNY_LIMBS", "HIPS", "LIMBS", "LIMB_BONES", "limb_indices"]

LIMBS = tuple(
    f"{side}_{part}" for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle") for side in ("left", "right")
)
"""Shoulders, elbows, wrists, hips, knees and ankles, by the names that SMPL, SMPL-X, COCO and MediaPipe give them."""

_BONE = {
    "shoulder": "upperarm01",
    "elbow": "lowerarm01",
    "wrist": "wrist",
    "hip": "upperleg01",
    "knee": "lowerleg01",
    "ankle": "foot",
}
ANNY_LIMBS = tuple(f"{_BONE[name.split('_')[1]]}.{name[0].upper()}" for name in LIMBS)
"""Names of Anny's joints that stand for them: the bones that begin there."""

HIPS = [LIMBS.index("left_hip"), LIMBS.index("right_hip")]

_CHAINS = ("shoulder elbow wrist", "hip knee ankle", "shoulder hip")
LIMB_BONES = tuple(
    (LIMBS.index(a), LIMBS.index(b))
    for a, b in (
        *(
            (f"{side}_{one}", f"{side}_{two}")
            for side in ("left", "right")
            for chain in _CHAINS
            for one, two in pairwise(chain.split())
        ),
        ("left_shoulder", "right_shoulder"),
        ("left_hip", "right_hip"),
    )
)
"""Pairs of `LIMBS` between which a skeleton is drawn."""


def limb_indices(joint_names: Sequence[str]) -> list[int]:
    """Return where `LIMBS` are among a body's joints. ValueError names the first that it lacks."""
    places = {name: place for place, name in enumerate(joint_names)}
    anny = ANNY_LIMBS[0] in places
    names = ANNY_LIMBS if anny else LIMBS
    if missing := [name for name in names if name not in places]:
        raise ValueError(f"a body without `{missing[0]}`")
    return [places[name] for name in names]
