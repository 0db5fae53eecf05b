"""What shards and films of ``humanrt-export data`` share: Anny's people, exact to the rounding of the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.evaluation.dataset import BodyParameters, TruePeople
from humanrt.geometry.camera import project
from humanrt.people.metrics import true_bodies

__all__ = ["ABOUT", "PARAMETERS", "rendered_people"]

Array = NDArray[Any]

ABOUT = "rendered people, exact; who is a quarter visible and has the head in the picture must be found"

PARAMETERS = ("rotations", "shape", "translation")
"""Labels from which vertices follow."""

_NEAREST = 0.15  # m; heads nearer than that are in nobody's picture


def rendered_people(
    labels: Mapping[str, Array],
    joint_names: tuple[str, ...],
    K: Array,
    size: tuple[int, int],
    masks: Callable[[int], NDArray[np.bool_]] | None = None,
) -> TruePeople:
    """Return the people of a rendered picture.

    Args:
        labels: ``joints`` [N, J, 3] m and ``visible`` [N]; where there are all of them, `PARAMETERS` too (translation
            of the head).
        joint_names: [J], Anny's.
        K: [3, 3] px.
        size: (width, height) px.
        masks: see `TruePeople`.
    """
    joints, visible = labels["joints"].astype(np.float64), labels["visible"].astype(np.float64)
    head = joint_names.index("head")
    ahead = joints[:, head, 2] > _NEAREST
    flat = project(np.where(joints[..., 2:] > 0.05, joints, (0.0, 0.0, -1.0)), K)
    flat = np.where(joints[..., 2:] > 0.05, flat, -1e6)
    wanted = true_bodies(joints, flat, head, np.where(ahead, visible, 0.0), size).wanted
    assert wanted is not None
    parameters = None
    if labels.keys() >= set(PARAMETERS):
        parameters = BodyParameters(*(labels[name].astype(np.float64) for name in PARAMETERS))
    ids = tuple(range(len(joints)))
    return TruePeople(joints, ids, np.asarray(wanted, bool), visible, parameters=parameters, masks=masks)
