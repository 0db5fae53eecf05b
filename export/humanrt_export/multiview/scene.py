"""Cameras, and what a landmark network saw in each of their pictures: `Scene`, `Sightings`.

Two things are one here. Synchronous cameras are V views of T times. People who hold still before one moving camera
are one time, of which every frame is a view: V frames, T = 1.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import Bundle
from humanrt.errors import SourceError
from humanrt.evaluation.calibrated import CALIBRATION, View, camera_of, frames_of, load_views
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.people.raw_tracker import RawTracker
from humanrt.sources.opening import VIDEO_SUFFIXES, open_source
from humanrt_export.multiview.silhouettes import Outline, outline_of

__all__ = ["LOGIT", "SIDE", "Scene", "Sightings", "load_scene", "observe"]

Array = NDArray[np.float64]

SIDE = 64
"""px, side of the silhouettes whose outlines are kept."""

LOGIT = 16
"""Steps of a logit's 1: between neighbouring pixels contours are where logits pass through 0."""

_MOST_DISTORTION = 1.0  # px, shift of a corner by the lens that is left out


@dataclass(frozen=True)
class Scene:
    """V views of T times.

    Attributes:
        views: of a moving camera each view is one frame.
        frames: [V] frame of the video of each view, of a moving camera; None: synchronous cameras.
        count: T.
        fps: of the videos.
    """

    views: tuple[View, ...]
    frames: tuple[int, ...] | None
    count: int
    fps: float

    @property
    def still(self) -> bool:
        """Whether people hold still before a moving camera."""
        return self.frames is not None


@dataclass(frozen=True)
class Sightings:
    """S finds of somebody in a picture.

    Attributes:
        view, time: int32 [S] which picture.
        track: int32 [S] whom the tracker took them for; unique in the scene.
        pixels: float32 [S, 33, 2] px, landmarks in the order of `humanrt.geometry.skeleton.MEDIAPIPE_33`.
        weight: float32 [S, 33] 0..1.
        crop: float32 [S, 4] x, y, size px, angle rad of the region that the network saw.
        outlines: [S] of silhouettes, None where there is none.
    """

    view: NDArray[np.int32]
    time: NDArray[np.int32]
    track: NDArray[np.int32]
    pixels: NDArray[np.float32]
    weight: NDArray[np.float32]
    crop: NDArray[np.float32]
    outlines: tuple[Outline | None, ...]

    def __len__(self) -> int:
        return len(self.view)

    @property
    def heights(self) -> Array:
        """[S] px, the longer side of the box of the landmarks that are seen."""
        seen = self.weight > 0.3
        low = np.where(seen[..., None], self.pixels, np.inf).min(axis=1)
        high = np.where(seen[..., None], self.pixels, -np.inf).max(axis=1)
        return np.asarray(np.maximum((high - low).max(axis=1), 1.0), np.float64)


def load_scene(folder: Path) -> Scene:
    """Read ``calibration.json`` of a folder, or that file.

    With ``cameras`` (name, video, size, K, R, T of each) it is of synchronous cameras; with ``video``, ``size`` and
    ``frames`` (frame, K, R, T of each) of one that moved around people who held still. OpenCV's convention, metres.

    Raises:
        SourceError: it is neither, a video is not there, two have one name, or lenses distort.
    """
    if folder.suffix.lower() in VIDEO_SUFFIXES and not folder.is_dir():
        raise SourceError(f"{folder}: is a video; give --cameras colmap --stature M, or the folder with {CALIBRATION}")
    path = folder if folder.is_file() else folder / CALIBRATION
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}; give the folder of {CALIBRATION}") from None
    except ValueError as error:
        raise SourceError(f"{path}: not JSON ({error})") from None
    if not isinstance(said, dict) or not ({"cameras", "frames"} & said.keys()):
        raise SourceError(f"{path}: has neither `cameras` nor `frames`; docs/use/fit.md has the layout of both")
    if "cameras" in said:
        views = load_views(path)
        _check_names(path, views)
        for one, view in zip(said["cameras"], views, strict=True):
            _check_lens(path, view, one.get("dist", ()))
        lengths = [_length(view.video) for view in views]
        return Scene(tuple(views), None, min(frames for frames, _ in lengths), lengths[0][1])
    return _moving(path, said)


def _moving(path: Path, said: dict[str, Any]) -> Scene:
    views, frames = [], []
    try:
        video = path.parent / str(said["video"])
        for one in said["frames"]:
            frames.append(int(one["frame"]))
            view = camera_of(one, f"frame {frames[-1]}", video, said["size"])
            views.append(replace(view, name=f"{frames[-1]}", R=matrices_from_vectors(vectors_from_matrices(view.R))))
            _check_lens(path, views[-1], one.get("dist", ()))
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path}: not the cameras of frames ({error}); docs/use/fit.md has the layout") from error
    if len(views) < 2 or sorted(set(frames)) != frames:
        raise SourceError(f"{path}: two frames at least, in rising order, each once, tell where somebody is")
    count, fps = _length(video)
    if frames[0] < 0 or frames[-1] >= count:
        raise SourceError(f"{path}: has frames {frames[0]} to {frames[-1]}, and {video} 0 to {count - 1}")
    return Scene(tuple(views), tuple(frames), 1, fps)


def _check_names(path: Path, views: Sequence[View]) -> None:
    """Refuse videos whose names without suffix are equal: the fit's files are named after them, in one folder."""
    first: dict[str, Path] = {}
    for view in views:
        # Some file systems take names that differ in case for one.
        other = first.setdefault(view.video.stem.casefold(), view.video)
        if other is not view.video:
            raise SourceError(f"{path}: {other} and {view.video} have one name; rename one of the videos")


def _check_lens(path: Path, view: View, distortion: Sequence[float]) -> None:
    """Refuse lenses whose distortion is more than what landmarks are off: `View` has none."""
    try:
        lens = np.array(distortion, np.float64).reshape(-1)
    except (ValueError, TypeError):
        lens = np.full(1, np.nan)
    if len(lens) not in (0, 4, 5, 8, 12, 14):
        raise SourceError(f"{path}: dist of {view.name} is not 4, 5, 8, 12 or 14 numbers, as OpenCV has them")
    if not len(lens):
        return
    corners = np.array([[x, y] for x in (0.0, view.size[0]) for y in (0.0, view.size[1])])[:, None]
    straight = cv2.undistortPoints(corners, view.K, lens, P=view.K)
    shift = float(np.abs(straight - corners).max())
    if not np.isfinite(shift):
        raise SourceError(f"{path}: dist of {view.name} is no lens; give OpenCV's numbers")
    if shift >= _MOST_DISTORTION:
        raise SourceError(f"{path}: the lens of {view.name} moves corners by {shift:.0f} px; undistort its video first")


def _length(video: Path) -> tuple[int, float]:
    """Return the number of frames and frames per second of a video, by reading it."""
    with open_source(video) as source:
        fps = source.fps or 30.0
        return sum(1 for _ in source), fps


def observe(
    scene: Scene, network: Bundle, *, threads: int = 1, progress: Callable[[str], None] = lambda text: None
) -> Sightings:
    """Return what a landmark network sees in all pictures, followed by the shipped tracker in each video.

    Args:
        scene: the cameras.
        network: bundle with the network and its silhouettes: ``holistic``.
        threads: of the networks.
        progress: is told how far it is.
    """
    rows: list[tuple[Any, ...]] = []
    outlines: list[Outline | None] = []
    offset = 0
    videos = [scene.views[0]] if scene.still else scene.views
    place = {} if scene.frames is None else {frame: k for k, frame in enumerate(scene.frames)}
    for number, view in enumerate(videos):
        most = 0
        with RawTracker(network, threads=threads) as tracker:
            for frame in frames_of(view):
                if not scene.still and frame.index >= scene.count:
                    break
                progress(f"{view.video.name}: frame {frame.index}")
                seen = tracker.observe(frame)
                height, width = frame.image.shape[:2]
                if (width, height) != view.size:
                    raise SourceError(f"{view.video}: {width} x {height} px, and its calibration {view.size}")
                if scene.still and frame.index not in place:
                    continue
                where = (place[frame.index], 0) if scene.still else (number, frame.index)
                for one in seen:
                    most = max(most, one.id)
                    crop = np.array([one.crop.x, one.crop.y, one.crop.size, one.crop.angle], np.float32)
                    outline = None
                    if one.silhouette is not None:
                        means = one.silhouette.reshape(SIDE, -1, SIDE, one.silhouette.shape[1] // SIDE).mean((1, 3))
                        logits = np.clip(np.round(LOGIT * means), -127, 127).astype(np.int8)
                        outline = outline_of(logits, crop, view.size)
                    outlines.append(outline)
                    weight = one.marks.weights(view.size)
                    rows.append((*where, offset + one.id, one.marks.landmarks_2d, weight, crop))
        offset += most
    if scene.still and len(place) > len({row[0] for row in rows}) == 0:
        raise SourceError(f"{scene.views[0].video}: nobody is found in any of its frames")
    if not rows:
        raise SourceError(f"{scene.views[0].video.parent}: nobody is found in any view")
    names, kinds = [one.name for one in fields(Sightings)][:-1], (*(np.int32,) * 3, *(np.float32,) * 3)
    arrays: dict[str, Any] = {
        name: np.array(column, kind) for name, column, kind in zip(names, zip(*rows, strict=True), kinds, strict=True)
    }
    return Sightings(**arrays, outlines=tuple(outlines))
