"""Our own PoseGPT, for streams: nothing it says depends on where and when somebody moves, nor on later frames.

What is different from the published networks (`networks.posegpt`):

- a frame is relative to the body's heading (`humanrt.motion.features`), so that tokens are the same wherever somebody
  walked before;
- encoder and decoder are causal convolutions of limited reach, the up-sampling too: a frame is final when its token is,
  and any length can be computed piece by piece;
- the GPT attends to the last so many tokens, at learned distances instead of positions: it goes on for ever with a
  cache that is written in a ring;
- every step has its own label, which may change on the way;
- the books of a token are predicted one after the other, each given those before it;
- codes follow the vectors that they stand for (exponential means), and those that nobody uses are drawn anew.

Shapes: B sequences, N tokens, f frames of a token, T = f N frames, D numbers of a frame, K books of C codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["CoderConfig", "MotionCoder", "StreamingGpt", "StreamingGptConfig", "StreamingQuantizer"]

_MASKED = -1e30
_KEPT = 0.98
"""What is left of the means of a code after a step of training."""
_RARE = 0.05
"""Vectors a step, on average, below which a code counts as dead."""
_TAPS = 3


@dataclass(frozen=True)
class CoderConfig:
    """Sizes of a `MotionCoder`.

    Attributes:
        numbers: D.
        width: of its vectors.
        factor: f.
        books, codes, code_width: K, C, and numbers of a code.
        frame_dilations, token_dilations: of the convolutions at the two rates.
    """

    numbers: int
    width: int = 160
    factor: int = 4
    books: int = 4
    codes: int = 128
    code_width: int = 16
    frame_dilations: tuple[int, ...] = (1, 3)
    token_dilations: tuple[int, ...] = (1, 2)

    @property
    def reach(self) -> int:
        """How many tokens back encoder and decoder look, at most."""
        frames = (_TAPS - 1) * sum(self.frame_dilations)
        return (_TAPS - 1) * sum(self.token_dilations) + -(-frames // self.factor)


class CausalBlock(nn.Module):
    """A convolution over this and earlier time steps, and an MLP, added to the input."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.reach = (_TAPS - 1) * dilation
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Conv1d(width, width, _TAPS, dilation=dilation)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, width] -> the same; zeros stand before the first time step."""
        padded = functional.pad(self.norm(x).transpose(1, 2), (self.reach, 0))
        mixed: Tensor = self.out(functional.gelu(self.mix(padded).transpose(1, 2)))
        return x + mixed


def _blocks(width: int, dilations: Sequence[int]) -> nn.Sequential:
    return nn.Sequential(*(CausalBlock(width, dilation) for dilation in dilations))


class StreamingQuantizer(nn.Module):
    """Books of codes that follow the vectors that they stand for."""

    codes: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(self, books: int, codes: int, width: int) -> None:
        super().__init__()
        start = torch.randn(books, codes, width) * 0.5
        self.register_buffer("codes", start)
        self.register_buffer("counts", torch.ones(books, codes))
        self.register_buffer("sums", start.clone())

    def forward(self, z: Tensor) -> Tensor:
        """Return the indices int64 [B, N, K] of the codes nearest to z [B, N, K * width]."""
        parts = z.unflatten(-1, (len(self.codes), -1))
        # Squared distance but for the vector's own length, which is the same for all codes.
        products = torch.einsum("bnkd,kcd->bnkc", parts, self.codes)
        return ((self.codes * self.codes).sum(-1) - 2 * products).argmin(-1)

    def look_up(self, indices: Tensor) -> Tensor:
        """Return the codes [B, N, K * width] of indices [B, N, K]."""
        return torch.cat([self.codes[book][indices[..., book]] for book in range(len(self.codes))], dim=-1)

    def follow(self, z: Tensor, indices: Tensor) -> None:
        """Move the codes to the means of their vectors, and dead ones to vectors drawn from z. In training only."""
        # All without gradients: `z` is detached, and the rest are buffers.
        parts = z.detach().float().unflatten(-1, (len(self.codes), -1)).flatten(0, 1)
        flat = indices.flatten(0, 1)
        for book in range(len(self.codes)):
            chosen = functional.one_hot(flat[:, book], self.codes.shape[1]).to(parts.dtype)
            self.counts[book].lerp_(chosen.sum(0), 1 - _KEPT)
            self.sums[book].lerp_(chosen.T @ parts[:, book], 1 - _KEPT)
            dead = self.counts[book] < _RARE
            drawn = parts[torch.randint(len(parts), (len(dead),), device=parts.device), book]
            self.sums[book] = torch.where(dead[:, None], drawn, self.sums[book])
            self.counts[book] = torch.where(dead, 1.0, self.counts[book])
            self.codes[book] = self.sums[book] / self.counts[book][:, None]


class MotionCoder(nn.Module):
    """Frames of numbers to tokens and back.

    Inputs and outputs are as `humanrt.motion.features` makes them; inside they are normalised.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, config: CoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.register_buffer("mean", torch.zeros(config.numbers))
        self.register_buffer("scale", torch.ones(config.numbers))
        self.embed = nn.Linear(config.numbers, width)
        self.frames_in = _blocks(width, config.frame_dilations)
        self.down = nn.Linear(config.factor * width, width)
        self.tokens_in = _blocks(width, config.token_dilations)
        self.to_codes = nn.Linear(width, config.books * config.code_width)
        self.quantizer = StreamingQuantizer(config.books, config.codes, config.code_width)
        self.from_codes = nn.Linear(config.books * config.code_width, width)
        self.tokens_out = _blocks(width, config.token_dilations)
        self.up = nn.Linear(width, config.factor * width)
        self.frames_out = _blocks(width, config.frame_dilations)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, config.numbers)

    def encode(self, frames: Tensor) -> Tensor:
        """Return z [B, N, K * code_width] of frames [B, f N, D]; token n sees frames up to f n + f - 1."""
        x = self.frames_in(self.embed((frames - self.mean) / self.scale))
        x = self.down(x.unflatten(1, (-1, self.config.factor)).flatten(2))
        z: Tensor = self.to_codes(self.tokens_in(x))
        return z

    def decode_codes(self, codes: Tensor) -> Tensor:
        """Return frames [B, f N, D] of codes [B, N, K * code_width]; frame t sees tokens up to t // f."""
        x = self.up(self.tokens_out(self.from_codes(codes)))
        x = self.frames_out(x.unflatten(2, (self.config.factor, -1)).flatten(1, 2))
        frames: Tensor = self.head(self.norm(x)) * self.scale + self.mean
        return frames

    def decode(self, indices: Tensor) -> Tensor:
        """Return frames [B, f N, D] of tokens [B, N, K]."""
        return self.decode_codes(self.quantizer.look_up(indices))


@dataclass(frozen=True)
class StreamingGptConfig:
    """Sizes of a `StreamingGpt`.

    Attributes:
        books, codes: K, C.
        labels: L, number of labels.
        width, blocks, heads, hidden: of the network.
        window: how many tokens back a block looks, this one included.
        dropout: in training.
    """

    books: int
    codes: int
    labels: int
    width: int = 160
    blocks: int = 4
    heads: int = 5
    hidden: int = 480
    window: int = 32
    dropout: float = 0.1


class StreamingGpt(nn.Module):
    """Predicts tokens from those before them and each step's label; of a token, one book after the other."""

    def __init__(self, config: StreamingGptConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        rows = config.books * config.codes
        self.codes = nn.Parameter(0.05 * torch.randn(rows, width))
        self.start = nn.Parameter(0.05 * torch.randn(width))
        self.labels = nn.Parameter(0.05 * torch.randn(config.labels, width))
        self.blocks = nn.ModuleList(_WindowedBlock(config) for _ in range(config.blocks))
        self.known = nn.Parameter(0.05 * torch.randn(rows, width))
        self.book = nn.Parameter(0.05 * torch.randn(config.books, width))
        self.book_norm = nn.LayerNorm(width)
        self.book_in = nn.Linear(width, config.hidden)
        self.book_out = nn.Linear(config.hidden, width)
        self.norm = nn.LayerNorm(width)
        self.heads = nn.Parameter(0.02 * torch.randn(config.books, width, config.codes))

    def forward(self, tokens: Tensor, labels: Tensor, before: Tensor | None = None) -> Tensor:
        """Return logits [B, N, K, C] of every code, given the tokens before it and its token's earlier books.

        Args:
            tokens: int64 [B, N, K].
            labels: [B, N, L], the weight of each label for each token.
            before: int64 [B, N, K], the tokens as those after them see them; in training some of them are wrong.
        """
        vectors = self.codes[self._rows(tokens if before is None else before)].sum(2)
        vectors = torch.cat((self.start.expand(len(tokens), 1, -1), vectors[:, :-1]), dim=1)
        x = functional.dropout(vectors + labels @ self.labels, self.config.dropout, self.training)
        places = torch.arange(x.shape[1], device=x.device)
        distance = places[:, None] - places
        seen = (distance >= 0) & (distance < self.config.window)
        for block in self.blocks:
            x = block(x, distance.clamp(0, self.config.window - 1), seen)
        return self.read(x, tokens)

    def step(self, token: Tensor, place: Tensor, label: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `read` reads of one token of B sequences, and the rows of the cache for them.

        Args:
            token: int64 [B, K], the tokens before; at place 0 they are not looked at.
            place: int64 [1], how many tokens there were before in each.
            label: [B, L].
            cache: keys and values [blocks, 2, B, heads, window, width / heads]; place p has row p modulo window.

        Returns:
            [B, 1, width], and [blocks, 2, B, heads, 1, width / heads].
        """
        before = torch.where(place[:, None] > 0, self.codes[self._rows(token)].sum(1), self.start)
        x = (before + label @ self.labels)[:, None]
        window = self.config.window
        # How far back each row is; the row of this very place is the oldest's, and no longer seen.
        distance = (place - 1 - torch.arange(window, device=x.device)) % window + 1
        seen = (distance <= place) & (distance < window)
        rows = []
        for index, block in enumerate(self.blocks):
            x, row = block.step(x, cache[index], distance.clamp(max=window - 1), seen)
            rows.append(row)
        return x, torch.stack(rows)

    def read(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Return logits [B, N, K, C] from what the blocks say, [B, N, width]; book k sees the codes of books before it.

        Args:
            x: [B, N, width].
            tokens: int64 [B, N, K]; the last book's code is not looked at.
        """
        known = self.known[self._rows(tokens)].cumsum(2)
        known = torch.cat((torch.zeros_like(known[:, :, :1]), known[:, :, :-1]), dim=2)
        u = x[:, :, None] + known + self.book
        u = u + self.book_out(functional.gelu(self.book_in(self.book_norm(u))))
        return torch.einsum("bnkw,kwc->bnkc", self.norm(u), self.heads)

    def _rows(self, tokens: Tensor) -> Tensor:
        """Return where the codes of tokens [..., K] are in a table of all books' codes."""
        return tokens + torch.arange(self.config.books, device=tokens.device) * self.config.codes


class _WindowedBlock(nn.Module):
    """Attention to the last so many tokens, by content and distance, and an MLP."""

    def __init__(self, config: StreamingGptConfig) -> None:
        super().__init__()
        width = config.width
        self.head_count, self.dropout = config.heads, config.dropout
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.distances = nn.Parameter(torch.zeros(config.heads, config.window))
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, config.hidden)
        self.mlp_out = nn.Linear(config.hidden, width)

    def forward(self, x: Tensor, distance: Tensor, seen: Tensor) -> Tensor:
        query, key, value = self._projected(x)
        bias = torch.where(seen, self.distances[:, distance], _MASKED)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias[None].expand(len(x), -1, -1, -1)
        )
        return self._finished(x, mixed)

    def step(self, x: Tensor, cache: Tensor, distance: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        query, key, value = self._projected(x)
        scaled = query * query.shape[-1] ** -0.5
        earlier = scaled @ cache[0].transpose(-1, -2) + self.distances[:, distance][None, :, None]
        earlier = torch.where(seen, earlier, _MASKED)
        own = (scaled * key).sum(-1, keepdim=True) + self.distances[None, :, :1, None]
        weights = torch.softmax(torch.cat((earlier, own), dim=-1), dim=-1)
        mixed = weights[..., :-1] @ cache[1] + weights[..., -1:] * value
        return self._finished(x, mixed), torch.stack((key, value))

    def _projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts = self.qkv(self.attention_norm(x)).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (self.head_count, -1)).transpose(1, 2) for part in parts)
        return query, key, value

    def _finished(self, x: Tensor, mixed: Tensor) -> Tensor:
        x = x + self._dropped(self.attention_out(mixed.transpose(1, 2).flatten(2)))
        return x + self._dropped(self.mlp_out(functional.gelu(self.mlp_in(self.mlp_norm(x)))))

    def _dropped(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training)
