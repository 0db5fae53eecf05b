"""Our own embedder: any subset of a person's picture, a pose and words to one vector, after PoseEmbroider's idea.

Written from the paper's idea, sharing neither code nor sizes with the published networks. Three small encoders give
unit vectors: of what the landmark network saw, of a pose without heading, of words and their letters. One transformer
layer over a token of its own and what is given fuses them; three heads say where to look for pictures, poses and
words. Two more read the body from the token, and from a picture which way the person faces. With ``fused`` off the
vectors are only aligned and averaged, for comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt.editing.words import LONGEST, PIECES
from humanrt.embedding.inputs import PICTURE_NUMBERS, POSE_NUMBERS
from humanrt.geometry.pose_descriptor import POINTS
from humanrt_export.networks.rotations import matrices_from_rows
from humanrt_export.networks.word_editor import TextBlock

__all__ = ["PoseEmbedder", "PoseEmbedderConfig"]

_FAR = 1e4
_PER_METRE = 2 * len(POINTS) ** 0.5  # descriptors are divided by the root of the number of points


@dataclass(frozen=True)
class PoseEmbedderConfig:
    """Sizes.

    Attributes:
        words: of the list, with padding, unknown and number.
        width: D, numbers of an embedding.
        hidden: of the encoders of pictures and poses.
        text: of a word's vector, a multiple of 4.
        blocks: of the transformer that reads the text.
        core: of the layer that fuses, a multiple of 4.
        fused: whether a layer fuses; else vectors are averaged.
    """

    words: int
    width: int = 128
    hidden: int = 160
    text: int = 48
    blocks: int = 2
    core: int = 96
    fused: bool = True


class _Encoder(nn.Module):
    """Numbers [B, F] -> hidden [B, H], and a unit vector [B, D]."""

    def __init__(self, numbers: int, hidden: int, width: int, dropout: float) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(numbers, hidden), nn.Linear(hidden, hidden)
        self.norm, self.out = nn.LayerNorm(hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        first = functional.gelu(self.first(numbers))
        hidden = first + functional.gelu(self.second(self.dropout(first)))
        return hidden, functional.normalize(self.out(self.norm(hidden)), dim=-1)


class _Reader(nn.Module):
    """Words -> a unit vector [B, D]."""

    def __init__(self, config: PoseEmbedderConfig) -> None:
        super().__init__()
        width = config.text
        self.words, self.letters = nn.Embedding(config.words, width), nn.Embedding(PIECES, width)
        self.places = nn.Parameter(0.1 * torch.randn(LONGEST, width))
        self.blocks = nn.ModuleList(TextBlock(width, 4) for _ in range(config.blocks))
        self.norm, self.weight = nn.LayerNorm(width), nn.Linear(width, 4)
        self.out = nn.Linear(4 * width, config.width)
        for table in (self.words, self.letters):
            nn.init.normal_(table.weight, std=0.3)

    def forward(self, words: Tensor, letters: Tensor, present: Tensor, which: Tensor | None = None) -> Tensor:
        spelled = (letters > 0).to(present.dtype)[..., None]
        sounds = (self.letters(letters) * spelled).sum(-2) / (spelled.sum(-2) + 1)
        x = self.words(words) + (sounds if which is None else functional.embedding(which, sounds))
        x = x + self.places[: words.shape[1]]
        away = (present[:, None, None] - 1) * _FAR
        for block in self.blocks:
            x = block(x, present, away)
        x = self.norm(x)
        shares = (self.weight(x) + (present[..., None] - 1) * _FAR).softmax(1)  # [B, L, 4]
        pooled = shares.transpose(1, 2) @ x
        return functional.normalize(self.out(pooled.flatten(1)), dim=-1)


class _Core(nn.Module):
    """A token of its own and the vectors that are given, [B, 3, D] and bool [B, 3], to the token [B, D]."""

    scale = 4.0  # of unit vectors, whose numbers are small beside the layer's

    def __init__(self, width: int, inside: int) -> None:
        super().__init__()
        self.heads, self.width = 4, inside
        self.own = nn.Parameter(0.02 * torch.randn(inside))
        self.kinds = nn.Parameter(0.02 * torch.randn(3, inside))
        self.into, self.out = nn.Linear(width, inside), nn.Linear(inside, width)
        self.query, self.key_value = nn.Linear(inside, inside), nn.Linear(inside, 2 * inside)
        self.joined = nn.Linear(inside, inside)
        self.norms = nn.ModuleList(nn.LayerNorm(inside) for _ in range(2))
        self.mlp = nn.Sequential(nn.Linear(4 * inside, 2 * inside), nn.GELU(), nn.Linear(2 * inside, inside))

    def forward(self, vectors: Tensor, given: Tensor) -> Tensor:
        weight = given.to(vectors.dtype)
        x = (self.into(vectors * self.scale) + self.kinds) * weight[..., None]
        own = self.own.expand(len(x), 1, -1)
        every = self.norms[0](torch.cat((own, x), 1))
        q = self.query(every).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.key_value(every).chunk(2, -1))
        there = torch.cat((torch.ones_like(weight[:, :1]), weight), 1)
        scores = q @ k.transpose(-1, -2) / (self.width / self.heads) ** 0.5 + (there[:, None, None] - 1) * _FAR
        mixed = self.joined((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        every = self.norms[1](torch.cat((own, x), 1) + mixed) * there[..., None]
        inside = every[:, 0] + self.mlp(every.flatten(1))
        out: Tensor = self.out(inside)
        return out


class PoseEmbedder(nn.Module):
    """The embedder.

    Args:
        config: sizes.
    """

    def __init__(self, config: PoseEmbedderConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.image = _Encoder(PICTURE_NUMBERS, config.hidden, width, 0.1)
        self.pose = _Encoder(POSE_NUMBERS, config.hidden, width, 0.0)
        self.text = _Reader(config)
        self.heading = nn.Sequential(nn.Linear(config.hidden, 32), nn.GELU(), nn.Linear(32, 2))
        self.core = _Core(width, config.core) if config.fused else None
        self.targets = nn.ModuleList(
            nn.Sequential(nn.Linear(width, config.core), nn.GELU(), nn.Linear(config.core, width)) for _ in range(3)
        )
        self.body = nn.Sequential(nn.Linear(width, 256), nn.GELU(), nn.Linear(256, 6 * 22))
        self.temperature = nn.Parameter(torch.tensor(2.3))
        if self.core is not None:
            added = [self.core.out, *(head[-1] for head in self.targets if isinstance(head, nn.Sequential))]
            for layer in added:
                assert isinstance(layer, nn.Linear)
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def read_picture(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return unit vectors [B, D], and which way people face: (sine, cosine) of the heading, [B, 2]."""
        hidden, vector = self.image(numbers)
        return vector, self.heading(hidden)

    def read_pose(self, numbers: Tensor) -> Tensor:
        """Return unit vectors [B, D] of poses' numbers."""
        vector: Tensor = self.pose(numbers * _PER_METRE)[1]
        return vector

    def read_text(self, words: Tensor, letters: Tensor, present: Tensor, which: Tensor | None = None) -> Tensor:
        """Return unit vectors [B, D] of texts.

        Args:
            words: int64 [B, L].
            letters: int64 [B, L, G]; or [U, G] of the different words, of which ``which`` int64 [B, L] says which one
                stands where: that is faster.
            present: float32 [B, L], 0 behind the end.
        """
        vector: Tensor = self.text(words, letters, present, which)
        return vector

    def fuse(self, vectors: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Return the token [B, D] of what is given, and unit vectors [B, 3, D] to find pictures, poses, words with.

        Args:
            vectors: [B, 3, D] of picture, pose, text; what is not given does not matter.
            given: bool [B, 3].
        """
        weight = given.to(vectors.dtype)[..., None]
        mean = (vectors * weight).sum(1) / weight.sum(1)
        if self.core is None:
            return mean, functional.normalize(mean, dim=-1)[:, None].expand(-1, 3, -1)
        # What the layer adds is learned on top of the mean, which the encoders were aligned for.
        token = mean + self.core(vectors, given)
        return token, torch.stack([functional.normalize(token + head(token), dim=-1) for head in self.targets], 1)

    def read_body(self, token: Tensor) -> Tensor:
        """Return rotations [B, 22, 3, 3] of a token, level and without heading."""
        return matrices_from_rows(self.body(token).unflatten(-1, (22, 6)))
