"""FP16 on a CPU that has none: what a GPU's FP16 leaves of a graph's outputs.

ONNX Runtime computes FP16 graphs on the CPU in FP32 and takes out casts between neighbours, so that it shows nothing of
FP16. Here every tensor that is FP16 is rounded to FP16 after its operator, in FP32 arithmetic that gives exactly FP16's
numbers, its underflow and its overflow. Sums within an operator stay FP32, as on tensor cores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from humanrt_export.conversion.rewriting import add_constant, infer_types, set_constant

__all__ = ["emulated"]

_HALF, _FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT


def emulated(model: ir.Model) -> ir.Model:
    """Return an FP32 graph that computes what the graph, parts of which are FP16, does on a GPU."""
    made = model.clone()
    infer_types(made)
    unknown = [value.name for node in made.graph for value in node.outputs if value.name and value.dtype is None]
    if unknown:  # it would go through unrounded, and look better than it is
        raise ValueError(f"shape inference does not determine the type of `{unknown[0]}`")
    for value in made.graph.initializers.values():
        if value.dtype == _HALF:
            set_constant(value, value.const_value.numpy().astype(np.float32))
    limits = {"spread": 8193.0, "shift": 0.75, "normal": 2.0**-14, "infinite": 65520.0, "beyond": 1e38}
    constants = {name: add_constant(made.graph, f"half.{name}", np.array(limits[name], np.float32)) for name in limits}
    for node in list(made.graph):
        for attribute in list(node.attributes.values()):
            if node.op_type == "Cast" and attribute.name == "to" and attribute.value == _HALF:
                node.attributes.add(ir.AttrInt64("to", _FLOAT))
            elif attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype == _HALF:
                single = ir.tensor(attribute.value.numpy().astype(np.float32))
                node.attributes.add(ir.AttrTensor(attribute.name, single))
        for value in [value for value in node.outputs if value.dtype == _HALF]:
            rounded = ir.val(value.name, _FLOAT, value.shape)
            value.name = f"{value.name}.exact"
            value.replace_all_uses_with(rounded, replace_graph_outputs=True)
            node.append(_rounding(value, rounded, constants))
    return made


def _rounding(x: ir.Value, rounded: ir.Value, constants: Mapping[str, ir.Value]) -> Sequence[ir.Node]:
    """Return nodes that round to the nearest FP16. Both ways of it round by adding what pushes the last bits out."""
    tape = ir.tape.Tape()
    c = tape.op("Mul", [x, constants["spread"]])  # Veltkamp: 24 bits less 13 are 11
    normal = tape.op("Sub", [c, tape.op("Sub", [c, x])])
    shifted = tape.op("Add", [x, constants["shift"]])  # the last bit of 0.5..1 is 2^-24, the smallest FP16
    small = tape.op("Sub", [shifted, constants["shift"]])
    magnitude = tape.op("Abs", [x])
    in_range = tape.op("Where", [tape.op("Less", [magnitude, constants["normal"]]), small, normal])
    is_large = tape.op("GreaterOrEqual", [magnitude, constants["infinite"]])
    tape.op("Where", [is_large, tape.op("Mul", [x, constants["beyond"]]), in_range], output=rounded)
    nodes: Sequence[ir.Node] = tape.nodes
    return nodes
