"""Mean of something that does not change, measured again and again: settles quickly, and then hardly moves."""

from __future__ import annotations

from math import expm1

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import check_range

__all__ = ["SettlingMean"]


class SettlingMean:
    """Mean of all values so far; once it covers ``seconds``, older values fade with this time constant.

    Equal values give exactly that value.

    Args:
        seconds: time constant, above 0.
    """

    def __init__(self, seconds: float) -> None:
        check_range(seconds, "seconds", 0.0, above=True)
        self._seconds = seconds
        self.reset()

    def reset(self) -> None:
        """Forget all values."""
        self._t: float | None = None
        self._count = 0

    def __call__(self, value: NDArray[np.float64], t: float) -> NDArray[np.float64]:
        """Return the mean after one more value.

        Args:
            value: an array, always of the same shape.
            t: time stamp in s, not before the last one.
        """
        self._count += 1
        if self._t is None:
            self._mean = np.array(value, np.float64)
        else:
            share = max(1 / self._count, -expm1((self._t - t) / self._seconds))
            self._mean = self._mean + share * (value - self._mean)
        self._t = t
        return self._mean.copy()
