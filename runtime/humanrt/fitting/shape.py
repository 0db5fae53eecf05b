"""A person's shape over time: what was assumed, what has been seen since, and where that puts the rig's joints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import check_points, numbers
from humanrt.errors import InvalidInputError
from humanrt.fitting.rig import Rest, Rig, RigShape

__all__ = ["ShapeEstimate", "ShapePrior"]

Array = NDArray[np.float64]

_MOVED, _BENT = 0.02, 0.1  # changes of phenotypes after which places, and their slopes, are computed anew


@dataclass(frozen=True)
class ShapePrior:
    """The shape that is assumed of a person.

    Attributes:
        mean: [6] phenotypes.
        spread: [6] their standard deviations; those with 0 are not solved for.
        lower, upper: [6] limits.
    """

    mean: Array
    spread: Array
    lower: Array
    upper: Array

    def __post_init__(self) -> None:
        for name in ("mean", "spread", "lower", "upper"):
            values = numbers(getattr(self, name), f"the shape's {name}")
            check_points(values, f"the shape's {name}")
            if values.shape != (6,):
                raise InvalidInputError(f"the shape's {name} must be 6 phenotypes, not {list(values.shape)}")
            object.__setattr__(self, name, values)
        if (self.spread < 0).any() or not ((self.lower <= self.mean) & (self.mean <= self.upper)).all():
            raise InvalidInputError("the shape's mean must lie within its limits, and its spread be 0 or more")


class ShapeEstimate:
    """The S phenotypes that are solved for: an information filter, and the rig in the present shape.

    Args:
        rig, rest: the body.
        prior: what is assumed.
        trust: part of a frame's information that is believed: a pose's errors last for many frames.
        memory: s, time in which what was seen is forgotten.
    """

    def __init__(self, rig: Rig, rest: Rest, prior: ShapePrior, trust: float, memory: float) -> None:
        self._rig, self._rest, self._trust, self._memory = rig, rest, trust, memory
        self._assumed = prior
        self.solved: NDArray[np.intp] = np.flatnonzero(prior.spread > 0)
        self._zero = np.diag(prior.spread[self.solved] ** -2.0)
        self._known = self._zero.copy()
        self.phenotypes = prior.mean.copy()
        """[6] the present estimate."""
        self.rig_shape: RigShape = rig.shape(prior.mean, rest, self.solved)
        self._sloped = prior.mean.copy()

    @property
    def limits(self) -> tuple[Array, Array]:
        """Lower and upper limits [S], relative to the reference of `rig_shape`."""
        reference = self.rig_shape.reference[self.solved]
        return self._assumed.lower[self.solved] - reference, self._assumed.upper[self.solved] - reference

    @property
    def change(self) -> Array:
        """[S] the present estimate, relative to the reference of `rig_shape`."""
        return np.asarray((self.phenotypes - self.rig_shape.reference)[self.solved])

    @property
    def information(self) -> Array:
        """[S, S] of the present estimate, on the scale of a frame's: more, by as much as a frame is trusted less."""
        return np.asarray(self._known / self._trust)

    def learn(self, change: Array, information: Array, dt: float) -> bool:
        """Take the solution, relative to the reference, and the information that it was seen with.

        Returns whether `rig_shape` is another now.
        """
        solved, zero = self.solved, self._zero
        mean = (self.rig_shape.reference[solved] + change) - self._assumed.mean[solved]
        self._known = zero + (self._trust * information - zero) * np.exp(-dt / self._memory)
        self.phenotypes = self.phenotypes.copy()
        self.phenotypes[solved] = np.clip(
            self._assumed.mean[solved] + mean, self._assumed.lower[solved], self._assumed.upper[solved]
        )
        if np.abs(self.change).max(initial=0.0) <= _MOVED:
            return False
        if np.abs(self.phenotypes - self._sloped).max() > _BENT:
            self.rig_shape = self._rig.shape(self.phenotypes, self._rest, self.solved)
            self._sloped = self.phenotypes.copy()
        else:
            self.rig_shape = self._rig.moved(self.rig_shape, self.phenotypes, self._rest)
        return True


def fixed(values: Sequence[float] | NDArray[Any]) -> ShapePrior:
    """Return the prior of a shape that is known: phenotypes [6]."""
    known = np.asarray(values, np.float64)
    return ShapePrior(known, np.zeros(6), known, known)
