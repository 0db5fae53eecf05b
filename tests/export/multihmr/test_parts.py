"""Cameras, rotations, attention and the CPU graphs, each by itself."""

from __future__ import annotations

import math

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from int8_products import REASON, SATURATING
from onnx import helper, numpy_helper

from humanrt import native
from humanrt_export.conversion.cpu import own_operators, quantize_linears
from humanrt_export.conversion.graphs import common_weights, share_weights
from humanrt_export.conversion.rewriting import add_constant, self_contained, to_bytes
from humanrt_export.networks.attention import MASKED, plain, sdpa
from humanrt_export.networks.camera import RayEncoding, default_intrinsics, focal_length, unproject
from humanrt_export.networks.rotations import matrices_from_columns, matrices_from_vectors

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


def linear_model(width: int = 32) -> tuple[ir.Model, np.ndarray]:
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
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))
    x = r.standard_normal((1, 40, width)).astype(np.float32)
    return model, x


def run(model: ir.Model, x: np.ndarray) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if native.int16_problem() is None:
        options.register_custom_ops_library(str(native.LIBRARY))
    session = onnxruntime.InferenceSession(self_contained(model), options, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"x": x})[0]
    return result


def block_model(tokens: int, width: int, heads: int) -> ir.Model:
    """What a block of the backbone is, without its norms: attention, then the MLP, each beside the residual stream."""
    r = np.random.default_rng(9)
    shapes = {"qkv": (width, 3 * width), "proj": (width, width), "fc1": (width, 4 * width), "fc2": (4 * width, width)}
    constants = {"thirds": np.full(3, width, np.int64)}
    nodes: list[onnx.NodeProto] = []

    def add(op: str, inputs: list[str], outputs: list[str], scope: str, **attributes: object) -> None:
        name = f"backbone.blocks.0.{scope}/{outputs[0]}"
        nodes.append(helper.make_node(op, inputs, outputs, name=name, **attributes))

    def linear(source: str, target: str, layer: str) -> None:
        weight = r.standard_normal(shapes[layer]) / np.sqrt(shapes[layer][0])
        constants[f"{layer}.w"] = weight.astype(np.float32)
        constants[f"{layer}.b"] = r.standard_normal(shapes[layer][1]).astype(np.float32)
        add("MatMul", [source, f"{layer}.w"], [f"{target}.product"], layer)
        add("Add", [f"{target}.product", f"{layer}.b"], [target], layer)

    linear("x", "all", "qkv")
    add("Split", ["all", "thirds"], ["q", "k", "v"], "attn", axis=-1)
    add("MultiHeadAttention", ["q", "k", "v"], ["seen"], "attn", domain="com.microsoft", num_heads=heads)
    linear("seen", "projected", "proj")
    add("Add", ["x", "projected"], ["h"], "sum")
    linear("h", "wide", "fc1")
    add("Gelu", ["wide"], ["active"], "mlp")
    linear("active", "narrow", "fc2")
    add("Add", ["h", "narrow"], ["y"], "sum")
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "block",
        [helper.make_tensor_value_info("x", float32, [2, tokens, width])],
        [helper.make_tensor_value_info("y", float32, [2, tokens, width])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return ir.from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=10))


def test_a_block_becomes_five_operators() -> None:
    nodes = own_operators(block_model(40, 128, 2), 128, 3).graph
    assert [node.op_type for node in nodes] == ["Linear", "Attention", "Linear", "Linear", "Linear"]
    assert [[value.name for value in node.inputs] for node in nodes[2:]] == [
        ["seen", "projected.weight", "projected.bias", "x"],
        ["h", "wide.weight", "wide.bias"],
        ["active", "narrow.weight", "narrow.bias", "h"],
    ]
    gelu = [node.attributes.get_int("gelu") for node in nodes[2:]]
    assert gelu == [0, 1, 0]


def test_attention_of_other_widths_stays_onnxruntimes() -> None:
    nodes = own_operators(block_model(40, 128, 4), 128, 3).graph
    assert [node.op_type for node in nodes][:3] == ["Linear", "Split", "MultiHeadAttention"]


@pytest.mark.skipif(native.amx_problem() is not None, reason=str(native.amx_problem()))
def test_a_block_of_own_operators_is_the_block() -> None:
    model = block_model(70, 128, 2)
    x = np.random.default_rng(1).standard_normal((2, 70, 128)).astype(np.float32)
    expected = run(model, x)
    for parts, tolerance in ((3, 2e-6), (2, 1e-4)):
        found = run(own_operators(model, 128, parts), x)
        assert np.abs(found - expected).max() < tolerance * np.abs(expected).max()


@pytest.mark.skipif(native.int16_problem() is not None, reason=str(native.int16_problem()))
def test_a_block_in_16_bit_integers_is_nearly_the_block() -> None:
    model = block_model(70, 128, 2)
    x = np.random.default_rng(1).standard_normal((2, 70, 128)).astype(np.float32)
    expected, own = run(model, x), own_operators(model, 128)
    operators = [node.op_type for node in own.graph]
    assert operators == ["LinearInt16", "AttentionInt16", "LinearInt16", "LinearInt16", "LinearInt16"]
    assert np.abs(run(own, x) - expected).max() < 1e-3 * np.abs(expected).max()


@pytest.mark.skipif(SATURATING, reason=REASON)
def test_int8_is_near() -> None:
    model, x = linear_model()
    exact = run(model, x)
    assert np.abs(run(quantize_linears(model, 32), x) - exact).max() < 0.03 * np.abs(exact).max()


def test_shared_weights_are_stored_once() -> None:
    first, second = linear_model()[0], linear_model()[0]
    alone = len(share_weights([linear_model()[0]], "a.bin"))
    assert len(share_weights([first, second], "b.bin")) == alone
    assert len(to_bytes(first)) < 2000
    assert set(first.metadata_props) == {"weights_file", "weights_sha256"}


def test_common_weights_and_a_graph_make_the_model_again() -> None:
    model, x = linear_model()
    expected = run(model, x)
    models = [linear_model()[0] for _ in range(3)]
    models[1].graph.initializers["w"].name = "the same by another name"
    add_constant(models[2].graph, "unused", np.ones(999, np.float32))
    weights = common_weights(models)
    # All that is worth it, biases included: they would be in each graph of a bundle.
    large = [value for value in model.graph.initializers.values() if value.const_value.nbytes >= 64]
    assert min(value.const_value.nbytes for value in large) < 1024
    assert len(onnx.load_model_from_string(weights).graph.initializer) == len(large) > 0
    assert [*models[2].graph.initializers][-1] == "unused"
    for part in models:
        whole = ir.from_proto(onnx.load_model_from_string(to_bytes(part) + weights))
        np.testing.assert_array_equal(run(whole, x), expected)
