"""Multi-HMR's frames stay on the GPU: on a FAKE one (fake_cuda.py), whose networks and kernels the CPU computes.

It shows the order of the work, what is freed, and that the same people come out; nothing of a GPU's numbers or times.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import fake_cuda
from humanrt.backends import Array, Backend, Binding, Graph, Stream
from humanrt.bundle import GraphSpec, TensorSpec
from humanrt.cli import main
from humanrt.errors import BackendError, HumanrtError
from humanrt.people.body_tracker import BodyTracker
from humanrt.people.multihmr import MultiHMR
from humanrt.people.pipeline import PeoplePipeline
from humanrt.sources.opening import Frame
from humanrt.timing import STAGES

BACKENDS = pytest.mark.parametrize("name", ["tensorrt", "cuda"])


def frames_of(picture: Callable[..., Any], sizes: list[tuple[int, int]]) -> list[np.ndarray]:
    """A red person who moves and a green one, who is fainter: nobody is a match for nobody."""
    images = []
    for i, (width, height) in enumerate(sizes):
        image = picture(width, height, size=width // 8, red=(30 + 4 * i, 40), green=(width - 40, height - 40 - 3 * i))
        images.append((image * (1.0, 0.8, 1.0)).astype(np.uint8))
    return images


def same_people(gpu: Any, cpu: Any) -> None:
    """Their letterboxes are equal."""
    assert len(gpu) == len(cpu) > 0
    for name in ("scores", "locations", "translations", "rotations", "vertices", "joints", "joints_2d", "intrinsics"):
        np.testing.assert_allclose(getattr(gpu, name), getattr(cpu, name), rtol=1e-5, atol=1e-5, err_msg=name)


@BACKENDS
@pytest.mark.parametrize("graphs", [True, False])
def test_people_are_those_of_the_cpu(gpu: Any, toy_bundle: Any, picture: Any, name: str, graphs: bool) -> None:
    images = frames_of(picture, [(160, 120)] * 3 + [(120, 160), (160, 120)])
    bundle = toy_bundle()
    with MultiHMR(bundle) as cpu, gpu(name, cuda_graphs=graphs) as backend, MultiHMR(bundle, backend) as model:
        assert model.overlaps
        assert not cpu.overlaps
        for image in images:
            people, expected = model(image), cpu(image)
            same_people(people, expected)
            assert list(people.ms) == ["upload", "preprocess", "network", "body", "download", "wait", "decode"]
            assert min(people.ms.values()) >= 0
            assert set(people.ms) <= set(STAGES)
            with pytest.raises(ValueError, match="from 0 to 1"):
                model(image, threshold=2)
            with pytest.raises(ValueError, match="uint8"):
                model(image[..., :2])
        batch = np.random.default_rng(0).random((3, 3, 56, 56), np.float32)
        for found, expected in zip(model.infer(batch), cpu.infer(batch), strict=True):
            np.testing.assert_array_equal(found.scores, expected.scores)


@BACKENDS
def test_frames_that_overlap_are_those_that_do_not(gpu: Any, toy_bundle: Any, picture: Any, name: str) -> None:
    sizes = [(160, 120)] * 4 + [(120, 160)] * 3 + [(160, 120)]
    images = frames_of(picture, sizes)
    frames = [Frame(image, i / 30, i) for i, image in enumerate(images)]
    with gpu(name) as backend, MultiHMR(toy_bundle(), backend) as model, MultiHMR(toy_bundle()) as cpu:
        expected = [PeoplePipeline(cpu)(frame) for frame in frames]
        found = list(PeoplePipeline(model).overlapped(iter(frames)))
        assert [result.frame.index for result in found] == list(range(len(frames)))
        for one, other in zip(found, expected, strict=True):
            same_people(one.people, other.people)
        model.submit(images[0])
        with pytest.raises(ValueError, match="1 submitted images are pending"):
            model(images[0])
        model.result()
        with pytest.raises(ValueError, match="submit one first"):
            model.result()


def test_a_batch_and_an_estimated_camera(gpu: Any, toy_bundle: Any, picture: Any) -> None:
    image = frames_of(picture, [(160, 120)])[0]
    bundle = toy_bundle(batch=2, estimates=True)
    with gpu("tensorrt") as backend, MultiHMR(bundle, backend) as model, MultiHMR(bundle) as cpu:
        same_people(model(image), cpu(image))
        K = np.array([[200, 0, 80], [0, 200, 60], [0, 0, 1.0]])
        same_people(model(image, K), cpu(image, K))


def test_memory_that_runs_out_leaves_nothing_behind(
    gpu: Any, toy_bundle: Any, picture: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gpu("tensorrt") as backend, MultiHMR(toy_bundle(), backend) as model:
        held = fake_cuda.LIVE.get("memory", 0)
        monkeypatch.setattr(
            fake_cuda.Memory, "limit", 37_000
        )  # the first frame is larger, and so is the network's input
        for size in ((200, 200), (60, 40)):
            with pytest.raises(BackendError, match=r"allocate .*: cuMemAlloc failed: out of memory; close other"):
                model(np.zeros((size[1], size[0], 3), np.uint8))
            assert fake_cuda.LIVE.get("memory", 0) == held
        monkeypatch.setattr(fake_cuda.Memory, "limit", 1 << 26)
        assert len(model(np.zeros((120, 160, 3), np.uint8))) == 0


class _Borrowed(Backend):
    """Somebody else's backend, with nothing of a GPU's but its device."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self.name, self.device = backend, backend.name, backend.device

    def open(self, spec: GraphSpec) -> Graph:
        return self._backend.open(spec)

    @property
    def main(self) -> Stream:
        return self._backend.main

    def stream(self) -> Stream:
        return self._backend.stream()

    def pinned(self, spec: TensorSpec) -> Array:
        return self._backend.pinned(spec)

    def record(self, steps: Sequence[Binding]) -> Binding:
        return self._backend.record(steps)


def test_any_backend_with_a_device_keeps_frames_on_it(
    gpu: Any, toy_bundle: Any, picture: Any, photograph: np.ndarray
) -> None:
    image = frames_of(picture, [(160, 120)])[0]
    with gpu("cuda") as backend:
        with MultiHMR(toy_bundle(), _Borrowed(backend)) as model, MultiHMR(toy_bundle()) as cpu:
            assert model.overlaps
            same_people(model(image), cpu(image))
        with BodyTracker(backend=_Borrowed(backend)) as tracker, BodyTracker(backend=backend) as expected:
            (body, *_), (other, *_) = tracker(photograph, 0.0), expected(photograph, 0.0)
            np.testing.assert_array_equal(body.landmarks.landmarks_2d, other.landmarks.landmarks_2d)
            assert tracker._upload is not None


def test_a_constructor_that_fails_gives_the_gpu_back(gpu: Any, toy_bundle: Any) -> None:
    with pytest.raises(HumanrtError, match="no topology"):
        MultiHMR(toy_bundle(), "tensorrt", topology="none such")


def test_run_and_bench_overlap_on_a_gpu(
    gpu: Any, toy_bundle: Any, picture: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, bundle = tmp_path / "images", str(toy_bundle())
    folder.mkdir()
    for i, image in enumerate(frames_of(picture, [(160, 120)] * 4)):
        cv2.imwrite(str(folder / f"{i}.png"), image[..., ::-1])
    command = ["run", str(folder), "--task", "people", "--bundle", bundle, "--headless"]
    records = {}
    for name, options in (("cpu", []), ("tensorrt", []), ("tensorrt", ["--overlap"])):
        record = tmp_path / f"{name}{len(options)}.jsonl"
        assert main([*command, "--backend", name, *options, "--record", str(record)]) == 0
        records[record.stem] = [json.loads(line) for line in record.read_text().splitlines()[1:]]
    for key in ("tensorrt0", "tensorrt1"):
        assert [line["frame"] for line in records[key]] == [0, 1, 2, 3]
        for line, other in zip(records[key], records["cpu0"], strict=True):
            assert [person["id"] for person in line["people"]] == [person["id"] for person in other["people"]]
            stages = [ms for stage, ms in line["ms"].items() if stage not in ("total", "capture")]
            assert line["ms"]["total"] == pytest.approx(sum(stages), abs=1e-3)
    capsys.readouterr()
    assert main([*command, "--backend", "cpu", "--overlap"]) == 2
    assert "--overlap: backend cpu has nothing to overlap" in capsys.readouterr().err
    assert main(["bench", "people", "--source", str(folder), "--bundle", bundle, "--backend", "cuda"]) == 0
    out = capsys.readouterr().out
    assert "fps with overlapping frames" in out
    assert "download" in out


def test_landmarks_of_people_are_those_of_the_cpu(gpu: Any, photograph: np.ndarray) -> None:
    """Detector, its windows of the picture and the rotated crops, all cut out of one frame on the GPU.

    The CPU rounds what the detector sees to whole levels; the regions that it finds move a little.
    """
    with gpu("cuda") as backend, BodyTracker(backend=backend) as tracker, BodyTracker(threads=1) as cpu:
        found, expected = tracker(photograph, 0.0), cpu(photograph, 0.0)
        assert len(found) == len(expected) > 0
        for body, other in zip(found, expected, strict=True):
            apart = np.linalg.norm(body.landmarks.landmarks_2d - other.landmarks.landmarks_2d, axis=1)
            assert np.median(apart) < 0.03 * other.landmarks.region.size
