"""Engines: refused for every reason there is. Real plans are built in test_plans.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from humanrt.backends.engines import Engine, Recipe, engines_of, read_plan, select, shapes_of, this_platform
from humanrt.bundle import Bundle, load_bundle
from humanrt.errors import BackendError, BundleError, HumanrtError, MissingDependencyError
from humanrt.files import file_sha256
from humanrt_export.conversion.engine import library as libraries
from humanrt_export.conversion.engine.checks import check_graph, check_targets
from humanrt_export.conversion.engine.library import Library
from humanrt_export.conversion.half_graphs import find_graphs, to_fp16
from humanrt_export.conversion.quantize.session import session

from .conftest import fused_operator, linear, quantised

TARGETS = {f"SM{n}": n for n in (75, 80, 86, 89, 120, 121)} | {"NONE": 0, "CURRENT": 1}
FAKE = Library(SimpleNamespace(ComputeCapability=SimpleNamespace(__members__=TARGETS)), "tensorrt-rtx", "1.7.1")
PLAN = b"a plan"


@pytest.fixture
def engine(toy: Callable[..., Bundle], tmp_path: Path) -> tuple[Bundle, Engine]:
    """An entry with everything in order, and a verdict on sm 86."""
    bundle = toy()
    spec = bundle.graph("toy")
    recipe = Recipe(
        graph="toy", sources={"toy.onnx": file_sha256(spec.path)}, precision="fp16", library="tensorrt-rtx",
        version="1.7.1", sm=(86, 89), platform=this_platform(), cuda="13",
        shapes=shapes_of((*spec.inputs, *spec.outputs)), options={"tf32": False}, tool="0.1.0",
    )  # fmt: skip
    path = tmp_path / "toy.plan"
    path.write_bytes(PLAN)
    verdicts = {"sm_86": {"passed": True, "key": recipe.key}}
    return bundle, Engine("one", path, tmp_path / "engines.json", file_sha256(path), recipe.key, recipe, verdicts)


def choose(bundle: Bundle, engine: Engine, sm: int = 86, version: str = "1.7.1", **more: object) -> Engine:
    return select(bundle.graph("toy"), [engine], versions={"tensorrt-rtx": version}, sm=sm, **more)  # type: ignore[arg-type]


def test_an_engine_in_order_is_taken(engine: tuple[Bundle, Engine]) -> None:
    bundle, entry = engine
    assert choose(bundle, entry) is entry
    assert choose(bundle, entry, precision="fp16") is entry
    assert read_plan(entry) == PLAN


def test_the_fastest_precision_that_passed_is_taken(engine: tuple[Bundle, Engine]) -> None:
    bundle, entry = engine
    slow, fast = (replace(entry.recipe, precision=p) for p in ("fp32", "int8"))
    others = [
        replace(
            entry,
            name=recipe.precision,
            recipe=recipe,
            key=recipe.key,
            verdicts={"sm_86": {"passed": ok, "key": recipe.key}},
        )
        for recipe, ok in ((slow, True), (fast, False))
    ]
    for order in ([entry, *others], [*others, entry]):
        assert select(bundle.graph("toy"), order, versions={"tensorrt-rtx": "1.7.1"}, sm=86) is entry


@pytest.mark.parametrize(
    ("change", "asked", "reason"),
    [
        ({}, {"sm": 120}, "built for sm 86, 89, this GPU is sm 120"),
        ({}, {"sm": 89}, "no verdict on sm 89 yet"),
        ({}, {"version": "1.8.0"}, "built by tensorrt-rtx 1.7.1, installed is 1.8.0"),
        ({}, {"precision": "int8"}, "no int8 engine has been built for graph toy"),
        ({"platform": "linux-mips"}, {}, "built for linux-mips"),
        ({"library": "tensorrt"}, {}, "needs tensorrt 1.7.1, which is not installed"),
        ({"sources": {"toy.onnx": "0" * 64}}, {}, "built from another toy.onnx"),
        ({"sources": {"other.onnx": "0" * 64}}, {}, "built from other.onnx, not from toy.onnx"),
        ({"shapes": {}}, {}, "inputs and outputs are not the manifest's"),
        ({"precision": "fp3"}, {}, "precision `fp3` is none of"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    engine: tuple[Bundle, Engine], change: dict[str, object], asked: dict[str, object], reason: str
) -> None:
    bundle, entry = engine
    recipe = replace(entry.recipe, **change)  # type: ignore[arg-type]
    verdicts = {"sm_86": {"passed": True, "key": recipe.key}}
    with pytest.raises(BackendError, match=reason) as refusal:
        choose(bundle, replace(entry, recipe=recipe, key=recipe.key, verdicts=verdicts), **asked)  # type: ignore[arg-type]
    assert "humanrt-export engine" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_edited_recipe_is_refused(engine: tuple[Bundle, Engine]) -> None:
    bundle, entry = engine
    with pytest.raises(BackendError, match="its key is not that of its recipe"):
        choose(bundle, replace(entry, recipe=replace(entry.recipe, sm=(86, 89, 120))), sm=120, unverified=True)


def test_without_a_passing_verdict_only_the_override_runs_it(engine: tuple[Bundle, Engine]) -> None:
    bundle, entry = engine
    for verdict, reason in (
        ({}, "no verdict on sm 86 yet"),
        ({"sm_86": {"passed": True, "key": "of another plan"}}, "no verdict on sm 86 yet"),
        (
            {"sm_86": {"passed": False, "key": entry.key, "reason": "y is off by 3"}},
            "failed its verdict on sm 86: y is off by 3",
        ),
        ({"sm_86": "yes"}, "no verdict"),
    ):
        bad = replace(entry, verdicts=verdict)
        with pytest.raises(BackendError, match=reason):
            choose(bundle, bad)
        assert choose(bundle, bad, unverified=True) is bad


@pytest.mark.parametrize("damage", ["delete", "edit", "cut"])
def test_a_damaged_plan_is_refused(engine: tuple[Bundle, Engine], damage: str) -> None:
    _, entry = engine
    if damage == "delete":
        entry.path.unlink()
    else:
        entry.path.write_bytes(PLAN[:-1] if damage == "cut" else PLAN[:-1] + b"m")
    with pytest.raises(BackendError, match=r"toy\.plan.*humanrt-export engine") as refusal:
        read_plan(entry)
    assert ("is damaged" in str(refusal.value)) == (damage != "delete")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"engines": []}', '{"engines": {"a": {"file": "../x", "recipe": {}}}}', '{"engines": {"a": 1}}'],
)
def test_a_broken_list_is_refused(toy: Callable[..., Bundle], tmp_path: Path, text: str) -> None:
    (tmp_path / "engines.json").write_text(text)
    with pytest.raises(BundleError, match=r"engines\.json"):
        engines_of(toy().graph("toy"), [tmp_path])


def test_targets() -> None:
    assert check_targets(FAKE, [89, 86, 86], None) == (86, 89)
    assert check_targets(FAKE, [], 89) == (89,)
    for sm, reason in (([90], "data-centre"), ([87], "it supports: 75, 80, 86"), ([], "give the GPUs")):
        with pytest.raises(BackendError, match=reason):
            check_targets(FAKE, sm, None)
    plain = Library(None, "tensorrt", "10.9")
    assert check_targets(plain, [], 90) == (90,)
    for sm, here, reason in (([86], None, "none is visible"), ([86], 89, "missing"), ([75, 86], 86, "sm 75 alone")):
        with pytest.raises(BackendError, match=reason):
            check_targets(plain, sm, here)


def test_what_the_library_refuses_is_found_before_the_build(toy: Callable[..., Bundle]) -> None:
    spec = toy().graph("toy")
    check_graph(linear(), spec, "fp32", FAKE, [86])
    with pytest.raises(BackendError, match=r"no FP32 matrix product on sm 75.*head"):
        check_graph(linear(), spec, "fp32", FAKE, [75, 86])
    check_graph(linear(kind=onnx.TensorProto.FLOAT16), spec, "fp16", FAKE, [75, 86])
    own = linear()
    own.graph[0].domain = "humanrt"
    with pytest.raises(BackendError, match="not a standard operator"):
        check_graph(own, spec, "fp32", FAKE, [86])
    with pytest.raises(BackendError, match="no QuantizeLinear"):
        check_graph(linear(), spec, "int8", FAKE, [86])
    with pytest.raises(BackendError, match=r"Attention.*FP32"):
        check_graph(fused_operator(), spec, "fp32", FAKE, [86])
    same = fused_operator(onnx.TensorProto.FLOAT16)
    check_graph(same, spec, "fp16", FAKE, [86])
    same.graph[0].replace_input_with(2, same.graph.inputs[1])  # TensorRT for RTX 1.7.1 dies of it
    with pytest.raises(BackendError, match=r"Attention attention takes one tensor twice.*crashes"):
        check_graph(same, spec, "fp16", FAKE, [86])
    with pytest.raises(BackendError, match=r"sm 75 has no bfloat16.*first: "):
        check_graph(linear(kind=onnx.TensorProto.BFLOAT16), spec, "fp16", FAKE, [75])
    with pytest.raises(BackendError, match="use it with --precision int8"):
        check_graph(quantised(), spec, "fp16", FAKE, [86])
    with pytest.raises(BackendError, match=r"QuantizeLinear x_q has a zero point other than 0.*symmetrically"):
        check_graph(quantised(zero=3), spec, "int8", FAKE, [86])
    check_graph(quantised(), spec, "int8", FAKE, [86])
    with pytest.raises(BackendError, match="float64, which TensorRT does not support"):
        check_graph(linear(), toy(dtype="float64").graph("toy"), "fp32", FAKE, [86])


def test_fp16_keeps_the_heads_and_what_the_bundle_says() -> None:
    helper, one = onnx.helper, np.ones((8, 8), np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], name="backbone.0"),
        helper.make_node("Softmax", ["a"], ["b"], name="backbone.1"),
        helper.make_node("MatMul", ["b", "b"], ["c"], name="backbone.2"),
        helper.make_node("MatMul", ["c", "w"], ["bridged"], name="bridge"),
        helper.make_node("MatMul", ["bridged", "w"], ["d"], name="neck"),
        helper.make_node("MatMul", ["d", "w"], ["e"], name="head"),
        helper.make_node("MatMul", ["e", "e"], ["y"], name="geometry"),  # a product of two results: no linear layer
    ]
    info = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [8, 8]) for n in "xy"]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], [onnx.numpy_helper.from_array(one / 8, "w")])
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    half, kept = to_fp16(model, {})
    assert kept == ["backbone.1", "geometry", "head", "neck"]
    with_rule = to_fp16(model, {"fp32_nodes": "all whose name does not start with `backbone.`"})[1]
    assert with_rule == sorted([*kept, "bridge"])
    x = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    a, b = (session(m).run(None, {"x": x})[0] for m in (model, half))
    assert b.dtype == np.float32
    np.testing.assert_allclose(a, b, rtol=1e-2)
    assert [node.op_type for node in model.graph] == [node.op_type for node in nodes]  # the given model is as it was


def test_graphs_for_other_backends_are_left_out(toy: Callable[..., Bundle]) -> None:
    bundle = toy()
    assert [spec.name for spec in find_graphs(bundle, "fp32")] == ["toy"]
    with pytest.raises(BackendError, match="no INT8 graph"):
        find_graphs(bundle, "int8")
    manifest = json.loads((bundle.path / "manifest.json").read_text())
    manifest["settings"] = {"variants": [{"graph": "toy", "precision": "fp32", "backend": "cpu"}]}
    (bundle.path / "manifest.json").write_text(json.dumps(manifest))
    assert find_graphs(load_bundle(bundle.path), "fp32") == []


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
def test_a_missing_library_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in libraries._MODULES[name]:
        monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(MissingDependencyError, match=f"{name} is not installed; run: pip install"):
        libraries.load(name)


def test_errors_are_one_line() -> None:
    with pytest.raises(HumanrtError, match="choose one of: tensorrt, tensorrt-rtx"):
        libraries.load("openvino")
