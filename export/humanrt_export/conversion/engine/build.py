"""Build a TensorRT plan from a graph, with the library's report on it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from humanrt.bundle import GraphSpec
from humanrt.errors import BackendError
from humanrt.files import write_atomically
from humanrt_export.conversion.engine.library import Library, Log, gpu_sm
from humanrt_export.conversion.engine.report import Layer, Report, attentions, from_inspector, from_log, from_network
from humanrt_export.conversion.rewriting import self_contained

__all__ = ["BuildOptions", "Plan", "build_plan"]


@dataclass(frozen=True)
class BuildOptions:
    """Options of a build.

    Attributes:
        level: 0 to 5, how long the library searches for fast kernels; None: its default. Not for TensorRT for RTX.
        workspace: bytes of scratch memory on the GPU; None: all of it.
        tf32: allow TF32: FP32 layers multiply with 10-bit mantissas. Off: FP32 is to be the reference.
    """

    level: int | None = None
    workspace: int | None = None
    tf32: bool = False

    def to_json(self) -> dict[str, Any]:
        return dict(self.__dict__)


@dataclass(frozen=True)
class Plan:
    """A built plan.

    Attributes:
        data: the serialised plan.
        seconds: duration of the build.
        report: the plan's layers and their types.
        warnings: the library's warnings.
    """

    data: bytes
    seconds: float
    report: Report = field(repr=False)
    warnings: list[str] = field(repr=False)


def build_plan(
    library: Library,
    model: ir.Model,
    spec: GraphSpec,
    sm: Sequence[int],
    options: BuildOptions | None = None,
    timing_cache: Path | None = None,
) -> Plan:
    """Build the plan of a graph.

    Args:
        library: from `library.load`.
        model: the graph in its final precision.
        spec: the graph's entry in the manifest: names, shapes and dtypes are compared before the build.
        sm: compute capabilities, from `checks.check_targets`.
        options: options of the builder.
        timing_cache: file that keeps measured kernel times between builds (`tensorrt` only; TensorRT for RTX has none).

    Raises:
        BackendError: the library refuses the graph; the message holds its first complaint.
    """
    options = options or BuildOptions()
    trt = library.trt
    log = Log(trt)
    builder = trt.Builder(log.logger)
    if builder is None:
        raise BackendError(f"{library.name} does not start: {log.first_error()}")
    strong = trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    network = builder.create_network(1 << int(strong))
    parser = trt.OnnxParser(network, log.logger)
    if not parser.parse(self_contained(model)):
        complaints = [parser.get_error(i).desc() for i in range(parser.num_errors)]
        raise BackendError(f"{library.name} cannot read graph {spec.name}: {log.first_error(complaints)}")
    _check_network(trt, network, spec)
    config = builder.create_builder_config()
    _configure(library, config, sm, options)
    cache = None if library.rtx or timing_cache is None else _timing_cache(config, timing_cache)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        memory = builder.build_serialized_network(network, config)
    seconds = time.perf_counter() - start
    if memory is None:
        raise BackendError(f"{library.name} cannot build graph {spec.name}: {log.first_error()}")
    if cache is not None and timing_cache is not None:
        write_atomically(timing_cache, bytes(memoryview(config.get_timing_cache().serialize())))
    data = bytes(memoryview(memory))
    layers = _engine_report(library, data, log)
    report = Report("engine" if layers else "network", layers or from_network(network), attentions(model))
    return Plan(data, seconds, report, log.warnings)


def _configure(library: Library, config: Any, sm: Sequence[int], options: BuildOptions) -> None:
    trt = library.trt
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if options.tf32:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace)
    if library.rtx:
        config.num_compute_capabilities = len(sm)
        for index, target in enumerate(sm):
            config.set_compute_capability(getattr(trt.ComputeCapability, f"SM{target}"), index)
        return
    if options.level is not None:
        config.builder_optimization_level = options.level
    if len(sm) > 1:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS


def _timing_cache(config: Any, file: Path) -> Any:
    """Set the stored cache, or an empty one if there is none or the library refuses it (other version, other GPU)."""
    stored = file.read_bytes() if file.is_file() else b""
    for content in (stored, b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
    return None


def _check_network(trt: Any, network: Any, spec: GraphSpec) -> None:
    """Raise BackendError unless the parsed network has the manifest's names, shapes and dtypes.

    A plan itself cannot be inspected without a GPU.
    """
    for kind, tensors, count, get in (
        ("input", spec.inputs, network.num_inputs, network.get_input),
        ("output", spec.outputs, network.num_outputs, network.get_output),
    ):
        found = {}
        for index in range(count):
            tensor = get(index)
            found[tensor.name] = (tuple(tensor.shape), np.dtype(trt.nptype(tensor.dtype)).name)
        declared = {tensor.name: (tensor.shape, tensor.dtype) for tensor in tensors}
        if found != declared:
            raise BackendError(
                f"graph {spec.name}: as TensorRT reads it its {kind}s are {found}, the manifest says {declared}; "
                "export the bundle again"
            )


def _engine_report(library: Library, data: bytes, log: Log) -> list[Layer]:
    """Return the layers of the finished engine, after fusion; [] if the library does not report them."""
    if log.layers:
        return [layer for message in log.layers for layer in from_log(message)]
    if gpu_sm() is None:  # no plan can be opened
        return []
    trt = library.trt
    engine = trt.Runtime(log.logger).deserialize_cuda_engine(data)
    if engine is None:
        return []
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    return from_inspector(text)
