"""Which kind of Multi-HMR checkpoint a file is, told by what is in it, and how arguments are read alike in all of them."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from torch import Tensor

from humanrt_export.checkpoint import CheckpointError
from humanrt_export.multihmr.camera import PATCH

__all__ = ["Layout", "image_size", "layout_of", "require", "whole_number"]


class Layout(Enum):
    """A kind of checkpoint: what it is called in messages, and how it is exported."""

    SMPLX = ("NAVER's Multi-HMR on SMPL-X", "leave out --body anny and give --body-models DIR")
    PUBLISHED_ANNY = ("NAVER's Multi-HMR on Anny", "export it with --body anny")
    OWN_ANNY = ("humanrt's own Multi-HMR on Anny", "export it with --body anny")

    @property
    def title(self) -> str:
        return self.value[0]

    @property
    def way(self) -> str:
        """What to do with such a file."""
        return self.value[1]


_OWN_FORMAT = "humanrt-multihmr-anny-"
_STATE = "model_state_dict"
# Names that only one of the published layouts has, of which one is enough.
_MARKS = {
    Layout.PUBLISHED_ANNY: r"encoder\..+|dec_(pos_emb|to_token\..+)|useful_rotmat|decoder\.transformer\..+|mlp_(pose|shape|dist)\..+",
    Layout.SMPLX: r"backbone\.encoder\..+|x_attention_head\..+|mlp_classif\..+|smpl_layer\..+",
}


def layout_of(content: Mapping[str, Any]) -> Layout | None:
    """What a file's content is; None where it is none of these."""
    if str(content.get("format", "")).startswith(_OWN_FORMAT):
        return Layout.OWN_ANNY
    state = content.get(_STATE)
    names = [str(name).removeprefix("module.") for name in state] if isinstance(state, Mapping) else []
    return next(
        (layout for layout, marks in _MARKS.items() if any(re.fullmatch(marks, name) for name in names)), None
    )


def require(path: Path, content: Mapping[str, Any], wanted: Layout) -> None:
    """CheckpointError, which says what the file is, where that is known and not ``wanted``.

    Also for NAVER's first files, of July 2024, which hold weights and no arguments.
    """
    found = layout_of(content)
    if found not in (None, wanted):
        raise CheckpointError(f"{path}: this is {found.title}, not {wanted.title}; {found.way}")
    weights = [key for key, value in content.items() if isinstance(value, Mapping) and _tensors_only(value)]
    if wanted is not Layout.OWN_ANNY and "args" not in content and weights:
        raise CheckpointError(
            f"{path}: `args` is missing beside `{weights[0]}`, as in NAVER's files of July 2024; download it again: the "
            "authors have replaced these files"
        )


def _tensors_only(state: Mapping[Any, Any]) -> bool:
    return bool(state) and all(isinstance(value, Tensor) for value in state.values())


def whole_number(path: Path, name: str, value: Any, least: int = 0) -> int:
    """An argument that is a whole number, Python's or numpy's. CheckpointError where it is not, or below ``least``."""
    try:
        number = operator.index(value) if not isinstance(value, bool) else least - 1
    except TypeError:
        number = least - 1
    if number < least:
        raise CheckpointError(f"{path}: argument `{name}` is {value!r}; need a whole number of at least {least}")
    return number


def image_size(path: Path, value: Any) -> int:
    """The argument ``img_size``: one multiple of 14, or several that are equal. CheckpointError where it is not."""
    given = list(value) if isinstance(value, list | tuple) else [value]
    sizes = []
    for size in given:
        try:
            sizes.append(operator.index(size))
        except TypeError:
            sizes.append(0)
    if not sizes or any(size != sizes[0] or size <= 0 or size % PATCH for size in sizes):
        raise CheckpointError(f"{path}: argument `img_size` is {value!r}; need one multiple of {PATCH}")
    return sizes[0]
