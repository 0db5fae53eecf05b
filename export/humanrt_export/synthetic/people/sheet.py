"""Sheets of samples with their labels drawn over, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt_export.synthetic.people.sample import PeopleSample

__all__ = ["labelled", "sheet"]

Picture = NDArray[np.uint8]

_COLOURS = ((255, 80, 60), (60, 220, 90), (70, 130, 255), (255, 200, 40), (230, 80, 255), (60, 230, 230))


def labelled(sample: PeopleSample, parents: Sequence[int], scale: int = 1) -> Picture:
    """The picture with everybody's outline and bones, ``scale`` times as large.

    Args:
        sample: what to draw.
        parents: of the joints' first J, -1 for the root; further joints are points at the ends of bones.
        scale: of the result.
    """
    size = (sample.image.shape[1] * scale, sample.image.shape[0] * scale)
    picture = cv2.resize(sample.image, size, interpolation=cv2.INTER_LINEAR)
    for place, points in enumerate(sample.people.joints_2d):
        colour = _COLOURS[place % len(_COLOURS)]
        own = cv2.resize((sample.mask == place + 1).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        edges, _ = cv2.findContours(own, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, edges, -1, colour, 1)
        at = (points * scale * 16).astype(int).clip(-200000, 200000)
        for joint, parent in enumerate(parents):
            if parent > 0:
                cv2.line(picture, at[joint].tolist(), at[parent].tolist(), colour, 1, cv2.LINE_AA, 4)
        for joint in at[len(parents) :]:
            cv2.circle(picture, joint.tolist(), 16, colour, -1, cv2.LINE_AA, 4)
    return np.asarray(picture, np.uint8)


def sheet(pictures: Sequence[Picture], columns: int) -> Picture:
    """Pictures of one size in rows."""
    blank = np.zeros_like(pictures[0])
    padded = [*pictures, *[blank] * (-len(pictures) % columns)]
    rows = [np.hstack(padded[start : start + columns]) for start in range(0, len(padded), columns)]
    return np.ascontiguousarray(np.vstack(rows))
