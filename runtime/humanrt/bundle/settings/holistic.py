"""Settings of people bundles `holistic`: bodies with hands and faces."""

from __future__ import annotations

from dataclasses import dataclass

from humanrt.bundle import Bundle
from humanrt.bundle.settings.body import BodyNetworkSettings, BodySettings, read_body_settings
from humanrt.bundle.settings.detector import DetectorSettings
from humanrt.bundle.settings.hands import region_rule
from humanrt.bundle.settings.section import MAX_COUNT, Section, Shapes
from humanrt.geometry.region import RegionRule

__all__ = [
    "CompanionBundles",
    "FaceFromBody",
    "FacePoints",
    "FaceSettings",
    "HandFromBody",
    "HandRegionSettings",
    "HolisticSettings",
]


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
        units = Shapes(bundle, "body_pose").of("expression", 1, "units")[1]
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
    shapes = Shapes(bundle, "body_pose")
    vertices = settings.integer("vertices", 1, MAX_COUNT)
    shapes.of("vertices", 1, vertices, 3)
    joints = shapes.of("joints", 1, "joints", 3)[1]
    rotations = shapes.of("rotations", 1, "rotations", 3, 3)[1]
    settings.integer("rotations", rotations, rotations, default=rotations)
    shapes.of("translation", 1, 3)
    parameters = Shapes(bundle, "body_rest").of("shape", 1, "phenotypes")[1]
    return read_body_settings(settings, parameters, rotations, joints, vertices)


def _hand_region(bundle: Bundle, settings: Section, landmarks: int) -> HandRegionSettings:
    shapes = Shapes(bundle, "hand_recrop")
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
        region_rule(settings.section("refined")),
        settings.number("presence_threshold", 0.0, 1.0),
        settings.number("max_gap", 0.0, 100.0),
    )


def _face(bundle: Bundle, settings: Section, landmarks: int) -> FaceSettings:
    shapes = Shapes(bundle, "face_landmarks")
    size = shapes.of("image", 1, 3, "size", "size")[2]
    shapes.of("image", 1, 3, size, size)
    count = settings.integer("count", 11, MAX_COUNT)
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
        region_rule(settings.section("detected")),
        region_rule(settings.section("follow")),
    )
