"""Strict reading of third-party checkpoints without running code from them.

Every tensor of a file is either used, known to be unneeded, or rejected by its name in the file.
"""

from __future__ import annotations

import argparse
import contextlib
import pickle
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from humanrt.errors import HumanrtError, OutputError
from humanrt.files import opened_atomically
from humanrt_export.archives import damage

__all__ = ["CheckpointError", "Names", "arguments", "built", "fill", "listed", "read", "save", "tensors"]


M = TypeVar("M", bound=nn.Module)

_LONGEST = 120  # characters of a file's content in a message


class CheckpointError(HumanrtError):
    """A checkpoint does not fit the network; the message names the key or argument."""


def read(path: Path, kind: str) -> Mapping[str, Any]:
    """Read a `.pt` file of containers, tensors, an `argparse.Namespace`, numpy scalars and numpy arrays only.

    Paths among the arguments are read as text and never used. The archive's checksums are verified.

    Args:
        path: the file.
        kind: the expected kind of checkpoint, for messages: ``"Multi-HMR"``.

    Raises:
        CheckpointError: the file is missing or damaged, or requests code.
    """
    if not path.is_file():
        what = "is a folder; give the file in it, or" if path.is_dir() else "no such file;"
        raise CheckpointError(f"{path}: {what} download a {kind} checkpoint (.pt) from its authors")
    try:
        damaged = damage(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror or error})") from error
    if damaged:
        raise CheckpointError(f"{path}: damaged: {damaged}; download it again")
    try:
        with torch.serialization.safe_globals(_safe_globals()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols; the message here must be one line
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: refused: {_asked(path, kind, error)}") from error
    except Exception as error:  # a damaged archive can raise almost anything
        reason = str(error).partition("\n")[0][:_LONGEST] or "it is empty, or ends too early"
        raise CheckpointError(f"{path}: not a PyTorch checkpoint ({reason}); download it again") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not a {kind} checkpoint")
    return content


def _asked(path: Path, kind: str, error: pickle.UnpicklingError) -> str:
    """Return what a pickle requests that no checkpoint needs, by name if known."""
    names: list[str] = []
    with contextlib.suppress(Exception), torch.serialization.safe_globals(_safe_globals()):
        names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    if not names and (named := re.search(r"\bGLOBAL\s+`?([\w.]+)`?", str(error))):
        names = [named[1]]
    if names:
        printed = ["".join(letter if letter.isprintable() else "?" for letter in name[:_LONGEST]) for name in names]
        what = f"it asks for {listed([f'`{name}`' for name in printed], 3)}, which"
    elif re.search(r"Unsupported (operand|protocol)", str(error)):
        return "its pickle is damaged, or of a protocol other than torch.save's own; download it again from its authors"
    else:
        what = "it holds more than tensors and arguments, which"
    return f"{what} no {kind} checkpoint needs; download it again from its authors"


def save(path: Path, content: Any) -> None:
    """Write like `torch.save`, but atomically: there is always a complete file.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with opened_atomically(path) as stream:
            torch.save(content, stream)
    except RuntimeError as error:  # what torch's writer raises if the disk is full
        reason = str(error).partition("\n")[0]
        raise OutputError(f"{path} cannot be written ({reason}); the previous file is intact") from error


def _safe_globals() -> list[Any]:
    """Return everything that a file may request besides tensors and plain containers: arguments, numpy's numbers.

    Paths are read as text (`_path_text`): a Windows path cannot even be created elsewhere.
    """
    number = np.float64(0).__reduce__()[0]
    kinds = [type(np.dtype(code)) for code in (*"?bhilqBHILQefdFD", "U1", "S1")]
    numeric = ("numpy.core", "numpy._core")
    names = [(number, f"{module}.multiarray.scalar") for module in numeric]
    # Arrays: an empty one, which their own `__setstate__` then fills.
    names += [(_empty_array, f"{module}.multiarray._reconstruct") for module in numeric]
    names += [(_latin1, "_codecs.encode"), (_no_bytes, "builtins.bytes")]  # their content; of empty ones
    paths = [(_path_text, f"{module}.{name}") for module in ("pathlib", "pathlib._local") for name in _PATHS]
    return [argparse.Namespace, np.dtype, np.ndarray, *dict.fromkeys(kinds), *names, *paths]


def _empty_array(*_: object) -> NDArray[np.int8]:
    """Return what replaces the array that a pickle asks for, whatever size it names."""
    return np.empty(0, np.int8)


def _latin1(text: object, *_: object) -> bytes:
    """Return the bytes that old pickles store as text."""
    return text.encode("latin1") if isinstance(text, str) else b""


def _no_bytes(*_: object) -> bytes:
    """Return what replaces the bytes of an empty array, whatever size a pickle names."""
    return b""


_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")


def _path_text(*parts: object) -> str:
    """Return the text that replaces a pickled path."""
    return "/".join(str(part).rstrip("/\\") for part in parts)


def arguments(path: Path, content: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Return the entry ``args``, a mapping or a namespace. CheckpointError if it is neither."""
    args = _entry(path, content, "args", kind)
    if not isinstance(args, Mapping | argparse.Namespace):
        raise CheckpointError(f"{path}: `args` is a {type(args).__name__}; not a {kind} checkpoint")
    return dict(args) if isinstance(args, Mapping) else dict(vars(args))


def tensors(path: Path, content: Mapping[str, Any], key: str, kind: str) -> dict[str, Tensor]:
    """Return the entry ``key``, which must contain only named tensors. CheckpointError otherwise."""
    state = _entry(path, content, key, kind)
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta
        for name, value in state.items()
    ):
        raise CheckpointError(f"{path}: `{key}` contains more than numeric tensors; not a {kind} checkpoint")
    return dict(state)


def _entry(path: Path, content: Mapping[str, Any], key: str, kind: str) -> Any:
    if key not in content:
        found = listed([str(name)[:_LONGEST] for name in content]) or "nothing"
        raise CheckpointError(f"{path}: `{key}` is missing (found: {found}); not a {kind} checkpoint")
    return content[key]


class Names:
    """Maps names of our parameters to their names in the files.

    Args:
        table: (ours, theirs); ``<n>`` stands for a number, ``<rest>`` for the rest of the name. The first match
            is used.
    """

    def __init__(self, table: Sequence[tuple[str, str]]) -> None:
        self._table = []
        for ours, theirs in table:
            pattern = re.escape(ours).replace("<n>", r"(?P<n>\d+)").replace("<rest>", r"(?P<rest>.+)")
            self._table.append((re.compile(pattern), theirs))

    def __call__(self, name: str) -> str:
        """Return the file's name of our parameter ``name``; KeyError if the table has none."""
        for pattern, theirs in self._table:
            if match := pattern.fullmatch(name):
                for part, value in match.groupdict().items():
                    theirs = theirs.replace(f"<{part}>", value)
                return theirs
        raise KeyError(name)


def fill(
    path: Path,
    model: nn.Module,
    state: Mapping[str, Tensor],
    names: Callable[[str], str | Sequence[str]],
    *,
    unneeded: str = "",
    about: str,
) -> None:
    """Fill ``model`` with a file's tensors, in FP32, or report those that do not fit by their names in the file.

    Args:
        path: the file, for messages.
        model: the model; every parameter and persistent buffer is filled.
        state: the file's tensors by name. Distributed training prefixes every name with `module.`.
        names: maps our name to the file's, or to all names under which the file has copies of the same tensor.
        unneeded: regular expression of names in files that are not needed.
        about: description of the model, for messages.

    Raises:
        CheckpointError: tensors are missing, unexpected, misshapen or not finite, or copies differ.
    """
    wanted = model.state_dict()
    places, found, keys = _matched(path, wanted, state, names, unneeded, about)
    shapes = [place for where in places.values() for place in where]
    unreal = [f"`{keys[p]}`" for p in shapes if not found[p].is_floating_point() or not found[p].isfinite().all()]
    if unreal:
        raise CheckpointError(f"{path}: non-finite numbers in {listed(unreal)}; download it again")
    unequal = [
        f"`{keys[copy]}` is not `{keys[first]}`"
        for first, *copies in places.values()
        for copy in copies
        if not torch.equal(found[copy], found[first])
    ]
    if unequal:
        raise CheckpointError(f"{path}: {listed(unequal)}, and they must be the same tensor; {about}")
    model.load_state_dict({name: found[places[name][0]].float() for name in wanted})


def built(
    path: Path,
    make: Callable[[], M],
    state: Mapping[str, Tensor],
    names: Callable[[str], str | Sequence[str]],
    *,
    unneeded: str = "",
    about: str,
) -> M:
    """Create a model by ``make`` and fill it, see `fill`; nothing large is allocated before the file proves to fit."""
    with torch.device("meta"):
        wanted = make().state_dict()
    _matched(path, wanted, state, names, unneeded, about)
    model = make()
    fill(path, model, state, names, unneeded=unneeded, about=about)
    return model


_Places = Mapping[str, tuple[str, ...]]


def _matched(
    path: Path,
    wanted: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    names: Callable[[str], str | Sequence[str]],
    unneeded: str,
    about: str,
) -> tuple[_Places, dict[str, Tensor], dict[str, str]]:
    """Return the file's names of our tensors, the tensors, and the file's spelling. CheckpointError as for `fill`."""
    places = {name: (where,) if isinstance(where := names(name), str) else tuple(where) for name in wanted}
    shapes = {place: wanted[name].shape for name in wanted for place in places[name]}
    found: dict[str, Tensor] = {}
    keys: dict[str, str] = {}
    problems: dict[str, list[str]] = {"missing": [], "unexpected": [], "twice": [], "misshapen": []}
    for key, tensor in state.items():
        place = key.removeprefix("module.")
        if place in found:
            problems["twice"].append(f"`{place}`")
        elif place not in shapes:
            if not re.fullmatch(unneeded, place):
                problems["unexpected"].append(f"`{key}`")
        elif tensor.shape != shapes[place]:
            problems["misshapen"].append(f"`{key}` {list(tensor.shape)} (need {list(shapes[place])})")
        found[place], keys[place] = tensor, key
    problems["missing"] = [f"`{place}`" for place in shapes if place not in found]
    if any(problems.values()):
        what = "; ".join(f"{problem} {listed(which, 3)}" for problem, which in problems.items() if which)
        raise CheckpointError(f"{path}: {what}; {about}")
    return places, found, keys


def listed(keys: Sequence[str], at_most: int = 6) -> str:
    """Format keys, or the first of many, for a message."""
    shown = ", ".join(keys[:at_most])
    return shown + (f" and {len(keys) - at_most} more" if len(keys) > at_most else "")
