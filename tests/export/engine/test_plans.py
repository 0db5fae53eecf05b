"""Real plans by TensorRT for RTX, which builds without a GPU: of toys, of the shipped bundles, of a small Multi-HMR."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from humanrt.backends.engines import Engine, engines_of, read_plan, select
from humanrt.bundle import Bundle, load_bundle
from humanrt.errors import BackendError, BundleError
from humanrt.files import file_sha256
from humanrt_export.cli import main
from humanrt_export.conversion.engine.build import build_plan
from humanrt_export.conversion.engine.engines import Built, build_engines
from humanrt_export.conversion.engine.library import Library
from humanrt_export.conversion.half_graphs import load_graph, source_files
from humanrt_export.conversion.rewriting import add_constant, make_node, set_constant

from .conftest import attention, fused_operator, linear, quantised

SHIPPED = Path(__file__).parents[3] / "engines"
TARGETS = (86, 89, 120)
PRECISIONS = ("fp32", "fp16")


@pytest.fixture
def rebuilt(rtx: Library, toy: Callable[..., Bundle]) -> tuple[Bundle, Path]:
    """The toy with a plan, and a verdict of two GPUs as `humanrt.verdict.engines` would write it."""
    bundle = toy()
    (built,) = build_engines(bundle, "fp32", rtx, [86, 89])
    manifest = json.loads((bundle.path / "manifest.json").read_text())
    (entry,) = manifest["engines"].values()
    entry["verdicts"] = {"sm_86": {"passed": True, "key": entry["key"]}}
    (bundle.path / "manifest.json").write_text(json.dumps(manifest))
    return load_bundle(bundle.path), built.path


def taken(bundle: Bundle, rtx: Library, sm: int = 86, version: str | None = None) -> bytes:
    """The plan that the runtime would open."""
    engines = engines_of(bundle.graph("toy"))
    versions = {"tensorrt-rtx": version or rtx.version}
    return read_plan(select(bundle.graph("toy"), engines, versions=versions, sm=sm))


def test_a_plan_is_built_listed_and_reused(rtx: Library, toy: Callable[..., Bundle]) -> None:
    bundle = toy()
    plain = file_sha256(bundle.graph("toy").path)
    (first,) = build_engines(bundle, "fp32", rtx, [86, 89])
    assert first.plan is not None
    assert first.path.read_bytes() == first.plan.data
    assert first.plan.data[:4] == b"vtrt"
    assert first.plan.report.of == "engine"
    assert first.plan.report.types == {"Float": 2}
    (again,) = build_engines(bundle, "fp32", rtx, [86, 89])
    assert again.plan is None
    (entry,) = engines_of(load_bundle(bundle.path).graph("toy"))  # the bundle is still whole
    assert (entry.recipe.sources, entry.recipe.sm, entry.recipe.version) == ({"toy.onnx": plain}, (86, 89), rtx.version)
    assert entry.recipe.cuda == "13"
    assert not list(bundle.path.glob("**/.*"))


def test_what_is_in_order_is_taken(rtx: Library, rebuilt: tuple[Bundle, Path]) -> None:
    bundle, plan = rebuilt
    assert taken(bundle, rtx) == plan.read_bytes()


def edit(file: Path, change: Callable[[Any], None]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def flip(file: Path, at: float) -> None:
    data = bytearray(file.read_bytes())
    data[int(at * (len(data) - 1))] ^= 1
    file.write_bytes(data)


DAMAGE: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "deleted": (lambda plan, _: plan.unlink(), "No such file"),
    "first byte": (lambda plan, _: flip(plan, 0), "is damaged"),
    "middle byte": (lambda plan, _: flip(plan, 0.5), "is damaged"),
    "last byte": (lambda plan, _: flip(plan, 1), "is damaged"),
    "cut": (lambda plan, _: plan.write_bytes(plan.read_bytes()[:-1]), "is damaged"),
    "empty": (lambda plan, _: plan.write_bytes(b""), "is damaged"),
    "another plan": (lambda plan, _: plan.write_bytes(plan.read_bytes() + b"\0"), "is damaged"),
    "a folder": (lambda plan, _: (plan.unlink(), plan.mkdir()), "Is a directory"),
    "recipe": (
        lambda _, manifest: edit(manifest, lambda m: next(iter(m["engines"].values()))["recipe"].update(sm=[86, 120])),
        "its key is not that of its recipe",
    ),
    "key": (
        lambda _, manifest: edit(manifest, lambda m: next(iter(m["engines"].values())).update(key="0" * 64)),
        "its key is not that of its recipe",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_plan_is_refused_and_then_rebuilt(
    rtx: Library, rebuilt: tuple[Bundle, Path], damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, plan = rebuilt
    spoil, reason = DAMAGE[damage]
    spoil(plan, bundle.path / "manifest.json")
    with pytest.raises(BackendError, match=reason) as refusal:
        taken(load_bundle(bundle.path), rtx)
    assert "humanrt-export engine" in str(refusal.value)
    assert "\n" not in str(refusal.value)
    if damage == "a folder":
        plan.rmdir()
    assert main(["engine", str(bundle.path), "--precision", "fp32", "--sm", "86", "89"]) == 0
    said = capsys.readouterr().out
    assert ("No such file" if damage == "a folder" else reason) in said
    assert "built anew" in said
    with pytest.raises(BackendError, match="no verdict on sm 86 yet"):  # another plan: measured anew
        taken(load_bundle(bundle.path), rtx)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"sm": 120}, "built for sm 86, 89, this GPU is sm 120"),
        ({"sm": 90}, "built for sm 86, 89, this GPU is sm 90"),
        ({"sm": 89}, "no verdict on sm 89 yet"),
        ({"version": "1.8.0.1"}, "installed is 1.8.0.1"),
    ],
)
def test_another_machine_is_refused(
    rtx: Library, rebuilt: tuple[Bundle, Path], asked: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BackendError, match=reason) as refusal:
        taken(rebuilt[0], rtx, **asked)
    assert f"--sm {asked.get('sm', 86)}" in str(refusal.value)  # the command that builds what is missing


def test_another_graph_is_refused_and_its_plan_replaced(
    rtx: Library, rebuilt: tuple[Bundle, Path], toy: Callable[..., Bundle]
) -> None:
    bundle, plan = rebuilt
    kept = json.loads((bundle.path / "manifest.json").read_text())["engines"]
    other = linear()
    set_constant(other.graph.initializers["w"], np.full((64, 8), 0.1, np.float32))
    changed = toy(other)
    edit(bundle.path / "manifest.json", lambda manifest: manifest.update(engines=kept))
    with pytest.raises(BackendError, match=r"built from another toy\.onnx"):
        taken(changed, rtx)
    lines: list[str] = []
    (built,) = build_engines(load_bundle(bundle.path), "fp32", rtx, [86, 89], report=lines.append)
    assert "it was built with other network, sources; built anew" in lines[0]
    assert built.path != plan
    assert sorted(built.path.parent.iterdir()) == [built.path.with_suffix(".json"), built.path]


def test_another_list_of_what_stays_in_fp32_is_another_engine(rtx: Library, toy: Callable[..., Bundle]) -> None:
    deep = linear()
    square = add_constant(deep.graph, "square", np.eye(64, dtype=np.float32))
    head = deep.graph[1]
    for name in ("first", "second", "third"):
        product = make_node("MatMul", [head.inputs[0], square], f"{name}.y", name)
        head.prepend(product)
        head.replace_input_with(0, product.outputs[0])
    bundle = toy(deep)
    (first,) = build_engines(bundle, "fp16", rtx, [86])
    edit(
        bundle.path / "manifest.json",
        lambda manifest: manifest.update(settings={"fp32_nodes": "all whose name does not start with `backbone.`"}),
    )
    lines: list[str] = []
    (second,) = build_engines(load_bundle(bundle.path), "fp16", rtx, [86], report=lines.append)
    assert "built with other network" in lines[0]
    assert first.path != second.path


def test_a_broken_list_is_named_and_kept(rtx: Library, toy: Callable[..., Bundle], tmp_path: Path) -> None:
    (tmp_path / "engines.json").write_text("{")
    with pytest.raises(BundleError, match=r"engines\.json.*delete it, then build the engines again"):
        build_engines(toy(), "fp32", rtx, [86], out=tmp_path)
    assert (tmp_path / "engines.json").read_text() == "{"


@pytest.mark.parametrize(
    ("model", "precision", "sm", "before", "library_says"),
    [
        (linear(), "fp32", 75, "no FP32 matrix product on sm 75", "FP32 GEMM is not supported"),
        (quantised(), "int8", 75, "no FP32 matrix product on sm 75", "FP32 GEMM is not supported"),
        (quantised(zero=3), "int8", 86, "zero point other than 0", "Non-zero zero point is not supported"),
        (fused_operator(), "fp32", 86, r"Attention.*in FP32 has no kernel", "not supported by a dedicated kernel"),
        (linear(kind=onnx.TensorProto.BFLOAT16), "fp32", 75, "sm 75 has no bfloat16", "HW-specific datatypes: b16"),
    ],
)
def test_the_library_refuses_what_the_check_refuses(
    rtx: Library, toy: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch,
    model: ir.Model, precision: str, sm: int, before: str, library_says: str,
) -> None:  # fmt: skip
    """The check is not stricter than the library: without it, the same graph fails, in the library's words."""
    bundle = toy(model, name="toy-int8" if precision == "int8" else "toy")
    with pytest.raises(BackendError, match=before):
        build_engines(bundle, precision, rtx, [sm])
    monkeypatch.setattr("humanrt_export.conversion.engine.engines.check_graph", lambda *_: None)
    monkeypatch.setattr(
        "humanrt_export.conversion.engine.build._check_network", lambda *_: None
    )  # bfloat16 has no numpy name
    with pytest.raises(BackendError, match=rf"cannot (build|read) graph toy.*{library_says}"):
        build_engines(bundle, precision, rtx, [sm])
    assert engines_of(bundle.graph(bundle.graphs[0])) == []


def test_a_graph_that_is_not_the_manifests_is_not_built(rtx: Library, toy: Callable[..., Bundle]) -> None:
    spec = toy().graph("toy")
    wrong = replace(spec, outputs=(replace(spec.outputs[0], shape=(2, 9)),))
    with pytest.raises(BackendError, match="the manifest says"):
        build_plan(rtx, load_graph(spec), wrong, [86])


def test_out_is_a_folder_of_its_own(rtx: Library, toy: Callable[..., Bundle], tmp_path: Path) -> None:
    bundle, out = toy(), tmp_path / "elsewhere"
    before = (bundle.path / "manifest.json").read_bytes()
    (built,) = build_engines(bundle, "fp16", rtx, [86], out=out)
    assert built.path.parent == out
    assert (bundle.path / "manifest.json").read_bytes() == before
    assert [engine.path for engine in engines_of(bundle.graph("toy"), [out])] == [built.path]
    assert source_files(bundle.graph("toy")) == [bundle.path / "toy.onnx"]


@pytest.mark.parametrize("wide_softmax", [True, False])
def test_attention_in_fp16_becomes_one_kernel(rtx: Library, toy: Callable[..., Bundle], wide_softmax: bool) -> None:
    """Also with its Softmax in FP32 between two casts: exactness there costs no kernel."""
    bundle = toy(attention(wide_softmax=wide_softmax), dtype="float16")
    (built,) = build_engines(bundle, "fp32", rtx, TARGETS)  # as it is
    assert built.plan is not None
    assert built.plan.report.fused == ["softmax"]
    details = json.loads(built.path.with_suffix(".json").read_text())
    assert details["attention"] == {"nodes": ["softmax"], "fused": ["softmax"]}


def test_attention_in_fp32_is_not_fused_and_that_is_said(rtx: Library, toy: Callable[..., Bundle]) -> None:
    lines: list[str] = []
    bundle = toy(attention(onnx.TensorProto.FLOAT, wide_softmax=False))
    (built,) = build_engines(bundle, "fp32", rtx, [86], report=lines.append)
    assert built.plan is not None
    assert built.plan.report.fused == []
    assert lines[0].endswith("attention fused: 0 of 1")


def test_int8_products_are_computed_in_int8(rtx: Library, toy: Callable[..., Bundle]) -> None:
    (built,) = build_engines(toy(quantised(), name="toy-int8"), "int8", rtx, TARGETS)
    assert built.plan is not None
    (product,) = [layer for layer in built.plan.report.layers if "product" in layer.nodes and layer.kind == "gemm"]
    assert product.dtypes == ("Float",)


def check_built(built: list[Built], precision: str, engines: list[Engine]) -> None:
    """All there, listed, sound, and in the types that were asked for."""
    assert built
    assert {one.path for one in built} == {engine.path for engine in engines}
    for one in built:
        assert one.plan is not None
        assert 1e5 < one.bytes < 2e8
        assert one.plan.report.of == "engine"
        halves = sum(count for kind, count in one.plan.report.types.items() if "Half" in kind)
        if precision == "fp32":
            assert halves == 0, f"{one.name}: {one.plan.report.lines()}"
    for engine in engines:
        read_plan(engine)


@pytest.mark.parametrize(
    "name",
    [
        "hands",
        "landmarks",
        "posebert-hand",
        pytest.param("posebert-body", marks=pytest.mark.slow),  # as posebert-hand, with other widths
        pytest.param("posebert-body-h36m", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_shipped_bundles_build(rtx: Library, tmp_path: Path, name: str, precision: str) -> None:
    shutil.copytree(SHIPPED / name, tmp_path / name)
    bundle = load_bundle(tmp_path / name)
    built = build_engines(bundle, precision, rtx, TARGETS, report=print)
    engines = [engine for graph in bundle.graphs for engine in engines_of(bundle.graph(graph))]
    check_built(built, precision, engines)
    if precision == "fp16":
        for one in built:
            assert one.plan is not None
            exact = one.name.startswith("body-")  # a mesh in metres (calibration/recipe.toml)
            assert any("Half" in kind for kind in one.plan.report.types) != exact, one.name
            if name.startswith("posebert"):
                blocks = [node for node in one.plan.report.attentions if node.startswith("blocks.")]
                assert len(blocks) == 4
                assert set(blocks) <= set(one.plan.report.fused or ())


def test_int8_of_a_shipped_bundle(rtx: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From `humanrt-export quantize` to a plan: ranges from frames of the clip that ships."""
    from humanrt.verdict import record
    from humanrt.verdict.engines import default_source
    from humanrt_export.commands.quantize import quantize

    monkeypatch.setattr("humanrt_export.conversion.quantize.recipe._result_folders", lambda: (tmp_path / "kept",))
    bundle = load_bundle("hands")
    clip = default_source(bundle)
    assert clip is not None
    recording = record(bundle, clip, max_inputs=4, max_frames=6)
    quantize(bundle, "int8", recording, graphs=("landmarks_lite",), out=tmp_path / "hands", say=False)
    quantised_bundle = load_bundle(tmp_path / "hands")
    (built,) = build_engines(quantised_bundle, "int8", rtx, TARGETS)
    assert built.plan is not None
    assert sum(count for kind, count in built.plan.report.types.items() if "Int8" in kind) > 20
    (engine,) = engines_of(quantised_bundle.graph("landmarks_lite-int8"))
    assert (engine.name, engine.recipe.precision) == ("landmarks_lite-int8-tensorrt-rtx-sm86-89-120", "int8")
