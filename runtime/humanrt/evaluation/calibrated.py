"""One person before several synchronous calibrated cameras, and where their joints are.

There is no truth of a real picture but what several views agree on. Here: the 33 landmarks of a network (the shipped
``pose_landmark_heavy``) in every view at every frame, tracked by the shipped tracker; of several finds in a view the
combination over the views that triangulates best; a robust triangulation of each joint (weights are visibility, divided
ten times by 1 + (distance / 15 px)^2); and then one path per joint over all frames that minimises

    sum over views of  w x (distance from the landmark's line of sight)^2 + 100 x (second difference in time)^2,
    w = visibility / (1 + (distance in the picture / 15 px)^2)^2, made anew 20 times (Geman and McClure's weights),

which outvotes left and right exchanged in some frames of a view. The weight 100 is the one that best predicts another
network's landmarks (those of ``full``, on ../shared/media/views: median 16.0 px; 16.4 at 1, 16.5 at 300). Joints stay
15-20 mm unsure, and what all views misplace alike is not seen.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import Bundle, cache_folder, load_bundle
from humanrt.bundle.arrays import read_arrays
from humanrt.bundle.settings import BodyNetworkSettings
from humanrt.errors import HumanrtError, SourceError
from humanrt.files import write_atomically
from humanrt.geometry.limbs import limb_indices
from humanrt.geometry.region import Region
from humanrt.geometry.skeleton import MEDIAPIPE_33
from humanrt.people.raw_tracker import RawTracker, Seen
from humanrt.sources.opening import Frame, open_source

__all__ = [
    "CALIBRATION", "View", "ViewsTruth", "camera_of", "frames_of", "load_truth", "load_views", "path_of", "pick",
    "triangulate",
]  # fmt: skip

Array = NDArray[Any]

CALIBRATION = "calibration.json"
"""File beside the videos: ``{"cameras": [{"name", "video", "size", "K", "R", "T"}, ...]}``, in OpenCV's convention."""

_LAYOUT = 3  # of the cached truth
_PX = 15.0  # px, distance at which a landmark counts a half
_CALM = 100.0  # weight of second differences
_LOST = 100.0  # px, cost of a landmark that does not fit at all
_SIDE, _FULL = 128, 256  # px of a silhouette: kept, and of the network
_LIMBS = limb_indices(MEDIAPIPE_33)


@dataclass(frozen=True)
class View:
    """One camera.

    Attributes:
        name: of the camera.
        video: its file.
        K: [3, 3] px, counted from the picture's corner as humanrt counts.
        R, T: [3, 3] and [3] m; x_camera = R x_world + T.
        size: (width, height) px.
    """

    name: str
    video: Path
    K: Array
    R: Array
    T: Array
    size: tuple[int, int]

    def camera(self, points: Array) -> Array:
        """Return points [..., 3] m of the world in camera space."""
        return np.asarray(points @ self.R.T + self.T)

    @property
    def centre(self) -> Array:
        """[3] m, the camera's centre in the world."""
        return np.asarray(-self.R.T @ self.T)

    def rays(self, pixels: Array) -> Array:
        """Return unit vectors [..., 3] in the world's axes along the lines of sight of pixels [..., 2]."""
        ends = np.concatenate([pixels, np.ones_like(pixels[..., :1])], -1) @ np.linalg.inv(self.K).T @ self.R
        return np.asarray(ends / np.linalg.norm(ends, axis=-1, keepdims=True))


@dataclass(frozen=True)
class ViewsTruth:
    """Where the person is, at T frames in V views.

    Attributes:
        joints: [T, 12, 3] m of the world, in the order of `humanrt.geometry.limbs.LIMBS`.
        crops: [V, T, 4] x, y, size px, angle rad: regions of the network's silhouettes.
        silhouettes: [V, T, 128, 128] float16 logits in these regions that a pixel is the person's.
    """

    joints: Array
    crops: Array
    silhouettes: Array

    def silhouette(self, view: int, frame: int, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the person's mask [H, W] in a picture of ``size`` (W, H) px: logits, linear in between, above 0."""
        logits = self.silhouettes[view, frame].astype(np.float32)
        # OpenCV counts from the first pixel's centre, regions from its corner.
        corner = Region(*self.crops[view, frame].tolist()).to_image(len(logits))
        corner[:, 2] += corner[:, :2] @ (0.5, 0.5) - 0.5
        return np.asarray(
            cv2.warpAffine(logits, corner, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=-9)
            > 0
        )


def load_views(folder: Path) -> list[View]:
    """Load the cameras of a folder, or of its calibration file. SourceError if it does not hold them."""
    path = folder if folder.is_file() else folder / CALIBRATION
    try:
        said = json.loads(path.read_text(encoding="utf-8"))["cameras"]
        views = [camera_of(one, str(one["name"]), path.parent / str(one["video"]), one["size"]) for one in said]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{folder}: no calibrated views there ({error}); give the folder of {CALIBRATION}") from error
    if len(views) < 2:
        raise SourceError(f"{path}: {len(views)} cameras; two at least see where a joint is")
    return views


def camera_of(said: dict[str, Any], name: str, video: Path, size: Sequence[int]) -> View:
    """Return the camera of an entry with K, R and T in OpenCV's convention. ValueError if they are none."""
    K, R, T = (np.array(said[key], np.float64) for key in ("K", "R", "T"))
    if K.shape != (3, 3) or R.shape != (3, 3) or T.shape != (3,):
        raise ValueError(f"K, R or T of {name} is not [3, 3], [3, 3], [3]")
    if not all(np.isfinite(array).all() for array in (K, R, T)):
        raise ValueError(f"K, R or T of {name} is not finite")
    if min(K[0, 0], K[1, 1]) <= 0 or not np.allclose(K[[1, 2, 2, 2], [0, 0, 1, 2]], (0, 0, 0, 1), atol=1e-6):
        raise ValueError(f"K of {name} is not [[fx, s, cx], [0, fy, cy], [0, 0, 1]] with positive focal lengths")
    if not np.allclose(R @ R.T, np.eye(3), atol=1e-2) or np.linalg.det(R) < 0:
        raise ValueError(f"R of {name} is not a rotation")
    width, height = (int(side) for side in size)
    if min(width, height) < 1:
        raise ValueError(f"size of {name} is {width} x {height} px")
    K[:2, 2] += 0.5  # OpenCV counts from the first pixel's centre
    return View(name, video, K, R, T, (width, height))


def frames_of(view: View) -> Iterator[Frame]:
    """Yield the frames of a view."""
    with open_source(view.video) as source:
        yield from source


def load_truth(views: Sequence[View], network: Bundle | None = None, *, threads: int = 1) -> ViewsTruth:
    """Return the truth from landmarks of a network with silhouettes, from the cache folder if it is there.

    Args:
        views: the cameras.
        network: bundle with the network; None: `holistic`, whose network is ``pose_landmark_heavy``.
        threads: of the network.
    """
    network = network or load_bundle("holistic", task="people")
    settings = BodyNetworkSettings.of(network)
    digest = hashlib.sha256(f"{_LAYOUT}".encode())
    digest.update(hashlib.sha256(network.graph(settings.silhouette or settings.graph).path.read_bytes()).digest())
    for path in (*(view.video for view in views), views[0].video.with_name(CALIBRATION)):
        digest.update(path.read_bytes())
    cached = cache_folder() / "bench" / f"views-{digest.hexdigest()[:16]}.npz"
    names = ("joints", "crops", "silhouettes")
    if cached.is_file():
        arrays = read_arrays(cached, 1 << 34)
        return ViewsTruth(*(arrays[name] for name in names))
    seen = []
    for view in views:
        with RawTracker(network, threads=threads) as tracker:
            seen.append([[_smaller(one) for one in tracker.observe(frame)] for frame in frames_of(view)])
    truth = _truth(views, seen)
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **{name: getattr(truth, name) for name in names})
    write_atomically(cached, content.getvalue())
    return truth


def _smaller(one: Seen) -> Seen:
    """Return a person with a silhouette of `_SIDE` px, whose pixels are means over the network's."""
    if one.silhouette is None:
        raise HumanrtError("the network has no silhouettes; take the bundle `holistic`")
    logits = one.silhouette.reshape(_SIDE, _FULL // _SIDE, _SIDE, _FULL // _SIDE).mean((1, 3))
    return Seen(one.id, one.marks, one.crop, logits)


def _truth(views: Sequence[View], seen: Sequence[Sequence[Sequence[Seen]]]) -> ViewsTruth:
    count = min(len(one) for one in seen)
    if not count:
        raise SourceError(f"{views[0].video}: a view has no frames; check the videos")
    people: list[list[Seen]] = []
    for frame in range(count):
        candidates = [one[frame] for one in seen]
        chosen = pick(views, candidates)
        if None in chosen:
            lost = views[chosen.index(None)].name
            raise HumanrtError(f"{lost}, frame {frame}: the person is not found there, so there is no truth of it")
        people.append([some[k] for some, k in zip(candidates, chosen, strict=True) if k is not None])
    points = np.stack([[_points(one)[0] for one in frame] for frame in people], axis=1)
    weights = np.stack([[_points(one)[1] for one in frame] for frame in people], axis=1)
    crops = [[(one.crop.x, one.crop.y, one.crop.size, one.crop.angle) for one in frame] for frame in people]
    silhouettes = np.array([[one.silhouette for one in frame] for frame in people], np.float16)
    return ViewsTruth(path_of(views, points, weights), np.array(crops).swapaxes(0, 1), silhouettes.swapaxes(0, 1))


def _points(one: Seen) -> tuple[Array, Array]:
    """Return pixels [12, 2] and visibility [12] of a person's limb joints."""
    return one.marks.landmarks_2d[_LIMBS].astype(np.float64), one.marks.visibility[_LIMBS].astype(np.float64)


def pick(views: Sequence[View], candidates: Sequence[Sequence[Seen]]) -> list[int | None]:
    """Return for each view which of its candidates is the person whom all views see; None where there are none.

    Of all combinations of finds it is the one whose triangulated joints are nearest to their landmarks.
    """
    numbered: list[Sequence[int | None]] = [range(len(some)) or [None] for some in candidates]
    best = np.inf
    chosen: list[int | None] = [None] * len(views)
    for some in product(*numbered):
        held = [(v, candidates[v][k]) for v, k in enumerate(some) if k is not None]
        if len(held) < 2:
            continue
        points, weights = (np.stack(side) for side in zip(*(_points(one) for _, one in held), strict=True))
        cameras = [views[v] for v, _ in held]
        off = _off(cameras, points, triangulate(cameras, points, weights, rounds=0))
        cost = float(np.minimum(off, _LOST).mean()) + _LOST * (len(views) - len(held))
        if cost < best:
            best, chosen = cost, list(some)
    return chosen


def triangulate(views: Sequence[View], points: Array, weights: Array, *, rounds: int = 10) -> Array:
    """Triangulate robustly: weights are divided again and again by how far a view is from what all say.

    Args:
        views: V of them.
        points: [V, ..., 2] px.
        weights: [V, ...], 0 where a point is not seen.
        rounds: how often weights are divided by 1 + (distance / 15 px)^2.

    Returns:
        [..., 3] m, world.
    """
    P = np.stack([view.K @ np.c_[view.R, view.T] for view in views])
    extra = points.ndim - 2
    lines = points[..., None] * P[:, 2].reshape(-1, *[1] * extra, 1, 4) - P[:, :2].reshape(-1, *[1] * extra, 2, 4)
    lines = lines / np.linalg.norm(lines[..., :3], axis=-1, keepdims=True)
    chosen = np.asarray(weights, np.float64)
    for repeat in range(rounds + 1):
        some = np.moveaxis(lines * chosen[..., None, None], 0, -3)
        solution = np.linalg.svd(some.reshape(*some.shape[:-3], -1, 4))[2][..., -1, :]
        found = np.asarray(solution[..., :3] / solution[..., 3:])
        if repeat < rounds:
            chosen = weights / (1 + (_off(views, points, found) / _PX) ** 2)
    return found


def path_of(views: Sequence[View], points: Array, weights: Array, *, calm: float = _CALM, rounds: int = 20) -> Array:
    """Return the calm path [T, J, 3] m of J joints that most of the views agree on, over all frames together.

    Args:
        views: V of them.
        points: [V, T, J, 2] px.
        weights: [V, T, J], visibility.
        calm: weight of squared second differences against squared distances from lines of sight.
        rounds: of reweighting.
    """
    start = triangulate(views, points, weights)
    padded = np.pad(start, ((4, 4), (0, 0), (0, 0)), mode="edge")
    start = np.median(np.lib.stride_tricks.sliding_window_view(padded, 9, axis=0), axis=-1)
    count = len(start)
    bends = np.diff(np.eye(count), 2, axis=0)
    steady = calm * bends.T @ bends
    centres = [view.centre for view in views]
    out = start.copy()
    for joint in range(start.shape[1]):
        x = start[:, joint]
        across = []
        for view, seen in zip(views, points[:, :, joint], strict=True):
            ray = view.rays(seen)
            across.append(np.eye(3) - ray[:, :, None] * ray[:, None, :])
        for _ in range(rounds):
            A, b = np.zeros((count, 3, count, 3)), np.zeros((count, 3))
            diagonal = np.arange(count)
            for v, view in enumerate(views):
                away = x - centres[v]
                off = np.linalg.norm((across[v] @ away[:, :, None])[..., 0], axis=1) * view.K[0, 0]
                w = weights[v, :, joint] / (1 + (off / np.linalg.norm(away, axis=1) / _PX) ** 2) ** 2
                A[diagonal, :, diagonal, :] += w[:, None, None] * across[v]
                b += w[:, None] * (across[v] @ centres[v])
            for k in range(3):
                A[:, k, :, k] += steady
            x = np.linalg.solve(A.reshape(3 * count, -1), b.ravel()).reshape(count, 3)
        out[:, joint] = x
    return np.asarray(out)


def _off(views: Sequence[View], points: Array, joints: Array) -> Array:
    """Return the distances [V, ...] px of points [V, ..., 2] from the pictures of joints [..., 3] m."""
    off = []
    for view, seen in zip(views, points, strict=True):
        flat = view.camera(joints) @ view.K.T
        off.append(np.linalg.norm(flat[..., :2] / flat[..., 2:] - seen, axis=-1))
    return np.stack(off)
