"""Hands' frames stay on the GPU: on a FAKE one (fake_cuda.py), whose networks and kernels the CPU computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fake_cuda
from hands import sequence
from humanrt.bundle import load_bundle
from humanrt.errors import BundleError, HumanrtError
from humanrt.hands.pose_smoother import HandPoseSmoother
from humanrt.hands.tracker import HandTracker, TrackerOptions
from humanrt.posebert.gpu_retarget import GpuPoseRetarget
from humanrt.posebert.model import PoseBERT
from humanrt.retarget import Retargeter
from humanrt.sources.opening import open_source

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["tensorrt", "cuda"])
def test_hands_are_those_of_the_cpu(gpu: Any, name: str) -> None:
    """Crops are exact but for rounding; the detector's letterbox is not rounded to whole levels, as the CPU's is."""
    with open_source(str(ROOT / "tests" / "data" / "hands_crossing.mp4")) as source:
        frames = [frame for _, frame in zip(range(4), source, strict=False)]
    with gpu(name) as backend, HandTracker(backend=backend) as tracker, HandTracker(threads=1) as cpu:
        smooth, plain = HandPoseSmoother(backend=backend), HandPoseSmoother(threads=1)
        for frame in frames:
            found, expected = tracker(frame.image, frame.t), cpu(frame.image, frame.t)
            assert [hand.side for hand in found] == [hand.side for hand in expected]
            assert len(found) > 0
            found, expected = smooth(found, frame.t), plain(expected, frame.t)
            for hand, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(hand.keypoints_2d, other.keypoints_2d, atol=0.5)
                np.testing.assert_allclose(hand.keypoints_3d, other.keypoints_3d, atol=2e-3)
        smooth.stream.close()


def test_a_model_that_opened_its_backend_closes_it(gpu: Any) -> None:
    with HandTracker(backend="cuda"):
        assert fake_cuda.LIVE["context"] == 1
    assert not fake_cuda.LIVE["context"]


def test_a_tracker_that_cannot_open_gives_the_gpu_back(gpu: Any) -> None:
    with pytest.raises(HumanrtError, match="no landmark model `none such`"):
        HandTracker(backend="tensorrt", options=TrackerOptions(model="none such"))


def test_windows_to_joints_without_the_host(gpu: Any) -> None:
    """PoseBERT and the solver in one launch, on a batch of three hands; smoothed by the CPU's PoseBERT and solver."""
    bundle = load_bundle("posebert-hand")
    poses, robot, frames = PoseBERT(bundle, threads=1), Retargeter("allegro_right"), sequence(3 * 40).astype(np.float32)
    T = poses.frames
    steps = np.arange(T) * 40 // T
    with gpu("tensorrt") as backend, GpuPoseRetarget(bundle, backend, robot, 3) as chain:
        own = [Retargeter("allegro_right") for _ in range(3)]
        for shift in (0, 1, 2):
            windows = np.stack([frames[40 * hand + np.minimum(steps + shift, 39)] for hand in range(3)])
            windows[1] *= (-1, 1, 1)
            mask = np.ones((3, T), bool)
            mask[2, -4:] = False  # what was missed is filled in
            windows[2, -4:] = np.nan
            q = chain(windows, mask, sides=("right", "left", "right"))
            right = windows * np.array([1, -1, 1])[:, None, None, None] ** np.array([1, 0, 0])
            smoothed = poses.refine(keypoints=right, mask=mask, hold_bones=False).keypoints
            assert smoothed is not None
            expected = [solver.solve(points, side="right") for solver, points in zip(own, smoothed[:, -1], strict=True)]
            np.testing.assert_allclose(q, expected, atol=1e-4)
        chain.reset()
        with pytest.raises(ValueError, match="finite"):
            chain(windows)
        with pytest.raises(ValueError, match="left or right"):
            chain(windows, mask, sides=("right",))
        with pytest.raises(BundleError, match="not for 99; solve them in parts"):
            GpuPoseRetarget(bundle, backend, robot, 99)
