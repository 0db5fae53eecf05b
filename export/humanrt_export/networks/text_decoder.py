"""The text decoder of PoseFix and PoseScript: a GPT that reads one vector.

It comes in two modes. ``crossattention``: every block attends to the vector; attention to a single vector is a constant
whatever the query, so it is a bias per block here. ``prompt``: the vector is put before the text; it and the first
token see each other, and from then on each token those before it.

Shapes: B texts, L tokens, W width, V words. ``memory`` [B, W] is the vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from humanrt_export.networks.post_norm import PostNormBlock

__all__ = ["Mode", "TextDecoder", "TextDecoderConfig"]

Mode = Literal["crossattention", "prompt"]
_MASKED = -1e30


@dataclass(frozen=True)
class TextDecoderConfig:
    """Sizes of a `TextDecoder`.

    Attributes:
        words: V.
        width, hidden, blocks, heads: of the network.
        positions: rows of the table of positions: the longest text, with the vector in mode ``prompt``.
        mode: how the vector is read.
    """

    words: int
    width: int
    hidden: int
    blocks: int
    heads: int
    positions: int
    mode: Mode

    @property
    def before(self) -> int:
        """How many places stand before the text."""
        return int(self.mode == "prompt")

    @property
    def longest(self) -> int:
        """Tokens of the longest text."""
        return self.positions - self.before


class DecoderBlock(PostNormBlock):
    """A block with a cache; in mode ``crossattention`` a constant is added, and normalised, behind its attention."""

    def __init__(self, config: TextDecoderConfig) -> None:
        super().__init__(config.width, config.hidden, config.heads)
        self.crossed = config.mode == "crossattention"
        if self.crossed:
            self.memory_project = nn.Linear(config.width, 3 * config.width)
            self.memory_out = nn.Linear(config.width, config.width)
            self.memory_norm = nn.LayerNorm(config.width)

    def constant(self, memory: Tensor) -> Tensor:
        """Return what the attention to ``memory`` [B, W] adds, whatever the query: its value, projected."""
        width = memory.shape[-1]
        weight, bias = self.memory_project.weight[2 * width :], self.memory_project.bias[2 * width :]
        out: Tensor = self.memory_out(memory @ weight.T + bias)
        return out

    def whole(self, x: Tensor, seen: Tensor, constant: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute [B, L, W], and the keys and values [2, B, heads, L, W / heads]; ``seen`` bool [L, L]."""
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.projected(x))
        logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
        mixed = torch.softmax(torch.where(seen, logits, _MASKED), dim=-1) @ value
        return self._after(x, mixed, constant), torch.stack((key, value))

    def step(self, x: Tensor, cache: Tensor, seen: Tensor, constant: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute one token [1, 1, W] after others, and its row [2, heads, 1, W / heads] of the cache.

        ``cache`` [2, heads, N, W / heads]; ``seen`` bool [N] says which of its rows were written.
        """
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.projected(x))
        query = query * query.shape[-1] ** -0.5
        earlier = torch.where(seen, query @ cache[0][None].transpose(-1, -2), _MASKED)
        own = (query * key).sum(-1, keepdim=True)
        weights = torch.softmax(torch.cat((earlier, own), dim=-1), dim=-1)
        # Rows of the cache that nothing was written to are multiplied by exactly 0.
        mixed = weights[..., :-1] @ cache[1] + weights[..., -1:] * value
        return self._after(x, mixed, constant), torch.stack((key[0], value[0]))

    def _after(self, x: Tensor, mixed: Tensor, constant: Tensor | None) -> Tensor:
        x = self.attention_norm(x + self.attention_out(mixed.transpose(1, 2).flatten(2)))
        if constant is not None:
            x = self.memory_norm(x + constant[:, None])
        return self.finished(x)


class TextDecoder(nn.Module):
    """Logits of every next word."""

    table: Tensor

    def __init__(self, config: TextDecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.words = nn.Embedding(config.words, config.width)
        self.register_buffer("table", torch.zeros(config.positions, 1, config.width))
        self.blocks = nn.ModuleList(DecoderBlock(config) for _ in range(config.blocks))
        self.out = nn.Linear(config.width, config.words)

    def constants(self, memory: Tensor) -> Tensor:
        """Return what each block adds for ``memory`` [B, W] in mode ``crossattention``: [B, blocks, W]."""
        return torch.stack([block.constant(memory) for block in self.blocks], dim=1)

    def forward(self, tokens: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Compute whole texts.

        Args:
            tokens: int64 [B, L].
            memory: [B, W].

        Returns:
            Logits [B, L, V] of what follows each token, and keys and values
            [blocks, 2, B, heads, L (+ 1 in mode ``prompt``), W / heads].
        """
        x = self.words(tokens) * self.config.width**0.5
        before = self.config.before
        if before:
            x = torch.cat((memory[:, None], x), dim=1)
        x = x + self.table[: x.shape[1], 0]
        seen = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).tril()
        seen[0, : before + 1] = True
        constants = None if before else self.constants(memory)
        rows = []
        for index, block in enumerate(self.blocks):
            x, row = block.whole(x, seen, None if constants is None else constants[:, index])
            rows.append(row)
        return self.out(x[:, before:]), torch.stack(rows)

    def step(self, token: Tensor, place: Tensor, cache: Tensor, constants: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute one token after others.

        Args:
            token: int64 [1].
            place: int64 [1], how many rows of the cache were written before.
            cache: [blocks, 2, heads, N, W / heads].
            constants: [1, blocks, W] of `constants`; None in mode ``prompt``.

        Returns:
            Logits [1, V] of what follows, and the row [blocks, 2, heads, 1, W / heads] for the cache at ``place``.
        """
        x = self.words(token)[:, None] * self.config.width**0.5 + self.table[place]
        seen = torch.arange(cache.shape[-2], device=x.device) < place
        rows = []
        for index, block in enumerate(self.blocks):
            x, row = block.step(x, cache[index], seen, None if constants is None else constants[:, index])
            rows.append(row)
        return self.out(x[:, 0]), torch.stack(rows)
