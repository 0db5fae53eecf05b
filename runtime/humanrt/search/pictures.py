"""The videos behind an index: frames and clips of events that were found.

A recording names the source it was made from; an event names the recording. Videos are decoded from their beginning,
once each, so that frames are exactly those that were recorded, whatever the container's seeking would have given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import OutputError, SourceError
from humanrt.outputs.record import RECORDING_SUFFIX, read_recording
from humanrt.outputs.video import VideoSink
from humanrt.search.nearest import Event
from humanrt.sources.opening import open_source

__all__ = ["Picture", "pictures_of", "video_of", "write_clips"]

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """A frame with the person who was found.

    Attributes:
        image: RGB uint8 [H, W, 3].
        head: (x, y) px of the person's head; None if the recording does not say.
    """

    image: Image
    head: tuple[float, float] | None


def video_of(recording: Path, media: Path | None = None) -> Path:
    """Return the file that a recording was made from.

    Args:
        recording: the recording; its header says the source.
        media: folder to look in too, for sources that were moved: by the path as recorded, and by the file's name.

    Raises:
        SourceError: the recording does not say, or the file is in none of these places.
    """
    source = read_recording(recording).header.get("source") if recording.suffix.lower() == RECORDING_SUFFIX else None
    if not isinstance(source, str) or not source:
        raise SourceError(f"{recording}: does not say from which video it was made; it has no pictures to show")
    name = Path(source)
    places = [name, recording.parent / name]
    if media is not None:
        places += [media / name.relative_to(name.anchor), media / name.name]
    for place in places:
        if place.exists():
            return place
    where = f"nor below {media}" if media is not None else "name the folder it lies in with --media"
    raise SourceError(f"{recording}: its video {name.name} is not where it was recorded; {where}")


def pictures_of(events: Sequence[Event], media: Path | None = None) -> dict[int, Picture]:
    """Return the frame of each event whose video is there, by its index in ``events``."""
    result: dict[int, Picture] = {}
    for file, indices in _by_file(events).items():
        wanted = [events[index] for index in indices]
        try:
            video = video_of(Path(file), media)
            heads = _heads(Path(file), wanted)
            with open_source(video) as source:
                for frame in islice(source, max(event.frame for event in wanted) + 1):
                    for index, event in zip(indices, wanted, strict=True):
                        if event.frame == frame.index:
                            result[index] = Picture(frame.image, heads.get((event.frame, event.person)))
        except SourceError:
            continue  # no picture of these: the sheet says so in their places
    return result


def write_clips(folder: Path, events: Sequence[Event], margin: float, media: Path | None = None) -> list[Path]:
    """Write a video of each event, in the order of ``events``: ``01_NAME_id3_12.40s.mp4``.

    Args:
        folder: made if it is not there.
        events: what was found.
        margin: s shown before and after.
        media: see `video_of`.

    Returns:
        The files.

    Raises:
        SourceError: a video is not there, or ends before the event.
        OutputError: a clip cannot be written.
    """
    videos = {file: video_of(Path(file), media) for file in _by_file(events)}  # all of them, before any is written
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"--clips {folder}: no folder can be made there ({error.strerror}); name another") from None
    digits = max(2, len(str(len(events))))
    paths = [
        folder / f"{place:0{digits}}_{Path(event.file).stem}_id{event.person}_{event.t:.2f}s.mp4"
        for place, event in enumerate(events, 1)
    ]
    for file, indices in _by_file(events).items():
        _cut(videos[file], [(events[index], paths[index]) for index in indices], margin)
    return paths


def _cut(video: Path, wanted: Sequence[tuple[Event, Path]], margin: float) -> None:
    """Write the clips of one video in one pass through it."""
    last = max(event.end for event, _ in wanted) + margin
    with ExitStack() as stack:
        source = stack.enter_context(open_source(video))
        sinks = [(event, stack.enter_context(VideoSink(path, source.fps))) for event, path in wanted]
        for frame in source:
            if frame.t > last:
                break
            for event, sink in sinks:
                if event.start - margin <= frame.t <= event.end + margin:
                    sink.write(frame.image, frame.t)
        for event, sink in sinks:
            if not sink.frames:
                raise SourceError(
                    f"{video}: ends before {event.start:.2f} s, where {event.file} has a pose; is this the video?"
                )


def _by_file(events: Sequence[Event]) -> Mapping[str, list[int]]:
    files: defaultdict[str, list[int]] = defaultdict(list)
    for index, event in enumerate(events):
        files[event.file].append(index)
    return files


def _heads(recording: Path, events: Sequence[Event]) -> dict[tuple[int, int], tuple[float, float]]:
    """Return the head's place of each event's person, by frame and identity."""
    wanted, result = {(event.frame, event.person) for event in events}, dict[tuple[int, int], tuple[float, float]]()
    last = max(frame for frame, _ in wanted)
    for record in read_recording(recording):
        frame = record.get("frame")
        if not isinstance(frame, int) or frame > last:
            break
        for person in record.get("people", []):
            key, head = (frame, person.get("id")), person.get("head_2d")
            if key in wanted and isinstance(head, list) and len(head) == 2 and all(np.isfinite(head)):
                result[key] = (float(head[0]), float(head[1]))
    return result
