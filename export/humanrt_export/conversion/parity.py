"""The parity gate that every exported graph must pass, for any body."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from humanrt import native
from humanrt.bundle.manifest import OPERATORS
from humanrt.errors import BundleError
from humanrt_export.conversion.bundle_writer import BundleWriter

__all__ = [
    "OPTIONAL", "REFERENCE", "Run", "Seen", "Slot", "Tolerances", "against_pytorch", "drop", "gate", "judged",
    "matches", "of_people", "opened",
]  # fmt: skip

OPTIONAL: Mapping[str, float] = {"network-cpu-bf16x3": 1e-3, "network-cpu-int16": 1e-3, "network-int8-cpu": 5e-3}
"""Graphs of lower precision, and the mean vertex distance, m, within which they pass. The bundle is whole without.

The distance is the mean over all people of all probes, each the mean over the person's vertices.
"""

REFERENCE = f"PyTorch {torch.__version__}, FP32, CPU"

Slot = tuple[int, int]
"""(image, slot)."""

Tolerances = Mapping[str, tuple[float, str]]
"""Output -> largest error allowed, and its unit."""


class Seen(Protocol):
    """Detections of a network: ``valid`` and ``cells``, [B, people]."""

    @property
    def valid(self) -> Any: ...
    @property
    def cells(self) -> Any: ...


Run = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]


def opened(source: Path | bytes) -> Run:
    """Return a function that runs the graph (`BundleWriter.source`) on the CPU: arrays by name -> arrays by name."""
    options = onnxruntime.SessionOptions()
    if None in map(native.operators_problem, OPERATORS):
        options.register_custom_ops_library(str(native.LIBRARY))
    try:
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        name = source.name if isinstance(source, Path) else "a graph"
        raise BundleError(f"ONNX Runtime refuses {name} ({error}); nothing was written") from error
    outputs = [value.name for value in session.get_outputs()]
    return lambda feeds: dict(zip(outputs, session.run(None, dict(feeds)), strict=True))


def matches(expected: Seen, found: Seen) -> Iterator[tuple[Slot, Slot]]:
    """Yield pairs of slots with the same person in both, matched by token."""
    for image in range(len(expected.valid)):
        slots = {int(found.cells[image][slot]): int(slot) for slot in np.flatnonzero(found.valid[image])}
        for slot in np.flatnonzero(expected.valid[image]):
            cell = int(expected.cells[image][slot])
            if cell in slots:
                yield (image, int(slot)), (image, slots[cell])


def judged(errors: Mapping[str, float], tolerances: Tolerances, **extra: object) -> dict[str, Any]:
    """Return a verdict for the manifest: each output's max error beside the tolerance."""
    outputs = {
        key: {"max_abs": error, "threshold_abs": tolerances[key][0], "unit": tolerances[key][1]}
        for key, error in errors.items()
    }
    # Written so that NaN fails.
    passed = all(error <= tolerances[key][0] for key, error in errors.items())
    return {"passed": passed, "reference": REFERENCE, **extra, "outputs": outputs}


_ROUNDING = 8


def against_pytorch(
    source: Path | bytes,
    module: nn.Module,
    outputs: Sequence[str],
    probe: Sequence[Mapping[str, Tensor]],
    tolerances: Tolerances,
) -> dict[str, Any]:
    """Return the verdict on a graph from what PyTorch computes in FP64.

    If the error of PyTorch's own FP32 exceeds an eighth of a tolerance (weights that leave rotations ill-defined
    amplify rounding), eight times its error is allowed.

    Args:
        source: the graph.
        module: what it was traced from; returns as many tensors as there are outputs.
        outputs: their names.
        probe: inputs by name, in the order of the module's arguments.
        tolerances: largest error of each output.
    """
    run = opened(source)
    exact = copy.deepcopy(module).double()
    errors, rounding = dict.fromkeys(outputs, 0.0), dict.fromkeys(outputs, 0.0)
    for feeds in probe:
        mine = run({name: value.numpy() for name, value in feeds.items()})
        with torch.inference_mode():
            single = module(*feeds.values())
            double = exact(*(value.double() if value.is_floating_point() else value for value in feeds.values()))
        for name, theirs, truth in zip(outputs, single, double, strict=True):
            # NaN must fail: Python's max() could drop it.
            errors[name] = float(np.max([errors[name], np.abs(mine[name] - truth.numpy()).max()]))
            rounding[name] = float(np.max([rounding[name], (theirs - truth).abs().max().item()]))
    allowed = {name: (max(tolerances[name][0], _ROUNDING * rounding[name]), tolerances[name][1]) for name in outputs}
    return judged(errors, allowed, reference=REFERENCE.replace("FP32", "FP64"), inputs=len(probe))


def of_people(
    name: str,
    errors: Mapping[str, float],
    tolerances: Tolerances,
    *,
    people: int,
    same: bool,
    distances: NDArray[np.floating],
) -> dict[str, Any]:
    """Return the verdict on a network that detects people, with a `reason` where it failed; any body.

    A probe in which PyTorch sees nobody fails: nothing was compared. So does a number that is not finite.

    Args:
        name: the graph's. One in `OPTIONAL` is judged by the distances, others by the errors.
        errors, tolerances: as for `judged`, over the people that both see.
        people: how many PyTorch sees, in all probes.
        same: whether the graph sees these and no others.
        distances: [N] mean vertex distance of each person that both see, m.
    """
    distance = float(distances.mean()) if len(distances) else np.nan
    extra = {
        "people": people,
        "same_people": same,
        # JSON has no NaN.
        "mean_vertex_distance_m": distance if np.isfinite(distance) else None,
    }
    probe = "the exporter's pictures" if name in OPTIONAL else "the exporter's probe"
    reason = ""
    if not people:
        reason = f"PyTorch sees nobody on {probe}, so nothing was compared"
    elif not same:
        reason = f"it sees other people than PyTorch on {probe}"
    elif not np.isfinite(distance):
        reason = f"its meshes are not finite on {probe}"
    elif name in OPTIONAL and not distance <= OPTIONAL[name]:
        reason = f"meshes are {1e3 * distance:.3g} mm from PyTorch's on {probe}"
    if name in OPTIONAL:
        return {"passed": not reason, "reason": reason, "reference": REFERENCE, **extra}
    verdict = judged(errors, tolerances, **extra)
    return {**verdict, "passed": verdict["passed"] and not reason, **({"reason": reason} if reason else {})}


def gate(verdicts: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise BundleError, naming the worst output, unless every FP32 graph passed."""
    for name, verdict in verdicts.items():
        if verdict["passed"] or name in OPTIONAL:
            continue
        outputs = verdict["outputs"]
        ratios = {key: item["max_abs"] / item["threshold_abs"] for key, item in outputs.items()}
        worst = max(ratios, key=lambda key: np.nan_to_num(ratios[key], nan=np.inf))
        what = verdict.get("reason") or f"`{worst}` differs by {outputs[worst]['max_abs']:.2g} {outputs[worst]['unit']}"
        raise BundleError(f"parity gate: {name}: {what} (against PyTorch); nothing was written")


def drop(writer: BundleWriter, name: str) -> None:
    """Remove a graph from a bundle that is being written."""
    entry = writer.manifest["graphs"].pop(name)
    writer.manifest["files"].pop(entry["file"])
    (writer.folder / entry["file"]).unlink()
    settings = writer.manifest["settings"]
    settings["variants"] = [variant for variant in settings["variants"] if variant["graph"] != name]
