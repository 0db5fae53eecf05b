"""How still the coach's advice stands, and what it costs a frame: people who stand still, through the real front-end.

    python bench/coach_live.py --still ../shared/media/people.jpg --motions ../shared/mocap/hdm05.tar.xz

A picture stands still for ``--seconds``: every frame has noise of its own, and is moved by fractions of a pixel as a
held camera would. Its people are followed by the bundle, and each is then coached towards many poses, drawn from
motions, of which all are far off, and poses near their own, of which some changes are as large as the least that is
advised: the worst case for advice that should stand still.

- **changes in 5 s**: how often the advice that stands changed, per 5 s, after the first ``--begin`` s in which it is
  given; mean and the 95th percentile over people and poses.
- **restless**: people and poses with more than 1 change in 5 s.
- **spread**: of the joint angles of the person, standard deviation over the time, degrees: what the front-end trembles.
- **ms**: of a processor that the coach takes a frame, against a pose, and against a motion of 60 s.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import thread_time

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt import PoseCoach
from humanrt.coach.poses import PoseTrack, body_pose
from humanrt.coach.trainer import Trainer
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.sources.opening import Frame
from humanrt.stats import Percentiles, machine
from humanrt.tasks import PeopleOptions, open_people
from humanrt_export.motion.load import load_motions
from pose_words import pairs_of

__all__ = ["changes", "followed", "still_frames"]

Array = NDArray[np.float64]
NEAR = 0.12  # rad about each axis of each joint, of poses near the person's own


def still_frames(picture: NDArray[np.uint8], seconds: float, fps: float, seed: int = 0) -> Iterator[Frame]:
    """Yield frames of a picture, uint8 RGB [H, W, 3], that stands as still as one from a held camera."""
    generator = np.random.default_rng(seed)
    height, width = picture.shape[:2]
    offset = np.zeros(2)
    for index in range(round(seconds * fps)):
        offset = 0.9 * offset + generator.normal(0, 0.25, 2)
        moved = cv2.warpAffine(
            picture,
            np.array([[1, 0, offset[0]], [0, 1, offset[1]]]),
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        noisy = moved + generator.normal(0, 4.0, moved.shape)
        yield Frame(np.clip(noisy, 0, 255).astype(np.uint8), index / fps, index)


def followed(frames: Iterator[Frame], bundle: str | None, options: PeopleOptions) -> dict[int, PoseTrack]:
    """Return the poses over time of everybody who was seen in nine tenths of the frames."""
    tracks: dict[int, list[tuple[float, Array]]] = {}
    count = 0
    with open_people(bundle, "cpu", options) as pipeline:
        bones = pipeline.about().get("bones")
        for frame in frames:
            count += 1
            for person in pipeline(frame).persons:
                tracks.setdefault(person.id, []).append((frame.t, body_pose(person.rotations, bones)))
    return {
        identity: PoseTrack(np.stack([pose for _, pose in seen]), np.array([t for t, _ in seen]))
        for identity, seen in tracks.items()
        if len(seen) >= 0.9 * count
    }


def changes(person: PoseTrack, goal: Array, begin: float, ms: list[float]) -> float:
    """Return how often the advice towards a pose changes in 5 s, after the first ``begin`` s."""
    trainer = Trainer(PoseCoach(), PoseTrack(goal[None], np.zeros(1)))
    count, last = 0, None
    for t, pose in zip(person.times, person.poses, strict=True):
        start = thread_time()
        advice = trainer.update(float(t - person.times[0]), pose).guidance.sentences
        ms.append((thread_time() - start) * 1e3)
        if t - person.times[0] >= begin:
            count += last is not None and advice != last
            last = advice
    return count * 5.0 / float(person.times[-1] - person.times[0] - begin)


def motion_ms(person: PoseTrack, poses: Sequence[Array]) -> list[float]:
    """Return what each frame costs against a motion of 60 s through some poses."""
    trainer = Trainer(PoseCoach(), PoseTrack(np.stack(poses), np.linspace(0.0, 60.0, len(poses))))
    ms = []
    for t, pose in zip(person.times, person.poses, strict=True):
        start = thread_time()
        trainer.update(float(t - person.times[0]), pose)
        ms.append((thread_time() - start) * 1e3)
    return ms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--still", type=Path, nargs="+", required=True, help="pictures of people")
    parser.add_argument("--motions", type=Path, required=True, help="motions, of which poses are drawn")
    parser.add_argument("--bundle")
    parser.add_argument("--quality", choices=("fast", "balanced", "best"))
    parser.add_argument("--width", type=int, default=640, help="px, to which wider pictures are scaled")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--fps", type=float, default=12.5)
    parser.add_argument("--poses", type=int, default=40, help="poses of each kind")
    parser.add_argument("--begin", type=float, default=4.0)
    options = parser.parse_args()
    drawn = [b for _, _, b in pairs_of(list(load_motions(options.motions)), options.poses, seed=3)]
    generator = np.random.default_rng(4)
    counts: dict[str, list[float]] = {"far": [], "near": []}
    ms: list[float] = []
    moving: list[float] = []
    spreads: list[float] = []
    people = 0
    for path in options.still:
        picture = cv2.imread(str(path))[..., ::-1]
        scale = min(1.0, options.width / picture.shape[1])
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        frames = still_frames(np.ascontiguousarray(picture), options.seconds, options.fps)
        for person in followed(frames, options.bundle, PeopleOptions(quality=options.quality)).values():
            people += 1
            coach = PoseCoach()
            readings = [coach.read(pose) for pose in person.poses]
            bends = np.array([np.concatenate([one.arms.bends, one.pelvis_legs.bends]) for one in readings])
            spreads.append(float(bends[int(options.begin * options.fps) :].std(axis=0).mean()))
            own = person.poses[len(person.poses) // 2]
            near = [own @ matrices_from_vectors(generator.normal(0, NEAR, (22, 3))) for _ in range(options.poses)]
            for kind, goals in (("far", drawn), ("near", near)):
                counts[kind] += [changes(person, goal, options.begin, ms) for goal in goals]
            moving += motion_ms(person, drawn)
    print("| poses | people x poses | changes in 5 s, mean | 95 % | restless |")
    print("| --- | --- | --- | --- | --- |")
    for kind, values in counts.items():
        restless = sum(value > 1 for value in values)
        print(
            f"| {kind} | {len(values)} | {np.mean(values):.3f} | {np.percentile(values, 95):.2f} "
            f"| {restless} ({100 * restless / len(values):.1f} %) |"
        )
    print(f"{people} people; spread of the bends {np.mean(spreads):.2f} degrees")
    for name, values in (("a pose", ms), ("a motion of 60 s", moving)):
        cost = Percentiles.of(values)
        print(f"against {name}: {cost.p50:.2f} ms of a processor a frame, median, {cost.p99:.2f} at 99 %")
    print(f"on {machine()['cpu']}")


if __name__ == "__main__":
    main()
