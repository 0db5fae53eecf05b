"""Metrics of people: detection counts and errors in millimetres, hands separately. Means are over found people.

Errors are as in the literature on mesh recovery: MPJPE, of joints, and PVE, of vertices, are mean distances after the
root joints are aligned; PA- means after Procrustes alignment by the best similarity (rotation, scale, translation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.anny import ANNY_BONES
from humanrt.metrics.detection import Detection
from humanrt.metrics.joints import distances, procrustes_distances

__all__ = ["MIN_VISIBLE", "Bodies", "PeopleMetrics", "matched", "true_bodies"]

Array = NDArray[Any]

MIN_VISIBLE = 0.25
"""Minimum visible fraction: people below it are ignored, neither found nor missed."""

_MATCH_RADIUS = 0.3  # of a person's extent in the picture: max distance of a matched head
_MIN_MATCH_RADIUS = 10.0  # px
_BODY = tuple(bone for bone in ANNY_BONES if not bone.startswith(("finger", "metacarpal")))
_HANDS = tuple(
    (f"wrist.{side}", *(f"finger{k}-{end}.{side}" for k in (1, 2, 3, 4, 5) for end in (1, 2, 3, "tip")))
    for side in "LR"
)


@dataclass(frozen=True)
class Bodies:
    """People of one picture: predictions or ground truth.

    Attributes:
        joints: [N, J, 3] m, camera axes.
        heads: [N, 2] px.
        vertices: [N, V, 3] m, or None where meshes do not matter.
        extents: [N] px, the larger side of the bounding box of the joints in the picture (ground truth only).
        wanted: [N] bool: whether the person must be found; others count neither as found nor as missed (ground truth
            only).
    """

    joints: Array
    heads: Array
    vertices: Array | None = None
    extents: Array | None = None
    wanted: Array | None = None


def true_bodies(
    joints: Array,
    joints_2d: Array,
    head: int,
    visible: Array,
    size: tuple[int, ...],
    *,
    min_visible: float = MIN_VISIBLE,
    vertices: Array | None = None,
) -> Bodies:
    """Return the ground truth of a picture; `wanted` are people whose head is in it and who are visible enough.

    Args:
        joints, joints_2d: [N, J, 3] m and [N, J, 2] px, all in front of the camera.
        head: index of the joint by which people are located in pictures.
        visible: [N], visible fraction of each.
        size: (width, height) px.
        min_visible: minimum of `visible` for people who must be found.
        vertices: [N, V, 3] m.
    """
    heads = joints_2d[:, head]
    seen = np.asarray(((joints_2d >= 0) & (joints_2d < size)).all(-1))
    low = np.where(seen[..., None], joints_2d, np.inf).min(1, initial=np.inf)
    high = np.where(seen[..., None], joints_2d, -np.inf).max(1, initial=-np.inf)
    extents = np.maximum(high - low, 0).max(-1, initial=0)
    return Bodies(joints, heads, vertices, extents, seen[:, head] & (visible >= min_visible))


def matched(predicted: Bodies, truth: Bodies) -> list[tuple[int, int]]:
    """Return pairs (predicted, true): nearest heads first, each used once, within a fraction of the person's extent."""
    distances = np.linalg.norm(predicted.heads[:, None] - truth.heads[None], axis=-1)
    extents = np.zeros(len(truth.heads)) if truth.extents is None else truth.extents
    close = distances <= np.maximum(_MATCH_RADIUS * extents, _MIN_MATCH_RADIUS)
    pairs: list[tuple[int, int]] = []
    for flat in np.argsort(distances, axis=None):
        i, j = np.unravel_index(flat, distances.shape)
        if close[i, j] and all(i != a and j != b for a, b in pairs):
            pairs.append((int(i), int(j)))
    return pairs


@dataclass
class PeopleMetrics:
    """Counts and errors of a set of pictures.

    Args:
        joint_names: names of `Bodies.joints`: Anny's, the root first.
    """

    joint_names: Sequence[str]
    found: int = 0
    wrong: int = 0
    missed: int = 0
    errors: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        index = {name: k for k, name in enumerate(self.joint_names)}
        self._body = [index[name] for name in _BODY]
        self._hands = [[index[name] for name in names] for names in _HANDS]
        self._head = index["head"]

    def add(self, predicted: Bodies, truth: Bodies) -> list[tuple[int, int]]:
        """Accumulate a picture and return its matches that count: pairs (predicted, true)."""
        pairs = matched(predicted, truth)
        wanted = np.ones(len(truth.heads), bool) if truth.wanted is None else truth.wanted
        self.found += sum(bool(wanted[j]) for _, j in pairs)
        self.wrong += len(predicted.heads) - len(pairs)
        self.missed += int(wanted.sum()) - sum(bool(wanted[j]) for _, j in pairs)
        pairs = [(i, j) for i, j in pairs if wanted[j]]
        if pairs:
            self._measure(predicted, truth, *(np.array(side) for side in zip(*pairs, strict=True)))
        return pairs

    def _measure(self, predicted: Bodies, truth: Bodies, i: Array, j: Array) -> None:
        joints, true_joints = predicted.joints[i].astype(np.float64), truth.joints[j].astype(np.float64)
        root, true_root = joints[:, :1], true_joints[:, :1]
        some, true_some = joints[:, self._body], true_joints[:, self._body]
        self._note("mpjpe", distances(some - root, true_some - true_root))
        self._note("pa_mpjpe", procrustes_distances(some, true_some))
        if predicted.vertices is not None and truth.vertices is not None:
            vertices, true_vertices = predicted.vertices[i].astype(np.float64), truth.vertices[j].astype(np.float64)
            self._note("pve", distances(vertices - root, true_vertices - true_root))
            self._note("pa_pve", procrustes_distances(vertices, true_vertices))
        for hand in self._hands:
            own, true = joints[:, hand], true_joints[:, hand]
            self._note("hands", distances(own - own[:, :1], true - true[:, :1]))
            self._note("pa_hands", procrustes_distances(own, true))
        position, true_position = joints[:, self._head], true_joints[:, self._head]
        self._note("position", distances(position, true_position)[:, None])
        off = np.abs(position[:, 2] / true_position[:, 2] - 1)
        self.errors.setdefault("depth", []).extend(off.tolist())

    def _note(self, name: str, errors: Array) -> None:
        self.errors.setdefault(name, []).extend(errors.mean(1).tolist())

    def summary(self) -> dict[str, float]:
        """Return the metrics by name.

        They are ``precision``, ``recall``, ``people`` found; in mm: ``mpjpe``, ``pa_mpjpe``, ``pve``, ``pa_pve``,
        ``hands`` (21 keypoints of each, relative to the wrist), ``pa_hands``, ``position`` (of the head);
        ``depth``, as a fraction of the true depth.
        """
        detection = Detection(self.found, self.wrong, self.missed)
        summary = {"precision": detection.precision, "recall": detection.recall, "people": float(self.found)}
        for name, values in self.errors.items():
            summary[name] = float(np.mean(values)) * (1 if name == "depth" else 1000)
        return summary
