"""Three implementations of the same multi-head attention.

`sdpa` is PyTorch's own, used by training and the eager baseline. `plain` is matmul, softmax, matmul, which TensorRT
recognises. `ort_fused` is one ``com.microsoft.MultiHeadAttention`` node, ONNX Runtime's flash attention on CPU.
All take and return ``[B, tokens, heads * width]``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["MASKED", "Attention", "ort_fused", "plain", "sdpa"]

MASKED = -1e4
"""Added to the logits of keys that are not there: exp() of it is exactly 0 in FP32 and it still fits in FP16."""

Attention = Callable[[Tensor, Tensor, Tensor, int, Tensor | None], Tensor]
"""``(query, key, value, heads, bias)``; bias [B, 1, 1, keys] is added to the logits."""


def sdpa(query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    """Compute attention with ``torch.nn.functional.scaled_dot_product_attention``."""
    q, k, v = (_split(x, heads) for x in (query, key, value))
    return _join(functional.scaled_dot_product_attention(q, k, v, attn_mask=bias))


def plain(query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    """Compute attention as matmul, softmax, matmul: standard ONNX operators only."""
    q, k, v = (_split(x, heads) for x in (query, key, value))
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if bias is not None:
        logits = logits + bias
    return _join(torch.softmax(logits, dim=-1) @ v)


def ort_fused(query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None = None) -> Tensor:
    """Emit one ONNX Runtime node; only for export (it cannot run in PyTorch), and only without a bias."""
    if bias is not None:
        return plain(query, key, value, heads, bias)
    fused: Tensor = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        (query, key, value),
        attrs={"num_heads": heads},
        dtype=query.dtype,
        shape=query.shape,
        version=1,
    )
    return fused


def _split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _join(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)
