"""Wheels for all platforms, cross-compiled here by Zig, and checked: `make wheels`.

    python tests/wheels.py --out dist              all of them
    python tests/wheels.py --out dist linux-aarch64

Each is checked for what a user of that platform needs: a library for that processor and system and no other, the
bundles that ship, both commands, and a RECORD whose hashes are right. Needs hatchling and ziglang.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import io
import os
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from hatch_build import FOR, TARGETS  # noqa: E402

LIBRARIES = (".so", ".dylib", ".dll")
_ELF = {62: "x86_64", 183: "aarch64"}
_PE = {0x8664: "AMD64", 0xAA64: "ARM64"}
_MACH = {0x01000007: "x86_64", 0x0100000C: "arm64"}


def library_of(data: bytes) -> tuple[str, str]:
    """Return the system and the processor that a shared library is for, by its header."""
    if data[:4] == b"\x7fELF":
        return "linux", _ELF[struct.unpack_from("<H", data, 18)[0]]
    if data[:4] == b"\xcf\xfa\xed\xfe":
        return "darwin", _MACH[struct.unpack_from("<I", data, 4)[0]]
    assert data[:2] == b"MZ", "not a shared library of a known kind"
    (header,) = struct.unpack_from("<I", data, 60)
    return "win32", _PE[struct.unpack_from("<H", data, header + 4)[0]]


def check(wheel: Path, system: str, machine: str) -> str:
    """Check a wheel; returns a line of the table. AssertionError says what is wrong."""
    tag = TARGETS[system, machine][2]
    assert wheel.name.endswith(f"-py3-none-{tag}.whl"), wheel.name
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        libraries = [name for name in names if name.endswith(LIBRARIES)]
        assert libraries == [f"humanrt/_native/humanrt{TARGETS[system, machine][3]}"], libraries
        library = archive.read(libraries[0])
        assert library_of(library) == (system, machine), library_of(library)
        for bundle in sorted(path.parent.name for path in (ROOT / "engines").glob("*/manifest.json")):
            assert f"humanrt/engines/{bundle}/manifest.json" in names, bundle
        (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        assert f"Tag: py3-none-{tag}" in archive.read(f"{info}/WHEEL").decode()
        commands = archive.read(f"{info}/entry_points.txt").decode()
        assert "humanrt = " in commands
        assert "humanrt-export = " in commands
        for name, digest, size in csv.reader(io.StringIO(archive.read(f"{info}/RECORD").decode())):
            if digest:
                data = archive.read(name)
                made = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
                assert (digest, int(size)) == (f"sha256={made}", len(data)), name
    sizes = f"{wheel.stat().st_size / 1e6:5.1f} MB, library {len(library) / 1e3:.0f} KB"
    return f"{wheel.name:<58} {sizes}, {len(names)} files"


def build(out: Path, system: str, machine: str) -> Path:
    """Build a wheel for a platform."""
    environment = {**os.environ, FOR: f"{system}-{machine}"}
    with tempfile.TemporaryDirectory(prefix="humanrt-wheel-") as folder:
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode or "WITHOUT its compiled library" in done.stdout + done.stderr:
            raise SystemExit(done.stdout + done.stderr)
        (made,) = Path(folder).glob("*.whl")
        out.mkdir(parents=True, exist_ok=True)
        target = out / made.name
        target.write_bytes(made.read_bytes())
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("platforms", nargs="*", help=f"of: {' '.join('-'.join(one) for one in TARGETS)}")
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    arguments = parser.parse_args()
    for system, machine in TARGETS:
        if not arguments.platforms or f"{system}-{machine}" in arguments.platforms:
            print(check(build(arguments.out, system, machine), system, machine), flush=True)


if __name__ == "__main__":
    main()
