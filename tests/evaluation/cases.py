"""Clips whose scores are known: people of Anny's joints who stand before a camera, and what might be found of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from humanrt.evaluation.correspondence import correspond
from humanrt.evaluation.dataset import Clip, Root, Shot, TruePeople
from humanrt.evaluation.scoring import ClipScorer, Predicted, Scores
from humanrt.geometry.anny import ANNY_BONES
from humanrt.metrics.matching import optimal
from humanrt.sources.opening import Frame

__all__ = ["ANNY", "SIZE", "K", "clip_of", "people_at", "scored", "shot_of"]

TIPS = tuple(f"finger{k}-tip.{side}" for side in "LR" for k in range(1, 6))
ANNY = (*ANNY_BONES, *TIPS)
SIZE = (320, 240)
K = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])

_BODY = np.random.default_rng(5).uniform((-0.4, -0.8, -0.2), (0.4, 0.8, 0.2), (len(ANNY), 3))


def people_at(*places: Sequence[float]) -> np.ndarray:
    """Return joints [N, J, 3] m of people whose joint at the middle of the body is at the places."""
    return np.array([_BODY + place for place in places], np.float64).reshape(-1, len(ANNY), 3)


def shot_of(joints: np.ndarray, number: int = 0, *, wanted: Sequence[bool] | None = None, fps: float = 30.0) -> Shot:
    """Return a picture of people, all wanted unless said otherwise, identities 0, 1, ..."""
    count = len(joints)
    everyone = np.ones(count, bool) if wanted is None else np.array(wanted, bool)
    frame = Frame(np.zeros((SIZE[1], SIZE[0], 3), np.uint8), number / fps, number)
    return Shot(frame, TruePeople(joints, tuple(range(count)), everyone, np.ones(count)), K)


def clip_of(shots: Sequence[Shot], *, film: bool = True, names: tuple[str, ...] = ANNY, name: str = "clip") -> Clip:
    def opened() -> Iterator[Shot]:
        yield from shots

    return Clip(name, opened, names, film=film)


def scored(
    shots: Sequence[Shot],
    found: Callable[[int, np.ndarray], np.ndarray],
    *,
    film: bool = True,
    root: Root = "pelvis",
    vertices: bool = False,
) -> Scores:
    """Score what ``found`` makes of the true joints [N, J, 3] of each picture."""
    scorer = ClipScorer(clip_of(shots, film=film), correspond(ANNY, ANNY, root), optimal, 0.1)
    for number, shot in enumerate(shots):
        joints = found(number, shot.people.joints)
        surface = joints[:, ::3] if vertices else None
        predicted = Predicted(tuple(range(len(joints))), joints.astype(np.float32), surface)
        scorer.add(shot, predicted, None, shot.people.joints[:, ::3] if vertices else None)
    return scorer.finish()
