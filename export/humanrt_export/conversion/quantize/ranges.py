"""Ranges of activations on real inputs: max magnitudes per channel, and magnitudes to clip at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from humanrt_export.conversion.quantize.integers import LEVELS
from humanrt_export.conversion.quantize.session import session

__all__ = ["best_clip", "channel_maxima", "clips"]

_BINS = 2048
_SAMPLE = 50_000  # values per tensor and frame that enter its histogram

Array = NDArray[np.generic]
Feeds = Sequence[Mapping[str, Array]]
Progress = Callable[[int, int], object]


def channel_maxima(
    model: ir.Model, tensors: Sequence[str], feeds: Feeds, progress: Progress = lambda done, total: None
) -> dict[str, NDArray[np.float32]]:
    """Return the max magnitude of every channel (last axis) over all frames."""
    found: dict[str, NDArray[np.float32]] = {}
    for values in _values(model, tensors, feeds, progress):
        for name, value in values.items():
            largest = np.abs(value).reshape(-1, value.shape[-1]).max(axis=0)
            found[name] = np.maximum(found.get(name, 0), largest)
    return found


def clips(
    model: ir.Model, tensors: Sequence[str], feeds: Feeds, progress: Progress = lambda done, total: None
) -> dict[str, float]:
    """Return the magnitude at which each activation is clipped, which minimises the mean squared error in INT8."""
    histograms = {name: _Histogram() for name in tensors}
    for values in _values(model, tensors, feeds, progress):
        for name, value in values.items():
            histograms[name].add(value)
    return {name: histogram.clip() for name, histogram in histograms.items()}


def best_clip(counts: NDArray[np.float64], top: float) -> float:
    """Return the clipping magnitude that minimises the mean squared error.

    Errors within the range are uniform over a quantisation step; beyond it they are the distance to the range's end.

    Args:
        counts: histogram of magnitudes, in bins of equal width.
        top: upper end of the histogram.
    """
    width = top / len(counts)
    middles = (np.arange(len(counts)) + 0.5) * width
    filled = np.flatnonzero(counts)
    if not len(filled):
        return 0.0
    candidates = np.arange(max(filled[-1] // 16, 1), filled[-1] + 2) * width
    first, second = np.cumsum(counts * middles), np.cumsum(counts * middles**2)
    within = np.searchsorted(middles, candidates)
    total = np.concatenate(([0.0], np.cumsum(counts)))[within]
    one, two = (np.concatenate(([0.0], sums))[within] for sums in (first, second))
    beyond = (second[-1] - two) - 2 * candidates * (first[-1] - one) + candidates**2 * (counts.sum() - total)
    errors = total * (candidates / LEVELS) ** 2 / 12 + np.maximum(beyond, 0)
    return float(candidates[np.argmin(errors)])


@dataclass
class _Histogram:
    """Histogram of magnitudes whose bins double in width when a larger value arrives."""

    top: float = 0.0
    counts: NDArray[np.float64] = field(default_factory=lambda: np.zeros(_BINS))

    def add(self, values: Array) -> None:
        flat = np.abs(values.ravel()[:: max(values.size // _SAMPLE, 1)])
        largest = float(np.abs(values).max(initial=0))
        if not np.isfinite(largest):
            return
        if self.top == 0:
            self.top = largest
        while 0 < self.top < largest:
            self.counts = np.concatenate((self.counts.reshape(-1, 2).sum(axis=1), np.zeros(_BINS // 2)))
            self.top *= 2
        if self.top > 0:
            self.counts += np.histogram(flat, _BINS, (0, self.top))[0]

    def clip(self) -> float:
        return best_clip(self.counts, self.top)


def _values(model: ir.Model, tensors: Sequence[str], feeds: Feeds, progress: Progress) -> Iterator[dict[str, Array]]:
    """Yield the values of these tensors, frame by frame."""
    watched = model.clone()
    values = ir.convenience.create_value_mapping(watched.graph)
    names = list(dict.fromkeys(tensors))
    inner = [name for name in names if not values[name].is_graph_input()]
    watched.graph.outputs[:] = [values[name] for name in inner]
    opened = session(watched)
    for done, feed in enumerate(feeds, start=1):
        found = dict(zip(inner, opened.run(inner, dict(feed)), strict=True))
        yield {name: found[name] if name in found else feed[name] for name in names}
        progress(done, len(feeds))
