"""PoseBERT beside One-Euro for people of single frames: at every lag, over missing frames, and ahead of time.

    python bench/people_posebert.py --motions ../shared/mocap --pairs PAIRS --bundle posebert-people --out DIR

Films and truth are those of `people_rendered.FILMS`, which nothing was trained, tuned or chosen on; `multihmr-anny`
looks at them once, the camera known. Errors are of the body's joints about the pelvis, mean mm, and their
acceleration, mm/frame^2: where people are is One-Euro's whoever smooths the body. **lag**: what is known so many frames
later is compared with the truth of the frame. **missing**: a fifth of everybody's frames are taken away in bursts of up
to 10, and only these are measured. **ahead**: what is shown after a frame is compared with the truth so much later.

One-Euro's cut-off and its growth with speed are searched for each lag on pairs of training (`--pairs`, of
`humanrt_export.data.poses.pairs_people`), for least error of how far joints move within 0.1 s.

    python bench/people_posebert.py --cost --bundle posebert-people            how long it takes, for 1 and 8 bodies
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import SAME_INSTANT
from humanrt.files import write_atomically
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPL_REST, SMPLX_BODY_PARENTS, world_rotations
from humanrt.inference.execution import Execution
from humanrt.people.body_turns import BodyTurns
from humanrt.people.multihmr import MultiHMR
from humanrt.people.pose_smoother import PoseBertPeople
from humanrt.people.results import People
from humanrt.people.smoother import OneEuroPeople, PeopleSmoother, PeopleSmootherOptions, SmoothedPeople
from humanrt.people.tracking import Identities
from humanrt.posebert.stream import Observation, PoseBERTStream
from humanrt.smoothing.one_euro import OneEuroOptions
from humanrt.smoothing.one_euro_rotations import OneEuroRotations
from humanrt.stats import machine, write_report
from people_rendered import FILMS, Scene, films
from people_smoothing import Score, Seen, Smoothed, perceive, score

Array = NDArray[Any]

LAGS = (0, 1, 2, 4, 8)
AHEAD = (3, 6)  # frames: 0.1 s and 0.2 s
_MISSING, _LONGEST, _REPEATS = 0.2, 10, 3
_WITHIN = 3  # frames over which motion is measured
_BODY = len(SMPLX_BODY_PARENTS)
_CUTOFFS, _BETAS = (0.3, 0.6, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0), (0.0, 0.5, 1.0, 2.0)


def places(rotations: Array) -> Array:
    """Return joints [..., 22, 3] m about the pelvis of an average person."""
    world = world_rotations(rotations, SMPLX_BODY_PARENTS)
    result = np.zeros((*rotations.shape[:-3], _BODY, 3))
    for joint, parent in enumerate(SMPLX_BODY_PARENTS):
        if parent >= 0:
            bone = SMPL_REST[joint] - SMPL_REST[parent]
            result[..., joint, :] = result[..., parent, :] + world[..., parent, :, :] @ bone
    return result


def tuned(folder: Path) -> dict[int, OneEuroOptions]:
    """Return One-Euro's parameters of the least error of motion, by lag, on pairs of training.

    Raises:
        SystemExit: no pair has somebody in enough frames.
    """
    pairs, paths = [], sorted(folder.glob("*.npz"))
    for path in paths:
        with np.load(path, allow_pickle=False) as arrays:
            observed, truth = (arrays[name][:, :_BODY].astype(np.float64) for name in ("observed", "rotations"))
            there = np.isfinite(observed).all(axis=(1, 2, 3))
            if there.sum() <= max(LAGS) + _WITHIN:  # hardly seen
                continue
            pairs.append((arrays["t"][there], observed[there], places(truth[there])))
    if not pairs:
        raise SystemExit(
            f"{folder}: {len(paths)} pairs, in none of which somebody is seen in more than {max(LAGS) + _WITHIN} "
            "frames; give pairs of  python -m humanrt_export.data.poses.pairs_people"
        )
    costs: dict[int, dict[OneEuroOptions, float]] = {lag: {} for lag in LAGS}
    for cutoff, beta in product(_CUTOFFS, _BETAS):
        options = OneEuroOptions(cutoff, beta, 1.0)
        errors: dict[int, list[Array]] = {lag: [] for lag in LAGS}
        for times, observed, truth in pairs:
            smooth = OneEuroRotations(options)
            found = places(np.array([smooth(one, t) for one, t in zip(observed, times, strict=True)]))
            for lag in LAGS:
                late, true = found[lag:], truth[: len(truth) - lag]
                off = (late[_WITHIN:] - late[:-_WITHIN]) - (true[_WITHIN:] - true[:-_WITHIN])
                errors[lag].append(np.linalg.norm(off, axis=-1).ravel())
        for lag in LAGS:
            costs[lag][options] = float(np.concatenate(errors[lag]).mean())
    return {lag: min(some, key=some.__getitem__) for lag, some in costs.items()}


Run = Callable[[Scene, Sequence[Seen]], list[SmoothedPeople | None]]
"""From what is seen in a film to people, by the frame whose truth they are compared with; None: not measured."""


def nobody(people: People) -> SmoothedPeople:
    """Return nobody."""
    return SmoothedPeople(chosen(people, np.zeros(len(people), bool)), ())


def chosen(people: People, mask: Array) -> People:
    """Return some of the people."""
    names = ("scores", "locations", "translations", "rotations", "shape", "expression")
    return replace(people, **{name: getattr(people, name)[mask] for name in names})


def as_seen(scene: Scene, seen: Sequence[Seen]) -> list[SmoothedPeople | None]:
    """Return people as the network sees them."""
    return [SmoothedPeople(one.people, one.identities.ids) for one in seen]


def through(make: Callable[[], PeopleSmoother], lag: int = 0) -> Run:
    """Return a smoother whose result is taken for the frame ``lag`` frames before."""

    def run(scene: Scene, seen: Sequence[Seen]) -> list[SmoothedPeople | None]:
        smoother = make()
        results = [smoother(one.people, one.identities, one.t, scene.size, cut=one.cut) for one in seen]
        smoother.close()
        return [*results[lag:], *[None] * lag]

    return run


def lagging(bundle: str, turns: BodyTurns, lag: int) -> Run:
    """Return PoseBERT with a lag: its rotations of the frame so long ago, everything else One-Euro's of then."""

    def run(scene: Scene, seen: Sequence[Seen]) -> list[SmoothedPeople | None]:
        smoother, results, kept = OneEuroPeople(PeopleSmootherOptions(fill_seconds=0.0)), [], []
        with PoseBERTStream(bundle, lag=lag, threads=1) as stream:
            for one in seen:
                kept.append(smoother(one.people, one.identities, one.t, scene.size, cut=one.cut))
                body = turns.read(one.people.rotations)
                missing = np.broadcast_to(np.eye(3), (len(body), len(stream.joints) - _BODY, 3, 3))
                body = np.concatenate([body, missing], axis=1)
                ids, scores = one.identities.ids, one.people.scores
                observed = {id: Observation(a, float(b)) for id, a, b in zip(ids, body, scores, strict=True)}
                poses = stream.update(one.t, observed, one.identities.lost)
                if len(kept) > lag:
                    results.append(turned(kept[-1 - lag], poses, turns))
        return [*results, *[None] * (len(seen) - len(results))]

    return run


def turned(smoothed: SmoothedPeople, poses: Mapping[int, Any], turns: BodyTurns) -> SmoothedPeople:
    """Return people with the poses' bodies."""
    rotations = smoothed.people.rotations.copy()
    for i, id in enumerate(smoothed.ids):
        if id in poses:
            rotations[i] = turns.replaced(rotations[i], poses[id].rotations[:_BODY])
    return replace(smoothed, people=replace(smoothed.people, rotations=rotations))


def over_gaps(make: Callable[[], PeopleSmoother], seed: int) -> Run:
    """Return a smoother that does not see a fifth of everybody's frames; only those are measured."""

    def run(scene: Scene, seen: Sequence[Seen]) -> list[SmoothedPeople | None]:
        rng, smoother = np.random.default_rng([seed, len(seen), len(scene.joints[0])]), make()
        hidden: dict[int, Array] = {}
        results: list[SmoothedPeople | None] = []
        for number, one in enumerate(seen):
            for id in one.identities.ids:
                if id not in hidden:
                    hidden[id] = bursts(rng, len(seen), first=number + 15)
            taken = np.array([hidden[id][number] for id in one.identities.ids], bool)
            left = tuple(id for id, gone in zip(one.identities.ids, taken, strict=True) if not gone)
            people = chosen(one.people, ~taken)
            lost = Identities(left, one.identities.lost)
            result = smoother(people, lost, one.t, scene.size, cut=one.cut)
            wanted = {id for id, gone in zip(one.identities.ids, taken, strict=True) if gone}
            mask = np.array([id in wanted for id in result.ids], bool)
            some = SmoothedPeople(chosen(result.people, mask), tuple(id for id in result.ids if id in wanted))
            results.append(some)
        smoother.close()
        return results

    return run


def bursts(rng: np.random.Generator, frames: int, first: int) -> Array:
    """Return which frames [T] are missing: about a fifth, in bursts of 1 to 10, none before ``first``."""
    hidden = np.zeros(frames, bool)
    at = first
    while at < frames:
        length = int(rng.integers(1, _LONGEST + 1))
        hidden[at : at + length] = True
        at += length + round(length * (1 - _MISSING) / _MISSING)
    return hidden


def ahead(make: Callable[[], PeopleSmoother], frames: int, *, hold: bool = False) -> Run:
    """Return what a smoother predicts for so many frames later; ``hold``: what it has now."""

    def run(scene: Scene, seen: Sequence[Seen]) -> list[SmoothedPeople | None]:
        smoother = make()
        results: list[SmoothedPeople | None] = [None] * frames
        for number, one in enumerate(seen):
            now = smoother(one.people, one.identities, one.t, scene.size, cut=one.cut)
            if number + frames < len(seen):
                results.append(now if hold else smoother.predicted(one.t + frames / 30 - SAME_INSTANT))
        smoother.close()
        return results

    return run


class Bench:
    """Films seen once by one model, through which runs are sent."""

    def __init__(self, bundle: str, scenes: Sequence[Scene], threads: int) -> None:
        self.model = MultiHMR(bundle, threads=threads)
        self.scenes = scenes
        self.seen = [perceive(self.model, scene) for scene in scenes]
        self.bones = self.model.rig.bones

    def __call__(self, *runs: Run) -> dict[str, float]:
        """Return what is measured, of all runs together."""
        tally = Score(self.model.joint_names)
        for run, (scene, seen) in product(runs, zip(self.scenes, self.seen, strict=True)):
            frames = []
            for one, result in zip(seen, run(scene, seen), strict=True):
                result = result or nobody(one.people)
                posed = self.model.posed(result.people)
                frames.append(Smoothed(replace(posed, vertices=None), result.ids, result.filled))
            score(scene, frames, tally)
        row = tally.summary()
        return {"error": row["root"], "motion": row["motion_about"], "acceleration": row["acceleration"]} | {
            "people": row["people"] * row["recall"],
            "own": row["own"],
        }


def cost(bundle: str, frames: int = 150) -> None:
    """Print how long smoothing takes for a frame of 1 and 8 bodies of Anny's that tremble, on one thread, in ms."""
    rng = np.random.default_rng(0)
    for count in (1, 8):
        turned = 0.3 + 0.05 * rng.normal(size=(frames, count, len(ANNY_BONES), 3))
        zeros = np.zeros((count, 0), np.float32)
        ids = Identities(tuple(range(1, count + 1)), ())
        network = PoseBertPeople(ANNY_BONES, len(ANNY_BONES), bundle, backend=Execution(threads=1))
        for name, smoother in (("One-Euro", OneEuroPeople()), ("PoseBERT", network)):
            took = []
            for number, vectors in enumerate(turned):
                people = People(
                    np.ones(count, np.float32),
                    np.tile(np.float32(100), (count, 2)),
                    np.stack([np.arange(count) - 4.0, np.zeros(count), np.full(count, 5.0)], 1).astype(np.float32),
                    matrices_from_vectors(vectors).astype(np.float32),
                    zeros,
                    zeros,
                    np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]),
                )
                start = perf_counter(), process_time()
                smoother(people, ids, number / 30, (640, 480))
                took.append((1000 * (perf_counter() - start[0]), 1000 * (process_time() - start[1])))
            smoother.close()
            best, processor = np.min(took, axis=0)[0], np.median(took, axis=0)[1]
            print(f"{name}, bodies {count}: {best:.1f} ms at best, {processor:.1f} of a processor in the median")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", type=Path, metavar="DIR", help="folder of the recordings' archives")
    parser.add_argument("--pairs", type=Path, metavar="DIR", help="pairs of training, to tune One-Euro")
    parser.add_argument("--cost", action="store_true", help="only how long it takes, for 1 and 8 bodies")
    parser.add_argument("--bundle", default="posebert-people", metavar="NAME|PATH", help="of PoseBERT")
    parser.add_argument("--people", default="multihmr-anny", metavar="NAME|PATH", help="bundle that sees people")
    parser.add_argument("--film", type=int, nargs="*", metavar="I", help=f"of the {len(FILMS)} films (default: all)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder for people_posebert.json and people_posebert.md")
    arguments = parser.parse_args()
    if arguments.cost:
        cost(arguments.bundle)
        return
    if arguments.pairs is None:
        parser.error("--pairs is needed")
    best = tuned(arguments.pairs)
    for lag, options in best.items():
        print(f"One-Euro at lag {lag}: {options}", flush=True)
    some = [FILMS[index] for index in arguments.film] if arguments.film else FILMS
    bench = Bench(arguments.people, list(films(some, arguments.motions)), arguments.threads)
    turns = BodyTurns(bench.bones, len(bench.bones))
    patient = replace(PeopleSmootherOptions(), fill_seconds=0.4)
    still = replace(patient, coast_seconds=1e-3)

    def posebert(options: PeopleSmootherOptions | None = None) -> PeopleSmoother:
        return PoseBertPeople(bench.bones, len(bench.bones), arguments.bundle, options, backend="cpu")

    gaps: Mapping[str, Callable[[], PeopleSmoother]] = {
        "held": partial(OneEuroPeople, still),
        "One-Euro, extrapolated": partial(OneEuroPeople, patient),
        "PoseBERT": partial(posebert, patient),
    }
    runs: dict[str, Sequence[Run]] = {"raw": [as_seen]}
    for lag in LAGS:
        filtered = PeopleSmootherOptions(rotations=best[lag], fill_seconds=0.0)
        runs[f"lag {lag}: One-Euro, tuned"] = [through(partial(OneEuroPeople, filtered), lag)]
        if not lag:
            shipped = replace(filtered, rotations=PeopleSmootherOptions().rotations)
            runs["lag 0: One-Euro as it ships"] = [through(partial(OneEuroPeople, shipped))]
        runs[f"lag {lag}: PoseBERT"] = [lagging(arguments.bundle, turns, lag)]
    for name, make in gaps.items():
        runs[f"missing: {name}"] = [over_gaps(make, seed) for seed in range(_REPEATS)]
    for frames in AHEAD:
        runs[f"{100 * frames // 3} ms ahead: held"] = [ahead(OneEuroPeople, frames, hold=True)]
        runs[f"{100 * frames // 3} ms ahead: One-Euro, extrapolated"] = [ahead(OneEuroPeople, frames)]
        runs[f"{100 * frames // 3} ms ahead: PoseBERT"] = [ahead(posebert, frames)]
    rows: dict[str, dict[str, float]] = {}
    lines = ["| | error | motion | acceleration | people |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, some_runs in runs.items():
        row = rows[name] = bench(*some_runs)
        cells = [f"{row[key]:.1f}" for key in ("error", "motion", "acceleration")] + [f"{row['people']:.0f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    text = "\n".join(lines) + f"\n\nThe people's own acceleration: {rows['raw']['own']:.1f} mm/frame².\n"
    print(text)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        chosen_by_lag = {str(lag): vars(options) for lag, options in best.items()}
        result = {"machine": machine(), "one_euro": chosen_by_lag, "rows": rows}
        write_report(arguments.out / "people_posebert.json", result)
        write_atomically(arguments.out / "people_posebert.md", text.encode())


if __name__ == "__main__":
    main()
