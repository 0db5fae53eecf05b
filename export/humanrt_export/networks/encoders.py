"""Crop encoders: a network with batch norm (a small residual one, or MediaPipe's), or a vision transformer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt.errors import HumanrtError, choices
from humanrt_export.networks.attention import Attention
from humanrt_export.networks.backbone import BACKBONES, TRUNKS, DinoV2
from humanrt_export.networks.camera import DEVIATION, MEAN, PATCH
from humanrt_export.networks.trunk import PoseTrunk

__all__ = ["ENCODERS", "NormedTrunk", "ResNet", "Transformer", "encoder", "initialised"]

_TOKEN_SCALE = 0.02
_TRUNK_MULTIPLE = 32


class ResNet(nn.Module):
    """Encode an image [B, 3, S, S] as [B, 8 width]: a stem and four stages of residual blocks, each halving the size.

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


class NormedTrunk(nn.Module):
    """Encode an image [B, 3, S, S] as features [B, 1440]: `PoseTrunk` with batch norms restored after each convolution.

    S is a multiple of 32. Published networks have their batch norms folded into their convolutions. `start_from`
    unfolds them: each norm gets the mean and standard deviation of its convolution's outputs over some images, and the
    weight and bias that undo them, so that the network computes the same function as before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = PoseTrunk.WIDTHS[-1] + PoseTrunk.WHOLE
        self.trunk = PoseTrunk()
        for module in list(self.trunk.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, nn.Conv2d):
                    setattr(module, name, _Normed(child))
        self.trunk.to(memory_format=torch.channels_last)  # faster on a CPU
        self.register_buffer("gain", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)
        self.register_buffer("offset", torch.tensor(MEAN).view(3, 1, 1), persistent=False)

    gain: Tensor
    offset: Tensor

    def forward(self, image: Tensor) -> Tensor:
        maps, whole = self.trunk((image * self.gain + self.offset).contiguous(memory_format=torch.channels_last))
        parts = (maps[-1].mean(dim=(-1, -2)), whole.flatten(1))
        return torch.cat([functional.layer_norm(part, part.shape[1:]) for part in parts], dim=1)

    def start_from(self, weights: Mapping[str, Tensor], image: Tensor) -> None:
        """Load the weights of a `PoseTrunk` (`trunk.trunk_weights`), whose norms are folded.

        Args:
            weights: state of the `PoseTrunk`.
            image: [N, 3, S, S] normalised, the images to measure the norms on: a few hundred training images.
        """
        normed = {name: module for name, module in self.trunk.named_modules() if isinstance(module, _Normed)}
        for name, module in normed.items():
            module.restart(weights[f"{name}.weight"], weights[f"{name}.bias"])
        # All norms can be measured at once: measuring one does not change the input of the next.
        with torch.no_grad():
            self.eval()(image)
        for module in normed.values():
            module.measured = True


class _Normed(nn.Conv2d):
    """A convolution and its batch norm."""

    def __init__(self, like: nn.Conv2d) -> None:
        super().__init__(
            like.in_channels,
            like.out_channels,
            like.kernel_size,
            like.stride,
            like.padding,
            groups=like.groups,
            bias=False,
        )
        self.norm = nn.BatchNorm2d(like.out_channels)
        self.measured = True

    def restart(self, weight: Tensor, bias: Tensor) -> None:
        """Load a convolution with a folded norm; the next images that pass through recover the norm's statistics."""
        with torch.no_grad():
            self.weight.copy_(weight)
            self.norm.bias.copy_(bias)
        self.measured = False

    def forward(self, x: Tensor) -> Tensor:
        found = super().forward(x)
        if not self.measured:
            self._measure(found)
        out: Tensor = self.norm(found)
        return out

    def _measure(self, found: Tensor) -> None:
        variance, mean = torch.var_mean(found.float(), dim=(0, 2, 3))
        norm = self.norm
        norm.running_mean, norm.running_var = mean, variance
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)


class Transformer(nn.Module):
    """Encode an image [B, 3, S, S] as features [B, D], the mean of the patch tokens of a `DinoV2`."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__()
        self.features = BACKBONES[name][0]
        self.backbone = initialised(DinoV2(name, size))

    def forward(self, image: Tensor) -> Tensor:
        tokens: Tensor = self.backbone(image)
        return tokens.mean(dim=1)

    def use_attention(self, attention: Attention) -> None:
        """Set the attention implementation (see `multihmr.attention`)."""
        self.backbone.use_attention(attention)


ENCODERS = ("resnet", "landmark-cnn", *BACKBONES)
"""What `encoder` makes."""


def encoder(name: str, size: int, width: int = 32, blocks: int = 1) -> ResNet | NormedTrunk | Transformer:
    """Build a network of `ENCODERS` for images of ``size`` px; width and blocks apply to a `ResNet`."""
    if name not in ENCODERS:
        raise HumanrtError(f"unknown encoder `{name}`; choose one of: {choices(ENCODERS)}")
    if name == "resnet":
        return ResNet(width, blocks)
    if name == "landmark-cnn":
        if size < _TRUNK_MULTIPLE or size % _TRUNK_MULTIPLE:
            raise HumanrtError(f"the size is {size}; {name} needs a multiple of {_TRUNK_MULTIPLE}")
        return NormedTrunk()
    multiple = 2 * PATCH if name in TRUNKS else PATCH
    if size < multiple or size % multiple:
        raise HumanrtError(f"the size is {size}; {name} needs a multiple of {multiple}")
    return Transformer(name, size)


def initialised(backbone: DinoV2) -> DinoV2:
    """Initialise a backbone for training, as ViT does: small random positions, class token and linear weights."""
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
