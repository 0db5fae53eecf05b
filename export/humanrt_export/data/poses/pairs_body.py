"""Pairs for bodies: MediaPipe's landmarks of rendered moving people, beside the exact ground truth.

::

    python -m humanrt_export.data.poses.pairs_body --motions DIR --part train --out DIR --seed 1 --clips 150
    python -m humanrt_export.data.poses.pairs_body --motions FILE FILE --variety --bundles landmarks FOLDER ...

With several bundles, all see the same pictures, and a clip is written for each: body_SEED_INDEX.npz for the first,
body_SEED_INDEX_1.npz for the second.

A clip depends only on (seed, index), see `synthetic.body_scene`; motions of the held-out part are never in a
training clip (`motion.split`). `BodyTracker` gets the frames in order, with their real time stamps, as in live use.
Existing clips are kept, so that a run can be resumed.

A clip is one .npz (T frames; camera axes x right, y down, z forward):

    t [T] s; observed [T, 33, 3] m, relative to the midpoint of its own hips, NaN where lost; score [T], 0 where lost;
    confidence [T, 33] visibility, 0 where lost
    keypoints [T, 33, 3] m, ground truth, relative to the midpoint of its hips; keypoints_h36m [T, 17, 3] m, likewise
    rotations [T, 24, 3, 3] of SMPL's joints, relative to parents, the root's to camera axes
    source: command that made it
    identity [T] int32: the tracker's, 0 where lost; presence [T, 33] of the landmarks in the picture
    observed_2d, keypoints_2d [T, 33, 2] px; size [2] W, H; intrinsics [3, 3] px
    translation [T, 3] m, pelvis in camera space; origin [T, 3] m, midpoint of the hips; joints [T, 24, 3] m,
    SMPL's joints in camera space; rest [24, 3] m, the same in the T-pose; phenotypes [6]; stature m; motion: its name
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray

from humanrt.geometry.camera import project
from humanrt.people.body_points import HIPS
from humanrt.people.body_tracker import Bodies, BodyTracker, BodyTrackerOptions
from humanrt_export.data.poses.clips import PairsConfig, follow, save_pairs
from humanrt_export.data.poses.made_up import made_up_motions
from humanrt_export.entry import run_module
from humanrt_export.motion.clip import Motion
from humanrt_export.motion.split import Part, load_part
from humanrt_export.options import Option, parse
from humanrt_export.synthetic.body_model import BodyModel, load_body
from humanrt_export.synthetic.body_scene import draw_scene, film, pose_at

__all__ = ["main", "make_pair"]

Array = NDArray[np.float64]
_NEAR = 0.4  # body sizes: a detection closer than this is the person
Watch = Callable[[int, NDArray[np.uint8], Bodies], None]


def make_pair(
    model: BodyModel,
    motions: Sequence[Motion],
    trackers: BodyTracker | Sequence[BodyTracker],
    seed: int,
    index: int,
    seconds: float = 4.0,
    watch: Watch | None = None,
    *,
    variety: bool = False,
) -> list[dict[str, Any]]:
    """Render one clip and return, for each tracker, the arrays of its .npz (see the module).

    Args:
        model: the body model.
        motions: motions to choose from.
        trackers: all see the same pictures; they are reset first.
        seed, index, seconds, variety: as for `draw_scene`.
        watch: called with each frame's number, picture and the first tracker's bodies.
    """
    trackers = [trackers] if isinstance(trackers, BodyTracker) else trackers
    scene = draw_scene(model, motions, seed, index, seconds, variety=variety)
    for tracker in trackers:
        tracker.reset()
    seen: list[list[Bodies]] = [[] for _ in trackers]
    for frame, (picture, t) in enumerate(zip(film(model, scene, seed, index), scene.t, strict=True)):
        for own, tracker in zip(seen, trackers, strict=True):
            own.append(tracker(picture, float(t)))
        if watch:
            watch(frame, picture, seen[0][-1])
    rotations, pelvis = pose_at(scene, scene.t)
    posed = model.pose(scene.person, rotations, pelvis)
    origin = posed.landmarks[:, HIPS].mean(axis=1)
    arrays = {
        "t": scene.t,
        "source": f"humanrt_export.data.poses.pairs_body --seed {seed} --first {index} --seconds {seconds:g}"
        + (" --variety" if variety else ""),
        "size": np.array(scene.camera.size),
        "motion": f"{scene.motion.name} {scene.start:.2f} s x {scene.speed:.2f}",
        "stature": scene.person.stature,
    }
    truth_2d = project(posed.landmarks, scene.camera.intrinsics)
    floats = {
        "keypoints": posed.landmarks - origin[:, None],
        "keypoints_h36m": posed.h36m - origin[:, None],
        "rotations": rotations,
        "keypoints_2d": truth_2d,
        "intrinsics": scene.camera.intrinsics,
        "translation": pelvis,
        "origin": origin,
        "joints": model.smpl(posed.joints),
        "rest": model.rest(scene.person),
        "phenotypes": scene.person.phenotypes,
    }
    true = arrays | {name: np.asarray(value, np.float32) for name, value in floats.items()}
    return [true | _observed(own, truth_2d) for own in seen]


def _observed(seen: Sequence[Bodies], truth_2d: Array) -> dict[str, Any]:
    """Return a tracker's arrays of the clip, for the person whose true landmarks are at [T, 33, 2] px."""
    count = len(seen)
    observed, observed_2d = np.full((count, 33, 3), np.nan), np.full((count, 33, 2), np.nan)
    confidence, presence = np.zeros((count, 33)), np.zeros((count, 33))
    score, identity = np.zeros(count), np.zeros(count, np.int32)
    by_identity = [{body.id: body.landmarks for body in bodies} for bodies in seen]
    at = [{number: landmarks.landmarks_2d for number, landmarks in marked.items()} for marked in by_identity]
    for k, number in enumerate(follow(at, truth_2d, _NEAR)):
        if number is not None:
            landmarks = by_identity[k][number]
            observed[k] = landmarks.landmarks_3d - landmarks.landmarks_3d[HIPS].mean(axis=0)
            observed_2d[k], confidence[k], presence[k] = (
                landmarks.landmarks_2d,
                landmarks.visibility,
                landmarks.presence,
            )
            score[k], identity[k] = landmarks.score, number
    floats = {
        "score": score,
        "observed": observed,
        "confidence": confidence,
        "presence": presence,
        "observed_2d": observed_2d,
    }
    return {"identity": identity} | {name: np.asarray(value, np.float32) for name, value in floats.items()}


@dataclass(frozen=True, kw_only=True)
class BodyPairsConfig(PairsConfig):
    """Options of ``python -m humanrt_export.data.poses.pairs_body``.

    Attributes:
        out: folder; gets body_SEED_INDEX.npz.
        motions: folders or archives of motions (see motion.load).
        part: part of the motions.
        bundles: bundles of several trackers, instead of one `bundle`.
        variety: more varied people, poses and cameras, see `synthetic.body_scene.draw_scene`.
        made_up: additional synthesised motions of 8 s (`made_up`).
    """

    clips: int = 12
    bundle: str = "landmarks"
    motions: Annotated[tuple[Path, ...], Option(metavar="PATH")]
    part: Part
    bundles: Annotated[tuple[str, ...], Option(metavar="BUNDLE")] = ()
    variety: bool = False
    made_up: int = 0


def make_pairs(config: BodyPairsConfig) -> None:
    """Render moving people, track them as in live use, and save both."""
    torch.set_num_threads(1)
    motions = [motion for path in config.motions for motion in load_part(path, config.part)]
    motions += made_up_motions(motions, config.made_up, config.seed)
    model = load_body("full")
    options = BodyTrackerOptions(max_people=1)
    trackers = [BodyTracker(bundle, "cpu", options, threads=1) for bundle in config.bundles or (config.bundle,)]

    def make(index: int) -> list[dict[str, Any]]:
        return make_pair(model, motions, trackers, config.seed, index, config.seconds, variety=config.variety)

    save_pairs(config, "body", make)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    prog = "python -m humanrt_export.data.poses.pairs_body"
    make_pairs(parse(BodyPairsConfig, words, prog=prog, text="render moving people, track them as live, and keep both"))
    return 0


if __name__ == "__main__":
    run_module(main)
