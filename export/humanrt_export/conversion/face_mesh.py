"""The parts that MediaPipe's face landmark model "with attention" outputs, joined into one list of 478 landmarks.

It gives the 468 points of the whole face, then lips, eyes and irises again, from a closer look. MediaPipe joins them on
the host (`tensors_to_face_landmarks_with_attention`): the closer look replaces x and y, and the depth of an iris is the
mean of its eye's contour. Here that is part of the graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from humanrt_export.conversion.rewriting import add_constant, make_node

__all__ = ["join_parts"]

_POINTS = 468
_IRIS = 5
_CONTOUR = 16
"""The contour's points come first in the subset of an eye."""


def join_parts(model: ir.Model) -> None:
    """Replace the outputs of the converted model by ``output_0``, landmarks [1, 478, 3], and ``output_1``, presence.

    Its outputs are, in this order: the mesh, the lips, the eye on the left and the one on the right in the picture,
    their irises, and the logit of a face. Which points of the mesh the lips and eyes are is told by the operators that
    cut them out (`mediapipe_operators`).
    """
    graph, parts = model.graph, list(model.graph.outputs)
    for index, part in enumerate(parts):
        part.name = f"part_{index}"
    subsets = [value.const_value.numpy() for name, value in graph.initializers.items() if name.endswith("_subset")]
    sizes = [len(subset) for subset in subsets]
    shapes = [(_POINTS, 3), *((size, 2) for size in sizes), (_IRIS, 2), (_IRIS, 2)]

    def step(op: str, inputs: list[ir.Value], output: str, **attributes: Any) -> ir.Value:
        node = make_node(op, inputs, output, **attributes)
        graph.append(node)
        return node.outputs[0]

    shape_values = [add_constant(graph, f"face_shape_{k}", np.array([1, *shape])) for k, shape in enumerate(shapes)]
    points = [
        step("Reshape", [part, shape], f"face_points_{k}")
        for k, (part, shape) in enumerate(zip(parts, shape_values, strict=False))
    ]
    first_two, depth = add_constant(graph, "face_xy", np.array([0, 1])), add_constant(graph, "face_z", np.array([2]))
    xy = step("Gather", [points[0], first_two], "face_mesh_xy", axis=2)
    z = step("Gather", [points[0], depth], "face_mesh_z", axis=2)

    rows = np.arange(_POINTS + 2 * _IRIS)
    begin = _POINTS
    for subset in subsets:
        rows[subset] = np.arange(begin, begin + len(subset))
        begin += len(subset)
    rows[_POINTS:] = np.arange(begin, begin + 2 * _IRIS)
    every = step("Concat", [xy, *points[1:]], "face_every", axis=1)
    placed = step("Gather", [every, add_constant(graph, "face_rows", rows)], "face_placed", axis=1)
    depths = [z]
    for eye, subset in enumerate(subsets[1:]):
        contour = add_constant(graph, f"face_contour_{eye}", subset[:_CONTOUR])
        around = step("Gather", [z, contour], f"face_contour_z_{eye}", axis=1)
        mean = step("ReduceMean", [around], f"face_iris_z_{eye}", axes=[1], keepdims=1)
        iris = graph.initializers.get("face_iris") or add_constant(graph, "face_iris", np.array([1, _IRIS, 1]))
        depths.append(step("Expand", [mean, iris], f"face_iris_depth_{eye}"))
    all_depths = step("Concat", depths, "face_depth", axis=1)
    graph.outputs[:] = [
        step("Concat", [placed, all_depths], "output_0", axis=2),
        step("Sigmoid", [parts[-1]], "output_1"),
    ]
    for value, shape in zip(graph.outputs, ((1, _POINTS + 2 * _IRIS, 3), (1, 1, 1, 1)), strict=True):
        value.type, value.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(shape)
