"""Whether a region holds a person: the landmark network's answer, checked against a second network's.

The landmark network alone is not reliable: shown an arm, a chair or a crowd, it often completes a body and scores
it 1.0. It cannot, however, invent the body that an independent network, MoveNet MultiPose, sees in the same place:
heads and trunks must agree. The weights were fitted to candidates on rendered people and on photographs
(`bench/people_found.py` measures the result); the real views of `bench/people_views.py` took no part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf, log, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.skeleton import COCO_17, MEDIAPIPE_33
from humanrt.people.landmarks import BodyLandmarks
from humanrt.people.multipose import PoseDetection

__all__ = [
    "NEEDED",
    "NEEDED_OF_BODIES",
    "NEEDED_OF_SURE_BODIES",
    "SAME_BODY",
    "SAME_TRUNK",
    "SURELY_SAME_BODY",
    "SURE_BODY",
    "TrunkDetection",
    "accepted",
    "confidence",
    "disagreement",
    "is_part",
    "needed_of_body",
    "pose_distance",
    "pose_trunk_distances",
    "supporting_pose",
    "trunk_distance",
    "trunk_distances",
    "trunk_gap",
]

Floats = NDArray[np.float32]

_TRUNK = tuple(f"{side}_{joint}" for joint in ("shoulder", "hip") for side in ("left", "right"))
_HEAD = COCO_17[:5]
_TRUNK_17, _TRUNK_33 = ([names.index(name) for name in _TRUNK] for names in (COCO_17, MEDIAPIPE_33))
_HEAD_17, _HEAD_33 = ([names.index(name) for name in _HEAD] for names in (COCO_17, MEDIAPIPE_33))
_HIPS_33, _EARS_33 = ([MEDIAPIPE_33.index(f"{side}_{name}") for side in ("left", "right")] for name in ("hip", "ear"))
_HIPS_17 = [COCO_17.index(f"{side}_hip") for side in ("left", "right")]
_OUTLINE_33 = [*range(11), *_TRUNK_33]  # face and trunk
_LIMBS_33 = [
    (MEDIAPIPE_33.index(f"{side}_{start}"), MEDIAPIPE_33.index(f"{side}_{end}"))
    for side in ("left", "right")
    for start, end in (
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
        ("wrist", "index"),
        ("hip", "knee"),
        ("knee", "ankle"),
    )
]
_BODY_MARGIN = 0.04  # how far a body reaches beyond the hull of its trunk, and its limbs beyond their axes, in regions

SAME_TRUNK = 0.06
"""Two people whose trunks are closer (`trunk_gap`) are the same."""

# A logistic model of: the mean of the logits of the landmark network's scores, the root of the pose's score, and the
# disagreements about trunk and head, as fractions of the region's side.
_SCORE, _POSE, _TRUNK_GAP, _HEAD_GAP, _BIAS = 0.39, 6.1, -14.65, -6.24, -0.72
_MAX_GAP = 0.25
_SATURATED = 0.002  # scores are not told apart below this, and above 1 minus it
# A person is looked at in the part of the picture that was searched, and closely, in squares about the body. The first
# look is trusted alone from here on; otherwise two close looks must each lift the sum to what is needed: in one square
# the second network may see somebody who is not there.
_ENOUGH = 4.0
NEEDED = 2.5
"""What the first look and a close one must come to."""
# Our own Multi-HMR proposes people whom the second network overlooked.
SAME_BODY = 0.2
"""`trunk_distance` up to which landmarks are of the body that it proposes; before a crowd the landmark network may find
somebody else there, or the head of one on the hips of another."""
NEEDED_OF_BODIES = 0.0
"""What a close look must come to if they are: two networks agree already. If not, the proposal says nothing. Fitted to
the `multihmr-anny` that ships by ``bench/fit_confirmation.py``."""
SURE_BODY, SURELY_SAME_BODY, NEEDED_OF_SURE_BODIES = 0.5, 0.1, -0.5
"""Score from which it is sure of a body, `trunk_distance` up to which landmarks are surely of it, and what a close look
must come to of both. In the pictures of that bench nobody needs this, and nobody is found wrongly by it; it was chosen
after seeing who else of people.jpg would be found."""
_AGREEING = 2


@dataclass(frozen=True)
class TrunkDetection:
    """A person of whom a network sees where head and hips are: [2] px of the image; score 0..1."""

    score: float
    head: Floats
    hips: Floats


def disagreement(landmarks: BodyLandmarks, pose: PoseDetection) -> tuple[float, float]:
    """Return the distance of trunks (mean of their points) and of heads, as fractions of the region's side."""
    points, size = landmarks.landmarks_2d, landmarks.region.size
    trunk = np.linalg.norm(points[_TRUNK_33] - pose.regressed[_TRUNK_17], axis=1).mean()
    head = np.linalg.norm(points[_HEAD_33].mean(axis=0) - pose.keypoints[_HEAD_17].mean(axis=0))
    return float(trunk) / size, float(head) / size


def pose_distance(pose: PoseDetection, other: PoseDetection) -> float:
    """Return how far two poses are apart, px: the mean of the trunk's (mean of its points) and the head's distance."""
    trunk = np.linalg.norm(pose.regressed[_TRUNK_17] - other.regressed[_TRUNK_17], axis=1).mean()
    head = np.linalg.norm(pose.keypoints[_HEAD_17].mean(axis=0) - other.keypoints[_HEAD_17].mean(axis=0))
    return float(trunk + head) / 2


def supporting_pose(landmarks: BodyLandmarks, poses: Iterable[PoseDetection]) -> PoseDetection | None:
    """Return the pose that is nearest to the landmarks, by trunk and head; None without any."""
    return min(poses, key=lambda pose: sum(disagreement(landmarks, pose)), default=None)


def confidence(landmarks: BodyLandmarks, scores: Iterable[float], poses: Iterable[PoseDetection]) -> float:
    """Return how sure it is that landmarks are a person's, as the logit of a probability.

    Args:
        landmarks: the landmark network's last word about a region.
        scores: its scores there, one for each look.
        poses: what the other network sees in or about the region.

    Returns:
        -inf if nothing supports the landmarks.
    """
    pose = supporting_pose(landmarks, poses)
    if pose is None:
        return -inf
    trunk, head = (min(gap, _MAX_GAP) for gap in disagreement(landmarks, pose))
    evidence = _SCORE * _mean_logit(scores) + _POSE * sqrt(pose.score)
    return evidence + _TRUNK_GAP * trunk + _HEAD_GAP * head + _BIAS


def trunk_distance(landmarks: BodyLandmarks, trunk: TrunkDetection) -> float:
    """Return the larger of the distances of hips and of heads, as a fraction of the region's side."""
    return max(trunk_distances(landmarks, trunk))


def needed_of_body(score: float, distance: float, needed_of_bodies: float = NEEDED_OF_BODIES) -> float:
    """Return what a close look must come to, for landmarks at a `trunk_distance` from a body proposed with a score."""
    if distance > SAME_BODY:
        return NEEDED
    return NEEDED_OF_SURE_BODIES if score >= SURE_BODY and distance <= SURELY_SAME_BODY else needed_of_bodies


def trunk_distances(landmarks: BodyLandmarks, trunk: TrunkDetection) -> tuple[float, float]:
    """Return the distances of hips and of heads, as fractions of the region's side."""
    points, size = landmarks.landmarks_2d, landmarks.region.size
    hips, head = points[_HIPS_33].mean(axis=0), points[_EARS_33].mean(axis=0)
    return float(np.linalg.norm(hips - trunk.hips)) / size, float(np.linalg.norm(head - trunk.head)) / size


def pose_trunk_distances(pose: PoseDetection, trunk: TrunkDetection, size: float) -> tuple[float, float]:
    """Return the distances of a pose's hips and head from a trunk's, as fractions of ``size``, px."""
    hips = pose.regressed[_HIPS_17].mean(axis=0) - trunk.hips
    head = pose.keypoints[_HEAD_17].mean(axis=0) - trunk.head
    return float(np.linalg.norm(hips)) / size, float(np.linalg.norm(head)) / size


def trunk_gap(landmarks: BodyLandmarks, other: BodyLandmarks) -> float:
    """Return how far two trunks are apart (mean of their points), as a fraction of the smaller region's side."""
    points = [one.landmarks_2d[_TRUNK_33] for one in (landmarks, other)]
    size = min(landmarks.region.size, other.region.size)
    return float(np.linalg.norm(points[0] - points[1], axis=1).mean()) / max(size, 1.0)


def _mean_logit(scores: Iterable[float]) -> float:
    bounded = [min(max(score, _SATURATED), 1 - _SATURATED) for score in scores]
    return sum(log(score / (1 - score)) for score in bounded) / len(bounded)


def is_part(landmarks: BodyLandmarks, other: BodyLandmarks) -> bool:
    """Return whether a body lies on another, larger one: its face and its hips on the other's trunk, head or limbs.

    A real person there would be hidden, or hide what they are found on.
    """
    if landmarks.region.size >= other.region.size:
        return False
    points = other.landmarks_2d
    hull = cv2.convexHull(points[_OUTLINE_33])
    margin = _BODY_MARGIN * other.region.size
    own = landmarks.landmarks_2d
    for x, y in (own[_HEAD_33].mean(axis=0).tolist(), own[_HIPS_33].mean(axis=0).tolist()):
        if cv2.pointPolygonTest(hull, (x, y), measureDist=True) >= -margin:
            continue
        if min(_distance(np.array([x, y]), points[a], points[b]) for a, b in _LIMBS_33) > margin:
            return False
    return True


def _distance(point: Floats, start: Floats, end: Floats) -> float:
    """Return the distance of a point from a line segment, [2] px each."""
    along = end - start
    share = float(np.clip((point - start) @ along / max(float(along @ along), 1e-6), 0, 1))
    return float(np.linalg.norm(point - start - share * along))


def accepted(
    first_look: float, close_look: Callable[[float], float], zooms: Sequence[float], needed: float = NEEDED
) -> bool:
    """Return whether landmarks are a person's.

    Args:
        first_look: their confidence given what proposed the person; -inf if that says nothing about it.
        close_look: returns their `confidence` given the poses in the square about the body that is this many times as
            large as their region; called only as often as needed.
        zooms: for as many looks as there may be.
        needed: sum of the first look and of a close one that speaks for a person.
    """
    if first_look >= _ENOUGH:
        return True
    needed, agreeing = needed - (0.0 if first_look == -inf else first_look), 0
    for looks, zoom in enumerate(zooms):
        if agreeing + len(zooms) - looks < _AGREEING:
            return False
        agreeing += close_look(zoom) >= needed
        if agreeing == _AGREEING:
            return True
    return False
