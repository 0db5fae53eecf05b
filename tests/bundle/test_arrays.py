"""Archives of arrays are read without running, believing or unpacking what should not be."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from humanrt.bundle.arrays import read_arrays


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name + ".npy", content)
    return path


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def test_what_numpy_writes_is_read_as_numpy_reads_it(tmp_path: Path) -> None:
    arrays = {
        "rows": np.arange(6.0).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "nothing": np.zeros((0, 3), np.float32),
        "number": np.array(3.5),
        "text": np.array(["a", "bcd"]),
        "flags": np.array([True, False]),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        found = read_arrays(tmp_path / "a.npz")
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
    assert list(read_arrays(tmp_path / "a.npz", wanted=("text", "absent"))) == ["text"]
    assert list(read_arrays(io.BytesIO((tmp_path / "a.npz").read_bytes()), wanted=("rows",))) == ["rows"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 3), }"), "less data than"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 3), }", bytes(24)), "less data than|no header"),
        (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", bytes(8)), "less data than|truncated"),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", pickle.dumps([1])), "objects"),
        (npy("{'descr': '<f8', (", bytes(8)), "no header"),  # what numpy's tokenizer stumbles over
        (npy("[" * 5000), "no header"),
        (b"\x93NUMPY\x07\x00", "unknown format"),
        (b"not numpy", "magic"),
        (b"", "EOF|magic|truncated"),
    ],
)
def test_headers_are_not_believed(content: bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=says):
        read_arrays(archive(tmp_path / "a.npz", x=content))


def test_bombs_and_damage_are_refused(tmp_path: Path) -> None:
    nine = "{'descr': '|u1', 'fortran_order': False, 'shape': (9,), }"
    bomb = archive(tmp_path / "bomb.npz", x=npy(nine, bytes(1 << 22)))
    with pytest.raises(ValueError, match="larger than 1 MiB"):
        read_arrays(bomb, max_bytes=1 << 20)
    assert bomb.stat().st_size < 1 << 16
    good = archive(tmp_path / "good.npz", x=npy(nine, bytes(9)))
    content = bytearray(good.read_bytes())
    for cut in (0, 10, len(content) - 30):
        (tmp_path / "cut.npz").write_bytes(content[:cut])
        with pytest.raises(ValueError, match=r"."):
            read_arrays(tmp_path / "cut.npz")
    with pytest.raises(OSError, match="No such file"):
        read_arrays(tmp_path / "absent.npz")
