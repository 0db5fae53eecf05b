"""A recording in the browser: people, hands and robots with a timeline, beside the film's picture."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.animation.convert import open_recorded_rig
from humanrt.animation.take import take_of
from humanrt.errors import HumanrtError, SourceError
from humanrt.geometry.camera import field_of_view_intrinsics
from humanrt.geometry.skeleton import Array, world_rotations
from humanrt.outputs.record import read_recording
from humanrt.outputs.tracks import HandTrack, Tracks
from humanrt.resource import Owner, releasing
from humanrt.retarget import ArmDescription, RobotDescription, load_robot
from humanrt.sources.opening import open_source
from humanrt.viewing.stage import DEFAULT_PORT, Body, Stage, reduced

__all__ = ["RecordedScene"]

_MAX_PICTURES = 600  # kept in memory, at _PICTURE_WIDTH; of longer films every n-th
_PICTURE_WIDTH = 480  # px
_FRAME = 1 / 60  # s, between looks at the clock while playing


class RecordedScene(Owner):
    """Serve a recording as a page with a timeline.

    Args:
        recording: its file.
        video: the film that it was recorded from; None: no picture.
        bundle: name or folder of the bundle with the body; None: the one that the recording names.
        port, host: of the page, see `Stage`.

    Attributes:
        stage: the page.
        t: [N] s, times of the frames.
        notes: lines to show the user: what is not shown, and why.

    Raises:
        SourceError: the recording or the video cannot be read, or there is nobody in it.
        BundleError, OutputError, MissingDependencyError: see `Stage` and `humanrt.convert`.
    """

    @releasing
    def __init__(
        self,
        recording: str | Path,
        *,
        video: str | Path | None = None,
        bundle: str | Path | None = None,
        port: int = DEFAULT_PORT,
        host: str = "127.0.0.1",
    ) -> None:
        opened = read_recording(recording)
        tracks = opened.tracks()
        if not tracks.people and not tracks.hands:
            raise SourceError(f"{recording}: there is nobody in it; record a source with people or hands")
        rig = self.own(open_recorded_rig(opened, bundle)) if tracks.people else None
        self.t = tracks.t
        self._takes = [take_of(track, tracks.header, rig) for track in tracks.people.values()]
        self._heads = [take.heads() for take in self._takes]
        self._turns = [world_rotations(take.local, take.tree.parents) for take in self._takes]
        self._hands = tuple(tracks.hands.values())
        self._robots, self.notes = _robots(tracks)
        self._pictures = _pictures(video, len(self.t)) if video is not None and self._takes else {}
        self._K, self._size = _camera(recording)
        self.stage = self.own(Stage(port, rig, host=host))
        gui = self.stage.server.gui
        last = max(len(self.t) - 1, 1)
        self._timeline = gui.add_slider("Frame", 0, last, 1, 0)
        self._playing = gui.add_checkbox("Play", False)
        self._speed = gui.add_slider("Speed", 0.1, 2.0, 0.1, 1.0)
        self._timeline.on_update(lambda _: self.show(int(self._timeline.value)))
        self.show(0)

    def show(self, index: int) -> None:
        """Show a frame by its number in the recording."""
        index = min(max(index, 0), len(self.t) - 1)
        t = self.t[index]
        self.stage.show_people(
            {
                take.id: Body(heads[k], turns[k], take.shape)
                for take, heads, turns in zip(self._takes, self._heads, self._turns, strict=True)
                if (k := _row(take.t, t)) is not None
            }
        )
        rows = {track.id: (track, k) for track in self._hands if (k := _row(track.t, t)) is not None}
        self.stage.show_hands({id: (track.side, track.keypoints_3d[k]) for id, (track, k) in rows.items()})
        self.stage.show_robots(_solved(rows, self._robots))
        if self._takes:  # hands are not shown where they are, for nobody knows how far away
            self.stage.show_camera(self._K, self._size, self._pictures.get(index))

    def play(self, seconds: float | None = None) -> None:
        """Run the timeline while its box is ticked, for so long; None: until interrupted."""
        end = None if seconds is None else time.monotonic() + seconds
        begun: tuple[float, float] | None = None  # of the clock, and of the recording
        while end is None or time.monotonic() < end:
            time.sleep(_FRAME)
            if not self._playing.value:
                begun = None
                continue
            now = time.monotonic()
            if begun is None:
                begun = now, float(self.t[int(self._timeline.value)])
            t = begun[1] + (now - begun[0]) * self._speed.value
            if t > self.t[-1]:
                begun, t = None, float(self.t[0])
            index = int(np.searchsorted(self.t, t, side="right")) - 1
            if index != int(self._timeline.value):
                self._timeline.value = max(index, 0)


def _row(t: Array, wanted: float) -> int | None:
    """Return the row of a time stamp; None if the identity is not in that frame."""
    k = int(np.searchsorted(t, wanted))
    return k if k < len(t) and t[k] == wanted else None


def _robots(tracks: Tracks) -> tuple[dict[str, RobotDescription], tuple[str, ...]]:
    """Return the robots of a recording by name, and a line for each whose description is not among those that ship."""
    named = tracks.header.get("robots")
    found: dict[str, RobotDescription] = {}
    notes = []
    for name, joints in named.items() if isinstance(named, Mapping) else ():
        try:
            robot = load_robot(name)
        except HumanrtError:
            notes.append(f"robot {name} is not shown: it does not ship, and a recording does not hold its description")
            continue
        if isinstance(robot, ArmDescription):
            notes.append(f"robot {name} is not shown: of recordings only robot hands are, and it is an arm")
        elif joints != list(robot.joint_names):
            notes.append(f"robot {name} is not shown: its joints have other names than those of the one that ships")
        else:
            found[name] = robot
    return found, tuple(notes)


def _solved(
    rows: Mapping[int, tuple[HandTrack, int]], robots: Mapping[str, RobotDescription]
) -> dict[str, tuple[RobotDescription, Array]]:
    poses: dict[str, tuple[RobotDescription, Array]] = {}
    for track, k in rows.values():
        for name, angles in track.robots.items():
            if (
                name in robots
                and np.isfinite(angles[k]).all()
                and (name not in poses or track.side == robots[name].side)
            ):
                poses[name] = (robots[name], angles[k])
    return poses


def _camera(recording: str | Path) -> tuple[Array, tuple[int, int]]:
    """Return intrinsics and picture size of a recording's first frame."""
    first: dict[str, Any] = next(iter(read_recording(recording)))
    size = first.get("size")
    width, height = size if isinstance(size, list) and len(size) == 2 else (640, 480)
    K = first.get("intrinsics")
    if K is None:
        return field_of_view_intrinsics((width, height), 60.0), (width, height)
    return np.array(K, np.float64), (width, height)


def _pictures(video: str | Path, frames: int) -> dict[int, NDArray[np.uint8]]:
    """Return small pictures of a film by frame."""
    every = max(1, -(-frames // _MAX_PICTURES))
    pictures: dict[int, NDArray[np.uint8]] = {}
    with open_source(video) as source:
        for frame in source:
            if frame.index >= frames:
                break
            if frame.index % every == 0:
                pictures[frame.index] = reduced(frame.image, _PICTURE_WIDTH)
    return pictures
