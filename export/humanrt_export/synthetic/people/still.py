"""Films of people who hold still while a camera walks around them: `draw_still`.

The truth of such a film is one pose of everybody in the world, and the camera's path. The background is an
environment where the engine has some, and turns with the camera; else a picture that does not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt_export.synthetic.people.engine import PeopleEngine
from humanrt_export.synthetic.people.film import Film, draw_film
from humanrt_export.synthetic.people.view import View, look_at

__all__ = ["camera_file", "draw_still"]

Array = NDArray[np.float64]

_HAND = 0.35, 0.012, 0.008  # s, m, rad: how fast and how far a hand-held camera shakes
_NEAR = 2.2, 3.0  # m from the nearest, at which a person fills most of the picture's height
_WALK = 0.8, 1.3  # factor by which the distance changes


def draw_still(engine: PeopleEngine, index: int, seconds: float, fps: float, people: int, arc: float) -> Film:
    """Sample the film number ``index`` of people who hold still.

    Args:
        engine: an engine for pictures of the desired size.
        index: determines the film, with the seed.
        seconds, fps: length and frames per second.
        people: number of people, 1 to 4.
        arc: degrees, by which the camera goes around them.

    Raises:
        HumanrtError: no recording is level enough, so many people do not fit, or there are less than two frames.
    """
    count = round(seconds * fps)
    if count < 2:
        raise HumanrtError(f"{seconds:g} s at {fps:g} frames a second are {count} frames; at least two are needed")
    film = draw_film(engine, index, 1 / fps, fps, people)
    generator = np.random.default_rng([engine.options.seed, index, 12])
    world = replace(film.worlds[0], things=())
    heads = np.array([subject.head for subject in world.people])
    middle = heads.mean(axis=0) * (1, 0.55, 1)
    away = film.view.position - middle
    height = float(film.view.position[1])
    start = float(np.arctan2(away[0], away[2]))
    t = np.linspace(0.0, 1.0, count)
    eased = t * t * (3 - 2 * t)
    turned = start + np.radians(arc) * generator.choice([-1, 1]) * (eased - generator.uniform(0, 1))
    spread = float(np.hypot(*(heads - middle)[:, [0, 2]].T).max())
    distance = spread + generator.uniform(*_NEAR) * (1 + (generator.uniform(*_WALK) - 1) * eased)
    rise = height + generator.uniform(-0.4, 0.4) * eased
    at = np.stack([middle[0] + distance * np.sin(turned), rise, middle[2] + distance * np.cos(turned)], axis=1)
    at += _shake(generator, count, fps, _HAND[1])
    sway = _shake(generator, count, fps, _HAND[2])
    turns = [matrices_from_vectors(sway[k]) @ look_at(at[k], middle) for k in range(count)]
    views = tuple(_seen(film.view, turn, place) for turn, place in zip(turns, at, strict=True))
    return replace(film, worlds=(world,) * count, path=views)


def _seen(view: View, turn: Array, position: Array) -> View:
    """Return the view of another camera axes [3, 3] and position [3]; an environment's light stays in the world."""
    look = view.look if view.around is None else replace(view.look, key=turn @ view.around.key)
    return replace(view, turn=turn, position=position, look=look)


def _shake(generator: np.random.Generator, count: int, fps: float, much: float) -> Array:
    """Return smooth noise [T, 3] of a standard deviation."""
    reach = max(1, round(_HAND[0] * fps))
    kernel = np.hanning(2 * reach + 1)
    raw = generator.normal(size=(count + 2 * reach, 3))
    smooth = np.stack([np.convolve(raw[:, k], kernel / np.linalg.norm(kernel), mode="valid") for k in range(3)], axis=1)
    return np.asarray(much * smooth)


def camera_file(film: Film, video: str) -> dict[str, Any]:
    """Return what ``humanrt-export fit`` reads of the cameras of a film's frames, in OpenCV's convention."""
    frames = []
    for number, view in enumerate(film.path):
        K = view.camera.intrinsics.copy()
        K[:2, 2] -= 0.5  # OpenCV counts from the first pixel's centre
        T = -view.turn @ view.position
        frames.append({"frame": number, "K": K.tolist(), "R": view.turn.tolist(), "T": T.tolist()})
    return {"video": video, "size": list(film.view.camera.size), "frames": frames}
