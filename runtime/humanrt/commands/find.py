"""``humanrt find INDEX``: the events of an archive in which somebody takes a pose."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import load_bundle
from humanrt.bundle.settings import OPEN_EMBEDDER, poseembroider_model
from humanrt.checks import check_range
from humanrt.commands.fields import Flag, add_fields, given
from humanrt.embedding.said import said
from humanrt.errors import HumanrtError
from humanrt.outputs.record import check_writable
from humanrt.search.descriptor import NAME
from humanrt.search.embedded import FactSpace, kept_facts
from humanrt.search.kept import Kept
from humanrt.search.nearest import Event, Filter, nearest_in
from humanrt.search.store import PoseIndex
from humanrt.search.ways import Embedded, Points, Way, Worded

if TYPE_CHECKING:
    from humanrt.tasks import PicturePerson

__all__ = ["FindOptions", "add_parser", "run"]

_EXAMPLES = """\
examples:
  humanrt find poses.index --pose take.jsonl:120 --top 5         like the person of frame 120
  humanrt find poses.index --image photo.jpg --sheet hits.png    like the person in a picture
  humanrt find poses.index --pose pose.npz --file '*kitchen*' --begin 60 --end 120
  humanrt find poses.index --pose pose.npz --clips hits           each event as a video
  humanrt find poses.index "the left arm is raised"               what words say
  humanrt find poses.index "with bent knees" --image photo.jpg    like a picture, but as words say
  humanrt find poses.index --export vectors                       for a vector database
"""


@dataclass(frozen=True)
class FindOptions:
    """What to look for.

    Attributes:
        words: a description of the pose, in English; alone, or beside --pose or --image.
        pose: .npz of one pose, or RECORDING.jsonl:FRAME[:ID].
        image: picture of a person.
        embedder: the bundle that the index was made with, if it was; then any of words, pose and image may be combined.
            Words without it are read by the embedder that ships.
        box: left, top, right and bottom of the person in the picture, px; with words or --embedder. Without, the person
            who is seen best, or --who; with a published embedder, the picture shows that person only.
        who: number of the person in the picture, counted from the left, the first is 1.
        bundle: people bundle that reads the picture, without --embedder.
        mirrored: look for the mirror image too, whichever is nearer.
        top: how many events at most.
        person: only this identity.
        file: only files whose name or path matches, such as '*kitchen*'.
        begin: only from this second of a file on.
        end: only up to this second of a file.
        gap: seconds; frames of a person closer together than this are one event; 0 makes every frame one.
        sheet: picture to write, with what was found: frames of the videos that are there, and figures.
        clips: folder to write a video of each event into.
        margin: seconds shown before and after an event, with --clips.
        media: folder with the videos, where they are no longer where they were recorded.
        export: folder to be made, with all vectors that pass the filters, for a vector database; nothing is searched.
    """

    words: str | None = None
    pose: str | None = None
    image: Path | None = None
    embedder: str | None = None
    box: tuple[float, ...] | None = None
    who: int | None = None
    bundle: str | None = None
    mirrored: bool = False
    top: int = 10
    person: int | None = None
    file: str | None = None
    begin: float | None = None
    end: float | None = None
    gap: float = 0.5
    sheet: Path | None = None
    clips: Path | None = None
    margin: float = 1.0
    media: Path | None = None
    export: Path | None = None


def _box(text: str) -> tuple[float, ...]:
    numbers = tuple(float(part) for part in text.split(","))
    if len(numbers) != 4:
        raise ValueError
    return numbers


_box.__name__ = "box"  # what argparse says of a wrong one: invalid box value
_FLAGS = {
    "pose": Flag(metavar="FILE"),
    "image": Flag(metavar="FILE", type=Path),
    "embedder": Flag(metavar="NAME|PATH"),
    "box": Flag(metavar="L,T,R,B", type=_box),
    "who": Flag(metavar="N", type=int),
    "bundle": Flag(metavar="NAME|PATH"),
    "mirrored": Flag(switch=True),
    "top": Flag(metavar="N", type=int),
    "person": Flag(metavar="ID", type=int),
    "file": Flag(metavar="PATTERN"),
    "begin": Flag(metavar="SECONDS", type=float),
    "end": Flag(metavar="SECONDS", type=float),
    "gap": Flag(metavar="SECONDS", type=float),
    "sheet": Flag(metavar="FILE", type=Path),
    "clips": Flag(metavar="FOLDER", type=Path),
    "margin": Flag(metavar="SECONDS", type=float),
    "media": Flag(metavar="FOLDER", type=Path),
    "export": Flag(metavar="FOLDER", type=Path),
}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "find",
        help="find a pose in an index",
        description="Find where in an archive somebody takes a pose: one JSON object a line, the nearest first. "
        "`distance` is in metres: the root mean square over 19 points of the body, on one skeleton, whichever way "
        "people face; with words, or --embedder, of unit vectors, and `score` their product.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("index", metavar="INDEX", type=Path, help="folder that `humanrt index` made")
    parser.add_argument("words", nargs="?", metavar="WORDS", help="a description of the pose, in English")
    add_fields(parser, _FLAGS, FindOptions)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Search, and print the events."""
    options = FindOptions(**given(vars(arguments), FindOptions))
    _check(options)
    index = PoseIndex(arguments.index)
    only = Filter(options.person, options.file, options.begin, options.end)
    if options.export is not None:
        from humanrt.search.export import export_vectors

        print(f"{options.export}: {export_vectors(index, options.export, only)} vectors")
        return 0
    with ExitStack() as opened:
        way, queries = _queries(options, index.descriptor, opened)
        if index.descriptor != way.name:
            wanted = "with --embedder BUNDLE" if index.descriptor.startswith("poseembroider:") else "without --embedder"
            raise HumanrtError(
                f"{arguments.index}: holds vectors by `{index.descriptor}`, not by `{way.name}`; search it {wanted}, "
                "the one that it was made with, or make another index"
            )
        events: list[Event] = []
        facts: FactSpace | None = None
        said_, kept = _facts(index, way, options.words)
        for query in queries:
            space = way.space(index, query, _say)
            if kept is not None:
                space = facts = FactSpace(space, kept, said_)
            events = _nearer(events, nearest_in(index, space, options.top, gap=options.gap, only=only))
            events = events[: options.top]
    if facts is not None:
        events = [replace(event, distance=facts.inner_distance(event.distance)) for event in events]
    if not events:
        _say(f"{arguments.index}: nothing found; {_filtered(options)}")
    for event in events:
        line = {
            "file": event.file,
            "t": round(event.t, 4),
            "frame": event.frame,
            "id": event.person,
            "score": round(way.score(event.distance), 4),
            "distance": round(event.distance, 4),
            "from": round(event.start, 4),
            "to": round(event.end, 4),
            **({} if facts is None else {"lacks": facts.lacked(event.row)}),
        }
        sys.stdout.write(json.dumps(line, ensure_ascii=False) + "\n")
    if options.sheet is not None:
        from humanrt.search.pictures import pictures_of
        from humanrt.search.sheet import write_sheet

        drawn = queries[0] if isinstance(way, Points) else None
        shown = pictures_of(events, options.media)
        write_sheet(options.sheet, index, drawn, events, shown, options.words or "query")
    if options.clips is not None:
        from humanrt.search.pictures import write_clips

        write_clips(options.clips, events, options.margin, options.media)
    return 0


def _check(options: FindOptions) -> None:
    """Raise HumanrtError where options do not go together."""
    what = [one is not None for one in (options.words, options.pose, options.image)]
    check_range(options.margin, "--margin", 0, 3600)
    if options.media is not None and not options.media.is_dir():
        raise HumanrtError(f"--media {options.media}: no such folder; name the one that holds the videos")
    if options.export is not None:
        if any(what) or options.sheet is not None or options.clips is not None:
            raise HumanrtError("--export writes vectors and searches nothing; leave out what to look for and to show")
        plain = FindOptions()
        for name in ("embedder", "box", "who", "bundle", "mirrored", "top", "gap", "margin", "media"):
            if getattr(options, name) != getattr(plain, name):
                raise HumanrtError(f"--{name} is of a search, and --export does none; leave it out")
        return
    if options.media is not None and options.sheet is None and options.clips is None:
        raise HumanrtError("--media is of the pictures of --sheet and --clips; give one of them, or leave it out")
    if options.margin != FindOptions.margin and options.clips is None:
        raise HumanrtError("--margin is of --clips; give it too, or leave --margin out")
    embedded = options.embedder is not None or options.words is not None
    if not any(what):
        raise HumanrtError("give WORDS, --pose FILE or --image FILE to look for")
    if not embedded and sum(what) != 1:
        raise HumanrtError("give either --pose FILE or --image FILE to look for, or words with one of them")
    if options.bundle is not None and (options.image is None or options.embedder is not None):
        raise HumanrtError("--bundle reads the picture of --image, without --embedder; leave it out")
    if options.box is not None and (options.image is None or not embedded):
        raise HumanrtError("--box is of the person in --image, with words or --embedder; leave it out")
    if options.box is not None and options.bundle is not None:
        raise HumanrtError("--bundle finds the person in --image, and --box says where; leave one of them out")
    if options.who is not None and (options.image is None or options.box is not None):
        raise HumanrtError("--who is of the people in --image, without --box; leave it out")
    if options.mirrored and (options.words is not None or (options.image is not None and options.embedder is not None)):
        raise HumanrtError("--mirrored is for poses; leave it out")
    if options.sheet is not None:
        from humanrt.search.sheet import check_sheet

        check_sheet(options.sheet)
        check_writable(options.sheet)
    if options.clips is not None and options.clips.exists() and not options.clips.is_dir():
        raise HumanrtError(f"--clips {options.clips}: is a file; name a folder")


def _facts(index: PoseIndex, way: Way, words: str | None) -> tuple[Sequence[Sequence[str]], Kept | None]:
    """Return what words say of poses, in clauses that are understood wholly, with the index's facts; and tell it."""
    understood = said(words) if words is not None and isinstance(way, Worded) else None
    if understood is None or not understood.facts:
        return (), None
    _say(f"looked up by geometry: {'; '.join(' or '.join(names) for names in understood.facts)}")
    if understood.rest:
        _say(f"left to the embedder alone: {'; '.join(understood.rest)}")
    return understood.facts, kept_facts(index, _say)


def _say(line: str) -> None:
    """Print a line on stderr; a search does not fail because stderr is closed."""
    with suppress(OSError, ValueError):
        print(f"humanrt find: {line}", file=sys.stderr)


def _filtered(options: FindOptions) -> str:
    """Return why there may be nothing to find."""
    names = [f"--{name}" for name in ("person", "file", "begin", "end") if getattr(options, name) is not None]
    return f"no pose passes {', '.join(names)}" if names else "the index holds no poses"


def _queries(options: FindOptions, descriptor: str, opened: ExitStack) -> tuple[Way, list[NDArray[np.float32]]]:
    """Return the way of the index, and what to look for: a vector, and that of the mirror image if it is asked for."""
    pose = _pose_of_file(options.pose) if options.pose is not None else None
    if options.embedder is not None or options.words is not None:
        bundle = load_bundle(options.embedder or OPEN_EMBEDDER, task="poseembroider")
        ours = poseembroider_model(bundle) == OPEN_EMBEDDER
        way = opened.enter_context((Worded if ours and descriptor == NAME else Embedded)(bundle.path))
        image = None if options.image is None else _picture(options.image)
        box = options.box
        if options.image is not None and box is None and (way.embedder.open or options.who is not None):
            box = _person_of(options, options.image).box
            if box is None:
                raise HumanrtError(
                    f"{options.image}: this people bundle gives no joints; give --box, or another --bundle"
                )
        poses = [pose] if pose is None or not options.mirrored else [pose, _mirrored(pose)]
        return way, [way.query(one, image, options.words, box) for one in poses]
    if options.image is not None:
        pose = _person_of(options, options.image).pose
    assert pose is not None  # `_check`
    poses = [pose, _mirrored(pose)] if options.mirrored else [pose]
    return Points(), [Points().describe(one) for one in poses]


def _person_of(options: FindOptions, image: Path) -> PicturePerson:
    """Return the person in the picture, and say who that is if others are in it."""
    from humanrt.tasks import picture_person

    person = picture_person(image, options.bundle, number=options.who)
    doubt = "" if person.confirmed else ", unconfirmed: the body is coarse"
    if person.among > 1 and options.who is None:
        where = "" if person.box is None else f", at x = {person.box[0]:.0f} to {person.box[2]:.0f} px"
        _say(
            f"{image}: {person.among} people; it is number {person.number} from the left{where}, who is seen best"
            f"{doubt}; --who N takes another"
        )
    elif doubt:
        _say(f"{image}: it is number {person.number} from the left{doubt}")
    return person


def _pose_of_file(name: str) -> NDArray[np.float64]:
    from humanrt.coach.poses import load_pose

    return load_pose(name)


def _picture(path: Path) -> NDArray[np.uint8]:
    from humanrt.sources.opening import open_source

    with open_source(path) as source:
        for frame in source:
            return np.asarray(frame.image)
    raise HumanrtError(f"{path}: holds no picture; give one that shows a person")


def _mirrored(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    from humanrt.geometry.skeleton import SMPLX_BODY, mirrored, other_sides

    return np.asarray(mirrored(pose)[list(other_sides(SMPLX_BODY))])


def _nearer(first: list[Event], second: list[Event]) -> list[Event]:
    """Return events of two searches, the nearest first, without those that share time with a nearer one."""
    kept: list[Event] = []
    for event in sorted([*first, *second], key=lambda one: one.distance):
        same = [one for one in kept if (one.file, one.person) == (event.file, event.person)]
        if all(event.end < one.start or event.start > one.end for one in same):
            kept.append(event)
    return kept
