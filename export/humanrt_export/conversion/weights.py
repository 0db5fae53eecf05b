"""Weights in 8 bits: a quarter of the file. Only stored so: every runtime computes with floats, as before.

A matrix's row is integers of -127..127 times a scale. The scale has few enough digits that all products are exact in
float32; so the graphs, which are checked against the rounded network, lose nothing (`onnx_cleanup.store_as_int8`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from humanrt_export.networks.backbone import DinoV2

__all__ = ["int8_rows", "round_weights"]

_SMALLEST = 4096  # entries; smaller tensors stay as they are
_DIGITS = 12  # bits of a scale: with the 7 of an integer, far from float32's 24
_LEVELS = 127


def round_weights(model: nn.Module) -> None:
    """Round, in place: matrices and convolutions to 8 bits an entry, large tables to float16. Fold before."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv2d) and module.weight.numel() >= _SMALLEST:
                module.weight.copy_(int8_rows(module.weight))
            if isinstance(module, DinoV2) and module.folded_positions is not None:
                module.folded_positions = module.folded_positions.half().float()
        for buffer in model.buffers():
            if buffer.is_floating_point() and buffer.numel() >= _SMALLEST:
                buffer.copy_(buffer.half().float())


def int8_rows(weight: Tensor) -> Tensor:
    """Return the nearest tensor to ``weight`` [N, ...] whose rows are integers of -127..127 times a scale each."""
    largest = weight.flatten(1).abs().amax(1)
    mantissa, exponent = torch.frexp(largest / _LEVELS)
    scale = torch.ldexp(torch.ceil(mantissa * 2**_DIGITS) / 2**_DIGITS, exponent)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale)).view(-1, *(1,) * (weight.ndim - 1))
    return (weight / scale).round().clamp(-_LEVELS, _LEVELS) * scale
