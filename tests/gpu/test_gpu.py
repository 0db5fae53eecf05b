"""The TensorRT backend and the kernels on a real GPU. Never run so far: written on machines without one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from humanrt.backends import open_backend
from humanrt.backends.cuda import CudaBackend, CudaBuffer, CudaDevice, CudaGraph, CudaNetwork
from humanrt.backends.options import BackendOptions
from humanrt.backends.pipelined import Pipelined, Slot
from humanrt.bundle import GraphSpec, TensorSpec
from humanrt.data import CLIP
from humanrt.errors import HumanrtError
from humanrt.geometry.camera import Letterbox
from humanrt.geometry.region import Region
from humanrt.hands.pose_smoother import HandPoseSmoother
from humanrt.hands.smoother import hand_span
from humanrt.hands.tracker import HandTracker
from humanrt.kernels.crop import GpuCrop
from humanrt.kernels.image import GpuImage, GpuUpload
from humanrt.kernels.letterbox import GpuLetterbox, LetterboxOptions, frame_bytes, reference
from humanrt.kernels.one_euro import GpuOneEuro
from humanrt.kernels.pick import GpuPick
from humanrt.kernels.retarget import GpuRetarget
from humanrt.perception.crop import make_crop
from humanrt.retarget import Retargeter, robots
from humanrt.smoothing.one_euro import OneEuro
from humanrt.sources.opening import open_source

sys.path.insert(0, str(Path(__file__).parents[1] / "retarget"))
from hands import sequence

pytestmark = pytest.mark.gpu
CLOSE = 1e-4


@pytest.fixture
def device() -> Iterator[CudaDevice]:
    try:
        device = CudaDevice.open()
    except HumanrtError as error:
        pytest.skip(str(error))
    yield device
    device.close()


@pytest.mark.parametrize(
    ("form", "kind"), [("bgr", None), ("rgb", None), ("nv12", None), ("bgr", "pillow"), ("rgb", "pillow")]
)
def test_letterbox(device: CudaDevice, form: str, kind: str | None) -> None:
    size, options = (640, 480), LetterboxOptions(form, filter=kind)
    with CudaBuffer(TensorSpec("image", (1, 3, 224, 224), "float32"), device) as out:
        frame = np.random.default_rng(0).integers(0, 256, frame_bytes(size, form), np.uint8)
        with (
            CudaBuffer(TensorSpec("frame", frame.shape, "uint8"), device) as source,
            GpuLetterbox(device, out, options) as letterbox,
        ):
            source.upload(frame)
            letterbox.set_frame(source.address, size[0] * (1 if form == "nv12" else 3), Letterbox.fit(size, 224))
            letterbox.step.run()
            np.testing.assert_allclose(out.download()[0], reference(frame, size, 224, options), atol=CLOSE)


@pytest.mark.parametrize("angle", [0.0, 0.7, -2.2])
def test_crop(device: CudaDevice, angle: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    region, expected = Region(300, 200, 250, angle), np.zeros((1, 3, 224, 224), np.float32)
    make_crop(expected)(image, region)
    with (
        CudaBuffer(TensorSpec("image", expected.shape, "float32"), device) as out,
        GpuUpload(device) as upload,
        GpuCrop(device, out) as crop,
    ):
        crop.step.run()
        assert not out.download().any()  # nothing was given yet
        crop(upload(image), region)
        crop.step.run()
        np.testing.assert_allclose(out.download(), expected, atol=CLOSE)


@pytest.mark.parametrize("row", [0, 2.25, 4])
def test_pick(device: CudaDevice, row: float) -> None:
    windows = np.random.default_rng(0).normal(size=(3, 5, 21, 3)).astype(np.float32)
    first, part = int(row), row - int(row)
    with CudaBuffer(TensorSpec("windows", windows.shape, "float32"), device) as buffer, GpuPick(buffer, row) as pick:
        buffer.upload(windows)
        pick.step.run()
        expected = windows[:, first] * (1 - part) + windows[:, min(first + 1, 4)] * part
        np.testing.assert_allclose(pick.out.download(), expected, atol=1e-6)
        with pytest.raises(ValueError, match="not in a window of 5"):
            GpuPick(buffer, 4.5)


@pytest.mark.parametrize("robot", robots())
def test_smoothing_and_retargeting_in_one_graph(device: CudaDevice, robot: str) -> None:
    frames = sequence(20).astype(np.float32)
    cpu, euro = Retargeter(robot), OneEuro()
    with CudaBuffer(TensorSpec("keypoints", (1, 21, 3), "float32"), device) as points:
        points.upload(frames[:1])
        smooth = GpuOneEuro(device, points)
        solve = GpuRetarget(device, smooth.out, cpu._problem)
        solve.mirror.upload(np.array([cpu.hand.side != "right"], np.int32))
        whole = CudaGraph(device, [smooth.step, solve.step])  # its first, plain run belongs to the recording
        solve.reset()
        for i, frame in enumerate(frames):
            smooth.dt.upload(np.array([-1.0 if i == 0 else 1 / 30]))
            points.upload(frame[None])
            whole.run()
            expected = cpu.solve(euro(frame, i / 30, hand_span(frame)).astype(np.float32), side="right")
            np.testing.assert_allclose(solve.q.download()[0], expected, atol=CLOSE)
        whole.close()
        smooth.close()
        solve.close()


def test_memory_is_flat_over_10_000_frames(device: CudaDevice) -> None:
    """Frames that overlap: upload, letterbox and crop in one CUDA graph, events, download."""
    size, side = (64, 48), 32
    backend = KernelsOnly(device)

    def slot() -> Slot:
        frame = CudaBuffer(TensorSpec("frame", (size[1], size[0], 3), "uint8"), device)
        whole, part = (
            CudaBuffer(TensorSpec(name, (1, 3, side, side), "float32"), device) for name in ("whole", "part")
        )
        letterbox, crop = GpuLetterbox(device, whole, LetterboxOptions("rgb")), GpuCrop(device, part)
        letterbox.set_frame(frame.address, 3 * size[0], Letterbox.fit(size, side))
        crop(GpuImage(frame.address, *size, 3 * size[0]), Region(32, 24, 20, 0.3))
        device.compute.synchronize()
        steps = CudaGraph(device, [letterbox.step, crop.step])
        return Slot({"frame": frame}, {"whole": whole, "part": part}, {"kernels": steps}, [letterbox, crop])

    images = np.random.default_rng(0).integers(0, 256, (7, size[1], size[0], 3), np.uint8)
    expected = [reference(image, size, side, LetterboxOptions("rgb")) for image in images]
    with Pipelined(backend, slot) as frames:
        before = None
        for i in range(10_000):
            frames.submit({"frame": images[i % 7]})
            if frames.in_flight < frames.slots:
                continue
            finished = frames.result()
            assert list(finished.ms) == ["upload", "kernels", "download", "wait"]
            if i % 1000 == 1:
                np.testing.assert_allclose(finished.outputs["whole"][0], expected[(i - 1) % 7], atol=CLOSE)
                assert finished.outputs["part"].any()
                before = before or device.memory()[0]
        assert before is not None
        assert before - device.memory()[0] < 1 << 20


class KernelsOnly(CudaBackend):
    """A backend without networks, on a GPU that is open."""

    def __init__(self, device: CudaDevice) -> None:
        self.device = device

    def open(self, spec: GraphSpec) -> CudaNetwork:
        raise NotImplementedError


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_hands_are_those_of_the_cpu(name: str, graphs: bool) -> None:
    """Frames on the GPU from the upload to keypoints, and PoseBERT after them; networks in FP32."""
    try:
        backend = open_backend(name, BackendOptions(precision="fp32", unverified=True, cuda_graphs=graphs))
    except HumanrtError as error:
        pytest.skip(str(error))
    with open_source(str(CLIP)) as source:
        frames = [frame for _, frame in zip(range(30), source, strict=False)]
    with backend:
        try:
            tracker = HandTracker(backend=backend)
            smoother = HandPoseSmoother(backend=backend)
        except HumanrtError as error:  # no engine is built for this GPU
            pytest.skip(str(error))
        with tracker, smoother, HandTracker() as cpu, HandPoseSmoother() as plain:
            for frame in frames:
                found, expected = tracker(frame.image, frame.t), cpu(frame.image, frame.t)
                assert [hand.side for hand in found] == [hand.side for hand in expected]
                found, expected = smoother(found, frame.t), plain(expected, frame.t)
                for hand, other in zip(found, expected, strict=True):
                    np.testing.assert_allclose(hand.keypoints_2d, other.keypoints_2d, atol=1.0)
                    np.testing.assert_allclose(hand.keypoints_3d, other.keypoints_3d, atol=3e-3)
