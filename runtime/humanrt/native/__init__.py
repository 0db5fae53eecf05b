"""The compiled library of the package, called through ctypes: built by hatch_build.py from the sources in ``_native``.

It contains what numpy and OpenCV do too slowly for every frame; each caller has a portable fallback and reports which
of the two it uses (`humanrt doctor` shows it). A library that is there and cannot be used is warned of, once.
"""

from __future__ import annotations

import ctypes
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import BackendError
from humanrt.native import processor

__all__ = [
    "LIBRARY", "VERSION", "RefusedLibraryWarning", "address", "amx_problem", "int16_problem", "library",
    "operators_problem", "problem",
]  # fmt: skip

SUFFIX = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
LIBRARY = Path(__file__).parents[1] / "_native" / f"humanrt{SUFFIX}"
VERSION = 15
"""Version of all signatures and structs, as in _native/export.h; a library of another version is refused."""

_pointer, _integer, _real, _bytes = ctypes.c_void_p, ctypes.c_int32, ctypes.c_double, ctypes.c_ssize_t

# name: (result, arguments). Pointers are addresses: making a ctypes pointer takes longer than some of these calls.
_SIGNATURES = {
    "humanrt_crop": (
        _integer,
        [_pointer, _integer, _integer, _bytes, _bytes, _bytes, *[_real] * 6, _integer, _pointer, _integer],
    ),
    "humanrt_letterbox": (
        _integer,
        [
            *(_pointer, _integer, _integer, _bytes),
            *(_pointer, _integer, _integer) * 2,
            *(_integer, _pointer, _pointer, *[_integer] * 5),
        ],
    ),
    "humanrt_place": (
        _integer,
        [_pointer, _pointer, _integer, *[_real] * 8, _pointer, _pointer, _integer, _pointer, _pointer, _pointer],
    ),
    "humanrt_measure_bones": (None, [_pointer, _pointer, *[_real] * 3, _pointer]),
    "humanrt_hold_bones": (None, [*[_pointer] * 4, *[_real] * 3, *[_pointer] * 3]),
    "humanrt_one_euro": (None, [_pointer, _integer, _integer, *[_real] * 5, *[_pointer] * 3]),
    "humanrt_targets": (None, [_pointer, _pointer, _integer, _integer]),
    "humanrt_evaluate": (_real, [_pointer] * 6),
    "humanrt_amx": (_integer, []),
    "humanrt_int16": (_integer, []),
    "humanrt_fit": (_integer, [_pointer]),
    "humanrt_fit_model": (_real, [_pointer] * 3),
    "humanrt_fit_spread": (_integer, [_pointer] * 2),
    "humanrt_fit_variables": (None, [_integer, *[_pointer] * 2, _integer, *[_pointer] * 10]),
    "humanrt_solve": (_integer, [_pointer, _pointer, _integer, _integer, _real]),
}


class RefusedLibraryWarning(RuntimeWarning):
    """The compiled library is there and cannot be used, so numpy and OpenCV do its work."""


def library() -> ctypes.CDLL:
    """Load the library and type its functions. BackendError says why it is not available."""
    loaded = _load(LIBRARY)
    if isinstance(loaded, str):
        raise BackendError(loaded)
    return loaded


@cache
def _load(path: Path) -> ctypes.CDLL | str:
    """Return the library, or why there is none: a failure is remembered, too."""
    if not path.is_file():
        return (
            f"{path} is missing: this installation was built without its compiled library; "
            "reinstall humanrt (in a checkout: python hatch_build.py)"
        )
    try:
        loaded = ctypes.CDLL(str(path))
        version = loaded.humanrt_version()
        if version != VERSION:
            return f"{path} is of version {version}, not {VERSION}; rebuild: python hatch_build.py"
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        return f"{path} cannot be loaded ({error}); reinstall humanrt"
    return loaded


def address(array: NDArray[Any], dtype: type[np.generic]) -> int:
    """Return the address of a C-contiguous array of ``dtype``.

    The caller keeps the array alive, and calls this once: it takes longer than most of the library's functions.
    """
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise TypeError(f"the compiled library takes contiguous {np.dtype(dtype)}, not {array.dtype} {array.strides}")
    return array.ctypes.data


def amx_problem() -> str | None:
    """Return why the operators of `_native/amx.c` cannot run here, in one line; None if they can."""
    if reason := problem():
        return reason
    if processor.hidden() & {"amx_tile", "amx_bf16", "avx512_bf16"}:
        return f"{processor.HIDE} hides it"
    return {
        0: None,
        1: "they are for Linux on x86-64",
        2: "this processor has no AMX for bfloat16 (Intel Xeon from Sapphire Rapids on has)",
        3: "Linux refuses AMX to this process (needs 5.16 or newer)",
    }[library().humanrt_amx()]


def int16_problem() -> str | None:
    """Return why the operators of `_native/int16.c` cannot run here, in one line; None if they can."""
    if reason := problem():
        return reason
    if processor.hidden() & {"avx2", "fma"}:
        return f"{processor.HIDE} hides it"
    return None if library().humanrt_int16() else "this processor has no AVX2"


def operators_problem(kind: str) -> str | None:
    """Return why operators of a kind, ``amx`` or ``int16``, cannot run here, in one line; None if they can."""
    return int16_problem() if kind == "int16" else amx_problem()


def problem() -> str | None:
    """Return why the compiled library cannot be used here, in one line; None if it can.

    Warns, once a process, with `RefusedLibraryWarning` if the library is there and refused: whoever asks this has other
    code for the same work. A library that is absent, as in a pure Python installation, is no reason to warn.
    """
    try:
        library()
    except BackendError as error:
        if LIBRARY.is_file():
            _warn(str(error))
        return str(error)
    return None


@cache
def _warn(reason: str) -> None:
    warnings.warn(
        f"the compiled library is refused, and numpy and OpenCV do its work, slower: {reason}",
        RefusedLibraryWarning,
        stacklevel=3,  # who asked for the problem
    )
