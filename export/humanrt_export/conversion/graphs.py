"""PyTorch modules to ONNX graphs with static shapes, and graphs that share one file of weights."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes import common
from torch import Tensor, nn

__all__ = ["OPSET", "common_weights", "share_weights", "trace"]

OPSET = 20
_SCOPES = "pkg.torch.onnx.name_scopes"
_ALIGNMENT = 4096  # so that runtimes can map weights into memory instead of copying them
_SMALL = 1024  # bytes; smaller constants stay in the graph, where shape inference wants them
_TINY = 64  # bytes of a constant beside its name; what is smaller is not worth sharing between packed graphs


def trace(module: nn.Module, inputs: Mapping[str, Tensor], outputs: Sequence[str], name: str) -> ir.Model:
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
    model = ir.from_proto(program.model_proto)  # a copy: PyTorch's own refers to the module's weights
    for node in model.graph:
        scopes = node.metadata_props.get(_SCOPES, "[]")
        # From the whole model to the operator: ['', 'network', 'network.backbone', ..., 'matmul'].
        modules = [scope for scope in ast.literal_eval(scopes)[:-1] if scope]
        node.name = f"{modules[-1].partition('.')[2] if modules else ''}/{node.name}"
    common.ClearMetadataAndDocStringPass()(model)
    for value in (*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
        value.doc_string = None
    model.metadata_props.clear()
    # Contrib operators may be present through `attention.ort_fused`; PyTorch's own functions must not be.
    assert not model.functions
    model.graph.name = name
    model.producer_name, model.producer_version = "humanrt-export", ""
    return model


def share_weights(models: Sequence[ir.Model], file: str) -> bytes:
    """Move the weights of graphs, in place, to one external file, each distinct tensor once; returns its content.

    The graphs name the file's sha256 in their metadata, so that a graph's own hash changes with its weights.
    """
    content = bytearray()
    offsets: dict[tuple[bytes, int], int] = {}
    for value in (value for model in models for value in model.graph.initializers.values()):
        tensor = value.const_value
        raw = tensor.tobytes()
        if len(raw) < _SMALL:
            continue
        key = hashlib.sha256(raw).digest(), len(raw)
        if key not in offsets:
            content += bytes(-len(content) % _ALIGNMENT)
            offsets[key] = len(content)
            content += raw
        value.const_value = ir.ExternalTensor(
            file, offsets[key], len(raw), tensor.dtype, shape=tensor.shape, name=value.name
        )
    digest = hashlib.sha256(content).hexdigest()
    for model in models:
        model.metadata_props.update({"weights_file": file, "weights_sha256": digest})
    return bytes(content)


def common_weights(models: Sequence[ir.Model]) -> bytes:
    """Move the weights that several graphs share out of them, in place; returns them as a model, each once.

    A graph's bytes followed by those of the weights form a complete model: protobuf reads both as one message. These
    weights are named after their content so that names agree; a graph ignores those that only other graphs use.
    """
    tensors = {value: ir.to_proto(value.const_value) for model in models for value in model.graph.initializers.values()}
    names = {value: _content_name(tensor) for value, tensor in tensors.items() if len(tensor.raw_data) >= _TINY}
    held = Counter(name for model in models for name in {names.get(v) for v in model.graph.initializers.values()})
    shared: dict[str, onnx.TensorProto] = {}
    for value, name in names.items():
        if held[name] > 1:
            del value.graph.initializers[value.name]
            value.name = tensors[value].name = name
            shared.setdefault(name, tensors[value])
    weights = onnx.ModelProto(graph=onnx.GraphProto(initializer=shared.values()))
    data: bytes = weights.SerializeToString(deterministic=True)
    return data


def _content_name(tensor: onnx.TensorProto) -> str:
    unnamed = onnx.TensorProto()
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
