"""What moves in a body: the joints of Anny's skeleton that are solved for, their axes and their limits.

A joint turns one bone, or several by fixed parts of one rotation vector (the five bones of the spine bend together: a
picture shows hips and shoulders, not vertebrae). A rotation vector is given in anatomical axes, relative to a neutral
pose near the middle of the joint's range, and its components have limits: an elbow has one (a hinge), a wrist two, a
shoulder three. Bones that no joint turns keep their place on their parent.

Axes are Anny's: x to the person's left, y backwards, z up; rest is its reference pose. Those of the right side are the
left ones mirrored. Limits are those of limber adults, wide enough for dancers; they exclude what no joint can do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.geometry.skeleton import normalised, shortest_arc

__all__ = ["Joint", "body_joints", "finger_joints"]

Array = NDArray[np.float64]
Rest = Mapping[str, Array]


@dataclass(frozen=True)
class Joint:
    """One rotation vector and the bones that it turns.

    Attributes:
        name: such as ``elbow.L``.
        bones: the bones, and the part of the vector by which each turns.
        axes: [K, 3] unit rotation axes at rest, orthogonal to each other, Anny's axes; K is 1 (hinge), 2 or 3.
        lower, upper: [K] rad.
        neutral: [3, 3] rotation of the bone since rest when the vector is 0.
        spread: [K] rad, how far people usually are from rest: the weak prior of a pose of which nothing is known.
    """

    name: str
    bones: tuple[tuple[str, float], ...]
    axes: Array
    lower: Array
    upper: Array
    neutral: Array
    spread: Array

    @property
    def rest(self) -> Array:
        """[K] rad: the vector at rest, within the limits."""
        return np.clip(self.axes @ vectors_from_matrices(self.neutral.T), self.lower, self.upper)


# The share of each bone in the bend of the trunk and the neck, as in `anny_from_smpl` for an even bend.
_SPINE = (("spine05", 1 / 6), ("spine04", 1 / 6), ("spine03", 1 / 6), ("spine02", 1 / 6), ("spine01", 1 / 3))
_X, _Y, _Z = np.eye(3)


def _joint(
    name: str,
    bones: str | tuple[tuple[str, float], ...],
    axes: list[Array],
    limits: list[tuple[float, float]],
    spread: float | list[float],
    neutral: Array | None = None,
) -> Joint:
    """Create a joint; limits and spread in degrees."""
    low, high = np.radians(np.array(limits, np.float64)).T
    each = np.radians(np.broadcast_to(np.asarray(spread, np.float64), len(axes)))
    turns = np.eye(3) if neutral is None else neutral
    return Joint(name, ((bones, 1.0),) if isinstance(bones, str) else bones, np.array(axes), low, high, turns, each)


def body_joints(rest: Rest) -> list[Joint]:
    """Return the joints of trunk, head, arms and legs.

    Args:
        rest: joint -> [3] m, Anny's reference pose.
    """
    joints = [
        _joint("spine", _SPINE, [_X, _Y, _Z], [(-45, 110), (-50, 50), (-65, 65)], [25, 15, 15]),
        _joint(
            "neck", (("neck01", 0.5), ("neck02", 0.5)), [_X, _Y, _Z], [(-35, 45), (-30, 30), (-40, 40)], [15, 10, 15]
        ),
        _joint("head", (("neck03", 0.5), ("head", 0.5)), [_X, _Y, _Z], [(-40, 40), (-30, 30), (-45, 45)], [15, 10, 15]),
    ]
    for end in "LR":
        joints += _mirrored(_limbs(_left(rest)), end)
    return joints


def finger_joints(rest: Rest) -> list[Joint]:
    """Return the joints of the fingers; arguments as for `body_joints`."""
    return [joint for end in "LR" for joint in _mirrored(_fingers(_left(rest)), end)]


def _left(rest: Rest) -> dict[str, Array]:
    return {name.removesuffix(".L"): np.asarray(place, np.float64) for name, place in rest.items() if ".R" not in name}


def _mirrored(joints: Iterator[Joint], end: str) -> list[Joint]:
    """Return joints of the left side as they are, or as those of the right: an axis is a pseudovector."""
    turn = np.ones(3) if end == "L" else np.array([1.0, -1.0, -1.0])
    return [
        Joint(
            f"{joint.name}.{end}",
            tuple((f"{bone}.{end}", part) for bone, part in joint.bones),
            joint.axes * turn,
            joint.lower,
            joint.upper,
            joint.neutral * np.outer(turn, turn),
            joint.spread,
        )
        for joint in joints
    ]


def _limbs(at: Rest) -> Iterator[Joint]:
    upper, lower = at["lowerarm01"] - at["upperarm01"], at["wrist"] - at["lowerarm01"]
    along = normalised(upper)
    yield _joint("clavicle", "clavicle", [-_Y, -_Z], [(-10, 45), (-25, 40)], [12, 12])
    # Neutral: the arm to the side, a little to the front and down; from there every direction that an arm can take lies
    # within about 100 degrees.
    ahead = normalised(np.array([0.75, -0.6, -0.25]))
    side = normalised(np.cross(along, _Z))
    yield _joint(
        "shoulder",
        "upperarm01",
        [along, side, np.cross(along, side)],
        [(-100, 100), (-105, 105), (-105, 105)],
        [40, 60, 60],
        shortest_arc(along, ahead),
    )
    bent = float(np.degrees(np.arccos(along @ normalised(lower))))
    yield _joint("elbow", "lowerarm01", [normalised(np.cross(upper, lower))], [(-bent - 5, 152 - bent)], 50)
    forearm = normalised(at["wrist"] - at["lowerarm02"])
    yield _joint("forearm", (("lowerarm02", 0.5), ("wrist", 0.5)), [forearm], [(-110, 110)], 45)
    across, palm = _palm(at)
    yield _joint("wrist", "wrist", [across, palm], [(-75, 85), (-40, 40)], [25, 12])
    thigh, shank = at["lowerleg01"] - at["upperleg01"], at["foot"] - at["lowerleg01"]
    axis = normalised(thigh)
    flexion = normalised(_X - axis * (axis @ _X))
    yield _joint(
        "hip",
        "upperleg01",
        [flexion, np.cross(flexion, axis), axis],
        [(-85, 95), (-60, 60), (-60, 60)],
        [35, 20, 20],
        np.asarray(matrices_from_vectors(-np.radians(60) * flexion)),
    )
    hinge = normalised(np.cross(thigh, shank))
    bent = float(np.degrees(np.arccos(axis @ normalised(shank))))
    yield _joint("knee", "lowerleg01", [hinge], [(-bent - 5, 155 - bent)], 45)
    yield _joint("ankle", "foot", [_X, _Y, _Z], [(-35, 60), (-25, 25), (-35, 35)], [20, 8, 12])


def _palm(at: Rest) -> tuple[Array, Array]:
    """Return the axis about which the left hand bends towards its palm, and that about which it turns sideways."""
    along = normalised(at["finger3-1"] - at["wrist"])
    across = at["finger2-1"] - at["finger5-1"]  # to the thumb
    across = normalised(across - along * (along @ across))
    return -across, np.cross(along, across)


def _fingers(at: Rest) -> Iterator[Joint]:
    across, _ = _palm(at)
    for number in range(1, 6):
        names = [f"finger{number}-{k}" for k in (1, 2, 3)]
        ends = [at[name] for name in (*names, f"finger{number}-tip")]
        parts = [normalised(b - a) for a, b in pairwise(ends)]
        # The relaxed finger is bent, in the plane of its hinges; a nearly straight one shows it badly, so that which
        # the palm implies is averaged in. The thumb's is its own.
        own = normalised(np.cross(parts[0], parts[1]) + np.cross(parts[1], parts[2]) + np.cross(parts[0], parts[2]))
        hinges = []
        for part in parts:
            hinge = own if number == 1 else own + normalised(across - part * (part @ across))
            hinges.append(normalised(hinge - part * (part @ hinge)))
        side = normalised(np.cross(hinges[0], parts[0]))
        if number == 1:
            yield _joint("finger1-1", names[0], [hinges[0], side], [(-40, 45), (-40, 50)], [20, 20])
            yield _joint("finger1-2", names[1], [hinges[1]], [(-35, 65)], 25)
            yield _joint("finger1-3", names[2], [hinges[2]], [(-40, 80)], 30)
            continue
        yield _joint(f"finger{number}-1", names[0], [hinges[0], side], [(-50, 80), (-25, 25)], [35, 8])
        yield _joint(f"finger{number}-2", names[1], [hinges[1]], [(-45, 95)], 35)
        yield _joint(f"finger{number}-3", names[2], [hinges[2]], [(-40, 75)], 25)
