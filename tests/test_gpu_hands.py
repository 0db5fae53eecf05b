"""Hands' frames stay on the GPU: on a FAKE one (fake_cuda.py), whose networks and kernels the CPU computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fake_cuda
from humanrt.capture import open_source
from humanrt.errors import HumanrtError
from humanrt.hands.tracker import HandTracker, TrackerOptions
from humanrt.posebert.smoother import HandPoseSmoother

ROOT = Path(__file__).resolve().parents[1]


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
