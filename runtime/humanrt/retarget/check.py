"""Validation of values from users' files and calls: each function returns the valid value, or raises an error."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from numbers import Real
from reprlib import repr as short
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, choices

__all__ = ["MAX_ABS", "mapping", "number", "number_map", "numbers", "one_of", "rotation", "text"]

MAX_ABS = 1e6
"""Max magnitude of metres, radians or weights: larger values are mistakes, and would overflow in products."""


def number(value: Any, where: str, sign: str = "") -> float:
    """Return a finite number; ``sign``: "" for any, ``be positive`` or ``not be negative``."""
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not abs(value) <= MAX_ABS:  # also true of NaN
        raise HumanrtError(f"{where} is {short(value)}; it must be a finite number, at most {MAX_ABS:g} in size")
    if sign and (value < 0 or (sign == "be positive" and value == 0)):
        raise HumanrtError(f"{where} is {short(value)}; it must {sign}")
    return float(value)


def numbers(values: Any, count: int, where: str) -> tuple[float, ...]:
    """Return ``count`` finite numbers."""
    if not isinstance(values, (list, tuple, np.ndarray)) or len(values) != count:
        raise HumanrtError(f"{where} is {short(values)}; it must be {count} numbers")
    return tuple(number(value, where) for value in values)


def rotation(values: Any, where: str) -> NDArray[np.float64]:
    """Return a rotation [3, 3]: orthonormal and right-handed."""
    matrix = np.array(numbers(values, 9, where)).reshape(3, 3)
    if np.abs(matrix @ matrix.T - np.eye(3)).max() > 1e-4 or np.linalg.det(matrix) < 0:
        raise HumanrtError(f"{where} is not a rotation; give the 9 numbers of an orthonormal, right-handed matrix")
    return matrix


def text(value: Any, where: str) -> str:
    """Return a name or path: a non-empty string on one line."""
    if not isinstance(value, str) or not value or not value.isprintable():
        raise HumanrtError(f"{where} is {short(value)}; it must be a name without control characters")
    return value


def one_of(value: Any, names: Collection[str], where: str) -> str:
    """Return one of the names."""
    if not isinstance(value, str) or value not in names:
        raise HumanrtError(f"{where} is {short(value)}; choose one of: {choices(names)}")
    return value


def mapping(value: Any, where: str, example: str) -> Mapping[str, Any]:
    """Return a JSON object."""
    if not isinstance(value, Mapping):
        raise HumanrtError(f"{where}: expected an object such as {example}, not {short(value)}")
    return value


def number_map(value: Any, where: str) -> dict[str, float]:
    """Return a mapping from joints to finite numbers."""
    numbers_by_name = mapping(value, where, '{"joint": 0.0}')
    return {str(name): number(item, f"{where}: {name}") for name, item in numbers_by_name.items()}
