"""Cameras, rotations, attention and the CPU graphs, each by itself."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from humanrt_export.multihmr.attention import MASKED, plain, sdpa
from humanrt_export.multihmr.camera import RayEncoding, default_intrinsics, focal_length, unproject
from humanrt_export.multihmr.cpu import quantize_linears, split_linears
from humanrt_export.multihmr.graphs import share_weights
from humanrt_export.multihmr.rotations import matrices_from_columns, matrices_from_vectors

finite = st.floats(-10, 10, allow_nan=False, width=32)


@given(st.lists(finite, min_size=6, max_size=6))
@settings(deadline=None, max_examples=100)
def test_six_numbers_are_a_rotation(six: list[float]) -> None:
    R = matrices_from_columns(torch.tensor(six, dtype=torch.float64))
    assert R.isfinite().all()
    a, b = np.array(six[:3]), np.array(six[3:])
    if np.linalg.norm(np.cross(a, b)) > 1e-3 * np.linalg.norm(a) * np.linalg.norm(b) > 1e-9:
        torch.testing.assert_close(R @ R.T, torch.eye(3, dtype=R.dtype), atol=1e-6, rtol=0)
        assert torch.det(R) == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(R[:, 0] * np.linalg.norm(a), a, atol=1e-6)


@given(st.lists(st.floats(-3, 3, allow_nan=False), min_size=3, max_size=3))
@settings(deadline=None, max_examples=100)
def test_axis_angle_is_the_matrix_exponential(vector: list[float]) -> None:
    x, y, z = vector
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    torch.testing.assert_close(
        matrices_from_vectors(torch.tensor(vector, dtype=torch.float64)), torch.matrix_exp(cross), atol=1e-9, rtol=0
    )


def test_unproject_is_the_inverse_of_the_camera() -> None:
    K = torch.tensor([[[300.0, 7.0, 120.0], [0.0, 280.0, 90.0], [0.0, 0.0, 1.0]]])
    pixels = 200 * torch.rand(1, 50, 2, generator=torch.Generator().manual_seed(0))
    projected = unproject(pixels, K) @ K[0].T
    torch.testing.assert_close(projected[..., :2], pixels, atol=1e-3, rtol=0)
    torch.testing.assert_close(projected[..., 2], torch.ones(1, 50))


def test_sixty_degrees() -> None:
    K = default_intrinsics(1, 448)[0]
    assert K[0, 0] == pytest.approx(224 / math.tan(math.radians(30)))
    assert K[:2, 2].tolist() == [224, 224]
    assert focal_length(448) == pytest.approx(387.979, abs=1e-3)


def test_rays_enter_as_row_then_column() -> None:
    encode = RayEncoding(4, 16, 64)
    K = torch.tensor([[[100.0, 0, 10], [0, 50.0, 20], [0, 0, 1]]])
    out = encode(K)[0].reshape(4, 4, 99)
    row, column = 2, 1
    x, y = (row * 14 + 7 - 10) / 100, (column * 14 + 7 - 20) / 50
    np.testing.assert_allclose(out[row, column, :3], [x, y, 1], atol=1e-6)
    frequencies = np.linspace(1, 32, 16)
    angles = np.pi * np.concatenate([frequencies * value for value in (x, y, 1.0)])
    np.testing.assert_allclose(out[row, column, 3:51], np.sin(angles), atol=2e-5)
    np.testing.assert_allclose(out[row, column, 51:], np.cos(angles), atol=2e-5)


def test_masked_keys_are_not_there() -> None:
    q, k, v = torch.randn(3, 2, 5, 64, generator=torch.Generator().manual_seed(0))
    bias = torch.tensor([0.0, 0, 0, MASKED, MASKED])[None, None, None]
    torch.testing.assert_close(plain(q, k, v, 2, bias), plain(q, k[:, :3], v[:, :3], 2, None))
    torch.testing.assert_close(plain(q, k, v, 2, bias), sdpa(q, k, v, 2, bias), atol=1e-6, rtol=1e-5)


def linear_model(width: int = 32) -> tuple[onnx.ModelProto, np.ndarray]:
    """One linear layer with a bias, named as the backbone's are."""
    r = np.random.default_rng(0)
    weight, bias = (r.standard_normal(shape).astype(np.float32) for shape in ((width, 4 * width), (4 * width,)))
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="backbone.blocks.0.mlp.fc1/node_MatMul"),
        helper.make_node("Add", ["h", "b"], ["y"], name="backbone.blocks.0.mlp.fc1/node_Add"),
    ]
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("x", float32, [1, 40, width])],
        [helper.make_tensor_value_info("y", float32, [1, 40, 4 * width])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(bias, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    x = r.standard_normal((1, 40, width)).astype(np.float32)
    return model, x


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"x": x})[0]
    return result


def has_vnni() -> bool:
    try:
        with open("/proc/cpuinfo") as stream:  # noqa: PTH123
            return "vnni" in stream.read()
    except OSError:
        return False


@pytest.mark.skipif(not has_vnni(), reason="integer products of older processors overflow; the runtime avoids them")
def test_two_digits_are_sixteen_bits() -> None:
    model, x = linear_model()
    exact = run(model, x)
    split, int8 = run(split_linears(model, 32), x), run(quantize_linears(model, 32), x)
    scale = np.abs(exact).max()
    assert np.abs(split - exact).max() < 1e-4 * scale
    assert np.abs(split - exact).max() < np.abs(int8 - exact).max() / 50


def test_split_of_silence_is_the_bias() -> None:
    model, x = linear_model()
    np.testing.assert_allclose(run(split_linears(model, 32), 0 * x), run(model, 0 * x), atol=1e-6)


def test_shared_weights_are_stored_once() -> None:
    first, second = linear_model()[0], linear_model()[0]
    alone = len(share_weights([linear_model()[0]], "a.bin"))
    assert len(share_weights([first, second], "b.bin")) == alone
    assert len(first.SerializeToString()) < 2000
    assert {item.key for item in first.metadata_props} == {"weights_file", "weights_sha256"}
