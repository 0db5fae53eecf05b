"""What is true of a pose, by geometry alone: `facts`, named conditions of arms, legs, trunk and head.

They decide what a text may say of a pose when the embedder learns, and whether a pose that was found by words fits
them. All are measured on one skeleton in axes of the body (`humanrt.geometry.pose_descriptor.points_of`: x to the
body's left, y up, z ahead), so that neither stature nor heading counts. Thresholds are angles and distances that people
tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.pose_descriptor import POINTS, points_of
from humanrt.geometry.skeleton import normalised

__all__ = ["NAMES", "REGIONS", "VERSION", "Region", "facts", "facts_of_points", "region_of", "side_of"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Region = Literal["arms", "legs", "trunk", "head"]
REGIONS: tuple[Region, ...] = ("arms", "legs", "trunk", "head")

_SIDES = ("left", "right")
_INDEX = {name: index for index, name in enumerate(POINTS)}
_HEAD_FRONT = 0.12  # m, of the face before the middle of the head


def facts(poses: NDArray[Any]) -> dict[str, Flags]:
    """Return every fact by its name: whether it is true of each pose [N].

    Names are ``PART.STATE`` or ``left_PART.STATE``; `region_of` says to what region of the body they belong.

    Args:
        poses: [N, 22, 3, 3] of SMPL's body joints, the root's to a level camera (y down).
    """
    return facts_of_points(points_of(poses))


def facts_of_points(points: NDArray[Any]) -> dict[str, Flags]:
    """Return the facts of poses of which points are known, [N, P, 3] m (`humanrt.geometry.pose_descriptor`)."""
    points = np.asarray(points, np.float64)
    at = {name: points[:, index] for name, index in _INDEX.items()}
    at["hips"], at["shoulders"] = ((at[f"left_{part}"] + at[f"right_{part}"]) / 2 for part in ("hip", "shoulder"))
    trunk = normalised(at["neck"] - at["hips"])
    floor = np.min([at[f"{side}_{part}"][:, 1] for side in _SIDES for part in ("ankle", "foot", "knee")], axis=0)
    floor = np.minimum(floor, at["hips"][:, 1] - 0.1)
    found: dict[str, Flags] = {}
    found |= _arms(at, trunk, floor)
    found |= _legs(at, trunk, floor)
    found |= _trunk(at, trunk, floor)
    found |= _head(at, trunk)
    return found | _wholes(found, at, trunk, floor)


def region_of(fact: str) -> Region:
    """Return the region of the body that a fact is about."""
    part = fact.partition(".")[0].removeprefix("left_").removeprefix("right_")
    return _REGION_OF[part]


def side_of(fact: str) -> str:
    """Return the side of the body that a fact is about, "left" or "right"; "" for both or none."""
    part, _, state = fact.partition(".")
    for side in _SIDES:
        if part.startswith(f"{side}_") or state == side or state.endswith(f"_{side}"):
            return side
    return ""


_REGION_OF: Mapping[str, Region] = {
    **dict.fromkeys(("arm", "elbow", "hand", "arms", "elbows", "hands"), "arms"),
    **dict.fromkeys(("leg", "knee", "foot", "legs", "knees", "feet", "body"), "legs"),
    **dict.fromkeys(("trunk", "shoulders"), "trunk"),
    "head": "head",
}


def _arms(at: Mapping[str, Array], trunk: Array, floor: Array) -> dict[str, Flags]:
    """Return facts of arms and hands. Directions of arms are (out, up, ahead) of the chest."""
    line = normalised(at["left_shoulder"] - at["right_shoulder"])
    left = normalised(line - trunk * (line * trunk).sum(-1, keepdims=True))
    ahead = np.cross(left, trunk)
    upright = trunk[:, 1] > 0.3  # of somebody who lies, what is beyond the head is not above it, and the reverse
    found: dict[str, Flags] = {}
    for side, other in (("left", "right"), ("right", "left")):
        sign = 1.0 if side == "left" else -1.0
        shoulder, elbow, wrist, hand = (at[f"{side}_{part}"] for part in ("shoulder", "elbow", "wrist", "hand"))
        upper, lower = normalised(elbow - shoulder), normalised(wrist - elbow)
        whole = normalised(wrist - shoulder)
        out, up, front = (
            (whole * sign * left).sum(-1), (whole * trunk).sum(-1), (whole * ahead).sum(-1),
        )  # fmt: skip
        bend = _angle(upper, lower)
        reach = np.linalg.norm(wrist - shoulder, axis=-1)
        near = 0.2
        raised = (hand[:, 1] > at["head"][:, 1] + 0.15) & upright
        hip, thigh = at[f"{side}_hip"], (at[f"{side}_hip"] + at[f"{side}_knee"]) / 2
        over = normalised(at["head"] - at["neck"])
        skull = at["head"] + 0.08 * over
        chest = at["neck"] - 0.22 * trunk + 0.1 * ahead
        belly = at["hips"] + 0.15 * trunk + 0.12 * ahead
        lap = [np.linalg.norm(hand - at[f"{one}_knee"], axis=-1) < 0.19 for one in _SIDES]
        inside = ((wrist - at["shoulders"]) * sign * left).sum(-1)
        depth = ((hand - at["shoulders"]) * ahead).sum(-1)
        found |= {
            f"{side}_arm.up": raised & (up > 0.75) & (bend < 75),
            f"{side}_arm.raised": (up > 0.25) & (reach > 0.28) & (upright | (wrist[:, 1] > shoulder[:, 1] + 0.1)),
            f"{side}_hand.overhead": raised,
            f"{side}_arm.side": (out > 0.75) & (abs(up) < 0.45) & (bend < 60),
            f"{side}_arm.front": (front > 0.75) & (abs(up) < 0.45) & (bend < 70),
            f"{side}_arm.down": (up < -0.85) & (bend < 45),
            f"{side}_arm.back": (front < -0.4) & (up < 0.3),
            f"{side}_arm.across": (inside < -0.05) & (depth > 0.05),
            f"{side}_elbow.bent": bend > 65,
            f"{side}_elbow.very_bent": bend > 110,
            f"{side}_elbow.right_angle": (bend > 72) & (bend < 108),
            f"{side}_elbow.straight": bend < 22,
            f"{side}_hand.hip": (np.linalg.norm(wrist - hip - 0.08 * trunk, axis=-1) < 0.21) & (bend > 45)
            & ((elbow - shoulder) @ np.eye(3)[0] * sign > 0.08),
            f"{side}_hand.head": np.linalg.norm(hand - skull, axis=-1) < near + 0.02,
            f"{side}_hand.face": np.linalg.norm(hand - at["face"], axis=-1) < near,
            f"{side}_hand.chest": (np.linalg.norm(hand - chest, axis=-1) < near) & (bend > 80),
            f"{side}_hand.belly": (np.linalg.norm(hand - belly, axis=-1) < near) & (bend > 45),
            f"{side}_hand.behind": (depth < -0.16) & (abs(inside) < 0.25) & (up < -0.4) & (bend > 35),
            f"{side}_hand.thigh": np.linalg.norm(hand - thigh, axis=-1) < 0.16,
            f"{side}_hand.knee": lap[0] | lap[1],
            f"{side}_hand.floor": hand[:, 1] < floor + 0.14,
            f"{side}_hand.foot": np.min(
                [np.linalg.norm(hand - at[f"{one}_{part}"], axis=-1) for one in _SIDES for part in ("ankle", "foot")],
                axis=0,
            ) < near,
            f"{side}_hand.elbow": np.linalg.norm(hand - at[f"{other}_elbow"], axis=-1) < 0.17,
            f"{side}_hand.shoulder": np.linalg.norm(hand - at[f"{other}_shoulder"], axis=-1) < 0.2,
            f"{side}_hand.higher": wrist[:, 1] > at[f"{other}_wrist"][:, 1] + 0.3,
        }  # fmt: skip
    apart = np.linalg.norm(at["left_hand"] - at["right_hand"], axis=-1)
    found["hands.together"] = apart < 0.16
    found["hands.apart"] = apart > 1.25
    found["arms.crossed"] = (
        found["left_arm.across"] & found["right_arm.across"] & found["left_elbow.bent"] & found["right_elbow.bent"]
    )
    for part, state in (
        *(("arm", state) for state in ("up", "raised", "side", "front", "down", "back")),
        *(("elbow", state) for state in ("bent", "very_bent", "right_angle", "straight")),
        *(
            ("hand", state)
            for state in ("overhead", "hip", "head", "face", "chest", "behind", "thigh", "knee", "floor")
        ),
    ):
        found[f"{part}s.{state}"] = found[f"left_{part}.{state}"] & found[f"right_{part}.{state}"]
    return found


def _legs(at: Mapping[str, Array], trunk: Array, floor: Array) -> dict[str, Flags]:
    """Return facts of legs and feet, in level axes."""
    found: dict[str, Flags] = {}
    lowest = np.minimum(at["left_ankle"][:, 1], at["right_ankle"][:, 1])
    height = at["hips"][:, 1] - lowest
    upright = trunk[:, 1] > 0.3
    for side, other in (("left", "right"), ("right", "left")):
        sign = 1.0 if side == "left" else -1.0
        hip, knee, ankle = (at[f"{side}_{part}"] for part in ("hip", "knee", "ankle"))
        thigh, shin = normalised(knee - hip), normalised(ankle - knee)
        whole = normalised(ankle - hip)
        bend = _angle(thigh, shin)
        lift = ankle[:, 1] - at[f"{other}_ankle"][:, 1]
        found |= {
            f"{side}_knee.bent": bend > 50,
            f"{side}_knee.very_bent": bend > 95,
            f"{side}_knee.slight": (bend > 20) & (bend < 55),
            f"{side}_knee.straight": bend < 18,
            f"{side}_knee.raised": (thigh[:, 1] > -0.45) & (lift > 0.15) & (thigh[:, 2] > 0.3) & upright,
            f"{side}_foot.lifted": (lift > 0.16) & (height > 0.45),
            f"{side}_leg.front": (whole[:, 2] > 0.5) & (bend < 50) & (lift > 0.1) & upright,
            f"{side}_leg.back": (whole[:, 2] < -0.4) & (bend < 70),
            f"{side}_foot.behind": (shin[:, 2] < -0.6) & (thigh[:, 1] < -0.6) & (lift > 0.15),
            f"{side}_leg.side": (whole[:, 0] * sign > 0.42) & (bend < 55),
            f"{side}_leg.raised": (lift > 0.35) & (bend < 60),
            f"{side}_foot.front": (ankle[:, 2] - at[f"{other}_ankle"][:, 2]) > 0.28,
            # The shin points back: knees are as low where people squat with their legs far apart.
            f"{side}_knee.floor": (knee[:, 1] < floor + 0.1)
            & (shin[:, 1] > -0.5)
            & (thigh[:, 1] < -0.4)
            & (shin[:, 2] < -0.3),
        }
    spread = abs(at["left_ankle"][:, 0] - at["right_ankle"][:, 0])
    distance = np.linalg.norm((at["left_ankle"] - at["right_ankle"])[:, [0, 2]], axis=-1)
    long = abs(at["left_ankle"][:, 2] - at["right_ankle"][:, 2])
    flat = abs(at["left_ankle"][:, 1] - at["right_ankle"][:, 1]) < 0.12
    found["feet.apart"] = (spread > 0.42) & flat & upright
    found["feet.together"] = (distance < 0.2) & flat & upright
    found["feet.stride"] = (long > 0.5) & upright
    found["legs.crossed"] = (at["left_ankle"][:, 0] - at["right_ankle"][:, 0]) < -0.04
    for part, state in (
        *(("knee", state) for state in ("bent", "very_bent", "slight", "straight", "floor")),
        ("leg", "front"),
    ):
        found[f"{part}s.{state}"] = found[f"left_{part}.{state}"] & found[f"right_{part}.{state}"]
    return found


def _trunk(at: Mapping[str, Array], trunk: Array, floor: Array) -> dict[str, Flags]:
    lean = np.degrees(np.arctan2(trunk[:, 2], trunk[:, 1]))
    side = np.degrees(np.arcsin(trunk[:, 0].clip(-1, 1)))
    hip_line, shoulder_line = (normalised(at[f"left_{part}"] - at[f"right_{part}"]) for part in ("hip", "shoulder"))
    first = normalised(hip_line - trunk * (hip_line * trunk).sum(-1, keepdims=True))
    twist = np.degrees(np.arctan2(-(np.cross(first, trunk) * shoulder_line).sum(-1), (first * shoulder_line).sum(-1)))
    high = at["neck"][:, 1] - floor
    tipped = abs(trunk[:, 1]) < 0.5
    chest_up = np.cross(first, trunk)[:, 1]
    return {
        "trunk.upright": (abs(lean) < 10) & (abs(side) < 10),
        "trunk.forward": (lean > 18) & (lean < 60),
        "trunk.bent_over": (lean > 55) & (lean < 150) & (at["hips"][:, 1] - floor > 0.4),
        "trunk.back": (lean < -12) & (lean > -75),
        "trunk.left": (side > 14) & (side < 60),
        "trunk.right": (side < -14) & (side > -60),
        "trunk.turned_left": (twist > 18) & (twist < 120),
        "trunk.turned_right": (twist < -18) & (twist > -120),
        "trunk.on_back": tipped & (high < 0.5) & (chest_up > 0.5),
        "trunk.on_front": tipped & (high < 0.5) & (chest_up < -0.5),
    }


def _head(at: Mapping[str, Array], trunk: Array) -> dict[str, Flags]:
    line = normalised(at["left_shoulder"] - at["right_shoulder"])
    left = normalised(line - trunk * (line * trunk).sum(-1, keepdims=True))
    ahead = np.cross(left, trunk)
    over = normalised(at["head"] - at["neck"])
    face = at["face"] - at["head"]
    face = normalised(face)
    turn = np.degrees(np.arctan2((face * left).sum(-1), (face * ahead).sum(-1)))
    nod = np.degrees(np.arcsin((face * trunk).sum(-1).clip(-1, 1))) - 18.4  # `descriptor`: the face is above the joint
    tilt = np.degrees(np.arcsin((over * left).sum(-1).clip(-1, 1)))
    level = abs(nod) < 50
    return {
        "head.left": (turn > 28) & level,
        "head.right": (turn < -28) & level,
        "head.down": nod < -25,
        "head.up": nod > 18,
        "head.tilt_left": tilt > 18,
        "head.tilt_right": tilt < -18,
        "head.ahead": (abs(turn) < 12) & (abs(nod) < 12),
    }


def _wholes(found: Mapping[str, Flags], at: Mapping[str, Array], trunk: Array, floor: Array) -> dict[str, Flags]:
    """Return facts of the whole body."""
    lowest = np.minimum(at["left_ankle"][:, 1], at["right_ankle"][:, 1])
    height = at["hips"][:, 1] - lowest
    upright = trunk[:, 1] > 0.5
    thighs = [normalised(at[f"{side}_knee"] - at[f"{side}_hip"]) for side in _SIDES]
    bent = found["knees.bent"]
    ahead = (thighs[0][:, 2] > 0.55) & (thighs[1][:, 2] > 0.55)
    lying = found["trunk.on_back"] | found["trunk.on_front"]
    kneeling = (found["left_knee.floor"] | found["right_knee.floor"]) & ~lying
    squat = bent & (height < 0.55) & ~kneeling & ~lying & (trunk[:, 1] > 0.2)
    heels = np.abs(at["left_ankle"][:, 2]) < 0.45
    return {
        "body.standing": (height > 0.72) & upright,
        "body.straight": (height > 0.76) & (trunk[:, 1] > 0.97) & found["knees.straight"],
        "body.squat": squat & heels,
        "body.deep_squat": squat & heels & (height < 0.36),
        "body.sit": ahead & bent & upright & (height > 0.1) & (height < 0.66) & ~kneeling
        & (at["left_ankle"][:, 2] > 0.22) & (at["right_ankle"][:, 2] > 0.22),
        "body.kneel": kneeling & (found["left_knee.floor"] & found["right_knee.floor"]),
        "body.half_kneel": kneeling & (found["left_knee.floor"] ^ found["right_knee.floor"]),
        "body.lying_back": found["trunk.on_back"],
        "body.lying_front": found["trunk.on_front"],
        "body.lunge": found["feet.stride"] & (found["left_knee.bent"] ^ found["right_knee.bent"]) & upright
        & ~kneeling & (height < 0.8),
        "body.one_leg_left": found["right_foot.lifted"] & found["left_knee.straight"],
        "body.one_leg_right": found["left_foot.lifted"] & found["right_knee.straight"],
        "body.t_pose": found["arms.side"] & upright,
        "body.fours": found["hands.floor"] & kneeling,
    }  # fmt: skip


def _angle(one: Array, two: Array) -> Array:
    return np.asarray(np.degrees(np.arccos((one * two).sum(-1).clip(-1, 1))))


VERSION = "2"
"""Of names, conditions and thresholds; what is kept of facts has it in its name, so raise it with any of them."""
NAMES: tuple[str, ...] = tuple(facts(np.broadcast_to(np.eye(3), (1, 22, 3, 3))))
"""Of all facts, in their order."""
