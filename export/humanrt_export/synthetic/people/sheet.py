"""Contact sheets of samples with their labels drawn over them, for inspection."""

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
    """Draw the outlines and bones of all people over the picture, enlarged ``scale`` times.

    Args:
        sample: the sample.
        parents: parents of the first J joints, -1 for the root; further joints are points at the ends of bones.
        scale: enlargement.
    """
    size = (sample.image.shape[1] * scale, sample.image.shape[0] * scale)
    picture = cv2.resize(sample.image, size, interpolation=cv2.INTER_LINEAR)
    for index, points in enumerate(sample.people.joints_2d):
        colour = _COLOURS[index % len(_COLOURS)]
        own = cv2.resize((sample.mask == index + 1).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
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
    """Arrange pictures of one size in rows."""
    blank = np.zeros_like(pictures[0])
    padded = [*pictures, *[blank] * (-len(pictures) % columns)]
    rows = [np.hstack(padded[start : start + columns]) for start in range(0, len(padded), columns)]
    return np.ascontiguousarray(np.vstack(rows))
