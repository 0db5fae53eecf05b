"""Transformer blocks with a LayerNorm behind every sum, as BERT has them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt_export.networks.attention import MASKED, Attention, plain

__all__ = ["PostNormBlock", "missing_bias"]


class PostNormBlock(nn.Module):
    """Attention and an MLP with exact GELU, each added to its input and then normalised.

    Args:
        width, hidden, heads: of the block.
        eps: of the norms.
        joined: query, key and value are one Linear, as PyTorch's own layers have them, and not three.
    """

    def __init__(self, width: int, hidden: int, heads: int, *, eps: float = 1e-5, joined: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.attention: Attention = plain
        self.project = nn.ModuleList([nn.Linear(width, 3 * width)] if joined else _three(width))
        self.attention_out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps)
        self.mlp_in = nn.Linear(width, hidden)
        self.mlp_out = nn.Linear(hidden, width)
        self.mlp_norm = nn.LayerNorm(width, eps)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """[B, L, width] -> the same; ``bias`` [B, 1, 1, L] is added to the logits (`missing_bias`)."""
        query, key, value = self.projected(x)
        x = self.attention_norm(x + self.attention_out(self.attention(query, key, value, self.heads, bias)))
        return self.finished(x)

    def projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value, each [B, L, width]."""
        query, key, value = torch.cat([layer(x) for layer in self.project], dim=-1).chunk(3, dim=-1)
        return query, key, value

    def finished(self, x: Tensor) -> Tensor:
        """Return what follows the attention and its norm."""
        out: Tensor = self.mlp_norm(x + self.mlp_out(functional.gelu(self.mlp_in(x))))
        return out


def missing_bias(present: Tensor, like: Tensor) -> Tensor:
    """Return the bias [B, 1, 1, L] that hides what is not ``present`` (bool [B, L]), in the type of ``like``."""
    return (~present).to(like.dtype)[:, None, None] * MASKED


def _three(width: int) -> list[nn.Module]:
    return [nn.Linear(width, width) for _ in range(3)]
