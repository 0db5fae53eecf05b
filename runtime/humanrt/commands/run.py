"""``humanrt run SOURCE``: the live loop, on a camera, a stream, a video, an image or a folder of images."""

from __future__ import annotations

import argparse
import contextlib
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from humanrt.address import is_address
from humanrt.backends import BACKENDS
from humanrt.errors import HumanrtError, OutputError
from humanrt.geometry.camera import read_intrinsics
from humanrt.hands.smoothers import SMOOTHERS
from humanrt.inference.variants import EXACT
from humanrt.live import Output, Painter, Pipeline, play
from humanrt.outputs.listed import OUTPUTS
from humanrt.outputs.mesh_files import FORMATS, MeshWriter
from humanrt.outputs.record import RECORDING_SUFFIX, check_apart
from humanrt.outputs.window import Window, has_display
from humanrt.people.holistic import DEFAULT_BUNDLE, QUALITIES
from humanrt.people.multihmr import AUTO
from humanrt.people.view import PANELS
from humanrt.sources.opening import Source, is_image, open_source, source_files
from humanrt.tasks import TASKS, AnyPeoplePipeline, HandOptions, PeopleOptions

__all__ = ["add_parser", "run"]

# Options that apply to one task only, with their defaults: given for another task they are an error, not ignored.
_OWN_OPTIONS: dict[str, dict[str, Any]] = {
    "hands": {"max_hands": 2, "model": "full", "mirrored": False},
    "people": {
        "quality": None,
        "stature": None,
        "intrinsics": None,
        "fov": None,
        "threshold": None,
        "topology": None,
        "overlap": False,
        "parameters_only": False,
        "meshes": None,
        "mesh_format": None,
        "panels": [],
    },
}

_EXAMPLES = """\
examples:
  humanrt run 0 --robot allegro_right                          a webcam, in a window
  humanrt run clip.mp4 --robot leap_right --headless --record out.jsonl --video out.mp4
  humanrt run photo.jpg --task people --headless --video out.png --meshes meshes
"""


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "run",
        help="track hands or people in SOURCE; move robot hands, or make meshes",
        description="Track hands in SOURCE and move robot hands, or find people and make their meshes. Without "
        "--headless a window shows it; q stops.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", help="camera index, stream URL, video file, image, or folder of images")
    parser.add_argument("--task", default="hands", help="hands (default) or people")
    parser.add_argument(
        "--bundle", metavar="NAME|PATH", help=f"model bundle (default: hands, or {DEFAULT_BUNDLE} for people)"
    )
    parser.add_argument("--backend", default="auto", help=f"auto, {', '.join(BACKENDS)} (default: auto)")
    parser.add_argument(
        "--precision",
        default=EXACT,
        metavar="NAME",
        help="precision of the networks: fp32 (default), or another that the bundle has",
    )
    parser.add_argument("--unverified", action="store_true", help="run a precision that has no passed verdict")
    for output in OUTPUTS:
        parser.add_argument(f"--{output.name}", type=_path, metavar=output.metavar, help=output.help)
    parser.add_argument("--headless", action="store_true", help="open no window")
    parser.add_argument("--max-frames", type=_positive, metavar="N", help="stop after N frames")
    parser.add_argument("--size", type=_size, metavar="WxH", help="request this resolution from a camera")
    parser.add_argument(
        "--fps", type=_rate, help="request this frame rate from a camera; for a folder: --frames at this rate"
    )
    parser.add_argument(
        "--frames", action="store_true", help="treat a folder's images as frames of one film (default: as photographs)"
    )
    parser.add_argument("--realtime", action="store_true", help="play a file at its own pace, dropping late frames")
    parser.add_argument(
        "--smooth",
        choices=SMOOTHERS,
        help="of hands, and of people by `holistic` and `landmarks`: posebert (default), which also fills in missed "
        "frames; hands: or oneeuro, or none",
    )
    parser.add_argument(
        "--robot",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="robot hands to move, name or file: by hands, or by the hands of people (`holistic`)",
    )
    parser.add_argument("--threads", type=int, default=0, metavar="N", help="CPU threads of a network (0: all cores)")

    hands = parser.add_argument_group("hands")
    hands.add_argument("--max-hands", type=_positive, metavar="N", help="track at most N hands (2)")
    hands.add_argument("--model", help="landmark model: full (default) or lite, faster and coarser")
    hands.add_argument("--mirrored", action="store_true", help="the source is a mirrored (selfie) image")

    people = parser.add_argument_group("people")
    people.add_argument(
        "--quality",
        choices=QUALITIES,
        help="of people by `holistic`: how closely each is looked at (default: balanced)",
    )
    people.add_argument(
        "--stature", type=float, metavar="METRES", help="height of every person, where it is known (by landmarks)"
    )
    people.add_argument("--intrinsics", metavar="FX,FY,CX,CY|FILE", help="the camera, px of the source's images")
    people.add_argument(
        "--fov",
        type=_field_of_view,
        metavar="DEGREES|auto",
        help="instead of --intrinsics: field of view over the longer side of the image, or auto: estimated by the "
        "network (default: the bundle's; 60, and auto for our own networks on Anny)",
    )
    people.add_argument(
        "--threshold", type=_probability, metavar="P", help="minimum score of a person (default: the bundle's)"
    )
    people.add_argument("--topology", metavar="NAME", help="mesh to use if the bundle has several")
    people.add_argument(
        "--overlap", action="store_true", help="on a GPU: more frames per second, but one frame more latency"
    )
    people.add_argument("--parameters-only", action="store_true", help="compute neither meshes nor joints")
    people.add_argument("--meshes", type=_path, metavar="DIR", help="write one mesh file per frame")
    people.add_argument("--mesh-format", metavar="NAME", help=f"{', '.join(FORMATS)} (default: glb)")
    people.add_argument("--panels", nargs="+", choices=PANELS, help="additional views beside the picture")
    parser.set_defaults(run=run, **{name: value for own in _OWN_OPTIONS.values() for name, value in own.items()})


def run(arguments: argparse.Namespace) -> int:
    """Run the loop until the source ends, the window closes, or --max-frames."""
    if arguments.task not in TASKS:
        raise HumanrtError(f"--task: unknown task `{arguments.task}`; choose one of: {', '.join(TASKS)}")
    for task, options in _OWN_OPTIONS.items():
        for name, default in options.items():
            if task != arguments.task and getattr(arguments, name) != default:
                option = "--" + name.replace("_", "-")
                raise HumanrtError(f"{option} is for --task {task}, not {arguments.task}; leave it out")
    if not arguments.headless and not has_display():
        raise HumanrtError("there is no display for a window; add --headless (and --video FILE.mp4 to see the result)")
    if arguments.mesh_format is not None and arguments.meshes is None:
        raise HumanrtError("--mesh-format needs --meshes DIR; add that, or leave it out")
    if arguments.panels and arguments.headless and not arguments.video:
        raise HumanrtError("--panels: no picture is shown or written; add --video, or leave it out")
    _check_outputs(arguments)
    with ExitStack() as stack:
        pipeline = stack.enter_context(_open(arguments))
        source = stack.enter_context(
            open_source(
                arguments.source,
                size=arguments.size,
                fps=arguments.fps,
                realtime=arguments.realtime,
                frames=arguments.frames,
            )
        )
        outputs, painter = _outputs(arguments, pipeline, source, stack)
        for note in pipeline.notes:
            _note(note)
        summary = play(source, pipeline, outputs, painter, arguments.max_frames)
    _say(str(summary))
    return 0


def _say(line: str) -> None:
    """Print a line on stderr; a run does not fail because stderr is closed."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr)


def _check_outputs(arguments: argparse.Namespace) -> None:
    """Raise OutputError if an output would overwrite an input or another output, or is not a valid file.

    Opens nothing.
    """
    outputs = {
        f"--{option.name}": path for option in OUTPUTS if option.writes and (path := getattr(arguments, option.name))
    }
    files = {"a --robot file": arguments.robot, "the --intrinsics file": [arguments.intrinsics or ""]}
    given = {what: [Path(name) for name in names if Path(name).is_file()] for what, names in files.items()}
    check_apart(outputs, {"the source": source_files(arguments.source), **given})
    folder = Path(arguments.source)
    for option, path in outputs.items():
        if (
            is_image(path)
            and not is_address(arguments.source)
            and folder.is_dir()
            and path.resolve().parent == folder.resolve()
        ):
            raise OutputError(
                f"{option} {path}: lies in the source folder, where the next run would read it as a source image; "
                "choose another folder"
            )
    if arguments.record and arguments.record.suffix.lower() not in ("", RECORDING_SUFFIX):
        raise OutputError(
            f"--record {arguments.record}: a recording has one JSON line per frame; name it *{RECORDING_SUFFIX}"
        )


def _open(arguments: argparse.Namespace) -> Pipeline[Any]:
    """Open the pipeline of the task and its bundle."""
    read = _people_options if arguments.task == "people" else _hand_options
    return TASKS[arguments.task].open(
        arguments.bundle,
        arguments.backend,
        read(arguments),
        precision=arguments.precision,
        threads=arguments.threads,
        unverified=arguments.unverified,
    )


def _hand_options(arguments: argparse.Namespace) -> HandOptions:
    return HandOptions(arguments.robot, arguments.smooth, arguments.max_hands, arguments.model, arguments.mirrored)


def _people_options(arguments: argparse.Namespace) -> PeopleOptions:
    if arguments.intrinsics is not None and arguments.fov is not None:
        raise HumanrtError("--intrinsics and --fov both describe the camera; give only one")
    if arguments.parameters_only and (arguments.meshes or arguments.panels):
        raise HumanrtError("--parameters-only makes no meshes; leave it out, or --meshes and --panels")
    return PeopleOptions(
        robots=arguments.robot,
        quality=arguments.quality,
        stature=arguments.stature,
        intrinsics=None if arguments.intrinsics is None else read_intrinsics(arguments.intrinsics),
        threshold=arguments.threshold,
        fov=arguments.fov,
        meshes=not arguments.parameters_only,
        topology=arguments.topology,
        overlap=arguments.overlap,
        smooth=arguments.smooth,
    )


def _outputs(
    arguments: argparse.Namespace, pipeline: Pipeline[Any], source: Source, stack: ExitStack
) -> tuple[list[Output], Painter | None]:
    """Open the requested outputs, in the order in which they take results, and the painter if one shows pictures."""
    outputs: list[Output] = []
    asked = [(option, path) for option in OUTPUTS if (path := getattr(arguments, option.name))]
    own = {}
    if isinstance(pipeline, AnyPeoplePipeline):
        own = {"meshes": not arguments.parameters_only, "panels": arguments.panels}
        if arguments.meshes:
            outputs.append(MeshWriter(arguments.meshes, arguments.mesh_format or "glb", pipeline.model.faces))
    outputs += [option.open(path) for option, path in asked]
    if not arguments.headless:
        outputs.append(Window(f"humanrt - {source.name}"))
    for output in outputs:
        stack.callback(output.close)
    if arguments.headless and not any(option.draws for option, _ in asked):
        return outputs, None
    return outputs, TASKS[arguments.task].painter(pipeline, stack, _note, **own)


def _note(line: str) -> None:
    _say(f"humanrt run: {line}")


def _positive(text: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a score between 0 and 1")
    return value


def _field_of_view(text: str) -> float | Literal["auto"]:
    if text == AUTO:
        return AUTO
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither degrees nor `{AUTO}`") from None


def _path(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the name is empty")
    return Path(text)


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e4:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of frames per second")
    return value


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size like 1280x720")
    return int(width), int(height)
