"""Other people's checkpoints: read without running them, and strictly.

Every tensor of a file is used, known to be unneeded, or refused by the name that it has in the file.
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
from torch import Tensor, nn

from humanrt.errors import HumanrtError, OutputError
from humanrt.files import opened_atomically
from humanrt_export.archives import damage

__all__ = ["CheckpointError", "Names", "arguments", "built", "fill", "listed", "read", "save", "tensors"]


M = TypeVar("M", bound=nn.Module)

_LONGEST = 120  # characters of what a file says, in a message


class CheckpointError(HumanrtError):
    """A checkpoint is not what the network is made of; the message names the key or argument."""


def read(path: Path, kind: str) -> Mapping[str, Any]:
    """What a `.pt` file holds: containers, tensors, an `argparse.Namespace`, numbers of numpy's, and nothing else.

    Paths among the arguments are read as text: nothing is done with them. The archive's checksums are verified.

    Args:
        path: the file.
        kind: whose checkpoint is expected, for messages: ``"Multi-HMR"``.

    Raises:
        CheckpointError: no such file, damaged, or it asks for code.
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
            warnings.simplefilter("ignore")  # of pickle protocols: what it says here must be one line
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path}: refused: {_asked(path, kind, error)}") from error
    except Exception as error:  # a damaged archive raises nearly anything
        reason = str(error).partition("\n")[0][:_LONGEST] or "it is empty, or ends too early"
        raise CheckpointError(f"{path}: not a PyTorch checkpoint ({reason}); download it again") from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, not a {kind} checkpoint")
    return content


def _asked(path: Path, kind: str, error: pickle.UnpicklingError) -> str:
    """What a pickle asks for that no checkpoint needs, by name where that can be told."""
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
    """What `torch.save` writes, atomically: there is always a whole file.

    Raises:
        OutputError: what is in the way.
    """
    try:
        with opened_atomically(path) as stream:
            torch.save(content, stream)
    except RuntimeError as error:  # what torch's own writer raises where a disk is full
        reason = str(error).partition("\n")[0]
        raise OutputError(f"{path} cannot be written ({reason}); the previous file is intact") from error


def _safe_globals() -> list[Any]:
    """All that a file may ask for beside tensors and plain containers: the arguments, and numbers of numpy's.

    And paths, which come as text (`_path_text`): a Windows path cannot even be made elsewhere.
    """
    number = np.float64(0).__reduce__()[0]
    kinds = [type(np.dtype(code)) for code in (*"?bhilqBHILQefdFD", "U1", "S1")]
    names = [(number, f"{module}.multiarray.scalar") for module in ("numpy.core", "numpy._core")]
    paths = [(_path_text, f"{module}.{name}") for module in ("pathlib", "pathlib._local") for name in _PATHS]
    return [argparse.Namespace, np.dtype, *dict.fromkeys(kinds), *names, *paths]


_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")


def _path_text(*parts: object) -> str:
    """What is read in place of a pickled path."""
    return "/".join(str(part).rstrip("/\\") for part in parts)


def arguments(path: Path, content: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """The entry ``args``, a mapping or a namespace. CheckpointError where it is neither."""
    args = _entry(path, content, "args", kind)
    if not isinstance(args, Mapping | argparse.Namespace):
        raise CheckpointError(f"{path}: `args` is a {type(args).__name__}; not a {kind} checkpoint")
    return dict(args) if isinstance(args, Mapping) else dict(vars(args))


def tensors(path: Path, content: Mapping[str, Any], key: str, kind: str) -> dict[str, Tensor]:
    """The entry ``key``, which must hold named tensors only. CheckpointError where it does not."""
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
    """Our parameters' names -> their names in the files.

    Args:
        table: (ours, theirs); ``<n>`` stands for a number, ``<rest>`` for the rest of the name. The first that fits
            counts.
    """

    def __init__(self, table: Sequence[tuple[str, str]]) -> None:
        self._table = []
        for ours, theirs in table:
            pattern = re.escape(ours).replace("<n>", r"(?P<n>\d+)").replace("<rest>", r"(?P<rest>.+)")
            self._table.append((re.compile(pattern), theirs))

    def __call__(self, name: str) -> str:
        """The file's name of our parameter ``name``; KeyError where the table has none."""
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
    """Fill ``model`` with a file's tensors, as FP32, or say by their names in the file which do not fit.

    Args:
        path: the file, for messages.
        model: what is filled: every parameter and persistent buffer of it.
        state: the file's tensors by name. Distributed training prefixes every name with `module.`.
        names: our name -> the file's, or all those under which the file holds copies of the same tensor.
        unneeded: regular expression of names that are in files and of no use.
        about: what the model is, for messages.

    Raises:
        CheckpointError: tensors are missing, unexpected, misshapen, not finite, or unequal where they are copies.
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
    """The model of ``make``, filled; see `fill`. Nothing large is made before the file is known to fit it."""
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
    """Our names' places in the file, the tensors at them, and how the file spells these. CheckpointError as `fill`."""
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
    """The keys, or the first of many, for a message."""
    shown = ", ".join(keys[:at_most])
    return shown + (f" and {len(keys) - at_most} more" if len(keys) > at_most else "")
