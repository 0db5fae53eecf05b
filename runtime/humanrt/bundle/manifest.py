"""Bundles: one model, one folder, described by its ``manifest.json`` and nothing else.

A bundle is read strictly: an unknown format, a missing file or a file whose sha256 is not the manifest's is
refused before any of it reaches a parser. Code holds no weights and no magic sizes; ``Bundle.settings`` does.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import packed
from humanrt.bundle.arrays import read_arrays
from humanrt.errors import BundleError, choices
from humanrt.files import file_sha256

__all__ = [
    "FORMAT", "Bundle", "GraphSpec", "TensorSpec", "cache_folder", "graph_source", "load_bundle", "loaded_bundles",
    "shipped_bundles",
]  # fmt: skip

FORMAT = 1
MANIFEST = "manifest.json"
OPERATORS = ("amx", "int16")
"""Kinds of operators of our own (`native.operators_problem`); manifests that only knew the first say ``true``."""
_MAX_MANIFEST_BYTES = 1 << 24  # bytes
_MAX_DIMENSION = 1 << 31  # max size of a tensor along one axis
_MAX_NAME_LENGTH = 200
_LOADED: ContextVar[tuple[dict[str, str], ...]] = ContextVar("loaded", default=())
"""Of the blocks of `loaded_bundles` that this context is in."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a graph: its static shape, numpy dtype name, and meaning with units."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    description: str = ""

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class GraphSpec:
    """One ONNX graph of a bundle.

    Attributes:
        operators: which of humanrt's own operators it uses, one of `OPERATORS`; empty if none.
        weights: packed file of the weights that it shares with other graphs; None if it shares none.
        extends: packed file of the graph whose nodes it continues; None if it is complete.
    """

    name: str
    path: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: str = ""
    weights: Path | None = None
    extends: Path | None = None

    @property
    def source(self) -> Path | bytes:
        """Return what ONNX Runtime opens: the file, or its bytes if it is packed. BundleError if it cannot be read."""
        return graph_source(self.path, self.weights, self.extends)


@dataclass(frozen=True)
class Bundle:
    """A verified bundle. ``settings`` and ``manifest`` are the manifest's own JSON, read-only by convention.

    ``chosen``: graph -> the variant opened instead of it (`humanrt.inference.variants.at`).
    """

    path: Path
    name: str
    task: str
    licence: str
    manifest: Mapping[str, Any]
    chosen: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> Mapping[str, Any]:
        settings: Mapping[str, Any] = self.manifest.get("settings", {})
        return settings

    @property
    def graphs(self) -> tuple[str, ...]:
        return tuple(self.manifest["graphs"])

    def setting(self, *keys: str) -> Any:
        """Return ``settings[keys[0]][keys[1]]...``. BundleError names the missing key."""
        value: Any = self.settings
        for depth, key in enumerate(keys, start=1):
            if not isinstance(value, Mapping) or key not in value:
                where = ".".join(("settings", *keys[:depth]))
                raise BundleError(f"{self.path / MANIFEST}: `{where}` is missing; export the bundle again")
            value = value[key]
        return value

    def number(self, *keys: str) -> float:
        """Return a `setting` that must be a finite number. BundleError names it."""
        value = self.setting(*keys)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
            where = ".".join(("settings", *keys))
            raise BundleError(
                f"{self.path / MANIFEST}: `{where}` must be a number, not {short(value)}; export the bundle again"
            )
        return float(value)

    def graph(self, name: str) -> GraphSpec:
        """Return the graph called ``name``. BundleError lists the valid names."""
        graphs = self.manifest["graphs"]
        name = self.chosen.get(name, name)
        if name not in graphs:
            raise BundleError(f"bundle {self.path} has no graph `{name}`; it has: {choices(graphs)}")
        entry = graphs[name]
        weights, extends = (self.path / entry[key] if key in entry else None for key in ("weights", "extends"))
        operators = entry.get("operators", False)
        return GraphSpec(
            name,
            self.path / entry["file"],
            _tensors(entry["inputs"]),
            _tensors(entry["outputs"]),
            {True: OPERATORS[0], False: ""}.get(operators, operators),
            weights,
            extends,
        )

    def array(self, name: str) -> dict[str, NDArray[Any]]:
        """Read the arrays of the ``.npz`` called ``name``, by their names in it. Never unpickles."""
        arrays = self.manifest.get("arrays", {})
        if name not in arrays:
            raise BundleError(f"bundle {self.path} has no array `{name}`; it has: {choices(arrays) or 'none'}")
        file = self.path / arrays[name]["file"]
        try:
            return read_arrays(file)
        except (ValueError, OSError) as error:
            raise BundleError(f"{file}: {error}; export the bundle again") from error


def graph_source(path: Path, weights: Path | None = None, extends: Path | None = None) -> Path | bytes:
    """Return the ONNX file, or its bytes if it is packed (`humanrt.bundle.packed`). BundleError if it cannot be read.

    ``weights`` is packed as well, a model that holds only weights; and so is ``extends``, a complete model to which the
    file adds nodes and outputs. Concatenated protobuf messages parse as one with the lists of all.
    """
    if path.suffix != packed.SUFFIX:
        return path
    parts = []
    for file in (extends, path, weights):
        try:
            parts += [packed.unpack(file.read_bytes())] if file else []
        except (OSError, ValueError) as error:
            raise BundleError(f"{file}: {error}; install or export the bundle again") from error
    return b"".join(parts)


def _tensors(entries: Mapping[str, Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name, tuple(entry["shape"]), entry["dtype"], entry.get("description", ""))
        for name, entry in entries.items()
    )


def cache_folder() -> Path:
    """Return the default folder of users' bundles and built engines: ``$HUMANRT_CACHE`` or ``~/.cache/humanrt``."""
    if given := os.environ.get("HUMANRT_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "humanrt"


def _shipped_folder() -> Path:
    """Return ``engines/`` inside the installed package, or at the root of the checkout for an editable install."""
    package = Path(__file__).parents[1]
    installed = package / "engines"
    return installed if installed.is_dir() else package.parent.parent / "engines"


def shipped_bundles() -> list[str]:
    """Return the names of the bundles that come with humanrt."""
    folder = _shipped_folder()
    return sorted(manifest.parent.name for manifest in folder.glob(f"*/{MANIFEST}"))


@contextmanager
def loaded_bundles() -> Iterator[dict[str, str]]:
    """Yield a mapping that gains the name and the manifest's SHA-256 of every bundle that is loaded meanwhile.

    So what somebody opens can be asked which bundles it is made of, those that it loads itself included. A manifest
    lists the SHA-256 of all files of its bundle. Names are those of `add_named`: of two versions of a bundle neither
    hides the other. Bundles that are loaded in other threads are not seen.
    """
    loaded: dict[str, str] = {}
    outer = _LOADED.set((*_LOADED.get(), loaded))
    try:
        yield loaded
    finally:
        _LOADED.reset(outer)


def add_named(bundles: dict[str, str], name: str, sha256: str) -> None:
    """Put a bundle into a mapping from names to SHA-256, as "name (2)", "name (3)" if another has the name already."""
    key, number = name, 1
    while bundles.get(key, sha256) != sha256:
        number += 1
        key = f"{name} ({number})"
    bundles[key] = sha256


def load_bundle(bundle: str | Path, *, task: str | None = None) -> Bundle:
    """Find, read and verify a bundle.

    Args:
        bundle: the name of a shipped or cached bundle, or a folder that holds ``manifest.json``. A plain name (no
            separator) is never a folder, so that no stray folder is taken for a bundle: write ``./name`` for a folder.
        task: refuse a bundle made for another task (``"hands"``, ``"people"``, ...).

    Raises:
        BundleError: not found, not format 1, damaged (sha256), or for another task.
    """
    path = _find(bundle)
    try:
        manifest = json.loads(_text(path / MANIFEST))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path / MANIFEST} cannot be read ({error}); install or export the bundle again") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        version = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise BundleError(
            f"{path / MANIFEST}: format {short(version)} is not {FORMAT}; export the bundle with this version"
        )
    _check(path / MANIFEST, manifest)
    if task is not None and manifest["task"] != task:
        fitting = choices(name for name in shipped_bundles() if _task_of(name) == task)
        raise BundleError(
            f"bundle {path} is for task `{manifest['task']}`, not `{task}`; of those that ship, {fitting or 'none'} is"
        )
    _verify(path, manifest)
    if watching := _LOADED.get():
        sha256 = file_sha256(path / MANIFEST)
        for loaded in watching:
            add_named(loaded, path.name, sha256)
    return Bundle(path, manifest["name"], manifest["task"], manifest["licence"], manifest)


def _task_of(name: str) -> str | None:
    """Return the task of a shipped bundle; None if its manifest cannot be read."""
    try:
        manifest = json.loads(_text(_shipped_folder() / name / MANIFEST))
    except (OSError, ValueError, RecursionError):
        return None
    return manifest.get("task") if isinstance(manifest, dict) else None


def _find(bundle: str | Path) -> Path:
    text = str(bundle)
    separators = {"/", os.sep, os.altsep or os.sep}
    if isinstance(bundle, Path) or text in (".", "..") or Path(text).drive or any(s in text for s in separators):
        given = Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises for users that do not exist
        if why := _why_no_bundle(given):
            raise BundleError(f"bundle folder {given} {why}; shipped bundles: {choices(shipped_bundles())}")
        return given.absolute()  # so that the path in a message can be used as an argument
    for folder in (_shipped_folder(), cache_folder()):
        if text and not _why_no_bundle(folder / text):
            return folder / text
    cached = [manifest.parent.name for manifest in cache_folder().glob(f"*/{MANIFEST}")]
    names = choices({*shipped_bundles(), *cached})
    if text and not _why_no_bundle(Path(text)):
        raise BundleError(f"no bundle `{text}`; known: {names or 'none'}; for the folder of that name give ./{text}")
    raise BundleError(f"no bundle `{text}`; known: {names or 'none'} (or give a folder, e.g. ./{text or 'hands'})")


def _why_no_bundle(folder: Path) -> str | None:
    """Return why a folder is not a bundle, for a message; None if it holds a manifest."""
    try:
        (folder / MANIFEST).stat()
    except (FileNotFoundError, NotADirectoryError):
        return "has no manifest.json" if folder.exists() else "does not exist"
    except (OSError, ValueError) as error:  # no permission; a name too long; a null in it
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"
    return None


def _text(file: Path) -> str:
    """Read the text of a manifest. OSError, ValueError: it cannot be read, or is larger than any manifest."""
    if file.stat().st_size > _MAX_MANIFEST_BYTES:
        raise ValueError(f"it is larger than {_MAX_MANIFEST_BYTES >> 20} MiB")
    return file.read_text(encoding="utf-8")


_KINDS: Mapping[type, str] = {str: "a string", dict: "an object", list: "a list", bool: "true or false"}


def _check(file: Path, manifest: Mapping[str, Any]) -> None:
    """Check that all entries that this module reads are present and of the right type. BundleError names a bad one."""

    def refuse(where: str, problem: str) -> BundleError:
        where = where if len(where) < 120 and where.isprintable() else short(where)
        return BundleError(f"{file}: `{where}` {problem}; export the bundle again")

    def field(entry: Mapping[str, Any], key: str, kind: type, above: str = "") -> Any:
        where = f"{above}.{key}" if above else key
        if key not in entry:
            raise refuse(where, "is missing")
        if not isinstance(entry[key], kind):
            raise refuse(where, f"must be {_KINDS[kind]}")
        return entry[key]

    for key in ("name", "task", "licence"):
        if not (text := field(manifest, key, str)) or not text.isprintable() or len(text) > _MAX_NAME_LENGTH:
            raise refuse(key, f"must be a name on one line, not {short(text)}")
    field({"settings": {}, **manifest}, "settings", dict)
    graphs = field(manifest, "graphs", dict)
    for graph in graphs:
        if not graph.isprintable() or len(graph) > _MAX_NAME_LENGTH:
            raise refuse("graphs", f"names a graph {short(graph)}")
        where = f"graphs.{graph}"
        field(field(graphs, graph, dict, "graphs"), "file", str, where)
        if graphs[graph].get("operators", False) not in (False, True, *OPERATORS):
            raise refuse(
                f"{where}.operators", f"must be one of {choices(OPERATORS)}, not {short(graphs[graph]['operators'])}"
            )
        for key in ("weights", "extends"):
            field({key: "", **graphs[graph]}, key, str, where)
        for side in ("inputs", "outputs"):
            tensors = field(graphs[graph], side, dict, where)
            for name in tensors:
                tensor = field(tensors, name, dict, f"{where}.{side}")
                at = f"{where}.{side}.{name}"
                shape = field(tensor, "shape", list, at)
                if not all(type(size) is int and 0 <= size < _MAX_DIMENSION for size in shape) or len(shape) > 32:
                    raise refuse(f"{at}.shape", f"must hold whole numbers, not {short(shape)}")
                if not _is_dtype(field(tensor, "dtype", str, at)):
                    raise refuse(f"{at}.dtype", f"is no type of numbers: {short(tensor['dtype'])}")
                field({"description": "", **tensor}, "description", str, at)
    arrays = field({"arrays": {}, **manifest}, "arrays", dict)
    for name in arrays:
        field(field(arrays, name, dict, "arrays"), "file", str, f"arrays.{name}")
    files = field(manifest, "files", dict)
    for name in files:
        field(field(files, name, dict, "files"), "sha256", str, f"files.{name}")


def _is_dtype(name: str) -> bool:
    if len(name) > 20:
        return False
    try:
        return np.dtype(name).kind in "biufc"
    except (TypeError, ValueError, SyntaxError):  # numpy parses the text
        return False


def _verify(path: Path, manifest: Mapping[str, Any]) -> None:
    """Check that all listed files exist with the listed hash, and that the file of every graph is listed."""
    files: Mapping[str, Any] = manifest["files"]
    entries = [entry for kind in ("graphs", "arrays") for entry in manifest.get(kind, {}).values()]
    used = [entry[key] for entry in entries for key in ("file", "weights", "extends") if key in entry]
    for name in used:
        if name not in files:
            raise BundleError(f"{path / MANIFEST}: `{name}` has no sha256 under `files`; export the bundle again")
    for name, entry in files.items():
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise BundleError(f"{path / MANIFEST}: `{name}` lies outside the bundle; refused")
        file = path / name
        try:
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except (OSError, ValueError) as error:  # ValueError: a null in the name
            why = getattr(error, "strerror", None) or error
            raise BundleError(f"{file}: {why}; install or export the bundle again") from error
        if digest != entry["sha256"]:
            raise BundleError(
                f"{file} is damaged: sha256 {digest[:12]}... is not the manifest's {entry['sha256'][:12]}...; "
                "install or export the bundle again"
            )
