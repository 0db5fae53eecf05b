"""Whether ONNX Runtime's INT8 products are exact on this processor."""

from __future__ import annotations

import platform

from humanrt.native.processor import features

SATURATING = platform.machine() in ("x86_64", "AMD64") and not {"avx512_vnni", "avx_vnni"} & features()
"""On x86 without VNNI sums of two products of 8 bits saturate at 16 bits: results are off by more than rounding."""
REASON = "without VNNI ONNX Runtime's INT8 products saturate on x86"
