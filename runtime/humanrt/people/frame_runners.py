"""Runners of frames through Multi-HMR: on the host they fill batches, on a GPU they overlap."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from humanrt.backends.cuda import CudaDevice
from humanrt.geometry.camera import Letterbox, check_image
from humanrt.geometry.letterbox import Preprocessor
from humanrt.people.gpu_people import GpuPeople
from humanrt.people.multihmr_networks import Networks, decoded, occupied
from humanrt.people.results import People
from humanrt.resource import Resource
from humanrt.timing import Stopwatch

__all__ = ["FrameRunner", "GpuRunner", "HostRunner", "frame_runner"]


class FrameRunner(Resource, ABC):
    """Accept frames and return the people in them, oldest frame first.

    Args:
        networks: the networks applied to a frame; owned by the caller.
        intrinsics: K [3, 3] in px of the network's input, for frames without their own; zeros: the network's estimate.

    Attributes:
        overlaps: frames are computed together or asynchronously, so that it pays to submit several.
    """

    overlaps: bool

    def __init__(self, networks: Networks, intrinsics: NDArray[np.float64]) -> None:
        self._networks, self._intrinsics = networks, intrinsics

    @property
    @abstractmethod
    def in_flight(self) -> int:
        """Number of submitted frames whose results were not taken."""

    @property
    @abstractmethod
    def full(self) -> bool:
        """Whether a result must be taken before the next frame."""

    @abstractmethod
    def submit(
        self, rgb: NDArray[np.uint8], intrinsics: NDArray[np.float64] | None, threshold: float, *, meshes: bool = True
    ) -> None:
        """Submit a frame.

        Args:
            rgb: uint8 [H, W, 3]. ValueError for anything else.
            intrinsics: K [3, 3] of the camera in px of the frame.
            threshold: minimum score of a person, 0..1.
            meshes: False leaves the body model out.
        """

    @abstractmethod
    def result(self) -> People:
        """Return the people in the frame submitted first. ValueError if no frame is pending."""

    def _camera(self, intrinsics: NDArray[np.float64] | None, box: Letterbox) -> NDArray[np.float64]:
        """Return a frame's intrinsics K [3, 3] in px of the network's input."""
        return self._intrinsics if intrinsics is None else box.intrinsics_to_input(intrinsics)


class HostRunner(FrameRunner):
    """Letterbox frames on the host and compute them when a batch of the network is full, or a result is asked for.

    With a batch of one a frame is computed when it is submitted. A batch that is not full is padded; `People.ms` is
    each frame's share of the batch that it was computed in.
    """

    def __init__(self, networks: Networks, intrinsics: NDArray[np.float64]) -> None:
        super().__init__(networks, intrinsics)
        settings = networks.settings
        self._preprocess = Preprocessor(settings.input_size, settings.mean, settings.std, settings.resize)
        self._images = np.zeros(networks.shape, np.float32)
        self._K = np.broadcast_to(intrinsics, (len(self._images), 3, 3)).copy()
        self.overlaps = len(self._images) > 1
        self._boxes: list[Letterbox] = []  # of the frames in the batch that is not computed yet
        self._asked = (0.0, True)  # their threshold, and whether with meshes
        self._preprocessing = 0.0  # ms, of these frames
        self._done: deque[People] = deque()

    @property
    def in_flight(self) -> int:
        return len(self._done) + len(self._boxes)

    @property
    def full(self) -> bool:
        return bool(self._done)

    def submit(
        self, rgb: NDArray[np.uint8], intrinsics: NDArray[np.float64] | None, threshold: float, *, meshes: bool = True
    ) -> None:
        if self._boxes and self._asked != (threshold, meshes):  # a batch has one threshold
            self._compute()
        watch, index = Stopwatch(), len(self._boxes)
        box = self._preprocess(rgb, self._images[index])
        self._K[index] = self._camera(intrinsics, box)
        self._boxes.append(box)
        self._asked = (threshold, meshes)
        watch.lap("preprocess")
        self._preprocessing += watch.ms["preprocess"]
        if len(self._boxes) == len(self._images):
            self._compute()

    def result(self) -> People:
        if self._boxes and not self._done:
            self._compute()
        return _oldest(self._done)

    def _compute(self) -> None:
        """Run the frames of the batch, however few."""
        count = len(self._boxes)
        boxes, self._boxes = self._boxes, []
        self._images[count:] = 0
        self._K[count:] = self._intrinsics
        (threshold, meshes), watch = self._asked, Stopwatch()
        watch.ms["preprocess"], self._preprocessing = self._preprocessing, 0.0
        people = self._networks.people(self._images, self._K, threshold, watch, boxes, meshes=meshes)
        self._done += [replace(one, ms={stage: ms / count for stage, ms in one.ms.items()}) for one in people]


class GpuRunner(FrameRunner):
    """Upload a frame while the previous one is computed and the one before that is downloaded.

    Args:
        networks, intrinsics: see `FrameRunner`.
        device: the GPU of the networks.
    """

    overlaps = True

    def __init__(self, networks: Networks, intrinsics: NDArray[np.float64], device: CudaDevice) -> None:
        super().__init__(networks, intrinsics)
        self._device = device
        self._gpu: GpuPeople | None = None  # for frames of one size, with meshes or without
        self._submitted: deque[tuple[NDArray[np.float64], Letterbox]] = deque()  # to it
        self._done: deque[People] = deque()  # results of earlier frames of another kind

    @property
    def in_flight(self) -> int:
        return len(self._done) + len(self._submitted)

    @property
    def full(self) -> bool:
        return bool(self._done) or (self._gpu is not None and self._gpu.full)

    def submit(
        self, rgb: NDArray[np.uint8], intrinsics: NDArray[np.float64] | None, threshold: float, *, meshes: bool = True
    ) -> None:
        check_image(rgb)
        gpu = self._for((rgb.shape[1], rgb.shape[0]), meshes)
        K = self._camera(intrinsics, gpu.box)[None]
        gpu.submit(np.ascontiguousarray(rgb), np.ascontiguousarray(K, np.float32), np.array([threshold], np.float32))
        self._submitted.append((K, gpu.box))

    def result(self) -> People:
        if self._done or self._gpu is None or not self._submitted:
            return _oldest(self._done)
        return self._take(self._gpu)

    def close(self) -> None:
        """Free the GPU's memory; pending results are lost."""
        if self._gpu is not None:
            self._gpu.close()
            self._gpu = None

    def _for(self, size: tuple[int, int], meshes: bool) -> GpuPeople:
        """Return the GPU's buffers for frames of a size; those of another kind are freed, and their results kept."""
        meshes = meshes and self._networks.body is not None
        if self._gpu is not None and (self._gpu.size, self._gpu.meshes) != (size, meshes):
            while self._submitted:
                self._done.append(self._take(self._gpu))
            self._gpu.close()
            self._gpu = None
        if self._gpu is None:
            self._gpu = GpuPeople(self._networks, self._device, size, meshes=meshes)
        return self._gpu

    def _take(self, gpu: GpuPeople) -> People:
        """Return the people of the oldest frame on the GPU."""
        K, box = self._submitted.popleft()
        finished = gpu.result()
        watch = Stopwatch()
        outputs = finished.outputs
        slots = [occupied(outputs, 0)]
        mesh = None
        if gpu.meshes:
            vertices, joints = outputs.pop("vertices"), outputs.pop("joints")
            mesh = vertices[0][slots[0]], joints[0][slots[0]]
        people = decoded(outputs, K, slots, [mesh], [box])[0]
        watch.lap("decode")
        return replace(people, ms=finished.ms | watch.ms)


def frame_runner(networks: Networks, intrinsics: NDArray[np.float64]) -> FrameRunner:
    """Return the runner for the networks' device; see `FrameRunner`."""
    device = networks.backend.device
    if device is None or networks.shape[0] > 1:  # a GPU's frames are each in memory of their own
        return HostRunner(networks, intrinsics)
    return GpuRunner(networks, intrinsics, device)


def _oldest(done: deque[People]) -> People:
    """Pop the oldest available result. ValueError if there is none."""
    if not done:
        raise ValueError("no image is waiting: submit one first")
    return done.popleft()
