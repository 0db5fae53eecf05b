"""One real person before four calibrated cameras (../shared/media/views), and where his joints are.

There is no truth of a real picture but what several views agree on. Here: the 33 landmarks of ``pose_landmark_heavy``
in every view at every frame, tracked by the shipped tracker; of several finds in a view the combination over the views
that triangulates best; the README's robust triangulation of each joint (weights are visibility, divided ten times by
1 + (distance / 15 px)^2); and then one path per joint over all frames that minimises

    sum over views of  w x (distance from the landmark's line of sight)^2 + 100 x (second difference in time)^2,
    w = visibility / (1 + (distance in the picture / 15 px)^2)^2, made anew 20 times (Geman and McClure's weights),

which outvotes left and right exchanged in some frames of a view. The weight 100 is the one that best predicts another
network's landmarks (those of ``full``: median 16.0 px; 16.4 at 1, 16.5 at 300). Joints stay 15-20 mm unsure, and what
all views misplace alike is not seen.
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

from humanrt.bundle import cache_folder
from humanrt.errors import HumanrtError
from humanrt.files import write_atomically
from humanrt.geometry.region import Region
from humanrt.sources.opening import Frame, open_source
from joint_errors import MEDIAPIPE
from raw_landmarks import RawTracker, Rows, network_digest, rows_of

__all__ = ["VIEWS", "Truth", "View", "frames_of", "load_truth", "load_views", "path_of", "pick", "triangulate"]

Array = NDArray[Any]

VIEWS = Path(__file__).parents[2] / "shared" / "media" / "views"
_LAYOUT = 2  # of the cached truth
_PX = 15.0  # px, distance at which a landmark counts a half
_CALM = 100.0  # weight of second differences
_LOST = 100.0  # px, cost of a landmark that does not fit at all
# Boxes x0, y0, x1, y1 px in which the bystander stands; whoever is found there is neither right nor wrong.
_BYSTANDER = {"cam01": (0.0, 270.0, 170.0, 800.0), "cam02": (740.0, 460.0, 890.0, 910.0)}


@dataclass(frozen=True)
class View:
    """One camera.

    Attributes:
        name: ``cam01`` to ``cam04``.
        video: its file.
        K: [3, 3] px, counted from the picture's corner as humanrt counts.
        R, T: [3, 3] and [3] m; x_camera = R x_world + T.
        size: (width, height) px.
        bystander: box x0, y0, x1, y1 px in which somebody else stands, or None.
    """

    name: str
    video: Path
    K: Array
    R: Array
    T: Array
    size: tuple[int, int]
    bystander: tuple[float, float, float, float] | None

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
class Truth:
    """Where the man is, at T frames in V views.

    Attributes:
        joints: [T, 12, 3] m of the world, in the order of `humanrt.geometry.limbs.LIMBS`.
        crops: [V, T, 4] x, y, size px, angle rad: regions of heavy's silhouettes.
        silhouettes: [V, T, 128, 128] float16 logits in these regions that a pixel is the man's.
    """

    joints: Array
    crops: Array
    silhouettes: Array

    def silhouette(self, view: int, frame: int, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the man's mask [H, W] in a picture of ``size`` (W, H) px: logits, linear in between, above 0."""
        logits = self.silhouettes[view, frame].astype(np.float32)
        # OpenCV counts from the first pixel's centre, regions from its corner.
        corner = Region(*self.crops[view, frame].tolist()).to_image(len(logits))
        corner[:, 2] += corner[:, :2] @ (0.5, 0.5) - 0.5
        return np.asarray(
            cv2.warpAffine(logits, corner, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=-9)
            > 0
        )


def load_views(folder: Path = VIEWS) -> list[View]:
    """Load the cameras. HumanrtError if the folder does not hold them."""
    try:
        cameras = json.loads((folder / "calibration.json").read_text())["cameras"]
    except (OSError, ValueError, KeyError) as error:
        raise HumanrtError(
            f"{folder}: no calibrated views there ({error}); give --views, the folder `media/views`"
        ) from error
    views = []
    for one in cameras:
        K = np.array(one["K"])
        K[:2, 2] += 0.5
        R, T, size = np.array(one["R"]), np.array(one["T"]), (one["size"][0], one["size"][1])
        views.append(View(one["name"], folder / one["video"], K, R, T, size, _BYSTANDER.get(one["name"])))
    return views


def frames_of(view: View) -> Iterator[Frame]:
    """Yield the frames of a view."""
    with open_source(view.video) as source:
        yield from source


def load_truth(views: Sequence[View], network: str | Path = "heavy", *, threads: int = 1) -> Truth:
    """Return the truth from landmarks of a network with silhouettes, from the cache if it is there.

    Args:
        views: the cameras.
        network: ``heavy``, the shipped one, or an ONNX file.
        threads: of the network.
    """
    digest = hashlib.sha256(f"{_LAYOUT}".encode() + network_digest(network))
    for path in (*(view.video for view in views), views[0].video.with_name("calibration.json")):
        digest.update(path.read_bytes())
    cached = cache_folder() / "bench" / f"views-{digest.hexdigest()[:16]}.npz"
    names = ("joints", "crops", "silhouettes")
    if cached.is_file():
        with np.load(cached) as arrays:
            return Truth(*(arrays[name] for name in names))
    rows = []
    for view in views:
        with RawTracker(network, threads=threads) as tracker:
            rows.append(rows_of(tracker, frames_of(view), side=128)[0])
    truth = _truth(views, rows)
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **{name: getattr(truth, name) for name in names})
    cached.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(cached, content.getvalue())
    return truth


def _truth(views: Sequence[View], rows: Sequence[Rows]) -> Truth:
    count = 1 + max(int(one.frame.max()) for one in rows)
    chosen = np.array([pick(views, rows, frame) for frame in range(count)])  # [T, V], -1: nobody
    seen = chosen >= 0
    limbs = list(MEDIAPIPE)
    points = np.stack([one.landmarks_2d[chosen[:, v]][:, limbs] for v, one in enumerate(rows)]).astype(np.float64)
    weights = np.stack([one.visibility[chosen[:, v]][:, limbs] for v, one in enumerate(rows)]) * seen.T[:, :, None]
    if not seen.all():
        raise HumanrtError(f"the man is not found in {np.count_nonzero(~seen)} of {seen.size} views: no truth")
    joints = path_of(views, points, weights)
    take = [(one, chosen[:, v]) for v, one in enumerate(rows)]
    return Truth(
        joints,
        np.stack([one.crop[index] for one, index in take]),
        np.stack([one.silhouette[index] for one, index in take]),
    )


def pick(views: Sequence[View], rows: Sequence[Rows], frame: int) -> list[int]:
    """Return for each view the row of the person whom all views see in a frame; -1 where there is no row.

    Of all combinations of finds it is the one whose triangulated joints are nearest to their landmarks.
    """
    candidates = [np.flatnonzero(one.frame == frame).tolist() or [-1] for one in rows]
    best, chosen = np.inf, [-1] * len(views)
    for some in product(*candidates):
        held = [v for v, row in enumerate(some) if row >= 0]
        if len(held) < 2:
            continue
        points = np.stack([rows[v].landmarks_2d[some[v], list(MEDIAPIPE)] for v in held]).astype(np.float64)
        weights = np.stack([rows[v].visibility[some[v], list(MEDIAPIPE)] for v in held])
        cameras = [views[v] for v in held]
        off = _off(cameras, points, triangulate(cameras, points, weights, rounds=0))
        cost = float(np.minimum(off, _LOST).mean()) + _LOST * (len(views) - len(held))
        if cost < best:
            best, chosen = cost, list(some)
    return chosen


def triangulate(views: Sequence[View], points: Array, weights: Array, *, rounds: int = 10) -> Array:
    """Triangulate robustly, as the README of the views says.

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
    return out


def _off(views: Sequence[View], points: Array, joints: Array) -> Array:
    """Return the distances [V, ...] px of points [V, ..., 2] from the pictures of joints [..., 3] m."""
    off = []
    for view, seen in zip(views, points, strict=True):
        flat = view.camera(joints) @ view.K.T
        off.append(np.linalg.norm(flat[..., :2] / flat[..., 2:] - seen, axis=-1))
    return np.stack(off)
