"""Record motion capture as PoseBERT's input, for bundles whose inputs no camera provides."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from humanrt.bundle import Bundle
from humanrt.errors import BundleError
from humanrt.geometry.skeleton import H36M_17, MEDIAPIPE_33
from humanrt.posebert.model import PoseBERT
from humanrt.verdict import Recording
from humanrt.verdict.recording import Recorder

__all__ = ["is_motion", "record_motion"]

_SUFFIXES = (".amc", ".bvh", ".npz", ".tar", ".tar.xz", ".tar.gz", ".tgz", ".zip")
_POINTS = {"h36m17": H36M_17, "mediapipe33": MEDIAPIPE_33}
_MASKED = 0.1  # share of frames
_NOISE = 0.01  # m


def is_motion(source: str) -> bool:
    """Return whether a source is motion capture, judged by its name."""
    return source.lower().endswith(_SUFFIXES)


def record_motion(bundle: Bundle, source: str, max_inputs: int = 500, seed: int = 0) -> Recording:
    """Record windows of real motion as a front-end sees them: with noise of 1 cm and missing frames.

    Args:
        bundle: a PoseBERT bundle for bodies.
        source: motion capture file.
        max_inputs: how many windows to keep.
        seed: of the noise.

    Raises:
        BundleError: the bundle takes another input. MotionError: the file cannot be read.
    """
    from humanrt_export.motion.augment import resample
    from humanrt_export.motion.body_fk import about_hips, body_points
    from humanrt_export.motion.clean import clean
    from humanrt_export.motion.load import load_motions

    points = _POINTS.get(str(bundle.settings.get("input")))
    if bundle.task != "posebert" or bundle.settings.get("kind") not in ("published", "body"):
        raise BundleError(f"bundle {bundle.name} does not take motion capture of bodies; give a video to --calibration")
    rng = np.random.default_rng(seed)
    recorder = Recorder(bundle, max_inputs)
    model = PoseBERT(bundle, recorder)
    frames = 0
    with model:
        for motion in load_motions(Path(source)):
            for part in clean(motion):
                steady = resample(part, model.clock_hz)
                for start in range(0, len(steady.rotations) - model.frames + 1, model.frames // 2):
                    rotations = steady.rotations[start : start + model.frames]
                    mask = rng.random(model.frames) >= _MASKED
                    frames += model.frames
                    if points is None:
                        model.window(rotations, mask=mask)
                        continue
                    seen = about_hips(body_points(rotations, points), points)
                    root = rotations[:, 0] if "root" in model.takes else None  # published weights
                    model.window(root=root, keypoints=seen + rng.normal(0, _NOISE, seen.shape), mask=mask)
    return Recording(Path(source).name, frames, recorder.feeds())
