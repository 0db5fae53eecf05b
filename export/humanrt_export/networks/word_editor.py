"""Our own editor: words to what becomes of each channel of the body (`humanrt.editing.changes`).

Words are vectors of a list plus the mean of those of their letters (`humanrt.editing.words`). A small transformer, each
block with a convolution over three words, reads them; one query a channel then looks for what is said about it. Amounts
in numbers are not learned but pointed at: a channel chooses which number of the text is its own. The second part, which
also sees the pose, says how each channel is changed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt.editing.changes import CHANNELS, PLACES
from humanrt.editing.words import LONGEST, NUMBER, PIECES

__all__ = ["TextBlock", "WordEditor", "WordEditorConfig"]


@dataclass(frozen=True)
class WordEditorConfig:
    """Sizes.

    Attributes:
        words: of the list, with padding, unknown and number.
        width: of all vectors, a multiple of the heads.
        blocks: of the transformer that reads the text.
        looks: times that channels look at the text.
        heads: of attention.
    """

    words: int
    width: int = 64
    blocks: int = 2
    looks: int = 2
    heads: int = 4

    @property
    def vector(self) -> int:
        """Numbers of a text's vector."""
        return len(CHANNELS) * (self.width + 2) + 1


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def forward(self, queries: Tensor, sources: Tensor, away: Tensor) -> Tensor:
        """Attend from [B, N, W] to [B, L, W]; ``away`` [B, 1, 1, L] is added to scores."""
        q = self.query(queries).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.key_value(sources).chunk(2, dim=-1)
        )
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + away
        found: Tensor = self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return found


class TextBlock(nn.Module):
    """Words look at each other: a convolution over three of them, attention, an MLP.

    Args:
        width: of a word's vector, a multiple of ``heads``.
        heads: of attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.near = nn.Conv1d(width, width, 3, padding=1, groups=width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.attention = _Attention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))

    def forward(self, x: Tensor, present: Tensor, away: Tensor) -> Tensor:
        """Return words [B, L, W]; ``present`` [B, L] is 0 behind the end, ``away`` [B, 1, 1, L] is added to scores."""
        seen = self.norms[0](x) * present[..., None]
        x = x + self.near(seen.transpose(1, 2)).transpose(1, 2)
        seen = self.norms[1](x)
        x = x + self.attention(seen, seen, away)
        out: Tensor = x + self.mlp(self.norms[2](x))
        return out


class _Look(nn.Module):
    """Channels look at the words."""

    def __init__(self, config: WordEditorConfig) -> None:
        super().__init__()
        width = config.width
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.words = _Attention(width, config.heads)
        self.mlp = nn.Sequential(nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width))

    def forward(self, channels: Tensor, text: Tensor, away: Tensor) -> Tensor:
        channels = channels + self.words(self.norms[0](channels), text, away)
        out: Tensor = channels + self.mlp(self.norms[1](channels))
        return out


class WordEditor(nn.Module):
    """The editor.

    Args:
        config: sizes.
    """

    def __init__(self, config: WordEditorConfig) -> None:
        super().__init__()
        self.config = config
        width, count = config.width, len(CHANNELS)
        self.words = nn.Embedding(config.words, width)
        self.letters = nn.Embedding(PIECES, width)
        self.places = nn.Parameter(0.1 * torch.randn(LONGEST, width))
        self.amount = nn.Linear(2, width)
        self.blocks = nn.ModuleList(TextBlock(width, config.heads) for _ in range(config.blocks))
        self.text_norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(0.5 * torch.randn(count + 1, width))
        self.looks = nn.ModuleList(_Look(config) for _ in range(config.looks))
        self.channel_norm = nn.LayerNorm(width)
        self.pointer, self.pointed, self.nowhere = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 1)
        self.sure = nn.Linear(width, 1)
        self.inside = nn.Linear(width, 2 * width)
        self.seen = nn.Linear(3, 2 * width)
        self.own = nn.Parameter(torch.zeros(count, 2 * width))
        self.heads = nn.Linear(2 * width, 7 + len(PLACES))
        for table in (self.words, self.letters):
            nn.init.normal_(table.weight, std=0.3)

    def read(self, words: Tensor, letters: Tensor, numbers: Tensor, present: Tensor) -> Tensor:
        """Return the vector [B, V] of texts.

        Args:
            words: int64 [B, L].
            letters: int64 [B, L, G].
            numbers: float32 [B, L].
            present: float32 [B, L], 0 behind the end.
        """
        spelled = (letters > 0).to(numbers.dtype)[..., None]
        x = self.words(words)
        x = x + (self.letters(letters) * spelled).sum(-2) / (spelled.sum(-2) + 1)
        x = x + self.places[: words.shape[1]]
        x = x + self.amount(torch.stack((numbers, (numbers + 0.05).log() * (numbers > 0)), -1))
        away = (present[:, None, None] - 1) * 1e4
        for block in self.blocks:
            x = block(x, present, away)
        text = self.text_norm(x)
        channels = self.queries.expand(len(words), -1, -1)
        for look in self.looks:
            channels = look(channels, text, away)
        channels = self.channel_norm(channels)
        channels, whole = channels[:, :-1], channels[:, -1]
        is_number = (words == NUMBER).to(numbers.dtype) * present
        scores = self.pointer(channels) @ self.pointed(text).transpose(1, 2) / math.sqrt(self.config.width)
        scores = scores + (is_number[:, None] - 1) * 1e4
        shares = torch.cat((scores, self.nowhere(channels)), -1).softmax(-1)
        copied = (shares[..., :-1] * numbers[:, None]).sum(-1, keepdim=True)
        rows = torch.cat((channels, copied, shares[..., -1:]), -1)
        return torch.cat((rows.flatten(1), self.sure(whole)), -1)

    def change(self, vector: Tensor, seen: Tensor) -> dict[str, Tensor]:
        """Return what becomes of each channel, from a text's vector [B, V] and a pose's readings [B, C, 3].

        Logits ``said``, ``absolute`` [B, C], ``place`` [B, C, P] and ``sure`` [B]; ``value`` [B, C] in the network's
        units; ``way`` [B, C, 3], not normalised.
        """
        rows = vector[:, :-1].unflatten(-1, (len(CHANNELS), self.config.width + 2))
        channels, copied, learned = rows[..., :-2], rows[..., -2], rows[..., -1]
        inside = functional.gelu(self.inside(channels) + self.seen(seen) + self.own)
        heads = self.heads(inside)
        size = copied + learned * functional.softplus(heads[..., 2])
        return {
            "said": heads[..., 0],
            "absolute": heads[..., 1],
            "value": heads[..., 3].tanh() * size,
            "way": heads[..., 4:7],
            "place": heads[..., 7:],
            "sure": vector[:, -1],
        }
