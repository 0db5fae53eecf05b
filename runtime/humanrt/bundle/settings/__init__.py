"""Settings of bundles: one frozen dataclass per kind of bundle, checked by type, range and against the graphs.

``manifest.json`` is not trusted: `HandsSettings.of(bundle)` and the others read what the pipeline needs before a graph
is opened or memory is allocated, and raise a `BundleError` that names the faulty entry. What a graph declares (image
size, number of keypoints, joints, slots) must agree with the settings; that the graph's file agrees with its
declaration is checked by the backend that opens it.

Unknown entries are ignored here; `Bundle.settings` has them all.
"""

from __future__ import annotations

from humanrt.bundle.settings.body import BodyNetworkSettings, BodySettings, Phenotype, body_names
from humanrt.bundle.settings.check import check_settings, people_model
from humanrt.bundle.settings.detector import DetectorSettings
from humanrt.bundle.settings.hands import HandsSettings
from humanrt.bundle.settings.holistic import (
    CompanionBundles,
    FaceFromBody,
    FacePoints,
    FaceSettings,
    HandFromBody,
    HandRegionSettings,
    HolisticSettings,
)
from humanrt.bundle.settings.landmarks import LandmarksSettings
from humanrt.bundle.settings.multihmr import MULTIHMR, MultiHmrSettings, Topology, face_indices, topology_of
from humanrt.bundle.settings.multipose import MultiposeSettings
from humanrt.bundle.settings.posebert import PoseBertSettings
from humanrt.bundle.settings.poseembroider import (
    MODALITIES,
    OPEN_EMBEDDER,
    OpenEmbedderSettings,
    PoseEmbroiderSettings,
    poseembroider_model,
)
from humanrt.bundle.settings.posefix import (
    EditorSettings,
    RetrievalSettings,
    WordEditorSettings,
    WriterSettings,
    posefix_model,
)
from humanrt.bundle.settings.posegpt import PoseGptSettings, StreamingGptSettings, posegpt_model
from humanrt.bundle.settings.section import Section
from humanrt.bundle.settings.text import TextSettings, WordsSettings
from humanrt.bundle.settings.variants import Variant, variants_of

__all__ = [
    "MODALITIES",
    "MULTIHMR",
    "OPEN_EMBEDDER",
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
