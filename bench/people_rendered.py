"""People of exact truth: how far off bundles are on rendered films and pictures that nothing was trained on.

    python bench/people_rendered.py --motions ../shared/mocap --bundle landmarks multihmr-anny holistic:best --out DIR
    python bench/people_rendered.py --pictures SHARDS --bundle landmarks multihmr-anny --out DIR

Seven films (`FILMS`) of 2 s, rendered by ``humanrt-export data film`` with fixed seeds and kept in the cache folder:
people who walk, climb, reach and lie down by recordings held out from all training (CMU's part ``val``; HDM05, other
people altogether), and people who stand and gesture; fingers move in all. Every bundle sees a film live, the camera
known. SHARDS are pictures of ``humanrt-export data people --part val``, which a bundle sees one by one.

Columns, over people who are at least a quarter visible and whose head is in the picture (`humanrt.people.metrics`):

- **recall**; **false** finds a frame: people who are nobody, or somebody twice;
- **joints**: the body's joints in camera space, **about the pelvis** with the root aligned, and **similarity** after
  Procrustes, mean mm;
- **fingers**: of hands larger than 60 px (the larger side of the true hand's box), the error of the 15 angles of
  `humanrt.hands.truth.finger_flexion`, median degrees. Below the table: what fingers held still would score;
- **acceleration** of the joints about the pelvis, mean mm/frame^2, and the truth's **own** on the same frames.

The second table is over those people whom all the bundles find.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import cache_folder
from humanrt.files import write_atomically
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.camera import project
from humanrt.hands.truth import finger_flexion
from humanrt.metrics.trajectory import bends
from humanrt.people.metrics import Bodies, PeopleMetrics, true_bodies
from humanrt.people.truth import PeopleTruth
from humanrt.sources.opening import Frame, open_source
from humanrt.stats import machine, write_report
from humanrt.tasks import open_people
from people_views import bundle_options

__all__ = ["FILMS", "Film", "Scene", "Tally", "films", "hand_sizes", "measure", "render"]

Array = NDArray[Any]

_LARGE = 60.0  # px, smallest hand whose fingers are measured


@dataclass(frozen=True)
class Film:
    """How a film is rendered; see ``humanrt-export data film``.

    Attributes:
        name: in the report.
        seed, people, width, height, style: as there.
        motions: archive of recordings, or None for gestures.
        part: of them.
    """

    name: str
    seed: int
    people: int
    width: int = 960
    height: int = 720
    style: str = "randomised"
    motions: str | None = None
    part: str = "all"


FILMS = (
    Film("cmu, one", 701, 1, 1280, 960, "outdoor", "cmu_asfamc.tar.xz", "val"),
    Film("cmu, two", 702, 2, style="randomised", motions="cmu_asfamc.tar.xz", part="val"),
    Film("hdm05, one", 1403, 1, 1280, 960, "randomised", "hdm05.tar.xz"),
    Film("hdm05, three", 704, 3, style="outdoor", motions="hdm05.tar.xz"),
    Film("gestures, one", 1205, 1, 1280, 960, "studio"),
    Film("gestures, two", 706, 2, 1280, 960, "randomised"),
    Film("hdm05, lying down", 1103, 1, 1280, 960, "outdoor", "hdm05.tar.xz"),
)
"""Seeds are such that somebody is near enough for large hands in four of them; they were chosen by distance alone."""
_SECONDS = 2.0


@dataclass(frozen=True)
class Scene:
    """Frames that follow each other, or one picture, and who is in them.

    Attributes:
        name: in the report.
        frames: yields T of them, every time.
        intrinsics: [3, 3] px.
        size: (width, height) px.
        joint_names: [J], Anny's.
        joints: [T, N, J, 3] m, camera space.
        visible: [T, N].
    """

    name: str
    frames: Callable[[], Iterable[Frame]]
    intrinsics: Array
    size: tuple[int, int]
    joint_names: tuple[str, ...]
    joints: Array
    visible: Array

    def bodies(self, frame: int) -> Bodies:
        """Return who is in a frame; people behind the camera are left out by being unwanted."""
        joints = self.joints[frame]
        ahead = joints[:, :, 2] > 0.05
        flat = np.where(ahead[..., None], project(np.where(ahead[..., None], joints, 1.0), self.intrinsics), -1e6)
        visible = np.where(ahead[:, self.head], self.visible[frame], 0.0)
        return true_bodies(joints, flat, self.head, visible, self.size)

    @property
    def head(self) -> int:
        return self.joint_names.index("head")


@dataclass
class Tally:
    """What is measured of one bundle, over all scenes.

    Attributes:
        joint_names: [J].
        metrics: counts and errors of the body.
        frames: how many.
        camera: errors of the found people's body joints in camera space, mean m of each.
        fingers: [15] rad, errors of each large hand that was found.
        acceleration, own: m / frame^2 of every joint and three frames in a row, and the truth's.
    """

    joint_names: tuple[str, ...]
    metrics: PeopleMetrics = field(init=False)
    frames: int = 0
    camera: list[float] = field(default_factory=list)
    fingers: list[Array] = field(default_factory=list)
    acceleration: list[Array] = field(default_factory=list)
    own: list[Array] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.metrics = PeopleMetrics(self.joint_names)

    def summary(self) -> dict[str, float]:
        """Return the columns by name."""
        body = self.metrics.summary()
        row = {name: body[name] for name in ("people", "recall")}
        row["false"] = self.metrics.wrong / max(1, self.frames)
        if self.camera:
            row["camera"] = 1000 * float(np.mean(self.camera))
            row |= {"root": body["mpjpe"], "similarity": body["pa_mpjpe"]}
        if self.fingers:
            row |= {"hands": float(len(self.fingers)), "fingers": float(np.degrees(np.median(self.fingers)))}
        if self.acceleration:
            row["acceleration"] = 1000 * float(np.mean(np.concatenate(self.acceleration)))
            row["own"] = 1000 * float(np.mean(np.concatenate(self.own)))
        return row


@cache
def _parts(names: tuple[str, ...]) -> tuple[list[int], list[list[int]]]:
    """Return the indices of the body's joints, the root first, and of the hands', left and right, as MediaPipe's 21."""
    place = {name: k for k, name in enumerate(names)}
    body = [place[bone] for bone in ANNY_BONES if not bone.startswith(("finger", "metacarpal"))]
    hands = [
        [place[f"wrist.{side}"], *(place[f"finger{k}-{end}.{side}"] for k in range(1, 6) for end in (1, 2, 3, "tip"))]
        for side in "LR"
    ]
    return body, hands


def hand_sizes(joints: Array, scene: Scene) -> Array:
    """Return the larger side [2] px of the boxes of a person's hands, left and right; 0 where one is not in view."""
    sizes = []
    for hand in _parts(scene.joint_names)[1]:
        points = joints[hand]
        flat = project(np.where(points[:, 2:] > 0.05, points, 1.0), scene.intrinsics)
        inside = (points[:, 2] > 0.05).all() and ((flat >= 0) & (flat < scene.size)).all()
        sizes.append(float(np.ptp(flat, axis=0).max()) if inside else 0.0)
    return np.array(sizes)


def measure(
    scene: Scene, people: Sequence[Bodies], tally: Tally, only: Sequence[set[int]] | None = None
) -> list[set[int]]:
    """Add a scene to a tally.

    Args:
        scene: the frames and their truth.
        people: who was found in each frame.
        tally: what is added to.
        only: in each frame, the true people who are wanted; None: all that `humanrt.people.metrics` wants.

    Returns:
        In each frame, the true people who were found.
    """
    body_parts, hands = _parts(scene.joint_names)
    seen: list[set[int]] = []
    paths: dict[int, list[tuple[int, Array, Array]]] = {}
    for frame, found in enumerate(people):
        truth = scene.bodies(frame)
        if only is not None:
            assert truth.wanted is not None
            truth = replace(truth, wanted=truth.wanted & np.isin(np.arange(len(truth.heads)), list(only[frame])))
        pairs = tally.metrics.add(found, truth)
        tally.frames += 1
        seen.append({j for _, j in pairs})
        for i, j in pairs:
            ours, true = found.joints[i].astype(np.float64), truth.joints[j].astype(np.float64)
            body, true_body = ours[body_parts], true[body_parts]
            tally.camera.append(float(np.linalg.norm(body - true_body, axis=1).mean()))
            paths.setdefault(j, []).append((frame, body - body[:1], true_body - true_body[:1]))
            for hand, size in zip(hands, hand_sizes(true, scene), strict=True):
                if size > _LARGE:
                    off = finger_flexion(ours[hand]) - finger_flexion(true[hand])
                    tally.fingers.append(np.abs(off).ravel())
    for path in paths.values():
        numbers = np.array([frame for frame, *_ in path])
        whole, true_whole = (np.full((numbers.max() + 1, *path[0][1].shape), np.nan) for _ in range(2))
        whole[numbers] = [one for _, one, _ in path]
        true_whole[numbers] = [one for *_, one in path]
        for values, kept in ((bends(whole), tally.acceleration), (bends(true_whole), tally.own)):
            kept.append(values[np.isfinite(values)])
    return seen


def render(film: Film, motions: Path | None, seconds: float = _SECONDS) -> Path:
    """Return a film, rendered now if it is not in the cache folder; its truth is beside it."""
    from humanrt_export.commands.data import FilmConfig, make_film

    digest = hashlib.sha256(json.dumps([vars(film), seconds]).encode()).hexdigest()[:12]
    path = cache_folder() / "bench" / f"film-{film.seed}-{digest}.mp4"
    if not path.with_suffix(".npz").is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        if film.motions and motions is None:
            raise SystemExit(f"film `{film.name}` needs --motions, the folder of {film.motions}")
        make_film(
            FilmConfig(
                out=path,
                seconds=seconds,
                seed=film.seed,
                people=film.people,
                width=film.width,
                height=film.height,
                style=film.style,
                part=film.part,  # type: ignore[arg-type]
                motions=motions / film.motions if film.motions and motions else None,
            )
        )
    return path


def films(chosen: Sequence[Film], motions: Path | None, seconds: float = _SECONDS) -> Iterator[Scene]:
    """Yield the films."""
    for film in chosen:
        path = render(film, motions, seconds)
        truth = PeopleTruth.load(path.with_suffix(".npz"))
        yield Scene(
            film.name,
            partial(_read, path),
            truth.intrinsics,
            truth.size,
            truth.joint_names,
            truth.joints,
            np.asarray(truth.visible),
        )


def _read(path: Path) -> Iterator[Frame]:
    with open_source(path) as source:
        yield from source


def pictures(folder: Path, count: int | None) -> Iterator[Scene]:
    """Yield the pictures of a folder of shards."""
    from humanrt_export.synthetic.people import Shards

    shards = Shards(folder)
    names = tuple(shards.info["joint_names"])
    for index in range(min(len(shards), count or len(shards))):
        sample = shards[index]
        height, width = sample.image.shape[:2]
        people = sample.people
        yield Scene(
            "pictures",
            partial(list, [Frame(sample.image, float(index), index, cut=True)]),
            sample.intrinsics.astype(np.float64),
            (width, height),
            names,
            people.joints[None],
            people.visible[None],
        )


def follow(bundle: str, scenes: Sequence[Scene], threads: int) -> list[list[Bodies]]:
    """Return whom a bundle, ``NAME|PATH[:QUALITY]``, finds in every frame of every scene."""
    found = []
    name, options = bundle_options(bundle)
    with open_people(name, "cpu", options, threads=threads) as pipeline:
        for scene in scenes:
            pipeline.reset()
            pipeline.intrinsics = scene.intrinsics
            rows = []
            for frame in scene.frames():
                people = pipeline(frame).people
                assert people.joints is not None
                rows.append(Bodies(people.joints, people.locations))
            found.append(rows)
    return found


def open_hands(scenes: Iterable[Scene]) -> float:
    """Return the median error, degrees, of a hand whose finger joints are always at the mean of all large hands."""
    flexion = []
    for scene in scenes:
        hands = _parts(scene.joint_names)[1]
        for frame, joints in enumerate(scene.joints):
            wanted = scene.bodies(frame).wanted
            assert wanted is not None
            for person in joints[wanted]:
                sizes = hand_sizes(person, scene)
                flexion += [
                    finger_flexion(person[hand]) for hand, size in zip(hands, sizes, strict=True) if size > _LARGE
                ]
    if not flexion:
        return float("nan")
    return float(np.degrees(np.median(np.abs(np.array(flexion) - np.mean(flexion, axis=0)))))


_COLUMNS = {
    "people": ("people", "{:.0f}"),
    "recall": ("recall", "{:.2f}"),
    "false": ("false a frame", "{:.2f}"),
    "camera": ("joints mm", "{:.0f}"),
    "root": ("about the pelvis mm", "{:.0f}"),
    "similarity": ("similarity mm", "{:.0f}"),
    "hands": ("hands", "{:.0f}"),
    "fingers": ("fingers degrees", "{:.1f}"),
    "acceleration": ("acceleration mm/frame²", "{:.1f}"),
    "own": ("own", "{:.1f}"),
}


def report(rows: Mapping[str, Mapping[str, float]], leave_out: Sequence[str] = ()) -> str:
    """Return a table in Markdown."""
    columns = {key: value for key, value in _COLUMNS.items() if key not in leave_out}
    lines = ["| | " + " | ".join(head for head, _ in columns.values()) + " |", "| --- " * (1 + len(columns)) + "|"]
    for name, row in rows.items():
        cells = [form.format(row[key]) if key in row else "" for key, (_, form) in columns.items()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", nargs="+", required=True, metavar="NAME|PATH[:QUALITY]")
    parser.add_argument("--motions", type=Path, metavar="DIR", help="folder of the recordings' archives")
    parser.add_argument("--film", type=int, nargs="*", metavar="I", help=f"of the {len(FILMS)} films (default: all)")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="pictures instead of films")
    parser.add_argument("--count", type=int, help="the first so many pictures")
    parser.add_argument("--render", action="store_true", help="only render the films that are not in the cache")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for people_rendered.json and people_rendered.md")
    arguments = parser.parse_args()
    chosen = [FILMS[index] for index in arguments.film] if arguments.film else FILMS
    if arguments.render:
        for film in chosen:
            print(f"{film.name}: {render(film, arguments.motions)}", flush=True)
        return
    scenes = list(
        pictures(arguments.pictures, arguments.count) if arguments.pictures else films(chosen, arguments.motions)
    )
    names = scenes[0].joint_names
    rows, single, found, seen = {}, {}, {}, {}
    for bundle in arguments.bundle:
        found[bundle] = follow(bundle, scenes, arguments.threads)
        tally, parts, seen[bundle] = Tally(names), {}, []
        for scene, people in zip(scenes, found[bundle], strict=True):
            seen[bundle].append(measure(scene, people, tally))
            measure(scene, people, parts.setdefault(scene.name, Tally(names)))
        rows[bundle] = tally.summary()
        single[bundle] = {name: part.summary() for name, part in parts.items()}
        print(f"{bundle}: {rows[bundle]}", flush=True)
    common = {}
    for bundle in arguments.bundle if len(arguments.bundle) > 1 else []:
        tally = Tally(names)
        for index, scene in enumerate(scenes):
            both = [
                set.intersection(*some)
                for some in zip(*(seen[other][index] for other in arguments.bundle), strict=True)
            ]
            measure(scene, found[bundle][index], tally, both)
        common[bundle] = tally.summary()
    still = open_hands(scenes)
    text = report(rows) + f"\nFingers held at the mean of all: {still:.1f} degrees.\n"
    if common:
        text += "\nPeople whom all find:\n\n" + report(common, ("recall", "false"))
    print(text)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        result = {"machine": machine(), "rows": rows, "scenes": single, "common": common, "open_hands": still}
        write_report(arguments.out / "people_rendered.json", result)
        write_atomically(arguments.out / "people_rendered.md", text.encode())


if __name__ == "__main__":
    main()
