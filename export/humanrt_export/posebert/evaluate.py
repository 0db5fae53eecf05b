"""PoseBERT against One-Euro on clips of known truth: error and jitter at equal lag, gaps, prediction.

What is compared is what a user would get live: every method sees the frames of a clip one by one, with their stamps.
At a lag of L frames (of 1/30 s) the answer given at time t is compared with the truth at t - L/30.

- Error: mean distance of keypoints, mm, about the mean of the points and at the truth's size (one factor a clip), since
  no front-end of one camera knows the size.
- Error of change: mean length of the difference between the answers' and the truth's motion from frame to frame, mm a
  frame. A front-end's constant error is not in it; both jitter and delay are.
- Jitter: mean length of the second and third difference of the answers, mm a frame^2 and a frame^3, by the real time
  between them and as of frames 1/30 s apart. The truth's own is in the tables: less than that is slower, not better.

One-Euro is given every chance. Both its parameters are searched on the training clips, for each lag anew, by the error
at that lag, and its answers may also be held back by some of the allowed lag. And it is searched on the very clips that
it is measured on (`oracle`), by error, and by error among the settings with no more jitter than PoseBERT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from humanrt.posebert.stream import Observation, PoseBERTStream, PoseState
from humanrt.rotation import matrices_from_vectors, vectors_from_matrices

__all__ = [
    "BETAS",
    "CUTOFFS",
    "LAGS",
    "Batch",
    "Score",
    "Setting",
    "bursts",
    "degrees",
    "differences",
    "evaluate",
    "evaluate_rotations",
    "extrapolated",
    "grid",
    "held",
    "markdown",
    "one_euro",
    "one_euro_rotations",
    "score",
    "simulate",
]

Array = NDArray[Any]

STEP = 1 / 30
LAGS = (0, 1, 2, 4, 8)
PREDICTIONS = (0.05, 0.1)
CUTOFFS = (0.15, 0.3, 0.5, 0.8, 1.2, 2.0, 3.0, 5.0, 8.0, 15.0)
BETAS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 20.0, 40.0)
DERIVATIVE_CUTOFF = 3.0
_MIRROR = np.array((-1, 1, 1), np.float32)
_HAND_LENGTHS = ((0, 5), (0, 9), (0, 13), (0, 17))


class Setting(NamedTuple):
    """One-Euro's: cut-off at rest (Hz), its rise with speed, and frames by which its answers are held back."""

    min_cutoff: float
    beta: float
    late: int = 0

    def __str__(self) -> str:
        return f"One-Euro({self.min_cutoff:g} Hz, {self.beta:g})" + (f" + {self.late}" if self.late else "")


@dataclass(frozen=True)
class Batch:
    """Clips side by side, padded to the longest.

    Attributes:
        t: [C, T] s.
        observed: [C, T, K, 3] m as a user has them, in camera axes (not as the network has them): NaN where lost.
        confidence: [C, T, K].
        left: [C, T] the front-end called it a left hand.
        identity: [C, T] of the front-end, 0 where lost.
        truth: [C, T, K, 3] m, NaN after the clip's end.
        rotations: [C, T, J, 3, 3] truth.
        lengths: pairs of keypoints whose mean length is the size.
        origin: keypoints whose mean is the origin.
        names: of the clips.
    """

    t: Array
    observed: Array
    confidence: Array
    left: Array
    identity: Array
    truth: Array
    rotations: Array
    lengths: tuple[tuple[int, int], ...]
    origin: tuple[int, ...]
    names: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        clips: Sequence[Mapping[str, Array]],
        *,
        lengths: Sequence[tuple[int, int]] = _HAND_LENGTHS,
        origin: Sequence[int] = tuple(range(21)),
    ) -> Batch:
        """From clips as they are on disk (design: `humanrt_export.posebert.dataset`). ValueError for none."""
        if not clips:
            raise ValueError("no clips to evaluate on")
        longest = max(len(clip["t"]) for clip in clips)

        def stack(arrays: Iterable[Array], fill: float | bool) -> Array:
            padded = []
            for array in arrays:
                pad = np.full((longest - len(array), *array.shape[1:]), fill, array.dtype)
                padded.append(np.concatenate([array, pad]))
            return np.stack(padded)

        seen = [np.isfinite(clip["observed"]).all(axis=(1, 2)) for clip in clips]
        wrong = [np.asarray(clip.get("wrong_side", np.zeros(len(clip["t"]), bool)), bool) for clip in clips]
        # A hand taken for one of the other side is mirrored in the clip, as the network sees it; the user sees it as is
        observed = [
            np.where(w[:, None, None], clip["observed"] * _MIRROR, clip["observed"]).astype(np.float32)
            for clip, w in zip(clips, wrong, strict=True)
        ]
        confidence = []
        for clip, points in zip(clips, observed, strict=True):
            given = clip.get("confidence", np.repeat(clip["score"][:, None], points.shape[1], axis=1))
            confidence.append(np.asarray(given, np.float32))
        identity = [np.asarray(clip.get("identity", s.astype(int)), int) for clip, s in zip(clips, seen, strict=True)]
        return cls(
            t=stack([np.asarray(clip["t"], float) for clip in clips], np.inf),
            observed=stack(observed, np.nan),
            confidence=stack(confidence, 0.0),
            left=stack(wrong, False),
            identity=stack(identity, 0),
            truth=stack([np.asarray(clip["keypoints"], np.float32) for clip in clips], np.nan),
            rotations=stack([np.asarray(clip["rotations"], np.float32) for clip in clips], np.nan),
            lengths=tuple(lengths),
            origin=tuple(origin),
            names=tuple(str(clip.get("source", i)) for i, clip in enumerate(clips)),
        )

    @property
    def seen(self) -> Array:
        """[C, T] something was observed."""
        return _whole(self.observed)

    def without(self, missing: Array) -> Batch:
        """The same clips, with the frames ``missing`` [C, T] taken from the front-end."""
        observed = np.where(missing[..., None, None], np.nan, self.observed).astype(np.float32)
        return Batch(**{**self.__dict__, "observed": observed})

    def about(self, points: Array) -> Array:
        """Points [..., K, 3] about their origin."""
        return np.asarray(points - points[..., list(self.origin), :].mean(axis=-2, keepdims=True))

    def span(self, points: Array) -> Array:
        """Mean of the lengths, [...], of points [..., K, 3]."""
        ends = np.array(self.lengths).T
        return np.asarray(np.linalg.norm(points[..., ends[0], :] - points[..., ends[1], :], axis=-1).mean(axis=-1))

    def truth_at(self, shift: float) -> Array:
        """[C, T, K, 3] m: the truth ``shift`` s from each frame, on straight lines between frames; NaN outside."""
        return _shifted(self.t, self.truth, shift)

    def speed(self) -> Array:
        """[C, T] m/s: how fast the true points move about their origin, smoothed over a few frames."""
        span = 2 * STEP
        ahead, behind = (self.about(self.truth_at(s)) for s in (span, -span))
        here = self.about(self.truth)
        ahead, behind = (np.where(np.isfinite(a), a, here) for a in (ahead, behind))
        return np.asarray(np.linalg.norm(ahead - behind, axis=-1).mean(axis=-1) / (2 * span))


def _whole(points: Array) -> Array:
    """[C, T] frames of [C, T, K, 3] without a NaN."""
    return np.asarray(np.isfinite(points).all(axis=(2, 3)))


def _shifted(t: Array, values: Array, shift: float) -> Array:
    """values [C, T, ...] at t + shift, linear between frames, NaN outside."""
    if shift == 0:
        return values
    out = np.full_like(values, np.nan)
    for clip, (times, rows) in enumerate(zip(t, values, strict=True)):
        count = int(np.isfinite(times).sum())
        at = times[:count] + shift
        inside = (at >= times[0] - 1e-6) & (at <= times[count - 1] + 1e-6)
        after = np.clip(np.searchsorted(times[:count], at - 1e-9), 1, count - 1)
        gap = times[after] - times[after - 1]
        share = np.clip((at - times[after - 1]) / np.maximum(gap, 1e-9), 0, 1).astype(values.dtype)
        share = share.reshape(-1, *[1] * (values.ndim - 2))
        mixed = rows[after - 1] * (1 - share) + rows[after] * share
        # At a frame itself its neighbour does not count, which may not be there.
        mixed = np.where(share < 1e-4, rows[after - 1], np.where(share > 1 - 1e-4, rows[after], mixed))
        out[clip, :count][inside] = mixed[inside]
    return out


# ------------------------------------------------------------------------------------------------ methods


def one_euro(batch: Batch, min_cutoff: float, beta: float, *, velocities: bool = False) -> Any:
    """`humanrt.smooth.OneEuro` on every clip at once: float32 [C, T, K, 3] m, NaN where nothing was observed.

    As in `HandSmoother`, the unit of speed is the size of the hand in the frame, and a new identity starts afresh.

    Args:
        velocities: return also the filter's smoothed velocities, [C, T, K, 3] m/s.
    """
    x, seen = batch.observed, batch.seen
    size = batch.span(np.nan_to_num(x)).astype(np.float32)
    if batch.lengths == _HAND_LENGTHS:  # wrist to middle knuckle, as humanrt.smooth has it
        size = np.linalg.norm(np.nan_to_num(x[..., 9, :] - x[..., 0, :]), axis=-1)
    out = np.full_like(x, np.nan)
    speeds = np.full_like(x, np.nan) if velocities else None
    clips = len(x)
    raw = np.zeros_like(x[:, 0])
    smooth, velocity = raw.copy(), raw.copy()
    last, owner = np.full(clips, -np.inf), np.zeros(clips, int)
    for i in range(x.shape[1]):
        on = np.flatnonzero(seen[:, i])
        if not len(on):
            continue
        points, t, identity = x[on, i], batch.t[on, i], batch.identity[on, i]
        fresh = ~np.isfinite(last[on]) | (identity != owner[on])
        dt = np.where(fresh, 1.0, t - np.where(fresh, 0, last[on])).astype(np.float32)[:, None, None]
        before = np.where(fresh[:, None, None], points, raw[on])
        step = points - before
        keep = np.exp(-2 * np.pi * DERIVATIVE_CUTOFF * dt)
        v = np.where(fresh[:, None, None], 0, keep * velocity[on] + (1 - keep) * step / dt)
        speed = np.sqrt(np.einsum("ckd,ckd->ck", v, v))[..., None] / np.maximum(size[on, i], 1e-9)[:, None, None]
        fall = 2 * np.pi * dt * (min_cutoff + beta * speed)
        gone = -np.expm1(-fall)
        y = points - step * gone / fall + (np.where(fresh[:, None, None], points, smooth[on]) - before) * (1 - gone)
        raw[on], smooth[on], velocity[on], last[on], owner[on] = points, y, v, t, identity
        out[on, i] = y
        if speeds is not None:
            speeds[on, i] = v
    return out if speeds is None else (out, speeds)


def one_euro_rotations(R: Array, t: Array, min_cutoff: float, beta: float) -> Array:
    """One-Euro on SO(3), in the tangent space of its own answer: [T, J, 3, 3], t [T] s -> [T, J, 3, 3].

    The speed that opens the filter is in rad/s; frames with a NaN are left out, and NaN in the answer.
    """
    out = np.full(R.shape, np.nan)
    smooth: Array | None = None
    raw = velocity = R[0]
    last = 0.0
    for i in range(len(R)):
        if not np.isfinite(R[i]).all():
            continue
        if smooth is None:
            smooth, raw, last, velocity = R[i].astype(float), R[i], float(t[i]), np.zeros((R.shape[1], 3))
        elif t[i] > last:
            dt = t[i] - last
            keep = np.exp(-2 * np.pi * DERIVATIVE_CUTOFF * dt)
            velocity = keep * velocity + (1 - keep) * vectors_from_matrices(np.swapaxes(raw, -1, -2) @ R[i]) / dt
            rate = min_cutoff + beta * np.linalg.norm(velocity, axis=-1, keepdims=True)
            gone = -np.expm1(-2 * np.pi * rate * dt)
            smooth = smooth @ matrices_from_vectors(gone * vectors_from_matrices(np.swapaxes(smooth, -1, -2) @ R[i]))
            raw, last = R[i], float(t[i])
        out[i] = smooth
    return out


@dataclass
class Answers:
    """What a stream answered: keypoints [C, T, K, 3] m, rotations [C, T, J, 3, 3], NaN where nothing; filled [C, T]."""

    keypoints: Array
    rotations: Array
    filled: Array


def simulate(batch: Batch, model: Any, **options: Any) -> Answers:
    """`PoseBERTStream` on every clip, frame by frame, as it would run live; options are the stream's."""
    stream = PoseBERTStream(model, **options)
    keypoints = np.full_like(batch.observed, np.nan)
    rotations = np.full(batch.rotations.shape, np.nan, np.float32)
    filled = np.zeros(batch.t.shape, bool)
    seen = batch.seen
    for clip, times in enumerate(batch.t):
        stream.reset()
        owner = 0
        for i in range(int(np.isfinite(times).sum())):
            lost: tuple[int, ...] = ()
            observations: dict[int, Observation] = {}
            if seen[clip, i]:
                identity = int(batch.identity[clip, i])
                if owner and identity != owner:
                    lost = (owner,)
                owner = identity
                side = "left" if batch.left[clip, i] else "right"
                points = batch.observed[clip, i]
                observations[identity] = Observation(points, batch.confidence[clip, i], side)
            state: PoseState | None = stream.update(float(times[i]), observations, lost).get(owner)
            if state is not None:
                keypoints[clip, i], rotations[clip, i] = state.keypoints, state.rotations
                filled[clip, i] = state.filled
    return Answers(keypoints, rotations, filled)


def held(batch: Batch, points: Array) -> Array:
    """Points [C, T, K, 3] with each gap filled by what was before it."""
    out = points.copy()
    there = _whole(points)
    for i in range(1, points.shape[1]):
        out[:, i] = np.where(there[:, i, None, None], points[:, i], out[:, i - 1])
    return np.where(np.isfinite(batch.t)[..., None, None], out, np.nan)


def extrapolated(batch: Batch, points: Array, ahead: float = 0.0) -> Array:
    """Points [C, T, K, 3] moved on along the line of the last two that were there, to ``ahead`` s after each frame."""
    out = np.full_like(points, np.nan)
    there = _whole(points)
    for clip, times in enumerate(batch.t):
        last: list[int] = []
        for i in range(int(np.isfinite(times).sum())):
            if there[clip, i]:
                last = [*last[-1:], i]
            if len(last) == 2:
                a, b = last
                speed = (points[clip, b] - points[clip, a]) / max(times[b] - times[a], 1e-3)
                out[clip, i] = points[clip, b] + speed * (times[i] + ahead - times[b])
            elif last:
                out[clip, i] = points[clip, last[-1]]
    return out


def bursts(batch: Batch, share: float = 0.2, longest: int = 10, seed: int = 0) -> Array:
    """[C, T] frames to take away: ``share`` of those seen, in bursts of 1 to ``longest`` frames of 1/30 s.

    The first ten frames of a clip stay, so that there is something to go on from.
    """
    random = np.random.default_rng(seed)
    missing = np.zeros(batch.t.shape, bool)
    for clip, times in enumerate(batch.t):
        count = int(np.isfinite(times).sum())
        wanted = share * count
        for _ in range(50 * count):
            if missing[clip].sum() >= wanted or count < 15:
                break
            start = int(random.integers(10, count))
            end = times[start] + random.integers(1, longest + 1) * STEP - 1e-6
            span = slice(start, int(np.searchsorted(times[:count], end)))
            # A frame between two bursts at least, or they would make a longer one.
            if span.stop > start and not missing[clip, start - 1 : span.stop + 1].any():
                missing[clip, span] = True
    return np.asarray(missing & batch.seen)


# ------------------------------------------------------------------------------------------------ metrics


@dataclass(frozen=True)
class Score:
    """Error mm; error of change mm/frame; acceleration mm/frame^2; jerk mm/frame^3; frames that the error is of."""

    error: float
    change: float
    acceleration: float
    jerk: float
    frames: int

    def as_dict(self) -> dict[str, float]:
        return dict(self.__dict__)


def differences(t: Array, points: Array, where: Array) -> tuple[Array, Array, Array]:
    """First, second and third differences, each [N, K, 3], at real times, in units of points a (1/30 s)^1, ^2, ^3.

    Frames are thinned to about 30 a second; over a gap of more than two frames nothing is differenced.

    Args:
        t: [T] s. points: [T, K, 3]. where: [T] frames that count, and in which there are points.
    """
    kept: list[int] = []
    for i in np.flatnonzero(where):
        if not kept or t[i] - t[kept[-1]] > 0.8 * STEP:
            kept.append(int(i))
    rows = np.array(kept, int)
    level, times = points[rows].astype(float), t[rows] / STEP
    steps = np.diff(times)
    found: list[Array] = []
    for degree in (1, 2, 3):
        span = times[degree:] - times[:-degree]
        level = degree * np.diff(level, axis=0) / np.maximum(span, 1e-6)[:, None, None]
        whole = [steps[i : i + degree].max(initial=0) <= 2.1 for i in range(len(span))]
        found.append(level[np.array(whole, bool)])
    return found[0], found[1], found[2]


def score(batch: Batch, points: Array, shift: float = 0.0, where: Array | None = None) -> Score:
    """How good answers are.

    Args:
        points: [C, T, K, 3] m, NaN where there was none.
        shift: s from a frame's stamp to the time that its answer is for: -lag, or the prediction.
        where: [C, T] frames that count, by the frame in which the answer was given; None: all.
    """
    points, truth = batch.about(points), batch.about(batch.truth_at(shift))
    on = _whole(points) & _whole(truth)
    if where is not None:
        on &= where
    factor = _factors(batch, points, truth, on)
    points = points * factor[:, None, None, None]
    parts: list[list[Array]] = [[], [], []]
    for t, found, true, where_in_clip in zip(batch.t, points, truth, on, strict=True):
        first, second, third = differences(t, found, where_in_clip)
        for part, values in zip(parts, (first - differences(t, true, where_in_clip)[0], second, third), strict=True):
            part.append(values)
    change, acceleration, jerk = (_mean(np.concatenate(part)) for part in parts)
    return Score(_mean(points[on] - truth[on]), change, acceleration, jerk, int(on.sum()))


def _factors(batch: Batch, points: Array, truth: Array, on: Array) -> Array:
    """[C] by which points are enlarged to the truth's size, one for a clip; 1 where there are no frames."""
    sizes = []
    for values in (truth, points):
        total = np.where(on, np.nan_to_num(batch.span(values)), 0).sum(axis=1)
        sizes.append(total / np.maximum(on.sum(axis=1), 1))
    return np.where(on.any(axis=1), sizes[0] / np.maximum(sizes[1], 1e-9), 1.0)


def _mean(vectors: Array) -> float:
    """Mean length of vectors [..., 3] m, mm."""
    return float(np.linalg.norm(vectors, axis=-1).mean() * 1e3) if vectors.size else float("nan")


def degrees(a: Array, b: Array) -> Array:
    """Angles between rotations [..., 3, 3], degrees."""
    return np.asarray(np.degrees(np.linalg.norm(vectors_from_matrices(np.swapaxes(a, -1, -2) @ b), axis=-1)))


# ------------------------------------------------------------------------------------------------ search


@dataclass(frozen=True)
class Grid:
    """Every setting of One-Euro on some clips.

    Attributes:
        settings: [P] cut-off at rest and its rise.
        errors: [P, E] mm, by the delay of the answers, 0..8 frames.
        accelerations: [P] mm/frame^2.
    """

    settings: tuple[tuple[float, float], ...]
    errors: Array
    accelerations: Array

    def best(self, lag: int, most: float = np.inf) -> Setting | None:
        """Lowest error at a lag, among settings with at most so much acceleration; None where there is none.

        At a delay e of its own the filter is held back by ``lag`` - e more frames.
        """
        errors = np.where(self.accelerations[:, None] <= most, self.errors[:, : lag + 1], np.inf)
        place, delay = np.unravel_index(int(np.argmin(errors)), errors.shape)
        if not np.isfinite(errors[place, delay]):
            return None
        return Setting(*self.settings[int(place)], lag - int(delay))

    def curve(self, lag: int) -> list[tuple[float, float, Setting]]:
        """(acceleration, error, setting): the settings that no other beats in both, calmest first."""
        errors = self.errors[:, : lag + 1]
        best = errors.min(axis=1)
        points = sorted(zip(self.accelerations.tolist(), best.tolist(), range(len(best)), strict=True))
        front: list[tuple[float, float, Setting]] = []
        for acceleration, error, place in points:
            if not front or error < front[-1][1]:
                late = lag - int(errors[place].argmin())
                front.append((acceleration, error, Setting(*self.settings[place], late)))
        return front


def grid(
    batch: Batch,
    cutoffs: Sequence[float] = CUTOFFS,
    betas: Sequence[float] = BETAS,
    *,
    where: Array | None = None,
    progress: Callable[[str], object] = lambda line: None,
) -> Grid:
    """Every setting on every clip. ``where`` [C, T]: frames that count."""
    seen = batch.seen if where is None else where & batch.seen
    truths = [batch.about(batch.truth_at(-delay * STEP)) for delay in range(max(LAGS) + 1)]
    there = [_whole(truth) & seen for truth in truths]
    factor = _factors(batch, np.nan_to_num(batch.about(batch.observed)), truths[0], there[0])[:, None, None, None]
    settings = [(cutoff, beta) for cutoff in cutoffs for beta in betas]
    errors, calm = np.zeros((len(settings), len(truths))), np.zeros(len(settings))
    for place, (cutoff, beta) in enumerate(settings):
        points = batch.about(one_euro(batch, cutoff, beta)) * factor.astype(np.float32)
        for delay, (truth, on) in enumerate(zip(truths, there, strict=True)):
            errors[place, delay] = _mean(points[on] - truth[on])
        seconds = [differences(t, clip, on)[1] for t, clip, on in zip(batch.t, points, seen, strict=True)]
        calm[place] = _mean(np.concatenate(seconds))
        progress(f"One-Euro {place + 1}/{len(settings)}")
    return Grid(tuple(settings), errors, calm)


def _delayed(batch: Batch, points: Array, frames: int) -> Array:
    """Answers given ``frames`` later."""
    return _shifted(batch.t, points, -frames * STEP)


# ------------------------------------------------------------------------------------------------ the report


def evaluate(
    val: Batch,
    train: Batch,
    model: Any = None,
    *,
    lags: Sequence[int] = LAGS,
    predictions: Sequence[float] = PREDICTIONS,
    progress: Callable[[str], object] = lambda line: None,
    **options: Any,
) -> dict[str, Any]:
    """All tables.

    Args:
        val: clips that are measured on; train: those that One-Euro is tuned on.
        model: bundle or PoseBERT; None: One-Euro alone.
        options: of the stream (backend, threads).
    """
    tuned_on, oracle_on = grid(train, progress=progress), grid(val, progress=progress)
    report: dict[str, Any] = {
        "clips": {"val": len(val.t), "train": len(train.t), "frames": int(val.seen.sum())},
        "lags": {},
        "grid": {
            name: {
                "settings": g.settings,
                "errors_mm_by_delay": g.errors.round(3).tolist(),
                "accelerations": g.accelerations.round(4).tolist(),
            }
            for name, g in (("train", tuned_on), ("val", oracle_on))
        },
    }
    speed = val.speed()
    answers: dict[int, Answers] = {}
    for lag in lags:
        progress(f"lag {lag}")
        shift = -lag * STEP
        # The frames in which all have an answer: the frame of the answer and that of the question were both seen.
        asked = _shifted(val.t, val.seen[..., None, None].astype(np.float32), shift)[..., 0, 0] > 0.999
        where = val.seen & asked & (speed >= 0)
        methods: dict[str, Array] = {"raw": _delayed(val, val.observed, lag)}
        names: dict[str, str] = {}
        calmness = np.inf
        if model is not None:
            answers[lag] = simulate(val, model, lag=lag, **options)
            methods["posebert"] = answers[lag].keypoints
            where &= _whole(answers[lag].keypoints)
            calmness = score(val, methods["posebert"], shift, where).acceleration
        chosen = {
            "oneeuro": tuned_on.best(lag),
            "oneeuro_oracle": oracle_on.best(lag),
            "oneeuro_as_calm": oracle_on.best(lag, calmness) if model is not None else None,
        }
        for name, setting in chosen.items():
            if setting is not None:
                methods[name] = _delayed(val, one_euro(val, *setting[:2]), setting.late)
                names[name] = str(setting)
        truth = val.truth_at(shift)
        # Held back over a gap, One-Euro has no answer; then none counts.
        for points in methods.values():
            where &= _whole(points)
        table: dict[str, Any] = {name: score(val, points, shift, where).as_dict() for name, points in methods.items()}
        table["truth"] = score(val, truth, shift, where).as_dict()
        for name, text in names.items():
            table[name]["setting"] = text
        if model is not None:
            angle = degrees(answers[lag].rotations[where], _nearest(val, val.rotations, shift)[where])
            table["posebert"] |= {"degrees": float(angle.mean()), "root_degrees": float(angle[:, 0].mean())}
        curve = oracle_on.curve(lag)
        by_speed = {}
        at_speed = np.nan_to_num(_shifted(val.t, speed[..., None, None], shift)[..., 0, 0], nan=-1)
        for name, low, high in (("rest", 0.0, 0.02), ("slow", 0.02, 0.15), ("fast", 0.15, np.inf)):
            part = where & (at_speed >= low) & (at_speed < high)
            by_speed[name] = {
                method: score(val, points, shift, part).as_dict()
                for method, points in (*methods.items(), ("truth", truth))
            }
        report["lags"][str(lag)] = {
            "methods": table,
            "by_speed": by_speed,
            "curve": [{"acceleration": a, "error": e, "setting": str(s)} for a, e, s in curve],
        }
    setting = tuned_on.best(0) or Setting(1.2, 12.0)
    report["gaps"] = _gaps(val, setting, model, progress, options)
    report["prediction"] = {
        str(ahead): _prediction(val, setting, model, ahead, progress, options) for ahead in predictions
    }
    return report


def _nearest(batch: Batch, values: Array, shift: float) -> Array:
    """values [C, T, ...] of the frame nearest to t + shift: of rotations, which have no means."""
    out = np.full_like(values, np.nan)
    for clip, times in enumerate(batch.t):
        count = int(np.isfinite(times).sum())
        at = times[:count] + shift
        after = np.clip(np.searchsorted(times[:count], at), 1, count - 1)
        rows = np.where(at - times[after - 1] < times[after] - at, after - 1, after)
        out[clip, :count] = values[clip, rows]
    return out


def _gaps(
    batch: Batch, setting: Setting, model: Any, progress: Callable[[str], object], options: Mapping[str, Any]
) -> dict[str, Any]:
    """A fifth of the frames taken away in bursts: errors on these."""
    progress("gaps")
    missing = bursts(batch)
    left = batch.without(missing)
    smooth = one_euro(left, *setting[:2])
    methods = {
        "hold last": held(left, left.observed),
        "hold last One-Euro": held(left, smooth),
        "extrapolate": extrapolated(left, left.observed),
        "extrapolate One-Euro": extrapolated(left, smooth),
    }
    if model is not None:
        methods["posebert"] = simulate(left, model, fill=0.5, **options).keypoints
    where = missing.copy()
    for points in methods.values():
        where &= _whole(points)
    table = {name: score(batch, points, 0.0, where).as_dict() for name, points in methods.items()}
    after = _since(batch, left.seen)
    spans = {"1-2 frames": (0.5, 2.5), "3-5 frames": (2.5, 5.5), "6-10 frames": (5.5, 10.5)}
    by_age = {
        name: {m: score(batch, p, 0.0, where & (after > low) & (after <= high)).as_dict() for m, p in methods.items()}
        for name, (low, high) in spans.items()
    }
    share = float(missing.sum() / max(int(batch.seen.sum()), 1))
    return {
        "missing": share,
        "answered": float(where.sum() / max(int(missing.sum()), 1)),
        "methods": table,
        "by_age": by_age,
    }


def _since(batch: Batch, seen: Array) -> Array:
    """[C, T] frames of 1/30 s since the last frame that was seen."""
    last = np.maximum.accumulate(np.where(seen & np.isfinite(batch.t), batch.t, -np.inf), axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray((batch.t - last) / STEP)


def _prediction(
    batch: Batch,
    setting: Setting,
    model: Any,
    ahead: float,
    progress: Callable[[str], object],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Errors of what is said of the time ``ahead`` s after each frame."""
    progress(f"prediction {ahead} s")
    smooth, speed = one_euro(batch, *setting[:2], velocities=True)
    methods = {
        "constant pose": batch.observed,
        "constant pose One-Euro": smooth,
        "constant velocity": extrapolated(batch, batch.observed, ahead),
        "constant velocity One-Euro": smooth + np.float32(ahead) * speed,
    }
    if model is not None:
        methods["posebert"] = simulate(batch, model, predict=ahead, **options).keypoints
    where = batch.seen.copy()
    for points in methods.values():
        where &= _whole(points)
    return {name: score(batch, points, ahead, where).as_dict() for name, points in methods.items()}


# ------------------------------------------------------------------------------------------------ rotations

RotationClip = tuple[Array, Array, Array]
"""t [T] s, rotations that were observed [T, J, 3, 3] (NaN where lost), and the true ones."""

ROTATION_CUTOFFS = (0.3, 0.8, 1.5, 3.0, 6.0, 12.0)
ROTATION_BETAS = (0.0, 0.5, 1.5, 4.0, 10.0)


def evaluate_rotations(
    val: Sequence[RotationClip],
    train: Sequence[RotationClip],
    model: Any = None,
    *,
    lags: Sequence[int] = LAGS,
    cutoffs: Sequence[float] = ROTATION_CUTOFFS,
    betas: Sequence[float] = ROTATION_BETAS,
    **options: Any,
) -> dict[str, dict[str, dict[str, Any]]]:
    """For front-ends that give rotations: by lag and method, error in degrees and jitter in degrees a frame^2.

    One-Euro works on SO(3); both its parameters, and by how much of the lag it is held back, are chosen on ``train``.
    """
    settings = [(cutoff, beta) for cutoff in cutoffs for beta in betas]
    delays = range(max(lags) + 1)
    errors = np.zeros((len(settings), len(delays)))
    for place, setting in enumerate(settings):
        smoothed = [one_euro_rotations(seen, t, *setting) for t, seen, _ in train]
        errors[place] = [_rotation_score(train, smoothed, delay)["degrees"] for delay in delays]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for lag in lags:
        chosen, delay = divmod(int(np.argmin(errors[:, : lag + 1])), lag + 1)
        best = Setting(*settings[chosen], lag - delay)
        smoothed = [_rotations_at(t, one_euro_rotations(seen, t, *best[:2]), -best.late * STEP) for t, seen, _ in val]
        table: dict[str, dict[str, Any]] = {
            "raw": _rotation_score(val, [_rotations_at(t, seen, -lag * STEP) for t, seen, _ in val], lag),
            "oneeuro": {**_rotation_score(val, smoothed, lag), "setting": str(best)},
            "truth": _rotation_score(val, [_rotations_at(t, true, -lag * STEP) for t, _, true in val], lag),
        }
        if model is not None:
            table["posebert"] = _rotation_score(val, _stream_rotations(val, model, lag=lag, **options), lag)
        found[str(lag)] = table
    return found


def _stream_rotations(clips: Sequence[RotationClip], model: Any, **options: Any) -> list[Array]:
    stream = PoseBERTStream(model, **options)
    found = []
    for t, seen, _ in clips:
        stream.reset()
        answers = np.full(seen.shape, np.nan)
        for i, rotations in enumerate(seen):
            state = stream.update(float(t[i]), {1: Observation(rotations)}).get(1)
            if state is not None:
                answers[i] = state.rotations
        found.append(answers)
    return found


def _rotations_at(t: Array, R: Array, shift: float) -> Array:
    """R [T, J, 3, 3] at t + shift, on the shortest way between frames; NaN outside."""
    if shift == 0:
        return R
    at = t + shift
    after = np.clip(np.searchsorted(t, at - 1e-9), 1, len(t) - 1)
    share = (at - t[after - 1]) / np.maximum(t[after] - t[after - 1], 1e-9)
    a, b = R[after - 1].astype(float), R[after].astype(float)
    turn = vectors_from_matrices(np.swapaxes(a, -1, -2) @ b)
    made = a @ matrices_from_vectors(share.clip(0, 1)[:, None, None] * turn)
    made[(at < t[0] - 1e-6) | (at > t[-1] + 1e-6)] = np.nan
    return np.asarray(made)


def _rotation_score(clips: Sequence[RotationClip], answers: Sequence[Array], lag: int) -> dict[str, float]:
    """Mean error in degrees, and mean second difference in degrees a frame^2, where something was seen."""
    errors, jitters = [], []
    for (t, seen, true), found in zip(clips, answers, strict=True):
        goal = _rotations_at(t, true, -lag * STEP)
        on = np.flatnonzero(np.isfinite(seen).all(axis=(1, 2, 3)) & np.isfinite(found + goal).all(axis=(1, 2, 3)))
        errors.append(degrees(found[on], goal[on]).ravel())
        dt = np.diff(t[on]) / STEP
        speed = vectors_from_matrices(np.swapaxes(found[on][:-1], -1, -2) @ found[on][1:]) / dt[:, None, None]
        second = np.diff(speed, axis=0) * 2 / (dt[1:] + dt[:-1])[:, None, None]
        near = np.maximum(dt[1:], dt[:-1]) <= 2.1
        jitters.append(np.degrees(np.linalg.norm(second[near], axis=-1)).ravel())
    return {"degrees": float(np.concatenate(errors).mean()), "acceleration": float(np.concatenate(jitters).mean())}


def markdown(report: Mapping[str, Any]) -> str:
    """The report's tables."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    clips = report["clips"]
    yield f"{clips['val']} clips, {clips['frames']} frames with an observation; One-Euro tuned on {clips['train']} others."
    yield ""
    yield "| lag | method | error mm | change mm/frame | accel. mm/frame^2 | jerk mm/frame^3 | setting |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | --- |"
    titles = {
        "raw": "raw",
        "oneeuro": "One-Euro, tuned",
        "oneeuro_oracle": "One-Euro, tuned on these very clips",
        "oneeuro_as_calm": "One-Euro, as calm as PoseBERT (on these very clips)",
        "posebert": "**PoseBERT**",
        "truth": "truth",
    }
    for lag, entry in report["lags"].items():
        for name, title in titles.items():
            if (row := entry["methods"].get(name)) is not None:
                extra = row.get("setting", f"{row['degrees']:.2f} degrees" if "degrees" in row else "")
                yield f"| {lag} | {title} | {_numbers(row)} | {extra} |"
    for lag, entry in report["lags"].items():
        yield ""
        yield f"By speed of the fingers, lag {lag} (rest below 0.02, slow below 0.15 m/s):"
        yield ""
        yield "| speed | method | error mm | change | accel. | jerk | frames |"
        yield "| --- | --- | ---: | ---: | ---: | ---: | ---: |"
        for speed, table in entry["by_speed"].items():
            for name in ("raw", "oneeuro", "posebert", "truth"):
                if name in table:
                    yield f"| {speed} | {titles[name]} | {_numbers(table[name])} | {table[name]['frames']} |"
    gaps = report["gaps"]
    yield ""
    yield f"{100 * gaps['missing']:.0f} % of the frames missing in bursts of up to 10: error on these, mm."
    yield ""
    spans = list(gaps["by_age"])
    yield "| method | all | " + " | ".join(spans) + " |"
    yield "| --- |" + " ---: |" * (1 + len(spans))
    for name, row in gaps["methods"].items():
        parts = " | ".join(f"{gaps['by_age'][span][name]['error']:.2f}" for span in spans)
        yield f"| {name} | {row['error']:.2f} | {parts} |"
    yield ""
    yield "Prediction: error mm (acceleration)."
    yield ""
    ahead = list(report["prediction"])
    yield "| method | " + " | ".join(f"{1e3 * float(a):.0f} ms" for a in ahead) + " |"
    yield "| --- |" + " ---: |" * len(ahead)
    for name in next(iter(report["prediction"].values())):
        rows = [report["prediction"][a][name] for a in ahead]
        yield f"| {name} | " + " | ".join(f"{r['error']:.2f} ({r['acceleration']:.2f})" for r in rows) + " |"


def _numbers(row: Mapping[str, Any]) -> str:
    return f"{row['error']:.2f} | {row['change']:.2f} | {row['acceleration']:.2f} | {row['jerk']:.2f}"
