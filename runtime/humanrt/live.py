"""The live loop: run frames of a source through a pipeline and pass every result to the outputs.

>>> with open_source("clip.mp4") as source, HandPipeline(robots="allegro_right") as pipeline:
...     print(play(source, pipeline, [Recorder("clip.jsonl")]))

`humanrt.track` returns the results themselves instead.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from time import monotonic, perf_counter
from types import TracebackType
from typing import Any, Protocol

from humanrt.errors import HumanrtError
from humanrt.outputs.base import Image, Output
from humanrt.perception.pipeline import Pipeline, Result
from humanrt.sources.opening import Frame, Source

__all__ = ["Extra", "Output", "Painter", "Pipeline", "Result", "Summary", "play", "results"]


class Painter(Protocol):
    """Draws results."""

    def __call__(self, result: Any, *, dropped: int | None = None) -> Image:
        """Draw a result as RGB uint8 [H, W, 3]; ``dropped``: number of frames lost so far, to be displayed."""


class Extra(Protocol):
    """Adds something to every result, such as forecasts of people, or the floor."""

    def about(self) -> dict[str, Any]:
        """Return its part of a recording's header."""

    def __call__(self, result: Any) -> Any:
        """Return the result with what it adds."""


@dataclass(frozen=True)
class Summary:
    """Summary of a run.

    Attributes:
        source: name of the source.
        target: what was looked for, in words.
        frames: number of frames processed.
        present: number of frames with detections.
        identities: number of different identities.
        dropped: frames of a live source that were never delivered.
        busy_ms: total milliseconds of work, without reading and drawing.
        seconds: time from reading the first frame to delivering the last.
    """

    source: str
    target: str
    frames: int
    present: int
    identities: int
    dropped: int
    busy_ms: float
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.target} in {self.present} of {self.frames} frames, {self.identities} identities, "
            f"{self.dropped} dropped; {self.busy_ms / max(self.frames, 1):.2f} ms a frame without reading and drawing, "
            f"{self.frames / max(self.seconds, 1e-9):.3g} fps in all"
        )


def play(
    source: Source,
    pipeline: Pipeline[Any],
    outputs: Sequence[Output] = (),
    painter: Painter | None = None,
    max_frames: int | None = None,
    extras: Sequence[Extra] = (),
) -> Summary:
    """Process frames until the source ends, an output asks to stop, or ``max_frames``. Closes the outputs.

    Args:
        source: an opened source; it stays open.
        pipeline: computes the results; it stays open.
        outputs: receive every result, in this order.
        painter: draws every result for the outputs that show it; None draws nothing.
        max_frames: max number of frames.
        extras: add something to every result before it is drawn, in this order; they stay open.
    """
    frames = present = 0
    busy = 0.0
    identities: set[Hashable] = set()
    with ExitStack() as stack:
        for output in outputs:
            stack.push(_Closing(output))
        header = pipeline.header(source) if outputs else {}
        for extra in extras if outputs else ():
            header |= extra.about()
        for output in outputs:
            output.start(header)
        start = perf_counter()
        for result in results(source, pipeline):
            for extra in extras:
                result = extra(result)
            frames += 1
            present += len(result.ids) > 0
            busy += result.ms["total"]
            identities.update(result.ids)
            picture = painter(result, dropped=source.dropped) if painter else None
            wanted = [output.put(result, picture) for output in outputs]
            if not all(wanted) or frames == max_frames:
                break
        seconds = perf_counter() - start
    return Summary(source.name, pipeline.target, frames, present, len(identities), source.dropped, busy, seconds)


def results(source: Source, pipeline: Pipeline[Any]) -> Iterator[Result]:
    """Yield the result of each frame of a source; its ``ms`` begins with ``capture``, the time to get the frame.

    For a live source that is the age of the frame when work on it begins.

    Raises:
        HumanrtError: the pipeline predicts at a camera's pace, and the source is none.
    """
    if pipeline.needs_live and not source.live:
        raise HumanrtError(
            f"--predict: {source.name} is no camera: every frame of it is looked at; leave it out, or add --realtime"
        )
    captures: deque[float] = deque()  # of frames whose results are pending

    def timed() -> Iterator[Frame]:
        frames = iter(source)
        while True:
            asked = perf_counter()
            frame = next(frames, None)
            if frame is None:
                return
            seconds = monotonic() - frame.t if source.live else perf_counter() - asked
            captures.append(seconds * 1e3)
            yield frame

    for result in pipeline.stream(timed()):
        yield result.captured(captures.popleft())


class _Closing:
    """Closes an output at the end of the loop; if the loop failed, its error is raised and not that of the output."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(*([] if error is None else [HumanrtError])):
            self._output.close()
