"""PoseBERT beside One-Euro for people of any bundle: at every lag, over missing frames, and ahead of time.

    python bench/people_posebert.py --motions ../shared/mocap --pairs PAIRS --bundle posebert-people --out DIR
    python bench/people_posebert.py --motions ../shared/mocap --people holistic:fast --out DIR

Films and truth are those of `people_rendered.FILMS`, which nothing was trained, tuned or chosen on; the bundle looks at
them once, the camera known, `holistic` with what it links frames by itself. Errors are of the body's joints about the
pelvis, mean mm, and their acceleration, mm/frame^2: where people are is One-Euro's whoever smooths the body. **lag**:
what is known so many frames later is compared with the truth of the frame. **missing**: a fifth of everybody's frames
are taken away in bursts of up to 10, and only these are measured; what the solver of `holistic` fills in itself is of
frames in which it did not see the landmarks. **ahead**: what is shown after a frame is compared with the truth so much
later; held: what was seen, of a Multi-HMR smoothed.

``--share``: besides, blends, which go this part of the way from One-Euro's rotations to PoseBERT's.

With ``--pairs``, rows of One-Euro whose cut-off and growth with speed are searched for each lag on pairs of training
(`humanrt_export.data.poses.pairs_people`), for least error of how far joints move within 0.1 s.

    python bench/people_posebert.py --people holistic:fast --later FILM ...    predictions beside what is seen later
    python bench/people_posebert.py --cost --bundle posebert-people            how long it takes, for 1 and 8 bodies
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle.settings import MULTIHMR, people_model
from humanrt.files import write_atomically
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPL_REST, SMPLX_BODY_PARENTS, world_rotations
from humanrt.inference.execution import Execution
from humanrt.people.body_turns import BodyTurns
from humanrt.people.holistic import HolisticPeople
from humanrt.people.landmarks import Quality
from humanrt.people.pose_smoother import PoseBertPeople
from humanrt.people.results import People
from humanrt.people.smoother import FOLLOWED, OneEuroPeople, PeopleSmoother, PeopleSmootherOptions, SmoothedPeople
from humanrt.people.tracking import Identities
from humanrt.smoothing.one_euro import OneEuroOptions
from humanrt.smoothing.one_euro_rotations import OneEuroRotations
from humanrt.sources.opening import Frame, open_source
from humanrt.stats import machine, write_report
from humanrt.tasks import open_people
from people_rendered import FILMS, Scene, films
from people_smoothing import Score, Smoothed, score
from people_views import bundle_options
from smoothing_runs import AHEAD, LAGS, Blinking, Run, Seen, ahead, as_seen, lagging, look, nobody, over_gaps, through

Array = NDArray[Any]

_REPEATS = 3
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


class Bench:
    """Films seen once by one bundle for people, ``NAME|PATH[:QUALITY]``, through which runs are sent.

    Attributes:
        turns: the body's rotations among those of the people.
        options: of One-Euro behind this bundle.
        followed: the bundle links frames itself.
    """

    def __init__(self, bundle: str, scenes: Sequence[Scene], threads: int) -> None:
        name, options = bundle_options(bundle)
        self.followed = people_model(name) != MULTIHMR
        self._pipeline = open_people(
            name, "cpu", replace(options, smooth=None if self.followed else "none"), threads=threads
        )
        self.model = self._pipeline.model
        self.scenes = scenes
        self.seen = [self.look(scene.frames(), scene.intrinsics) for scene in scenes]
        bones = self.model.rig.bones
        self.turns, self.bones = BodyTurns(bones, len(bones)), bones
        self.options = FOLLOWED if self.followed else PeopleSmootherOptions()

    def look(self, frames: Iterable[Frame], K: Array | None = None) -> list[Seen]:
        """Return what the bundle sees in a film."""
        self._pipeline.intrinsics = K
        return look(self._pipeline, frames)

    def __call__(self, *runs: Run) -> dict[str, float]:
        """Return what is measured, of all runs together."""
        every = product(runs, zip(self.scenes, self.seen, strict=True))
        return self.measured((scene, run(scene.size, seen)) for run, (scene, seen) in every)

    def measured(self, results: Iterable[tuple[Scene, Sequence[SmoothedPeople | None]]]) -> dict[str, float]:
        """Return what is measured of people in films."""
        tally = Score(self.model.joint_names)
        empty = nobody(self.seen[0][0].people)
        for scene, frames in results:
            smoothed = []
            for result in frames:
                shown = result or empty
                posed = self.model.posed(shown.people)
                smoothed.append(Smoothed(replace(posed, vertices=None), shown.ids, shown.filled))
            score(scene, smoothed, tally)
        row = tally.summary()
        return {"error": row["root"], "motion": row["motion_about"], "acceleration": row["acceleration"]} | {
            "people": row["people"] * row["recall"],
            "own": row["own"],
        }

    def filled_in(self, quality: Quality, threads: int) -> dict[str, float]:
        """Return what is measured of those whom `HolisticPeople` fills in itself."""
        with Blinking(self.model.bundle, quality=quality, threads=threads, meshes=False) as model:
            return self.measured(
                (scene, model.blink(list(scene.frames()), scene.intrinsics, seed))
                for seed in range(_REPEATS)
                for scene in self.scenes
            )


def later(people: str, bundle: str, paths: Sequence[Path], threads: int) -> None:
    """Print how far predictions are from what the same bundle sees later in films of which no truth is known.

    Mean mm of the body's joints about the pelvis, and of the head in the room.
    """
    bench = Bench(people, (), threads)
    smoothers: dict[str, Callable[[], PeopleSmoother] | None] = {
        "held": None,
        "One-Euro": partial(OneEuroPeople, bench.options),
        "PoseBERT": partial(PoseBertPeople, bench.bones, len(bench.bones), bundle, bench.options, backend="cpu"),
    }
    body = [bench.model.joint_names.index(one) for one in ANNY_BONES if not one.startswith(("finger", "metacarpal"))]

    def posed(people: People) -> Array:
        joints = bench.model.posed(people).joints
        assert joints is not None
        return joints[:, body].astype(np.float64)

    gaps: dict[str, list[tuple[float, float]]] = {}
    for path in paths:
        with open_source(path) as source:
            seen = bench.look(source)
            size = source.size
        there = [dict(zip(one.identities.ids, posed(one.people), strict=True)) for one in seen]
        heads = [dict(zip(one.identities.ids, one.people.translations, strict=True)) for one in seen]
        for frames, (name, make) in product(AHEAD, smoothers.items()):
            row = gaps.setdefault(f"{100 * frames // 3} ms ahead: {name}", [])
            for number, result in enumerate(ahead(make, frames)(size, seen)):
                for i, id in enumerate(result.ids if result else ()):
                    if result and id in there[number]:
                        found, true = posed(result.people)[i], there[number][id]
                        about = np.linalg.norm((found - found[:1]) - (true - true[:1]), axis=-1).mean()
                        off = np.linalg.norm(result.people.translations[i] - heads[number][id])
                        row.append((float(about), float(off)))
    for name, row in gaps.items():
        print(f"{name}: {', '.join(f'{1000 * value:.1f}' for value in np.mean(row, axis=0))} mm", flush=True)


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
    parser.add_argument("--share", type=float, nargs="*", default=[], help="PoseBERT's, of its blends with One-Euro")
    parser.add_argument("--people", default="multihmr-anny", metavar="NAME|PATH[:QUALITY]", help="who sees people")
    parser.add_argument("--later", type=Path, nargs="*", metavar="FILE", help="films without truth instead")
    parser.add_argument("--film", type=int, nargs="*", metavar="I", help=f"of the {len(FILMS)} films (default: all)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="folder for people_posebert.json and people_posebert.md")
    arguments = parser.parse_args()
    if arguments.cost:
        cost(arguments.bundle)
        return
    if arguments.later:
        later(arguments.people, arguments.bundle, arguments.later, arguments.threads)
        return
    best = tuned(arguments.pairs) if arguments.pairs else {}
    for lag, options in best.items():
        print(f"One-Euro at lag {lag}: {options}", flush=True)
    some = [FILMS[index] for index in arguments.film] if arguments.film else FILMS
    bench = Bench(arguments.people, list(films(some, arguments.motions)), arguments.threads)
    usual, shares = bench.options, {"PoseBERT": 1.0} | {f"{share:g} of PoseBERT": share for share in arguments.share}
    patient = replace(usual, fill_seconds=0.4)

    def posebert(options: PeopleSmootherOptions, share: float = 1.0) -> PeopleSmoother:
        return PoseBertPeople(bench.bones, len(bench.bones), arguments.bundle, options, share=share, backend="cpu")

    runs: dict[str, Sequence[Run]] = {"as seen": [as_seen]}
    for lag in LAGS:
        plain = replace(usual, fill_seconds=0.0)
        runs[f"lag {lag}: One-Euro"] = [through(partial(OneEuroPeople, plain), lag)]
        if lag in best:
            filtered = replace(plain, rotations=best[lag])
            runs[f"lag {lag}: One-Euro, tuned"] = [through(partial(OneEuroPeople, filtered), lag)]
        for name, share in shares.items():
            runs[f"lag {lag}: {name}"] = [lagging(arguments.bundle, bench.turns, lag, usual, share)]
    gaps: dict[str, Callable[[], PeopleSmoother]] = {
        "held": partial(OneEuroPeople, replace(patient, coast_seconds=1e-3)),
        "One-Euro, extrapolated": partial(OneEuroPeople, patient),
        **{name: partial(posebert, patient, share) for name, share in shares.items()},
    }
    for name, make in gaps.items():
        runs[f"missing: {name}"] = [over_gaps(make, seed) for seed in range(_REPEATS)]
    one_euro = partial(OneEuroPeople, usual)
    for frames in AHEAD:
        at = f"{100 * frames // 3} ms ahead"
        runs[f"{at}: held"] = [ahead(None if bench.followed else one_euro, frames, hold=True)]
        runs[f"{at}: One-Euro, extrapolated"] = [ahead(one_euro, frames)]
        for name, share in shares.items():
            runs[f"{at}: {name}"] = [ahead(partial(posebert, usual, share), frames)]
    rows: dict[str, dict[str, float]] = {}
    lines = ["| | error | motion | acceleration | people |", "| --- | ---: | ---: | ---: | ---: |"]

    def add(name: str, row: dict[str, float]) -> None:
        rows[name] = row
        cells = [f"{row[key]:.1f}" for key in ("error", "motion", "acceleration")] + [f"{row['people']:.0f}"]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)

    for name, some_runs in runs.items():
        add(name, bench(*some_runs))
    if isinstance(bench.model, HolisticPeople):
        add("missing: filled in by the solver", bench.filled_in(bench.model.quality, arguments.threads))
    text = "\n".join(lines) + f"\n\nThe people's own acceleration: {rows['as seen']['own']:.1f} mm/frame².\n"
    print(text)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        chosen_by_lag = {str(lag): vars(options) for lag, options in best.items()}
        result = {"machine": machine(), "people": arguments.people, "one_euro": chosen_by_lag, "rows": rows}
        write_report(arguments.out / "people_posebert.json", result)
        write_atomically(arguments.out / "people_posebert.md", text.encode())


if __name__ == "__main__":
    main()
