"""The TensorRT backend and the kernels on a real GPU. Never run so far: written on machines without one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from humanrt.backends.cuda import CudaBuffer, CudaDevice, CudaGraph
from humanrt.bundle import TensorSpec
from humanrt.camera import Letterbox
from humanrt.crop import make_crop
from humanrt.errors import HumanrtError
from humanrt.kernels.crop import GpuCrop
from humanrt.kernels.image import GpuUpload
from humanrt.kernels.letterbox import GpuLetterbox, LetterboxOptions, frame_bytes, reference
from humanrt.kernels.one_euro import GpuOneEuro
from humanrt.kernels.retarget import GpuRetarget
from humanrt.region import Region
from humanrt.retarget import Retargeter, robots
from humanrt.smooth import OneEuro, hand_span

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


@pytest.mark.parametrize("form", ["bgr", "rgb", "nv12"])
def test_letterbox(device: CudaDevice, form: str) -> None:
    size, options = (640, 480), LetterboxOptions(form)
    with CudaBuffer(TensorSpec("image", (1, 3, 224, 224), "float32"), device) as out:
        frame = np.random.default_rng(0).integers(0, 256, frame_bytes(size, form), np.uint8)
        with (
            CudaBuffer(TensorSpec("frame", frame.shape, "uint8"), device) as source,
            GpuLetterbox(device, out, options) as letterbox,
        ):
            source.upload(frame)
            letterbox.place(source.address, size[0] * (1 if form == "nv12" else 3), Letterbox.fit(size, 224))
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


def test_memory_is_flat(device: CudaDevice) -> None:
    with CudaBuffer(TensorSpec("x", (1 << 20,), "float32"), device) as buffer:
        array = np.zeros(1 << 20, np.float32)
        buffer.upload(array)
        before = device.memory()[0]
        for _ in range(10_000):
            event = device.copy.record()
            device.compute.wait(event)
        device.compute.synchronize()
        assert before - device.memory()[0] < 1 << 20
