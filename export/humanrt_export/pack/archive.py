"""Archives whose bytes depend on nothing but their content: no times, no owners, one order."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

from humanrt.errors import OutputError

__all__ = ["SUMS", "sums", "write_archive"]

SUMS = "SHA256SUMS"
"""The file of an archive that lists the others, as ``sha256sum --check`` reads it."""

Content = bytes | Path


def sums(files: Mapping[str, Content]) -> bytes:
    """`SUMS` of these files."""
    lines = []
    for name, content in sorted(files.items()):
        if isinstance(content, bytes):
            digest = hashlib.sha256(content).hexdigest()
        else:
            with content.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        lines.append(f"{digest}  {name}\n")
    return "".join(lines).encode()


def write_archive(out: Path, root: str, files: Mapping[str, Content]) -> None:
    """Write ``out`` (.tar.gz) with these files below the folder ``root``, in one rename. OutputError: it cannot be."""
    part = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=f".{out.name}-", dir=out.parent)
        with (
            os.fdopen(handle, "wb") as raw,
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
        Path(part).chmod(0o644)
        Path(part).replace(out)
    except OSError as error:
        raise OutputError(f"{out} cannot be written ({error.strerror or error}); choose another --out") from error
    finally:
        if part is not None:
            Path(part).unlink(missing_ok=True)
