"""TensorFlow Lite flatbuffers to ONNX graphs, directly: no TensorFlow, NCHW throughout.

The flatbuffer is read with the ``tflite`` schema package. Every operator type has one function in ``OPERATORS``;
a type without one is an error that names it. Four-dimensional activations are NHWC in the flatbuffer and NCHW in
the ONNX graph; everything else keeps its shape. float16 weights behind DEQUANTIZE, and sparse weights behind
DENSIFY, become dense float32 initializers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir
import tflite
from numpy.typing import NDArray

from humanrt.errors import BundleError, choices
from humanrt_export.conversion.rewriting import add_constant, check, tidy

__all__ = ["IR_VERSION", "OPERATORS", "OPSET", "Convert", "Converter", "convert", "input_indices", "output_indices"]

OPSET = 17
# The oldest IR version that carries opset 17: what every onnxruntime since 1.12 reads.
IR_VERSION = 8

Array = NDArray[Any]

_DTYPES: dict[int, type[np.generic]] = {
    tflite.TensorType.FLOAT32: np.float32,
    tflite.TensorType.FLOAT16: np.float16,
    tflite.TensorType.INT32: np.int32,
    tflite.TensorType.INT64: np.int64,
    tflite.TensorType.INT8: np.int8,
    tflite.TensorType.UINT8: np.uint8,
    tflite.TensorType.BOOL: np.bool_,
}
_OPERATOR_NAMES = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
_NHWC_TO_NCHW = (0, 3, 1, 2)
_NCHW_TO_NHWC = (0, 2, 3, 1)


@dataclass
class Converter:
    """Graph under construction: constants and values by tensor index, nodes in flatbuffer (topological) order."""

    model: Any
    graph: Any
    source: str
    made: ir.Graph
    constants: dict[int, Array] = field(default_factory=dict)
    values: dict[int, ir.Value] = field(default_factory=dict)

    def shape(self, index: int) -> tuple[int, ...]:
        """Return the shape as in the flatbuffer (NHWC)."""
        tensor = self.graph.Tensors(index)
        return tuple(int(n) for n in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()

    def constant(self, index: int) -> Array | None:
        """Return the content of a constant tensor in the flatbuffer's layout; None if it depends on the input."""
        if index in self.constants:
            return self.constants[index]
        tensor = self.graph.Tensors(index)
        buffer = self.model.Buffers(tensor.Buffer())
        if not buffer.DataLength():
            return None
        if tensor.Type() not in _DTYPES:
            raise BundleError(f"{self.source}: tensor {index} has type {tensor.Type()}, which cannot be converted")
        flat = np.frombuffer(buffer.DataAsNumpy().tobytes(), _DTYPES[tensor.Type()])
        value: Array = flat if tensor.Sparsity() is not None else flat.reshape(self.shape(index))
        self.constants[index] = value
        return value

    def needed(self, index: int) -> Array:
        """Return the content of an operand that must be constant: weights, axes, paddings. BundleError if it is not."""
        value = self.constant(index)
        if value is None:
            raise BundleError(f"{self.source}: tensor {index} must be constant to be converted")
        return value

    def value(self, index: int) -> ir.Value:
        """Return the ONNX value of a tensor; a constant becomes an initializer in the ONNX layout (NCHW when 4-d)."""
        if index not in self.values:
            value = self.constant(index)
            if value is not None:
                self.values[index] = self.add(f"t{index}", value.transpose(_NHWC_TO_NCHW) if value.ndim == 4 else value)
            else:
                self.values[index] = ir.val(f"t{index}")
        return self.values[index]

    def add(self, name: str, value: Array) -> ir.Value:
        """Return the initializer of this name, which is added if there is none."""
        return self.made.initializers.get(name) or add_constant(self.made, name, np.ascontiguousarray(value))

    def emit(self, op: str, inputs: Sequence[ir.Value | None], output: ir.Value, **attributes: Any) -> ir.Value:
        """Append a node that writes ``output``, and return that."""
        ordered = dict(sorted(attributes.items()))
        self.made.append(ir.node(op, inputs, ordered, outputs=[output], name=f"{op}_{output.name}"))
        return output

    def options(self, operator: Any, kind: str) -> Any:
        """Return the operator's option table, read as ``tflite.<kind>``."""
        table = operator.BuiltinOptions()
        options = getattr(tflite, kind)()
        options.Init(table.Bytes, table.Pos)
        return options

    def emit_activated(
        self, code: int, op: str, inputs: Sequence[ir.Value | None], output: ir.Value, **attributes: Any
    ) -> None:
        """Emit a node and the operator's fused activation, which writes ``output``."""
        if code == tflite.ActivationFunctionType.NONE:
            self.emit(op, inputs, output, **attributes)
            return
        if code not in (tflite.ActivationFunctionType.RELU, tflite.ActivationFunctionType.RELU6):
            raise BundleError(f"{self.source}: fused activation {code} cannot be converted; known: NONE, RELU, RELU6")
        limits = self.relu6_limits() if code == tflite.ActivationFunctionType.RELU6 else []
        before = self.emit(op, inputs, ir.val(f"{output.name}_linear"), **attributes)
        self.emit("Clip" if limits else "Relu", [before, *limits], output)

    def relu6_limits(self) -> list[ir.Value]:
        """Return the constants 0 and 6."""
        return [self.add(f"clip_{limit}", np.array(limit, np.float32)) for limit in (0, 6)]


def _same_pads(size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> list[int]:
    """Return ONNX pads [top, left, bottom, right] of TensorFlow's SAME, with the odd pixel at the bottom and right."""
    begin, end = [], []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        begin.append(total // 2)
        end.append(total - total // 2)
    return begin + end


def _window(c: Converter, options: Any, input_index: int, kernel: Sequence[int]) -> dict[str, Any]:
    """Return the ONNX attributes of a sliding window (convolution or pooling)."""
    stride = [options.StrideH(), options.StrideW()]
    dilated = hasattr(options, "DilationHFactor")
    dilation = [options.DilationHFactor(), options.DilationWFactor()] if dilated else [1, 1]
    pads = [0, 0, 0, 0]
    if options.Padding() == tflite.Padding.SAME:
        pads = _same_pads(c.shape(input_index)[1:3], kernel, stride, dilation)
    attributes: dict[str, Any] = {"kernel_shape": list(kernel), "strides": stride, "pads": pads}
    if dilation != [1, 1]:
        attributes["dilations"] = dilation
    return attributes


def input_indices(operator: Any) -> list[int]:
    """Return the indices of an operator's input tensors; -1 for one that is left out."""
    return [int(index) for index in operator.InputsAsNumpy()]


def output_indices(operator: Any) -> list[int]:
    """Return the indices of an operator's output tensors."""
    return [int(index) for index in operator.OutputsAsNumpy()]


def _convolution(c: Converter, operator: Any, kind: str) -> None:
    """Convert CONV_2D (weights [out, h, w, in]) or DEPTHWISE_CONV_2D (weights [1, h, w, out])."""
    data, weight_index, *rest = input_indices(operator)
    (output,) = output_indices(operator)
    options = c.options(operator, kind)
    weight = c.needed(weight_index)
    groups = 1
    if kind == "DepthwiseConv2DOptions":
        groups = c.shape(data)[3]
        weight = weight.transpose(3, 0, 1, 2)
    else:
        weight = weight.transpose(0, 3, 1, 2)
    # One initializer per use: clean-up changes them independently.
    operands = [c.value(data), c.add(f"w{output}", weight)]
    if rest and rest[0] >= 0:
        operands.append(c.add(f"b{output}", c.needed(rest[0])))
    attributes = {"group": groups, **_window(c, options, data, weight.shape[2:])}
    c.emit_activated(options.FusedActivationFunction(), "Conv", operands, c.value(output), **attributes)


def _conv(c: Converter, operator: Any) -> None:
    _convolution(c, operator, "Conv2DOptions")


def _depthwise(c: Converter, operator: Any) -> None:
    _convolution(c, operator, "DepthwiseConv2DOptions")


def _binary(op: str, kind: str) -> Callable[[Converter, Any], None]:
    def convert_binary(c: Converter, operator: Any) -> None:
        left, right = input_indices(operator)
        (output,) = output_indices(operator)
        ranks = {len(c.shape(left)), len(c.shape(right))}
        if 4 in ranks and ranks != {4}:
            # A lower rank broadcasts against the trailing channel, which is not trailing in NCHW.
            for index in (left, right):
                value = c.constant(index)
                if value is not None and value.ndim < 4:
                    c.constants[index] = value.reshape((1,) * (4 - value.ndim) + value.shape)
                elif len(c.shape(index)) not in (0, 4):
                    raise BundleError(f"{c.source}: {op} broadcasts a computed tensor of rank < 4; not supported")
        activation = c.options(operator, kind).FusedActivationFunction()
        c.emit_activated(activation, op, [c.value(left), c.value(right)], c.value(output))

    return convert_binary


def _fully_connected(c: Converter, operator: Any) -> None:
    data, weight, *rest = input_indices(operator)
    (output,) = output_indices(operator)
    options = c.options(operator, "FullyConnectedOptions")
    if len(c.shape(data)) != 2 or len(c.shape(output)) != 2:
        raise BundleError(f"{c.source}: FULLY_CONNECTED is converted for 2-d tensors only")
    operands = [c.value(data), c.add(f"w{output}", c.needed(weight))]
    if rest and rest[0] >= 0:
        operands.append(c.add(f"b{output}", c.needed(rest[0])))
    c.emit_activated(options.FusedActivationFunction(), "Gemm", operands, c.value(output), transB=1)


def _prelu(c: Converter, operator: Any) -> None:
    data, slope = input_indices(operator)
    (output,) = output_indices(operator)
    value = c.needed(slope)  # [1, 1, C]
    if len(c.shape(data)) == 4:
        if value.size != value.shape[-1]:
            raise BundleError(f"{c.source}: PRELU with slopes of shape {value.shape} is not per channel")
        value = value.reshape(-1, 1, 1)
    c.emit("PRelu", [c.value(data), c.add(f"s{output}", value)], c.value(output))


def _pool(op: str) -> Callable[[Converter, Any], None]:
    def convert_pool(c: Converter, operator: Any) -> None:
        (data,), (output,) = input_indices(operator), output_indices(operator)
        options = c.options(operator, "Pool2DOptions")
        attributes = _window(c, options, data, [options.FilterHeight(), options.FilterWidth()])
        c.emit_activated(options.FusedActivationFunction(), op, [c.value(data)], c.value(output), **attributes)

    return convert_pool


def _unary(op: str) -> Callable[[Converter, Any], None]:
    def convert_unary(c: Converter, operator: Any) -> None:
        (data,), (output,) = input_indices(operator), output_indices(operator)
        c.emit(op, [c.value(data)], c.value(output))

    return convert_unary


def _relu6(c: Converter, operator: Any) -> None:
    (data,), (output,) = input_indices(operator), output_indices(operator)
    c.emit("Clip", [c.value(data), *c.relu6_limits()], c.value(output))


def _mean(c: Converter, operator: Any) -> None:
    data, axes_index = input_indices(operator)
    (output,) = output_indices(operator)
    rank = len(c.shape(data))
    keep = bool(c.options(operator, "ReducerOptions").KeepDims())
    axes = sorted(int(axis) % rank for axis in c.needed(axes_index).reshape(-1))
    if rank == 4 and axes == [1, 2]:
        pooled = c.value(output) if keep else ir.val(f"t{output}_pooled")
        c.emit("GlobalAveragePool", [c.value(data)], pooled)
        if not keep:
            c.emit("Flatten", [pooled], c.value(output), axis=1)
        return
    if rank == 4 and not keep:
        raise BundleError(f"{c.source}: MEAN of a 4-d tensor over axes {axes} is not supported")
    onnx_axes = [_NHWC_TO_NCHW.index(axis) for axis in axes] if rank == 4 else axes
    c.emit("ReduceMean", [c.value(data)], c.value(output), axes=onnx_axes, keepdims=int(keep))


def _pad(c: Converter, operator: Any) -> None:
    data, pads_index = input_indices(operator)[:2]
    (output,) = output_indices(operator)
    pads = c.needed(pads_index).astype(np.int64)  # [rank, 2]
    if len(pads) == 4:
        pads = pads[list(_NHWC_TO_NCHW)]
    flat = np.concatenate([pads[:, 0], pads[:, 1]])
    c.emit("Pad", [c.value(data), c.add(f"p{output}", flat)], c.value(output), mode="constant")


def _resize(c: Converter, operator: Any) -> None:
    data = input_indices(operator)[0]
    (output,) = output_indices(operator)
    options = c.options(operator, "ResizeBilinearOptions")
    mode = "asymmetric"
    if options.HalfPixelCenters():
        mode = "half_pixel"
    elif options.AlignCorners():
        mode = "align_corners"
    (_, h, w, _), (_, out_h, out_w, _) = c.shape(data), c.shape(output)
    scales = c.add(f"r{output}", np.array([1, 1, out_h / h, out_w / w], np.float32))
    c.emit(
        "Resize",
        [c.value(data), None, scales],
        c.value(output),
        mode="linear",
        coordinate_transformation_mode=mode,
    )


def _reshape(c: Converter, operator: Any) -> None:
    data = input_indices(operator)[0]
    (output,) = output_indices(operator)
    source, target = c.value(data), c.value(output)
    if len(c.shape(data)) == 4:
        source = c.emit("Transpose", [source], ir.val(f"t{output}_nhwc"), perm=list(_NCHW_TO_NHWC))
    shape = c.add(f"shape{output}", np.array(c.shape(output), np.int64))
    if len(c.shape(output)) == 4:
        flat = c.emit("Reshape", [source, shape], ir.val(f"t{output}_flat"))
        c.emit("Transpose", [flat], target, perm=list(_NHWC_TO_NCHW))
    else:
        c.emit("Reshape", [source, shape], target)


def _strided_slice(c: Converter, operator: Any) -> None:
    data, *bounds = input_indices(operator)
    (output,) = output_indices(operator)
    options = c.options(operator, "StridedSliceOptions")
    begin, end, steps = (c.needed(index).astype(np.int64) for index in bounds)
    shape = np.array(c.shape(data), np.int64)
    if options.EllipsisMask() or options.NewAxisMask() or options.ShrinkAxisMask() or (steps < 1).any():
        raise BundleError(f"{c.source}: STRIDED_SLICE that changes the rank or goes backwards is not supported")
    axes = np.arange(len(shape))
    begin = np.where(options.BeginMask() >> axes & 1, 0, np.where(begin < 0, begin + shape, begin))
    end = np.where(options.EndMask() >> axes & 1, shape, np.where(end < 0, end + shape, end))
    places = np.array([_NHWC_TO_NCHW.index(axis) for axis in axes]) if len(shape) == 4 else axes
    named = {"begin": begin, "end": end, "axes": places, "steps": steps}
    operands = [c.add(f"slice{output}_{name}", value.astype(np.int64)) for name, value in named.items()]
    c.emit("Slice", [c.value(data), *operands], c.value(output))


def _concat(c: Converter, operator: Any) -> None:
    (output,) = output_indices(operator)
    options = c.options(operator, "ConcatenationOptions")
    rank = len(c.shape(output))
    axis = options.Axis() % rank
    if rank == 4:
        axis = _NHWC_TO_NCHW.index(axis)
    inputs = [c.value(index) for index in input_indices(operator)]
    c.emit_activated(options.FusedActivationFunction(), "Concat", inputs, c.value(output), axis=axis)


def _depth_to_space(c: Converter, operator: Any) -> None:
    (data,), (output,) = input_indices(operator), output_indices(operator)
    block = c.options(operator, "DepthToSpaceOptions").BlockSize()
    c.emit("DepthToSpace", [c.value(data)], c.value(output), blocksize=block, mode="DCR")


def _dequantize(c: Converter, operator: Any) -> None:
    """Widen float32 weights that are stored as float16, so that the graph has plain float32 weights."""
    (data,), (output,) = input_indices(operator), output_indices(operator)
    value = c.needed(data)
    if value.dtype != np.float16:
        raise BundleError(f"{c.source}: DEQUANTIZE of {value.dtype} is not supported, only of float16")
    c.constants[output] = value.astype(np.float32)


def _index_array(dimension: Any, kind: str) -> Array:
    """Return one of the two index vectors of a compressed sparse dimension, of any stored integer width."""
    table = getattr(dimension, f"Array{kind}")()
    code = getattr(dimension, f"Array{kind}Type")()
    names = {1: "Int32Vector", 2: "Uint16Vector", 3: "Uint8Vector"}
    vector = getattr(tflite, names[code])()
    vector.Init(table.Bytes, table.Pos)
    values: Array = vector.ValuesAsNumpy().astype(np.int64)
    return values


def _densify(c: Converter, operator: Any) -> None:
    """Expand a sparse tensor of TensorFlow Lite (TACO format): traversal order, a dense or CSR level per dimension.

    The levels are walked outermost first, as a growing list of coordinate prefixes, one per stored element.
    """
    (data,), (output,) = input_indices(operator), output_indices(operator)
    values, sparsity, shape = c.needed(data), c.graph.Tensors(data).Sparsity(), c.shape(data)
    if sparsity is None:
        raise BundleError(f"{c.source}: DENSIFY of a tensor that is not sparse")
    order = [int(axis) for axis in sparsity.TraversalOrderAsNumpy()]
    blocks = [int(axis) for axis in sparsity.BlockMapAsNumpy()] if sparsity.BlockMapLength() else []
    prefixes = np.zeros((1, 0), np.int64)
    for level in range(sparsity.DimMetadataLength()):
        dimension = sparsity.DimMetadata(level)
        if dimension.Format() == tflite.DimensionType.DENSE:
            size = dimension.DenseSize()
            index = np.tile(np.arange(size), len(prefixes))
            repeats: Array = np.full(len(prefixes), size)
        else:
            index = _index_array(dimension, "Indices")
            repeats = np.diff(_index_array(dimension, "Segments"))
        prefixes = np.column_stack([np.repeat(prefixes, repeats, axis=0), index])
    rank = len(shape)
    coordinates = np.zeros((len(prefixes), rank), np.int64)
    block_size = np.ones(rank, np.int64)
    for level, axis in enumerate(order):
        if axis >= rank:
            block_size[blocks[axis - rank]] = sparsity.DimMetadata(level).DenseSize()
    for level, axis in enumerate(order):
        if axis < rank:
            coordinates[:, axis] += prefixes[:, level] * block_size[axis]
        else:
            coordinates[:, blocks[axis - rank]] += prefixes[:, level]
    dense = np.zeros(shape, values.dtype)
    dense[tuple(coordinates.T)] = values
    c.constants[output] = dense


Convert = Callable[[Converter, Any], None]
"""Adds what an operator of the flatbuffer computes to the graph under construction."""

OPERATORS: Mapping[str, Convert] = {
    "ADD": _binary("Add", "AddOptions"),
    "AVERAGE_POOL_2D": _pool("AveragePool"),
    "CONCATENATION": _concat,
    "CONV_2D": _conv,
    "DENSIFY": _densify,
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEPTH_TO_SPACE": _depth_to_space,
    "DEQUANTIZE": _dequantize,
    "FULLY_CONNECTED": _fully_connected,
    "LOGISTIC": _unary("Sigmoid"),
    "MAX_POOL_2D": _pool("MaxPool"),
    "MEAN": _mean,
    "MUL": _binary("Mul", "MulOptions"),
    "PAD": _pad,
    "PRELU": _prelu,
    "RELU": _unary("Relu"),
    "RELU6": _relu6,
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize,
    "STRIDED_SLICE": _strided_slice,
    "TANH": _unary("Tanh"),
}


def convert(
    data: bytes, *, source: str = "model.tflite", name: str = "model", custom: Mapping[str, Convert] | None = None
) -> ir.Model:
    """Convert a TensorFlow Lite model of one sub-graph.

    Args:
        data: the flatbuffer.
        source: what to call it in error messages.
        name: name of the ONNX graph.
        custom: conversions of the model's own operators, by name: ``CUSTOM:...``.

    Returns:
        An ONNX model (opset 17, float32) whose inputs and outputs are called ``input_0``, ..., ``output_0``, ...
        in the flatbuffer's order; four-dimensional ones are NCHW.

    Raises:
        BundleError: not a flatbuffer, or an operator without a conversion (named in the message).
    """
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise BundleError(f"{source} is not a TensorFlow Lite model (no TFL3 identifier)")
    model = tflite.Model.GetRootAs(data, 0)
    if model.SubgraphsLength() != 1:
        raise BundleError(f"{source} has {model.SubgraphsLength()} sub-graphs; only one is supported")
    made = ir.Graph([], [], nodes=[], opset_imports={"": OPSET}, name=name)
    c = Converter(model, model.Subgraphs(0), source, made)
    operators = [c.graph.Operators(i) for i in range(c.graph.OperatorsLength())]
    kinds = [_operator_name(model, operator) for operator in operators]
    known = {**OPERATORS, **(custom or {})}
    if unknown := set(kinds) - set(known):
        raise BundleError(f"{source}: no conversion for {choices(unknown)}; known: {choices(known)}")
    for kind, operator in zip(kinds, operators, strict=True):
        known[kind](c, operator)

    for kind, values, indices in (
        ("input", made.inputs, c.graph.InputsAsNumpy()),
        ("output", made.outputs, c.graph.OutputsAsNumpy()),
    ):
        for number, index in enumerate(indices):
            value, shape = c.value(int(index)), c.shape(int(index))
            value.name, value.type = f"{kind}_{number}", ir.TensorType(ir.DataType.FLOAT)
            value.shape = ir.Shape([shape[axis] for axis in _NHWC_TO_NCHW] if len(shape) == 4 else shape)
            values.append(value)
    result = ir.Model(made, ir_version=IR_VERSION, producer_name="humanrt-export")
    tidy(result)
    check(result)
    return result


def _operator_name(model: Any, operator: Any) -> str:
    code = model.OperatorCodes(operator.OpcodeIndex())
    # Files older than schema 3a hold the code in the 8-bit field only; newer ones in the larger of the two.
    value = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = _OPERATOR_NAMES.get(value, str(value))
    return f"CUSTOM:{code.CustomCode().decode()}" if name == "CUSTOM" else name
