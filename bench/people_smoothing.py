"""Smoothing of people whom a model sees in single frames: error, trembling, lag, on films of exact truth.

    python bench/people_smoothing.py --motions ../shared/mocap --out DIR           # on the films of people_rendered.py
    python bench/people_smoothing.py --motions ../shared/mocap --tune              # search of the parameters

Parameters are searched on `TRAINING`, films of other recordings, people and scenes (CMU's part ``train``); what is
reported is measured on `people_rendered.FILMS`. The network runs once per film, the camera known; its results go
through each smoother, and the body is posed.

Columns, over people who are at least a quarter visible and whose head is in the picture:

- **recall**, **false** finds a frame, **filled**: of the people that count as found, how many were filled in;
- **joints**: the body's joints in camera space, **about the pelvis** with the root aligned, mean mm; **depth**: of the
  pelvis, mean % of the true;
- **motion**: error of how far a joint moves within 0.1 s, mean mm, in camera space and about the pelvis: both trembling
  and lag make it larger, a constant error does not;
- **acceleration**: second differences of the joints about the pelvis, and **of the pelvis** itself, mean mm/frame^2;
- **lag**: delay at which the joints' motion about the pelvis agrees best with the true one, ms;
- **breathing**: standard deviation of a person's stature over a film, mean mm;
- **ms**: of smoothing, per person and frame.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.files import write_atomically
from humanrt.geometry.anny import ANNY_BONES
from humanrt.people.metrics import Bodies, PeopleMetrics
from humanrt.people.multihmr import MultiHMR
from humanrt.people.pipeline import PeoplePipeline
from humanrt.people.results import People
from humanrt.people.smoother import OneEuroPeople, PeopleSmoother, PeopleSmootherOptions
from humanrt.people.two_sided import TwoSidedOptions, smooth_track
from humanrt.stats import machine, write_report
from people_rendered import FILMS, Film, Scene, films
from smoothing_runs import Seen, look

__all__ = ["TRAINING", "Score", "Smoothed", "perceive", "score", "smooth"]

Array = NDArray[Any]

TRAINING = (
    Film("training: cmu, one", 1701, 1, 960, 720, "randomised", "cmu_asfamc.tar.xz", "train"),
    Film("training: cmu, two", 1702, 2, 960, 720, "outdoor", "cmu_asfamc.tar.xz", "train"),
)
_TRAINING_SECONDS = 4.0
_WITHIN = 3  # frames at 30 a second, over which a joint's motion is measured
_MAX_LAG = 50.0  # ms
_LAGS = range(-3, 13)  # frames


@dataclass(frozen=True)
class Smoothed:
    """One frame after smoothing: people with joints, and who of them was filled in."""

    people: People
    ids: tuple[int, ...]
    filled: frozenset[int]


def perceive(model: MultiHMR, scene: Scene) -> list[Seen]:
    """Return what a model sees in a film, the camera known."""
    pipeline = PeoplePipeline(model, intrinsics=scene.intrinsics)  # not closed: it would close the model
    return look(pipeline, scene.frames())


def smooth(
    model: MultiHMR, seen: Iterable[Seen], size: tuple[int, int], smoother: PeopleSmoother | None
) -> tuple[list[Smoothed], float]:
    """Return a film's people after smoothing, and the seconds that smoothing took; None: as they were seen."""
    frames, seconds = [], 0.0
    for one in seen:
        people, ids, filled = one.people, one.identities.ids, frozenset[int]()
        if smoother is not None:
            start = perf_counter()
            result = smoother(people, one.identities, one.t, size, cut=one.cut)
            seconds += perf_counter() - start
            people, ids, filled = result.people, result.ids, result.filled
        posed = model.posed(people)
        frames.append(Smoothed(replace(posed, vertices=None), ids, filled))
    return frames, seconds


def offline(seen: Sequence[Seen], options: TwoSidedOptions) -> list[Seen]:
    """Return a film's people smoothed from both sides, each with the mean of their shapes; nobody is filled in."""
    tracks: dict[int, list[tuple[int, int]]] = {}
    for number, one in enumerate(seen):
        for i, id in enumerate(one.identities.ids):
            tracks.setdefault(id, []).append((number, i))
    moved = [(one.people.rotations.copy(), one.people.translations.copy(), one.people.shape.copy()) for one in seen]
    for track in tracks.values():
        some = [moved[number] for number, _ in track]
        rows = [i for _, i in track]
        rotations, translations, shapes = (
            np.array([one[k][i] for one, i in zip(some, rows, strict=True)]) for k in range(3)
        )
        times = np.array([seen[number].t for number, _ in track])
        smooth = (*smooth_track(times, rotations, translations, options), [shapes.mean(axis=0)] * len(track))
        for place, (number, i) in enumerate(track):
            for into, values in zip(moved[number], smooth, strict=True):
                into[i] = values[place]
    return [
        replace(one, people=replace(one.people, rotations=parts[0], translations=parts[1], shape=parts[2]))
        for one, parts in zip(seen, moved, strict=True)
    ]


@dataclass
class Score:
    """What is measured of one smoother, over all films; see the module's text for the columns.

    Attributes:
        joint_names: [J], Anny's.
        statures: m, of every identity's frames.
    """

    joint_names: tuple[str, ...]
    metrics: PeopleMetrics = field(init=False)
    frames: int = 0
    people: int = 0
    filled: int = 0
    camera: list[Array] = field(default_factory=list)
    depth: list[float] = field(default_factory=list)
    motion: list[Array] = field(default_factory=list)
    motion_about: list[Array] = field(default_factory=list)
    acceleration: list[Array] = field(default_factory=list)
    pelvis: list[Array] = field(default_factory=list)
    own: list[Array] = field(default_factory=list)
    own_pelvis: list[Array] = field(default_factory=list)
    agreement: list[Array] = field(default_factory=list)
    breathing: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.metrics = PeopleMetrics(self.joint_names)

    def summary(self) -> dict[str, float]:
        """Return the columns by name."""
        body = self.metrics.summary()

        def mm(parts: Sequence[Array]) -> float:
            return 1000 * float(np.concatenate(parts).mean()) if parts else float("nan")

        return {
            "people": body["people"],
            "recall": body["recall"],
            "false": self.metrics.wrong / max(1, self.frames),
            "filled": float(self.filled),
            "joints": mm(self.camera),
            "root": body["mpjpe"],
            "depth": 100 * float(np.mean(self.depth)),
            "motion": mm(self.motion),
            "motion_about": mm(self.motion_about),
            "acceleration": mm(self.acceleration),
            "own": mm(self.own),
            "pelvis": mm(self.pelvis),
            "own_pelvis": mm(self.own_pelvis),
            "lag": 1000 / 30 * _peak(np.sum(self.agreement, axis=0)),
            "breathing": 1000 * float(np.mean(self.breathing)),
            "ms": 1000 * self.seconds / max(1, self.people),
        }


def score(scene: Scene, frames: Sequence[Smoothed], tally: Score) -> None:
    """Add a film to a score."""
    body = [scene.joint_names.index(bone) for bone in ANNY_BONES if not bone.startswith(("finger", "metacarpal"))]
    count = len(scene.joints)
    paths: dict[int, Array] = {}
    statures: dict[int, list[float]] = {}
    for number, one in enumerate(frames):
        tally.frames += 1
        tally.people += len(one.ids)
        people = one.people
        assert people.joints is not None
        for i, id in enumerate(one.ids):
            statures.setdefault(id, []).append(_stature(people.joints[i], scene.joint_names))
        for i, j in tally.metrics.add(Bodies(people.joints, people.locations), scene.bodies(number)):
            paths.setdefault(j, np.full((count, len(body), 3), np.nan))[number] = people.joints[i][body]
            tally.filled += one.ids[i] in one.filled
    for j, path in paths.items():
        true = np.where(np.isfinite(path), scene.joints[:, j][:, body].astype(np.float64), np.nan)
        tally.camera.append(_finite(np.linalg.norm(path - true, axis=-1)))
        tally.depth += _finite(np.abs(path[:, 0, 2] / true[:, 0, 2] - 1)).tolist()
        about, true_about = path - path[:, :1], true - true[:, :1]
        tally.motion.append(_finite(np.linalg.norm(_moves(path) - _moves(true), axis=-1)))
        tally.motion_about.append(_finite(np.linalg.norm(_moves(about) - _moves(true_about), axis=-1)))
        for points, into in (
            (about[:, 1:], tally.acceleration),
            (true_about[:, 1:], tally.own),
            (path[:, :1], tally.pelvis),
            (true[:, :1], tally.own_pelvis),
        ):
            into.append(_finite(np.linalg.norm(points[2:] - 2 * points[1:-1] + points[:-2], axis=-1)))
        whole = scene.joints[:, j][:, body].astype(np.float64)
        tally.agreement.append(_agreement(about, whole - whole[:, :1]))
    tally.breathing += [float(np.std(some)) for some in statures.values() if len(some) > _WITHIN]


def _moves(points: Array) -> Array:
    return np.asarray(points[_WITHIN:] - points[:-_WITHIN])


def _finite(values: Array) -> Array:
    return np.asarray(values[np.isfinite(values)])


def _stature(joints: Array, names: tuple[str, ...]) -> float:
    """Return the length m of legs, trunk and neck, which no rotation changes."""
    chain = ("foot.L", "lowerleg02.L", "lowerleg01.L", "upperleg02.L", "upperleg01.L", "root")
    chain += ("spine05", "spine04", "spine03", "spine02", "spine01", "neck01", "neck02", "neck03", "head")
    points = joints[[names.index(name) for name in chain]]
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def _agreement(path: Array, true: Array) -> Array:
    """Return sums [lags, 2]: products of the joints' motion with the true one so much earlier, and that one squared.

    Products do not depend on how much the joints tremble.
    """
    moves, true_moves = _moves(path), _moves(true)
    sums = np.zeros((len(_LAGS), 2))
    for row, lag in zip(sums, _LAGS, strict=True):
        late = moves[max(lag, 0) : len(moves) + min(lag, 0)]
        early = true_moves[max(-lag, 0) : len(moves) - max(lag, 0)]
        known = np.isfinite(late)
        row[:] = (late * early)[known].sum(), (early * early)[known].sum()
    return sums


def _peak(sums: Array) -> float:
    """Return the lag of the best agreement, frames, between those that were tried."""
    worth = -sums[:, 0] / np.sqrt(sums[:, 1])
    k = int(np.argmin(worth))
    if not 0 < k < len(worth) - 1:
        return float(_LAGS[k])
    a, b, c = worth[k - 1 : k + 2]
    return _LAGS[k] + 0.5 * float((a - c) / (a - 2 * b + c))


_COLUMNS = {
    "recall": ("recall", "{:.2f}"),
    "false": ("false a frame", "{:.2f}"),
    "filled": ("filled", "{:.0f}"),
    "joints": ("joints mm", "{:.0f}"),
    "root": ("about the pelvis mm", "{:.1f}"),
    "depth": ("depth %", "{:.1f}"),
    "motion": ("motion mm", "{:.1f}"),
    "motion_about": ("about the pelvis mm", "{:.1f}"),
    "acceleration": ("acceleration mm/frame²", "{:.1f}"),
    "pelvis": ("of the pelvis", "{:.1f}"),
    "lag": ("lag ms", "{:.0f}"),
    "breathing": ("breathing mm", "{:.1f}"),
    "ms": ("ms", "{:.2f}"),
}


def report(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Return a table in Markdown."""
    lines = ["| | " + " | ".join(head for head, _ in _COLUMNS.values()) + " |", "| --- " * (1 + len(_COLUMNS)) + "|"]
    for name, row in rows.items():
        lines.append(f"| {name} | " + " | ".join(form.format(row[key]) for key, (_, form) in _COLUMNS.items()) + " |")
    own = next(iter(rows.values()))
    lines.append(f"\nThe people's own acceleration: {own['own']:.1f}, of the pelvis {own['own_pelvis']:.1f} mm/frame².")
    return "\n".join(lines) + "\n"


class Bench:
    """Films seen by one model, through which smoothers are sent."""

    def __init__(self, bundle: str, scenes: Sequence[Scene], threads: int) -> None:
        self.model = MultiHMR(bundle, threads=threads)
        self.scenes = scenes
        self.seen = [perceive(self.model, scene) for scene in scenes]

    def __call__(
        self, make: Callable[[], PeopleSmoother | None], two_sided: TwoSidedOptions | None = None
    ) -> dict[str, float]:
        """Return the columns of a smoother, or of smoothing from both sides."""
        tally = Score(self.model.joint_names)
        for scene, seen in zip(self.scenes, self.seen, strict=True):
            frames, seconds = smooth(
                self.model, seen if two_sided is None else offline(seen, two_sided), scene.size, make()
            )
            tally.seconds += seconds
            score(scene, frames, tally)
        return tally.summary()


def tune(bench: Bench, rounds: int = 2) -> None:
    """Search one parameter after the other for the least error of motion.

    Errors of place may not be larger than without smoothing, and the lag not more than `_MAX_LAG` larger.
    """
    raw = bench(lambda: None)
    print("raw", _line(raw), flush=True)
    best = PeopleSmootherOptions(fill_seconds=0.0)
    cost = np.inf  # the parameters that ship are where the search begins
    cutoffs, betas, derivatives = (0.1, 0.3, 0.6, 1.0, 2.0, 3.0), (0.0, 0.5, 1.0, 2.0, 4.0), (0.3, 1.0, 2.0)
    for _ in range(rounds):
        for part in ("rotations", "position", "distance"):
            for name, values in (("min_cutoff", cutoffs), ("beta", betas), ("derivative_cutoff", derivatives)):
                for value in values:
                    options = replace(best, **{part: replace(getattr(best, part), **{name: value})})
                    row = bench(lambda options=options: OneEuroPeople(options))
                    worse = max(row[key] / raw[key] for key in ("joints", "root"))
                    allowed = worse <= 1 and row["lag"] <= raw["lag"] + _MAX_LAG
                    now = row["motion"] + row["motion_about"] if allowed else np.inf
                    print(f"{part}.{name} {value}: {now:.2f} {_line(row)}", flush=True)
                    if now < cost - 0.005:
                        cost, best = now, options
    print(best)
    offline_best, cost = TwoSidedOptions(), np.inf
    for part, values in (("rotations", (0.05, 0.1, 0.15)), ("position", (0.05, 0.1)), ("distance", (0.2, 0.4, 0.8))):
        for value in values:
            choice = replace(offline_best, **{part: value})
            row = bench(lambda: None, choice)
            now = row["motion"] + row["motion_about"]
            print(f"two-sided {part} {value}: {now:.2f} {_line(row)}", flush=True)
            if now < cost - 0.005:
                cost, offline_best = now, choice
    print(offline_best)


def _line(row: Mapping[str, float]) -> str:
    return ", ".join(f"{key} {form.format(row[key])}" for key, (_, form) in _COLUMNS.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="multihmr-anny", metavar="NAME|PATH")
    parser.add_argument("--motions", type=Path, metavar="DIR", help="folder of the recordings' archives")
    parser.add_argument("--film", type=int, nargs="*", metavar="I", help=f"of the {len(FILMS)} films (default: all)")
    parser.add_argument("--tune", action="store_true", help="search parameters on the films of training")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for people_smoothing.json and people_smoothing.md")
    arguments = parser.parse_args()
    if arguments.tune:
        scenes = list(films(TRAINING, arguments.motions, _TRAINING_SECONDS))
        tune(Bench(arguments.bundle, scenes, arguments.threads))
        return
    chosen = [FILMS[index] for index in arguments.film] if arguments.film else FILMS
    bench = Bench(arguments.bundle, list(films(chosen, arguments.motions)), arguments.threads)
    alternatives: dict[str, Callable[[], PeopleSmoother | None]] = {
        "raw": lambda: None,
        "oneeuro": OneEuroPeople,
        "oneeuro, nothing filled": lambda: OneEuroPeople(PeopleSmootherOptions(fill_seconds=0.0)),
    }
    rows = {}
    for name, make in alternatives.items():
        rows[name] = bench(make)
        print(f"{name}: {_line(rows[name])}", flush=True)
    rows["two-sided"] = bench(lambda: None, TwoSidedOptions())
    print(f"two-sided: {_line(rows['two-sided'])}", flush=True)
    text = report(rows)
    print(text)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        result = {"machine": machine(), "bundle": arguments.bundle, "rows": rows}
        write_report(arguments.out / "people_smoothing.json", result)
        write_atomically(arguments.out / "people_smoothing.md", text.encode())


if __name__ == "__main__":
    main()
