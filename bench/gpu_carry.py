"""What a GPU machine without network needs for `bench/gpu_check.sh`, gathered in a folder: `.carry` by default.

    python bench/gpu_carry.py [--python 3.12] [--sm 90] [--out DIR]

- pycuda's sources and the wheels that it needs. It is compiled there (3 minutes on two cores).
- ONNX Runtime for CUDA 13, cut to what a GPU of ``--sm`` runs: machine code of the CUDA provider that is for other GPUs
  becomes zeros, which compress to nothing and which no driver looks at. It is unpacked there, not installed.
- the compiled library of this checkout, where it is there (`runtime/humanrt/_native`; any x86-64 Linux).

CUDA, cuDNN and PyTorch must be on that machine.
"""

from __future__ import annotations

import argparse
import io
import lzma
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYCUDA = "pycuda==2026.1"
ONNXRUNTIME = "onnxruntime-gpu==1.31.0"
NEEDED = ("pytools", "siphash24", "mako", "markupsafe", "platformdirs", "typing_extensions")
PROVIDER = "onnxruntime/capi/libonnxruntime_providers_cuda.so"
LEFT_OUT = ("providers_tensorrt", "/transformers/", "/tools/", "libonnxruntime.so")  # the last is C's, not Python's
_FATBIN = struct.pack("<I", 0xBA55ED50)


def cut(library: bytearray, sm: int) -> tuple[int, int]:
    """Zero the machine code of other GPUs in a library, in place; bytes kept and zeroed.

    CUDA's fat binaries: a header (magic, version, its size, size of what follows), then entries: kind (1 PTX, 2 machine
    code), its header's size, its payload's size, and the compute capability 28 bytes in.
    """
    kept = gone = 0
    at = library.find(_FATBIN)
    while at >= 0:
        header, size = struct.unpack_from("<HQ", library, at + 6)
        entry, end = at + header, at + header + size
        if header != 16 or end > len(library):  # these four bytes are something else
            at = library.find(_FATBIN, at + 4)
            continue
        while entry < end:
            kind, _, head, length = struct.unpack_from("<HHIQ", library, entry)
            (arch,) = struct.unpack_from("<I", library, entry + 28)
            if kind not in (1, 2) or head < 64:
                raise ValueError(f"a fat binary of another format than this script knows, at {entry}")
            if kind == 2 and arch == sm:
                kept += length
            else:
                library[entry + head : entry + head + length] = bytes(length)
                gone += length
            entry += head + length
        at = library.find(_FATBIN, end)
    if not kept:
        raise ValueError(f"the library holds no machine code for sm {sm}")
    return kept, gone


def download(package: str, out: Path, python: str, *options: str) -> None:
    """The package for Linux on x86-64."""
    platforms = [f"manylinux_2_{n}_x86_64" for n in (17, 24, 27, 28, 34)] + ["manylinux2014_x86_64"]
    binary = [
        "--only-binary=:all:", "--python-version", python, "--implementation", "cp",
        *(part for name in platforms for part in ("--platform", name)),
    ]  # fmt: skip
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(out), package]
    subprocess.run([*command, *(options or binary)], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="3.12", help="of that machine (3.12)")
    parser.add_argument("--sm", type=int, default=90, help="compute capability of its GPU (90: H100, H200)")
    parser.add_argument("--out", type=Path, default=ROOT / ".carry")
    parser.add_argument("--without", nargs="*", choices=("pycuda", "onnxruntime"), default=[])
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    if "pycuda" not in arguments.without:
        download(PYCUDA, out, arguments.python, "--no-binary=pycuda", "--no-build-isolation")
        for package in NEEDED:
            download(package, out, arguments.python)
    if "onnxruntime" not in arguments.without:
        with tempfile.TemporaryDirectory() as folder:
            download(ONNXRUNTIME, Path(folder), arguments.python)
            (wheel,) = Path(folder).glob("*.whl")
            with zipfile.ZipFile(wheel) as source, lzma.open(out / "onnxruntime_gpu.tar.xz", "wb", preset=6) as packed:
                kept, gone = repack(source, packed, arguments.sm)
        print(
            f"ONNX Runtime: {kept / 1e6:.0f} MB of machine code for sm {arguments.sm} kept, {gone / 1e6:.0f} MB zeroed"
        )
    native = ROOT / "runtime" / "humanrt" / "_native" / "humanrt.so"
    if native.is_file():
        shutil.copy(native, out)
    for file in sorted(out.iterdir()):
        print(f"{file.stat().st_size / 1e6:8.1f} MB  {file.name}")
    return 0


def repack(wheel: zipfile.ZipFile, packed: lzma.LZMAFile, sm: int) -> tuple[int, int]:
    """The wheel's files as a tar, the CUDA provider cut, without what is not needed to run graphs."""
    counts = (0, 0)
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in wheel.namelist():
            if name.endswith("/") or any(part in name for part in LEFT_OUT):
                continue
            data = bytearray(wheel.read(name))
            if name == PROVIDER:
                counts = cut(data, sm)
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
    return counts


if __name__ == "__main__":
    sys.exit(main())
