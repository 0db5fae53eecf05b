"""Check the pack that contains this file on this machine: one table, and a meaningful exit status.

It compares the CPU's FP32 results with those of the packing machine, builds TensorRT engines if there is a
GPU, gives each its verdict, and times everything.

Exit status: 0 all passed; 1 something failed; 2 the pack is damaged or not installed; 3 everything that ran passed, but
something could not run, for the reason given in its line (not counted with --cpu).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

try:
    import humanrt
    from humanrt import native
    from humanrt.backends import Array, Backend, open_backend
    from humanrt.backends.engines import PRECISIONS
    from humanrt.backends.options import BackendOptions
    from humanrt.bundle import Bundle, load_bundle
    from humanrt.errors import BundleError, HumanrtError
    from humanrt.files import file_sha256
    from humanrt.inference.variants import EXACT, at, base_of, bases, variants
    from humanrt.stats import Percentiles, machine
    from humanrt.verdict import case_of, judge
    from humanrt.verdict.engines import default_source, give, read_feeds
except ModuleNotFoundError as missing:
    sys.exit(f"selfcheck: {missing}; run first: pip install -r requirements.txt (README.txt)")

__all__ = ["Row", "main", "rows_of"]

State = Literal["passed", "FAILED", "not run"]
Feeds = Mapping[str, Sequence[Mapping[str, Array]]]

WARM, FEWEST, MOST = 3, 20, 500
CLIP_FRAMES = 150


@dataclass(frozen=True)
class Row:
    """One line of the table: item, device, status, error or reason, p50 and p99 in ms."""

    what: str
    where: str
    state: State
    detail: str
    p50: float | None = None
    p99: float | None = None


def main(arguments: Sequence[str] | None = None, folder: Path | None = None) -> int:
    """Run the checks, print the table and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="selfcheck", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cpu", action="store_true", help="CPU only")
    parser.add_argument("--seconds", type=float, default=2.0, help="time spent on each line (2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table")
    options = parser.parse_args(arguments)
    folder = folder or Path(__file__).resolve().parent
    try:
        about = check_pack(folder)
        bundle = load_bundle(folder / "bundle")
        print(
            f"{bundle.name}, packed by humanrt {about['humanrt']} on {about['made_on']}; compared on {about['feeds']}"
        )
        here = machine()
        print(f"{here['cpu'] or about['platform']}, {here['cores']} cores, Python {here['versions']['python']}\n")
        rows = []
        for row in rows_of(bundle, folder, options.seconds, gpu=not options.cpu):
            print(line_of(row), flush=True)
            rows.append(row)
        if options.json:
            report = {"pack": about, "machine": here, "rows": [asdict(row) for row in rows]}
            options.json.write_text(json.dumps(report, indent=1) + "\n")
    except (HumanrtError, OSError) as error:
        sys.stderr.write(f"selfcheck: {error}\n")
        return 2
    failed, missing = (sum(row.state == state for row in rows) for state in ("FAILED", "not run"))
    print(f"\n{len(rows) - failed - missing} passed, {failed} failed, {missing} not run")
    return 1 if failed else 3 if missing else 0


def check_pack(folder: Path) -> dict[str, Any]:
    """Return ``pack.json`` after checking that every file is as packed and humanrt has the packed version.

    Raises:
        BundleError: a file or the version differs; the message names it.
    """
    again = "unpack it again"
    try:
        listed = [line.split("  ", 1) for line in (folder / "SHA256SUMS").read_text().splitlines()]
        for digest, name in listed:
            if not (folder / name).is_file() or file_sha256(folder / name) != digest:
                raise BundleError(f"{folder / name} is missing, or its sha256 is not the one in SHA256SUMS; {again}")
        about: dict[str, Any] = json.loads((folder / "pack.json").read_text())
    except (OSError, ValueError) as error:
        raise BundleError(f"the pack in {folder} is incomplete ({error}); {again}") from error
    if about["humanrt"] != humanrt.__version__:
        raise BundleError(
            f"humanrt {humanrt.__version__} is installed, but the pack is for {about['humanrt']}; run: "
            "pip install -r requirements.txt"
        )
    return about


def rows_of(bundle: Bundle, folder: Path, seconds: float, *, gpu: bool) -> Iterator[Row]:
    """Yield the table line by line."""
    feeds, expected = read_feeds(folder / "feeds.npz"), read_feeds(folder / "expected.npz")
    if reason := native.problem():
        yield Row("compiled library", "cpu", "not run", reason)
    with open_backend("cpu") as cpu:
        yield from graph_rows(bundle, cpu, feeds, expected, seconds)
        yield from loop_rows(bundle, cpu)
    if gpu:
        yield from cuda_rows(bundle, feeds, expected, seconds)
        yield from tensorrt_rows(bundle, folder / "engines", feeds, seconds)


def graph_rows(bundle: Bundle, backend: Backend, feeds: Feeds, expected: Feeds, seconds: float) -> Iterator[Row]:
    """Compare every FP32 graph and its variants for this backend with the FP32 results of the packing machine."""
    named = [entry.precision for entry in variants(bundle) if entry.backend == backend.name]
    for precision in dict.fromkeys([EXACT, *named]):
        try:
            chosen = at(bundle, backend, precision)
        except HumanrtError as error:
            yield Row(f"all graphs, {precision}", backend.name, "not run", str(error))
            continue
        for name in bases(bundle):
            if name not in expected or (precision != EXACT and name not in chosen.chosen):
                continue
            try:
                with backend.open(chosen.graph(name)) as graph:
                    verdict = judge(case_of(bundle, name, feeds[name], graph.run, expected[name]), precision)
                    yield judged(f"{name}, {precision}", backend.name, verdict, timed(graph.run, feeds[name], seconds))
            except HumanrtError as error:
                yield Row(f"{name}, {precision}", backend.name, "FAILED", str(error))


def cuda_rows(bundle: Bundle, feeds: Feeds, expected: Feeds, seconds: float) -> Iterator[Row]:
    """Run the same comparison on ONNX Runtime's CUDA provider."""
    from humanrt.backends.onnxruntime_cuda import why_not

    if reason := why_not():
        yield Row("all graphs", "cuda", "not run", reason)
        return
    with open_backend("cuda") as cuda:
        yield from graph_rows(bundle, cuda, feeds, expected, seconds)


def tensorrt_rows(bundle: Bundle, engines: Path, feeds: Feeds, seconds: float) -> Iterator[Row]:
    """Build engines of every precision and compare each with ONNX Runtime on this CPU."""
    from humanrt.backends.tensorrt import TensorRt, installed_libraries, problem

    if reason := problem():
        yield Row("engines", "tensorrt", "not run", reason)
        return
    int8 = any(entry.precision == "int8" and entry.backend == "tensorrt" for entry in variants(bundle))
    try:
        from humanrt_export.conversion.engine.engines import build_engines
        from humanrt_export.conversion.engine.library import load
    except ModuleNotFoundError as error:
        yield Row("engines", "tensorrt", "not run", f"{error}; run: pip install -r requirements-gpu.txt")
        return
    for library in installed_libraries():
        for precision in (p for p in PRECISIONS if p != "int8" or int8):
            try:
                build_engines(bundle, precision, load(library), out=engines, report=print)
            except HumanrtError as error:
                yield Row(f"engines, {precision}", library, "FAILED", str(error))
    try:
        verdicts = give(bundle, feeds, BackendOptions(engines=engines))
    except HumanrtError as error:
        yield Row("verdicts", "tensorrt", "FAILED", str(error))
        return
    with TensorRt(BackendOptions(engines=engines)) as backend:
        for name in bundle.graphs:
            spec = bundle.graph(name)
            for engine in backend.engines(spec):
                if engine.name not in verdicts:
                    continue
                base = base_of(bundle, name)
                with backend.open_engine(spec, engine) as graph:
                    spent = timed(graph.run, feeds[base], seconds) if base in feeds else None
                yield judged(f"{name}, {engine.recipe.precision}", engine.recipe.library, verdicts[engine.name], spent)
    with TensorRt(BackendOptions(engines=engines)) as backend:
        yield from loop_rows(bundle, backend)


def loop_rows(bundle: Bundle, backend: Backend) -> Iterator[Row]:
    """Run hands end to end, from image to joints of a robot hand, on the bundled clip."""
    clip = default_source(bundle)
    if bundle.task != "hands" or clip is None:
        return
    from humanrt.hands.pipeline import HandPipeline
    from humanrt.hands.smoothers import open_smoother
    from humanrt.hands.tracker import HandTracker
    from humanrt.sources.opening import open_source

    what = "image to 16 joints"
    try:
        tracker = HandTracker(bundle, backend)
        pipeline = HandPipeline(tracker, ["allegro_right"], open_smoother("oneeuro", tracker))
        with open_source(clip) as source:
            results = [pipeline(frame) for _, frame in zip(range(CLIP_FRAMES), source, strict=False)]
    except HumanrtError as error:
        yield Row(what, backend.name, "FAILED", str(error))
        return
    seen = sum(len(result.ids) > 0 for result in results)
    spent = Percentiles.of(result.ms["total"] for result in results[WARM:])
    state: State = "passed" if seen > 0.9 * len(results) else "FAILED"
    yield Row(what, backend.name, state, f"a hand in {seen} of {len(results)} frames", spent.p50, spent.p99)


def judged(what: str, where: str, verdict: Mapping[str, Any], spent: Percentiles | None) -> Row:
    rows = verdict["distances"].items()
    far = ", ".join(f"{name} {row['mean']:.2g} {row['unit']}".strip() for name, row in rows if row["mean"] is not None)
    state: State = "passed" if verdict["passed"] else "FAILED"
    detail = verdict["reason"] or far
    return Row(what, where, state, detail, *((spent.p50, spent.p99) if spent else (None, None)))


def timed(
    run: Callable[[Mapping[str, Array]], object], feeds: Sequence[Mapping[str, Array]], seconds: float
) -> Percentiles:
    """Measure milliseconds from host arrays to host arrays."""
    for _ in range(WARM):
        run(feeds[0])
    laps: list[float] = []
    end = time.perf_counter() + seconds
    while len(laps) < FEWEST or (time.perf_counter() < end and len(laps) < MOST):
        start = time.perf_counter()
        run(feeds[len(laps) % len(feeds)])
        laps.append(1e3 * (time.perf_counter() - start))
    return Percentiles.of(laps)


def line_of(row: Row) -> str:
    spent = f"{row.p50:9.2f} {row.p99:9.2f} ms" if row.p50 is not None and row.p99 is not None else " " * 22
    return f"{row.state:<8} {row.where:<13} {row.what:<28} {spent}  {row.detail}"


if __name__ == "__main__":
    sys.exit(main())
