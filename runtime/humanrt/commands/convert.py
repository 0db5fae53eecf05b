"""``humanrt convert RECORDING``: recordings as files that other programs work with."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from humanrt.animation import FORMATS, SKELETONS, ConvertOptions
from humanrt.animation.convert import converted
from humanrt.commands.fields import Flag, add_fields, given

__all__ = ["add_parser", "run"]

_EXAMPLES = """\
examples:
  humanrt convert take.jsonl --to glb --out take.glb              for Blender, Unity, Unreal, three.js
  humanrt convert take.jsonl --to bvh --names mixamo --out take.bvh
  humanrt convert take.jsonl --ground --out take.glb              on the floor, feet that do not slide
  humanrt convert take.jsonl --to csv --person 1 --out take.csv
  humanrt convert hand.jsonl --to rosbag2 --out hand_bag          for ROS 2, Foxglove
  humanrt convert hand.jsonl --to lerobot --video hand.mp4 --task "grasp a cup" --out cups
"""


def _person(text: str) -> int | None:
    return None if text == "all" else int(text)


_person.__name__ = "identity"  # what argparse says of a wrong one: invalid identity value
_FLAGS = {
    "person": Flag(metavar="ID|all", type=_person),
    "fps": Flag(metavar="N", type=float),
    "smooth": Flag(metavar="SECONDS", type=float),
    "ground": Flag(switch=True),
    "names": Flag(choices=SKELETONS),
    "bundle": Flag(metavar="NAME|PATH"),
    "robot": Flag(metavar="NAME"),
    "video": Flag(metavar="FILE"),
    "task": Flag(metavar="WORDS"),
    "gap": Flag(metavar="SECONDS", type=float),
}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "convert",
        help="turn a recording into animation files or tables",
        description="Turn a recording into animation files or tables: "
        + "; ".join(f"{name}: {kind.help}" for name, kind in FORMATS.items())
        + ".",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recording", metavar="RECORDING", help="a recording: --record FILE.jsonl of humanrt run")
    parser.add_argument("--to", metavar="FORMAT", choices=FORMATS, help=f"{', '.join(FORMATS)} (default: by --out)")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE|DIR", help="the file to write, or a folder")
    add_fields(parser, _FLAGS, ConvertOptions)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Convert, and print the files that were written."""
    options = ConvertOptions(**given(vars(arguments), ConvertOptions))
    made = converted(arguments.recording, arguments.out, arguments.to, options)
    for path in made.files:
        print(path)
    if made.ground is not None:
        print(f"floor: {made.ground}", file=sys.stderr)
    return 0
