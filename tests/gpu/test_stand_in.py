"""The GPU's tests with the real pycuda and nvcc, on a STAND-IN for the driver (libcuda.cpp) that computes on the CPU.

What it shows: pycuda takes every call as it is made, kernels compile through it, launches get the right arguments, CUDA
graphs are recorded and launched by the right calls. What it does not: anything that a GPU does.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cpu_kernels import compile_for_cpu
from humanrt.kernels import source_path
from humanrt.kernels.loader import KERNELS

HERE = Path(__file__).parent


def test_gpu_tests_on_a_stand_in(tmp_path: Path) -> None:
    spec = importlib.util.find_spec("pycuda")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("pycuda is not installed (pip install pycuda)")
    for tool in ("nvcc", "g++", "nm"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} on the PATH")
    source = (HERE / "libcuda.cpp").read_text()
    (driver,) = Path(spec.submodule_search_locations[0]).glob("_driver*.so")
    listed = subprocess.run(["nm", "-D", "--undefined-only", driver], capture_output=True, text=True, check=True).stdout
    wanted = {line.split()[-1] for line in listed.splitlines() if line.split()[-1].startswith("cu")}
    missing = "".join(f"int {name}() {{ return 801; }}\n" for name in sorted(wanted) if f" {name}(" not in source)
    (tmp_path / "rest.cpp").write_text(f'extern "C" {{\n{missing}}}\n')
    library = tmp_path / "libcuda.so.1"
    command = ["g++", "-O1", "-std=c++17", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", library]
    subprocess.run([*command, HERE / "libcuda.cpp", tmp_path / "rest.cpp", "-ldl"], check=True)
    for name in KERNELS:
        compile_for_cpu(source_path(name), name, tmp_path / f"{name}.so")
    environment = {
        **os.environ, "LD_PRELOAD": str(library), "HUMANRT_CPU_KERNELS": str(tmp_path),
        "HUMANRT_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    tests = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", str(HERE / "test_gpu.py")]
    done = subprocess.run(tests, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    # networks need a GPU
    assert len([line for line in skipped if "backend `" not in line and "engine is" not in line]) == 0, done.stdout
    assert list((tmp_path / "cache" / "kernels").glob("*-sm90-*.cubin"))
