"""Large amounts of clean hand motion: the motion of the rendered pairs, without pictures.

::

    python -m humanrt_export.data.poses.hand_clips --out DIR --seed 5 --clips 500 [--seconds 16]

People, each with a library of poses, are created once per process, which takes 25 s; a clip of 4 s then takes about
5 ms. A clip depends only on its seed.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt_export.data.poses.clips import ClipsConfig, save_clip
from humanrt_export.entry import run_module
from humanrt_export.options import parse
from humanrt_export.synthetic.hand_model import Arm, load_arm
from humanrt_export.synthetic.hand_repertoire import hand_rotations, repertoire, varied_motion

__all__ = ["hand_clips", "main"]

_PERSONS = 48


@functools.lru_cache(maxsize=_PERSONS)
def _person(number: int, poses: int = 96) -> tuple[Arm, NDArray[np.float64]]:
    generator = np.random.default_rng([77, number])
    arm = load_arm("right", tuple(generator.normal(0, 0.9, 6)), levels=0, sleeve=False)
    return arm, repertoire(arm, generator, poses)


def hand_clips(
    seed: int, *, seconds: float = 4.0, rate: float = 30.0
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Sample a clip of a right hand.

    Args:
        seed: determines everything random: the person, the motion, the position of the hand.
        seconds: length.
        rate: frames per second, evenly spaced.

    Returns:
        t [T] s, keypoints [T, 21, 3] m relative to the mean of the 21 (camera axes), rotations [T, 16, 3, 3]
        (`hand_rotations`).
    """
    generator = np.random.default_rng([seed, 2])
    arm, poses = _person(int(generator.integers(_PERSONS)))
    motion = varied_motion(arm, poses, generator, seconds=seconds)
    t = np.arange(round(seconds * rate)) / rate
    q = motion.at(t)
    keypoints = arm.keypoints(q)
    keypoints -= keypoints.mean(axis=1, keepdims=True)
    return t, keypoints.astype(np.float32), hand_rotations(arm, q).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class HandClipsConfig(ClipsConfig):
    """Options of ``python -m humanrt_export.data.poses.hand_clips``.

    Attributes:
        out: folder; gets motion_SEED.npz, with consecutive seeds.
        clips: number of clips to make.
        rate: frame rate, Hz.
    """

    seed: int = 0
    seconds: float = 16.0
    clips: int = 100
    rate: float = 30.0


def make_clips(config: HandClipsConfig) -> None:
    """Save clean hand motion, as clips whose observations are the ground truth."""
    began = time.perf_counter()
    for seed in range(config.seed, config.seed + config.clips):
        t, keypoints, rotations = hand_clips(seed, seconds=config.seconds, rate=config.rate)
        clip: dict[str, Any] = {"t": t, "observed": keypoints, "score": np.ones(len(t), np.float32)}
        clip |= {"confidence": np.ones(keypoints.shape[:2], np.float32)}
        clip |= {
            "keypoints": keypoints,
            "rotations": rotations,
            "source": f"humanrt_export.data.poses.hand_clips {seed}",
        }
        save_clip(config.out / f"motion_{seed:06d}.npz", clip)
    spent = time.perf_counter() - began
    print(f"{config.clips} clips of {config.seconds:g} s in {spent:.1f} s")


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line."""
    prog = "python -m humanrt_export.data.poses.hand_clips"
    text = "clean hand motion, as clips whose observation is the truth"
    make_clips(parse(HandClipsConfig, words, prog=prog, text=text))
    return 0


if __name__ == "__main__":
    run_module(main)
