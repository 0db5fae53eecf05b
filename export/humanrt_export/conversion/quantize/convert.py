"""Convert a graph to a lower precision: calibrate it, exclude its sensitive layers, and judge the result."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import onnx_ir as ir

from humanrt.backends import Array
from humanrt.bundle import Bundle, GraphSpec
from humanrt.bundle.settings import Variant
from humanrt.errors import BackendError
from humanrt.files import file_sha256
from humanrt.inference.variants import EXACT, variants
from humanrt.native.processor import int8_products
from humanrt.verdict import Case, Comparison, Recording, compare, judge, reference
from humanrt.verdict.judge import feeds_sha256
from humanrt_export.conversion.half_graphs import load_graph, source_files, to_fp16
from humanrt_export.conversion.quantize.half import emulated
from humanrt_export.conversion.quantize.integers import dynamic, with_qdq
from humanrt_export.conversion.quantize.layers import Layer, linear_layers
from humanrt_export.conversion.quantize.ranges import channel_maxima, clips
from humanrt_export.conversion.quantize.recipe import LayerRule, load_recipe, load_result, store_result
from humanrt_export.conversion.quantize.sensitivity import exclusions, groups, sensitivity, table
from humanrt_export.conversion.quantize.session import session
from humanrt_export.conversion.rewriting import fold_constants, name_nodes

__all__ = ["CONVERSIONS", "Conversion", "Converted"]

CONVERSIONS: Mapping[str, tuple[str, str]] = {
    "fp16": ("fp16", "cuda"),
    "int8": ("int8", "tensorrt"),
    "int8-cpu": ("int8", "cpu"),
}
"""Precision of the graph that each conversion makes, and the backend that it is for."""

_ARITHMETIC = {
    "fp16": "FP16 after every operator, sums in FP32, emulated on the CPU",
    "int8": "INT8 products, FP16 between them where the graph's opset is 19 or newer, emulated on the CPU",
    "int8-cpu": "INT8 products by ONNX Runtime on the CPU, FP32 between them",
}
_SMOOTHING_FRAMES = 32
_HALF_QDQ = 19
_TRIAL_FRAMES = 8  # of the sensitivity report

Feeds = Sequence[Mapping[str, Array]]
Say = Callable[[str], object]


@dataclass(frozen=True)
class Converted:
    """A converted graph, ready to be written into its bundle.

    Attributes:
        variant: its name in the bundle, and what it replaces.
        model: the graph.
        verdict: its verdict.
        layers: number of INT8 layers (0 for FP16).
        excluded: groups of layers that stay in FP32 because of their error.
    """

    variant: Variant
    model: ir.Model
    verdict: Mapping[str, Any]
    layers: int
    excluded: Sequence[str]


class Conversion:
    """Conversion of one FP32 graph to one precision.

    Args:
        bundle: the bundle of the graph.
        base: name of the graph.
        precision: a key of `CONVERSIONS`.
        recording: real inputs; even ones are for calibration, odd ones for the verdict.
        say: called with a line for every step.

    Raises:
        BackendError: the graph has no layer that this precision speeds up.
    """

    def __init__(self, bundle: Bundle, base: str, precision: str, recording: Recording, say: Say) -> None:
        self.bundle, self.base, self.precision, self.recording, self._say = bundle, base, precision, recording, say
        self.name = f"{base}-{precision}"
        feeds = recording.feeds[base]
        self.calibration: Feeds = feeds[0::2]
        self.judged: Feeds = feeds[1::2] or feeds
        self.spec = self._source()
        self.model = load_graph(self.spec)
        name_nodes(self.model)
        fold_constants(self.model)
        self.layers: list[Layer] = []
        if precision != "fp16":
            self.layers = linear_layers(self.model, self.rule)
            if not self.layers:
                raise BackendError(
                    f"graph {base} has no layer that gets faster in {precision} (calibration/recipe.toml, "
                    "docs/deploy/precision.md)"
                )
        source = self.spec.source  # unpacked: the digest does not depend on how a graph is stored
        digests = [hashlib.sha256(source).hexdigest()] if isinstance(source, bytes) else []
        digests += [file_sha256(path) for path in source_files(self.spec) if not digests]
        self._digest = hashlib.sha256("".join(digests).encode()).hexdigest()

    @property
    def rule(self) -> LayerRule:
        return load_recipe().layers(self.precision, self.base)

    def _source(self) -> GraphSpec:
        """Return the FP32 graph that is converted: for the CPU the one with fused operators, if there is one."""
        for entry in variants(self.bundle):
            plain = entry.precision == EXACT and entry.backend == "cpu" and not entry.cpu
            if self.precision == "int8-cpu" and plain and entry.of == self.base:
                return self.bundle.graph(entry.graph)
        return self.bundle.graph(self.base)

    @cached_property
    def references(self) -> list[dict[str, Array]]:
        """Return the FP32 graph's outputs for the inputs of the verdict."""
        return reference(self.bundle, self.base, self.judged)

    def variant(self, *, find_exclusions: bool = False) -> Converted:
        """Make the variant and judge it.

        Args:
            find_exclusions: measure the error of each group of layers, and exclude as many as the limits demand.
        """
        if self.precision == "fp16":
            model, _ = to_fp16(load_graph(self.spec), self.bundle.settings)
            return self._judged(model, [], [])
        if find_exclusions:
            self._find_exclusions()
        kept = load_result(self._report_name) or {}
        excluded = list(kept.get("excluded", [])) if kept.get("graph_sha256") == self._digest else []
        chosen = [layer for layer in self.layers if layer.group not in excluded]
        if not chosen:
            raise BackendError(f"graph {self.base}: no layer tolerates {self.precision} (see {self._report_name}.json)")
        return self._judged(self._integers(chosen), chosen, excluded)

    def _judged(self, model: ir.Model, layers: Sequence[Layer], excluded: Sequence[str]) -> Converted:
        verdict = judge(
            self._case(model, self.judged, self.references),
            CONVERSIONS[self.precision][0],
            arithmetic=_ARITHMETIC[self.precision],
            **({"int8_products": int8_products()} if self.precision == "int8-cpu" else {}),
            source=self.recording.source,
            images=self.recording.frames,
            calibrated_on=0 if self.precision == "fp16" else len(self.calibration),
            **({"layers": len(layers), "excluded": list(excluded)} if layers else {}),
        )
        precision, backend = CONVERSIONS[self.precision]
        return Converted(Variant(self.name, precision, self.base, backend), model, verdict, len(layers), excluded)

    def _case(self, model: ir.Model, feeds: Feeds, references: Feeds) -> Case:
        opened = session(model if self.precision == "int8-cpu" else emulated(model))
        names = [tensor.name for tensor in self.bundle.graph(self.base).outputs]
        outputs = [dict(zip(names, opened.run(names, dict(feed)), strict=True)) for feed in feeds]
        return Case(self.bundle, self.bundle.graph(self.base), feeds, references, outputs)

    # ------------------------------------------------------------------------------------------------ INT8

    @cached_property
    def _smoothed(self) -> ir.Model:
        """Return the graph with smoother activations."""
        from humanrt_export.conversion.quantize.smooth import normalised, smooth

        tensors = [value.name for value in normalised(self.model, self.layers)] if self.rule.smooth else []
        if not tensors:
            return self.model
        some = self.calibration[:: max(len(self.calibration) // _SMOOTHING_FRAMES, 1)]
        maxima = channel_maxima(self.model, tensors, some, self._progress("smoothing"))
        return smooth(self.model, self.layers, maxima, self.rule.smooth)

    @cached_property
    def _clips(self) -> dict[str, float]:
        """Return the ranges of the activations, stored for this graph, recipe and frames or measured now."""
        key = {"graph_sha256": self._digest, "feeds_sha256": feeds_sha256(self.calibration), "rule": repr(self.rule)}
        name = f"ranges-{self.bundle.name}-{self.base}-{self._digest[:12]}"
        kept = load_result(name) or {}
        if all(kept.get(entry) == value for entry, value in key.items()):
            self._say(f"{self.name}: ranges of {len(kept['clips'])} activations were kept")
            return dict(kept["clips"])
        sources = [layer.source for layer in self.layers]
        ranges = clips(self._smoothed, sources, self.calibration, self._progress("calibrating"))
        about = {"source": self.recording.source, "frames": len(self.calibration)}
        file = store_result(name, {**key, **about, "clips": ranges})
        self._say(f"{self.name}: ranges of {len(ranges)} activations kept in {file}")
        return ranges

    def _integers(self, chosen: Sequence[Layer]) -> ir.Model:
        """Return the graph with these layers in INT8."""
        model = self._smoothed
        if self.precision == "int8-cpu":
            return dynamic(model, [layer.name for layer in chosen])
        # The rest becomes FP16, which TensorRT's attention needs; Q/DQ nodes support it from opset 19.
        half = model.opset_imports[""] >= _HALF_QDQ
        made = with_qdq(model, chosen, self._clips, half=half)
        return to_fp16(made, self.bundle.settings)[0] if half else made

    @property
    def _report_name(self) -> str:
        return f"sensitivity-{self.bundle.name}-{self.name}"

    def _find_exclusions(self) -> None:
        """Measure the sensitivity of each group of layers, choose the groups to exclude, and store both."""
        step = max(len(self.judged) // _TRIAL_FRAMES, 1)
        feeds, references = self.judged[::step], self.references[::step]

        def attempt(chosen: Sequence[Layer]) -> Comparison:
            return compare(self._case(self._integers(chosen), feeds, references))

        def passes(excluded: Sequence[str]) -> bool:
            chosen = [layer for layer in self.layers if layer.group not in excluded]
            if not chosen:
                return True
            case = self._case(self._integers(chosen), self.judged, self.references)
            return bool(judge(case, CONVERSIONS[self.precision][0])["passed"])

        rows = sensitivity(self.layers, attempt, self._progress("layer groups"))
        excluded = exclusions(rows, passes)
        file = store_result(
            self._report_name,
            {
                "graph_sha256": self._digest,
                "source": self.recording.source,
                "frames": len(feeds),
                "feeds_sha256": feeds_sha256(feeds),
                "excluded": excluded,
                "groups": [dict(row.__dict__) for row in rows],
            },
        )
        for line in table(rows, excluded):
            self._say(line)
        self._say(f"{self.name}: {len(excluded)} of {len(groups(self.layers))} groups left out; kept in {file}")

    def _progress(self, what: str) -> Callable[[int, int], object]:
        """Return a function that reports progress in at most ten lines."""

        def progress(done: int, total: int) -> None:
            if done == total or done % max(total // 10, 1) == 0:
                self._say(f"{self.name}: {what} {done}/{total}")

        return progress
