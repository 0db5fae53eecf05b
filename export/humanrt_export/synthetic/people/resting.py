"""People who sit and lie: their legs and trunks, and the seats under them, which they touch."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.skeleton import SMPL_24
from humanrt_export.motion.clip import about
from humanrt_export.synthetic.people.render import Thing
from humanrt_export.synthetic.people.things import draw_prism

__all__ = ["LEGS", "PRESSED", "SITTING", "Support", "draw_seat", "lay_down", "sit_down"]

Array = NDArray[np.float64]
Support = Literal["", "seat", "ground"]
"""What holds a person besides the feet."""

SITTING = ("root", "pelvis", "upperleg01", "upperleg02")
"""Bones of buttocks and thighs."""

LEGS = ("lowerleg01", "lowerleg02", "foot", *(f"toe{toe}-{bone}" for toe in range(1, 6) for bone in range(1, 4)))
"""Bones of lower legs and feet."""

PRESSED = 0.008
"""m, by which a seat gives way under a person."""

_FLEXED = 118.0  # degrees, most of a hip
_LEAST = 0.08  # m, height below which there is no seat
_WIDE = 0.36, 0.5  # m, side of a seat, for a person of 1.7 m
_CLEAR = 0.01  # m, of calves and heels from its front
_FORWARD = 0.04  # m, its middle from that of the hips, towards the knees


def sit_down(body: Array, generator: np.random.Generator) -> None:
    """Change body rotations [24, 3, 3] to those of somebody who sits: level thighs and soles, shins about upright."""
    lean, apart = generator.uniform(-18, 28), generator.uniform(0, 22)
    body[0] = _turn("x", lean) @ _turn("z", generator.normal(0, 3))
    for side, sign in (("left", 1), ("right", -1)):
        # Degrees from hanging down, positive to the back.
        thigh = max(generator.uniform(-100, -76), lean - _FLEXED)
        shin = float(np.clip(generator.normal(0, 14), -28, 32))
        _set(body, f"{side}_hip", _turn("y", sign * apart) @ _turn("x", thigh - lean))
        _set(body, f"{side}_knee", _turn("x", shin - thigh))
        _set(body, f"{side}_ankle", _turn("x", float(np.clip(-shin, -25, 30))))


def lay_down(body: Array, generator: np.random.Generator) -> None:
    """Change body rotations [24, 3, 3] to those of somebody who lies on the back, at times with knees up, or face down.

    Limbs stay near the ground: arms lie beside the trunk or above the head.
    """
    back = generator.uniform() < 0.7
    for name in ("spine1", "spine2", "spine3", "neck"):
        _set(body, name, _turn("z", generator.normal(0, 4)))
    _set(body, "head", _turn("y", generator.uniform(-40, 40) if back else 65 * generator.choice([-1, 1])))
    for side, sign in (("left", 1), ("right", -1)):
        bent = generator.uniform(35, 55) if back and generator.uniform() < 0.35 else 0.0
        _set(body, f"{side}_hip", _turn("z", sign * generator.uniform(0, 18)) @ _turn("x", -bent))
        _set(body, f"{side}_knee", _turn("x", 2 * bent + (generator.uniform(0, 5) if bent else 0.0)))
        _set(body, f"{side}_collar", np.eye(3))
        _set(body, f"{side}_shoulder", _turn("z", sign * generator.uniform(-80, 65)))
        _set(body, f"{side}_elbow", _turn("y", sign * generator.uniform(-20 if back else -5, 0)))
    body[0] = _turn("x", (-90 if back else 90) + generator.normal(0, 1.5))


def draw_seat(
    generator: np.random.Generator,
    vertices: Array,
    sitting: NDArray[np.bool_],
    legs: NDArray[np.bool_],
    hips: Array,
    front: Array,
    textures: int,
) -> list[Thing]:
    """Sample the seat of a person: a block whose top touches the lowest of the buttocks and thighs over it.

    Its front ends behind the calves and heels.

    Args:
        generator: source of all randomness.
        vertices: [V, 3] m, the body in the world, y up, the ground at 0.
        sitting: [V] which of them are of buttocks and thighs.
        legs: [V] which of them are of lower legs and feet.
        hips: [3] m, their middle; front: [3] where the person faces.
        textures: number of textures to choose from.

    Returns:
        The seat; nothing if the person squats on the ground.
    """
    side = generator.uniform(*_WIDE) * float(np.clip(np.ptp(vertices[:, 1]) / 1.25, 0.4, 1.2))
    forward = np.array([front[0], 0.0, front[2]])
    forward /= max(float(np.linalg.norm(forward)), 1e-6)
    middle = hips + _FORWARD * forward
    away = (vertices - middle)[:, [0, 2]]
    along, across = away @ forward[[0, 2]], away @ np.array([forward[2], -forward[0]])
    between = legs & (np.abs(across) < side / 2 + _CLEAR)
    back = min(0.0, float(along[between].min()) - _CLEAR - side / 2) if between.any() else 0.0
    middle, along = middle + back * forward, along - back
    over = sitting & (np.abs(along) < side / 2) & (np.abs(across) < side / 2)
    texture, tint = int(generator.integers(textures)), generator.uniform(0.3, 1.1) * generator.uniform(0.75, 1.25, 3)
    if not over.any() or (top := float(vertices[over, 1].min()) + PRESSED) < _LEAST:
        return []
    angle = float(np.arctan2(forward[0], forward[2]))
    place = np.array([middle[0], top / 2, middle[2]])
    return [draw_prism(place, np.array([side, top, side]), 4, -angle, texture, tint)]


def _set(body: Array, name: str, turn: Array) -> None:
    body[SMPL_24.index(name)] = turn


def _turn(axis: str, degrees: float) -> Array:
    return np.asarray(about(axis, np.asarray(np.radians(degrees))))
