"""Settings of bodies, and of the networks that see their landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from reprlib import repr as short

from humanrt.bundle import Bundle
from humanrt.bundle.settings.hands import region_scale
from humanrt.bundle.settings.section import MAX_COUNT, MAX_IMAGE_SIZE, Section, Shapes

__all__ = [
    "BodyNetworkSettings",
    "BodySettings",
    "Phenotype",
    "body_names",
    "read_body",
    "read_body_settings",
    "read_circle",
]


@dataclass(frozen=True)
class Phenotype:
    """One number of a body's shape.

    Attributes:
        name: its name.
        low, high: its range.
        default: value for bodies that do not give one.
    """

    name: str
    low: float
    high: float
    default: float


@dataclass(frozen=True)
class BodySettings:
    """Settings of the body model of a ``landmarks`` bundle.

    Attributes:
        model: name of the body model.
        bones: names of the bones that rotations are of, in their order.
        phenotypes: the numbers of its shape, in the order of the graph's input.
        joint_names: names of the joints.
        head_joint, pelvis_joint: indices of joints.
        vertices: number of vertices of the mesh.
        stature_m: m, assumed for every person.
        sizes: [bodies][phenotypes] example bodies from small to large.
    """

    model: str
    bones: tuple[str, ...]
    phenotypes: tuple[Phenotype, ...]
    joint_names: tuple[str, ...]
    head_joint: int
    pelvis_joint: int
    vertices: int
    stature_m: float
    sizes: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class BodyNetworkSettings:
    """Settings of a body landmark network, of a bundle `landmarks` or `holistic`.

    Attributes:
        graph: its name.
        silhouette: name of the graph that also outputs the person's silhouette; empty if the bundle has none.
        count: number of body landmarks.
        circle: indices of its points: the centre of the circle around the body, and a point on it.
        scale: size of a region relative to the circle.
        presence_threshold: score below which a region holds nobody, 0..1.
    """

    graph: str
    silhouette: str
    count: int
    circle: tuple[int, int]
    scale: float
    presence_threshold: float

    @classmethod
    def of(cls, bundle: Bundle) -> BodyNetworkSettings:
        """Read ``settings.landmarks``, checked against the graphs. BundleError names what is wrong."""
        settings = Section.of(bundle).section("landmarks")
        graph = settings.text("graph", "body_landmarks")
        if graph not in bundle.graphs:
            raise settings.error("graph", f"names {short(graph)}, which is not a graph of the bundle")
        silhouette = f"{graph}_silhouette"
        points = 0
        for name in (graph, silhouette):
            if name not in bundle.graphs:
                continue
            shapes = Shapes(bundle, name)
            size = shapes.of("image", 1, 3, "size", "size")[2]
            shapes.of("image", 1, 3, settings.integer("input_size", 1, MAX_IMAGE_SIZE, default=size), size)
            points = shapes.of("landmarks", 1, points or "points", 5)[1]
            shapes.of("landmarks_3d", 1, points, 3)
            shapes.of("presence", 1, 1)
            if name == silhouette:
                shapes.of("silhouette", 1, size, size)
        return cls(
            graph,
            silhouette if silhouette in bundle.graphs else "",
            settings.integer("count", 33, 33),
            read_circle(settings, points),
            region_scale(settings.section("region")),
            settings.number("presence_threshold", 0.0, 1.0),
        )


def read_circle(settings: Section, points: int) -> tuple[int, int]:
    """Read which of a detector's points are the centre of the circle around a body, and a point on it."""
    centre, circle = (settings.integer(name, 0, points - 1) for name in ("centre", "circle"))
    if centre == circle:
        raise settings.error("circle", "must differ from `centre`")
    return centre, circle


def read_body(bundle: Bundle, settings: Section) -> BodySettings:
    """Read the settings of the body graph of a `landmarks` bundle, checked against it."""
    shapes = Shapes(bundle, "body")
    vertices = settings.integer("vertices", 1, MAX_COUNT)
    shapes.of("vertices", 1, 1, vertices, 3)
    joints = shapes.of("joints", 1, 1, "joints", 3)[2]
    rotations = shapes.of("rotations", 1, 1, "rotations", 3, 3)[2]
    settings.integer("rotations", rotations, rotations, default=rotations)
    shapes.of("translation", 1, 1, 3)
    return read_body_settings(settings, shapes.of("shape", 1, 1, "phenotypes")[2], rotations, joints, vertices)


def read_body_settings(settings: Section, parameters: int, rotations: int, joints: int, vertices: int) -> BodySettings:
    """Read the settings of a body of so many shape parameters, rotations, joints and vertices."""
    listed = settings.sections("phenotypes")
    ranges = {one.text("name"): (one.number("low", -10.0, 10.0, -10.0), one.number("high", -10.0, 10.0, 10.0))
              for one in listed}  # fmt: skip
    if len(ranges) < len(listed):
        raise settings.error("phenotypes", "contains a name twice")
    if len(ranges) != parameters:
        raise settings.error("phenotypes", f"must name the {parameters} shape parameters of the body's graph")
    default = settings.section("default")
    phenotypes = tuple(Phenotype(name, *between, default.number(name, *between)) for name, between in ranges.items())
    sizes = settings.sections("sizes")
    if len(sizes) < 2:
        raise settings.error("sizes", "must contain at least a small and a large body")
    return BodySettings(
        settings.text("model"),
        settings.texts("bones", rotations, default=()),
        phenotypes,
        settings.texts("joint_names", joints),
        settings.integer("head_joint", 0, joints - 1),
        settings.integer("pelvis_joint", 0, joints - 1),
        vertices,
        settings.number("stature_m", 0.3, 3.0),
        tuple(tuple(size.number(one.name, one.low, one.high, one.default) for one in phenotypes) for size in sizes),
    )


def body_names(bundle: Bundle) -> tuple[str, tuple[str, ...]]:
    """Return the name of a people bundle's body model, and those of its bones (empty if it does not name them).

    BundleError names what is wrong.
    """
    body = Section.of(bundle).section("body")
    return body.text("model"), body.texts("bones", default=())
