"""What each precision costs and gains: variant, size, error on real frames, and speed on this CPU beside FP32.

For every bundle a copy gets its FP16, INT8 and INT8-CPU graphs (`humanrt-export quantize`), calibrated on every other
input of the source and judged on the rest against the FP32 graph on ONNX Runtime's CPU. Variants that an exporter made
(Multi-HMR's for AMX) are judged on the same inputs. Then all of a graph's variants take turns on the same inputs and
threads; a turn's ratio is FP32's time by the variant's, and the median of the ratios is the figure. FP16 and INT8 with
Q/DQ nodes are for GPUs: their time on a CPU is no argument against them.

    python bench/precision_table.py                                    # the bundles that ship, ../shared's recordings
    python bench/precision_table.py --bundle DIR=SOURCE --threshold 0.5        # a Multi-HMR bundle of yours

Needs onnx and ONNX Runtime (`pip install 'humanrt[export]'`).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Annotated, Any

import numpy as np
import onnx_ir as ir

from humanrt.backends import open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import Bundle, load_bundle
from humanrt.bundle.settings import Variant
from humanrt.errors import BackendError, HumanrtError
from humanrt.inference.variants import EXACT, base_of, bases, variants
from humanrt.stats import machine, write_report
from humanrt.verdict import Recording, case_of, judge, record
from humanrt.verdict.engines import default_source
from humanrt_export.commands.quantize import quantize
from humanrt_export.conversion.half_graphs import load_graph
from humanrt_export.conversion.quantize.convert import CONVERSIONS
from humanrt_export.conversion.quantize.motion import is_motion, record_motion
from humanrt_export.conversion.quantize.place import place
from humanrt_export.conversion.quantize.session import session
from humanrt_export.conversion.rewriting import fold_constants, self_contained
from humanrt_export.entry import run_module
from humanrt_export.options import Option, parse

SHARED = Path(__file__).parents[2] / "shared"
DEFAULTS = (
    f"hands={SHARED}/media/hand.mp4",
    f"landmarks={SHARED}/media/people.jpg",
    f"posebert-hand={SHARED}/media/hand.mp4",
    f"posebert-body={SHARED}/mocap/cmu_asfamc.tar.xz",
)
SLOW = 50.0  # ms: graphs slower than this take fewer turns


@dataclass(frozen=True)
class Row:
    """A line of the table. ``error`` is by what it is of: unit, mean, p99, max; ``speed`` that of FP32's standard graph
    by this one's, ``speed_best`` that of the fastest FP32 graph that this processor runs."""

    bundle: str
    graph: str
    precision: str
    megabytes: float
    passed: bool | None
    error: dict[str, Any]
    p50_ms: float
    p99_ms: float
    speed: float
    speed_best: float


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """Options of the table.

    Attributes:
        bundle: name or folder of a bundle, and its frames (repeatable); without any, those that ship.
        graph: only this graph (repeatable).
        precision: what is made.
        sensitivity: leave out layers that INT8's limits demand.
        stock: also ONNX Runtime's own quantisation of everything, dynamic and static.
        inputs: of each graph.
        max_frames: of a source.
        threshold: lowest score of a person, for Multi-HMR.
        threads: of the CPU; 0: all cores.
        turns: of each graph (slow ones a quarter).
        json: write the figures.
    """

    bundle: Annotated[tuple[str, ...], Option(metavar="NAME|DIR[=SOURCE]", repeated=True)] = DEFAULTS
    graph: Annotated[tuple[str, ...], Option(repeated=True)] = ()
    precision: Annotated[tuple[str, ...], Option(choices=CONVERSIONS)] = tuple(CONVERSIONS)
    sensitivity: bool = False
    stock: bool = False
    inputs: int = 64
    max_frames: int | None = None
    threshold: float | None = None
    threads: int = 0
    turns: int = 40
    json: Path | None = None


def main() -> int:
    options = parse(TableOptions, text=__doc__)
    rows: list[Row] = []
    for word in options.bundle:
        rows += _measured(word, options)
    for line in _table(rows):
        print(line)
    if options.json:
        about = {"machine": machine(), "threads": options.threads, "turns": options.turns, "inputs": options.inputs}
        write_report(options.json, {**about, "rows": [asdict(row) for row in rows]})
    return 0


def _measured(word: str, options: TableOptions) -> list[Row]:
    name, _, source = word.partition("=")
    bundle = load_bundle(name)
    source = source or default_source(bundle) or ""
    if not source:
        raise HumanrtError(f"{name}: give its frames, {name}=SOURCE")
    if is_motion(source):
        recording = record_motion(bundle, source, options.inputs)
    else:
        recording = record(
            bundle, source, max_inputs=options.inputs, max_frames=options.max_frames, threshold=options.threshold
        )
    with tempfile.TemporaryDirectory() as folder:
        made = bundle
        out = Path(folder) / bundle.name
        for precision in options.precision:
            try:
                quantize(
                    made,
                    precision,
                    recording,
                    out=out,
                    graphs=options.graph,
                    find_exclusions=options.sensitivity and precision != "fp16",
                )
                made = load_bundle(out)
            except BackendError as error:
                print(f"{bundle.name}: {error}", file=sys.stderr)
        if options.stock:
            for base in [base for base in bases(made) if base in recording.feeds]:
                made = _stock(made, base, recording)
        rows = []
        for base in bases(made):
            alike = [base, *(v.graph for v in variants(made) if base_of(made, v.graph) == base)]
            names = list(dict.fromkeys(alike))
            if base in recording.feeds and len(names) > 1 and (not options.graph or base in options.graph):
                rows += _compared(made, base, names, recording, options)
        return rows


def _stock(bundle: Bundle, base: str, recording: Recording) -> Bundle:
    """The bundle with what ONNX Runtime's own tool makes of a graph, convolutions included, and its verdict."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_dynamic, quantize_static

    feeds = recording.feeds[base]
    model = load_graph(bundle.graph(base))
    fold_constants(model)

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(feeds[0::2])

        def get_next(self) -> Any:
            return next(self._left, None)

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "fp32.onnx"
        source.write_bytes(self_contained(model))
        for name in ("dynamic", "static"):
            target = Path(folder) / f"{name}.onnx"
            if name == "dynamic":
                operators = ["Conv", "Gemm", "MatMul"]
                quantize_dynamic(source, target, op_types_to_quantize=operators, weight_type=QuantType.QUInt8)
            else:
                kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
                quantize_static(source, target, Reader(), per_channel=True, **kinds)
            made = ir.load(target)
            opened = session(made)
            outputs = [tensor.name for tensor in bundle.graph(base).outputs]

            def run(feed: Any, opened: Any = opened, outputs: list[str] = outputs) -> dict[str, Any]:
                return dict(zip(outputs, opened.run(outputs, dict(feed)), strict=True))

            verdict = judge(case_of(bundle, base, feeds[1::2] or feeds, run), "int8")
            precision, backend = CONVERSIONS["int8-cpu"]
            bundle = place(bundle, Variant(f"{base}-stock-{name}", precision, base, backend), made, verdict)
    return bundle


def _compared(
    bundle: Bundle, base: str, names: Sequence[str], recording: Recording, options: TableOptions
) -> list[Row]:
    """A row for each variant of a graph."""
    feeds = recording.feeds[base][1::2] or recording.feeds[base]
    verdicts = dict(bundle.manifest.get("verdicts", {}))
    precision = {base: EXACT, **{v.graph: v.precision for v in variants(bundle)}}
    times: dict[str, list[float]] = {}
    with open_backend("cpu", BackendOptions(threads=options.threads)) as cpu:
        opened = {}
        for name in names:
            try:
                opened[name] = cpu.open(bundle.graph(name))
            except BackendError as error:
                print(f"{bundle.name}: {name} cannot run here: {error}", file=sys.stderr)
        for name in [name for name in opened if name not in verdicts and name != base]:
            verdicts[name] = judge(case_of(bundle, base, feeds, opened[name].run), precision[name])
        start = perf_counter()
        opened[base].run(feeds[0])
        slow = (perf_counter() - start) * 1e3 > SLOW
        turns = max(options.turns // (4 if slow else 1), 3)
        for turn in range(turns + 2):
            feed = feeds[turn % len(feeds)]
            for name, graph in opened.items():
                sleep(0.002)  # threads of the one before fall asleep
                start = perf_counter()
                graph.run(feed)
                times.setdefault(name, []).append((perf_counter() - start) * 1e3)
    measured = {name: np.array(values[2:]) for name, values in times.items()}  # two turns to warm up
    best = min((n for n in measured if precision[n] == EXACT), key=lambda n: float(np.median(measured[n])))
    rows = []
    for name, values in measured.items():
        verdict = verdicts.get(name, {})
        rows.append(
            Row(
                bundle.name,
                name,
                precision[name],
                _megabytes(bundle, name),
                verdict.get("passed"),
                _errors(verdict),
                float(np.median(values)),
                float(np.percentile(values, 99)),
                float(np.median(measured[base] / values)),
                float(np.median(measured[best] / values)),
            )
        )
    return rows


def _errors(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Of a verdict, what the table shows."""
    kinds = ("unit", "mean", "p99", "max")
    errors = {what: {kind: row[kind] for kind in kinds} for what, row in verdict.get("distances", {}).items()}
    return {**errors, **({"detections": verdict["detections"]} if "detections" in verdict else {})}


def _megabytes(bundle: Bundle, name: str) -> float:
    """Of the graph's file and of the weights that it has elsewhere."""
    spec = bundle.graph(name)
    size = sum(path.stat().st_size for path in (spec.path, spec.weights) if path)
    if isinstance(spec.source, Path):
        tensors = (value.const_value for value in load_graph(spec).graph.initializers.values())
        size += sum(tensor.length for tensor in tensors if isinstance(tensor, ir.ExternalTensor))
    return size / 1e6


def _table(rows: Sequence[Row]) -> list[str]:
    lines = [
        "| graph | MB | verdict | error, mean (p99) | gained, lost | p50, p99 ms | speed | by the fastest FP32 |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        errors = {name: e for name, e in row.error.items() if name != "detections"}
        said = "; ".join(f"{name} {e['mean']:.2g} ({e['p99']:.2g}) {e['unit']}" for name, e in errors.items())
        seen = row.error.get("detections")
        changed = f"{seen['gained']}, {seen['lost']} of {seen['reference']}" if seen else ""
        passed = {True: "passed", False: "failed", None: "reference"}[row.passed]
        lines.append(
            f"| {row.bundle} {row.graph} | {row.megabytes:.1f} | {passed} | {said} | {changed} | "
            f"{row.p50_ms:.2f}, {row.p99_ms:.2f} | {row.speed:.2f} | {row.speed_best:.2f} |"
        )
    return lines


if __name__ == "__main__":
    run_module(main)
