"""Checks of what a user's file or call gives: each returns the value as it should be, or says what to mend."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Real
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, choices

__all__ = ["LARGEST", "mapping", "number", "number_map", "numbers", "one_of", "rotation", "text"]

LARGEST = 1e6
"""Metres, radians or weight: whatever is larger is a mistake, and would overflow in products."""


def number(value: Any, where: str, sign: str = "") -> float:
    """A finite number; ``sign``: "" for any, ``be positive`` or ``not be negative``."""
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not abs(value) <= LARGEST:  # also true of NaN
        raise HumanrtError(f"{where} is {short(value)}; it must be a finite number, at most {LARGEST:g} in size")
    if sign and (value < 0 or (sign == "be positive" and value == 0)):
        raise HumanrtError(f"{where} is {short(value)}; it must {sign}")
    return float(value)


def numbers(values: Any, count: int, where: str) -> tuple[float, ...]:
    """That many finite numbers."""
    if not isinstance(values, (list, tuple, np.ndarray)) or len(values) != count:
        raise HumanrtError(f"{where} is {short(values)}; it must be {count} numbers")
    return tuple(number(value, where) for value in values)


def rotation(values: Any, where: str) -> NDArray[np.float64]:
    """[3, 3] a rotation: orthonormal and right-handed."""
    matrix = np.array(numbers(values, 9, where)).reshape(3, 3)
    if np.abs(matrix @ matrix.T - np.eye(3)).max() > 1e-4 or np.linalg.det(matrix) < 0:
        raise HumanrtError(f"{where} is not a rotation; give the 9 numbers of an orthonormal, right-handed matrix")
    return matrix


def text(value: Any, where: str) -> str:
    """A name or path: a string on one line, not empty."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise HumanrtError(f"{where} is {short(value)}; it must be a name without control characters")
    return value


def one_of(value: Any, names: Collection[str], where: str) -> str:
    """One of the names."""
    if not isinstance(value, str) or value not in names:
        raise HumanrtError(f"{where} is {short(value)}; choose from {choices(names)}")
    return value


def mapping(value: Any, where: str, example: str) -> Mapping[str, Any]:
    """A JSON object."""
    if not isinstance(value, Mapping):
        raise HumanrtError(f"{where}: give such as {example}, not {short(value)}")
    return value


def number_map(value: Any, where: str) -> dict[str, float]:
    """Joint -> finite number."""
    found = mapping(value, where, '{"joint": 0.0}')
    return {str(name): number(item, f"{where}: {name}") for name, item in found.items()}
