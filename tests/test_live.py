"""The live loop: what every output is told, when it ends, and which error is told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humanrt import HandPipeline, HandTracker, open_source, read_recording
from humanrt.data import CLIP
from humanrt.errors import OutputError
from humanrt.live import Output, play
from humanrt.outputs.base import Image
from humanrt.outputs.mesh_files import MeshWriter
from humanrt.outputs.record import Recorder
from humanrt.outputs.video import VideoSink
from humanrt.perception.pipeline import Pipeline, Result
from humanrt.sources.opening import Frame, Source


class _Frames(Source):
    """Frames of one colour at 10 Hz."""

    def __init__(self, count: int) -> None:
        super().__init__("frames", (32, 24), 10.0, count)
        self._left = iter(range(count))

    def __next__(self) -> Frame:
        index = next(self._left)
        return Frame(np.full((24, 32, 3), index, np.uint8), index / 10, index)


class _Late(Pipeline[Any]):
    """Hands of nobody; each result comes one frame late, as from a GPU."""

    task, target = "hands", "a hand"

    def __init__(self) -> None:
        self._pipeline = HandPipeline(HandTracker(), robots="allegro_right")

    def __call__(self, frame: Frame) -> Result:
        return self._pipeline(frame)

    def stream(self, frames: Any) -> Any:
        waiting: list[Frame] = []
        for frame in frames:
            if waiting:
                yield self(waiting.pop())
            waiting.append(frame)
        for frame in waiting:
            yield self(frame)

    def about(self) -> dict[str, Any]:
        return self._pipeline.about()

    def close(self) -> None:
        self._pipeline.close()


class _Log(Output):
    def __init__(self, stop_after: int | None = None, fails: str = "") -> None:
        self.told: list[Any] = []
        self._stop, self._fails = stop_after, fails

    def start(self, header: Mapping[str, Any]) -> None:
        self.told.append(header["robots"])

    def put(self, result: Result, picture: Image | None) -> bool:
        self.told.append((result.frame.index, None if picture is None else int(picture[0, 0, 0])))
        if self._fails == "put":
            raise OutputError("no room")
        return len(self.told) - 1 != self._stop

    def close(self) -> None:
        self.told.append("closed")
        if self._fails:
            raise OutputError("closed badly")


def inverted(result: Result, *, dropped: int | None = None) -> Image:
    return 255 - result.frame.image


@pytest.fixture(scope="module")
def pipeline() -> Any:
    with _Late() as opened:
        yield opened


def test_each_output_is_told_everything_and_closed(pipeline: _Late) -> None:
    a, b = _Log(), _Log(stop_after=3)
    summary = play(_Frames(5), pipeline, [a, b], inverted)
    assert a.told[1:] == b.told[1:] == [(0, 255), (1, 254), (2, 253), "closed"]
    assert len(a.told[0]["allegro_right"]) == 16
    assert (summary.frames, summary.present, summary.identities) == (3, 0, 0)
    assert str(summary).startswith("frames: a hand in 0 of 3 frames, 0 identities, 0 dropped; ")


def test_it_stops_at_max_frames_and_draws_nothing_by_itself(pipeline: _Late) -> None:
    log = _Log()
    assert play(_Frames(5), pipeline, [log], max_frames=2).frames == 2
    assert log.told[1:] == [(0, None), (1, None), "closed"]


def test_of_several_errors_the_first_is_told(pipeline: _Late) -> None:
    fails, other = _Log(fails="put"), _Log()
    with pytest.raises(OutputError, match="no room"):
        play(_Frames(5), pipeline, [other, fails])
    assert fails.told[-1] == other.told[-1] == "closed"
    with pytest.raises(OutputError, match="closed badly"):
        play(_Frames(2), pipeline, [_Log(fails="close")])


def test_files_are_written_without_a_command(tmp_path: Path) -> None:
    record, video = tmp_path / "a.jsonl", VideoSink(tmp_path / "a.mp4")
    with open_source(CLIP) as source, HandPipeline(robots="allegro_right") as pipeline:
        play(source, pipeline, [Recorder(record), video], max_frames=4)
        assert (video.frames, video.fps) == (4, source.fps)
    recording = read_recording(record)
    lines = list(recording)
    assert recording.header["task"] == "hands"
    assert [line["frame"] for line in lines] == [0, 1, 2, 3]
    assert next(iter(lines[0]["ms"])) == "capture"


def test_meshes_of_hands_are_refused(tmp_path: Path, pipeline: _Late) -> None:
    with pytest.raises(TypeError, match="only people have meshes"):
        play(_Frames(1), pipeline, [MeshWriter(tmp_path / "m", "glb", np.zeros((0, 3), np.int32))])


def test_a_recording_without_a_header_is_refused(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.jsonl") as recorder, pytest.raises(ValueError, match="begins with its header"):
        recorder.write({"frame": 0})
