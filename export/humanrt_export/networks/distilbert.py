"""DistilBERT, and the text encoder that PoseFix, PoseScript and PoseEmbroider build on it.

Sanh et al., DistilBERT, 2019. Shapes: B texts, L tokens, W width. ``present`` bool [B, L] is True up to a text's end;
what stands behind has no influence.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from humanrt_export.networks.post_norm import PostNormBlock, missing_bias

__all__ = ["DistilBert", "DistilBertConfig", "TransformerText", "TransformerTextConfig", "mean_of_present"]


@dataclass(frozen=True)
class DistilBertConfig:
    """Sizes of a DistilBERT.

    Attributes:
        pieces: number of WordPieces.
        positions: longest text, in tokens.
        width, hidden, blocks, heads: of the network.
    """

    pieces: int
    positions: int
    width: int
    hidden: int
    blocks: int
    heads: int


class DistilBert(nn.Module):
    """Features of every token."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.pieces, config.width)
        self.positions = nn.Embedding(config.positions, config.width)
        self.norm = nn.LayerNorm(config.width, 1e-12)
        self.blocks = nn.ModuleList(
            PostNormBlock(config.width, config.hidden, config.heads, eps=1e-12, joined=False)
            for _ in range(config.blocks)
        )

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Return features [B, L, W] of tokens int64 [B, L]."""
        x: Tensor = self.norm(self.words(tokens) + self.positions.weight[: tokens.shape[1]])
        bias = missing_bias(present, x)
        for block in self.blocks:
            x = block(x, bias)
        return x


@dataclass(frozen=True)
class TransformerTextConfig:
    """Sizes of a `TransformerText`.

    Attributes:
        bert: of the DistilBERT.
        width: D, of its own blocks and of the result.
        hidden, blocks, heads: of its own blocks.
    """

    bert: DistilBertConfig
    width: int
    hidden: int
    blocks: int
    heads: int


class TransformerText(nn.Module):
    """A vector for a text: DistilBERT's features through a small transformer, averaged over all tokens.

    ReLU, Linear, sinusoids, blocks with a norm behind every sum. Marks of start and end count as tokens.
    """

    table: Tensor

    def __init__(self, config: TransformerTextConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = DistilBert(config.bert)
        self.project = nn.Linear(config.bert.width, config.width)
        self.register_buffer("table", torch.zeros(config.bert.positions, 1, config.width))
        self.blocks = nn.ModuleList(
            PostNormBlock(config.width, config.hidden, config.heads) for _ in range(config.blocks)
        )

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Return vectors [B, D] of tokens int64 [B, L]."""
        x = self.project(torch.relu(self.bert(tokens, present))) + self.table[: tokens.shape[1], 0]
        bias = missing_bias(present, x)
        for block in self.blocks:
            x = block(x, bias)
        return mean_of_present(x, present)


def mean_of_present(x: Tensor, present: Tensor) -> Tensor:
    """Return the means [B, D] of the vectors [B, L, D] that are present."""
    weights = present.to(x.dtype)[..., None]
    return (x * weights).sum(1) / weights.sum(1)
