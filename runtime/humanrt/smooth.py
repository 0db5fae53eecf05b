"""One-Euro smoothing with the frames' real time stamps (Casiez, Roussel, Vogel: 1 Euro Filter, CHI 2012).

Two things differ from the usual code, both so that the result does not depend on the frame rate:

- each step is the exact solution of the low pass for a path that is straight between two frames, not its
  first-order approximation: a frame more or less on that path changes nothing, and the lag behind a steady
  motion is the same at every rate;
- the speed that opens the filter is that of a point (its 3 or 2 coordinates together) in hand sizes a second, so
  neither the image's resolution nor the direction of motion changes the smoothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp, pi

import numpy as np
from numpy.typing import NDArray

from humanrt.hands.tracker import Hand, Hands

__all__ = ["HandSmoother", "OneEuro", "OneEuroOptions"]

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class OneEuroOptions:
    """The filter's three numbers.

    The defaults come from a grid search: calmest hand at rest on a real recording among those that stay within 1.1 px
    (median) and 4 px (99 %) of the raw keypoints of a moving hand 350 px tall.

    Attributes:
        min_cutoff: cut-off frequency at rest, Hz: lower is calmer and slower.
        beta: how much the cut-off rises with speed, Hz per (unit a second): higher follows fast motion with less lag.
        derivative_cutoff: cut-off of the speed estimate, Hz.
    """

    min_cutoff: float = 1.2
    beta: float = 12.0
    derivative_cutoff: float = 3.0

    def __post_init__(self) -> None:
        if not (self.min_cutoff > 0 and self.beta >= 0 and self.derivative_cutoff > 0):
            raise ValueError(f"cut-offs must be above 0 Hz and beta not below 0: {self}")


class OneEuro:
    """Smooths points [..., D]; each point has its own speed. One object per identity; ``reset()`` forgets."""

    def __init__(self, options: OneEuroOptions | None = None) -> None:
        self.options = options or OneEuroOptions()
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next points pass unchanged."""
        self._t: float | None = None
        self._raw: NDArray[np.float64] = np.zeros(0)
        self._smooth: NDArray[np.float64] = np.zeros(0)
        self._velocity: NDArray[np.float64] = np.zeros(0)

    def __call__(self, keypoints: Floats, t: float, unit: float = 1.0) -> NDArray[np.float64]:
        """Smoothed points.

        Args:
            keypoints: [..., D], any unit.
            t: time stamp in s. Not later than the last one: the last result is returned again.
            unit: length, in the points' unit, that counts as 1 in `OneEuroOptions.beta`.

        Raises:
            ValueError: the shape changed without a ``reset()``.
        """
        points: NDArray[np.float64] = np.asarray(keypoints, np.float64)
        if self._t is None:
            self._t, self._raw, self._smooth = t, points, points
            self._velocity = np.zeros_like(points)
            return points.copy()
        if points.shape != self._raw.shape:
            raise ValueError(
                f"points changed from {self._raw.shape} to {points.shape}; call reset() between identities"
            )
        dt = t - self._t
        if dt <= 0:
            return self._smooth.copy()
        options = self.options
        keep = exp(-2 * pi * options.derivative_cutoff * dt)
        self._velocity = keep * self._velocity + (1 - keep) * (points - self._raw) / dt
        speed = np.sqrt(np.einsum("...d,...d->...", self._velocity, self._velocity))[..., None] / unit
        cutoff = options.min_cutoff + options.beta * speed
        # dy/dt = 2 pi fc (x(t) - y), with x(t) straight from the last raw points to these.
        rate = 2 * pi * cutoff
        decay = np.exp(-dt * rate)
        step = points - self._raw
        self._smooth = points - step * (1 - decay) / (dt * rate) + (self._smooth - self._raw) * decay
        self._raw, self._t = points, t
        return self._smooth.copy()


@dataclass
class _Filters:
    pixels: OneEuro
    metres: OneEuro


class HandSmoother:
    """Smooths the keypoints of `Hands`, in the image and in metres; state belongs to an identity and ends with it."""

    # Wrist to middle knuckle: a length that finger movements leave alone.
    _SPAN = (0, 9)

    def __init__(self, options: OneEuroOptions | None = None) -> None:
        self._options = options or OneEuroOptions()
        self._filters: dict[int, _Filters] = {}

    def reset(self) -> None:
        """Forget all identities."""
        self._filters.clear()

    def __call__(self, hands: Hands, t: float) -> Hands:
        """The same hands with smoothed keypoints; ``t`` is the frame's own time stamp in s."""
        for identity in hands.lost:
            self._filters.pop(identity, None)
        return replace(hands, hands=tuple(self._smooth(hand, t) for hand in hands))

    def _smooth(self, hand: Hand, t: float) -> Hand:
        filters = self._filters.get(hand.id)
        if filters is None:
            filters = self._filters[hand.id] = _Filters(OneEuro(self._options), OneEuro(self._options))
        pixels = filters.pixels(hand.keypoints_2d, t, self._span(hand.keypoints_2d))
        metres = filters.metres(hand.keypoints_3d, t, self._span(hand.keypoints_3d))
        return replace(hand, keypoints_2d=pixels.astype(np.float32), keypoints_3d=metres.astype(np.float32))

    def _span(self, keypoints: Floats) -> float:
        start, end = self._SPAN
        return max(float(np.linalg.norm(keypoints[end] - keypoints[start])), 1e-9)
