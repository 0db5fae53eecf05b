"""A MoveNet in front of a few transformer blocks: a picture in, tokens and maps of keypoints out.

What sees real people stays as Google trained it, unless `MoveNet.learn` lets its upper layers learn, too.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt_export.networks.anny_head import sincos_positions
from humanrt_export.networks.attention import Attention
from humanrt_export.networks.backbone import BACKBONES, TRUNKS, VitBlock
from humanrt_export.networks.camera import DEVIATION, MEAN, PATCH, Window
from humanrt_export.networks.movenet import LowerMaps, MoveNet, MoveNetMaps

__all__ = ["KEYPOINT_BACKBONES", "LOGIT", "KeypointBackbone", "KeypointMaps", "token_step", "token_width"]

KEYPOINT_BACKBONES = {"movenet14": (192, 2, 3)}
"""Name -> (width D, blocks, heads) of backbones whose head looks at keypoints (`keypoint_head`)."""

_STRIDE = 16  # px of the trunk's picture in a token
_FINE = _STRIDE // MoveNet.FINE
_EPS = 1e-6
LOGIT = 0.25
"""Factor of MoveNet's logits, which reach from -13 to 3, in `KeypointMaps`."""


class KeypointMaps(NamedTuple):
    """What the trunk sees, as the rest of the network takes it.

    Attributes:
        cells: [B, N, C] the finer maps in each token.
        coarse: [B, N / 4, 480] the coarsest map, row by row.
        fine: [B, F, H, W] the finest features and the keypoints' heat maps, four by four to a token.
        regressed: [B, 34, H, W] as `MoveNetMaps` has them.
    """

    cells: Tensor
    coarse: Tensor
    fine: Tensor
    regressed: Tensor


class KeypointBackbone(nn.Module):
    """Compute a class token and tokens [B, 1 + (S/14)^2, D] of an ImageNet-normalised image [B, 3, S, S].

    The image is enlarged by 16/14, so that a token is four by four cells of the finest maps. The coarsest map, at twice
    a token's size, goes through the transformer; its result and the finer maps are added to each token.

    Args:
        name: a key of `KEYPOINT_BACKBONES`.
        image_size: S, a multiple of 28.
    """

    positions: Tensor
    gain: Tensor
    offset: Tensor

    def __init__(self, name: str, image_size: int) -> None:
        super().__init__()
        width, depth, heads = KEYPOINT_BACKBONES[name]
        self.trunk = MoveNet().requires_grad_(False).to(memory_format=torch.channels_last)  # faster on a CPU
        fine, middle, coarse, centres, _, heatmaps = MoveNet.WIDTHS
        self.join = nn.Linear(_FINE**2 * (fine + centres + heatmaps) + middle, width)
        self.embed = nn.Linear(coarse, width)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(VitBlock(width, heads, 2 * width, scaled=False) for _ in range(depth))
        self.norm = nn.LayerNorm(width, _EPS)
        self.joined_norm = nn.LayerNorm(width, _EPS)
        side = image_size // PATCH // 2
        self.register_buffer("positions", sincos_positions(side, width)[None], persistent=False)
        self.register_buffer("gain", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)
        self.register_buffer("offset", torch.tensor(MEAN).view(3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return self.tokens(self.maps(image))

    def maps(self, image: Tensor) -> KeypointMaps:
        """Return what the trunk sees."""
        return self.upper(self.lower(image))

    def lower(self, image: Tensor) -> LowerMaps:
        """Return what the trunk's lower layers see, which are never trained."""
        rows, columns = (length // PATCH for length in image.shape[-2:])
        size = (rows * _STRIDE, columns * _STRIDE)
        seen = functional.interpolate(image * self.gain + self.offset, size=size, mode="bilinear", align_corners=False)
        lower: LowerMaps = self.trunk.lower(seen.contiguous(memory_format=torch.channels_last))
        return lower

    def upper(self, lower: LowerMaps) -> KeypointMaps:
        """Return what the trunk sees, from what its lower layers do."""
        maps: MoveNetMaps = self.trunk.upper(lower)
        heatmaps, regressed = maps.heatmaps.float(), maps.regressed.float()  # full precision under autocast
        fine = torch.cat((_even(maps.fine), LOGIT * heatmaps), dim=1)
        inside = functional.pixel_unshuffle(torch.cat((fine, LOGIT * maps.centres), dim=1), _FINE)
        cells = torch.cat((inside, _even(maps.middle)), dim=1)
        coarse = _even(maps.coarse)
        rows_of = [x.flatten(2).transpose(1, 2) for x in (cells, coarse)]
        return KeypointMaps(rows_of[0], rows_of[1], fine, regressed)

    def tokens(self, maps: KeypointMaps) -> Tensor:
        """Return the class token and the tokens of a picture's maps."""
        x = self.embed(maps.coarse) + self.positions
        x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        size = [length // _FINE for length in maps.fine.shape[-2:]]
        around = x[:, 1:].transpose(1, 2).unflatten(2, [length // 2 for length in size])
        around = functional.interpolate(around, size=size, mode="bilinear", align_corners=False)
        tokens = self.joined_norm(self.join(maps.cells) + around.flatten(2).transpose(1, 2))
        return torch.cat((x[:, :1], tokens), dim=1)

    def use_attention(self, attention: Attention) -> None:
        """Set the attention implementation (see `attention`)."""
        for block in self.blocks:
            block.attn.attention = attention

    def crop(self, window: Window) -> None:
        """Expect a window of the square only, whose corner is a multiple of two tokens."""
        side = window.side // 2
        cells = torch.arange(side**2).reshape(side, side)
        rows, columns = slice(window.top // 2, side - window.top // 2), slice(window.left // 2, side - window.left // 2)
        self.positions = self.positions[:, cells[rows, columns].reshape(-1)]

    def fold(self) -> None:
        """Nothing is folded: no table is resized, no scale stands behind a layer."""


def token_width(backbone: str) -> int:
    """Return the width of the tokens of any backbone, by its name."""
    return (BACKBONES | KEYPOINT_BACKBONES)[backbone][0]


def token_step(backbone: str) -> int:
    """Return of how many tokens a picture's sides are multiples: convolutions look at twice a token's size."""
    return 2 if backbone in (*TRUNKS, *KEYPOINT_BACKBONES) else 1


def _even(x: Tensor) -> Tensor:
    """Normalise a map [B, C, H, W] over its channels."""
    return functional.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]).permute(0, 3, 1, 2)
