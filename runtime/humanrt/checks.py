"""Checks of numbers on entry: time stamps, measured points, options. And of the arrays of results, where they are made.

Filters, trackers and solvers carry state from frame to frame, and a single NaN would stay in it for ever. So values
that are not numbers, or that no camera, clock or robot produces, are refused before any state changes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import InvalidInputError

__all__ = [
    "LATEST",
    "MAX_ABS",
    "SAME_INSTANT",
    "check_count",
    "check_kind",
    "check_points",
    "check_probability",
    "check_range",
    "check_same_count",
    "check_shapes",
    "check_time",
    "numbers",
]

LATEST = 1e11
"""s: time stamps beyond this (the year 5138) are in another unit: milliseconds or nanoseconds."""

SAME_INSTANT = 1e-9
"""s: time stamps closer than this are the same instant; speeds between them would be rounding errors."""

MAX_ABS = 1e9
"""Pixels or metres: coordinates beyond this are not measurements, and would overflow in products."""


def check_time(t: Any, name: str = "t") -> float:
    """Return the time stamp as a float. InvalidInputError if it is not a finite time in seconds."""
    try:
        seconds = float(t)
    except (TypeError, ValueError, OverflowError):
        seconds = float("nan")
    if not -LATEST <= seconds <= LATEST:  # NaN included
        raise InvalidInputError(f"{name} must be a finite time in seconds, not {_shown(t)}")
    return seconds


def numbers(values: Any, name: str) -> NDArray[np.float64]:
    """Return an array, or lists of numbers, as float64. InvalidInputError where they hold anything else."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise ValueError
    except ValueError:  # lists of different lengths too
        raise InvalidInputError(f"{name} must be an array of numbers, not {_shown(values)}") from None
    return array.astype(np.float64)


def check_points(points: NDArray[Any], name: str) -> None:
    """Raise InvalidInputError if an array of coordinates holds NaN, infinity, or values beyond any measurement."""
    if points.size and not float(np.abs(points).max()) <= MAX_ABS:
        raise InvalidInputError(f"{name}: {_first_bad(points)} is not a finite number of at most 1e9")


def check_range(value: Any, name: str, low: float, high: float = MAX_ABS, *, above: bool = False) -> None:
    """Raise InvalidInputError unless an option is a number from ``low`` (excluded if ``above``) to ``high``."""
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not low <= value <= high or (above and value == low):
        raise InvalidInputError(
            f"{name} must be a number {'above' if above else 'from'} {low:g} {'and at most' if above else 'to'} "
            f"{high:g}, not {_shown(value)}"
        )


def check_probability(value: Any, name: str) -> None:
    """Raise InvalidInputError unless an option is None (the bundle's value) or a number from 0 to 1."""
    if value is not None:
        check_range(value, name, 0.0, 1.0)


def check_kind(value: Any, kind: type | tuple[type, ...], name: str, wanted: str) -> None:
    """Raise InvalidInputError, naming what is ``wanted``, if an argument is of another type."""
    if not isinstance(value, kind):
        raise InvalidInputError(f"{name} must be {wanted}, not {_shown(value)} ({type(value).__name__})")


def check_count(value: Any, name: str, high: int = 1000) -> None:
    """Raise InvalidInputError unless an option is a whole number from 1 to ``high``."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < 1:
        raise InvalidInputError(f"{name} must be at least 1, not {_shown(value)}")
    if value > high:
        raise InvalidInputError(f"{name} must be at most {high}, not {_shown(value)}")


def check_shapes(result: object, /, **arrays: str) -> None:
    """Check the arrays of a result, in its ``__post_init__``: ``check_shapes(self, points="float32 N 3")``.

    Costs a microsecond per array (docs/architecture.md). Numbers of the specification are sizes; a name stands for one
    size, the same in all arrays of the result; ``...`` in front stands for any dimensions. An array that is None is
    left out.

    Raises:
        InvalidInputError: an array is of another type or shape; the message names it.
    """
    sizes: dict[str, int] = {}
    for name, text in arrays.items():
        array = getattr(result, name)
        if array is None:
            continue
        dtype, wanted, open_ended = _specification(text)
        if not isinstance(array, np.ndarray) or (array.dtype is not dtype and array.dtype != dtype):
            raise _unlike(result, name, text, sizes)
        shape = array.shape[-len(wanted) :] if open_ended else array.shape
        if len(shape) != len(wanted):
            raise _unlike(result, name, text, sizes)
        for size, one in zip(shape, wanted, strict=True):
            if size != (one if one.__class__ is int else sizes.setdefault(one, size)):
                raise _unlike(result, name, text, sizes)


def check_same_count(result: object, first: str, second: str) -> None:
    """Check, in the ``__post_init__`` of a result, that two of its collections are equally long.

    Raises:
        InvalidInputError: they are not; the message names both.
    """
    counts = len(getattr(result, first)), len(getattr(result, second))
    if counts[0] != counts[1]:
        raise InvalidInputError(
            f"{type(result).__name__} must have as many {second} as {first}, not {counts[1]} for {counts[0]}"
        )


@cache
def _specification(text: str) -> tuple[np.dtype[Any], tuple[Any, ...], bool]:
    """Return type, sizes (numbers and names), and whether there may be dimensions in front, of ``float32 N 3``."""
    dtype, *sizes = text.split()
    open_ended = sizes[:1] == ["..."]
    return np.dtype(dtype), tuple(int(one) if one.isdigit() else one for one in sizes[open_ended:]), open_ended


def _unlike(result: object, name: str, text: str, sizes: dict[str, int]) -> InvalidInputError:
    array = getattr(result, name)
    dtype, *wanted = text.split()
    known = ", ".join(f"{one} = {sizes[one]}" for one in wanted if one in sizes)
    given = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
    return InvalidInputError(
        f"{type(result).__name__}.{name} must be {dtype} [{', '.join(wanted)}]{known and f' with {known}'}, not {given}"
    )


def _shown(value: Any) -> str:
    try:
        return repr(value)[:60]
    except ValueError:  # Python does not print integers of thousands of digits
        return f"a {type(value).__name__} of thousands of digits"


def _first_bad(points: NDArray[Any]) -> str:
    bad = points[~(np.abs(points) <= MAX_ABS)]
    return _shown(float(bad.flat[0])) if bad.size else "others"
