"""PyTorch modules to ONNX graphs with static shapes, and graphs that share one file of weights."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

__all__ = ["OPSET", "common_weights", "share_weights", "trace"]

OPSET = 20
_SCOPES = "pkg.torch.onnx.name_scopes"
_ALIGNMENT = 4096  # so that runtimes can map weights into memory instead of copying them
_SMALL = 1024  # bytes; smaller constants stay in the graph, where shape inference wants them


def trace(module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], name: str) -> onnx.ModelProto:
    """Export ``module`` as it computes on ``inputs`` (their order is the order of its arguments).

    Nodes are named after the module that they come from (``backbone.blocks.0.attn/node_MatMul_3``), so that nodes
    can be selected by name when precision is changed later. The rest of PyTorch's metadata is removed.
    """
    with _quiet(), torch.inference_mode():
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            verbose=False,
        )
    model: onnx.ModelProto = program.model_proto
    for node in model.graph.node:
        scopes = next((item.value for item in node.metadata_props if item.key == _SCOPES), "[]")
        # From the whole model to the operator: ['', 'network', 'network.backbone', ..., 'matmul'].
        modules = [scope for scope in ast.literal_eval(scopes)[:-1] if scope]
        node.name = f"{modules[-1].partition('.')[2] if modules else ''}/{node.name}"
        del node.metadata_props[:]
        node.ClearField("doc_string")
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
        value.ClearField("doc_string")
    del model.graph.value_info[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    # Contrib operators may be present through `attention.ort_fused`; PyTorch's own functions must not be.
    assert not model.functions
    model.graph.name = name
    model.producer_name, model.producer_version = "humanrt-export", ""
    return model


def share_weights(models: Sequence[onnx.ModelProto], file: str) -> bytes:
    """Move the weights of graphs, in place, to one external file, each distinct tensor once; returns its content.

    The graphs name the file's sha256 in their metadata, so that a graph's own hash changes with its weights.
    """
    content = bytearray()
    places: dict[tuple[bytes, int], int] = {}
    for model in models:
        for tensor in model.graph.initializer:
            raw = np.ascontiguousarray(numpy_helper.to_array(tensor)).tobytes()
            if len(raw) < _SMALL:
                continue
            key = hashlib.sha256(raw).digest(), len(raw)
            if key not in places:
                content += bytes(-len(content) % _ALIGNMENT)
                places[key] = len(content)
                content += raw
            for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
                tensor.ClearField(field)
            del tensor.external_data[:]
            tensor.data_location = TensorProto.EXTERNAL
            for entry, value in (("location", file), ("offset", str(places[key])), ("length", str(len(raw)))):
                tensor.external_data.add(key=entry, value=value)
    digest = hashlib.sha256(content).hexdigest()
    for model in models:
        helper.set_model_props(model, {"weights_file": file, "weights_sha256": digest})
    return bytes(content)


def common_weights(models: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
    """Move the weights that several graphs share out of them, in place; returns a model with only these, each once.

    A graph's bytes followed by those of the weights form a complete model: protobuf reads both as one message. These
    weights are named after their content so that names agree; a graph ignores those that only other graphs use.
    """
    held: Counter[str] = Counter()
    for model in models:
        held.update({_content_name(item) for item in model.graph.initializer if item.ByteSize() >= _SMALL})
    weights = onnx.ModelProto()
    moved: set[str] = set()
    for model in models:
        own, names = [], {}
        for item in model.graph.initializer:
            name = _content_name(item) if item.ByteSize() >= _SMALL else ""
            if held[name] < 2:
                own.append(item)
                continue
            names[item.name] = name
            if name not in moved:
                moved.add(name)
                weights.graph.initializer.add().CopyFrom(item)
                weights.graph.initializer[-1].name = name
        del model.graph.initializer[:]
        model.graph.initializer.extend(own)
        for node in model.graph.node:
            node.input[:] = [names.get(value, value) for value in node.input]
    return weights


def _content_name(tensor: TensorProto) -> str:
    unnamed = TensorProto()
    unnamed.CopyFrom(tensor)
    unnamed.name = ""
    return f"w_{hashlib.sha256(unnamed.SerializeToString(deterministic=True)).hexdigest()[:16]}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress exporter warnings that do not concern the user (torchvision is absent, pytrees)."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
