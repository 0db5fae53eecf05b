"""The shape of a person of a given stature, from a bundle's example bodies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import BundleError, HumanrtError

__all__ = ["shape_of_stature"]

Floats = NDArray[np.floating[Any]]


def shape_of_stature(stature: float, statures: Floats, shapes: Floats, bundle: object) -> NDArray[np.float64]:
    """Interpolate the phenotypes [S] of a person of this stature, m, between example bodies.

    Args:
        stature: m.
        statures: [B] m, of the examples, from short to tall.
        shapes: [B, S] phenotypes of the examples.
        bundle: the bundle that they come from, for messages.

    Raises:
        BundleError: the examples are not ordered from short to tall.
        HumanrtError: none of them is so short or so tall.
    """
    if not (np.diff(statures) > 0).all():  # NaN included
        raise BundleError(f"{bundle}: `settings.body.sizes` must be ordered from short to tall; export it again")
    if not statures[0] <= stature <= statures[-1]:
        raise HumanrtError(f"stature is {stature:g} m; give {statures[0]:.2f} to {statures[-1]:.2f}")
    return np.array([np.interp(stature, statures, column) for column in shapes.T])
