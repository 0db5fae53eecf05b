"""Films of moving people, seen by one static camera: `draw_film`, `shoot_film`; of still ones see `still`.

Their motion comes from recordings, restricted to stretches on level ground so that feet stay on it; without recordings,
they stand and gesture between poses sampled from the joint limits. Fingers always move between poses of the hand
library, since the recordings do not contain finger motion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.geometry.anny import anny_from_smpl
from humanrt.geometry.camera import project
from humanrt.geometry.rotation import between
from humanrt.people.body_points import STATURE
from humanrt_export.motion.augment import mirror, resample, rotate, turn_about_vertical
from humanrt_export.motion.clip import Motion
from humanrt_export.synthetic.body_model import sample_phenotypes
from humanrt_export.synthetic.hand_motion import minimum_jerk
from humanrt_export.synthetic.hand_scene import Camera
from humanrt_export.synthetic.people.engine import PeopleEngine
from humanrt_export.synthetic.people.poses import Pose
from humanrt_export.synthetic.people.sample import PeopleSample
from humanrt_export.synthetic.people.scene import Subject, World, apart, draw_clothes, spheres
from humanrt_export.synthetic.people.things import draw_things
from humanrt_export.synthetic.people.view import View, look_at

__all__ = ["Film", "draw_film", "shoot_film"]

Array = NDArray[np.float64]

_EVEN = 0.2  # m, max vertical movement of a body's lowest point
_INSIDE = 0.04  # distance of heads from the picture's sides, as a fraction of them
_HAND, _ARMS = 1.1, 1.3  # s between poses of a hand, of the arms
_TRIES = 400


@dataclass(frozen=True)
class Film:
    """People at every frame.

    Attributes:
        fps: frames per second.
        worlds: the world at each frame; things do not move.
        view: the camera.
        clips: description of each person's motion: the recording, or gestures.
        path: the camera at every frame, if it moves; else empty.
    """

    fps: float
    worlds: tuple[World, ...]
    view: View
    clips: tuple[str, ...]
    path: tuple[View, ...] = ()


@dataclass(frozen=True)
class _Actor:
    """One person's motion through the whole film, in world axes; in the first frame the pelvis is above the origin."""

    subject: Subject
    poses: tuple[Pose, ...]
    rotations: Array
    heads: Array
    points: Array
    size: float
    clip: str


def draw_film(engine: PeopleEngine, index: int, seconds: float, fps: float, people: int) -> Film:
    """Sample the film number ``index`` of the engine's seed.

    Args:
        engine: an engine for pictures of the desired size.
        index: determines the film, with the seed.
        seconds, fps: length and frames per second.
        people: number of people, 1 to 4.

    Raises:
        HumanrtError: no recording is long and level enough, or so many people do not fit into the picture.
    """
    if not 1 <= people <= 4:
        raise HumanrtError(f"the number of people in a film is {people}; it must be 1 to 4")
    generator = np.random.default_rng([engine.options.seed, index, 9])
    actors = [_actor(engine, generator, seconds, fps) for _ in range(people)]
    actors = [_dressed(engine, actor, [index, 21, k]) for k, actor in enumerate(actors)]
    camera = Camera(engine.options.frame, float(generator.uniform(0.9, 1.15)))
    width, height = camera.size
    position = np.array([0.0, generator.uniform(1.2, 1.9), 0.0])
    turn = look_at(position, np.array([0.0, 0.85, -4.0]), generator.normal(0, 0.02))
    placed: list[tuple[_Actor, Array]] = []
    for actor in actors:
        for _ in range(_TRIES):
            depth = generator.uniform(2.2, 5.0)
            across = depth * np.tan(camera.fov / 2) * generator.uniform(-0.8, 0.8)
            spot = np.array([across, 0.0, -depth])
            seen = (actor.heads + spot - position) @ turn.T
            at = project(seen, camera.intrinsics) / (width, height)
            if (
                seen[:, 2].min() > 1.2
                and ((at > _INSIDE) & (at < 1 - _INSIDE)).all()
                and all(
                    apart(actor.points + spot, actor.size, other.points + there, other.size) for other, there in placed
                )
            ):
                placed.append((actor, spot))
                break
        else:
            raise HumanrtError(f"film {index}: {people} people do not fit into it; give another seed, or fewer people")
    look = engine.options.style.light(generator, turn[:, 1])
    view = View(camera, turn, position, look)
    spots = np.concatenate([(actor.points[::10] + spot).reshape(-1, 3) for actor, spot in placed])
    things = tuple(draw_things(generator, engine.options.style, len(engine.backdrops.textures), spots, view))
    own = np.random.default_rng([engine.options.seed, index, 31])
    lit, view = engine.surrounded(World((), things), view, own)
    worlds = []
    for frame in range(len(actors[0].poses)):
        crowd = [
            replace(
                actor.subject,
                pose=actor.poses[frame],
                rotations=actor.rotations[frame],
                head=actor.heads[frame] + spot,
            )
            for actor, spot in placed
        ]
        worlds.append(World(tuple(crowd), lit.things))
    return Film(fps, tuple(worlds), view, tuple(actor.clip for actor, _ in placed))


def shoot_film(engine: PeopleEngine, film: Film, index: int) -> Iterator[PeopleSample]:
    """Yield its frames; all list all people in the same order, visible or not."""
    seed = engine.options.seed
    for frame, world in enumerate(film.worlds):
        # One background and one camera: all frames use the same random stream; each has its own noise.
        noise = np.random.default_rng([seed, index, 11, frame])
        view = film.path[frame] if film.path else film.view
        yield engine.shoot(world, view, np.random.default_rng([seed, index, 10]), noise)


def _actor(engine: PeopleEngine, generator: np.random.Generator, seconds: float, fps: float) -> _Actor:
    style, textures = engine.options.style, len(engine.backdrops.textures)
    shape = sample_phenotypes(generator)
    frames = round(seconds * fps)
    motions = [motion for motion in engine.source.motions if motion.seconds > seconds + 0.1]
    for _ in range(60 if motions or not engine.source.motions else 0):
        if motions:
            motion = motions[int(generator.integers(len(motions)))]
            start = generator.uniform(0, motion.seconds - seconds - 0.05)
            part = _stretch(resample(motion, fps), round(start * fps), frames)
        else:
            part = _gestures(engine, generator, frames, fps)
        if generator.uniform() < 0.5:
            part = mirror(part)
        front = part.rotations[0, 0][:, 2]
        azimuth = np.arctan2(front[0], front[2])
        part = rotate(part, turn_about_vertical(generator.normal(0, 0.6) - azimuth))
        hands = [_moving(lambda _: engine.source.hand(generator), generator, frames, fps, _HAND) for _ in range(2)]
        rotations = anny_from_smpl(part.rotations, {"left": hands[0], "right": hands[1]})
        body = engine.coarse.body
        with torch.inference_mode():
            posed = body(
                torch.from_numpy(rotations.astype(np.float32)),
                torch.from_numpy(shape).expand(len(part), -1),
                torch.zeros(len(part), 3),
            )
        joints = posed.joints.numpy().astype(np.float64)
        stature = _stature(engine, shape)
        path = (part.translation - part.translation[0] * (1, 0, 1)) * (stature / STATURE)
        heads = path - joints[:, 0]
        lowest = posed.vertices.numpy()[..., 1].min(axis=1) + heads[:, 1]
        if np.ptp(lowest) < _EVEN:
            heads[:, 1] -= lowest.min()
            poses = tuple(Pose(*frame) for frame in zip(part.rotations, *hands, strict=True))
            subject = Subject(shape, *draw_clothes(generator, style, textures), poses[0], rotations[0], heads[0])
            points = joints[:, spheres(engine.joint_names)] + heads[:, None]
            return _Actor(subject, poses, rotations, heads, points, stature / STATURE, part.source)
    raise HumanrtError(f"no recording of {seconds:g} s on level ground; give a shorter time or other --motions")


def _dressed(engine: PeopleEngine, actor: _Actor, stream: list[int]) -> _Actor:
    """Return the actor in garments, where the engine has some; their own random stream leaves the film as it is."""
    (subject,) = engine.expressing([actor.subject], np.random.default_rng([engine.options.seed, *stream, 1]))
    (subject,) = engine.dressed([subject], np.random.default_rng([engine.options.seed, *stream]))
    rise = subject.head - actor.subject.head
    return replace(actor, subject=subject, heads=actor.heads + rise, points=actor.points + rise)


def _stretch(motion: Motion, first: int, count: int) -> Motion:
    stop = first + count
    return replace(
        motion,
        rotations=motion.rotations[first:stop],
        translation=motion.translation[first:stop],
        source=f"{motion.source} from {first / motion.fps:.2f} s",
    )


def _stature(engine: PeopleEngine, shape: NDArray[np.float32]) -> float:
    with torch.inference_mode():
        surface = engine.coarse.body.rest(torch.from_numpy(shape)[None]).surface
    return float(np.ptp(surface[0, 2].numpy()))


def _gestures(engine: PeopleEngine, generator: np.random.Generator, frames: int, fps: float) -> Motion:
    """Sample the motion of a person who stands facing the camera and moves arms, head and trunk."""
    rotations = _moving(lambda before: engine.source.standing(generator, before), generator, frames, fps, _ARMS)
    return Motion(fps, np.tile((0.0, STATURE / 2, 0.0), (frames, 1)), rotations, "gestures")


def _moving(
    draw: Callable[[Array | None], Array], generator: np.random.Generator, frames: int, fps: float, period: float
) -> Array:
    """Sample rotations [T, J, 3, 3] that move between poses [J, 3, 3] with minimum jerk, with pauses.

    Args:
        draw: samples the next pose, given the previous one.
        period: s between poses.
    """
    stops: list[Array] = []
    for _ in range(int(frames / fps / period) + 3):  # start anywhere in the first movement
        stops.append(draw(stops[-1] if stops else None))
    t = np.arange(frames) / fps / period + generator.uniform()
    before = t.astype(int).clip(0, len(stops) - 2)
    amount = minimum_jerk(np.asarray((t - before) * generator.uniform(1.0, 2.0)))
    one: Array = np.stack([stops[k] for k in before])
    two: Array = np.stack([stops[k + 1] for k in before])
    return between(one, two, amount[:, None, None])
