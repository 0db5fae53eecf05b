"""``humanrt-export quantize``: create FP16 and INT8 graphs of a bundle, each with a verdict on real frames."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from humanrt.bundle import Bundle, load_bundle
from humanrt.errors import BackendError, HumanrtError, choices
from humanrt.inference.variants import bases
from humanrt.verdict import Recording, record
from humanrt.verdict.engines import default_source
from humanrt_export.conversion.quantize.convert import CONVERSIONS, Conversion, Converted
from humanrt_export.conversion.quantize.motion import is_motion, record_motion
from humanrt_export.conversion.quantize.place import place, target
from humanrt_export.conversion.quantize.recipe import load_recipe
from humanrt_export.options import Option

__all__ = ["CONFIG", "QuantizeConfig", "quantize", "run"]


def quantize(
    bundle: Bundle,
    precision: str,
    recording: Recording,
    *,
    out: Path | None = None,
    graphs: tuple[str, ...] = (),
    find_exclusions: bool = False,
    say: bool = True,
) -> list[Converted]:
    """Create variants of a bundle's graphs and write them into it, or into its copy at ``out``.

    Args:
        bundle: the bundle with the FP32 graphs.
        precision: ``fp16``, ``int8`` or ``int8-cpu``.
        recording: real inputs of the graphs.
        graphs: only these; (): all that the recording covers.
        find_exclusions: see `Conversion.variant`.
        say: report progress on stderr.

    Raises:
        BackendError: no graph has a layer that supports this precision.
        OutputError: the bundle cannot be written.
    """
    bundle = target(bundle, out)
    kept = load_recipe().fp32_graphs
    usable = [g for g in bases(bundle) if g in recording.feeds and not any(fnmatchcase(g, p) for p in kept)]
    if unknown := set(graphs) - set(usable):
        raise BackendError(f"no {precision} can be made of graph {choices(unknown)}; choose one of: {choices(usable)}")
    made, refused = [], []

    def tell(line: str) -> None:
        if say:
            sys.stderr.write(f"{line}\n")

    for base in usable:
        if graphs and base not in graphs:
            continue
        try:
            conversion = Conversion(bundle, base, precision, recording, tell)
        except BackendError as error:
            refused.append(str(error))
            continue
        converted = conversion.variant(find_exclusions=find_exclusions)
        bundle = place(bundle, converted.variant, converted.model, converted.verdict)
        made.append(converted)
    if not made:
        raise BackendError("; ".join(refused) or f"bundle {bundle.name} has no graph for {precision}")
    for line in refused:
        tell(f"left in FP32: {line}")
    return made


@dataclass(frozen=True, kw_only=True)
class QuantizeConfig:
    """Options of ``humanrt-export quantize``.

    Attributes:
        bundle: name or folder of the bundle.
        precision: precision of the new graphs.
        calibration: video, folder, image or camera index, as for `humanrt run`; for PoseBERT bundles also motion
            capture; without it, the shipped clip for hands.
        out: a copy of the bundle to write into; without it, the bundle itself.
        graph: only this graph (repeatable).
        max_frames: maximum number of images of the source; without it, all (600 of a camera).
        inputs: number of inputs kept per graph.
        threshold: minimum score of a person; without it, the bundle's.
        sensitivity: measure each group of layers, and exclude groups as the limits require.
    """

    bundle: Annotated[str, Option(positional=True, metavar="BUNDLE")]
    precision: Annotated[str, Option(choices=CONVERSIONS)]
    calibration: Annotated[str | None, Option(metavar="SOURCE")] = None
    out: Annotated[Path | None, Option(metavar="DIR")] = None
    graph: Annotated[tuple[str, ...], Option(repeated=True)] = ()
    max_frames: int | None = None
    inputs: int = 500
    threshold: Annotated[float | None, Option(metavar="P")] = None
    sensitivity: bool = False

    def __post_init__(self) -> None:
        if self.inputs < 2 or (self.max_frames is not None and self.max_frames < 1):
            raise HumanrtError("--inputs must be at least 2 and --max-frames at least 1")


CONFIG = QuantizeConfig


def run(config: QuantizeConfig) -> int:
    """Quantize; return 1 if a verdict was not passed."""
    bundle = load_bundle(config.bundle)
    variants = quantize(
        bundle,
        config.precision,
        _recording(bundle, config),
        out=config.out,
        graphs=config.graph,
        find_exclusions=config.sensitivity,
    )
    for variant in variants:
        print(_line(variant))
    return 0 if all(variant.verdict["passed"] for variant in variants) else 1


def _recording(bundle: Bundle, config: QuantizeConfig) -> Recording:
    """Record real inputs of the bundle's graphs."""
    source = config.calibration or default_source(bundle)
    if source is None:
        raise HumanrtError(
            f"--calibration is missing: bundle {bundle.name} needs real frames, as many and as varied as possible: "
            "give a video, a folder of images or a camera index"
        )
    target(bundle, config.out)  # rejected before the work starts
    if is_motion(source):
        return record_motion(bundle, source, config.inputs)
    return record(
        bundle,
        source,
        max_inputs=config.inputs,
        max_frames=config.max_frames,
        threshold=config.threshold,
        progress=_progress,
    )


def _progress(done: int, total: int | None) -> None:
    if done % 50 == 0 or done == total:
        sys.stderr.write(f"frames: {done}{f'/{total}' if total else ''}\n")


def _line(converted: Converted) -> str:
    verdict = converted.verdict
    rows = verdict["distances"].items()
    found = ", ".join(f"{name} {row['mean']:.3g} {row['unit']} (p99 {row['p99']:.3g})" for name, row in rows)
    seen = verdict.get("detections")
    if seen:
        found += f", {seen['gained']} gained and {seen['lost']} lost of {seen['reference']}"
    said = "passed" if verdict["passed"] else f"FAILED ({verdict['reason']})"
    layers = f", {converted.layers} layers in INT8" if converted.layers else ""
    return f"{converted.variant.graph}: {said} on {verdict['frames']} inputs: {found}{layers}"
