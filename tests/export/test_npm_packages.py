"""npm packages are read by path and hash, packed assets included, and anything else is refused by name."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from humanrt.errors import SourceError
from humanrt_export.conversion.bundle_writer import sha256
from humanrt_export.conversion.npm_packages import NpmPackage

PACKAGE = NpmPackage("@some/nets", "1.2.3", assets="nets")
FILES = {"package/a.tflite": b"first", "b.tflite": b"second", "c.tflite": b"third"}


def written(path: Path, files: Mapping[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


@pytest.fixture
def package(tmp_path: Path) -> Path:
    listed = {
        "files": [{"filename": "/x/b.tflite", "start": 0, "end": 6}, {"filename": "/c.tflite", "start": 6, "end": 11}]
    }
    loader = f"(function() {{ loadPackage({json.dumps(listed)});\n }})();".encode()
    content = {
        "package/a.tflite": FILES["package/a.tflite"],
        "package/nets_packed_assets.data": FILES["b.tflite"] + FILES["c.tflite"],
        "package/nets_packed_assets_loader.js": loader,
    }
    return written(tmp_path / "nets.tgz", content)


def test_files_and_packed_assets_are_read(package: Path) -> None:
    assert PACKAGE.spec == "@some/nets@1.2.3"
    assert PACKAGE.file.name == "some-nets-1.2.3.tgz"
    assert PACKAGE.read(package, {name: sha256(data) for name, data in FILES.items()}) == FILES


@pytest.mark.parametrize("name", FILES)
def test_another_content_is_refused(package: Path, name: str) -> None:
    with pytest.raises(SourceError, match=rf"{name} has sha256 .*use @some/nets@1\.2\.3"):
        PACKAGE.read(package, {name: "0" * 64})


def test_another_package_is_refused(package: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"not the package @some/nets.*package/none\.bin"):
        PACKAGE.read(package, {"package/none.bin": "0" * 64})
    with pytest.raises(SourceError, match=r"no none\.bin among its packed assets"):
        PACKAGE.read(package, {"none.bin": "0" * 64})
    (tmp_path / "no.tgz").write_bytes(b"no archive")
    with pytest.raises(SourceError, match="cannot be read as an npm package"):
        PACKAGE.read(tmp_path / "no.tgz", {"package/a.tflite": "0" * 64})
    with pytest.raises(SourceError, match="cannot be read as an npm package"):
        PACKAGE.read(tmp_path / "absent.tgz", {"package/a.tflite": "0" * 64})


def test_a_package_is_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def run_tool(command: list[str]) -> None:
        calls.append(command)
        PACKAGE.file.write_bytes(b"x")

    monkeypatch.setenv("HUMANRT_CACHE", str(tmp_path))
    monkeypatch.setattr("humanrt_export.conversion.npm_packages.run_tool", run_tool)
    assert PACKAGE.download() == PACKAGE.download() == tmp_path / "downloads" / "some-nets-1.2.3.tgz"
    assert [command[:2] for command in calls] == [["npm", "pack"]]
    assert calls[0][-1] == "@some/nets@1.2.3"
