"""Overlay of people: heads, skeletons and labels. Images are RGB uint8 [H, W, 3] and are drawn into."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.drawing.colours import colour_of
from humanrt.drawing.draw import INK, PAPER, draw_label, unit
from humanrt.geometry.camera import project
from humanrt.geometry.hand import FINGERS
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt.people.results import Forecast, People

__all__ = ["bones", "draw_ghosts", "draw_labels", "draw_skeletons"]

Image = NDArray[np.uint8]

_CHAINS = (
    ("pelvis", "spine1", "spine2", "spine3", "neck", "head"),
    *(
        tuple(f"{side}_{part}" if part != start else part for part in (start, *limb))
        for side in ("left", "right")
        for start, limb in (
            ("pelvis", ("hip", "knee", "ankle", "foot")),
            ("spine3", ("collar", "shoulder", "elbow", "wrist")),
        )
    ),
    *(
        (f"{side}_wrist", *(f"{side}_{finger}{i}" for i in (1, 2, 3)), f"{side}_{finger}_tip")
        for side in ("left", "right")
        for finger in FINGERS
    ),
)
"""Chains of joints that a skeleton connects, by their SMPL-X names."""


def bones(joint_names: Sequence[str]) -> list[tuple[int, int]]:
    """Return the pairs of joints to connect by a line; empty for a body whose joints have other names."""
    index_of = {name: index for index, name in enumerate(joint_names)}
    return [
        (index_of[a], index_of[b]) for chain in _CHAINS for a, b in pairwise(chain) if a in index_of and b in index_of
    ]


_BODY = bones(SMPLX_BODY)


def draw_skeletons(image: Image, people: People, ids: Sequence[int], lines: Sequence[tuple[int, int]]) -> None:
    """Draw joints and the lines between them, nearest person last. Joints behind the camera are left out."""
    if people.joints is None or people.joints_2d is None:
        return
    u = unit(image)
    limit = 4.0 * max(image.shape)  # far outside; OpenCV overflows beyond 16 bits
    for person in np.argsort(-people.translations[:, 2]):
        pixels = people.joints_2d[person]
        seen = (people.joints[person][:, 2] > 0) & np.isfinite(pixels).all(axis=1) & (abs(pixels) < limit).all(axis=1)
        at = [(int(x), int(y)) for x, y in np.round(np.where(seen[:, None], pixels, 0) * 8)]  # in 1/8 px
        colour = colour_of(ids[person])
        for rim in (True, False):
            grow = max(1, round(u)) if rim else 0
            for a, b in lines:
                if seen[a] and seen[b]:
                    thick = max(1, round(1.5 * u)) + 2 * grow
                    cv2.line(image, at[a], at[b], INK if rim else colour, thick, cv2.LINE_AA, 3)
            for joint in np.flatnonzero(seen):
                radius = round((max(1.0, 1.1 * u) + grow) * 8)
                cv2.circle(image, at[joint], radius, INK if rim else colour, cv2.FILLED, cv2.LINE_AA, 3)


def draw_ghosts(image: Image, forecasts: Sequence[Forecast], intrinsics: NDArray[np.float64]) -> None:
    """Draw what people may do next: thin skeletons that fade with time, the samples' last poses and two before."""
    u = unit(image)
    limit = 4.0 * max(image.shape)
    for forecast in forecasts:
        count = len(forecast.seconds)
        shown = sorted({max(0, round(count * share) - 1) for share in (1 / 3, 2 / 3, 1)}, reverse=True)
        for time in shown:
            layer = image.copy()
            for joints in forecast.joints[:, time].astype(np.float64):
                if joints[:, 2].min() <= 0.1:  # behind the camera
                    continue
                pixels = project(joints, intrinsics)
                if np.abs(pixels).max() > limit:
                    continue
                at = [(int(x), int(y)) for x, y in np.round(pixels * 8)]
                for a, b in _BODY:
                    cv2.line(layer, at[a], at[b], colour_of(forecast.id), max(1, round(1.2 * u)), cv2.LINE_AA, 3)
            faded = 0.75 - 0.4 * (time + 1) / count
            cv2.addWeighted(layer, faded, image, 1 - faded, 0.0, dst=image)


def draw_labels(image: Image, people: People, ids: Sequence[int], filled: Collection[int] = ()) -> None:
    """Draw a label at each detected head: identity, score and distance; ``filled``: identities that were not seen.

    The scores of people who are not confirmed end in a question mark.
    """
    u = unit(image)
    height, width = image.shape[:2]
    for person, identity in enumerate(ids):
        x, y = people.locations[person].tolist()
        if not (-width < x < 2 * width and -height < y < 2 * height):
            continue
        centre = (round(x * 8), round(y * 8))
        for colour, radius in ((INK, 4.5 * u), (PAPER, 3.5 * u), (colour_of(identity), 2.5 * u)):
            cv2.circle(image, centre, round(radius * 8), colour, cv2.FILLED, cv2.LINE_AA, 3)
        unsure = "?" if people.unconfirmed is not None and people.unconfirmed[person] else ""
        score = "not seen" if identity in filled else f"{people.scores[person]:.2f}{unsure}"
        words = f"#{identity}  {score}  {people.translations[person][2]:.1f} m"
        draw_label(image, words, (x + 8 * u, y - 8 * u))
