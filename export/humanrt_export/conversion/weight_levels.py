"""Weights as integers, with as many levels as each tensor needs.

Eight bits a weight (`weights.int8_rows`) are more than some tensors need and too few for others. Here each tensor has
its own number of levels: a row (an output channel) is integers in -levels..levels times one scale. Up to 127 they are
stored as int8, beyond as two of them, of which the upper one is mostly near zero and packs well.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from humanrt_export.conversion.onnx_cleanup import stored
from humanrt_export.conversion.rewriting import add_constant, make_node

__all__ = ["MAX_LEVELS", "integers", "store_in_levels"]

Floats = NDArray[np.float32]

MAX_LEVELS = 1023
"""Of 11 bits. More are no better than float16, which MediaPipe's weights come in."""
_SCALE_BITS = 12  # with the 11 bits of an integer below float32's 24: products are exact
_ONE_BYTE = 127


def integers(weight: Floats, levels: int) -> tuple[NDArray[np.int64], Floats]:
    """Return integers in -levels..levels and the scale of each row whose product is nearest to ``weight`` [N, ...].

    A row's largest weight is its last level, up to the rounding of the scale.
    """
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    mantissa, exponent = np.frexp(largest / np.float32(levels))
    scale = np.ldexp(np.ceil(mantissa * 2**_SCALE_BITS) / 2**_SCALE_BITS, exponent).astype(np.float32)
    scale = np.where(scale > 0, scale, np.float32(1)).reshape(-1, *(1,) * (weight.ndim - 1))
    return np.rint(weight / scale).astype(np.int64).clip(-levels, levels), scale


def store_in_levels(model: ir.Model, levels: Mapping[str, int]) -> ir.Model:
    """Return a copy that computes named constants, rounded to their levels, from integers and scales.

    Casts, sums and products do it, which fold away at load.

    Args:
        model: the graph, with weights as float32.
        levels: levels of constants by name.
    """

    def packed(graph: ir.Graph, name: str, value: Floats) -> list[ir.Node]:
        if name not in levels:
            return []
        whole, scale = integers(value, levels[name])
        low = ((whole + 128) & 255) - 128
        stored_low = add_constant(graph, f"{name}_low", low.astype(np.int8))
        nodes = [make_node("Cast", [stored_low], f"{name}_low_f32", f"Cast_{name}_low", to=ir.DataType.FLOAT)]
        if levels[name] > _ONE_BYTE:
            stored_high = add_constant(graph, f"{name}_high", ((whole - low) >> 8).astype(np.int8))
            step = add_constant(graph, f"{name}_256", np.array(256, np.float32))
            high = make_node("Cast", [stored_high], f"{name}_high_f32", f"Cast_{name}_high", to=ir.DataType.FLOAT)
            upper = make_node("Mul", [high.outputs[0], step], f"{name}_upper", f"Upper_{name}")
            both = [nodes[0].outputs[0], upper.outputs[0]]
            nodes += [high, upper, make_node("Add", both, f"{name}_levels", f"Levels_{name}")]
        factor = add_constant(graph, f"{name}_scale", scale)
        return [*nodes, make_node("Mul", [nodes[-1].outputs[0], factor], name, f"Scale_{name}")]

    return stored(model, packed)
