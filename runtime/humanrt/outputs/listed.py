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
        name: name of the option, without its dashes.
        metavar: placeholder of the value in the help text.
        help: short description for the help text.
        open: creates the output from the option's value.
        draws: whether the output shows pictures, so that results have to be drawn.
        writes: whether the value names a file that the output creates or replaces.
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
"""All outputs, in the order in which they receive results."""
