"""What several tests need: the shared input, where it is there, and small bundles made on the spot."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# The same examples in every run, so that a red CI is the change's doing; look for new ones with
# `pytest --hypothesis-profile explore`.
settings.register_profile("steady", derandomize=True)
settings.register_profile("explore", derandomize=False)
settings.load_profile("steady")

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def hand_video() -> Path:
    """The real hand of shared/media, which is not part of the project."""
    path = SHARED / "media" / "hand.mp4"
    if not path.is_file():
        pytest.skip(f"{path} is not here: it is shared with developers and CI only")
    return path


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes a bundle of given files and manifest entries: ``make_bundle({"a.onnx": b"..."}, graphs={...})``."""

    def make(files: dict[str, bytes], name: str = "toy", **entries: Any) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file, content in files.items():
            (folder / file).write_bytes(content)
        manifest = {
            "format": 1,
            "name": name,
            "task": "hands",
            "licence": "Apache-2.0",
            "graphs": {},
            "files": {
                file: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
                for file, content in files.items()
            },
            **entries,
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    return make
