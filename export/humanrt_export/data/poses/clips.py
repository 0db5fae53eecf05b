"""Clips: observations of a front end beside the ground truth, for training, noise models and measurements.

A clip is a dict of arrays, also the content of one ``.npz`` file:

==============  ===========  ==================================================================================
`t`             [T] s        real time stamps
`observed`      [T, K, 3] m  the front end's output, camera axes; NaN where it lost the hand or person
`score`         [T]          its score, 0 where lost
`confidence`    [T, K]       confidence of each point; if absent, the score
`keypoints`     [T, K, 3] m  ground truth
`rotations`     [T, J, 3, 3] ground truth, relative to parents, the root's to camera axes
==============  ===========  ==================================================================================
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.files import opened_atomically
from humanrt_export.npz import read_npz
from humanrt_export.options import Option

__all__ = ["Clip", "ClipsConfig", "PairsConfig", "follow", "load_clips", "save_clip", "save_pairs"]

Array = NDArray[Any]
Clip = Mapping[str, Array]

_NEEDED = ("t", "observed", "score", "keypoints", "rotations")


def load_clips(folder: Path) -> list[dict[str, Array]]:
    """Load all clips of a folder, in order of their names.

    Raises:
        HumanrtError: there is none, or a file is not a clip.
    """
    clips = []
    for path in sorted(folder.glob("*.npz")):
        try:
            clip = read_npz(path)
        except (OSError, ValueError) as error:
            raise HumanrtError(f"{path}: cannot be read as a clip ({error}); make it again") from error
        if missing := [name for name in _NEEDED if name not in clip]:
            raise HumanrtError(f"{path}: `{missing[0]}` is missing; not a clip")
        clips.append(clip)
    if not clips:
        raise HumanrtError(
            f"{folder}: holds no clips (*.npz); `python -m humanrt_export.data.poses.pairs_hand` makes some"
        )
    return clips


def save_clip(path: Path, clip: Mapping[str, Any]) -> None:
    """Write a clip, or other arrays by name, atomically."""
    with opened_atomically(path) as file:
        np.savez_compressed(file, **clip)


def follow(seen: Sequence[Mapping[int, Array]], truth_2d: Array, max_distance: float) -> list[int | None]:
    """Return, frame by frame, the front end's identity of the only hand or person; None where it is lost.

    Once matched, an identity is followed as long as the tracker reports it, right or wrong; a new one is accepted only
    at the true position: a false one elsewhere is another identity, and would be another stream in live use.

    Args:
        seen: points [K, 2] px by identity (from 1), for each of T frames.
        truth_2d: [T, K, 2] px.
        max_distance: maximum mean distance of a new identity's points from the ground truth, in sizes of the latter.
    """
    followed: int | None = None
    chosen: list[int | None] = []
    for candidates, points in zip(seen, truth_2d, strict=True):
        if followed not in candidates:
            gaps = {
                identity: float(np.linalg.norm(own - points, axis=1).mean()) for identity, own in candidates.items()
            }
            best = min(gaps, key=lambda identity: gaps[identity], default=None)
            close = best is not None and gaps[best] < max_distance * float(np.ptp(points, axis=0).max())
            followed = best if close else None
        chosen.append(followed)
    return chosen


@dataclass(frozen=True, kw_only=True)
class ClipsConfig:
    """Options of all commands that make clips.

    Attributes:
        out: folder of clips.
        seed: random seed; it must differ between training and validation.
        seconds: length of a clip.
    """

    out: Annotated[Path, Option(metavar="DIR")]
    seed: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class PairsConfig(ClipsConfig):
    """Options of commands that make pairs, for `save_pairs`.

    Attributes:
        clips: number of clips to make.
        first: index of the first clip.
        bundle: the tracker's bundle.
    """

    seed: int = 1
    seconds: float = 4.0
    clips: int
    first: int = 0
    bundle: str


def save_pairs(
    config: PairsConfig, name: str, make: Callable[[int], Mapping[str, Any] | Sequence[Mapping[str, Any]]]
) -> None:
    """Make the requested pairs by their index, and report each. Existing ones are kept.

    ``make`` returns one clip, or several of one film: the names of the others end in _1, _2, ...
    """
    began, made, count = time.perf_counter(), 0, 0
    for index in range(config.first, config.first + config.clips):
        path = config.out / f"{name}_{config.seed}_{index:05d}.npz"
        if path.exists():
            continue
        result = make(index)
        clips = [result] if isinstance(result, Mapping) else list(result)
        for number, clip in reversed(list(enumerate(clips))):  # the first one last: its existence means that all exist
            save_clip(path.with_stem(f"{path.stem}_{number}") if number else path, clip)
        clip = clips[0]
        made, count = made + 1, count + len(clip["t"])
        motion = f"{clip['motion']}, " if "motion" in clip else ""
        seen = ", ".join(f"{float((one['score'] > 0).mean()):.0%}" for one in clips)
        spent = time.perf_counter() - began
        print(
            f"{path.name}: {motion}{len(clip['t'])} frames, {seen} seen; {1e3 * spent / count:.0f} ms a frame",
            flush=True,
        )
    print(f"{made} clips, {count} frames in {time.perf_counter() - began:.0f} s")
