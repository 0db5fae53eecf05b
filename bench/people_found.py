"""Who is found: recall and false finds of people's landmarks on rendered pictures that nothing was fitted to.

    python bench/people_found.py --motions ../shared/mocap/hdm05.tar.xz --out results

Every picture is a photograph by itself: 640 x 480, up to ten people in the poses of recordings of other people than in
any training (HDM05), at any distance, dressed, half out of the picture, behind each other, blurred and dark, among
things (`humanrt_export.synthetic.people`, seed 1701). ``before`` is how people were found without a second network: by
the person detector and the landmark network's score alone. ``fast`` and ``best`` are how people are found in films, by
MoveNet and the two landmark networks; ``photograph`` is how `holistic` finds them in a single picture: as ``best``, and
whom `multihmr-anny` sees, confirmed by the landmark network or not (`humanrt.people.unconfirmed`).

A person counts as **found** if the head (midpoint of the ears) or the hips of somebody's landmarks are where theirs
are, within 0.13 and 0.2 of the side of the region that holds a whole body; **well** if both are. Wanted are people
whose head is in the picture and of whom at least a quarter is seen. **false**: finds a picture of nobody; **twice**:
further finds of somebody who was found.

Second table: recall by the size of that region in px, by distance, and by the visible share of the person.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import load_bundle
from humanrt.bundle.settings import MultiHmrSettings
from humanrt.files import write_atomically
from humanrt.inference.execution import Execution
from humanrt.people.body_tracker import BodyTracker, BodyTrackerOptions
from humanrt.people.landmarks import BodyNetwork
from humanrt.people.unconfirmed import unconfirmed
from humanrt.stats import machine, write_report

__all__ = ["BINS", "WAYS", "Person", "Tally", "matched", "report"]

Array = NDArray[Any]

WAYS = ("before", "fast", "best", "photograph")
BINS: Mapping[str, Sequence[float]] = {
    "region px": (0, 60, 100, 150, 250, 400, np.inf),
    "distance m": (0, 1, 2, 4, 8, np.inf),
    "visible": (0.25, 0.5, 0.75, 0.95, np.inf),
}
_HEAD, _HIPS = 0.13, 0.2  # of a region's side
_REGION = 3.1  # side of a region that holds a whole body, relative to the distance from the pelvis to the head
_LEAST_VISIBLE = 0.25
_SEED = 1701
_SIZE = (640, 480)


@dataclass(frozen=True)
class Person:
    """A true person of a picture.

    Attributes:
        head, hips: [2] px.
        region: px, side of the region that holds the whole body.
        distance: m, of the pelvis.
        visible: share of the person's own pixels that is seen.
        wanted: whether the person must be found.
    """

    head: Array
    hips: Array
    region: float
    distance: float
    visible: float
    wanted: bool


def matched(head: Array, hips: Array, people: Sequence[Person]) -> tuple[int, bool] | None:
    """Return whom a find is of, and whether head and hips are both theirs; None if it is of nobody."""
    best: tuple[bool, float, int] | None = None
    for index, person in enumerate(people):
        gaps = [float(np.linalg.norm(a - b)) / person.region for a, b in ((head, person.head), (hips, person.hips))]
        near = gaps[0] < _HEAD, gaps[1] < _HIPS
        if any(near):
            candidate = (not all(near), sum(gaps), index)
            best = candidate if best is None else min(best, candidate)
    return None if best is None else (best[2], not best[0])


@dataclass
class Tally:
    """Counts of one way of finding people."""

    pictures: int = 0
    false: int = 0
    twice: int = 0
    well: int = 0
    wanted: list[Person] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)

    def add(self, finds: Iterable[tuple[Array, Array]], people: Sequence[Person]) -> None:
        """Add a picture: (head, hips) px of each find, and who is in it."""
        self.pictures += 1
        seen: dict[int, bool] = {}
        for head, hips in finds:
            match = matched(head, hips, people)
            if match is None:
                self.false += 1
            elif match[0] in seen:
                self.twice += 1
                seen[match[0]] |= match[1]
            else:
                seen[match[0]] = match[1]
        for index, person in enumerate(people):
            if person.wanted:
                self.wanted.append(person)
                self.found.append(index in seen)
                self.well += seen.get(index, False)

    def recall(self, chosen: Callable[[Person], bool] = lambda _: True) -> tuple[float, int]:
        """Return the recall of some of the wanted people, and how many they are."""
        found = [found for person, found in zip(self.wanted, self.found, strict=True) if chosen(person)]
        return float(np.mean(found)) if found else float("nan"), len(found)


def report(tallies: Mapping[str, Tally]) -> dict[str, Any]:
    """Return the figures of each way, for JSON."""
    result = {}
    for name, tally in tallies.items():
        bins = {}
        for what, edges in BINS.items():
            key = {"region px": "region", "distance m": "distance", "visible": "visible"}[what]
            bins[what] = {
                f"{low:g}..{high:g}": tally.recall(lambda p, k=key, a=low, b=high: a <= getattr(p, k) < b)  # type: ignore[misc]
                for low, high in itertools.pairwise(edges)
            }
        result[name] = {
            "recall": tally.recall()[0],
            "well": tally.well / max(1, len(tally.wanted)),
            "false": tally.false / max(1, tally.pictures),
            "twice": tally.twice / max(1, tally.pictures),
            "wanted": len(tally.wanted),
            "pictures": tally.pictures,
            "ms": float(np.median(tally.ms)) if tally.ms else float("nan"),
            "bins": bins,
        }
    return result


def markdown(figures: Mapping[str, Any]) -> str:
    """Return the two tables."""
    lines = ["| | recall | well | false | twice | ms a picture |", "| --- | --- | --- | --- | --- | --- |"]
    for name, row in figures.items():
        values = " | ".join(f"{row[key]:.3f}" for key in ("recall", "well", "false", "twice"))
        lines.append(f"| {name} | {values} | {row['ms']:.0f} |")
    for what in BINS:
        columns = list(next(iter(figures.values()))["bins"][what])
        lines += ["", f"| recall by {what} | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
        for name, row in figures.items():
            cells = [f"{recall:.2f}" if count else "-" for recall, count in row["bins"][what].values()]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        counts = [str(count) for _, count in next(iter(figures.values()))["bins"][what].values()]
        lines.append(f"| people | {' | '.join(counts)} |")
    return "\n".join(lines) + "\n"


def scenes(motions: Path, count: int) -> Iterable[tuple[Array, list[Person]]]:
    """Render pictures; yields each, and who is in it."""
    from humanrt_export.synthetic.people import EngineOptions, PeopleEngine

    options = EngineOptions(size=_SIZE[0], height=_SIZE[1], seed=_SEED, motions=motions, part="all", letterboxed=0.0)
    with PeopleEngine(options) as engine:
        head, root = (engine.joint_names.index(name) for name in ("head", "root"))
        for index in range(count):
            sample = engine.sample(index)
            labels = sample.people
            focal = float(sample.intrinsics[0, 0])
            people = []
            for joints, flat, visible in zip(labels.joints, labels.joints_2d, labels.visible, strict=True):
                depth = float(joints[root, 2])
                length = float(np.linalg.norm(joints[head] - joints[root]))
                inside = bool((flat[head] >= 0).all() and (flat[head] < _SIZE).all())
                wanted = inside and visible >= _LEAST_VISIBLE and float(joints[:, 2].min()) > 0.15
                region = _REGION * length * focal / max(depth, 0.05)
                people.append(Person(flat[head], flat[root], region, depth, float(visible), wanted))
            yield sample.image, people


def trackers(names: Sequence[str], threads: int) -> dict[str, BodyTracker]:
    """Open the ways of finding people by name: a quality of `humanrt run`, or ``before``."""
    execution = Execution(threads=threads)
    found = {}
    for name in names:
        if name == "before":
            options = BodyTrackerOptions(proposals=("detector",), max_people=4)
            found[name] = BodyTracker("landmarks", execution, options)
            continue
        network, options = None, BodyTrackerOptions()
        if name in ("best", "photograph"):
            network = BodyNetwork(load_bundle("holistic", task="people"), execution.open())
        if name == "photograph":
            options = BodyTrackerOptions(proposals=("multipose", "multihmr"))
        found[name] = BodyTracker("landmarks", execution, options, network=network)
    return found


def finds(name: str, tracker: BodyTracker, image: Array) -> tuple[list[tuple[Array, Array]], float]:
    """Return head and hips, px, of everybody whom a way finds in a picture, and the milliseconds that it took."""
    tracker.reset()
    start = time.perf_counter()
    if name == "photograph":
        tracker.photograph()
    bodies = tracker(image, 0.0)
    points = [body.landmarks.landmarks_2d for body in bodies]
    found = [(p[[7, 8]].mean(axis=0), p[[23, 24]].mean(axis=0)) for p in points]
    if name == "photograph":
        room = tracker.max_people - len(bodies)
        size = (image.shape[1], image.shape[0])
        further = unconfirmed(tracker.looks, [body.landmarks for body in bodies], size, room)
        names = MultiHmrSettings.of(load_bundle("multihmr-anny", task="people")).joint_names
        found += [(body.pixels[names.index("head")], body.pixels[names.index("root")]) for body in further]
    return found, (time.perf_counter() - start) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", type=Path, required=True, help="archive of recordings that nothing was trained on")
    parser.add_argument("--quality", nargs="+", default=list(WAYS), choices=WAYS)
    parser.add_argument("--pictures", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    ways = trackers(arguments.quality, arguments.threads)
    tallies = {name: Tally() for name in ways}
    for image, people in scenes(arguments.motions, arguments.pictures):
        for name, tracker in ways.items():
            found, ms = finds(name, tracker, image)
            tallies[name].add(found, people)
            tallies[name].ms.append(ms)
    figures = report(tallies)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_report(arguments.out / "people_found.json", {"machine": machine(), "seed": _SEED, "ways": figures})
    write_atomically(arguments.out / "people_found.md", markdown(figures).encode())
    print(markdown(figures))


if __name__ == "__main__":
    main()
