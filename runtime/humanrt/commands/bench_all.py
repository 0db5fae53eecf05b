"""``humanrt bench ... --all``: a row for every precision, backend and number of threads of a bundle, and for its peers.

Each row is measured in a process of its own, so that memory and cold start are that row's.
"""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from humanrt.backends import BACKENDS
from humanrt.backends.engines import EXACT, engines_of
from humanrt.bundle import Bundle
from humanrt.drawing.draw import draw_text
from humanrt.inference.variants import bases, variants
from humanrt.native import processor
from humanrt.outputs.base import Image
from humanrt.stats import read_report

__all__ = [
    "COLUMNS",
    "Row",
    "as_csv",
    "as_markdown",
    "as_picture",
    "as_text",
    "configurations",
    "measure_all",
    "measure_peer",
]

_INK, _BAR = (40, 40, 40), (70, 130, 200)  # R, G, B

COLUMNS = (
    *("precision", "backend", "threads", "open ms", "first ms", "p50 ms", "p99 ms", "fps", "peak MB", "size MB"),
    *("off by", "refused because"),
)


@dataclass(frozen=True)
class Configuration:
    """How a bundle's networks are run; of a peer its name and version are the backend, and it has no precision."""

    precision: str
    backend: str
    threads: int


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        how: the configuration.
        report: what `humanrt bench` reports of it; None if it cannot run.
        refused: why it cannot run; empty if it does.
        size: bytes of the graphs that are opened; 0 if that is not known.
        error: how far it is from FP32 by its verdict, in words; empty where there is nothing to compare.
    """

    how: Configuration
    report: dict[str, Any] | None
    refused: str
    size: int
    error: str

    def cells(self) -> tuple[str, ...]:
        """Return the cells, in the order of `COLUMNS`."""
        own = (self.how.precision, self.how.backend, str(self.how.threads) if self.how.backend == "cpu" else "")
        if self.report is None:
            return (*own, *[""] * (len(COLUMNS) - len(own) - 1), self.refused)
        cold, peak = self.report["cold"], self.report["peak_memory_bytes"]
        p50, p99 = _times(self.report)
        return (
            *own,
            f"{cold['open_ms']:.0f}",
            f"{cold['first_frame_ms']:.0f}",
            f"{p50:.1f}",
            f"{p99:.1f}",
            f"{1e3 / p50:.1f}",
            "" if peak is None else f"{(peak - self.report.get('replayed_bytes', 0)) / 1e6:.0f}",
            f"{self.size / 1e6:.1f}" if self.size else "",
            self.error,
            "",
        )


def configurations(bundle: Bundle, cores: int) -> Iterator[Configuration]:
    """Return all configurations of a bundle, whether they can run here or not."""
    kinds = {backend: [EXACT] for backend in BACKENDS}
    for variant in variants(bundle):
        for backend in BACKENDS:
            if variant.on(backend) and variant.precision not in kinds[backend]:
                kinds[backend].append(variant.precision)
    for engine in (engine for base in bases(bundle) for engine in engines_of(bundle.graph(base))):
        if engine.recipe.precision not in kinds["tensorrt"]:
            kinds["tensorrt"].append(engine.recipe.precision)
    for backend, precisions in kinds.items():
        for precision in precisions:
            for threads in dict.fromkeys((1, cores)) if backend == "cpu" else (1,):
                yield Configuration(precision, backend, threads)


def measure_all(
    bundle: Bundle, command: Sequence[str], progress: Callable[[int, int], None], *, cores: int | None = None
) -> list[Row]:
    """Measure every configuration of a bundle.

    Args:
        bundle: what is measured.
        command: words of `humanrt` that measure it, without backend, precision, threads and report.
        progress: called before each row with its number, from 0, and that of all rows.
        cores: the larger number of threads; None: those of this machine.
    """
    rows = []
    found = list(configurations(bundle, cores or os.cpu_count() or 1))
    for index, how in enumerate(found):
        progress(index, len(found))
        own = ["--backend", how.backend, "--precision", how.precision, "--threads", str(how.threads)]
        report, refused = _measured([sys.executable, "-m", "humanrt", *command, *own], "--json")
        rows.append(Row(how, report, refused, *_about(bundle, how)))
    return rows


def measure_peer(name: str, version: str, arguments: Sequence[str]) -> Row:
    """Measure other software.

    Args:
        name, version: see `humanrt.commands.bench_peers.installed`.
        arguments: those of that module after the name, without ``--out``.
    """
    run = [sys.executable, "-m", "humanrt.commands.bench_peers", name, *arguments]
    return Row(Configuration("", f"{name} {version}", 0), *_measured(run, "--out"), 0, "")


def _measured(run: Sequence[str], option: str) -> tuple[dict[str, Any] | None, str]:
    """Return the report that a command writes to the file of this option, or None and why there is none."""
    with tempfile.TemporaryDirectory(prefix="humanrt-bench-") as folder:
        file = Path(folder) / "report.json"
        done = subprocess.run([*run, option, str(file)], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return read_report(file), ""
    lines = done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"]
    return None, lines[-1].removeprefix("humanrt bench: ").removeprefix("humanrt: ")


def _about(bundle: Bundle, how: Configuration) -> tuple[int, str]:
    """Return the bytes of the graphs of a configuration, and how far they are off by their verdicts."""
    files: set[Path] = set()
    errors = []
    for base in bases(bundle):
        fitting = [one for one in variants(bundle) if one.of == base and one.on(how.backend)]
        entries = [one for one in fitting if set(one.cpu) <= processor.features()]
        chosen = next((one.graph for one in entries if one.precision == how.precision), base)
        graph = bundle.graph(chosen)
        files |= {path for path in (graph.path, graph.weights, graph.extends) if path is not None}
        if chosen != base:
            errors.append(_error(bundle, chosen))
    return sum(path.stat().st_size for path in files), ", ".join(error for error in errors if error)


def _error(bundle: Bundle, graph: str) -> str:
    verdict = bundle.manifest.get("verdicts", {}).get(graph) or bundle.manifest.get("parity", {}).get(graph) or {}
    said = [
        f"{name} {row['mean']:.3g} {row['unit']}"
        for name, row in verdict.get("distances", {}).items()
        if row["unit"] in ("mm", "px") and row["mean"] is not None
    ]
    if verdict.get("mean_vertex_distance_m") is not None:
        said.append(f"vertices {verdict['mean_vertex_distance_m'] * 1e3:.2g} mm")
    return f"{', '.join(said)}{'' if verdict.get('passed', True) else ' (failed)'}"


def as_text(rows: Sequence[Row]) -> str:
    """Return the table for a terminal: columns aligned, and below them why a row cannot run."""
    ran = [COLUMNS[:-1], *(row.cells()[:-1] for row in rows if row.report)]
    widths = [max(map(len, column)) for column in zip(*ran, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in ran]
    lines += [f"{' '.join(filter(None, row.cells()[:3]))}: {row.refused}" for row in rows if not row.report]
    return "\n".join(lines)


def as_markdown(rows: Sequence[Row]) -> str:
    """Return the table in Markdown."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *(row.cells() for row in rows)]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def as_picture(rows: Sequence[Row], title: str) -> Image:
    """Return a chart of the rows that ran, RGB: bars to the median and lines to the 99th percentile, ms."""
    shown = [(" ".join(filter(None, row.cells()[:3])), *_times(row.report)) for row in rows if row.report]
    left, wide, step, pad = 260, 480, 34, 24
    image = np.full((2 * pad + step * (len(shown) + 1), left + wide + 170, 3), 255, np.uint8)
    draw_text(image, title, (pad, pad + 10), 12, _INK, bold=True)
    scale = wide / max((p99 for _, _, p99 in shown), default=1.0)
    for number, (name, p50, p99) in enumerate(shown, 1):
        middle = pad + step * number + step // 2
        start, median, end = (round(left + scale * value) for value in (0.0, p50, p99))
        draw_text(image, name, (pad, middle + 5), 11, _INK)
        cv2.rectangle(image, (start, middle - 9), (median, middle + 9), _BAR, cv2.FILLED)
        cv2.line(image, (median, middle), (end, middle), _INK, 2)
        cv2.line(image, (end, middle - 5), (end, middle + 5), _INK, 2)
        draw_text(image, f"{p50:.1f}, p99 {p99:.1f} ms", (end + 12, middle + 5), 11, _INK)
    return image


def _times(report: Mapping[str, Any]) -> tuple[float, float]:
    """Return the median and the 99th percentile of a report's frames, ms."""
    total = report["stages"].get("total") or next(iter(report["stages"].values()))
    return float(total["p50"]), float(total["p99"])


def as_csv(rows: Sequence[Row]) -> str:
    """Return the table as CSV."""
    out = io.StringIO()
    csv.writer(out).writerows([COLUMNS, *(row.cells() for row in rows)])
    return out.getvalue()
