"""The floor and standing feet, found in films of exact truth: people who walk by recordings, seen by a fixed camera.

    python bench/ground.py --motions ../shared/mocap --bundle holistic multihmr-anny --out DIR
    python bench/ground.py --motions ../shared/mocap --bundle holistic --tune      # on the films of training
    python bench/ground.py --motions ../shared/mocap --true-motion               # the estimate alone: no rendering

Films of 2.8 s are rendered by ``humanrt-export data film`` with fixed seeds and kept in the cache folder: of each
person's walks the first that leads at least `_WALKED` m across the floor, the camera at 1.2 to 1.9 m. `FILMS` show
people and walks from which nothing was trained or chosen; parameters were chosen on `TRAINING`.

Columns: error of the floor's **normal**, degrees, and of the camera's **height**, mm; **joints**, mean error in the
world about the pelvis, mm. Over heel and ball of both feet, while the true one moves slower than 0.15 m/s:
**sliding**, how far it gets across the floor from where it began in a step, median and 90 % mm; **off the floor**,
its height beside its true height, mean mm; **own sliding**, of the truth. ``as seen`` is the recording put on the found
floor and left as it is otherwise; ``planted`` is what `humanrt convert --ground` writes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.animation.ground import find_ground
from humanrt.animation.planting import grounded, planted
from humanrt.animation.soles import Soles, soles_of
from humanrt.animation.take import Take, take_of
from humanrt.bundle import cache_folder, load_bundle
from humanrt.cli import main as humanrt_main
from humanrt.errors import HumanrtError
from humanrt.files import write_atomically
from humanrt.geometry.ground import Ground
from humanrt.geometry.skeleton import Array
from humanrt.outputs.record import read_recording
from humanrt.people.rig import BodyRig, open_rig
from humanrt.stats import machine, write_report
from humanrt_export.commands.data import FilmConfig, make_film
from humanrt_export.synthetic.people.engine import PeopleEngine
from humanrt_export.synthetic.people.film import draw_film

SECONDS, FPS = 2.8, 30.0
_SIZE = 800, 600  # px
_WALKED = 1.5  # m, of the pelvis across the floor
_SLOW = 0.15  # m/s, of a sole that stands
_SHORT = 4  # frames, shorter contacts are not measured

TRAINING = {"u08": (3100, 3140), "u09": (3200, 3240)}
FILMS = {"06": (4100,), "07": (4200, 4240), "u10": (4300, 4340, 4380)}
"""People of ``cmu_labelled.tar.xz``, with the seeds at which the search for a film begins."""


@dataclass(frozen=True)
class Walk:
    """A film of a person who walks.

    Attributes:
        path: the video.
        name: what moves the person.
        turn: [3, 3] from world (y up) to camera axes.
        position: [3] m, the camera in the world.
        intrinsics: [3, 3] px.
        take: the true motion, camera space.
    """

    path: Path
    name: str
    turn: Array
    position: Array
    intrinsics: Array
    take: Take


def walks(chosen: Mapping[str, Sequence[int]], motions: Path, rig: BodyRig, *, rendered: bool = True) -> Iterator[Walk]:
    """Yield a film for each of the seeds: the first that shows a walk, counting on from there."""
    for person, starts in chosen.items():
        folder = _recordings(person, motions)
        for start in starts:
            yield _walk(folder, start, rig, rendered)


def _recordings(person: str, motions: Path) -> Path:
    """Return a folder with a person's walks."""
    folder = cache_folder() / "bench" / f"walks-{person}"
    labels = json.loads((motions / "labels.json").read_text())
    wanted = {name for name, about in labels.items() if about["subject"] == person and about["label"] == "walk"}
    if not folder.is_dir():
        with TemporaryDirectory() as temporary, tarfile.open(motions / "cmu_labelled.tar.xz") as archive:
            for member in archive:
                name = Path(member.name)
                if member.isfile() and (name.stem in wanted or name.name == f"{person}.asf"):
                    archive.extract(member, temporary, filter="data")
            shutil.move(Path(temporary) / "cmu_labelled", folder)
    return folder


def _walk(recordings: Path, start: int, rig: BodyRig, rendered: bool) -> Walk:
    known = cache_folder() / "bench" / f"{recordings.name}-{start}.seed"
    seeds = [int(known.read_text())] if known.is_file() else range(start, start + 40)
    for seed in seeds:
        path = cache_folder() / "bench" / f"{recordings.name}-{seed}.mp4"
        config = FilmConfig(
            out=path,
            seconds=SECONDS,
            fps=FPS,
            seed=seed,
            people=1,
            width=_SIZE[0],
            height=_SIZE[1],
            style="randomised",
            part="all",
            motions=recordings,
        )
        with PeopleEngine(config.engine) as engine:
            try:
                film = draw_film(engine, 0, SECONDS, FPS, 1)
            except HumanrtError:  # nobody fits into this picture
                continue
        heads = np.array([world.people[0].head for world in film.worlds])
        if float(np.ptp(heads[:, ::2], axis=0).max()) < _WALKED:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if rendered and not path.is_file():
            make_film(config)
        write_atomically(known, str(seed).encode())
        subjects = [world.people[0] for world in film.worlds]
        shape = subjects[0].phenotypes.astype(np.float64)
        local = np.array([one.rotations for one in subjects])
        local[:, 0] = film.view.turn @ local[:, 0]
        rest = rig.rest(shape)
        head = rig.tree.names.index("head")
        posed = np.array([rig.bone_heads(rig.pose(shape, one)[1]) for one in local])
        root = (heads - film.view.position) @ film.view.turn.T - posed[:, head] + posed[:, 0]
        t = np.arange(len(subjects)) / FPS
        take = Take(1, rig.tree, t, local, root, rest, shape, np.zeros((len(t), 0)), np.array([[t[0], t[-1]]]))
        return Walk(path, film.clips[0], film.view.turn, film.view.position, film.view.camera.intrinsics, take)
    raise SystemExit(f"no walk in {recordings} from {start}")


def seen(walk: Walk, bundle: str, rig: BodyRig) -> list[Take]:
    """Return whom a bundle sees in a film, the camera known."""
    name, _, quality = bundle.partition(":")
    path = walk.path.with_name(f"{walk.path.stem}-{bundle.replace(':', '-')}.jsonl")
    if not path.is_file():
        fx, fy, (cx, cy) = walk.intrinsics[0, 0], walk.intrinsics[1, 1], walk.intrinsics[:2, 2]
        arguments = ["run", str(walk.path), "--task", "people", "--bundle", name, "--headless", "--record", str(path)]
        arguments += ["--intrinsics", f"{fx},{fy},{cx},{cy}", *(["--quality", quality] if quality else [])]
        if humanrt_main(arguments):
            raise SystemExit(f"humanrt {' '.join(arguments)} failed")
    tracks = read_recording(path).tracks()
    takes = [take_of(track, tracks.header, rig) for track in tracks.people.values()]
    return sorted(takes, key=lambda take: -len(take.t))[:1]  # the walker; a find of nobody is short


def _world(points: Array, walk: Walk) -> Array:
    return np.asarray(points @ walk.turn + walk.position)


def _standing(walk: Walk, soles: Soles) -> list[tuple[int, int, int, int]]:
    """Return the true contacts: foot, heel or ball, from frame, to frame."""
    points = _world(soles.at(walk.take), walk)
    speeds = np.linalg.norm(np.gradient(points, 1 / FPS, axis=0), axis=-1)
    found = []
    for foot in range(2):
        for point in range(2):
            slow = np.concatenate([[False], speeds[:, foot, point] < _SLOW, [False]]).astype(np.int8)
            edges = np.flatnonzero(np.diff(slow))
            for start, end in zip(edges[::2], edges[1::2], strict=True):
                if end - start >= _SHORT:
                    found.append((foot, point, int(start), int(end)))
    return found


def _slides(points: NDArray[Any], frames: NDArray[Any], contacts: Sequence[tuple[int, int, int, int]]) -> list[float]:
    """Return how far soles [F, 2, 2, 3] (y up or down) get across the floor in each contact, m."""
    far = []
    for foot, point, start, end in contacts:
        some = points[(frames >= start) & (frames < end), foot, point][:, ::2]
        if len(some) >= _SHORT:
            far.append(float(np.linalg.norm(some - some[0], axis=1).max()))
    return far


def measure(walk: Walk, take: Take, ground: Ground, rigs: BodyRig, true_soles: Soles) -> dict[str, Any]:
    """Return what is measured of one film."""
    true_up = walk.turn[:, 1]
    soles = soles_of(rigs, take.shape)
    frames = np.round(take.t * FPS).astype(int)
    contacts = _standing(walk, true_soles)
    true_points = _world(true_soles.at(walk.take), walk)
    row: dict[str, Any] = {
        "frames": len(frames),
        "normal": float(np.degrees(np.arccos(np.clip(ground.up @ true_up, -1, 1)))),
        "claimed": float(np.degrees(ground.uncertainty)),
        "height": 1000 * (ground.height - walk.position[1]),
        "own": _slides(true_points, np.arange(len(true_points)), contacts),
    }
    true_heads = _world(walk.take.heads(), walk)[frames]
    for name, one in (("as seen", grounded(take, ground)), ("planted", planted(take, soles, ground))):
        points = soles.at(one)
        heads = one.heads() * (1, -1, -1)
        apart = (heads - heads[:, :1]) - (true_heads - true_heads[:, :1])
        off = []
        for foot, point, start, end in contacts:
            inside = (frames >= start) & (frames < end)
            off += np.abs(-points[inside, foot, point, 1] - true_points[frames[inside], foot, point, 1]).tolist()
        row[name] = {
            "sliding": _slides(points, frames, contacts),
            "off": off,
            "joints": float(np.linalg.norm(apart, axis=-1).mean()),
        }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", nargs="+", default=[], metavar="NAME|PATH[:QUALITY]")
    parser.add_argument("--true-motion", action="store_true", help="the floor of the true motion, too")
    parser.add_argument("--motions", type=Path, required=True, metavar="DIR", help="folder of the recordings' archives")
    parser.add_argument("--tune", action="store_true", help="the films of training instead")
    parser.add_argument("--out", type=Path, help="folder for ground.json and ground.md")
    arguments = parser.parse_args()
    if not arguments.bundle and not arguments.true_motion:
        parser.error("give --bundle or --true-motion")
    if arguments.out and not arguments.bundle:
        parser.error("--out is for the table of --bundle; --true-motion alone is printed")
    with open_rig(load_bundle("holistic")) as rig:
        chosen = TRAINING if arguments.tune else FILMS
        films = list(walks(chosen, arguments.motions, rig, rendered=bool(arguments.bundle)))
        true_soles = [soles_of(rig, film.take.shape) for film in films]
    for film, true in zip(films if arguments.true_motion else [], true_soles, strict=False):
        print(f"true motion, {film.name}: {_split(film, find_ground([film.take], [true]))}", flush=True)
    rows: dict[str, list[dict[str, Any]]] = {}
    for bundle in arguments.bundle:
        with open_rig(load_bundle(bundle.partition(":")[0])) as rig:
            for film, true in zip(films, true_soles, strict=True):
                takes = seen(film, bundle, rig)
                ground = find_ground(takes, [soles_of(rig, take.shape) for take in takes])
                row = measure(film, takes[0], ground, rig, true)
                rows.setdefault(bundle, []).append(row)
                print(f"{bundle}, {film.name}: {ground}; {_split(film, ground)}", flush=True)
    if not rows:
        return
    text = report(rows)
    print(text)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_report(arguments.out / "ground.json", {"machine": machine(), "rows": rows})
        write_atomically(arguments.out / "ground.md", text.encode())


def _split(walk: Walk, ground: Ground) -> str:
    """Return the normal's error, along the path and across it, and what is claimed, in words."""
    true_up = walk.turn[:, 1]
    path = walk.take.root[-1] - walk.take.root[0]
    path = path - (path @ true_up) * true_up
    path /= np.linalg.norm(path)
    off = np.degrees(np.arccos(np.clip(ground.up @ true_up, -1, 1)))
    along, across = np.degrees((ground.up - true_up) @ np.stack([path, np.cross(true_up, path)], axis=1))
    said = np.degrees(ground.uncertainty)
    return f"normal off by {off:.1f} ({along:.1f} along the path, {across:.1f} across it; within {said:.1f})"


def report(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return a table in Markdown."""
    lines = [
        "| | normal, median and worst | height | | sliding, median | 90 % | off the floor | joints | own sliding |",
        "| --- " * 9 + "|",
    ]
    for bundle, some in rows.items():
        normals = [row["normal"] for row in some]
        height = float(np.mean([abs(row["height"]) for row in some]))
        own = 1000 * np.median(np.concatenate([row["own"] for row in some]))
        for name in ("as seen", "planted"):
            slides = 1000 * np.concatenate([row[name]["sliding"] for row in some])
            off = 1000 * np.mean(np.concatenate([row[name]["off"] for row in some]))
            joints = 1000 * np.mean([row[name]["joints"] for row in some])
            lines.append(
                f"| {bundle} | {np.median(normals):.1f}, {max(normals):.1f} | {height:.0f} | {name} |"
                f" {np.median(slides):.0f} | {np.percentile(slides, 90):.0f} | {off:.0f} | {joints:.0f} | {own:.0f} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
