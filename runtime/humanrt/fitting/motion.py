"""What motion so far says about now: points that go on as they went, each with a Kalman filter of its own.

The model is one of continuous time (accelerations are white noise, speeds fade: Ornstein and Uhlenbeck's), so that
predictions do not depend on the frame rate. A filter's measurement is the solved body itself: its place, and the
variance that the solver gives it. All coordinates of a point have filters of their own; what they have in common, the
bones, is the solver's to know.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["PointMotion"]

Array = NDArray[np.float64]

# Who moves fast accelerates much: factor of the noise at rest, m/s at which it grows by 1, and the largest.
_CALM, _FAST, _HECTIC = 0.4, 1.0, 2.0


class PointMotion:
    """Filters of points [N, 3] m, with places, speeds and their covariances.

    Args:
        acceleration: [N, 3] m/s^2 sqrt(s): spectral density of the accelerations' noise, its square root.
        speed: m/s, standard deviation of speeds at first.
        fade: s, time constant with which speeds fade.
    """

    def __init__(self, acceleration: Array, speed: float = 1.0, fade: float = 0.5) -> None:
        self._noise = np.asarray(acceleration, np.float64) ** 2
        self._fade = fade
        self.place = np.zeros(self._noise.shape)
        self.velocity = np.zeros(self._noise.shape)
        self.variance = np.full(self._noise.shape, np.inf)  # of places; of speeds, and of both together:
        self._of_speed = np.full(self._noise.shape, speed**2)
        self._of_both = np.zeros(self._noise.shape)

    def predict(self, dt: float) -> None:
        """Let ``dt`` seconds pass, 0 at least."""
        if dt <= 0.0:
            return
        keep = float(np.exp(-dt / self._fade))
        reach = self._fade * (1 - keep)  # distance that a speed of 1 still goes
        self.place = self.place + reach * self.velocity
        self.velocity = keep * self.velocity
        speed = np.linalg.norm(self.velocity, axis=1, keepdims=True)
        q = self._noise * np.minimum(_CALM + speed / _FAST, _HECTIC) ** 2
        a, b, c = self.variance, self._of_both, self._of_speed
        gone, fade = 1 - keep, self._fade
        self.variance = (
            a + 2 * reach * b + reach**2 * c + q * fade**2 * (dt - 2 * fade * gone + fade / 2 * (1 - keep**2))
        )
        self._of_both = keep * (b + reach * c) + q * fade**2 / 2 * gone**2
        self._of_speed = keep**2 * c + q * fade / 2 * (1 - keep**2)

    def correct(self, place: Array, variance: Array, believed: Array) -> None:
        """Take what was solved for.

        The solver has already weighed the prediction against what was seen, so its places are taken as they are; speeds
        follow as far as the prediction's errors of both belong together. Of a place's variance that part remains which
        what was seen has left: the bones' part in the solution would else be counted anew with every frame.

        Args:
            place: [N, 3] m.
            variance: [N, 3] m^2 of the solution.
            believed: [N, 3] m^2, the same without what was seen.
        """
        new = ~np.isfinite(self.variance)
        a = np.where(new, 1.0, self.variance)
        share = np.where(new, 1.0, np.minimum(variance / believed, 1.0))
        gain = np.where(new, 0.0, self._of_both / a)
        self.velocity = self.velocity + gain * np.where(new, 0.0, place - self.place)
        self._of_speed = self._of_speed - gain * self._of_both * (1 - share)
        self._of_both = np.where(new, 0.0, self._of_both * share)
        self.variance = np.where(new, variance, a * share)
        self.place = np.array(place)
