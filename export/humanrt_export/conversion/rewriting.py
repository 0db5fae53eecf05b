"""Tools for rewriting ONNX graphs beyond onnx-ir: constants, nodes, neighbours, folding, clean-up and serialisation.

Graphs are `onnx_ir.Model` from reading to writing; ``onnx`` itself only parses, checks and evaluates. Types and shapes
of intermediate results are not written: readers infer them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx_ir.passes import common

__all__ = [
    "add_constant", "check", "constant_values", "extension", "fold_constants", "infer_types", "make_node", "name_nodes",
    "replace", "self_contained", "set_constant", "sole_consumer", "tidy", "to_bytes",
]  # fmt: skip

_FOLDED = ("Cast", "Identity", "Mul", "Transpose")

Array = NDArray[Any]


def add_constant(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    """Add an initializer. ValueError if there is another one of this name."""
    value = ir.val(name, const_value=ir.tensor(array))
    graph.register_initializer(value)
    return value


def set_constant(value: ir.Value, array: Array) -> None:
    """Replace the content of an initializer, whose shape may change."""
    value.const_value = ir.tensor(array)
    value.type, value.shape = ir.TensorType(value.const_value.dtype), ir.Shape(array.shape)


def make_node(
    operator: str,
    inputs: Sequence[ir.Value | None],
    output: str,
    name: str | None = None,
    *,
    domain: str = "",
    **attributes: Any,
) -> ir.Node:
    """Return a node with one output, called ``output``; its default name joins operator and output."""
    name = name or f"{operator}_{output}"
    return ir.node(operator, inputs, attributes, domain=domain, outputs=[ir.val(output)], name=name)


def replace(old: Sequence[ir.Node], new: Sequence[ir.Node]) -> None:
    """Replace nodes: the last of ``new`` takes over outputs, their names and position from the last of ``old``."""
    graph = old[-1].graph
    ir.convenience.replace_nodes_and_values(graph, old[-1], old, new, old[-1].outputs, new[-1].outputs)


def sole_consumer(value: ir.Value) -> ir.Node | None:
    """Return the only node that reads ``value``; None if there are several or it is a graph output."""
    consumers = value.consumers()
    return consumers[0] if len(consumers) == 1 and not value.is_graph_output() else None


def check(model: ir.Model) -> None:
    """Raise what `onnx.checker` raises unless the graph is valid, its types and shapes included."""
    onnx.checker.check_model(ir.to_proto(model), full_check=True)


def constant_values(graph: ir.Graph) -> set[ir.Value]:
    """Return initializers and values computed from them alone, such as weights stored in FP16 behind a Cast."""
    found = set(graph.initializers.values())
    for node in graph:
        if all(value in found for value in node.inputs if value is not None):
            found.update(node.outputs)
    return found


def fold_constants(model: ir.Model) -> None:
    """Fold ``Cast``, ``Mul`` and ``Transpose`` of constants in place: some weights are stored in FP16 or INT8."""
    for node in model.graph:
        (output, *_) = node.outputs
        constant = all(value is not None and value.is_initializer() for value in node.inputs)
        if node.op_type in _FOLDED and constant and not output.is_graph_output():
            feeds = {value.name: value.const_value.numpy() for value in node.inputs}
            (array,) = ReferenceEvaluator(ir.to_proto(node)).run(None, feeds)
            output.replace_all_uses_with(add_constant(model.graph, output.name, array))
    tidy(model)


def infer_types(model: ir.Model) -> None:
    """Infer types and shapes of all values in place, as far as operators are known; earlier ones are discarded."""
    for node in model.graph:
        for value in node.outputs:
            if not value.is_graph_output():
                value.type = value.shape = None
    initializers = model.graph.initializers
    names = list(initializers)
    common.ShapeInferencePass(check_type=False, strict_mode=False)(model)
    for name in names:  # the pass moves large ones to the end
        initializers.add(initializers.pop(name))


def name_nodes(model: ir.Model) -> None:
    """Make node names unique: reports and lists of FP32 nodes refer to nodes by name."""
    common.NameFixPass()(model)


def tidy(model: ir.Model) -> None:
    """Sort the nodes, remove what no output needs, and declare the operators' domains, in place."""
    model.graph.sort()
    common.RemoveUnusedNodesPass()(model)
    for domain in sorted({node.domain for node in model.graph} - set(model.opset_imports)):
        model.opset_imports[domain] = 1


def to_bytes(model: ir.Model) -> bytes:
    """Serialise; weights in files of their own stay there."""
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def self_contained(model: ir.Model) -> bytes:
    """Serialise with all weights."""
    return to_bytes(ir.external_data.load_to_model(model.clone()))


def extension(whole: ir.Model, base: ir.Model) -> bytes:
    """Return the nodes, constants and outputs that ``whole`` has beyond ``base``, serialised.

    The bytes of ``base`` followed by these are a complete model: protobuf reads both as one message. What both have
    must be the same, under the same names.

    Raises:
        ValueError: something in ``base`` is not in ``whole``.
    """
    large, small = (onnx.load_model_from_string(to_bytes(model)) for model in (whole, base))
    added = onnx.ModelProto()
    for field in ("node", "initializer", "output"):
        have = {one.name: one for one in getattr(small.graph, field)}
        extra = [one for one in getattr(large.graph, field) if one.name not in have]
        shared = [one for one in getattr(large.graph, field) if one.name in have]
        if len(shared) < len(have) or any(one != have[one.name] for one in shared):
            raise ValueError(f"the larger graph does not hold every {field} of the smaller one")
        getattr(added.graph, field).extend(extra)
    data: bytes = added.SerializeToString(deterministic=True)
    return data
