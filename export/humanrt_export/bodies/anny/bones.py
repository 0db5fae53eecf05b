"""Anny's bones by name: those that a network rotates, and those that give a hand's 21 keypoints.

Names are Anny's (`.L` is the person's left). Tables contain names, never indices: rigs differ in order and bones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from humanrt.errors import HumanrtError, choices

__all__ = [
    "ACTIVE",
    "BODY",
    "HANDS",
    "HAND_KEYPOINTS",
    "HEAD",
    "ROOT",
    "TIPS",
    "BoneError",
    "indices",
]


class BoneError(HumanrtError):
    """A bone is not in the rig; the message lists the rig's bones."""


_LEG = ("pelvis", "upperleg01", "upperleg02", "lowerleg01", "lowerleg02", "foot")
_ARM = ("clavicle", "shoulder01", "upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "wrist")
# Anny numbers fingers from the thumb, but metacarpals from the index finger; the thumb's metacarpal is finger1-1.
_HAND = (
    *(f"finger1-{part}" for part in (1, 2, 3)),
    *(name for k in (2, 3, 4, 5) for name in (f"metacarpal{k - 1}", *(f"finger{k}-{part}" for part in (1, 2, 3)))),
)


def _both(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{name}.{side}" for side in "LR" for name in names)


ROOT = "root"
BODY = (ROOT, *_both(_LEG), *(f"spine0{k}" for k in (5, 4, 3, 2, 1)), *_both(_ARM))
"""Root, legs without toes, spine, arms to the wrist: 32 bones."""

HANDS = {side: tuple(f"{name}.{side}" for name in _HAND) for side in "LR"}
"""The 19 bones of each hand beyond its wrist, by side."""

HEAD = ("neck01", "neck02", "neck03", "head")
"""Neck and head. Anny's default rig has no jaw: its faces move by blend shapes."""

ACTIVE = (*BODY, *HANDS["L"], *HANDS["R"], *HEAD)
"""The 74 bones that a network rotates. All others (toes, eyes) do not move relative to their parents."""

TIPS = {
    **{f"finger{k}-tip.{side}": f"finger{k}-3.{side}" for side in "LR" for k in (1, 2, 3, 4, 5)},
    **{f"big-toe-tip.{side}": f"toe1-2.{side}" for side in "LR"},
}
"""Bones by the point at their end."""

HAND_KEYPOINTS = {
    side: (
        f"wrist.{side}",
        *(
            f"{name}.{side}"
            for k in (1, 2, 3, 4, 5)
            for name in (*(f"finger{k}-{j}" for j in (1, 2, 3)), f"finger{k}-tip")
        ),
    )
    for side in "LR"
}
"""Joints that are the 21 hand keypoints in MediaPipe's order (wrist, then thumb to little finger), by side."""


def indices(names: Iterable[str], rig: Sequence[str]) -> list[int]:
    """Return the indices of ``names`` in ``rig``. BoneError names the missing ones."""
    places = {name: place for place, name in enumerate(rig)}
    names = list(names)
    if missing := [name for name in names if name not in places]:
        raise BoneError(f"no bone {choices(missing)} in the rig; it has: {choices(rig)}")
    return [places[name] for name in names]
