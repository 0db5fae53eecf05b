"""Settings of bundles: one frozen dataclass per kind of bundle, checked by type, range and against the graphs.

``manifest.json`` is not trusted: `HandsSettings.of(bundle)` and the others read what the pipeline needs before a graph
is opened or memory is allocated, and raise a `BundleError` that names the faulty entry. What a graph declares (image
size, number of keypoints, joints, slots) must agree with the settings; that the graph's file agrees with its
declaration is checked by the backend that opens it.

Unknown entries are ignored here; `Bundle.settings` has them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as short
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import MANIFEST, Bundle
from humanrt.errors import BundleError, choices
from humanrt.geometry.letterbox import PILLOW, RESIZES, Resize
from humanrt.geometry.region import FollowRule, RegionRule
from humanrt.geometry.skeleton import COCO_17

__all__ = [
    "MODALITIES",
    "MULTIHMR",
    "BodyNetworkSettings",
    "BodySettings",
    "CompanionBundles",
    "DetectorSettings",
    "EditorSettings",
    "FaceFromBody",
    "FacePoints",
    "FaceSettings",
    "HandFromBody",
    "HandRegionSettings",
    "HandsSettings",
    "HolisticSettings",
    "LandmarksSettings",
    "MultiHmrSettings",
    "MultiposeSettings",
    "OpenEmbedderSettings",
    "Phenotype",
    "PoseBertSettings",
    "PoseEmbroiderSettings",
    "PoseGptSettings",
    "RetrievalSettings",
    "Section",
    "StreamingGptSettings",
    "TextSettings",
    "Topology",
    "Variant",
    "WordEditorSettings",
    "WordsSettings",
    "WriterSettings",
    "body_names",
    "check_settings",
    "face_indices",
    "people_model",
    "poseembroider_model",
    "posefix_model",
    "posegpt_model",
    "topology_of",
    "variants_of",
]

MAX_IMAGE_SIZE = 4096
"""px, the largest side of a network's input."""
MAX_TOKENS = 4096
"""The longest text that a network takes."""
HAND_KEYPOINTS = 21
_MAX_COUNT = 100_000  # of joints, vertices, people, frames
_MAX_WEIGHT = 1e3
_NETWORK = "network"
MULTIHMR = "multihmr"
"""Kind of a people bundle that does not name it."""

_REMEDY = "export the bundle again"


class Section:
    """A JSON object of a manifest, read with checks of type and range.

    Args:
        values: the object.
        where: its path in the manifest, e.g. ``settings.palm``.
        file: the manifest.

    Every method raises BundleError, naming the entry, if it is missing or not as required. ``default``: the value of a
    missing entry.
    """

    def __init__(self, values: Mapping[str, Any], where: str, file: Path) -> None:
        self._values, self._where, self._file = values, where, file

    @classmethod
    def of(cls, bundle: Bundle) -> Section:
        """Return the settings of a bundle."""
        file = bundle.path / MANIFEST
        if not isinstance(bundle.settings, Mapping):
            raise BundleError(f"{file}: `settings` must be an object; {_REMEDY}")
        return cls(bundle.settings, "settings", file)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def error(self, key: str, problem: str) -> BundleError:
        """Return the error that refuses an entry."""
        where = f"{self._where}.{key}"
        return BundleError(f"{self._file}: `{where if len(where) < 120 else short(where)}` {problem}; {_REMEDY}")

    def section(self, key: str) -> Section:
        """Read an object."""
        return self._section(key, self._get(key))

    def sections(self, key: str, default: Sequence[Section] | None = None) -> Sequence[Section]:
        """Read a list of objects."""
        if default is not None and key not in self:
            return default
        return [self._section(f"{key}.{index}", value) for index, value in enumerate(self._list(key))]

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """Read a finite number from ``low`` to ``high``."""
        if default is not None and key not in self:
            return default
        return self._number(key, self._get(key), low, high)

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Read a whole number from ``low`` to ``high``; 8.0 counts as one."""
        if default is not None and key not in self:
            return default
        return self._integer(key, self._get(key), low, high)

    def numbers(
        self, key: str, count: int, low: float, high: float, default: tuple[float, ...] | None = None
    ) -> tuple[float, ...]:
        """Read a list of ``count`` finite numbers."""
        if default is not None and key not in self:
            return default
        return self._numbers(key, self._get(key), count, low, high)

    def rows(self, key: str, rows: int, columns: int, low: float, high: float) -> tuple[tuple[float, ...], ...]:
        """Read a list of lists of finite numbers."""
        values = self._list(key, rows)
        return tuple(self._numbers(f"{key}.{i}", value, columns, low, high) for i, value in enumerate(values))

    def integers(
        self, key: str, low: int, high: int, count: int | None = None, default: tuple[int, ...] | None = None
    ) -> tuple[int, ...]:
        """Read a list of whole numbers, of length ``count`` if given."""
        if default is not None and key not in self:
            return default
        return tuple(
            self._integer(f"{key}.{index}", value, low, high) for index, value in enumerate(self._list(key, count))
        )

    def text(self, key: str, default: str | None = None) -> str:
        """Read a string: one line, not empty."""
        if default is not None and key not in self:
            return default
        return self._text(key, self._get(key))

    def texts(self, key: str, count: int | None = None, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Read a list of distinct strings, of length ``count`` if given."""
        if default is not None and key not in self:
            return default
        texts = tuple(self._text(f"{key}.{index}", value) for index, value in enumerate(self._list(key, count)))
        if len(set(texts)) < len(texts):
            raise self.error(key, f"names {short(next(t for t in texts if texts.count(t) > 1))} twice")
        return texts

    def choice(self, key: str, known: Sequence[str]) -> str:
        """Read one of the known strings."""
        value = self._get(key)
        if value not in known:
            raise self.error(key, f"is {short(value)}; this version has: {choices(known)}")
        return str(value)

    def weights(self, key: str, count: int) -> tuple[tuple[int, float], ...]:
        """Read an object that maps indices below ``count`` to weights, as (index, weight) pairs."""
        values = self._get(key)
        if not isinstance(values, Mapping) or not values:
            raise self.error(key, f"must map indices to weights, not {short(values)}")
        pairs = []
        for index, weight in values.items():
            if not (isinstance(index, str) and index.isascii() and index.isdigit() and int(index[:9]) < count):
                raise self.error(key, f"has the key {short(index)}; keys must be indices below {count}")
            pairs.append((int(index), self._number(f"{key}.{index}", weight, -_MAX_WEIGHT, _MAX_WEIGHT)))
        return tuple(pairs)

    def _get(self, key: str) -> Any:
        if key not in self._values:
            raise self.error(key, "is missing")
        return self._values[key]

    def _section(self, key: str, value: Any) -> Section:
        if not isinstance(value, Mapping):
            raise self.error(key, f"must be an object, not {short(value)}")
        return Section(value, f"{self._where}.{key}", self._file)

    def _list(self, key: str, count: int | None = None) -> list[Any]:
        value = self._get(key)
        if not isinstance(value, list | tuple):
            raise self.error(key, f"must be a list, not {short(value)}")
        if count is not None and len(value) != count:
            raise self.error(key, f"has {len(value)} entries, not {count}")
        if len(value) > _MAX_COUNT:
            raise self.error(key, f"has {len(value)} entries; at most {_MAX_COUNT} are possible")
        return list(value)

    def _number(self, key: str, value: Any, low: float, high: float) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:  # NaN: neither
            raise self.error(key, f"must be a number from {low:g} to {high:g}, not {short(value)}")
        return float(value)

    def _integer(self, key: str, value: Any, low: int, high: int) -> int:
        whole = isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
        if not whole or value != int(value):
            raise self.error(key, f"must be a whole number from {low} to {high}, not {short(value)}")
        return int(value)

    def _numbers(self, key: str, value: Any, count: int, low: float, high: float) -> tuple[float, ...]:
        if not isinstance(value, list | tuple) or len(value) != count:
            raise self.error(key, f"must be a list of {count} numbers, not {short(value)}")
        return tuple(self._number(f"{key}.{index}", one, low, high) for index, one in enumerate(value))

    def _text(self, key: str, value: Any) -> str:
        if not isinstance(value, str) or not value or not value.isprintable() or len(value) > 1000:
            raise self.error(key, f"must be one line of text, not {short(value)}")
        return value


class _Shapes:
    """The declared shapes of a graph's inputs and outputs, checked against what a pipeline relies on."""

    def __init__(self, bundle: Bundle, graph: str) -> None:
        spec = bundle.graph(graph)
        self._where = f"{bundle.path / MANIFEST}: graph `{spec.name}`"
        self._tensors = {tensor.name: tensor for tensor in (*spec.inputs, *spec.outputs)}

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def of(self, name: str, *shape: int | str, dtype: str = "float32") -> tuple[int, ...]:
        """Return a tensor's shape, which must match ``shape``; a string there names a dimension of any size above 0."""
        tensor = self._tensors.get(name)
        if tensor is None:
            raise BundleError(f"{self._where} has no `{name}`; {_REMEDY}")
        same = len(tensor.shape) == len(shape) and all(
            size >= 1 if isinstance(wanted, str) else size == wanted
            for size, wanted in zip(tensor.shape, shape, strict=True)
        )
        if not same or tensor.dtype != dtype:
            needed = ", ".join(map(str, shape))
            raise BundleError(
                f"{self._where}: `{name}` is {tensor.dtype} {short(list(tensor.shape))}; the settings need {dtype} "
                f"[{needed}]; {_REMEDY}"
            )
        return tensor.shape


# --- hands ---


@dataclass(frozen=True)
class DetectorSettings:
    """Settings of a single-shot detector.

    Attributes:
        input_size: px, side of the square input.
        input_range: the values that pixels 0 and 255 are mapped to.
        box_scale: px of the square input per unit of the box output.
        score_threshold: detections below this score are ignored, 0..1.
        nms_iou: IoU from which two boxes are the same detection.
        keypoints: number of keypoints of a box.
    """

    input_size: int
    input_range: tuple[float, float]
    box_scale: float
    score_threshold: float
    nms_iou: float
    keypoints: int

    @classmethod
    def of(cls, bundle: Bundle, graph: str, section: str) -> DetectorSettings:
        """Read ``settings.SECTION`` of a bundle, checked against the graph. BundleError names what is wrong."""
        settings = Section.of(bundle).section(section)
        size = settings.integer("input_size", 1, MAX_IMAGE_SIZE)
        shapes = _Shapes(bundle, graph)
        shapes.of("image", 1, 3, size, size)
        _, anchors, values = shapes.of("boxes", 1, "anchors", "4 + 2 x keypoints")
        shapes.of("scores", 1, anchors)
        keypoints = settings.integer("keypoints", 1, 1000, default=(values - 4) // 2)
        shapes.of("boxes", 1, anchors, 4 + 2 * keypoints)
        low, high = settings.numbers("input_range", 2, -1e3, 1e3, default=(0.0, 1.0))
        if not low < high:
            raise settings.error("input_range", f"must be increasing, not {[low, high]}")
        return cls(
            size,
            (low, high),
            settings.number("box_scale", 1e-3, 1e6),
            settings.number("score_threshold", 0.0, 1.0),
            settings.number("nms_iou", 0.0, 1.0),
            keypoints,
        )

    def anchors(self, bundle: Bundle, graph: str) -> NDArray[np.float32]:
        """Return the anchor centres [A, 2], 0..1 of the square, one per box. BundleError if they do not match."""
        count = _Shapes(bundle, graph).of("scores", 1, "anchors")[1]
        anchors = bundle.array("anchors").get("anchors")
        if (
            anchors is None
            or anchors.shape != (count, 2)
            or anchors.dtype.kind != "f"
            or not np.isfinite(anchors).all()
        ):
            raise BundleError(f"{bundle.path}: array `anchors` must be [{count}, 2] finite numbers; {_REMEDY}")
        return anchors.astype(np.float32)


@dataclass(frozen=True)
class HandsSettings:
    """Settings of a bundle for the task ``hands``.

    Attributes:
        palm: settings of the palm detector.
        wrist, middle_mcp: indices of the palm keypoints that define the hand's up direction.
        palm_region: how a region is grown from a palm detection.
        models: names of the landmark models.
        presence_threshold: presence score below which a region holds no hand, 0..1.
        region: how the next frame's region follows from the keypoints.
    """

    palm: DetectorSettings
    wrist: int
    middle_mcp: int
    palm_region: RegionRule
    models: tuple[str, ...]
    presence_threshold: float
    region: FollowRule

    @classmethod
    def of(cls, bundle: Bundle) -> HandsSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        palm, landmarks = settings.section("palm"), settings.section("landmarks")
        detector = DetectorSettings.of(bundle, "palm_detector", "palm")
        wrist, middle_mcp = (palm.integer(name, 0, detector.keypoints - 1) for name in ("wrist", "middle_mcp"))
        if wrist == middle_mcp:
            raise palm.error("middle_mcp", "must differ from `wrist`")
        models = landmarks.texts("models")
        for index, model in enumerate(models):
            if f"landmarks_{model}" not in bundle.graphs:
                raise landmarks.error(f"models.{index}", f"names {short(model)}, for which there is no graph")
            shapes = _Shapes(bundle, f"landmarks_{model}")
            size = shapes.of("image", 1, 3, "size", "size")[2]
            shapes.of("image", 1, 3, landmarks.integer("input_size", 1, MAX_IMAGE_SIZE, default=size), size)
            for name in ("keypoints_2d", "keypoints_3d"):
                shapes.of(name, 1, HAND_KEYPOINTS, 3)
            for name in ("presence", "handedness"):
                shapes.of(name, 1, 1)
        region, up = landmarks.section("region"), landmarks.section("region").section("up")
        inside = region.integers("keypoints", 0, HAND_KEYPOINTS - 1)
        if len(set(inside)) < 2:
            raise region.error("keypoints", "must contain at least two keypoints")
        return cls(
            detector,
            wrist,
            middle_mcp,
            _region_rule(palm.section("region")),
            models,
            landmarks.number("presence_threshold", 0.0, 1.0),
            FollowRule(_region_rule(region), inside, *(up.weights(end, HAND_KEYPOINTS) for end in ("from", "to"))),
        )


def _region_rule(settings: Section) -> RegionRule:
    return RegionRule(_region_scale(settings), settings.number("shift", -10.0, 10.0))


def _region_scale(settings: Section) -> float:
    return settings.number("scale", 0.05, 50.0)


# --- people ---


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
            shapes = _Shapes(bundle, name)
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
            _circle(settings, points),
            _region_scale(settings.section("region")),
            settings.number("presence_threshold", 0.0, 1.0),
        )


@dataclass(frozen=True)
class LandmarksSettings:
    """Settings of a bundle for the task ``people`` whose ``settings.model`` is ``landmarks``.

    Attributes:
        person: settings of the person detector.
        person_circle: indices of its keypoints: the centre of the circle around the body, and a point on it.
        person_scale: size of a region relative to the circle.
        network: settings of the landmark network.
        max_people: maximum number of tracked people.
        field_of_view: degrees over the longer side of the image, if no intrinsics are given.
        body: settings of the body model.
    """

    person: DetectorSettings
    person_circle: tuple[int, int]
    person_scale: float
    network: BodyNetworkSettings
    max_people: int
    field_of_view: float
    body: BodySettings

    @classmethod
    def of(cls, bundle: Bundle) -> LandmarksSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        person = settings.section("person")
        detector = DetectorSettings.of(bundle, "person_detector", "person")
        return cls(
            detector,
            _circle(person, detector.keypoints),
            _region_scale(person.section("region")),
            BodyNetworkSettings.of(bundle),
            settings.section("tracking").integer("max_people", 1, 1000),
            settings.section("camera").number("field_of_view_deg", 1.0, 179.0),
            _body(bundle, settings.section("body")),
        )


def _circle(settings: Section, points: int) -> tuple[int, int]:
    centre, circle = (settings.integer(name, 0, points - 1) for name in ("centre", "circle"))
    if centre == circle:
        raise settings.error("circle", "must differ from `centre`")
    return centre, circle


def _body(bundle: Bundle, settings: Section) -> BodySettings:
    shapes = _Shapes(bundle, "body")
    vertices = settings.integer("vertices", 1, _MAX_COUNT)
    shapes.of("vertices", 1, 1, vertices, 3)
    joints = shapes.of("joints", 1, 1, "joints", 3)[2]
    rotations = shapes.of("rotations", 1, 1, "rotations", 3, 3)[2]
    settings.integer("rotations", rotations, rotations, default=rotations)
    shapes.of("translation", 1, 1, 3)
    return _body_settings(settings, shapes.of("shape", 1, 1, "phenotypes")[2], rotations, joints, vertices)


def _body_settings(settings: Section, parameters: int, rotations: int, joints: int, vertices: int) -> BodySettings:
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


@dataclass(frozen=True)
class CompanionBundles:
    """Names of the bundles that a bundle `holistic` works with.

    Attributes:
        landmarks: the person detector, the smaller body landmark network, the coarse body.
        hands: the hand landmark network.
        body_poses, hand_poses: PoseBERT for bodies and for hands.
    """

    landmarks: str
    hands: str
    body_poses: str
    hand_poses: str


@dataclass(frozen=True)
class HandFromBody:
    """Indices of the body landmarks that say where a hand is."""

    wrist: int
    index: int
    pinky: int


@dataclass(frozen=True)
class HandRegionSettings:
    """How the region of a hand follows from a body's landmarks, and the network that corrects it.

    Attributes:
        left, right: the body landmarks of the hands.
        length, width: size of the first region: these times the distance from the wrist to the knuckles, and from the
            index finger's knuckle to the little finger's; the larger counts.
        shift: shift of the first region towards the fingers (negative), as a fraction of its size.
        refined: how a region is grown from the square that the network `hand_recrop` gives.
        presence_threshold: score below which a region holds no hand, 0..1.
        max_gap: max distance of a hand's wrist from the body's, as a fraction of the hand's region.
    """

    left: HandFromBody
    right: HandFromBody
    length: float
    width: float
    shift: float
    refined: RegionRule
    presence_threshold: float
    max_gap: float


@dataclass(frozen=True)
class FaceFromBody:
    """Indices of the body landmarks that say where a face is."""

    nose: int
    left_eye: int
    right_eye: int
    left_mouth: int
    right_mouth: int


@dataclass(frozen=True)
class FacePoints:
    """Indices of face landmarks: corners of the eyes (outer, inner) and of the mouth, the nose's tip, top and chin."""

    nose: int
    left_eye: tuple[int, int]
    right_eye: tuple[int, int]
    left_mouth: int
    right_mouth: int
    top: int
    chin: int


@dataclass(frozen=True)
class FaceSettings:
    """Settings of the face landmark network, and how the region of a face is found.

    Attributes:
        count: number of face landmarks; the last 10 are the irises.
        presence_threshold: score below which a region holds no face, 0..1.
        body: the body landmarks of the face.
        points: face landmarks with a meaning.
        height, width: size of a region from the body: these times the distance from eyes to mouth, and between the
            eyes; the larger counts.
        centre: its centre on the line from the eyes (0) to the mouth (1).
        min_facing: distance between the body's eyes, relative to that from eyes to mouth, below which the face is
            turned away too far to be looked for.
        max_gap: max mean distance of eyes, nose and mouth from the body's, relative to that from eyes to mouth.
        search: size of the square in which the face detector searches, relative to a region.
        detected: how a region is grown from the detector's keypoints.
        follow: how the next frame's region is grown from the face landmarks.
    """

    count: int
    presence_threshold: float
    body: FaceFromBody
    points: FacePoints
    height: float
    width: float
    centre: float
    min_facing: float
    max_gap: float
    search: float
    detected: RegionRule
    follow: RegionRule


@dataclass(frozen=True)
class HolisticSettings:
    """Settings of a bundle for the task ``people`` whose ``settings.model`` is ``holistic``.

    Attributes:
        bundles: names of the bundles that it works with.
        network: settings of the body landmark network.
        hand: how hands are found from a body.
        face_detector: settings of the face detector; its keypoints are eyes, nose, mouth and ears, right before left.
        face: settings of the face landmark network.
        body: settings of the body model.
        expression_units: names of its face units.
    """

    bundles: CompanionBundles
    network: BodyNetworkSettings
    hand: HandRegionSettings
    face_detector: DetectorSettings
    face: FaceSettings
    body: BodySettings
    expression_units: tuple[str, ...]

    @classmethod
    def of(cls, bundle: Bundle) -> HolisticSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        names, body = settings.section("bundles"), settings.section("body")
        network = BodyNetworkSettings.of(bundle)
        units = _Shapes(bundle, "body_pose").of("expression", 1, "units")[1]
        return cls(
            CompanionBundles(*(names.text(kind) for kind in ("landmarks", "hands", "body_poses", "hand_poses"))),
            network,
            _hand_region(bundle, settings.section("hand"), network.count),
            DetectorSettings.of(bundle, "face_detector", "face_detector"),
            _face(bundle, settings.section("face"), network.count),
            _whole_body(bundle, body),
            body.texts("expression_units", units),
        )


def _whole_body(bundle: Bundle, settings: Section) -> BodySettings:
    """Read the settings of a body with the graphs ``body_rest`` and ``body_pose``."""
    shapes = _Shapes(bundle, "body_pose")
    vertices = settings.integer("vertices", 1, _MAX_COUNT)
    shapes.of("vertices", 1, vertices, 3)
    joints = shapes.of("joints", 1, "joints", 3)[1]
    rotations = shapes.of("rotations", 1, "rotations", 3, 3)[1]
    settings.integer("rotations", rotations, rotations, default=rotations)
    shapes.of("translation", 1, 3)
    parameters = _Shapes(bundle, "body_rest").of("shape", 1, "phenotypes")[1]
    return _body_settings(settings, parameters, rotations, joints, vertices)


def _hand_region(bundle: Bundle, settings: Section, landmarks: int) -> HandRegionSettings:
    shapes = _Shapes(bundle, "hand_recrop")
    size = shapes.of("image", 1, 3, "size", "size")[2]
    shapes.of("image", 1, 3, size, size)
    shapes.of("points", 1, 2, 2)
    left, right = (
        HandFromBody(*(settings.section(side).integer(key, 0, landmarks - 1) for key in ("wrist", "index", "pinky")))
        for side in ("left", "right")
    )
    region = settings.section("region")
    return HandRegionSettings(
        left,
        right,
        region.number("length", 0.05, 50.0),
        region.number("width", 0.05, 50.0),
        region.number("shift", -10.0, 10.0),
        _region_rule(settings.section("refined")),
        settings.number("presence_threshold", 0.0, 1.0),
        settings.number("max_gap", 0.0, 100.0),
    )


def _face(bundle: Bundle, settings: Section, landmarks: int) -> FaceSettings:
    shapes = _Shapes(bundle, "face_landmarks")
    size = shapes.of("image", 1, 3, "size", "size")[2]
    shapes.of("image", 1, 3, size, size)
    count = settings.integer("count", 11, _MAX_COUNT)
    shapes.of("landmarks", 1, count, 3)
    shapes.of("presence", 1, 1)
    body, points, region = settings.section("body"), settings.section("points"), settings.section("region")
    (left_outer, left_inner), (right_outer, right_inner) = (
        points.integers(eye, 0, count - 1, 2) for eye in ("left_eye", "right_eye")
    )
    nose, left_mouth, right_mouth, top, chin = (
        points.integer(key, 0, count - 1) for key in ("nose", "left_mouth", "right_mouth", "top", "chin")
    )
    return FaceSettings(
        count,
        settings.number("presence_threshold", 0.0, 1.0),
        FaceFromBody(
            *(
                body.integer(key, 0, landmarks - 1)
                for key in ("nose", "left_eye", "right_eye", "left_mouth", "right_mouth")
            )
        ),
        FacePoints(nose, (left_outer, left_inner), (right_outer, right_inner), left_mouth, right_mouth, top, chin),
        region.number("height", 0.05, 50.0),
        region.number("width", 0.05, 50.0),
        region.number("centre", -10.0, 10.0),
        settings.number("min_facing", -10.0, 10.0),
        settings.number("max_gap", 0.0, 100.0),
        settings.number("search", 0.05, 50.0),
        _region_rule(settings.section("detected")),
        _region_rule(settings.section("follow")),
    )


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
        shapes = _Shapes(bundle, _NETWORK)
        batch = shapes.of("image", settings.integer("batch", 1, _MAX_COUNT, default=1), 3, down, across)[0]
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
    shapes = _Shapes(bundle, graph)
    vertices, joints = (shapes.of(mesh, *slots, mesh, 3)[2] for mesh in ("vertices", "joints"))
    if graph_one in bundle.graphs:
        one = _Shapes(bundle, graph_one)
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
        raise BundleError(f"{bundle.path}: array `{array}` must be [F, 3] indices below {vertices}; {_REMEDY}")
    return np.asarray(faces.astype(np.int32, copy=False))


# --- poses ---


@dataclass(frozen=True)
class PoseBertSettings:
    """Settings of a bundle for the task ``posebert``.

    Attributes:
        window: maximum window length in frames.
        clock_hz: frame rate that the network was trained for.
        joints: names of the joints whose rotations are predicted.
        parents: indices of their parents, each before its children; -1 for the root.
        origin: keypoints whose mean is the origin of the smoothed ones; empty if the network outputs none.
        rest: [J][3] m, joint positions at rest; empty if the bundle does not give them.
        input: format of the input keypoints or rotations (``hand21``, ``mediapipe33``, ...); empty if not given.
        kind: ``hand``, ``body``, or ``published`` for NAVER's networks; empty if not given.
    """

    window: int
    clock_hz: float
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    origin: tuple[int, ...]
    rest: tuple[tuple[float, ...], ...]
    input: str
    kind: str

    @classmethod
    def of(cls, bundle: Bundle, graph: str) -> PoseBertSettings:
        """Read and check them; ``graph``: any of the bundle's PoseBERTs. BundleError names what is wrong."""
        settings = Section.of(bundle)
        shapes = _Shapes(bundle, graph)
        window = settings.integer("window", 2, _MAX_COUNT)
        batch = shapes.of("mask", "windows", window, dtype="bool")[0]
        joints = settings.texts("joints", shapes.of("rotations", batch, window, "joints", 3, 3)[2])
        parents = settings.integers("parents", -1, len(joints) - 1, len(joints))
        if any(parent >= joint for joint, parent in enumerate(parents)):
            raise settings.error("parents", "must name each joint's parent before the joint; -1 for the root")
        points = shapes.of("keypoints", batch, window, "points", 3)[2] if "keypoints" in shapes else 0
        return cls(
            window,
            settings.number("clock_hz", 0.1, 1e4),
            joints,
            parents,
            settings.integers("origin", 0, max(points - 1, 0), default=()),
            settings.rows("rest", len(joints), 3, -100.0, 100.0) if "rest" in settings else (),
            settings.text("input", default=""),
            settings.text("kind", default=""),
        )


# --- posegpt ---

POSEGPT_VARIANTS = ("causal", "online", "offline")
UP_AXES = ("x", "y", "z", "-x", "-y", "-z")


@dataclass(frozen=True)
class PoseGptSettings:
    """Settings of a bundle for the task ``posegpt``.

    Attributes:
        clock_hz: frames per second of its motion.
        joints: names of the joints whose rotations make a pose, root first.
        parents: indices of their parents, each before its children; -1 for the root.
        up: axis of the motion's world that points up, one of `UP_AXES`.
        factor: frames of a token.
        window: N, the largest number of tokens of a sequence.
        books, codes: number of books, and of codes in each.
        latent: numbers of a token before quantisation.
        variant: ``causal``: the encoder sees no later frame; ``online``: nor does the decoder, but for the next token;
            ``offline``: both see all.
        tail: how many of a decoded sequence's last frames change when it goes on, by the decoder's convolutions; of
            ``online`` bundles no others do.
        labels: names of the labels that generation takes, in the order of a k-hot label; empty if it takes none.
        durations: (shortest, longest) frames of a generated motion that the network was trained for.
        generates: whether the bundle has a GPT; without one it encodes and decodes.
    """

    clock_hz: float
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    up: str
    factor: int
    window: int
    books: int
    codes: int
    latent: int
    variant: str
    tail: int
    labels: tuple[str, ...]
    durations: tuple[int, int]
    generates: bool

    @classmethod
    def of(cls, bundle: Bundle) -> PoseGptSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        factor = settings.integer("factor", 1, 1024)
        encoder, decoder = _Shapes(bundle, "encoder"), _Shapes(bundle, "decoder")
        _, window, books = encoder.of("tokens", 1, "tokens", "books", dtype="int64")
        frames = window * factor
        width = encoder.of("motion", 1, frames, "numbers")[2]
        for name in ("present", "valid"):
            encoder.of(name, 1, frames, dtype="bool")
        latent = encoder.of("latents", 1, window, "numbers")[2]
        joints = settings.texts("joints", max(1, (width - 3) // 6))
        encoder.of("motion", 1, frames, 6 * len(joints) + 3)
        decoder.of("tokens", 1, window, books, dtype="int64")
        decoder.of("present", 1, window, dtype="bool")
        decoder.of("rotations", 1, frames, len(joints), 3, 3)
        decoder.of("deltas", 1, frames, 3)
        parents = settings.integers("parents", -1, len(joints) - 1, len(joints))
        if any(parent >= joint for joint, parent in enumerate(parents)):
            raise settings.error("parents", "must name each joint's parent before the joint; -1 for the root")
        codes = settings.integer("codes", 1, _MAX_COUNT)
        labels = settings.texts("labels", default=())
        durations = settings.integers("durations", 1, frames, 2)
        if durations[0] > durations[1]:
            raise settings.error("durations", f"must be increasing, not {list(durations)}")
        generates = "gpt" in bundle.graphs
        if generates:
            _check_gpt(bundle, window, books, codes, len(labels))
        return cls(
            settings.number("clock_hz", 0.1, 1e4),
            joints,
            parents,
            settings.choice("up", UP_AXES),
            factor,
            window,
            books,
            codes,
            latent,
            settings.choice("variant", POSEGPT_VARIANTS),
            settings.integer("tail", 0, frames),
            labels,
            (durations[0], durations[1]),
            generates,
        )


def _check_gpt(bundle: Bundle, window: int, books: int, codes: int, labels: int) -> None:
    """Check the shapes of a PoseGPT's two graphs of the GPT. BundleError names what does not fit."""
    whole, step = _Shapes(bundle, "gpt"), _Shapes(bundle, "gpt_step")
    whole.of("tokens", 1, window, books, dtype="int64")
    whole.of("logits", 1, window, books, codes)
    blocks, _, _, heads, _, width = whole.of("cache", "blocks", 2, 1, "heads", window, "numbers")
    step.of("token", 1, books, dtype="int64")
    step.of("position", 1, dtype="int64")
    step.of("cache", blocks, 2, 1, heads, window, width)
    step.of("logits", 1, 1, books, codes)
    step.of("row", blocks, 2, 1, heads, 1, width)
    for shapes in (whole, step):
        if labels:
            shapes.of("label", 1, labels)
        if "duration" in shapes:
            shapes.of("duration", 1, dtype="int64")


@dataclass(frozen=True)
class StreamingGptSettings:
    """Settings of a bundle for the task ``posegpt`` whose ``settings.model`` is ``streaming``: our own networks.

    Attributes:
        clock_hz: frames per second of its motion.
        joints: names of the joints whose rotations make a pose, root first.
        parents: indices of their parents, each before its children; -1 for the root.
        up: axis of the motion's world that points up.
        factor: frames of a token.
        reach: how many tokens back encoder and decoder look.
        books, codes: number of books, and of codes in each.
        labels: names of the labels.
    """

    clock_hz: float
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    up: str
    factor: int
    reach: int
    books: int
    codes: int
    labels: tuple[str, ...]

    @classmethod
    def of(cls, bundle: Bundle) -> StreamingGptSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        settings.choice("model", ["streaming"])
        factor, reach = settings.integer("factor", 1, 1024), settings.integer("reach", 0, 1024)
        encoder, decoder = (_Shapes(bundle, name) for name in ("encoder", "decoder"))
        joints = settings.texts("joints")
        numbers = 6 * len(joints) + 4
        for shapes in (encoder, decoder):
            _, count, books = shapes.of("tokens", 1, "tokens", "books", dtype="int64")
            shapes.of("frames", 1, count * factor, numbers)
            if count <= reach:
                raise settings.error("reach", f"is {reach}, as long as the {count} tokens of a graph")
        encoder.of("tokens", 1, "tokens", books, dtype="int64")
        encoder.of("latents", 1, encoder.of("tokens", 1, "tokens", books, dtype="int64")[1], "numbers")
        parents = settings.integers("parents", -1, len(joints) - 1, len(joints))
        if any(parent >= joint for joint, parent in enumerate(parents)):
            raise settings.error("parents", "must name each joint's parent before the joint; -1 for the root")
        codes, labels = settings.integer("codes", 1, _MAX_COUNT), settings.texts("labels")
        for ending in ("", "_several"):
            step, read = (_Shapes(bundle, f"{name}{ending}") for name in ("gpt_step", "gpt_books"))
            rows: str | int = "rows" if ending else 1
            rows, _ = step.of("token", rows, books, dtype="int64")
            step.of("place", 1, dtype="int64")
            step.of("label", rows, len(labels))
            blocks, _, _, heads, _, width = step.of("cache", "blocks", 2, rows, "heads", "window", "numbers")
            step.of("row", blocks, 2, rows, heads, 1, width)
            read.of("hidden", *step.of("hidden", rows, 1, "width"))
            read.of("token", rows, 1, books, dtype="int64")
            read.of("logits", rows, 1, books, codes)
        return cls(
            settings.number("clock_hz", 0.1, 1e4),
            joints,
            parents,
            settings.choice("up", ["y"]),
            factor,
            reach,
            books,
            codes,
            labels,
        )


def posegpt_model(bundle: Bundle) -> str:
    """Return the kind of a bundle for the task ``posegpt``: ``published`` or ``streaming``."""
    kind = bundle.settings.get("model", "published")
    if kind not in ("published", "streaming"):
        raise BundleError(
            f"{bundle.path / MANIFEST}: `settings.model` is {short(kind)}; this version has: published, streaming"
        )
    return str(kind)


# --- all ---


@dataclass(frozen=True)
class Variant:
    """A graph that replaces another one at a different precision or on a different processor.

    Attributes:
        graph: its name.
        precision: ``fp32``, ``int8``, ...
        of: the graph that it replaces.
        backend: the only backend that it is for; None: any.
        cpu: CPU features that it requires, as Linux names them.
    """

    graph: str
    precision: str
    of: str = _NETWORK
    backend: str | None = None
    cpu: tuple[str, ...] = ()

    def on(self, backend: str) -> bool:
        """Return whether it is for the backend of this name."""
        return self.backend in (None, backend)


def variants_of(bundle: Bundle) -> tuple[Variant, ...]:
    """Return the bundle's variants in order of preference. BundleError names what is wrong with one."""
    return tuple(_variant(bundle, one) for one in Section.of(bundle).sections("variants", default=()))


def _variant(bundle: Bundle, settings: Section) -> Variant:
    graph = settings.text("graph")
    if graph not in bundle.graphs:
        raise settings.error("graph", f"names {short(graph)}, which is not a graph of the bundle")
    return Variant(
        graph,
        settings.text("precision"),
        settings.text("of", _NETWORK),
        settings.text("backend") if "backend" in settings else None,
        settings.texts("cpu", default=()),
    )


@dataclass(frozen=True)
class MultiposeSettings:
    """Settings of a bundle for the task ``detection`` whose ``settings.model`` is ``multipose``.

    Attributes:
        input_size: px, side of the square input.
        centre_threshold: minimum probability of a person's centre, 0..1.
        keypoint_threshold: minimum score of a keypoint that is seen, 0..1.
        spread: of a keypoint's weights about the place where its person's centre expects it.
        max_people: most people in one look.
    """

    input_size: int
    centre_threshold: float
    keypoint_threshold: float
    spread: float
    max_people: int

    @classmethod
    def of(cls, bundle: Bundle) -> MultiposeSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        settings.choice("model", ["multipose"])
        multipose = settings.section("multipose")
        size = multipose.integer("input_size", 4, MAX_IMAGE_SIZE)
        keypoints = multipose.texts("keypoints", len(COCO_17))
        if keypoints != COCO_17:
            raise multipose.error("keypoints", "must be COCO's, in COCO's order")
        shapes = _Shapes(bundle, "multipose")
        shapes.of("image", 1, 3, size, size)
        cells = (size // 4, size // 4)
        channels = {"centres": 1, "regressed": 34, "heatmaps": 17, "offsets": 34, "box_offsets": 2, "box_sizes": 2}
        for name, count in channels.items():
            shapes.of(name, 1, count, *cells)
        return cls(
            size,
            multipose.number("centre_threshold", 0.0, 1.0),
            multipose.number("keypoint_threshold", 0.0, 1.0),
            multipose.number("spread", 1e-3, 1e3),
            multipose.integer("max_people", 1, 1000),
        )


TOKENIZERS = ("treebank", "wordpiece")


@dataclass(frozen=True)
class WordsSettings:
    """A bundle's word list: ``settings.words``.

    Attributes:
        kind: how text is cut, one of `TOKENIZERS`: whole words, or pieces of words.
        count: of the words.
        file: the list, one word a line, in the order of their ids.
    """

    kind: str
    count: int
    file: str

    @classmethod
    def of(cls, bundle: Bundle) -> WordsSettings | None:
        """Read and check them; None if the bundle holds no word list. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        if "words" not in settings:
            return None
        words = settings.section("words")
        file = words.text("file")
        if file not in bundle.manifest["files"]:
            raise words.error("file", f"names {short(file)}, which is not among the bundle's files")
        return cls(words.choice("kind", TOKENIZERS), words.integer("count", 1, _MAX_COUNT), file)


@dataclass(frozen=True)
class TextSettings:
    """Settings of a text encoder: ``settings.text``.

    Attributes:
        lengths: numbers of tokens for which there is a graph ``text_LENGTH``, increasing.
        words: how many words, or pieces of words, it knows.
        width: numbers of its vectors.
    """

    lengths: tuple[int, ...]
    words: int
    width: int

    @classmethod
    def of(cls, bundle: Bundle) -> TextSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        text = Section.of(bundle).section("text")
        lengths, width = text.integers("lengths", 1, MAX_TOKENS), 0
        if not lengths or list(lengths) != sorted(set(lengths)):
            raise text.error("lengths", f"must be increasing, not {short(list(lengths))}")
        for length in lengths:
            shapes = _Shapes(bundle, f"text_{length}")
            shapes.of("tokens", 1, length, dtype="int64")
            shapes.of("present", 1, length, dtype="bool")
            width = shapes.of("vector", 1, width or "numbers")[1]
        return cls(lengths, text.integer("words", 1, _MAX_COUNT), width)


@dataclass(frozen=True)
class EditorSettings:
    """Settings of a bundle for the task ``posefix`` whose ``settings.model`` is ``editor``: a pose edited by words.

    Attributes:
        joints: names of the joints whose rotations make a pose, root first.
        text: of the text encoder.
        code: numbers of a latent code.
    """

    joints: tuple[str, ...]
    text: TextSettings
    code: int

    @classmethod
    def of(cls, bundle: Bundle) -> EditorSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        posefix_model(bundle, "editor")
        joints, text = settings.texts("joints"), TextSettings.of(bundle)
        edit, reconstruct = _Shapes(bundle, "edit"), _Shapes(bundle, "reconstruct")
        code = edit.of("noise", 1, "numbers")[1]
        edit.of("text", 1, text.width)
        for shapes in (edit, reconstruct):
            shapes.of("pose", 1, len(joints), 3)
            shapes.of("rotations", 1, len(joints), 3, 3)
            for name in ("mean", "scale"):
                shapes.of(name, 1, code)
        return cls(joints, text, code)


@dataclass(frozen=True)
class WordEditorSettings:
    """Settings of a bundle for the task ``posefix`` whose ``settings.model`` is ``word-editor``: our own editor.

    Attributes:
        joints: names of the joints whose rotations make a pose, root first.
        file: the list of words, one a line, in the order of their ids (`humanrt.editing.words`).
        count: of the words.
        channels: what it can change (`humanrt.editing.changes.CHANNELS`).
        places: where it can put hands (`humanrt.editing.changes.PLACES`).
        longest: words of the longest text; of a longer one the rest is not read.
        sure: least probability that a text asks for a change, for it to be done.
        unknown: largest share of words that are not in the list.
    """

    joints: tuple[str, ...]
    file: str
    count: int
    channels: tuple[str, ...]
    places: tuple[str, ...]
    longest: int
    sure: float
    unknown: float

    @classmethod
    def of(cls, bundle: Bundle) -> WordEditorSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        posefix_model(bundle, "word-editor")
        words = settings.section("vocabulary")
        file = words.text("file")
        if file not in bundle.manifest["files"]:
            raise words.error("file", f"names {short(file)}, which is not among the bundle's files")
        text, edit = _Shapes(bundle, "text"), _Shapes(bundle, "edit")
        longest = text.of("words", 1, "words", dtype="int64")[1]
        text.of("letters", 1, longest, "groups", dtype="int64")
        for name in ("numbers", "present"):
            text.of(name, 1, longest)
        vector = text.of("vector", 1, "numbers")[1]
        edit.of("text", 1, vector)
        channels = settings.texts("channels", edit.of("seen", 1, "channels", 3)[1])
        places = settings.texts("places", edit.of("place", 1, len(channels), "places")[2])
        for name in ("said", "absolute", "value"):
            edit.of(name, 1, len(channels))
        edit.of("way", 1, len(channels), 3)
        edit.of("sure", 1)
        return cls(
            settings.texts("joints"),
            file,
            words.integer("count", 1, _MAX_COUNT),
            channels,
            places,
            longest,
            settings.number("sure", 0.0, 1.0),
            settings.number("unknown", 0.0, 1.0),
        )


WRITER_MODES = ("crossattention", "prompt")


@dataclass(frozen=True)
class WriterSettings:
    """Settings of a bundle for the task ``posefix`` whose ``settings.model`` is ``writer``: words for two poses.

    Attributes:
        joints: names of the joints whose rotations make a pose, root first.
        mode: how the words see the poses, one of `WRITER_MODES`.
        words: how many words it knows.
        longest: tokens of the longest text.
        start, end, padding: ids of those marks.
    """

    joints: tuple[str, ...]
    mode: str
    words: int
    longest: int
    start: int
    end: int
    padding: int

    @classmethod
    def of(cls, bundle: Bundle) -> WriterSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        posefix_model(bundle, "writer")
        joints, mode = settings.texts("joints"), settings.choice("mode", WRITER_MODES)
        compare, step = _Shapes(bundle, "compare"), _Shapes(bundle, "step")
        for name in ("pose_a", "pose_b"):
            compare.of(name, 1, len(joints), 3)
        blocks, _, heads, places, width = step.of("cache", "blocks", 2, "heads", "places", "numbers")
        words = step.of("logits", 1, "words")[1]
        step.of("token", 1, dtype="int64")
        step.of("place", 1, dtype="int64")
        step.of("row", blocks, 2, heads, 1, width)
        if mode == "prompt":
            begin = _Shapes(bundle, "begin")
            begin.of("memory", *compare.of("memory", 1, "numbers"))
            begin.of("token", 1, dtype="int64")
            begin.of("logits", 1, words)
            begin.of("rows", blocks, 2, heads, 2, width)
        else:
            step.of("constants", *compare.of("constants", 1, blocks, "numbers"))
        longest = places - (mode == "prompt")
        if longest < 1:
            raise settings.error("mode", f"is {mode}, which leaves no place for words in a cache of {places}")
        start, end, padding = (settings.section("marks").integer(n, 0, words - 1) for n in ("start", "end", "padding"))
        return cls(joints, mode, words, longest, start, end, padding)


@dataclass(frozen=True)
class RetrievalSettings:
    """Settings of a bundle for the task ``posefix`` whose ``settings.model`` is ``retrieval``.

    Attributes:
        joints: names of the joints whose rotations make a pose, root first.
        text: of the text encoder.
        pairs: whether pairs of poses are found, rather than single ones.
        temperature: what the products of unit vectors are multiplied by for the probabilities of a choice.
    """

    joints: tuple[str, ...]
    text: TextSettings
    pairs: bool
    temperature: float

    @classmethod
    def of(cls, bundle: Bundle) -> RetrievalSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        posefix_model(bundle, "retrieval")
        joints, text = settings.texts("joints"), TextSettings.of(bundle)
        pairs = "pair" in bundle.graphs
        shapes = _Shapes(bundle, "pair" if pairs else "pose")
        for name in ("pose_a", "pose_b") if pairs else ("pose",):
            shapes.of(name, 1, len(joints), 3)
        shapes.of("vector", 1, text.width)
        return cls(joints, text, pairs, settings.number("temperature", -1e6, 1e6))


_POSEFIX_CLASSES = {
    "editor": "PoseEditor",
    "word-editor": "PoseEditor",
    "writer": "PoseCoach",
    "retrieval": "PoseRetrieval",
}


def posefix_model(bundle: Bundle, wanted: str | None = None) -> str:
    """Return the kind of a bundle for the task ``posefix``.

    Args:
        bundle: the bundle.
        wanted: the only kind that can be used.

    Raises:
        BundleError: none that is known, or not the one that is wanted.
    """
    kind = Section.of(bundle).choice("model", list(_POSEFIX))
    if wanted not in (None, kind):
        raise BundleError(
            f"bundle {bundle.path} is PoseFix's {kind}, not its {wanted}; {_POSEFIX_CLASSES[kind]} opens it"
        )
    return kind


_POSEFIX: Mapping[
    str, type[EditorSettings] | type[WordEditorSettings] | type[WriterSettings] | type[RetrievalSettings]
] = {
    "editor": EditorSettings,
    "word-editor": WordEditorSettings,
    "writer": WriterSettings,
    "retrieval": RetrievalSettings,
}


# --- poseembroider ---


OPEN_EMBEDDER, PUBLISHED_EMBEDDER = "pose-embedder", "published"
"""Kinds of bundles for the task ``poseembroider``; one that does not say is a published one."""
MODALITIES = ("image", "pose", "text")
"""What a bundle for the task ``poseembroider`` may embed, in the order of its core's inputs."""


@dataclass(frozen=True)
class PoseEmbroiderSettings:
    """Settings of a bundle for the task ``poseembroider``.

    Attributes:
        width: D, numbers of an embedding.
        modalities: what it has encoders of, some of `MODALITIES`.
        together: how many modalities its training combined at most.
        joints: names of a pose's joints, root first; empty without an encoder of poses.
        image_size: (height, width) of the network's picture, px; (0, 0) without an encoder of pictures.
        text: of the text encoder; None without it.
        words: number of WordPieces; ids of tokens are below it. 0 if it neither reads nor writes words.
        start, end, padding: ids of those marks.
        body_joints: names of the joints that the head of the body predicts; empty without that head.
        shapes: number of its shape coefficients.
        longest: tokens of the longest instruction; 0 without the head that writes them.
    """

    width: int
    modalities: tuple[str, ...]
    together: int
    joints: tuple[str, ...]
    image_size: tuple[int, int]
    text: TextSettings | None
    words: int
    start: int
    end: int
    padding: int
    body_joints: tuple[str, ...]
    shapes: int
    longest: int

    @classmethod
    def of(cls, bundle: Bundle) -> PoseEmbroiderSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        core = _Shapes(bundle, "core")
        width = core.of("embeddings", 1, len(MODALITIES), "numbers")[2]
        core.of("given", 1, len(MODALITIES), dtype="bool")
        core.of("token", 1, width)
        core.of("predicted", 1, len(MODALITIES), width)
        text = TextSettings.of(bundle) if "text" in settings else None
        if text and text.width != width:
            raise settings.error("text", f"is of vectors of {text.width} numbers, and the core takes {width}")
        longest, words = _writes(bundle, width)
        if text and words not in (0, text.words):
            raise settings.error("text", f"has {text.words} words, and graph `write` {words}")
        words = text.words if text else words
        ids = (0, 0, 0)
        if words:
            marks = settings.section("marks")
            start, end, padding = (marks.integer(name, 0, words - 1) for name in ("start", "end", "padding"))
            ids = (start, end, padding)
        joints: tuple[str, ...] = ()
        if "pose" in bundle.graphs:
            shapes = _Shapes(bundle, "pose")
            joints = settings.texts("joints", shapes.of("axis_angle", 1, "joints", 3)[1])
            shapes.of("vector", 1, width)
        body_joints, count = _body_of(bundle, settings, width)
        return cls(
            width,
            tuple(name for name in MODALITIES if (text if name == "text" else name in bundle.graphs)),
            settings.integer("together", 1, len(MODALITIES)),
            joints,
            _picture_size(bundle, settings, width),
            text,
            words,
            *ids,
            body_joints,
            count,
            longest,
        )


@dataclass(frozen=True)
class OpenEmbedderSettings:
    """Settings of a bundle for the task ``poseembroider`` whose ``settings.model`` is ``pose-embedder``: our own.

    Attributes:
        width: D, numbers of an embedding.
        joints: names of a pose's joints, root first.
        file: the list of words, one a line, in the order of their ids (`humanrt.editing.words`).
        count: of the words.
        longest: words of the longest text; of a longer one the rest is not read.
        unknown: largest share of words that are not in the list.
        landmarks: bundle with the landmark network that looks at pictures.
        picture_numbers: of what is read of a picture.
        pose_numbers, poses: of what is read of a pose, and poses read at once.
        body_joints: names of the joints that the head of the body predicts.
    """

    width: int
    joints: tuple[str, ...]
    file: str
    count: int
    longest: int
    unknown: float
    landmarks: str
    picture_numbers: int
    pose_numbers: int
    poses: int
    body_joints: tuple[str, ...]

    @classmethod
    def of(cls, bundle: Bundle) -> OpenEmbedderSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        poseembroider_model(bundle, OPEN_EMBEDDER)
        words = settings.section("vocabulary")
        file = words.text("file")
        if file not in bundle.manifest["files"]:
            raise words.error("file", f"names {short(file)}, which is not among the bundle's files")
        core = _Shapes(bundle, "core")
        width = core.of("embeddings", 1, len(MODALITIES), "numbers")[2]
        core.of("given", 1, len(MODALITIES), dtype="bool")
        core.of("token", 1, width)
        core.of("predicted", 1, len(MODALITIES), width)
        text = _Shapes(bundle, "text")
        longest = text.of("words", 1, "words", dtype="int64")[1]
        text.of("letters", 1, longest, "groups", dtype="int64")
        text.of("present", 1, longest)
        text.of("vector", 1, width)
        picture, pose = _Shapes(bundle, "picture"), _Shapes(bundle, "pose")
        picture.of("vector", 1, width)
        picture.of("heading", 1, 2)
        poses, numbers = pose.of("numbers", "poses", "numbers")
        pose.of("vectors", poses, width)
        joints = settings.texts("joints")
        body_joints, _ = _body_of(bundle, settings, width)
        return cls(
            width,
            joints,
            file,
            words.integer("count", 1, _MAX_COUNT),
            longest,
            settings.number("unknown", 0.0, 1.0),
            settings.text("landmarks"),
            picture.of("numbers", 1, "numbers")[1],
            numbers,
            poses,
            body_joints,
        )


def poseembroider_model(bundle: Bundle, wanted: str | None = None) -> str:
    """Return the kind of a bundle for the task ``poseembroider``: `OPEN_EMBEDDER`, or `PUBLISHED_EMBEDDER`.

    Args:
        bundle: the bundle.
        wanted: the only kind that can be used.

    Raises:
        BundleError: none that is known, or not the one that is wanted.
    """
    settings = Section.of(bundle)
    kinds = [PUBLISHED_EMBEDDER, OPEN_EMBEDDER]
    kind = settings.choice("model", kinds) if "model" in settings else PUBLISHED_EMBEDDER
    if wanted not in (None, kind):
        raise BundleError(f"bundle {bundle.path} is a {kind} embedder, not {wanted}")
    return kind


def _picture_size(bundle: Bundle, settings: Section, width: int) -> tuple[int, int]:
    """Return (height, width) px of an embedder's picture; (0, 0) without an encoder of pictures."""
    if "image" not in bundle.graphs:
        return 0, 0
    shapes = _Shapes(bundle, "image")
    shapes.of("vector", 1, width)
    height, across = shapes.of("image", 1, 3, "height", "width")[2:]
    if max(height, across) > MAX_IMAGE_SIZE:
        raise settings.error("image", f"is {height} x {across} px; at most {MAX_IMAGE_SIZE} are possible")
    return height, across


def _body_of(bundle: Bundle, settings: Section, width: int) -> tuple[tuple[str, ...], int]:
    """Return the joints of the head that reads a body, and the number of its shape coefficients; none without it."""
    if "body" not in bundle.graphs:
        return (), 0
    shapes = _Shapes(bundle, "body")
    shapes.of("token", 1, width)
    joints = settings.texts("body_joints", shapes.of("rotations", 1, "joints", 3, 3)[1])
    return joints, shapes.of("shape", 1, "shapes")[1] if "shape" in shapes else 0


def _writes(bundle: Bundle, width: int) -> tuple[int, int]:
    """Return tokens of the longest instruction, and the number of words; zeros if there are no graphs that write."""
    if "write" not in bundle.graphs:
        return 0, 0
    compare, step = _Shapes(bundle, "compare"), _Shapes(bundle, "write")
    for name in ("token_a", "token_b"):
        compare.of(name, 1, width)
    _, blocks, numbers = compare.of("constants", 1, "blocks", "numbers")
    compare.of("memory", 1, 1, numbers)
    heads, longest, part = step.of("cache", blocks, 2, "heads", "places", "numbers")[2:]
    step.of("token", 1, dtype="int64")
    step.of("place", 1, dtype="int64")
    step.of("constants", 1, blocks, numbers)
    step.of("row", blocks, 2, heads, 1, part)
    return longest, step.of("logits", 1, "words")[1]


def people_model(bundle: Bundle) -> str:
    """Return the kind of a people bundle: its setting ``model``; the first Multi-HMR bundles do not have it."""
    return Section.of(bundle).text("model", default=MULTIHMR)


_PEOPLE: Mapping[str, type[LandmarksSettings] | type[HolisticSettings] | type[MultiHmrSettings]] = {
    "landmarks": LandmarksSettings,
    "holistic": HolisticSettings,
}


def check_settings(bundle: Bundle) -> None:
    """Check the settings that the pipeline of the bundle's task reads. BundleError names what is wrong.

    For unknown tasks only the variants are checked.
    """
    variants_of(bundle)
    if bundle.task == "hands":
        HandsSettings.of(bundle)
    elif bundle.task == "people":
        _PEOPLE.get(people_model(bundle), MultiHmrSettings).of(bundle)
    elif bundle.task == "detection":
        MultiposeSettings.of(bundle)
    elif bundle.task == "posebert":
        for graph in bundle.graphs:
            PoseBertSettings.of(bundle, graph)
    elif bundle.task == "posegpt":
        (StreamingGptSettings if posegpt_model(bundle) == "streaming" else PoseGptSettings).of(bundle)
    elif bundle.task == "poseembroider" and poseembroider_model(bundle) == OPEN_EMBEDDER:
        OpenEmbedderSettings.of(bundle)
    elif bundle.task == "poseembroider":
        WordsSettings.of(bundle)
        PoseEmbroiderSettings.of(bundle)
    elif bundle.task == "posefix":
        WordsSettings.of(bundle)
        _POSEFIX[posefix_model(bundle)].of(bundle)
