"""Clips: what a front-end saw beside what was true, as training, noise models and measurements read them.

A clip is a dict of arrays, also the content of one ``.npz`` file:

==============  ===========  ==================================================================================
`t`             [T] s        real time stamps
`observed`      [T, K, 3] m  what the front-end said, camera axes; NaN where it lost the hand or person
`score`         [T]          its score, 0 where lost
`confidence`    [T, K]       of each point; absent: the score's
`keypoints`     [T, K, 3] m  truth
`rotations`     [T, J, 3, 3] truth, local to parents, the root's in camera axes
==============  ===========  ==================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt_export.npz import read_npz

__all__ = ["Clip", "follow", "load_clips", "save_clip"]

Array = NDArray[Any]
Clip = Mapping[str, Array]

_NEEDED = ("t", "observed", "score", "keypoints", "rotations")


def load_clips(folder: Path) -> list[dict[str, Array]]:
    """All clips of a folder, by name.

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
            f"{folder}: holds no clips (*.npz); `python -m humanrt_export.posebert.pairs_hand` makes some"
        )
    return clips


def save_clip(path: Path, clip: Mapping[str, Any]) -> None:
    """Write a clip, or other arrays by name, so that no reader ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            np.savez_compressed(file, **clip)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def follow(seen: Sequence[Mapping[int, Array]], truth_2d: Array, near: float) -> list[int | None]:
    """Which identity of a front-end is the one hand or person that is there, frame by frame; None where it is lost.

    An identity once found there is followed as long as the tracker reports it, right or wrong; a new one is taken up
    where it lies there: a false one elsewhere is another identity, and live another stream.

    Args:
        seen: T frames: identity (from 1 up) -> its points [K, 2] px.
        truth_2d: [T, K, 2] px.
        near: largest mean distance of the points from the truth's, in sizes of the truth, of a new identity.
    """
    followed: int | None = None
    chosen: list[int | None] = []
    for found, points in zip(seen, truth_2d, strict=True):
        if followed not in found:
            gaps = {identity: float(np.linalg.norm(own - points, axis=1).mean()) for identity, own in found.items()}
            best = min(gaps, key=lambda identity: gaps[identity], default=None)
            close = best is not None and gaps[best] < near * float(np.ptp(points, axis=0).max())
            followed = best if close else None
        chosen.append(followed)
    return chosen
