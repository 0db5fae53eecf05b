"""A bundle's models as plain ONNX files."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from command_line import refused
from humanrt.bundle import load_bundle
from humanrt.cli import main


def test_files_are_what_the_bundle_opens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "unpack", "multihmr-anny", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    bundle = load_bundle("multihmr-anny")
    for name in bundle.graphs:
        graph, path = bundle.graph(name), tmp_path / f"{name}.onnx"
        if graph.operators:
            assert f"left out: {name}" in said
            assert not path.exists()
            continue
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        assert {one.name: tuple(one.shape) for one in session.get_inputs()} == {t.name: t.shape for t in graph.inputs}
    assert (tmp_path / "faces.npz").read_bytes() == (bundle.path / "faces.npz").read_bytes()


def test_a_bundle_is_unpacked_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    write = Path.write_bytes

    def fail(self: Path, data: bytes) -> int:
        if self.suffix == ".npz":
            raise OSError(28, "No space left on device")
        return write(self, data)

    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", fail)
        said = refused(capsys, "bundle", "unpack", "multihmr-anny", "--out", out)
    assert "cannot be written (No space left on device)" in said
    assert not list(tmp_path.iterdir())
    out.mkdir()
    (out / "mine").write_text("")
    assert "is not empty" in refused(capsys, "bundle", "unpack", "hands", "--out", out)
    assert [path.name for path in out.iterdir()] == ["mine"]


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing" in refused(capsys, "bundle", "unpack", "nothing", "--out", tmp_path)
    (tmp_path / "file").write_text("")
    assert "cannot be written" in refused(capsys, "bundle", "unpack", "hands", "--out", tmp_path / "file")
