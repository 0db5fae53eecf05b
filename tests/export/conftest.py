"""What the export tests share: the models of the mediapipe wheel, where it lies on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from humanrt.errors import MissingDependencyError
from shipped import shipped

ROOT = Path(__file__).resolve().parents[2]
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
    """The flatbuffers of the hands and LICENSE, by name."""
    pytest.importorskip("onnx", reason="needs humanrt[export]")
    pytest.importorskip("tflite", reason="needs humanrt[export]")
    from humanrt_export.conversion.hands import SOURCES
    from humanrt_export.conversion.mediapipe_models import read_wheel

    return read_wheel(wheel, SOURCES)


@pytest.fixture(scope="session")
def bundle() -> Path:
    """The bundle `hands`."""
    return shipped("hands")


@pytest.fixture(scope="session")
def gl() -> None:
    """Something is about to be rendered: skips where it cannot be."""
    pytest.importorskip("moderngl", reason="moderngl is not installed: pip install moderngl")
    from humanrt_export.synthetic.hand_scene import Camera
    from humanrt_export.synthetic.offscreen import Offscreen

    try:
        Offscreen(Camera((64, 48))).close()
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def video() -> Path:
    if not VIDEO.is_file():
        pytest.skip(f"no recording at {VIDEO}")
    return VIDEO
