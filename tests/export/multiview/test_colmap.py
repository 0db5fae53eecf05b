"""Cameras by COLMAP: what is taken from it, and what is said where it is not there or finds nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from multiview_cases import camera

from humanrt.errors import HumanrtError, SourceError
from humanrt_export.commands.fit import FitConfig
from humanrt_export.multiview.colmap import scene_by_colmap

VIEWS = [camera(angle) for angle in np.linspace(0, 1, 10)]


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30, (64, 96))
    for level in range(20):
        writer.write(np.full((96, 64, 3), 10 * level, np.uint8))
    writer.release()
    return path


def stand_in(found: int, seen: list[str]) -> Any:
    """A pycolmap that finds the first cameras of `VIEWS`."""
    module: Any = ModuleType("pycolmap")

    def mapping(database: Path, frames: Path, out: Path, options: Any) -> dict[int, Any]:
        names = sorted(path.name for path in frames.iterdir())
        seen.extend(names)
        images = {}
        for k in range(found):
            view = VIEWS[k]
            pose = SimpleNamespace(rotation=SimpleNamespace(matrix=lambda view=view: view.R), translation=view.T)
            images[k] = SimpleNamespace(name=names[k], camera_id=1, cam_from_world=lambda pose=pose: pose)
        cameras = {1: SimpleNamespace(calibration_matrix=lambda: VIEWS[0].K)}
        return {0: SimpleNamespace(images=images, cameras=cameras, num_reg_images=lambda: found)} if found else {}

    nothing: Callable[..., None] = lambda *given, **options: None  # noqa: E731
    module.logging, module.set_random_seed, module.extract_features = SimpleNamespace(), nothing, nothing
    module.match_exhaustive, module.incremental_mapping = nothing, mapping
    for name in (
        "FeatureExtractionOptions",
        "ImageReaderOptions",
        "FeatureMatchingOptions",
        "IncrementalPipelineOptions",
    ):
        setattr(module, name, SimpleNamespace)
    module.CameraMode, module.Device = SimpleNamespace(SINGLE=0), SimpleNamespace(cpu=0)
    return module


def test_cameras_are_those_of_the_frames(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setitem(sys.modules, "pycolmap", stand_in(8, seen))
    scene = scene_by_colmap(video, most=10)
    assert len(seen) == 10
    assert scene.still
    assert scene.frames == tuple(int(Path(name).stem) for name in seen[:8])
    assert scene.frames[:3] == (0, 2, 4)
    assert scene.fps == pytest.approx(30)
    for view, true in zip(scene.views, VIEWS, strict=False):
        assert view.size == (64, 96)
        assert view.centre == pytest.approx(true.centre)
        assert np.allclose(view.K, true.K)


@pytest.mark.parametrize("found", [0, 7])
def test_too_few_cameras_are_refused(video: Path, monkeypatch: pytest.MonkeyPatch, found: int) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", stand_in(found, []))
    with pytest.raises(SourceError, match=f"finds the cameras of {found} of 10 frames"):
        scene_by_colmap(video, most=10)


def test_mistakes_teach(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(HumanrtError, match=r'pip install "humanrt\[colmap\]"'):
        scene_by_colmap(video)
    with pytest.raises(HumanrtError, match="--cameras colmap knows no metres: give --stature"):
        FitConfig(views=video, out=tmp_path / "out", cameras="colmap")
