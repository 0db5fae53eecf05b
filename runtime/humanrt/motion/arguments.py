"""Arguments of PoseGPT, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import MAX_ABS
from humanrt.errors import InvalidInputError, choices

__all__ = ["Label", "check_count_of", "label_weights", "numbers_of", "tokens_of"]

Label = str | Sequence[str] | ArrayLike | None
"""A label by its name, several names, or a weight for each of the bundle's labels (k-hot)."""


def check_count_of(count: Any) -> None:
    """Raise InvalidInputError unless it is a number of new tokens."""
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
        raise InvalidInputError(f"count must be a whole number above 0, not {str(count)[:40]!r}")


def label_weights(label: Label, labels: tuple[str, ...], bundle: str) -> NDArray[np.float32]:
    """Return the weight of each of the bundle's labels. InvalidInputError lists them."""
    weights = np.zeros(len(labels), np.float32)
    if label is None:
        return weights
    if not labels:
        raise InvalidInputError(f"bundle {bundle} takes no labels; leave the label out")
    names = [label] if isinstance(label, str) else label
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        for name in names:
            if name not in labels:
                raise InvalidInputError(f"no label `{str(name)[:60]}`; labels: {choices(labels)}")
            weights[labels.index(str(name))] = 1
        return weights
    return numbers_of(label, f"a label as numbers ({choices(labels)})", weights.shape)


def tokens_of(
    tokens: ArrayLike, books: int, codes: int, least: int, most: int | None = None, seconds: float = 0.0
) -> NDArray[np.int64]:
    """Check tokens [N, books].

    Args:
        tokens: as given.
        books, codes: of the bundle.
        least, most: allowed N; None: any.
        seconds: duration of a token, for the message.
    """
    array = np.asarray(tokens)
    if array.size == 0 and array.ndim <= 2 and least == 0:
        return np.zeros((0, books), np.int64)
    if array.ndim != 2 or array.shape[1] != books or array.dtype.kind not in "iu":
        raise InvalidInputError(f"tokens must be whole numbers [N, {books}], not {array.dtype} {list(array.shape)}")
    if not least <= len(array) or (most is not None and len(array) > most):
        bound = f"of {least} to {most} tokens ({most * seconds:g} s)" if most is not None else f"of {least} or more"
        raise InvalidInputError(f"{len(array)} tokens are outside of the window {bound}; cut them")
    if array.min(initial=0) < 0 or array.max(initial=0) >= codes:
        raise InvalidInputError(f"tokens must be from 0 to {codes - 1}: each book has {codes} codes")
    return array.astype(np.int64)


def numbers_of(values: ArrayLike, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float32]:
    """Convert to float32. InvalidInputError for other shapes (None: any size), and for what is no finite number."""
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty(0, object)
    wanted = ", ".join("T" if size is None else str(size) for size in shape)
    fits = array.ndim == len(shape) and all(
        size is None or size == found for size, found in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype.kind not in "biuf":
        raise InvalidInputError(f"{name} must be numbers [{wanted}], not {array.dtype} {list(array.shape)}")
    if array.size and not float(np.abs(array.astype(np.float64)).max()) <= MAX_ABS:  # NaN included
        raise InvalidInputError(f"{name} holds values that are not finite, or beyond 1e9")
    return array.astype(np.float32)
