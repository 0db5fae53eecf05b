"""What the measurements of PoseGPT share: clips as motions, errors of joints, and how feet move."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from humanrt import Motion
from humanrt.geometry.skeleton import SMPLX_BODY, SMPLX_BODY_PARENTS
from humanrt.motion.features import Heading, frames_from_motion, motion_from_frames
from humanrt.motion.rest import joint_positions
from humanrt_export.data.poses.labelled import FPS, JOINTS, LabelledClip

__all__ = ["distance", "feet", "joints_of", "motion_of", "pose", "relative", "windows"]

Array = NDArray[np.float64]

_TOES = [SMPLX_BODY.index(f"{side}_foot") for side in ("left", "right")]
_STANDING = 0.06
"""m above the floor below which toes count as on it; those of our rest skeleton stand 2 cm high."""


def motion_of(clip: LabelledClip) -> Motion:
    """Return a clip as the runtime has it, y up."""
    return Motion(
        clip.motion.rotations[:, :JOINTS].astype(np.float32),
        clip.motion.translation.astype(np.float32),
        FPS,
        SMPLX_BODY,
        SMPLX_BODY_PARENTS,
        "y",
    )


def windows(clips: Iterable[LabelledClip], frames: int, step: int) -> Iterator[tuple[Motion, str]]:
    """Yield windows of so many frames, each so many after the one before, with their labels."""
    for clip in clips:
        motion = motion_of(clip)
        for start in range(0, len(motion) - frames + 1, step):
            yield motion.cut(start, start + frames), clip.label


def joints_of(motion: Motion) -> Array:
    """Return the 22 joints of the body, [T, 22, 3] m, on the rest skeleton."""
    return joint_positions(motion)[:, :JOINTS]


def relative(joints: Array) -> Array:
    """Return joints relative to the pelvis."""
    return joints - joints[..., :1, :]


def pose(motion: Motion) -> Array:
    """Return the joints, [T, 22, 3] m, from the place on the floor below the pelvis, in the heading's axes."""
    upright = motion.turned("y")
    frames = frames_from_motion(upright.rotations, upright.translation, motion.fps).astype(np.float64)
    rotations, translation = motion_from_frames(
        frames * np.append(np.ones(frames.shape[1] - 3), np.zeros(3)), FPS, Heading()
    )
    return joints_of(replace(upright, rotations=rotations, translation=translation))


def distance(found: Array, truth: Array) -> Array:
    """Return the mean distance of the joints in each frame, [..., T] m."""
    out: Array = np.linalg.norm(found - truth, axis=-1).mean(-1)
    return out


def feet(motions: Iterable[Motion]) -> dict[str, float]:
    """Return how toes move while they are on the floor, over all motions (y up; the floor is at height 0).

    Returns:
        ``slide``: their mean speed along the floor, cm/s; ``contact``: share of frames with a toe on it; ``low`` and
        ``high``: 1st percentile and median of the height of the lower toe, cm.
    """
    slides, contacts, lowest = [], [], []
    for motion in motions:
        toes = joints_of(motion)[:, _TOES]
        height = toes[..., 1]
        down = (height[1:] < _STANDING) & (height[:-1] < _STANDING)
        speed = np.linalg.norm(np.diff(toes[..., [0, 2]], axis=0), axis=-1) * motion.fps
        slides.append(speed[down])
        contacts.append((height < _STANDING).any(1))
        lowest.append(height.min(1))
    slid, low = np.concatenate(slides), np.concatenate(lowest)
    return {
        "slide": 100 * float(slid.mean()) if len(slid) else float("nan"),
        "contact": float(np.concatenate(contacts).mean()),
        "low": 100 * float(np.quantile(low, 0.01)),
        "high": 100 * float(np.median(low)),
    }
