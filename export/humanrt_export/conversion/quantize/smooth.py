"""SmoothQuant: outliers of activations move into the weights that they are multiplied with.

A few channels of a transformer's normalised tokens are a hundred times larger than the others, and one scale for all of
them leaves these few levels. Dividing a channel by s and multiplying its weights by s changes nothing in exact
arithmetic; LayerNormalization takes the division into its own weights (Xiao et al., 2023, equation 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from humanrt_export.conversion.quantize.layers import Layer
from humanrt_export.conversion.rewriting import add_constant, tidy

__all__ = ["normalised", "smooth"]

_MIN_MAGNITUDE = 1e-5
_MAX_SCALE = 1e2
"""A channel is divided or multiplied by no more than this."""

Array = NDArray[np.float32]


def normalised(model: ir.Model, layers: Sequence[Layer]) -> list[ir.Value]:
    """Return outputs of LayerNormalization that only MatMul nodes among ``layers`` read."""
    products = {layer.name for layer in layers if layer.operator == "MatMul"}
    outputs = [node.outputs[0] for node in model.graph if node.op_type == "LayerNormalization"]
    return [
        value
        for value in outputs
        if value.uses()
        and not value.is_graph_output()
        and all(use.node.name in products and use.idx == 0 for use in value.uses())
    ]


def smooth(model: ir.Model, layers: Sequence[Layer], channels: Mapping[str, Array], alpha: float) -> ir.Model:
    """Return a copy that computes the same, with smoother activations.

    Args:
        model: the graph, its constants folded.
        layers: its layers that become INT8.
        channels: output of a LayerNormalization -> the largest magnitude of each channel, [K].
        alpha: 0 leaves all in the activations, 1 moves all into the weights.
    """
    made = model.clone()
    for output in normalised(made, layers):
        products, norm = output.consumers(), output.producer()
        weights = [node.inputs[1] for node in products]
        if any(len(weight.uses()) > 1 for weight in weights):  # shared weights would be scaled twice
            continue
        arrays = [weight.const_value.numpy() for weight in weights]
        largest = np.maximum(np.max([np.abs(array).max(axis=1) for array in arrays], axis=0), _MIN_MAGNITUDE)
        scale = np.maximum(channels[output.name], _MIN_MAGNITUDE) ** alpha / largest ** (1 - alpha)
        scale = np.clip(scale, 1 / _MAX_SCALE, _MAX_SCALE).astype(np.float32)
        for index in range(1, len(norm.inputs)):
            divided = norm.inputs[index].const_value.numpy() / scale
            norm.replace_input_with(index, add_constant(made.graph, f"{output.name}.smooth{index}", divided))
        for node, weight, array in zip(products, weights, arrays, strict=True):
            node.replace_input_with(1, add_constant(made.graph, f"{weight.name}.smooth", array * scale[:, None]))
    tidy(made)
    return made
