"""Charts of an evaluation: PCK curves, errors by distance and by visibility, errors of each joint.

They are drawn with OpenCV, which is there anyway: lines, bars and ticks are all that is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.drawing.colours import colour_of
from humanrt.errors import OutputError
from humanrt.evaluation.running import Run
from humanrt.evaluation.scoring import Scores
from humanrt.files import write_atomically

__all__ = ["draw_plots"]

Array = NDArray[Any]
Image = NDArray[np.uint8]

_MOST = 200.0  # mm, where PCK curves end: AUC is the area up to there
_DISTANCES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0, np.inf)  # m, edges of bins
_VISIBLE = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)  # edges of bins; the last one is closed
_FEW = 5  # people: means over fewer are not drawn
_WIDTH, _HEIGHT = 960, 480  # px
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 70, 60  # px around the axes
_INK, _GRID, _PAPER = (40, 40, 40), (225, 225, 225), (255, 255, 255)
_FONT, _SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.45


def draw_plots(runs: Sequence[Run], folder: Path) -> list[Path]:
    """Write the charts of several bundles and return the files.

    What the data cannot show is left out, and such a chart of an earlier run is removed.

    - ``pck.png``: fraction of root-relative joints nearer than each distance;
    - ``distance.png``, ``visibility.png``: MPJPE by how far people are, and by how much of them can be seen;
    - ``joints.png``: root-relative error of each joint.

    Args:
        runs: scores of bundles.
        folder: where the files are written.

    Raises:
        OutputError: they cannot be written or removed.
    """
    scores = {run.name: Scores.joined(list(run.clips.values())) for run in runs}
    charts = {
        "pck": _pck(scores),
        "distance": _binned(scores, "distance", _DISTANCES, "distance of the root, m"),
        "visibility": _binned(scores, "visible", _VISIBLE, "part of the person that can be seen"),
        "joints": _joints(runs, scores),
    }
    paths = []
    for name, chart in charts.items():
        path = folder / f"{name}.png"
        if chart is None:
            _remove(path)
            continue
        done, code = cv2.imencode(".png", chart[..., ::-1])
        if not done:
            raise OutputError(f"{path}: cannot be encoded")
        write_atomically(path, np.asarray(code).tobytes())
        paths.append(path)
    return paths


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: of an earlier run, and cannot be removed ({error.strerror})") from None


@dataclass(frozen=True)
class _Axes:
    """Where values lie in a chart whose axes both begin at 0."""

    right: float
    top: float
    width: int = _WIDTH
    bottom: int = _BOTTOM

    def at(self, x: Array, y: Array) -> list[list[int]]:
        """Return pixels of values."""
        across = _LEFT + np.asarray(x) / self.right * (self.width - _LEFT - _RIGHT)
        down = _HEIGHT - self.bottom - np.clip(np.asarray(y) / self.top, 0, 1) * (_HEIGHT - _TOP - self.bottom)
        pixels: list[list[int]] = np.stack(np.broadcast_arrays(across, down), -1).round().astype(int).tolist()
        return pixels

    def paper(self, title: str, unit: str) -> Image:
        """Return a chart with title, horizontal lines and their values."""
        chart = np.full((_HEIGHT, self.width, 3), _PAPER, np.uint8)
        _write(chart, title, (_LEFT, 20))
        step = _step(self.top)
        for value in np.arange(0, self.top + step / 2, step):
            (left, right) = self.at(np.array([0, self.right]), np.full(2, value))
            cv2.line(chart, left, right, _GRID, 1)
            _write(chart, f"{value:g}{unit}", (_LEFT - 8, left[1] + 5), align=1.0)
        return chart


def _pck(scores: Mapping[str, Scores]) -> Image | None:
    errors = {name: 1000 * one.joints[one.found].ravel() for name, one in scores.items()}
    if not any(len(some) for some in errors.values()):
        return None
    axes = _Axes(_MOST, 1.0)
    chart = axes.paper("PCK: part of the joints nearer than a distance (root-relative, of people found)", "")
    limits = np.linspace(0, _MOST, 201)
    for value in range(0, int(_MOST) + 1, 25):
        at = axes.at(np.array([value]), np.zeros(1))[0]
        _write(chart, f"{value}", (at[0], at[1] + 20), align=0.5)
    _write(chart, "distance, mm", ((_WIDTH + _LEFT) // 2, _HEIGHT - 12), align=0.5)
    for k, some in enumerate(errors.values()):
        if len(some):
            part = np.searchsorted(np.sort(some), limits, side="left") / len(some)
            cv2.polylines(chart, [np.array(axes.at(limits, part), np.int32)], False, colour_of(k), 2, cv2.LINE_AA)
    _legend(chart, list(errors))
    return chart


def _binned(scores: Mapping[str, Scores], of: str, edges: Sequence[float], title: str) -> Image | None:
    """Return bars of the mean error of people in each bin, with how many were found of how many."""
    last = len(edges) - 2
    bins = {
        name: np.where(np.isfinite(value := getattr(one, of)), np.digitize(value, edges) - 1, -1)
        for name, one in scores.items()
    }
    if of == "visible":
        bins = {name: np.minimum(some, last) for name, some in bins.items()}  # what is wholly seen
    used = [k for k in range(last + 1) if any((some == k).any() for some in bins.values())]
    if not used:
        return None
    means = np.full((len(scores), len(used)), np.nan)
    notes = []
    for column, k in enumerate(used):
        counts = []
        for row, (name, one) in enumerate(scores.items()):
            some = (bins[name] == k) & one.found
            counts.append(f"{int(some.sum())}")
            if some.sum() >= _FEW:
                means[row, column] = 1000 * float(one.column("mpjpe")[some].mean())
        total = int((next(iter(bins.values())) == k).sum())
        bin_name = f"{edges[k]:g} to {edges[k + 1]:g}" if np.isfinite(edges[k + 1]) else f"{edges[k]:g} and more"
        notes.append((bin_name, f"found {'/'.join(counts)} of {total}"))
    return _bars(f"MPJPE, mm, by {title}", list(scores), means, notes)


def _joints(runs: Sequence[Run], scores: Mapping[str, Scores]) -> Image | None:
    names = list(runs[0].joints.names)
    same = [run for run in runs if list(run.joints.names) == names]  # other bodies have other joints
    means = [
        1000 * one.joints[one.found].mean(axis=0) if one.found.any() else np.full(len(names), np.nan)
        for one in (scores[run.name] for run in same)
    ]
    return _bars("root-relative error, mm, of each joint", [run.name for run in same], np.array(means), names)


def _bars(title: str, names: Sequence[str], means: Array, notes: Sequence[str | tuple[str, str]]) -> Image | None:
    """Return groups of bars: means [bundles, groups], NaN where there is none, with what stands below each group."""
    if not np.isfinite(means).any():
        return None
    groups = means.shape[1]
    upright = isinstance(notes[0], tuple)
    width = max(_WIDTH, _LEFT + _RIGHT + groups * (150 if upright else 8 + 9 * len(names)))
    axes = _Axes(float(groups), _above(float(np.nanmax(means))), width, _BOTTOM if upright else 150)
    chart = axes.paper(title, "")
    for column, note in enumerate(notes):
        middle, floor = axes.at(np.array([column + 0.5]), np.zeros(1))[0]
        if isinstance(note, tuple):
            for line, text in enumerate(note):
                _write(chart, text, (middle, floor + 20 + 18 * line), align=0.5, size=0.4)
        else:
            _write_down(chart, note, (middle, floor + 6))
        for row in range(len(names)):
            if np.isfinite(means[row, column]):
                ends = column + 0.1 + 0.8 * np.array([row, row + 1]) / len(names)
                low, high = axes.at(ends, np.array([0.0, means[row, column]]))
                cv2.rectangle(chart, low, [max(high[0] - 1, low[0]), high[1]], colour_of(row), -1)
    _legend(chart, names)
    return chart


def _above(value: float) -> float:
    """Return a round number that is not less than a value."""
    step = _step(value)
    return max(float(np.ceil(value / step) * step), step)


def _step(most: float) -> float:
    """Return a round distance of which a few lie below ``most``."""
    rough = max(most, 1e-9) / 5
    unit = float(10 ** np.floor(np.log10(rough)))
    return next(unit * part for part in (1, 2, 5, 10) if unit * part >= rough - 1e-12)


def _legend(chart: Image, names: Sequence[str]) -> None:
    x, y = _LEFT, 44
    for k, (name, width) in enumerate(zip(names, _widths(names), strict=True)):
        if x + width > chart.shape[1] - _RIGHT and x > _LEFT:
            x, y = _LEFT, y + 17
        cv2.rectangle(chart, (x, y - 9), (x + 12, y + 1), colour_of(k), -1)
        _write(chart, name, (x + 18, y))
        x += width


def _widths(names: Sequence[str]) -> Iterator[int]:
    for name in names:
        yield 42 + int(cv2.getTextSize(_plain(name), _FONT, _SIZE, 1)[0][0])


def _write(chart: Image, text: str, at: tuple[int, int], align: float = 0.0, size: float = _SIZE) -> None:
    """Write left of, around or right of a point: ``align`` 1, 0.5 or 0."""
    text = _plain(text)
    width = cv2.getTextSize(text, _FONT, size, 1)[0][0]
    cv2.putText(chart, text, (int(at[0] - align * width), at[1]), _FONT, size, _INK, 1, cv2.LINE_AA)


def _write_down(chart: Image, text: str, at: tuple[int, int]) -> None:
    """Write downwards from a point."""
    text, size = _plain(text), 0.4
    (width, height), base = cv2.getTextSize(text, _FONT, size, 1)
    label = np.full((height + base, width, 3), _PAPER, np.uint8)
    cv2.putText(label, text, (0, height), _FONT, size, _INK, 1, cv2.LINE_AA)
    turned = cv2.rotate(label, cv2.ROTATE_90_CLOCKWISE)
    left, end = max(at[0] - turned.shape[1] // 2, 0), min(at[1] + turned.shape[0], chart.shape[0])
    there = chart[at[1] : end, left : left + turned.shape[1]]
    there[...] = turned[: there.shape[0], : there.shape[1]]


def _plain(text: str) -> str:
    """Return text in the characters that OpenCV's fonts have."""
    return text.encode("ascii", "replace").decode()
