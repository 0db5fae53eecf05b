"""FP16 on a CPU that has none: what a GPU's FP16 leaves of a graph's outputs.

ONNX Runtime computes FP16 graphs on the CPU in FP32 and takes out casts between neighbours, so that it shows nothing of
FP16. Here every tensor that is FP16 is rounded to FP16 after its operator, in FP32 arithmetic that gives exactly FP16's
numbers, its underflow and its overflow. Sums within an operator stay FP32, as on tensor cores.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["emulated"]

_HALF, _FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def emulated(model: onnx.ModelProto) -> onnx.ModelProto:
    """An FP32 graph that computes what the graph, parts of which are FP16, does on a GPU."""
    made = onnx.shape_inference.infer_shapes(model)
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*made.graph.value_info, *made.graph.output)}
    unknown = [name for node in made.graph.node for name in node.output if name and name not in kinds]
    if unknown:  # it would go through unrounded, and look better than it is
        raise ValueError(f"shape inference does not tell the type of `{unknown[0]}`")
    del made.graph.value_info[:]
    halves = [item for item in made.graph.initializer if item.data_type == _HALF]
    for item in halves:
        item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item).astype(np.float32), item.name))
    nodes: list[onnx.NodeProto] = []
    for node in made.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == _HALF:
                attribute.i = _FLOAT
            elif attribute.type == onnx.AttributeProto.TENSOR and attribute.t.data_type == _HALF:
                attribute.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(attribute.t).astype(np.float32)))
        rounded = [place for place, name in enumerate(node.output) if name and kinds.get(name) == _HALF]
        after = []
        for place in rounded:
            name = node.output[place]
            node.output[place] = f"{name}.exact"
            after += _rounding(f"{name}.exact", name)
        nodes += [node, *after]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    constants = {"spread": 8193.0, "shift": 0.75, "normal": 2.0**-14, "infinite": 65520.0, "beyond": 1e38}
    made.graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.float32), f"half.{name}") for name, value in constants.items()
    )
    return made


def _rounding(source: str, target: str) -> list[onnx.NodeProto]:
    """Nodes that round to the nearest FP16. Both ways of it round by adding what pushes the last bits out."""

    def node(operator: str, inputs: list[str], output: str) -> onnx.NodeProto:
        return helper.make_node(operator, inputs, [output], name=f"half:{output}")

    def t(name: str) -> str:
        return f"{target}.{name}"

    return [
        node("Mul", [source, "half.spread"], t("c")),  # Veltkamp: 24 bits less 13 are 11
        node("Sub", [t("c"), source], t("d")),
        node("Sub", [t("c"), t("d")], t("normal")),
        node("Add", [source, "half.shift"], t("e")),  # the last bit of 0.5..1 is 2^-24, the smallest FP16
        node("Sub", [t("e"), "half.shift"], t("small")),
        node("Abs", [source], t("abs")),
        node("Less", [t("abs"), "half.normal"], t("is_small")),
        node("Where", [t("is_small"), t("small"), t("normal")], t("in_range")),
        node("GreaterOrEqual", [t("abs"), "half.infinite"], t("is_large")),
        node("Mul", [source, "half.beyond"], t("infinite")),
        node("Where", [t("is_large"), t("infinite"), t("in_range")], target),
    ]
