"""PoseEmbroider in PyTorch: one embedding of any subset of a picture, a pose and words, and what is read from it.

Written from the description of the published networks, so that their checkpoints can be loaded (see
`conversion.poseembroider_checkpoint`). Shapes: B items, D numbers of an embedding, J joints.

The encoders of pose and words are those of `networks.posefix`; here are the encoder of pictures, the core that fuses
embeddings, and the heads of the fused token.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt_export.networks.attention import plain
from humanrt_export.networks.backbone import VitBlock
from humanrt_export.networks.posefix import Norm, Tirg, unit
from humanrt_export.networks.post_norm import PostNormBlock, missing_bias
from humanrt_export.networks.rotations import matrices_from_rows
from humanrt_export.networks.text_decoder import TextDecoder, TextDecoderConfig

__all__ = [
    "MODALITIES",
    "BodyHead",
    "Core",
    "CoreConfig",
    "Embroider",
    "ImageConfig",
    "ImageTrunk",
    "Mlp",
    "PictureEncoder",
    "PoseTrunk",
    "ProjectedEncoder",
    "Writer",
]

MODALITIES = ("image", "pose", "text")
"""What is embedded, in the order of the core's keys."""

ITERATIONS = 3
"""How often the head of the body refines its pose."""

_PATCH = 16
_PADDING = 2
_NORM_EPS = 1e-6
_LEAK = 0.01


@dataclass(frozen=True)
class ImageConfig:
    """Sizes of the trunk for pictures.

    Attributes:
        width, hidden: of a token, and inside of the blocks' MLPs.
        blocks, heads: of attention.
        rows, columns: of patches of 16 x 16 px.
        tasks: number of learned tokens that stand before the patches.
    """

    width: int
    hidden: int
    blocks: int
    heads: int
    rows: int
    columns: int
    tasks: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a picture, px."""
        return self.rows * _PATCH, self.columns * _PATCH


class ImageTrunk(nn.Module):
    """ViT of a whole-body network: pictures [B, 3, H, W], R, G, B in 0..1 -> tokens of patches [B, rows * columns, W].

    Its task tokens take part in attention and are dropped at the end.
    """

    def __init__(self, config: ImageConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.tasks = nn.Parameter(torch.zeros(1, config.tasks, width))
        self.positions = nn.Parameter(torch.zeros(1, 1 + config.rows * config.columns, width))
        self.patches = nn.Conv2d(3, width, _PATCH, _PATCH, padding=_PADDING)
        self.blocks = nn.ModuleList(
            VitBlock(width, config.heads, config.hidden, scaled=False) for _ in range(config.blocks)
        )
        self.norm = nn.LayerNorm(width, _NORM_EPS)
        for block in self.blocks:
            block.attn.attention = plain

    def forward(self, image: Tensor) -> Tensor:
        # Row 0 of the table is no token's own: it is added to all.
        positions = self.positions[:, 1:] + self.positions[:, :1]
        patches = self.patches(image).flatten(2).transpose(1, 2) + positions
        tokens = torch.cat((self.tasks.expand(len(image), -1, -1), patches), dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = self.norm(tokens)[:, self.config.tasks :]
        return out


class PoseTrunk(nn.Module):
    """Features of poses: axis-angle [B, J, 3] rad -> [B, W]."""

    def __init__(self, joints: int, width: int) -> None:
        super().__init__()
        self.joints = joints
        self.scale = Norm(3 * joints)
        self.first = nn.Linear(3 * joints, width)
        self.norm = Norm(width)
        self.second, self.third = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, vectors: Tensor) -> Tensor:
        x = functional.leaky_relu(self.first(self.scale(vectors.flatten(1))), _LEAK)
        out: Tensor = self.third(self.second(self.norm(x)))
        return out


class ProjectedEncoder(nn.Module):
    """Embed by a trunk and a projection.

    Args:
        trunk: whatever is embedded -> [B, W].
        projection: W -> D.
    """

    def __init__(self, trunk: nn.Module, projection: nn.Linear) -> None:
        super().__init__()
        self.trunk, self.projection = trunk, projection

    def forward(self, *given: Tensor) -> Tensor:
        """Return unit vectors [B, D]."""
        return unit(functional.relu(self.projection(self.trunk(*given))))


class PictureEncoder(nn.Module):
    """Embed pictures: every token is projected, and only then their mean is taken."""

    def __init__(self, trunk: ImageTrunk, projection: nn.Linear) -> None:
        super().__init__()
        self.trunk, self.projection = trunk, projection

    def forward(self, image: Tensor) -> Tensor:
        """Return unit vectors [B, D] of pictures [B, 3, H, W] in 0..1."""
        return unit(functional.relu(self.projection(self.trunk(image))).mean(dim=1))


class Mlp(nn.Module):
    """Two linear layers with a ReLU between."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(functional.relu(self.first(x)))
        return out


@dataclass(frozen=True)
class CoreConfig:
    """Sizes of the core.

    Attributes:
        width: D.
        inner: width inside of the transformer's layer.
        hidden: width of its MLP.
        heads: of attention.
        projected: hidden width of the three heads that project the token back.
    """

    width: int
    inner: int
    hidden: int
    heads: int
    projected: int


class Core(nn.Module):
    """Fuse the embeddings that are given into one token, and project it into the space of each modality.

    Parameters named ``kinds`` tell a modality: each is added to what is given of it, after the normalisation.
    """

    def __init__(self, config: CoreConfig) -> None:
        super().__init__()
        self.config = config
        width, inner = config.width, config.inner
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.kinds = nn.ParameterList(nn.Parameter(torch.zeros(1, 1, width)) for _ in MODALITIES)
        self.narrow = nn.Linear(width, inner)
        self.layer = PostNormBlock(inner, config.hidden, config.heads)
        self.widen = nn.Linear(inner, width)
        self.norm = nn.LayerNorm(width, _NORM_EPS)
        self.heads = nn.ModuleList(Mlp(width, config.projected, width) for _ in MODALITIES)

    def forward(self, embeddings: Tensor, given: Tensor) -> Tensor:
        """Return the token [B, D] of what is given; it is not normalised.

        Args:
            embeddings: [B, 3, D] unit vectors, in the order of `MODALITIES`; those that are not given may hold anything
                finite.
            given: bool [B, 3]. Leaving a modality out is the same as a sequence without it: it has no positions.
        """
        kinds = torch.cat(tuple(self.kinds), dim=1)
        present = torch.cat((torch.ones_like(given[:, :1]), given), dim=1)
        sequence = torch.cat((self.token.expand(len(embeddings), -1, -1), embeddings + kinds), dim=1)
        bias = missing_bias(present, embeddings)
        token: Tensor = self.norm(self.widen(self.layer(self.narrow(sequence), bias)))[:, 0]
        return token

    def predicted(self, token: Tensor) -> tuple[Tensor, ...]:
        """Return unit vectors [B, D] of the token in the space of each of `MODALITIES`, to compare embeddings with."""
        return tuple(unit(head(token)) for head in self.heads)


class Embroider(nn.Module):
    """What the file of the core holds: the core, and the last layer of each encoder.

    Args:
        config: sizes of the core.
        trunks: what the trunk of each of `MODALITIES` gives, numbers.
    """

    def __init__(self, config: CoreConfig, trunks: tuple[int, int, int]) -> None:
        super().__init__()
        self.core = Core(config)
        self.projections = nn.ModuleList(nn.Linear(trunk, config.width) for trunk in trunks)


class BodyHead(nn.Module):
    """Read a body from a token: rotations in `ITERATIONS` steps from a learned mean pose, and SMPL-X shape."""

    def __init__(self, width: int, joints: int, hidden: int, shape_hidden: int, shapes: int) -> None:
        super().__init__()
        self.joints, self.shapes = joints, shapes
        self.start = nn.Parameter(torch.zeros(6 * joints))
        self.first = nn.Linear(width + 6 * joints, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.third = nn.Linear(hidden, 6 * joints)
        self.shape = Mlp(width, shape_hidden, shapes) if shapes else None

    def forward(self, token: Tensor) -> tuple[Tensor, ...]:
        """Return rotations [B, J, 3, 3], and shape coefficients [B, S] if there are such, of tokens [B, D]."""
        six = self.start.expand(len(token), -1)
        for _ in range(ITERATIONS):
            hidden = functional.leaky_relu(self.first(torch.cat((token, six), dim=-1)), _LEAK)
            six = six + self.third(functional.leaky_relu(self.second(hidden), _LEAK))
        rotations = matrices_from_rows(six.unflatten(-1, (self.joints, 6)))
        return (rotations,) if self.shape is None else (rotations, self.shape(token))


class Writer(nn.Module):
    """Write how to go from A to B.

    Args:
        token: D.
        config: of the decoder.
    """

    def __init__(self, token: int, config: TextDecoderConfig) -> None:
        super().__init__()
        self.compare = Tirg(token, token)
        self.adapt = nn.Linear(token, config.width)
        self.decoder = TextDecoder(config)

    def memory(self, token_a: Tensor, token_b: Tensor) -> Tensor:
        """Return the vector [B, W] that the text is written from, of tokens [B, D]."""
        memory: Tensor = self.adapt(self.compare(token_b, token_a))
        return memory
