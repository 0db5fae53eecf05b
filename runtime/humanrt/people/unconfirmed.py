"""People of a photograph whom only coarse networks see: the landmark network does not confirm them.

Who is small, hidden or turned away is often seen by the single-shot network (`humanrt.people.multihmr`) and yet refused
by the landmark network. A film shows them again; a photograph does not, so they are kept with the body that the
single-shot network sees, if it sees them well enough in the whole picture and in parts of it, and MoveNet MultiPose
agrees about head and hips. Of two who hug, the landmark network completes one body: where the single-shot network sees
two, these are kept instead. Weights were fitted to 48 rendered pictures of the training part and 16 rendered rooms
without anybody (``bench/fit_unconfirmed.py --count 48 --rooms 16``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, inf, log
from typing import NamedTuple

import numpy as np

from humanrt.people.confirmation import TrunkDetection, pose_trunk_distances, trunk_distance, trunk_distances
from humanrt.people.landmarks import BodyLandmarks
from humanrt.people.multipose import PoseDetection
from humanrt.people.proposals import Look, Proposal
from humanrt.people.single_shot import SingleShotBody
from humanrt.perception.assignment import assign

__all__ = [
    "WEIGHTS",
    "Candidate",
    "Weights",
    "body_of",
    "candidates",
    "pairs",
    "select",
    "splits",
    "two_in_one",
    "unconfirmed",
]


class Weights(NamedTuple):
    """Weights of the logistic model, of `Candidate.evidence` and 1."""

    whole: float
    parts: float
    looks: float
    bias: float


# Distances in regions: the larger of those of heads and of hips, up to which two bodies are the same person's...
_SAME = 0.3
_TWICE = 0.4  # ...or are not both kept
_KNOWN = 0.2  # the mean of both, up to which a body is that of somebody who is confirmed
_AGREES = 0.15  # distances up to which a pose supports a body
_LARGEST = (
    0.6  # region by the picture's shorter side: larger people are confirmed, and hands close to the camera are not
)
WEIGHTS = Weights(0.74, 0.53, 0.24, -0.81)
"""Fitted as the text above says. That the landmark network's score says nothing more was tried."""
_MOST_LOOKS = 4
_LEAST, _MOST = 0.05, 0.98  # scores are not told apart beyond these
_KEPT = 0.0  # logit from which a body is kept: it is rather somebody's than nobody's
_NEAREST = 0.1  # m: what is nearer has no size
# Looks with two bodies of at least this score in the place of one person that show that they are two. In none of the
# pictures above do three looks say so of anybody; in front of a crowd three do, wrongly, so more are asked for.
_TWO_LOOKS, _TWO_SCORE = 5, 0.4
_BELIEVED, _PER_GAP = 0.2, 2.0  # score of a body that is believed of somebody confirmed, and what distance costs


def unconfirmed(
    looks: Sequence[Look], confirmed: Iterable[BodyLandmarks], size: tuple[int, int], room: int
) -> list[SingleShotBody]:
    """Return the people whom the landmark network did not confirm, each once, surest first.

    Args:
        looks: all that was seen in a picture and in its parts, faint hints included.
        confirmed: those whom it confirmed; they are not returned again.
        size: (width, height) px of the picture.
        room: max number of people.

    Returns:
        Their bodies, with the probability that they are people as their scores.
    """
    kept = select(candidates(looks, confirmed, size), room)
    return [replace(one.body, score=1 / (1 + exp(-one.logit()))) for one in kept]


@dataclass(frozen=True)
class Candidate:
    """A place where somebody may be whom the landmark network did not confirm.

    Attributes:
        best: the body with the best score, and where its head and hips are.
        evidence: the logits of the best scores in the whole picture and in its parts, and the number of looks in which
            a pose agrees.
    """

    best: Proposal
    evidence: tuple[float, float, float]

    @property
    def body(self) -> SingleShotBody:
        assert self.best.body is not None
        return self.best.body

    def logit(self, weights: Weights = WEIGHTS) -> float:
        """Return the logit of the probability that this is a person."""
        return sum(weight * value for weight, value in zip(weights, (*self.evidence, 1.0), strict=True))


def candidates(looks: Sequence[Look], confirmed: Iterable[BodyLandmarks], size: tuple[int, int]) -> list[Candidate]:
    """Return where people may be whom the landmark network did not confirm; arguments as for `unconfirmed`."""
    known = list(confirmed)
    poses = [[one.pose for one in look.proposals if one.pose is not None] for look in looks]
    found = []
    for group in _grouped(looks):
        (best, _), trunk = group[0], group[0][0].trunk
        if best.size > _LARGEST * min(size):
            continue
        if trunk is not None and not any(_is_known(trunk, best.size, marks) for marks in known):
            found.append(Candidate(best, _evidence(group, trunk, poses)))
    return found


def select(found: Iterable[Candidate], room: int, weights: Weights = WEIGHTS, least: float = _KEPT) -> list[Candidate]:
    """Return those who are people, each once, surest first: at most ``room``, of at least the logit ``least``."""
    kept: list[Candidate] = []
    for one in sorted(found, key=lambda one: -one.logit(weights)):
        if one.logit(weights) < least or len(kept) == room:
            break
        if all(_apart(one.best, other.best) >= _TWICE for other in kept):
            kept.append(one)
    return kept


def body_of(landmarks: BodyLandmarks, looks: Iterable[Look]) -> SingleShotBody | None:
    """Return the body that the single-shot network sees where landmarks are; None if it sees none there."""
    best: tuple[float, SingleShotBody] | None = None
    for look in looks:
        for one, body, trunk in _bodies(look, _BELIEVED):
            gap = trunk_distance(landmarks, trunk)
            worth = one.score - _PER_GAP * gap
            if gap < _KNOWN and (best is None or worth > best[0]):
                best = worth, body
    return None if best is None else best[1]


def two_in_one(landmarks: BodyLandmarks, looks: Iterable[Look]) -> tuple[SingleShotBody, ...]:
    """Return the two bodies whom the landmark network took for one person, from the look that sees both best; or ()."""
    found = [pair for pair in pairs(landmarks, looks) if pair[1].score >= _TWO_SCORE]
    return max(found, key=lambda pair: pair[1].score) if len(found) >= _TWO_LOOKS else ()


def pairs(landmarks: BodyLandmarks, looks: Iterable[Look]) -> list[tuple[SingleShotBody, SingleShotBody]]:
    """Return, of each look that shows several bodies where landmarks are, the best two, the better one first."""
    found = []
    for look in looks:
        there = [body for one, body, trunk in _bodies(look) if _is_known(trunk, one.size, landmarks)]
        if len(there) > 1:
            first, second, *_ = sorted(there, key=lambda body: -body.score)
            found.append((first, second))
    return found


def _bodies(look: Look, least: float = -inf) -> Iterator[tuple[Proposal, SingleShotBody, TrunkDetection]]:
    """Iterate over what of a look has a body with a size, and at least this score: with the body, its head and hips."""
    for one in look.proposals:
        if one.body is not None and one.trunk is not None and one.score >= least and one.body.root[2] >= _NEAREST:
            yield one, one.body, one.trunk


def _grouped(looks: Sequence[Look]) -> list[list[tuple[Proposal, bool]]]:
    """Return the bodies by person, best score first, each with whether it was seen in the whole picture."""
    seen = [(one, look.window is None) for look in looks for one, *_ in _bodies(look)]
    groups: list[list[tuple[Proposal, bool]]] = []
    for one, whole in sorted(seen, key=lambda pair: -pair[0].score):
        for group in groups:
            if _apart(group[0][0], one) < _SAME:
                group.append((one, whole))
                break
        else:
            groups.append([(one, whole)])
    return groups


def _evidence(
    group: Sequence[tuple[Proposal, bool]], trunk: TrunkDetection, poses: Sequence[Sequence[PoseDetection]]
) -> tuple[float, float, float]:
    """Return what speaks for it that bodies of one place are a person's, see `Candidate`."""
    size = group[0][0].size
    agreeing = sum(any(max(pose_trunk_distances(pose, trunk, size)) < _AGREES for pose in look) for look in poses)
    whole, parts = (_score_logit(one.score for one, seen in group if seen is place) for place in (True, False))
    return whole, parts, float(min(agreeing, _MOST_LOOKS))


def _score_logit(scores: Iterable[float]) -> float:
    best = min(max((*scores, _LEAST)), _MOST)
    return log(best / (1 - best))


def _apart(one: Proposal, other: Proposal) -> float:
    """Return the larger of the distances of heads and of hips, as a fraction of the smaller region's side."""
    assert one.trunk is not None
    assert other.trunk is not None
    head, hips = one.trunk.head - other.trunk.head, one.trunk.hips - other.trunk.hips
    return float(max(np.linalg.norm(head), np.linalg.norm(hips))) / max(min(one.size, other.size), 1.0)


def _is_known(trunk: TrunkDetection, size: float, landmarks: BodyLandmarks) -> bool:
    return _place_gap(trunk, size, landmarks) < _KNOWN


def _place_gap(trunk: TrunkDetection, size: float, landmarks: BodyLandmarks) -> float:
    """Return the mean distance of heads and of hips, as a fraction of the smaller region's side."""
    smaller = max(min(size, landmarks.region.size), 1.0)
    return sum(trunk_distances(landmarks, trunk)) / 2 * landmarks.region.size / smaller


def splits(
    confirmed: Mapping[int, BodyLandmarks], looks: Sequence[Look]
) -> dict[int, tuple[SingleShotBody, SingleShotBody]]:
    """Return the two bodies of everyone whom the landmark network confirmed as one person (`two_in_one`), surest first.

    Two confirmed people who stand close stay as they are: the bodies of a look are shared out among all of them before
    anybody counts as two. No body is given twice, of several looks neither.

    Args:
        confirmed: everybody whom the landmark network confirmed, by identity.
        looks: all that was seen in the picture and in its parts.
    """
    own: dict[int, list[Look]] = {identity: [] for identity in confirmed}
    for look in looks:
        shares = _shared_out(look, list(confirmed.values()))
        for identity, share in zip(confirmed, shares, strict=True):
            own[identity].append(Look(look.window, share))
    found = []
    for identity, landmarks in confirmed.items():
        if two := two_in_one(landmarks, own[identity]):
            first, second = two
            found.append((identity, first, second))
    kept: dict[int, tuple[SingleShotBody, SingleShotBody]] = {}
    for identity, first, second in sorted(found, key=lambda one: -one[2].score):
        # Looks see a body at slightly different places: it is one that is taken if the other of the two is farther off.
        same = _joint_gap(first, second) / 2
        taken = [body for two in kept.values() for body in two]
        if all(_joint_gap(body, other) >= same for body in (first, second) for other in taken):
            kept[identity] = first, second
    return kept


def _shared_out(look: Look, people: Sequence[BodyLandmarks]) -> list[list[Proposal]]:
    """Return the sure bodies of a look by person: one for each as far as they go, the others are the nearest's."""
    bodies: list[Proposal] = []
    gaps: list[list[float]] = []
    for one, _, trunk in _bodies(look, _TWO_SCORE):
        apart = [_place_gap(trunk, one.size, landmarks) for landmarks in people]
        bodies.append(one)
        gaps.append([gap if gap < _KNOWN else inf for gap in apart])
    shares: list[list[Proposal]] = [[] for _ in people]
    alone = float(len(people))  # dearer than any gaps together: as many people as possible get a body
    for one, row, owner in zip(bodies, gaps, assign(gaps, alone), strict=True):
        nearest = min(range(len(people)), key=row.__getitem__, default=None) if owner is None else owner
        if nearest is not None and row[nearest] < inf:
            shares[nearest].append(one)
    return shares


def _joint_gap(body: SingleShotBody, other: SingleShotBody) -> float:
    """Return the mean distance of the joints of two bodies, px."""
    return float(np.linalg.norm(body.pixels - other.pixels, axis=1).mean())
