"""Export a published PoseBERT checkpoint, or a training of ours, as a bundle for the runtime.

Graphs have static shapes. A bundle with one batch size has the graph `posebert`; with several, `posebert_b1`,
`posebert_b10`, ..., which share one file of weights. T is the window, B the batch:

=========  ==========================================  =====================================================
bundle     inputs                                      outputs
=========  ==========================================  =====================================================
published  `features` [B, T, 144 or 54], `mask`        `rotations` [B, T, 24, 3, 3]
ours       `keypoints` [B, T, K, 3], `mask`,           `rotations` [B, T, J, 3, 3], `smoothed` [B, T, K, 3]
           `confidence` [B, T, K]
=========  ==========================================  =====================================================

Our networks that take rotations have `rotations_in` [B, T, J, 3, 3] instead of `keypoints`, and no `smoothed`.
Those that take pixels have `rays` [B, T, K, 3] besides (`humanrt.posebert.rays`); those that say how far off they are
return `spread` [B, T, J] and `keypoint_spread` [B, T, K, 2].

Nothing is written unless every graph, run by ONNX Runtime, agrees with PyTorch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from humanrt.bundle.settings import PoseBertSettings
from humanrt.errors import BundleError, choices
from humanrt.geometry.skeleton import H36M_17, SMPL_24, SMPL_PARENTS
from humanrt_export.checkpoint import CheckpointError, fill, read, tensors
from humanrt_export.conversion.bundle_writer import BundleWriter, sha256
from humanrt_export.conversion.graphs import common_weights, trace
from humanrt_export.conversion.onnx_cleanup import store_as_float16
from humanrt_export.conversion.parity import Tolerances, gate, judged, opened
from humanrt_export.conversion.posebert_checkpoint import INPUTS, load_checkpoint
from humanrt_export.conversion.settings import entries
from humanrt_export.data.poses.kinds import KINDS, Kind
from humanrt_export.networks.posebert import PublishedPoseBert, StreamingConfig, StreamingPoseBert
from humanrt_export.runs import LAST

__all__ = ["export_open", "export_published", "export_training", "open_settings"]

WINDOW = 64
CLOCK_HZ = 30.0
LICENCE = "CC-BY-NC-SA-4.0"
LICENCE_NOTE = """\
This bundle was made from PoseBERT weights that its user downloaded from their authors, NAVER LABS Europe
(https://github.com/naver/posebert), and stays under their licence, Creative Commons
Attribution-NonCommercial-ShareAlike 4.0 (https://creativecommons.org/licenses/by-nc-sa/4.0/): non-commercial use only.
humanrt, which reads it, is under Apache-2.0.
"""
OPEN_LICENCE = "Apache-2.0"
ACKNOWLEDGEMENT = (
    "Trained on motion obtained from mocap.cs.cmu.edu; that database was created with funding from NSF EIA-0196217."
)

_NAMES = {"h36m17": "posebert-body-h36m", "mediapipe33rays": "posebert-lift", "smplx22": "posebert-people"}
"""Of bundles, by kind; others are `posebert-hand` and `posebert-body`."""

_DATA = {
    "smplx22": "CMU motion capture on rendered Anny people, seen by multihmr-anny (posebert.pairs_people, body_clips)",
    "hand": "rendered Anny arms in made-up motion, seen by MediaPipe's hand models (posebert.pairs_hand, hand_clips)",
    "body": "CMU motion capture on rendered Anny bodies, seen by MediaPipe's models (posebert.pairs_body, body_clips)",
}

# Max differences from PyTorch in FP64. If the error of PyTorch's own FP32 exceeds an eighth of that (weights that leave
# rotations ill-defined amplify rounding), eight times its error is allowed.
TOLERANCES: Tolerances = {
    "rotations": (1e-4, "matrix entry"),
    "smoothed": (1e-5, "m"),
    "spread": (1e-4, "rad"),
    "keypoint_spread": (1e-4, "m"),
}
_ROUNDING = 8
_TRAINING = "posebert training"
_SEED = 20260101

Array = NDArray[Any]
Report = Callable[[str], object]


def export_published(
    checkpoint: str | Path, out: str | Path, *, window: int = WINDOW, batch: int = 1, report: Report = lambda _: None
) -> Path:
    """Write the bundle of a published checkpoint; returns its folder.

    Args:
        checkpoint: `.pt` file of the authors, for rotations (144 numbers per frame) or keypoints (54).
        out: folder of the bundle.
        window: frames per call, at most 1024.
        batch: windows per call.
        report: called with a line for every step.

    Raises:
        HumanrtError: the file is refused, or a graph failed the parity gate. Nothing is written then.
    """
    checkpoint = Path(checkpoint)
    model = load_checkpoint(checkpoint)
    _check_sizes(window, (batch,), model.config.frames)
    # Positions beyond the window are never read.
    model.positions = nn.Parameter(model.positions[:, :window].clone())
    form = INPUTS[model.config.inputs]
    report(f"read {checkpoint.name}: {model.config.inputs} numbers a frame ({form})")
    settings = PoseBertSettings(
        window=window,
        clock_hz=CLOCK_HZ,
        joints=tuple(SMPL_24),
        parents=tuple(SMPL_PARENTS),
        origin=(),
        rest=(),
        input=form,
        kind="published",
    )
    notes = {
        "input_points": list(H36M_17) if form == "h36m17" else [],
        "rotations": "matrices: the root's to the input's frame, the others' to their parents",
        # For conversion to other precisions: masked logits are -1e30, and 6-d -> matrix divides by small lengths.
        "fp32_nodes": "all but MatMul",
    }
    provenance = {
        "source": "a published PoseBERT checkpoint of the user's",
        "authors": "Baradel et al., NAVER LABS Europe (PoseBERT)",
        "files": {checkpoint.name: {"sha256": sha256(checkpoint)}},
        "converted_by": "humanrt-export posebert",
        "tools": _tools(),
    }
    return _write(
        _Published(model),
        {batch: _published_probe(model, window, batch)},
        Path(out),
        report,
        name=f"posebert-published-{form}",
        version="1",
        licence=LICENCE,
        provenance=provenance,
        settings=entries(settings, notes=notes),
        texts=_PUBLISHED_TEXTS[form],
        note=LICENCE_NOTE,
    )


def export_open(
    model: StreamingPoseBert,
    out: str | Path,
    *,
    name: str,
    version: str,
    provenance: Mapping[str, Any],
    settings: PoseBertSettings,
    batches: Sequence[int] = (1,),
    report: Report = lambda _: None,
) -> Path:
    """Write the bundle of one of our networks, under Apache-2.0; returns its folder.

    Weights are rounded to float16, stored as such, and float32 again once loaded. ``model`` itself is not changed.

    Args:
        model: the trained network.
        out: folder of the bundle.
        name, version: of the bundle.
        provenance: data and options of the training.
        settings: what the runtime needs; its window is that of the graphs.
        batches: numbers of windows per call, with a graph for each.
        report: called with a line for every step.

    Raises:
        BundleError: a size is not allowed, or a graph failed the parity gate. Nothing is written then.
    """
    window = settings.window
    _check_sizes(window, batches, 1024)
    rounded = copy.deepcopy(model).eval().float().cpu()
    with torch.no_grad():
        for value in rounded.parameters():
            value.copy_(value.half().float())
    probes = {batch: _open_probe(rounded, window, batch) for batch in sorted(set(batches))}
    return _write(
        _Open(rounded),
        probes,
        Path(out),
        report,
        name=name,
        version=version,
        licence=OPEN_LICENCE,
        provenance={**provenance, "weights": "rounded to float16", "tools": _tools()},
        settings=entries(settings),
        texts=_OPEN_TEXTS,
        half=True,
    )


def export_training(
    checkpoint: str | Path,
    out: str | Path,
    *,
    window: int | None = None,
    batches: Sequence[int] = (1,),
    report: Report = lambda _: None,
) -> Path:
    """Write the bundle of a run of ``humanrt-export train posebert``; returns its folder.

    Args:
        checkpoint: the run's folder or its ``last.pt``.
        out: folder of the bundle.
        window: frames per call; None: as in the training.
        batches: numbers of windows per call, with a graph for each.
        report: called with a line for every step.
    """
    checkpoint = Path(checkpoint)
    file = checkpoint / LAST if checkpoint.is_dir() else checkpoint
    if checkpoint.is_dir() and not file.is_file():
        raise CheckpointError(
            f"{checkpoint}: contains no training ({LAST} is missing); give the folder that `train posebert` wrote"
        )
    content = read(file, _TRAINING)
    described = content.get("description")
    description: dict[str, Any] = dict(described) if isinstance(described, Mapping) else {}
    task = description.get("task")
    if not isinstance(task, Mapping) or task.get("network") != "posebert" or str(task.get("variant")) not in KINDS:
        raise CheckpointError(f"{file}: not a training of posebert; give the folder that `train posebert` wrote")
    kind = KINDS[task["variant"]]
    model = StreamingPoseBert(_config(file, task.get("settings")))
    about = f"its settings say {kind.name}, width {model.config.width}, depth {model.config.depth}"
    fill(file, model, tensors(file, content, "average", _TRAINING), lambda name: name, about=about)
    step, frames = content.get("step"), task.get("frames") if window is None else window
    if not isinstance(frames, int):
        raise CheckpointError(f"{file}: it does not record the length of its windows; give --window")
    report(f"read {file}: {kind.name}, step {step}")
    return export_open(
        model,
        out,
        name=_NAMES.get(kind.name, f"posebert-{kind.body}"),
        version="1",
        provenance={
            "source": "humanrt-export train posebert",
            "data": _DATA.get(kind.name, _DATA[kind.body]),
            "training": {**description, "step": step},
            **({"acknowledgement": ACKNOWLEDGEMENT} if kind.body == "body" else {}),
        },
        settings=open_settings(kind, frames),
        batches=batches,
        report=report,
    )


def open_settings(kind: Kind, window: int) -> PoseBertSettings:
    """Return the settings of one of our networks, for windows of so many frames."""
    return PoseBertSettings(
        window=window,
        clock_hz=kind.config.rate,
        joints=tuple(kind.joint_names),
        parents=tuple(kind.parents),
        origin=tuple(kind.config.origin),
        rest=tuple(map(tuple, np.asarray(kind.rest_metres, np.float64).round(6).tolist())),
        input=kind.input,
        kind=kind.body,
    )


def _check_sizes(window: int, batches: Sequence[int], max_window: int) -> None:
    if not 1 <= window <= max_window:
        raise BundleError(f"--window is {window}; it must be 1 to {max_window} frames")
    if not batches or min(batches) < 1:
        raise BundleError(f"--batch is {min(batches, default=0)}; it must be 1 or more")


def _config(path: Path, given: Any) -> StreamingConfig:
    """Read a network's settings as a training stores them."""
    known = {field.name: field.default for field in fields(StreamingConfig)}
    if isinstance(given, Mapping):  # of before there was a choice
        added = ("rays", "spread", "rest", "blend", "begins", "relative")
        given = {name: known[name] for name in added} | dict(given)
    if not isinstance(given, Mapping) or set(given) != set(known):
        raise CheckpointError(f"{path}: its settings lack some of: {choices(known)}; train it again")
    if wrong := [key for key, value in given.items() if not isinstance(value, int | str | float | list | tuple)]:
        raise CheckpointError(f"{path}: unknown settings: {choices(wrong)}; train it again")
    origin = tuple(int(index) for index in given["origin"])
    lengths = tuple((int(a), int(b)) for a, b in given["lengths"])
    rest = tuple(tuple(float(value) for value in row) for row in given["rest"])
    return StreamingConfig(**{**given, "origin": origin, "lengths": lengths, "rest": rest})


def _tools() -> dict[str, str]:
    return {tool: version_of(tool) for tool in ("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy")}


# --------------------------------------------------------------------------------------------- graphs


class _Published(nn.Module):
    """Published network, its attribute's name the root of all node names."""

    outputs = ("rotations",)

    def __init__(self, network: PublishedPoseBert) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        return (self.network(features, mask),)


class _Open(nn.Module):
    """Network of ours with a plain tuple of outputs."""

    def __init__(self, network: StreamingPoseBert) -> None:
        super().__init__()
        self.network = network
        keypoints, spread = network.config.source == "keypoints", network.config.spread
        present = (True, keypoints, spread, spread and keypoints)
        names = ("rotations", "smoothed", "spread", "keypoint_spread")
        self.outputs = tuple(name for name, there in zip(names, present, strict=True) if there)

    def forward(
        self, values: Tensor, mask: Tensor, confidence: Tensor, rays: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        refined = self.network(values, mask, confidence, rays=rays)
        outputs = (refined.rotations, refined.keypoints, refined.spread, refined.keypoint_spread)
        return tuple(value for value in outputs if value is not None)


_Probe = list[dict[str, Tensor]]
"""Several sets of inputs of one graph."""


def _write(
    module: _Published | _Open,
    probes: Mapping[int, _Probe],
    out: Path,
    report: Report,
    *,
    texts: Mapping[str, str],
    note: str = "",
    half: bool = False,
    **about: Any,
) -> Path:
    """Trace a graph for each batch size, check each against PyTorch, and write the bundle."""
    module.eval()
    graphs: dict[str, ir.Model] = {}
    for batch, probe in probes.items():
        graph = trace(module, probe[0], module.outputs, "posebert")
        name = "posebert" if len(probes) == 1 else f"posebert_b{batch}"
        graphs[name] = store_as_float16(graph) if half else graph
    report("traced")
    with BundleWriter(out, task="posebert", **about) as writer:
        if note:
            writer.add_file("LICENCE-NOTE.txt", note.encode())
        shared = None
        if len(graphs) > 1:
            shared = writer.add_weights("posebert_weights", common_weights(list(graphs.values())))
        verdicts = {}
        for (name, graph), probe in zip(graphs.items(), probes.values(), strict=True):
            inputs = {value.name: texts[value.name] for value in graph.graph.inputs}
            outputs = {value.name: texts[value.name] for value in graph.graph.outputs}
            writer.add_graph(name, graph, inputs, outputs, small=half, weights=shared)
            verdicts[name] = _verdict(writer.source(name), module, probe)
        gate(verdicts)
        writer.manifest["parity"] = verdicts
        report("parity with PyTorch passed")
        return writer.commit()


# --------------------------------------------------------------------------------------------- parity


def _verdict(source: Path | bytes, module: _Published | _Open, probe: _Probe) -> dict[str, Any]:
    """Compare a graph with PyTorch in FP64 on the probes; returns the verdict."""
    run = opened(source)
    exact = copy.deepcopy(module).double()
    errors = dict.fromkeys(module.outputs, 0.0)
    rounding = dict.fromkeys(module.outputs, 0.0)
    for feeds in probe:
        mine = run({name: value.numpy() for name, value in feeds.items()})
        with torch.inference_mode():
            single = module(*feeds.values())
            double = exact(*(v.double() if v.is_floating_point() else v for v in feeds.values()))
        for name, theirs, truth in zip(module.outputs, single, double, strict=True):
            # NaN must fail: Python's max() could drop it.
            errors[name] = float(np.max([errors[name], np.abs(mine[name] - truth.numpy()).max()]))
            rounding[name] = max(rounding[name], float((theirs - truth).abs().max()))
    allowed = {
        name: (max(limit, _ROUNDING * rounding.get(name, 0.0)), unit) for name, (limit, unit) in TOLERANCES.items()
    }
    return judged(errors, allowed, reference=f"PyTorch {torch.__version__}, FP64, CPU", windows=len(probe))


def _masks(window: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Return masks [T] by name; the first frame is observed in all but `nothing`."""
    everything = torch.ones(window, dtype=torch.bool)
    singles = torch.rand(window, generator=generator) > 0.15
    burst, future, first, nothing = (everything.clone() for _ in range(4))
    burst[window // 3 : window // 3 + 10] = False
    future[-(window // 4) :] = False
    first[1:] = False
    nothing[:] = False
    masks = {"everything": everything, "singles": singles, "burst": burst, "future": future, "first": first}
    for mask in masks.values():
        mask[0] = True
    return {**masks, "nothing": nothing}


def _published_probe(model: PublishedPoseBert, window: int, batch: int) -> _Probe:
    """Return motion with every mask, an empty window included."""
    generator = torch.Generator().manual_seed(_SEED)
    probe = []
    for mask in _masks(window, generator).values():
        walk = torch.randn(batch, window, model.config.inputs, generator=generator) * 0.05
        pose = torch.randn(batch, 1, model.config.inputs, generator=generator) * 0.5
        probe.append({"features": pose + walk.cumsum(1), "mask": mask.expand(batch, -1).contiguous()})
    return probe


def _open_probe(model: StreamingPoseBert, window: int, batch: int) -> _Probe:
    """Return motion with every mask but the empty one, whose outputs are undefined."""
    config = model.config
    generator = torch.Generator().manual_seed(_SEED)
    shape = (config.points, 3) if config.source == "keypoints" else (config.joints, 3, 3)
    probe = []
    for name, mask in _masks(window, generator).items():
        if name == "nothing":
            continue
        pose = 0.1 * torch.randn(batch, 1, *shape, generator=generator)
        walk = 0.002 * torch.randn(batch, window, *shape, generator=generator)
        confidence = torch.rand(batch, window, shape[0], generator=generator)
        source = "keypoints"
        if config.source == "rotations":
            source, pose = "rotations_in", pose + torch.eye(3)
        mask = mask.expand(batch, -1).contiguous()
        values = torch.where(mask[:, :, *([None] * len(shape))], pose + walk.cumsum(1), 0.0)
        confidence = torch.where(mask[..., None], confidence, 0.0)
        feeds = {source: values, "mask": mask, "confidence": confidence}
        if config.rays:
            depth = 2 + 4 * torch.rand(batch, window, 1, generator=generator)
            beside = values[..., :2] * (1 + 0.1 * torch.randn(batch, window, shape[0], 2, generator=generator))
            inverse = (mask[..., None] / depth)[..., None].expand(batch, window, shape[0], 1)
            # Of a window of which nothing is there but its first frame, rays are not known either.
            feeds["rays"] = torch.cat((beside, inverse), dim=-1) * (name != "first")
        probe.append(feeds)
    return probe


# --------------------------------------------------------------------------------------------- manifest

_ROWS = "the first two columns of the matrix, as a 3 x 2 matrix row by row"
_MASK = "the frame was observed; what the other inputs hold elsewhere has no influence"
_PUBLISHED_TEXTS = {
    "smpl24": {
        "features": f"24 rotations of 6 numbers, SMPL's order: {_ROWS}",
        "mask": _MASK,
        "rotations": "matrices of SMPL's 24 joints; names in settings.joints",
    },
    "h36m17": {
        "features": f"root rotation of 6 numbers ({_ROWS}), then 16 joints of settings.input_points without the hip: "
        "x, y, z in m from the hip",
        "mask": _MASK,
        "rotations": "matrices of SMPL's 24 joints; names in settings.joints",
    },
}
_OPEN_TEXTS = {
    "keypoints": "x, y, z in m, camera axes (right, down, forward), any origin; the frames oldest first",
    "rotations_in": "matrices against the parent joint, the root's to camera axes; names in settings.joints",
    "mask": _MASK,
    "rays": "x, y in m where each point's ray meets the plane at the depth at which the person appears as large as the "
    "keypoints say, in the axes of a camera that looks at them (humanrt.posebert.rays); inverse of that depth in 1/m; "
    "0 where not known",
    "spread": "rad, standard deviation about each axis of the error of a rotation",
    "keypoint_spread": "m, standard deviation of a keypoint's error along each axis beside the line of sight, and "
    "along it",
    "confidence": "0..1 for each point; 1 where it is not known",
    "rotations": "matrices against the parent joint, the root's to camera axes; names in settings.joints",
    "smoothed": "x, y, z in m, camera axes, from the mean of the points settings.origin",
}
