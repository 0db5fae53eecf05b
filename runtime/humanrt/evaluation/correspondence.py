"""Which joints of a bundle's body are compared with which of the truth.

Joints of one name on two kinds of bodies are not the same place: hips of SMPL and of Anny are centimetres apart. So
bodies of one kind are compared by all joints of the body, and bodies of different kinds by the twelve limb joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from humanrt.errors import HumanrtError
from humanrt.evaluation.dataset import Root
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.hand import FINGERS
from humanrt.geometry.limbs import HIPS, LIMBS, limb_indices
from humanrt.geometry.skeleton import SMPL_24, SMPLX_BODY

__all__ = ["Correspondence", "correspond"]

_ANNY_BODY = tuple(bone for bone in ANNY_BONES if not bone.startswith(("finger", "metacarpal")))
_ANNY_HANDS = tuple(
    (f"wrist.{side}", *(f"finger{k}-{end}.{side}" for k in range(1, 6) for end in (1, 2, 3, "tip"))) for side in "LR"
)
_SMPLX_HANDS = tuple(
    (f"{side}_wrist", *(f"{side}_{finger}{k}" for finger in FINGERS for k in (1, 2, 3))) for side in ("left", "right")
)
_BODIES = {
    "Anny's body": (_ANNY_BODY, "root"),
    "SMPL's 24 joints": (SMPL_24, "pelvis"),
    "SMPL-X's 22 body joints": (SMPLX_BODY, "pelvis"),
}
"""Sets of joints that are all of one body, the largest first, and their root; a set is taken if both sides have it."""


@dataclass(frozen=True)
class Correspondence:
    """Indices of joints that are compared.

    Attributes:
        about: name of the set, for reports.
        names: [K] names of the compared joints.
        predicted, true: [K] their indices.
        root, true_root: indices whose mean is the root.
        limbs, true_limbs: [12] indices of `LIMBS`, by which people are matched and drawn.
        hands, true_hands: indices of the joints of the left and the right hand, the wrist first; empty without fingers.
        root_name: `Root`.
    """

    about: str
    names: tuple[str, ...]
    predicted: list[int]
    true: list[int]
    root: list[int]
    true_root: list[int]
    limbs: list[int]
    true_limbs: list[int]
    hands: list[list[int]]
    true_hands: list[list[int]]
    root_name: Root


def correspond(predicted: Sequence[str], true: Sequence[str], root: Root) -> Correspondence:
    """Return how joints of two bodies are compared.

    Args:
        predicted: names of the bundle's joints.
        true: names of the truth's joints.
        root: where people are aligned. Without a pelvis joint on both sides of the same kind, `hips` is taken.

    Raises:
        HumanrtError: one of the two lacks a limb joint.
    """
    places = [{name: place for place, name in enumerate(names)} for names in (predicted, true)]
    try:
        limbs, true_limbs = limb_indices(predicted), limb_indices(true)
    except ValueError as error:
        raise HumanrtError(f"joints cannot be compared: {error}; twelve limb joints are needed") from None
    about, names, rows = "the twelve limb joints", LIMBS, [limbs, true_limbs]
    pelvis: str | None = None
    for title, (body, middle) in _BODIES.items():
        if all(set(body) <= set(some) for some in places):
            about, names, pelvis = title, body, middle
            rows = [[some[name] for name in body] for some in places]
            break
    if root == "pelvis" and pelvis is not None:
        roots = [[some[pelvis]] for some in places]
    else:
        root = "hips"
        roots = [[limbs[k] for k in HIPS], [true_limbs[k] for k in HIPS]]
    hands: list[list[list[int]]] = [[], []]
    for both in (_ANNY_HANDS, _SMPLX_HANDS):
        if all({*both[0], *both[1]} <= set(some) for some in places):
            hands = [[[some[name] for name in hand] for hand in both] for some in places]
            break
    return Correspondence(
        about, tuple(names), rows[0], rows[1], roots[0], roots[1], limbs, true_limbs, hands[0], hands[1], root
    )
