"""Check what a bundle's manifest says, whatever its task."""

from __future__ import annotations

from collections.abc import Mapping

from humanrt.bundle import Bundle
from humanrt.bundle.settings.hands import HandsSettings
from humanrt.bundle.settings.holistic import HolisticSettings
from humanrt.bundle.settings.landmarks import LandmarksSettings
from humanrt.bundle.settings.multihmr import MULTIHMR, MultiHmrSettings
from humanrt.bundle.settings.multipose import MultiposeSettings
from humanrt.bundle.settings.posebert import PoseBertSettings
from humanrt.bundle.settings.poseembroider import (
    OPEN_EMBEDDER,
    OpenEmbedderSettings,
    PoseEmbroiderSettings,
    poseembroider_model,
)
from humanrt.bundle.settings.posefix import POSEFIX, posefix_model
from humanrt.bundle.settings.posegpt import PoseGptSettings, StreamingGptSettings, posegpt_model
from humanrt.bundle.settings.section import Section
from humanrt.bundle.settings.text import WordsSettings
from humanrt.bundle.settings.variants import variants_of

__all__ = ["check_settings", "people_model"]


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
        POSEFIX[posefix_model(bundle)].of(bundle)
