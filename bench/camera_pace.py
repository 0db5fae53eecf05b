"""People at a camera's pace from a network that is slower: how far off they are at the time of each frame.

    python bench/camera_pace.py --motions ../shared/mocap --out DIR
    python bench/camera_pace.py --motions ../shared/mocap --tune       # how long motion goes on, on films of training

The network takes ``--seconds`` a frame, and then looks at the newest one; a result for each of the camera's 30 frames a
second comes from the last that it has finished (`PeoplePipeline.at_camera_pace`). Errors are against the truth at the
frame's own time, with columns as of `people_smoothing.py`:

- **every frame**: as if the network took no time, smoothed: what delay costs is beside this;
- **hold**: the last result stays until the next one, smoothed: what `humanrt run` shows without ``--predict``;
- **predict**: motion goes on, and comes to rest with the time constant `PeopleSmootherOptions.coast_seconds`; jumps
  where the network has looked again are blended, as `PeoplePipeline.at_camera_pace` does, or **not blended**;
- **constant velocity**: it does not come to rest, nor is it blended.

**from undelayed** is the mean distance mm of the joints, in camera space, from **every frame**'s.

Last, one film is played like a camera through the pipeline itself, the network really slowed down: results a second.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from humanrt.files import write_atomically
from humanrt.people.multihmr import MultiHMR
from humanrt.people.pipeline import PeoplePipeline
from humanrt.people.smoothed_pipeline import BLEND, BLEND_LAG
from humanrt.people.smoother import OneEuroPeople, PeopleSmootherOptions
from humanrt.people.tracking import Identities
from humanrt.sources.opening import open_source
from humanrt.stats import machine, write_report
from people_rendered import FILMS, films, render
from people_smoothing import TRAINING, Score, Smoothed, perceive, score
from smoothing_runs import Seen

__all__ = ["delayed", "slowed"]

_HOLD, _CONSTANT = 1e-3, 1e3  # s, time constants of motion that ends at once, and of motion that does not
_COLUMNS = ("joints", "root", "motion", "motion_about", "acceleration", "pelvis", "apart")
_HEADS = (
    "joints mm",
    "about the pelvis mm",
    "motion mm",
    "about the pelvis mm",
    "acceleration mm/frame²",
    "of the pelvis",
    "from undelayed mm",
)


def delayed(
    seen: Sequence[Seen], size: tuple[int, int], coast: float, seconds: float, *, blend: bool
) -> list[tuple[Any, ...]]:
    """Return people, ids and filled ones at the time of every frame, of a network that takes so long."""
    smoother, shown = OneEuroPeople(replace(PeopleSmootherOptions(), coast_seconds=coast)), OneEuroPeople(BLEND)
    results, looking = [], None
    for number, one in enumerate(seen):
        if looking is not None and one.t >= looking.t + seconds - 1e-6:
            smoother(looking.people, looking.identities, looking.t, size, cut=looking.cut)
            looking = None
        if looking is None:
            looking = one
        if number == 0:  # waited for
            smoother(one.people, one.identities, one.t, size, cut=True)
            looking = None if seconds == 0 else looking
        if seconds == 0 and number:
            smoother(one.people, one.identities, one.t, size, cut=one.cut)
            looking = None
        result = smoother.predicted(one.t + BLEND_LAG * blend)
        people = result.people
        if blend:
            people = shown(people, Identities(result.ids), one.t, size, cut=number == 0).people
        results.append((people, result.ids, result.filled))
    return results


class slowed(MultiHMR):  # noqa: N801  # a Multi-HMR like any other
    """A Multi-HMR whose network takes at least so many seconds."""

    seconds = 0.2

    def submit(self, *arguments: Any, **options: Any) -> None:
        start = time.perf_counter()
        super().submit(*arguments, **options)
        time.sleep(max(0.0, self.seconds - (time.perf_counter() - start)))


def live(bundle: str, film: Path, seconds: float, threads: int, predict: float | None) -> dict[str, float]:
    """Play a film like a camera through the pipeline, and return results a second and their mean age."""
    with slowed(bundle, threads=threads) as model:
        model.seconds = seconds
        pipeline = PeoplePipeline(model, smoother=OneEuroPeople(), predict=predict)
        with open_source(film, realtime=True) as source:
            stamps, ages = [], []
            for result in pipeline.stream(source):
                stamps.append(time.monotonic())
                ages.append(stamps[-1] - result.frame.t if result.age is None else result.age)
    return {"rate": (len(stamps) - 1) / (stamps[-1] - stamps[0]), "age": float(np.mean(ages[1:]))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="multihmr-anny", metavar="NAME|PATH")
    parser.add_argument("--motions", type=Path, metavar="DIR", help="folder of the recordings' archives")
    parser.add_argument("--film", type=int, nargs="*", metavar="I", help=f"of the {len(FILMS)} films (default: all)")
    parser.add_argument("--seconds", type=float, default=0.2, help="that the network takes (default: 0.2)")
    parser.add_argument("--tune", action="store_true", help="several time constants, on the films of training")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for camera_pace.json and camera_pace.md")
    arguments = parser.parse_args()
    chosen = [FILMS[index] for index in arguments.film] if arguments.film else FILMS
    scenes = list(films(TRAINING, arguments.motions, 4.0) if arguments.tune else films(chosen, arguments.motions))
    model = MultiHMR(arguments.bundle, threads=arguments.threads)
    usual = PeopleSmootherOptions().coast_seconds
    ways = {"every frame": (_HOLD, 0.0, False), "hold": (_HOLD, arguments.seconds, False)}
    for coast in (0.1, 0.2, 0.4, 0.8) if arguments.tune else (usual,):
        ways[f"predict, {coast:g} s" if arguments.tune else "predict"] = (coast, arguments.seconds, True)
    ways["predict, not blended"] = (usual, arguments.seconds, False)
    ways["constant velocity"] = (_CONSTANT, arguments.seconds, False)
    tallies = {name: Score(model.joint_names) for name in ways}
    apart: dict[str, list[float]] = {name: [] for name in ways}
    for scene in scenes:
        seen = perceive(model, scene)
        undelayed: dict[tuple[int, int], Any] = {}
        for name, (coast, seconds, blend) in ways.items():
            frames = []
            for number, (people, ids, filled) in enumerate(delayed(seen, scene.size, coast, seconds, blend=blend)):
                joints = model.posed(people)
                frames.append(Smoothed(replace(joints, vertices=None), ids, filled))
                for one, id in zip(frames[-1].people.joints, ids, strict=True):  # type: ignore[arg-type]
                    if name == "every frame":
                        undelayed[number, id] = one
                    elif (number, id) in undelayed:
                        apart[name].append(float(np.linalg.norm(one - undelayed[number, id], axis=-1).mean()))
            score(scene, frames, tallies[name])
    rows = {name: tally.summary() for name, tally in tallies.items()}
    lines = ["| | " + " | ".join(_HEADS) + " |", "| --- " * (1 + len(_HEADS)) + "|"]
    for name, row in rows.items():
        row["apart"] = 1000 * float(np.mean(apart[name])) if apart[name] else 0.0
        lines.append(f"| {name} | " + " | ".join(f"{row[key]:.1f}" for key in _COLUMNS) + " |")
    text = "\n".join(lines) + "\n"
    print(text)
    result: dict[str, Any] = {"machine": machine(), "bundle": arguments.bundle, "rows": rows}
    if not arguments.tune:
        film = render(chosen[0], arguments.motions)
        for name, predict in (("waiting for the network", None), ("--predict 0", 0.0)):
            played = live(arguments.bundle, film, arguments.seconds, arguments.threads, predict)
            result[name] = played
            line = (
                f"{name}: {played['rate']:.1f} results a second, {1000 * played['age']:.0f} ms after they were seen\n"
            )
            print(line)
            text += "\n" + line
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_report(arguments.out / "camera_pace.json", result)
        write_atomically(arguments.out / "camera_pace.md", text.encode())


if __name__ == "__main__":
    main()
