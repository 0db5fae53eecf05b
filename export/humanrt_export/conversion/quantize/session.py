"""Run in-memory models with ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir
import onnxruntime

from humanrt_export.conversion.rewriting import self_contained

__all__ = ["session"]


def session(model: ir.Model) -> Any:
    """Open an `onnxruntime.InferenceSession` whose threads sleep while waiting: conversions run beside other work."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(self_contained(model), options, providers=["CPUExecutionProvider"])
