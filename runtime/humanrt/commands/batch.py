"""``humanrt batch PATTERN ...``: many files, each to a recording."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from humanrt.batch import BatchOptions, process
from humanrt.batch.jobs import LOG
from humanrt.batch.process import ENGINES
from humanrt.commands.fields import Flag, add_fields, given
from humanrt.errors import HumanrtError
from humanrt.outputs.progress import Progress
from humanrt.people.holistic import QUALITIES
from humanrt.tasks import TASKS, PeopleOptions

__all__ = ["add_parser", "run"]

_EXAMPLES = """\
examples:
  humanrt batch 'videos/**/*.mp4' --task people --out recordings
  humanrt batch @list.txt --task hands --robot allegro_right --out recordings --workers 4
"""

_FLAGS = {
    "task": Flag(metavar="NAME"),
    "bundle": Flag(metavar="NAME|PATH"),
    "backend": Flag(metavar="NAME"),
    "workers": Flag(metavar="N", type=int),
    "threads": Flag(metavar="N", type=int),
    "format": Flag(choices=("jsonl", "npz")),
    "max_frames": Flag(metavar="N", type=int),
    "segment": Flag(metavar="SECONDS", type=float),
    "stall": Flag(metavar="SECONDS", type=float),
    "timeout": Flag(metavar="SECONDS", type=float),
    "retry_failed": Flag(switch=True),
    "engine": Flag(choices=ENGINES),
    "address": Flag(metavar="HOST:PORT"),
}
_TASK_FLAGS = {
    "robots": Flag("robot", metavar="NAME", several=True),
    "quality": Flag(choices=QUALITIES),
    "refine": Flag(choices=QUALITIES),
    "stature": Flag(metavar="METRES", type=float),
    "fov": Flag(metavar="DEGREES", type=float),
}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "batch",
        help="turn many files into recordings",
        description="Turn many files into recordings, with several processes. The same command goes on where it was "
        "cut off; a broken file costs only itself.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("patterns", nargs="+", metavar="PATTERN", help="files, folders, globs, or @list.txt")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder of the recordings and batch.jsonl"
    )
    add_fields(parser, _FLAGS, BatchOptions)
    add_fields(parser, _TASK_FLAGS, PeopleOptions)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Process the files; 1 if some of them failed, now or before."""
    values = vars(arguments)
    own = given(values, BatchOptions)
    task = own.get("task", BatchOptions.task)
    known = {one.name for one in fields(TASKS[task].options)} if task in TASKS else set()
    options = {name: values[name] for name in _TASK_FLAGS if values[name] is not None}
    for name in options:
        if known and name not in known:
            raise HumanrtError(f"--{_TASK_FLAGS[name].name or name} is not for --task {task}; leave it out")
    progress = Progress("files")
    frames = counted = failed = still = 0
    before = ""

    def show(done: int, total: int, seen: int) -> None:
        progress.total = total
        progress(done, f"{seen} frames")

    def earlier(done: int, broken: int) -> None:
        nonlocal before, still
        progress.before, still = done, broken
        before = f", {done} were before" if done else ""
        before += f" ({broken} of them failed: --retry-failed)" if broken else ""

    asked = BatchOptions(**own, options=options)
    for report in process(arguments.patterns, arguments.out, asked, progress=show, earlier=earlier):
        counted += 1
        frames += report.frames
        if report.error is not None:
            failed += 1
            progress.end()
            print(f"humanrt batch: {report.error}", file=sys.stderr)
    progress.end()
    print(f"{counted} files processed, {failed} of them failed, {frames} frames{before}; see {arguments.out / LOG}")
    return 1 if failed or still else 0
