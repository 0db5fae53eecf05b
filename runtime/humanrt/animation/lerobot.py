"""LeRobot data sets of recordings, written by LeRobot itself: a robot's joint angles as actions.

The frames are the recording's, one after the other, at its mean rate: LeRobot has no time stamps of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, MissingDependencyError, SourceError, choices
from humanrt.outputs.tracks import HandTrack, Tracks
from humanrt.sources.opening import Source, open_source

__all__ = ["Demonstration", "demonstration", "lerobot"]

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Demonstration:
    """A robot's motion in a recording: K frames in which a hand moves it.

    Attributes:
        robot: its name.
        joints: names of its joints.
        frames: [K] indices of the recording's frames.
        episodes: [K] number of the episode of each.
        state: [K, 63] the hand's keypoints, m, x0 y0 z0 x1 ...
        action: [K, dof] rad.
    """

    robot: str
    joints: Sequence[str]
    frames: NDArray[np.int64]
    episodes: NDArray[np.int64]
    state: Array
    action: Array


def demonstration(tracks: Tracks, robot: str | None, gap: float) -> Demonstration:
    """Return a robot's motion in a recording. Of two hands that move it, that of the robot's side decides.

    Args:
        tracks: of the recording.
        robot: its name; None: the only one.
        gap: seconds without a hand after which another episode begins; shorter ones are left out.

    Raises:
        HumanrtError: no robot moves in it, or several and none was chosen.
    """
    moving = list(dict.fromkeys(name for hand in tracks.hands.values() for name in hand.robots))
    if not moving:
        raise SourceError("no robot hand moves in the recording; record with --robot NAME (arms are not written)")
    if robot is None and len(moving) > 1:
        raise HumanrtError(f"several robots move in the recording; choose one: --robot {choices(moving)}")
    name = moving[0] if robot is None else robot
    if name not in moving:
        raise HumanrtError(f"--robot {name}: does not move in the recording; in it: {choices(moving)}")
    at: dict[int, tuple[HandTrack, int]] = {}
    for hand in sorted(tracks.hands.values(), key=lambda one: name.endswith(one.side)):
        if name in hand.robots:
            rows = np.flatnonzero(~np.isnan(hand.robots[name]).any(axis=1))
            at |= {int(hand.frames[row]): (hand, int(row)) for row in rows}
    found = [at[frame] for frame in sorted(at)]
    t = np.array([hand.t[row] for hand, row in found])
    action = np.array([hand.robots[name][row] for hand, row in found], np.float32)
    state = np.array([hand.keypoints_3d[row].ravel() for hand, row in found], np.float32)
    joints = (tracks.header.get("robots") or {}).get(name) or [f"joint_{k}" for k in range(action.shape[1])]
    episodes = np.concatenate([[0], np.cumsum(np.diff(t) > gap)])
    return Demonstration(name, list(joints), np.array(sorted(at)), episodes, state, action)


def lerobot(found: Demonstration, fps: float, task: str, video: Path | None, folder: Path) -> None:
    """Write a LeRobot data set (v3.0).

    Features: ``action`` (float32 [dof] rad, names ``JOINT.pos``), ``observation.state`` (float32 [63]: the hand's
    keypoints), and with a video ``observation.images.front``.

    Args:
        found: what is written.
        fps: frames per second, a whole number as LeRobot has them.
        task: what is done, in words.
        video: the film that was recorded; None: no pictures.
        folder: to make; its name is that of the data set: ``local/NAME``.

    Raises:
        MissingDependencyError: lerobot is not installed.
        SourceError: the video cannot be read, or is too short.
    """
    dataset_class = _import_lerobot()
    names = [f"{axis}{k}" for k in range(21) for axis in "xyz"]
    features: dict[str, Any] = {
        "action": _floats([f"{joint}.pos" for joint in found.joints]),
        "observation.state": _floats(names),
    }
    with ExitStack() as stack:
        pictures: Iterator[NDArray[np.uint8]] | None = None
        if video is not None:
            source = stack.enter_context(open_source(video))
            pictures = _pictures(source, found.frames)
            first = next(pictures)
            features["observation.images.front"] = {
                "dtype": "video",
                "shape": first.shape,
                "names": ["height", "width", "channels"],
            }
        dataset = dataset_class.create(
            f"local/{folder.name}",
            round(fps),
            features,
            root=folder,
            robot_type=found.robot,
            use_videos=video is not None,
        )
        for k in range(len(found.frames)):
            if k and found.episodes[k] != found.episodes[k - 1]:
                dataset.save_episode()
            frame = {"action": found.action[k], "observation.state": found.state[k], "task": task}
            if pictures is not None:
                frame["observation.images.front"] = first if k == 0 else next(pictures)
            dataset.add_frame(frame)
        dataset.save_episode()
        dataset.finalize()


def _floats(names: Sequence[str]) -> dict[str, Any]:
    return {"dtype": "float32", "shape": (len(names),), "names": list(names)}


def _pictures(source: Source, frames: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    """Yield the pictures of these frames. SourceError if the film ends before."""
    wanted = iter(frames.tolist())
    following = next(wanted, None)
    for frame in source:
        if frame.index == following:
            yield frame.image
            following = next(wanted, None)
    if following is not None:
        raise SourceError(f"{source.name}: has no frame {following} of the recording; give the film that was recorded")


def _import_lerobot() -> Any:
    try:
        from lerobot.datasets.lerobot_dataset import LeRobotDataset
    except ImportError as error:
        raise MissingDependencyError(
            f"LeRobot data sets need lerobot (5 GB), which cannot be imported ({error}); run: pip install lerobot"
        ) from None
    return LeRobotDataset
