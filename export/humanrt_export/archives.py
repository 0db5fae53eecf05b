"""Check that a downloaded archive is complete: its checksums, and its end.

`.pt` and `.npz` files are zip archives, and their readers silently accept a damaged one if only numbers changed.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

__all__ = ["damage"]

_MAGIC = b"PK\x03\x04"
_CHUNK = 1 << 20
_ALWAYS = 1 << 26  # bytes to which any member may unpack; beyond it,
_MOST = 100  # times its stored size


def damage(path: Path) -> str | None:
    """Return what is wrong with a zip archive, for a message; None if nothing is, or if the file is not an archive.

    Reads the whole file, about a second per gigabyte. OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            return None
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        return f"its end is missing or damaged ({error})"
    with archive:
        members = archive.infolist()
        for member in members:  # weights do not compress that much: the file was made to exhaust memory
            if member.file_size > max(_ALWAYS, _MOST * member.compress_size):
                return f"its member `{member.filename[:100]}` unpacks to more than {_MOST} times its size"
        if not any(member.CRC for member in members):  # `torch.serialization.set_crc32_options(False)` writes none
            return None
        for member in members:
            try:
                with archive.open(member) as stream:
                    while stream.read(_CHUNK):
                        pass
            # A damaged header asks for passwords, unknown compression, or offsets outside the file.
            except (zipfile.BadZipFile, zlib.error, ValueError, RuntimeError, EOFError) as error:
                reason = str(error).partition("\n")[0]
                return f"its member `{member.filename}` is not what was saved ({reason})"
    return None
