"""Write bundles atomically: files and metadata are collected in a temporary folder and renamed into place.

A reader of the target sees the old bundle or the new one, never a partial one; a failed export leaves nothing.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from humanrt.bundle import FORMAT, MANIFEST, graph_source, packed
from humanrt.bundle.paths import without_folders
from humanrt.errors import OutputError
from humanrt_export.conversion.rewriting import extension, to_bytes
from humanrt_export.conversion.settings import Entries

__all__ = ["BundleWriter", "sha256"]


def sha256(data: bytes | Path) -> str:
    """Return the hexadecimal sha256 of bytes or of a file."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest()
    with data.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class BundleWriter:
    """Collect a bundle and ``commit`` it. Use as a context manager: without commit, nothing is left.

    Args:
        out: the bundle's folder. It may be absent, empty, or a bundle of the same name, which is then replaced.
        name: name of the bundle.
        task: the bundle's task: ``hands``, ``people``, ...
        version: version of the bundle's content.
        licence: SPDX identifier.
        provenance: where the weights come from and what converted them.
        settings: everything else that the runtime needs (`settings.entries`).

    Raises:
        OutputError: the folder cannot be written, or holds something else.
    """

    def __init__(
        self,
        out: Path,
        *,
        name: str,
        task: str,
        version: str,
        licence: str,
        provenance: Mapping[str, Any],
        settings: Entries,
    ) -> None:
        self.out = out.expanduser().absolute()
        _check_replaceable(self.out, name)
        self.manifest: dict[str, Any] = {
            "format": FORMAT,
            "name": name,
            "task": task,
            "version": version,
            "licence": licence,
            "provenance": dict(provenance),
            "graphs": {},
            "arrays": {},
            "settings": dict(settings),
            "parity": {},
            "files": {},
        }
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            # Beside the target, so that the rename stays within one file system.
            self.folder = Path(tempfile.mkdtemp(prefix=f".{self.out.name}-", dir=self.out.parent))
            self.folder.chmod(0o755)
        except OSError as error:
            raise _cannot_write(self.out, error) from error

    def add_file(self, name: str, data: bytes) -> Path:
        """Add a file and its hash."""
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            raise _cannot_write(path, error) from error
        self.manifest["files"][name] = {"sha256": sha256(data), "bytes": len(data)}
        return path

    def add_graph(
        self,
        name: str,
        model: ir.Model,
        inputs: Mapping[str, str],
        outputs: Mapping[str, str],
        *,
        small: bool = False,
        weights: str | None = None,
        base: tuple[str, ir.Model] | None = None,
    ) -> None:
        """Add an ONNX graph, in place of an earlier one of this name.

        Args:
            name: its name.
            model: the graph; weights in files of their own are added by `add_file`.
            inputs: descriptions of its inputs by name, with units.
            outputs: descriptions of its outputs by name, with units.
            small: store it packed (`humanrt.bundle.packed`): for bundles that come with humanrt. Not with
                weights in files of their own.
            weights: name of the packed file (`add_weights`) of the weights that it shares with other small graphs.
            base: name and model of a small graph that was added and is part of this small one, which is stored as what
                it adds (`rewriting.extension`).
        """
        file, data = f"{name}.onnx", extension(model, base[1]) if base else to_bytes(model)
        if small:
            file, data = file + packed.SUFFIX, packed.pack(data)
        earlier = self.manifest["graphs"].get(name)
        if earlier and earlier["file"] != file:
            self.manifest["files"].pop(earlier["file"])
            (self.folder / earlier["file"]).unlink()
        self.add_file(file, data)
        self.manifest["graphs"][name] = {
            "file": file,
            "inputs": _tensors(model.graph.inputs, inputs),
            "outputs": _tensors(model.graph.outputs, outputs),
        }
        if weights is not None:
            self.manifest["graphs"][name]["weights"] = weights
        if base is not None:
            self.manifest["graphs"][name]["extends"] = self.manifest["graphs"][base[0]]["file"]
        if own := {node.op_type for node in model.graph if node.domain == "humanrt"}:
            integers = any(operator.endswith("Int16") for operator in own)
            self.manifest["graphs"][name]["operators"] = "int16" if integers else True

    def source(self, name: str) -> Path | bytes:
        """Return the source from which ONNX Runtime opens a graph that was added."""
        entry = self.manifest["graphs"][name]
        weights, extends = (self.folder / entry[key] if key in entry else None for key in ("weights", "extends"))
        return graph_source(self.folder / entry["file"], weights, extends)

    def add_weights(self, name: str, weights: bytes) -> str:
        """Add weights that small graphs share (`graphs.common_weights`); returns the file's name."""
        file = f"{name}.onnx{packed.SUFFIX}"
        self.add_file(file, packed.pack(weights))
        return file

    def add_arrays(self, name: str, arrays: Mapping[str, NDArray[Any]], descriptions: Mapping[str, str]) -> None:
        """Add ``<name>.npz`` with these arrays and their descriptions, with units."""
        file = f"{name}.npz"
        path = self.folder / file
        # No time stamps in the file: numpy writes the zip epoch, so equal arrays give equal bytes.
        np.savez(path, allow_pickle=False, **dict(arrays))
        self.add_file(file, path.read_bytes())
        self.manifest["arrays"][name] = {
            "file": file,
            "arrays": {
                key: {"shape": list(value.shape), "dtype": str(value.dtype), "description": descriptions[key]}
                for key, value in arrays.items()
            },
        }

    def write_manifest(self) -> Path:
        """Write the current manifest, without paths of this machine. ``load_bundle`` can then open the folder."""
        path = self.folder / MANIFEST
        content = without_folders(self.manifest)
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return path

    def commit(self) -> Path:
        """Replace the target by the bundle; returns its folder."""
        self.write_manifest()
        old = self.folder.with_name(f"{self.folder.name}-old")
        try:
            if self.out.exists():
                self.out.rename(old)
            try:
                self.folder.rename(self.out)
            except OSError:
                if old.exists():
                    old.rename(self.out)
                raise
        except OSError as error:
            raise _cannot_write(self.out, error) from error
        finally:
            shutil.rmtree(old, ignore_errors=True)
        return self.out

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _tensors(values: Any, descriptions: Mapping[str, str]) -> dict[str, Any]:
    """Return manifest entries of a graph's inputs or outputs; each must be described."""
    return {
        value.name: {
            "shape": list(value.shape.numpy()),
            "dtype": value.dtype.numpy().name,
            "description": descriptions[value.name],
        }
        for value in values
    }


def _check_replaceable(out: Path, name: str) -> None:
    """Raise OutputError unless ``out`` is absent, empty, or a bundle called ``name``."""
    if out.is_file():
        raise OutputError(f"{out} is a file; give a folder to --out")
    if not out.is_dir() or not any(out.iterdir()):
        return
    try:
        found = json.loads((out / MANIFEST).read_text(encoding="utf-8")).get("name")
    except (OSError, ValueError, AttributeError):
        found = None
    if found != name:
        raise OutputError(f"{out} holds something other than a bundle `{name}`; give --out a new or empty folder")


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path} cannot be written ({error.strerror or error}); choose another --out")
