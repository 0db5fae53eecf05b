"""MediaPipe's face landmark model "with attention" as a reference: in LiteRT, with its own operators in NumPy.

LiteRT knows none of the three operators (`mediapipe_operators`). So they are taken out of the model: their outputs
become inputs, their inputs become outputs, and NumPy computes the ones from the others between two runs. This is
written from what MediaPipe's kernels and its joining of the parts do, with angles and loops over pixels, and shares
nothing with the conversion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers
from numpy.typing import NDArray

__all__ = ["face_landmarks_in_litert"]

Array = NDArray[Any]
Floats = NDArray[np.float32]

_POINTS = 468


def face_landmarks_in_litert(data: bytes) -> Callable[[Array], list[Array]]:
    """Load the model as a function of an NCHW image that returns landmarks [1, 478, 3] px and presence [1, 1]."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    model = schema.ModelT.InitFromPackedBuf(data)
    (graph,) = model.subgraphs
    own = [one for one in graph.operators if _name(model, one)]
    graph.operators = [one for one in graph.operators if one not in own]
    image, parts = int(graph.inputs[0]), [int(index) for index in graph.outputs]
    made = [int(one.outputs[0]) for one in own]
    read = sorted({int(index) for one in own for index in one.inputs} - set(made))
    graph.inputs, graph.outputs = np.array([image, *made], np.int32), np.array([*parts, *read], np.int32)
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    interpreter = Interpreter(
        model_content=bytes(builder.Output()),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    # Tensors keep their indices: LiteRT counts them as the flatbuffer does.
    kinds = [_name(model, one) for one in own]
    options = [_options(one) for one in own]
    eyes = [one["subset_idxs"] for kind, one in zip(kinds, options, strict=True) if kind == _SQUARE]

    def infer(nchw: Array) -> list[Array]:
        values: dict[int, Array] = {index: np.zeros(interpreter.get_tensor(index).shape, np.float32) for index in made}
        # One run for each operator that may wait for another one's result: square, what is in it, points of it.
        for _ in range(1 + len(set(kinds))):
            interpreter.set_tensor(image, np.ascontiguousarray(nchw.transpose(0, 2, 3, 1)))
            for index, value in values.items():
                interpreter.set_tensor(index, value)
            interpreter.invoke()
            values |= {index: interpreter.get_tensor(index) for index in read}
            for operator, kind, how in zip(own, kinds, options, strict=True):
                inputs = [values[int(index)][0] for index in operator.inputs]
                values[int(operator.outputs[0])] = _KERNELS[kind](*inputs, **how)[None]
            values = {index: values[index] for index in made}
        return _joined([interpreter.get_tensor(index) for index in parts], eyes)

    return infer


def _name(model: Any, operator: Any) -> str:
    """Return the name of an operator that is not TensorFlow Lite's own; empty for one that is."""
    code = model.operatorCodes[operator.opcodeIndex].customCode
    return code.decode() if code else ""


def _options(operator: Any) -> dict[str, Any]:
    raw = operator.customOptions
    options: dict[str, Any] = {} if raw is None or not len(raw) else flexbuffers.Loads(bytes(bytearray(raw)))
    return options


def _square(
    landmarks: Floats,
    left_rotation_idx: int,
    right_rotation_idx: int,
    subset_idxs: list[int],
    target_rotation_radians: float,
    output_width: int,
    output_height: int,
    scale_x: float,
    scale_y: float,
) -> Floats:
    """Return the matrix [4, 4] from pixels of the square about landmarks to pixels of the crop."""
    (left_x, left_y), (right_x, right_y) = landmarks[[left_rotation_idx, right_rotation_idx], :2]
    angle = np.float32(target_rotation_radians) - np.arctan2(right_y - left_y, right_x - left_x)
    c, s = np.cos(angle), np.sin(angle)
    rotation = np.array([[c, -s], [s, c]], np.float32)
    turned = landmarks[subset_idxs, :2] @ rotation.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    centre = rotation.T @ ((low + high) / 2)
    scale = (high - low) * np.array([scale_x / output_width, scale_y / output_height], np.float32)
    matrix = np.eye(4, dtype=np.float32)
    matrix[:2, :2] = rotation.T * scale
    matrix[:2, 3] = centre - matrix[:2, :2] @ np.array([output_width / 2, output_height / 2], np.float32)
    return matrix


def _cut(features: Floats, matrix: Floats, output_width: int, output_height: int) -> Floats:
    """Return the square [H, W, C] of a feature map, bilinear; 0 where it leaves the map."""
    height, width, channels = features.shape
    square = np.zeros((output_height, output_width, channels), np.float32)
    for row in range(output_height):
        for column in range(output_width):
            x, y = (matrix @ np.array([column + 0.5, row + 0.5, 0, 1], np.float32))[:2] - np.float32(0.5)
            if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
                continue
            left, top = int(x), int(y)
            right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
            u, v = np.float32(x - left), np.float32(y - top)
            upper = (1 - u) * features[top, left] + u * features[top, right]
            lower = (1 - u) * features[bottom, left] + u * features[bottom, right]
            square[row, column] = (1 - v) * upper + v * lower
    return square


def _back(points: Floats, matrix: Floats) -> Floats:
    """Return points [N, 2] of a square in the crop."""
    return points @ matrix[:2, :2].T + matrix[:2, 3]


_SQUARE = "Landmarks2TransformMatrix"
_KERNELS: dict[str, Callable[..., Floats]] = {
    _SQUARE: _square,
    "TransformTensorBilinear": _cut,
    "TransformLandmarks": _back,
}


def _joined(parts: list[Array], subsets: list[list[int]]) -> list[Array]:
    """Join the parts as MediaPipe's calculator does: mesh, lips, two eyes, two irises, logit of a face."""
    mesh, *fine, logit = (part.reshape(-1) for part in parts)
    landmarks = np.zeros((_POINTS + 10, 3), np.float32)
    landmarks[:_POINTS] = mesh.reshape(-1, 3)
    for subset, points in zip(subsets, fine, strict=False):
        landmarks[subset, :2] = points.reshape(-1, 2)
    depth = mesh.reshape(-1, 3)[:, 2]
    for k, (eye, iris) in enumerate(zip(subsets[1:], fine[3:], strict=True)):
        rows = slice(_POINTS + 5 * k, _POINTS + 5 * k + 5)
        landmarks[rows, :2] = iris.reshape(-1, 2)
        landmarks[rows, 2] = depth[eye[:16]].mean()  # the contour of the eye comes first
    return [landmarks[None], 1 / (1 + np.exp(-logit.reshape(1, 1)))]
