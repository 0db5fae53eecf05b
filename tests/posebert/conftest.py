"""A PoseBERT whose answers can be computed by hand: same inputs and outputs as the real ones, no weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humanrt.bundle import Bundle, load_bundle

DRIFT, TURN = 0.001, 0.05  # m and rad that a row adds


def toy_graph(batch: int, window: int, points: int, joints: int, kind: str, rays: bool = False) -> bytes:
    """``average``: of the frames so far that are there, about their own mean, + DRIFT * row; ``echo``: the frame.

    ``rays``: it takes rays, and adds the third of them, which are all alike, to every keypoint.

    Every rotation is about z, by 10 * x of its keypoint + TURN * row.
    """
    onnx = pytest.importorskip("onnx", reason="onnx (extra `export`) makes the toy graphs")
    helper, numpy_helper, types = onnx.helper, onnx.numpy_helper, onnx.TensorProto
    rows = np.arange(window, dtype=np.float32)[None, :, None, None]
    constants = {
        "zero": np.float32(0),
        "one": np.float32(1),
        "ten": np.float32(10),
        "drift": rows * np.float32(DRIFT if kind == "average" else 0),
        "turn": rows[..., 0] * np.float32(TURN),
        "time_axis": np.array(1),
        "two_axes": np.array([2, 3]),
        "first": np.array([0]),
        "joints": np.array([joints]),
        "axis_2": np.array([2]),
        "x": np.array(0),
        "third": np.array([2]),
        "square": np.array([batch, window, joints, 3, 3]),
        "zeros": np.zeros((batch, window, joints), np.float32),
        "ones": np.ones((batch, window, joints), np.float32),
    }
    node = helper.make_node
    mean = [
        node("CumSum", ["there", "time_axis"], ["sum"]),
        node("CumSum", ["weight", "time_axis"], ["count"]),
        node("Max", ["count", "one"], ["divisor"]),
        node("Div", ["sum", "divisor"], ["kept"]),
    ]
    nodes = [
        node("Unsqueeze", ["mask", "two_axes"], ["seen"]),
        node("Cast", ["seen"], ["weight"], to=types.FLOAT),
        node("Where", ["seen", "keypoints", "zero"], ["there"]),
        *(mean if kind == "average" else [node("Identity", ["there"], ["kept"])]),
        node("ReduceMean", ["kept"], ["centre"], axes=[2]),
        node("Sub", ["kept", "centre"], ["about"]),
        # The confidence counts too, so that a wrong one is seen: 1 changes nothing.
        node("Where", ["seen", "confidence_wide", "one"], ["sure"]),
        node("Mul", ["about", "sure"], ["weighted"]),
        node("Add", ["weighted", "drift"], ["moved" if rays else "smoothed"]),
        *([node("Gather", ["rays", "third"], ["size"], axis=3), node("Add", ["moved", "size"], ["smoothed"])] * rays),
        node("Slice", ["weighted", "first", "joints", "axis_2"], ["some"]),
        node("Gather", ["some", "x"], ["side"], axis=3),
        node("Mul", ["side", "ten"], ["bend"]),
        node("Add", ["bend", "turn"], ["angle"]),
        node("Cos", ["angle"], ["c"]),
        node("Sin", ["angle"], ["s"]),
        node("Neg", ["s"], ["minus_s"]),
    ]
    nodes.insert(0, node("Unsqueeze", ["confidence", "last_axis"], ["confidence_wide"]))
    constants["last_axis"] = np.array([3])
    parts = ["c", "minus_s", "zeros", "s", "c", "zeros", "zeros", "zeros", "ones"]
    for i, part in enumerate(parts):
        nodes.append(node("Unsqueeze", [part, "last_axis"], [f"part_{i}"]))
    nodes.append(node("Concat", [f"part_{i}" for i in range(9)], ["flat"], axis=3))
    nodes.append(node("Reshape", ["flat", "square"], ["rotations"]))
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "toy",
        [
            info("keypoints", types.FLOAT, [batch, window, points, 3]),
            info("mask", types.BOOL, [batch, window]),
            info("confidence", types.FLOAT, [batch, window, points]),
            *([info("rays", types.FLOAT, [batch, window, points, 3])] * rays),
        ],
        [
            info("rotations", types.FLOAT, [batch, window, joints, 3, 3]),
            info("smoothed", types.FLOAT, [batch, window, points, 3]),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture
def toy(make_bundle: Callable[..., Path]) -> Callable[..., Bundle]:
    """``toy(kind, batches=(1,), window=16, points=21, rays=False)``: a bundle."""

    def make(
        kind: str = "average",
        batches: tuple[int, ...] = (1,),
        window: int = 16,
        points: int = 21,
        joints: int = 16,
        rays: bool = False,
    ) -> Bundle:
        files, graphs = {}, {}
        for batch in batches:
            name = "posebert" if batches == (1,) else f"posebert_b{batch}"
            files[f"{name}.onnx"] = toy_graph(batch, window, points, joints, kind, rays)
            shapes: dict[str, dict[str, Any]] = {
                "keypoints": {"shape": [batch, window, points, 3], "dtype": "float32"},
                "mask": {"shape": [batch, window], "dtype": "bool"},
                "confidence": {"shape": [batch, window, points], "dtype": "float32"},
                "rotations": {"shape": [batch, window, joints, 3, 3], "dtype": "float32"},
                "smoothed": {"shape": [batch, window, points, 3], "dtype": "float32"},
                "rays": {"shape": [batch, window, points, 3], "dtype": "float32"},
            }
            graphs[name] = {
                "file": f"{name}.onnx",
                "inputs": {key: shapes[key] for key in ("keypoints", "mask", "confidence", *(["rays"] * rays))},
                "outputs": {key: shapes[key] for key in ("rotations", "smoothed")},
            }
        entries = {
            "task": "posebert",
            "graphs": graphs,
            "settings": {
                "kind": "hand",
                "clock_hz": 30,
                "window": window,
                "joints": [f"joint_{i}" for i in range(joints)],
                "parents": list(range(-1, joints - 1)),
            },
        }
        return load_bundle(
            make_bundle(files, f"toy-{kind}-{'-'.join(map(str, batches))}-{points}{'-rays' * rays}", **entries)
        )

    return make


@pytest.fixture
def rotation_bundle(make_bundle: Callable[..., Path]) -> Callable[[bool], Bundle]:
    """``rotation_bundle(published)``: 24 rotations in and, unchanged, out; published weights take them as 6-d rows."""

    def make(published: bool) -> Bundle:
        onnx = pytest.importorskip("onnx", reason="onnx (extra `export`) makes the toy graphs")
        helper, numpy_helper, types = onnx.helper, onnx.numpy_helper, onnx.TensorProto
        node, info = helper.make_node, helper.make_tensor_value_info
        window = 16
        mask = {"shape": [1, window], "dtype": "bool"}
        out = {"shape": [1, window, 24, 3, 3], "dtype": "float32"}
        if published:
            name, shape = "features", [1, window, 144]
            # Two columns; the third is their cross product: c0 = a1 b2 - a2 b1, and so on.
            constants = {"columns": np.array([1, window, 24, 3, 2]), "a": np.array(0), "b": np.array(1)}
            constants |= {"next": np.array([1, 2, 0]), "after": np.array([2, 0, 1]), "last": np.array([4])}
            nodes = [
                node("Reshape", ["features", "columns"], ["two"]),
                *(node("Gather", ["two", c], [f"col_{c}"], axis=4) for c in "ab"),
                *(node("Gather", [f"col_{c}", k], [f"{c}_{k}"], axis=3) for c in "ab" for k in ("next", "after")),
                node("Mul", ["a_next", "b_after"], ["plus"]),
                node("Mul", ["a_after", "b_next"], ["minus"]),
                node("Sub", ["plus", "minus"], ["third"]),
                node("Unsqueeze", ["third", "last"], ["third_column"]),
                node("Concat", ["two", "third_column"], ["rotations"], axis=4),
            ]
        else:
            name, shape, constants = "rotations_in", [1, window, 24, 3, 3], {}
            nodes = [node("Identity", ["rotations_in"], ["rotations"])]
        inputs = {name: {"shape": shape, "dtype": "float32"}, "mask": mask}
        graph = helper.make_graph(
            nodes,
            "toy",
            [info(name, types.FLOAT, shape), info("mask", types.BOOL, mask["shape"])],
            [info("rotations", types.FLOAT, out["shape"])],
            [numpy_helper.from_array(value, key) for key, value in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        graphs = {"posebert": {"file": "x.onnx", "inputs": inputs, "outputs": {"rotations": out}}}
        names = [f"joint_{i}" for i in range(24)]
        settings = {"clock_hz": 30, "window": window, "joints": names, "parents": list(range(-1, 23))}
        files = {"x.onnx": bytes(model.SerializeToString())}
        entries = {"task": "posebert", "graphs": graphs, "settings": settings}
        return load_bundle(make_bundle(files, "rotations", **entries))

    return make
