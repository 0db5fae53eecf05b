"""A rendered trainee with known faults, coached live: are the faults told, and what else?

    python bench/coach_film.py --out DIR

A teacher and a trainee (two bodies of Anny, rendered, each from a view of their own: the whole body, before a camera
that is held level) do squats with both arms held out to the sides. The teacher does two, which the front-end sees and
which are the reference. The trainee does six: two as they should be, one that goes half as deep, one with the left arm
hanging, one leaning to the side, and one as it should be. The film goes through the front-end and the coach frame by
frame, as a camera's would. For each repetition the tables say its fault and what was said in it: with the teacher as
reference, and with the poses that the teacher was rendered with. DIR gets `coach.mp4`, the picture that ``humanrt coach
--video`` writes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt import PoseCoach
from humanrt.coach.live_coach import CoachPainter, CoachPipeline, CoachResult
from humanrt.coach.poses import PoseTrack, body_pose
from humanrt.coach.trainer import Trainer
from humanrt.commands.coach import METRES_PER_DEGREE, CoachOptions
from humanrt.geometry.camera import project
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPL_24
from humanrt.outputs.video import open_sink
from humanrt.people.pipeline import PeopleResult
from humanrt.perception.pipeline import Pipeline
from humanrt.sources.opening import Frame
from humanrt.tasks import TASKS, PeopleOptions, open_people
from humanrt_export.motion.body_fk import forward
from humanrt_export.motion.clip import Motion
from humanrt_export.synthetic.people import STYLES, EngineOptions, PeopleEngine
from humanrt_export.synthetic.people.film import draw_film, shoot_film
from humanrt_export.synthetic.people.poses import PoseSource
from humanrt_export.synthetic.people.scene import Subject
from humanrt_export.synthetic.people.view import View

__all__ = ["FAULTS", "performed", "reference"]

Array = NDArray[np.float64]

SECONDS = 2.6  # of a repetition
FAULTS = ("none", "none", "half as deep", "left arm hangs", "leans to the left", "none")
_DEEP = 80.0  # degrees, of the thighs


def pose(depth: float, arm: float = 0.0, lean: float = 0.0) -> Array:
    """Return a squat [24, 3, 3]; depth 0 to 1, ``arm``: how far the left one hangs, ``lean``: degrees to the left."""
    vectors = np.zeros((24, 3))

    def turn(joint: str, x: float, y: float, z: float) -> None:
        vectors[SMPL_24.index(joint)] = np.radians((x, y, z))

    turn("pelvis", 25 * depth, 0, 0)
    turn("spine1", 10 * depth, 0, -lean)
    for side, sign in (("left", 1), ("right", -1)):
        turn(f"{side}_hip", -(_DEEP + 25) * depth, 0, 6 * sign)
        turn(f"{side}_knee", 95 * depth, 0, 0)
        turn(f"{side}_ankle", -25 * depth, 0, 0)
    turn("left_shoulder", 0, 0, -75 * arm)
    return matrices_from_vectors(vectors)


def _depth(t: float) -> float:
    """Return the depth at a time of a repetition: it begins and ends with a rest."""
    phase = float(np.clip((t / SECONDS - 0.1) / 0.8, 0, 1))
    return float(0.5 * (1 - np.cos(2 * np.pi * phase)))


def reference() -> PoseTrack:
    """Return the exercise as it should be, in a camera's axes."""
    times = np.arange(0, 2 * SECONDS, 1 / 30)
    poses = np.stack([pose(_depth(t % SECONDS))[:22] for t in times])
    poses[:, 0] = np.diag([1.0, -1.0, -1.0]) @ poses[:, 0]
    return PoseTrack(poses, times)


def performed(faults: Sequence[str], fps: float) -> Motion:
    """Return a motion with a repetition for each of the faults, feet on the ground."""
    frames = []
    for t in np.arange(0, len(faults) * SECONDS + 0.2, 1 / fps):
        fault = faults[min(int(t / SECONDS), len(faults) - 1)]
        within = t % SECONDS if t < len(faults) * SECONDS else 0.0
        eased = float(np.clip(4 * min(within, SECONDS - within), 0, 1))  # in and out of a fault
        frames.append(
            pose(
                _depth(within) * (0.5 if fault == "half as deep" else 1.0),
                eased if fault == "left arm hangs" else 0.0,
                25 * eased if fault == "leans to the left" else 0.0,
            )
        )
    rotations = np.stack(frames)
    joints, _ = forward(rotations)
    ankles = joints[:, [SMPL_24.index(f"{side}_ankle") for side in ("left", "right")]].mean(axis=1)
    return Motion(fps, -ankles + (0, 0.08, 0), rotations, "squats")


def rendered(
    settings: EngineOptions, faults: Sequence[str], fps: float, people: Pipeline[PeopleResult]
) -> list[PeopleResult]:
    """Return what the front-end sees of a film of somebody who does these repetitions, facing the camera."""
    seconds = len(faults) * SECONDS
    with PeopleEngine(settings) as engine:
        engine.source = PoseSource([performed(faults, 30.0)])
        for index in range(200):
            film = draw_film(engine, index, seconds, fps, 1)
            subject = film.worlds[0].people[0]
            facing = film.view.turn @ subject.pose.body[0][:, 2]
            whole = all(_inside(world.people[0], film.view) for world in film.worlds[:: max(1, round(fps / 3))])
            hanging = film.worlds[min(round(3.5 * SECONDS * fps), len(film.worlds) - 1)].people[0].pose.body
            left, right = (abs(hanging[SMPL_24.index(f"{side}_shoulder")][1, 0]) for side in ("left", "right"))
            mirrored = right > left  # the arm that hangs is the left one
            level = abs(facing[1]) < 0.1  # as the coach asks for
            if not mirrored and whole and level and facing[2] < -0.85 and -subject.head[2] < 3.5:
                break
        else:
            raise SystemExit("no view from the front: give another --seed")
        images = [sample.image for sample in shoot_film(engine, film, index)]
    people.reset()
    return [people(Frame(image, index / fps, index)) for index, image in enumerate(images)]


def _inside(subject: Subject, view: View) -> bool:
    """Return whether all of somebody is in the picture, as whoever is coached sees to."""
    joints, _ = forward(subject.pose.body)
    joints = joints - joints[SMPL_24.index("head")] + subject.head
    at = project((joints - view.position) @ view.turn.T, view.camera.intrinsics) / view.camera.size
    return bool(((at > 0.04) & (at < 0.96)).all())


class _Replay(Pipeline[PeopleResult]):
    """What a pipeline saw, once more."""

    task = target = "people"

    def __init__(self, results: Sequence[PeopleResult], about: dict[str, Any]) -> None:
        self._results, self._about = results, about

    def __call__(self, frame: Frame) -> PeopleResult:
        return self._results[frame.index]

    def reset(self) -> None: ...

    def about(self) -> dict[str, Any]:
        return self._about


def poses_of(results: Sequence[PeopleResult], bones: Sequence[str]) -> PoseTrack:
    """Return the poses of the only person."""
    seen = [(one.frame.t, body_pose(one.people.rotations[0], bones)) for one in results if one.ids]
    return PoseTrack(np.stack([pose for _, pose in seen]), np.array([t for t, _ in seen]))


def told(results: Sequence[CoachResult]) -> list[str]:
    """Return the rows of a table: each repetition's fault, what was said, and what was counted."""
    rows = ["| seconds | fault | said | counted |", "| --- | --- | --- | --- |"]
    for number, fault in enumerate(FAULTS):
        start, stop = number * SECONDS, (number + 1) * SECONDS
        within = [(one.frame.t, one.coaching) for one in results if one.coaching and start <= one.frame.t < stop]
        words = [f"{t:.1f} s: {text}" for t, one in within for text in one.said]
        done = [
            f"{one.count if one.counts else 'tried'}: depth {one.depth:.2f}, score {one.score:.0f}"
            for _, each in within
            if (one := each.repetition) is not None
        ]
        rows.append(f"| {start:.1f} to {stop:.1f} | {fault} | {' '.join(words)} | {'; '.join(done)} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fps", type=float, default=15.0)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--size", type=int, nargs=2, default=(720, 540), metavar=("W", "H"))
    parser.add_argument("--tolerance", type=float, default=CoachOptions.tolerance, help="as of humanrt coach, degrees")
    parser.add_argument("--quality", choices=("fast", "balanced", "best"), default="fast")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    style = replace(STYLES["studio"], blurred=0.0, overlays=0.0)
    width, height = options.size
    settings = EngineOptions(size=width, height=height, seed=options.seed, style=style, most=1, letterboxed=0.0)
    with ExitStack() as stack:
        people = stack.enter_context(open_people(None, "cpu", PeopleOptions(quality=options.quality)))
        about = people.about()
        teacher = rendered(replace(settings, seed=options.seed + 1), ("none", "none"), options.fps, people)
        seen = rendered(settings, FAULTS, options.fps, people)
        inner = TASKS["people"].painter(people, stack, print)
        coach = PoseCoach(degrees=options.tolerance, metres=options.tolerance * METRES_PER_DEGREE)
        for name, track in (("the poses themselves", reference()), ("the teacher", poses_of(teacher, about["bones"]))):
            trainer = Trainer(coach, track)
            coached = CoachPipeline(_Replay(seen, about), trainer, name)
            results = [coached(one.frame) for one in seen]
            print(f"\nreference: {name}\n\n" + "\n".join(told(results)))
        for name, results_of in (("teacher", teacher), ("trainee", seen)):
            track = poses_of(results_of, about["bones"])
            np.savez(options.out / f"{name}.npz", rotations=track.poses, fps=options.fps)
        painter = CoachPainter(inner, people.model.joint_names, trainer.coach.phrases)
        with open_sink(options.out / "coach.mp4", options.fps) as sink:
            for result in results:
                sink.write(painter(result))


if __name__ == "__main__":
    main()
