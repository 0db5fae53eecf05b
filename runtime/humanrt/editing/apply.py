"""An edit done to a pose: `apply`.

In this order: mirroring, the whole body's heading, trunk, head, arms, legs. Each step moves the parts that its channel
is about and lets everything beyond ride along; what is not spoken of keeps its local rotation, with three exceptions
that keep contact with the floor:

- Where the trunk leans, pelvis and spine share the turn, and thighs keep their direction: the feet stay.
- Where height or stance change, or both knees are bent of somebody who stands on both feet, hips, knees and ankles
  follow, so that each sole keeps its own tilt, and feet their place below the hips (for a stance: at the height where
  they were, as far as legs reach).
- Where a foot is moved, its sole keeps its tilt.

Somebody whose hands go to knees or toes out of their reach leans forward, unless the words say how to lean.

What is asked for ends at `changes.LIMITS` and at the limits of directions here; a pose that is beyond them already is
not brought back.
"""

from __future__ import annotations

from collections.abc import Callable
from math import acos, cos, degrees, radians, sin

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.editing.body import BELOW, JOINTS, LIMBS, Body, about, side_of
from humanrt.editing.changes import LIMITS, Edit, sided
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.geometry.skeleton import SMPL_REST, normalised, shortest_arc

__all__ = ["apply"]

Array = NDArray[np.float64]

_LOW_PLACES = ("knee", "toes")  # for which one leans, if the arms are too short
_MOST_LEAN, _LEAN_STEP = 80.0, 3.0  # degrees
_PALM = 0.06  # m, that a palm is beyond the wrist
_ROUNDS = 4  # of measuring what is left and doing it; what is shared by several joints comes close each time
_PELVIS_SHARE = 0.6  # of a lean
_SPINE = ("spine1", "spine2", "spine3")
_TOGETHER, _UNCROSSED = 0.15, 0.2  # m between ankles; closer ones are side by side, and not crossed
_STANDING = 0.12  # m; feet within this of the lower one carry the body
_ARM_BACK, _ARM_IN, _THIGH_BACK, _THIGH_IN, _THIGH_OUT = -0.85, -0.8, -0.6, -0.6, 0.95
_COLLAR_SHARE = 0.15  # of an arm's turn that the shoulder blade makes
_HINGES = {  # of straight limbs, in the upper part's own axes
    "left_elbow": np.array([0.0, -1.0, 0.0]),
    "right_elbow": np.array([0.0, 1.0, 0.0]),
    "left_knee": np.array([1.0, 0.0, 0.0]),
    "right_knee": np.array([1.0, 0.0, 0.0]),
}
_STRAIGHT = 8.0  # degrees; less bent limbs have no plane of their own
_TRUNK = tuple(joint for joint in range(len(JOINTS)) if joint not in BELOW["left_hip"] + BELOW["right_hip"])
_ALL = tuple(range(len(JOINTS)))


def apply(rotations: ArrayLike, edit: Edit) -> Array:
    """Return a pose [22, 3, 3] after an edit.

    Args:
        rotations: [22, 3, 3] local rotations of SMPL's body joints, the root's from the body to the camera (y down).
        edit: what to change.
    """
    body = Body(rotations)
    asked = set(edit.asked())
    if "mirror" in asked:
        body.mirror()
    if "facing" in asked:
        absolute, value, _, _ = edit.numbers("facing")
        turn = value - body.angle("facing") if absolute else value
        body.turn(_ALL, about(np.array([0.0, 1.0, 0.0]), turn))
    for channel, do in _TRUNK_STEPS.items():
        if channel in asked:
            _reach(body, edit, channel, do)
    for channel in sided("arm"):
        if channel in asked:
            _point_limb(body, edit, channel)
    for channel in sided("elbow"):
        if channel in asked:
            _bend(body, channel, _target(body, edit, channel))
    if "lean" not in asked:
        _lean_to_reach(body, edit, [one for one in sided("hand") if one in asked])
    # Both are placed as seen from the pose before, also where one hand goes to the other arm.
    for channel, target in [(one, _hand_target(body, edit, one)) for one in sided("hand") if one in asked]:
        absolute = edit.numbers(channel)[0]
        _reach_for(body, channel, target, body.chest() if absolute else None)
    for channel in sided("thigh"):
        if channel in asked:
            _point_limb(body, edit, channel)
    _legs(body, edit, asked)
    for channel in sided("ankle"):
        if channel in asked:
            side = channel.split("_")[0]
            change = _target(body, edit, channel) - body.angle(channel)
            body.turn(BELOW[channel], about(body.world[JOINTS[f"{side}_knee"]][:, 0], change))
    return body.rotations()


# ------------------------------------------------------------------------------------------------ numbers


def _target(body: Body, edit: Edit, channel: str) -> float:
    """Return what a number is to be, inside its limits; outside only where it is already."""
    absolute, value, _, _ = edit.numbers(channel)
    now = body.angle(channel)
    wanted = value if absolute else now + value
    low, high = LIMITS[side_of(channel)[1]]
    return float(np.clip(wanted, min(low, now), max(high, now)))


def _reach(body: Body, edit: Edit, channel: str, do: Callable[[Body, float], None]) -> None:
    """Change a number that several joints share, until it is as wanted."""
    wanted = _target(body, edit, channel)
    for _ in range(_ROUNDS):
        left = wanted - body.angle(channel)
        if abs(left) < 0.2:
            break
        do(body, left)


def _lean(body: Body, angle: float, axis: Array) -> None:
    pelvis = about(axis, _PELVIS_SHARE * angle)
    body.turn(_TRUNK, pelvis)
    _bow(body, (1 - _PELVIS_SHARE) * angle, axis)


def _bow(body: Body, angle: float, axis: Array) -> None:
    for joint in _SPINE:
        body.turn(BELOW[joint], about(axis, angle / len(_SPINE)))


def _lean_front(body: Body, angle: float) -> None:
    _lean(body, angle, body.level()[0])


def _lean_left(body: Body, angle: float) -> None:
    _lean(body, -angle, body.level()[2])


def _twist(body: Body, angle: float) -> None:
    _bow(body, angle, body.trunk)


def _head(row: int, sign: float) -> Callable[[Body, float], None]:
    def turn(body: Body, angle: float) -> None:
        axis = body.chest()[row]
        body.turn(BELOW["neck"], about(axis, sign * angle / 2))
        body.turn(BELOW["head"], about(axis, sign * angle / 2))

    return turn


_TRUNK_STEPS: dict[str, Callable[[Body, float], None]] = {
    "lean": _lean_front,
    "side_lean": _lean_left,
    "twist": _twist,
    "head_nod": _head(0, -1.0),
    "head_tilt": _head(2, -1.0),
    "head_turn": _head(1, 1.0),
}


def _bend(body: Body, channel: str, wanted: float) -> None:
    """Bend an elbow or a knee to an angle, in its own plane; in the hinge's if it is straight."""
    side, part = side_of(channel)
    start, middle, end = (f"{side}_{name}" for name in LIMBS["arm" if part == "elbow" else "thigh"])
    upper = normalised(body.joint(middle) - body.joint(start))
    lower = normalised(body.joint(end) - body.joint(middle))
    now = body.angle(channel)
    hinge = body.world[JOINTS[start]] @ _HINGES[channel]
    axis = np.cross(upper, lower) if now > _STRAIGHT else hinge - upper * (hinge @ upper)
    body.turn(BELOW[middle], about(normalised(axis), wanted - now if now > _STRAIGHT else wanted))


# ------------------------------------------------------------------------------------------------ directions


def _point_limb(body: Body, edit: Edit, channel: str) -> None:
    """Turn an arm or a thigh towards where it is to point, with everything on it."""
    side, part = side_of(channel)
    absolute, value, way, _ = edit.numbers(channel)
    start = body.direction(channel)
    between = degrees(acos(float(np.clip(start @ way, -1, 1))))
    turned = between - value if absolute else min(value, between) if value > 0 else value
    wanted = _allowed(_swung(start, way, turned), start, part)
    joint = f"{side}_{LIMBS[part][0]}"
    for number in range(_ROUNDS):
        # The chest's axes follow the shoulders: what is left is measured again.
        axes = body.axes_of(channel)
        rotation = shortest_arc(axes.T @ body.direction(channel), axes.T @ wanted)
        if part == "arm" and number == 0:
            vector = vectors_from_matrices(rotation)
            body.turn(BELOW[f"{side}_collar"], matrices_from_vectors(_COLLAR_SHARE * vector))
            continue
        body.turn(BELOW[joint], rotation)


def _swung(start: Array, way: Array, angle: float) -> Array:
    """Return a unit vector turned towards another by degrees; by way of the front where they are opposite."""
    aside = way - start * (start @ way)
    if np.linalg.norm(aside) < 0.26:  # 15 degrees from straight away: the front is what is meant
        front = np.array([0.15, 0.0, 1.0])
        aside = normalised(aside) * 0.3 + front - start * (start @ front) if np.linalg.norm(aside) > 1e-6 else front
        aside = aside - start * (start @ aside)
        if start @ way > 0:  # close to it already
            aside = way - start * (start @ way)
            if np.linalg.norm(aside) < 1e-6:
                return start
    aside = normalised(aside)
    return np.asarray(start * cos(radians(angle)) + aside * sin(radians(angle)))


def _allowed(wanted: Array, start: Array, part: str) -> Array:
    """Return a direction inside what people can do; components that are beyond already may stay."""
    low = np.array([_ARM_IN, -1.0, _ARM_BACK]) if part == "arm" else np.array([_THIGH_IN, -1.0, _THIGH_BACK])
    high = np.array([1.0, 1.0, 1.0]) if part == "arm" else np.array([_THIGH_OUT, 0.8, 1.0])
    inside = np.clip(wanted, np.minimum(low, start), np.maximum(high, start))
    return normalised(inside)


# ------------------------------------------------------------------------------------------------ points


def _hand_target(body: Body, edit: Edit, channel: str) -> Array:
    """Return where the wrist is to be [3], m from the pelvis."""
    absolute, value, way, place = edit.numbers(channel)
    side, _ = side_of(channel)
    if not absolute:
        return np.asarray(body.joint(f"{side}_wrist") + body.axes_of(channel).T @ way * value)
    return _place(body, side, place)


def _lean_to_reach(body: Body, edit: Edit, hands: list[str]) -> None:
    """Lean forward as far as hands need that are put to knees or toes."""
    for _ in range(round(1.5 * _MOST_LEAN / _LEAN_STEP)):
        if body.angle("lean") >= _MOST_LEAN or not any(_is_short(body, edit, hand) for hand in hands):
            return
        _lean_front(body, _LEAN_STEP)


def _is_short(body: Body, edit: Edit, channel: str) -> bool:
    absolute, _, _, place = edit.numbers(channel)
    if not absolute or place not in _LOW_PLACES:
        return False
    side, _ = side_of(channel)
    shoulder, elbow, wrist = (body.joint(f"{side}_{name}") for name in LIMBS["arm"])
    length = np.linalg.norm(elbow - shoulder) + np.linalg.norm(wrist - elbow)
    return bool(np.linalg.norm(_place(body, side, place) - shoulder) > length + _PALM)


def _place(body: Body, side: str, place: str) -> Array:
    """Return where the wrist is when the palm lies on a place of the body, m from the pelvis."""
    other = "right" if side == "left" else "left"
    sign = np.array([1.0 if side == "left" else -1.0, 1.0, 1.0])
    joint, axes, offset = {
        "hip": (f"{side}_hip", body.world[0], (0.14, 0.12, 0.02)),
        "shoulder": (f"{side}_shoulder", body.world[JOINTS["spine3"]], (0.02, 0.02, 0.12)),
        "other_shoulder": (f"{other}_shoulder", body.world[JOINTS["spine3"]], (0.10, -0.03, 0.12)),
        "head": ("head", body.world[JOINTS["head"]], (0.10, 0.20, 0.02)),
        "ear": ("head", body.world[JOINTS["head"]], (0.15, 0.0, 0.05)),
        "behind_head": ("head", body.world[JOINTS["head"]], (0.11, 0.04, -0.11)),
        "face": ("head", body.world[JOINTS["head"]], (0.06, -0.02, 0.18)),
        "chest": ("spine3", body.world[JOINTS["spine3"]], (0.12, 0.04, 0.18)),
        "belly": ("spine1", body.world[JOINTS["spine1"]], (0.12, 0.03, 0.22)),
        "back": ("spine1", body.world[JOINTS["spine1"]], (0.13, 0.02, -0.14)),
        "thigh": (f"{side}_hip", body.world[JOINTS[f"{side}_hip"]], (0.02, -0.20, 0.14)),
        "knee": (f"{side}_knee", body.world[JOINTS[f"{side}_hip"]], (0.0, 0.08, 0.12)),
        "toes": (f"{side}_foot", body.world[JOINTS[f"{side}_ankle"]], (0.0, 0.14, 0.0)),
        "together": ("spine3", body.world[JOINTS["spine3"]], (0.03, -0.02, 0.30)),
    }[place]
    return np.asarray(body.joint(joint) + axes @ (np.array(offset) * sign))


def _reach_for(body: Body, channel: str, target: Array, axes: Array | None) -> None:
    """Bring a wrist to a place, or as close as the arm is long.

    Args:
        body: the body.
        channel: `left_hand` or `right_hand`.
        target: [3] m from the pelvis.
        axes: of the chest, where the elbow is to point out and down; None: it stays on its side of the arm.
    """
    side, _ = side_of(channel)
    names = tuple(f"{side}_{name}" for name in LIMBS["arm"])
    pole = None
    if axes is not None:
        pole = axes.T @ np.array([0.7 if side == "left" else -0.7, -0.7, -0.25])
    _two_bones(body, names, target, pole)


def _two_bones(body: Body, names: tuple[str, ...], target: Array, pole: Array | None) -> None:
    """Bring the end of a limb to a place [3] by its upper and middle joint.

    Args:
        body: the body.
        names: joints of the limb: start, middle, end.
        target: [3] m.
        pole: [3] where the middle joint is to point; None: where it points.
    """
    start, middle, end = (body.joint(name) for name in names)
    first, second = float(np.linalg.norm(middle - start)), float(np.linalg.norm(end - middle))
    line = target - start
    distance = float(np.clip(np.linalg.norm(line), abs(first - second) + 0.05, 0.999 * (first + second)))
    line = normalised(line)
    if pole is None:
        bent = degrees(acos(float(np.clip((middle - start) @ (end - middle) / first / second, -1, 1))))
        if bent > _STRAIGHT:
            old = normalised(end - start)
            aside = (middle - start) - old * ((middle - start) @ old)
            pole = shortest_arc(old, line) @ aside  # the plane is carried along
        else:
            hinge = body.world[JOINTS[names[0]]] @ _HINGES[names[1]]
            upper = normalised(middle - start)
            pole = shortest_arc(upper, line) @ -np.cross(hinge, upper)
    aside = pole - line * (pole @ line)
    if np.linalg.norm(aside) < 1e-4:
        aside = body.level()[2] - line * (body.level()[2] @ line)
    aside = normalised(aside)
    cosine = float(np.clip((first**2 + distance**2 - second**2) / (2 * first * distance), -1, 1))
    upper = line * cosine + aside * np.sqrt(1 - cosine**2)
    body.turn(BELOW[names[0]], shortest_arc(middle - start, upper))
    start, middle, end = (body.joint(name) for name in names)
    body.turn(BELOW[names[1]], shortest_arc(end - middle, start + line * distance - middle))


# ------------------------------------------------------------------------------------------------ legs


def _legs(body: Body, edit: Edit, asked: set[str]) -> None:
    """Change knees, stance, feet and height; soles keep their tilt where feet carry the body or are moved."""
    knees = [channel for channel in sided("knee") if channel in asked]
    on_both = _on_floor(body) == ("left", "right") and not asked & set(sided("thigh", "foot"))
    wanted = {channel: _target(body, edit, channel) for channel in knees}
    if len(knees) == 2 and on_both:
        for channel in knees:
            side = channel.split("_")[0]
            hip, ankle = body.joint(f"{side}_hip"), body.joint(f"{side}_ankle")
            upper = float(np.linalg.norm(SMPL_REST[4] - SMPL_REST[1]))
            lower = float(np.linalg.norm(SMPL_REST[7] - SMPL_REST[4]))
            length = np.sqrt(upper**2 + lower**2 + 2 * upper * lower * cos(radians(wanted[channel])))
            _move_foot(body, side, hip + normalised(ankle - hip) * length)
    else:
        for channel in knees:
            _bend(body, channel, wanted[channel])
    for channel in sided("foot"):
        if channel in asked:
            side, _ = side_of(channel)
            _, value, way, _ = edit.numbers(channel)
            _move_foot(body, side, body.joint(f"{side}_ankle") + body.axes_of(channel).T @ way * value)
    if "stance" in asked:
        _stand(body, _target(body, edit, "stance"))
    if "height" in asked:
        change = _target(body, edit, "height") - body.angle("height")
        standing = _on_floor(body)
        for side in standing:
            _move_foot(body, side, body.joint(f"{side}_ankle") - np.array([0.0, change, 0.0]))
        floor = min(body.joint(f"{side}_ankle")[1] for side in standing)
        for side in {"left", "right"} - set(standing):  # a foot in the air does not go through the floor
            ankle = body.joint(f"{side}_ankle")
            if ankle[1] < floor:
                _move_foot(body, side, np.array([ankle[0], floor, ankle[2]]))


def _stand(body: Body, stance: float) -> None:
    """Bring the ankles to a distance of each other, m, the lower one at the height where it is.

    Feet go apart to the sides. They come together along the line between them: somebody who strides has the one in
    front of the other, so the closer they come, the more they end side by side.
    """
    left_axis = body.level()[0]
    ankles = {side: body.joint(f"{side}_ankle") for side in ("left", "right")}
    apart = ankles["left"] - ankles["right"]
    now, sideways = float(np.linalg.norm(apart)), float(left_axis @ apart)
    if stance < now:
        rest = apart - left_axis * sideways
        rest *= (stance - _TOGETHER) / (now - _TOGETHER) if stance > _TOGETHER else 0.0
        across = float(np.sqrt(max(0.0, stance**2 - float(rest @ rest))))
        crossed = sideways < 0 and stance > _UNCROSSED
        wanted = rest + left_axis * (-across if crossed else across)
    else:
        wanted = apart + left_axis * (stance - now)
    middle = (ankles["left"] + ankles["right"]) / 2
    targets = {"left": middle + wanted / 2, "right": middle - wanted / 2}
    sink = min(one[1] for one in targets.values()) - min(one[1] for one in ankles.values())
    for side, target in targets.items():
        _move_foot(body, side, target - np.array([0.0, sink, 0.0]))


def _on_floor(body: Body) -> tuple[str, ...]:
    """Return the sides of the feet that carry the body."""
    heights = {side: body.joint(f"{side}_ankle")[1] for side in ("left", "right")}
    return tuple(side for side, height in heights.items() if height < min(heights.values()) + _STANDING)


def _move_foot(body: Body, side: str, target: Array) -> None:
    """Bring an ankle to a place [3], m from the pelvis; the knee stays to the front, the sole keeps its tilt."""
    sole = body.world[JOINTS[f"{side}_ankle"]].copy()
    names = tuple(f"{side}_{name}" for name in LIMBS["thigh"])
    _two_bones(body, names, target, None)
    ankle = JOINTS[f"{side}_ankle"]
    body.turn(BELOW[f"{side}_ankle"], sole @ body.world[ankle].T)
