"""The CUDA kernels: compiled by nvcc for every GPU; the very same sources run on the CPU against humanrt's own code.

What this cannot show is in on_cpu.cpp. tests/gpu runs the kernels on a GPU, where there is one.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cpu_kernels import compile_for_cpu
from humanrt import native
from humanrt.geometry.camera import Letterbox
from humanrt.geometry.letterbox import Preprocessor
from humanrt.geometry.region import Region
from humanrt.hands.smoother import hand_span
from humanrt.kernels import ARCHITECTURES, source_path
from humanrt.kernels.crop import Crop
from humanrt.kernels.image import GpuImage, window_of
from humanrt.kernels.letterbox import Frame, LetterboxOptions, frame_bytes, reference, tables
from humanrt.kernels.loader import KERNELS, kernel_text
from humanrt.kernels.retarget import problem_arrays, shared_bytes, state_arrays
from humanrt.perception.crop import make_crop
from humanrt.retarget import Retargeter, robots
from humanrt.retarget.layout import GPU_STATE, Layout
from humanrt.smoothing.one_euro import OneEuro, OneEuroOptions

sys.path.insert(0, str(Path(__file__).parents[1] / "retarget"))
from hands import sequence

CLOSE = 1e-4
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.fixture(scope="session")
def on_cpu(compiled: Callable[[str], Any]) -> Callable[[str], Any]:
    """``run`` of a kernel, compiled for the CPU."""
    return compiled


@pytest.mark.parametrize("name", KERNELS)
def test_nvcc_compiles_for_every_gpu(name: str, tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc on the PATH")
    out = tmp_path / "k.fatbin"
    targets = [part for arch in ARCHITECTURES for part in ("-gencode", f"arch=compute_{arch},code=sm_{arch}")]
    flags = ["-fatbin", "-O3", "--threads", "2", "--Werror", "all-warnings", "-o", str(out)]
    done = subprocess.run([nvcc, *flags, *targets, str(source_path(name))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert out.stat().st_size > 1000 * len(ARCHITECTURES)


# Letterbox


Size = tuple[int, int]


def letterbox(run: Any, frame: np.ndarray, size: Size, into: int | Size, options: LetterboxOptions) -> np.ndarray:
    box = Letterbox.fit(size, into)
    out = np.full((3, *box.size[::-1]), np.nan, np.float32)
    frame = np.ascontiguousarray(frame).reshape(-1)
    pitch = size[0] * (1 if options.format == "nv12" else 3)
    assert frame.size == frame_bytes(size, options.format)
    table = tables(box, options) if options.filter == "pillow" else np.zeros(0, np.int32)
    given = Frame.of(frame.ctypes.data, out.ctypes.data, box, pitch, options, table.ctypes.data if table.size else 0)
    run(ctypes.byref(given), -(-box.size[0] // 32), -(-box.size[1] // 8))
    return out


SIZES = [((640, 480), 224), ((480, 640), 224), ((1280, 722), 448), ((200, 120), 224), ((224, 224), 224), ((97, 31), 64)]
RECTANGLES = [((640, 360), (112, 70)), ((90, 160), (112, 70)), ((50, 30), (42, 84))]


@pytest.mark.parametrize(("size", "side"), SIZES)
@pytest.mark.parametrize("kind", [None, "area", "linear", "cubic"])
def test_letterbox_is_its_reference(on_cpu: Any, size: tuple[int, int], side: int, kind: str | None) -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
    if kind == "area" and size[0] < side:
        pytest.skip("the mean over less than a pixel is for shrinking")
    for form in ("bgr", "rgb"):
        options = LetterboxOptions(form, filter=kind, fill=17, **IMAGENET)
        out = letterbox(on_cpu("letterbox"), frame, size, side, options)
        np.testing.assert_allclose(out, reference(frame, size, side, options), atol=CLOSE, rtol=0)


@pytest.mark.parametrize(("size", "into"), [*SIZES, *RECTANGLES, ((70, 300), 112), ((9, 300), 112)])
def test_letterbox_as_pillow_has_the_cpus_very_numbers(on_cpu: Any, size: Size, into: int | Size) -> None:
    """Both orders of the passes: a picture that is more than twice as high as wide goes down first."""
    frame = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    expected = np.empty((3, *Letterbox.fit(size, into).size[::-1]), np.float32)
    Preprocessor(into, *IMAGENET.values())(frame, expected)
    for form, given in (("rgb", frame), ("bgr", frame[..., ::-1])):
        options = LetterboxOptions(form, filter="pillow", **IMAGENET)
        np.testing.assert_array_equal(letterbox(on_cpu("letterbox"), given, size, into, options), expected)


def test_letterbox_as_pillow_of_nv12(on_cpu: Any) -> None:
    """Colours are rounded to whole levels before they are scaled, as OpenCV's conversion rounds them."""
    size, rng = (322, 242), np.random.default_rng(1)
    frame = rng.integers(0, 256, frame_bytes(size, "nv12"), np.uint8)
    options = LetterboxOptions("nv12", filter="pillow", **IMAGENET)
    out = letterbox(on_cpu("letterbox"), frame, size, 160, options)
    levels = np.abs(out - reference(frame, size, 160, options)) * np.array(IMAGENET["std"])[:, None, None] * 255
    assert levels.max() < 1.01
    assert (levels < CLOSE).mean() > 0.999  # but where single precision rounds a colour to the other side


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_letterbox_of_nv12(on_cpu: Any, matrix: str) -> None:
    size, rng = (322, 242), np.random.default_rng(1)
    frame = rng.integers(0, 256, frame_bytes(size, "nv12"), np.uint8)
    options = LetterboxOptions("nv12", matrix=matrix, **IMAGENET)
    out = letterbox(on_cpu("letterbox"), frame, size, 160, options)
    np.testing.assert_allclose(out, reference(frame, size, 160, options), atol=CLOSE, rtol=0)
    if matrix == "bt601":  # OpenCV's has fixed-point coefficients: a level of 255
        rgb = cv2.cvtColor(frame.reshape(-1, size[0]), cv2.COLOR_YUV2RGB_NV12)
        plain = reference(rgb, size, 160, LetterboxOptions("rgb", **IMAGENET))
        assert np.abs(out - plain).max() < 1.5 / 255 / 0.224


@pytest.mark.parametrize(("size", "side"), SIZES)
def test_letterbox_is_the_cpus_preprocessing_but_for_its_rounding(
    on_cpu: Any, size: tuple[int, int], side: int
) -> None:
    """The CPU rounds to whole levels between resizing and normalising; half a level of 255 is what may differ."""
    smooth = cv2.GaussianBlur(np.random.default_rng(2).integers(0, 256, (size[1], size[0], 3), np.uint8), (0, 0), 3)
    expected = np.empty((3, side, side), np.float32)
    Preprocessor(side, *IMAGENET.values(), "opencv-area")(smooth, expected)
    out = letterbox(on_cpu("letterbox"), smooth, size, side, LetterboxOptions("rgb", **IMAGENET))
    levels = np.abs(out - expected) * np.array(IMAGENET["std"])[:, None, None] * 255
    assert levels.max() < (0.51 if size[0] >= side else 1.01)  # enlarging, OpenCV's coefficients have 11 bits
    assert levels.mean() < 0.3


def test_letterbox_refuses_what_it_has_not() -> None:
    with pytest.raises(ValueError, match="format is 'yuyv'; choose one of: bgr, nv12, rgb"):
        LetterboxOptions("yuyv")
    with pytest.raises(ValueError, match="even sizes"):
        frame_bytes((5, 4), "nv12")


# Crop


@pytest.mark.parametrize("region", [Region(200, 150, 180, 0.4), Region(20, 10, 300, -2.2), Region(320, 240, 50, 3.1)])
def test_crop_is_the_cpus(on_cpu: Any, region: Region) -> None:
    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    out, expected = np.full((1, 3, 100, 100), np.nan, np.float32), np.zeros((1, 3, 100, 100), np.float32)
    make_crop(expected)(image, region)
    given = GpuImage(image.ctypes.data, 400, 300, 1200)
    on_cpu("crop")(ctypes.byref(Crop.of(given, region, out.ctypes.data, 100)), 4, 13)
    np.testing.assert_allclose(out, expected, atol=CLOSE if not native.problem() else 3e-2, rtol=0)


def test_crop_of_a_part_is_that_of_the_part(on_cpu: Any) -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    whole = GpuImage(image.ctypes.data, 80, 60, 240)
    part, seen = window_of(whole, 30, 20, 45), window_of(image, 30, 20, 45)
    assert part.shape == seen.shape == (40, 45, 3)
    out, expected = np.zeros((1, 3, 32, 32), np.float32), np.zeros((1, 3, 32, 32), np.float32)
    region = Region(20, 18, 70, 0.3)
    make_crop(expected)(seen, region)
    on_cpu("crop")(ctypes.byref(Crop.of(part, region, out.ctypes.data, 32)), 1, 4)
    np.testing.assert_allclose(out, expected, atol=CLOSE if not native.problem() else 3e-2, rtol=0)


@pytest.mark.parametrize("region", [Region(float("nan"), 10, 20), Region(1e300, 10, 20), Region(10, 10, 1e12)])
def test_crop_of_wild_regions_is_harmless(on_cpu: Any, region: Region) -> None:
    image, out = np.full((30, 40, 3), 255, np.uint8), np.full((1, 3, 40, 40), np.nan, np.float32)
    on_cpu("crop")(ctypes.byref(Crop.of(GpuImage(image.ctypes.data, 40, 30, 120), region, out.ctypes.data, 40)), 2, 5)
    assert ((out >= 0) & (out <= 1)).all()


def test_nothing_is_black(on_cpu: Any) -> None:
    out = np.full((1, 3, 40, 40), np.nan, np.float32)
    on_cpu("crop")(ctypes.byref(Crop.of(GpuImage(0, 0, 0, 0), Region(0, 0, 1), out.ctypes.data, 40)), 2, 5)
    assert not out.any()


# Pick


@pytest.mark.parametrize("row", [0, 3, 1.25, 4])
def test_pick_takes_a_frame_or_what_is_between_two(on_cpu: Any, row: float) -> None:
    windows = np.random.default_rng(0).normal(size=(3, 5, 21, 3)).astype(np.float32)
    out = np.full((3, 21, 3), np.nan, np.float32)
    run, first = on_cpu("pick"), int(row)
    part = row - first
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (windows, out)]
    run(pointers[0], 3, 5, 63, first, ctypes.c_float(part), pointers[1], 64, 3)
    expected = windows[:, first] * (1 - part) + windows[:, min(first + 1, 4)] * part
    np.testing.assert_allclose(out, expected, atol=1e-6)


# One-Euro


@pytest.mark.parametrize("dims", [2, 3])
def test_one_euro_is_the_cpus(on_cpu: Any, dims: int) -> None:
    """Three hands over 40 frames with uneven times; one is new half way, one shows a frame twice."""
    run, rng = on_cpu("one_euro"), np.random.default_rng(0)
    hands, options = 3, OneEuroOptions()
    walk = np.cumsum(rng.normal(0, 0.01, (40, hands, 21, dims)), 0).astype(np.float32)
    state = [np.zeros((hands, 21, dims)) for _ in range(3)]
    filters = [OneEuro(options) for _ in range(hands)]
    t, last, real = (
        0.0,
        [None] * hands,
        [ctypes.c_double(v) for v in (options.min_cutoff, options.beta, options.derivative_cutoff)],
    )
    for i, points in enumerate(walk):
        t += float(rng.uniform(0.01, 0.05))
        times = [t, t, t]
        if i == 20:
            filters[1], last[1] = OneEuro(options), None
        if i == 30:
            times[2] = last[2]
        dt = np.array([-1.0 if last[h] is None else times[h] - last[h] for h in range(hands)])
        out = np.zeros_like(points)
        run(
            points.ctypes.data_as(ctypes.c_void_p), hands, 21, dims, dt.ctypes.data_as(ctypes.c_void_p), 0, 9, *real,
            *(s.ctypes.data_as(ctypes.c_void_p) for s in state), out.ctypes.data_as(ctypes.c_void_p), 64, 1,
        )  # fmt: skip
        expected = [filters[h](points[h], times[h], hand_span(points[h])) for h in range(hands)]
        last = times
        np.testing.assert_allclose(out, expected, atol=1e-6, rtol=0)
        np.testing.assert_allclose(state[1], expected, atol=1e-12, rtol=0)
    assert np.abs(out - walk[-1]).max() > 1e-3  # it did smooth


# Retargeting


class Batch:
    """Hands of one robot, solved by the kernel on the CPU."""

    def __init__(self, run: Any, retargeter: Retargeter, hands: int, lanes: int = 1, descending: bool = False) -> None:
        problem = retargeter._problem
        self.run, self.hands, self.lanes, self.descending = run, hands, lanes, descending
        self.state = state_arrays(problem, hands)
        constants = problem_arrays(problem)
        self.arrays = {**constants, **self.state}
        self.robot = Layout.of(problem, {name: array.ctypes.data for name, array in self.arrays.items()})
        self.bytes = shared_bytes(problem)

    def __call__(
        self, keypoints: np.ndarray, mirror: Any = 0, smoothing: float = 0.0, local: bool = False
    ) -> np.ndarray:
        points = np.ascontiguousarray(keypoints, np.float32)
        flags = np.ascontiguousarray(np.broadcast_to(mirror, self.hands), np.int32)
        pulls = np.full(self.hands, float(smoothing))
        pointers = (a.ctypes.data_as(ctypes.c_void_p) for a in (points, flags, pulls))
        status = self.run(
            ctypes.byref(self.robot), *pointers, int(local), self.hands, self.bytes, self.lanes, int(self.descending)
        )
        assert status == 0, {1: "threads do not meet at the same barriers", 2: "more shared memory than was asked"}[
            status
        ]
        return self.state["q"].copy()


@pytest.mark.parametrize("objective", ["pose", "vector", "dexpilot"])
@pytest.mark.parametrize("robot", robots())
def test_retargeting_is_the_cpu_solvers(on_cpu: Any, robot: str, objective: str) -> None:
    frames = sequence(30).astype(np.float32)
    cpu = Retargeter(robot, objective=objective)
    gpu = Batch(on_cpu("retarget"), cpu, 1)
    worst, evaluations, total = 0.0, 0, 0
    for frame in frames:
        expected = cpu.solve(frame, side="right")
        q = gpu(frame[None], mirror=cpu.hand.side != "right")[0]
        worst = max(worst, float(np.abs(q - expected).max()))
        evaluations += abs(int(gpu.state["evaluations"][0]) - cpu.evaluations)
        total += cpu.evaluations
        np.testing.assert_allclose(gpu.state["cost"][0], cpu._problem.cost[0], rtol=1e-9)
    assert worst < CLOSE
    # The same search, but for where it ends: two compilers round differently, and so do processors.
    assert evaluations <= 0.02 * total


@pytest.mark.parametrize("robot", ["parallelograms", "two motors", "three jaws", "arm"])
def test_grippers_and_joints_at_rest_are_the_cpu_solvers(on_cpu: Any, tmp_path: Path, robot: str) -> None:
    from urdfs import ARM, GRIPPERS, HAND, ON_AN_ARM, TIPS

    joints, tips = (ARM + HAND, TIPS) if robot == "arm" else (ON_AN_ARM + GRIPPERS[robot][0], GRIPPERS[robot][1])
    (tmp_path / "robot.urdf").write_text(f"<robot>{joints}</robot>")
    (tmp_path / "robot.json").write_text(json.dumps({"urdf": "robot.urdf", "tips": tips}))
    cpu = Retargeter(tmp_path / "robot.json")
    gpu = Batch(on_cpu("retarget"), cpu, 1)
    ways = []
    for frame in sequence(20).astype(np.float32):
        expected = cpu.solve(frame)
        np.testing.assert_allclose(gpu(frame[None])[0], expected, atol=CLOSE)
        ways.append(expected)
    assert np.ptp(ways, axis=0).max() > 5e-3


def test_a_batch_is_its_hands_one_by_one(on_cpu: Any) -> None:
    frames = sequence(12).astype(np.float32)
    cpu = [Retargeter("leap_right", objective="dexpilot", smoothing=4e-3, smoothing_per="call") for _ in range(3)]
    gpu = Batch(on_cpu("retarget"), cpu[0], 3)
    mirror = np.array([0, 1, 0])
    for i in range(12):
        points = np.stack([frames[i], frames[-i], frames[(i + 5) % 12]])
        points[1, :, 0] *= -1
        if i == 6:
            points[2, 3, 1] = np.nan
        before = {name: gpu.state[name].copy() for name in GPU_STATE}
        q = gpu(points, mirror, 4e-3)
        for hand in range(3):
            if not np.isfinite(points[hand]).all():
                assert gpu.state["evaluations"][hand] == -1
                for name in ("x", "q", "frame", "projected", "cost"):
                    np.testing.assert_array_equal(gpu.state[name][hand], before[name][hand])
                continue
            expected = cpu[hand].solve(points[hand], side="left" if mirror[hand] else "right")
            np.testing.assert_allclose(q[hand], expected, atol=CLOSE)


def test_keypoints_in_the_wrist_frame_and_a_flat_palm(on_cpu: Any) -> None:
    from hands import human_hand

    cpu = Retargeter("allegro_left")
    gpu = Batch(on_cpu("retarget"), cpu, 1)
    local = human_hand(0.4).astype(np.float32)
    np.testing.assert_allclose(gpu(local[None], 1, local=True)[0], cpu.solve_local(local, side="right"), atol=CLOSE)
    cpu.reset()
    gpu = Batch(on_cpu("retarget"), cpu, 1)
    for frame in (*sequence(3), np.linspace(0, 0.2, 63).reshape(21, 3)):  # all points on a line: leans on the last
        frame = frame.astype(np.float32)
        np.testing.assert_allclose(gpu(frame[None], 1)[0], cpu.solve(frame, side="right"), atol=CLOSE)


@pytest.mark.parametrize("robot", ["shadow_right", "allegro_left"])
def test_a_warp_of_32_gives_bit_for_bit_what_one_thread_gives(on_cpu: Any, robot: str) -> None:
    """In both orders of threads: a missing barrier would show. Few frames: fibres are slow."""
    one, up, down = (
        Batch(on_cpu("retarget"), Retargeter(robot), 2, lanes, order)
        for lanes, order in ((1, False), (32, False), (32, True))
    )
    frames = sequence(4).astype(np.float32)
    for i in range(2):
        points = frames[[i, i + 1]]
        expected = one(points)
        for batch in (up, down):
            np.testing.assert_array_equal(batch(points), expected)
            np.testing.assert_array_equal(batch.state["evaluations"], one.state["evaluations"])


def test_a_missing_barrier_would_be_seen(tmp_path: Path) -> None:
    """The check above can fail: the same kernel without one of its barriers."""
    source = source_path("retarget").read_text()
    cut = source.replace("    __syncwarp();\n    EACH(j, p->joints) { /* T_j */", "    EACH(j, p->joints) { /* T_j */")
    barrier = (
        "        w->along[i] = dot(sum, w->residual + 4 * k) * w->residual[4 * k + 3];\n    }\n    __syncwarp();\n"
    )
    cut = cut.replace(barrier, barrier.replace("    __syncwarp();\n", ""))
    assert cut != source
    (tmp_path / "retarget.cu").write_text(cut)
    run = compile_for_cpu(tmp_path / "retarget.cu", "retarget", tmp_path / "cut.so")
    frames = sequence(2).astype(np.float32)[:1]
    results = [
        Batch(run, Retargeter("allegro_right"), 1, lanes, order)(frames)
        for lanes, order in ((1, False), (32, False), (32, True))
    ]
    assert not (np.array_equal(results[0], results[1]) and np.array_equal(results[0], results[2]))


def test_what_is_compiled_at_run_time_is_one_text_with_the_shared_header(tmp_path: Path) -> None:
    """So the name of a kept kernel changes with the header, and the compiler needs no folder of ours."""
    text = kernel_text("retarget")
    assert '#include "' not in text
    assert "void wahba(" not in source_path("retarget").read_text()
    assert "void wahba(" in text
    (tmp_path / "whole.cu").write_text(text)
    frame = sequence(1).astype(np.float32)
    expected = Retargeter("allegro_right").solve(frame[0], side="right")
    run = compile_for_cpu(tmp_path / "whole.cu", "retarget", tmp_path / "whole.so")
    np.testing.assert_allclose(Batch(run, Retargeter("allegro_right"), 1)(frame)[0], expected, atol=CLOSE)
