"""Write ``config.pbtxt``, the description of a model that Triton Inference Server reads.

The format is protobuf's text format of ``model_config.proto``; the tests parse what is written here with tritonclient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from humanrt.bundle import TensorSpec

__all__ = ["Step", "Tensor", "ensemble", "onnx_model", "python_model", "tensor_of"]

_NAMES = {"float32": "FP32", "float16": "FP16", "float64": "FP64", "bool": "BOOL", "object": "STRING"}


@dataclass(frozen=True)
class Tensor:
    """An input or output: its name, numpy dtype (``object``: text) and sizes, -1 where they vary."""

    name: str
    dtype: str
    dims: tuple[int, ...]

    def text(self) -> str:
        kind = _NAMES.get(self.dtype) or np.dtype(self.dtype).name.upper()
        return f'{{ name: "{self.name}" data_type: TYPE_{kind} dims: [ {", ".join(map(str, self.dims))} ] }}'


def tensor_of(spec: TensorSpec) -> Tensor:
    """Return a graph's input or output."""
    return Tensor(spec.name, spec.dtype, spec.shape)


@dataclass(frozen=True)
class Step:
    """A step of an ensemble: a model, and the ensemble's tensors for each of its inputs and outputs."""

    model: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def onnx_model(
    name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], *, batch: int, device: str, delay_us: int
) -> str:
    """Return the description of an ONNX graph.

    Args:
        name: of the model.
        inputs, outputs: without the batch, where there is one.
        batch: most images that the server puts into one run; 0: the graph's sizes are fixed.
        device: ``cpu`` or ``gpu``.
        delay_us: how long a request may wait for others.
    """
    lines = [f'name: "{name}"', 'backend: "onnxruntime"', f"max_batch_size: {batch}", *_tensors(inputs, outputs)]
    if batch > 1:
        sizes = sorted({max(batch // 2, 1), batch})
        lines.append(
            f"dynamic_batching {{ preferred_batch_size: [ {', '.join(map(str, sizes))} ] "
            f"max_queue_delay_microseconds: {delay_us} }}"
        )
    lines.append(f"instance_group [ {{ count: 1 kind: KIND_{device.upper()} }} ]")
    return _text(lines)


def python_model(
    name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], *, instances: int = 1, sequence_idle_s: float = 0
) -> str:
    """Return the description of a model in Python.

    Args:
        name: of the model.
        inputs, outputs: complete: such a model gets one request at a time.
        instances: processes. With sequences, each follows one of them.
        sequence_idle_s: after how long without a request a sequence ends; 0: requests are independent of each other.
    """
    lines = [f'name: "{name}"', 'backend: "python"', "max_batch_size: 0", *_tensors(inputs, outputs)]
    if sequence_idle_s:
        controls = "".join(
            f'{{ name: "{kind}" control [ {{ kind: CONTROL_SEQUENCE_{kind} int32_false_true: [ 0, 1 ] }} ] }}, '
            for kind in ("START", "END")
        )
        lines.append(
            f"sequence_batching {{ max_sequence_idle_microseconds: {round(sequence_idle_s * 1e6)} direct {{ }} "
            f"control_input [ {controls.removesuffix(', ')} ] }}"
        )
    lines.append(f"instance_group [ {{ count: {instances} kind: KIND_CPU }} ]")
    return _text(lines)


def ensemble(name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor], steps: Sequence[Step]) -> str:
    """Return the description of models that are run one after the other."""
    parts = []
    for step in steps:
        maps = [
            f'    {kind} {{ key: "{key}" value: "{value}" }}'
            for kind, entries in (("input_map", step.inputs), ("output_map", step.outputs))
            for key, value in entries.items()
        ]
        parts.append("\n".join(["  {", f'    model_name: "{step.model}" model_version: -1', *maps, "  }"]))
    return _text(
        [
            f'name: "{name}"',
            'platform: "ensemble"',
            "max_batch_size: 0",
            *_tensors(inputs, outputs),
            "ensemble_scheduling { step [\n" + ",\n".join(parts) + "\n] }",
        ]
    )


def _tensors(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Iterator[str]:
    for kind, tensors in (("input", inputs), ("output", outputs)):
        yield f"{kind} [\n" + ",\n".join(f"  {tensor.text()}" for tensor in tensors) + "\n]"


def _text(lines: Sequence[Any]) -> str:
    return "\n".join(lines) + "\n"
