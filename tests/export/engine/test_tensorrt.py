"""The way of ``tensorrt`` 10 and 11 through the builder: on a fake (see there), and on the bindings of its sibling."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from humanrt.backends.engines import engines_of
from humanrt.bundle import Bundle
from humanrt.errors import BackendError
from humanrt_export.conversion.engine import build
from humanrt_export.conversion.engine import engines as command
from humanrt_export.conversion.engine.build import BuildOptions, build_plan
from humanrt_export.conversion.engine.checks import check_graph
from humanrt_export.conversion.engine.engines import build_engines
from humanrt_export.conversion.engine.library import Library, load
from humanrt_export.conversion.half_graphs import load_graph

from . import fake_tensorrt
from .conftest import attention, linear


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Library:
    """The fake, on a GPU of sm 86."""
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt.make())
    monkeypatch.setattr(build, "gpu_sm", lambda: 86)
    monkeypatch.setattr(command, "gpu_sm", lambda: 86)
    monkeypatch.setenv("HUMANRT_CACHE", str(tmp_path / "cache"))
    return load("tensorrt")


def test_a_plan_for_the_gpu_that_is_here(trt: Library, toy: Callable[..., Bundle], tmp_path: Path) -> None:
    bundle = toy()
    (built,) = build_engines(bundle, "fp32", trt, options=BuildOptions(level=5, workspace=1 << 20))
    told = json.loads(built.path.read_bytes())
    assert told == {"level": 5, "compatible": "NONE", "flags": [], "limits": {"WORKSPACE": 1 << 20},
                    "verbosity": "DETAILED", "cache": ""}  # fmt: skip
    (entry,) = engines_of(bundle.graph("toy"))
    assert (entry.recipe.library, entry.recipe.version, entry.recipe.sm) == ("tensorrt", "11.4.0", (86,))
    assert built.plan is not None
    assert built.plan.warnings == ["a warning"]
    details = json.loads(built.path.with_suffix(".json").read_text())
    assert (details["of"], details["types"]) == ("engine", {"FP16": 1})  # the inspector's, for there is a GPU
    cache = tmp_path / "cache" / "timing" / "tensorrt-11.4.0-sm86.cache"
    assert cache.read_bytes() == b"+measured"
    (again,) = build_engines(bundle, "fp32", trt, force=True)
    assert json.loads(again.path.read_bytes())["cache"] == "+measured"
    assert cache.read_bytes() == b"+measured+measured"


def test_a_timing_cache_of_another_gpu_is_not_used(trt: Library, toy: Callable[..., Bundle], tmp_path: Path) -> None:
    spec = toy().graph("toy")
    cache = tmp_path / "timing.cache"
    cache.write_bytes(b"other GPU")
    plan = build_plan(trt, load_graph(spec), spec, [86], timing_cache=cache)
    assert json.loads(plan.data)["cache"] == ""
    assert cache.read_bytes() == b"+measured"


def test_several_gpus_ask_for_compatibility(trt: Library, toy: Callable[..., Bundle]) -> None:
    (built,) = build_engines(toy(), "fp32", trt, [86, 89], options=BuildOptions(tf32=True))
    told = json.loads(built.path.read_bytes())
    assert (told["compatible"], told["flags"]) == ("AMPERE_PLUS", ["TF32"])


def test_without_a_gpu_the_layers_are_those_parsed(
    trt: Library, toy: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "gpu_sm", lambda: None)
    spec = toy().graph("toy")
    assert build_plan(trt, load_graph(spec), spec, [86]).report.of == "network"


def test_its_refusal_is_one_line_and_nothing_is_written(
    toy: Callable[..., Bundle], monkeypatch: pytest.MonkeyPatch, trt: Library
) -> None:
    bundle = toy()
    fake = fake_tensorrt.make(refuses="[x.cpp] Error Code 10:\n no implementation In buildIt at /_src/x.cpp:1")
    with pytest.raises(BackendError, match=r"cannot build graph toy: \[x.cpp\] Error Code 10: no implementation$"):
        build_engines(bundle, "fp32", Library(fake, "tensorrt", "11.4.0"))
    assert engines_of(bundle.graph("toy")) == []
    assert not (bundle.path / "engines").exists()


def test_attention_is_refused_before_10_5(toy: Callable[..., Bundle]) -> None:
    spec = toy().graph("toy")
    for version, refused in (
        ("10.3.0", True),
        ("10.4.1", True),
        ("10.5.0", False),
        ("10.13.3", False),
        ("11.4", False),
    ):
        library = Library(fake_tensorrt.make(version), "tensorrt", version)
        if refused:
            with pytest.raises(BackendError, match=rf"1 attentions, which tensorrt {version} is known to compute"):
                check_graph(attention(), spec, "fp16", library, [87])
        else:
            check_graph(attention(), spec, "fp16", library, [87])
        check_graph(linear(), spec, "fp32", library, [87])  # networks of convolutions are sound


@pytest.mark.parametrize("version", ["8.6.1", "9.3"])
def test_an_old_release_is_refused(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", fake_tensorrt.make(version))
    with pytest.raises(BackendError, match="is too old"):
        load("tensorrt")


def test_the_same_way_on_the_bindings_of_tensorrt_rtx(rtx: Library, toy: Callable[..., Bundle], tmp_path: Path) -> None:
    """They are of TensorRT 11's generation: every name that the fake answers to is there in earnest."""
    spec = toy().graph("toy")
    library = Library(rtx.trt, "tensorrt", "11.4.0")
    cache = tmp_path / "timing.cache"
    options = BuildOptions(level=2, workspace=1 << 28, tf32=True)
    with pytest.warns(DeprecationWarning, match="no-ops in TensorRT-RTX"):
        plan = build_plan(library, load_graph(spec), spec, [86, 89], options, cache)
    assert plan.data[:4] == b"vtrt"
    assert "setHardwareCompatibilityLevel() is unsupported in TensorRT-RTX." in plan.warnings
    assert cache.stat().st_size > 0
    assert "AMPERE_PLUS" in dir(rtx.trt.HardwareCompatibilityLevel)
    assert "STRONGLY_TYPED" in dir(rtx.trt.NetworkDefinitionCreationFlag)
    fake = fake_tensorrt.make()
    for name in vars(fake):
        assert hasattr(rtx.trt, name), name
