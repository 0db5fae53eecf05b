"""Does ranking by fits equal ranking by the truth? SMPLy's question, on rendered people (``fit_truth.py`` calls this).

    python bench/fit_truth.py --parts networks ranking --work build/fit

`RANKED` is everything that ships or can be had without training: the rows of the leaderboard, and four bundles that see
pictures of half the size. It was chosen before any of it was looked at. A row's score of a person is the mean MPJPE
over the frames in which it finds the person; two rows are compared on the people whom both find. So ranking is a sign
for each pair of rows, and Kendall's tau the mean agreement of signs. People, not frames, are resampled: frames of one
person who holds still are no independent samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.evaluation.dataset import Clip, DataSet, Shot
from humanrt.evaluation.formats import read_data
from humanrt.evaluation.running import Run, RunOptions
from leaderboard import ROWS, Row, scored

__all__ = ["RANKED", "Errors", "agreement", "halved", "people_of", "rank"]

Array = NDArray[np.float64]

HALF = tuple(Row(name) for name in ("landmarks", "multihmr-anny", "holistic:fast", "holistic:balanced"))
RANKED = (*(row.name for row in ROWS), *(f"{row.name}, half the size" for row in HALF))
_RESAMPLED = 1000


@dataclass(frozen=True)
class Errors:
    """MPJPE, mm, of R rows: by the truth of all Q people, and by the fits of the P of them who were accepted.

    Attributes:
        names: [R].
        everybody: [R, Q], NaN where a row does not find the person.
        fits: [R, P].
        accepted: [P], who of everybody they are, each once.
    """

    names: tuple[str, ...]
    everybody: Array
    fits: Array
    accepted: NDArray[np.intp]

    @property
    def truth(self) -> Array:
        """[R, P], by the truth of those who were accepted."""
        return np.asarray(self.everybody[:, self.accepted])


def rank(films: Path, fits: Path, how: RunOptions, out: Path) -> dict[str, Any]:
    """Score every row by the truth and by the fits; return scores and how far they agree.

    Args:
        films: folder of rendered films with their truth.
        fits: folder of what ``humanrt-export fit`` makes of them, each in a folder named as the film.
        how: options of the scores.
        out: folder where scores are kept.
    """
    true, fitted = _scores(films, how, out / "truth"), _scores(fits, how, out / "fits")
    errors = people_of(true, fitted)
    return agreement(errors) | {
        "rows": {
            name: {kind: float(np.nanmean(getattr(errors, kind)[k])) for kind in ("everybody", "truth", "fits")}
            for k, name in enumerate(errors.names)
        },
        "bundles": {run.name: dict(run.bundles) for run in true},
    }


def _scores(folder: Path, how: RunOptions, out: Path) -> list[Run]:
    data, runs = read_data(folder, "films"), []
    for smaller, rows in ((False, ROWS), (True, HALF)):
        for row in rows:
            try:
                run = scored(row, halved(data) if smaller else data, how, out / ("half" if smaller else "full"))
            except HumanrtError:  # a precision that this machine's processor does not have
                if row.precision == "fp32":
                    raise
                continue
            runs.append(replace(run, name=f"{run.name}, half the size") if smaller else run)
            print(folder.name, runs[-1].name, flush=True)
    return runs


def halved(data: DataSet) -> DataSet:
    """Return a data set whose pictures are half as large."""
    return replace(data, clips=tuple(replace(clip, shots=partial(_halved, clip)) for clip in data.clips))


def _halved(clip: Clip) -> Iterator[Shot]:
    for shot in clip.shots():
        height, width = shot.frame.image.shape[:2]
        image = cv2.resize(shot.frame.image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        K = np.diag([(width // 2) / width, (height // 2) / height, 1.0]) @ shot.intrinsics
        yield replace(shot, frame=replace(shot.frame, image=np.asarray(image, np.uint8)), intrinsics=K)


def people_of(true: Sequence[Run], fitted: Sequence[Run]) -> Errors:
    """Return each person's errors; who of the truth a fitted person is, is told by where limbs are in the pictures.

    A fit that shares no frame with anybody is left out, and of two that are of one person the one farther off.
    """
    everybody: list[list[float]] = []
    fits: list[list[float]] = []
    accepted: list[int] = []
    for name in sorted(true[0].clips):
        ours = [run.clips[name] for run in true]
        theirs = [next((one for key, one in run.clips.items() if Path(key).parts[0] == name), None) for run in fitted]
        kept = {int(person): _mean_errors(ours, person) for person in np.unique(ours[0].person)}
        first, candidates = len(everybody), list(kept)
        everybody += kept.values()
        if theirs[0] is None:
            continue
        fitted_people = np.unique(theirs[0].person).tolist()
        off = np.array([[_apart(theirs[0], one, ours[0], other) for other in candidates] for one in fitted_people])
        for row, column in _pairs(off):
            accepted.append(first + column)
            fits.append(_mean_errors(theirs, fitted_people[row]))
    names = tuple(run.name for run in true)
    tables = (np.array(rows, np.float64).reshape(-1, len(names)).T for rows in (everybody, fits))
    return Errors(names, *tables, np.array(accepted, np.intp))


def _pairs(off: Array) -> list[tuple[int, int]]:
    """Return whose fit each is, by distances [fits, people]: the nearest person, who has the nearest fit."""
    if not off.size:
        return []
    nearest = off.argmin(axis=1)
    near = off.min(axis=1)
    return [
        (row, column)
        for row, column in enumerate(nearest.tolist())
        if np.isfinite(near[row]) and row == min(np.flatnonzero(nearest == column), key=lambda one: float(near[one]))
    ]


def _mean_errors(scores: Sequence[Any], person: int) -> list[float]:
    """Return a person's mean MPJPE, mm, of each row; NaN where it never finds the person."""
    values = []
    for one in scores:
        found = one.column("mpjpe")[(one.person == person) & one.found]
        values.append(1000 * float(np.mean(found)) if len(found) else float("nan"))
    return values


def _apart(one: Any, person: int, other: Any, candidate: int) -> float:
    """Return the median distance, px, of the limbs of two people in the frames that have both; inf: there is none."""
    here, there = one.person == person, other.person == candidate
    frames, a, b = np.intersect1d(one.frame[here], other.frame[there], return_indices=True)
    if not len(frames):
        return float("inf")
    return float(np.median(np.linalg.norm(one.true_limbs[here][a] - other.true_limbs[there][b], axis=-1)))


def agreement(errors: Errors, seed: int = 0) -> dict[str, Any]:
    """Return Kendall's tau with 95 % intervals over people, and tau of the pairs that the truth tells apart.

    ``tau``: by truth and fits of the accepted people; ``tau_everybody``: by the truth of everybody and fits of those
    who were accepted; ``tau_told_apart``: as ``tau``, of pairs whose difference by the truth of the accepted is not 0,
    by an interval over people. A pair that no person has in common counts nowhere. Everybody is drawn, once for all
    intervals: who was accepted is some of those who are drawn.
    """
    random, rows = np.random.default_rng(seed), list(combinations(range(len(errors.names)), 2))
    count, total = errors.truth.shape[1], errors.everybody.shape[1]
    true, fits, every = (_differences(table, rows) for table in (errors.truth, errors.fits, errors.everybody))
    place = np.full(total, -1)
    place[errors.accepted] = np.arange(count)
    draws = random.integers(0, total, (_RESAMPLED, total))
    accepted_draws = [place[some][place[some] >= 0] for some in draws]
    spread = np.array([_means(true[:, some]) for some in accepted_draws])
    fits_spread = np.array([_means(fits[:, some]) for some in accepted_draws])
    every_spread = np.array([_means(every[:, some]) for some in draws])
    low, high = np.nanpercentile(spread, [2.5, 97.5], axis=0)
    apart = (low > 0) | (high < 0)
    mean, fits_mean, every_mean = _means(true), _means(fits), _means(every)
    wrong = [
        f"{errors.names[a]} and {errors.names[b]}: {mean[k]:+.1f}, {fits_mean[k]:+.1f}"
        for k, (a, b) in enumerate(rows)
        if apart[k] and mean[k] * fits_mean[k] < 0
    ]
    return {
        "people": count,
        "everybody": total,
        "pairs": len(rows),
        "tau": _tau(mean, fits_mean),
        "tau_interval": _interval([_tau(one, other) for one, other in zip(spread, fits_spread, strict=True)]),
        "tau_everybody": _tau(every_mean, fits_mean),
        "tau_everybody_interval": _interval(
            [_tau(one, other) for one, other in zip(every_spread, fits_spread, strict=True)]
        ),
        "told_apart": int(apart.sum()),
        "tau_told_apart": _tau(mean[apart], fits_mean[apart]),
        "tau_told_apart_interval": _interval(
            [_tau(mean[apart], other[apart]) for other in fits_spread] if apart.any() else []
        ),
        "wrong": wrong,
    }


def _differences(table: Array, rows: Sequence[tuple[int, int]]) -> Array:
    """Return [pairs, people]: second less first, NaN of people whom one of the two does not find."""
    return np.array([table[b] - table[a] for a, b in rows])


def _means(differences: Array) -> Array:
    known = np.isfinite(differences)
    return np.asarray(np.where(known, differences, 0.0).sum(axis=1) / np.where(known.any(1), known.sum(1), np.nan))


def _tau(one: Array, other: Array) -> float:
    """Return Kendall's tau of two lists of differences of pairs; NaN if there is none."""
    signs = np.sign(one) * np.sign(other)
    return float(np.nanmean(signs)) if np.isfinite(signs).any() else float("nan")


def _interval(values: Sequence[float]) -> list[float] | None:
    known = [value for value in values if np.isfinite(value)]
    return [float(one) for one in np.percentile(known, [2.5, 97.5])] if known else None
