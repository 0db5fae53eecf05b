"""`bench/people_without_amx.py`: bundles that are kept are those of the files that are given."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))


@pytest.fixture
def bench() -> Any:
    before = os.environ.get("HUMANRT_HIDE_CPU")
    module = pytest.importorskip("people_without_amx")
    assert os.environ.get("HUMANRT_HIDE_CPU") == before, "an import hides nothing from other tests"
    return module


def test_a_bundle_of_other_files_is_exported_again(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported: list[str] = []

    def export(checkpoint: Path, bodies: Path, folder: Path, **options: object) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "manifest.json").write_text("{}")
        exported.append(folder.name)

    monkeypatch.setattr(bench, "export_multihmr", export)
    monkeypatch.setattr(bench, "load_bundle", lambda folder, task: SimpleNamespace(path=folder))
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(bench.humanrt_export, "__file__", str(package / "__init__.py"))
    one, two = tmp_path / "one" / "SMPLX_NEUTRAL.npz", tmp_path / "two" / "SMPLX_NEUTRAL.npz"
    checkpoint = tmp_path / "weights.pt"
    for body in (one, two):
        body.parent.mkdir()
        body.write_bytes(body.parent.name.encode())
    checkpoint.write_bytes(b"first")

    def made(body: Path = one, again: bool = False) -> list[str]:
        exported.clear()
        bench.make(tmp_path / "work", "noise", checkpoint, body, again)
        return list(exported)

    both = ["square", "16x9"]
    assert made() == both
    assert made() == []
    assert made(again=True) == both
    checkpoint.write_bytes(b"other weights of the same name")
    assert made() == both
    assert made(two) == both
    assert made(two) == []
    (package / "new.py").write_text("changed = True")
    assert made(two) == both
    (tmp_path / "work" / "square" / "manifest.json").unlink()
    assert made(two) == ["square"]
