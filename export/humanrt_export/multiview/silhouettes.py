"""What silhouettes say of a body: outlines in pictures against the rim of the mesh, as residuals of the body solver.

A picture's outline is where the landmark network's mask passes through one half. Each point of it belongs to the
nearest point of the mesh's rim, where the surface turns away from the camera, that faces the same way; the residual is
their distance across the outline. Parts of the rim that nothing belongs to (an arm before the chest) say nothing, and
the distances of those that are far away (a mask that leaves something out) count little, as Geman and McClure's.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.evaluation.calibrated import View
from humanrt.fitting.problem import Problem
from humanrt.fitting.reference import NumpyKernel
from humanrt.geometry.anny import ANNY_BONES, ANNY_PARENTS
from humanrt.geometry.region import Region
from humanrt.people.fitted_body import FittedBody
from humanrt.people.rig import BodyRig

__all__ = ["Matches", "Outline", "SilhouetteBody", "outline_of", "residuals"]

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

_FINER = 4  # subdivisions of a mask's pixels
_POINTS = 120  # of an outline, at most
_SAME = 0.5  # least cosine between normals of an outline and of the rim that belongs to it
_EDGE = 3.0  # px of a picture and of a mask at whose borders outlines are cut
_AHEAD = 0.1  # m


@dataclass(frozen=True)
class Outline:
    """Points [N, 2] px of an outline in a picture, and unit normals [N, 2] that point outwards.

    float32, because those of all pictures of a take are kept.
    """

    points: NDArray[np.float32]
    normals: NDArray[np.float32]


@dataclass(frozen=True)
class Matches:
    """M points of outlines and the vertices that belong to them.

    Attributes:
        view: [M] camera.
        vertex: [M].
        points, normals: [M, 2] px, of the outlines.
    """

    view: Indices
    vertex: Indices
    points: Array
    normals: Array


def outline_of(logits: NDArray[np.int8], crop: NDArray[np.float32], size: tuple[int, int]) -> Outline | None:
    """Return the outline of a mask in a picture; None if nobody is in the mask.

    Args:
        logits: [S, S], positive: the person's.
        crop: [4] x, y, size px, angle rad of the region that the mask covers.
        size: (width, height) px of the picture.
    """
    side = len(logits) * _FINER
    fine = cv2.resize(logits.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    fine = cv2.GaussianBlur(fine, (0, 0), 0.5 * _FINER)
    found, _ = cv2.findContours((fine > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not found:
        return None
    whole = max(found, key=cv2.contourArea)[:, 0].astype(np.intp)
    x, y = whole.T
    slope = np.stack([cv2.Sobel(fine, cv2.CV_32F, *axis)[y, x] for axis in ((1, 0), (0, 1))], -1).astype(np.float64) / 8
    steep = np.linalg.norm(slope, axis=1)
    kept = (steep > 1e-3) & (np.minimum(whole, side - 1 - whole).min(axis=1) > _EDGE)
    whole, slope, steep, level = whole[kept], slope[kept], steep[kept], fine[y, x][kept].astype(np.float64)
    normals = -slope / steep[:, None]
    # Pixels of the border lie up to one of them inside: go on to where the mask is one half.
    points = whole + 0.5 + np.clip(level / steep, -1.5, 1.5)[:, None] * normals
    warp = Region(*crop.tolist()).to_image(side)
    points = points @ warp[:, :2].T + warp[:, 2]
    normals = normals @ warp[:, :2].T / np.sqrt(abs(np.linalg.det(warp[:, :2])))
    inside = ((points > _EDGE) & (points < np.array(size) - _EDGE)).all(axis=1)
    points, normals = points[inside], normals[inside]
    if not len(points):
        return None
    some = np.linspace(0, len(points) - 1, min(len(points), _POINTS)).round().astype(int)
    return Outline(points[some].astype(np.float32), normals[some].astype(np.float32))


class SilhouetteBody:
    """Anny's mesh as linear blend skinning, whose vertices and their derivatives are asked for one by one.

    Args:
        mesh: the body.
        body: the rig that is fitted.
    """

    def __init__(self, mesh: BodyRig, body: FittedBody) -> None:
        self._mesh, self._body, self._rig = mesh, body, body.rig
        self._bones = mesh.skin.index.astype(np.intp)
        self._weights = mesh.skin.weight.astype(np.float64)
        self._still = np.broadcast_to(np.eye(3), (len(ANNY_BONES), 3, 3))
        self._heads = [mesh.joint_names.index(bone) for bone in ANNY_BONES]
        faces = np.asarray(mesh.faces, np.intp)
        sides = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
        order = np.lexsort(sides.T)
        sides, of = sides[order], np.tile(np.arange(len(faces)), 3)[order]
        pairs = np.flatnonzero((sides[1:] == sides[:-1]).all(axis=1))
        self._edges, self._beside, self._faces = sides[pairs], np.stack([of[pairs], of[pairs + 1]], 1), faces
        # Which links move a bone: itself and those above.
        above = np.eye(len(self._rig.parent))
        for link, parent in enumerate(self._rig.parent):
            if parent >= 0:
                above[link] += above[parent]
        self._above = above[self._rig.bone_link]
        self._rest: tuple[Array, Array] | None = None
        self._slopes: list[tuple[int, float, tuple[Array, Array]]] = []
        self._pivot_by = np.zeros((3, 0))

    def take(self, shape: Array, solved: Indices, step: float = 0.02) -> None:
        """Take a shape [6], of which some phenotypes are solved for."""
        self._rest = self._at_rest(shape)
        self._slopes = []
        for number, place in enumerate(solved.tolist()):
            moved = shape.copy()
            moved[place] += step if shape[place] < 0.5 else -step
            self._slopes.append((number, float(moved[place] - shape[place]), self._at_rest(moved)))

    def _at_rest(self, shape: Array) -> tuple[Array, Array]:
        """Return vertices [V, 3] and bones' heads [74, 3] m at rest, from the root."""
        vertices, joints = self._mesh.pose(shape, self._still)
        heads = np.asarray(joints, np.float64)[self._heads]
        return vertices.astype(np.float64) - heads[0], heads - heads[0]

    def posed(self, problem: Problem, some: Indices | slice = slice(None)) -> Array:
        """Return vertices [M, 3] m in the world, at the state whose links the problem holds."""
        assert self._rest is not None
        return self._skinned(self._rest, problem.world[self._rig.bone_link], problem.origin[0], some)

    def _skinned(self, rest: tuple[Array, Array], world: Array, root: Array, some: Indices | slice) -> Array:
        vertices, heads = rest
        at = np.zeros_like(heads)
        for bone, parent in enumerate(ANNY_PARENTS):
            at[bone] = root if parent < 0 else at[parent] + world[parent] @ (heads[bone] - heads[parent])
        shift = at - (world @ heads[:, :, None])[..., 0]
        bones, weights = self._bones[some], self._weights[some]
        turns = np.einsum("vk,vkij->vij", weights, world[bones])
        return np.asarray(
            np.einsum("vij,vj->vi", turns, vertices[some]) + np.einsum("vk,vki->vi", weights, shift[bones])
        )

    def slopes(self, problem: Problem, some: Indices, at: Array) -> Array:
        """Return the derivatives [M, 3, N] of vertices, which are ``at`` [M, 3], by all variables of the problem."""
        pose = NumpyKernel(problem).pose()
        variables = len(problem.x)
        J = np.zeros((len(some), 3, 6 + variables + len(problem.shape)))
        away = at - problem.position
        J[:, :, :3] = np.cross(np.eye(3)[None], away[:, None]).swapaxes(1, 2)
        J[:, :, 3:6] = np.eye(3)
        share = np.einsum("vk,vkl->vl", self._weights[some], self._above[self._bones[some]])
        for link, (first, count) in enumerate(zip(problem.first.tolist(), problem.count.tolist(), strict=True)):
            moved = np.flatnonzero(share[:, link] > 1e-6) if link and count else ()
            if len(moved):
                arms = (at[moved] - pose.origin[link]) * share[moved, link, None]
                turned = np.cross(pose.axis[link, :count][None], arms[:, None])
                J[moved, :, 6 + first : 6 + first + count] += turned.swapaxes(1, 2)
        world = problem.world[self._rig.bone_link]
        for number, size, rest in self._slopes:
            root = problem.origin[0] - size * problem.rotation @ problem.offset_by[0, :, number]
            J[:, :, 6 + variables + number] = (self._skinned(rest, world, root, some) - at) / size
        return J

    def matches(self, vertices: Array, cameras: tuple[View, ...], outlines: list[Outline | None]) -> Matches:
        """Return which vertices of the rim belong to the points of the cameras' outlines."""
        a, b, c = (vertices[self._faces[:, k]] for k in range(3))
        areas = np.cross(b - a, c - a)
        facing_away = np.einsum("fi,fi->f", areas, a)
        normals = np.stack(
            [np.bincount(self._faces.ravel(), np.repeat(areas[:, k], 3), len(vertices)) for k in range(3)], 1
        )
        views, chosen, points, across = [], [], [], []
        for k, (camera, outline) in enumerate(zip(cameras, outlines, strict=True)):
            if outline is None:
                continue
            ahead = facing_away - areas @ camera.centre > 0
            side = ahead[self._beside]
            rim = np.unique(self._edges[side[:, 0] != side[:, 1], 0])
            inside = camera.camera(vertices[rim])
            rim, inside = rim[inside[:, 2] > _AHEAD], inside[inside[:, 2] > _AHEAD]
            if not len(rim):
                continue
            flat = inside @ camera.K.T
            flat = flat[:, :2] / flat[:, 2:]
            facing = normals[rim] @ camera.R[:2].T
            facing /= np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-12)
            far = (flat**2).sum(-1)[None] - 2 * outline.points @ flat.T  # and what all of a point's have in common
            far[outline.normals @ facing.T < _SAME] = np.inf
            nearest = far.argmin(axis=1)
            some = np.flatnonzero(np.isfinite(far[np.arange(len(far)), nearest]))
            views.append(np.full(len(some), k))
            chosen.append(rim[nearest[some]])
            points.append(outline.points[some])
            across.append(outline.normals[some])
        if not views:
            nothing = np.zeros(0, np.intp)
            return Matches(nothing, nothing, np.zeros((0, 2)), np.zeros((0, 2)))
        return Matches(
            np.concatenate(views), np.concatenate(chosen),
            np.concatenate(points).astype(np.float64), np.concatenate(across).astype(np.float64),
        )  # fmt: skip


def residuals(at: Array, matches: Matches, cameras: tuple[View, ...], clothes: float) -> tuple[Array, Array]:
    """Return how far the rim lies outside of the outlines, m [M], and its slopes [M, 3] by places.

    Vertices that come behind a camera say nothing.

    Args:
        at: [M, 3] m, the vertices in the world.
        matches: what belongs to what.
        cameras: the views.
        clothes: m, how far outlines lie outside of the bare body.
    """
    off, slope = np.zeros(len(at)), np.zeros((len(at), 3))
    for k in np.unique(matches.view).tolist():
        some, camera = matches.view == k, cameras[k]
        inside = camera.camera(at[some])
        ahead = inside[:, 2] > _AHEAD
        depth = np.where(ahead, inside[:, 2], 1.0)
        K, normals = camera.K[:2], matches.normals[some]
        flat = (inside[:, :2] / depth[:, None]) @ K[:, :2].T + K[:, 2]
        metres = depth / K[0, 0]  # of a pixel at the vertex
        across = normals @ K[:, :2]
        off[some] = np.where(ahead, ((flat - matches.points[some]) * normals).sum(-1) * metres + clothes, 0.0)
        towards = (across * inside[:, :2]).sum(-1) / depth
        by = np.c_[across, -towards] * (metres / depth)[:, None]
        slope[some] = np.where(ahead[:, None], by @ camera.R, 0.0)
    return off, slope
