"""What looks at a crop: a small residual network with batch norm, or a vision transformer in DINOv2's layout."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from humanrt.errors import HumanrtError, choices
from humanrt_export.multihmr.attention import Attention
from humanrt_export.multihmr.backbone import BACKBONES, DinoV2
from humanrt_export.multihmr.camera import PATCH

__all__ = ["ENCODERS", "ResNet", "Transformer", "encoder", "initialised"]

_TOKEN_SCALE = 0.02


class ResNet(nn.Module):
    """Image [B, 3, S, S] -> features [B, 8 width]: a stem and four stages of residual blocks, each at half the size.

    He et al., Deep residual learning for image recognition, 2016: basic blocks, batch norm after every convolution.
    """

    def __init__(self, width: int = 32, blocks: int = 1) -> None:
        super().__init__()
        self.features = 8 * width
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        stages: list[nn.Module] = []
        before = width
        for stage in range(4):
            after = width * 2**stage
            for block in range(blocks):
                stages.append(_Block(before, after, 2 if block == 0 else 1))
                before = after
        self.stages = nn.Sequential(*stages)
        self.to(memory_format=torch.channels_last)  # a quarter faster

    def forward(self, image: Tensor) -> Tensor:
        image = image.contiguous(memory_format=torch.channels_last)
        found: Tensor = self.stages(self.stem(image)).mean(dim=(-1, -2))
        return found


class Transformer(nn.Module):
    """Image [B, 3, S, S] -> features [B, D], the mean of the patch tokens of a `DinoV2`."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__()
        self.features = BACKBONES[name][0]
        self.backbone = initialised(DinoV2(name, size))

    def forward(self, image: Tensor) -> Tensor:
        tokens: Tensor = self.backbone(image)
        return tokens.mean(dim=1)

    def use_attention(self, attention: Attention) -> None:
        """Compute attention this way from now on (see `multihmr.attention`)."""
        self.backbone.use_attention(attention)


ENCODERS = ("resnet", *BACKBONES)
"""What `encoder` makes."""


def encoder(name: str, size: int, width: int = 32, blocks: int = 1) -> ResNet | Transformer:
    """A network of `ENCODERS` for pictures of ``size`` px; width and blocks are those of a `ResNet`."""
    if name == "resnet":
        return ResNet(width, blocks)
    if name not in BACKBONES:
        raise HumanrtError(f"no encoder `{name}`; there are: {choices(('resnet', *BACKBONES))}")
    if size < PATCH or size % PATCH:
        raise HumanrtError(f"the size is {size}; {name} needs a multiple of {PATCH}")
    return Transformer(name, size)


def initialised(backbone: DinoV2) -> DinoV2:
    """The same, as training begins: small random positions and class token, small linear weights (ViT's own)."""
    nn.init.trunc_normal_(backbone.pos_embed, std=_TOKEN_SCALE)
    nn.init.trunc_normal_(backbone.cls_token, std=_TOKEN_SCALE)
    for module in backbone.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    return backbone


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        same = before == after and stride == 1
        self.past: nn.Module = nn.Identity()
        if not same:
            self.past = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.past(x))
