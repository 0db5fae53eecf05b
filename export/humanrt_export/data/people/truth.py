"""Ground truth of rendered pictures, for `humanrt.people.metrics`."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from humanrt.people.metrics import MIN_VISIBLE, Bodies, true_bodies
from humanrt_export.data.people.augment import head_index
from humanrt_export.synthetic.people.sample import PeopleLabels

__all__ = ["NEAREST", "truth_of"]

Array = NDArray[Any]

NEAREST = 0.15  # m; people whose heads are nearer than this are left out


def truth_of(people: PeopleLabels, vertices: Array, size: tuple[int, ...], min_visible: float = MIN_VISIBLE) -> Bodies:
    """Return the people in a picture of ``size`` (width, height) px, without those behind the camera.

    Args:
        people: N people.
        vertices: [N, V, 3] m, their vertices.
        size: (width, height) px.
        min_visible: minimum `visible` of people who must be found.
    """
    ahead = people.translation[:, 2] > NEAREST
    people = people.take(ahead)
    return true_bodies(
        *(people.joints, people.joints_2d, head_index(people), people.visible, size),
        min_visible=min_visible,
        vertices=vertices[ahead],
    )
