"""Fixtures of the tests of operators of our own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from humanrt.backends import open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import load_bundle

Array = NDArray[Any]


@pytest.fixture
def run(make_bundle: Callable[..., Path]) -> Callable[..., Array]:
    """``run(operator, {input: array}, {constant: array}, attribute=...)``, in a session of the CPU backend."""
    count = iter(range(100))

    def call(
        operator: str,
        feeds: dict[str, Array],
        constants: dict[str, Array],
        width: int,
        threads: int = 2,
        **attributes: int,
    ) -> Array:
        onnx = pytest.importorskip("onnx", reason="onnx (extra `export`) makes the graphs")
        helper, kind = onnx.helper, onnx.TensorProto.FLOAT
        names = ("x", "w", "b", "r") if operator.startswith("Linear") else ("x",)
        shape = [*feeds["x"].shape[:-1], width]
        graph = helper.make_graph(
            [
                helper.make_node(
                    operator,
                    [name if name in feeds or name in constants else "" for name in names],
                    ["y"],
                    domain="humanrt",
                    **attributes,
                )
            ],
            "one",
            [helper.make_tensor_value_info(name, kind, value.shape) for name, value in feeds.items()],
            [helper.make_tensor_value_info("y", kind, shape)],
            [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
        )
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("humanrt", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        inputs = {name: {"shape": list(value.shape), "dtype": "float32"} for name, value in feeds.items()}
        entry = {"file": "one.onnx", "inputs": inputs, "outputs": {"y": {"shape": shape, "dtype": "float32"}}}
        entry["operators"] = "int16" if operator.endswith("Int16") else True
        folder = make_bundle({"one.onnx": model.SerializeToString()}, name=f"b{next(count)}", graphs={"one": entry})
        with open_backend("cpu", BackendOptions(threads=threads)) as backend:
            return backend.open(load_bundle(folder).graph("one")).run(feeds)["y"]

    return call
