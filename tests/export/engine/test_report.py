"""What is said of an engine: its layers after fusion, and whether attention became one kernel."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from humanrt_export.conversion.engine.report import Layer, Report, attentions, from_inspector, from_log, from_network
from humanrt_export.conversion.rewriting import make_node, name_nodes

from .conftest import attention

TENSOR = "{ Name: t, Dimensions: [2,3], Strides: [3,1], StrideOrder: [1,0], Datatype: %s, Format: (Linear) Row major }"
LOG = "\n".join(
    [
        "Layers:",
        f"Name: qkv+x_myl0_0, LayerType: gemm, Inputs: [ {TENSOR % 'Float'}], Constants: [ {TENSOR % 'Int32'}], "
        f"Outputs: [ {TENSOR % 'Half'}], TacticName: __stub, StreamId: 0, Metadata: [ONNX Layer: qkv][ONNX Layer: /x]",
        f"Name: _gemm_mha_v2_myl0_1, LayerType: kgen, Inputs: [], Constants: [], Outputs: [ {TENSOR % 'Half'}, "
        f"{TENSOR % 'Half'}], TacticName: , StreamId: 0, Metadata: [ONNX Layer: pv][ONNX Layer: softmax]",
        "Name: signal^1_myl0_2, LayerType: signal, Inputs: [], Outputs: [], TacticName: , StreamId: 0, Metadata: ",
        "",
        "I/O Tensors:",
        " Name: x, IOMode: Input, DataType: Half, Dimensions: [2,3], Location: Device, IsShapeInferenceIO: false",
    ]
)


def test_the_log_of_tensorrt_rtx() -> None:
    layers = from_log(LOG)
    assert layers == [
        Layer("qkv+x_myl0_0", "gemm", ("Half",), ("qkv", "/x")),
        Layer("_gemm_mha_v2_myl0_1", "kgen", ("Half", "Half"), ("pv", "softmax")),
        Layer("signal^1_myl0_2", "signal", (), ()),
    ]
    report = Report("engine", layers, ["softmax", "other"])
    assert report.fused == ["softmax"]
    assert report.types == {"Half": 2}
    assert report.lines() == "kernels: 2 Half; attention fused: 1 of 2"
    assert json.loads(json.dumps(report.to_json()))["attention"] == {
        "nodes": ["softmax", "other"],
        "fused": ["softmax"],
    }


def test_the_inspector_of_tensorrt_10_and_11() -> None:
    ten = {"Name": "fmha", "LayerType": "kgen", "Metadata": "[ONNX Layer: a]\u001e[ONNX Layer: b]",
           "Outputs": [{"Name": "y", "Format/Datatype": "Row major linear FP16 format"}]}  # fmt: skip
    eleven = {**ten, "Outputs": [{"Name": "y", "Datatype": "Half", "Format": "Row major linear"}]}
    for layer, dtype in ((ten, "Row major linear FP16 format"), (eleven, "Half")):
        found = from_inspector(json.dumps({"Layers": [layer], "Bindings": ["x"]}))
        assert found == [Layer("fmha", "kgen", (dtype,), ("a", "b"))]
        assert Report("engine", found, ["b"]).fused == ["b"]
    assert from_inspector('{"Layers": ["only a name"]}') == [Layer("only a name", "", ())]


def test_layers_as_parsed_do_not_tell_what_is_fused() -> None:
    def layer(kind: str, *dtypes: str) -> SimpleNamespace:
        outputs = [SimpleNamespace(dtype=SimpleNamespace(name=dtype)) for dtype in dtypes]
        return SimpleNamespace(
            name=kind,
            type=SimpleNamespace(name=kind),
            metadata="",
            num_outputs=len(outputs),
            get_output=outputs.__getitem__,
        )

    layers = [layer("SOFTMAX", "HALF"), layer("CONSTANT", "FLOAT"), layer("TOPK", "FLOAT", "INT32")]
    network = SimpleNamespace(num_layers=3, get_layer=layers.__getitem__)
    report = Report("network", from_network(network), ["softmax"])
    assert report.fused is None
    assert report.types == {"HALF": 1, "FLOAT/INT32": 1}
    assert report.lines() == "layers as parsed: 1 HALF, 1 FLOAT/INT32; attention fused: ? of 1"


@pytest.mark.parametrize("wide_softmax", [False, True])
def test_attention_is_recognised(wide_softmax: bool) -> None:
    assert attentions(attention(wide_softmax=wide_softmax)) == ["softmax"]


def test_a_softmax_that_gives_a_result_is_no_attention() -> None:
    model = attention()
    model.graph.append(make_node("Softmax", model.graph.outputs, "p2", "classes", axis=-1))
    assert attentions(model) == ["softmax"]
    keys = model.graph.node("qk")
    keys.outputs[0].replace_all_uses_with(keys.inputs[0])
    model.graph.remove(keys)
    assert attentions(model) == []


def test_every_node_gets_a_name_of_its_own() -> None:
    model = attention()
    for node, name in zip(model.graph, ("", "same", "same"), strict=False):
        node.name = name
    name_nodes(model)
    names = [node.name for node in model.graph]
    assert all(names)
    assert len(set(names)) == len(names)
    assert names[1] == "same"
