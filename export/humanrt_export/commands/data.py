"""``humanrt-export data``: create training data with exact ground truth.

``data people``: pictures of people, in shards; ``data film``: a video of people who move in front of a static camera;
``data still``: a video of people who hold still, by a camera that goes around them; ``data portraits``: pictures of one
person each with the pose (`humanrt_export.data.described.portraits`), for ``humanrt-export train poseembroider``;
``data environments``: HDR environment maps for ``--environments`` of all of them.

A film is ``NAME.mp4`` with ``NAME.npz`` beside it, with T frames and N people, all of them in all frames: t [T] s, fps,
intrinsics [3, 3] px, size (W, H) px, joint_names [J], clips [N] (the recordings, or gestures), and `PeopleLabels` by
name: rotations [T, N, R, 3, 3], shape [T, N, 6], translation [T, N, 3] m, joints [T, N, J, 3] m, joints_2d
[T, N, J, 2] px, visible [T, N], expression [T, N, 52]. Of still people there is also to_world [T, 4, 4], and
``NAME.json``, which ``humanrt-export fit`` reads.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, OutputError, choices
from humanrt.files import write_atomically
from humanrt.outputs.video import open_sink
from humanrt_export.bodies.anny.model import load_anny
from humanrt_export.conversion.environments import fetch_environments
from humanrt_export.options import Option, add_options, build, sub_commands
from humanrt_export.synthetic.people import STYLES, EngineOptions, PeopleEngine, PeopleLabels, PeopleSample, ShardWriter
from humanrt_export.synthetic.people.engine import KINDS, Kind
from humanrt_export.synthetic.people.film import draw_film, shoot_film
from humanrt_export.synthetic.people.poses import Part
from humanrt_export.synthetic.people.sheet import labelled, sheet
from humanrt_export.synthetic.people.still import camera_file, draw_still
from humanrt_export.synthetic.people.style import find_style
from humanrt_export.synthetic.people.view import View

__all__ = [
    "EnvironmentsConfig",
    "FilmConfig",
    "PeopleConfig",
    "PortraitsConfig",
    "StillConfig",
    "configure",
    "make_film",
    "make_people",
    "make_portraits",
    "run",
]


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """Options for all kinds of data.

    Attributes:
        seed: determines a sample, together with its index.
        motions: recordings: file, folder or archive; without any, poses from joint limits only.
        part: part of the recordings; val: held out.
        backgrounds: photographs for backgrounds, in addition to procedural ones.
        assets: MakeHuman's garments, shoes and hair for people: folder or archive; without any, clothes are painted.
        environments: HDR environment maps (.hdr) that light most pictures and films; see ``data environments``.
        faces: give faces expressions.
        style: appearance of the pictures.
        threads: number of CPU threads.
    """

    seed: int = EngineOptions.seed
    motions: Path | None = None
    part: Part = EngineOptions.part
    backgrounds: Annotated[Path | None, Option(metavar="DIR")] = None
    assets: Path | None = None
    environments: Annotated[Path | None, Option(metavar="DIR")] = None
    faces: bool = False
    style: Annotated[str, Option(metavar="|".join(sorted(STYLES)))] = EngineOptions.style.name
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class PeopleConfig(SceneConfig):
    """Options of ``humanrt-export data people``.

    Attributes:
        out: folder of shards; if it exists, missing shards are made.
        sheet: draw samples with their labels into this picture (.png, .jpg).
        count: number of samples (of pairs, with --pairs).
        first: index of the first sample.
        size: side of the pictures in px.
        most: maximum number of people in a picture, 0 to 10.
        resting: fraction of people who sit, on seats, or lie on the ground.
        pairs: show the same people twice, from two cameras or at two instants: samples 2i and 2i + 1.
        shard: number of samples per file, even.
        quality: JPEG quality of the images; 0: lossless PNG.
        plain: draw no labels on the sheet.
        columns: number of columns of the sheet.
    """

    out: Annotated[Path | None, Option(metavar="DIR")] = None
    sheet: Annotated[Path | None, Option(metavar="FILE")] = None
    count: int
    first: Annotated[int, Option(flag="--from", metavar="I")] = 0
    size: int = EngineOptions.size
    most: int = EngineOptions.most
    resting: float = 0.0
    pairs: Kind | None = None
    shard: int = 128
    quality: int = 95
    plain: bool = False
    columns: int = 8

    def __post_init__(self) -> None:
        if not (self.out or self.sheet):
            raise HumanrtError("nothing to do: give --out DIR for shards, --sheet FILE for a picture, or both")
        for name, least, most in (("count", 1, 10**7), ("first", 0, 10**9), ("shard", 2, 4096), ("quality", 0, 100)):
            value = getattr(self, name)
            if not least <= value <= most:
                raise HumanrtError(f"--{'from' if name == 'first' else name} is {value}; it must be {least} to {most}")
        if self.shard % 2:
            raise HumanrtError(f"--shard is {self.shard}; it must be an even number, so that pairs stay together")
        if self.threads < 1 or self.columns < 1:
            raise HumanrtError("--threads and --columns must be at least 1")
        if self.sheet and self.sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise HumanrtError(f"--sheet {self.sheet}: the name must end in .png or .jpg")
        if self.pairs not in (None, *KINDS):
            raise HumanrtError(f"unknown kind of pairs `{self.pairs}`; choose one of: {choices(KINDS)}")
        _ = self.engine  # rejects what it cannot draw

    @property
    def engine(self) -> EngineOptions:
        """Options of the engine that renders the pictures."""
        return EngineOptions(
            size=self.size,
            seed=self.seed,
            most=self.most,
            resting=self.resting,
            motions=self.motions,
            part=self.part,
            backgrounds=self.backgrounds,
            assets=self.assets,
            environments=self.environments,
            faces=self.faces,
            style=find_style(self.style),
        )

    @property
    def indices(self) -> range:
        """Indices of the samples; those of a pair are consecutive."""
        times = 2 if self.pairs else 1
        return range(times * self.first, times * (self.first + self.count))


@dataclass(frozen=True, kw_only=True)
class FilmConfig(SceneConfig):
    """Options of ``humanrt-export data film``.

    Attributes:
        out: the video (.mp4); the ground truth gets the same name with .npz.
        seconds: length.
        fps: frames per second.
        width: width of the picture in px.
        height: height of the picture in px.
        people: number of people, 1 to 4.
        index: number of the film for this seed.
    """

    out: Annotated[Path, Option(metavar="FILE")]
    seconds: float = 6.0
    fps: float = 30.0
    width: int = 640
    height: int = 480
    people: int = 3
    index: int = 0

    def __post_init__(self) -> None:
        if self.out.suffix.lower() != ".mp4":
            raise HumanrtError(f"--out {self.out}: the name must end in .mp4")
        if not (0 < self.seconds <= 600 and 1 <= self.fps <= 240):
            raise HumanrtError("--seconds must be above 0 and at most 600, --fps from 1 to 240")
        if self.width % 2 or self.height % 2:
            raise HumanrtError(f"{self.width} x {self.height} px: videos need even sides")
        if self.threads < 1 or self.index < 0:
            raise HumanrtError("--threads must be at least 1, --index at least 0")
        _ = self.engine  # rejects what it cannot draw

    @property
    def engine(self) -> EngineOptions:
        """Options of the engine that renders the pictures."""
        return EngineOptions(
            size=self.width,
            height=self.height,
            seed=self.seed,
            motions=self.motions,
            part=self.part,
            backgrounds=self.backgrounds,
            assets=self.assets,
            environments=self.environments,
            faces=self.faces,
            # Effects that a static camera does not have equally in every frame.
            style=replace(find_style(self.style), blurred=0.0, overlays=0.0),
        )


@dataclass(frozen=True, kw_only=True)
class StillConfig(FilmConfig):
    """Options of ``humanrt-export data still``.

    Attributes:
        seconds: see `FilmConfig`.
        fps: see `FilmConfig`.
        people: see `FilmConfig`.
        arc: degrees, by which the camera goes around people.
    """

    seconds: float = 3.0
    fps: float = 10.0
    people: int = 2
    arc: float = 90.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.arc <= 360:
            raise HumanrtError(f"--arc is {self.arc:g} degrees; it must be above 0 and at most 360")


@dataclass(frozen=True, kw_only=True)
class PortraitsConfig(SceneConfig):
    """Options of ``humanrt-export data portraits``.

    Attributes:
        out: folder of files of 64 pictures; those that are there stay.
        count: number of pictures.
        first: number of the first picture, a multiple of 64; the seed and the number determine a picture.
        size: side of the pictures in px.
        recorded: poses of the recordings themselves, those that differ most, for tests; else they are changed and
            mixed with others.
        fine: draw the full mesh, five times as slow.
    """

    out: Annotated[Path, Option(metavar="DIR")]
    count: int
    first: Annotated[int, Option(flag="--from", metavar="I")] = 0
    size: int = 192
    recorded: bool = False
    fine: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.count <= 10**6:
            raise HumanrtError(f"--count is {self.count}; it must be 1 to 1000000")
        if self.threads < 1:
            raise HumanrtError("--threads must be at least 1")
        if self.recorded and self.motions is None:
            raise HumanrtError("--recorded takes poses of --motions; give it too")
        _ = self.engine  # rejects what it cannot draw

    @property
    def engine(self) -> EngineOptions:
        """Options of the engine that renders the pictures."""
        return EngineOptions(
            size=self.size,
            seed=self.seed,
            most=1,
            motions=self.motions,
            part=self.part,
            backgrounds=self.backgrounds,
            assets=self.assets,
            environments=self.environments,
            faces=self.faces,
            style=find_style(self.style),
            letterboxed=0.0,
        )

    @property
    def settings(self) -> dict[str, Any]:
        """What determines a picture, besides its number; where poses are sampled at once, also how many there are."""
        named = ("motions", "backgrounds", "assets", "environments")
        found = {name: None if (path := getattr(self, name)) is None else Path(path).name for name in named}
        found |= {name: getattr(self, name) for name in ("seed", "size", "part", "faces", "style", "recorded", "fine")}
        return found | ({"poses": self.first + self.count} if self.recorded else {})


@dataclass(frozen=True, kw_only=True)
class EnvironmentsConfig:
    """Options of ``humanrt-export data environments``.

    Attributes:
        out: folder for the panoramas.
        package: file of the npm package; without it, npm downloads it.
    """

    out: Annotated[Path, Option(metavar="DIR")]
    package: Annotated[Path | None, Option(metavar="FILE")] = None


_KINDS = {
    "people": PeopleConfig,
    "film": FilmConfig,
    "still": StillConfig,
    "portraits": PortraitsConfig,
    "environments": EnvironmentsConfig,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    sub_commands(
        parser,
        {
            "people": "pictures of 0 to 10 people (Anny) with exact truth; the same command goes on where it was",
            "film": "a video of people who move (recordings, or gestures) before a camera that stands, and the truth",
            "still": "a video of people who hold still, by a camera that goes around them, and the truth of both",
            "portraits": "pictures of one person each, whole, with the pose; for the embedder of poses and words",
            "environments": "panoramas of real places (CC0) for --environments, from the npm package @pmndrs/assets",
        },
        "kind",
        "DATA",
        lambda name, sub, words: add_options(sub, _KINDS[name], words),
    )


def run(arguments: argparse.Namespace) -> int:
    """Create data."""
    if arguments.kind in ("film", "still"):
        make_film(build(FilmConfig if arguments.kind == "film" else StillConfig, arguments))
    elif arguments.kind == "environments":
        config = build(EnvironmentsConfig, arguments)
        made = list(fetch_environments(config.out, config.package))
        print(f"{config.out}: {len(made)} panoramas")
    elif arguments.kind == "portraits":
        make_portraits(build(PortraitsConfig, arguments))
    else:
        make_people(build(PeopleConfig, arguments))
    return 0


def make_people(config: PeopleConfig) -> None:
    """Render pictures of people with their ground truth: to shards, to a sheet, or both.

    Raises:
        HumanrtError: recordings or backgrounds cannot be read; the folder has other content, or cannot be written.
    """
    _use_threads(config.threads)
    with PeopleEngine(config.engine) as engine:
        if config.sheet:
            _draw_sheet(engine, config, config.sheet)
        if config.out:
            _write(engine, config, config.out)


def make_film(config: FilmConfig) -> None:
    """Render a video of moving people, or of still ones, with the ground truth beside it.

    Raises:
        HumanrtError: recordings or backgrounds cannot be read, or the video cannot be written.
    """
    _use_threads(config.threads)
    with PeopleEngine(config.engine) as engine:
        _write_film(engine, config)


def make_portraits(config: PortraitsConfig) -> None:
    """Render pictures of one person each.

    Raises:
        HumanrtError: recordings or backgrounds cannot be read, the folder cannot be written, or its pictures are made
            with other settings.
    """
    from humanrt_export.data.described.portraits import keep_to, recorded_poses, render_portraits

    keep_to(config.out, config.settings)
    _use_threads(config.threads)
    with PeopleEngine(config.engine, **({} if config.fine else {"fine": float("inf")})) as engine:
        poses = recorded_poses(engine.source, config.first + config.count, config.seed) if config.recorded else None
        start = time.monotonic()
        for made in render_portraits(engine, config.out, config.count, config.first, poses):
            print(f"{config.out}: {made} pictures, {time.monotonic() - start:.0f} s", flush=True)


def _use_threads(threads: int) -> None:
    # Without a GPU, llvmpipe uses as many threads as there are cores unless told otherwise.
    os.environ.setdefault("LP_NUM_THREADS", str(threads))
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _made(engine: PeopleEngine, pairs: Kind | None, indices: range) -> Iterator[PeopleSample]:
    """Yield the samples; with pairs, samples 2i and 2i + 1 are the pair i."""
    if pairs:
        for index in indices[::2]:
            yield from engine.pair(index // 2, pairs)
    else:
        yield from map(engine.sample, indices)


def _draw_sheet(engine: PeopleEngine, config: PeopleConfig, path: Path) -> None:
    parents = load_anny("10pc").parents.tolist()
    samples = _made(engine, config.pairs, config.indices)
    pictures = [sample.image if config.plain else labelled(sample, parents) for sample in samples]
    done, code = cv2.imencode(path.suffix, sheet(pictures, config.columns)[..., ::-1])
    if not done:
        raise OutputError(f"{path}: {len(pictures)} pictures of {config.size} px are too many for one sheet")
    write_atomically(path, np.asarray(code).tobytes())


def _write(engine: PeopleEngine, config: PeopleConfig, out: Path) -> None:
    about = engine.options.about() | {"pairs": config.pairs, "joint_names": list(engine.joint_names)}
    writer = ShardWriter(out, about, config.shard, config.quality)
    start, made, people = time.monotonic(), 0, 0
    for number, indices in writer.missing(config.indices.start, len(config.indices)):
        samples: list[PeopleSample] = []
        for sample in _made(engine, config.pairs, indices):
            samples.append(sample)
            made, people = made + 1, people + len(samples[-1].people)
            _tell(f"{made} images, {made / (time.monotonic() - start):.1f} a second, {people / made:.1f} people each")
        writer.write(number, indices[0], samples)
        if not sys.stderr.isatty():
            print(
                f"{time.strftime('%H:%M:%S')} shard {number}: {made} images, "
                f"{made / (time.monotonic() - start):.1f} a second",
                flush=True,
            )
    _tell("\n" if made else "")
    print(f"{out}: {len(config.indices)} samples, {made} of them made now")


def _write_film(engine: PeopleEngine, config: FilmConfig) -> None:
    if isinstance(config, StillConfig):
        film = draw_still(engine, config.index, config.seconds, config.fps, config.people, config.arc)
    else:
        film = draw_film(engine, config.index, config.seconds, config.fps, config.people)
    start, samples = time.monotonic(), []
    with open_sink(config.out, film.fps) as sink:
        for sample in shoot_film(engine, film, config.index):
            sink.write(sample.image)
            samples.append(sample)
            _tell(f"{len(samples)} of {len(film.worlds)} frames")
    _tell("\n")
    truth = {
        field.name: np.stack([getattr(sample.people, field.name) for sample in samples])
        for field in fields(PeopleLabels)
    }
    if film.path:
        truth["to_world"] = np.stack([_to_world(view) for view in film.path])
        cameras = json.dumps(camera_file(film, config.out.name), indent=1) + "\n"
        write_atomically(config.out.with_suffix(".json"), cameras.encode())
    content = io.BytesIO()
    np.savez_compressed(
        content,
        allow_pickle=False,
        t=np.arange(len(samples)) / film.fps,
        fps=film.fps,
        intrinsics=samples[0].intrinsics,
        size=np.array(engine.options.frame),
        joint_names=np.array(engine.joint_names),
        clips=np.array(film.clips),
        **truth,
    )
    write_atomically(config.out.with_suffix(".npz"), content.getvalue())
    print(f"{config.out}: {len(samples)} frames, {len(samples) / (time.monotonic() - start):.1f} a second; moved by:")
    for clip in film.clips:
        print(f"  {clip}")


def _to_world(view: View) -> NDArray[np.float64]:
    """Return [4, 4] from the camera to the world."""
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = view.turn.T, view.position
    return out


def _tell(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(text if text in ("", "\n") else f"\r{text}")
        sys.stderr.flush()
