"""Run in-memory models with ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import Any

import onnx
import onnxruntime

__all__ = ["session"]


def session(model: onnx.ModelProto) -> Any:
    """An `onnxruntime.InferenceSession`. Its threads sleep when they wait: conversions run beside other work."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
