"""The branch of MediaPipe's larger body landmark network that draws the person's silhouette, made fast.

It has 8 channels at full size, half of a block of ONNX Runtime's layout (`onnx_cleanup`): channels of zeros fill the
block. Its last convolution gives a single channel, for which there is no blocked kernel: it becomes a depthwise one and
a sum. Exact but for the order of sums.

The landmarks do not need the branch, and most frames do not either: it is a graph apart, stored as what it adds to
theirs (`rewriting.extension`).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from humanrt_export.conversion.onnx_cleanup import BLOCK
from humanrt_export.conversion.rewriting import add_constant, check, infer_types, make_node, replace, tidy

__all__ = ["split_last_convolution", "widen_channels"]

Array = NDArray[np.float32]


def widen_channels(model: ir.Model, channels: int) -> int:
    """Fill values of so few channels with zeros up to a block; returns how many convolutions were changed.

    They begin and end at convolutions; operators between them treat every channel alike.
    """
    infer_types(model)
    narrow = {
        value
        for node in model.graph
        for value in node.outputs
        if value.shape is not None and len(value.shape) == 4 and value.shape[1] == channels
    }
    made: dict[ir.Value, ir.Value] = {}
    count = changed = 0

    def wide(value: ir.Value, rows: bool, columns: bool) -> ir.Value:
        nonlocal count
        if value not in made:
            array = value.const_value.numpy()
            pads = [(0, BLOCK - channels if on else 0) for on in (rows, columns)][: array.ndim]
            padded = np.pad(array, [*pads, *[(0, 0)] * (array.ndim - len(pads))])
            made[value] = add_constant(model.graph, f"{value.name}_wide{count}", padded)
            count += 1
        return made[value]

    for node in [node for node in model.graph if node.op_type == "Conv"]:
        into, out = node.inputs[0] in narrow, node.outputs[0] in narrow
        if not (into or out):
            continue
        depthwise = node.attributes.get_int("group", 1) > 1
        for index in range(1, len(node.inputs)):
            columns = into and not depthwise and index == 1
            node.replace_input_with(index, wide(node.inputs[index], out, columns))
        if depthwise:
            node.attributes.pop("group")
            node.attributes.add(ir.AttrInt64("group", BLOCK))
        changed += 1
    tidy(model)
    infer_types(model)
    return changed


def split_last_convolution(model: ir.Model, output: str) -> None:
    """Compute the value ``output``, a convolution to one channel, by a depthwise convolution and a 1x1 one."""
    node = next(node for node in model.graph if node.outputs[0].name == output)
    weight: Array = node.inputs[1].const_value.numpy()
    channels = weight.shape[1]
    taps = add_constant(model.graph, f"{output}_taps", weight.reshape(channels, 1, *weight.shape[2:]))
    ones = add_constant(model.graph, f"{output}_ones", np.ones((1, channels, 1, 1), np.float32))
    how = {name: node.attributes[name].value for name in ("kernel_shape", "pads", "strides")}
    apart = make_node("Conv", [node.inputs[0], taps], f"{output}_apart", f"Taps_{output}", **how, group=channels)
    total = make_node("Conv", [apart.outputs[0], ones, node.inputs[2]], output, f"Sum_{output}", kernel_shape=[1, 1])
    replace([node], [apart, total])
    tidy(model)
    check(model)
