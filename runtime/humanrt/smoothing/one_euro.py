"""One-Euro smoothing with the real time stamps of the frames (Casiez, Roussel, Vogel: 1 Euro Filter, CHI 2012).

There are two differences from the usual code, both to make the result independent of the frame rate:

- each step is the exact solution of the low pass for a path that is straight between two frames, not its
  first-order approximation: at a given cut-off, one frame more or less on that path changes nothing, and the lag
  behind a steady motion is the same at every frame rate. (The cut-off follows the speed frame by frame: the remaining
  difference is about a pixel on a fast move of 300.)
- the speed that opens the filter is that of a point (its 3 or 2 coordinates together) in hand sizes per second, so
  neither the resolution of the image nor the direction of motion changes the smoothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, pi

import numpy as np
from numpy.typing import NDArray

from humanrt import native
from humanrt.checks import SAME_INSTANT, check_kind, check_points, check_range, check_time, numbers
from humanrt.errors import InvalidInputError

__all__ = ["OneEuro", "OneEuroOptions"]

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class OneEuroOptions:
    """The three parameters of the filter.

    The defaults come from a grid search: calmest hand at rest on a real recording among the settings that stay within
    1.1 px (median) and 4 px (99 %) of the raw keypoints of a moving hand 350 px tall.

    Attributes:
        min_cutoff: cut-off frequency at rest, Hz: lower is calmer and slower.
        beta: increase of the cut-off with speed, Hz per (unit per second): higher follows fast motion with less lag.
        derivative_cutoff: cut-off of the speed estimate, Hz.
    """

    min_cutoff: float = 1.2
    beta: float = 12.0
    derivative_cutoff: float = 3.0

    def __post_init__(self) -> None:
        check_range(self.min_cutoff, "min_cutoff (Hz)", 0.0, above=True)
        check_range(self.beta, "beta", 0.0)
        check_range(self.derivative_cutoff, "derivative_cutoff (Hz)", 0.0, above=True)


class OneEuro:
    """Smooths points [..., D]; each point has its own speed. Use one object per identity; ``reset()`` clears it."""

    def __init__(self, options: OneEuroOptions | None = None) -> None:
        self.options = OneEuroOptions() if options is None else options
        check_kind(self.options, OneEuroOptions, "options", "OneEuroOptions")
        self._native = None if native.problem() else native.library().humanrt_one_euro
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next points pass unchanged."""
        self._t: float | None = None

    @property
    def velocity(self) -> NDArray[np.float64]:
        """Smoothed velocity of each point, [..., D], in its unit per second. ValueError before the first points."""
        if self._t is None:
            raise ValueError("there is no velocity before the first points")
        return self._velocity.copy()

    def ahead(self, seconds: float) -> NDArray[np.float64]:
        """Return the smoothed points, moved on for so long with their velocity. ValueError before the first points."""
        velocity = self.velocity  # refuses before there are points
        return np.asarray(self._smooth + seconds * velocity)

    def _start(self, points: NDArray[np.float64]) -> None:
        # These arrays are never reallocated: the compiled step reads and changes them in place.
        self._points, self._raw, self._smooth = (points.copy("C") for _ in range(3))
        self._velocity = np.zeros(points.shape)
        self._size = (points.size // points.shape[-1], points.shape[-1])
        self._at = [native.address(a, np.float64) for a in (self._points, self._raw, self._smooth, self._velocity)]

    def __call__(self, keypoints: Floats, t: float, unit: float = 1.0) -> NDArray[np.float64]:
        """Return the smoothed points.

        Args:
            keypoints: [..., D], any unit.
            t: time stamp in s. If it is not later than the last one, the last result is returned again.
            unit: length, in the unit of the points, that counts as 1 in `OneEuroOptions.beta`.

        Raises:
            ValueError: the shape changed without a ``reset()``; or keypoints, ``t`` or ``unit`` are not finite, or
                beyond any measurement. The state is then unchanged.
        """
        t = check_time(t)
        keypoints = numbers(keypoints, "keypoints")
        check_points(keypoints, "keypoints")
        check_kind(unit, (float, int, np.number), "unit", "a length")
        if not 0 < unit < inf:
            raise InvalidInputError(f"unit must be a length above 0, not {unit!r}")
        if self._t is None:
            self._t = t
            self._start(np.asarray(keypoints, np.float64))
            return self._smooth.copy()
        if keypoints.shape != self._raw.shape:
            raise ValueError(
                f"points changed from {self._raw.shape} to {keypoints.shape}; call reset() between identities"
            )
        dt = t - self._t
        if dt <= SAME_INSTANT:
            return self._smooth.copy()
        self._t = t
        self._points[...] = keypoints
        options = self.options
        keep = exp(-2 * pi * options.derivative_cutoff * dt)
        if self._native:
            points, *state = self._at
            self._native(points, *self._size, dt, unit, options.min_cutoff, options.beta, keep, *state)
        else:
            self._step(dt, unit, keep)
        return self._smooth.copy()

    def _step(self, dt: float, unit: float, keep: float) -> None:
        """Do one step in numpy, like humanrt_one_euro (_native/hand.c)."""
        points, step = self._points, self._points - self._raw
        self._velocity[...] = keep * self._velocity + (1 - keep) * step / dt
        speed = np.sqrt(np.einsum("...d,...d->...", self._velocity, self._velocity))[..., None] / unit
        # dy/dt = 2 pi fc (x(t) - y), with x(t) linear from the last raw points to these; fall = 2 pi fc dt.
        fall = 2 * pi * dt * (self.options.min_cutoff + self.options.beta * speed)
        gone = -np.expm1(-fall)
        self._smooth[...] = points - step * gone / fall + (self._smooth - self._raw) * (1 - gone)
        self._raw[...] = points
