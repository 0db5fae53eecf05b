"""Precision: exact where it must be, near where it may be less, and refused where nobody has measured it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from int8_products import SATURATING

from humanrt.backends import open_backend
from humanrt.bundle import Bundle, load_bundle
from humanrt.bundle.settings import Variant
from humanrt.errors import BackendError, OutputError
from humanrt.hands.tracker import HandTracker
from humanrt.inference.variants import at, why_unproven
from humanrt.verdict import Recording
from humanrt_export.cli import main
from humanrt_export.commands.quantize import quantize
from humanrt_export.conversion.half_graphs import find_graphs, load_graph, to_fp16
from humanrt_export.conversion.quantize.convert import Conversion
from humanrt_export.conversion.quantize.half import emulated
from humanrt_export.conversion.quantize.integers import dynamic, quantized, with_qdq
from humanrt_export.conversion.quantize.layers import heads, linear_layers
from humanrt_export.conversion.quantize.place import place
from humanrt_export.conversion.quantize.ranges import best_clip, channel_maxima, clips
from humanrt_export.conversion.quantize.recipe import LayerRule, load_recipe
from humanrt_export.conversion.quantize.sensitivity import Row, exclusions
from humanrt_export.conversion.quantize.smooth import normalised, smooth
from humanrt_export.conversion.rewriting import add_constant, check, fold_constants, make_node, to_bytes

from .conftest import TOKENS, WIDTH, run

ALL = LayerRule(("MatMul", "Gemm", "Conv"), keep_heads=2, smooth=0.5)
Feeds = list[dict[str, np.ndarray]]


def off(model: ir.Model, exact: ir.Model, feeds: Feeds) -> float:
    """Mean difference by mean magnitude."""
    a, b = (np.stack([run(m, feed["x"]) for feed in feeds]) for m in (model, exact))
    return float(np.abs(a - b).mean() / np.abs(b).mean())


# --------------------------------------------------------------------------------------------- graphs


def test_layers_are_found_and_heads_left_alone(model: ir.Model) -> None:
    assert [layer.group for layer in linear_layers(model, ALL)] == ["block.fc1", "block.fc2"]
    assert heads(model, 0) == set()
    assert heads(model, 1) == {"head/matmul"}
    assert heads(model, 2) == {"head/matmul", "neck/matmul"}
    assert heads(model, 3) == {"head/matmul", "neck/matmul", "block/add", "block.fc2/matmul"}
    everything = LayerRule(("MatMul",), keep_heads=0)
    assert [layer.group for layer in linear_layers(model, everything)] == ["block.fc1", "block.fc2", "neck", "head"]
    assert not linear_layers(model, LayerRule(("Conv",), keep_heads=0))
    only = LayerRule(("MatMul",), keep_heads=1, only=("block.fc1*",))
    assert [layer.group for layer in linear_layers(model, only)] == ["block.fc1"]


def test_weights_stored_in_fp16_are_weights() -> None:
    model = load_graph(load_bundle("hands").graph("landmarks_lite"))
    image = np.random.default_rng(0).random((1, 3, 224, 224)).astype(np.float32)
    before = run(model, image)
    assert len(linear_layers(model, ALL)) < 5
    fold_constants(model)
    assert not {"Cast"} & {node.op_type for node in model.graph}
    assert len(linear_layers(model, ALL)) > 40
    np.testing.assert_allclose(run(model, image), before, atol=1e-4)


def test_what_sums_nothing_is_no_layer() -> None:
    """Depthwise convolutions of one pixel, as PRelu is written: a product with a number a channel."""
    model = load_graph(load_bundle("hands").graph("palm_detector"))
    fold_constants(model)
    names = [layer.name for layer in linear_layers(model, ALL)]
    assert names
    assert not [name for name in names if name.startswith(("Scale", "Minus"))]


def test_weights_stored_in_int8_are_weights(model: ir.Model, feeds: Feeds) -> None:
    """As `onnx_cleanup.store_as_int8` stores them: Cast, then Mul."""
    stored = model.clone()
    weight = stored.graph.initializers.pop("fc1.weight")
    scale, integers = quantized(weight.const_value.numpy(), 1)
    constants = [add_constant(stored.graph, f"fc1.{n}", array) for n, array in (("int8", integers), ("scale", scale))]
    cast = make_node("Cast", constants[:1], "fc1.cast", to=ir.DataType.FLOAT)
    mul = make_node("Mul", [cast.outputs[0], constants[1]], "fc1.weight")
    stored.graph.insert_before(stored.graph[0], [cast, mul])
    weight.replace_all_uses_with(mul.outputs[0])
    before = run(stored, feeds[0]["x"])
    fold_constants(stored)
    assert [layer.group for layer in linear_layers(stored, ALL)] == ["block.fc1", "block.fc2"]
    assert "Mul" not in {node.op_type for node in stored.graph}
    np.testing.assert_allclose(run(stored, feeds[0]["x"]), before, atol=1e-6)


def test_the_recipe_is_read_and_is_what_the_conversion_does(model: ir.Model) -> None:
    recipe = load_recipe()
    assert {"LayerNormalization", "Softmax"} <= set(recipe.fp32_operators)
    assert recipe.layers("int8", "network").only == ("backbone.blocks.*",)
    assert recipe.layers("int8-cpu", "anything").operators == ("MatMul", "Gemm")
    _, kept = to_fp16(model, {})
    assert kept == ["block.norm/n", "head/matmul", "neck/matmul"]
    _, kept = to_fp16(model, {"fp32_nodes": "all whose name does not start with `block.fc1`"})
    assert {"block/add", "block/gelu", "block.fc2/matmul"} <= set(kept)
    _, kept = to_fp16(model, {"fp32_nodes": "all but MatMul"})
    assert {"block.fc1/add", "block/gelu", "head/matmul"} <= set(kept)
    assert not {"block.fc1/matmul", "block.fc2/matmul"} & set(kept)
    with pytest.raises(BackendError, match="`some` is not understood"):
        to_fp16(model, {"fp32_nodes": "some"})


# --------------------------------------------------------------------------------------------- FP16


def identity(kind: int) -> ir.Model:
    """x -> FP16 -> (x * 1) -> FP32."""
    helper = onnx.helper
    one = onnx.numpy_helper.from_array(np.ones((), np.float16), "one")
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], name="down", to=onnx.TensorProto.FLOAT16),
        helper.make_node("Mul", ["h", "one"], ["m"], name="mul"),
        helper.make_node("Cast", ["m"], ["y"], name="up", to=onnx.TensorProto.FLOAT),
    ]
    values = [helper.make_tensor_value_info(name, kind, [None]) for name in "xy"]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [one])
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9))


def test_emulated_fp16_is_fp16() -> None:
    """Every finite FP16, what lies between two of them, and what overflows."""
    bits = np.arange(2**16, dtype=np.uint16).view(np.float16)
    exact = bits[np.isfinite(bits)].astype(np.float32)
    rng = np.random.default_rng(0)
    between = exact * (1 + rng.uniform(-1e-3, 1e-3, exact.shape)).astype(np.float32)
    tiny = rng.uniform(-1e-4, 1e-4, 20000).astype(np.float32)
    large = np.array([65504, 65519, 65521, 7e4, 1e6, -7e4, 3e38], np.float32)
    x = np.concatenate((exact, between, tiny, large))
    with np.errstate(over="ignore"):
        expected = x.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(run(emulated(identity(onnx.TensorProto.FLOAT)), x), expected)


def test_fp16_shows_what_the_cpu_hides(model: ir.Model, feeds: Feeds) -> None:
    half, _ = to_fp16(model, {})
    shown = off(emulated(half), model, feeds)
    assert 1e-4 < shown < 2e-3  # 11 bits, a few operators after each other
    weights = {name: value.dtype for name, value in half.graph.initializers.items()}
    assert weights["fc1.weight.fp16"] == ir.DataType.FLOAT16
    assert weights["head.weight"] == ir.DataType.FLOAT
    assert "fc1.weight" not in weights


# --------------------------------------------------------------------------------------------- INT8


@pytest.mark.parametrize("axis", [0, 1])
def test_weights_are_rounded_per_channel(axis: int) -> None:
    weight = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32) * np.logspace(-3, 3, 7)
    scale, integers = quantized(weight, axis)
    assert integers.dtype == np.int8
    assert np.abs(integers).max() == 127  # -128 would not be symmetric
    shaped = scale[:, None] if axis == 0 else scale
    assert (np.abs(integers * shaped - weight) <= shaped / 2 * (1 + 1e-5)).all()
    assert len(scale) == weight.shape[axis]


def test_the_best_clip_weighs_rounding_against_clipping() -> None:
    flat = np.ones(2048)
    assert best_clip(flat, 8.0) == pytest.approx(8.0, rel=0.01)  # nothing to be gained
    rng = np.random.default_rng(0)
    normal = np.abs(np.append(rng.normal(size=200_000), 40.0))
    counts = np.histogram(normal, 2048, (0, 40.0))[0].astype(np.float64)
    clip = best_clip(counts, 40.0)
    assert 5 < clip < 30  # one outlier does not cost the others their levels

    def error(c: float) -> float:
        step = c / 127
        return float(np.mean((np.clip(np.rint(normal / step), -127, 127) * step - normal) ** 2))

    assert error(clip) < 0.6 * error(40.0)
    assert error(clip) <= 1.05 * min(error(c) for c in np.linspace(2, 40, 77))
    assert best_clip(np.zeros(16), 0.0) == 0.0


def test_ranges_are_those_of_the_frames(model: ir.Model, feeds: Feeds) -> None:
    told: list[tuple[int, int]] = []
    found = clips(model, ["x", "n", "n"], feeds, lambda done, total: told.append((done, total)))
    largest = max(float(np.abs(feed["x"]).max()) for feed in feeds)
    assert 0.5 * largest < found["x"] <= largest * 1.01
    assert told[-1] == (24, 24)
    channels = channel_maxima(model, ["n"], feeds)["n"]
    assert channels.shape == (WIDTH,)
    assert channels[[3, 17]].min() > 20 * np.median(channels)


def test_smoothing_changes_nothing_but_the_outliers(model: ir.Model, feeds: Feeds) -> None:
    layers = linear_layers(model, ALL)
    assert [value.name for value in normalised(model, layers)] == ["n"]
    smoother = smooth(model, layers, channel_maxima(model, ["n"], feeds), 0.5)
    assert off(smoother, model, feeds) < 1e-5
    before, after = (channel_maxima(m, ["n"], feeds)["n"] for m in (model, smoother))
    assert before.max() / np.median(before) > 5 * after.max() / np.median(after)


def test_int8_is_near_and_nearer_when_smooth(model: ir.Model, feeds: Feeds) -> None:
    layers = linear_layers(model, ALL)
    plain = with_qdq(model, layers, clips(model, [layer.source for layer in layers], feeds))
    smoother = smooth(model, layers, channel_maxima(model, ["n"], feeds), 0.5)
    again = linear_layers(smoother, ALL)
    better = with_qdq(smoother, again, clips(smoother, [layer.source for layer in again], feeds))
    errors = [off(m, model, feeds) for m in (plain, better)]
    if not SATURATING:
        assert errors[1] < 0.02
        assert errors[1] < 0.6 * errors[0]
        assert off(dynamic(smoother, [layer.name for layer in again]), model, feeds) < 0.02
    operators = [node.op_type for node in better.graph]
    assert operators.count("QuantizeLinear") == 2
    assert operators.count("DequantizeLinear") == 4
    kinds = {value.dtype for name, value in better.graph.initializers.items() if name.endswith(".int8")}
    assert kinds == {ir.DataType.INT8}
    check(better)


def test_the_fewest_groups_are_left_out() -> None:
    rows = [Row(name, 1, 1, 1.0, "mm") for name in "abcdefgh"]
    for needed in range(9):
        tried: list[int] = []

        def passes(excluded: Any, needed: int = needed, tried: list[int] = tried) -> bool:
            tried.append(len(excluded))
            return len(excluded) >= needed

        assert exclusions(rows, passes) == list("abcdefgh"[:needed])
        assert len(tried) <= 4


# --------------------------------------------------------------------------------------------- bundles


def recorded(feeds: Feeds) -> Recording:
    return Recording("noise", len(feeds), {"toy": feeds})


@pytest.mark.parametrize(
    ("precision", "backend"), [("fp16", "cuda"), ("int8", "tensorrt"), ("int8-cpu", "cpu")]
)  # fmt: skip
def test_a_variant_is_written_with_its_verdict(
    toy: Callable[..., Bundle], feeds: Feeds, precision: str, backend: str
) -> None:
    bundle = toy()
    (variant,) = quantize(bundle, precision, recorded(feeds), say=False)
    after = load_bundle(bundle.path)
    name = f"toy-{precision}"
    assert after.graphs == ("toy", name)
    assert after.settings["variants"] == [
        {"of": "toy", "graph": name, "precision": precision[:4], "backend": backend}
    ]  # fmt: skip
    verdict = after.manifest["verdicts"][name]
    assert verdict["passed"], verdict["reason"]
    assert verdict == {**variant.verdict, "graph_sha256": after.manifest["files"][f"{name}.onnx"]["sha256"]}
    assert (verdict["source"], verdict["frames"], verdict["finite"]) == ("noise", 12, True)
    assert len(verdict["feeds_sha256"]) == 64
    assert {"humanrt", "onnxruntime", "numpy"} <= set(verdict["tools"])
    assert why_unproven(after, name) is None
    assert after.graph(name).inputs == after.graph("toy").inputs
    if backend == "cpu":
        with open_backend("cpu") as cpu:
            chosen = at(after, cpu, "int8")
            assert chosen.graph("toy").name == name
            with cpu.open(chosen.graph("toy")) as opened:
                y = opened.run(feeds[0])["y"]
        exact = run(load_graph(bundle.graph("toy")), feeds[0]["x"])
        assert 0 < np.abs(y - exact).mean() < 0.05
    quantize(after, precision, recorded(feeds), say=False)
    assert load_bundle(bundle.path).graphs == ("toy", name)  # replaced, not added


def test_what_is_too_far_off_is_written_and_not_opened(toy: Callable[..., Bundle], feeds: Feeds) -> None:
    bundle = toy(limit=1e-9)
    (variant,) = quantize(bundle, "int8-cpu", recorded(feeds), say=False)
    assert variant.verdict["reason"].startswith("y: mean 0.0")
    with open_backend("cpu") as cpu, pytest.raises(BackendError, match="failed its verdict: y: mean"):
        at(load_bundle(bundle.path), cpu, "int8")


def test_sensitive_layers_are_found_left_out_and_remembered(
    toy: Callable[..., Bundle], feeds: Feeds, kept: Path
) -> None:
    def conversion(bundle: Bundle, say: Callable[[str], object] = lambda line: None) -> Conversion:
        return Conversion(bundle, "toy", "int8", recorded(feeds), say)

    exact = conversion(toy())
    both = exact.variant()
    assert (both.layers, list(both.excluded)) == (2, [])
    mean = both.verdict["distances"]["y"]["mean"]
    lines: list[str] = []
    stricter = conversion(toy(limit=0.8 * mean), lines.append).variant(find_exclusions=True)
    assert stricter.verdict["passed"], stricter.verdict["reason"]
    assert (stricter.layers, len(stricter.excluded)) == (1, 1)
    report = json.loads((kept / "sensitivity-toy-toy-int8.json").read_text())
    assert report["excluded"] == list(stricter.excluded) == [report["groups"][0]["group"]]
    assert {row["group"] for row in report["groups"]} == {"block.fc1", "block.fc2"}
    assert report["groups"][0]["error"] > report["groups"][1]["error"] > 0
    assert any("left out" in line for line in lines)
    again = conversion(toy(limit=0.8 * mean)).variant()  # without measuring anew
    assert again.excluded == stricter.excluded


def test_ranges_are_kept_for_this_graph_and_these_frames(toy: Callable[..., Bundle], feeds: Feeds, kept: Path) -> None:
    lines: list[str] = []
    quantized_with = lambda some: Conversion(toy(), "toy", "int8", recorded(some), lines.append).variant()  # noqa: E731
    first = quantized_with(feeds)
    (file,) = kept.glob("ranges-toy-toy-*.json")
    assert "kept in" in lines[-1]
    assert to_bytes(quantized_with(feeds).model) == to_bytes(first.model)
    assert lines[-1] == "toy-int8: ranges of 2 activations were kept"
    quantized_with([{"x": 2 * feed["x"]} for feed in feeds])
    assert "kept in" in lines[-1]  # other frames
    file.write_text("[]")
    quantized_with(feeds)
    assert "kept in" in lines[-1]


def test_weights_in_a_file_of_their_own_stay_there(toy: Callable[..., Bundle]) -> None:
    bundle, x = toy(), np.random.default_rng(0).normal(size=(1, TOKENS, WIDTH)).astype(np.float32)
    graphs = pytest.importorskip("humanrt_export.conversion.graphs", reason="needs torch")
    model = load_graph(bundle.graph("toy"))
    (bundle.path / "toy.bin").write_bytes(graphs.share_weights([model], "toy.bin"))
    (bundle.path / "toy.onnx").write_bytes(to_bytes(model))
    stored = load_graph(bundle.graph("toy"))
    layers = linear_layers(stored, LayerRule(("MatMul",), keep_heads=1))
    half, _ = to_fp16(stored, {"fp32_nodes": "all whose name does not start with `block.fc1`"})
    for made in (dynamic(stored, [layers[0].name]), half):
        written = onnx.load_model_from_string(to_bytes(made))
        outside = {item.name for item in written.graph.initializer if item.data_location == onnx.TensorProto.EXTERNAL}
        assert outside == {"fc2.weight", "neck.weight"}  # fc1 is INT8 or FP16, the others are small
        assert off(made, stored, [{"x": x}]) < 0.3


def test_a_shipped_bundle_stays_as_it_is(tmp_path: Path, feeds: Feeds) -> None:
    hands = load_bundle("hands")
    with pytest.raises(OutputError, match="is part of humanrt and must not change; give --out"):
        quantize(hands, "fp16", recorded(feeds), say=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(OutputError, match="something other than a bundle"):
        quantize(hands, "fp16", recorded(feeds), out=tmp_path / "full", say=False)
    shutil.copytree(load_bundle("landmarks").path, tmp_path / "other")
    with pytest.raises(OutputError, match="holds bundle landmarks, not hands"):
        quantize(hands, "fp16", recorded(feeds), out=tmp_path / "other", say=False)


def test_the_hand_networks_in_fp16(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command, on the clip that ships: crops of the real tracker, mm and px of the hands in them."""
    out = tmp_path / "hands"
    command = ["quantize", "hands", "--precision", "fp16", "--out", str(out), "--max-frames", "16"]
    assert main([*command, "--graph", "landmarks_lite"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("landmarks_lite-fp16: passed on ")
    bundle = load_bundle(out)
    verdict = bundle.manifest["verdicts"]["landmarks_lite-fp16"]
    assert verdict["source"] == "demo_hand.mp4"
    assert verdict["detections"]["reference"] == verdict["frames"] >= 4
    assert 1e-4 < verdict["distances"]["keypoints_3d"]["mean"] < 0.5
    assert 1e-4 < verdict["distances"]["keypoints_2d"]["mean"] < 0.2
    assert "landmarks_lite-fp16" not in {spec.name for spec in find_graphs(bundle, "fp32")}
    with pytest.raises(BackendError, match="no graph of precision `fp16` for backend `cpu`"):
        HandTracker(bundle, precision="fp16")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hands", "--precision", "fp16"], "is part of humanrt and must not change"),
        (["landmarks", "--precision", "fp16", "--out", "OUT"], "--calibration is missing: bundle landmarks"),
        (["hands", "--precision", "int8-cpu", "--out", "OUT", "--max-frames", "4"], "no layer that gets faster"),
        (
            ["hands", "--precision", "fp16", "--out", "OUT", "--max-frames", "4", "--graph", "palm"],
            "choose one of: land",
        ),
        (["hands", "--precision", "fp16", "--out", "OUT", "--inputs", "1"], "--inputs must be at least 2"),
        (["hands", "--precision", "fp16", "--out", "OUT", "--calibration", "none.mp4"], "none.mp4: no such file"),
        (["hands", "--precision", "fp16", "--out", "OUT", "--calibration", "m.bvh"], "does not take motion capture"),
        (["hands", "--precision", "fp8", "--out", "OUT"], "invalid choice: 'fp8'"),
        (["nobody", "--precision", "fp16"], "no bundle `nobody`"),
    ],
)
def test_what_cannot_be_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    arguments = [str(tmp_path / "new") if a == "OUT" else a for a in arguments]
    try:
        status = main(["quantize", *arguments])
    except SystemExit as stop:  # argparse's own
        status = int(stop.code or 0)
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("frames: ")]
    assert status == 2
    assert len(said) == 1, said
    assert words in said[0]


def test_help_needs_no_heavy_package() -> None:
    code = "import sys, humanrt_export.cli as c; c.main(['quantize', '--help'])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert result.returncode == 0
    assert "int8-cpu" in result.stdout


def test_place_refuses_nothing_it_should_keep(toy: Callable[..., Bundle], model: ir.Model) -> None:
    """A variant's old parity entry was of another graph; all else of the manifest stays."""
    bundle = toy()
    manifest = json.loads((bundle.path / "manifest.json").read_text())
    manifest["parity"] = {"toy": {"passed": True}, "toy-int8-cpu": {"passed": True}}
    manifest["settings"]["variants"] = [{"graph": "toy", "precision": "fp32"}]
    (bundle.path / "manifest.json").write_text(json.dumps(manifest))
    variant = Variant("toy-int8-cpu", "int8", "toy", "cpu")
    after = place(load_bundle(bundle.path), variant, model, {"passed": False, "reason": "r"})
    assert set(after.manifest["parity"]) == {"toy"}
    assert after.settings["variants"][0] == {"graph": "toy", "precision": "fp32"}
    assert after.settings["verdict_limits"] == bundle.settings["verdict_limits"]
    assert why_unproven(after, "toy-int8-cpu") == "failed its verdict: r"
    assert after.graph("toy-int8-cpu").inputs[0].shape[1] == TOKENS
