"""Weights of `humanrt.people.unconfirmed`: fitted to what the networks that ship see in rendered pictures.

    python bench/fit_unconfirmed.py --motions ../shared/mocap/cmu_asfamc.tar.xz --out results

Anew whenever `multihmr-anny` or MoveNet is exchanged: their scores mean something else then. Pictures are of the part
of the recordings that networks are trained on (``humanrt-export data people --part train --seed 77 --size 448``, kept
in DIR/pictures), and rooms without anybody; nothing that is reported elsewhere is looked at. Every picture is a
photograph, searched as `holistic` with ``best`` does.

A candidate (`humanrt.people.unconfirmed.Candidate`) is somebody if the nearest true person's limbs are where its own
are, within 0.4 of that person's extent, and nobody who is confirmed is that person. Weights maximise the likelihood,
with a weak ridge. Prints them, and for the present weights and several logits from which candidates could be kept:

- **recall**, **precision** over all finds, those confirmed included, matched as by ``humanrt evaluate``: **fitted**,
  and **held out**, where the weights for a fifth of the pictures are fitted to the others;
- **rooms**: finds in all the rooms, held out likewise.

Second table: confirmed people in whose place pairs of bodies are seen, by least score of the second one and number of
looks, which `two_in_one` would take for two, and **wrong**: those of them where only one true person is.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import load_bundle
from humanrt.bundle.settings import MultiHmrSettings
from humanrt.evaluation.formats.shards import read_shards
from humanrt.geometry.camera import project
from humanrt.geometry.limbs import ANNY_LIMBS, LIMBS
from humanrt.geometry.skeleton import MEDIAPIPE_33
from humanrt.metrics.matching import MIN_OVERLAP, box_overlap, optimal
from humanrt.people.body_tracker import BodyTracker
from humanrt.people.landmarks import BodyLandmarks
from humanrt.people.proposals import Look
from humanrt.people.single_shot import SingleShotBody
from humanrt.people.unconfirmed import WEIGHTS, Candidate, Weights, candidates, pairs, select, two_in_one
from people_found import trackers

__all__ = [
    "Picture",
    "counts",
    "fit",
    "held_out",
    "limbs_of",
    "logistic",
    "near_truth",
    "rendered",
    "rooms",
    "seen",
    "somebody",
]

Array = NDArray[Any]

_LOGITS = (-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
_SCORES, _LOOKS = (0.3, 0.4, 0.5, 0.6, 0.7), (2, 3, 4)
_NEAR = 0.4  # of a true person's extent in the picture
_RIDGE = 0.3
_FOLDS = 5
_SHARD = 32  # pictures a file
_FIRST_ROOM = 100
_ROOM = (512, 512)
_MARKS = [MEDIAPIPE_33.index(name) for name in LIMBS]


@dataclass
class Picture:
    """What was seen in one picture, and who is in it.

    Attributes:
        found: [P, 12, 2] px, limbs of those who are confirmed, or two in the place of one.
        candidates: who may be there besides, and...
        limbs: ...[C, 12, 2] px of each.
        truth: [N, 12, 2] px of the true people; none in a room.
        wanted: [N] bool.
        room: max number of candidates who are kept.
        pairs: for everybody confirmed, the scores of the second ones of `pairs`, and how many true people are there.
    """

    found: Array
    candidates: Sequence[Candidate]
    limbs: Array
    truth: Array
    wanted: Array
    room: int = 10
    pairs: list[tuple[list[float], int]] = field(default_factory=list)


def somebody(picture: Picture) -> Array:
    """Return which candidates [C] are people who are not confirmed."""
    result = np.zeros(len(picture.candidates), bool)
    if not len(picture.truth) or not len(picture.candidates):
        return result
    taken = {person for _, person in optimal(picture.found, picture.truth, picture.wanted)}
    nearest, near = near_truth(picture.limbs, picture.truth)
    free = np.array([int(person) not in taken for person in nearest])
    return np.asarray(free & near)


def near_truth(limbs: Array, truth: Array) -> tuple[Array, Array]:
    """Return the true person [C] who is nearest to each of limbs [C, 12, 2] px, and whether they are near, [C]."""
    if not len(truth):
        return np.full(len(limbs), -1), np.zeros(len(limbs), bool)
    extent = np.maximum(np.ptp(truth, axis=1).max(axis=1), 10.0)
    apart = np.linalg.norm(limbs[:, None] - truth[None], axis=-1).mean(axis=-1) / extent
    apart[box_overlap(limbs, truth) < MIN_OVERLAP] = np.inf
    return apart.argmin(axis=1), apart.min(axis=1) < _NEAR


def fit(pictures: Sequence[Picture]) -> Weights:
    """Return the weights of the model's greatest posterior."""
    rows = [(*one.evidence, 1.0) for picture in pictures for one in picture.candidates]
    truth = np.concatenate([somebody(picture) for picture in pictures]).astype(np.float64)
    return Weights(*logistic(np.array(rows, np.float64), truth))


def logistic(x: Array, truth: Array) -> list[float]:
    """Return the weights [F] of the greatest posterior of a logistic model with a weak ridge, by Newton's method.

    Args:
        x: [N, F], what is weighed.
        truth: [N], 0 or 1.
    """
    w = np.zeros(x.shape[1])
    for _ in range(40):
        p = 1 / (1 + np.exp(-x @ w))
        curvature = (x * (p * (1 - p))[:, None]).T @ x + _RIDGE * np.eye(len(w))
        w += np.linalg.solve(curvature, x.T @ (truth - p) - _RIDGE * w)
    return [float(value) for value in w]


def held_out(pictures: Sequence[Picture]) -> list[Weights]:
    """Return weights for each picture that are fitted to the other folds."""
    folds = [fit([one for k, one in enumerate(pictures) if k % _FOLDS != fold]) for fold in range(_FOLDS)]
    return [folds[k % _FOLDS] for k in range(len(pictures))]


def counts(pictures: Sequence[Picture], weights: Sequence[Weights], least: float) -> tuple[float, float, int]:
    """Return recall, precision, and the finds in rooms without anybody, given each picture's weights."""
    found = wrong = wanted = nobody = 0
    for picture, own in zip(pictures, weights, strict=True):
        kept = select(picture.candidates, picture.room, own, least)
        chosen = [k for k, one in enumerate(picture.candidates) if any(one is other for other in kept)]
        if not len(picture.truth):
            nobody += len(picture.found) + len(kept)
            continue
        finds = np.concatenate([picture.found, picture.limbs[chosen]])
        matched = optimal(finds, picture.truth, picture.wanted)
        found += sum(bool(picture.wanted[person]) for _, person in matched)
        wrong += len(finds) - len(matched)
        wanted += int(picture.wanted.sum())
    return found / max(wanted, 1), found / max(found + wrong, 1), nobody


@cache
def _limb_joints() -> list[int]:
    names = MultiHmrSettings.of(load_bundle("multihmr-anny", task="people")).joint_names
    return [names.index(name) for name in ANNY_LIMBS]


def limbs_of(bodies: Sequence[SingleShotBody]) -> Array:
    """Return limbs [B, 12, 2] px of bodies."""
    places = _limb_joints()
    return np.array([body.pixels[places] for body in bodies], np.float64).reshape(-1, len(places), 2)


def look(tracker: BodyTracker, image: Array, truth: Array, wanted: Array) -> Picture:
    """Return what is seen in a picture in which true people [N, 12, 2] px are."""
    tracker.reset()
    tracker.photograph()
    marks = [body.landmarks for body in tracker(image, 0.0)]
    return seen(marks, tracker.looks, (image.shape[1], image.shape[0]), truth, wanted, tracker.max_people)


def seen(
    marks: Sequence[BodyLandmarks],
    looks: Sequence[Look],
    size: tuple[int, int],
    truth: Array,
    wanted: Array,
    max_people: int,
) -> Picture:
    """Return what is seen in a picture of (width, height) px in which people are confirmed who have these landmarks."""
    there = candidates(looks, marks, size)
    found, seconds = [], []
    for one in marks:
        two = two_in_one(one, looks)
        own = one.landmarks_2d[_MARKS].astype(np.float64)[None]
        found.append(limbs_of(two) if two else own)
        if scores := [second.score for _, second in pairs(one, looks)]:
            near = len(truth) and np.linalg.norm(own - truth, axis=-1).mean(axis=-1) < _NEAR * one.region.size / 2
            seconds.append((scores, int(np.count_nonzero(near))))
    return Picture(
        np.concatenate([np.zeros((0, len(LIMBS), 2)), *found]),
        there,
        limbs_of([one.body for one in there]),
        truth,
        wanted,
        max(max_people - len(found), 0),
        seconds,
    )


def rendered(folder: Path, motions: Path, count: int) -> Iterator[tuple[Array, Array, Array]]:
    """Yield pictures, limbs [N, 12, 2] px of the people in them, and who of these is wanted; render what is missing."""
    from humanrt_export.commands.data import PeopleConfig, make_people

    if len(list(folder.glob("shard-*.npz"))) * _SHARD < count:
        make_people(
            PeopleConfig(out=folder, count=count, size=448, seed=77, part="train", motions=motions, shard=_SHARD)
        )
    left = count
    for clip in read_shards(folder).clips:
        limbs = [clip.joint_names.index(name) for name in ANNY_LIMBS]
        for shot in clip.shots():
            if left == 0:
                return
            left -= 1
            joints = shot.people.joints[:, limbs].astype(np.float64)
            ahead = (joints[..., 2] > 0.05).all(axis=1)
            yield shot.frame.image, project(joints[ahead], shot.intrinsics), shot.people.wanted[ahead]


def rooms(count: int) -> Iterator[Array]:
    """Yield pictures of rooms without anybody."""
    from humanrt_export.synthetic.hand_scene import room

    for seed in range(_FIRST_ROOM, _FIRST_ROOM + count):
        linear = room(_ROOM, np.random.default_rng(seed), blur=0.002)
        yield np.ascontiguousarray((linear.clip(0, 1) ** (1 / 2.2) * 255).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--motions", type=Path, required=True, help="archive of CMU's recordings")
    parser.add_argument("--count", type=int, default=192, help="number of pictures with people (default: 192)")
    parser.add_argument("--rooms", type=int, default=40, help="number of pictures without (default: 40)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    cv2.setNumThreads(arguments.threads)
    pictures = []
    with trackers(["photograph"], arguments.threads)["photograph"] as tracker:
        for image, truth, wanted in rendered(arguments.out / "pictures", arguments.motions, arguments.count):
            pictures.append(look(tracker, image, truth, wanted))
        nobody = np.zeros((0, len(LIMBS), 2))
        pictures += [look(tracker, image, nobody, np.zeros(0, bool)) for image in rooms(arguments.rooms)]
    weights, others = fit(pictures), held_out(pictures)
    print("Weights(" + ", ".join(f"{value:.2f}" for value in weights) + ")\n")
    print("| logit | recall | precision | held out | precision | rooms |\n" + "| --- " * 6 + "|")
    recall, precision, nobody_there = counts(pictures, [WEIGHTS] * len(pictures), 0.0)
    print(f"| present weights, 0.0 | {recall:.3f} | {precision:.3f} | | | {nobody_there} |")
    rounded = Weights(*(round(value, 2) for value in weights))
    for least in _LOGITS:
        recall, precision, _ = counts(pictures, [rounded] * len(pictures), least)
        out, right, nobody_there = counts(pictures, others, least)
        print(f"| {least} | {recall:.3f} | {precision:.3f} | {out:.3f} | {right:.3f} | {nobody_there} |")
    print("\n| least score | looks | two | wrong |\n" + "| --- " * 4 + "|")
    seen = [one for picture in pictures for one in picture.pairs]
    for score in _SCORES:
        for least_looks in _LOOKS:
            two = [true for scores, true in seen if sum(value >= score for value in scores) >= least_looks]
            print(f"| {score} | {least_looks} | {len(two)} | {sum(true < 2 for true in two)} |")


if __name__ == "__main__":
    main()
