"""Constants of `humanrt.people.confirmation` and `humanrt.people.proposals` that depend on `multihmr-anny`.

    python bench/fit_confirmation.py --motions ../shared/mocap/cmu_asfamc.tar.xz --out results

Anew whenever `multihmr-anny` is exchanged (``--bundle`` takes one that does not ship yet): its scores mean something
else then. On the pictures and rooms of `fit_unconfirmed.py`, of which nothing is reported elsewhere. Each is searched
as a photograph, as `holistic` with ``best`` does, and all that could be decided about each proposal of `multihmr-anny`
is kept in DIR, however faint: the landmark network's scores and landmarks, and MoveNet's opinion in all close looks.
Any constants can be tried on that without the networks.

The constants are those of a grid that confirm the most wanted people whom MoveNet's proposals do not lead to, if at
least 0.95 of those confirmed besides are people, and none of them are in rooms; of equals those that ask the least of
close looks. Prints them, and for MoveNet's proposals alone, for the constants before and for these:

- **confirmed**, **precision**: of the wanted people, and of the finds, by confirmed people alone;
- **recall**, **precision**: the same with unconfirmed people, whose `Weights` are fitted to what is left (held out);
- **rooms**: finds in all rooms;
- **looks**: proposals that the landmark network looked at, a picture.

Then how well it is known whose landmarks are a person's, by the second-best close look alone, and with what the
single-shot network sees: log loss, held out.

Last table: wanted people by what became of them, and where those are lost who are not found.
"""

from __future__ import annotations

import argparse
import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import inf
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fit_unconfirmed import Picture as Judged
from fit_unconfirmed import counts, fit, held_out, limbs_of, logistic, near_truth, rendered, rooms, seen
from humanrt.backends import Backend
from humanrt.bundle import Bundle, load_bundle, loaded_bundles
from humanrt.files import write_atomically
from humanrt.geometry.limbs import LIMBS
from humanrt.geometry.region import Region
from humanrt.geometry.skeleton import MEDIAPIPE_33
from humanrt.inference.execution import Execution
from humanrt.kernels.image import Picture
from humanrt.metrics.matching import optimal
from humanrt.people import body_tracker, confirmation, proposals
from humanrt.people.body_tracker import BodyTracker, BodyTrackerOptions
from humanrt.people.confirmation import accepted, confidence, needed_of_body, trunk_distances
from humanrt.people.landmarks import BodyLandmarks, BodyNetwork
from humanrt.people.proposals import Look, MultiHmrProposals, Proposal
from humanrt.people.unconfirmed import WEIGHTS, Weights, select
from kept import version_of

__all__ = ["Constants", "Evidence", "Shot", "chosen", "confirmed", "fates", "judged", "known", "present"]

Array = NDArray[Any]

_FAINT = 0.25  # score from which proposals are looked at here
_LEAST = (0.35, 0.4, 0.45, 0.5)  # from 0.25 on three times as many are looked at, and nobody more is confirmed
_NEEDED = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
_PRECISION = 0.95  # of people who are confirmed besides
_UNKNOWN = -6.0  # confidence of a close look that shows nobody
_FOLDS = 5
_MARKS = [MEDIAPIPE_33.index(name) for name in LIMBS]


@dataclass(frozen=True)
class Constants:
    """Those that are fitted.

    Attributes:
        least: score from which people are proposed.
        needed: see `humanrt.people.confirmation.NEEDED_OF_BODIES`.
    """

    least: float
    needed: float


def present() -> Constants:
    """Return the constants of the code as it is."""
    return Constants(proposals.BODY_THRESHOLD, confirmation.NEEDED_OF_BODIES)


NOBODY = Constants(inf, inf)
"""Nobody is proposed."""


@dataclass(frozen=True)
class Evidence:
    """All that could be decided about a proposal of the single-shot network.

    Attributes:
        proposal: the proposal.
        landmarks: the person's, settled, if they are accepted; None: the landmark network sees nobody.
        evidence: what else is known: the mean logit of the landmark network's scores, the proposal's score, and the
            distances of hips and of heads, in regions.
        close: confidence in each close look.
    """

    proposal: Proposal
    landmarks: BodyLandmarks | None = None
    evidence: tuple[float, ...] = (0.0,) * 4
    close: tuple[float, ...] = ()


@dataclass(frozen=True)
class Shot:
    """What was seen in one picture, and who is in it.

    Attributes:
        size: (width, height) px.
        sure: landmarks of those whom MoveNet's proposals lead to.
        evidence: about the single-shot network's proposals, best first.
        looks: as `BodyTracker.looks`.
        truth: [N, 12, 2] px of the true people; none in a room.
        wanted: [N] bool.
    """

    size: tuple[int, int]
    sure: Sequence[BodyLandmarks]
    evidence: Sequence[Evidence]
    looks: Sequence[Look]
    truth: Array
    wanted: Array


class _Faint(MultiHmrProposals):
    """Proposals however faint, of any bundle."""

    def __init__(self, bundle: Bundle, backend: Backend, network: str | Path) -> None:
        self.network_bundle = network
        super().__init__(bundle, backend)

    def threshold(self, grey: bool) -> float:
        return _FAINT


class Recorder(BodyTracker):
    """Find people by MoveNet's proposals, and keep what could be decided about those of the single-shot network."""

    SPARE_DETECTIONS = 1000

    def __init__(self, network: str | Path, threads: int) -> None:
        execution = Execution(threads=threads)
        heavy = BodyNetwork(load_bundle("holistic", task="people"), execution.open())
        super().__init__("landmarks", execution, BodyTrackerOptions(proposals=("multipose",)), network=heavy)
        self._sources.append(self.own(_Faint(self.bundle, self.backend, network)))
        self.evidence: list[Evidence] = []

    def shot(self, image: Array, truth: Array, wanted: Array) -> Shot:
        """Return what is seen in a picture in which true people [N, 12, 2] px are."""
        self.reset()
        self.photograph()
        self.evidence = []
        marks = [body.landmarks for body in self(image, 0.0)]
        return Shot((image.shape[1], image.shape[0]), marks, self.evidence, self.looks, truth, wanted)

    def _worth_examining(self, region: Region, observations: Sequence[BodyLandmarks], room: int) -> bool:
        return _is_trunk(region) or super()._worth_examining(region, observations, room)

    def _examine(self, rgb: Picture, region: Region) -> BodyLandmarks | None:
        if not isinstance(region, Proposal) or region.trunk is None:
            return super()._examine(rgb, region)
        assert self._second is not None
        first, marks, inside = self._looked_at(rgb, region)
        if not inside:
            self.evidence.append(Evidence(region))
            return None
        scores = (first.score, marks.score)
        squares = [replace(marks.region, size=zoom * marks.region.size) for zoom in body_tracker.ZOOMS_OF_TRUNKS]
        close = tuple(confidence(marks, scores, self._second(rgb, square)) for square in squares)
        settled = self._settled(rgb, first.region, marks)
        logit = float(np.mean([np.log(score / (1 - score)) for score in np.clip(scores, 0.002, 0.998)]))
        evidence = (logit, region.score, *trunk_distances(marks, region.trunk))
        self.evidence.append(Evidence(region, settled, evidence, close))
        return None


def _is_trunk(region: Region) -> bool:
    return isinstance(region, Proposal) and region.trunk is not None


def confirmed(shot: Shot, constants: Constants, tracker: BodyTracker) -> tuple[list[BodyLandmarks], int]:
    """Return the people whom the landmark network confirms, and the proposals that it had to look at."""
    marks, looked = list(shot.sure), 0
    for one in shot.evidence:
        if one.proposal.score < constants.least or len(marks) >= tracker.max_people:
            continue
        if any(tracker._contains(one.proposal, other) for other in marks):
            continue
        looked += 1
        if one.landmarks is None or any(tracker._same_object(one.landmarks, other) for other in marks):
            continue
        needed = needed_of_body(one.proposal.score, max(one.evidence[2:]), constants.needed)
        zooms = range(len(one.close))
        if accepted(-inf, lambda zoom, own=one: own.close[int(zoom)], zooms, needed):  # type: ignore[misc]
            marks.append(one.landmarks)
    return marks, looked


def judged(shot: Shot, constants: Constants, tracker: BodyTracker) -> tuple[Judged, int]:
    """Return a picture for `fit_unconfirmed` in which these constants confirm people, and their looks."""
    marks, looked = confirmed(shot, constants, tracker)
    return seen(marks, shot.looks, shot.size, shot.truth, shot.wanted, tracker.max_people), looked


def known(shots: Sequence[Shot]) -> tuple[float, float]:
    """Return the log loss of whose landmarks are a person's, held out: by close looks alone, and by all evidence."""
    rows, truth, fold = [], [], []
    for index, shot in enumerate(shots):
        for one in shot.evidence:
            if one.landmarks is not None:
                second = max(sorted(one.close)[-2], _UNKNOWN)
                rows.append((1.0, second, *one.evidence[:4]))
                truth.append(bool(near_truth(_points(one.landmarks), shot.truth)[1][0]))
                fold.append(index % _FOLDS)
    x, y, folds = np.array(rows), np.array(truth, float), np.array(fold)
    losses = []
    for columns in (2, x.shape[1]):
        logit = np.zeros(len(y))
        for left_out in range(_FOLDS):
            weights = logistic(x[folds != left_out, :columns], y[folds != left_out])
            logit[folds == left_out] = x[folds == left_out, :columns] @ weights
        losses.append(float(np.mean(np.logaddexp(0.0, np.where(y > 0, -logit, logit)))))
    return losses[0], losses[1]


def _points(landmarks: BodyLandmarks) -> Array:
    return landmarks.landmarks_2d[_MARKS].astype(np.float64)[None]


def alone(shots: Sequence[Shot], constants: Constants, tracker: BodyTracker) -> tuple[int, int, int]:
    """Return the wanted people who are confirmed, the finds of nobody, and the finds in rooms."""
    found = wrong = nobody = 0
    for shot in shots:
        marks, _ = confirmed(shot, constants, tracker)
        finds = np.concatenate([np.zeros((0, len(LIMBS), 2)), *(_points(one) for one in marks)])
        if not len(shot.truth):
            nobody += len(finds)
            continue
        pairs = optimal(finds, shot.truth, shot.wanted)
        found += sum(bool(shot.wanted[person]) for _, person in pairs)
        wrong += len(finds) - len(pairs)
    return found, wrong, nobody


def chosen(shots: Sequence[Shot], tracker: BodyTracker) -> Constants:
    """Return the constants of the grid that confirm the most wanted people, see the module's text."""
    found, wrong, nobody = alone(shots, NOBODY, tracker)
    best, most = NOBODY, found
    # Of equals the one that asks the least of close looks: it looks at few proposals, the best ones.
    for needed, least in product(_NEEDED, _LEAST):
        constants = Constants(least, needed)
        more, mistaken, in_rooms = alone(shots, constants, tracker)
        right = (more - found) >= _PRECISION * (more - found + mistaken - wrong)
        if in_rooms <= nobody and right and more > most:
            best, most = constants, more
    return best


def fates(shots: Sequence[Shot], pictures: Sequence[Judged], constants: Constants, weights: Weights) -> Counter[str]:
    """Return how many wanted people were found, and at which stage the others were lost."""
    result: Counter[str] = Counter()
    for shot, picture in zip(shots, pictures, strict=True):
        if not len(shot.truth):
            continue
        kept = select(picture.candidates, picture.room, weights)
        coarse = [k for k, one in enumerate(picture.candidates) if any(one is other for other in kept)]
        finds = np.concatenate([picture.found, picture.limbs[coarse]])
        whose = {person: row for row, person in optimal(finds, shot.truth, shot.wanted)}
        for person in np.flatnonzero(shot.wanted).tolist():
            own = shot.truth[[person]]
            if person in whose:
                result["confirmed" if whose[person] < len(picture.found) else "unconfirmed"] += 1
                continue
            seen_here = [one for one in shot.evidence if near_truth(_limbs(one.proposal), own)[1][0]]
            right = [
                one
                for one in shot.evidence
                if one.landmarks is not None and near_truth(_points(one.landmarks), own)[1][0]
            ]
            if any(one.proposal.score >= constants.least for one in right):
                result["lost: landmarks right, refused"] += 1
            elif right:
                result["lost: landmarks right, proposed too faintly"] += 1
            elif seen_here:
                result["lost: body right, landmarks wrong"] += 1
            else:
                result["lost: not proposed"] += 1
    return result


def _limbs(proposal: Proposal) -> Array:
    assert proposal.body is not None
    return limbs_of([proposal.body])


def gathered(recorder: Recorder, arguments: argparse.Namespace, kept: Path) -> Iterator[Shot]:
    """Look at all pictures and rooms; what was seen is in the folder ``kept``, from which the next run goes on."""
    nobody = np.zeros((0, len(LIMBS), 2)), np.zeros(0, bool)
    pictures = rendered(arguments.out / "pictures", arguments.motions, arguments.count)
    empty = ((image, *nobody) for image in rooms(arguments.rooms))
    for kind, shown in (("picture", pictures), ("room", empty)):
        for index, (image, truth, wanted) in enumerate(shown):
            path = kept / f"{kind}-{index:04d}.pickle"
            if not path.is_file():
                write_atomically(path, pickle.dumps(recorder.shot(image, truth, wanted)))
            yield pickle.loads(path.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", type=Path, required=True, help="archive of CMU's recordings")
    parser.add_argument("--bundle", default="multihmr-anny", help="the single-shot network (default: %(default)s)")
    parser.add_argument("--count", type=int, default=96, help="number of pictures with people (default: %(default)s)")
    parser.add_argument("--rooms", type=int, default=16, help="number of pictures without (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    bundle = load_bundle(arguments.bundle, task="people")
    with loaded_bundles() as used:
        recorder = Recorder(bundle.path, arguments.threads)
    with recorder:
        kept = arguments.out / f"evidence-{version_of(used)}"
        kept.mkdir(parents=True, exist_ok=True)
        shots = list(gathered(recorder, arguments, kept))
        constants = chosen(shots, recorder)
        print(f"proposals.BODY_THRESHOLD = {constants.least}")
        print(f"confirmation.NEEDED_OF_BODIES = {constants.needed}")
        rows = []
        for name, one in (("MoveNet's proposals", NOBODY), ("before", present()), ("now", constants)):
            looked = [judged(shot, one, recorder) for shot in shots]
            pictures = [picture for picture, _ in looked]
            weights = Weights(*(round(value, 2) for value in fit(pictures)))
            sure, right, _ = counts(pictures, [WEIGHTS] * len(pictures), inf)
            recall, precision, nobody = counts(pictures, held_out(pictures), 0.0)
            looks = np.mean([number for _, number in looked])
            rows.append(
                f"| {name} | {sure:.3f} | {right:.3f} | {recall:.3f} | {precision:.3f} | {nobody} | {looks:.1f} |"
            )
        print(f"unconfirmed.WEIGHTS = Weights({', '.join(f'{value:g}' for value in weights)})\n")
        print("| | confirmed | precision | recall | precision | rooms | looks |\n" + "| --- " * 7 + "|")
        print("\n".join(rows))
        close, everything = known(shots)
        print(f"\nlog loss by close looks {close:.3f}, by all evidence {everything:.3f}")
        print("\n| wanted people | |\n| --- | --- |")
        for fate, count in fates(shots, pictures, constants, weights).most_common():
            print(f"| {fate} | {count} |")


if __name__ == "__main__":
    main()
