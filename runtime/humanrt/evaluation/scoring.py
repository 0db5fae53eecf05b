"""One clip, scored: predicted people against the true ones, picture by picture, to arrays of numbers.

`ClipScorer` is given picture after picture and keeps numbers, not pictures: under 1 kB for each true person in each.
`Scores` holds a row for every true person in every picture who must be found; rows of people who were missed are NaN.
So rows of two bundles on one clip are of the same people, and differences can be taken row by row.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle.arrays import read_arrays
from humanrt.evaluation.correspondence import Correspondence
from humanrt.evaluation.dataset import Clip, Shot
from humanrt.files import write_atomically
from humanrt.geometry.camera import project
from humanrt.metrics.joints import distances, procrustes_distances, rooted
from humanrt.metrics.matching import Matcher
from humanrt.metrics.silhouette import iou
from humanrt.metrics.trajectory import CHUNK, bends, jerks, root_translation_error, runs, world_distances

__all__ = ["VALUES", "ClipScorer", "Predicted", "Scores"]

Array = NDArray[Any]

_AHEAD = 0.05  # m, the least depth of a point that has a picture
_BLOCK = 512  # rows that are packed together: rows as dictionaries take ten times the memory
_BEFORE = 3  # frames that the differences in time of the next one need
_UNIT = 1.0  # s of a film that are one unit of resampling: frames nearer than that are not independent

VALUES = (
    *("mpjpe", "pa_mpjpe", "pve", "pa_pve", "hands", "pa_hands", "place", "root_error", "depth", "iou"),
    *("w_mpjpe", "wa_mpjpe", "acceleration_error", "acceleration", "true_acceleration", "jitter", "true_jitter"),
)
"""Columns of `Scores.values`: metres, but ``depth`` (fraction of the true one) and ``iou``; accelerations are
metres/frame^2, jitter is 10 m/s^3.
"""


@dataclass(frozen=True)
class Predicted:
    """What a bundle found in one picture.

    Attributes:
        ids: [P] identities.
        joints: [P, J, 3] m, camera space.
        vertices: [P, V, 3] m, or None.
    """

    ids: tuple[int, ...]
    joints: Array
    vertices: Array | None = None


@dataclass(frozen=True)
class Scores:
    """The numbers of one clip, or of several: N true people who must be found, in F pictures, K tracks.

    Attributes:
        frame: [N] number of the picture.
        person: [N] who it is.
        found: [N] bool.
        values: [N, len(VALUES)], NaN where missed or not known.
        joints: [N, J] m, root-relative error of each compared joint.
        visible, inside: [N] fraction that can be seen, and of the limb joints that are in the picture.
        distance: [N] m, of the root.
        limbs, true_limbs: [N, 12, 2] px, predicted (NaN if missed) and true.
        unit: [N] of which unit of resampling: a picture, or a second of a film.
        wrong: [F] finds that are nobody; wrong_unit: [F] units.
        rte: [K] %, of each person of a film; rte_unit: [K] the unit of the person's first frame.
    """

    frame: Array
    person: Array
    found: Array
    values: Array
    joints: Array
    visible: Array
    inside: Array
    distance: Array
    limbs: Array
    true_limbs: Array
    unit: Array
    wrong: Array
    wrong_unit: Array
    rte: Array
    rte_unit: Array

    def column(self, name: str) -> Array:
        """Return one column [N] of `values`."""
        return np.asarray(self.values[:, VALUES.index(name)])

    def save(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write the scores atomically, with what they were made of."""
        content = io.BytesIO()
        arrays = {one.name: getattr(self, one.name) for one in fields(self)}
        np.savez_compressed(content, allow_pickle=False, about=np.array(json.dumps(about, sort_keys=True)), **arrays)
        write_atomically(path, content.getvalue())

    @classmethod
    def load(cls, path: Path, about: Mapping[str, Any]) -> Scores | None:
        """Read scores; None if there are none, or they were made of something else, or the file is damaged."""
        try:
            arrays = read_arrays(path)
            if str(arrays.pop("about")) != json.dumps(about, sort_keys=True):
                return None
            return cls(**arrays)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @classmethod
    def joined(cls, parts: list[Scores]) -> Scores:
        """Return the scores of several clips as one; their units are told apart."""
        shift, moved = 0, []
        for part in parts:
            units = [part.unit, part.wrong_unit, part.rte_unit]
            moved.append([one + shift for one in units])
            shift += 1 + int(max((one.max(initial=-1) for one in units), default=-1))
        arrays = {one.name: np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls)}
        for place, name in enumerate(("unit", "wrong_unit", "rte_unit")):
            arrays[name] = np.concatenate([units[place] for units in moved])
        return cls(**arrays)


class ClipScorer:
    """Scores the pictures of a clip one after the other.

    Args:
        clip: whose pictures they are.
        joints: which joints are compared.
        matcher: who is who.
        min_overlap: minimum IoU of the boxes of a pair's limb joints.
    """

    def __init__(self, clip: Clip, joints: Correspondence, matcher: Matcher, min_overlap: float) -> None:
        self._clip, self._joints, self._matcher, self._overlap = clip, joints, matcher, min_overlap
        self._rows: list[dict[str, Any]] = []  # those that are not packed yet
        self._packed: list[dict[str, Array]] = []
        self._count = 0
        self._wrong: list[int] = []
        self._wrong_unit: list[int] = []
        self._paths: dict[int, _Path] = {}

    def add(self, shot: Shot, predicted: Predicted, silhouettes: Array | None, vertices: Array | None) -> None:
        """Score a picture.

        Args:
            shot: the picture and its truth.
            predicted: whom the bundle found.
            silhouettes: [H, W] i + 1 where the mesh of predicted person i is in front; None: not drawn.
            vertices: [N, V, 3] m of the true people, on the mesh of the predicted ones; None: not known.
        """
        people, joints, K = shot.people, self._joints, shot.intrinsics
        number = len(self._wrong)
        unit = int(shot.frame.t / _UNIT) if self._clip.film else number
        ours = predicted.joints.astype(np.float64)
        flat = _pictures(ours[:, joints.limbs], K)
        true_limbs = people.joints[:, joints.true_limbs]
        true_flat = _pictures(true_limbs, K)
        ahead = np.flatnonzero((true_limbs[..., 2] > _AHEAD).all(1))
        pairs = self._matcher(flat, true_flat[ahead], people.wanted[ahead], self._overlap)
        partner = {int(ahead[j]): i for i, j in pairs}
        self._wrong.append(len(ours) - len(pairs))
        self._wrong_unit.append(unit)
        height, width = shot.frame.image.shape[:2]
        inside = ((true_flat >= 0) & (true_flat < (width, height))).all(-1).mean(-1)
        for j in np.flatnonzero(people.wanted).tolist():
            row: dict[str, Any] = {
                "frame": number,
                "person": people.ids[j],
                "found": j in partner,
                "visible": people.visible[j],
                "inside": inside[j],
                "distance": float(np.linalg.norm(people.joints[j, joints.true_root].mean(0))),
                "true_limbs": true_flat[j],
                "unit": unit,
                "values": {},
            }
            if j in partner:
                i = partner[j]
                row |= {"limbs": flat[i], **self._errors(ours[i], people.joints[j])}
                if predicted.vertices is not None and vertices is not None:
                    mesh, true_mesh = predicted.vertices[i].astype(np.float64), vertices[j]
                    row["values"] |= self._surface(mesh, ours[i], true_mesh, people.joints[j])
                if silhouettes is not None and people.masks is not None:
                    row["values"]["iou"] = iou(silhouettes == i + 1, people.masks(j))
                if self._clip.film:
                    self._follow(people.ids[j], shot.frame.index, unit, ours[i], people.joints[j], shot.to_world)
            self._rows.append(row)
            self._count += 1
            if len(self._rows) == _BLOCK:
                self._pack()

    def _errors(self, ours: Array, true: Array) -> dict[str, Any]:
        joints = self._joints
        some, true_some = ours[None, joints.predicted], true[None, joints.true]
        about = rooted(some, ours[None], joints.root), rooted(true_some, true[None], joints.true_root)
        each = distances(*about)[0]
        root, true_root = ours[joints.root].mean(0), true[joints.true_root].mean(0)
        values = {
            "mpjpe": each.mean(),
            "pa_mpjpe": procrustes_distances(some, true_some).mean(),
            "place": distances(some, true_some).mean(),
            "root_error": np.linalg.norm(root - true_root),
            "depth": abs(root[2] / true_root[2] - 1),
        }
        if joints.hands:
            hands, true_hands = ours[joints.hands], true[joints.true_hands]
            values["hands"] = distances(hands - hands[:, :1], true_hands - true_hands[:, :1]).mean()
            values["pa_hands"] = procrustes_distances(hands, true_hands).mean()
        return {"joints": each, "values": values}

    def _surface(self, mesh: Array, ours: Array, true_mesh: Array, true: Array) -> dict[str, float]:
        joints = self._joints
        about = rooted(mesh[None], ours[None], joints.root), rooted(true_mesh[None], true[None], joints.true_root)
        return {"pve": distances(*about).mean(), "pa_pve": procrustes_distances(mesh[None], true_mesh[None]).mean()}

    def _follow(self, person: int, number: int, unit: int, ours: Array, true: Array, to_world: Array | None) -> None:
        """Keep where a person is in the world: the joints that are compared, and then the root."""
        joints = self._joints

        def kept(points: Array, some: list[int], root: list[int]) -> Array:
            chosen = np.concatenate([points[some], points[root].mean(0)[None]])
            if to_world is not None:
                chosen = chosen @ to_world[:3, :3].T + to_world[:3, 3]
            return np.asarray(chosen, np.float32)

        here = kept(ours, joints.predicted, joints.root), kept(true, joints.true, joints.true_root)
        path = self._paths.setdefault(person, _Path(unit))
        if len(path.frames) == path.carried + CHUNK:
            self._look_back(path)
        path.frames.append((number, self._count, *here))

    def _look_back(self, path: _Path) -> None:
        """Write what the frames of a path since the last time say of motion, and forget them but for the last few."""
        numbers, places = (np.array([one[k] for one in path.frames]) for k in (0, 1))
        ours, true = (np.stack([one[k] for one in path.frames]).astype(np.float64) for k in (2, 3))
        new = slice(path.carried, None)
        columns = {
            "w_mpjpe": world_distances(ours[new, :-1], true[new, :-1], whole=False).mean(1),
            "wa_mpjpe": world_distances(ours[new, :-1], true[new, :-1], whole=True).mean(1),
        }
        columns |= {name: column[new] for name, column in _changes(numbers, ours, true, self._clip.fps).items()}
        for k, place in enumerate(places[new].tolist()):
            block, row = divmod(place, _BLOCK)
            if block < len(self._packed):
                for name, column in columns.items():
                    self._packed[block]["values"][row, VALUES.index(name)] = column[k]
            else:
                self._rows[row]["values"] |= {name: column[k] for name, column in columns.items()}
        path.roots.append(np.stack([ours[new, -1], true[new, -1]]))
        path.frames = path.frames[-_BEFORE:]
        path.carried = len(path.frames)

    def _pack(self) -> None:
        """Turn the rows so far into arrays."""
        rows, count = self._rows, len(self._rows)
        values = np.full((count, len(VALUES)), np.nan)
        for place, row in enumerate(rows):
            for name, value in row["values"].items():
                values[place, VALUES.index(name)] = value

        def gathered(name: str, shape: tuple[int, ...] = (), kind: Any = np.float64) -> Array:
            empty = np.full(shape, np.nan) if np.issubdtype(kind, np.floating) else None
            return np.array([row.get(name, empty) for row in rows], kind).reshape(count, *shape)

        self._packed.append(
            {
                "frame": gathered("frame", kind=np.int64),
                "person": gathered("person", kind=np.int64),
                "found": gathered("found", kind=np.bool_),
                "values": values,
                "joints": gathered("joints", (len(self._joints.names),), np.float32),
                "visible": gathered("visible"),
                "inside": gathered("inside"),
                "distance": gathered("distance"),
                "limbs": gathered("limbs", (12, 2), np.float32),
                "true_limbs": gathered("true_limbs", (12, 2), np.float32),
                "unit": gathered("unit", kind=np.int64),
            }
        )
        self._rows = []

    def finish(self) -> Scores:
        """Return the clip's scores."""
        rte, rte_unit = [], []
        for path in self._paths.values():
            if len(path.frames) > path.carried:
                self._look_back(path)
            roots = np.concatenate(path.roots, axis=1)
            if roots.shape[1] > 1:
                rte.append(root_translation_error(roots[0], roots[1]))
                rte_unit.append(path.unit)
        if self._rows or not self._packed:
            self._pack()
        arrays = {name: np.concatenate([block[name] for block in self._packed]) for name in self._packed[0]}
        return Scores(
            **arrays,
            wrong=np.array(self._wrong, np.int64),
            wrong_unit=np.array(self._wrong_unit, np.int64),
            rte=np.array(rte, np.float64),
            rte_unit=np.array(rte_unit, np.int64),
        )


@dataclass
class _Path:
    """A person of a film in the world.

    Attributes:
        unit: of the first frame.
        frames: number, row, joints that are compared and then the root, predicted and true, [J + 1, 3] m; at first
            ``carried`` frames that were looked at before.
        roots: [2, T, 3] m, predicted and true, of the frames that were.
    """

    unit: int
    frames: list[tuple[int, int, Array, Array]] = field(default_factory=list)
    carried: int = 0
    roots: list[Array] = field(default_factory=list)


def _changes(numbers: Array, ours: Array, true: Array, fps: float) -> dict[str, Array]:
    """Return differences in time [T] of a person found in the frames ``numbers``; paths [T, J + 1, 3], the root last.

    They are over frames that follow each other, and belong to the last of their frames. Accelerations are about the
    root, jitter is in the world.
    """
    about, true_about = ours[:, :-1] - ours[:, -1:], true[:, :-1] - true[:, -1:]
    nothing = np.full(len(numbers), np.nan)
    names = ("acceleration_error", "acceleration", "true_acceleration", "jitter", "true_jitter")
    columns = {name: nothing.copy() for name in names}
    first = int(numbers[0])
    there = np.zeros(int(numbers[-1]) - first + 1, bool)
    there[numbers - first] = True
    done = 0
    for run in runs(there):
        part = slice(done, done + run.stop - run.start)
        done = part.stop
        some, true_some = about[part], true_about[part]
        for name, points in (
            ("acceleration_error", some - true_some),
            ("acceleration", some),
            ("true_acceleration", true_some),
        ):
            columns[name][part][2:] = bends(points).mean(1)
        for name, points in (("jitter", ours[part, :-1]), ("true_jitter", true[part, :-1])):
            columns[name][part][3:] = jerks(points, fps).mean(1)
    return columns


def _pictures(points: Array, K: Array) -> Array:
    """Return pixels [N, J, 2] of joints [N, J, 3]; joints behind the camera are moved before it."""
    ahead = np.maximum(points[..., 2:], _AHEAD)
    return project(np.concatenate([points[..., :2], ahead], -1), K)
