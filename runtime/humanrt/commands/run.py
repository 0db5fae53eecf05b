"""``humanrt run SOURCE``: the live loop, on a camera, a stream, a video, an image or a folder of images."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from humanrt.address import is_address, redacted_address
from humanrt.bundle.settings import body_names
from humanrt.commands.fields import EXECUTION_FLAGS, Flag, add_fields, flag_name, given
from humanrt.errors import HumanrtError, OutputError
from humanrt.geometry.camera import read_intrinsics
from humanrt.hands.smoothers import SMOOTHERS
from humanrt.hands.tracker import TrackerOptions
from humanrt.inference.execution import Execution
from humanrt.live import Extra, Output, Painter, Pipeline, play
from humanrt.motion.posegpt import POSEGPT, PoseGPT
from humanrt.outputs.listed import OUTPUTS
from humanrt.outputs.mesh_files import MeshWriter
from humanrt.outputs.progress import ProgressOutput
from humanrt.outputs.record import RECORDING_SUFFIX, check_apart
from humanrt.outputs.robot_commands import RobotCommands
from humanrt.outputs.senders import open_sender
from humanrt.outputs.video import VideoSink
from humanrt.outputs.window import Window, has_display
from humanrt.people.forecaster import Forecaster
from humanrt.people.holistic import QUALITIES
from humanrt.people.multihmr import AUTO
from humanrt.people.view import PANELS
from humanrt.retarget.gentle import ON_LOST, GentleOptions
from humanrt.retarget.load import SIDES
from humanrt.sources.opening import Source, is_image, open_source, source_files
from humanrt.tasks import TASKS, AnyPeoplePipeline, HandOptions, PeopleOptions

if TYPE_CHECKING:
    from humanrt.animation.live_ground import LiveGround

__all__ = ["RunOptions", "add_parser", "run"]

VIEWS = ("window", "viser", "none")
"""Where results are shown while they are computed."""

_EXAMPLES = """\
examples:
  humanrt run 0 --robot allegro_right                          a webcam, in a window
  humanrt run clip.mp4 --robot leap_right --headless --record out.jsonl --video out.mp4
  humanrt run photo.jpg --task people --headless --video out.png --meshes meshes
"""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of ``humanrt run``, beside those of its task (`HandOptions`, `PeopleOptions`) and of `Execution`.

    Attributes:
        source: camera index, stream URL, video file, image, or folder of images.
        task: hands or people.
        bundle: name or folder of a model bundle. None: the task's.
        backend: auto, cpu, cuda or tensorrt.
        headless: open no window.
        max_frames: stop after N frames.
        size: request this resolution from a camera.
        fps: request this frame rate from a camera; for a folder: --frames at this rate.
        frames: treat a folder's images as frames of one film. None: as photographs.
        realtime: play a file at its own pace, dropping late frames.
        parameters_only: compute neither meshes nor joints.
        mesh_folder: write one mesh file per frame.
        mesh_format: glb, obj or npz. None: glb.
        panels: additional views beside the picture.
        files: names of outputs (`OUTPUTS`), and the files that they write.
        view: window, viser (a page in the browser) or none. None: a window, without --headless.
        port: port of the page of --view viser. None: 8080.
        send: send the results to these addresses: zmq://*:PORT publishes JSON, udp://HOST:PORT joint angles of robots,
            vmc://HOST[:PORT][?person=ID] moves an avatar.
        gentle: how robots move that are sent to (`GentleOptions`). None: its defaults.
        ground: record the floor before a camera that does not move, from the feet of people who walk and stand.
        forecast: show and record what each person does in the next SECONDS, by PoseGPT.
        forecast_samples: forecasts of each person.
        forecast_bundle: name or folder of the PoseGPT bundle.
    """

    source: str
    task: str = next(iter(TASKS))
    bundle: str | None = None
    backend: str = "auto"
    headless: bool = False
    max_frames: int | None = None
    size: tuple[int, int] | None = None
    fps: float | None = None
    frames: bool = False
    realtime: bool = False
    parameters_only: bool = False
    mesh_folder: Path | None = None
    mesh_format: str | None = None
    panels: Sequence[str] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    send: Sequence[str] = ()
    gentle: GentleOptions | None = None
    view: str | None = None
    port: int | None = None
    ground: bool = False
    forecast: float | None = None
    forecast_samples: int | None = None
    forecast_bundle: str | None = None

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise HumanrtError(f"--task: unknown task `{self.task}`; choose one of: {', '.join(TASKS)}")
        if self.mesh_format is not None and self.mesh_folder is None:
            raise HumanrtError("--mesh-format needs --meshes DIR; add that, or leave it out")
        if self.view not in (None, *VIEWS):
            raise HumanrtError(f"--view: no `{self.view}`; choose one of: {', '.join(VIEWS)}")
        if self.view == "window" and self.headless:
            raise HumanrtError("--view window and --headless contradict each other; leave one out")
        if self.port is not None and self.view != "viser":
            raise HumanrtError("--port is the port of --view viser; add that, or leave it out")
        if self.panels and not self.window and "video" not in self.files:
            raise HumanrtError("--panels: no picture is shown or written; add --video, or leave it out")
        for name in ("forecast_samples", "forecast_bundle"):
            if getattr(self, name) is not None and self.forecast is None:
                raise HumanrtError(f"--{name.replace('_', '-')} needs --forecast SECONDS; add that, or leave it out")
        if self.forecast is not None and self.parameters_only:
            raise HumanrtError("--forecast needs people's joints; leave out --parameters-only")
        if self.ground and self.parameters_only:
            raise HumanrtError("--ground needs people's joints; leave out --parameters-only")
        if self.parameters_only and (self.mesh_folder or self.panels):
            raise HumanrtError("--parameters-only makes no meshes; leave it out, or --meshes and --panels")

    @property
    def window(self) -> bool:
        """Whether results are shown in a window."""
        return self.view == "window" or (self.view is None and not self.headless)


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "run",
        help="track hands or people in SOURCE; move robot hands, or make meshes",
        description="Track hands in SOURCE and move robot hands, or find people and make their meshes. Without "
        "--headless a window shows it; q stops.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_fields(parser, _GENERAL, RunOptions)
    add_fields(parser, EXECUTION_FLAGS, Execution)
    for output in OUTPUTS:
        parser.add_argument(f"--{output.name}", type=_path, metavar=output.metavar, help=output.help)
    add_fields(parser, _SHARED, HandOptions, PeopleOptions)
    add_fields(parser.add_argument_group("robots that are sent to"), _ROBOTS, GentleOptions)
    add_fields(parser.add_argument_group("hands"), _HANDS, HandOptions, TrackerOptions)
    people = parser.add_argument_group("people")
    add_fields(people, _PEOPLE, PeopleOptions)
    add_fields(people, _MESHES, RunOptions)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the loop until the source ends, the window closes, or --max-frames."""
    values = {**vars(arguments), "source": _one_source(arguments.source, arguments.task or RunOptions.task)}
    files = {output.name: path for output in OUTPUTS if (path := values[output.name])}
    gentle = given(values, GentleOptions)
    options = RunOptions(**given(values, RunOptions), files=files, gentle=GentleOptions(**gentle) if gentle else None)
    _refuse_other_tasks(values, options.task)
    own = given(values, TASKS[options.task].options)
    own = _camera_values(own, options.task)
    if options.task == "people":
        own |= {"meshes": not options.parameters_only}
    execution = {name: value for name, value in given(values, Execution).items() if name in EXECUTION_FLAGS}
    _run(options, TASKS[options.task].options(**own), execution, values["intrinsics"])
    return 0


def _one_source(sources: Sequence[str], task: str) -> str:
    """Return the source. HumanrtError if there are several: that is what ``humanrt batch`` is for."""
    first, *others = map(redacted_address, sources)
    if others:
        raise HumanrtError(
            f"run takes one source, and got {1 + len(others)}; many files: humanrt batch {first} {others[0]} "
            f"{'... ' if len(others) > 1 else ''}--task {task} --out DIR"
        )
    return sources[0]


def _refuse_other_tasks(arguments: Mapping[str, Any], task: str) -> None:
    """Raise HumanrtError if an option is given that only another task has: it would be ignored."""
    flags = _SHARED | _HANDS | _PEOPLE
    for other in TASKS.values():
        missing = [name for name in given(arguments, other.options) if name in flags]
        missing = [name for name in missing if name not in {one.name for one in fields(TASKS[task].options)}]
        if other.name == "people" != task:
            missing += [name for name in _MESHES if arguments[name] is not None]
        for name in missing:
            flag = (flags | _MESHES)[name]
            raise HumanrtError(f"--{flag_name(name, flag)} is for --task {other.name}, not {task}; leave it out")


def _camera_values(own: dict[str, Any], task: str) -> dict[str, Any]:
    """Return a task's fields, with the camera of what was given as text."""
    if "intrinsics" in own and "fov" in own:
        raise HumanrtError("--intrinsics and --fov both describe the camera; give only one")
    if task == "hands" and own.get("fov") == AUTO:
        raise HumanrtError(f"--fov {AUTO}: nothing estimates the field of view for hands; give degrees")
    return {**own, **({"intrinsics": read_intrinsics(own["intrinsics"])} if "intrinsics" in own else {})}


def _run(options: RunOptions, own: Any, execution: Mapping[str, Any], intrinsics: str | None) -> None:
    """Run the loop; ``own``: the task's options."""
    if options.window and not has_display():
        raise HumanrtError("there is no display for a window; add --headless (and --video FILE.mp4 to see the result)")
    robots = [own.robots] if isinstance(own.robots, str | Path) else own.robots
    _check_outputs(options, {"a --robot file": robots, "the --intrinsics file": [intrinsics or ""]})
    with ExitStack() as stack:
        pipeline = TASKS[options.task].open(options.bundle, options.backend, own, **execution)
        stack.enter_context(pipeline)
        source = stack.enter_context(
            open_source(
                options.source, size=options.size, fps=options.fps, realtime=options.realtime, frames=options.frames
            )
        )
        outputs, painter = _outputs(options, pipeline, source, stack)
        ground = _ground(pipeline) if options.ground else None
        extras: list[Extra] = [] if ground is None else [ground]
        if options.forecast is not None:
            extras.append(stack.enter_context(_forecaster(options, pipeline)))
        for note in pipeline.notes:
            _note(note)
        summary = play(source, pipeline, outputs, painter, options.max_frames, extras)
    _say(str(summary))
    if ground is not None:
        _say(f"floor: {ground.ground or ground.missing}")


def _say(line: str) -> None:
    """Print a line on stderr; a run does not fail because stderr is closed."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr)


def _check_outputs(options: RunOptions, inputs: Mapping[str, Sequence[str | Path]]) -> None:
    """Raise OutputError if an output would overwrite an input or another output, or is not a valid file.

    Opens nothing. ``inputs``: files that are read beside the source, by what they are.
    """
    writes = {output.name for output in OUTPUTS if output.writes}
    outputs = {f"--{name}": path for name, path in options.files.items() if name in writes}
    read = {what: [Path(name) for name in names if Path(name).is_file()] for what, names in inputs.items()}
    check_apart(outputs, {"the source": source_files(options.source), **read})
    folder = Path(options.source)
    for option, path in outputs.items():
        if (
            is_image(path)
            and not is_address(options.source)
            and folder.is_dir()
            and path.resolve().parent == folder.resolve()
        ):
            raise OutputError(
                f"{option} {path}: lies in the source folder, where the next run would read it as a source image; "
                "choose another folder"
            )
    record = options.files.get("record")
    if record and record.suffix.lower() not in ("", RECORDING_SUFFIX):
        raise OutputError(f"--record {record}: a recording has one JSON line per frame; name it *{RECORDING_SUFFIX}")


def _outputs(
    options: RunOptions, pipeline: Pipeline[Any], source: Source, stack: ExitStack
) -> tuple[list[Output], Painter | None]:
    """Open the requested outputs, in the order in which they take results, and the painter if one shows pictures."""
    outputs: list[Output] = []
    asked = [(output, path) for output in OUTPUTS if (path := options.files.get(output.name))]
    own = {}
    if isinstance(pipeline, AnyPeoplePipeline):
        own = {"meshes": not options.parameters_only, "panels": options.panels}
        if options.mesh_folder:
            outputs.append(MeshWriter(options.mesh_folder, options.mesh_format or "glb", pipeline.model.faces))
    outputs += [output.open(path) for output, path in asked]
    for opened in outputs:
        if isinstance(opened, VideoSink) and opened.codec == "mp4v":
            _note(
                f"{opened.path} is MPEG-4 Part 2, which browsers do not play; for H.264: pip install 'humanrt[video]'"
            )
    robots = getattr(pipeline, "robots", {})
    _check_gentle(options, robots)
    commands = RobotCommands(robots, options.gentle) if options.send else None
    outputs += [open_sender(url, commands) for url in options.send]
    if options.headless and not source.live:
        ends = [count for count in (source.frame_count, options.max_frames) if count is not None]
        outputs.append(ProgressOutput(min(ends, default=None)))
    if options.window:
        outputs.append(Window(f"humanrt - {source.name}"))
    if options.view == "viser":
        outputs.append(_page(options, pipeline))
    for opened in outputs:
        stack.callback(opened.close)
    if not options.window and not any(output.draws for output, _ in asked):
        return outputs, None
    return outputs, TASKS[options.task].painter(pipeline, stack, _note, **own)


def _check_gentle(options: RunOptions, robots: Mapping[str, Any]) -> None:
    """Raise HumanrtError if it is said how robots move that nobody sends to."""
    sent = any(not url.startswith("vmc:") for url in options.send)
    if options.gentle is not None and not (sent and robots):
        what = ", ".join(f"--{flag_name(name, flag)}" for name, flag in _ROBOTS.items())
        missing = "--send zmq://*:5556 or udp://HOST" if robots else "--robot NAME"
        raise HumanrtError(f"{what}: for robots that are sent to; add {missing}, or leave them out")


def _forecaster(options: RunOptions, pipeline: Pipeline[Any]) -> Forecaster:
    """Open what forecasts people. HumanrtError names what is missing or not possible."""
    assert options.forecast is not None
    assert isinstance(pipeline, AnyPeoplePipeline)
    _, bones = body_names(pipeline.model.bundle)
    with ExitStack() as failing:
        gpt = failing.enter_context(PoseGPT(options.forecast_bundle or POSEGPT, threads=1))
        samples = options.forecast_samples or 5
        forecaster = Forecaster(gpt, bones, pipeline.model.joint_names, options.forecast, samples)
        failing.pop_all()
    return forecaster


def _ground(pipeline: Pipeline[Any]) -> LiveGround:
    """Open what finds the floor. HumanrtError: the body's legs are not known."""
    # Imported only when asked for: it brings the animation package.
    from humanrt.animation.live_ground import LiveGround

    assert isinstance(pipeline, AnyPeoplePipeline)
    return LiveGround(pipeline.model.rig, _note)


def _page(options: RunOptions, pipeline: Pipeline[Any]) -> Output:
    """Open the page in the browser, and say where it is."""
    # Imported only when asked for: it brings the animation package and viser.
    from humanrt.viewing.live import LiveScene
    from humanrt.viewing.stage import DEFAULT_PORT

    rig = pipeline.model.rig if isinstance(pipeline, AnyPeoplePipeline) else None
    page = LiveScene(rig, getattr(pipeline, "robots", {}), port=DEFAULT_PORT if options.port is None else options.port)
    _note(f"shown on {page.stage.url}")
    return page


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


# How the fields of the dataclasses are given on the command line.
_GENERAL = {
    "source": Flag(positional=True, several=True),
    "task": Flag(metavar="NAME"),
    "bundle": Flag(metavar="NAME|PATH"),
    "backend": Flag(metavar="NAME"),
    "headless": Flag(switch=True),
    "max_frames": Flag(metavar="N", type=_positive),
    "size": Flag(metavar="WxH", type=_size),
    "fps": Flag(metavar="HZ", type=_rate),
    "frames": Flag(switch=True),
    "realtime": Flag(switch=True),
    "send": Flag(metavar="URL", several=True),
    "view": Flag(choices=VIEWS),
    "port": Flag(metavar="N", type=int),
}
_ROBOTS = {
    "max_speed": Flag(metavar="RAD/S", type=float),
    "max_acceleration": Flag(metavar="RAD/S2", type=float),
    "on_lost": Flag(choices=ON_LOST),
    "patience": Flag(metavar="SECONDS", type=float),
}
_SHARED = {
    "smooth": Flag(choices=SMOOTHERS),
    "robots": Flag("robot", metavar="NAME", several=True),
    "collisions": Flag(switch=True),
    "intrinsics": Flag(metavar="FX,FY,CX,CY|FILE"),
    "fov": Flag(metavar="DEGREES|auto", type=_field_of_view),
}
_HANDS = {
    "max_hands": Flag(metavar="N", type=_positive),
    "model": Flag(metavar="NAME"),
    "mirrored": Flag(switch=True),
    "hand_length": Flag(metavar="METRES", type=float),
}
_PEOPLE = {
    "arm": Flag(choices=SIDES),
    "quality": Flag(choices=QUALITIES),
    "refine": Flag(choices=QUALITIES),
    "stature": Flag(metavar="METRES", type=float),
    "threshold": Flag(metavar="P", type=_probability),
    "topology": Flag(metavar="NAME"),
    "overlap": Flag(switch=True),
    "smooth_after": Flag(choices=SMOOTHERS),
    "predict": Flag(metavar="SECONDS", type=float),
}
_MESHES = {
    "parameters_only": Flag(switch=True),
    "mesh_folder": Flag("meshes", metavar="DIR", type=_path),
    "mesh_format": Flag(metavar="NAME"),
    "panels": Flag(choices=PANELS, several=True),
    "ground": Flag(switch=True),
    "forecast": Flag(metavar="SECONDS", type=float),
    "forecast_samples": Flag(metavar="N", type=_positive),
    "forecast_bundle": Flag(metavar="NAME|PATH"),
}
