"""MultiHMR: an image in, the people in it out, in pixels of that image and in metres."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Array, Backend, Graph
from humanrt.bundle import Bundle
from humanrt.bundle.settings import MultiHmrSettings, Topology, face_indices
from humanrt.errors import BundleError, choices
from humanrt.geometry.camera import Letterbox, check_image, check_intrinsics, field_of_view_intrinsics, project
from humanrt.geometry.letterbox import Preprocessor
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.inference.model import Model
from humanrt.people.gpu_people import GpuPeople, Networks
from humanrt.people.landmarks import uses_landmarks
from humanrt.people.results import People
from humanrt.resource import Owner, releasing
from humanrt.sources.image import as_image
from humanrt.timing import Stopwatch

__all__ = ["AUTO", "DEFAULT_BUNDLE", "BodyMeshes", "MultiHMR", "Preprocessor", "topology_of"]

DEFAULT_BUNDLE = "multihmr-anny"
"""The shipped bundle for people: finds more of them, more exactly, than `landmarks` (docs/use/people.md)."""

# People up to whom the graph for one person, run once for each, is faster than the graph for all slots.
_ONE_BY_ONE = 2
_OUTPUTS = ("vertices", "joints")

AUTO: Final = "auto"
"""For `fov`: the network's own estimate."""


class MultiHMR(Model):
    """Finds the people in an image and their bodies. One object serves one thread at a time.

    >>> model = MultiHMR()                               # what ships; or a folder of `humanrt-export multihmr`
    >>> people = model(rgb)                              # uint8 [H, W, 3] -> People, in px of the image and in metres

    Args:
        bundle: name or folder of a bundle for the task ``people``, or a loaded one; by default the shipped one.
        fov: degrees over the longer side of the image, assumed where no intrinsics are given; ``auto``: the network's
            own estimate, where it makes one (Anny); None: what the bundle's settings say (60 degrees for NAVER's
            models, the estimate for our own on Anny). Depth is proportional to the focal length: a wrong angle moves
            people away or nearer.
        meshes: also make vertices and joints. Without, nothing of the body model is even loaded.
        topology: which mesh, where the bundle has several; None takes its first.
        backend, execution: where and how the networks run; see `Execution`.

    Attributes:
        faces: int32 [F, 3], triangles of every mesh.
        joint_names: [J] names of the joints.
        resize: how images are scaled to the network's input (`humanrt.geometry.letterbox`): the bundle's setting.

    Raises:
        BundleError, BackendError, CameraError: what is wrong and how to mend it.
    """

    NEEDS_OPEN = ("__call__", "submit", "result", "infer")

    _gpu: GpuPeople | None = None

    @releasing
    def __init__(
        self,
        bundle: Bundle | str | Path = DEFAULT_BUNDLE,
        backend: Execution | Backend | str = "cpu",
        *,
        fov: float | Literal["auto"] | None = None,
        meshes: bool = True,
        topology: str | None = None,
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        super().__init__(bundle, "people", Execution.of(backend, execution))
        if uses_landmarks(self.bundle):
            raise BundleError(
                f"bundle `{self.bundle.name}` is another pipeline than Multi-HMR (`LandmarkPeople`; its stages: "
                "`humanrt run` with --record); give multihmr-anny, or one of `humanrt-export multihmr`'s"
            )
        settings = MultiHmrSettings.of(self.bundle)
        self.image_size = settings.image_size
        self.fov = float(settings.field_of_view if fov is None or fov == AUTO else fov)
        centre = settings.principal_point
        square = (self.image_size, self.image_size)
        self._intrinsics = field_of_view_intrinsics(square, self.fov, (centre, centre))
        mesh = topology_of(self.bundle, settings, topology)
        self._threshold = settings.threshold
        self.resize = settings.resize
        self._preprocess = Preprocessor(self.image_size, settings.mean, settings.std, self.resize)
        self._network = self.own(self.backend.open(self.bundle.graph("network")))
        if fov == AUTO and not settings.estimates:
            raise BundleError(
                f"the network of bundle {self.bundle.name} does not estimate the field of view; give it in degrees, or "
                "leave it out"
            )
        if fov == AUTO or (fov is None and settings.estimated):
            self._intrinsics = np.zeros((3, 3))  # not known: the network estimates them
        self._image = np.zeros(self._network.tensor("image").shape, np.float32)
        self._body = self.own(BodyMeshes(self.bundle, self.backend, mesh.graph, mesh.graph_one)) if meshes else None
        self.faces: NDArray[np.int32] = face_indices(self.bundle, mesh.faces, mesh.vertices)
        self.joint_names: tuple[str, ...] = settings.joint_names
        self._done: deque[People] = deque()  # of frames that were submitted, oldest first; then come those on the GPU
        self._on_gpu: deque[tuple[NDArray[np.float64], Letterbox]] = deque()
        self._networks: Networks | None = None
        if (device := self.backend.device) is not None:
            body = None if self._body is None else self._body.everybody
            mean_std = settings.mean, settings.std
            self._networks = Networks(self.backend, device, self._network, body, *mean_std, self.resize)

    def __call__(
        self, rgb: NDArray[np.uint8] | str | Path, intrinsics: ArrayLike | None = None, threshold: float | None = None
    ) -> People:
        """The people in one image.

        Args:
            rgb: uint8 [H, W, 3], or the name of an image file.
            intrinsics: K [3, 3] of the camera in px of this image; None assumes `fov` and the image's middle.
            threshold: lowest score of a person, 0..1; None takes the bundle's (0.3 for the published models).

        Raises:
            ValueError: the image is not uint8 [H, W, 3], or the threshold no probability; or images that were
                submitted wait to be taken.
            CameraError: the intrinsics are none.
        """
        if self.in_flight:
            raise ValueError(f"{self.in_flight} submitted images wait: take their results first")
        self.submit(as_image(rgb), intrinsics, threshold)
        return self.result()

    @property
    def overlaps(self) -> bool:
        """Whether what is submitted is computed while the caller goes on: on a GPU."""
        return self._networks is not None

    @property
    def in_flight(self) -> int:
        """Images submitted whose people were not taken."""
        return len(self._done) + len(self._on_gpu)

    @property
    def full(self) -> bool:
        """Whether a result must be taken before the next image is submitted."""
        return bool(self._done) or (self._gpu is not None and self._gpu.full)

    def submit(
        self, rgb: NDArray[np.uint8], intrinsics: ArrayLike | None = None, threshold: float | None = None
    ) -> None:
        """Give an image to the network; `result` gives its people. Arguments and errors as for the call itself.

        On a GPU the next image is uploaded while this one is computed, and the one before downloaded (`full` says when
        to take a result first). On a CPU it is computed at once.
        """
        threshold = self._checked(threshold)
        K = None if intrinsics is None else check_intrinsics(intrinsics)
        if self._networks is None:
            self._done.append(self._computed(rgb, K, threshold))
            return
        check_image(rgb)
        gpu = self._for_size(self._networks, (rgb.shape[1], rgb.shape[0]))
        K = self._intrinsics if K is None else gpu.box.intrinsics_to_square(K)
        cameras = np.ascontiguousarray(np.broadcast_to(K, (len(self._image), 3, 3)), np.float32)
        gpu.submit(np.ascontiguousarray(rgb), cameras, np.array([threshold], np.float32))
        self._on_gpu.append((K, gpu.box))

    def result(self) -> People:
        """The people in the image submitted first. ValueError when none is waiting."""
        return self._done.popleft() if self._done else self._from_gpu()

    def _for_size(self, networks: Networks, size: tuple[int, int]) -> GpuPeople:
        """The GPU's buffers for frames of a size; those of another are freed, and their results kept."""
        if self._gpu is not None and self._gpu.size != size:
            while self._on_gpu:
                self._done.append(self._from_gpu())
            self._gpu.close()
            self._gpu = None
        if self._gpu is None:
            self._gpu = GpuPeople(networks, size)
        return self._gpu

    def _from_gpu(self) -> People:
        if self._gpu is None or not self._on_gpu:
            raise ValueError("no image is waiting: submit one first")
        K, box = self._on_gpu.popleft()
        finished = self._gpu.result()
        watch = Stopwatch()
        found = finished.outputs
        slots = [_occupied(found, 0)]
        posed = [found.pop(name) for name in _OUTPUTS if name in found]
        meshes = [(posed[0][0][slots[0]], posed[1][0][slots[0]])] if posed else [None]
        people = _decoded(found, np.broadcast_to(K, (len(self._image), 3, 3)), slots, meshes, [box])[0]
        watch.lap("decode")
        return replace(people, ms=finished.ms | watch.ms)

    def _computed(self, rgb: NDArray[np.uint8], K: NDArray[np.float64] | None, threshold: float) -> People:
        """The people in one image, on the CPU."""
        watch = Stopwatch()
        box = self._preprocess(rgb, self._image[0])
        K = self._intrinsics if K is None else box.intrinsics_to_square(K)
        watch.lap("preprocess")
        return self._people(self._image, np.broadcast_to(K, (len(self._image), 3, 3)), threshold, watch, [box])[0]

    def _checked(self, threshold: float | None) -> float:
        threshold = self._threshold if threshold is None else float(threshold)
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"threshold is {threshold:g}; scores are 0..1")
        return threshold

    def infer(
        self, images: NDArray[np.float32], intrinsics: ArrayLike | None = None, threshold: float | None = None
    ) -> list[People]:
        """The people in images that are already the network's input; pixels stay those of this input.

        Args:
            images: float32 [B, 3, S, S]: RGB, letterboxed, normalised. Any B: the bundle's batch is filled up. In an
                image that holds NaN or infinity nobody is seen; an image of zeros is one like any other.
            intrinsics: K [B, 3, 3] or [3, 3], px of this input; None assumes `fov` and the middle.
            threshold: lowest score of a person, 0..1; None takes the bundle's.

        Returns:
            B results. `People.ms` is the time of all the images of a run together.

        Raises:
            ValueError: images of another shape or dtype, or the threshold is no probability.
            CameraError: the intrinsics are none.
        """
        images = np.asarray(images)
        size = self.image_size
        if images.dtype != np.float32 or images.ndim != 4 or images.shape[1:] != (3, size, size):
            raise ValueError(
                f"images must be float32 [B, 3, {size}, {size}], not {images.dtype} {list(images.shape)}; "
                "call the model itself for uint8 images of any size"
            )
        K = np.broadcast_to(self._intrinsics, (len(images), 3, 3))
        if intrinsics is not None:
            K = check_intrinsics(intrinsics, len(images))
        people: list[People] = []
        batch = len(self._image)
        for start in range(0, len(images), batch):
            watch = Stopwatch()
            some, cameras = images[start : start + batch], K[start : start + batch]
            count = len(some)
            if count < batch:  # shapes are static: what is missing is filled up, and not looked at
                some = np.concatenate((some, np.zeros((batch - count, *some.shape[1:]), np.float32)))
                cameras = np.concatenate((cameras, np.broadcast_to(self._intrinsics, (batch - count, 3, 3))))
            people += self._people(some, cameras, self._checked(threshold), watch, [None] * count)
        return people

    def _people(
        self,
        images: NDArray[np.float32],
        K: NDArray[np.float64],
        threshold: float,
        watch: Stopwatch,
        boxes: Sequence[Letterbox | None],
    ) -> list[People]:
        """Full batches -> the people of the first ``len(boxes)`` images, in pixels of what was letterboxed."""
        limit = np.array([threshold], np.float32)
        found = self._network.run({"image": images, "intrinsics": K.astype(np.float32), "threshold": limit})
        watch.lap("network")
        # Where each person is: image and slot, best first within an image.
        slots = [_occupied(found, image) for image in range(len(boxes))]
        meshes: Sequence[tuple[Array, Array] | None] = [None] * len(boxes)
        if self._body:
            meshes = self._body(found, slots)
            watch.lap("body")
        people = _decoded(found, K, slots, meshes, boxes)
        watch.lap("decode")
        return [replace(one, ms=dict(watch.ms)) for one in people]

    def close(self) -> None:
        """Free the graphs' memory; what was submitted and not taken is lost."""
        if self._gpu is not None:
            self._gpu.close()
            self._gpu = None
        super().close()


def _occupied(found: Mapping[str, Array], image: int) -> NDArray[np.intp]:
    """Slots of an image that hold somebody, and somewhere: what is not a number would stay in trackers and filters."""
    finite = np.isfinite(found["scores"][image])
    for name in ("locations", "translation"):
        finite &= np.isfinite(found[name][image]).all(axis=-1)
    return np.flatnonzero(found["valid"][image] & finite)


def _decoded(
    found: Mapping[str, Array],
    K: NDArray[np.float64],
    slots: Sequence[NDArray[np.intp]],
    meshes: Sequence[tuple[Array, Array] | None],
    boxes: Sequence[Letterbox | None],
) -> list[People]:
    """`People` of the slots of each image, whose meshes and letterboxes are given; see `_assemble`."""
    if "camera" in found:  # the network's estimate, where nothing was given
        K = np.where(K[:, :1, :1] > 0, K, found["camera"])
    return [
        _assemble(
            {name: values[image][slot] for name, values in found.items() if name != "camera"}, mesh, K[image], box
        )
        for image, (slot, mesh, box) in enumerate(zip(slots, meshes, boxes, strict=True))
    ]


def _assemble(
    found: Mapping[str, Array], mesh: tuple[Array, Array] | None, K: NDArray[np.float64], box: Letterbox | None
) -> People:
    """`People` of what the network found in one image, in pixels of the image that went into ``box``."""
    locations, scores = found["locations"], found["scores"]
    K = K.astype(np.float64)
    if box is not None:
        K = box.intrinsics_to_source(K)
        locations = box.points_to_source(locations).astype(np.float32)
    vertices, joints = mesh or (None, None)
    return People(
        scores=scores,
        locations=locations,
        translations=found["translation"],
        rotations=found["rotations"],
        shape=found["shape"],
        expression=found.get("expression", np.zeros((len(scores), 0), np.float32)),
        intrinsics=K,
        vertices=vertices,
        joints=joints,
        joints_2d=None if joints is None else project(joints, K).astype(np.float32),
    )


class BodyMeshes(Owner):
    """The body graphs: parameters of slots -> vertices and joints, computed for few people or for all slots.

    On a GPU it is always for all slots, in one launch.
    """

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend, everybody: str, one: str) -> None:
        self.everybody = self.own(backend.open(bundle.graph(everybody)))
        few = one in bundle.graphs and backend.device is None
        self._one: Graph | None = self.own(backend.open(bundle.graph(one))) if few else None
        self._inputs = [spec.name for spec in self.everybody.spec.inputs]
        self._sizes = [self.everybody.tensor(name).shape[2:] for name in _OUTPUTS]

    def __call__(self, found: Mapping[str, Array], slots: Sequence[NDArray[np.intp]]) -> list[tuple[Array, Array]]:
        """Vertices [N, V, 3] and joints [N, J, 3], m, of the people in ``slots`` of each image."""
        people = sum(map(len, slots))
        if self._one is not None and people <= _ONE_BY_ONE:
            return [self._one_by_one(self._one, found, image, slot) for image, slot in enumerate(slots)]
        posed = self.everybody.run({name: found[name] for name in self._inputs})
        return [(posed["vertices"][image][slot], posed["joints"][image][slot]) for image, slot in enumerate(slots)]

    def _one_by_one(
        self, graph: Graph, found: Mapping[str, Array], image: int, slot: NDArray[np.intp]
    ) -> tuple[Array, Array]:
        vertices, joints = (np.empty((len(slot), *size), np.float32) for size in self._sizes)
        for person, s in enumerate(slot):
            posed = graph.run({name: found[name][image : image + 1, s : s + 1] for name in self._inputs})
            vertices[person], joints[person] = (posed[name][0, 0] for name in _OUTPUTS)
        return vertices, joints


def topology_of(bundle: Bundle, settings: MultiHmrSettings, name: str | None) -> Topology:
    """The mesh of a name; None: the first. BundleError lists the valid names."""
    if name is None:
        return settings.topologies[0]
    for topology in settings.topologies if settings.named else ():
        if topology.name == name:
            return topology
    names = choices(topology.name for topology in settings.topologies if settings.named)
    raise BundleError(
        f"bundle {bundle.name} has no topology `{name}`; " + (f"it has: {names}" if names else "leave it out")
    )
