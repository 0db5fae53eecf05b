"""How good people are found: detections counted, errors in millimetres, hands apart. Means are over found people.

Errors are as in the literature on mesh recovery: MPJPE, of joints, and PVE, of vertices, are mean distances after the
root joints are laid on each other; PA- means that the best similarity (turn, scale, move) is taken off first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt_export.anny.augment import head_place
from humanrt_export.anny.bones import BODY, HAND_KEYPOINTS, HEAD, indices
from humanrt_export.synthetic.people.sample import PeopleLabels

__all__ = ["Bodies", "PeopleMetrics", "aligned", "matched", "truth_of"]

Array = NDArray[Any]

_REACH = 0.3  # of a person's extent in the picture: how far off a head may be found
_LEAST_REACH = 10.0  # px
_NEAREST = 0.15  # m


@dataclass(frozen=True)
class Bodies:
    """People of one picture, found or true.

    Attributes:
        joints, vertices: [N, J, 3] and [N, V, 3] m, camera axes.
        heads: [N, 2] px.
        extents: [N] px, the larger side of the box around the joints in the picture (of true people).
        wanted: [N] bool: whether somebody must be found; others neither count as found nor as missed (of true people).
    """

    joints: Array
    vertices: Array
    heads: Array
    extents: Array | None = None
    wanted: Array | None = None


def truth_of(people: PeopleLabels, vertices: Array, size: tuple[int, int], least: float) -> Bodies:
    """Who is in a picture of ``size`` (width, height) px: `wanted` are those with their head in it, and `visible` from
    ``least`` on. Whoever is behind the camera is left out.

    Args:
        people: N people.
        vertices: [N, V, 3] m, theirs.
        size: px.
        least: share of themselves.
    """
    ahead = people.translation[:, 2] > _NEAREST
    people, vertices = people.take(ahead), vertices[ahead]
    heads = people.joints_2d[:, head_place(people)]
    seen = np.asarray(((people.joints_2d >= 0) & (people.joints_2d < size)).all(-1))
    inside = ((heads >= 0) & (heads < size)).all(-1)
    shown = np.where(seen[..., None], people.joints_2d, np.nan)
    extents = [
        float(np.nanmax(np.nanmax(x, 0) - np.nanmin(x, 0))) if s.any() else 0 for x, s in zip(shown, seen, strict=True)
    ]
    return Bodies(people.joints, vertices, heads, np.array(extents), inside & (people.visible >= least))


def matched(found: Bodies, truth: Bodies) -> list[tuple[int, int]]:
    """Pairs (found, true): the nearest heads first, none twice, none farther than a part of the person's extent."""
    distances = np.linalg.norm(found.heads[:, None] - truth.heads[None], axis=-1)
    extents = np.zeros(len(truth.heads)) if truth.extents is None else truth.extents
    near = distances <= np.maximum(_REACH * extents, _LEAST_REACH)
    pairs: list[tuple[int, int]] = []
    for flat in np.argsort(distances, axis=None):
        i, j = np.unravel_index(flat, distances.shape)
        if near[i, j] and all(i != a and j != b for a, b in pairs):
            pairs.append((int(i), int(j)))
    return pairs


def aligned(points: Array, truth: Array) -> Array:
    """``points`` [N, K, 3] after the similarity that brings them nearest to ``truth`` (least squares, Umeyama 1991)."""
    middle, true_middle = points.mean(1, keepdims=True), truth.mean(1, keepdims=True)
    a, b = points - middle, truth - true_middle
    u, s, vt = np.linalg.svd(np.swapaxes(a, 1, 2) @ b)
    signs = np.ones_like(s)
    signs[:, -1] = np.sign(np.linalg.det(u @ vt))
    turn = (u * signs[:, None]) @ vt
    scale = (s * signs).sum(-1) / np.maximum((a * a).sum((1, 2)), 1e-12)
    return np.asarray(scale[:, None, None] * (a @ turn) + true_middle)


@dataclass
class PeopleMetrics:
    """Counts and errors of a set of pictures.

    Args:
        joint_names: of `Bodies.joints`, the root first.
    """

    joint_names: Sequence[str]
    found: int = 0
    wrong: int = 0
    missed: int = 0
    errors: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._body = indices((*BODY, *HEAD), self.joint_names)
        self._hands = [indices(names, self.joint_names) for names in HAND_KEYPOINTS.values()]

    def add(self, found: Bodies, truth: Bodies) -> list[tuple[int, int]]:
        """Count a picture. Returns who was taken for whom: (found, true)."""
        pairs = matched(found, truth)
        wanted = np.ones(len(truth.heads), bool) if truth.wanted is None else truth.wanted
        self.found += sum(bool(wanted[j]) for _, j in pairs)
        self.wrong += len(found.heads) - len(pairs)
        self.missed += int(wanted.sum()) - sum(bool(wanted[j]) for _, j in pairs)
        pairs = [(i, j) for i, j in pairs if wanted[j]]
        if pairs:
            self._measure(found, truth, *(np.array(side) for side in zip(*pairs, strict=True)))
        return pairs

    def _measure(self, found: Bodies, truth: Bodies, i: Array, j: Array) -> None:
        joints, true_joints = found.joints[i].astype(np.float64), truth.joints[j].astype(np.float64)
        vertices, true_vertices = found.vertices[i].astype(np.float64), truth.vertices[j].astype(np.float64)
        root, true_root = joints[:, :1], true_joints[:, :1]
        some, true_some = joints[:, self._body], true_joints[:, self._body]
        self._note("mpjpe", some - root, true_some - true_root)
        self._note("pa_mpjpe", aligned(some, true_some), true_some)
        self._note("pve", vertices - root, true_vertices - true_root)
        self._note("pa_pve", aligned(vertices, true_vertices), true_vertices)
        for hand in self._hands:
            own, true = joints[:, hand], true_joints[:, hand]
            self._note("hands", own - own[:, :1], true - true[:, :1])
            self._note("pa_hands", aligned(own, true), true)
        place, true_place = self._heads(joints), self._heads(true_joints)
        self._note("place", place[:, None], true_place[:, None])
        off = np.abs(place[:, 2] / true_place[:, 2] - 1)
        self.errors.setdefault("depth", []).extend(off.tolist())

    def _heads(self, joints: Array) -> Array:
        return joints[:, self.joint_names.index("head")]

    def _note(self, name: str, points: Array, truth: Array) -> None:
        self.errors.setdefault(name, []).extend(np.linalg.norm(points - truth, axis=-1).mean(1).tolist())

    def summary(self) -> dict[str, float]:
        """``precision``, ``recall``, ``people`` found; mm: ``mpjpe``, ``pa_mpjpe``, ``pve``, ``pa_pve``, ``hands`` (21
        keypoints of each, from the wrist), ``pa_hands``, ``place`` (of the head); ``depth``, part of the truth."""
        summary = {
            "precision": self.found / max(1, self.found + self.wrong),
            "recall": self.found / max(1, self.found + self.missed),
            "people": float(self.found),
        }
        for name, values in self.errors.items():
            summary[name] = float(np.mean(values)) * (1 if name == "depth" else 1000)
        return summary
