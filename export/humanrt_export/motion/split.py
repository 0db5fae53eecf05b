"""Split recordings into training and held-out parts: by subject, and by clip."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from humanrt.errors import HumanrtError
from humanrt_export.motion.clean import clean
from humanrt_export.motion.clip import Motion
from humanrt_export.motion.load import load_motions

__all__ = ["HELD_OUT_CLIPS", "HELD_OUT_SUBJECTS", "PARTS", "Part", "load_part", "part_of"]

Part = Literal["train", "val"]
PARTS: tuple[Part, ...] = get_args(Part)

HELD_OUT_SUBJECTS = ("03",)
"""CMU's subject 03 whole: walking and climbing on uneven ground by somebody the training has not seen."""

HELD_OUT_CLIPS = ("01_08", "01_14", "02_03", "02_05")
"""Of the training's subjects: two of playground climbing, a run, and the boxing, a movement seen nowhere else."""


def part_of(motion: Motion) -> Part:
    """Return a motion's part by subject and name alone: mirror images, speeds and parts of a clip stay together."""
    held = motion.subject in HELD_OUT_SUBJECTS or motion.name in HELD_OUT_CLIPS
    return "val" if held else "train"


def load_part(path: Path, part: Part) -> list[Motion]:
    """Load the recordings of a part from a folder or archive, cleaned. HumanrtError if there is none."""
    whole = [motion for motion in load_motions(path) if part_of(motion) == part]
    if not whole:
        raise HumanrtError(f"{path}: no motion in the part `{part}`")
    return [piece for motion in whole for piece in clean(motion)]
