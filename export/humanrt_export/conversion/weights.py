"""Round weights so that 8 bits store them: a quarter of the file. Every runtime still computes with floats.

Each row of a matrix is integers in -127..127 times a scale. The scale has few enough bits that all products are exact
in float32, so that nothing is lost when the graph, which is checked against the rounded network, is stored
(`onnx_cleanup.store_as_int8`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from humanrt_export.networks.backbone import DinoV2

__all__ = ["int8_rows", "round_weights"]

_MIN_SIZE = 4096  # entries; smaller tensors are not rounded
_SCALE_BITS = 12  # with the 7 bits of an integer well below float32's 24
_LEVELS = 127


def round_weights(model: nn.Module) -> None:
    """Round a network in place: matrices and convolutions to 8 bits per entry, large tables to float16.

    Fold the backbone first.
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv2d) and module.weight.numel() >= _MIN_SIZE:
                module.weight.copy_(int8_rows(module.weight))
            if isinstance(module, DinoV2) and module.folded_positions is not None:
                module.folded_positions = module.folded_positions.half().float()
        for buffer in model.buffers():
            if buffer.is_floating_point() and buffer.numel() >= _MIN_SIZE:
                buffer.copy_(buffer.half().float())


def int8_rows(weight: Tensor) -> Tensor:
    """Return the nearest tensor to ``weight`` [N, ...] whose rows are integers in -127..127 times one scale each."""
    largest = weight.flatten(1).abs().amax(1)
    mantissa, exponent = torch.frexp(largest / _LEVELS)
    scale = torch.ldexp(torch.ceil(mantissa * 2**_SCALE_BITS) / 2**_SCALE_BITS, exponent)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale)).view(-1, *(1,) * (weight.ndim - 1))
    return (weight / scale).round().clamp(-_LEVELS, _LEVELS) * scale
