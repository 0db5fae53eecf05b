"""Labelled motion capture as frames relative to the body's heading, for our own PoseGPT."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, choices
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt.motion.features import frames_from_motion
from humanrt_export.motion.augment import mirror, resample
from humanrt_export.motion.clean import clean
from humanrt_export.motion.clip import Motion
from humanrt_export.motion.load import load_motions

__all__ = ["FPS", "LabelledClip", "clip_of", "labels_of", "load_labelled", "read_labels"]

FPS = 30.0
"""Frames per second of all clips."""

JOINTS = len(SMPLX_BODY)
_SHORTEST = 1.0  # s


@dataclass(frozen=True)
class LabelledClip:
    """A clip at `FPS`.

    Attributes:
        name, subject, label: of the recording; the label is empty if it has none.
        frames: float32 [T, D] (`humanrt.motion.features`).
        mirrored: the same of its mirror image.
        motion: the clip itself.
    """

    name: str
    subject: str
    label: str
    frames: NDArray[np.float32]
    mirrored: NDArray[np.float32]
    motion: Motion


def read_labels(path: Path) -> dict[str, Mapping[str, Any]]:
    """Return what a file of labels says of each recording: ``{NAME: {"label": ..., "subject": ...}}``.

    Raises:
        HumanrtError: it is not such a file.
    """
    try:
        content: dict[str, Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HumanrtError(f"{path}: cannot be read as JSON ({error}); give a file of labels by name") from error
    good = isinstance(content, dict) and all(
        isinstance(one, dict) and isinstance(one.get("label"), str) for one in content.values()
    )
    if not good:
        raise HumanrtError(f'{path}: must map names of recordings to {{"label": NAME, "subject": NAME}}')
    return content


def load_labelled(
    paths: Sequence[Path], labels: Mapping[str, Mapping[str, Any]], shortest: float = _SHORTEST
) -> list[LabelledClip]:
    """Read recordings, clean them and bring them to `FPS`.

    Args:
        paths: folders or archives.
        labels: as `read_labels` returns them; recordings that it does not name have no label.
        shortest: s, shorter parts are left out.

    Raises:
        HumanrtError: a file cannot be read, or there is no motion.
    """
    clips = []
    for path in paths:
        for motion in load_motions(path):
            about = labels.get(motion.name, {})
            subject = str(about.get("subject") or motion.subject)
            for part in clean(motion, shortest):
                clips.append(clip_of(replace(part, subject=subject), str(about.get("label", ""))))  # noqa: PERF401
    if not clips:
        raise HumanrtError(f"no motion of {shortest:g} s or more in {choices(map(str, paths))}; give other --data")
    return clips


def clip_of(motion: Motion, label: str) -> LabelledClip:
    """Return a motion of any rate as a clip."""
    at_rate = resample(motion, FPS)
    return LabelledClip(motion.name, motion.subject, label, _frames(at_rate), _frames(mirror(at_rate)), at_rate)


def _frames(motion: Motion) -> NDArray[np.float32]:
    return frames_from_motion(motion.rotations[:, :JOINTS], motion.translation, FPS)


def labels_of(clips: Sequence[LabelledClip]) -> tuple[str, ...]:
    """Return the labels of clips, sorted."""
    return tuple(sorted({clip.label for clip in clips if clip.label}))
