"""PoseFix and PoseScript in PyTorch: poses edited by words, compared in words, and found by words.

Written from the description of the published networks, so that their checkpoints can be loaded (see
`conversion.posefix_checkpoint`). Shapes: B poses, J joints, D numbers of an embedding, Z of a latent code. A pose is
[B, J, 3], the axis-angle vectors of its joints in rad.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt_export.networks.distilbert import TransformerText, TransformerTextConfig
from humanrt_export.networks.gru_text import GruText, GruTextConfig
from humanrt_export.networks.rotations import matrices_from_rows
from humanrt_export.networks.text_decoder import TextDecoder, TextDecoderConfig

__all__ = [
    "Editor",
    "EditorConfig",
    "GaussianHead",
    "Norm",
    "PoseDecoder",
    "PoseEncoder",
    "PoseEncoderConfig",
    "Retrieval",
    "RetrievalConfig",
    "Tirg",
    "Writer",
    "WriterConfig",
    "unit",
]

_SLOPE = 0.01  # of LeakyReLU below zero
_EPS = 1e-12


def unit(vectors: Tensor) -> Tensor:
    """Return vectors [..., D] of length 1."""
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=_EPS)


class Norm(nn.Module):
    """Batch norm by the statistics of a training that is over."""

    mean: Tensor
    variance: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.batch_norm(x, self.mean, self.variance, self.weight, self.bias)


@dataclass(frozen=True)
class PoseEncoderConfig:
    """Sizes of a `PoseEncoder`.

    Attributes:
        numbers: 3 J.
        hidden: width inside.
        code: numbers behind the trunk.
        embedding: D of a unit vector that is made of the code; None: the code is the result.
    """

    numbers: int
    hidden: int
    code: int
    embedding: int | None = None


class PoseEncoder(nn.Module):
    """A vector for a pose. The first norm is the only normalisation of its input."""

    def __init__(self, config: PoseEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.pose_norm = Norm(config.numbers)
        self.first = nn.Linear(config.numbers, config.hidden)
        self.norm = Norm(config.hidden)
        self.second = nn.Linear(config.hidden, config.hidden)
        self.third = nn.Linear(config.hidden, config.hidden)
        self.code = nn.Linear(config.hidden, config.code)
        self.embed = nn.Linear(config.code, config.embedding) if config.embedding else None

    def forward(self, pose: Tensor) -> Tensor:
        """Return [B, code], or unit vectors [B, embedding], of poses [B, J, 3]."""
        x = functional.leaky_relu(self.first(self.pose_norm(pose.flatten(1))), _SLOPE)
        code: Tensor = self.code(self.third(self.second(self.norm(x))))
        return code if self.embed is None else unit(self.embed(torch.relu(code)))


class PoseDecoder(nn.Module):
    """Rotations of a latent code."""

    def __init__(self, code: int, hidden: int, joints: int) -> None:
        super().__init__()
        self.first = nn.Linear(code, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 6 * joints)

    def forward(self, code: Tensor) -> Tensor:
        """Return rotation matrices [B, J, 3, 3] of codes [B, Z]."""
        x = functional.leaky_relu(self.first(code), _SLOPE)
        x = functional.leaky_relu(self.second(x), _SLOPE)
        return matrices_from_rows(self.out(x).unflatten(-1, (-1, 6)))


class GaussianHead(nn.Module):
    """Mean and standard deviation of a latent code."""

    def __init__(self, inputs: int, code: int) -> None:
        super().__init__()
        self.mean = nn.Linear(inputs, code)
        self.scale = nn.Linear(inputs, code)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return both, [B, Z]."""
        return self.mean(x), functional.softplus(self.scale(x))


class Tirg(nn.Module):
    """Change a vector by another one: a gate on the first, and a residual of both.

    Vo et al., Composing text and image for image retrieval, 2019.
    """

    def __init__(self, main: int, other: int) -> None:
        super().__init__()
        both = main + other
        self.amounts = nn.Parameter(torch.ones(2))
        self.gate_norm = Norm(both)
        self.gate = nn.Linear(both, main)
        self.change_norm = Norm(both)
        self.change_in = nn.Linear(both, both)
        self.change_out = nn.Linear(both, main)

    def forward(self, main: Tensor, other: Tensor) -> Tensor:
        """Return [B, main] of vectors [B, main] and [B, other]."""
        both = torch.cat((main, other), dim=-1)
        gate = torch.sigmoid(self.gate(torch.relu(self.gate_norm(both))))
        change = torch.relu(self.change_in(torch.relu(self.change_norm(both))))
        return self.amounts[0] * gate * main + self.amounts[1] * self.change_out(change)


TextConfig = TransformerTextConfig | GruTextConfig


def _text(config: TextConfig) -> TransformerText | GruText:
    return GruText(config) if isinstance(config, GruTextConfig) else TransformerText(config)


@dataclass(frozen=True)
class EditorConfig:
    """Sizes of an `Editor`.

    Attributes:
        pose: of the encoder.
        text: of the text encoder.
        code: Z.
        hidden: width inside of the pose decoder.
    """

    pose: PoseEncoderConfig
    text: TextConfig
    code: int
    hidden: int


class Editor(nn.Module):
    """A pose and words to another pose."""

    def __init__(self, config: EditorConfig) -> None:
        super().__init__()
        self.config = config
        self.pose = PoseEncoder(config.pose)
        self.text = _text(config.text)
        self.fuse = Tirg(config.pose.code, config.text.width)
        self.fused = GaussianHead(config.pose.code, config.code)
        self.known = GaussianHead(config.pose.code, config.code)
        self.decode = PoseDecoder(config.code, config.hidden, config.pose.numbers // 3)

    def forward(self, pose: Tensor, text: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Edit poses.

        Args:
            pose: [B, J, 3].
            text: the text encoder's vectors [B, D].
            noise: [B, Z] in standard deviations; zeros give the most probable pose.

        Returns:
            Rotation matrices [B, J, 3, 3], and mean and standard deviation of the code, [B, Z].
        """
        mean, scale = self.fused(self.fuse(self.pose(pose), text))
        return self.decode(mean + scale * noise), mean, scale

    def reconstruct(self, pose: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return poses [B, J, 3] as codes hold them: rotation matrices, mean and standard deviation of the code."""
        mean, scale = self.known(self.pose(pose))
        return self.decode(mean), mean, scale


@dataclass(frozen=True)
class WriterConfig:
    """Sizes of a `Writer`.

    Attributes:
        pose: of the encoder.
        decoder: of the text decoder.
    """

    pose: PoseEncoderConfig
    decoder: TextDecoderConfig


class Writer(nn.Module):
    """Two poses to the words that say how to go from the first to the second."""

    def __init__(self, config: WriterConfig) -> None:
        super().__init__()
        self.config = config
        width = config.pose.embedding or config.pose.code
        self.pose = PoseEncoder(config.pose)
        self.compare = Tirg(width, width)
        self.adapt = nn.Linear(width, config.decoder.width)
        self.decoder = TextDecoder(config.decoder)

    def memory(self, pose_a: Tensor, pose_b: Tensor) -> Tensor:
        """Return the vector [B, W] that the text decoder reads, of poses [B, J, 3]."""
        memory: Tensor = self.adapt(self.compare(self.pose(pose_b), self.pose(pose_a)))
        return memory


@dataclass(frozen=True)
class RetrievalConfig:
    """Sizes of a `Retrieval`.

    Attributes:
        pose: of the encoder.
        text: of the text encoder.
        pair: widths of the layers that join two poses; empty if single poses are found.
    """

    pose: PoseEncoderConfig
    text: TextConfig
    pair: tuple[int, ...] = ()


class Retrieval(nn.Module):
    """Unit vectors of texts and of poses, or pairs of poses, whose products are how well they go together."""

    temperature: Tensor

    def __init__(self, config: RetrievalConfig) -> None:
        super().__init__()
        self.config = config
        self.pose = PoseEncoder(config.pose)
        self.text = _text(config.text)
        widths = [2 * (config.pose.embedding or config.pose.code), *config.pair]
        self.pair = nn.ModuleList(nn.Linear(*both) for both in itertools.pairwise(widths))
        self.register_buffer("temperature", torch.ones(1))

    def embed_pair(self, pose_a: Tensor, pose_b: Tensor) -> Tensor:
        """Return unit vectors [B, D] of pairs of poses [B, J, 3]."""
        x = torch.cat((self.pose(pose_a), self.pose(pose_b)), dim=-1)
        for layer in self.pair:
            x = functional.leaky_relu(layer(x), _SLOPE)
        return unit(x)

    def embed_text(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Return unit vectors [B, D] of texts, tokens int64 [B, L]; see the text encoders."""
        return unit(self.text(tokens, present))
