"""Reproducible archives: their bytes depend only on the content (no times, no owners, fixed order)."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from humanrt.files import file_sha256, opened_atomically

__all__ = ["SUMS", "sums", "write_archive"]

SUMS = "SHA256SUMS"
"""The file of an archive that lists the others, as ``sha256sum --check`` reads it."""

Content = bytes | Path


def sums(files: Mapping[str, Content]) -> bytes:
    """Return the content of `SUMS` for these files."""
    lines = []
    for name, content in sorted(files.items()):
        digest = hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else file_sha256(content)
        lines.append(f"{digest}  {name}\n")
    return "".join(lines).encode()


def write_archive(out: Path, root: str, files: Mapping[str, Content]) -> None:
    """Write ``out`` (.tar.gz) with these files below the folder ``root``, atomically. OutputError if that fails."""
    with (
        opened_atomically(out) as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"{root}/{name}")  # owner 0, time 0
            entry.mode = 0o755 if name.endswith(".py") else 0o644
            if isinstance(content, bytes):
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
            else:
                entry.size = content.stat().st_size
                with content.open("rb") as stream:
                    archive.addfile(entry, stream)
