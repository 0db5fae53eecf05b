"""Sizes of a network, read from the shapes of a checkpoint's tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from humanrt_export.checkpoint import CheckpointError

__all__ = ["Shapes"]


class Shapes:
    """The shapes of a file's tensors by key.

    Args:
        path: the file, for messages.
        state: its tensors; keys without ``prefix``.
        prefix: what stands before every key in the file, for messages.
        kind: of the checkpoint, for messages.
    """

    def __init__(self, path: Path, state: Mapping[str, Tensor], prefix: str, kind: str) -> None:
        self.path, self.state, self.prefix, self.kind = path, state, prefix, kind

    def __contains__(self, key: str) -> bool:
        return key in self.state

    def of(self, key: str, dimensions: int) -> tuple[int, ...]:
        """Return a tensor's shape. CheckpointError if it is missing or has another number of dimensions."""
        if key not in self.state:
            raise CheckpointError(f"{self.path}: `{self.prefix}{key}` is missing; not a checkpoint of {self.kind}")
        shape = tuple(self.state[key].shape)
        if len(shape) != dimensions or min(shape) < 1:
            raise CheckpointError(
                f"{self.path}: `{self.prefix}{key}` is {list(shape)}; it must have {dimensions} dimensions"
            )
        return shape

    def count(self, pattern: str) -> int:
        """Return how many keys match ``pattern``."""
        return sum(bool(re.fullmatch(pattern, key)) for key in self.state)

    def numbered(self, pattern: str) -> int:
        """Return how many different numbers the group of ``pattern`` has, which must be 0, 1, ... without gaps."""
        found = {int(match[1][:6]) for key in self.state if (match := re.match(pattern, key))}
        if found != set(range(len(found))):
            raise CheckpointError(f"{self.path}: keys like `{self.prefix}{pattern}` are not numbered from 0 on")
        return len(found)
