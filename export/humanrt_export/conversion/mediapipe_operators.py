"""MediaPipe's own operators of TensorFlow Lite models, as plain ONNX operators.

The face landmark model "with attention" cuts squares about lips and eyes out of an early feature map and looks at them
again. Its three operators are those of mediapipe/util/tflite/operations (version 2 of each): where the squares are
(`Landmarks2TransformMatrix`), what is in them (`TransformTensorBilinear`), and points of a square back in the crop
(`TransformLandmarks`). Matrices [1, 4, 4] map pixels of a square to pixels of the crop or of the feature map.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import cos, sin
from typing import Any

import numpy as np
import onnx_ir as ir
from flatbuffers import flexbuffers
from numpy.typing import NDArray

from humanrt_export.conversion.tflite_to_onnx import Convert, Converter, input_indices, output_indices

__all__ = ["OPERATORS", "custom_options"]

Array = NDArray[Any]


def custom_options(operator: Any) -> dict[str, Any]:
    """Return the options of an operator that is not TensorFlow Lite's own (a flexbuffer); empty without any."""
    if not operator.CustomOptionsLength():
        return {}
    options: dict[str, Any] = flexbuffers.Loads(operator.CustomOptionsAsNumpy().tobytes())
    return options


class _Steps:
    """The nodes and constants of one operator, all named after its output ``t<index>``."""

    def __init__(self, converter: Converter, output: int) -> None:
        self._converter, self.output = converter, converter.value(output)
        self._prefix = self.output.name

    def constant(self, name: str, value: Array) -> ir.Value:
        return self._converter.add(f"{self._prefix}_{name}", value)

    def shared(self, name: str, value: int) -> ir.Value:
        """Return a vector of one integer, which several operators use."""
        return self._converter.add(name, np.array([value], np.int64))

    def step(self, op: str, inputs: list[ir.Value], name: str, **attributes: Any) -> ir.Value:
        return self.steps(op, inputs, [name], **attributes)[0]

    def steps(self, op: str, inputs: list[ir.Value], names: list[str], **attributes: Any) -> list[ir.Value]:
        outputs = [ir.val(f"{self._prefix}_{name}") for name in names]
        name = f"{op}_{outputs[0].name}"
        self._converter.made.append(ir.node(op, inputs, attributes, outputs=outputs, name=name))
        return outputs

    def last(self, op: str, inputs: list[ir.Value], **attributes: Any) -> None:
        """Append the node that writes the operator's output."""
        self._converter.emit(op, inputs, self.output, **attributes)

    def upper_rows(self, matrix: ir.Value, name: str) -> ir.Value:
        """Return the rows of x and y of a matrix [1, 4, N]."""
        bounds = [self.shared("rows_from", 0), self.shared("rows_to", 2), self.shared("rows_axis", 1)]
        return self.step("Slice", [matrix, *bounds], name)


def _square(c: Converter, operator: Any) -> None:
    """Convert `Landmarks2TransformMatrix`: landmarks [1, N, 3] px -> the matrix of the square about some of them.

    The square is turned so that the line between two landmarks has a given direction; it holds the landmarks of a
    subset, times a factor. With the line's unit vector, no angle is needed.
    """
    (data,), (output,) = input_indices(operator), output_indices(operator)
    options, s = custom_options(operator), _Steps(c, output)
    width, height = options["output_width"], options["output_height"]
    target = options["target_rotation_radians"]
    first_two = s.constant("first_two", np.array([0, 1]))
    ends = s.constant("ends", np.array([options["left_rotation_idx"], options["right_rotation_idx"]]))
    # Of the rotation by (target - direction of the line): its cosine and sine are linear in the line's unit vector.
    turning = np.array([[cos(target), sin(target)], [sin(target), -cos(target)]], np.float32)
    towards = s.constant("target", turning)
    quarter_turn = s.constant("quarter_turn", np.array([[0, 1], [-1, 0]], np.float32))
    subset = s.constant("subset", np.array(options["subset_idxs"]))
    half = s.constant("half", np.array([0.5], np.float32))
    per_px = s.constant("per_px", np.array([options["scale_x"] / width, options["scale_y"] / height], np.float32))
    output_middle = s.constant("output_middle", np.array([[width / 2], [height / 2]], np.float32))
    no_depth = s.constant("no_depth", np.zeros((1, 2, 1), np.float32))
    lower = s.constant("lower", np.array([[[0, 0, 1, 0], [0, 0, 0, 1]]], np.float32))

    xy = s.step("Gather", [c.value(data), first_two], "xy", axis=2)
    line = s.step("Gather", [xy, ends], "line", axis=1)
    left, right = s.steps("Split", [line], ["left", "right"], axis=1)
    vector = s.step("Sub", [right, left], "vector")
    length = s.step("ReduceL2", [vector], "length", axes=[2], keepdims=1)
    unit = s.step("Div", [vector, length], "unit")
    turn = s.step("MatMul", [unit, towards], "turn")  # [1, 1, 2]: cosine, sine
    quarter = s.step("MatMul", [turn, quarter_turn], "quarter")
    rotation = s.step("Concat", [turn, quarter], "rotation", axis=1)  # of rows: points @ rotation
    some = s.step("Gather", [xy, subset], "some", axis=1)
    turned = s.step("MatMul", [some, rotation], "turned")
    high = s.step("ReduceMax", [turned], "high", axes=[1], keepdims=1)
    low = s.step("ReduceMin", [turned], "low", axes=[1], keepdims=1)
    total = s.step("Add", [high, low], "sum")
    middle = s.step("Mul", [total, half], "middle")
    inverse = s.step("Transpose", [rotation], "inverse", perm=[0, 2, 1])
    centre = s.step("MatMul", [middle, inverse], "centre")
    size = s.step("Sub", [high, low], "size")
    scale = s.step("Mul", [size, per_px], "scale")
    linear = s.step("Mul", [rotation, scale], "linear")
    to_middle = s.step("MatMul", [linear, output_middle], "to_middle")
    column = s.step("Transpose", [centre], "centre_column", perm=[0, 2, 1])
    shift = s.step("Sub", [column, to_middle], "shift")
    upper = s.step("Concat", [linear, no_depth, shift], "upper", axis=2)
    s.last("Concat", [upper, lower], axis=1)


def _cut(c: Converter, operator: Any) -> None:
    """Convert `TransformTensorBilinear`: a feature map and a matrix -> the square, interpolated; 0 beyond the map."""
    (data, matrix), (output,) = input_indices(operator), output_indices(operator)
    options, s = custom_options(operator), _Steps(c, output)
    width, height = options["output_width"], options["output_height"]
    map_size = np.array([[c.shape(data)[2]], [c.shape(data)[1]]], np.float64)
    y, x = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    pixels = np.stack([x.ravel(), y.ravel(), np.zeros(x.size), np.ones(x.size)]).astype(np.float32)
    places = s.constant("places", pixels)
    # GridSample's -1..1 goes from the middle of the first pixel to that of the last; the matrix counts from the edge.
    s.shared("rows_from", 0)
    s.shared("rows_to", 2)
    s.shared("rows_axis", 1)
    gain = s.constant("gain", (2 / (map_size - 1)).astype(np.float32))
    offset = s.constant("offset", (-1 - 1 / (map_size - 1)).astype(np.float32))
    shape = s.constant("shape", np.array([1, height, width, 2]))
    limit = s.constant("limit", np.array([1], np.float32))
    channel = s.constant("channel", np.array([1]))

    everywhere = s.step("MatMul", [c.value(matrix), places], "all")
    px = s.upper_rows(everywhere, "px")
    gained = s.step("Mul", [px, gain], "gained")
    unit = s.step("Add", [gained, offset], "unit")
    points = s.step("Transpose", [unit], "points", perm=[0, 2, 1])
    grid = s.step("Reshape", [points, shape], "grid")
    how: dict[str, Any] = {"align_corners": 1, "mode": "bilinear", "padding_mode": "border"}
    sampled = s.step("GridSample", [c.value(data), grid], "sampled", **how)
    far = s.step("Abs", [grid], "far")
    farther = s.step("ReduceMax", [far], "farther", axes=[3], keepdims=0)
    inside = s.step("LessOrEqual", [farther, limit], "inside")
    mask = s.step("Cast", [inside], "mask", to=ir.DataType.FLOAT)
    kept = s.step("Unsqueeze", [mask, channel], "kept")
    s.last("Mul", [sampled, kept])


def _back(c: Converter, operator: Any) -> None:
    """Convert `TransformLandmarks`: points [1, N, 2] of a square and its matrix -> points of the crop."""
    (points, matrix), (output,) = input_indices(operator), output_indices(operator)
    s = _Steps(c, output)
    sizes = s.constant("sizes", np.array([2, 1, 1]))
    upper = s.upper_rows(c.value(matrix), "upper")
    rows = s.step("Transpose", [upper], "rows", perm=[0, 2, 1])
    linear, _, shift = s.steps("Split", [rows, sizes], ["linear", "depth", "shift"], axis=1)
    turned = s.step("MatMul", [c.value(points), linear], "turned")
    s.last("Add", [turned, shift])


OPERATORS: Mapping[str, Convert] = {
    "CUSTOM:Landmarks2TransformMatrix": _square,
    "CUSTOM:TransformLandmarks": _back,
    "CUSTOM:TransformTensorBilinear": _cut,
}
"""For `tflite_to_onnx.convert`."""
