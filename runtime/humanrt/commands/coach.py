"""``humanrt coach SOURCE --reference POSE``: what to change, in words, live."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from humanrt.coach.announce import Announcer, Speaker
from humanrt.coach.engine import PoseCoach
from humanrt.coach.live_coach import CoachPainter, CoachPipeline
from humanrt.coach.phrases import languages
from humanrt.coach.poses import PoseTrack, load_track, reference_file
from humanrt.coach.trainer import Trainer
from humanrt.commands.fields import EXECUTION_FLAGS, Flag, add_fields, given
from humanrt.errors import HumanrtError
from humanrt.inference.execution import Execution
from humanrt.live import Output, play
from humanrt.outputs.listed import OUTPUTS
from humanrt.outputs.record import check_apart
from humanrt.outputs.window import Window, has_display
from humanrt.people.holistic import QUALITIES, Quality
from humanrt.sources.opening import IMAGE_SUFFIXES, VIDEO_SUFFIXES, open_source, source_files
from humanrt.tasks import TASKS, PeopleOptions, open_people, picture_person

__all__ = ["METRES_PER_DEGREE", "CoachOptions", "add_parser", "run"]

METRES_PER_DEGREE = 0.01 / 1.5
"""A tolerance of hands and feet for each degree of that of joints."""

_EXAMPLES = """\
examples:
  humanrt run teacher.mp4 --task people --headless --record teacher.jsonl     makes a reference
  humanrt coach 0 --reference teacher.jsonl --mirrored                        follow it, as in a mirror
  humanrt coach 0 --reference teacher.jsonl:120 --numbers                     hold the pose of its frame 120
  humanrt coach clip.mp4 --reference pose.npz --headless --record out.jsonl --video out.mp4
  humanrt coach me.jpg --reference teacher.jpg --headless --numbers           from one picture to another
"""


@dataclass(frozen=True, kw_only=True)
class CoachOptions:
    """Options of ``humanrt coach``, beside those of `Execution`.

    Attributes:
        source: camera index, stream URL, video file, image, or folder of images.
        reference: what to follow: a pose or a motion, NAME.npz, RECORDING.jsonl, RECORDING.jsonl:FRAME[:ID] or
            RECORDING.jsonl::ID; or a picture, of whose people the nearest is meant.
        bundle: name or folder of a model bundle for people. None: holistic.
        backend: auto, cpu, cuda or tensorrt.
        quality: for `holistic`: how closely people are looked at.
        mirrored: follow the reference as in a mirror.
        facing: the direction in which the person faces counts too.
        tolerance: degrees from which a difference is spoken of, and 1 cm for each 1.5 of them.
        numbers: say amounts in degrees and cm.
        language: of the words.
        speak: speak the words, by the program espeak-ng.
        headless: open no window.
        max_frames: stop after N frames.
        realtime: play a file at its own pace, dropping late frames.
        files: names of outputs (`OUTPUTS`), and the files that they write.
    """

    source: str
    reference: str
    bundle: str | None = None
    backend: str = "auto"
    quality: Quality | None = None
    mirrored: bool = False
    facing: bool = False
    tolerance: float = 20.0
    numbers: bool = False
    language: str = "en"
    speak: bool = False
    headless: bool = False
    max_frames: int | None = None
    realtime: bool = False
    files: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 1.0 <= self.tolerance <= 90.0:
            raise HumanrtError(f"--tolerance is {self.tolerance:g}; give 1 to 90 degrees")


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "coach",
        help="say what to change to reach a pose, or to follow a motion",
        description="Compare the nearest person in SOURCE with a reference and say what to change. Standard output has "
        "one JSON line for whatever is new. Without --headless a window shows it; q stops.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_fields(parser, _FLAGS, CoachOptions)
    add_fields(parser, EXECUTION_FLAGS, Execution)
    for output in OUTPUTS:
        parser.add_argument(f"--{output.name}", type=Path, metavar=output.metavar, help=output.help)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the loop until the source ends, the window closes, or --max-frames."""
    values = vars(arguments)
    files = {output.name: path for output in OUTPUTS if (path := values[output.name])}
    options = CoachOptions(**given(values, CoachOptions), files=files)
    execution = {name: value for name, value in given(values, Execution).items() if name in EXECUTION_FLAGS}
    if not options.headless and not has_display():
        raise HumanrtError("there is no display for a window; add --headless (and --video FILE.mp4 to see the result)")
    written = {f"--{output.name}": files[output.name] for output in OUTPUTS if output.writes and output.name in files}
    read = {"the source": source_files(options.source), "the --reference": [reference_file(options.reference)]}
    check_apart(written, read)
    with ExitStack() as stack:
        _run(options, execution, stack)
    return 0


def _run(options: CoachOptions, execution: Mapping[str, Any], stack: ExitStack) -> None:
    coach = PoseCoach(
        language=options.language,
        numbers=options.numbers,
        mirrored=options.mirrored,
        facing=options.facing,
        degrees=options.tolerance,
        metres=options.tolerance * METRES_PER_DEGREE,
    )
    reference = _reference(options)
    trainer = Trainer(coach, reference)
    outputs: list[Output] = [Announcer(_tell)]
    if options.speak:
        outputs.append(Speaker(options.language))
    asked = [(output, path) for output in OUTPUTS if (path := options.files.get(output.name))]
    outputs += [output.open(path) for output, path in asked]
    for opened in outputs:
        stack.callback(opened.close)
    drawn = not options.headless or any(output.draws for output, _ in asked)
    people = open_people(options.bundle, options.backend, PeopleOptions(quality=options.quality), **execution)
    pipeline = stack.enter_context(CoachPipeline(people, trainer, options.reference))
    source = stack.enter_context(open_source(options.source, realtime=options.realtime))
    painter = None
    if drawn:
        inner = TASKS["people"].painter(people, stack, _note)
        painter = CoachPainter(inner, people.model.joint_names, coach.phrases)
    if not options.headless:
        window = Window(f"humanrt - {source.name}")
        stack.callback(window.close)
        outputs.append(window)
    for note in pipeline.notes:
        _note(note)
    if reference.among > 1:
        _note(_whom(reference))
    summary = play(source, pipeline, outputs, painter, options.max_frames)
    _say(str(summary))


def _reference(options: CoachOptions) -> PoseTrack:
    """Return what to follow: of a picture, the pose of the nearest person, as it is the nearest who is coached.

    A person whom the landmark network does not confirm is the reference only if it confirms nobody.
    """
    suffix = Path(options.reference).suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        recording = Path(options.reference).with_suffix(".jsonl").name
        raise HumanrtError(
            f"--reference {options.reference}: is a video; record its people first: "
            f"`humanrt run {options.reference} --task people --headless --record {recording}`, and give {recording}"
        )
    if suffix in IMAGE_SUFFIXES:
        person = picture_person(options.reference, options.bundle, nearest=True)
        if not person.confirmed:
            _note(f"{options.reference}: whom it shows is unconfirmed: the body is coarse")
        return PoseTrack(person.pose[None], np.zeros(1), among=person.among)
    return load_track(options.reference)


def _whom(reference: PoseTrack) -> str:
    """Say whom a reference of several people is of, and how another is named."""
    if reference.person is None:
        return f"the reference is the nearest of {reference.among} people in the picture; crop it to show another alone"
    return f"the reference is person {reference.person}, one of {reference.among}; :FRAME:ID or ::ID names another"


def _tell(line: str) -> None:
    """Print a line on standard output at once: whoever reads it from a pipe follows live."""
    print(line, flush=True)


def _note(line: str) -> None:
    _say(f"humanrt coach: {line}")


def _say(line: str) -> None:
    """Print a line on stderr; a run does not fail because stderr is closed."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr)


def _positive(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


# How the fields of `CoachOptions` are given on the command line.
_FLAGS = {
    "source": Flag(positional=True),
    "reference": Flag(metavar="POSE|RECORDING", required=True),
    "bundle": Flag(metavar="NAME|PATH"),
    "backend": Flag(metavar="NAME"),
    "quality": Flag(choices=QUALITIES),
    "mirrored": Flag(switch=True),
    "facing": Flag(switch=True),
    "tolerance": Flag(metavar="DEGREES", type=float),
    "numbers": Flag(switch=True),
    "language": Flag(choices=languages()),
    "speak": Flag(switch=True),
    "headless": Flag(switch=True),
    "max_frames": Flag(metavar="N", type=_positive),
    "realtime": Flag(switch=True),
}
