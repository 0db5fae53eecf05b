"""Large amounts of clean body motion: motion capture applied to people of all builds, without pictures.

::

    python -m humanrt_export.data.poses.body_clips --motions ../shared/mocap/cmu_asfamc.tar.xz --part train --out DIR

A clip has the same ground truth as a rendered pair: the same body and points on it (`synthetic.body_model`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from humanrt.people.body_points import HIPS
from humanrt_export.data.poses.clips import ClipsConfig, save_clip
from humanrt_export.data.poses.made_up import made_up_motions
from humanrt_export.entry import run_module
from humanrt_export.motion.augment import resample, rotate, varied
from humanrt_export.motion.clip import Motion
from humanrt_export.motion.split import Part, load_part
from humanrt_export.options import Option, parse
from humanrt_export.synthetic.body_model import CHILDREN, BodyModel, Outfit, load_body, sample_phenotypes

__all__ = ["body_clip", "main", "pieces", "turned_clip"]

_CAMERA = np.diag([1.0, -1.0, -1.0])
"""Rotation from the world (y up) to a level camera (y down, z forward) that people facing +z look into."""


def pieces(motion: Motion, generator: np.random.Generator, rate: float, seconds: float) -> Iterator[Motion]:
    """Yield a recording at a random speed, cut into clips; a remainder shorter than a quarter of one is left out."""
    motion = resample(motion, rate, speed=float(np.exp(generator.normal(0, 0.15))))
    frames = round(seconds * rate)
    for start in range(0, len(motion.rotations), frames):
        end = min(start + frames, len(motion.rotations))
        if end - start >= frames // 4:
            yield replace(motion, rotations=motion.rotations[start:end], translation=motion.translation[start:end])


def body_clip(
    model: BodyModel, motion: Motion, generator: np.random.Generator, *, variety: bool = False
) -> dict[str, Any]:
    """Apply a motion to a random person: a clip whose `observed` is the ground truth; ``variety``: more children."""
    seen = rotate(motion, _CAMERA)
    phenotypes = sample_phenotypes(generator, *(CHILDREN if variety else ()))
    person = model.person(phenotypes, Outfit.sample(generator, np.full(3, 0.4)))
    posed = model.pose(person, seen.rotations, seen.translation)
    origin = posed.landmarks[:, HIPS].mean(axis=1, keepdims=True)
    count = len(seen.rotations)
    landmarks = (posed.landmarks - origin).astype(np.float32)
    return {
        "t": np.arange(count) / seen.fps,
        "observed": landmarks,
        "keypoints": landmarks,
        "keypoints_h36m": (posed.h36m - origin).astype(np.float32),
        "score": np.ones(count, np.float32),
        "confidence": np.ones((count, landmarks.shape[1]), np.float32),
        "rotations": seen.rotations.astype(np.float32),
        "source": f"{motion.source}; humanrt_export.data.poses.body_clips",
    }


def turned_clip(motion: Motion) -> dict[str, Any]:
    """Return a motion's rotations only: a clip for networks that take rotations (`turning`)."""
    seen = rotate(motion, _CAMERA)
    count = len(seen.rotations)
    rotations = seen.rotations.astype(np.float32)
    return {
        "t": np.arange(count) / seen.fps,
        "observed": rotations,
        "keypoints": np.zeros((count, 0, 3), np.float32),
        "score": np.ones(count, np.float32),
        "rotations": rotations,
        "source": f"{motion.source}; humanrt_export.data.poses.body_clips --rotations-only",
    }


@dataclass(frozen=True, kw_only=True)
class BodyClipsConfig(ClipsConfig):
    """Options of ``python -m humanrt_export.data.poses.body_clips``.

    Attributes:
        out: folder; gets motion_ROUND_NUMBER.npz.
        motions: folders or archives of motions (see motion.load).
        part: part of the motions (motion.split).
        rounds: number of times each motion is used, each time by another person.
        rate: frame rate, Hz.
        made_up: additional synthesised motions of 8 s (`made_up`), used once per round.
        variety: more children, and arms and bends mixed in from other motions (`motion.augment.varied`).
        rotations_only: clips without points, for networks that take rotations: nobody is posed.
    """

    seed: int = 5
    seconds: float = 16.0
    motions: Annotated[tuple[Path, ...], Option(metavar="PATH")]
    part: Part = "train"
    rounds: int = 2
    rate: float = 30.0
    variety: bool = False
    made_up: int = 0
    rotations_only: bool = False


def make_clips(config: BodyClipsConfig) -> None:
    """Save clean body motion, as clips whose observations are the ground truth."""
    motions = [motion for path in config.motions for motion in load_part(path, config.part)]
    motions += made_up_motions(motions, config.made_up, config.seed)
    model = None if config.rotations_only else load_body("10pc")
    frames = number = 0
    for turn in range(config.rounds):
        generator = np.random.default_rng([config.seed, turn])
        for motion in motions:
            if config.variety:
                motion = varied(motion, motions, generator)
            for piece in pieces(motion, generator, config.rate, config.seconds):
                if model is None:
                    clip = turned_clip(piece)
                else:
                    clip = body_clip(model, piece, generator, variety=config.variety)
                save_clip(config.out / f"motion_{turn}_{number:05d}.npz", clip)
                frames, number = frames + len(clip["t"]), number + 1
    print(f"{config.out}: {number} clips, {frames} frames")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    prog = "python -m humanrt_export.data.poses.body_clips"
    text = "clean body motion, as clips whose observation is the truth"
    make_clips(parse(BodyClipsConfig, words, prog=prog, text=text))
    return 0


if __name__ == "__main__":
    run_module(main)
