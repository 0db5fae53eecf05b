"""The command `humanrt-export engine`."""

from __future__ import annotations

import argparse
from pathlib import Path

from humanrt.backends.engines import (
    LIBRARIES,
    PRECISIONS,
)
from humanrt.bundle import load_bundle
from humanrt_export.conversion.engine.build import BuildOptions
from humanrt_export.conversion.engine.engines import build_engines
from humanrt_export.conversion.engine.library import load

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", help="name or folder of the bundle")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp16")
    parser.add_argument("--for", dest="library", choices=LIBRARIES, default="tensorrt-rtx")
    parser.add_argument(
        "--sm", type=int, nargs="+", default=[], metavar="N", help="compute capabilities, e.g. 86 89 120"
    )
    parser.add_argument("--graph", action="append", default=[], metavar="NAME", help="only this graph (repeatable)")
    parser.add_argument("--out", type=Path, help="folder for plans and engines.json (default: the bundle's own)")
    parser.add_argument("--level", type=int, choices=range(6), help="how long tensorrt looks for fast kernels")
    parser.add_argument("--tf32", action="store_true", help="let FP32 layers multiply with 10-bit mantissas")
    parser.add_argument("--force", action="store_true", help="build also what is there already")


def run(options: argparse.Namespace) -> int:
    """Build, one line a graph."""
    name: str = options.bundle
    bundle = load_bundle(name)
    built = build_engines(
        bundle,
        options.precision,
        load(options.library),
        options.sm,
        out=None if options.out is None else options.out.expanduser().absolute(),
        graphs=options.graph,
        options=BuildOptions(level=options.level, tf32=options.tf32),
        force=options.force,
        report=print,
    )
    print(f"{len(built)} engines; each needs a verdict on its GPU: python -m humanrt.verdict.engines {bundle.path}")
    return 0
