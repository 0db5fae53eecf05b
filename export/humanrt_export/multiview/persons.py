"""Who is who across views: tracks of several cameras that are one person, by epipolar geometry.

A pair of tracks costs the median distance, over common times and landmarks, between landmarks and the picture of the
point that both say; as a part of the person's height in the picture. Two cameras alone see only half of a wrong
pairing (what lies along the epipolar line), but over many landmarks, times and further cameras it adds up. Tracks are
joined from the cheapest pair on, as long as the mean cost of all pairs of the two groups stays below a limit, and never
two of one picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.evaluation.calibrated import View, triangulate
from humanrt_export.multiview.scene import Scene, Sightings

__all__ = ["off_pixels", "persons_of"]

Array = NDArray[np.float64]

_LIMIT = 0.03  # of the height: median distance up to which two tracks can be one person
_STRAY = 0.12  # of the height: a find whose median landmark is farther from what the others say is not of the person
_SURE = 0.5  # weight of landmarks by which tracks are compared
_TIMES = 40  # at which a pair is compared, at most
_VIEWS = 24  # of a moving camera, likewise


@dataclass(frozen=True)
class _Track:
    """One tracker's person: ``at`` [V, T] is the sighting in each picture, -1: none."""

    at: NDArray[np.intp]

    def conflicts(self, other: _Track) -> bool:
        """Return whether both are in one picture."""
        return bool(((self.at >= 0) & (other.at >= 0)).any())

    def joined(self, other: _Track) -> _Track:
        """Return both as one."""
        return _Track(np.where(self.at >= 0, self.at, other.at))


def persons_of(scene: Scene, seen: Sightings) -> list[NDArray[np.intp]]:
    """Return for each person the sighting in each picture [V, T], -1 where there is none; most often seen first."""
    tracks = []
    for name in np.unique(seen.track):
        at = np.full((len(scene.views), scene.count), -1, np.intp)
        rows = np.flatnonzero(seen.track == name)
        at[seen.view[rows], seen.time[rows]] = rows
        tracks.append(_Track(at))
    heights = seen.heights
    costs = {(a, b): _cost(scene, seen, heights, tracks[a], tracks[b]) for a, b in combinations(range(len(tracks)), 2)}
    groups: list[list[int]] = [[k] for k in range(len(tracks))]
    while True:
        best, pair = _LIMIT, None
        for a, b in combinations(range(len(groups)), 2):
            some = [costs[min(i, j), max(i, j)] for i in groups[a] for j in groups[b]]
            known = [cost for cost in some if not np.isnan(cost)]
            if known and float(np.mean(known)) < best:
                best, pair = float(np.mean(known)), (a, b)
        if pair is None:
            break
        groups[pair[0]] += groups.pop(pair[1])
    people = []
    for group in groups:
        whole = tracks[group[0]]
        for k in group[1:]:
            whole = whole.joined(tracks[k])
        people.append(_without_strays(scene, seen, heights, whole.at))
    return sorted(people, key=lambda at: -int((at >= 0).sum()))


def _cost(scene: Scene, seen: Sightings, heights: Array, one: _Track, other: _Track) -> float:
    """Return the cost of one person being both; inf: they are in one picture; NaN: nothing is known."""
    if one.conflicts(other):
        return float("inf")
    if scene.still:
        at = one.joined(other).at
        at = at[at[:, 0] >= 0]
        at = at[np.linspace(0, len(at) - 1, min(len(at), _VIEWS)).round().astype(int)]
        views = [scene.views[k] for k in seen.view[at[:, 0]]]
    else:
        u, v = (int(seen.view[track.at[track.at >= 0][0]]) for track in (one, other))
        if u == v:
            return float("nan")
        times = np.flatnonzero((one.at[u] >= 0) & (other.at[v] >= 0))
        if not len(times):
            return float("nan")
        times = times[np.linspace(0, len(times) - 1, min(len(times), _TIMES)).round().astype(int)]
        at = np.stack([one.at[u, times], other.at[v, times]])
        views = [scene.views[u], scene.views[v]]
    pixels, weight = seen.pixels[at].astype(np.float64), np.where(seen.weight[at] > _SURE, 1.0, 0.0)
    shared = (weight > 0).sum(axis=0) >= 2
    if not shared.any():
        return float("nan")
    points = triangulate(views, pixels, np.where(shared, weight, 0.0) + 1e-9, rounds=0 if len(views) == 2 else 4)
    off = off_pixels(views, points, pixels) / heights[at][..., None]
    return float(np.median(off[(weight > 0) & shared]))


def off_pixels(views: Sequence[View], points: NDArray[Any], pixels: NDArray[Any]) -> Array:
    """Return the distances [V, ...] px of pixels [V, ..., 2] from the pictures of points [..., 3] m.

    Those of points behind a camera are infinite.
    """
    off = []
    for view, at in zip(views, pixels, strict=True):
        inside = view.camera(points)
        flat = inside @ view.K.T
        image = flat[..., :2] / np.maximum(inside[..., 2:], 1e-6)
        off.append(np.where(inside[..., 2] > 0.05, np.linalg.norm(image - at, axis=-1), np.inf))
    return np.stack(off)


def _without_strays(scene: Scene, seen: Sightings, heights: Array, at: NDArray[np.intp]) -> NDArray[np.intp]:
    """Drop sightings that lie off what the others say: a tracker went over to somebody else."""
    pixels = np.where(at[..., None, None] >= 0, seen.pixels[at], 0.0).astype(np.float64)
    weight = np.where(at[..., None] >= 0, seen.weight[at], 0.0).astype(np.float64)
    points = triangulate(scene.views, pixels, weight + 1e-9)
    off = off_pixels(scene.views, points, pixels) / heights[at][..., None]
    away = np.median(np.where(weight > _SURE, off, np.nan_to_num(off, posinf=10.0)), axis=-1)
    views = (at >= 0).sum(axis=0)
    return np.where((away > _STRAY) & (views >= 3), -1, at)
