"""From landmarks to the body: raw landmarks, inverse kinematics and PoseBERT bundles on clips of known truth.

    python -m humanrt_export.data.poses.pairs_body --motions ../shared/mocap/hdm05.tar.xz --part train --variety \
        --bundles landmarks HEAVY --out pairs/lift/test --seed 3041 --clips 24 --seconds 3
    python bench/posebert_lift.py --clips pairs/lift/test --bundles posebert-body OTHER

Every clip is streamed as a camera's: `PoseBERTStream.update` at its time stamps, pixels and intrinsics included. Twelve
joints (shoulders, elbows, wrists, hips, knees, ankles) are measured in the frames that the landmark network saw, in mm
of a person whose shoulders are 500 mm from their hips; each clip's answers have one scale, the best one, since nothing
says how tall somebody is.

Columns: `error` with hips aligned, camera axes; `beside` the line of sight; `along` it; `similarity` after rotation,
translation and scale of each frame; `rotations` degrees, mean of SMPL's 24; `limbs` degrees, direction of the eight
limb bones that the rotations give; `posed` mm, error of the twelve joints of the person's own skeleton posed by the
rotations, as a mesh is; `jitter` mm/frame^2, mean length of the acceleration of the keypoints, and `posed jitter` that
of the posed joints, beside the truth's own. Clips named *_1.npz are of the second landmark network (`pairs_body
--bundles`), which has its own table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.rotation import vectors_from_matrices
from humanrt.geometry.similarity import aligned
from humanrt.geometry.skeleton import MEDIAPIPE_33, SMPL_24, SMPL_PARENTS, world_rotations
from humanrt.people.body_points import HIPS
from humanrt.people.landmark_ik import LandmarkIK
from humanrt.posebert.stream import Observation, PoseBERTStream
from humanrt_export.data.poses.dataset import resampled
from humanrt_export.npz import read_npz
from humanrt_export.synthetic.body_model import Outfit, load_body

Array = NDArray[Any]
Answer = tuple[Array, Array, Array]
"""Frames [N], keypoints [N, 33, 3] m about the hips, rotations [N, 24, 3, 3]; camera axes."""

TORSO = 0.5  # m
STEP = 1 / 30
LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
JOINTS = [MEDIAPIPE_33.index(f"{side}_{name}") for name in LIMBS for side in ("left", "right")]
BONES = [
    (SMPL_24.index(f"{side}_{start}"), SMPL_24.index(f"{side}_{end}"))
    for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
    for side in ("left", "right")
]
POSED = [SMPL_24.index(f"{side}_{name}") for name in LIMBS for side in ("left", "right")]
COLUMNS = ("error", "beside", "along", "similarity", "rotations", "limbs", "posed", "jitter", "posed jitter")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=Path, required=True, metavar="DIR", help="of pairs_body, with pixels")
    parser.add_argument("--bundles", nargs="+", required=True, metavar="NAME|PATH", help="of PoseBERT for 33 landmarks")
    parser.add_argument("--lags", type=int, nargs="+", default=[0, 2, 4, 8], metavar="FRAMES")
    parser.add_argument("--blind", action="store_true", help="also without pixels, where a bundle takes them")
    arguments = parser.parse_args()
    files = sorted(arguments.clips.glob("*.npz"))
    ik = LandmarkIK(still_landmarks())
    for title, own in (
        ("first landmark network", [file for file in files if not file.stem.endswith("_1")]),
        ("second landmark network", [file for file in files if file.stem.endswith("_1")]),
    ):
        if not own:
            continue
        clips = [on_clock(read_npz(file)) for file in own]
        print(f"\n{title}: {len(clips)} clips, {sum(len(clip['t']) for clip in clips)} frames\n")
        print("| | " + " | ".join(COLUMNS) + " |\n|" + " --- |" * (len(COLUMNS) + 1))
        row("truth", clips, lambda clip: (seen(clip), clip["keypoints"][seen(clip)], clip["rotations"][seen(clip)]))
        row("raw landmarks, inverse kinematics", clips, lambda clip: by_ik(ik, clip))
        for name in arguments.bundles:
            for lag in arguments.lags:
                for pixels in (True, False) if arguments.blind else (True,):
                    with PoseBERTStream(name, lag=lag) as stream:
                        if not pixels and not stream.sighted:
                            continue
                        label = f"{name}, lag {lag}" + ("" if pixels or not stream.sighted else ", without pixels")
                        row(label, clips, lambda clip, s=stream, p=pixels: streamed(s, clip, p))  # type: ignore[misc]


def on_clock(clip: Mapping[str, Array]) -> dict[str, Array]:
    """A clip at 30 frames a second, so that the truth is known at every lag; pixels and metres alike."""
    both = {**clip, "rays": np.concatenate([clip["observed_2d"], clip["observed_2d"][..., :1]], axis=-1)}
    rows = resampled(both, 1 / STEP)
    return {**rows, "observed_2d": rows["rays"][..., :2], "intrinsics": clip["intrinsics"], "rest": clip["rest"]}


def seen(clip: Mapping[str, Array]) -> NDArray[np.int64]:
    """Frames in which the landmark network saw the person, after the first third of a second."""
    there = np.isfinite(clip["observed"]).all(axis=(1, 2))
    there[: min(10, len(there) // 3)] = False
    return np.flatnonzero(there)


def by_ik(ik: LandmarkIK, clip: Mapping[str, Array]) -> Answer:
    """Landmarks as they are, and the rotations that they have by inverse kinematics."""
    frames = seen(clip)
    points = clip["observed"][frames]
    return frames, points, np.stack([ik(frame) for frame in points])


def streamed(stream: PoseBERTStream, clip: Mapping[str, Array], pixels: bool) -> Answer:
    """A bundle's answers for the frames that were seen, as they come out with the stream's lag."""
    stream.reset()
    there = np.isfinite(clip["observed"]).all(axis=(1, 2))
    wanted = set(seen(clip).tolist())
    frames, points, rotations = [], [], []
    for frame, t in enumerate(clip["t"]):
        given = {}
        if there[frame]:
            sight = (clip["observed_2d"][frame], clip["intrinsics"]) if pixels else (None, None)
            given[1] = Observation(clip["observed"][frame], clip["confidence"][frame], "right", *sight)
        state = stream.update(float(t), given).get(1)
        if state is not None and frame - stream.lag in wanted:
            frames.append(frame - stream.lag)
            points.append(state.keypoints)
            rotations.append(state.rotations)
    return np.array(frames, int), np.array(points).reshape(-1, 33, 3), np.array(rotations).reshape(-1, 24, 3, 3)


def row(name: str, clips: Sequence[Mapping[str, Array]], method: Callable[[Mapping[str, Array]], Answer]) -> None:
    """Print a method's row: means over frames of all clips."""
    found: dict[str, list[Array]] = {column: [] for column in COLUMNS}
    for clip in clips:
        frames, points, rotations = method(clip)
        if not len(frames):
            continue
        for column, values in measured(frames, points, rotations, clip).items():
            found[column].append(values)
    shown = [f"{np.concatenate(found[column]).mean():.1f}" for column in COLUMNS]
    print(f"| {name} | " + " | ".join(shown) + " |", flush=True)


def measured(frames: Array, points: Array, rotations: Array, clip: Mapping[str, Array]) -> dict[str, Array]:
    """Errors of a clip by column, one value a frame."""
    truth, turns = clip["keypoints"][frames].astype(float), clip["rotations"][frames].astype(float)
    truth, points = (value - value[:, HIPS].mean(axis=1, keepdims=True) for value in (truth, points.astype(float)))
    size = np.linalg.norm(truth[:, [11, 12]] - truth[:, [23, 24]], axis=-1).mean() / TORSO
    truth, points = truth[:, JOINTS] / size, points[:, JOINTS]
    points = points * (np.sum(points * truth) / np.sum(points * points))
    error = 1e3 * (points - truth)
    similar = aligned(points, truth) - truth
    angle = np.linalg.norm(vectors_from_matrices(np.swapaxes(turns, -1, -2) @ rotations), axis=-1)
    ways = [directions_of(clip["rest"], value) for value in (rotations, turns)]
    off = np.arccos(np.clip((ways[0] * ways[1]).sum(-1), -1, 1))
    posed, true_posed = (posed_joints(clip["rest"], value) / size for value in (rotations, turns))
    return {
        "error": np.linalg.norm(error, axis=-1).mean(-1),
        "beside": np.linalg.norm(error[..., :2], axis=-1).mean(-1),
        "along": np.abs(error[..., 2]).mean(-1),
        "similarity": 1e3 * np.linalg.norm(similar, axis=-1).mean(-1),
        "rotations": np.degrees(angle).mean(-1),
        "limbs": np.degrees(off).mean(-1),
        "posed": 1e3 * np.linalg.norm(posed - true_posed, axis=-1).mean(-1),
        "jitter": jitter_of(frames, points),
        "posed jitter": jitter_of(frames, posed),
    }


def jitter_of(frames: Array, points: Array) -> Array:
    """Mean length of the acceleration, mm/frame^2, wherever three frames follow each other."""
    at = np.array([k for k in range(1, len(frames) - 1) if frames[k + 1] - frames[k - 1] == 2], int)
    moved = points[at + 1] - 2 * points[at] + points[at - 1]
    return np.asarray(1e3 * np.linalg.norm(moved, axis=-1).mean(-1))


def posed_joints(rest: Array, rotations: Array) -> Array:
    """[N, 12, 3] m about the pelvis of a skeleton with rest [24, 3] posed by rotations [N, 24, 3, 3]."""
    world = world_rotations(rotations, SMPL_PARENTS)
    places = [np.zeros((len(rotations), 3))]
    for joint, parent in enumerate(SMPL_PARENTS[1:], start=1):
        places.append(places[parent] + np.einsum("nij,j->ni", world[:, parent], rest[joint] - rest[parent]))
    return np.stack([places[joint] for joint in POSED], axis=1)


def directions_of(rest: Array, rotations: Array) -> Array:
    """[N, 8, 3] where limb bones point that have rotations [N, 24, 3, 3]; rest [24, 3] m."""
    world = world_rotations(rotations, SMPL_PARENTS)
    ways = [np.einsum("nij,j->ni", world[:, start], rest[end] - rest[start]) for start, end in BONES]
    return np.stack([way / np.linalg.norm(way, axis=-1, keepdims=True) for way in ways], axis=1)


def still_landmarks() -> Array:
    """[33, 3] m, landmarks of an average adult in the T-pose."""
    model = load_body("10pc")
    shape = np.array([0.5, 2 / 3, 0.5, 0.5, 0.5, 0.5], np.float32)
    person = model.person(shape, Outfit.sample(np.random.default_rng(0), np.full(3, 0.4)))
    return model.pose(person, np.broadcast_to(np.eye(3), (1, 24, 3, 3)), np.zeros((1, 3))).landmarks[0]


if __name__ == "__main__":
    main()
