"""`humanrt-export pack`: the archive, and its self-check run from a folder that it was unpacked into."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx", reason="onnx (extra `export`) reads the recipe's graphs")

import humanrt  # noqa: E402
from humanrt import native  # noqa: E402
from humanrt.bundle import load_bundle  # noqa: E402
from humanrt.errors import HumanrtError  # noqa: E402
from humanrt_export.cli import main  # noqa: E402
from humanrt_export.commands.pack import pack  # noqa: E402
from humanrt_export.pack import selfcheck, wheel  # noqa: E402
from humanrt_export.pack.archive import write_archive  # noqa: E402

SHIPPED = Path(__file__).parents[3] / "engines"
TARGET = wheel.this_platform()

pytestmark = pytest.mark.skipif(
    TARGET not in wheel.PLATFORMS or native.problem() is not None,
    reason="packs are made on Linux, compiled library and all",
)


@pytest.fixture(scope="module")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Environments with other names for the requirements cannot pack."""
    try:
        wheel.pinned()
    except HumanrtError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def archive(pinned: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """posebert-hand: small graphs, quick to run."""
    return pack(load_bundle("posebert-hand"), tmp_path_factory.mktemp("packed") / "pack.tar.gz", TARGET)


@pytest.fixture
def unpacked(archive: Path, tmp_path: Path) -> Path:
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    return tmp_path / f"posebert-hand-{TARGET}"


def listed(archive: Path) -> list[str]:
    with tarfile.open(archive) as opened:
        content = opened.extractfile(f"posebert-hand-{TARGET}/SHA256SUMS")
        assert content is not None
        return content.read().decode().splitlines()


def test_equal_content_gives_equal_bytes(archive: Path, tmp_path: Path) -> None:
    again = pack(load_bundle("posebert-hand"), tmp_path / "again.tar.gz", TARGET)
    assert listed(again) == listed(archive)
    assert again.read_bytes() == archive.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["again.tar.gz"]  # nothing half-written stays


def test_what_is_in_it(unpacked: Path) -> None:
    names = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    (made,) = unpacked.glob("*.whl")
    assert {"README.txt", "SHA256SUMS", "bundle/manifest.json", "expected.npz", "feeds.npz", "pack.json",
            "requirements-gpu.txt", "requirements.txt", "selfcheck.py", made.name} <= names  # fmt: skip
    requirements = (unpacked / "requirements.txt").read_text().split()
    assert requirements[-1] == f"./{made.name}"
    assert [line.partition("==")[0] for line in requirements[:-1]] == list(
        wheel.REQUIREMENTS
    )  # lean: no torch, no onnx
    load_bundle(unpacked / "bundle")
    sums = dict(reversed(line.split("  ")) for line in (unpacked / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == names - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256((unpacked / name).read_bytes()).hexdigest() == digest
    with zipfile.ZipFile(made) as opened:
        inside = set(opened.namelist())
        assert opened.read("humanrt/_native/humanrt.so") == native.LIBRARY.read_bytes()
        metadata = opened.read(f"humanrt-{humanrt.__version__}.dist-info/METADATA").decode()
    assert "humanrt_export/calibration/recipe.toml" in inside
    assert not [name for name in inside if name.startswith("humanrt/engines/") or "__pycache__" in name]
    assert all(f"Requires-Dist: {line}" in metadata for line in requirements[:-1])


def test_the_self_check_passes_on_the_processor(unpacked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = unpacked / "table.json"
    assert selfcheck.main(["--cpu", "--seconds", "0.05", "--json", str(report)], unpacked) == 0
    said = capsys.readouterr().out
    assert "passed   cpu           posebert_b1, fp32" in said
    rows = json.loads(report.read_text())["rows"]
    assert [row["what"] for row in rows] == ["posebert_b1, fp32", "posebert_b10, fp32"]
    assert all(row["state"] == "passed" and 0 < row["p50"] <= row["p99"] for row in rows)


def test_what_could_not_run_says_why_and_counts(
    unpacked: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("humanrt.backends.cuda.device_count", lambda: 0)
    assert selfcheck.main(["--seconds", "0.05"], unpacked) == 3
    said = capsys.readouterr().out
    assert "not run  tensorrt      engines" in said
    assert said.count("no NVIDIA GPU or driver is visible") == 2
    assert "2 passed, 0 failed, 2 not run" in said


def test_another_result_fails(unpacked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a processor, or an engine, would show that computes something else."""
    import numpy as np

    with np.load(unpacked / "expected.npz") as data:
        arrays = {name: data[name] for name in data.files}
    for name in [name for name in arrays if name.startswith("posebert_b1/")]:
        arrays[name] = arrays[name] + 0.01
    np.savez(unpacked / "expected.npz", **arrays)
    sums = (unpacked / "SHA256SUMS").read_text().splitlines()
    digest = hashlib.sha256((unpacked / "expected.npz").read_bytes()).hexdigest()
    sums = [f"{digest}  expected.npz" if line.endswith("  expected.npz") else line for line in sums]
    (unpacked / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    assert selfcheck.main(["--cpu", "--seconds", "0.05"], unpacked) == 1
    said = capsys.readouterr().out
    assert "FAILED   cpu           posebert_b1, fp32" in said
    assert "(limit" in said
    assert "passed   cpu           posebert_b10, fp32" in said


@pytest.mark.parametrize("name", ["bundle/posebert_b1.onnx.z", "bundle/manifest.json", "selfcheck.py", "feeds.npz"])
@pytest.mark.parametrize("damage", ["edit", "delete"])
def test_a_damaged_pack_is_refused(unpacked: Path, name: str, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = unpacked / name
    if damage == "delete":
        file.unlink()
    else:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    assert selfcheck.main(["--cpu"], unpacked) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert name in error
    assert "unpack it again" in error


def test_another_version_of_humanrt_is_refused(
    unpacked: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(humanrt, "__version__", "9.9")
    assert selfcheck.main(["--cpu"], unpacked) == 2
    assert "humanrt 9.9 is installed, but the pack is for" in capsys.readouterr().err


def test_a_damaged_bundle_is_not_packed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(SHIPPED / "posebert-hand", tmp_path / "bundle")
    graph = tmp_path / "bundle" / "posebert_b1.onnx.z"
    graph.write_bytes(graph.read_bytes()[:-1])
    out = tmp_path / "pack.tar.gz"
    assert main(["pack", str(tmp_path / "bundle"), "--out", str(out)]) == 2
    assert "posebert_b1.onnx.z is damaged" in capsys.readouterr().err
    assert not out.exists()


def test_engines_stay_behind(pinned: None, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(SHIPPED / "posebert-hand", folder)
    (folder / "engines").mkdir()
    (folder / "engines" / "a.plan").write_bytes(b"plan")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "engines": {"a": {"file": "engines/a.plan"}}}))
    with tarfile.open(pack(load_bundle(folder), tmp_path / "pack.tar.gz", TARGET)) as opened:
        assert not [name for name in opened.getnames() if "engines/" in name]
        packed = opened.extractfile(f"posebert-hand-{TARGET}/bundle/manifest.json")
        assert packed is not None
        assert "engines" not in json.load(packed)


def test_an_archive_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HumanrtError, match="cannot be written"):
        write_archive(tmp_path / "file" / "pack.tar.gz", "root", {"a": b"1"})


def test_the_library_is_compiled_for_the_other_processor(pinned: None) -> None:
    pytest.importorskip("ziglang", reason="ziglang compiles for other processors")
    other = next(name for name in wheel.PLATFORMS if name != TARGET)
    name, data = wheel.make_wheel(other)
    assert name.endswith(f"manylinux_2_17_{wheel.PLATFORMS[other][1]}.whl")
    import io

    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        library = opened.read("humanrt/_native/humanrt.so")
    assert library[:4] == b"\x7fELF"
    assert library[18] == {"linux-aarch64": 183, "linux-x86_64": 62}[other]  # e_machine


@pytest.mark.slow
def test_it_runs_where_nothing_is_installed(unpacked: Path) -> None:
    """The three commands of README.txt, in a fresh environment."""
    venv.create(unpacked / "env", with_pip=True)
    python = unpacked / "env" / "bin" / "python"
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(unpacked)}
    alone = subprocess.run([python, "selfcheck.py"], cwd=unpacked, env=clean, capture_output=True, text=True)
    assert alone.returncode != 0
    assert "run first: pip install -r requirements.txt" in alone.stderr
    subprocess.run([python, "-m", "pip", "install", "-q", "-r", "requirements.txt"], cwd=unpacked, check=True)
    checked = subprocess.run([python, "selfcheck.py", "--cpu"], cwd=unpacked, env=clean, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    sys.stdout.write(checked.stdout)
