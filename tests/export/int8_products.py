"""Whether ONNX Runtime's INT8 products are exact on this processor."""

from __future__ import annotations

from humanrt.native.processor import int8_products

SATURATING = int8_products() == "saturating"
"""On x86 without VNNI sums of two products of 8 bits saturate at 16 bits: results are off by more than rounding."""
REASON = "without VNNI ONNX Runtime's INT8 products saturate on x86"
