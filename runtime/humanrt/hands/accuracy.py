"""Errors of results against the ground truth of a rendered clip: pixels, finger angles, robot fingertips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.hand import FINGERS, TIPS, WRIST
from humanrt.geometry.mirror import MIRROR
from humanrt.hands.pipeline import HandResult
from humanrt.hands.tracker import Hand
from humanrt.hands.truth import Truth, finger_flexion
from humanrt.retarget import HandDescription, Retargeter, wrist_frame
from humanrt.stats import Percentiles

__all__ = ["Accuracy", "human_tips", "measure", "robot_tips"]


@dataclass(frozen=True)
class Accuracy:
    """Errors over a clip.

    Attributes:
        truth: number of ground-truth hands: frames in which a hand is in view, summed over hands.
        found: how many of them were found (the nearest result is closer than half the hand's size).
        pixels: distance of each keypoint from the ground truth, px.
        span: typical size of the true hand in the picture, px (median diagonal of its bounding box).
        degrees: error of each of 15 finger joints, degrees.
        tips: robot's name -> distance of its fingertips from where the true keypoints would have put them, mm: the
            effect of perception errors.
        tips_human: the same from the true human fingertips times the robot's scale, relative to the wrist. The robot's
            proportions are not a hand's, so this is inherently large; `tips_human_floor` is the error that remains
            with true keypoints.
    """

    truth: int
    found: int
    pixels: Percentiles
    span: float
    degrees: Percentiles
    tips: dict[str, Percentiles] = field(default_factory=dict)
    tips_human: dict[str, Percentiles] = field(default_factory=dict)
    tips_human_floor: dict[str, Percentiles] = field(default_factory=dict)


def measure(results: Sequence[HandResult], truth: Truth, robots: Mapping[str, HandDescription]) -> Accuracy:
    """Compare results, frame by frame from the first, with the ground truth.

    Raises:
        ValueError: no hand was found at all.
    """
    pixels: list[NDArray[np.floating]] = []
    degrees: list[NDArray[np.floating]] = []
    spans: list[float] = []
    tips: dict[str, list[float]] = {name: [] for name in robots}
    human: dict[str, list[float]] = {name: [] for name in robots}
    floor: dict[str, list[float]] = {name: [] for name in robots}
    solvers = {name: Retargeter(hand) for name, hand in robots.items()}
    present = 0
    for frame, result in enumerate(results[: len(truth)]):
        for person, side in enumerate(truth.side):
            if not truth.visible[frame, person].all():
                continue
            present += 1
            true_2d, true_3d = truth.keypoints_2d[frame, person], truth.keypoints_3d[frame, person]
            span = float(np.linalg.norm(np.ptp(true_2d, axis=0)))
            hand = _nearest(result.hands, true_2d, span / 2)
            if hand is None:
                continue
            spans.append(span)
            pixels.append(np.linalg.norm(hand.keypoints_2d - true_2d, axis=1))
            degrees.append(np.degrees(np.abs(finger_flexion(hand.keypoints_3d) - finger_flexion(true_3d))).ravel())
            for name, q in result.robots.get(hand.id, {}).items():
                robot = robots[name]
                perfect = robot_tips(robot, solvers[name].solve(true_3d, side=side))
                fingertips, wanted = robot_tips(robot, q), human_tips(robot, true_3d, side)
                tips[name] += _millimetres(fingertips, perfect)
                human[name] += _millimetres(fingertips, wanted)
                floor[name] += _millimetres(perfect, wanted)
    if not pixels:
        raise ValueError("no ground-truth hand was detected")
    return Accuracy(
        present,
        len(pixels),
        Percentiles.of(np.concatenate(pixels)),
        float(np.median(spans)),
        Percentiles.of(np.concatenate(degrees)),
        *({name: Percentiles.of(mm) for name, mm in kind.items() if mm} for kind in (tips, human, floor)),
    )


def robot_tips(robot: HandDescription, q: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the robot's fingertips [F, 3] m in its base frame, relative to its wrist, for joint angles q [dof] rad."""
    points = [robot.wrist, *(finger[3] for finger in robot.fingers.values())]
    where = robot.positions(np.asarray(q, np.float64), points)
    return np.asarray(where[1:] - where[0], np.float64)


def human_tips(robot: HandDescription, keypoints: NDArray[np.floating], side: str) -> NDArray[np.float64]:
    """Return the human's fingertips [F, 3] m times the robot's scale, in the robot's base frame, relative to the wrist.

    Args:
        keypoints: [21, 3] m of a hand of ``side``; if that is not the robot's side, they are mirrored.
    """
    points = np.asarray(keypoints, np.float64) - keypoints[WRIST]
    if side != robot.side:
        points = points * MIRROR
    local = points @ wrist_frame(points, robot.side)
    tips = local[[TIPS[FINGERS.index(finger)] for finger in robot.fingers]]
    return np.asarray(robot.scale * tips @ robot.rotation.T, np.float64)


def _millimetres(a: NDArray[np.float64], b: NDArray[np.float64]) -> list[float]:
    return [float(gap) * 1e3 for gap in np.linalg.norm(a - b, axis=1)]


def _nearest(hands: Iterable[Hand], true_2d: NDArray[np.floating], limit: float) -> Hand | None:
    """Return the hand whose keypoints are closest on average, if that is closer than ``limit`` px."""
    best, distance = None, limit
    for hand in hands:
        gap = float(np.linalg.norm(hand.keypoints_2d - true_2d, axis=1).mean())
        if gap < distance:
            best, distance = hand, gap
    return best
