"""``humanrt-export engine``: builds TensorRT engines of a bundle's graphs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from humanrt.backends.engines import LIBRARIES, PRECISIONS
from humanrt.bundle import load_bundle
from humanrt_export.conversion.engine.build import BuildOptions
from humanrt_export.conversion.engine.engines import build_engines
from humanrt_export.conversion.engine.library import load
from humanrt_export.options import Option

__all__ = ["CONFIG", "EngineConfig", "run"]


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Options of ``humanrt-export engine``.

    Attributes:
        bundle: name or folder of the bundle.
        precision: precision of the engines.
        library: library that builds and runs them.
        sm: compute capabilities, e.g. 86 89 120.
        graph: only this graph (repeatable).
        out: folder for plans and engines.json; without it, the bundle's own.
        level: how long TensorRT searches for fast kernels.
        tf32: allow TF32: FP32 layers multiply with 10-bit mantissas.
        force: rebuild engines that exist already.
    """

    bundle: Annotated[str, Option(positional=True, metavar="BUNDLE")]
    precision: Annotated[str, Option(choices=PRECISIONS)] = "fp16"
    library: Annotated[str, Option(flag="--for", choices=LIBRARIES)] = "tensorrt-rtx"
    sm: tuple[int, ...] = ()
    graph: Annotated[tuple[str, ...], Option(repeated=True)] = ()
    out: Annotated[Path | None, Option(metavar="DIR")] = None
    level: Annotated[int | None, Option(choices=range(6))] = None
    tf32: bool = False
    force: bool = False


CONFIG = EngineConfig


def run(config: EngineConfig) -> int:
    """Build the engines of a bundle's graphs, one line each.

    Raises:
        HumanrtError: there is no such bundle or graph, or the library is missing or refuses a graph.
    """
    bundle = load_bundle(config.bundle)
    built = build_engines(
        bundle,
        config.precision,
        load(config.library),
        config.sm,
        out=None if config.out is None else config.out.expanduser().absolute(),
        graphs=config.graph,
        options=BuildOptions(level=config.level, tf32=config.tf32),
        force=config.force,
        report=print,
    )
    print(f"{len(built)} engines; each needs a verdict on its GPU: python -m humanrt.verdict.engines {bundle.path}")
    return 0
