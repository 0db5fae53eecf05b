"""The CUDA kernels' own sources compiled for the CPU (kernels/on_cpu.cpp), for the tests."""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from humanrt.kernels import source_path


def compiler() -> list[str] | None:
    """A C++ compiler for this machine's CPU. As C++ without its library, which zig would compile first, for minutes."""
    if found := shutil.which("g++") or shutil.which("clang++"):
        return [found]
    if importlib.util.find_spec("ziglang") is None:
        return None
    return [sys.executable, "-m", "ziglang", "cc", "-fno-exceptions", "-fno-rtti", "-fno-sanitize=all"]


def compile_for_cpu(source: Path, name: str, library: Path) -> Any:
    """The function ``run`` of a kernel's source, compiled for the CPU."""
    command = compiler()
    if command is None or not sys.platform.startswith("linux"):
        pytest.skip("needs Linux (ucontext) and g++, clang++ or ziglang")
    harness = Path(__file__).with_name("kernels") / "on_cpu.cpp"
    own = f"-I{source_path(name).parent}"  # of kernels that a test has changed and put elsewhere
    flags = [own, "-O1", "-std=c++17", "-shared", "-fPIC", "-o", str(library), str(harness), "-lm"]
    define = [f'-DSOURCE="{source}"', f"-DKERNEL_{name}"]
    done = subprocess.run([*command, *define, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(library)).run
