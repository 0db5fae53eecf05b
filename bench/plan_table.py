"""The table of plans in docs/measurements/engines.md: shipped bundles, and others that are given, by TensorRT for RTX.

    python bench/plan_table.py [BUNDLE ...] [--sm 86 89 120] [--json FILE]

Needs no GPU. INT8 is built where a bundle has INT8 graphs (`humanrt-export quantize`). Seconds are the processor's, of
all threads, for one build with its conversion: other work on the machine hardly changes them. All else comes out the
same again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from humanrt.bundle import Bundle, load_bundle, shipped_bundles
from humanrt.errors import HumanrtError
from humanrt.inference.variants import variants
from humanrt.stats import machine, write_report
from humanrt_export.conversion.engine.engines import Built, build_engines
from humanrt_export.conversion.engine.library import Library, load
from humanrt_export.conversion.half_graphs import find_graphs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="*", help="names or folders (default: all that ship)")
    parser.add_argument("--sm", type=int, nargs="+", default=[86, 89, 120])
    parser.add_argument("--json", type=Path, help="write the figures")
    options = parser.parse_args()
    try:
        library = load("tensorrt-rtx")
        bundles = [load_bundle(b) for b in options.bundles or shipped_bundles()]
        rows = [row for bundle in bundles for row in measured(bundle, library, options.sm)]
    except HumanrtError as error:
        print(f"plan_table: {error}", file=sys.stderr)
        return error.exit_status
    about = {"library": f"{library.name} {library.version}", "sm": options.sm, "machine": machine()}
    print(f"{about['library']}, sm {', '.join(map(str, options.sm))}\n")
    print("| graph | precision | plan, MB | build, CPU s | kernels by type | attention fused |")
    print("| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        kinds = ", ".join(f"{count} {dtype}" for dtype, count in row["kernels"].items())
        fused = f"{row['fused']} of {row['attentions']}" if row["attentions"] else "-"
        size, seconds = f"{row['bytes'] / 1e6:.1f}", f"{row['cpu_seconds']:.1f}"
        print(f"| {row['bundle']}: {row['graph']} | {row['precision']} | {size} | {seconds} | {kinds} | {fused} |")
    if options.json:
        write_report(options.json, {**about, "plans": rows})
    return 0


def measured(bundle: Bundle, library: Library, sm: list[int]) -> list[dict[str, Any]]:
    """One row a graph and precision. The plans go into a folder that is deleted."""
    rows = []
    int8 = any(entry.precision == "int8" and entry.backend == "tensorrt" for entry in variants(bundle))
    for precision in ("fp32", "fp16", *(("int8",) if int8 else ())):
        for spec in find_graphs(bundle, precision):
            start = time.process_time()
            with tempfile.TemporaryDirectory(prefix="plans-") as folder:
                (built,) = build_engines(bundle, precision, library, sm, out=Path(folder), graphs=[spec.name])
            seconds = round(time.process_time() - start, 2)
            row = {"bundle": bundle.name, "graph": spec.name, "precision": precision, "cpu_seconds": seconds}
            rows.append({**row, **figures(built)})
    return rows


def figures(built: Built) -> dict[str, Any]:
    assert built.plan is not None
    report = built.plan.report
    return {
        "bytes": built.bytes,
        "kernels": report.types,
        "attentions": len(report.attentions),
        "fused": len(report.fused or ()),
    }


if __name__ == "__main__":
    sys.exit(main())
