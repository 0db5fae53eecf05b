"""SmoothQuant: outliers of activations move into the weights that they are multiplied with.

A few channels of a transformer's normalised tokens are a hundred times larger than the others, and one scale for all of
them leaves these few levels. Dividing a channel by s and multiplying its weights by s changes nothing in exact
arithmetic; LayerNormalization takes the division into its own weights (Xiao et al., 2023, equation 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from humanrt_export.conversion.quantize.graph import Layer, finish, users

__all__ = ["normalised", "smooth"]

_LEAST = 1e-5
_MOST = 1e2  # by which a channel is divided or multiplied

Array = NDArray[np.float32]


def normalised(model: onnx.ModelProto, layers: Sequence[Layer]) -> dict[str, list[Layer]]:
    """Outputs of LayerNormalization that go nowhere but into these MatMul, and which."""
    by_name = {layer.name: layer for layer in layers if layer.operator == "MatMul"}
    following = users(model)
    outputs = {value.name for value in model.graph.output}
    found = {}
    for node in model.graph.node:
        if node.op_type == "LayerNormalization" and node.output[0] not in outputs:
            takers = following.get(node.output[0], [])
            if takers and all(t.name in by_name and t.input[0] == node.output[0] for t in takers):
                found[node.output[0]] = [by_name[t.name] for t in takers]
    return found


def smooth(
    model: onnx.ModelProto, layers: Sequence[Layer], channels: Mapping[str, Array], alpha: float
) -> onnx.ModelProto:
    """A copy that computes the same, with smoother activations.

    Args:
        channels: output of a LayerNormalization -> the largest magnitude of each channel, [K].
        alpha: 0 leaves all in the activations, 1 moves all into the weights.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    weights = {item.name: numpy_helper.to_array(item) for item in made.graph.initializer}
    constants: dict[str, Array] = {}
    divided: dict[str, Array] = {}
    following = users(made)
    for output, takers in normalised(made, layers).items():
        if any(len(following[layer.weight]) > 1 for layer in takers):  # shared weights would be scaled twice
            continue
        largest = np.maximum(np.max([np.abs(weights[layer.weight]).max(axis=1) for layer in takers], axis=0), _LEAST)
        scale = np.maximum(channels[output], _LEAST) ** alpha / largest ** (1 - alpha)
        scale = np.clip(scale, 1 / _MOST, _MOST).astype(np.float32)
        divided[output] = scale
        for layer in takers:
            constants[f"{layer.weight}.smooth"] = weights[layer.weight] * scale[:, None]
    for node in made.graph.node:
        if node.op_type == "LayerNormalization" and node.output[0] in divided:
            for place in range(1, len(node.input)):
                name = f"{node.output[0]}.smooth{place}"
                constants[name] = weights[node.input[place]] / divided[node.output[0]]
                node.input[place] = name
        elif len(node.input) > 1 and f"{node.input[1]}.smooth" in constants:
            node.input[1] = f"{node.input[1]}.smooth"
    finish(made, constants)
    return made
