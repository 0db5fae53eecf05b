"""Pairs for bodies: what MediaPipe's landmarks say of rendered moving people, beside the exact truth.

::

    python -m humanrt_export.data.poses.pairs_body --motions DIR --part train --out DIR --seed 1 --clips 150
    python -m humanrt_export.data.poses.pairs_body --motions FILE FILE --variety --bundles landmarks FOLDER ...

With several bundles, each sees the same pictures, and a clip is written for each: body_SEED_INDEX.npz for the first,
body_SEED_INDEX_1.npz for the second.

Every clip is drawn from (seed, index) alone, see `synthetic.body_scene`; motions of the held-out part are never in a
training clip (`motion.split`). `BodyTracker` sees the frames in order, with their real time stamps, as it would live.
Clips that exist are left alone, so that a run can be continued.

A clip is one .npz (T frames; camera axes x right, y down, z forward):

    t [T] s; observed [T, 33, 3] m, relative to the middle of its own hips, NaN where lost; score [T], 0 where lost;
    confidence [T, 33] visibility, 0 where lost
    keypoints [T, 33, 3] m, truth, relative to the middle of its hips; keypoints_h36m [T, 17, 3] m, truth, likewise
    rotations [T, 24, 3, 3] SMPL's, local, the root's in camera axes
    source: how it was made
    identity [T] int32: the tracker's, 0 where lost; presence [T, 33]: of landmarks in the picture
    observed_2d, keypoints_2d [T, 33, 2] px; size [2] W, H; intrinsics [3, 3] px
    translation [T, 3] m, the pelvis in camera space; origin [T, 3] m, the middle of the hips; joints [T, 24, 3] m,
    SMPL's joints in camera space; rest [24, 3] m, these in the T-pose; phenotypes [6]; stature m; motion: its name
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
_NEAR = 0.4  # body sizes from the person: what is found nearer is it
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
    """One clip for each tracker: the arrays of its .npz (see the module).

    Args:
        model: of the bodies.
        motions: to choose from.
        trackers: are reset first; all see the same pictures.
        seed, index, seconds, variety: as for `draw_scene`.
        watch: called with each frame's number, picture and bodies of the first tracker.
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
    """What a tracker says of the person whose landmarks are truly at [T, 33, 2] px: its arrays of the clip."""
    count = len(seen)
    observed, observed_2d = np.full((count, 33, 3), np.nan), np.full((count, 33, 2), np.nan)
    confidence, presence = np.zeros((count, 33)), np.zeros((count, 33))
    score, identity = np.zeros(count), np.zeros(count, np.int32)
    found = [{body.id: body.landmarks for body in bodies} for bodies in seen]
    at = [{number: marks.landmarks_2d for number, marks in marked.items()} for marked in found]
    for k, number in enumerate(follow(at, truth_2d, _NEAR)):
        if number is not None:
            marks = found[k][number]
            observed[k] = marks.landmarks_3d - marks.landmarks_3d[HIPS].mean(axis=0)
            observed_2d[k], confidence[k], presence[k] = marks.landmarks_2d, marks.visibility, marks.presence
            score[k], identity[k] = marks.score, number
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
        part: of the motions.
        bundles: of the trackers, instead of one `bundle`.
        variety: of people, poses and cameras: see `synthetic.body_scene.draw_scene`.
        made_up: motions of 8 s made up besides, from pose to pose (`made_up`).
    """

    clips: int = 12
    bundle: str = "landmarks"
    motions: Annotated[tuple[Path, ...], Option(metavar="PATH")]
    part: Part
    bundles: Annotated[tuple[str, ...], Option(metavar="BUNDLE")] = ()
    variety: bool = False
    made_up: int = 0


def make_pairs(config: BodyPairsConfig) -> None:
    """Render moving people, track them as live, and keep both."""
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
    """The command line."""
    prog = "python -m humanrt_export.data.poses.pairs_body"
    make_pairs(parse(BodyPairsConfig, words, prog=prog, text="render moving people, track them as live, and keep both"))
    return 0


if __name__ == "__main__":
    run_module(main)
