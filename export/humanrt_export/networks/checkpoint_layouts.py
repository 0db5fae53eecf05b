"""Identify the kind of a Multi-HMR checkpoint from its content, and check the arguments that all kinds share."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from humanrt.errors import choices
from humanrt_export.checkpoint import CheckpointError
from humanrt_export.networks.camera import PATCH

__all__ = [
    "LARGEST",
    "Layout",
    "decoder_layers",
    "fixed",
    "image_size",
    "layout_of",
    "one_of",
    "require",
    "shown",
    "whole_number",
]

LARGEST = 3584
"""px; no network has a larger input."""

_LONGEST = 80


class Layout(Enum):
    """A kind of checkpoint: its name in messages, and how it is exported."""

    SMPLX = ("NAVER's Multi-HMR on SMPL-X", "leave out --body anny and give --body-models DIR")
    PUBLISHED_ANNY = ("NAVER's Multi-HMR on Anny", "export it with --body anny")
    OWN_ANNY = ("humanrt's own Multi-HMR on Anny", "export it with --body anny")

    @property
    def title(self) -> str:
        return self.value[0]

    @property
    def way(self) -> str:
        """Advice on how to export such a file."""
        return self.value[1]


def decoder_layers(theirs: str) -> tuple[tuple[str, str], ...]:
    """Return pairs of our and the published names of a decoder layer's parameters; the latter begin with ``theirs``."""
    return (
        ("head.layers.<n>.self_norm.<rest>", theirs + "0.norm.<rest>"),
        ("head.layers.<n>.self_qkv.<rest>", theirs + "0.fn.to_qkv.<rest>"),
        ("head.layers.<n>.self_out.<rest>", theirs + "0.fn.to_out.0.<rest>"),
        ("head.layers.<n>.cross_norm.<rest>", theirs + "1.norm.<rest>"),
        ("head.layers.<n>.cross_q.<rest>", theirs + "1.fn.to_q.<rest>"),
        ("head.layers.<n>.cross_kv.<rest>", theirs + "1.fn.to_kv.<rest>"),
        ("head.layers.<n>.cross_out.<rest>", theirs + "1.fn.to_out.0.<rest>"),
        ("head.layers.<n>.mlp_norm.<rest>", theirs + "2.norm.<rest>"),
        ("head.layers.<n>.mlp_in.<rest>", theirs + "2.fn.net.0.<rest>"),
        ("head.layers.<n>.mlp_out.<rest>", theirs + "2.fn.net.3.<rest>"),
    )


_OWN_FORMAT = "humanrt-multihmr-anny-"
_STATE = "model_state_dict"
# Names of tensors that only one of the published layouts has; one match is enough.
_MARKS = {
    Layout.PUBLISHED_ANNY: (
        r"encoder\..+|dec_pos_emb|dec_to_token\..+|useful_rotmat|decoder\.transformer\..+|mlp_(pose|shape|dist)\..+"
    ),
    Layout.SMPLX: r"backbone\.encoder\..+|x_attention_head\..+|mlp_classif\..+|smpl_layer\..+",
}


def layout_of(content: Mapping[str, Any]) -> Layout | None:
    """Return the layout of a file's content, or None if it matches none."""
    if str(content.get("format", "")).startswith(_OWN_FORMAT):
        return Layout.OWN_ANNY
    return _published_layout(content.get(_STATE))


def require(path: Path, content: Mapping[str, Any], wanted: Layout) -> None:
    """Check that the content is of the ``wanted`` layout, where its layout is known.

    Raises:
        CheckpointError: it is of another layout, which the message names. Also raised for NAVER's first files, of
            July 2024, which hold weights and no arguments.
    """
    found = layout_of(content)
    if found not in (None, wanted):
        raise CheckpointError(f"{path}: this is {found.title}: {found.way}")
    if found is Layout.OWN_ANNY or "args" in content:
        return
    for key, state in content.items():
        ours = wanted is Layout.OWN_ANNY and _published_layout(state) is None
        if not ours and isinstance(state, Mapping) and state and all(isinstance(x, Tensor) for x in state.values()):
            raise CheckpointError(
                f"{path}: `args` is missing beside `{str(key)[:80]}`, as in NAVER's files of July 2024; download it "
                "again, as the authors have replaced these files"
            )


def _published_layout(state: Any) -> Layout | None:
    """Return the published layout that these tensors belong to."""
    names = [str(name).removeprefix("module.") for name in state] if isinstance(state, Mapping) else []
    return next((layout for layout, marks in _MARKS.items() if any(re.fullmatch(marks, name) for name in names)), None)


def whole_number(path: Path, name: str, value: Any, least: int, most: int) -> int:
    """Return an integer argument (Python or numpy). CheckpointError if it is not an integer or is out of range."""
    number = _index(value)
    if number is None or not least <= number <= most:
        raise CheckpointError(
            f"{path}: argument `{name}` is {shown(value)}; it must be a whole number from {least} to {most}"
        )
    return number


def image_size(path: Path, value: Any) -> int:
    """Return the argument ``img_size``: one multiple of 14, or several equal ones. CheckpointError otherwise."""
    sizes = [_index(size) for size in (value if isinstance(value, list | tuple) else [value])]
    first = sizes[0] if sizes else None
    if first is None or any(size != first for size in sizes) or first % PATCH or not PATCH <= first <= LARGEST:
        raise CheckpointError(
            f"{path}: argument `img_size` is {shown(value)}; it must be a multiple of {PATCH}, at most {LARGEST}"
        )
    return first


def one_of(path: Path, name: str, value: Any, allowed: Iterable[str]) -> str:
    """Return a string argument that must be one of ``allowed``. CheckpointError lists the allowed values."""
    names = list(allowed)
    if not isinstance(value, str) or value not in names:
        raise CheckpointError(f"{path}: argument `{name}` is {shown(value)}; supported: {choices(names)}")
    return str(value)


def fixed(path: Path, args: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise CheckpointError if an argument that changes the network differs from the only supported value."""
    for name, only in wanted.items():
        given = args.get(name, only)
        plain = given.item() if isinstance(given, np.generic) else given
        if not isinstance(plain, bool | int | float | str) or plain != only:
            raise CheckpointError(f"{path}: argument `{name}` is {shown(given)}; only {only!r} is supported")


def shown(value: Any) -> str:
    """Format a value of a file for a message, truncated if long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _index(value: Any) -> int | None:
    if isinstance(value, bool | np.bool_ | Tensor):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None
