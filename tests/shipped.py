"""The bundles that ship, by their folders in the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["shipped"]


def shipped(name: str) -> Path:
    """The folder of a bundle in ``engines/``; the test skips where it is not there."""
    folder = Path(__file__).resolve().parents[1] / "engines" / name
    if not (folder / "manifest.json").is_file():
        pytest.skip(f"no bundle in {folder}")
    return folder
