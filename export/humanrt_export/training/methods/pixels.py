"""Between pictures in 0..1, where perturbations and manipulations are defined, and what networks see."""

from __future__ import annotations

from torch import Tensor

from humanrt_export.networks.camera import DEVIATION, MEAN

__all__ = ["normalised", "pixels"]


def normalised(picture: Tensor) -> Tensor:
    """RGB [..., 3, H, W] in 0..1 -> the network's input."""
    mean, deviation = _channels(picture)
    return (picture - mean) / deviation


def pixels(image: Tensor) -> Tensor:
    """The network's input [..., 3, H, W] -> RGB in 0..1."""
    mean, deviation = _channels(image)
    return image * deviation + mean


def _channels(like: Tensor) -> tuple[Tensor, Tensor]:
    return like.new_tensor(MEAN)[:, None, None], like.new_tensor(DEVIATION)[:, None, None]
