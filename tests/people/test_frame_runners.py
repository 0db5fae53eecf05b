"""Frames come out in the order in which they went in, whoever runs them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest

from humanrt.backends import open_backend
from humanrt.bundle import load_bundle
from humanrt.bundle.settings import MultiHmrSettings
from humanrt.people.frame_runners import FrameRunner, GpuRunner, HostRunner, frame_runner
from humanrt.people.multihmr_networks import Networks

K = np.array([[60.0, 0, 28], [0, 60, 28], [0, 0, 1]])  # px of the toy's input


def runner(stack: ExitStack, path: Any, backend: Any, *, meshes: bool = True) -> FrameRunner:
    bundle = load_bundle(path)
    settings = MultiHmrSettings.of(bundle)
    networks = Networks(bundle, stack.enter_context(backend), settings, settings.topologies[0] if meshes else None)
    return stack.enter_context(frame_runner(stack.enter_context(networks), K))


@pytest.mark.parametrize("name", ["cpu", "cuda", "tensorrt"])
@pytest.mark.parametrize("meshes", [True, False])
def test_people_come_in_the_order_of_their_frames(
    gpu: Any, toy_bundle: Any, picture: Any, name: str, meshes: bool
) -> None:
    """Also where the size changes while frames are on their way, and from memory with gaps."""
    images = [picture(160, 120, size=20, red=(30 + 10 * i, 40), green=(120, 80)) for i in range(4)]
    images[2] = np.ascontiguousarray(images[2].transpose(1, 0, 2))
    images[3] = np.ascontiguousarray(images[3][:, ::-1])[:, ::-1]
    with ExitStack() as stack:
        frames = runner(stack, toy_bundle(), open_backend(name) if name == "cpu" else gpu(name), meshes=meshes)
        assert isinstance(frames, HostRunner if name == "cpu" else GpuRunner)
        assert frames.overlaps == (name != "cpu")
        alone = []
        for image in images:
            frames.submit(image, None, 0.3)
            assert frames.in_flight == 1
            assert frames.full == (name == "cpu")
            alone.append(frames.result())
        waiting, together = 0, []
        for image in images:
            if frames.full:
                together.append(frames.result())
                waiting -= 1
            frames.submit(image, None, 0.3)
            waiting += 1
            assert frames.in_flight == waiting
        together += [frames.result() for _ in range(waiting)]
        assert frames.in_flight == 0
        with pytest.raises(ValueError, match="submit one first"):
            frames.result()
        assert len({tuple(people.locations.ravel()) for people in alone}) == len(images)
        for one, other in zip(alone, together, strict=True):
            assert len(one) > 0
            np.testing.assert_array_equal(one.locations, other.locations)
            np.testing.assert_array_equal(one.intrinsics, other.intrinsics)
            assert (one.vertices is not None) == meshes
            if meshes:
                np.testing.assert_array_equal(one.vertices, other.vertices)
        for wrong in (images[0][..., :2], images[0].astype(np.float32)):
            with pytest.raises(ValueError, match="uint8"):
                frames.submit(wrong, None, 0.3)
            assert frames.in_flight == 0


def test_frames_that_were_not_taken_are_given_up(gpu: Any, toy_bundle: Any, picture: Any) -> None:
    with ExitStack() as stack:
        frames = runner(stack, toy_bundle(), gpu("cuda"))
        frames.submit(picture(160, 120), None, 0.3)
