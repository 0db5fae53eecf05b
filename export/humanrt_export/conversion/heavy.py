"""MediaPipe's larger body landmark network, pose_landmark_heavy: its two graphs, and its weights in few bits.

Its 13.7 million weights are 27 MB as float16, as MediaPipe has them. Most need fewer bits, but by how much differs from
tensor to tensor by a factor of twenty: `heavy_levels.json` has the levels of each (`weight_levels`), by which the file
is half as large. `judge_stored` says what that costs, in px.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from humanrt.errors import SourceError
from humanrt_export.conversion.mediapipe_models import Source, exact_graph
from humanrt_export.conversion.onnx_cleanup import clip_after_convolution, store_as_float16
from humanrt_export.conversion.silhouette import split_last_convolution, widen_channels
from humanrt_export.conversion.weight_levels import store_in_levels

__all__ = ["FORM", "heavy_graph", "heavy_levels", "judge_stored", "stored_graph"]

Array = NDArray[Any]

FORM = "integers times a scale for each output channel, 5 to 11 bits by sensitivity; float16 where more"

_SILHOUETTE = "silhouette"
_SILHOUETTE_CHANNELS = 8
_COUNT = 33  # landmarks of the body; the others only place the next crop
MIN_PEOPLE = 10

LIMITS: Mapping[str, float] = {
    **{"px_median": 0.5, "px_95": 1.5},
    **{"of_height_median": 0.003, "of_height_95": 0.01},
    **{"mm_median": 10.0, "mm_95": 30.0},
    **{"presence_logit_mean": 0.3, "presence_logit_95": 0.6},
}
"""How far the weights' rounding may move what the network says of people."""


def heavy_levels() -> dict[str, int]:
    """Return the levels of the weights that are stored as integers, by name."""
    levels: dict[str, int] = json.loads((Path(__file__).parent / "heavy_levels.json").read_text(encoding="utf-8"))
    return levels


def heavy_graph(name: str, source: Source, data: bytes) -> ir.Model:
    """Build the network's graph from its flatbuffer, with weights as float32, and the silhouette if ``source`` has it.

    Raises:
        BundleError: the flatbuffer is not the network.
    """
    model = exact_graph(name, source, data)
    clip_after_convolution(model)
    if _SILHOUETTE in source.outputs:
        widen_channels(model, _SILHOUETTE_CHANNELS)
        split_last_convolution(model, f"{_SILHOUETTE}_flat")
    return model


def stored_graph(model: ir.Model) -> ir.Model:
    """Return the graph with its weights in few bits, as it ships."""
    return store_as_float16(store_in_levels(model, heavy_levels()))


def judge_stored(
    stored: Iterable[Mapping[str, Array]], exact: Iterable[Mapping[str, Array]], threshold: float
) -> dict[str, Any]:
    """Measure how far landmarks move, and how much the score changes, by the rounding of the weights.

    Args:
        stored, exact: outputs of both graphs for the same crops.
        threshold: score from which a crop holds a person, 0..1. Those that the exact graph sees count.

    Returns:
        The verdict: medians and 95th percentiles over landmarks of people that the exact graph sees (where it guesses,
        it is unsure by more), in px of the crop, as a fraction of the person's height in it, and in mm of the landmarks
        in metres; mean and 95th percentile over people of the presence's logit (the mean is signed: a bias).

    Raises:
        SourceError: too few people are in the pictures to tell.
    """
    px, of_height, mm, logits = [], [], [], []
    for own, reference in zip(stored, exact, strict=True):
        if float(reference["presence"].item()) < threshold:
            continue
        points, wanted = (one["landmarks"][0, :_COUNT].astype(np.float64) for one in (own, reference))
        seen = (wanted[:, 3:5] > 0).all(axis=1)  # logits of visibility and presence
        shift = np.linalg.norm(points[seen, :2] - wanted[seen, :2], axis=1)
        px.append(shift)
        of_height.append(shift / np.ptp(wanted[:, 1]))
        metric = own["landmarks_3d"][0, :_COUNT].astype(np.float64) - reference["landmarks_3d"][0, :_COUNT]
        mm.append(1000 * np.linalg.norm(metric[seen], axis=1))
        logits.append(_logit(own["presence"]) - _logit(reference["presence"]))
    if len(px) < MIN_PEOPLE:
        raise SourceError(
            f"only {len(px)} people are seen in the frames; the gate of stored weights needs {MIN_PEOPLE}"
        )
    figures = {}
    for name, values in (("px", px), ("of_height", of_height), ("mm", mm)):
        for kind, percent in (("median", 50), ("95", 95)):
            figures[f"{name}_{kind}"] = float(np.percentile(np.concatenate(values), percent))
    figures["presence_logit_mean"] = float(np.mean(logits))
    figures["presence_logit_95"] = float(np.percentile(np.abs(logits), 95))
    return {
        "passed": all(abs(value) <= LIMITS[name] for name, value in figures.items()),  # written so that NaN fails
        "form": FORM,
        "people": len(px),
        "figures": {name: float(f"{value:.3g}") for name, value in figures.items()},
        "limits": dict(LIMITS),
    }


def _logit(probability: Array) -> float:
    value = float(np.clip(np.float64(probability.item()), 1e-7, 1 - 1e-7))
    return float(np.log(value / (1 - value)))
