"""Random changes of pictures that stand for other cameras, lights and rooms: auxiliary domains.

The set, and composing several at random levels, are after Volpi and Murino, Addressing model vulnerability to
distributional shifts over image transformation sets, 2019, as Volpi, Larlus and Rogez (2021) use it; `exposure`,
`white-balance`, `noise` and `blur` are what our own renderer's camera varies. Where people are does not change.

Pictures are RGB [B, 3, H, W] in 0..1. Every picture of a batch gets its own changes, in its own order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from humanrt.errors import HumanrtError, choices
from humanrt_export.options import Option
from humanrt_export.training.methods.method import Method

__all__ = ["MANIPULATIONS", "Changes", "Manipulations"]

_LUMA = (0.299, 0.587, 0.114)
_SMOOTH = ((1.0, 1.0, 1.0), (1.0, 5.0, 1.0), (1.0, 1.0, 1.0))


def _grey(x: Tensor) -> Tensor:
    return (x * x.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)


def _smooth(x: Tensor) -> Tensor:
    kernel = x.new_tensor(_SMOOTH)
    weight = (kernel / kernel.sum()).expand(3, 1, 3, 3)
    return functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="replicate"), weight, groups=3)


def _between(a: Tensor, b: Tensor, part: Tensor) -> Tensor:
    return a + part * (b - a)


def _contrast(x: Tensor, level: Tensor) -> Tensor:
    return _between(_grey(x).mean((-1, -2), keepdim=True), x, _factor(level))


def _brightness(x: Tensor, level: Tensor) -> Tensor:
    return x * _factor(level)


def _colour(x: Tensor, level: Tensor) -> Tensor:
    return _between(_grey(x), x, 1 + level)


def _sharpness(x: Tensor, level: Tensor) -> Tensor:
    return _between(_smooth(x), x, 1 + 2 * level)


def _solarise(x: Tensor, level: Tensor) -> Tensor:
    return torch.where(x < 1 - 0.9 * level.abs(), x, 1 - x)


def _greyed(x: Tensor, level: Tensor) -> Tensor:
    return _grey(x).expand_as(x)


def _shift(channel: int) -> Callable[[Tensor, Tensor], Tensor]:
    def shift(x: Tensor, level: Tensor) -> Tensor:
        moved = x.new_zeros(3)[:, None, None].clone()
        moved[channel] = 0.4
        return x + level * moved

    return shift


def _exposure(x: Tensor, level: Tensor) -> Tensor:
    """In linear light, up to three stops either way."""
    return (x.clamp(min=1e-4) ** 2.2 * 2 ** (3 * level)).clamp(0, 1) ** (1 / 2.2)


def _white_balance(x: Tensor, level: Tensor) -> Tensor:
    return x * torch.cat((1 + 0.4 * level, torch.ones_like(level), 1 - 0.4 * level), dim=1)


def _noise(x: Tensor, level: Tensor) -> Tensor:
    return x + 0.12 * level * torch.randn_like(x)


def _blur(x: Tensor, level: Tensor) -> Tensor:
    soft = _smooth(_smooth(_smooth(_smooth(x))))
    return _between(x, soft, level.abs())


def _factor(level: Tensor) -> Tensor:
    """-1..1 -> 1/4 .. 4, evenly on a logarithmic scale."""
    return 4**level


MANIPULATIONS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "contrast": _contrast,
    "brightness": _brightness,
    "colour": _colour,
    "sharpness": _sharpness,
    "solarise": _solarise,
    "grey": _greyed,
    "red": _shift(0),
    "green": _shift(1),
    "blue": _shift(2),
    "exposure": _exposure,
    "white-balance": _white_balance,
    "noise": _noise,
    "blur": _blur,
}
"""Name -> (pictures [B, 3, H, W], levels [B, 1, 1, 1] in -1..1) -> pictures. At level 0 nothing changes, but for
`grey`, which has no level."""


@dataclass(frozen=True)
class Manipulations:
    """Draws from torch's generator.

    Attributes:
        names: of `MANIPULATIONS`.
        count: how many are composed.
        strength: largest level, 0..1.
    """

    names: tuple[str, ...] = tuple(MANIPULATIONS)
    count: int = 3
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not self.names or (unknown := [name for name in self.names if name not in MANIPULATIONS]):
            what = choices(unknown) if self.names else "(none given)"
            raise HumanrtError(f"unknown image manipulation {what}; choose one of: {choices(MANIPULATIONS)}")
        if not 1 <= self.count <= 16 or not 0 <= self.strength <= 1:
            raise HumanrtError("the count of manipulations must be 1 to 16, and their strength 0 to 1")

    def __call__(self, picture: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in 0..1 -> changed ones, without a gradient."""
        picture = picture.detach()
        size = (len(picture), self.count)
        chosen = torch.randint(len(self.names), size, device=picture.device)
        levels = self.strength * (2 * torch.rand(size, device=picture.device, dtype=picture.dtype) - 1)
        changed = picture.clone()
        for slot in range(self.count):
            before = changed
            changed = before.clone()
            for number, name in enumerate(self.names):
                (places,) = torch.nonzero(chosen[:, slot] == number, as_tuple=True)
                if len(places):
                    level = levels[places, slot, None, None, None]
                    changed[places] = MANIPULATIONS[name](before[places], level).clamp(0, 1)
        return changed


@dataclass(frozen=True, kw_only=True)
class Changes(Method):
    """Base of methods that change pictures at random.

    Attributes:
        manipulations: which changes; without any, all.
        manipulated: changes composed.
    """

    manipulations: Annotated[tuple[str, ...], Option(choices=MANIPULATIONS, metavar="NAME")] = ()
    manipulated: int = 3

    def check(self) -> None:
        """Refuse changes that there are not."""
        _ = self.changes

    @property
    def changes(self) -> Manipulations:
        """The random changes."""
        return Manipulations(self.manipulations or tuple(MANIPULATIONS), self.manipulated)
