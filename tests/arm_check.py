"""The wheel for Arm, installed and run under emulation, computes what x86-64 computes: the table of
docs/deploy/platforms.md.

    apt-get install qemu-user-static
    python tests/arm_check.py                 # an hour on one core; files in build/arm, gone on with there
    python tests/arm_check.py hands people    # these parts only

It cross-compiles the wheel (`tests/wheels.py`: needs hatchling and ziglang), takes an Arm Python from Debian's packages
by name, without touching this system's own, and Arm wheels of what humanrt needs from PyPI, and runs
`tests/arm_probe.py` with both. Exit status 1 if a difference is above its limit. For Linux on x86-64 with apt.

qemu emulates instructions and not their speed: nothing here says how fast an Arm machine is.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from arm_probe import PARTS
from wheels import build

ROOT = Path(__file__).resolve().parents[1]
PROBE = ROOT / "tests" / "arm_probe.py"
QEMU = "qemu-aarch64-static"
PYTHON = "3.11"
# Debian 12's Python and the libraries that it and the wheels need.
DEBIAN = (
    *("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libssl3", "libffi8", "libbz2-1.0", "liblzma5"),
    *("libsqlite3-0", "libuuid1", "libpython3.11-minimal", "libpython3.11-stdlib", "python3.11-minimal"),
)
# The newest ONNX Runtime that qemu 7.2 runs was 1.27: 1.31 crashes in it at import. humanrt takes 1.20 to 1.31.
WHEELS = ("onnxruntime==1.27.0", "numpy==1.26.4", "opencv-python-headless==4.11.0.86")

# Unit: largest difference allowed. Grey levels: of what the compiled library gives, which elsewhere uses AVX2.
LIMITS = {"px": 0.01, "rad": 1e-4, "mm": 0.05, "grey levels": 0.02}
# By OpenCV and its FFmpeg, which differ: stated, not judged. All parts get the same decoded pictures.
NOT_OURS = "OpenCV"


def install_python(folder: Path) -> Path:
    """Unpack Debian's Arm Python below ``folder``, without installing it; return that root."""
    root = folder / "root"
    if (root / "usr/bin" / f"python{PYTHON}").exists():
        return root
    state, packages = folder / "apt", folder / "debian"
    for path in (state / "lists/partial", state / "cache/archives/partial", packages, root):
        path.mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    own = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "Dir::State": state,
        "Dir::State::lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
    }
    apt = ["apt-get", "-qq", *(word for key, value in own.items() for word in ("-o", f"{key}={value}"))]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "download", *DEBIAN], cwd=packages, check=True)
    for package in sorted(packages.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    return root


def install_wheels(folder: Path) -> list[Path]:
    """Unpack the wheels of humanrt and of what it needs; return the folders for PYTHONPATH."""
    needed = folder / "needed"
    if not needed.is_dir():
        platforms = [f"manylinux{suffix}_aarch64" for suffix in ("2014", "_2_17", "_2_27", "_2_28")]
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
        command += ["--python-version", PYTHON, "--implementation", "cp", "-d", str(folder / "wheels")]
        command += [word for platform in platforms for word in ("--platform", platform)]
        subprocess.run([*command, *WHEELS], check=True)
        _unpack(sorted((folder / "wheels").glob("*.whl")), needed)
    own = folder / "humanrt"
    shutil.rmtree(own, ignore_errors=True)
    _unpack([build(folder / "dist", "linux", "aarch64")], own)
    return [own, needed]


def _unpack(wheels: list[Path], folder: Path) -> None:
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)


def compare(arm: Path, x86: Path) -> list[tuple[str, str, str, float, float | None]]:
    """Return a row for each quantity: what, unit, shape, largest difference, and its limit."""
    rows = []
    with np.load(arm) as found, np.load(x86) as expected:
        for key in found.files:
            name, _, unit = key.removesuffix("]").partition(" [")
            a, b = found[key], expected[key]
            if a.shape != b.shape:
                raise SystemExit(f"{name}: {list(a.shape)} on Arm, {list(b.shape)} on x86-64: others were found")
            if unit == "rad" and a.shape[-2:] == (3, 3):
                # Of the rotation between the two: |R - S| / sqrt(2) is its angle where that is small.
                difference = np.linalg.norm(np.subtract(a, b, dtype=np.float64), axis=(-2, -1)) / np.sqrt(2)
            else:
                difference = np.abs(np.subtract(a, b, dtype=np.float64))
            limit = None if NOT_OURS in name else LIMITS[unit]
            rows.append((name, unit, "x".join(map(str, a.shape)), float(difference.max()), limit))
    return rows


def as_markdown(rows: list[tuple[str, str, str, float, float | None]]) -> str:
    lines = ["| what | numbers | largest difference | limit |", "| --- | --- | --- | --- |"]
    for name, unit, shape, difference, limit in rows:
        allowed = "not ours" if limit is None else f"{limit:g} {unit}"
        lines.append(f"| {name.replace('/', ': ', 1)} | {shape} | {difference:.2g} {unit} | {allowed} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {' '.join(PARTS)}")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "arm", help="folder that is gone on with")
    arguments = parser.parse_args()
    work, parts = arguments.work.resolve(), arguments.parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there is: {', '.join(PARTS)}")
    if shutil.which(QEMU) is None:
        raise SystemExit(f"{QEMU} is missing: apt-get install qemu-user-static")
    work.mkdir(parents=True, exist_ok=True)
    root, paths = install_python(work), install_wheels(work)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    arm_environment = {**environment, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    emulated = [QEMU, "-L", str(root), str(root / "usr/bin" / f"python{PYTHON}"), str(PROBE)]
    pictures, rows = work / "pictures.npz", []
    subprocess.run([sys.executable, PROBE, "--pictures", pictures], env=environment, check=True)
    for part in parts:
        for command, where, machine in (
            ([sys.executable, str(PROBE)], environment, "x86"),
            (emulated, arm_environment, "arm"),
        ):
            subprocess.run([*command, pictures, work / f"{machine}-{part}.npz", part], env=where, check=True)
        of_part = compare(work / f"arm-{part}.npz", work / f"x86-{part}.npz")
        print(as_markdown(of_part), flush=True)
        rows += of_part
    print(as_markdown(rows))
    wrong = [row for row in rows if row[4] is not None and not row[3] <= row[4]]
    for name, unit, _, difference, limit in wrong:
        print(f"{name}: {difference:.3g} {unit}, above {limit:g}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
