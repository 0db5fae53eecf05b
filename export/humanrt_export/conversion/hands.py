"""``humanrt-export hands``: the bundle ``hands`` from MediaPipe's palm detector and hand landmark models.

The models come from the mediapipe wheel (pinned by sha256), become ONNX graphs (`tflite_to_onnx`, `onnx_cleanup`), and
must agree with LiteRT on real frames and on noise before anything is written.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from humanrt.backends.options import BackendOptions
from humanrt.bundle import Bundle
from humanrt.bundle.settings import DetectorSettings, HandsSettings
from humanrt.errors import SourceError
from humanrt.geometry.region import FollowRule, RegionRule
from humanrt.hands.landmarks import LandmarkNetwork
from humanrt.hands.palm import PalmDetector
from humanrt.sources.opening import open_source
from humanrt.verdict.recording import Recorder
from humanrt_export.conversion import mediapipe_models
from humanrt_export.conversion.bundle_writer import sha256
from humanrt_export.conversion.mediapipe_models import Models, Source, anchor_centres, images_of
from humanrt_export.conversion.settings import entries

__all__ = ["SETTINGS", "SOURCES", "anchors", "export_hands"]

Array = NDArray[Any]


def _landmarks(path: str, digest: str) -> Source:
    return Source(
        path,
        digest,
        {
            "keypoints_2d": "21 hand keypoints in MediaPipe order: x, y in px of the 224 px crop (origin at its top "
            "left corner), z in the same px relative to the wrist, smaller is nearer to the camera",
            "presence": "probability in 0..1 that the crop holds a hand (sigmoid is in the graph)",
            "handedness": "probability in 0..1 that it is a right hand, for an image that is not mirrored (sigmoid "
            "is in the graph; MediaPipe calls it `Left`, because it assumes mirrored images)",
            "keypoints_3d": "the same keypoints in metres, relative to the hand's own origin, axes of the crop: x "
            "right, y down, z away from the camera; turn x and y by the crop's angle to get the camera's",
        },
        {"keypoints_2d": (1, 21, 3), "presence": (1, 1), "handedness": (1, 1), "keypoints_3d": (1, 21, 3)},
        "RGB in 0..1, NCHW, the hand's region turned upright and scaled to 224 px",
        {
            "keypoints_2d": ("px", 0.02),
            "presence": ("probability", 1e-4),
            "handedness": ("probability", 1e-4),
            "keypoints_3d": ("m", 1e-5),
        },
    )


SOURCES: Mapping[str, Source] = {
    "palm_detector": Source(
        "mediapipe/modules/palm_detection/palm_detection_full.tflite",
        "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54",
        {
            "boxes": "per anchor, in px of the 192 px square, relative to the anchor's centre: x, y of the palm's "
            "centre; its width and height (absolute); x, y of 7 keypoints (0 wrist, 2 middle finger MCP)",
            "scores": "per anchor, logit of a palm (no sigmoid in the graph: compare logits, convert the survivors)",
        },
        {"boxes": (1, 2016, 18), "scores": (1, 2016)},
        "RGB in 0..1, NCHW, letterboxed to 192 px: aspect kept, centred, black padding",
        {"boxes": ("px", 0.02), "scores": ("logit", 2e-3)},
        ssd=True,
    ),
    "landmarks_full": _landmarks(
        "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3",
    ),
    "landmarks_lite": _landmarks(
        "mediapipe/modules/hand_landmark/hand_landmark_lite.tflite",
        "048edd3645c9bf7397d19a9f6e3a42957d6e414c9bea6598030a2e9b624156e6",
    ),
}

# The published values of MediaPipe's graphs (modules/palm_detection, modules/hand_landmark).
SETTINGS = HandsSettings(
    palm=DetectorSettings(
        input_size=192, input_range=(0.0, 1.0), box_scale=192.0, score_threshold=0.5, nms_iou=0.3, keypoints=7
    ),
    wrist=0,
    middle_mcp=2,
    palm_region=RegionRule(scale=2.6, shift=-0.5),
    models=("full", "lite"),
    presence_threshold=0.5,
    region=FollowRule(
        grow=RegionRule(scale=2.0, shift=-0.1),
        inside=(0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18),
        start=((0, 1.0),),
        end=((5, 0.25), (9, 0.5), (13, 0.25)),
    ),
)
_NOTES = {
    "palm": {
        "score_clip": 100.0,
        "nms": "weighted",
        "region": {"square": "longer side", "up": ["wrist", "middle_mcp"]},
    },
    "landmarks": {"input_size": 224, "region": {"square": "longer side"}},
    "tracking": {"max_hands": 2, "same_hand_iou": 0.5},
}

# Parity gate: every STRIDE-th frame of the video.
STRIDE = 10
MIN_CROPS = 20


def anchors() -> Array:
    """Return the centres of the palm detector's anchors, float32 [2016, 2]: x, y in 0..1 of the square."""
    return anchor_centres(192, (8, 16, 16, 16))


# --------------------------------------------------------------------------------------------- parity gate


def _real_inputs(bundle: Bundle, video: Path) -> dict[str, list[Array]]:
    """Collect the inputs of each graph in the runtime's own pipeline on the video: letterboxed frames and hand crops.

    Per frame and landmark model: the crop from the palm detector and the one that tracking would use next.
    """
    recorder = Recorder(bundle, None, BackendOptions(threads=1))
    palms = PalmDetector(bundle, recorder)
    networks = [LandmarkNetwork(bundle, recorder, model) for model in SETTINGS.models]
    with open_source(video) as source:
        for frame in itertools.islice(source, 0, None, STRIDE):
            for palm in palms(frame.image)[:2]:
                for network in networks:
                    network(frame.image, network(frame.image, palm.region).region)
    images = images_of(recorder)
    crops = min((len(some) for name, some in images.items() if name.startswith("landmarks")), default=0)
    if crops < MIN_CROPS:
        raise SourceError(
            f"{video}: only {crops} crops of a hand were found, the parity gate needs {MIN_CROPS}; give a video that "
            "shows a hand for longer: --frames SOURCE"
        )
    return images


def parity(bundle: Bundle, models: Mapping[str, bytes], video: Path) -> dict[str, Any]:
    """Compare each graph with LiteRT on frames of the video and on noise; returns the verdicts."""
    about = {"name": video.name, "sha256": sha256(video), "stride": STRIDE}
    return mediapipe_models.parity(bundle, SOURCES, models, _real_inputs(bundle, video), about)


# --------------------------------------------------------------------------------------------- command


def export_hands(out: Path, wheel: Path, video: Path) -> Path:
    """Make the bundle ``hands`` in ``out``; returns its path.

    Raises:
        HumanrtError: a source is missing or not the pinned one, or the parity gate failed. Nothing is written then.
    """
    models = Models("hands", "hands", SOURCES, entries(SETTINGS, notes=_NOTES), anchors())
    data = mediapipe_models.read_wheel(wheel, SOURCES)
    return models.export(out, data, lambda bundle, flatbuffers: parity(bundle, flatbuffers, video))
