"""Compile kernels at run time, once per GPU and version of the source."""

from __future__ import annotations

import hashlib
import importlib
import re
import shutil
from pathlib import Path
from typing import Any

from humanrt.backends.cuda import CudaDevice, cuda_call
from humanrt.bundle import cache_folder
from humanrt.errors import BackendError, MissingDependencyError
from humanrt.files import write_atomically

__all__ = ["ARCHITECTURES", "KERNELS", "kernel_text", "load_kernel", "source_path"]

ARCHITECTURES = (75, 80, 86, 87, 89, 90, 100, 120)
"""Compute capabilities for which the tests compile every kernel."""

KERNELS = ("crop", "letterbox", "one_euro", "pick", "retarget")
OPTIONS = ("-O3", "--fmad=true")


def source_path(name: str) -> Path:
    """Return the path of a kernel's .cu file."""
    return Path(__file__).parent / f"{name}.cu"


def load_kernel(name: str, device: CudaDevice) -> Any:
    """Return the pycuda function ``humanrt_<name>``, compiled for the device and kept in the user's cache.

    Raises:
        MissingDependencyError: pycuda or nvcc is missing.
        BackendError: the kernel does not compile or load.
    """
    source = kernel_text(name)
    digest = hashlib.sha256(f"{source}{OPTIONS}".encode()).hexdigest()[:16]
    kept = cache_folder() / "kernels" / f"{name}-sm{device.sm}-{digest}.cubin"
    if kept.is_file():
        cubin = kept.read_bytes()
    else:
        cubin = _compile(name, source, device.sm)
        write_atomically(kept, cubin)
    with cuda_call(f"load kernel {name}"):
        module = device.drv.module_from_buffer(cubin)
        function = module.get_function(f"humanrt_{name}")
    function.humanrt_module = module  # the function does not keep its module alive
    return function


def kernel_text(name: str) -> str:
    """Return a kernel's source with our headers (``#include "..."``) inlined, to be compiled and cached by its hash."""
    return _whole(source_path(name))


def _whole(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return re.sub(r'^#include "([^"]+)"$', lambda match: _whole(path.parent / match[1]), text, flags=re.MULTILINE)


def _compile(name: str, source: str, sm: int) -> bytes:
    compiler = importlib.import_module("pycuda.compiler")
    if shutil.which("nvcc") is None:
        raise MissingDependencyError(
            f"nvcc is not on the PATH: kernel {name} is compiled at its first use; install the CUDA toolkit, or run: "
            "pip install nvidia-cuda-nvcc"
        )
    try:
        cubin: bytes = compiler.compile(source, options=list(OPTIONS), arch=f"sm_{sm}", no_extern_c=True)
    except Exception as error:  # pytools raises ExecError, pycuda CompileError
        text = str(getattr(error, "stderr", "") or error)
        line = next(
            (line for line in text.splitlines() if "error" in line.lower()), text.splitlines()[0] if text else ""
        )
        raise BackendError(f"nvcc cannot compile {source_path(name)} for sm_{sm}: {line.strip()}") from error
    return cubin
