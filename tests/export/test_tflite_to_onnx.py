"""The converter against LiteRT: whole models that hold every operator, and refusals that name the cause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from numpy.typing import NDArray
from test_onnx_cleanup import run

from humanrt.errors import BundleError
from humanrt_export.conversion import tflite_to_onnx
from humanrt_export.conversion.rewriting import to_bytes
from humanrt_export.conversion.tflite_to_onnx import convert

Array = NDArray[Any]

# With sparse weights (DENSIFY), DEPTH_TO_SPACE and two-sided PAD: what the next models need.
OTHERS = (
    "mediapipe/modules/pose_detection/pose_detection.tflite",
    "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
    "mediapipe/modules/palm_detection/palm_detection_lite.tflite",
    "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
)


@pytest.fixture(scope="session")
def litert() -> Callable[[bytes], Callable[[Array], list[Array]]]:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is the reference and is not installed")
    from humanrt_export.conversion.mediapipe_models import litert as open_model

    return open_model


def check(data: bytes, open_model: Callable[[bytes], Callable[[Array], list[Array]]]) -> None:
    """Converted, uncleaned graph against LiteRT on an image with structure: relative to each output's largest value."""
    model = convert(data)
    shape = model.graph.inputs[0].shape.numpy()
    rng = np.random.default_rng(3)
    coarse = rng.random((1, 3, shape[2] // 8, shape[3] // 8), np.float32)
    image = np.ascontiguousarray(coarse.repeat(8, axis=2).repeat(8, axis=3))
    for got, expected in zip(run(model, image), open_model(data)(image), strict=True):
        nchw = expected.transpose(0, 3, 1, 2) if expected.ndim == 4 else expected
        assert got.shape == nchw.shape
        scale = max(float(np.abs(nchw).max()), 1e-3)
        difference = np.abs(got - nchw)
        # The mask of pose_landmark has logits of 1e3 from sums that cancel: a few of its pixels part by 3e-4.
        assert float(difference.max()) <= 1e-3 * scale
        assert float(difference.mean()) <= 2e-5 * scale


@pytest.mark.parametrize("name", ["palm_detector", "landmarks_full", "landmarks_lite"])
def test_hand_models_as_converted(name: str, models: dict[str, bytes], litert: Any) -> None:
    check(models[name], litert)


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: Path(path).stem)
def test_models_with_more_operators(path: str, wheel: Path, litert: Any) -> None:
    with ZipFile(wheel) as archive:
        check(archive.read(path), litert)


def test_conversion_is_deterministic(models: dict[str, bytes]) -> None:
    first, second = (to_bytes(convert(models["landmarks_lite"])) for _ in range(2))
    assert first == second


def test_unknown_operator_is_named(models: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name: function for name, function in tflite_to_onnx.OPERATORS.items() if name != "LOGISTIC"}
    monkeypatch.setattr(tflite_to_onnx, "OPERATORS", known)
    with pytest.raises(BundleError, match="no conversion for LOGISTIC"):
        convert(models["landmarks_lite"], source="some.tflite")


@pytest.mark.parametrize("data", [b"", b"not a model at all", b"\x00" * 64])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"x\.tflite is not a TensorFlow Lite model"):
        convert(data, source="x.tflite")


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [
        ((224, 224), (3, 3), (2, 2), [0, 0, 1, 1]),
        ((96, 96), (5, 5), (1, 1), [2, 2, 2, 2]),
        ((96, 96), (5, 5), (2, 2), [1, 1, 2, 2]),
        ((7, 8), (2, 2), (2, 2), [0, 0, 1, 0]),
        ((4, 4), (1, 1), (2, 2), [0, 0, 0, 0]),
    ],
)
def test_same_padding(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], expected: list[int]
) -> None:
    assert tflite_to_onnx._same_pads(size, kernel, stride, (1, 1)) == expected
