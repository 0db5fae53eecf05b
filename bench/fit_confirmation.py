"""Constants of `humanrt.people.confirmation` and `humanrt.people.proposals` that depend on `multihmr-anny`.

    python bench/fit_confirmation.py --motions ../shared/mocap/cmu_asfamc.tar.xz --out results

Anew whenever `multihmr-anny` is exchanged (``--bundle`` takes one that does not ship yet): its scores mean something
else then. On the pictures and rooms of `fit_unconfirmed.py`, of which nothing is reported elsewhere. Each is searched
as a photograph, as `holistic` with ``best`` does, and all that could be decided about each proposal of `multihmr-anny`
is kept in DIR, however faint: the landmark network's scores and landmarks, and MoveNet's opinion in all close looks.
Any constants can be tried on that without the networks.

`TrunkWeights` maximise the likelihood that a proposal's landmarks are a true person's (`fit_unconfirmed`'s measure),
with a weak ridge. The other two constants, the score from which people are proposed and the first look below which
closer ones are not worth it, are those of a grid that confirm the most wanted people with the highest precision that
the present constants, or the grid, reach, and no more finds in rooms. Prints, of the constants before and now:

- **confirmed**, **precision**: of the wanted people, and of the finds, by confirmed people alone;
- **recall**, **precision**: the same with unconfirmed people, whose `Weights` are fitted to what is left (held out);
- **rooms**: finds in all rooms;
- **looks**: proposals that the landmark network looked at, a picture.

Last table: wanted people by what became of them, and where those are lost who are not found.
"""

from __future__ import annotations

import argparse
import hashlib
import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fit_unconfirmed import Picture as Judged
from fit_unconfirmed import counts, fit, held_out, limbs_of, logistic, near_truth, rendered, rooms, seen
from humanrt.backends import Backend
from humanrt.bundle import Bundle, load_bundle
from humanrt.bundle.manifest import MANIFEST
from humanrt.files import write_atomically
from humanrt.geometry.limbs import LIMBS
from humanrt.geometry.region import Region
from humanrt.geometry.skeleton import MEDIAPIPE_33
from humanrt.inference.execution import Execution
from humanrt.kernels.image import Picture
from humanrt.metrics.matching import optimal
from humanrt.people import body_tracker, proposals
from humanrt.people.body_tracker import BodyTracker, BodyTrackerOptions
from humanrt.people.confirmation import TRUNK_WEIGHTS, TrunkWeights, accepted, confidence, trunk_evidence
from humanrt.people.landmarks import BodyLandmarks, BodyNetwork
from humanrt.people.proposals import Look, MultiHmrProposals, Proposal
from humanrt.people.unconfirmed import WEIGHTS, Weights, select

__all__ = ["Constants", "Evidence", "Shot", "confirmed", "present"]

Array = NDArray[Any]

_FAINT = 0.25  # score from which proposals are looked at here
_LEAST = (0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6)
_MIN_LOOKS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
_MARKS = [MEDIAPIPE_33.index(name) for name in LIMBS]


@dataclass(frozen=True)
class Constants:
    """Those that are fitted.

    Attributes:
        weights: of `humanrt.people.confirmation.trunk_confidence`.
        least: score from which people are proposed.
        min_look: see `humanrt.people.confirmation.accepted`.
    """

    weights: TrunkWeights
    least: float
    min_look: float


def present() -> Constants:
    """Return the constants of the code as it is."""
    return Constants(TRUNK_WEIGHTS, proposals.BODY_THRESHOLD, body_tracker.MIN_LOOK_OF_TRUNKS)


@dataclass(frozen=True)
class Evidence:
    """All that could be decided about a proposal of the single-shot network.

    Attributes:
        proposal: the proposal.
        landmarks: the person's, settled, if they are accepted; None: the landmark network sees nobody.
        evidence: [5], what `TrunkWeights` weigh.
        close: confidence in each close look, without the first look.
    """

    proposal: Proposal
    landmarks: BodyLandmarks | None = None
    evidence: tuple[float, ...] = ()
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
        self.evidence.append(Evidence(region, settled, trunk_evidence(marks, scores, region.trunk), close))
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
        first = sum(a * b for a, b in zip(constants.weights, one.evidence, strict=True))
        zooms = range(len(one.close))
        if accepted(first, lambda zoom, own=one: own.close[int(zoom)], zooms, constants.min_look):  # type: ignore[misc]
            marks.append(one.landmarks)
    return marks, looked


def judged(shot: Shot, constants: Constants, tracker: BodyTracker) -> tuple[Judged, int]:
    """Return a picture for `fit_unconfirmed` in which these constants confirm people, and their looks."""
    marks, looked = confirmed(shot, constants, tracker)
    return seen(marks, shot.looks, shot.size, shot.truth, shot.wanted, tracker.max_people), looked


def fitted_weights(shots: Sequence[Shot]) -> TrunkWeights:
    """Return the weights of the greatest posterior that a proposal's landmarks are a true person's."""
    rows, truth = [], []
    for shot in shots:
        for one in shot.evidence:
            if one.landmarks is not None:
                rows.append(one.evidence)
                truth.append(bool(near_truth(_points(one.landmarks), shot.truth)[1][0]))
    return TrunkWeights(*(round(value, 2) for value in logistic(np.array(rows), np.array(truth, float))))


def _points(landmarks: BodyLandmarks) -> Array:
    return landmarks.landmarks_2d[_MARKS].astype(np.float64)[None]


def alone(pictures: Sequence[Judged]) -> tuple[float, float, int]:
    """Return recall and precision by confirmed people alone, and the finds in rooms."""
    return counts(pictures, [WEIGHTS] * len(pictures), np.inf)


def chosen(shots: Sequence[Shot], weights: TrunkWeights, tracker: BodyTracker) -> Constants:
    """Return the constants of the grid that confirm the most wanted people, see the module's text."""
    tried = []
    before = alone([judged(shot, present(), tracker)[0] for shot in shots])
    for least, min_look in product(_LEAST, _MIN_LOOKS):
        constants = Constants(weights, least, min_look)
        tried.append((constants, alone([judged(shot, constants, tracker)[0] for shot in shots])))
    best = min(before[1], max(precision for _, (_, precision, _) in tried))
    fewest = max(before[2], min(nobody for *_, (_, _, nobody) in tried))
    right = [one for one in tried if one[1][1] >= best - 1e-9 and one[1][2] <= fewest]
    # Of equals the one that looks at the fewest proposals.
    return max(right or tried, key=lambda one: (one[1][0], one[0].least, one[0].min_look))[0]


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
    version = hashlib.sha256((bundle.path / MANIFEST).read_bytes()).hexdigest()[:12]
    kept = arguments.out / f"evidence-{version}"
    kept.mkdir(parents=True, exist_ok=True)
    with Recorder(bundle.path, arguments.threads) as recorder:
        shots = list(gathered(recorder, arguments, kept))
        constants = chosen(shots, fitted_weights(shots), recorder)
        values = ", ".join(f"{value:g}" for value in constants.weights)
        print(f"confirmation.TRUNK_WEIGHTS = TrunkWeights({values})")
        print(f"proposals.BODY_THRESHOLD = {constants.least}")
        print(f"body_tracker.MIN_LOOK_OF_TRUNKS = {constants.min_look}")
        rows = []
        for name, one in (("before", present()), ("now", constants)):
            looked = [judged(shot, one, recorder) for shot in shots]
            pictures = [picture for picture, _ in looked]
            weights = Weights(*(round(value, 2) for value in fit(pictures)))
            sure, right, _ = alone(pictures)
            recall, precision, nobody = counts(pictures, held_out(pictures), 0.0)
            looks = np.mean([number for _, number in looked])
            rows.append(
                f"| {name} | {sure:.3f} | {right:.3f} | {recall:.3f} | {precision:.3f} | {nobody} | {looks:.1f} |"
            )
        print(f"unconfirmed.WEIGHTS = Weights({', '.join(f'{value:g}' for value in weights)})\n")
        print("| | confirmed | precision | recall | precision | rooms | looks |\n" + "| --- " * 7 + "|")
        print("\n".join(rows))
        print("\n| wanted people | |\n| --- | --- |")
        for fate, count in fates(shots, pictures, constants, weights).most_common():
            print(f"| {fate} | {count} |")


if __name__ == "__main__":
    main()
