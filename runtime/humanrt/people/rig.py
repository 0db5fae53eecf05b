"""BodyRig: the skeleton of a people bundle's body, its joints at rest by shape, and the skin that follows its bones.

Bundles hold a body as a graph that poses it. The skin's weights are found by turning each bone on its own: a vertex
moves by its weight of that bone and those beyond. For Anny, which is linear blend skinning, they are exact but for
the number of bones kept per vertex; SMPL-X's corrective shapes, which depend on the pose, are not part of a skin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Backend, open_backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import (
    MULTIHMR,
    BodySettings,
    HolisticSettings,
    LandmarksSettings,
    MultiHmrSettings,
    Section,
    face_indices,
    people_model,
    topology_of,
)
from humanrt.checks import numbers
from humanrt.errors import BundleError, InvalidInputError, choices
from humanrt.geometry.bones import BoneTree, bone_tree
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.inference.bound_graph import BoundGraph
from humanrt.people.body_mesh import BodyMesh
from humanrt.resource import Owner, releasing

__all__ = ["BodyRig", "Skin", "open_rig"]

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

_INFLUENCES = 4  # bones per vertex: what glTF's JOINTS_0 holds
_TURN = 0.7  # rad, by which each bone is turned to see what follows it


@dataclass(frozen=True)
class Skin:
    """How vertices follow bones.

    Attributes:
        index: uint16 [V, 4] bones, the heaviest first.
        weight: float32 [V, 4], summing to 1.
    """

    index: NDArray[np.uint16]
    weight: Floats


class _PosedInSteps(Owner):
    """The body of a bundle ``holistic``: vertices [V, 3] and joints [J, 3] m, its head joint at the origin."""

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self._mesh = self.own(BodyMesh(bundle, backend))

    def __call__(self, shape: Floats, rotations: Floats, expression: Floats) -> tuple[Floats, Floats]:
        return self._mesh(self._mesh.at_rest(shape), rotations, expression=expression)


class _PosedAtOnce(Owner):
    """The body of the other bundles, likewise: one graph with a slot per person, of which the first is used."""

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend, graph: str) -> None:
        self._graph = self.own(BoundGraph(backend, bundle.graph(graph)))
        rotations = self._graph.arrays["rotations"]
        rotations[...] = np.eye(3)  # of the slots that hold nobody

    def __call__(self, shape: Floats, rotations: Floats, expression: Floats) -> tuple[Floats, Floats]:
        arrays = self._graph.arrays
        arrays["shape"][0, 0], arrays["rotations"][0, 0], arrays["translation"][...] = shape, rotations, 0.0
        if "expression" in arrays:
            arrays["expression"][0, 0] = expression
        self._graph.run()
        return arrays["vertices"][0, 0].copy(), arrays["joints"][0, 0].copy()


class BodyRig(Owner):
    """The body of a people bundle, as animation programs understand it. Close it, or use it inside ``with``.

    Args:
        body: poses it.
        tree: its bones.
        joint_names: [J] names of its joints, those of the bones among them.
        faces: int32 [F, 3] triangles.
        shape: [S] the shape of an average adult.
        units: names of the face units; empty if the bundle does not name them.
        expressions: number of expression coefficients E.

    Attributes:
        bones: [R] names.
        parents: [R] index of each bone's parent; -1 for the root.
        tree, joint_names, faces, default_shape, expression_units: see the arguments.
    """

    NEEDS_OPEN = ("pose", "rest")

    @releasing
    def __init__(
        self,
        body: _PosedInSteps | _PosedAtOnce,
        tree: BoneTree,
        *,
        joint_names: tuple[str, ...],
        faces: NDArray[np.int32],
        shape: Array,
        units: tuple[str, ...] = (),
        expressions: int = 0,
    ) -> None:
        self._body = self.own(body)
        self.tree, self.joint_names, self.faces = tree, joint_names, faces
        self.bones, self.parents = tree.names, tree.parents
        self.default_shape, self.expression_units, self._expressions = shape, units, expressions
        self._joint_of_bone = [joint_names.index(bone) for bone in tree.names]

    def pose(
        self, shape: ArrayLike, rotations: ArrayLike, expression: ArrayLike | None = None
    ) -> tuple[Floats, Floats]:
        """Return vertices [V, 3] and joints [J, 3] m of a pose, the head joint at the origin.

        Args:
            shape: [S].
            rotations: [R, 3, 3], each relative to the parent's, the root's to the world.
            expression: [E]; None: a neutral face.
        """
        given = numbers(shape, "shape"), numbers(rotations, "rotations")
        wanted = self.default_shape.shape, (len(self.bones), 3, 3)
        for name, array, size in zip(("shape", "rotations"), given, wanted, strict=True):
            if array.shape != size:
                raise InvalidInputError(f"{name} must be {list(size)}, not {list(array.shape)}")
        face = np.zeros(self._expressions, np.float32)
        if expression is not None and np.size(expression):
            face[...] = np.asarray(expression, np.float32)[: self._expressions]
        return self._body(given[0].astype(np.float32), given[1].astype(np.float32), face)

    def bone_heads(self, joints: NDArray[np.floating[Any]]) -> Array:
        """Return where the bones begin, [..., R, 3] m, from the joints [..., J, 3]."""
        return np.asarray(joints, np.float64)[..., self._joint_of_bone, :]

    def rest(self, shape: ArrayLike | None = None) -> Array:
        """Return where the bones begin at rest, [R, 3] m from the root, in the body's own axes.

        ``shape`` [S]; None: an average adult's.
        """
        heads = self.bone_heads(self._at_rest(self.default_shape if shape is None else shape)[1])
        return np.asarray(heads - heads[0])

    @cached_property
    def skin(self) -> Skin:
        """How vertices follow bones."""
        vertices, joints = (array.astype(np.float64) for array in self._at_rest(self.default_shape))
        heads = self.bone_heads(joints)
        count = len(self.bones)
        following = np.zeros((count, len(vertices)))  # of a bone and those beyond it
        for bone in range(count):
            above = below = np.zeros(len(vertices))
            for axis in np.eye(3):
                turn = np.broadcast_to(np.eye(3), (count, 3, 3)).copy()
                turn[bone] = matrices_from_vectors(_TURN * axis)
                moved, there = self.pose(self.default_shape, turn)
                # The head is held at the origin; the root is where it was, unless the root itself turns.
                shift = heads[0] - self.bone_heads(there)[0]
                full = (vertices - heads[bone]) @ (turn[bone] - np.eye(3)).T
                above = above + np.einsum("vi,vi->v", moved + shift - vertices, full)
                below = below + np.einsum("vi,vi->v", full, full)
            following[bone] = above / np.maximum(below, 1e-12)
        weights = following.copy()
        for bone, parent in enumerate(self.parents):
            if parent >= 0:
                weights[parent] -= following[bone]
        return _heaviest(weights.T)

    def expression_shapes(self, shape: ArrayLike, rotations: ArrayLike) -> Floats:
        """Return how far each expression coefficient of 1 moves each vertex of a pose, [E, V, 3] m."""
        neutral = self.pose(shape, rotations)[0]
        units = np.eye(self._expressions, dtype=np.float32)
        moved = [self.pose(shape, rotations, unit)[0] - neutral for unit in units]
        return np.stack(moved) if moved else np.zeros((0, *neutral.shape), np.float32)

    def _at_rest(self, shape: ArrayLike) -> tuple[Floats, Floats]:
        return self.pose(shape, np.broadcast_to(np.eye(3), (len(self.bones), 3, 3)))


def _heaviest(weights: Array) -> Skin:
    """Return the skin of weights [V, R], of which the heaviest are kept."""
    index = np.argsort(-weights, axis=1)[:, :_INFLUENCES]
    kept = np.clip(np.take_along_axis(weights, index, axis=1), 0.0, None)
    kept[kept < 1e-3] = 0.0
    kept /= kept.sum(axis=1, keepdims=True)
    return Skin(np.where(kept > 0, index, 0).astype(np.uint16), kept.astype(np.float32))


def open_rig(bundle: Bundle, backend: Backend | None = None, *, topology: str | None = None) -> BodyRig:
    """Open the rig of a people bundle.

    Args:
        bundle: the bundle.
        backend: runs its body's graph; None: one of its own, on the CPU.
        topology: name of the mesh, for bundles of Multi-HMR that have several; None: the first.

    Raises:
        BundleError: the bundle is damaged, or of no known kind.
        SkeletonError: its rotations are not of Anny's or SMPL-X's bones, as this version knows them.
    """
    kind = people_model(bundle)
    if kind not in _OPEN:
        raise BundleError(f"bundle `{bundle.name}`: bodies of a model `{kind}` are not known; known: {choices(_OPEN)}")
    with ExitStack() as failing:
        own = None
        if backend is None:
            own = backend = failing.enter_context(open_backend("cpu"))
        rig = _OPEN[kind](bundle, backend, topology)
        if own is not None:
            rig.own(own)
        failing.pop_all()
    return rig


def _holistic_rig(bundle: Bundle, backend: Backend, topology: str | None) -> BodyRig:
    settings = HolisticSettings.of(bundle)
    return _rig(bundle, _PosedInSteps(bundle, backend), settings.body, settings.expression_units)


def _landmarks_rig(bundle: Bundle, backend: Backend, topology: str | None) -> BodyRig:
    return _rig(bundle, _PosedAtOnce(bundle, backend, "body"), LandmarksSettings.of(bundle).body)


def _rig(
    bundle: Bundle, body: _PosedInSteps | _PosedAtOnce, settings: BodySettings, units: tuple[str, ...] = ()
) -> BodyRig:
    return BodyRig(
        body,
        bone_tree(settings.bones, len(settings.bones)),
        joint_names=settings.joint_names,
        faces=face_indices(bundle, "faces", settings.vertices),
        shape=np.array([one.default for one in settings.phenotypes]),
        units=units,
        expressions=len(units),
    )


def _multihmr_rig(bundle: Bundle, backend: Backend, topology: str | None) -> BodyRig:
    settings = MultiHmrSettings.of(bundle)
    mesh = topology_of(bundle, settings, topology)
    graph = bundle.graph(mesh.graph_one if mesh.graph_one in bundle.graphs else mesh.graph)
    sizes = {tensor.name: tensor.shape for tensor in graph.inputs}
    tree = bone_tree(settings.bones, sizes["rotations"][2])
    names = [one.text("name") for one in Section.of(bundle).section("body").sections("phenotypes", default=())]
    return BodyRig(
        _PosedAtOnce(bundle, backend, graph.name),
        tree,
        joint_names=settings.joint_names,
        faces=face_indices(bundle, mesh.faces, mesh.vertices),
        shape=np.array([_AVERAGE.get(name, 0.5) for name in names]) if names else np.zeros(sizes["shape"][2]),
        expressions=sizes["expression"][2] if "expression" in sizes else 0,
    )


_AVERAGE = {"age": 2 / 3}
"""Phenotypes of an average adult that are not in the middle of their range."""

_OPEN: Mapping[str, Callable[[Bundle, Backend, str | None], BodyRig]] = {
    "holistic": _holistic_rig,
    "landmarks": _landmarks_rig,
    MULTIHMR: _multihmr_rig,
}
