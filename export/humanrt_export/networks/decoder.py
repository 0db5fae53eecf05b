"""The decoder layer of both heads: people attend to each other, then to the image."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from humanrt_export.networks.attention import Attention, sdpa

__all__ = ["HEAD_WIDTH", "DecoderLayer"]

HEAD_WIDTH = 32
"""Width of one attention head."""


class DecoderLayer(nn.Module):
    """Self-attention over people, cross-attention to the tokens, MLP; each pre-norm and residual.

    Args:
        width: width of a person's vector.
        context: width of a token.
        heads: attention heads.
        mlp: hidden width of the MLP.
        bias: whether q, k and v have a bias.
        head_width: width of one attention head.
    """

    def __init__(
        self, width: int, context: int, heads: int, mlp: int, *, bias: bool, head_width: int = HEAD_WIDTH
    ) -> None:
        super().__init__()
        inner = heads * head_width
        self.heads = heads
        self.attention: Attention = sdpa
        self.self_norm = nn.LayerNorm(width)
        self.self_qkv = nn.Linear(width, 3 * inner, bias=bias)
        self.self_out = nn.Linear(inner, width)
        self.cross_norm = nn.LayerNorm(width)
        self.cross_q = nn.Linear(width, inner, bias=bias)
        self.cross_kv = nn.Linear(context, 2 * inner, bias=bias)
        self.cross_out = nn.Linear(inner, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, mlp)
        self.mlp_out = nn.Linear(mlp, width)

    def forward(self, x: Tensor, context: Tensor, bias: Tensor) -> Tensor:
        """Map x [B, P, width], context [B, N, C] (not normalised) and bias [B, 1, 1, P] to [B, P, width]."""
        query, key, value = self.self_qkv(self.self_norm(x)).chunk(3, dim=-1)
        x = x + self.self_out(self.attention(query, key, value, self.heads, bias))
        key, value = self.cross_kv(context).chunk(2, dim=-1)
        x = x + self.cross_out(self.attention(self.cross_q(self.cross_norm(x)), key, value, self.heads, None))
        out: Tensor = x + self.mlp_out(functional.gelu(self.mlp_in(self.mlp_norm(x))))
        return out
