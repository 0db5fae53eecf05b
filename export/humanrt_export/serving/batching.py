"""Graphs for any number of images, from those of a bundle, whose sizes are fixed.

A server joins requests to a batch, so the first size of its graphs must vary. The rewrite follows what depends on the
inputs and takes the first size out of every place where it is written: shapes, repeated constants, the choice of
tokens. It knows the operators that our exports use; the caller compares the result with the original (`check_batch`),
as a rewrite that knows too little would not be noticed otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from humanrt.errors import BundleError

__all__ = ["check_batch", "with_batch"]

_TOLERANCE = 1e-4  # of the largest magnitude of an output
_BATCH = "batch"


def with_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph of one image for a varying number of them: inputs and outputs begin with the batch.

    Inputs of one number, such as a threshold, become one per image: [batch, 1].

    Raises:
        BundleError: the graph has a node whose first size cannot be taken out.
    """
    model = onnx.ModelProto.FromString(model.SerializeToString())
    shapes = _shapes(model)
    graph = model.graph
    constants = {one.name: one for one in graph.initializer}
    rewrite = _Rewrite(shapes, constants)
    for value in graph.input:
        size = [one.dim_value for one in value.type.tensor_type.shape.dim]
        if size == [1]:
            value.type.tensor_type.shape.dim.add().dim_value = 1
            rewrite.numbers.add(value.name)
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH
        rewrite.varying.add(value.name)
    for node in graph.node:
        rewrite.add(node)
    del graph.node[:]
    graph.node.extend(rewrite.nodes)
    used = {name for node in rewrite.nodes for name in node.input}
    kept = [one for one in (*graph.initializer, *rewrite.added) if one.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    del graph.value_info[:]
    for value in graph.output:
        value.type.tensor_type.shape.dim[0].dim_param = _BATCH
    return model


def check_batch(original: bytes, batched: bytes, feeds: Mapping[str, Any], count: int = 3) -> float:
    """Return the largest difference between images one by one and all at once, relative to each output's magnitude.

    Args:
        original: the graph of one image.
        batched: the graph of several.
        feeds: inputs of the original; each image gets others, a little different.
        count: number of images.

    Raises:
        BundleError: it is more than rounding explains.
    """
    import onnxruntime

    def session(data: bytes) -> Any:
        return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])

    rng = np.random.default_rng(0)
    several = [
        {n: (v * rng.uniform(0.9, 1.0)).astype(v.dtype) if np.size(v) > 1 else v for n, v in feeds.items()}
        for _ in range(count)
    ]
    single = session(original)
    names = [output.name for output in single.get_outputs()]
    one_by_one = [single.run(names, feed) for feed in several]
    together = {n: np.concatenate([f[n][None] if f[n].shape == (1,) else f[n] for f in several]) for n in feeds}
    worst = 0.0
    for index, (name, values) in enumerate(zip(names, session(batched).run(names, together), strict=True)):
        expected = np.concatenate([result[index] for result in one_by_one]).astype(np.float64)
        off = np.abs(values.astype(np.float64) - expected).max() / max(np.abs(expected).max(), 1.0)
        worst = max(worst, float(off))
        if not off <= _TOLERANCE:
            raise BundleError(f"output `{name}` is off by {off:.2g} for several images at once")
    return worst


def _shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {one.name: tuple(one.dims) for one in inferred.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        shapes[value.name] = tuple(one.dim_value for one in value.type.tensor_type.shape.dim)
    return shapes


class _Rewrite:
    """Rewrites nodes one after the other.

    Attributes:
        varying: tensors whose first size is the batch, or a multiple of it.
        numbers: inputs of one number per image.
        nodes: the rewritten nodes.
        added: their new constants.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], constants: Mapping[str, onnx.TensorProto]) -> None:
        self._shapes, self._constants = shapes, constants
        self.varying: set[str] = set()
        self.numbers: set[str] = set()
        self.nodes: list[onnx.NodeProto] = []
        self.added: list[onnx.TensorProto] = []

    def add(self, node: onnx.NodeProto) -> None:
        """Take over a node."""
        varying = [name for name in node.input if name in self.varying]
        if varying:
            self.varying.update(node.output)
            for index, name in enumerate(node.input):
                if name in self.numbers:  # broadcast over all of its image
                    ones = [1] * (len(self._size(node.output[0])) - 1)
                    node.input[index] = f"{node.output[0]}.{name}"
                    self._make("Reshape", [name, self._constant([-1, *ones])], node.input[index])
            if node.op_type == "Reshape":
                size = self._size(node.output[0])
                node.input[1] = self._constant([-1, *size[1:]])
            elif node.op_type == "Gather" and _attribute(node, "axis", 0) == 0 and set(node.input[:2]) <= self.varying:
                self._gather(node)
                return
            elif node.op_type == "Concat":
                if _attribute(node, "axis", 0) in (0, -len(self._size(node.output[0]))):
                    raise BundleError(f"node {node.name} joins images")
                self._repeat_constants(node, varying[0])
            elif node.op_type == "Resize" and len(node.input) == 4:
                before, after = self._size(node.input[0]), self._size(node.output[0])
                scales = np.array([b / a for a, b in zip(before, after, strict=True)], np.float32)
                self.added.append(numpy_helper.from_array(scales, f"{node.output[0]}.scales"))
                node.input[2] = f"{node.output[0]}.scales"
                del node.input[3]
            else:
                self._shorten_constants(node)
        self.nodes.append(node)

    def _gather(self, node: onnx.NodeProto) -> None:
        """Choose rows of each image: [N, C] by [K] -> [batch * N, C] by [batch * K], counted within each image."""
        data, rows = node.input
        of, count = self._size(data), self._size(rows)
        if len(of) != 2 or len(count) != 1:
            raise BundleError(f"node {node.name} chooses among images")
        out = node.output[0]
        for source, name, size in ((data, "data", (-1, *of)), (rows, "rows", (-1, count[0], 1))):
            self._make("Reshape", [source, self._constant(size)], f"{out}.{name}")
        self._make("GatherND", [f"{out}.data", f"{out}.rows"], f"{out}.chosen", batch_dims=1)
        self._make("Reshape", [f"{out}.chosen", self._constant((-1, of[1]))], out)

    def _repeat_constants(self, node: onnx.NodeProto, like: str) -> None:
        """Repeat inputs that do not vary as often as the others."""
        for index, name in enumerate(node.input):
            if name in self.varying:
                continue
            own = self._size(name)
            if own[0] > 1:
                name, own = self._first_row(node, name), (1, *own[1:])
            new = f"{node.output[0]}.repeated{index}"
            self._make("Shape", [like], f"{new}.size", end=1)
            self._make("Concat", [f"{new}.size", self._constant(own[1:])], f"{new}.shape", axis=0)
            self._make("Expand", [name, f"{new}.shape"], new)
            node.input[index] = new

    def _shorten_constants(self, node: onnx.NodeProto) -> None:
        """Take one row of constants that are repeated for every slot: it is broadcast."""
        rank, first = len(self._size(node.output[0])), self._size(node.output[0])[:1]
        for index, name in enumerate(node.input):
            own = self._shapes.get(name, ())
            if name in self._constants and len(own) == rank and rank > 1 and own[:1] == first and own[0] > 1:
                if node.op_type in ("MatMul", "Gemm", "Conv") and rank < 3:
                    continue
                node.input[index] = self._first_row(node, name)

    def _first_row(self, node: onnx.NodeProto, name: str) -> str:
        if name not in self._constants:  # computed from constants
            new = f"{node.output[0]}.row"
            start, end = self._constant([0]), self._constant([1])
            self.nodes.append(helper.make_node("Slice", [name, start, end], [new], name=f"{new}/Slice"))
            return new
        values = numpy_helper.to_array(self._constants[name])
        if (values != values[:1]).any():
            raise BundleError(f"node {node.name} has a constant that differs between slots")
        new = f"{name}.row"
        if all(one.name != new for one in self.added):
            self.added.append(numpy_helper.from_array(np.ascontiguousarray(values[:1]), new))
        return new

    def _make(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{output}/{kind}", **attributes))
        self.varying.add(output)

    def _constant(self, values: Any) -> str:
        name = f"size.{len(self.added)}"
        self.added.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def _size(self, name: str) -> tuple[int, ...]:
        size = self._shapes.get(name)
        if not size or 0 in size:
            raise BundleError(f"the size of {name} is not known")
        return size


def _attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    return next((int(one.i) for one in node.attribute if one.name == name), default)
