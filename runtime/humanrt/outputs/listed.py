"""The list of outputs that ``humanrt run`` offers. A new one is a file beside this one and an entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from humanrt.outputs.base import Output
from humanrt.outputs.record import Recorder
from humanrt.outputs.video import open_sink

__all__ = ["OUTPUTS", "OutputOption"]


@dataclass(frozen=True)
class OutputOption:
    """An option of ``humanrt run`` that opens an output.

    Attributes:
        name: of the option, without its dashes.
        metavar: what its value looks like, for the help.
        help: what it does, in a few words.
        open: makes the output of the option's value.
        draws: it shows pictures, so that results are drawn.
        writes: its value names a file that it creates or replaces.
    """

    name: str
    metavar: str
    help: str
    open: Callable[[Path], Output]
    draws: bool = False
    writes: bool = True


OUTPUTS: tuple[OutputOption, ...] = (
    OutputOption("record", "FILE.jsonl", "write one JSON line a frame", Recorder),
    OutputOption("video", "FILE.mp4", "write the picture (.png or .jpg for one image)", open_sink, draws=True),
)
"""In the order in which they take results."""
