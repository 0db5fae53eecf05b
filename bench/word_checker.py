"""A reader of the coach's English sentences, and a measurement of its own of whether they are true.

Nothing here comes from `humanrt.coach`: sentences are taken apart as text, poses are measured from joint positions of
`humanrt_export.motion.body_fk`. What words mean:

- **arms** are measured in the chest's axes: up from the middle of the hips to the neck, sideways along the shoulders.
  "Raise" and "outward" mean that this component of the unit vector from shoulder to elbow grows; "by N degrees" is the
  angle between both directions. A hand's place is that of the wrist, from the middle of the shoulders.
- **legs** are measured against gravity and the line of the hips; where that line is within 30 degrees of upright, in
  the axes of the pelvis. A foot's place is that of the ankle, from the middle of the hips.
- **the trunk** leans from upright, forward or to a side of the hips; where the hips have no heading it tips over. It
  turns the shoulders against the hips.
- **the head** is measured in the chest's axes, by nose, eyes and ears.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.skeleton import SMPL_24, SMPL_REST
from humanrt_export.motion.body_fk import body_points, forward

__all__ = ["Claim", "Measured", "holds", "large_differences", "measure_pose", "named", "read_claims"]

Array = NDArray[np.float64]

SIDES = ("left", "right")
FACE = ("nose", "left_ear", "right_ear", "left_eye_outer", "right_eye_outer")
AXIS = {"outward": (0, 1), "inward": (0, -1), "up": (1, 1), "down": (1, -1), "forward": (2, 1), "backward": (2, -1)}
LARGE_DEGREES, LARGE_METRES = 20.0, 0.15
GROWS = 0.05  # least change of a unit vector's component that "raise" and the like may stand for: 3 degrees
DEGREES_OFF, DEGREES_OFF_BOTH = 6.0, 15.0
METRES_OFF, METRES_OFF_BOTH = 0.05, 0.10
LITTLE, LOT = {"degrees": 35.0, "metres": 0.25}, {"degrees": 50.0, "metres": 0.30}
EXPLAINED = 0.5
"""A hand's way is named by words about its arm if these bring the hand closer than this part of the way."""


# ------------------------------------------------------------------------------------------------ words


@dataclass(frozen=True)
class Claim:
    """One thing that a sentence says.

    Attributes:
        what: ``arm``, ``elbow``, ``hand``, ``thigh``, ``knee``, ``foot``, ``height``, ``stance``, ``lean``, ``side``,
            ``tip``, ``twist``, ``turn``, ``nod``, ``tilt``.
        sides: of limbs, those meant.
        ways: words of `AXIS`, or the sign of the change as ``+`` or ``-``.
        number: claimed size in degrees or metres, or None.
        amount: ``a little``, ``much``, ``a lot``, or empty.
        words: the clause.
    """

    what: str
    sides: tuple[str, ...]
    ways: tuple[str, ...]
    number: float | None
    amount: str
    words: str


_LIMB = r"(?:(?P<side>your left|your right|both) (?P<limb>arm|elbow|hand|thigh|knee|foot|feet))s?"
_WAYS = r"(?P<ways>(?: (?:and )?(?:up|down|forward|backward|outward|inward))*)"
_SIZE = r"(?: (?P<amount>a little|a lot))?(?: by (?P<number>\d+) (?P<unit>degrees|cm))?"
_LESS = r"(?: (?P<amount>a little|much))?"
_BY = r"(?: by (?P<number>\d+) (?P<unit>degrees|cm))?"
_PATTERNS = [
    (rf"(?P<verb>raise|lower|move|bend|straighten) {_LIMB}{_WAYS}{_SIZE}", "limb"),
    (rf"(?P<verb>sit|stand){_LESS} (?:lower|taller){_BY}", "height"),
    (rf"put your feet{_LESS} (?P<verb>further apart|closer together){_BY}", "stance"),
    (rf"lean{_LESS} (?P<verb>further|less far) (?P<to>forward|back|to your left|to your right){_BY}", "lean"),
    (rf"(?P<verb>tip) your trunk{_LESS} further over{_BY}", "tip"),
    (rf"(?P<verb>bring) your trunk{_LESS} more upright{_BY}", "tip"),
    (rf"turn your (?P<verb>shoulders|head) to your (?P<to>left|right){_SIZE}", "turn"),
    (rf"tilt your (?P<verb>head) to your (?P<to>left|right){_SIZE}", "tilt"),
    (rf"(?P<verb>lift|lower) your chin{_SIZE}", "nod"),
]


def read_claims(text: str) -> list[list[Claim]]:
    """Return the claims of each sentence. ValueError quotes what is not understood."""
    return [list(_clauses(sentence)) for sentence in re.findall(r"[^.]+\.", text)]


def _clauses(sentence: str) -> Iterator[Claim]:
    rest = sentence.strip().removesuffix(".")
    rest = rest[:1].lower() + rest[1:]
    while rest:
        for pattern, kind in _PATTERNS:
            found = re.match(pattern + r"(?: and (?=[a-z])|$)", rest)
            if found:
                yield _claim(kind, found.groupdict(), found[0])
                rest = rest[found.end() :]
                break
        else:
            raise ValueError(f"not understood: {rest!r} in {sentence!r}")


def _claim(kind: str, said: dict[str, Any], words: str) -> Claim:
    verb, to = said["verb"], said.get("to")
    number = None if said.get("number") is None else float(said["number"]) * (0.01 if said["unit"] == "cm" else 1.0)
    sides: tuple[str, ...] = ()
    ways: tuple[str, ...]
    if kind == "limb":
        what = said["limb"].replace("feet", "foot")
        sides = SIDES if said["side"] == "both" else (said["side"].removeprefix("your "),)
        if verb in ("bend", "straighten"):
            ways = ("+" if verb == "bend" else "-",)
        else:
            first = {"raise": ["up"], "lower": ["down"], "move": []}[verb]
            ways = (*first, *(way for way in said["ways"].split() if way != "and"))
            if not ways:
                raise ValueError(f"no direction in {words!r}")
    elif kind == "lean":
        what = "lean" if to in ("forward", "back") else "side"
        positive = to in ("forward", "to your left")
        ways = ("+" if positive == (verb == "further") else "-",)
    else:
        what = {"turn": "twist" if verb == "shoulders" else "turn"}.get(kind, kind)
        positive = verb in ("stand", "further apart", "tip", "lift") or to == "left"
        ways = ("+" if positive else "-",)
    return Claim(what, sides, ways, number, said.get("amount") or "", words)


# ------------------------------------------------------------------------------------------------ geometry


@dataclass(frozen=True)
class Measured:
    """A pose, measured. Vectors are (out, up, forward); index 0 of limbs is left.

    Attributes:
        upper, lower: limb -> [2, 3] unit vectors, of ``arm``, ``leg`` and ``leg in pelvis``.
        end: limb -> [2, 3] m.
        start: limb -> [2, 3] m, where the upper part begins, from the same origin.
        lengths: limb -> m of its two parts.
        bend: limb -> [2] degrees.
        angles: the other angles in degrees, and ``height`` and ``stance`` in m.
        heading: whether the hips have one.
    """

    upper: dict[str, Array]
    lower: dict[str, Array]
    end: dict[str, Array]
    start: dict[str, Array]
    lengths: dict[str, tuple[float, float]]
    bend: dict[str, Array]
    angles: dict[str, float]
    heading: bool


def measure_pose(rotations: Array, rest: Array = SMPL_REST) -> Measured:
    """Measure a pose [22, 3, 3], the root's in the camera (y down), on the skeleton ``rest`` [24, 3]."""
    full = np.broadcast_to(np.eye(3), (24, 3, 3)).copy()
    full[:22] = rotations
    turned = full.copy()
    turned[0] = np.diag([1.0, -1.0, -1.0]) @ full[0]
    joints, world = forward(turned, rest)
    p = dict(zip(SMPL_24, joints, strict=True))
    nose, left_ear, right_ear, left_eye, right_eye = body_points(turned, FACE, rest)
    mid_hips, mid_shoulders = (p["left_hip"] + p["right_hip"]) / 2, (p["left_shoulder"] + p["right_shoulder"]) / 2
    trunk = _unit(p["neck"] - mid_hips)
    hips, shoulders = _unit(p["left_hip"] - p["right_hip"]), _unit(p["left_shoulder"] - p["right_shoulder"])
    chest = _frame(trunk, shoulders)
    heading = abs(hips[1]) < np.cos(np.radians(30))
    level = _frame(np.array([0.0, 1.0, 0.0]), hips if heading else np.array([1.0, 0.0, 0.0]))
    limbs = {
        "arm": (("shoulder", "elbow", "wrist"), chest, mid_shoulders),
        "leg": (("hip", "knee", "ankle"), level, mid_hips),
        "leg in pelvis": (("hip", "knee", "ankle"), world[0].T, mid_hips),
    }
    upper, lower, end, start, lengths, bend = {}, {}, {}, {}, {}, {}
    for limb, (names, axes, origin) in limbs.items():
        a, b, c = (np.stack([p[f"{side}_{name}"] for side in SIDES]) for name in names)
        upper[limb], lower[limb] = _seen(_unit(b - a), axes), _seen(_unit(c - b), axes)
        end[limb], start[limb] = _seen(c - origin, axes), _seen(a - origin, axes)
        lengths[limb] = float(np.linalg.norm(b[0] - a[0])), float(np.linalg.norm(c[0] - b[0]))
        bend[limb] = np.array([_between(b[i] - a[i], c[i] - b[i]) for i in (0, 1)])
    leaning = level @ trunk
    # Between nose and eyes: as high as the ears of a head that is held straight.
    face = chest @ _unit((nose + (left_eye + right_eye) / 2) / 2 - (left_ear + right_ear) / 2)
    ears = chest @ _unit(left_ear - right_ear)
    across = _unit(hips - trunk * (hips @ trunk))
    along = _unit(shoulders - trunk * (shoulders @ trunk))
    ankles = p["left_ankle"], p["right_ankle"]
    angles = {
        "lean": float(np.degrees(np.arctan2(leaning[2], leaning[1]))),
        "side": 90 - _between(leaning, np.array([1.0, 0, 0])),
        "tip": _between(trunk, np.array([0.0, 1.0, 0.0])),
        "twist": float(np.degrees(np.arctan2(np.cross(across, along) @ trunk, across @ along))),
        "turn": float(np.degrees(np.arctan2(face[0], face[2]))),
        "nod": 90 - _between(face, np.array([0.0, 1.0, 0.0])),
        "tilt": _between(ears, np.array([0.0, 1.0, 0.0])) - 90,
        "height": float(p["pelvis"][1] - min(ankle[1] for ankle in ankles)),
        "stance": float(np.linalg.norm(ankles[0] - ankles[1])),
    }
    return Measured(upper, lower, end, start, lengths, bend, angles, bool(heading))


def _unit(v: Array) -> Array:
    return np.asarray(v / np.linalg.norm(v, axis=-1, keepdims=True))


def _frame(up: Array, sideways: Array) -> Array:
    front = _unit(np.cross(sideways, up))
    return np.stack([np.cross(up, front), up, front])


def _seen(vectors: Array, axes: Array) -> Array:
    """Return vectors [2, 3] of the left and the right side as (out, up, forward)."""
    inside = np.stack([axes @ v for v in vectors])
    inside[1, 0] = -inside[1, 0]
    return inside


def _between(a: Array, b: Array) -> float:
    return float(np.degrees(np.arccos(np.clip(_unit(a) @ _unit(b), -1, 1))))


def _turned(vector: Array, start: Array, stop: Array) -> Array:
    """Return a vector after the smallest rotation that takes the unit vector ``start`` to ``stop``."""
    axis, cosine = np.cross(start, stop), float(start @ stop)
    if cosine < -0.9999:
        return -vector
    return np.asarray(vector * cosine + np.cross(axis, vector) + axis * (axis @ vector) / (1 + cosine))


# ------------------------------------------------------------------------------------------------ truth


def _limb(what: str, a: Measured, b: Measured) -> str:
    if what in ("arm", "elbow", "hand"):
        return "arm"
    return "leg" if a.heading and b.heading else "leg in pelvis"


def _change(name: str, a: Measured, b: Measured) -> float:
    """Return the change of an angle, the shorter way around, or of a length."""
    change = b.angles[name] - a.angles[name]
    return change if name in ("height", "stance") else (change + 180) % 360 - 180


def holds(claim: Claim, a: Measured, b: Measured) -> bool:
    """Return whether a claim about going from ``a`` to ``b`` is true, in direction and amount."""
    if claim.what in ("lean", "side") and not (a.heading and b.heading):
        return False
    if not claim.sides:
        change = _change(claim.what, a, b)
        right = change > 0 if claim.ways == ("+",) else change < 0
        unit = "metres" if claim.what in ("height", "stance") else "degrees"
        return right and _is_of_size(claim, abs(change), unit, 1)
    limb = _limb(claim.what, a, b)
    for side in claim.sides:
        i = SIDES.index(side)
        unit = "degrees"
        if claim.what in ("elbow", "knee"):
            change = float(b.bend[limb][i] - a.bend[limb][i])
            right, size = (change > 0) == (claim.ways == ("+",)), abs(change)
        elif claim.what in ("arm", "thigh"):
            moved = b.upper[limb][i] - a.upper[limb][i]
            right = all(sign * moved[axis] > GROWS for axis, sign in (AXIS[way] for way in claim.ways))
            size = _between(a.upper[limb][i], b.upper[limb][i])
        else:
            moved = b.end[limb][i] - a.end[limb][i]
            ways = [AXIS[way] for way in claim.ways]
            right = all(sign * moved[axis] > GROWS for axis, sign in ways)
            size, unit = float(np.linalg.norm([moved[axis] for axis, _ in ways])), "metres"
        if not (right and _is_of_size(claim, size, unit, len(claim.sides))):
            return False
    return True


def _is_of_size(claim: Claim, size: float, unit: str, sides: int) -> bool:
    if claim.number is not None:
        off = (DEGREES_OFF, DEGREES_OFF_BOTH) if unit == "degrees" else (METRES_OFF, METRES_OFF_BOTH)
        return abs(claim.number - size) <= off[sides - 1]
    if claim.amount == "a little":
        return size <= LITTLE[unit]
    return not claim.amount or size >= LOT[unit]


def large_differences(a: Measured, b: Measured) -> list[tuple[str, str, float]]:
    """Return (what, side, size) of all differences above 20 degrees or 15 cm; size 1 is that limit. Largest first."""
    found: list[tuple[str, str, float]] = []
    for limb, parts in (("arm", ("arm", "elbow", "hand")), (_limb("knee", a, b), ("thigh", "knee", "foot"))):
        for i, side in enumerate(SIDES):
            sizes = (
                _between(a.upper[limb][i], b.upper[limb][i]) / LARGE_DEGREES,
                abs(b.bend[limb][i] - a.bend[limb][i]) / LARGE_DEGREES,
                float(np.linalg.norm(b.end[limb][i] - a.end[limb][i])) / LARGE_METRES,
            )
            found += [(part, side, float(size)) for part, size in zip(parts, sizes, strict=True)]
    both = a.heading and b.heading
    names = ["twist", "nod", "tilt", *(("lean", "side") if both else ("tip",))]
    if max(abs(a.angles["nod"]), abs(b.angles["nod"])) < 50:
        names.append("turn")
    found += [(name, "", abs(_change(name, a, b)) / LARGE_DEGREES) for name in names]
    return sorted((one for one in found if one[2] > 1), key=lambda one: -one[2])


def named(what: str, side: str, claims: Sequence[Claim], a: Measured, b: Measured) -> bool:
    """Return whether claims, of which only true ones count, name a difference."""
    true = [claim for claim in claims if holds(claim, a, b)]

    def said(*parts: str) -> bool:
        return any(claim.what in parts and (not side or not claim.sides or side in claim.sides) for claim in true)

    if what == "thigh":
        return said("thigh", "height", "stance")
    if what not in ("hand", "foot"):
        return said(what)
    if said(what):
        return True
    limb, i = _limb(what, a, b), SIDES.index(side)
    upper_said = said("arm") if what == "hand" else said("thigh", "height", "stance")
    bend_said = said("elbow") if what == "hand" else said("knee")
    upper = b.upper[limb][i] if upper_said else a.upper[limb][i]
    bend = np.radians((b if bend_said else a).bend[limb][i])
    lower = _turned(a.lower[limb][i], a.upper[limb][i], upper)
    plane = lower - upper * (lower @ upper)
    if np.linalg.norm(plane) < np.sin(np.radians(10)):  # a straight limb has no plane: any bend of it is as told
        plane = b.lower[limb][i] - upper * (b.lower[limb][i] @ upper)
    lower = upper * np.cos(bend) + _unit(plane + 1e-12) * np.sin(bend)
    first, second = b.lengths[limb]
    reached = b.start[limb][i] + upper * first + lower * second
    left = np.linalg.norm(b.end[limb][i] - reached)
    return bool(left <= EXPLAINED * np.linalg.norm(b.end[limb][i] - a.end[limb][i]))
