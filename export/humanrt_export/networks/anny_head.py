"""The head of Multi-HMR on Anny: one query per person, decoded against all tokens, regresses pose, shape, place, size.

After the description of the 2026 variant of Multi-HMR (Baradel et al.); the weights are our own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from humanrt_export.networks.attention import MASKED, Attention
from humanrt_export.networks.camera import Window
from humanrt_export.networks.decoder import DecoderLayer
from humanrt_export.networks.detection import gather_tokens
from humanrt_export.networks.rotations import matrices_from_rows

__all__ = ["AnnyHead", "Predictions", "SlotHead", "sincos_positions", "upright"]

# The root's rotation before training: Anny's frame (x to the left, y backwards, z up) to the camera's, an upright
# person who faces the camera. First two columns of [[1, 0, 0], [0, 0, -1], [0, 1, 0]], in layout `rows`.
_FACING = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
_STILL = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)
_RESIDUAL_SCALE = 0.02


@dataclass(frozen=True)
class Predictions:
    """Raw predictions of the head for every slot, before geometry.

    Attributes:
        offsets: [B, P, 2] tokens, from the centre of the person's token to the head.
        rotations: [B, P, R, 3, 3].
        shape: [B, P, S] in 0..1 of each phenotype's range.
        size: [B, P], logarithm of the scale at the head in px per metre.
    """

    offsets: Tensor
    rotations: Tensor
    shape: Tensor
    size: Tensor


class SlotHead(nn.Module):
    """Decode the detected cells' tokens against all tokens and regress predictions from the result.

    Attributes:
        positions: added to the embedded tokens.
        embed: [..., D] -> [..., width].
        layers: `DecoderLayer`, width to width.
    """

    positions: Tensor
    embed: nn.Module
    layers: nn.ModuleList

    def forward(self, tokens: Tensor, cells: Tensor, valid: Tensor) -> Predictions:
        """Predict every slot; the content of empty slots does not affect the others.

        Args:
            tokens: [B, N, D].
            cells: [B, P] int64, the token of each slot.
            valid: [B, P] bool, False for empty slots.
        """
        return self.read(self.look(tokens, cells, valid))

    def look(self, tokens: Tensor, cells: Tensor, valid: Tensor) -> Tensor:
        """Decode every slot: [B, P, width]."""
        context = self.embed(tokens) + self.positions
        x = gather_tokens(context, cells)
        bias = torch.where(valid, 0.0, MASKED).to(x.dtype)[:, None, None, :]
        for layer in self.layers:
            x = layer(x, context, bias)
        return x

    def read(self, x: Tensor) -> Predictions:
        """Convert decoded slots [B, P, width] to `Predictions`."""
        raise NotImplementedError

    def crop(self, window: Window) -> None:
        """Expect the tokens of a window only."""
        self.positions = self.positions[..., window.cells, :]

    def use_attention(self, attention: Attention) -> None:
        """Set the attention implementation (see `multihmr.attention`)."""
        for layer in self.layers:
            layer.attention = attention


class AnnyHead(SlotHead):
    """Predict `Predictions` from backbone tokens [B, side^2, D] and detected cells.

    Args:
        tokens: width D of a token.
        side: tokens along a side of the image.
        rotations: R, the root's first.
        phenotypes: S.
        width, depth, heads, mlp: of the decoder; attention is ``32 * heads`` wide.
        size: approximate value of `Predictions.size` before training.
    """

    initial_pose: Tensor

    def __init__(
        self,
        *,
        tokens: int,
        side: int,
        rotations: int,
        phenotypes: int,
        width: int,
        depth: int,
        heads: int,
        mlp: int,
        size: float,
    ) -> None:
        super().__init__()
        self.rotations = rotations
        self.register_buffer("positions", sincos_positions(side, width)[None], persistent=False)
        self.register_buffer("initial_pose", upright(rotations), persistent=False)
        self.embed = nn.Linear(tokens, width)
        self.layers = nn.ModuleList(DecoderLayer(width, width, heads, mlp, bias=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.offset = nn.Linear(width, 2)
        self.pose = nn.Linear(width, 6 * rotations)
        self.shape = nn.Linear(width, phenotypes)
        self.size = nn.Linear(width, 1)
        for linear in (self.offset, self.pose, self.shape, self.size):
            nn.init.normal_(linear.weight, std=_RESIDUAL_SCALE * width**-0.5)
            nn.init.zeros_(linear.bias)
        nn.init.constant_(self.size.bias, size)

    def look(self, tokens: Tensor, cells: Tensor, valid: Tensor) -> Tensor:
        """Return the decoded features of every slot, [B, P, width], for `read`."""
        seen: Tensor = self.norm(super().look(tokens, cells, valid))
        return seen

    def read(self, x: Tensor) -> Predictions:
        """Convert the features from `look` to `Predictions`."""
        return Predictions(
            offsets=self.offset(x),
            rotations=matrices_from_rows((self.pose(x) + self.initial_pose).unflatten(-1, (self.rotations, 6))),
            shape=torch.sigmoid(self.shape(x)),
            size=self.size(x)[..., 0],
        )


def upright(rotations: int) -> Tensor:
    """Return ``rotations`` rotations of a standing person facing the camera, root first, in 6-d layout `rows`."""
    return torch.tensor([*_FACING, *_STILL * (rotations - 1)])


def sincos_positions(side: int, width: int) -> Tensor:
    """Return fixed 2D position embeddings [side^2, width]: sin/cos of the column in one half, of the row in the other.

    Frequencies fall geometrically from 1 to 1/10000 per token (Vaswani et al., 2017, in two dimensions).
    """
    frequencies = torch.exp(-math.log(10000.0) * torch.arange(width // 4) / (width // 4))
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = torch.stack((columns, rows), dim=-1).reshape(-1, 2, 1) * frequencies
    return torch.cat((torch.sin(angles), torch.cos(angles)), dim=-1).flatten(1)
