"""Choose the levels of the larger landmark network's weights, by how much the rounding of each tensor moves landmarks.

Each tensor in turn is rounded coarsely, alone, and the shift of landmarks of people is measured. Its square grows with
that of the step, so as ``sensitivity / levels ** 2``; of all choices with the same number of bits, the sum of these is
least where levels are proportional to ``sqrt(sensitivity / size)``. One factor is left, which trades size for error:

    python -m humanrt_export.conversion.heavy_sensitivity --frames people.jpg --out levels.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from humanrt.bundle import load_bundle
from humanrt_export.conversion.heavy import heavy_graph
from humanrt_export.conversion.holistic import HEAVY, PACKAGE, SOURCES, read_package, real_inputs
from humanrt_export.conversion.parity import opened
from humanrt_export.conversion.rewriting import self_contained
from humanrt_export.conversion.weight_levels import MAX_LEVELS, integers
from humanrt_export.entry import run_module

__all__ = ["choose_levels", "main", "outputs_in_px", "sensitivities"]

Array = NDArray[Any]
Network = Callable[[Array], Mapping[str, Array]]

TRIAL = 31
"""Levels of a tensor whose sensitivity is measured: coarse, so that its shift stands out of the arithmetic's noise."""
_MIN_SIZE = 512  # weights; smaller tensors are not worth a file's while
_KEPT = ("w695", "w697", "w699")  # the last convolutions: each of their errors is one of a landmark or of the score
_PX_PER_LOGIT = 1.0
_PX_PER_M = 100.0  # a person is about 160 px and 1.6 m tall in a crop


def sensitivities(model: ir.Model, images: Sequence[Array], report: Callable[[str], object]) -> dict[str, float]:
    """Measure tensors of a graph with float32 weights.

    Args:
        model: result of `heavy.heavy_graph`.
        images: crops [1, 3, 256, 256] that hold people.
        report: called with a line for each tensor.

    Returns:
        By name of the tensor: mean square of the shift of what the network says, in px, times `TRIAL` squared.
    """
    names = [
        node.inputs[1].name
        for node in model.graph
        if node.op_type == "Conv" and node.inputs[1].const_value.size >= _MIN_SIZE and node.inputs[1].name not in _KEPT
    ]
    exact = outputs_in_px(model, images)
    found: dict[str, float] = {}
    for name in dict.fromkeys(names):
        changed = model.clone()
        value = changed.graph.initializers[name]
        whole, scale = integers(value.const_value.numpy(), TRIAL)
        value.const_value = ir.tensor((whole * scale).astype(np.float32))
        shift = float(np.mean((outputs_in_px(changed, images) - exact) ** 2))
        found[name] = shift * TRIAL**2
        report(f"{name}: {value.const_value.size} weights, {shift**0.5:.3f} px at {TRIAL} levels")
    return found


def outputs_in_px(model: ir.Model, images: Sequence[Array]) -> Array:
    """Return all that the network says of the images as numbers in px, [images, values]: points, metres, score."""
    run = opened(self_contained(model))
    rows = []
    for image in images:
        out = run({"image": image})
        score = np.clip(out["presence"].astype(np.float64), 1e-7, 1 - 1e-7)
        logit = np.log(score / (1 - score))
        points = out["landmarks"][0, :33, :2].astype(np.float64)
        metric = out["landmarks_3d"][0, :33].astype(np.float64)
        rows.append(np.concatenate([points.ravel(), _PX_PER_M * metric.ravel(), _PX_PER_LOGIT * logit.ravel()]))
    return np.stack(rows)


def choose_levels(found: Mapping[str, float], sizes: Mapping[str, int], bits: float) -> dict[str, int]:
    """Return levels of tensors that use so many bits a weight on average, without those that float16 serves better."""
    best = {name: max((value / sizes[name]) ** 0.5, 1e-12) for name, value in found.items()}
    total = sum(sizes[name] for name in best)
    # The mean of log2(2 levels + 1) is what the factor is chosen for; beyond MAX_LEVELS a tensor costs float16's 11.
    low, high = 1e-6, 1e12
    for _ in range(200):
        factor = (low * high) ** 0.5
        used = sum(sizes[name] * np.log2(2 * min(factor * value, MAX_LEVELS) + 1) for name, value in best.items())
        low, high = (factor, high) if used < bits * total else (low, factor)
    levels = {name: max(round(factor * value), 1) for name, value in best.items()}
    return {name: count for name, count in levels.items() if count <= MAX_LEVELS}


def main(words: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m humanrt_export.conversion.heavy_sensitivity", description=__doc__)
    parser.add_argument("--frames", type=Path, required=True, metavar="SOURCE", help="pictures that show people")
    parser.add_argument("--package", type=Path, metavar="FILE", help=f"the npm package {PACKAGE.spec}")
    parser.add_argument("--bits", type=float, default=8.0, help="bits a weight, on average")
    parser.add_argument("--crops", type=int, default=8, help="crops of people that are looked at")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="levels by tensor, as JSON")
    options = parser.parse_args(words)
    data = read_package(options.package or PACKAGE.download())
    seen = real_inputs(load_bundle("holistic", task="people"), options.frames)[HEAVY]
    images = seen[:: max(1, len(seen) // options.crops)][: options.crops]
    model = heavy_graph(HEAVY, SOURCES[HEAVY], data[HEAVY])
    found = sensitivities(model, images, lambda line: sys.stderr.write(f"{line}\n"))
    sizes = {name: model.graph.initializers[name].const_value.size for name in found}
    options.out.write_text(json.dumps(choose_levels(found, sizes, options.bits), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    run_module(main)
