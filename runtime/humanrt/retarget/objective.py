"""Objectives: which robot vectors should equal which human vectors, and their weights.

Every objective is a list of tasks, ``weight * huber(|robot vector - target|)`` with
``huber(d) = d^2 / (2 delta)`` below delta and ``d - delta / 2`` above. They differ in the vectors, and in how a target
is computed from the human's vector ``v``:

``vector``    wrist to fingertips, target ``scale * v``; mean over the vectors. The VECTOR objective of dex-retargeting
              (Qin et al. 2023, "AnyTeleop"), term for term.
``dexpilot``  adds tip-to-tip vectors that snap shut when the human's tips come near, with hysteresis: Handa et al.
              2020, "DexPilot", arXiv 1910.03135, eq. 1-4, with the constants of dex-retargeting.
``pose``      the default. Each finger segment takes the direction of the human's segment at the robot's own length, so
              straight is straight and a fist is a fist for any proportions of the robot; and thumb-to-finger vectors
              that take over as the human's tips close, by a smooth step and so without memory.

Grippers (`HandDescription.gripper`) have jaws, which cannot point. For them ``pose`` is the opening: the vector
between two jaws' tips goes from the closed gripper's to the open one's as the human's two fingertips part, from
``project`` to ``GRIP_OPEN``. The two other objectives are refused for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.geometry.hand import FINGERS
from humanrt.retarget.description import PARTS, HandDescription
from humanrt.retarget.robot import Point

__all__ = [
    "DEXPILOT_FINGERS", "DEXPILOT_THUMB", "DIRECTION", "GRIP", "GRIP_OPEN", "OBJECTIVES", "PINCH", "VECTOR", "Jaws",
    "Tasks", "build_tasks",
]  # fmt: skip

Array = NDArray[np.float64]

OBJECTIVES = ("pose", "vector", "dexpilot")

VECTOR, DIRECTION, DEXPILOT_THUMB, DEXPILOT_FINGERS, PINCH, GRIP = range(6)
"""Kinds of targets; the values match those in _native/solver.c."""

GRIP_OPEN = 0.09
"""Metres between the human's fingertips, of a hand of the palm template's size, at which a gripper is wide open."""


@dataclass(frozen=True)
class Tasks:
    """The tasks of one hand and objective. ``points`` are the robot's points; tasks refer to them by index."""

    points: tuple[Point, ...]
    ends: NDArray[np.int32]
    """[K, 2] the robot vector goes from the first point to the second."""
    human: NDArray[np.int32]
    """[K, 2] likewise for the human's, in MediaPipe's numbering."""
    kind: NDArray[np.int32]
    pairs: NDArray[np.int32]
    """[K, 2] DEXPILOT_FINGERS: the thumb tasks of its two fingers; DIRECTION: ends of a second human vector."""
    scale: Array
    """[K] factor on the human vector; for DIRECTION the length of the robot's segment, metres."""
    weight: Array
    close: Array
    """[K, 2] weight and length (metres) that hold when the human's tips touch; DIRECTION: (share of the second
    vector's direction, unused); GRIP: (weight, metres between the human's tips when the gripper is open)."""
    grip: Array
    """[K, 2, 3] GRIP: the robot's vector when closed, when open, metres in the base frame; else zero."""


@dataclass(frozen=True)
class _Task:
    ends: tuple[int, int]
    human: tuple[int, int]
    kind: int
    scale: float
    weight: float
    close: tuple[float, float] = (0.0, 0.0)
    pairs: tuple[int, int] = (0, 0)
    grip: Array = field(default_factory=lambda: np.zeros((2, 3)))


@dataclass(frozen=True)
class Jaws:
    """Tips [F, 3] of a gripper closed, and open, metres in the base frame; metres between the human's tips at which it
    is open; the number of its motors."""

    closed: Array
    opened: Array
    distance: float
    motors: int


def build_tasks(
    hand: HandDescription, objective: str, scale: float, jaws: Jaws | None, touching: float | None = None
) -> Tasks:
    """Build the tasks of an objective.

    Args:
        hand: the robot hand.
        objective: its name.
        scale: ratio of the robot's size to the human's.
        jaws: jaws of a gripper; if given, the hand is treated as one.
        touching: m between the tips of fingers that touch (``pose``). None: nearly none, as if they had no flesh.

    Raises:
        HumanrtError: the objective is not for a gripper.
    """
    points = (hand.wrist, *(point for finger in hand.fingers.values() for point in finger))
    if hand.configured is not None:
        points += tuple(point for vector in hand.configured.vectors for point in (vector.origin, vector.task))
    if jaws is not None:
        if objective != "pose":
            raise HumanrtError(
                f"hand {hand.name} is a gripper: its jaws open and close but cannot point, so objective {objective} "
                "does not apply to it; use pose"
            )
        tasks = _grip(hand, jaws)
    else:
        if objective == "pose":
            tasks = _pose(hand, scale, 1e-4 if touching is None else touching)
        else:
            tasks = {"vector": _vector, "dexpilot": _dexpilot}[objective](hand, scale)
    return Tasks(
        points=points,
        ends=np.array([t.ends for t in tasks], dtype=np.int32).reshape(-1, 2),
        human=np.array([t.human for t in tasks], dtype=np.int32).reshape(-1, 2),
        kind=np.array([t.kind for t in tasks], dtype=np.int32),
        pairs=np.array([t.pairs for t in tasks], dtype=np.int32).reshape(-1, 2),
        scale=np.array([t.scale for t in tasks]),
        weight=np.array([t.weight for t in tasks]),
        close=np.array([t.close for t in tasks]).reshape(-1, 2),
        grip=np.array([t.grip for t in tasks]).reshape(-1, 2, 3),
    )


def _robot(slot: int, part: int) -> int:
    """Return the index into ``Tasks.points`` of the part (0 knuckle .. 3 tip) of the hand's ``slot``-th finger."""
    return 1 + 4 * slot + part


def _human(finger: str, part: int) -> int:
    """Return MediaPipe's index of the same part."""
    return 1 + 4 * FINGERS.index(finger) + part


def _vector(hand: HandDescription, scale: float) -> list[_Task]:
    if hand.configured is not None and hand.configured.vectors:
        vectors, first = hand.configured.vectors, 1 + 4 * len(hand.fingers)
        return [
            _Task((first + 2 * k, first + 2 * k + 1), vector.human, VECTOR, scale, 1.0 / len(vectors))
            for k, vector in enumerate(vectors)
        ]
    parts = [PARTS.index(name) for name in hand.vector]
    wanted = [(slot, finger, part) for part in parts for slot, finger in enumerate(hand.fingers)]
    return [
        _Task((0, _robot(slot, part)), (0, _human(finger, part)), VECTOR, scale, 1.0 / len(wanted))
        for slot, finger, part in wanted
    ]


def _dexpilot(hand: HandDescription, scale: float) -> list[_Task]:
    names = list(hand.fingers)
    pairs = list(combinations(range(len(names)), 2))
    count = len(pairs) + len(names)
    tasks = []
    for a, b in pairs:
        thumb = a == 0
        tasks.append(
            _Task(
                ends=(_robot(b, 3), _robot(a, 3)),
                human=(_human(names[b], 3), _human(names[a], 3)),
                kind=DEXPILOT_THUMB if thumb else DEXPILOT_FINGERS,
                scale=scale,
                weight=1.0 / count,
                close=(200.0 / count, 1e-4) if thumb else (400.0 / count, 3e-2),
                pairs=(0, 0) if thumb else (a - 1, b - 1),
            )
        )
    for slot, finger in enumerate(names):
        tasks.append(_Task((0, _robot(slot, 3)), (0, _human(finger, 3)), VECTOR, scale, 1.0))
    return tasks


def _pose(hand: HandDescription, scale: float, touching: float) -> list[_Task]:
    names = list(hand.fingers)
    rest = hand.positions(hand.rest_pose, [p for finger in hand.fingers.values() for p in finger]).reshape(-1, 4, 3)
    tasks = []
    for slot, finger in enumerate(names):
        for part in range(3):
            length = float(np.linalg.norm(rest[slot, part + 1] - rest[slot, part]))
            if length < 1e-3:
                continue
            tasks.append(
                _Task(
                    ends=(_robot(slot, part), _robot(slot, part + 1)),
                    human=(_human(finger, part), _human(finger, part + 1)),
                    kind=DIRECTION,
                    scale=length,
                    weight=1.0,
                    # Landmark models are least sure of the last joint: open hands show it bent by 40 degrees. It
                    # moves with the middle joint in any case, so the last segment leans on the one before.
                    pairs=(_human(finger, 1), _human(finger, 2)),
                    close=(0.5 if part == 2 and finger != "thumb" else 0.0, 0.0),
                )
            )
    if "thumb" in names:
        thumb = names.index("thumb")
        for slot, finger in enumerate(names):
            if slot != thumb:
                tasks.append(
                    _Task(
                        ends=(_robot(slot, 3), _robot(thumb, 3)),
                        human=(_human(finger, 3), _human("thumb", 3)),
                        kind=PINCH,
                        scale=scale,
                        weight=0.1,
                        close=(20.0, touching),
                    )
                )
    return tasks


def _grip(hand: HandDescription, jaws: Jaws) -> list[_Task]:
    names = list(hand.fingers)
    # One motor follows the first two fingers; jaws with motors of their own follow each its finger and the first.
    pairs = len(names) if jaws.motors > 1 else 2
    closed, opened = jaws.closed, jaws.opened
    return [
        _Task(
            ends=(_robot(slot, 3), _robot(0, 3)),
            human=(_human(names[slot], 3), _human(names[0], 3)),
            kind=GRIP,
            scale=1.0,
            weight=10.0,  # so that the pull to the rest pose moves a jaw by less than a hundredth of its range
            close=(200.0, jaws.distance),  # fingertips that touch count more than others that are apart
            grip=np.stack([closed[0] - closed[slot], opened[0] - opened[slot]]),
        )
        for slot in range(1, pairs)
    ]
