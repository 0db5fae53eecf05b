"""A FAKE of the calls of ``tensorrt`` 10 and 11 that the builder makes: it cannot be installed where this was written.

Names, arguments and answers are those of NVIDIA's documentation (docs.nvidia.com/deeplearning/tensorrt, Python API of
10.13 and 11.4, "Migrating Python Code from TensorRT 10.x to 11.x"). It knows only what both have: what 11 took away
(BuilderFlag.FP16, calibrators, ...) is an AttributeError here. It builds nothing: its plan lists what it was told.
"""

from __future__ import annotations

import json
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx

__all__ = ["make"]


class _Severity(Enum):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class _Logger:
    Severity = _Severity

    def log(self, severity: _Severity, message: str) -> None:
        raise NotImplementedError


class _Flag(Enum):
    TF32 = 7

    def __int__(self) -> int:
        return int(self.value)


class _Network:
    def __init__(self, flags: int) -> None:
        assert flags == 1 << 1, "10.x: strongly typed only where it is asked for; 11 ignores it"
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self.num_layers = 0

    num_inputs = property(lambda self: len(self.inputs))
    num_outputs = property(lambda self: len(self.outputs))

    def get_input(self, index: int) -> Any:
        return self.inputs[index]

    def get_output(self, index: int) -> Any:
        return self.outputs[index]


class _Parser:
    def __init__(self, network: _Network, logger: _Logger) -> None:
        self.network = network

    def parse(self, data: bytes) -> bool:
        graph = onnx.ModelProto.FromString(data).graph
        for values, tensors in ((graph.input, self.network.inputs), (graph.output, self.network.outputs)):
            for value in values:
                shape = tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
                tensors.append(SimpleNamespace(name=value.name, shape=shape, dtype=value.type.tensor_type.elem_type))
        return True


class _TimingCache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content


class _Config:
    """A timing cache that begins with ``other`` is one of another GPU: `set_timing_cache` refuses it."""

    def __init__(self) -> None:
        self.profiling_verbosity = "LAYER_NAMES_ONLY"
        self.builder_optimization_level = 3
        self.hardware_compatibility_level = "NONE"
        self.flags: set[str] = {"TF32"}  # on by default, in 10 and 11
        self.limits: dict[str, int] = {}
        self.cache: _TimingCache | None = None

    def set_flag(self, flag: _Flag) -> None:
        self.flags.add(flag.name)

    def clear_flag(self, flag: _Flag) -> None:
        self.flags.discard(flag.name)

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.limits[pool] = size

    def create_timing_cache(self, content: bytes) -> _TimingCache:
        return _TimingCache(content)

    def set_timing_cache(self, cache: _TimingCache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        if cache.content.startswith(b"other"):
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> _TimingCache:
        assert self.cache is not None
        return self.cache


class _Builder:
    refuses = ""

    def __init__(self, logger: _Logger) -> None:
        self.logger = logger

    def create_network(self, flags: int) -> _Network:
        return _Network(flags)

    def create_builder_config(self) -> _Config:
        return _Config()

    def build_serialized_network(self, network: _Network, config: _Config) -> memoryview | None:
        if self.refuses:
            self.logger.log(_Severity.ERROR, self.refuses)
            return None
        self.logger.log(_Severity.WARNING, "a warning")
        told = {
            "level": config.builder_optimization_level,
            "compatible": config.hardware_compatibility_level,
            "flags": sorted(config.flags),
            "limits": config.limits,
            "verbosity": config.profiling_verbosity,
            "cache": None if config.cache is None else config.cache.content.decode(),
        }
        if config.cache is not None:
            config.cache.content += b"+measured"
        return memoryview(json.dumps(told).encode())


class _Runtime:
    def __init__(self, logger: _Logger) -> None:
        pass

    def deserialize_cuda_engine(self, data: bytes) -> Any:
        layer = {"Name": "fmha_0", "LayerType": "kgen", "Outputs": [{"Format/Datatype": "FP16"}], "Metadata": ""}
        text = json.dumps({"Layers": [layer]})
        return SimpleNamespace(
            create_engine_inspector=lambda: SimpleNamespace(get_engine_information=lambda form: text)
        )


def make(version: str = "11.4.0", refuses: str = "") -> Any:
    """The module."""
    builder = type("Builder", (_Builder,), {"refuses": refuses})
    return SimpleNamespace(
        __name__="tensorrt",
        __version__=version,
        Builder=builder,
        Runtime=_Runtime,
        OnnxParser=_Parser,
        ILogger=_Logger,
        BuilderFlag=SimpleNamespace(TF32=_Flag.TF32),
        NetworkDefinitionCreationFlag=SimpleNamespace(STRONGLY_TYPED=1),
        ProfilingVerbosity=SimpleNamespace(DETAILED="DETAILED"),
        MemoryPoolType=SimpleNamespace(WORKSPACE="WORKSPACE"),
        HardwareCompatibilityLevel=SimpleNamespace(AMPERE_PLUS="AMPERE_PLUS"),
        LayerInformationFormat=SimpleNamespace(JSON="JSON"),
        nptype=lambda kind: onnx.helper.tensor_dtype_to_np_dtype(kind) if kind else np.float32,
    )
