"""Sources of proposals: where in a picture people might be, for the landmark network to look closely.

`PROPOSALS` lists them; `BodyTrackerOptions.proposals` chooses. A proposal need not be right, and a person may be
proposed several times: what is a person is decided by `humanrt.people.confirmation`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle, load_bundle
from humanrt.bundle.settings import LandmarksSettings
from humanrt.errors import HumanrtError, choices
from humanrt.geometry.region import Region, upright_angle
from humanrt.geometry.skeleton import COCO_17
from humanrt.inference.variants import EXACT, at
from humanrt.kernels.image import Picture
from humanrt.people.confirmation import TrunkDetection, confidence
from humanrt.people.landmarks import BodyLandmarks
from humanrt.people.multihmr import MultiHMR
from humanrt.people.multipose import Multipose, PoseDetection
from humanrt.people.person import PersonDetector, region_of_trunk
from humanrt.people.single_shot import SingleShotBody
from humanrt.people.windows import Window, whole_picture, window_region
from humanrt.resource import Owner, releasing

__all__ = [
    "BODY_THRESHOLD",
    "PROPOSALS",
    "DetectorProposals",
    "Look",
    "MultiHmrProposals",
    "MultiposeProposals",
    "Proposal",
    "ProposalSource",
    "around",
    "check_proposals",
    "region_of_pose",
]


@dataclass(frozen=True)
class Proposal(Region):
    """A region in which a person may be found.

    Attributes:
        score: 0..1; comparable only among proposals of one source.
        pose: the person's keypoints, if the source sees them...
        trunk: ...or where head and hips are.
        body: the whole body, if the source sees it.
    """

    score: float = 0.0
    pose: PoseDetection | None = field(default=None, compare=False)
    trunk: TrunkDetection | None = field(default=None, compare=False)
    body: SingleShotBody | None = field(default=None, compare=False)

    @classmethod
    def at(
        cls,
        region: Region,
        score: float,
        pose: PoseDetection | None = None,
        trunk: TrunkDetection | None = None,
        body: SingleShotBody | None = None,
    ) -> Proposal:
        """Return the proposal of a region."""
        return cls(region.x, region.y, region.size, region.angle, score, pose, trunk, body)

    def confidence(self, landmarks: BodyLandmarks, scores: Sequence[float]) -> float:
        """Return how sure landmarks are given what the source sees, see `confirmation.confidence`."""
        return confidence(landmarks, scores, [] if self.pose is None else [self.pose])


@dataclass(frozen=True)
class Look:
    """What a source sees in a picture, or in a part of it (``window``), faint hints included."""

    window: Window | None
    proposals: Sequence[Proposal]


class ProposalSource(Owner, ABC):
    """Proposes people in pictures. Not thread-safe.

    Args:
        bundle: the tracker's bundle, a ``landmarks``.
        backend: the tracker's backend.

    Attributes:
        name: name in `PROPOSALS`.
        faint: score from which what it sees counts as a hint for `humanrt.people.unconfirmed`; None: never.
    """

    name: ClassVar[str]
    faint: ClassVar[float | None] = None

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        """Open what the source needs."""

    @abstractmethod
    def threshold(self, grey: bool) -> float:
        """Return the score from which people are proposed; ``grey``: the picture has no colour, see `is_grey`."""

    @abstractmethod
    def __call__(
        self, rgb: Picture, host: NDArray[np.uint8], window: Window | None, threshold: float
    ) -> list[Proposal]:
        """Return proposals, best first.

        Args:
            rgb: uint8 [H, W, 3], on the networks' device.
            host: the same picture on the host.
            window: the part of the picture to search; None: all of it.
            threshold: minimum score.
        """


class DetectorProposals(ProposalSource):
    """People whose face MediaPipe's person detector sees (`humanrt.people.person`): large ones in each window."""

    name = "detector"

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self._detector = self.own(PersonDetector(bundle, backend))
        self._threshold = LandmarksSettings.of(bundle).person.score_threshold

    def threshold(self, grey: bool) -> float:
        return self._threshold * (_GREY_SCALE if grey else 1.0)

    def __call__(
        self, rgb: Picture, host: NDArray[np.uint8], window: Window | None, threshold: float
    ) -> list[Proposal]:
        return [Proposal.at(person.region, person.score) for person in self._detector(rgb, threshold, window)]


class MultiposeProposals(ProposalSource):
    """People in any pose, seen by MoveNet MultiPose (`humanrt.people.multipose`, bundle ``multipose``)."""

    name = "multipose"
    faint = 0.0

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        own = load_bundle("multipose", task="detection")
        self.network = self.own(Multipose(at(own, backend, EXACT), backend))

    def threshold(self, grey: bool) -> float:
        return _POSE_THRESHOLD * (_GREY_SCALE if grey else 1.0)

    def __call__(
        self, rgb: Picture, host: NDArray[np.uint8], window: Window | None, threshold: float
    ) -> list[Proposal]:
        size = (rgb.shape[1], rgb.shape[0])
        poses = self.network(rgb, whole_picture(size) if window is None else window_region(window))
        return [Proposal.at(region_of_pose(pose), pose.score, pose) for pose in poses if pose.score >= threshold]


class MultiHmrProposals(ProposalSource):
    """People whose body our own small Multi-HMR sees (bundle ``multihmr-anny``).

    It finds more of those who are small or half hidden than ``multipose``, and many where nobody is; each look takes
    three times as long. For photographs, and where time does not matter.
    """

    name = "multihmr"
    faint = 0.1
    network_bundle: str | Path = "multihmr-anny"

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self._model = self.own(MultiHMR(self.network_bundle, backend))
        self._head, self._root = (self._model.joint_names.index(name) for name in ("head", "root"))

    def threshold(self, grey: bool) -> float:
        return BODY_THRESHOLD

    def __call__(
        self, rgb: Picture, host: NDArray[np.uint8], window: Window | None, threshold: float
    ) -> list[Proposal]:
        left, top, part = 0, 0, host
        if window is not None:
            left, top, side = window
            part = np.ascontiguousarray(host[top : top + side, left : left + side])
        people = self._model(part, threshold=threshold)
        if people.joints is None or people.joints_2d is None:
            return []
        focal, offset = float(people.intrinsics[0, 0]), np.array([left, top], np.float32)
        intrinsics = people.intrinsics.copy()
        intrinsics[:2, 2] += offset
        proposals = []
        for index, (score, joints) in enumerate(zip(people.scores.tolist(), people.joints, strict=True)):
            flat = people.joints_2d[index] + offset
            body = SingleShotBody(
                score, people.rotations[index], people.shape[index], joints[self._root], flat, intrinsics
            )
            length = float(np.linalg.norm(joints[self._head] - joints[self._root]))
            trunk = TrunkDetection(score, flat[self._head], flat[self._root])
            region = region_of_trunk(trunk.head, trunk.hips, length, focal, float(joints[self._root, 2]))
            proposals.append(Proposal.at(region, score, trunk=trunk, body=body))
        return proposals


PROPOSALS: Mapping[str, type[ProposalSource]] = {
    source.name: source for source in (MultiposeProposals, DetectorProposals, MultiHmrProposals)
}
"""All sources by name."""

_GREY_SCALE = 0.7  # of thresholds, in pictures without colour
_POSE_THRESHOLD = 0.1
BODY_THRESHOLD = 0.35
"""Score from which `MultiHmrProposals` propose people: fitted by ``bench/fit_confirmation.py``."""
_NEIGHBOURHOOD = 1.5  # side of the square in which a lost person is looked for, relative to their region
_HEAD = slice(0, 5)
_LEGS = slice(13, 17)  # knees, ankles
_HIPS = [COCO_17.index("left_hip"), COCO_17.index("right_hip")]
_SHOULDERS = [COCO_17.index("left_shoulder"), COCO_17.index("right_shoulder")]
# Side of the landmark network's region relative to distances from the hips: medians over people who stand and walk.
_PER_REACH = 2.8  # to the farthest of knees and ankles
_PER_HEAD = 3.2  # to the head


def region_of_pose(pose: PoseDetection) -> Region:
    """Return the region in which the landmark network finds the person: about the hips, the head up."""
    points = pose.keypoints
    hips, head = points[_HIPS].mean(axis=0), points[_HEAD].mean(axis=0)
    chest = (points[_SHOULDERS].mean(axis=0) + head) / 2
    reach = float(np.linalg.norm(points[_LEGS] - hips, axis=1).max())  # without arms: raised, they do not count
    size = max(_PER_REACH * reach, _PER_HEAD * float(np.linalg.norm(head - hips)), 1.0)
    x, y = hips.tolist()
    return Region(x, y, size, upright_angle((x, y), chest.tolist()))


def around(network: Multipose, rgb: Picture, region: Region) -> list[Proposal]:
    """Return proposals in the neighbourhood of a region in which somebody was just lost, turned as they were."""
    poses = network(rgb, replace(region, size=_NEIGHBOURHOOD * region.size))
    return [Proposal.at(region_of_pose(pose), pose.score, pose) for pose in poses]


def check_proposals(names: Sequence[str]) -> None:
    """Raise HumanrtError if ``names`` are not sources, or none."""
    for name in names:
        if name not in PROPOSALS:
            raise HumanrtError(f"proposals: no source `{name}`; there are: {choices(PROPOSALS)}")
    if not names or len(set(names)) < len(names):
        raise HumanrtError(f"proposals must name sources, each once: {choices(PROPOSALS)}")
