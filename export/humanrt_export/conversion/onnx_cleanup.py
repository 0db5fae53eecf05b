"""Rewrites of an ONNX graph that leave its function as it is and make it faster on ONNX Runtime's CPU kernels.

ONNX Runtime keeps convolutions in a blocked layout (NCHWc: 16 channels side by side with AVX-512, 8 with AVX2) and
fuses Conv + Add + Relu there. Whatever it cannot run blocked (PRelu, Pad, bilinear Resize, an Add with such a
neighbour) costs a reorder on either side. So every pass either removes such operators or makes them smaller; the
order is the one in `clean`. Each pass works in place and is exact up to float32 rounding; the parity gate of the bundle
has the last word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from humanrt_export.conversion.rewriting import (
    add_constant,
    check,
    infer_types,
    make_node,
    replace,
    set_constant,
    sole_consumer,
    tidy,
)

__all__ = [
    "clean",
    "clip_after_convolution",
    "merge_heads",
    "merge_ssd_heads",
    "move_resize_after_pointwise",
    "pad_channels_by_convolution",
    "prelu_to_convolution",
    "prune_dead_channels",
    "store_as_float16",
    "store_as_int8",
    "stored",
]

# The widest blocked layout of ONNX Runtime (AVX-512), in channels. Channel counts are kept multiples of it, because a
# depthwise convolution with another count leaves the blocked layout in older versions.
BLOCK = 16

Array = NDArray[Any]

# Operators that act on each channel by itself and keep a constant channel constant.
_CHANNELWISE = ("Relu", "Clip", "GlobalAveragePool", "Flatten", "MaxPool")


def clean(model: ir.Model) -> None:
    """Apply all passes, in the order in which they help each other."""
    prune_dead_channels(model)
    move_resize_after_pointwise(model)
    pad_channels_by_convolution(model)
    prelu_to_convolution(model)
    merge_heads(model)
    tidy(model)
    check(model)


def _array(node: ir.Node, index: int) -> Array:
    """Return the constant that is input ``index`` of a node."""
    array: Array = node.inputs[index].const_value.numpy()
    return array


def _is_pointwise(node: ir.Node) -> bool:
    """Return whether a node is a convolution that only mixes channels at each pixel."""
    return (
        node.op_type == "Conv"
        and node.attributes.get_int("group", 1) == 1
        and _array(node, 1).shape[2:] == (1, 1)
        and set(node.attributes.get_ints("strides", [1, 1])) == {1}
        and not any(node.attributes.get_ints("pads", [0]))
    )


def _is_depthwise(node: ir.Node) -> bool:
    if node.op_type != "Conv" or not node.inputs[1].is_initializer():
        return False
    shape = _array(node, 1).shape
    return bool(shape[1] == 1 and shape[0] == node.attributes.get_int("group", 1))


def prune_dead_channels(model: ir.Model, block: int = BLOCK) -> int:
    """Drop hidden channels whose value is the same for every input; returns how many.

    Training leaves channels whose weights are all exactly zero: past their bias and activation they are constants,
    and what they contribute is a bias of the layer that reads them. A hidden group of channels starts at an ordinary
    convolution, goes through channel-by-channel operators and ends at 1x1 convolutions or fully connected layers.
    Channels are dropped so that a multiple of ``block`` is left (the rest would be padded back).
    """
    return sum(_prune_from(node, block) for node in model.graph if node.op_type == "Conv")


def _prune_from(start: ir.Node, block: int) -> int:
    if start.attributes.get_int("group", 1) != 1 or len(start.inputs) < 3:
        return 0
    constant = _silent(_array(start, 1))  # per channel: the same for every input?
    value = _array(start, 2).copy()  # per channel: what it is, where constant
    chain = [start]
    while (node := sole_consumer(chain[-1].outputs[0])) is not None:
        if _is_depthwise(node) and len(node.inputs) == 3:
            # A constant that is not zero meets the zero padding at the border and is no longer constant.
            constant = _silent(_array(node, 1)) | (constant & (value == 0))
            value = _array(node, 2).copy()
        elif node.op_type == "Relu":
            value = np.maximum(value, 0)
        elif node.op_type == "Clip":
            value = np.clip(value, _array(node, 1), _array(node, 2))
        elif node.op_type not in _CHANNELWISE:
            break
        chain.append(node)
    hidden = chain[-1].outputs[0]
    readers = hidden.consumers()
    if hidden.is_graph_output() or not readers or not all(_can_absorb(node, len(constant)) for node in readers):
        return 0
    alive = np.flatnonzero(~constant)
    keep_count = -(-max(len(alive), 1) // block) * block
    if keep_count >= len(constant):
        return 0
    keep = np.sort(np.concatenate([alive, np.flatnonzero(constant)[: keep_count - len(alive)]]))
    dropped = np.setdiff1d(np.arange(len(constant)), keep)

    for node in readers:
        weight, bias = _array(node, 1), _array(node, 2)
        matrix = weight.reshape(weight.shape[0], -1).astype(np.float64)
        shift = matrix[:, dropped] @ value[dropped].astype(np.float64)
        set_constant(node.inputs[1], weight[:, keep])
        set_constant(node.inputs[2], (bias + shift).astype(np.float32))
    for node in (item for item in chain if item.op_type == "Conv"):
        for index in (1, 2):
            set_constant(node.inputs[index], _array(node, index)[keep])
        if node is not start:
            node.attributes.pop("group")
            node.attributes.add(ir.AttrInt64("group", len(keep)))
    return len(dropped)


def _silent(weight: Array) -> Array:
    """Return, per output channel, whether all its weights are exactly zero."""
    silent: Array = np.logical_not(weight.reshape(len(weight), -1).any(axis=1))
    return silent


def _can_absorb(node: ir.Node, channels: int) -> bool:
    """Return whether the node mixes these channels linearly, with a bias that can absorb a constant."""
    if len(node.inputs) < 3 or node.op_type not in ("Conv", "Gemm") or _array(node, 1).shape[1] != channels:
        return False
    return _is_pointwise(node) or (node.op_type == "Gemm" and node.attributes.get_int("transB", 0) == 1)


def move_resize_after_pointwise(model: ir.Model) -> int:
    """Move Resize behind the 1x1 convolution that reads it; returns how many: a quarter of the work at a factor of two.

    Interpolation weights sum to one at every pixel, so they commute with a channel mix and its bias.
    """
    moved = 0
    for resize in [node for node in model.graph if node.op_type == "Resize"]:
        conv = sole_consumer(resize.outputs[0])
        if conv is None or not _is_pointwise(conv) or _array(resize, 2).min() < 1:
            continue
        output, inputs = ir.val(f"{conv.outputs[0].name}_small"), [resize.inputs[0], *conv.inputs[1:]]
        small = ir.node("Conv", inputs, conv.attributes, outputs=[output], name=conv.name)
        large = ir.node("Resize", [output, *resize.inputs[1:]], resize.attributes, name=resize.name)
        replace([resize, conv], [small, large])
        moved += 1
    return moved


def pad_channels_by_convolution(model: ir.Model) -> int:
    """Append zero channels by a 1x1 identity convolution with rows of zeros instead of Pad; returns how many.

    Pad has no blocked kernel; the convolution has one, which also absorbs the addition that follows.
    """
    count = 0
    infer_types(model)
    for pad in [node for node in model.graph if node.op_type == "Pad"]:
        pads = _array(pad, 1).tolist()
        channels, extra = pad.inputs[0].shape[1], pads[5] if len(pads) == 8 else 0
        if extra == 0 or any(n for i, n in enumerate(pads) if i != 5):
            continue
        output = pad.outputs[0].name
        weight = np.eye(channels + extra, channels, dtype=np.float32)[:, :, None, None]
        identity = add_constant(model.graph, f"{output}_identity", weight)
        replace([pad], [make_node("Conv", [pad.inputs[0], identity], output, kernel_shape=[1, 1])])
        count += 1
    return count


def prelu_to_convolution(model: ir.Model) -> int:
    """Compute PRelu as ``y + (1 - s) * relu(-y)``, with operators that have blocked kernels; returns how many.

    The product by a factor per channel is a 1x1 depthwise convolution, into which ONNX Runtime fuses the sum; the
    negation is one as well, into which it fuses Relu. Exact for every slope s: positive y passes untouched, negative
    y becomes ``y - (1 - s) y``.
    """
    count = 0
    minus_ones: dict[int, ir.Value] = {}
    for node in [item for item in model.graph if item.op_type == "PRelu"]:
        data, output = node.inputs[0], node.outputs[0].name
        factor = (1 - _array(node, 1).reshape(-1, 1, 1, 1).astype(np.float64)).astype(np.float32)
        channels = len(factor)
        one: dict[str, Any] = {"group": channels, "kernel_shape": [1, 1]}
        if channels not in minus_ones:
            ones = np.full((channels, 1, 1, 1), -1, np.float32)
            minus_ones[channels] = add_constant(model.graph, f"minus_one_{channels}", ones)
        scale = add_constant(model.graph, f"{output}_factor", factor)
        minus = make_node("Conv", [data, minus_ones[channels]], f"{output}_minus", f"Minus_{output}", **one)
        negative = make_node("Relu", minus.outputs, f"{output}_negative", f"Relu_{output}")
        part = make_node("Conv", [negative.outputs[0], scale], f"{output}_part", f"Scale_{output}", **one)
        replace([node], [minus, negative, part, make_node("Add", [data, part.outputs[0]], output)])
        count += 1
    return count


def clip_after_convolution(model: ir.Model) -> int:
    """Put a 1x1 depthwise identity convolution between an Add and the Clip that alone reads it; returns how many.

    ONNX Runtime has no blocked Clip of its own, only one fused into a convolution: without one, each such pair leaves
    the blocked layout. Exact: the convolution multiplies by one.
    """
    count = 0
    infer_types(model)
    ones: dict[int, ir.Value] = {}
    for total in [node.outputs[0] for node in model.graph if node.op_type == "Add"]:
        clip = sole_consumer(total)
        if clip is None or clip.op_type != "Clip":
            continue
        output = clip.outputs[0].name
        channels = total.shape[1]
        if channels not in ones:
            weight = np.ones((channels, 1, 1, 1), np.float32)
            ones[channels] = add_constant(model.graph, f"one_{channels}", weight)
        inputs = [total, ones[channels]]
        same = make_node("Conv", inputs, f"{output}_same", f"Same_{output}", group=channels, kernel_shape=[1, 1])
        model.graph.insert_before(clip, [same])
        clip.replace_input_with(0, same.outputs[0])
        count += 1
    return count


def merge_heads(model: ir.Model) -> int:
    """Merge Gemm layers of one input into one Gemm and a Split, one pass over the input; returns how many."""
    count = 0
    for source in dict.fromkeys(node.inputs[0] for node in model.graph if node.op_type == "Gemm"):
        group = [node for node in source.consumers() if node.op_type == "Gemm"]
        channels = _array(group[0], 1).shape[1]
        if len(group) < 2 or not all(_can_absorb(node, channels) for node in group):
            continue
        name = f"{source.name}_heads"
        weights = [_array(node, 1) for node in group]
        weight = add_constant(model.graph, f"{name}_w", np.concatenate(weights))
        bias = add_constant(model.graph, f"{name}_b", np.concatenate([_array(node, 2) for node in group]))
        sizes = add_constant(model.graph, f"{name}_n", np.array([len(item) for item in weights], np.int64))
        merged = make_node("Gemm", [source, weight, bias], name, "Gemm_heads", transB=1)
        _split(merged, sizes, group, "Split_heads", axis=1)
        count += len(group)
    return count


def _split(merged: ir.Node, sizes: ir.Value, old: list[ir.Node], name: str, axis: int) -> None:
    """Replace nodes by ``merged``, which concatenates their outputs, and a Split of its output."""
    split = ir.node("Split", [merged.outputs[0], sizes], {"axis": axis}, num_outputs=len(old), name=name)
    outputs = [node.outputs[0] for node in old]
    ir.convenience.replace_nodes_and_values(old[0].graph, old[0], old, [merged, split], outputs, split.outputs)


def merge_ssd_heads(model: ir.Model, boxes: ir.Value, scores: ir.Value) -> None:
    """Merge the box and score convolutions of a single-shot detector into one convolution per scale.

    As converted, each scale has a convolution for boxes (A anchors x B values) and one for scores (A), each followed
    by Transpose and Reshape, and a Concat of the scales writes ``boxes`` [1, N, B] and ``scores`` [1, N, 1]. The
    merged convolution gives B + 1 values per anchor, which are split once, at the end.
    """
    graph = model.graph
    joined = []
    width = 0
    for (box, reshape), (score, _) in zip(_branches(boxes), _branches(scores), strict=True):
        if box.inputs[0] is not score.inputs[0]:
            raise ValueError("box and score branches read different tensors")
        anchors = len(_array(score, 1))
        name = f"{box.outputs[0].name}_head"
        merged = []
        for index in (1, 2):
            parts = [_array(node, index).reshape(anchors, -1, *_array(node, index).shape[1:]) for node in (box, score)]
            value = np.concatenate(parts, axis=1)
            width = value.shape[1]
            merged.append(add_constant(graph, f"{name}_{index}", value.reshape(-1, *value.shape[2:])))
        shape = np.append(_array(reshape, 1)[:-1], width)
        new = make_node("Conv", [box.inputs[0], *merged], name, **{n: a.value for n, a in box.attributes.items()})
        nhwc = make_node("Transpose", new.outputs, f"{name}_nhwc", f"T_{name}", perm=[0, 2, 3, 1])
        target = add_constant(graph, f"{name}_shape", shape)
        rows = make_node("Reshape", [nhwc.outputs[0], target], f"{name}_rows", f"R_{name}")
        graph.insert_before(box, [new, nhwc, rows])
        joined.append(rows.outputs[0])
    concat = make_node("Concat", joined, "ssd_rows", "Concat_ssd", axis=1)
    sizes = add_constant(graph, "ssd_sizes", np.array([width - 1, 1], np.int64))
    _split(concat, sizes, [boxes.producer(), scores.producer()], "Split_ssd", axis=2)
    tidy(model)


def _branches(output: ir.Value) -> list[tuple[ir.Node, ir.Node]]:
    """Return (Conv, Reshape) of every scale that the Concat behind ``output`` joins, in its order."""
    branches = []
    for reshape in output.producer().predecessors():
        conv, *_ = [node for before in reshape.predecessors() for node in before.predecessors()] or [None]
        if conv is None or conv.op_type != "Conv":
            raise ValueError(f"{output.name} is not a concatenation of convolutions")
        branches.append((conv, reshape))
    return branches


def store_as_float16(model: ir.Model) -> ir.Model:
    """Return a copy that stores float32 constants that are exact in float16 as float16, with a Cast.

    The Cast folds away at load. Half the file, not one bit of difference: TensorFlow Lite stored these weights as
    float16 in the first place.
    """

    def halved(graph: ir.Graph, name: str, value: Array) -> list[ir.Node]:
        with np.errstate(over="ignore"):
            half = value.astype(np.float16)
        if value.size < 256 or not np.array_equal(half.astype(np.float32), value):
            return []
        return [make_node("Cast", [add_constant(graph, f"{name}_f16", half)], name, to=ir.DataType.FLOAT)]

    return stored(model, halved)


def store_as_int8(model: ir.Model) -> ir.Model:
    """Return a copy that stores float32 constants that are integers of -127..127 times a scale as int8.

    The scale is one for each entry of their first or last dimension. A Cast and a Mul, which fold away at load, compute
    the constants. A quarter of the file, not one bit of difference: weights are brought to that form before (see
    `conversion.weights`).
    """

    def packed(graph: ir.Graph, name: str, value: Array) -> list[ir.Node]:
        if value.size < 4096:
            return []
        for axis in (-1, 0):
            others = tuple(k for k in range(value.ndim) if k != axis % value.ndim)
            scale = np.abs(value).max(axis=others, keepdims=True) / np.float32(127)
            scale = np.where(scale > 0, scale, np.float32(1)).astype(np.float32)
            levels = np.rint(value / scale).astype(np.int8)
            if np.array_equal(levels * scale, value):
                stored, factor = add_constant(graph, f"{name}_i8", levels), add_constant(graph, f"{name}_scale", scale)
                cast = make_node("Cast", [stored], f"{name}_cast", f"Cast_{name}", to=ir.DataType.FLOAT)
                return [cast, make_node("Mul", [cast.outputs[0], factor], name, f"Scale_{name}")]
        return []

    return stored(model, packed)


def stored(model: ir.Model, smaller: Callable[[ir.Graph, str, Array], list[ir.Node]]) -> ir.Model:
    """Return a copy that computes float32 constants by the nodes that ``smaller`` returns for them, if any."""
    model = model.clone()
    initializers = model.graph.initializers
    made: list[ir.Node] = []
    for value in list(initializers.values()):
        del initializers[value.name]
        is_float = value.dtype == ir.DataType.FLOAT
        nodes = smaller(model.graph, value.name, value.const_value.numpy()) if is_float else []
        if nodes:
            value.replace_all_uses_with(nodes[-1].outputs[0])
            made += nodes
        else:
            initializers.add(value)
    model.graph.insert_before(model.graph[0], made)
    check(model)
    return model
