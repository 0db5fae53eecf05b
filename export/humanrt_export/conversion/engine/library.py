"""The two libraries that build plans, behind one interface.

``tensorrt`` (10 and 11) builds on the GPU that will run the plan. ``tensorrt-rtx`` builds without one, for
several compute capabilities in one plan, and finishes compilation for the GPU at hand when the plan is opened.
"""

from __future__ import annotations

import ctypes
import importlib
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from humanrt.errors import BackendError, MissingDependencyError, choices
from humanrt_export.conversion.engine.report import LOG_HEADING

__all__ = ["Library", "Log", "gpu_sm", "load"]

_MODULES = {"tensorrt": ("tensorrt",), "tensorrt-rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings")}
_INSTALL = {
    "tensorrt": "pip install 'humanrt[tensorrt]' (the libraries come from NVIDIA's own index)",
    "tensorrt-rtx": "pip install 'humanrt[engine]'",
}
_OLDEST = (10, 0)
"""The first release with strongly typed networks for all operators and tensors addressed by name."""


@dataclass(frozen=True)
class Library:
    """An imported library: its module, name and version."""

    trt: Any
    name: str
    version: str

    @property
    def rtx(self) -> bool:
        return self.name == "tensorrt-rtx"

    @property
    def release(self) -> tuple[int, ...]:
        """Return the version as (major, minor)."""
        return tuple(int(part) for part in re.findall(r"\d+", self.version)[:2])

    @property
    def cuda(self) -> str:
        """Return the major version of CUDA in the name of its distribution; "" if there is none."""
        from importlib import metadata

        names = {
            re.sub("[-_.]+", "-", name).lower() for name in metadata.packages_distributions().get(_top(self.trt), ())
        }
        found = re.search(r"cu(\d+)", " ".join(sorted(names)))
        return found[1] if found else ""

    @property
    def targets(self) -> tuple[int, ...]:
        """Return the compute capabilities that TensorRT for RTX can build for; () for tensorrt: the GPU's own."""
        if not self.rtx:
            return ()
        found = (re.fullmatch(r"SM(\d+)", name) for name in self.trt.ComputeCapability.__members__)
        return tuple(sorted(int(match[1]) for match in found if match))


def _top(module: Any) -> str:
    name: str = module.__name__.split(".")[0]
    return name


def load(name: str) -> Library:
    """Import the library ``tensorrt`` or ``tensorrt-rtx``.

    Raises:
        BackendError: the name is unknown, or the library does not load or is too old.
        MissingDependencyError: it is not, or only partly, installed; the message says what to install.
    """
    if name not in _MODULES:
        raise BackendError(f"no library `{name}` builds engines; choose one of: {choices(_MODULES)}")
    for module in _MODULES[name]:
        try:
            trt = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name == module:
                continue
            raise MissingDependencyError(f"{name} is only partly installed ({error}); run: {_INSTALL[name]}") from error
        except (ImportError, OSError, RuntimeError) as error:  # a shared library that does not load
            first = str(error).strip().splitlines()[0]
            raise BackendError(f"{name} cannot be loaded ({first}); run: {_INSTALL[name]}") from error
        if not hasattr(trt, "Builder"):  # the stub that only downloads, or a namespace left by an uninstallation
            raise MissingDependencyError(f"{name} is only partly installed (it has no Builder); run: {_INSTALL[name]}")
        version = str(trt.__version__)
        library = Library(trt, name, version)
        if name == "tensorrt" and library.release < _OLDEST:
            raise BackendError(f"tensorrt {version} is too old; pip install 'tensorrt>=10.5'")
        return library
    raise MissingDependencyError(f"{name} is not installed; run: {_INSTALL[name]}")


def gpu_sm(device: int = 0) -> int | None:
    """Return the compute capability of a GPU, such as 86; None without GPU or driver. Creates no CUDA context."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    major, minor, handle = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(handle), device):
        return None
    # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
    for attribute, value in ((75, major), (76, minor)):
        if driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, handle):
            return None
    return 10 * major.value + minor.value


class Log:
    """Collect a library's messages during a build.

    Attributes:
        logger: the object to pass to the library.
        errors: its errors.
        warnings: its warnings.
        layers: its lists of the finished engine's layers.
    """

    def __init__(self, trt: Any) -> None:
        errors: list[str] = []
        warnings: list[str] = []
        layers: list[str] = []
        severity = trt.ILogger.Severity

        class _Logger(trt.ILogger):
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, level: Any, message: str) -> None:
                if level in (severity.ERROR, severity.INTERNAL_ERROR):
                    errors.append(message)
                elif level == severity.WARNING:
                    warnings.append(message)
                elif message.startswith(LOG_HEADING):
                    layers.append(message)

        self.errors, self.warnings, self.layers, self.logger = errors, warnings, layers, _Logger()

    def first_error(self, others: Sequence[str] = ()) -> str:
        """Return the library's first error as one line, without the location in its source."""
        lines = [*others, *self.errors] or ["it gave no reason"]
        return re.sub(r" In \w+ at /_src\S*", "", " ".join(lines[0].split()))[:400]
