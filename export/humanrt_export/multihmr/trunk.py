"""The convolutions of MediaPipe's person detector as a start for a network: trained on real people, small, Apache-2.0.

An EfficientNet-Lite whose maps at strides 8 and 16 are refined from the coarser ones (a feature pyramid); the heads on
top are left out. `DetectorTrunk` is its structure; `trunk_weights` reads its weights out of the detector's
graph, as `humanrt-export landmarks` makes it, so that a checkpoint which holds them needs no graph any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt_export.checkpoint import CheckpointError
from humanrt_export.multihmr.camera import DEVIATION, MEAN, PATCH

__all__ = ["DetectorStem", "DetectorTrunk", "trunk_weights"]

# Inverted residual blocks: (kernel, stride, expanded width, width). Those that keep size and width are added to.
_BLOCKS = (
    (3, 1, 24, 16),
    (3, 2, 64, 24),
    (3, 1, 144, 24),
    (5, 2, 144, 40),
    (5, 1, 240, 40),
    (3, 2, 240, 80),
    (3, 1, 480, 80),
    (3, 1, 480, 80),
    (5, 1, 480, 112),
    (5, 1, 672, 112),
    (5, 1, 672, 112),
    (5, 2, 672, 192),
    (5, 1, 1152, 192),
    (5, 1, 1152, 192),
    (5, 1, 1152, 192),
)
_STEM, _TOP = 24, 1152
_QUARTER, _EIGHTH, _SIXTEENTH = 2, 4, 10  # the last block at these strides
_STRIDE = 16


class DetectorTrunk(nn.Module):
    """RGB [B, 3, H, W] in -1..1 -> maps: `WIDTHS` channels at `STRIDES`. H and W are multiples of 32."""

    STRIDES = (4, 8, 8, 16, 16, 32)
    WIDTHS = (24, 40, 96, 112, 192, 192)

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, _STEM, 3, 2)
        width, blocks = _STEM, []
        for kernel, stride, expanded, after in _BLOCKS:
            blocks.append(_Inverted(width, expanded, after, kernel, stride))
            width = after
        self.blocks = nn.ModuleList(blocks)
        self.top = nn.ModuleList((_conv(width, _TOP, 1), _conv(_TOP, _TOP, 3, groups=_TOP)))
        self.middle = _Merge(112, _TOP, 192)
        self.fine = _Merge(40, 192, 96)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        x = _relu6(self.stem(image))
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        for conv in self.top:
            x = _relu6(conv(x))
        middle = self.middle(maps[_SIXTEENTH], x)
        fine = self.fine(maps[_EIGHTH], middle)
        return maps[_QUARTER], maps[_EIGHTH], fine, maps[_SIXTEENTH], middle, maps[-1]


class DetectorStem(nn.Module):
    """ImageNet-normalised image [B, 3, S, S] -> [B, width, S/14, S/14], in place of a patch embedding.

    The image is enlarged by 16/14, so that a token is a cell of the trunk's maps at stride 16: finer maps give all
    their cells in it, the coarsest is interpolated. Each map is normalised over channels and has a matrix of its own.

    The trunk learns only after ``requires_grad_()`` of it; before, nothing of it is kept for a backward pass.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        trunk = DetectorTrunk().requires_grad_(False)
        self.trunk = trunk.to(memory_format=torch.channels_last)  # faster on a CPU
        cells = [max(1, _STRIDE // stride) ** 2 for stride in DetectorTrunk.STRIDES]
        total = sum(n * count for n, count in zip(cells, DetectorTrunk.WIDTHS, strict=True))
        self.join = nn.Linear(total, width)
        self.register_buffer("gain", 2 * torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)
        self.register_buffer("offset", 2 * torch.tensor(MEAN).view(3, 1, 1) - 1, persistent=False)

    gain: Tensor
    offset: Tensor

    def forward(self, image: Tensor) -> Tensor:
        side = image.shape[-1] // PATCH
        size = (side * _STRIDE, side * _STRIDE)
        seen = functional.interpolate(image * self.gain + self.offset, size=size, mode="bilinear", align_corners=False)
        learns = next(self.trunk.parameters()).requires_grad
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            maps = self.trunk(seen.contiguous(memory_format=torch.channels_last))
            cells = [_cells(x, stride, side) for x, stride in zip(maps, DetectorTrunk.STRIDES, strict=True)]
            features = torch.cat(cells, dim=1).permute(0, 2, 3, 1)
        joined: Tensor = self.join(features).permute(0, 3, 1, 2)
        return joined


def trunk_weights(path: Path) -> dict[str, Tensor]:
    """State of a `DetectorTrunk`, out of the person detector's graph (``.onnx``, or packed as ``.onnx.z``).

    Raises:
        CheckpointError: not that graph.
    """
    import onnx
    from onnx import numpy_helper

    from humanrt import packed

    try:
        content = path.read_bytes()
        graph = onnx.load_from_string(packed.unpack(content) if path.suffix == packed.SUFFIX else content).graph
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path}: not the graph of a person detector ({reason})") from error
    values = {value.name: torch.from_numpy(numpy_helper.to_array(value).copy()) for value in graph.initializer}
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in values:  # stored in float16
            values[node.output[0]] = values[node.input[0]]
    given = [tuple(node.input[1:3]) for node in graph.node if node.op_type == "Conv"]
    # The graph's convolutions come in the order in which the trunk uses its own, but those of the pyramid's sides,
    # which it takes as soon as the maps are there.
    trunk = DetectorTrunk()
    state: dict[str, Tensor] = {}
    for (name, conv), (weight, bias) in zip(_in_order(trunk), given, strict=False):
        for kind, own, key in (("weight", conv.weight, weight), ("bias", conv.bias, bias)):
            if key not in values or own is None or values[key].shape != own.shape:
                raise CheckpointError(f"{path}: not the graph of the person detector (`{key}` is no {name}.{kind})")
            state[f"{name}.{kind}"] = values[key].float()
    if state.keys() != trunk.state_dict().keys():
        raise CheckpointError(f"{path}: has {len(given)} convolutions; the person detector's trunk has more")
    return state


def _cells(x: Tensor, stride: int, side: int) -> Tensor:
    """A map [B, C, H, W], normalised over channels and brought to [B, K, side, side]."""
    even = functional.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]).permute(0, 3, 1, 2)
    if stride < _STRIDE:
        return functional.pixel_unshuffle(even, _STRIDE // stride)
    if stride > _STRIDE:
        return functional.interpolate(even, size=(side, side), mode="bilinear", align_corners=False)
    return even


def _in_order(trunk: DetectorTrunk) -> list[tuple[str, nn.Conv2d]]:
    """Convolutions as the graph has them: an expansion, then the side branch of its input, then the rest."""
    names = [name for name, module in trunk.named_modules() if isinstance(module, nn.Conv2d)]
    sides = {f"blocks.{_EIGHTH + 1}.expand": "fine.side", f"blocks.{_SIXTEENTH + 1}.expand": "middle.side"}
    ordered: list[str] = []
    for name in names:
        if ".side." in name:
            continue
        ordered.append(name)
        if name in sides:
            ordered += [other for other in names if other.startswith(sides[name])]
    modules: Mapping[str, nn.Module] = dict(trunk.named_modules())
    return [(name, conv) for name in ordered if isinstance(conv := modules[name], nn.Conv2d)]


class _Inverted(nn.Module):
    """Wider, a filter per channel, narrower; added to its input where that has the same form."""

    def __init__(self, width: int, expanded: int, after: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.added = stride == 1 and width == after
        self.expand = _conv(width, expanded, 1) if expanded != width else None
        self.depth = _conv(expanded, expanded, kernel, stride, groups=expanded)
        self.project = _conv(expanded, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = x if self.expand is None else _relu6(self.expand(x))
        out: Tensor = self.project(_relu6(self.depth(wide)))
        return out + x if self.added else out


class _Merge(nn.Module):
    """A fine map and a coarse one of half its sides, both brought to ``width``, added, and refined twice."""

    def __init__(self, fine: int, coarse: int, width: int) -> None:
        super().__init__()
        self.side = nn.Sequential(_conv(fine, fine, 3, groups=fine), _conv(fine, width, 1))
        self.down = _conv(coarse, width, 1)
        self.refine = nn.ModuleList(
            nn.Sequential(_conv(width, width, 3, groups=width), _conv(width, width, 1)) for _ in range(2)
        )

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        up = functional.interpolate(self.down(coarse), scale_factor=2.0, mode="bilinear", align_corners=False)
        x = _relu6(self.side(fine)) + _relu6(up)
        for layers in self.refine:
            x = _relu6(x + layers(x))
        return x


def _conv(before: int, after: int, kernel: int, stride: int = 1, *, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups)


def _relu6(x: Tensor) -> Tensor:
    return functional.hardtanh(x, 0.0, 6.0)
