"""The compiled library: one that is there and refused is warned of once and not loaded again."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from humanrt import native
from humanrt.errors import BackendError


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What was found out before does not count, nor does it afterwards."""
    for remembered in (native._load, native._warn):
        remembered.cache_clear()
    yield
    for remembered in (native._load, native._warn):
        remembered.cache_clear()


def test_one_that_cannot_be_loaded_is_tried_and_warned_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "refused.so"
    path.write_bytes(b"not a library")
    monkeypatch.setattr(native, "LIBRARY", path)
    tried: list[str] = []
    load = ctypes.CDLL
    monkeypatch.setattr(native.ctypes, "CDLL", lambda name: (tried.append(name), load(name))[1])
    with pytest.warns(native.RefusedLibraryWarning, match=r"refused\.so cannot be loaded") as caught:
        reasons = {native.problem() for _ in range(3)} | {native.amx_problem(), native.int16_problem()}
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert len(reasons) == 1
    with pytest.raises(BackendError, match="cannot be loaded"):
        native.library()
    assert tried == [str(path)]


@pytest.mark.skipif(not native.LIBRARY.is_file(), reason="there is no compiled library")
def test_one_of_another_version_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "VERSION", native.VERSION + 1)
    with pytest.warns(native.RefusedLibraryWarning, match=f"is of version {native.VERSION - 1}, not {native.VERSION}"):
        native.problem()


def test_one_that_is_absent_is_not_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "absent.so")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "is missing" in str(native.problem())


def test_who_demands_it_gets_the_error_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "refused.so"
    path.write_bytes(b"not a library")
    monkeypatch.setattr(native, "LIBRARY", path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BackendError, match="cannot be loaded"):
            native.library()
