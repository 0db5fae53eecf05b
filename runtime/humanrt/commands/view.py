"""``humanrt view RECORDING``: a recording in the browser."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humanrt.commands.fields import Flag, add_fields, given
from humanrt.viewing.recorded import RecordedScene
from humanrt.viewing.stage import DEFAULT_PORT

__all__ = ["ViewOptions", "add_parser", "run"]


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """Options of ``humanrt view``.

    Attributes:
        video: the film that was recorded, shown as the camera's picture.
        bundle: name or folder of the bundle with the body. None: the one that the recording names.
        port: port of the page.
        host: address on which the page is served; 0.0.0.0 lets others in the network see it.
    """

    video: Path | None = None
    bundle: str | None = None
    port: int = DEFAULT_PORT
    host: str = "127.0.0.1"


_FLAGS = {
    "video": Flag(metavar="FILE", type=Path),
    "bundle": Flag(metavar="NAME|PATH"),
    "port": Flag(metavar="N", type=int),
    "host": Flag(metavar="ADDRESS"),
}


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "view",
        help="show a recording in the browser",
        description="Show a recording in the browser: people, hands and robots with a timeline. Ctrl-C ends it.",
    )
    parser.add_argument("recording", metavar="RECORDING", help="a recording: --record FILE.jsonl of humanrt run")
    add_fields(parser, _FLAGS, ViewOptions)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serve the page until interrupted."""
    options = ViewOptions(**given(vars(arguments), ViewOptions))
    with RecordedScene(
        arguments.recording, video=options.video, bundle=options.bundle, port=options.port, host=options.host
    ) as scene:
        for note in scene.notes:
            print(f"humanrt view: {note}", file=sys.stderr)
        print(f"{scene.stage.url} shows {arguments.recording}; Ctrl-C ends it", flush=True)
        scene.play()
    return 0
