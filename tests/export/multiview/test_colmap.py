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


@pytest.mark.parametrize("error", [RuntimeError("disk I/O\nerror"), ValueError("disk I/O error")])
def test_what_colmap_throws_is_one_line(video: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*given: Any, **options: Any) -> None:
        raise error

    module = stand_in(8, [])
    module.extract_features = fail
    monkeypatch.setitem(sys.modules, "pycolmap", module)
    with pytest.raises(SourceError, match=r"film\.mp4: COLMAP fails \(disk I/O error\); is there space in ") as said:
        scene_by_colmap(video, most=10)
    assert "\n" not in str(said.value)


def textured(folder: Path) -> tuple[Path, np.ndarray]:
    """A film of a camera that passes a wall and boxes before it, and the camera's centres [10, 3]."""
    random, size = np.random.default_rng(0), 320
    walls = [(6.0, (-6.0, -3.0, 12.0))] + [(float(z), (x, -0.6, 1.0)) for z, x in ((4, -1.5), (3, 0.2), (3.5, 1.4))]
    paints = [cv2.resize(random.integers(0, 255, (60, 60, 3), np.uint8), (600, 600)) for _ in walls]
    path, centres = folder / "walk.mp4", np.c_[np.linspace(-0.8, 0.8, 10), np.zeros((10, 2))]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 30, (size, size))
    for centre in centres:
        picture = np.full((size, size, 3), 128, np.uint8)
        for (z, (x, y, wide)), paint in zip(walls, paints, strict=True):
            corners = np.array([[x, y], [x + wide, y], [x + wide, y + wide], [x, y + wide]]) - centre[:2]
            flat = (300 * corners / z + size / 2).astype(np.float32)
            warp = cv2.getPerspectiveTransform(np.array([[0, 0], [600, 0], [600, 600], [0, 600]], np.float32), flat)
            cv2.warpPerspective(paint, warp, (size, size), dst=picture, borderMode=cv2.BORDER_TRANSPARENT)
        writer.write(picture)
    writer.release()
    return path, centres


def test_colmap_itself(video: Path, tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    with pytest.raises(SourceError, match=r"COLMAP (fails \(|finds the cameras of 0 of 10 frames)") as said:
        scene_by_colmap(video, most=10)  # nothing but grey
    assert "\n" not in str(said.value)
    path, centres = textured(tmp_path)
    scene = scene_by_colmap(path)
    assert len(scene.views) == 10
    found = np.array([view.centre for view in scene.views])
    steps, true = (np.linalg.norm(np.diff(one, axis=0), axis=1) for one in (found, centres))
    assert steps / steps.mean() == pytest.approx(true / true.mean(), abs=0.1)


def test_mistakes_teach(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(HumanrtError, match=r'pip install "humanrt\[colmap\]"'):
        scene_by_colmap(video)
    with pytest.raises(HumanrtError, match="--cameras colmap knows no metres: give --stature"):
        FitConfig(views=video, out=tmp_path / "out", cameras="colmap")
