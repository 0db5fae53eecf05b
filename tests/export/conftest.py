"""What the export tests share: the models of the mediapipe wheel, where it lies on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "engines" / "hands"
VIDEO = ROOT.parent / "shared" / "media" / "hand.mp4"


def _wheels() -> Iterator[Path]:
    if given := os.environ.get("HUMANRT_MEDIAPIPE_WHEEL"):
        yield Path(given)
    for folder in (ROOT.parent / "venvs" / "mp", Path.home() / ".cache" / "humanrt" / "downloads"):
        yield from sorted(folder.glob("mediapipe-0.10.21-*.whl"))


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The mediapipe wheel; tests that need it skip where it is not on this machine."""
    path = next((item for item in _wheels() if item.is_file()), None)
    if path is None:
        pytest.skip("no mediapipe 0.10.21 wheel here; set HUMANRT_MEDIAPIPE_WHEEL to its file")
    return path


@pytest.fixture(scope="session")
def models(wheel: Path) -> dict[str, bytes]:
    """The three flatbuffers and LICENSE, by name."""
    pytest.importorskip("onnx", reason="needs humanrt[export]")
    pytest.importorskip("tflite", reason="needs humanrt[export]")
    from humanrt_export.hands import SOURCES
    from humanrt_export.mediapipe_models import read_wheel

    return read_wheel(wheel, SOURCES)


@pytest.fixture(scope="session")
def bundle() -> Path:
    """The shipped bundle's folder."""
    if not (BUNDLE / "manifest.json").is_file():
        pytest.skip(f"no shipped bundle in {BUNDLE}")
    return BUNDLE


@pytest.fixture(scope="session")
def video() -> Path:
    if not VIDEO.is_file():
        pytest.skip(f"no recording at {VIDEO}")
    return VIDEO
