"""Rewrites of an ONNX graph that leave its function as it is and make it faster on ONNX Runtime's CPU kernels.

ONNX Runtime keeps convolutions in a blocked layout (NCHWc: 16 channels side by side with AVX-512, 8 with AVX2) and
fuses Conv + Add + Relu there. Whatever it cannot run blocked (PRelu, Pad, bilinear Resize, an Add with such a
neighbour) costs a reorder on either side. So every pass either removes such operators or makes them smaller; the
order is the one in `clean`. Each pass is exact up to float32 rounding; the parity gate of the bundle has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

__all__ = [
    "Graph",
    "clean",
    "keep_outputs",
    "merge_heads",
    "merge_ssd_heads",
    "move_resize_after_pointwise",
    "pad_channels_by_convolution",
    "prelu_to_convolution",
    "prune_dead_channels",
    "store_as_float16",
    "store_as_int8",
]

# The widest blocked layout of ONNX Runtime (AVX-512), in channels. Channel counts are kept multiples of it, because a
# depthwise convolution with another count leaves the blocked layout in older versions.
BLOCK = 16

Array = NDArray[Any]

# Operators that act on each channel by itself and keep a constant channel constant.
_CHANNELWISE = ("Relu", "Clip", "GlobalAveragePool", "Flatten", "MaxPool")


@dataclass
class Graph:
    """An ONNX graph that can be edited: nodes in topological order, constants as arrays by name."""

    model: onnx.ModelProto
    nodes: list[onnx.NodeProto]
    constants: dict[str, Array]

    @classmethod
    def of(cls, model: onnx.ModelProto) -> Graph:
        """Return an editable copy; ``model`` is not changed."""
        own = onnx.ModelProto()
        own.CopyFrom(model)
        constants = {item.name: numpy_helper.to_array(item) for item in own.graph.initializer}
        return cls(own, list(own.graph.node), constants)

    @property
    def inputs(self) -> list[str]:
        return [value.name for value in self.model.graph.input]

    @property
    def outputs(self) -> list[str]:
        return [value.name for value in self.model.graph.output]

    def producer(self, name: str) -> onnx.NodeProto | None:
        return next((node for node in self.nodes if name in node.output), None)

    def consumers(self, name: str) -> list[onnx.NodeProto]:
        return [node for node in self.nodes if name in node.input]

    def only_consumer(self, name: str) -> onnx.NodeProto | None:
        """Return the only node that reads ``name``; None if there are several or it is a graph output."""
        consumers = self.consumers(name)
        return consumers[0] if len(consumers) == 1 and name not in self.outputs else None

    def insert_before(self, node: onnx.NodeProto, new: Iterable[onnx.NodeProto]) -> None:
        position = next(i for i, item in enumerate(self.nodes) if item is node)
        self.nodes[position:position] = list(new)

    def remove(self, node: onnx.NodeProto) -> None:
        self.nodes = [item for item in self.nodes if item is not node]

    def replace(self, node: onnx.NodeProto, new: Iterable[onnx.NodeProto]) -> None:
        self.insert_before(node, new)
        self.remove(node)

    def constant(self, name: str, value: Array) -> str:
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def to_model(self) -> onnx.ModelProto:
        """Return the edited graph as a checked model; unused constants and stale shapes are dropped."""
        used = {name for node in self.nodes for name in node.input}
        result = onnx.ModelProto()
        result.CopyFrom(self.model)
        del result.graph.node[:], result.graph.initializer[:], result.graph.value_info[:]
        result.graph.node.extend(self.nodes)
        result.graph.initializer.extend(
            numpy_helper.from_array(value, name) for name, value in self.constants.items() if name in used
        )
        onnx.checker.check_model(result, full_check=True)
        return result


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return the value of a node's attribute."""
    return next((helper.get_attribute_value(item) for item in node.attribute if item.name == name), default)


def set_attribute(node: onnx.NodeProto, name: str, value: Any) -> None:
    kept = [item for item in node.attribute if item.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def shapes_of(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Return the static shape of every computed tensor."""
    inferred = onnx.shape_inference.infer_shapes(graph.to_model(), strict_mode=True, data_prop=True).graph
    return {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*inferred.input, *inferred.value_info, *inferred.output)
    }


def is_pointwise(graph: Graph, node: onnx.NodeProto) -> bool:
    """Return whether a node is a convolution that only mixes channels at each pixel."""
    return (
        node.op_type == "Conv"
        and attribute(node, "group", 1) == 1
        and graph.constants[node.input[1]].shape[2:] == (1, 1)
        and set(attribute(node, "strides", [1, 1])) == {1}
        and not any(attribute(node, "pads", [0]))
    )


def is_depthwise(graph: Graph, node: onnx.NodeProto) -> bool:
    if node.op_type != "Conv" or node.input[1] not in graph.constants:
        return False
    weight = graph.constants[node.input[1]]
    return bool(weight.shape[1] == 1 and weight.shape[0] == attribute(node, "group", 1))


def prune_dead_channels(graph: Graph, block: int = BLOCK) -> int:
    """Drop hidden channels whose value is the same for every input; returns how many.

    Training leaves channels whose weights are all exactly zero: past their bias and activation they are constants,
    and what they contribute is a bias of the layer that reads them. A hidden group of channels starts at an ordinary
    convolution, goes through channel-by-channel operators and ends at 1x1 convolutions or fully connected layers.
    Channels are dropped so that a multiple of ``block`` is left (the rest would be padded back).
    """
    return sum(_prune_from(graph, node, block) for node in list(graph.nodes) if node.op_type == "Conv")


def _prune_from(graph: Graph, start: onnx.NodeProto, block: int) -> int:
    if attribute(start, "group", 1) != 1 or len(start.input) < 3:
        return 0
    weight, bias = graph.constants[start.input[1]], graph.constants[start.input[2]]
    constant = _silent(weight)  # per channel: the same for every input?
    value = bias.copy()  # per channel: what it is, where constant
    chain: list[onnx.NodeProto] = []
    tensor = start.output[0]
    while (node := graph.only_consumer(tensor)) is not None:
        if is_depthwise(graph, node) and len(node.input) == 3:
            weight, bias = graph.constants[node.input[1]], graph.constants[node.input[2]]
            # A constant that is not zero meets the zero padding at the border and is no longer constant.
            constant = _silent(weight) | (constant & (value == 0))
            value = bias.copy()
        elif node.op_type == "Relu":
            value = np.maximum(value, 0)
        elif node.op_type == "Clip":
            value = np.clip(value, graph.constants[node.input[1]], graph.constants[node.input[2]])
        elif node.op_type not in _CHANNELWISE:
            break
        chain.append(node)
        tensor = node.output[0]
    readers = graph.consumers(tensor)
    if tensor in graph.outputs or not readers:
        return 0
    if not all(_can_absorb(graph, node, len(constant)) for node in readers):
        return 0
    alive = np.flatnonzero(~constant)
    keep_count = -(-max(len(alive), 1) // block) * block
    if keep_count >= len(constant):
        return 0
    keep = np.sort(np.concatenate([alive, np.flatnonzero(constant)[: keep_count - len(alive)]]))
    dropped = np.setdiff1d(np.arange(len(constant)), keep)

    for node in readers:
        weight, bias = graph.constants[node.input[1]], graph.constants[node.input[2]]
        matrix = weight.reshape(weight.shape[0], -1).astype(np.float64)
        shift = matrix[:, dropped] @ value[dropped].astype(np.float64)
        graph.constant(node.input[1], weight[:, keep])
        graph.constant(node.input[2], (bias + shift).astype(np.float32))
    for node in [start, *(item for item in chain if item.op_type == "Conv")]:
        for name in node.input[1:3]:
            graph.constant(name, graph.constants[name][keep])
        if node is not start:
            set_attribute(node, "group", len(keep))
    return len(dropped)


def _silent(weight: Array) -> Array:
    """Return, per output channel, whether all its weights are exactly zero."""
    silent: Array = np.logical_not(weight.reshape(len(weight), -1).any(axis=1))
    return silent


def _can_absorb(graph: Graph, node: onnx.NodeProto, channels: int) -> bool:
    """Return whether the node mixes these channels linearly, with a bias that can absorb a constant."""
    if len(node.input) < 3 or node.op_type not in ("Conv", "Gemm"):
        return False
    if graph.constants[node.input[1]].shape[1] != channels:
        return False
    return is_pointwise(graph, node) or (node.op_type == "Gemm" and attribute(node, "transB", 0) == 1)


def move_resize_after_pointwise(graph: Graph) -> int:
    """Resize then 1x1 convolution becomes 1x1 convolution then Resize: a quarter of the work for a factor of two.

    Interpolation weights sum to one at every pixel, so they commute with a channel mix and its bias.
    """
    moved = 0
    for resize in [node for node in graph.nodes if node.op_type == "Resize"]:
        conv = graph.only_consumer(resize.output[0])
        if conv is None or conv.op_type != "Conv" or not is_pointwise(graph, conv):
            continue
        scales = graph.constants[resize.input[2]]
        if scales.min() < 1:
            continue
        source, result, between = resize.input[0], conv.output[0], f"{conv.output[0]}_small"
        conv.input[0], conv.output[0] = source, between
        resize.input[0], resize.output[0] = between, result
        graph.remove(conv)
        graph.insert_before(resize, [conv])
        moved += 1
    return moved


def pad_channels_by_convolution(graph: Graph) -> int:
    """Zero channels appended by Pad become rows of zeros of a 1x1 identity convolution.

    Pad has no blocked kernel; the convolution has, and it swallows the addition that follows.
    """
    count = 0
    shapes = shapes_of(graph)
    for pad in [node for node in graph.nodes if node.op_type == "Pad"]:
        pads = graph.constants[pad.input[1]].tolist()
        channels, extra = shapes[pad.input[0]][1], pads[5] if len(pads) == 8 else 0
        if extra == 0 or any(n for i, n in enumerate(pads) if i != 5):
            continue
        weight = np.eye(channels + extra, channels, dtype=np.float32)[:, :, None, None]
        name = graph.constant(f"{pad.output[0]}_identity", weight)
        new = helper.make_node(
            "Conv", [pad.input[0], name], list(pad.output), name=f"Conv_{pad.output[0]}", kernel_shape=[1, 1]
        )
        graph.replace(pad, [new])
        count += 1
    return count


def prelu_to_convolution(graph: Graph) -> int:
    """PRelu per channel as ``y + (1 - s) * relu(-y)``, in operators that have blocked kernels.

    The product by a factor per channel is a 1x1 depthwise convolution, into which ONNX Runtime fuses the sum; the
    negation is one as well, into which it fuses Relu. Exact for every slope s: positive y passes untouched, negative
    y becomes ``y - (1 - s) y``.
    """
    count = 0
    for node in [item for item in graph.nodes if item.op_type == "PRelu"]:
        data, output = node.input[0], node.output[0]
        slope = graph.constants[node.input[1]].reshape(-1)
        factor = (1 - slope.astype(np.float64)).astype(np.float32)
        channels = len(slope)
        one = {"kernel_shape": [1, 1], "group": channels}
        minus = graph.constant(f"minus_one_{channels}", np.full((channels, 1, 1, 1), -1, np.float32))
        scale = graph.constant(f"{output}_factor", factor.reshape(-1, 1, 1, 1))
        graph.replace(
            node,
            [
                helper.make_node("Conv", [data, minus], [f"{output}_minus"], name=f"Minus_{output}", **one),
                helper.make_node("Relu", [f"{output}_minus"], [f"{output}_negative"], name=f"Relu_{output}"),
                helper.make_node(
                    "Conv", [f"{output}_negative", scale], [f"{output}_part"], name=f"Scale_{output}", **one
                ),
                helper.make_node("Add", [data, f"{output}_part"], [output], name=f"Add_{output}"),
            ],
        )
        count += 1
    return count


def merge_heads(graph: Graph) -> int:
    """Parallel Gemm layers of one input become one Gemm and a Split: one pass over the input, one launch."""
    count = 0
    sources = dict.fromkeys(node.input[0] for node in graph.nodes if node.op_type == "Gemm")
    for source in sources:
        group = [node for node in graph.consumers(source) if node.op_type == "Gemm"]
        channels = graph.constants[group[0].input[1]].shape[1]
        if len(group) < 2 or not all(_can_absorb(graph, node, channels) for node in group):
            continue
        weights = [graph.constants[node.input[1]] for node in group]
        weight = graph.constant(f"{source}_heads_w", np.concatenate(weights))
        bias = graph.constant(f"{source}_heads_b", np.concatenate([graph.constants[n.input[2]] for n in group]))
        sizes = graph.constant(f"{source}_heads_n", np.array([len(item) for item in weights], np.int64))
        names = [node.output[0] for node in group]
        merged = [
            helper.make_node("Gemm", [source, weight, bias], [f"{source}_heads"], name="Gemm_heads", transB=1),
            helper.make_node("Split", [f"{source}_heads", sizes], names, name="Split_heads", axis=1),
        ]
        graph.insert_before(group[0], merged)
        for node in group:
            graph.remove(node)
        count += len(group)
    return count


def merge_ssd_heads(graph: Graph, boxes: str, scores: str) -> None:
    """Box and score convolutions of a single-shot detector become one convolution per scale.

    As converted, each scale has a convolution for boxes (A anchors x B values) and one for scores (A), each followed
    by Transpose and Reshape, and a Concat of the scales writes ``boxes`` [1, N, B] and ``scores`` [1, N, 1]. The
    merged convolution gives B + 1 values per anchor, which are split once, at the end.
    """
    box_branches = _branches(graph, boxes)
    score_branches = _branches(graph, scores)
    joined = []
    width = 0
    for (box, *box_rest), (score, *score_rest) in zip(box_branches, score_branches, strict=True):
        if box.input[0] != score.input[0]:
            raise ValueError("box and score branches read different tensors")
        anchors = len(graph.constants[score.input[1]])
        name = f"{box.output[0]}_head"
        merged = []
        for index in (1, 2):
            b, s = graph.constants[box.input[index]], graph.constants[score.input[index]]
            b, s = b.reshape(anchors, -1, *b.shape[1:]), s.reshape(anchors, 1, *s.shape[1:])
            value = np.concatenate([b, s], axis=1)
            width = value.shape[1]
            merged.append(graph.constant(f"{name}_{index}", value.reshape(-1, *value.shape[2:])))
        transpose, reshape = box_rest
        shape = graph.constants[reshape.input[1]].copy()
        shape[-1] = width
        new = onnx.NodeProto()
        new.CopyFrom(box)
        new.input[:], new.output[:], new.name = [box.input[0], *merged], [name], f"Conv_{name}"
        graph.replace(
            box,
            [
                new,
                helper.make_node("Transpose", [name], [f"{name}_nhwc"], name=f"T_{name}", perm=[0, 2, 3, 1]),
                helper.make_node(
                    "Reshape",
                    [f"{name}_nhwc", graph.constant(f"{name}_shape", shape)],
                    [f"{name}_rows"],
                    name=f"R_{name}",
                ),
            ],
        )
        for node in (transpose, reshape, score, *score_rest):
            graph.remove(node)
        joined.append(f"{name}_rows")
    for output in (boxes, scores):
        producer = graph.producer(output)
        assert producer is not None
        graph.remove(producer)
    sizes = graph.constant("ssd_sizes", np.array([width - 1, 1], np.int64))
    graph.nodes += [
        helper.make_node("Concat", joined, ["ssd_rows"], name="Concat_ssd", axis=1),
        helper.make_node("Split", ["ssd_rows", sizes], [boxes, scores], name="Split_ssd", axis=2),
    ]


def _branches(graph: Graph, output: str) -> list[list[onnx.NodeProto]]:
    """[Conv, Transpose, Reshape] of every scale that the Concat behind ``output`` joins, in its order."""
    concat = graph.producer(output)
    assert concat is not None
    branches = []
    for name in concat.input:
        reshape = graph.producer(name)
        transpose = graph.producer(reshape.input[0]) if reshape is not None else None
        conv = graph.producer(transpose.input[0]) if transpose is not None else None
        if conv is None or conv.op_type != "Conv":
            raise ValueError(f"{output} is not a concatenation of convolutions")
        branches.append([conv, transpose, reshape])
    return branches


def store_as_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store float32 constants that float16 holds exactly as float16 with a Cast, which folds away at load.

    Half the file, not one bit of difference: TensorFlow Lite stored these weights as float16 in the first place.
    """

    def halved(name: str, value: Array) -> _Stored | None:
        with np.errstate(over="ignore"):
            half = value.astype(np.float16)
        if value.size < 256 or not np.array_equal(half.astype(np.float32), value):
            return None
        cast = helper.make_node("Cast", [f"{name}_f16"], [name], name=f"Cast_{name}", to=onnx.TensorProto.FLOAT)
        return [(f"{name}_f16", half)], [cast]

    return _stored(model, halved)


def store_as_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store float32 constants that are integers of -127..127 times a scale, one for each entry of their first or last
    dimension, as int8 with a Cast and a Mul, which fold away at load. A quarter of the file, not one bit of difference:
    weights are brought to that form before (see `multihmr.weights`)."""

    def packed(name: str, value: Array) -> _Stored | None:
        if value.size < 4096:
            return None
        for axis in (-1, 0):
            others = tuple(k for k in range(value.ndim) if k != axis % value.ndim)
            scale = np.abs(value).max(axis=others, keepdims=True) / np.float32(127)
            scale = np.where(scale > 0, scale, np.float32(1)).astype(np.float32)
            levels = np.rint(value / scale).astype(np.int8)
            if np.array_equal(levels * scale, value):
                cast = helper.make_node(
                    "Cast", [f"{name}_i8"], [f"{name}_cast"], name=f"Cast_{name}", to=onnx.TensorProto.FLOAT
                )
                mul = helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [name], name=f"Scale_{name}")
                return [(f"{name}_i8", levels), (f"{name}_scale", scale)], [cast, mul]
        return None

    return _stored(model, packed)


_Stored = tuple[list[tuple[str, Array]], list[onnx.NodeProto]]


def _stored(model: onnx.ModelProto, smaller: Callable[[str, Array], _Stored | None]) -> onnx.ModelProto:
    """A copy whose float32 constants are replaced, where ``smaller`` has constants and nodes that make the same."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    made, kept = [], []
    for item in result.graph.initializer:
        value = numpy_helper.to_array(item)
        found = smaller(item.name, value) if value.dtype == np.float32 else None
        if found is None:
            kept.append(item)
            continue
        kept += [numpy_helper.from_array(array, name) for name, array in found[0]]
        made += found[1]
    nodes = [*made, *result.graph.node]
    del result.graph.node[:], result.graph.initializer[:], result.graph.value_info[:]
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(kept)
    onnx.checker.check_model(result, full_check=True)
    return result


def keep_outputs(graph: Graph, names: Sequence[str]) -> None:
    """Drop the graph's other outputs, and all nodes that only they need."""
    kept = {value.name: value for value in graph.model.graph.output if value.name in names}
    del graph.model.graph.output[:]
    graph.model.graph.output.extend(kept[name] for name in names)
    needed = set(names)
    nodes = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    graph.nodes = nodes[::-1]


def rename(model: onnx.ModelProto, names: Sequence[tuple[str, str]]) -> onnx.ModelProto:
    """Rename tensors, inputs and outputs of the graph included."""
    table = dict(names)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for node in result.graph.node:
        for field in (node.input, node.output):
            field[:] = [table.get(name, name) for name in field]
    for value in (*result.graph.input, *result.graph.output):
        value.name = table.get(value.name, value.name)
    return result


def clean(model: onnx.ModelProto) -> onnx.ModelProto:
    """Apply all passes, in the order in which they help each other."""
    graph = Graph.of(model)
    prune_dead_channels(graph)
    move_resize_after_pointwise(graph)
    pad_channels_by_convolution(graph)
    prelu_to_convolution(graph)
    merge_heads(graph)
    return graph.to_model()
