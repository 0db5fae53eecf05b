"""``humanrt-export multihmr``: an official checkpoint and the user's SMPL-X file -> a bundle for the runtime.

The bundle holds these graphs. All have static shapes; `settings.variants` says which to use where.

====================  ==================================================================================
`network`             standard ONNX, FP32: for TensorRT and CUDA, and the source of every other precision
`network-cpu`         the same with ONNX Runtime's fused attention
`network-cpu-amx`     `network-cpu` with our own operators, for CPUs with AMX: as exact, and faster
`network-cpu-bf16x3`  `network-cpu-amx` with 16 bits of every float: faster still, and within 1 mm
`network-cpu-int16`   `network-cpu` with our own operators in 16-bit integers, for CPUs without AMX: within 1 mm
`network-int8-cpu`    only on request: INT8 layers; its error is in the manifest
`body`                parameters of all slots -> vertices and joints
`body-1`              the same for one person, for backends that do not need empty slots
====================  ==================================================================================

The graphs for AMX are made only on machines that can run them, as no graph is shipped unchecked.
Nothing is written unless every FP32 graph, run by ONNX Runtime, agrees with the PyTorch network. Graphs of lower
precision are judged on pictures of people, and left out if they fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanrt.bundle.settings import Topology
from humanrt.geometry.letterbox import PILLOW
from humanrt_export.bodies.smplx import JOINT_NAMES, SmplxBody, find_smplx, load_smplx
from humanrt_export.bodies.smplx_sizes import EXPRESSIONS, ROTATIONS
from humanrt_export.conversion.bundle_writer import BundleWriter, sha256
from humanrt_export.conversion.graphs import trace
from humanrt_export.conversion.multihmr_checkpoint import load_checkpoint
from humanrt_export.conversion.multihmr_graphs import (
    MESH,
    BodyAbout,
    Probed,
    check_sizes,
    common_settings,
    common_texts,
    finish,
    network_graphs,
    probe_image,
    probe_pictures,
    short_name,
    tools,
    window_of,
    write_graphs,
)
from humanrt_export.conversion.parity import OPTIONAL, Run, Slot, judged, matches, of_people, opened
from humanrt_export.networks.camera import Window
from humanrt_export.networks.multihmr import ModelConfig, MultiHmr, NetworkOutput

__all__ = ["export_multihmr"]

LICENCE = "LicenseRef-NAVER-Multi-HMR-NonCommercial AND LicenseRef-SMPL-X-NonCommercial"
LICENCE_NOTE = """\
This bundle was made from files that its user downloaded, and stays under their licences:
- Multi-HMR weights: NAVER's licence, non-commercial use only (https://github.com/naver/multi-hmr);
- SMPL-X body model: the Max Planck Society's licence, non-commercial use only (https://smpl-x.is.tue.mpg.de).
Do not pass it on unless both allow it. humanrt, which reads it, is under Apache-2.0.
"""

# Maximum differences from PyTorch allowed for an FP32 graph.
TOLERANCES = {
    "scores": (1e-4, ""),
    "locations": (0.05, "px"),
    "translation": (1e-4, "relative"),
    "rotations": (1e-4, "matrix entry"),
    "shape": (1e-3, "coefficient"),
    "expression": (1e-3, "coefficient"),
    "vertices": (1e-4, "m"),
    "joints": (1e-4, "m"),
}

Array = NDArray[Any]


@dataclass(frozen=True)
class _Probe:
    """Inputs for the parity gate, and PyTorch's outputs for them."""

    feeds: dict[str, Tensor]
    expected: NetworkOutput
    vertices: Tensor
    joints: Tensor


def export_multihmr(
    checkpoint: str | Path,
    body_models: str | Path,
    out: str | Path,
    *,
    max_people: int = 16,
    batch: int = 1,
    int8: bool = False,
    aspect: tuple[int, int] | None = None,
    report: Callable[[str], object] = lambda line: None,
) -> Path:
    """Make a bundle.

    Args:
        checkpoint: an official Multi-HMR `.pt` file.
        body_models: folder that holds ``smplx/SMPLX_NEUTRAL.npz`` (or `.pkl`), or that file.
        out: folder of the bundle.
        max_people: slots per image; if more people are detected, the best are kept.
        batch: images per call.
        int8: add `network-int8-cpu`.
        aspect: width and height of the pictures, in any unit: the network does without most of the tokens of the black
            bars that it would see beside them; None: square.
        report: called with a line for every step.

    Returns:
        The bundle's folder.

    Raises:
        HumanrtError: a file is refused, or a graph failed the parity gate. Nothing is written then.
    """
    checkpoint = Path(checkpoint)
    model = load_checkpoint(checkpoint)  # first: an error about the checkpoint comes before one about the body model
    smplx = find_smplx(body_models)
    config = model.config
    window = window_of(config, aspect)
    check_sizes(window, max_people, batch)
    data = load_smplx(smplx, config.num_betas)
    body = SmplxBody(data).eval()
    report(f"read {checkpoint.name}: {config.backbone}, {config.image_size} px, {config.num_betas} betas; {smplx.name}")
    if not window.square:
        model.crop(window)
        size, share = "{} x {}".format(*window.size), window.tokens / window.side**2
        report(f"for pictures as wide: {size} px, {share:.0%} of the square's tokens")
    with torch.inference_mode():
        tokens, finds = model.backbone, model.detection
        probe = _probe(model, body, probe_image(tokens, finds, config, window, batch, max_people), max_people)
        pictures = [
            _probe(model, body, seen, max_people)
            for seen in probe_pictures(tokens, finds, window, batch, max_people, PILLOW)
        ]
    report(f"probe: {int(probe.expected.valid.sum())} people")

    model.backbone.fold()
    networks = network_graphs(model, config, probe.feeds, NetworkOutput._fields, max_people, int8=int8, report=report)
    parameters = {name: getattr(probe.expected, name) for name in _BODY_INPUTS}
    one = {name: value[:1, :1] for name, value in parameters.items()}
    bodies = {
        "body": trace(body, parameters, MESH, "body"),
        "body-1": trace(body, one, MESH, "body-1"),
    }
    report("traced")

    provenance = {
        "source": "an official Multi-HMR checkpoint and SMPL-X file of the user's",
        "authors": "Baradel et al., NAVER LABS Europe (Multi-HMR); Pavlakos et al., MPI (SMPL-X)",
        "files": {path.name: {"sha256": sha256(path)} for path in (checkpoint, smplx)},
        "converted_by": "humanrt-export multihmr",
        "tools": tools(),
    }
    with BundleWriter(
        Path(out),
        name=f"multihmr-{short_name(config, window)}",
        task="people",
        version="1",
        licence=LICENCE,
        provenance=provenance,
        settings=common_settings(
            config,
            max_people,
            batch,
            networks,
            resize=PILLOW,
            body=_body(config, len(data.template)),
            window=window,
        ),
    ) as writer:
        writer.add_file("LICENCE-NOTE.txt", LICENCE_NOTE.encode())
        texts = _texts(config, window)
        write_graphs(writer, "network", networks, texts)
        write_graphs(writer, "body", bodies, texts)
        writer.add_arrays(
            "faces", {"faces": data.faces.astype(np.int32)}, {"faces": "three vertices of every triangle of the mesh"}
        )
        verdicts = {
            graph_name: _optional_verdict(graph_name, opened(writer.source(graph_name)), body, pictures)
            if graph_name in OPTIONAL
            else _verdict(graph_name, opened(writer.source(graph_name)), body, probe)
            for graph_name in (*networks, *bodies)
        }
        return finish(writer, verdicts, report)


# --------------------------------------------------------------------------------------------- graphs

_BODY_INPUTS = ("rotations", "shape", "expression", "translation")


# --------------------------------------------------------------------------------------------- parity


def _probe(model: MultiHmr, body: SmplxBody, seen: Probed, max_people: int) -> _Probe:
    """Create a probe: people in an image, and PyTorch's output."""
    feeds = seen.feeds()
    expected = model(*feeds.values(), max_people)
    posed = body(*(getattr(expected, name) for name in _BODY_INPUTS))
    return _Probe(feeds, expected, posed.vertices, posed.joints)


def _verdict(name: str, graph: Run, body: SmplxBody, probe: _Probe) -> dict[str, Any]:
    """Compare a graph with PyTorch on the probe; returns the verdict."""
    if name.startswith("body"):
        slots = (slice(0, 1), slice(0, 1)) if name == "body-1" else (slice(None), slice(None))
        feeds = {key: getattr(probe.expected, key)[slots].numpy() for key in _BODY_INPUTS}
        got = graph(feeds)
        expected = {"vertices": probe.vertices[slots].numpy(), "joints": probe.joints[slots].numpy()}
        errors = {key: float(np.abs(got[key] - value).max()) for key, value in expected.items()}
        return judged(errors, TOLERANCES, people=int(probe.expected.valid[slots].sum()))

    got, wanted, same, distances = _compared(graph, body, probe)
    errors = {
        key: float(np.abs(got[key] - wanted[key]).max(initial=0.0))
        for key in NetworkOutput._fields
        if key in TOLERANCES
    }
    span = np.linalg.norm(wanted["translation"], axis=-1, keepdims=True).clip(min=1e-6)
    errors["translation"] = float(np.abs((got["translation"] - wanted["translation"]) / span).max(initial=0.0))
    people = int(probe.expected.valid.sum())
    return of_people(name, errors, TOLERANCES, people=people, same=same, distances=distances)


def _optional_verdict(name: str, graph: Run, body: SmplxBody, pictures: Sequence[_Probe]) -> dict[str, Any]:
    """Compare a graph of lower precision with PyTorch on pictures; returns the verdict."""
    compared = [_compared(graph, body, probe) for probe in pictures]
    same = all(one[2] for one in compared)
    distances = np.concatenate([one[3] for one in compared])
    people = sum(int(probe.expected.valid.sum()) for probe in pictures)
    return of_people(name, {}, {}, people=people, same=same, distances=distances)


def _compared(
    graph: Run, body: SmplxBody, probe: _Probe
) -> tuple[dict[str, Array], dict[str, Array], bool, NDArray[np.float32]]:
    """Return the graph's and PyTorch's outputs for the people that both see, whether they see the same, and the mean
    vertex distance of each, m."""
    found = NetworkOutput(
        **{
            key: torch.from_numpy(value)
            for key, value in graph({key: value.numpy() for key, value in probe.feeds.items()}).items()
        }
    )
    pairs = list(matches(probe.expected, found))
    same = len(pairs) == int(probe.expected.valid.sum()) == int(found.valid.sum())
    wanted = _people(probe.expected, [pair[0] for pair in pairs])
    got = _people(found, [pair[1] for pair in pairs])
    if not pairs:
        return got, wanted, same, np.zeros(0, np.float32)
    with torch.inference_mode():
        mesh, true_mesh = (body(*(torch.from_numpy(rows[key]) for key in _BODY_INPUTS)) for rows in (got, wanted))
    return got, wanted, same, (mesh.vertices - true_mesh.vertices).norm(dim=-1).mean(dim=-1).numpy()


def _people(output: NetworkOutput, slots: list[Slot]) -> dict[str, Array]:
    """Return the outputs of the given slots, [people, ...]."""
    images, indices = np.array(slots, np.int64).reshape(-1, 2).T
    return {key: value.numpy()[images, indices] for key, value in output._asdict().items()}


# --------------------------------------------------------------------------------------------- manifest


def _body(config: ModelConfig, vertices: int) -> BodyAbout:
    notes = {
        "num_betas": config.num_betas,
        "num_expressions": EXPRESSIONS,
        "rotations": ROTATIONS,
        "pelvis_joint": JOINT_NAMES.index("pelvis"),
        "head_joint": JOINT_NAMES.index("head"),
    }
    mesh = Topology("SMPL-X", "body", "body-1", "faces", vertices, len(JOINT_NAMES))
    return BodyAbout("SMPL-X neutral", (), JOINT_NAMES, [mesh], named=False, estimated=None, notes=notes)


def _texts(config: ModelConfig, window: Window) -> dict[str, str]:
    return {
        **common_texts(config, window),
        "translation": "x, y, z of the head joint in m, camera space: x right, y down, z forward",
        "rotations": "matrices: root (body to camera), 21 body, 15 left hand, 15 right hand, jaw (each to its parent)",
        "shape": "SMPL-X shape coefficients",
        "expression": "SMPL-X expression coefficients",
        "vertices": "m, camera space; triangles in the array `faces`",
        "joints": "m, camera space; names in settings.body.joint_names",
    }
