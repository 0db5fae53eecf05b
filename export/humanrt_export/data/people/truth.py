"""Who is in a rendered picture, for `humanrt.people.metrics`."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from humanrt.people.metrics import MIN_VISIBLE, Bodies, true_bodies
from humanrt_export.data.people.augment import head_place
from humanrt_export.synthetic.people.sample import PeopleLabels

__all__ = ["NEAREST", "truth_of"]

Array = NDArray[Any]

NEAREST = 0.15  # m; heads nearer than this are nobody's


def truth_of(people: PeopleLabels, vertices: Array, size: tuple[int, ...], min_visible: float = MIN_VISIBLE) -> Bodies:
    """Who is in a picture of ``size`` (width, height) px; whoever is behind the camera is left out.

    Args:
        people: N people.
        vertices: [N, V, 3] m, theirs.
        size: px.
        least: `visible` of people who must be found.
    """
    ahead = people.translation[:, 2] > NEAREST
    people = people.take(ahead)
    return true_bodies(
        *(people.joints, people.joints_2d, head_place(people), people.visible, size),
        min_visible=min_visible,
        vertices=vertices[ahead],
    )
