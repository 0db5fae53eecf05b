"""Who is in a rendered picture, for `humanrt.people.metrics`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.people.metrics import Bodies
from humanrt_export.anny.augment import head_place
from humanrt_export.synthetic.people.sample import PeopleLabels

__all__ = ["NEAREST", "truth_of"]

Array = NDArray[Any]

NEAREST = 0.15  # m; heads nearer than this are nobody's


def truth_of(people: PeopleLabels, vertices: Array, size: tuple[int, int], least: float) -> Bodies:
    """Who is in a picture of ``size`` (width, height) px: `wanted` are those with their head in it, and `visible` from
    ``least`` on. Whoever is behind the camera is left out.

    Args:
        people: N people.
        vertices: [N, V, 3] m, theirs.
        size: px.
        least: share of themselves.
    """
    ahead = people.translation[:, 2] > NEAREST
    people, vertices = people.take(ahead), vertices[ahead]
    heads = people.joints_2d[:, head_place(people)]
    seen = np.asarray(((people.joints_2d >= 0) & (people.joints_2d < size)).all(-1))
    inside = ((heads >= 0) & (heads < size)).all(-1)
    shown = np.where(seen[..., None], people.joints_2d, np.nan)
    extents = [
        float(np.nanmax(np.nanmax(x, 0) - np.nanmin(x, 0))) if s.any() else 0 for x, s in zip(shown, seen, strict=True)
    ]
    return Bodies(people.joints, heads, vertices, np.array(extents), inside & (people.visible >= least))
