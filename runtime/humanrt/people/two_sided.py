"""A recorded person, smoothed with the past and the future of each frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import check_range
from humanrt.geometry.rotation import Floats
from humanrt.smoothing.two_sided import two_sided_points, two_sided_rotations

__all__ = ["TwoSidedOptions", "smooth_track"]

Array = NDArray[np.float64]

_MIN_DEPTH = 1e-3  # m


@dataclass(frozen=True)
class TwoSidedOptions:
    """Standard deviations of the weights in s, chosen on rendered films of training (docs/measurements/smoothing.md).

    Attributes:
        rotations: of all bones.
        position: of the position in the picture.
        distance: from the camera.
    """

    rotations: float = 0.15
    position: float = 0.1
    distance: float = 0.8

    def __post_init__(self) -> None:
        for name in ("rotations", "position", "distance"):
            check_range(getattr(self, name), f"{name} (s)", 0.0, above=True)


def smooth_track(
    times: Floats, rotations: Floats, translations: Floats, options: TwoSidedOptions | None = None
) -> tuple[Array, Array]:
    """Return rotations [T, R, 3, 3] and translations [T, 3] m of one identity without trembling, and without lag.

    Frames in which it was missed may be left out: times tell. A cut, or a long absence, begins another track.

    Args:
        times: [T] s, strictly increasing.
        rotations: [T, R, 3, 3], the root's relative to the camera, all others to their parent.
        translations: [T, 3] m, camera space; the position in the picture and the distance are smoothed apart.
        options: see `TwoSidedOptions`.

    Raises:
        ValueError: shapes do not fit, times do not increase, or a number is not finite.
    """
    options = TwoSidedOptions() if options is None else options
    turned = two_sided_rotations(rotations, times, options.rotations)
    moves = np.asarray(translations, np.float64).reshape(len(turned), 3)
    z = np.maximum(moves[:, 2:], _MIN_DEPTH)
    bearings = two_sided_points(moves[:, :2] / z, times, options.position)
    z = np.exp(two_sided_points(np.log(z), times, options.distance))
    return turned, np.concatenate([bearings * z, z], axis=1)
