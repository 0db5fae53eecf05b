"""Benchmark figures: percentiles, the machine that they were measured on, and comparison with an older run."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from humanrt import __version__
from humanrt.errors import OutputError, SourceError

__all__ = ["Percentiles", "machine", "peak_memory", "read_report", "table", "write_report"]


@dataclass(frozen=True)
class Percentiles:
    """p50, p95, p99, max and mean of ``count`` values, in their own unit; jitter is p95 - p50."""

    p50: float
    p95: float
    p99: float
    max: float
    mean: float
    jitter: float
    count: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Percentiles:
        """Compute the percentiles of finite values. ValueError if there are none."""
        array = np.fromiter(values, np.float64)
        if array.size == 0:
            raise ValueError("no values to take percentiles of")
        p50, p95, p99 = np.percentile(array, (50, 95, 99)).tolist()
        return cls(p50, p95, p99, float(array.max()), float(array.mean()), p95 - p50, array.size)

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def machine() -> dict[str, Any]:
    """Return what a figure depends on: processor, cores, load, Python and library versions, time."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    packages = ("numpy", "onnxruntime", "onnxruntime-gpu", "opencv-python-headless", "opencv-python")
    versions = {"humanrt": __version__, "python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "platform": platform.platform(),
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "versions": versions,
    }


def peak_memory() -> int | None:
    """Return the peak memory of this process in bytes; None on Windows, which does not report it."""
    with contextlib.suppress(OSError):  # Linux: getrusage starts from the parent's peak at the fork
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def write_report(path: str | Path, report: Mapping[str, Any]) -> None:
    """Write a report as JSON, atomically. OutputError if it cannot be written."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written ({error.strerror or error}); choose another path") from error


def read_report(path: str | Path) -> dict[str, Any]:
    """Read a report written by `write_report`. SourceError if the file is not one."""
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not a benchmark report ({error}); make one with --json") from error
    if not isinstance(report, dict) or not isinstance(report.get("stages"), dict):
        raise SourceError(f"{path} is not a benchmark report (it has no `stages`); make one with --json")
    return report


def table(stages: Mapping[str, Percentiles], unit: str = "ms", before: Mapping[str, Any] | None = None) -> str:
    """Format percentiles as a table, one row per stage; with ``before`` (a report's ``stages``) also new / old p50."""
    digits = 3 if unit == "ms" else 2
    head = f"{unit:<14}" + "".join(f"{name:>10}" for name in ("p50", "p95", "p99", "max"))
    lines = [head + ("  vs before" if before else "")]
    for name, p in stages.items():
        row = f"{name:<14}" + "".join(f"{value:>10.{digits}f}" for value in (p.p50, p.p95, p.p99, p.max))
        old = (before or {}).get(name, {}).get("p50")
        lines.append(row + (f"{p.p50 / old:>10.2f}x" if old else ""))
    return "\n".join(lines)
