"""BodyMesh: a bundle's body in two steps, shape -> a body at rest, then pose and expression -> vertices and joints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.inference.bound_graph import BoundGraph
from humanrt.people.expression import FaceModel
from humanrt.people.results import People
from humanrt.resource import Owner, releasing

__all__ = ["BodyAtRest", "BodyMesh", "BodyPoser", "FaceOnBody", "same_shape"]

Floats = NDArray[np.float32]

_NEW_SHAPE = 0.004  # change of a phenotype from which a body at rest is computed anew
_MOST_RESTS = 15  # beside the newest


@dataclass(frozen=True)
class BodyAtRest:
    """All that depends on a person's shape only.

    Attributes:
        shape: [S] phenotypes.
        arrays: outputs of the graph ``body_rest``.
    """

    shape: Floats
    arrays: dict[str, Floats]


class FaceOnBody:
    """The points of a body's face that the face landmarks show, and how face units move them.

    Args:
        bundle: a bundle with the array ``face_units``.
        head: index of the head joint, which carries the face.
    """

    def __init__(self, bundle: Bundle, head: int) -> None:
        arrays = bundle.array("face_units")
        self._vertices, self._deltas, self._head = arrays["vertices"], arrays["deltas"].astype(np.float64), head

    def __call__(self, rest: BodyAtRest) -> FaceModel:
        """Return the face of a body, in axes that the head's rotation turns to the camera's."""
        head, turn = (rest.arrays[name][0, self._head].astype(np.float64) for name in ("heads", "turns"))
        surface = rest.arrays["surface"][0][:, self._vertices].T.astype(np.float64)
        return FaceModel(turn @ (surface - head).T, turn @ np.swapaxes(self._deltas, 1, 2))


class BodyMesh(Owner):
    """Pose a body. Not thread-safe.

    Args:
        bundle: a bundle with the graphs ``body_rest`` and ``body_pose``.
        backend: the backend that runs them.
    """

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self._rest = self.own(BoundGraph(backend, bundle.graph("body_rest")))
        self._pose = self.own(BoundGraph(backend, bundle.graph("body_pose")))
        self.units = self._pose.arrays["expression"].shape[-1]
        self._last: BodyAtRest | None = None
        self._loaded: BodyAtRest | None = None

    def at_rest(self, shape: NDArray[np.floating[Any]]) -> BodyAtRest:
        """Return the body at rest of phenotypes [S]; for the shape of the last call it is not computed again."""
        if self._last is not None and np.array_equal(self._last.shape, np.asarray(shape, np.float32)):
            return self._last
        self._rest.arrays["shape"][0] = shape
        self._rest.run()
        outputs = {tensor.name: self._rest.arrays[tensor.name].copy() for tensor in self._rest.spec.outputs}
        self._last = BodyAtRest(np.array(shape, np.float32), outputs)
        return self._last

    def __call__(
        self,
        rest: BodyAtRest,
        rotations: NDArray[np.floating[Any]],
        translation: NDArray[np.floating[Any]] | None = None,
        expression: NDArray[np.floating[Any]] | None = None,
    ) -> tuple[Floats, Floats]:
        """Return vertices [V, 3] and joints [J, 3] m.

        Args:
            rest: the body at rest.
            rotations: [R, 3, 3] of the bundle's bones, each relative to its parent; the root's to the camera.
            translation: [3] m, camera space, of the head joint; None: the origin.
            expression: [E] amounts of the face units, 0..1; None: a neutral face.
        """
        inputs = self._pose.arrays
        if self._loaded is not rest:
            for name, array in rest.arrays.items():
                inputs[name][...] = array
            self._loaded = rest
        inputs["rotations"][0] = rotations
        inputs["translation"][0] = 0.0 if translation is None else translation
        inputs["expression"][0] = 0.0 if expression is None else expression
        self._pose.run()
        return inputs["vertices"][0].copy(), inputs["joints"][0].copy()


class BodyPoser(Owner):
    """Pose people whose parameters are known, such as smoothed ones. Not thread-safe.

    Bodies at rest are kept, and taken again for shapes that hardly differ.

    Args:
        bundle, backend: see `BodyMesh`.
    """

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self._mesh = self.own(BodyMesh(bundle, backend))
        self._rests: list[BodyAtRest] = []  # the one that was used last is last

    def __call__(self, people: People) -> tuple[list[Floats], list[Floats]]:
        """Return vertices [V, 3] and joints [J, 3] m, camera space, of each of the people."""
        parts = (people.shape, people.rotations, people.translations, people.expression)
        posed = [
            self._mesh(self._rest(shape), rotations, translation, expression)
            for shape, rotations, translation, expression in zip(*parts, strict=True)
        ]
        return [vertices for vertices, _ in posed], [joints for _, joints in posed]

    def _rest(self, shape: Floats) -> BodyAtRest:
        near = next((rest for rest in self._rests if same_shape(rest, shape)), None)
        if near is None:
            near = self._mesh.at_rest(shape)
            self._rests = [*self._rests[-_MOST_RESTS:], near]
        elif near is not self._rests[-1]:
            self._rests = [*(rest for rest in self._rests if rest is not near), near]
        return near


def same_shape(rest: BodyAtRest, shape: NDArray[np.floating[Any]]) -> bool:
    """Return whether a body at rest will do for phenotypes [S]."""
    return bool(np.abs(rest.shape - shape).max() <= _NEW_SHAPE)
