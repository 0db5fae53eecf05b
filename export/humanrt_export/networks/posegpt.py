"""PoseGPT in PyTorch: auto-encoder of motion with a product quantiser, and a GPT over its tokens.

Written from the description of the published networks, so that their checkpoints can be loaded (see
`conversion.posegpt_checkpoint`). Shapes: B sequences, T frames, N tokens, J joints, W width, C codes of a book.

A motion is [B, T, 6 J + 3]: rotations as 6-d `rows` (`networks.rotations`), joint after joint, then the translation in
m. Sequences shorter than the network's window are padded; ``present`` [B, T] is True up to their end. What stands
behind has no influence: a network computes what it would on the sequence alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt_export.networks.rotations import matrices_from_rows

__all__ = [
    "AutoEncoder",
    "AutoEncoderConfig",
    "Decoded",
    "Gpt",
    "GptConfig",
    "GptOutput",
    "Quantizer",
    "StackConfig",
]

_MASKED = -1e30
"""Logit of a key that is not seen, and value of a frame that is not pooled."""

Sampling = Literal["none", "down", "up"]


@dataclass(frozen=True)
class StackConfig:
    """Sizes of one stack of blocks at one time resolution.

    Attributes:
        inputs, width, sampled, outputs: of a vector before the stack, in its blocks, after up-sampling, and at the end.
        hidden: width of a block's MLP.
        blocks: number of blocks.
        heads: of attention.
        sampling: ``down``: two time steps become one before the blocks; ``up``: one becomes two behind them.
        causal: no block, and no convolution of a down-sampling, sees a later time step.
        positioned: how many blocks have a table of positions, from the first on.
    """

    inputs: int
    width: int
    sampled: int
    outputs: int
    hidden: int
    blocks: int
    heads: int
    sampling: Sampling
    causal: bool
    positioned: int


@dataclass(frozen=True)
class AutoEncoderConfig:
    """Sizes of an auto-encoder.

    Attributes:
        joints: J.
        encoder, decoder: stacks, in the order in which they are applied.
        books: number of codebooks.
        codes: C.
        code_width: of one book's codes.
        root_hidden, body_hidden: widths inside of the two heads.
        window: N, the number of tokens of a sequence.
    """

    joints: int
    encoder: tuple[StackConfig, ...]
    decoder: tuple[StackConfig, ...]
    books: int
    codes: int
    code_width: int
    root_hidden: int
    body_hidden: int
    window: int

    @property
    def factor(self) -> int:
        """Frames of a token."""
        return int(2 ** sum(stack.sampling == "down" for stack in self.encoder))

    @property
    def frames(self) -> int:
        """T of a whole window."""
        return self.window * self.factor

    @property
    def motion_width(self) -> int:
        """Numbers of a frame."""
        return 6 * self.joints + 3


class Block(nn.Module):
    """Attention and MLP, each behind a LayerNorm and added to its input."""

    def __init__(self, width: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.attention_out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, hidden)
        self.mlp_out = nn.Linear(hidden, width)

    def forward(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the block on whole sequences.

        Args:
            x: [B, T, W].
            seen: bool [B or 1, 1, T, T], True where the query (row) sees the key.

        Returns:
            [B, T, W], and the keys and values [2, B, heads, T, W / heads].
        """
        query, key, value = self._projected(x)
        logits = (query @ key.transpose(-1, -2)) * query.shape[-1] ** -0.5
        weights = torch.softmax(torch.where(seen, logits, _MASKED), dim=-1)
        return self._finished(x, weights @ value), torch.stack((key, value))

    def step(self, x: Tensor, cache: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the block on one time step after others.

        Args:
            x: [B, 1, W].
            cache: keys and values of earlier time steps [2, B, heads, T, W / heads].
            seen: bool [1, 1, 1, T], True where there is such a time step.

        Returns:
            [B, 1, W], and this step's keys and values [2, B, heads, 1, W / heads].
        """
        query, key, value = self._projected(x)
        scaled = query * query.shape[-1] ** -0.5
        earlier = torch.where(seen, scaled @ cache[0].transpose(-1, -2), _MASKED)
        own = (scaled * key).sum(-1, keepdim=True)
        weights = torch.softmax(torch.cat((earlier, own), dim=-1), dim=-1)
        # Rows of the cache that nothing was written to are multiplied by exactly 0.
        mixed = weights[..., :-1] @ cache[1] + weights[..., -1:] * value
        return self._finished(x, mixed), torch.stack((key, value))

    def _projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        normed = self.attention_norm(x)
        query, key, value = (
            layer(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        return query, key, value

    def _finished(self, x: Tensor, mixed: Tensor) -> Tensor:
        x = x + self.attention_out(mixed.transpose(1, 2).flatten(2))
        out: Tensor = x + self.mlp_out(functional.gelu(self.mlp_in(self.mlp_norm(x))))
        return out


class DownSampling(nn.Module):
    """Convolution over time, then the maximum of each pair of frames.

    Causal: width 2, with a vector of zeros before the first frame. Else: width 3, with one at both ends.
    """

    def __init__(self, inputs: int, outputs: int, causal: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 2 if causal else 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """Halve [B, T, inputs] to [B, T / 2, outputs]. Of a pair, only ``valid`` [B, T] frames count, if any is."""
        zero = torch.zeros_like(x[:, :1])
        taps = [torch.cat((zero, x[:, :-1]), dim=1), x]
        if self.weight.shape[-1] == 3:
            taps.append(torch.cat((x[:, 1:], zero), dim=1))
        y = self.bias + sum(tap @ self.weight[..., i].T for i, tap in enumerate(taps))
        pairs = torch.where(valid[..., None], y, _MASKED).unflatten(1, (-1, 2)).amax(dim=2)
        # A pair without a valid frame holds nothing; zeros keep its numbers small.
        return torch.where(_any_of_pairs(valid)[..., None], pairs, 0.0)


class UpSampling(nn.Module):
    """Transposed convolution of width 3 and stride 2 without its first output: odd frames see the next token too."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Double [B, T, inputs] to [B, 2 T, outputs]."""
        following = torch.cat((x[:, 1:], torch.zeros_like(x[:, :1])), dim=1)
        even = x @ self.weight[..., 1]
        odd = x @ self.weight[..., 2] + following @ self.weight[..., 0]
        return torch.stack((even, odd), dim=2).flatten(1, 2) + self.bias


class Stack(nn.Module):
    """Blocks at one time resolution, with a table of positions added before each."""

    def __init__(self, config: StackConfig, length: int) -> None:
        super().__init__()
        self.config = config
        self.down = DownSampling(config.inputs, config.width, config.causal) if config.sampling == "down" else None
        self.positions = nn.ParameterList(
            nn.Parameter(torch.zeros(1, length, config.width)) for _ in range(config.positioned)
        )
        self.blocks = nn.ModuleList(Block(config.width, config.hidden, config.heads) for _ in range(config.blocks))
        self.up = UpSampling(config.width, config.sampled) if config.sampling == "up" else None
        self.norm = nn.LayerNorm(config.sampled)
        self.out = nn.Linear(config.sampled, config.outputs, bias=False)

    def forward(self, x: Tensor, present: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Apply the stack.

        Args:
            x: [B, T, inputs].
            present: bool [B, T], True up to the end of the sequence.
            valid: bool [B, T], True where the sequence is not padding of its own: the keys that are seen.

        Returns:
            [B, T', outputs], and present and valid at its resolution.
        """
        x = torch.where(present[..., None], x, 0.0)
        if self.down is not None:
            x = self.down(x, valid & present)
            present, valid = _any_of_pairs(present), _any_of_pairs(valid)
        steps = x.shape[1]
        seen = (valid & present)[:, None, None, :].expand(-1, 1, steps, steps)
        if self.config.causal:
            seen = seen & torch.ones(steps, steps, dtype=torch.bool, device=x.device).tril()
        for index, block in enumerate(self.blocks):
            if index < len(self.positions):
                x = x + self.positions[index][:, :steps]
            x, _ = block(x, seen)
        if self.up is not None:
            x = self.up(torch.where(present[..., None], x, 0.0))
            present, valid = (mask.repeat_interleave(2, dim=1) for mask in (present, valid))
        return self.out(self.norm(x)), present, valid


def _any_of_pairs(mask: Tensor) -> Tensor:
    pairs = mask.unflatten(1, (-1, 2))
    return pairs[..., 0] | pairs[..., 1]


class Quantizer(nn.Module):
    """Books of codes: each replaces its share of a vector by its nearest code."""

    def __init__(self, books: int, codes: int, width: int) -> None:
        super().__init__()
        self.books = nn.ParameterList(
            nn.Parameter(torch.empty(codes, width).uniform_(-1 / codes, 1 / codes)) for _ in range(books)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return indices int64 [B, N, books] of the codes nearest to z [B, N, books * width]."""
        indices = []
        for part, codes in zip(z.chunk(len(self.books), dim=-1), self.books, strict=True):
            # Squared distances, written out: products alone would cancel worse.
            distances = (part * part).sum(-1, keepdim=True) - 2 * part @ codes.T + (codes * codes).sum(-1)
            indices.append(distances.argmin(-1))
        return torch.stack(indices, dim=-1)

    def look_up(self, indices: Tensor) -> Tensor:
        """Return the codes [B, N, books * width] of indices [B, N, books]."""
        return torch.cat([codes[indices[..., book]] for book, codes in enumerate(self.books)], dim=-1)


@dataclass(frozen=True)
class Decoded:
    """Decoded motion.

    Attributes:
        rotations: [B, T, J, 3, 3].
        deltas: [B, T, 3] m, differences of the translation from frame to frame; the first is the first position.
    """

    rotations: Tensor
    deltas: Tensor


class AutoEncoder(nn.Module):
    """Motion to tokens and back."""

    def __init__(self, config: AutoEncoderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.books * config.code_width
        self.embed = nn.Linear(config.motion_width, config.encoder[0].inputs)
        self.encoder = nn.ModuleList(
            Stack(stack, length) for stack, length in zip(config.encoder, _lengths(config, config.encoder), strict=True)
        )
        self.to_codes = nn.Linear(config.encoder[-1].outputs, width)
        self.quantizer = Quantizer(config.books, config.codes, config.code_width)
        self.from_codes = nn.Linear(width, config.decoder[0].inputs)
        self.decoder = nn.ModuleList(
            Stack(stack, length) for stack, length in zip(config.decoder, _lengths(config, config.decoder), strict=True)
        )
        last = config.decoder[-1].outputs
        self.body_in, self.body_out = (
            nn.Linear(last, config.body_hidden),
            nn.Linear(config.body_hidden, 6 * config.joints),
        )
        self.root_in, self.root_out = nn.Linear(last, config.root_hidden), nn.Linear(config.root_hidden, 3)

    def encode(self, motion: Tensor, present: Tensor, valid: Tensor) -> Tensor:
        """Return z [B, N, books * code_width] of a motion [B, T, 6 J + 3], before quantisation."""
        x = self.embed(motion)
        for stack in self.encoder:
            x, present, valid = stack(x, present, valid)
        z: Tensor = self.to_codes(x)
        return z

    def decode(self, indices: Tensor, present: Tensor) -> Decoded:
        """Return the motion of tokens [B, N, books]; ``present`` is bool [B, N]."""
        return self.decode_codes(self.quantizer.look_up(indices), present)

    def decode_codes(self, codes: Tensor, present: Tensor) -> Decoded:
        """Return the motion of codes [B, N, books * code_width]."""
        x, valid = self.from_codes(codes), present
        for stack in self.decoder:
            x, present, valid = stack(x, present, valid)
        six = self.body_out(functional.relu(self.body_in(x))).unflatten(-1, (self.config.joints, 6))
        return Decoded(matrices_from_rows(six), self.root_out(functional.relu(self.root_in(x))))


def _lengths(config: AutoEncoderConfig, stacks: tuple[StackConfig, ...]) -> list[int]:
    """Return the number of time steps in each of the stacks' blocks for a whole window."""
    lengths, steps = [], config.frames if stacks is config.encoder else config.window
    for stack in stacks:
        steps = steps // 2 if stack.sampling == "down" else steps
        lengths.append(steps)
        steps = steps * 2 if stack.sampling == "up" else steps
    return lengths


# --------------------------------------------------------------------------------------------- GPT


@dataclass(frozen=True)
class GptConfig:
    """Sizes of a GPT.

    Attributes:
        width, hidden, blocks, heads: of the network.
        books, codes: of its tokens.
        window: N, the number of positions: a sequence has at most N tokens.
        labels: number of labels; 0: it takes none.
        durations: rows of the table of durations in frames; 0: it takes none.
        joined: how token, position, label and duration become one vector: ``linear`` (of all of them), ``sum``, or
            ``first`` (the label is the vector of position 0; no duration).
    """

    width: int
    hidden: int
    blocks: int
    heads: int
    books: int
    codes: int
    window: int
    labels: int
    durations: int
    joined: Literal["linear", "sum", "first"]


@dataclass(frozen=True)
class GptOutput:
    """What the GPT says.

    Attributes:
        logits: [B, N, books, C]: of token t, given those before it, in row t.
        cache: keys and values [blocks, 2, B, heads, N, width / heads].
    """

    logits: Tensor
    cache: Tensor


class Gpt(nn.Module):
    """Predicts tokens from those before them, the label, and the duration."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        # Row 0 of every book is for padding, which is never looked up here.
        self.tokens = nn.Parameter(0.02 * torch.randn(config.books * (config.codes + 1), width // config.books))
        self.positions = nn.Parameter(torch.zeros(1, config.window, width))
        self.labels = nn.Parameter(0.02 * torch.randn(config.labels, width)) if config.labels else None
        self.durations = nn.Parameter(0.02 * torch.randn(config.durations, width)) if config.durations else None
        parts = 2 + bool(config.labels) + bool(config.durations)
        self.join = nn.Linear(parts * width, width) if config.joined == "linear" else None
        self.blocks = nn.ModuleList(Block(width, config.hidden, config.heads) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleList(nn.Linear(width, config.codes, bias=False) for _ in range(config.books))

    def forward(self, tokens: Tensor, label: Tensor | None = None, duration: Tensor | None = None) -> GptOutput:
        """Compute the logits of every token.

        Args:
            tokens: int64 [B, N, books]; the last is not looked at. N may be less than the window.
            label: [B, labels], the weight of each label: 1 for those that are meant, else 0.
            duration: int64 [B], frames.
        """
        count = tokens.shape[1]
        vectors = self._token_vectors(tokens[:, :-1])
        vectors = torch.cat((torch.zeros_like(self.positions[:, :1]).expand(len(tokens), -1, -1), vectors), dim=1)
        x = self._joined(vectors, self.positions[:, :count].expand(len(tokens), -1, -1), label, duration)
        if self.config.joined == "first" and self.labels is not None and label is not None:
            first = (label @ self.labels)[:, None]
            x = x + torch.cat((first, torch.zeros_like(x[:, 1:])), dim=1)
        seen = torch.ones(count, count, dtype=torch.bool, device=x.device).tril()[None, None]
        caches = []
        for block in self.blocks:
            x, cache = block(x, seen)
            caches.append(cache)
        return GptOutput(self._logits(x), torch.stack(caches))

    def step(
        self,
        token: Tensor,
        position: Tensor,
        cache: Tensor,
        label: Tensor | None = None,
        duration: Tensor | None = None,
    ) -> GptOutput:
        """Compute the logits of one token.

        Args:
            token: int64 [B, books], the token before; at position 0 it is not looked at.
            position: int64 [1], of the token that is predicted.
            cache: as returned, for a whole window, with rows 0 .. position - 1 filled.
            label, duration: as for `forward`.

        Returns:
            Logits [B, 1, books, C], and the row of the cache for this position [blocks, 2, B, heads, 1, width / heads].
        """
        vectors = self._token_vectors(token[:, None]) * (position > 0).to(self.tokens.dtype)
        here = self.positions[0, position].expand(len(token), 1, -1)
        x = self._joined(vectors, here, label, duration)
        if self.config.joined == "first" and self.labels is not None and label is not None:
            x = x + (label @ self.labels)[:, None] * (position == 0).to(x.dtype)
        seen = torch.arange(cache.shape[-2], device=x.device) < position
        rows = []
        for index, block in enumerate(self.blocks):
            x, row = block.step(x, cache[index], seen[None, None, None])
            rows.append(row)
        return GptOutput(self._logits(x), torch.stack(rows))

    def _token_vectors(self, tokens: Tensor) -> Tensor:
        """Return [B, N, width] of tokens [B, N, books]."""
        books, codes = self.config.books, self.config.codes
        return torch.cat([self.tokens[tokens[..., book] + 1 + book * codes] for book in range(books)], dim=-1)

    def _joined(self, token: Tensor, position: Tensor, label: Tensor | None, duration: Tensor | None) -> Tensor:
        parts = [token, position]
        if self.config.joined == "first":
            return token + position
        if self.labels is not None and label is not None:
            parts.append((label @ self.labels)[:, None].expand_as(token))
        if self.durations is not None and duration is not None:
            parts.append(self.durations[duration][:, None].expand_as(token))
        return self.join(torch.cat(parts, dim=-1)) if self.join is not None else torch.stack(parts).sum(0)

    def _logits(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        return torch.stack([head(normed) for head in self.heads], dim=2)
