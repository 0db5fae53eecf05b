"""Archives that unpack to more than memory holds are no checkpoints."""

from __future__ import annotations

import zipfile
from pathlib import Path

from humanrt_export.archives import damage


def test_a_bomb_is_named_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("data/0", "w") as member,
    ):
        for _ in range(65):
            member.write(bytes(1 << 20))
    assert "`data/0` unpacks to more than 100 times its size" in str(damage(path))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data/0", bytes(1 << 20))  # small ones may: zeros of a toy
    assert damage(path) is None
