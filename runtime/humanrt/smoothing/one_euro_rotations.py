"""One-Euro smoothing of rotations, on SO(3): of the rotations from frame to frame, not of axis-angle components.

The filter is that of `humanrt.smoothing.one_euro`, with the same three parameters: where positions have a step x1 - x0,
rotations have the rotation vector of x0^T x1, and how far the smoothed rotation is behind is a rotation vector, too.
So the result does not depend on the axes, nothing happens at 180 degrees, and a steady rotation about any axis is
followed exactly as a steady motion along a line.
"""

from __future__ import annotations

from math import exp, pi

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import SAME_INSTANT, check_kind, check_time, numbers
from humanrt.errors import InvalidInputError
from humanrt.geometry.rotation import Floats, matrices_from_vectors, vectors_from_matrices
from humanrt.smoothing.one_euro import OneEuroOptions

__all__ = ["OneEuroRotations"]

Array = NDArray[np.float64]


class OneEuroRotations:
    """Smooths rotations [..., 3, 3]; each has its own speed. Use one object per identity; ``reset()`` clears it.

    Args:
        options: cut-offs in Hz; the unit of `OneEuroOptions.beta` is Hz per (rad per second).
    """

    def __init__(self, options: OneEuroOptions | None = None) -> None:
        self.options = OneEuroOptions() if options is None else options
        check_kind(self.options, OneEuroOptions, "options", "OneEuroOptions")
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next rotations pass unchanged."""
        self._t: float | None = None

    @property
    def velocity(self) -> Array:
        """Smoothed angular velocity of each rotation, [..., 3] rad/s in its own axes. ValueError before the first."""
        self._check_started()
        return self._velocity.copy()

    def __call__(self, rotations: Floats, t: float) -> Array:
        """Return the smoothed rotations.

        Args:
            rotations: [..., 3, 3], orthonormal.
            t: time stamp in s. If it is not later than the last one, the last result is returned again.

        Raises:
            ValueError: the shape changed without a ``reset()``, or an argument is not finite. The state is then
                unchanged.
        """
        t = check_time(t)
        rotations = numbers(rotations, "rotations")
        if rotations.ndim < 2 or rotations.shape[-2:] != (3, 3):
            raise InvalidInputError(f"rotations must be [..., 3, 3], not {list(rotations.shape)}")
        if not np.isfinite(rotations).all():
            raise InvalidInputError("rotations hold NaN or infinity")
        if self._t is None:
            self._t, self._raw = t, rotations.copy()
            self._velocity, self._behind = (np.zeros(rotations.shape[:-1]) for _ in range(2))
            return rotations.copy()
        if rotations.shape != self._raw.shape:
            raise InvalidInputError(
                f"rotations changed from {self._raw.shape} to {rotations.shape}; call reset() between identities"
            )
        dt = t - self._t
        if dt > SAME_INSTANT:
            self._step(rotations, dt)
            self._t = t
        return self._smoothed()

    def ahead(self, seconds: float) -> Array:
        """Return the smoothed rotations, turned on for so long with their velocity. ValueError before the first."""
        self._check_started()
        return np.asarray(self._smoothed() @ matrices_from_vectors(seconds * self._velocity))

    def _step(self, rotations: Array, dt: float) -> None:
        between = np.swapaxes(self._raw, -1, -2) @ rotations
        step = vectors_from_matrices(between)

        def carried(vectors: Array) -> Array:
            """Return vectors in the axes of the last rotations in those of these ones: between^T v."""
            return np.asarray(np.einsum("...ij,...i->...j", between, vectors))

        options = self.options
        keep = exp(-2 * pi * options.derivative_cutoff * dt)
        self._velocity = keep * carried(self._velocity) + (1 - keep) * step / dt
        speed = np.linalg.norm(self._velocity, axis=-1, keepdims=True)
        # As in `OneEuro._step`; a step is the same vector in the axes of either of its ends.
        fall = 2 * pi * dt * (options.min_cutoff + options.beta * speed)
        gone = -np.expm1(-fall)
        self._behind = carried(self._behind) * (1 - gone) - step * gone / fall
        self._raw = rotations.copy()

    def _smoothed(self) -> Array:
        return np.asarray(self._raw @ matrices_from_vectors(self._behind))

    def _check_started(self) -> None:
        if self._t is None:
            raise ValueError("there is no velocity before the first rotations")
