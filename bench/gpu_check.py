"""Everything that needs a GPU, in one command and under 8 minutes: what `bench/gpu_check.sh` runs; see there."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 470  # s, of all steps together
KERNELS = ("crop", "letterbox", "one_euro", "pick", "retarget")
PASSED, FAILED, SKIPPED = "passed", "FAILED", "skipped"

Reason = Callable[[], str | None]


@dataclass(frozen=True)
class Step:
    """A command.

    Attributes:
        name: of its log too.
        seconds: at most; less where the 8 minutes end before.
        command: what is run, in the checkout.
        lacking: why it cannot run here; None when it can.
        report: a JSON file that it writes, relative to the folder of results.
    """

    name: str
    seconds: int
    command: list[str]
    lacking: Reason = lambda: None
    report: str | None = None


@dataclass
class Outcome:
    """What became of a step; ``line``: why it was skipped, else the last of its log."""

    name: str
    state: str
    seconds: float = 0.0
    line: str = ""
    log: str = ""
    report: object = field(default=None)


def tool(name: str) -> Reason:
    return lambda: None if shutil.which(name) else f"no {name} on the PATH"


def module(name: str, environment: dict[str, str]) -> Reason:
    """Whether Python can import a module, in a process of its own."""

    def lacking() -> str | None:
        command = [sys.executable, "-c", f"import {name}"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        return None if done.returncode == 0 else (done.stderr.strip().splitlines() or [f"no {name}"])[-1]

    return lacking


def backend(name: str, environment: dict[str, str]) -> Reason:
    """Why a backend of humanrt cannot run here."""

    def lacking() -> str | None:
        code = f"from humanrt.backends import open_backend; open_backend({name!r}).close()"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        lines = done.stderr.strip().splitlines() or [f"backend {name} does not open"]
        return None if done.returncode == 0 else lines[-1].partition(": ")[2] or lines[-1]

    return lacking


def engines(bundle: str) -> Reason:
    """Whether engines are listed in a bundle of the checkout, or in the user's cache."""

    def lacking() -> str | None:
        lists = [ROOT / bundle / "manifest.json", Path.home() / ".cache" / "humanrt" / "engines" / "engines.json"]
        if any(file.is_file() and json.loads(file.read_text()).get("engines") for file in lists):
            return None
        return f"no engine of {bundle} is built (humanrt-export engine {bundle} --for tensorrt --precision fp16)"

    return lacking


def first(*reasons: Reason) -> Reason:
    """The first reason that holds."""
    return lambda: next((reason for lacking in reasons if (reason := lacking())), None)


def steps(out: Path, carry: Path, environment: dict[str, str]) -> list[Step]:
    python = sys.executable
    gpu = tool("nvidia-smi")
    kernels = first(gpu, module("pycuda.driver", environment))
    tests = [python, "-m", "pytest", "-rs", "-o", "addopts=--strict-markers --import-mode=importlib"]
    query = "name,driver_version,compute_cap,clocks.sm,clocks.max.sm,memory.total"
    site = out / "site"

    def nothing_to_unpack() -> str | None:
        if not carry.is_dir():
            return f"nothing is carried: no folder {carry} (python bench/gpu_carry.py makes it)"
        return None

    compile_all = "set -e; sm=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -n 1 | tr -d .); "
    compile_all += "; ".join(
        f"nvcc -cubin -arch=sm_$sm -O3 --Werror all-warnings -o {out}/{name}.cubin runtime/humanrt/kernels/{name}.cu"
        for name in KERNELS
    )
    bench = [python, "-m", "humanrt", "bench", "hands", "--repeat", "1"]
    return [
        Step("machine", 15, ["sh", "-c", f"nvidia-smi --query-gpu={query} --format=csv && nvcc --version"], gpu),
        Step("carry", 180, [python, "bench/gpu_check.py", "--unpack", str(carry), str(site)], nothing_to_unpack),
        Step("doctor", 40, [python, "-m", "humanrt", "doctor"]),
        Step("kernels", 60, ["sh", "-c", compile_all], first(gpu, tool("nvcc"))),
        Step("tests", 120, [*tests, "-m", "gpu", "tests/gpu", "tests/backends/test_backends.py"], kernels),
        Step("people", 220, [python, "bench/people_gpu.py", "--quantize", "--json", str(out / "people.json")],
             first(gpu, module("torch", environment), module("onnxscript", environment)), "people.json"),
        *(Step(f"hands-{name}", 30, [*bench, "--backend", name, "--json", str(out / f"hands-{name}.json")],
               first(gpu, backend(name, environment), *([engines("engines/hands")] if name == "tensorrt" else [])),
               f"hands-{name}.json") for name in ("cuda", "tensorrt")),
        Step("hands-cpu", 60, [*bench, "--backend", "cpu", "--json", str(out / "hands-cpu.json")],
             report="hands-cpu.json"),
        *(Step(f"verdict-{name}", 60, [python, "-m", "humanrt.verdict.engines", f"engines/{name}"],
               first(gpu, backend("tensorrt", environment), engines(f"engines/{name}")))
          for name in ("hands", "posebert-hand")),
        *(Step(f"sanitizer-{kind}", 60,
               ["compute-sanitizer", "--tool", kind, "--error-exitcode", "9", *tests, "tests/gpu/test_gpu.py", "-k",
                "letterbox or crop or (smoothing and allegro_right)"],
               first(kernels, tool("compute-sanitizer"))) for kind in ("memcheck", "racecheck")),
    ]  # fmt: skip


def run(step: Step, out: Path, environment: dict[str, str], seconds: float) -> Outcome:
    """Run a step, its output into NAME.log."""
    if seconds < 5:
        return Outcome(step.name, SKIPPED, line=f"the {LIMIT} s were over")
    if reason := step.lacking():
        return Outcome(step.name, SKIPPED, line=reason)
    begin, log = time.monotonic(), out / f"{step.name}.log"
    with log.open("w") as stream:
        try:
            status: int | None = subprocess.run(
                step.command, stdout=stream, stderr=subprocess.STDOUT, env=environment, cwd=ROOT, check=False,
                timeout=min(step.seconds, seconds),
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            status = None
    took = time.monotonic() - begin
    text = log.read_text(errors="replace")
    line = (text.strip().splitlines() or [""])[-1]
    state = PASSED if status == 0 else FAILED
    if status is None:
        line = f"stopped after {took:.0f} s"
    elif status == 0 and "pytest" in step.command and " passed" not in line:
        state, line = SKIPPED, f"no test ran: {line}"
    report = out / step.report if step.report else None
    data = json.loads(report.read_text()) if report is not None and report.is_file() else None
    return Outcome(step.name, state, took, line, text[-6000:], data)


def unpack(carry: Path, site: Path) -> int:
    """What was carried, ready to be imported from ``site``; pycuda is compiled."""
    site.mkdir(parents=True, exist_ok=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-index",
        "--no-deps",
        "--no-compile",
        "--target",
        str(site),
    ]
    if wheels := sorted(carry.glob("*.whl")):
        subprocess.run([*pip, *map(str, wheels)], check=True)
    for archive in carry.glob("onnxruntime_gpu.tar.xz"):
        shutil.unpack_archive(archive, site)
    library = carry / "humanrt.so"
    native = ROOT / "runtime" / "humanrt" / "_native" / "humanrt.so"
    if library.is_file() and not native.is_file():
        shutil.copy(library, native)
    for source in carry.glob("pycuda-*.tar.gz"):
        shutil.unpack_archive(source, site / "src")
        (folder,) = (site / "src").glob("pycuda-*")
        nvcc = shutil.which("nvcc")
        cuda = Path(os.environ.get("CUDA_ROOT") or (Path(nvcc).resolve().parents[1] if nvcc else "/usr/local/cuda"))
        drivers = [str(path) for path in (cuda / "lib64" / "stubs", Path("/usr/local/nvidia/lib64"))]
        (folder / "siteconf.py").write_text(
            f"CUDA_ROOT = {str(cuda)!r}\nCUDADRV_LIB_DIR = {drivers!r}\nCUDART_LIB_DIR = [{str(cuda / 'lib64')!r}]\n"
            "BOOST_INC_DIR = []\nBOOST_LIB_DIR = []\nBOOST_COMPILER = 'gcc43'\nUSE_SHIPPED_BOOST = True\n"
            "BOOST_PYTHON_LIBNAME = []\nBOOST_THREAD_LIBNAME = []\nCUDA_TRACE = False\nCUDA_ENABLE_GL = False\n"
            "CUDA_ENABLE_CURAND = False\nCUDADRV_LIBNAME = ['cuda']\nCUDART_LIBNAME = ['cudart']\n"
            "CURAND_LIB_DIR = []\nCURAND_LIBNAME = []\nCXXFLAGS = ['-O0']\nLDFLAGS = []\n"
        )
        subprocess.run([*pip, "--no-build-isolation", str(folder)], check=True)
    print(f"unpacked into {site}: {', '.join(sorted(path.name for path in site.iterdir()))}")
    return 0


def table(outcomes: list[Outcome]) -> str:
    """Markdown: the steps, then what was measured."""
    rows = ["| step | | s | |", "| --- | --- | --- | --- |"]
    rows += [f"| {o.name} | {o.state} | {o.seconds:.0f} | {o.line.replace('|', '/')[:160]} |" for o in outcomes]
    for outcome in outcomes:
        report = outcome.report
        if not isinstance(report, dict):
            continue
        stages = report.get("end_to_end_ms") or report.get("stages") or {}
        rows += ["", f"{outcome.name}, ms:", "", "| | p50 | p99 |", "| --- | --- | --- |"]
        rows += [f"| {name} | {values['p50']:.3f} | {values['p99']:.3f} |" for name, values in stages.items()]
        for name, part in (report.get("by_stage") or {}).items():
            inner = ", ".join(f"{stage} {v['p50']:.3f}/{v['p99']:.3f}" for stage, v in part["stages"].items())
            rows.append(f"\n{name}, p50/p99 by stage: {inner}")
        rows += [f"\n{name}: not run: {reason}" for name, reason in (report.get("not_run") or {}).items()]
    return "\n".join(rows) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", nargs="?", type=Path, default=Path("gpu_check"), help="folder of results (gpu_check)")
    parser.add_argument("--carry", type=Path, default=Path(os.environ.get("CARRY", ".carry")), help="see gpu_carry.py")
    parser.add_argument("--only", nargs="+", default=[], metavar="STEP", help="only these steps")
    parser.add_argument(
        "--unpack", nargs=2, type=Path, metavar=("CARRY", "SITE"), help="only make what was carried ready"
    )
    arguments = parser.parse_args()
    if arguments.unpack:
        return unpack(*arguments.unpack)
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    paths = [str(out / "site"), str(ROOT / "runtime"), str(ROOT / "export"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "HUMANRT_CACHE": str(out / "cache"),
    }
    begin, outcomes = time.monotonic(), []
    for step in steps(out, arguments.carry.resolve(), environment):
        if arguments.only and step.name not in arguments.only:
            continue
        outcome = run(step, out, environment, LIMIT - (time.monotonic() - begin))
        outcomes.append(outcome)
        print(f"{outcome.name:20} {outcome.state:8} {outcome.seconds:4.0f} s  {outcome.line[:140]}", flush=True)
        result = {
            "date": time.strftime("%Y-%m-%d"), "python": platform.python_version(), "platform": platform.platform(),
            "seconds": round(time.monotonic() - begin, 1), "steps": [asdict(o) for o in outcomes],
        }  # fmt: skip
        (out / "gpu_check.json").write_text(json.dumps(result, indent=1) + "\n")
        (out / "gpu_check.md").write_text(table(outcomes))
    states = {outcome.state for outcome in outcomes}
    counts = ", ".join(f"{sum(o.state == state for o in outcomes)} {state}" for state in sorted(states))
    print(f"{out / 'gpu_check.json'} and .md: {counts}")
    return 1 if FAILED in states else 2 if SKIPPED in states else 0


if __name__ == "__main__":
    sys.exit(main())
