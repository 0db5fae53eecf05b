"""Shared parts of bundles for people with any body model: probing and tracing of networks, and the manifest.

`multihmr.export` and `anny.export` add their bodies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from humanrt.bundle.settings import MultiHmrSettings, Topology
from humanrt.data import PEOPLE_CLIP
from humanrt.errors import BundleError
from humanrt.geometry.letterbox import Preprocessor, Resize
from humanrt.native.processor import int8_products
from humanrt.sources.opening import open_source
from humanrt_export.conversion.bundle_writer import BundleWriter
from humanrt_export.conversion.cpu import VARIANTS, cpu_graphs
from humanrt_export.conversion.graphs import common_weights, share_weights, trace
from humanrt_export.conversion.parity import OPTIONAL, drop, gate
from humanrt_export.conversion.settings import Entries, entries
from humanrt_export.networks.attention import Attention, ort_fused, plain, sdpa
from humanrt_export.networks.camera import DEFAULT_FIELD_OF_VIEW, DEVIATION, MEAN, PATCH, Window, default_intrinsics
from humanrt_export.networks.detection import THRESHOLD, Detection
from humanrt_export.networks.keypoint_backbone import token_step, token_width

__all__ = [
    "MESH",
    "PROBE_SEED",
    "BodyAbout",
    "Graphs",
    "Network",
    "Probed",
    "check_sizes",
    "common_settings",
    "common_texts",
    "finish",
    "network_graphs",
    "plain_graph",
    "probe_image",
    "probe_pictures",
    "short_name",
    "tools",
    "window_of",
    "write_graphs",
]

PROBE_SEED = 20260101
_PICTURES, _PICTURES_APART = 2, 60  # of the clip
MESH = ("vertices", "joints")

Graphs = dict[str, ir.Model]
Report = Callable[[str], object]


class Config(Protocol):
    """Input settings of a network, from its checkpoint."""

    @property
    def backbone(self) -> str: ...
    @property
    def image_size(self) -> int: ...
    @property
    def side(self) -> int: ...


class Network(Protocol):
    """A network for people, `MultiHmr` or `AnnyHmr`."""

    detection: Detection

    def use_attention(self, backbone: Attention, head: Attention) -> None:
        """Set the attention implementations of backbone and head."""

    def __call__(self, image: Tensor, intrinsics: Tensor, threshold: Tensor, max_people: int) -> tuple[Tensor, ...]:
        """Detect people."""


@dataclass(frozen=True)
class Probed:
    """Inputs for comparing graphs with PyTorch: an image with a detection, and an off-centre camera.

    Attributes:
        image: [B, 3, H, W]; intrinsics: [B, 3, 3]; threshold: [1].
    """

    image: Tensor
    intrinsics: Tensor
    threshold: Tensor

    def feeds(self, intrinsics: Tensor | None = None) -> dict[str, Tensor]:
        """Return the network's inputs, with another camera if given."""
        camera = self.intrinsics if intrinsics is None else intrinsics
        return {"image": self.image, "intrinsics": camera, "threshold": self.threshold}


def window_of(config: Config, aspect: tuple[int, int] | None) -> Window:
    """Return what a network sees of its square when its pictures have an aspect ratio; None: the whole square.

    Raises:
        BundleError: pictures so narrow that no token is left.
    """
    window = Window.of(config.side, aspect, token_step(config.backbone))
    if aspect and min(window.rows, window.columns) < 3:
        raise BundleError(f"--aspect {aspect[0]}:{aspect[1]} is too narrow for a network of {config.image_size} px")
    return window


def check_sizes(window: Window, max_people: int, batch: int) -> None:
    """Raise BundleError unless the network supports so many slots and the batch is not empty."""
    if not 1 <= max_people <= window.tokens:
        size = "{} x {}".format(*window.size)
        raise BundleError(f"max_people is {max_people}; a network of {size} px has 1 to {window.tokens} slots")
    if batch < 1:
        raise BundleError(f"batch is {batch}; it must be 1 or more")


def short_name(config: Config, window: Window) -> str:
    """Return a short name such as ``448-s`` or ``448x252-s``: size and backbone."""
    size = config.image_size if window.square else "{}x{}".format(*window.size)
    return f"{size}-{config.backbone.removeprefix('dinov2_').removeprefix('vit').removesuffix('14')}"


def tools() -> dict[str, str]:
    """Return the versions of the tools that made a bundle."""
    return {tool: version(tool) for tool in ("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy")}


def probe_image(
    tokens: Callable[[Tensor], Tensor],
    detection: Detection,
    config: Config,
    window: Window,
    batch: int,
    max_people: int,
) -> Probed:
    """Create smooth noise in which the network detects a person.

    The threshold lies in the widest gap between the best scores, so that rounding cannot move a person across it.

    Args:
        tokens: image -> patch tokens of the network's backbone.
        detection, config: those of the network.
        window: what it sees.
        batch, max_people: those of the bundle.
    """
    size, (width, height) = config.image_size, window.size
    intrinsics = default_intrinsics(batch, size)
    intrinsics[:, 0, 2] = window.centre[0] + 0.03 * size
    intrinsics[:, 1, 2] = window.centre[1] - 0.05 * size
    for seed in range(4):
        generator = torch.Generator().manual_seed(PROBE_SEED + seed)
        image = 4 * nn.functional.avg_pool2d(torch.randn(batch, 3, height, width, generator=generator), 9, 1, 4)
        threshold, clear = _threshold(detection.heat_map(tokens(image)), max_people)
        if clear:
            break
    return Probed(image, intrinsics, threshold)


def probe_pictures(
    tokens: Callable[[Tensor], Tensor],
    detection: Detection,
    window: Window,
    batch: int,
    max_people: int,
    resize: Resize,
) -> list[Probed]:
    """Return pictures of people, from the clip that ships, with thresholds as those of `probe_image`; camera not known.

    Graphs of lower precision are judged on these: smooth noise makes tokens that are all alike, and one weight's
    rounding then moves all of them. For FP32 that is the harder test; for these it says little of pictures.

    Args:
        tokens, detection, window, batch, max_people: as for `probe_image`. A batch holds one picture many times.
        resize: the image scaling of the network's authors.
    """
    prepare = Preprocessor(window.size, MEAN, DEVIATION, resize)
    with open_source(PEOPLE_CLIP) as source:
        frames = [frame.image for frame in islice(source, 0, None, _PICTURES_APART)][:_PICTURES]
    probes = []
    for frame in frames:
        image = np.zeros((3, *window.size[::-1]), np.float32)
        prepare(frame, image)
        images = torch.from_numpy(image).expand(batch, *image.shape).contiguous()
        intrinsics = default_intrinsics(batch, window.side * PATCH)
        intrinsics[:, 0, 2], intrinsics[:, 1, 2] = window.centre
        probes.append(Probed(images, intrinsics, _threshold(detection.heat_map(tokens(images))[:1], max_people)[0]))
    return probes


def _threshold(heat: Tensor, max_people: int) -> tuple[Tensor, bool]:
    """Return a threshold [1] in the widest gap between the best scores, and whether it has one: else it is above."""
    best = heat.flatten().sort(descending=True).values[: min(max_people, 8) + 1]
    gaps = best[:-1] - best[1:]
    # At least two people where slots allow: with one, people have no one else to attend to.
    fewest = min(1, len(gaps) - 1)
    count = fewest + int(gaps[fewest:].argmax())
    clear = bool(gaps[count] > 1e-5)
    return ((best[count] + best[count + 1]) / 2 if clear else (best[0] + 1) / 2).reshape(1), clear


# --------------------------------------------------------------------------------------------- graphs


class _Slots(nn.Module):
    """A network with a fixed number of slots, its name the root of all node names."""

    def __init__(self, model: Network, max_people: int) -> None:
        super().__init__()
        self.network = model
        self.max_people = max_people

    def forward(self, image: Tensor, intrinsics: Tensor, threshold: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(image, intrinsics, threshold, self.max_people))


def network_graphs(
    model: Network,
    config: Config,
    feeds: Mapping[str, Tensor],
    outputs: Sequence[str],
    max_people: int,
    *,
    int8: bool,
    report: Report,
) -> Graphs:
    """Trace all graphs of a network (see `multihmr.export`). Its backbone must be folded."""

    with torch.inference_mode():
        network = plain_graph(model, feeds, outputs, max_people)
        fused = _traced(model, feeds, outputs, max_people, ort_fused)
    more, missing = cpu_graphs(fused, token_width(config.backbone), int8=int8)
    for name, reason in missing.items():
        report(f"{name} is left out, as it cannot be checked here: {reason}")
    return {"network": network, "network-cpu": fused, **more}


def plain_graph(model: Network, feeds: Mapping[str, Tensor], outputs: Sequence[str], max_people: int) -> ir.Model:
    """Trace the graph `network`, of ONNX's own operators; see `network_graphs`."""
    return _traced(model, feeds, outputs, max_people, plain)


def _traced(
    model: Network, feeds: Mapping[str, Tensor], outputs: Sequence[str], max_people: int, attention: Attention
) -> ir.Model:
    model.use_attention(backbone=attention, head=plain)
    try:
        return trace(_Slots(model, max_people).eval(), feeds, outputs, "network")
    finally:
        model.use_attention(backbone=sdpa, head=sdpa)


def write_graphs(
    writer: BundleWriter, group: str, graphs: Graphs, texts: Mapping[str, str], *, small: bool = False
) -> None:
    """Add graphs that share one file of weights, packed if ``small``, else ``<group>.bin``.

    ``texts`` describe their tensors.
    """
    weights = None
    if small:
        weights = writer.add_weights(f"{group}_weights", common_weights(list(graphs.values())))
    else:
        writer.add_file(f"{group}.bin", share_weights(list(graphs.values()), f"{group}.bin"))
    for name, graph in graphs.items():
        inputs = {value.name: texts[value.name] for value in graph.graph.inputs}
        outputs = {value.name: texts[value.name] for value in graph.graph.outputs}
        writer.add_graph(name, graph, inputs, outputs, small=small, weights=weights)


def finish(writer: BundleWriter, verdicts: Mapping[str, Mapping[str, Any]], report: Report) -> Path:
    """Commit the bundle if it passed the parity gate."""
    gate(verdicts)
    integers = {
        name: {**verdicts[name], "int8_products": int8_products()} for name in {"network-int8-cpu"} & set(verdicts)
    }
    writer.manifest["parity"] = {**verdicts, **integers}
    for name in ("network-cpu-bf16x3", "network-cpu-int16"):
        if not verdicts.get(name, {"passed": True})["passed"]:
            drop(writer, name)
            report(f"{name} is left out: {verdicts[name]['reason']} (at most {1e3 * OPTIONAL[name]:g} mm)")
    report("parity with PyTorch passed")
    return writer.commit()


# --------------------------------------------------------------------------------------------- manifest


@dataclass(frozen=True)
class BodyAbout:
    """What the settings say of a bundle's body and camera.

    Attributes:
        model: name of the body model.
        bones: names of the bones that rotations are of; empty if there is no convention for them.
        joint_names: names of the joints.
        topologies: its meshes, the default one first.
        named: whether users choose a mesh by its name.
        estimated: what is used for an unknown camera: the network's estimate, or a field of view; None: the network
            makes no estimate.
        notes: what else the manifest says of the body, for people.
    """

    model: str
    bones: Sequence[str]
    joint_names: Sequence[str]
    topologies: Sequence[Topology]
    named: bool
    estimated: bool | None
    notes: Mapping[str, Any]


_NOTES = {
    "normalisation": {"of": "RGB in 0..1"},
    "letterbox": {"keep_aspect": True, "align": "centre", "fill": 0, "when": "before normalisation"},
    # For conversion to other precisions: nodes outside the backbone compare for equality and compute geometry.
    "fp32_nodes": "all whose name does not start with `backbone.`",
}
_ESTIMATED = "zeros for intrinsics: the network estimates the field of view; see output `camera`"


def common_settings(
    config: Config,
    max_people: int,
    batch: int,
    networks: Mapping[str, object],
    *,
    resize: Resize,
    body: BodyAbout,
    window: Window | None = None,
) -> Entries:
    """Return all settings that the runtime needs and must not guess.

    ``resize``: the image scaling of the network's authors. ``window``: what it sees of its square; None: all of it.
    """
    window = window or Window.of(config.side)
    settings = MultiHmrSettings(
        image_size=config.image_size,
        input_size=window.size,
        batch=batch,
        max_people=max_people,
        threshold=THRESHOLD,
        mean=MEAN,
        std=DEVIATION,
        resize=resize,
        field_of_view=DEFAULT_FIELD_OF_VIEW,
        estimates=body.estimated is not None,
        estimated=bool(body.estimated),
        principal_point=window.centre,
        body=body.model,
        bones=tuple(body.bones),
        joint_names=tuple(body.joint_names),
        topologies=tuple(body.topologies),
        named=body.named,
    )
    camera = {"of": "the input, where the user gives no intrinsics"}
    if settings.estimates:
        camera["estimated"] = _ESTIMATED
    variants = [variant for variant in VARIANTS if variant.graph in networks]
    about = dict(body.notes)
    if body.named:
        about["topologies"] = [{"vertices": mesh.vertices} for mesh in body.topologies]
    return entries(settings, variants=variants, notes={**_NOTES, "camera": camera, "body": about})


def common_texts(config: Config, window: Window) -> dict[str, str]:
    """Return descriptions of the tensors common to all bodies; others, and differences, are specific to a body."""
    size = config.image_size if window.square else "{} x {}".format(*window.size)
    return {
        "image": f"RGB, NCHW, letterboxed to {size} px and normalised as in settings; NaN or infinity: nobody is seen",
        "intrinsics": f"K in px of the {size} px input: [[fx, s, cx], [0, fy, cy], [0, 0, 1]]",
        "threshold": "lowest score of a person, 0..1",
        "scores": "0..1, highest first; 0 where the slot is empty",
        "valid": "the slot holds a person; all else of an empty slot is 0, its rotations identity",
        "cells": f"token of the person, row * {window.columns} + column; meaningless in an empty slot",
        "locations": f"x, y of the head in px of the {size} px input",
    }
