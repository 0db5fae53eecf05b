"""Which recordings are for training and which are held out: by subject, and by clip."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from humanrt_export.motion.clip import Motion

__all__ = ["HELD_OUT_CLIPS", "HELD_OUT_SUBJECTS", "part_of", "split"]

Part = Literal["train", "val"]

HELD_OUT_SUBJECTS = ("03",)
"""CMU's subject 03 whole: walking and climbing on uneven ground by somebody the training has not seen."""

HELD_OUT_CLIPS = ("01_08", "01_14", "02_03", "02_05")
"""Of the training's subjects: two of playground climbing, a run, and the boxing, a movement seen nowhere else."""


def part_of(motion: Motion) -> Part:
    """Decided by subject and name alone: mirror images, speeds and parts of a clip stay together."""
    held = motion.subject in HELD_OUT_SUBJECTS or motion.name in HELD_OUT_CLIPS
    return "val" if held else "train"


def split(motions: Iterable[Motion]) -> dict[Part, list[Motion]]:
    """Part -> its motions, in their order."""
    parts: dict[Part, list[Motion]] = {"train": [], "val": []}
    for motion in motions:
        parts[part_of(motion)].append(motion)
    return parts
