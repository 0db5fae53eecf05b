"""DINOv2 vision transformer (ViT-S/B/L, 14 px patches, no registers): image -> patch tokens.

Written from the paper (Oquab et al., DINOv2, 2023) and the layout of the published weights: pre-norm blocks with
LayerScale, LayerNorm eps 1e-6, a class token, one learned 37 x 37 position table (518 px) that is resized to the
input. Module names follow the published DINOv2 weights, so that they load unchanged.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt_export.networks.attention import Attention, sdpa
from humanrt_export.networks.camera import PATCH, Window
from humanrt_export.networks.trunk import PoseStem

__all__ = ["BACKBONES", "SCRATCH", "TABLE_SIDE", "TRUNKS", "DinoV2", "VitBlock"]

BACKBONES = {
    "dinov2_vits14": (384, 12, 6),
    "dinov2_vitb14": (768, 12, 12),
    "dinov2_vitl14": (1024, 24, 16),
    "vitn14": (192, 6, 3),
    "mediapipe14": (192, 4, 3),
}
"""Name -> (width D, blocks, heads). `vitn14` is nobody's but ours: small enough to be trained on a CPU. `mediapipe14`
likewise, but its patches are seen by the convolutions of MediaPipe's landmark network (`trunk`)."""

SCRATCH = ("vitn14", "mediapipe14")
"""Backbones for which nobody published weights."""

TRUNKS = ("mediapipe14",)
"""Backbones that begin with a `PoseTrunk`; their images' sides are multiples of 28."""

_STEMS = {"vitn14": (64, 128, 128)}
"""Backbones whose patches are seen by convolutions, at twice the tokens' density, and the widths of these: with few
pictures to learn from, such a start learns much faster (Xiao et al., Early convolutions help transformers see better,
2021), and costs no more than one matrix over whole patches."""

TABLE_SIDE = 37
_EPS = 1e-6


class DinoV2(nn.Module):
    """Compute patch tokens [B, (S/14)^2, D] of an image [B, 3, S, S] normalised with ImageNet mean and std."""

    def __init__(self, name: str, image_size: int) -> None:
        super().__init__()
        width, depth, heads = BACKBONES[name]
        self.side = image_size // PATCH
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + TABLE_SIDE**2, width))
        self.patch_embed = nn.ModuleDict({"proj": _patches(name, width)})
        self.blocks = nn.ModuleList(VitBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, _EPS)
        self.folded_positions: Tensor | None = None

    def forward(self, image: Tensor) -> Tensor:
        return self.everything(image)[:, 1:]

    def everything(self, image: Tensor, seen: Tensor | None = None) -> Tensor:
        """Return the class token followed by the patch tokens, [B, 1 + (S/14)^2, D].

        Args:
            image: as above.
            seen: [B, V] int64, indices of the only patches to process, in this order; the output is then [B, 1 + V, D].
        """
        positions = self._positions()
        patches = self.patch_embed["proj"](image).flatten(2).transpose(1, 2) + positions[:, 1:]
        if seen is not None:
            patches = patches.gather(1, seen[..., None].expand(-1, -1, patches.shape[-1]))
        first = (self.cls_token + positions[:, :1]).expand(image.shape[0], -1, -1)
        tokens = torch.cat((first, patches), dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        normalised: Tensor = self.norm(tokens)
        return normalised

    def use_attention(self, attention: Attention) -> None:
        """Set the attention implementation (see `attention`)."""
        for block in self.blocks:
            block.attn.attention = attention

    def crop(self, window: Window) -> None:
        """Expect the patches of a window only, which keep the positions that they have in the square; for inference."""
        with torch.no_grad():
            positions = self._positions()
            self.folded_positions = torch.cat((positions[:, :1], positions[:, 1:][:, window.cells]), dim=1)
        if isinstance(patches := self.patch_embed["proj"], PoseStem):
            patches.crop(window)

    def fold(self) -> None:
        """Resize the position table once and fold LayerScale into the preceding weights; for inference only."""
        with torch.no_grad():
            self.folded_positions = self._positions().clone()
            for block in self.blocks:
                block.fold()

    def _positions(self) -> Tensor:
        """Return [1, 1 + side^2, D].

        DINOv2 resizes with a scale of (side + 0.1) / 37, which shifts the samples a little."""
        if self.folded_positions is not None:
            return self.folded_positions
        if self.side == TABLE_SIDE:
            return self.pos_embed
        table = self.pos_embed[:, 1:].unflatten(1, (TABLE_SIDE, TABLE_SIDE)).permute(0, 3, 1, 2)
        scale = (self.side + 0.1) / TABLE_SIDE
        resized = functional.interpolate(table, scale_factor=(scale, scale), mode="bicubic", antialias=False)
        return torch.cat((self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)), dim=1)


def _patches(name: str, width: int) -> nn.Module:
    """Return the patch embedding, [B, 3, S, S] -> [B, width, S/14, S/14]."""
    if name in TRUNKS:
        return PoseStem(width)
    if not (stem := _STEMS.get(name, ())):
        return nn.Conv2d(3, width, PATCH, PATCH)
    layers: list[nn.Module] = [nn.Conv2d(3, stem[0], PATCH // 2, PATCH // 2)]
    for before, after in itertools.pairwise(stem):
        layers += [nn.GELU(), nn.Conv2d(before, after, 3, padding=1)]
    return nn.Sequential(*layers, nn.GELU(), nn.Conv2d(stem[-1], width, 2, 2))


class VitBlock(nn.Module):
    """Attention and MLP on tokens [B, N, D], each behind a LayerNorm and added to its input.

    Args:
        width: D.
        heads: of attention.
        hidden: width of the MLP; None: 4 D.
        scaled: whether both have a LayerScale, as DINOv2's have and ViT's have not.
    """

    def __init__(self, width: int, heads: int, hidden: int | None = None, *, scaled: bool = True) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, _EPS)
        self.attn = _SelfAttention(width, heads)
        self.ls1 = _LayerScale(width) if scaled else nn.Identity()
        self.norm2 = nn.LayerNorm(width, _EPS)
        self.mlp = _Mlp(width, hidden or 4 * width)
        self.ls2 = _LayerScale(width) if scaled else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        out: Tensor = tokens + self.ls2(self.mlp(self.norm2(tokens)))
        return out

    def fold(self) -> None:
        for linear, scale in ((self.attn.proj, self.ls1), (self.mlp.fc2, self.ls2)):
            if isinstance(scale, _LayerScale):
                linear.weight.mul_(scale.gamma[:, None])
                linear.bias.mul_(scale.gamma)
        self.ls1, self.ls2 = nn.Identity(), nn.Identity()


class _SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention: Attention = sdpa

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = self.qkv(tokens).chunk(3, dim=-1)
        out: Tensor = self.proj(self.attention(query, key, value, self.heads, None))
        return out


class _LayerScale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return out
