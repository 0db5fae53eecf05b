"""Read untrusted pickles without executing them.

Files of bodies and of data sets are pickles, or `.npz` with pickled members. A pickle is a program; this one may only
build numpy arrays, scipy sparse matrices and chumpy arrays (neither library is needed: both become numpy arrays).
Anything else is refused before it is looked up.
"""

from __future__ import annotations

import codecs
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError

__all__ = ["NpzArrays", "UnsafePickleError", "as_array", "load_pickle"]


class UnsafePickleError(HumanrtError):
    """A file requests code that its format does not need."""


class _Foreign:
    """Placeholder for an object of a library that is not imported; it only keeps the state."""

    state: Mapping[str, Any]

    def __init__(self, *_: object) -> None:
        self.state = {}

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, Mapping) else {}


class _Sparse(_Foreign):
    """A scipy sparse matrix, compressed by `axis` (0: csr, 1: csc)."""

    axis = 0

    def to_array(self) -> NDArray[Any]:
        data, indices, pointers = (np.asarray(self.state[key]) for key in ("data", "indices", "indptr"))
        shape = self.state["_shape"] if "_shape" in self.state else self.state["shape"]
        dense = np.zeros(tuple(int(size) for size in shape), data.dtype)
        outer = np.repeat(np.arange(len(pointers) - 1), np.diff(pointers))
        where = (outer, indices) if self.axis == 0 else (indices, outer)
        np.add.at(dense, where, data)
        return dense


class _SparseColumns(_Sparse):
    axis = 1


class _Chumpy(_Foreign):
    def to_array(self) -> NDArray[Any]:
        return np.asarray(self.state["x"])


def _reconstruct_array(*_: object) -> NDArray[Any]:
    """Return an empty array, as numpy's `_reconstruct` does, whatever its arguments; its state follows."""
    return np.ndarray.__new__(np.ndarray, (0,), "b")


def _from_buffer(buffer: bytes, dtype: Any, shape: Any, order: str) -> NDArray[Any]:
    """Return the array of a pickle of protocol 5, whose bytes are in it. Its type may not be one of objects."""
    return np.frombuffer(buffer, np.dtype(dtype)).reshape(shape, order="F" if order == "F" else "C")


def _reconstruct_object(cls: type, *_: object) -> object:
    """Create an object as copyreg's `_reconstructor` does, for placeholders only."""
    if not issubclass(cls, _Foreign):
        raise pickle.UnpicklingError(f"{cls.__name__} cannot be reconstructed")
    return cls()


def _encode(text: str, encoding: str = "latin1", *_: object) -> bytes:
    """Encode text to bytes: the form of Python 2 bytes in pickle protocol 2."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"encoding {encoding} is not used by numpy")
    return codecs.latin_1_encode(text)[0]


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
    ("copy_reg", "_reconstructor"): _reconstruct_object,
    ("copyreg", "_reconstructor"): _reconstruct_object,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("chumpy.ch", "Ch"): _Chumpy,
    ("chumpy", "Ch"): _Chumpy,
}
for _core in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED[_core, "_reconstruct"] = _reconstruct_array
    _ALLOWED[_core, "scalar"] = lambda dtype, data: np.frombuffer(data, dtype)[0]
for _numeric in ("numpy.core.numeric", "numpy._core.numeric"):
    _ALLOWED[_numeric, "_frombuffer"] = _from_buffer
for _kind, _class in (("csr", _Sparse), ("csc", _SparseColumns)):
    for _module in (f"scipy.sparse.{_kind}", f"scipy.sparse._{_kind}"):
        _ALLOWED[_module, f"{_kind}_matrix"] = _class
        _ALLOWED[_module, f"{_kind}_array"] = _class


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None


class _RefusedError(pickle.UnpicklingError):
    """The pickle refers to this refused global."""


def load_pickle(stream: IO[bytes], path: Path) -> Any:
    """Unpickle data, never code. UnsafePickleError names what a hostile or foreign file requested."""
    try:
        return _Unpickler(stream, encoding="latin1").load()
    except _RefusedError as refused:
        raise UnsafePickleError(
            f"{path}: refused: the file asks for `{refused}`, which arrays do not need; download it again from its "
            "authors"
        ) from refused
    except Exception as error:  # a damaged pickle can raise almost anything
        raise UnsafePickleError(f"{path}: not a readable pickle of arrays ({error}); download it again") from error


def as_array(value: Any) -> NDArray[Any]:
    """Convert a member of such a pickle (array, sparse matrix, chumpy array or list) to a numpy array."""
    if isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.item()
    return value.to_array() if isinstance(value, _Sparse | _Chumpy) else np.asarray(value)


class NpzArrays(Mapping[str, Any]):
    """The members of an `.npz`, read on access; members that numpy pickled go through `load_pickle`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with zipfile.ZipFile(path) as archive:
            self._names = {name.removesuffix(".npy"): name for name in archive.namelist()}

    def __getitem__(self, key: str) -> Any:
        with zipfile.ZipFile(self._path) as archive, archive.open(self._names[key]) as stream:
            version = np.lib.format.read_magic(stream)
            read_header = (
                np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            )
            shape, _, dtype = read_header(stream)
            if dtype.hasobject:
                value = load_pickle(stream, self._path)
                return value if isinstance(value, np.ndarray) else np.array(value, dtype=object).reshape(shape)
        with np.load(self._path, allow_pickle=False) as arrays:
            return arrays[key]

    def __contains__(self, key: object) -> bool:
        return key in self._names  # Mapping's default implementation would read the member

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
