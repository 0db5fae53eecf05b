"""Pictures of the data engine as networks trained on real people see them: painted clothes, garments, measured light.

    humanrt-export data environments --out environments
    python bench/people_pictures.py --motions ../shared/mocap/hdm05.tar.xz --assets ../shared/assets \\
        --environments environments --out results

Renders the same people of the same seeds (`humanrt_export.synthetic.people`: poses and cameras are equal) once in each
of the ways, and shows the pictures to the networks that ship, which were trained on photographs. The more a picture
looks like people to them, the better it should be for training; landmarks have exact truth.

- **recall**, **well**, **false**: of `BodyTracker` on each picture by itself, as in `people_found.py`.
- For people of whom at least 90 % is seen and all of whose landmarks are in the picture, in the region that their true
  landmarks give, by the larger landmark network (`holistic`): **score**: mean probability that it is a person;
  **share above 0.9**: of those probabilities; **mm**: mean distance of the twelve limb landmarks from the truth, in
  the plane of the picture at the person's depth, and its median; **IoU**: of the network's silhouette with the exact
  mask.
- **face**: share of faces, turned to the camera, that `PersonFace` finds where the true landmarks have them.
- **pictures a second**: of one process, rendering and labels; the ways take turns.
- **through**: pixels that show skin which a garment covers at rest, also at the edges of what it covers, and **holes**:
  those that show what is behind the body, where skin was left out under a garment; both relative to those of garments.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from humanrt.bundle import load_bundle
from humanrt.bundle.settings import HolisticSettings
from humanrt.files import write_atomically
from humanrt.geometry.camera import project
from humanrt.geometry.region import Region
from humanrt.geometry.skeleton import MEDIAPIPE_33
from humanrt.inference.execution import Execution
from humanrt.people.body_tracker import BodyTracker
from humanrt.people.face import PersonFace, face_region, facing
from humanrt.people.landmarks import BodyNetwork
from humanrt.people.person import region_from_circle
from humanrt.stats import machine, write_report
from humanrt_export.synthetic.people import EngineOptions, PeopleEngine, PeopleSample
from humanrt_export.synthetic.people.dress import coverage
from humanrt_export.synthetic.people.scene import Subject, World
from humanrt_export.synthetic.people.sheet import sheet
from humanrt_export.synthetic.people.view import View
from people_found import Person, Tally

Array = NDArray[Any]

SEED = 2501
_SIZE = (640, 480)
_LIMBS = [
    MEDIAPIPE_33.index(f"{side}_{name}")
    for side in ("left", "right")
    for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
]
_REGION = 3.1  # as in people_found
_SEEN = 0.9
_FACE = 20.0  # px, least size of a face's region


@dataclass
class Seen:
    """What the networks made of one way's pictures."""

    tally: Tally = field(default_factory=Tally)
    scores: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    overlaps: list[float] = field(default_factory=list)
    faces: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    through: int = 0
    holes: int = 0
    garments: int = 0

    def row(self) -> dict[str, float]:
        """Return the figures."""
        errors, scores = np.array(self.errors), np.array(self.scores)
        return {
            "recall": self.tally.recall()[0],
            "well": self.tally.well / max(1, len(self.tally.wanted)),
            "false": self.tally.false / max(1, self.tally.pictures),
            "score": float(scores.mean()),
            "share above 0.9": float((scores > 0.9).mean()),
            "mm": float(errors.mean()),
            "median mm": float(np.median(errors)),
            "IoU": float(np.mean(self.overlaps)),
            "face": float(np.mean(self.faces)),
            "pictures a second": len(self.seconds) / sum(self.seconds),
            "through": self.through / max(1, self.garments),
            "holes": self.holes / max(1, self.garments),
            "people": float(len(scores)),
            "wanted": float(len(self.tally.wanted)),
            "faces": float(len(self.faces)),
        }


class Judges:
    """The networks that look at the pictures."""

    def __init__(self, threads: int) -> None:
        execution = Execution(threads=threads)
        backend = execution.open()
        holistic = load_bundle("holistic", task="people")
        self.tracker = BodyTracker("landmarks", execution)
        self.network = BodyNetwork(holistic, backend, silhouettes=True)
        self.face, self.settings = PersonFace(holistic, backend), HolisticSettings.of(holistic).face

    def look(self, engine: PeopleEngine, shown: tuple[World, View, PeopleSample], seen: Seen) -> None:
        """Let all of them look at one picture."""
        world, view, sample = shown
        self.tracker.reset()
        finds = [body.landmarks.landmarks_2d for body in self.tracker(sample.image, 0.0)]
        ends = [(points[[7, 8]].mean(axis=0), points[[23, 24]].mean(axis=0)) for points in finds]
        seen.tally.add(ends, people_of(engine, sample))
        for row, subject in enumerate(world.people):
            truth = landmarks(engine, subject, view, sample.people.joints[row])
            points = project(truth, sample.intrinsics).astype(np.float32)
            inside = bool((truth[:, 2] > 0.1).all() and ((points > 0) & (points < _SIZE)).all())
            if not inside or sample.people.visible[row] < _SEEN:
                continue
            hips, shoulders = points[[23, 24]].mean(axis=0), points[[11, 12]].mean(axis=0)
            reach = float(np.linalg.norm(points - hips, axis=1).max())
            up = (shoulders - hips) / max(float(np.linalg.norm(shoulders - hips)), 1e-6)
            region = region_from_circle(hips.tolist(), (hips + reach * up).tolist(), 1.25)
            found = self.network(sample.image, region, silhouette=True)
            seen.scores.append(found.score)
            millimetres = 1e3 * truth[_LIMBS, 2] / sample.intrinsics[0, 0]
            misses = np.linalg.norm(found.landmarks_2d[_LIMBS] - points[_LIMBS], axis=1) * millimetres
            seen.errors.append(float(misses.mean()))
            own = sample.mask == row + 1
            if found.silhouette is not None:
                shape = found.silhouette.in_picture(*_SIZE) > 0.5
                seen.overlaps.append(float((own & shape).sum() / max(1, (own | shape).sum())))
            self._face(sample, points, seen)

    def _face(self, sample: PeopleSample, points: Array, seen: Seen) -> None:
        region: Region = face_region(points, self.settings)
        if facing(points, self.settings) > 0.4 and region.size > _FACE:
            seen.faces.append(float(self.face(sample.image, points) is not None))


def people_of(engine: PeopleEngine, sample: PeopleSample) -> list[Person]:
    """Return who is in a picture, for `Tally`."""
    head, root = (engine.joint_names.index(name) for name in ("head", "root"))
    focal, labels, people = float(sample.intrinsics[0, 0]), sample.people, []
    for joints, flat, visible in zip(labels.joints, labels.joints_2d, labels.visible, strict=True):
        depth, length = float(joints[root, 2]), float(np.linalg.norm(joints[head] - joints[root]))
        inside = bool((flat[head] >= 0).all() and (flat[head] < _SIZE).all())
        wanted = inside and visible >= 0.25 and float(joints[:, 2].min()) > 0.15
        region = _REGION * length * focal / max(depth, 0.05)
        people.append(Person(flat[head], flat[root], region, depth, float(visible), wanted))
    return people


def landmarks(engine: PeopleEngine, subject: Subject, view: View, joints: Array) -> Array:
    """Return a person's 33 landmarks [33, 3] m in camera space, from the truth."""
    body = subject.pose.body.copy()
    body[0] = view.turn @ body[0]
    with torch.inference_mode():
        rest = engine.coarse.body.rest(torch.from_numpy(subject.phenotypes)[None])
    stature = float(np.ptp(rest.surface[0, 2].numpy()))
    return engine.coarse.points(joints[None].astype(np.float64), body[None], stature)[0]


def holes(engine: PeopleEngine, shown: tuple[World, View, PeopleSample], seen: Seen) -> None:
    """Count pixels of skin that shows through garments, and of holes."""
    world, view, sample = shown
    for subject, rotations, place in zip(world.people, sample.people.rotations, sample.people.translation, strict=True):
        if subject.dressed is not None and engine.dresser is not None:
            one = coverage(engine.renderer, view.camera, engine.dresser, subject.dressed, rotations, place)
            seen.through, seen.holes = seen.through + one.through, seen.holes + one.holes
            seen.garments += one.garments


def markdown(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Return the table."""
    names = [name for name in next(iter(rows.values())) if name not in ("people", "wanted", "faces")]
    lines = [f"| | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for way, row in rows.items():
        cells = [f"{row[name]:.0f}" if "mm" in name else f"{row[name]:.3f}" for name in names]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    row = next(iter(rows.values()))
    lines += ["", f"{row['wanted']:.0f} people to find, {row['people']:.0f} seen whole, {row['faces']:.0f} faces."]
    return "\n".join(lines) + "\n"


def ways(arguments: argparse.Namespace) -> dict[str, EngineOptions]:
    """Return the options of each way of making pictures."""
    painted = EngineOptions(
        size=_SIZE[0], height=_SIZE[1], seed=SEED, motions=arguments.motions, part="all", most=4, letterboxed=0.0
    )
    dressed = replace(painted, assets=arguments.assets)
    found = {"painted": painted, "garments": dressed}
    if arguments.environments:
        found["garments, environments"] = replace(dressed, environments=arguments.environments)
        found["and faces"] = replace(dressed, environments=arguments.environments, faces=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", type=Path, required=True, help="archive of recordings")
    parser.add_argument("--assets", type=Path, required=True, help="MakeHuman's garments")
    parser.add_argument("--environments", type=Path, help="panoramas; without, that way is left out")
    parser.add_argument("--pictures", type=int, default=160)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sheet", type=Path, help="picture of some of them, one way below the other")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    cv2.setNumThreads(arguments.threads)
    engines = {name: PeopleEngine(options) for name, options in ways(arguments).items()}
    judges, seen = Judges(arguments.threads), {name: Seen() for name in engines}
    pictures: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in engines}
    for engine in engines.values():
        engine.whole(10**6)  # garments and shaders are prepared with the first picture
    for index in range(arguments.pictures):
        for name, engine in engines.items():
            start = time.perf_counter()
            shown = engine.whole(index)
            seen[name].seconds.append(time.perf_counter() - start)
            judges.look(engine, shown, seen[name])
            holes(engine, shown, seen[name])
            if len(pictures[name]) < 4 and len(shown[0].people):
                pictures[name].append(shown[2].image)
    rows = {name: one.row() for name, one in seen.items()}
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_report(arguments.out / "people_pictures.json", {"machine": machine(), "seed": SEED, "ways": rows})
    write_atomically(arguments.out / "people_pictures.md", markdown(rows).encode())
    if arguments.sheet:
        drawn = sheet([picture for row in pictures.values() for picture in row], 4)
        code = cv2.imencode(arguments.sheet.suffix, drawn[..., ::-1])[1]
        write_atomically(arguments.sheet, np.asarray(code).tobytes())
    print(markdown(rows))


if __name__ == "__main__":
    main()
