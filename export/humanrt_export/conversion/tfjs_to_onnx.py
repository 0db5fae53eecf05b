"""Convert a TF.js graph model (``model.json`` and its weights) to ONNX: the operators of feed-forward vision networks.

Tensors are NHWC in TF.js and NCHW here; constants are transposed once. Only what the wanted outputs need is converted.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from humanrt.errors import SourceError

__all__ = ["GraphModel", "convert", "read"]

Array = NDArray[Any]

_OPSET = 17
_IR_VERSION = 8
_FLOAT = onnx.TensorProto.FLOAT
_DTYPES = {"float32": np.float32, "int32": np.int32, "float16": np.float16}


@dataclass(frozen=True)
class GraphModel:
    """A TF.js graph model.

    Attributes:
        nodes: the graph's nodes by name, as in the file.
        weights: its constants by name, float32 or int32.
        generated_by: where the file says that the model comes from.
    """

    nodes: Mapping[str, Mapping[str, Any]]
    weights: Mapping[str, Array]
    generated_by: str


def read(topology: bytes, weights: bytes) -> GraphModel:
    """Read a graph model from the contents of its JSON file and of the one file of its weights.

    Raises:
        SourceError: it is not a graph model, or its weights are stored in a way that is not supported.
    """
    try:
        content = json.loads(topology)
        nodes = {node["name"]: node for node in content["modelTopology"]["node"]}
        constants: dict[str, Array] = {}
        start = 0
        for group in content["weightsManifest"]:
            for entry in group["weights"]:
                stored = np.dtype(_DTYPES[entry.get("quantization", entry)["dtype"]])
                count = int(np.prod(entry["shape"], dtype=np.int64))
                value = np.frombuffer(weights, stored, count, start).reshape(entry["shape"])
                constants[entry["name"]] = value.astype(_DTYPES[entry["dtype"]])
                start += count * stored.itemsize
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"this is not a TF.js graph model that can be read ({error!r}); get the package again"
        ) from error
    if start != len(weights):
        raise SourceError(f"the weights have {len(weights)} bytes, the graph names {start}; get the package again")
    return GraphModel(nodes, constants, str(content.get("generatedBy", "")))


def convert(
    model: GraphModel, name: str, image: str, gain: float, size: tuple[int, int], outputs: Mapping[str, str]
) -> onnx.ModelProto:
    """Convert the part of a graph between an image and named outputs.

    Args:
        model: the graph model.
        name: name of the ONNX graph.
        image: name of the node, NHWC, that the input ``image`` [1, 3, height, width] stands for...
        gain: ...times this: 255 where the node holds 0..255 and `image` 0..1.
        size: (width, height) px.
        outputs: names of the ONNX outputs, and of the nodes that compute them.

    Raises:
        SourceError: a node is missing, or its operator is not supported.
    """
    width, height = size
    converter = _Converter(model)
    converter.tensors[image] = converter.add("Mul", ["image", converter.constant("image/gain", np.float32(gain))])
    for output, node in outputs.items():
        converter.nodes.append(helper.make_node("Identity", [converter.tensor(node)], [output], name=output))
    shape = [1, 3, height, width]
    graph = helper.make_graph(
        converter.nodes,
        name,
        [helper.make_tensor_value_info("image", _FLOAT, shape)],
        [helper.make_tensor_value_info(output, _FLOAT, None) for output in outputs],
        [numpy_helper.from_array(value, key) for key, value in converter.constants.items()],
    )
    result = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="humanrt-export")
    result.ir_version = _IR_VERSION
    inferred = onnx.shape_inference.infer_shapes(result, strict_mode=True, data_prop=True)
    del inferred.graph.value_info[:]
    onnx.checker.check_model(inferred, full_check=True)
    return inferred


class _Converter:
    """State of one conversion: ONNX nodes and constants so far, and the tensor that each TF.js node became."""

    def __init__(self, model: GraphModel) -> None:
        self._model = model
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.tensors: dict[str, str] = {}

    def add(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, list(inputs), [output], name=f"{kind}_{len(self.nodes)}", **attributes)
        )
        return output

    def constant(self, name: str, value: Array | np.generic) -> str:
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def tensor(self, name: str) -> str:
        """Return the ONNX tensor of a TF.js node, converting it and what it needs if that has not been done."""
        if name not in self.tensors:
            if name in self._model.weights:
                self.tensors[name] = self.constant(name, _channels_first(self._model.weights[name]))
                return name
            node = self._model.nodes.get(name)
            if node is None:
                raise SourceError(f"the graph model has no node `{name}`")
            handler = _HANDLERS.get(node["op"])
            if handler is None:
                raise SourceError(f"node `{name}` is a `{node['op']}`, which is not converted")
            self.tensors[name] = handler(self, node)
        return self.tensors[name]

    def convolution(self, node: Mapping[str, Any]) -> str:
        """Convert a convolution with the bias and the activation that were fused into it."""
        weight = self._model.weights[node["input"][1]]
        if weight.dtype != np.float32 or weight.ndim != 4:
            raise SourceError(f"node `{node['name']}`: its weights are not [H, W, I, O]")
        depthwise = "Depthwise" in node["op"]
        weight = weight.transpose(2, 3, 0, 1) if depthwise else weight.transpose(3, 2, 0, 1)
        if depthwise and weight.shape[1] != 1:
            raise SourceError(f"node `{node['name']}`: {weight.shape[1]} outputs for each channel are not converted")
        strides, dilations = (_numbers(node, key)[1:3] for key in ("strides", "dilations"))
        if set(dilations) - {1}:
            raise SourceError(f"node `{node['name']}`: dilations {dilations} are not converted")
        # SAME pads so that an even size is divided by the stride: what is odd of it goes below and to the right.
        kernel = weight.shape[2:]
        total = [k - s for k, s in zip(kernel, strides, strict=True)]
        same = _text(node, "padding") == "SAME"
        before = [max(pad, 0) // 2 if same else 0 for pad in total]
        after = [max(pad, 0) - first if same else 0 for pad, first in zip(total, before, strict=True)]
        inputs = [self.tensor(node["input"][0]), self.constant(node["input"][1], weight)]
        fused = _texts(node, "fused_ops")
        if fused[:1] == ["BiasAdd"]:
            inputs.append(self.constant(node["input"][2], self._model.weights[node["input"][2]]))
        result = self.add(
            "Conv",
            inputs,
            kernel_shape=list(kernel),
            strides=strides,
            pads=[*before, *after],
            group=weight.shape[0] if depthwise else 1,
        )
        if fused in (["BiasAdd"], []):
            return result
        if fused == ["BiasAdd", "Relu"]:
            return self.add("Relu", [result])
        if fused == ["BiasAdd", "Relu6"]:
            limits = (self.constant("relu6/low", np.float32(0)), self.constant("relu6/high", np.float32(6)))
            return self.add("Clip", [result, *limits])
        raise SourceError(f"node `{node['name']}`: {fused} fused into a convolution is not converted")

    def binary(self, kind: str, node: Mapping[str, Any]) -> str:
        return self.add(kind, [self.tensor(item) for item in node["input"]])

    def resize(self, node: Mapping[str, Any]) -> str:
        """Convert a bilinear resize, which in these networks doubles the size (`up_sampling2d`)."""
        if not node["attr"].get("half_pixel_centers", {}).get("b") or node["attr"].get("align_corners", {}).get("b"):
            raise SourceError(f"node `{node['name']}`: only resizing with half pixel centres is converted")
        factor = self._scale_of(node["input"][1])
        scales = self.constant(f"{node['name']}/scales", np.array([1, 1, *factor], np.float32))
        return self.add(
            "Resize",
            [self.tensor(node["input"][0]), "", scales],
            mode="linear",
            coordinate_transformation_mode="half_pixel",
        )

    def _scale_of(self, name: str) -> list[int]:
        """Return the constant by which a node, `up_sampling2d`'s, multiplies a shape."""
        node = self._model.nodes[name]
        factors = [self._model.weights[item] for item in node["input"] if item in self._model.weights]
        if node["op"] != "Mul" or len(factors) != 1 or factors[0].shape != (2,):
            raise SourceError(f"node `{name}`: the size of a resize must be a shape times a constant")
        return [int(value) for value in factors[0]]


def _channels_first(value: Array) -> Array:
    """Return a constant that is broadcast to NHWC, [C] or [N, H, W, C], as one that is broadcast to NCHW."""
    return value.reshape((1,) * (4 - value.ndim) + value.shape).transpose(0, 3, 1, 2)


def _numbers(node: Mapping[str, Any], key: str) -> list[int]:
    return [int(value) for value in node["attr"][key]["list"]["i"]]


def _text(node: Mapping[str, Any], key: str) -> str:
    return base64.b64decode(node["attr"][key]["s"]).decode()


def _texts(node: Mapping[str, Any], key: str) -> list[str]:
    values = node["attr"].get(key, {}).get("list", {}).get("s", [])
    return [base64.b64decode(value).decode() for value in values]


_HANDLERS: Mapping[str, Callable[[_Converter, Mapping[str, Any]], str]] = {
    "_FusedConv2D": _Converter.convolution,
    "FusedDepthwiseConv2dNative": _Converter.convolution,
    "DepthwiseConv2dNative": _Converter.convolution,
    "AddV2": lambda converter, node: converter.binary("Add", node),
    "Sub": lambda converter, node: converter.binary("Sub", node),
    "Mul": lambda converter, node: converter.binary("Mul", node),
    "ResizeBilinear": _Converter.resize,
    "Sigmoid": lambda converter, node: converter.add("Sigmoid", [converter.tensor(node["input"][0])]),
}
