"""Several calibrated cameras: triangulation, paths, and the reader of format `views`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from humanrt.errors import SourceError
from humanrt.evaluation.calibrated import View, load_views, path_of, triangulate
from humanrt.evaluation.formats import read_data
from humanrt.geometry.camera import project
from humanrt.geometry.limbs import LIMBS
from humanrt.geometry.rotation import matrices_from_vectors

VIEWS = Path(__file__).parents[3] / "shared" / "media" / "views"
K = np.array([[1600.0, 0, 540], [0, 1600, 960], [0, 0, 1]])


def somebody(frames: int = 1) -> np.ndarray:
    """Return joints [T, 12, 3] m at the middle of the world, moving at a constant velocity."""
    generator = np.random.default_rng(0)
    pose = generator.uniform(-0.7, 0.7, (12, 3)) + np.array((0.1, -0.2, 0.0))
    return pose + np.arange(frames)[:, None, None] * generator.normal(0, 0.01, (12, 3))


def cameras() -> list[View]:
    views = []
    for angle in (0.0, 1.4, 2.8, 4.4):
        R = matrices_from_vectors(np.array([0.0, angle, 0.0]))
        views.append(View(f"{angle}", None, K, R, np.array([0.0, 0.0, 5.0]), (1080, 1920)))  # type: ignore[arg-type]
    return views


def pictures(views: Sequence[View], joints: np.ndarray) -> np.ndarray:
    return np.stack([project(view.camera(joints), view.K) for view in views])


def test_triangulation_is_exact_and_outvotes_one_view() -> None:
    views = cameras()
    truth = somebody()[0]
    points = pictures(views, truth)
    weights = np.ones(points.shape[:2])
    assert triangulate(views, points, weights) == pytest.approx(truth, abs=1e-9)
    points[2] += (80.0, -60.0)
    assert np.abs(triangulate(views, points, weights) - truth).max() < 0.01
    weights[2] = 0
    assert triangulate(views, points, weights) == pytest.approx(truth, abs=1e-9)


def test_the_path_outvotes_sides_exchanged_for_some_frames_of_two_views() -> None:
    views = cameras()
    truth = somebody(30)
    points = pictures(views, truth)
    swapped = [
        LIMBS.index(("right" if name.startswith("left") else "left") + name[name.index("_") :]) for name in LIMBS
    ]
    points[0, 10:15] = points[0, 10:15][:, swapped]
    points[1, 10:13] = points[1, 10:13][:, swapped]
    path = path_of(views, points, np.ones(points.shape[:3]))
    assert np.abs(path - truth).max() < 0.01


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real views of shared/media, of which only two frames each."""
    if not VIEWS.is_dir():
        pytest.skip(f"{VIEWS} is not here: it is shared with developers and CI only")
    folder = tmp_path_factory.mktemp("views")
    shutil.copy(VIEWS / "calibration.json", folder)
    for view in load_views(VIEWS):
        reader = cv2.VideoCapture(str(view.video))
        writer = cv2.VideoWriter(str(folder / view.video.name), cv2.VideoWriter_fourcc(*"mp4v"), 60, view.size)
        for _ in range(2):
            writer.write(reader.read()[1])
        writer.release()
    return folder


def test_the_real_views(short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data = read_data(short, "views")
    assert [clip.name for clip in data.clips] == ["cam01", "cam02", "cam03", "cam04"]
    assert not data.everybody
    assert data.root == "hips"
    whole = []
    for clip, view in zip(data.clips, load_views(short), strict=True):
        shots = list(clip.shots())
        assert len(shots) == 2
        for shot in shots:
            assert shot.people.joints.shape == (1, 12, 3)
            assert shot.people.wanted.tolist() == [True]
            # The man is in every picture, and his silhouette is about his joints.
            flat = project(shot.people.joints[0], view.K)
            assert ((flat > 0) & (flat < view.size)).all()
            assert shot.people.masks is not None
            mask = shot.people.masks(0)
            assert mask.shape == view.size[::-1]
            assert 0.01 < mask.mean() < 0.3
            inside = [mask[int(y), int(x)] for x, y in flat[[LIMBS.index("left_hip"), LIMBS.index("right_hip")]]]
            assert all(inside)
        whole.append((shots[0].people.joints[0] - view.T) @ view.R)
    # All cameras see the same man in the world, of a man's size.
    assert np.ptp(whole, axis=0).max() < 1e-6
    thigh = whole[0][LIMBS.index("left_hip")] - whole[0][LIMBS.index("left_knee")]
    assert 0.3 < np.linalg.norm(thigh) < 0.6


def test_a_calibration_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no calibrated views there"):
        load_views(tmp_path)
    camera = {"name": "a", "video": "a.mp4", "size": [4, 4], "K": np.eye(3).tolist(), "R": [1, 2, 3], "T": [0, 0, 0]}
    (tmp_path / "calibration.json").write_text(json.dumps({"cameras": [camera]}))
    with pytest.raises(SourceError, match="K, R or T of a is not"):
        load_views(tmp_path)
    camera["R"] = np.eye(3).tolist()
    (tmp_path / "calibration.json").write_text(json.dumps({"cameras": [camera]}))
    with pytest.raises(SourceError, match="1 cameras; two at least"):
        load_views(tmp_path)
    for key, value, words in (
        ("K", np.zeros((3, 3)).tolist(), "K of a is not .* with positive focal lengths"),
        ("R", np.diag((-1.0, 1, 1)).tolist(), "R of a is not a rotation"),
        ("T", [0, 0, float("nan")], "K, R or T of a is not finite"),
        ("size", [0, 4], "size of a is 0 x 4 px"),
    ):
        (tmp_path / "calibration.json").write_text(json.dumps({"cameras": [camera | {key: value}] * 2}))
        with pytest.raises(SourceError, match=words):
            load_views(tmp_path)
