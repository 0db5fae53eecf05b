"""Scenes with one moving, dressed person of known pose: person, motion, camera, light; and their rendering.

A seed and an index determine everything random about a scene. Motion comes from recordings (`humanrt_export.motion`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.people.body_points import STATURE
from humanrt_export.motion.augment import interpolate, mirror, varied
from humanrt_export.motion.clip import Motion
from humanrt_export.synthetic.body_model import CHILDREN, BodyModel, Outfit, Person, sample_phenotypes
from humanrt_export.synthetic.body_render import BodyRenderer
from humanrt_export.synthetic.hand_scene import Camera, Look, room
from humanrt_export.synthetic.sensor import Filming, Sensor, compressed, frame_times, shutter

__all__ = ["BodyScene", "draw_scene", "film", "pose_at"]

Array = NDArray[np.float64]

_RATES = {30: 0.8, 15: 0.05, 24: 0.07, 25: 0.08}
_SIZES = ((480, 360), (640, 480), (480, 270), (640, 360), (360, 480))
_NEAREST = 0.9  # m, minimum distance from the camera to the pelvis


@dataclass(frozen=True)
class BodyScene(Filming):
    """Everything about a clip that rendering needs.

    Attributes:
        person: the person.
        motion: the motion, in world axes.
        start: where the clip starts in the motion, s; speed: factor on the recorded speed.
        camera: with `turn` [3, 3] from world to camera axes and `position` [3] m of the camera in the world.
        look: the light.
        desk: height in the picture, as a fraction from the top, below which a desk hides the person; 1: no desk.
    """

    person: Person
    motion: Motion
    start: float
    speed: float
    camera: Camera
    turn: Array
    position: Array
    look: Look
    desk: float


def draw_scene(
    model: BodyModel,
    motions: Sequence[Motion],
    seed: int,
    index: int,
    seconds: float = 4.0,
    *,
    variety: bool = False,
) -> BodyScene:
    """Sample scene number ``index`` of ``seed``.

    Args:
        model: the body model.
        motions: the motions to choose from, in proportion to their length; too short ones are used in full.
        seed, index: determine everything.
        seconds: length of the clip.
        variety: more children, arms and bends mixed in from other motions (`motion.augment.varied`), and cameras all
            around, from below to far above.
    """
    generator = np.random.default_rng([seed, index, 0])
    lengths = np.array([min(motion.seconds, 20.0) for motion in motions])
    motion = motions[generator.choice(len(motions), p=lengths / lengths.sum())]
    speed = float(generator.uniform(0.8, 1.15))
    seconds = min(seconds, (motion.seconds - 0.1) / speed)
    start = float(generator.uniform(0.04, max(motion.seconds - seconds * speed - 0.05, 0.041)))
    if generator.uniform() < 0.5:
        motion = mirror(motion)
    t, _ = frame_times(generator, seconds, _RATES, stutter=0.3, drop=0.15, dropped=0.1, kept=2)

    look = Look.sample(generator)
    person = model.person(
        sample_phenotypes(generator, *(CHILDREN if variety else ())), Outfit.sample(generator, look.skin)
    )
    if variety:
        motion = varied(motion, motions, generator)
    size = _SIZES[generator.choice(len(_SIZES), p=[0.5, 0.08, 0.2, 0.07, 0.15])]
    wide = float(generator.uniform(0.75, 1.25))  # rad over the longer side
    fov = wide if size[0] > size[1] else 2 * np.arctan(np.tan(wide / 2) * size[0] / size[1])
    camera = Camera(size, float(fov))
    rotations, path = _recorded(motion, start + np.linspace(0, seconds, 12) * speed)
    walked = path * (person.stature / STATURE)
    turn, position = _film_from(generator, camera, rotations, walked, person.stature, variety)
    dark = generator.uniform() < 0.1
    fps = (len(t) - 1) / max(t[-1], 1e-6)
    return BodyScene(
        person=person,
        motion=motion,
        start=start,
        speed=speed,
        camera=camera,
        turn=turn,
        position=position,
        look=look,
        t=t,
        exposure=float(generator.uniform(0.5, 0.95) if dark else generator.uniform(0.15, 0.6)) / fps,
        subframes=3 if dark or generator.uniform() < 0.3 else 1,
        noise=float(generator.uniform(0.02, 0.045) if dark else np.exp(generator.uniform(np.log(0.002), np.log(0.02)))),
        jpeg=int(generator.integers(35, 95)) if generator.uniform() < 0.6 else 0,
        light=float(generator.uniform(0.12, 0.35) if dark else generator.uniform(0.7, 1.2)),
        desk=float(generator.uniform(0.55, 0.85)) if generator.uniform() < 0.15 else 1.0,
    )


def _recorded(motion: Motion, at: NDArray[Any]) -> tuple[Array, Array]:
    """Return rotations [N, 24, 3, 3] and pelvis [N, 3] m of a motion at times [N] s, clamped to its ends."""
    indices = np.clip(np.asarray(at) * motion.fps, 0, len(motion) - 1)
    frames = np.arange(len(motion))
    path = np.stack([np.interp(indices, frames, axis) for axis in motion.translation.T], axis=1)
    return interpolate(motion.rotations, indices), path


def _film_from(
    generator: np.random.Generator, camera: Camera, rotations: Array, path: Array, stature: float, anywhere: bool
) -> tuple[Array, Array]:
    """Sample a camera for a person's path [N, 3] m: axes [3, 3] and position [3] m.

    Level and frontal views are more likely; views from above, below or behind are rare unless ``anywhere`` is set.
    """
    middle = (path.min(axis=0) + path.max(axis=0)) / 2
    front = rotations[len(rotations) // 2, 0][:, 2]
    azimuth = np.arctan2(front[0], front[2])
    frontal, level = (0.4, 0.5) if anywhere else (0.65, 1.0)
    azimuth += generator.normal(0, 0.6) if generator.uniform() < frontal else generator.uniform(-np.pi, np.pi)
    pitch = np.deg2rad(np.clip(generator.normal(8, 10), -12, 40))  # looking down
    if level < 1 and generator.uniform() > level:
        pitch = np.deg2rad(generator.uniform(-15, 55))
    focal = camera.intrinsics[0, 0]
    width, height = camera.size
    # As far away as the whole path and the body around it require; often a little nearer or farther.
    spread = np.ptp(path, axis=0)
    across = 0.9 * stature + np.hypot(spread[0], spread[2])
    upright = 1.15 * stature + spread[1]
    distance = focal * max(across / width, upright / height)
    near = generator.uniform() < 0.15
    distance *= generator.uniform(0.5, 0.8) if near else generator.uniform(0.85, 1.5)
    toward = np.array([np.sin(azimuth) * np.cos(pitch), np.sin(pitch), np.cos(azimuth) * np.cos(pitch)])
    # But never inside the person: the nearest point of the path counts.
    distance = max(distance, float(((path - middle) @ toward).max()) + _NEAREST)
    aim = middle + stature * generator.uniform((-0.12, -0.1, -0.12), (0.12, 0.2, 0.12))
    forward = -toward
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    down = np.cross(forward, right)
    roll = generator.normal(0, 0.04)
    c, s = np.cos(roll), np.sin(roll)
    turn = np.stack([c * right + s * down, c * down - s * right, forward])
    return turn, aim + distance * toward


def pose_at(scene: BodyScene, t: NDArray[Any]) -> tuple[Array, Array]:
    """Return rotations [N, 24, 3, 3], root to camera axes, and pelvis [N, 3] m in camera space, at times [N] s."""
    rotations, path = _recorded(scene.motion, scene.start + np.asarray(t) * scene.speed)
    rotations = rotations.copy()
    rotations[:, 0] = scene.turn @ rotations[:, 0]
    scaled = path * (scene.person.stature / STATURE)
    return rotations, (scaled - scene.position) @ scene.turn.T


def film(model: BodyModel, scene: BodyScene, seed: int, index: int) -> Iterator[NDArray[np.uint8]]:
    """Render the frames: uint8 [H, W, 3] RGB, one for each time of ``scene.t``."""
    generator = np.random.default_rng([seed, index, 1])
    size, light = scene.camera.size, scene.light
    look = scene.look.lit(light)
    side = float(np.sign(look.key[0]))
    background = light * room(size, generator, bright_side=side, blur=float(generator.uniform(0.002, 0.013)))
    hidden = _in_front(scene, generator)
    sensor = Sensor(size, scene.noise, generator)
    opened = shutter(scene.subframes) * scene.exposure
    with BodyRenderer(scene.camera) as renderer:
        for instant in scene.t:
            posed = model.pose(scene.person, *pose_at(scene, instant + opened))
            layers = [
                renderer.draw([(vertices, scene.person.colours)], model.faces, look) for vertices in posed.vertices
            ]
            layer = layers[0] if len(layers) == 1 else np.mean(layers, axis=0)
            picture = layer[..., :3] + background * (1 - layer[..., 3:])
            if hidden is not None:
                picture = picture * (1 - hidden[..., 3:]) + hidden[..., :3]
            yield compressed(sensor.develop(picture), scene.jpeg)


def _in_front(scene: BodyScene, generator: np.random.Generator) -> NDArray[np.float32] | None:
    """Draw a desk in front of the person: [H, W, 4] linear RGB, premultiplied, and alpha; None without a desk."""
    if scene.desk >= 1:
        return None
    width, height = scene.camera.size
    layer = np.zeros((height, width, 4), np.float32)
    top = round(scene.desk * height)
    left, right = sorted(generator.uniform(-0.3, 1.3, 2) * width)
    left, right = max(round(min(left, 0.3 * width)), 0), min(round(max(right, 0.7 * width)), width)
    colour = generator.uniform(0.05, 0.4) * (1 + generator.uniform(-0.3, 0.3, 3)) * scene.light
    layer[top:, left:right] = (*colour, 1.0)
    for _ in range(int(generator.integers(0, 4))):  # things on it
        x, w = generator.uniform(left, right), generator.uniform(0.03, 0.12) * width
        y = top - generator.uniform(0.03, 0.15) * height
        thing = generator.uniform(0.02, 0.5) * (1 + generator.uniform(-0.5, 0.5, 3)) * scene.light
        layer[round(max(y, 0)) : top, round(x) : round(min(x + w, right))] = (*thing, 1.0)
    return np.asarray(cv2.GaussianBlur(layer, (0, 0), 0.004 * width), np.float32)
