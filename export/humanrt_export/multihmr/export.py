"""``humanrt-export multihmr``: an official checkpoint and the user's SMPL-X file -> a bundle for the runtime.

The bundle holds these graphs. All have static shapes; `settings.variants` says which to use where.

====================  ==================================================================================
`network`             standard ONNX, FP32: for TensorRT and CUDA, and the source of every other precision
`network-cpu`         the same with ONNX Runtime's fused attention
`network-cpu-amx`     that with our own operators, for CPUs with AMX: as exact, and faster
`network-cpu-bf16x3`  likewise with 16 bits of every float: faster still, and within 1 mm
`network-int8-cpu`    only on request: INT8 layers; its error is in the manifest
`body`                parameters of all slots -> vertices and joints
`body-1`              the same for one person, for backends without a use for empty slots
====================  ==================================================================================

The graphs for AMX are made only on machines that can run them, as nothing leaves unchecked.
Nothing is written unless every FP32 graph, run by ONNX Runtime, agrees with the PyTorch network.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from humanrt.errors import BundleError, HumanrtError
from humanrt_export.bundle_writer import BundleWriter, sha256
from humanrt_export.multihmr.attention import Attention, ort_fused, plain, sdpa
from humanrt_export.multihmr.backbone import BACKBONES
from humanrt_export.multihmr.body import JOINT_NAMES, SmplxBody, find_smplx, load_smplx
from humanrt_export.multihmr.camera import DEFAULT_FIELD_OF_VIEW, DEVIATION, MEAN, default_intrinsics
from humanrt_export.multihmr.checkpoint import load_checkpoint
from humanrt_export.multihmr.cpu import VARIANTS, cpu_graphs
from humanrt_export.multihmr.detection import THRESHOLD
from humanrt_export.multihmr.graphs import share_weights, trace
from humanrt_export.multihmr.head import EXPRESSIONS, ROTATIONS
from humanrt_export.multihmr.model import ModelConfig, MultiHmr, NetworkOutput
from humanrt_export.multihmr.parity import OPTIONAL, REFERENCE, Place, Run, drop, gate, judged, matches, opened

__all__ = ["configure", "export_multihmr", "run"]

LICENCE = "LicenseRef-NAVER-Multi-HMR-NonCommercial AND LicenseRef-SMPL-X-NonCommercial"
LICENCE_NOTE = """\
This bundle was made from files that its user downloaded, and stays under their licences:
- Multi-HMR weights: NAVER's licence, non-commercial use only (https://github.com/naver/multi-hmr);
- SMPL-X body model: the Max Planck Society's licence, non-commercial use only (https://smpl-x.is.tue.mpg.de).
Do not pass it on unless both allow it. humanrt, which reads it, is under Apache-2.0.
"""

# Largest differences from PyTorch that an FP32 graph may show, and the mean vertex distance of `network-cpu-bf16x3`.
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
FAST_TOLERANCE = 1e-3
_PROBE_SEED = 20260101

Array = NDArray[Any]


@dataclass(frozen=True)
class _Probe:
    """Inputs for the parity gate, and what PyTorch makes of them."""

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
    report: Callable[[str], object] = lambda line: None,
) -> Path:
    """Make a bundle.

    Args:
        checkpoint: an official Multi-HMR `.pt` file.
        body_models: folder that holds ``smplx/SMPLX_NEUTRAL.npz`` (or `.pkl`), or that file.
        out: folder of the bundle.
        max_people: slots per image; where more people are seen, the best are kept.
        batch: images per call.
        int8: add `network-int8-cpu`.
        report: called with a line for every step.

    Returns:
        The bundle's folder.

    Raises:
        HumanrtError: a file is refused, or a graph failed the parity gate. Nothing is written then.
    """
    checkpoint, smplx = Path(checkpoint), find_smplx(body_models)
    model = load_checkpoint(checkpoint)
    config = model.config
    if not 1 <= max_people <= config.tokens:
        raise BundleError(
            f"max_people is {max_people}; a {config.image_size} px network has 1 to {config.tokens} slots"
        )
    if batch < 1:
        raise BundleError(f"batch is {batch}; need 1 or more")
    data = load_smplx(smplx, config.num_betas)
    body = SmplxBody(data).eval()
    report(f"read {checkpoint.name}: {config.backbone}, {config.image_size} px, {config.num_betas} betas; {smplx.name}")
    with torch.inference_mode():
        probe = _probe(model, body, batch, max_people)
    report(f"probe: {int(probe.expected.valid.sum())} people")

    model.backbone.fold()
    with torch.inference_mode():
        network = _trace_network(model, probe, max_people, plain)
        fused = _trace_network(model, probe, max_people, ort_fused)
    width = BACKBONES[config.backbone][0]
    more, no_amx = cpu_graphs(fused, width, int8=int8)
    networks = {"network": network, "network-cpu": fused, **more}
    if no_amx:
        report(f"network-cpu-amx and network-cpu-bf16x3 are left out, as they cannot be checked here: {no_amx}")
    parameters = {name: getattr(probe.expected, name) for name in _BODY_INPUTS}
    one = {name: value[:1, :1] for name, value in parameters.items()}
    bodies = {
        "body": trace(body, parameters, ("vertices", "joints"), "body"),
        "body-1": trace(body, one, ("vertices", "joints"), "body-1"),
    }
    report("traced")

    provenance = {
        "source": "an official Multi-HMR checkpoint and SMPL-X file of the user's",
        "authors": "Baradel et al., NAVER LABS Europe (Multi-HMR); Pavlakos et al., MPI (SMPL-X)",
        "files": {path.name: {"sha256": sha256(path)} for path in (checkpoint, smplx)},
        "converted_by": "humanrt-export multihmr",
        "tools": {tool: version(tool) for tool in ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")},
    }
    name = f"multihmr-{config.image_size}-{config.backbone.removeprefix('dinov2_vit').removesuffix('14')}"
    with BundleWriter(
        Path(out),
        name=name,
        task="people",
        version="1",
        licence=LICENCE,
        provenance=provenance,
        settings=_settings(config, max_people, batch, networks),
    ) as writer:
        writer.add_file("LICENCE-NOTE.txt", LICENCE_NOTE.encode())
        for group, graphs, texts in (
            ("network", networks, _network_texts(config)),
            ("body", bodies, _body_texts(config)),
        ):
            writer.add_file(f"{group}.bin", share_weights(list(graphs.values()), f"{group}.bin"))
            for graph_name, graph in graphs.items():
                inputs = {value.name: texts[value.name] for value in graph.graph.input}
                outputs = {value.name: texts[value.name] for value in graph.graph.output}
                writer.add_graph(graph_name, graph, inputs, outputs)
        writer.add_arrays(
            "faces", {"faces": data.faces.astype(np.int32)}, {"faces": "three vertices of every triangle of the mesh"}
        )
        verdicts = {
            graph_name: _verdict(graph_name, opened(writer.folder / f"{graph_name}.onnx"), body, probe)
            for graph_name in (*networks, *bodies)
        }
        gate(verdicts)
        writer.manifest["parity"] = verdicts
        if not verdicts.get("network-cpu-bf16x3", {"passed": True})["passed"]:
            drop(writer, "network-cpu-bf16x3")
            report("network-cpu-bf16x3 is left out: not within 1 mm of PyTorch")
        report("parity with PyTorch passed")
        return writer.commit()


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``humanrt-export multihmr``, for both bodies."""
    from humanrt_export.anny.export import configure_body

    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="official .pt file, or ours on Anny")
    parser.add_argument("--body", choices=("smplx", "anny"), default="smplx", help="body model (default: smplx)")
    parser.add_argument(
        "--body-models", type=Path, metavar="DIR", help="SMPL-X: folder with smplx/SMPLX_NEUTRAL.npz or .pkl"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the bundle")
    parser.add_argument("--max-people", type=int, default=16, metavar="N", help="people per image (default: 16)")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="images per call (default: 1)")
    parser.add_argument("--int8-cpu", action="store_true", help="add the INT8 graph for CPUs; its error is reported")
    configure_body(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    if options.body == "anny":
        from humanrt_export.anny import export as anny_export

        return anny_export.run(options)
    if options.body_models is None:
        raise HumanrtError(
            "--body-models is missing: give the folder that holds smplx/SMPLX_NEUTRAL.npz, or use --body anny"
        )
    folder = export_multihmr(
        options.checkpoint,
        options.body_models,
        options.out,
        max_people=options.max_people,
        batch=options.batch,
        int8=options.int8_cpu,
        report=lambda line: sys.stderr.write(f"{line}\n"),
    )
    sys.stdout.write(f"{folder}\n")
    return 0


# --------------------------------------------------------------------------------------------- graphs

_BODY_INPUTS = ("rotations", "shape", "expression", "translation")


class _Network(nn.Module):
    """`MultiHmr` with a fixed number of slots, its name the root of all node names."""

    def __init__(self, model: MultiHmr, max_people: int) -> None:
        super().__init__()
        self.network = model
        self.max_people = max_people

    def forward(self, image: Tensor, intrinsics: Tensor, threshold: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(image, intrinsics, threshold, self.max_people))


def _trace_network(model: MultiHmr, probe: _Probe, max_people: int, attention: Attention) -> onnx.ModelProto:
    model.use_attention(backbone=attention, head=plain)
    try:
        return trace(_Network(model, max_people).eval(), probe.feeds, NetworkOutput._fields, "network")
    finally:
        model.use_attention(backbone=sdpa, head=sdpa)


# --------------------------------------------------------------------------------------------- parity


def _probe(model: MultiHmr, body: SmplxBody, batch: int, max_people: int, seeds: int = 4) -> _Probe:
    """Smooth noise in which the network sees somebody, off-centre intrinsics, and PyTorch's answer.

    The threshold lies in the widest gap between the best scores, so that rounding cannot move anybody across it.
    """
    size = model.config.image_size
    intrinsics = default_intrinsics(batch, size)
    intrinsics[:, 0, 2] += 0.03 * size
    intrinsics[:, 1, 2] -= 0.05 * size
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(_PROBE_SEED + seed)
        noise = torch.randn(batch, 3, size, size, generator=generator)
        image = 4 * nn.functional.avg_pool2d(noise, 9, stride=1, padding=4)
        peaks = model.detection.heat_map(model.backbone(image)).flatten(1)
        best = peaks.flatten().sort(descending=True).values[: min(max_people, 8) + 1]
        gaps = best[:-1] - best[1:]
        # Two people or more where there is room: with one, nobody attends to anybody.
        fewest = min(1, len(gaps) - 1)
        count = fewest + int(gaps[fewest:].argmax())
        if gaps[count] > 1e-5:
            break
    else:
        count = -1  # no score stands out: nobody, in all of the seeds
    between = (best[count] + best[count + 1]) / 2 if count >= 0 else (best[0] + 1) / 2
    threshold = between.reshape(1)
    feeds = {"image": image, "intrinsics": intrinsics, "threshold": threshold}
    expected = model(*feeds.values(), max_people)
    posed = body(*(getattr(expected, name) for name in _BODY_INPUTS))
    return _Probe(feeds, expected, posed.vertices, posed.joints)


def _verdict(name: str, graph: Run, body: SmplxBody, probe: _Probe) -> dict[str, Any]:
    """How far a graph is from PyTorch on the probe, and whether that is near enough."""
    if name.startswith("body"):
        slots = (slice(0, 1), slice(0, 1)) if name == "body-1" else (slice(None), slice(None))
        feeds = {key: getattr(probe.expected, key)[slots].numpy() for key in _BODY_INPUTS}
        got = graph(feeds)
        expected = {"vertices": probe.vertices[slots].numpy(), "joints": probe.joints[slots].numpy()}
        errors = {key: float(np.abs(got[key] - value).max()) for key, value in expected.items()}
        return judged(errors, TOLERANCES, people=int(probe.expected.valid[slots].sum()))

    found = NetworkOutput(
        **{
            key: torch.from_numpy(value)
            for key, value in graph({key: value.numpy() for key, value in probe.feeds.items()}).items()
        }
    )
    pairs = list(matches(probe.expected, found))
    people = int(probe.expected.valid.sum())
    same = len(pairs) == people == int(found.valid.sum())
    wanted = _people(probe.expected, [pair[0] for pair in pairs])
    got = _people(found, [pair[1] for pair in pairs])
    with torch.inference_mode():
        mesh, true_mesh = (body(*(torch.from_numpy(rows[key]) for key in _BODY_INPUTS)) for rows in (got, wanted))
    distances = (mesh.vertices - true_mesh.vertices).norm(dim=-1).mean(dim=-1)
    distance = float(distances.mean()) if pairs else 0.0
    extra = {"people": people, "same_people": same, "mean_vertex_distance_m": distance}
    if name not in OPTIONAL:
        errors = {
            key: float(np.abs(got[key] - wanted[key]).max(initial=0.0))
            for key in NetworkOutput._fields
            if key in TOLERANCES
        }
        span = np.linalg.norm(wanted["translation"], axis=-1, keepdims=True).clip(min=1e-6)
        errors["translation"] = float(np.abs((got["translation"] - wanted["translation"]) / span).max(initial=0.0))
        verdict = judged(errors, TOLERANCES, **extra)
        verdict["passed"] = verdict["passed"] and same
        return verdict
    passed = same and (name != "network-cpu-bf16x3" or distance <= FAST_TOLERANCE)
    return {"passed": passed, "reference": REFERENCE, **extra}


def _people(output: NetworkOutput, slots: list[Place]) -> dict[str, Array]:
    """The outputs of some slots, [people, ...]."""
    images, places = np.array(slots, np.int64).reshape(-1, 2).T
    return {key: value.numpy()[images, places] for key, value in output._asdict().items()}


# --------------------------------------------------------------------------------------------- manifest


def _settings(config: ModelConfig, max_people: int, batch: int, networks: Mapping[str, object]) -> dict[str, Any]:
    """Everything that the runtime has to know and must not guess."""
    return {
        "image_size": config.image_size,
        "batch": batch,
        "max_people": max_people,
        "threshold": THRESHOLD,
        "normalisation": {"mean": list(MEAN), "std": list(DEVIATION), "of": "RGB in 0..1"},
        "letterbox": {"keep_aspect": True, "align": "centre", "fill": 0, "when": "before normalisation"},
        "camera": {
            "field_of_view_deg": DEFAULT_FIELD_OF_VIEW,
            "principal_point_px": config.image_size // 2,
            "of": "the square input, where the user gives no intrinsics",
        },
        "body": {
            "model": "SMPL-X neutral",
            "num_betas": config.num_betas,
            "num_expressions": EXPRESSIONS,
            "rotations": ROTATIONS,
            "joint_names": list(JOINT_NAMES),
            "pelvis_joint": JOINT_NAMES.index("pelvis"),
            "head_joint": JOINT_NAMES.index("head"),
        },
        "variants": [variant for variant in VARIANTS if variant["graph"] in networks],
        # For whoever makes other precisions: nodes outside the backbone decide by equality and compute geometry.
        "fp32_nodes": "all whose name does not start with `backbone.`",
    }


def _network_texts(config: ModelConfig) -> dict[str, str]:
    size = config.image_size
    return {
        "image": f"RGB, NCHW, letterboxed to {size} px and normalised as in settings; NaN or infinity: nobody is seen",
        "intrinsics": f"K in px of the {size} px input: [[fx, s, cx], [0, fy, cy], [0, 0, 1]]",
        "threshold": "lowest score of a person, 0..1",
        "scores": "0..1, highest first; 0 where the slot is empty",
        "valid": "the slot holds a person; all else of an empty slot is 0, its rotations identity",
        "cells": f"token of the person, row * {config.side} + column; meaningless in an empty slot",
        "locations": f"x, y of the head in px of the {size} px input",
        "translation": "x, y, z of the head joint in m, camera space: x right, y down, z forward",
        "rotations": "matrices: root (body to camera), 21 body, 15 left hand, 15 right hand, jaw (each to its parent)",
        "shape": "SMPL-X shape coefficients",
        "expression": "SMPL-X expression coefficients",
    }


def _body_texts(config: ModelConfig) -> dict[str, str]:
    return {
        **_network_texts(config),
        "vertices": "m, camera space; triangles in the array `faces`",
        "joints": "m, camera space; names in settings.body.joint_names",
    }
