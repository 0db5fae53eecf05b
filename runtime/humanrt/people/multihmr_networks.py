"""Multi-HMR's networks: from batches of input images to the people of each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Array, Backend, Graph
from humanrt.bundle import Bundle
from humanrt.bundle.settings import MultiHmrSettings, Topology
from humanrt.geometry.camera import Letterbox, project
from humanrt.people.results import People
from humanrt.resource import Owner, releasing
from humanrt.timing import Stopwatch

__all__ = ["BodyMeshes", "Networks", "decoded", "occupied"]

# Max number of people for whom running the one-person graph once per person is faster than the graph for all slots.
_ONE_BY_ONE = 2
_OUTPUTS = ("vertices", "joints")


class Networks(Owner):
    """The network that detects people, and the body model that computes their meshes.

    Args:
        bundle: holds the graphs.
        backend: runs the graphs.
        settings: the bundle's settings.
        mesh: topology of the body model; None: no meshes, and no body model is opened.

    Attributes:
        network: ``image``, ``intrinsics``, ``threshold`` -> parameters of the person in every slot.
        body: some of these parameters -> ``vertices`` and ``joints``; None: no meshes.
        shape: (B, 3, H, W), shape of ``image``.
    """

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend, settings: MultiHmrSettings, mesh: Topology | None) -> None:
        self.backend, self.settings = backend, settings
        self.network = self.own(backend.open(bundle.graph("network")))
        self.body = None if mesh is None else self.own(BodyMeshes(bundle, backend, mesh.graph, mesh.graph_one))
        self.shape = self.network.tensor("image").shape

    def people(
        self,
        images: NDArray[np.float32],
        K: NDArray[np.float64],
        threshold: float,
        watch: Stopwatch,
        boxes: Sequence[Letterbox | None],
        *,
        meshes: bool = True,
    ) -> list[People]:
        """Run a full batch.

        Args:
            images: float32 [B, 3, H, W].
            K: [B, 3, 3] px of these images; zeros where the network estimates the camera.
            threshold: minimum score of a person.
            watch: holds the time of the stages before; its laps become `People.ms`.
            boxes: letterbox of each image; None: none was applied. Images of the batch beyond them are ignored.
            meshes: False leaves the body model out.

        Returns:
            The people of the first ``len(boxes)`` images, in pixels before letterboxing.
        """
        limit = np.array([threshold], np.float32)
        outputs = self.network.run({"image": images, "intrinsics": K.astype(np.float32), "threshold": limit})
        watch.lap("network")
        # Image and slot of each person, best first within an image.
        slots = [occupied(outputs, image) for image in range(len(boxes))]
        posed: Sequence[tuple[Array, Array] | None] = [None] * len(boxes)
        if meshes and self.body is not None:
            posed = self.body(outputs, slots)
            watch.lap("body")
        people = decoded(outputs, K, slots, posed, boxes)
        watch.lap("decode")
        return [replace(one, ms=dict(watch.ms)) for one in people]


def occupied(outputs: Mapping[str, Array], image: int) -> NDArray[np.intp]:
    """Return the slots of an image that hold a person of finite numbers; NaN would stay in trackers and filters."""
    finite = np.isfinite(outputs["scores"][image])
    for name in ("locations", "translation", "rotations", "shape"):
        values = outputs[name][image]
        finite &= np.isfinite(values).reshape(len(values), -1).all(axis=-1)
    return np.flatnonzero(outputs["valid"][image] & finite)


def decoded(
    outputs: Mapping[str, Array],
    K: NDArray[np.float64],
    slots: Sequence[NDArray[np.intp]],
    meshes: Sequence[tuple[Array, Array] | None],
    boxes: Sequence[Letterbox | None],
) -> list[People]:
    """Decode the `People` of each image from its slots, meshes and letterbox; see `_assemble`."""
    if "camera" in outputs:  # the network's estimate, if no intrinsics were given
        K = np.where(K[:, :1, :1] > 0, K, outputs["camera"])
    return [
        _assemble(
            {name: values[image][slot] for name, values in outputs.items() if name != "camera"}, mesh, K[image], box
        )
        for image, (slot, mesh, box) in enumerate(zip(slots, meshes, boxes, strict=True))
    ]


def _assemble(
    outputs: Mapping[str, Array], mesh: tuple[Array, Array] | None, K: NDArray[np.float64], box: Letterbox | None
) -> People:
    """Assemble `People` from the network's outputs for one image, in pixels of the image before letterboxing."""
    locations, scores = outputs["locations"], outputs["scores"]
    K = K.astype(np.float64)
    if box is not None:
        K = box.intrinsics_to_source(K)
        locations = box.points_to_source(locations).astype(np.float32)
    vertices, joints = mesh or (None, None)
    return People(
        scores=scores,
        locations=locations,
        translations=outputs["translation"],
        rotations=outputs["rotations"],
        shape=outputs["shape"],
        expression=outputs.get("expression", np.zeros((len(scores), 0), np.float32)),
        intrinsics=K,
        vertices=vertices,
        joints=joints,
        joints_2d=None if joints is None else project(joints, K).astype(np.float32),
    )


class BodyMeshes(Owner):
    """Body graphs: vertices and joints from parameters of slots, computed for few people or for all slots.

    On a GPU always for all slots, in one launch.
    """

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend, everybody: str, one: str) -> None:
        self.everybody = self.own(backend.open(bundle.graph(everybody)))
        few = one in bundle.graphs and backend.device is None
        self._one: Graph | None = self.own(backend.open(bundle.graph(one))) if few else None
        self._inputs = [spec.name for spec in self.everybody.spec.inputs]
        self._sizes = [self.everybody.tensor(name).shape[2:] for name in _OUTPUTS]

    def __call__(self, outputs: Mapping[str, Array], slots: Sequence[NDArray[np.intp]]) -> list[tuple[Array, Array]]:
        """Return vertices [N, V, 3] and joints [N, J, 3], m, of the people in ``slots`` of each image."""
        people = sum(map(len, slots))
        if self._one is not None and people <= _ONE_BY_ONE:
            return [self._one_by_one(self._one, outputs, image, slot) for image, slot in enumerate(slots)]
        posed = self.everybody.run({name: outputs[name] for name in self._inputs})
        return [(posed["vertices"][image][slot], posed["joints"][image][slot]) for image, slot in enumerate(slots)]

    def posed(self, parameters: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return vertices [N, V, 3] and joints [N, J, 3], m, of any number of people by their parameters [N, ...]."""
        batch, size = self.everybody.tensor(self._inputs[0]).shape[:2]
        count = len(next(iter(parameters.values())))
        meshes = [np.empty((0, *size), np.float32) for size in self._sizes]
        for start in range(0, count, size):
            some = min(size, count - start)
            slots = {}
            for name in self._inputs:
                slots[name] = np.zeros((batch, size, *parameters[name].shape[1:]), np.float32)
                slots[name][0, :some] = parameters[name][start : start + some]
            (part,) = self(slots, [np.arange(some)])
            meshes = [np.concatenate(both) for both in zip(meshes, part, strict=True)]
        return meshes[0], meshes[1]

    def _one_by_one(
        self, graph: Graph, outputs: Mapping[str, Array], image: int, slot: NDArray[np.intp]
    ) -> tuple[Array, Array]:
        vertices, joints = (np.empty((len(slot), *size), np.float32) for size in self._sizes)
        for person, s in enumerate(slot):
            posed = graph.run({name: outputs[name][image : image + 1, s : s + 1] for name in self._inputs})
            vertices[person], joints[person] = (posed[name][0, 0] for name in _OUTPUTS)
        return vertices, joints
