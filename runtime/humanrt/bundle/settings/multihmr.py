"""Settings of people bundles of Multi-HMR's kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import Bundle
from humanrt.bundle.settings.section import MAX_COUNT, MAX_IMAGE_SIZE, NETWORK, REMEDY, Section, Shapes
from humanrt.errors import BundleError, choices
from humanrt.geometry.letterbox import PILLOW, RESIZES, Resize

__all__ = ["MULTIHMR", "MultiHmrSettings", "Topology", "face_indices", "topology_of"]

MULTIHMR = "multihmr"
"""Kind of a people bundle that does not name it."""


@dataclass(frozen=True)
class Topology:
    """One mesh of a Multi-HMR bundle.

    Attributes:
        name: name of the mesh.
        graph, graph_one: names of the graphs for all slots and for one person.
        faces: name of the array of its triangles.
        vertices, joints: number of vertices and joints.
    """

    name: str
    graph: str
    graph_one: str
    faces: str
    vertices: int
    joints: int


_CAMERAS = ("estimate", "field_of_view")  # what is used if nothing is known about the camera


@dataclass(frozen=True)
class MultiHmrSettings:
    """Settings of a bundle for the task ``people`` made from Multi-HMR weights, published or ours.

    Attributes:
        image_size: px, longer side of the network's input: of most networks the side of a square.
        input_size: (width, height) px of the input.
        batch: images per call.
        max_people: slots per image.
        threshold: minimum score of a person, 0..1.
        mean, std: mean and standard deviation of R, G, B in 0..1, used to normalise images.
        resize: how images are scaled to the network's input (`humanrt.geometry.letterbox`).
        field_of_view: degrees over the longer side of the image, used if no intrinsics are given.
        estimates: whether the network can estimate the camera (output `camera`).
        estimated: whether its estimate is used instead of `field_of_view` if no intrinsics are given.
        principal_point: principal point (x, y), px of the input.
        body: name of the body model.
        bones: names of the bones that rotations are of, in their order; empty if the bundle does not name them.
        joint_names: names of the joints.
        topologies: the meshes, the default first.
        named: whether the bundle names its meshes, so that one can be chosen by name.
    """

    image_size: int
    input_size: tuple[int, int]
    batch: int
    max_people: int
    threshold: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: Resize
    field_of_view: float
    estimates: bool
    estimated: bool
    principal_point: tuple[float, float]
    body: str
    bones: tuple[str, ...]
    joint_names: tuple[str, ...]
    topologies: tuple[Topology, ...]
    named: bool

    @classmethod
    def of(cls, bundle: Bundle) -> MultiHmrSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        normalisation, camera = settings.section("normalisation"), settings.section("camera")
        body = settings.section("body")
        size = settings.integer("image_size", 1, MAX_IMAGE_SIZE)
        across, down = settings.integers("input_size", 1, size, 2, default=(size, size))
        if size not in (across, down):
            raise settings.error("input_size", f"is {[across, down]}; its longer side must be image_size, {size}")
        shapes = Shapes(bundle, NETWORK)
        batch = shapes.of("image", settings.integer("batch", 1, MAX_COUNT, default=1), 3, down, across)[0]
        shapes.of("intrinsics", batch, 3, 3)
        shapes.of("threshold", 1)
        people = shapes.of("scores", batch, "people")[1]
        shapes.of("valid", batch, people, dtype="bool")
        shapes.of("locations", batch, people, 2)
        shapes.of("translation", batch, people, 3)
        rotations = shapes.of("rotations", batch, people, "rotations", 3, 3)[2]
        shapes.of("shape", batch, people, "values")
        body.integer("rotations", rotations, rotations, default=rotations)
        estimates = "camera" in shapes
        if estimates:
            shapes.of("camera", batch, 3, 3)
        # Bundles without the setting estimate if they can, as all bundles did before the setting existed.
        usual = camera.choice("default", _CAMERAS) if "default" in camera else _CAMERAS[0]
        listed = [
            tuple(one.text(key) for key in ("name", "graph", "graph_one", "faces"))
            for one in body.sections("topologies", default=())
        ]
        if len({name for name, *_ in listed}) < len(listed):
            raise body.error("topologies", "contains a name twice")
        only = ("the only one", "body", "body-1", "faces")
        topologies = tuple(_topology(bundle, names, (batch, people)) for names in listed or [only])
        return cls(
            size,
            (across, down),
            batch,
            settings.integer("max_people", people, people, default=people),
            settings.number("threshold", 0.0, 1.0),
            normalisation.numbers("mean", 3, -1e3, 1e3),
            normalisation.numbers("std", 3, 1e-6, 1e3),
            _resize(settings, body.text("model")),
            camera.number("field_of_view_deg", 1.0, 179.0),
            estimates,
            estimates and usual == _CAMERAS[0],
            _principal_point(camera, size, square=across == down),
            body.text("model"),
            body.texts("bones", rotations, default=()),
            body.texts("joint_names", topologies[0].joints),
            topologies,
            bool(listed),
        )


def _principal_point(camera: Section, size: int, *, square: bool) -> tuple[float, float]:
    """Return ``principal_point_px``: a list of two numbers, or of a square input one for both."""
    if square:
        both = camera.number("principal_point_px", 0.0, size)
        return both, both
    x, y = camera.numbers("principal_point_px", 2, 0.0, size)
    return x, y


def _resize(settings: Section, body: str) -> Resize:
    """Return ``settings.letterbox.resize``, or the default of bundles exported before this setting existed.

    Those on Anny were trained with humanrt and keep ``opencv-area``; those on SMPL-X hold the published weights and get
    their authors' preprocessing, ``pillow-bicubic``.
    """
    if "letterbox" in settings and "resize" in (letterbox := settings.section("letterbox")):
        return cast(Resize, letterbox.choice("resize", RESIZES))
    return "opencv-area" if body == "Anny" else PILLOW


def _topology(bundle: Bundle, names: tuple[str, ...], slots: tuple[int, int]) -> Topology:
    """Return a mesh after checking its graphs; ``slots``: images per call, and people per image."""
    name, graph, graph_one, faces = names
    shapes = Shapes(bundle, graph)
    vertices, joints = (shapes.of(mesh, *slots, mesh, 3)[2] for mesh in ("vertices", "joints"))
    if graph_one in bundle.graphs:
        one = Shapes(bundle, graph_one)
        one.of("vertices", 1, 1, vertices, 3)
        one.of("joints", 1, 1, joints, 3)
    return Topology(name, graph, graph_one, faces, vertices, joints)


def topology_of(bundle: Bundle, settings: MultiHmrSettings, name: str | None) -> Topology:
    """Return the mesh topology of a name; None: the first. BundleError lists the valid names."""
    if name is None:
        return settings.topologies[0]
    for topology in settings.topologies if settings.named else ():
        if topology.name == name:
            return topology
    names = choices(topology.name for topology in settings.topologies if settings.named)
    raise BundleError(
        f"bundle {bundle.name} has no topology `{name}`; " + (f"it has: {names}" if names else "leave it out")
    )


def face_indices(bundle: Bundle, array: str, vertices: int) -> NDArray[np.int32]:
    """Return the vertex indices [F, 3] in a bundle's array of faces. BundleError if they are not valid."""
    faces = bundle.array(array).get("faces")
    good = faces is not None and faces.ndim == 2 and faces.shape[1] == 3 and faces.dtype.kind in "iu"
    if faces is None or not good or (faces.size and not (faces.min() >= 0 and faces.max() < vertices)):
        raise BundleError(f"{bundle.path}: array `{array}` must be [F, 3] indices below {vertices}; {REMEDY}")
    return np.asarray(faces.astype(np.int32, copy=False))
