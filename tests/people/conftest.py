"""What the tests of people share: a toy network whose answers are known.

The toy network sees a person wherever a colour is bright: red 2 m away, green 3 m, blue 4 m, the head at the centre of
the colour, the score its brightness. Its body is a tetrahedron with the head at its tip. So every step from the
source's pixels to a mesh file can be checked, without torch.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]

SIDE = 56
BODY = np.array([[0, 0, 0], [-0.2, 1, 0], [0.2, 1, 0], [0, 1, 0.3]], np.float32)
FACES = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]], np.int32)
ESTIMATE = np.array([[SIDE, 0, SIDE / 2], [0, SIDE, SIDE / 2], [0, 0, 1]], np.float32)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _network(onnx: Any, batch: int, estimates: bool) -> Any:
    from onnx import TensorProto, numpy_helper

    nodes, constants = [], []

    def constant(value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value), f"c{len(constants)}"))
        return constants[-1].name

    def op(kind: str, *inputs: str, name: str = "", outputs: int = 1, **attributes: Any) -> Any:
        names = [name or f"n{len(nodes)}_{i}" for i in range(outputs)]
        nodes.append(onnx.helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    channels = np.float32(np.array([MEAN, STD])[:, None, :, None, None])
    values = op("Add", op("Mul", "image", constant(channels[1])), constant(channels[0]))
    weight = op("Relu", op("Sub", values, constant(np.float32(0.5))))
    area = constant(np.array([2, 3], np.int64))
    total = op("Add", op("ReduceSum", weight, area, keepdims=0), constant(np.float32(1e-6)))
    centres = np.arange(SIDE, dtype=np.float32) + 0.5
    u, v = (
        op("Div", op("ReduceSum", op("Mul", weight, constant(grid)), area, keepdims=0), total)
        for grid in (centres[None, None, None, :], centres[None, None, :, None])
    )
    brightness = op("ReduceMax", values, axes=[2, 3], keepdims=0)
    # NaN compares false: nobody is seen.
    seen = op("Cast", op("GreaterOrEqual", brightness, "threshold"), to=TensorProto.FLOAT)
    everybody = op("Where", op("Cast", seen, to=TensorProto.BOOL), brightness, constant(np.zeros((1, 1), np.float32)))
    scores, order = op("TopK", everybody, constant(np.array([3], np.int64)), outputs=2)
    op("Identity", scores, name="scores")
    op("Greater", scores, constant(np.float32(0)), name="valid")
    op("Cast", order, name="cells", to=TensorProto.INT32)
    u, v = (op("GatherElements", value, order, axis=1) for value in (u, v))
    last = constant(np.array([-1], np.int64))
    op("Concat", op("Unsqueeze", u, last), op("Unsqueeze", v, last), axis=2, name="locations")
    z = op("Add", op("Cast", order, to=TensorProto.FLOAT), constant(np.float32(2)))
    camera = "intrinsics"
    if estimates:
        focal = op("ReduceMax", "intrinsics", axes=[1, 2], keepdims=1)
        guess = constant(np.broadcast_to(ESTIMATE, (batch, 3, 3)).copy())
        camera = op("Where", op("Greater", focal, constant(np.float32(0))), camera, guess, name="camera")
    K = op("Reshape", camera, constant(np.array([batch, 9], np.int64)))
    fx, cx, fy, cy = (op("Gather", K, constant(np.array([i], np.int64)), axis=1) for i in (0, 2, 4, 5))
    x, y = (op("Mul", op("Div", op("Sub", p, c), f), z) for p, c, f in ((u, cx, fx), (v, cy, fy)))
    op("Concat", *(op("Unsqueeze", value, last) for value in (x, y, z)), axis=2, name="translation")
    eyes = np.broadcast_to(np.eye(3, dtype=np.float32), (batch, 3, 2, 3, 3)).copy()
    op("Identity", constant(eyes), name="rotations")
    op("Identity", constant(np.zeros((batch, 3, 4), np.float32)), name="shape")
    if not estimates:
        op("Identity", constant(np.zeros((batch, 3, 1), np.float32)), name="expression")
    extra = {"camera": (batch, 3, 3)} if estimates else {"expression": (batch, 3, 1)}
    return _model(
        onnx,
        "network",
        nodes,
        constants,
        {"image": (batch, 3, SIDE, SIDE), "intrinsics": (batch, 3, 3), "threshold": (1,)},
        {
            "scores": (batch, 3),
            "valid": (batch, 3),
            "cells": (batch, 3),
            "locations": (batch, 3, 2),
            **_parameters(batch, 3),
            **extra,
        },
    )


def _parameters(batch: int, slots: int) -> dict[str, tuple[int, ...]]:
    shapes = {"translation": (3,), "rotations": (2, 3, 3), "shape": (4,)}
    return {name: (batch, slots, *shape) for name, shape in shapes.items()}


def _body(onnx: Any, batch: int, slots: int) -> Any:
    from onnx import numpy_helper

    constants = [
        numpy_helper.from_array(BODY[None, None], "body"),
        numpy_helper.from_array(np.array([2], np.int64), "axis"),
        numpy_helper.from_array(np.array([0, 3], np.int64), "which"),
    ]
    nodes = [
        onnx.helper.make_node("Unsqueeze", ["translation", "axis"], ["at"]),
        onnx.helper.make_node("Add", ["at", "body"], ["vertices"]),
        onnx.helper.make_node("Gather", ["vertices", "which"], ["joints"], axis=2),
    ]
    outputs = {"vertices": (batch, slots, 4, 3), "joints": (batch, slots, 2, 3)}
    return _model(onnx, "body", nodes, constants, _parameters(batch, slots), outputs)


def _model(onnx: Any, name: str, nodes: Any, constants: Any, *values: dict[str, tuple[int, ...]]) -> Any:
    kinds = {"valid": onnx.TensorProto.BOOL, "cells": onnx.TensorProto.INT32}
    inputs, outputs = (
        [
            onnx.helper.make_tensor_value_info(key, kinds.get(key, onnx.TensorProto.FLOAT), shape)
            for key, shape in tensors.items()
        ]
        for tensors in values
    )
    graph = onnx.helper.make_graph(nodes, name, inputs, outputs, constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture(scope="session")
def toy_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes the toy's bundle: ``toy_bundle(batch=2)``; ``estimates`` as on Anny: its own camera, two topologies."""
    onnx = pytest.importorskip("onnx", reason="the toy network is written with onnx: needs humanrt[export]")
    ir = pytest.importorskip("onnx_ir", reason="bundles are written with onnx-ir: needs humanrt[export]")
    from humanrt_export.conversion.bundle_writer import BundleWriter

    made: dict[tuple[int, bool], Path] = {}

    def make(batch: int = 1, estimates: bool = False) -> Path:
        key = batch, estimates
        if key in made:
            return made[key]
        second = {"name": "second", "graph": "body-second", "graph_one": "body-1-second", "faces": "faces-second"}
        first = {"name": "first", "graph": "body", "graph_one": "body-1", "faces": "faces"}
        settings = {
            "image_size": SIDE,
            "batch": batch,
            "max_people": 3,
            "threshold": 0.6,
            "normalisation": {"mean": MEAN, "std": STD, "of": "RGB in 0..1"},
            "camera": {"field_of_view_deg": 60.0, "principal_point_px": SIDE // 2},
            "body": {
                "model": "tetrahedron",
                "joint_names": ["head", "neck"],
                **({"topologies": [first, second]} if estimates else {}),
            },
            "variants": [
                {"graph": "network", "precision": "fp32"},
                {"graph": "network", "precision": "bf16x3", "backend": "cpu", "cpu": ["warp_drive"]},
            ],
        }
        out = tmp_path_factory.mktemp("toy") / f"toy-{batch}-{estimates}"
        writer = BundleWriter(
            out, name="toy", task="people", version="1", licence="Apache-2.0", provenance={}, settings=settings
        )
        with writer:
            graphs = {"network": _network(onnx, batch, estimates)}
            for end in ("", "-second") if estimates else ("",):
                graphs |= {f"body{end}": _body(onnx, batch, 3), f"body-1{end}": _body(onnx, 1, 1)}
                writer.add_arrays(f"faces{end}", {"faces": FACES[:: -1 if end else 1]}, {"faces": "triangles"})
            for name, proto in graphs.items():
                graph = ir.from_proto(proto)
                texts = ({value.name: "" for value in values} for values in (graph.graph.inputs, graph.graph.outputs))
                writer.add_graph(name, graph, *texts)
            made[key] = writer.commit()
        return made[key]

    return make


@pytest.fixture(scope="session")
def picture() -> Callable[..., NDArray[np.uint8]]:
    """Draws coloured squares on black: ``picture(width, height, red=(x, y), green=..., size=px)``."""

    def draw(width: int, height: int, size: int = 20, level: int = 230, **at: tuple[float, float]) -> Any:
        image = np.zeros((height, width, 3), np.uint8)
        for colour, (x, y) in at.items():
            left, top = round(x - size / 2), round(y - size / 2)
            channel = ("red", "green", "blue").index(colour)
            image[max(0, top) : max(0, top + size), max(0, left) : max(0, left + size), channel] = level
        return image

    return draw


@pytest.fixture(scope="session")
def photograph() -> NDArray[np.uint8]:
    """The people of shared/media, which is not part of the project."""
    path = ROOT.parent / "shared" / "media" / "people.jpg"
    if not path.is_file():
        pytest.skip(f"no photograph at {path}")
    return np.ascontiguousarray(np.asarray(cv2.imread(str(path)), np.uint8)[..., ::-1])


@pytest.fixture
def every_look(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """At the camera's pace, have each look done when the next frame comes, or the next ``every``-th frame."""
    from humanrt.inference.newest import Newest

    take = Newest.take

    def patch(every: int = 1) -> None:
        arrived = 0

        def taken(self: Any, *, wait: bool = False) -> Any:
            nonlocal arrived
            if not wait:
                arrived += 1
                if (arrived - 1) % every:
                    return None
            return take(self, wait=True)

        monkeypatch.setattr(Newest, "take", taken)

    return patch
