"""Pipeline for hands: perceive -> track -> smooth -> solve. Drawing and recording follow, from the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt import native
from humanrt.checks import check_kind, check_shapes
from humanrt.errors import InvalidInputError
from humanrt.geometry.rotation import quaternions_from_matrices
from humanrt.hands.pose_smoother import HandPoseSmoother
from humanrt.hands.robots import RobotHands
from humanrt.hands.smoother import Smoother
from humanrt.hands.tracker import Hand, Hands, HandTracker
from humanrt.hands.wrist_pose import WristPoses
from humanrt.perception.pipeline import Pipeline, Result, model_header
from humanrt.retarget import HandDescription
from humanrt.sources.opening import Frame, check_frame
from humanrt.timing import Stopwatch

__all__ = ["HandPipeline", "HandResult", "hand_entity", "hand_record"]


@dataclass(frozen=True, repr=False)
class HandResult(Result):
    """Everything known of one frame.

    Attributes:
        frame: the input frame.
        hands: the hands, smoothed where a smoother is set.
        robots: identity -> robot's name -> float64 [dof] rad, in that robot's `joint_names` order.
        ms: milliseconds per stage, in processing order, and ``total`` (their sum, without waiting for the source).
        intrinsics: float64 [3, 3] px, the camera in whose space wrists are. None: wrists are not computed.
    """

    frame: Frame
    hands: Hands
    robots: dict[int, dict[str, NDArray[np.float64]]]
    ms: dict[str, float]
    intrinsics: NDArray[np.float64] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_shapes(self, intrinsics="float64 3 3")

    @property
    def ids(self) -> tuple[int, ...]:
        """Identities in view, without hands that were filled in."""
        return tuple(hand.id for hand in self.hands if not hand.filled)

    def entities(self) -> list[str]:
        return [hand_entity(hand, self.robots.get(hand.id, {})) for hand in self.hands]

    def camera_record(self) -> dict[str, Any]:
        return {} if self.intrinsics is None else {"intrinsics": self.intrinsics}

    def hand_records(self) -> list[dict[str, Any]]:
        return [hand_record(hand, self.robots.get(hand.id, {})) for hand in self.hands]


def hand_entity(hand: Hand, robots: Mapping[str, NDArray[np.float64]]) -> str:
    """Return a short description of a hand and of the robots that it moves."""
    moves = f" moves {', '.join(robots)}" if robots else ""
    return f"{hand.side} hand {hand.id} ({'filled in' if hand.filled else f'{hand.score:.2f}'}){moves}"


def hand_record(hand: Hand, robots: Mapping[str, NDArray[np.float64]]) -> dict[str, Any]:
    """Return a hand as a recording holds it, with the joint angles of the robots that it moves."""
    return {
        "id": hand.id,
        "side": hand.side,
        "score": hand.score,
        "keypoints_2d": hand.keypoints_2d,
        "keypoints_3d": hand.keypoints_3d,
        "robot": robots,
        **({} if hand.wrist is None else {"wrist": _place(hand.wrist)}),
        **({"filled": True} if hand.filled else {}),
    }


def _place(pose: NDArray[np.float64]) -> list[float]:
    """Return a pose [4, 4] as position and unit quaternion: x, y, z, qx, qy, qz, qw."""
    return [*pose[:3, 3].tolist(), *quaternions_from_matrices(pose[:3, :3]).tolist()]


class HandPipeline(Pipeline[HandResult]):
    """Track the hands of a stream of frames and compute the joint angles of the robot hands that they drive.

    Closes the tracker and the smoother that it was given. Which hand drives which robot: see `RobotHands`.

    Args:
        tracker: tracks the hands; None: `HandTracker()`, with the shipped bundle.
        robots: names or description files of robot hands, or one of them; may be empty.
        smoother: filters the keypoints, and may fill in hands that were missed; None leaves them raw.
        intrinsics: K [3, 3] of the camera, px of the frames, for the wrists' places. None: a field of view is assumed.
        fov: that field of view, degrees over the longer side of the image. None: 60.
        hand_length: m from the wrist to the tip of the middle finger, of all hands; None: 0.18. It says how far away a
            hand is.
        collisions: keep the robots' fingers from penetrating each other (`RetargetOptions.collisions`).
    """

    task = "hands"
    target = "a hand"

    def __init__(
        self,
        tracker: HandTracker | None = None,
        robots: str | Path | Sequence[str | Path] = (),
        smoother: Smoother | None = None,
        *,
        intrinsics: ArrayLike | None = None,
        fov: float | None = None,
        hand_length: float | None = None,
        collisions: bool = False,
    ) -> None:
        if tracker is not None:
            check_kind(tracker, HandTracker, "tracker", "a HandTracker")
        if smoother is not None and not callable(smoother):
            raise InvalidInputError(f"smoother must be a HandPoseSmoother or HandSmoother, not {smoother!r}")
        mirrored = tracker is not None and tracker.options.mirrored
        self._wrists = WristPoses(intrinsics, fov, hand_length, mirrored=mirrored, smooth=smoother is not None)
        self._robots = RobotHands(robots, collisions=collisions)
        self.tracker = HandTracker() if tracker is None else tracker
        self.smoother = smoother

    @property
    def robots(self) -> dict[str, HandDescription]:
        """Robot hands by name, in the order in which they were requested."""
        return dict(self._robots.descriptions)

    @property
    def joint_names(self) -> dict[str, list[str]]:
        """Joint names of each robot, in the order of its angles."""
        return self._robots.joint_names

    def about(self) -> dict[str, Any]:
        smoother = self.smoother
        return {
            "robots": self.joint_names,
            **model_header(self.tracker),
            "kernel": "numpy" if native.problem() else "native",
            "model": self.tracker.options.model,
            "smooth": smoother.name if smoother else "none",
            **({"poses": smoother.stream.bundle.name} if isinstance(smoother, HandPoseSmoother) else {}),
            "mirrored": self.tracker.options.mirrored,
            "hand_length": self._wrists.hand_length,
        }

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines to show the user once: assumptions about robots, and what runs without the compiled library."""
        notes = self._robots.notes
        # Of a library that is there and refused `native` has warned already.
        if (problem := native.problem()) and not native.LIBRARY.is_file():
            notes += (
                "without the compiled library numpy and OpenCV cut out, smooth and retarget, which is slower, "
                f"retargeting most of all (`humanrt doctor` says more): {problem}",
            )
        return notes

    def reset(self) -> None:
        """Drop all identities and their state."""
        self.tracker.reset()
        if self.smoother:
            self.smoother.reset()
        self._wrists.reset()
        self._robots.reset()

    def __call__(self, frame: Frame) -> HandResult:
        """Process one frame. Frames come in the order of their time stamps."""
        check_frame(frame)
        if frame.cut:
            self.tracker.new_scene()
        hands = self.tracker(frame.image, frame.t)
        ms = dict(hands.ms)
        height, width = frame.image.shape[:2]
        watch = Stopwatch()
        if self.smoother:
            hands = self.smoother(hands, frame.t)
            watch.lap("smooth")
        hands = self._wrists(hands, frame.t, (width, height))
        watch.lap("wrist")
        robots = self._robots.solve(hands, frame.t, hands.lost)
        if self._robots:
            watch.lap("retarget")
        ms |= watch.ms
        ms["total"] = sum(ms.values())
        return HandResult(frame, hands, robots, ms, self._wrists.camera((width, height)))

    def close(self) -> None:
        """Free the tracker's and the smoother's networks."""
        if self.smoother:
            self.smoother.close()
        self.tracker.close()
