"""The convolutions of MediaPipe's pose landmark network as pre-trained weights: trained on real people, Apache-2.0.

An EfficientNet-Lite extended down to a map of 2 x 2 cells, from which the 33 landmarks of one person are regressed;
those output layers are left out. `PoseTrunk` is its structure; `trunk_weights` reads its weights out of the
graph that `humanrt-export landmarks` makes, so that a checkpoint containing them no longer needs the graph.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt.bundle.packed import SUFFIX
from humanrt_export.checkpoint import CheckpointError
from humanrt_export.networks.camera import DEVIATION, MEAN, PATCH, Window

__all__ = ["GRAPHS", "TRUNK_ATTRIBUTION", "PoseStem", "PoseTrunk", "trunk_weights"]

TRUNK_ATTRIBUTION = """\
The network begins with the convolutions of MediaPipe's pose_landmark_full.tflite (The MediaPipe Authors, Google LLC),
under Apache-2.0, sha256 e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f; training has changed them.
"""
"""For the NOTICE of what begins with it."""

GRAPHS = (".onnx", f".onnx{SUFFIX}")
"""How files of graphs end."""

# Inverted residual blocks: (kernel, stride, expanded width, width). Those that keep size and width are residual.
_BLOCKS = (
    (3, 1, 24, 16),
    (3, 2, 64, 24),
    (3, 1, 144, 24),
    (5, 2, 144, 32),
    (5, 1, 192, 32),
    (3, 2, 192, 64),
    (3, 1, 384, 64),
    (3, 1, 384, 64),
    (5, 1, 384, 88),
    (5, 1, 528, 88),
    (5, 1, 528, 88),
    (5, 2, 528, 144),
    (5, 1, 864, 144),
    (5, 1, 864, 144),
    (5, 1, 864, 144),
)
_STEM, _TOP, _WHOLE = 24, 864, 288
_STAGES = (2, 4, 10, 14)  # the last blocks at strides 4, 8, 16, 32
_LEARNS = 5  # the first block that is trained, if the trunk is trained: the first at stride 16
_STRIDE = 16
_GRID, _LAST = 8, 2  # sides of the input and output maps of the whole-image layers


class PoseTrunk(nn.Module):
    """Map RGB [B, 3, H, W] in 0..1 to maps of `WIDTHS` channels at `STRIDES`, and a global one [B, 288, 2, 2].

    H and W are multiples of 32. The network was designed for 256 x 256, where the last map but one is 8 x 8; at
    other sizes that map is resized to 8 x 8 before the whole-image layers.
    """

    STRIDES = (4, 8, 16, 32, 32)
    WIDTHS = (24, 32, 88, 144, 288)
    WHOLE = _WHOLE * _LAST**2
    around: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("around", None, persistent=False)
        self.corner = (0, 0)  # of what is seen, in cells of the last map
        self.stem = _conv(3, _STEM, 3, 2)
        width, blocks = _STEM, []
        for kernel, stride, expanded, after in _BLOCKS:
            blocks.append(_Inverted(width, expanded, after, kernel, stride))
            width = after
        self.blocks = nn.ModuleList(blocks)
        self.top = nn.ModuleList(
            (_conv(width, _TOP, 1), *(_conv(_TOP, _TOP, 3, groups=_TOP) for _ in range(2)), _conv(_TOP, _WHOLE, 1))
        )
        halves = [True, False, False, False, False, True, False, False, False, False, False]
        self.whole = nn.ModuleList(_Whole(_WHOLE, half) for half in halves)

    def forward(self, image: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        x = _relu6(self.stem(image))
        maps = []
        for place, block in enumerate(self.blocks):
            x = block(x)
            if place in _STAGES:
                maps.append(x)
        for conv in self.top:
            x = _relu6(_filtered(conv, x) if conv.groups > 1 else conv(x))
        maps.append(x)
        x = self._placed(x)
        if x.shape[-2:] != (_GRID, _GRID):
            x = functional.interpolate(x, size=(_GRID, _GRID), mode="bilinear", align_corners=False)
        for block in self.whole:
            x = block(x)
        return tuple(maps), x

    def _placed(self, x: Tensor) -> Tensor:
        """Put the last map of a window into that of the square."""
        if self.around is None:
            return x
        around, (row, column) = self.around.expand(len(x), -1, -1, -1), self.corner
        height, width = x.shape[-2:]
        middle = around[:, :, row : row + height]
        x = torch.cat((middle[..., :column], x, middle[..., column + width :]), dim=-1)
        return torch.cat((around[:, :, :row], x, around[:, :, row + height :]), dim=-2)

    def crop(self, window: Window) -> None:
        """Expect a window of the square; what the layers for the whole picture see around it is black's."""
        side = window.side * _STRIDE
        with torch.no_grad():
            maps, _ = self(torch.zeros(1, 3, side, side))
        self.around = maps[-1].clone()
        cells = self.STRIDES[-1] // _STRIDE
        self.corner = (window.top // cells, window.left // cells)

    def learn(self) -> None:
        """Make the layers at strides of 16 and more trainable: most of the weights, at little cost."""
        for module in (self.blocks[_LEARNS:], self.top, self.whole):
            module.requires_grad_()


class PoseStem(nn.Module):
    """Map an ImageNet-normalised image [B, 3, S, S] to [B, width, S/14, S/14], in place of a patch embedding.

    The image is enlarged by 16/14, so that a token is a cell of the trunk's maps at stride 16: finer maps contribute
    all their cells in it, coarser ones are interpolated. Each map is normalised over channels and has its own matrix.
    The trunk's features of the whole image are added to all tokens.

    The trunk is trained only after `PoseTrunk.learn`.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        trunk = PoseTrunk().requires_grad_(False)
        self.trunk = trunk.to(memory_format=torch.channels_last)  # faster on a CPU
        cells = [max(1, _STRIDE // stride) ** 2 for stride in PoseTrunk.STRIDES]
        total = sum(n * count for n, count in zip(cells, PoseTrunk.WIDTHS, strict=True))
        self.join = nn.Linear(total, width)
        self.whole = nn.Linear(PoseTrunk.WHOLE, width)
        self.register_buffer("gain", torch.tensor(DEVIATION).view(3, 1, 1), persistent=False)
        self.register_buffer("offset", torch.tensor(MEAN).view(3, 1, 1), persistent=False)

    gain: Tensor
    offset: Tensor

    def crop(self, window: Window) -> None:
        """Expect a window of the square only."""
        self.trunk.crop(window)

    def forward(self, image: Tensor) -> Tensor:
        rows, columns = (length // PATCH for length in image.shape[-2:])
        size = (rows * _STRIDE, columns * _STRIDE)
        seen = functional.interpolate(image * self.gain + self.offset, size=size, mode="bilinear", align_corners=False)
        maps, whole = self.trunk(seen.contiguous(memory_format=torch.channels_last))
        cells = [_cells(x, stride, (rows, columns)) for x, stride in zip(maps, PoseTrunk.STRIDES, strict=True)]
        features = torch.cat(cells, dim=1).permute(0, 2, 3, 1)
        seen = functional.layer_norm(whole.flatten(1), (PoseTrunk.WHOLE,))
        joined: Tensor = self.join(features) + self.whole(seen)[:, None, None]
        return joined.permute(0, 3, 1, 2)


def trunk_weights(path: Path) -> dict[str, Tensor]:
    """Read the state of a `PoseTrunk` from the landmark network's graph (``.onnx``, or packed as ``.onnx.z``).

    Raises:
        CheckpointError: the file is not that graph.
    """
    import onnx
    from onnx import numpy_helper

    from humanrt.bundle import packed

    try:
        content = path.read_bytes()
        graph = onnx.load_from_string(packed.unpack(content) if path.suffix == packed.SUFFIX else content).graph
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path}: not the graph of a landmark network ({reason})") from error
    values = {value.name: torch.from_numpy(numpy_helper.to_array(value).copy()) for value in graph.initializer}
    for node in graph.node:
        if node.op_type == "Cast" and node.input[0] in values:  # stored in float16
            values[node.output[0]] = values[node.input[0]]
    given = [tuple(node.input[1:3]) for node in graph.node if node.op_type == "Conv"]
    trunk = PoseTrunk()
    convolutions = [(name, module) for name, module in trunk.named_modules() if isinstance(module, nn.Conv2d)]
    state: dict[str, Tensor] = {}
    # The graph's convolutions are in the same order as the trunk's.
    for (name, conv), (weight, bias) in zip(convolutions, given, strict=False):
        for kind, own, key in (("weight", conv.weight, weight), ("bias", conv.bias, bias)):
            if key not in values or own is None or values[key].shape != own.shape:
                raise CheckpointError(f"{path}: not the graph of the landmark network (`{key}` is not {name}.{kind})")
            state[f"{name}.{kind}"] = values[key].float()
    if state.keys() != trunk.state_dict().keys():
        raise CheckpointError(f"{path}: has {len(given)} convolutions; the landmark network's trunk has another number")
    return state


def _cells(x: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    """Normalise a map [B, C, H, W] over channels and bring it to [B, K, rows, columns]."""
    even = functional.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]).permute(0, 3, 1, 2)
    if stride < _STRIDE:
        return functional.pixel_unshuffle(even, _STRIDE // stride)
    if stride > _STRIDE:
        return functional.interpolate(even, size=size, mode="bilinear", align_corners=False)
    return even


class _Inverted(nn.Module):
    """Inverted residual block: expand, depthwise filter, project; residual if input and output have the same shape."""

    def __init__(self, width: int, expanded: int, after: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.added = stride == 1 and width == after
        self.expand = _conv(width, expanded, 1) if expanded != width else None
        self.depth = _conv(expanded, expanded, kernel, stride, groups=expanded)
        self.project = _conv(expanded, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = x if self.expand is None else _relu6(self.expand(x))
        out: Tensor = self.project(_relu6(_filtered(self.depth, wide)))
        return out + x if self.added else out


class _Whole(nn.Module):
    """Depthwise filter, then a 1x1 matrix; added to the input, or to its max pooling where the sides are halved."""

    def __init__(self, width: int, half: bool) -> None:
        super().__init__()
        self.half = half
        self.depth = nn.Conv2d(width, width, 3, 2 if half else 1, 0 if half else 1, groups=width)
        self.project = _conv(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        # TensorFlow's "same" padding: at stride 2 the border is on the right and bottom.
        seen = functional.pad(x, (0, 1, 0, 1)) if self.half else x
        before = functional.max_pool2d(x, 2) if self.half else x
        return _relu6(before + self.project(_relu6(_filtered(self.depth, seen))))


def _filtered(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """Apply a depthwise filter; bfloat16 only without a backward pass, which is several times slower in it on a CPU."""
    if not (conv.weight.requires_grad or x.requires_grad):
        out: Tensor = conv(x)
        return out
    with torch.autocast(x.device.type, enabled=False):
        return conv(x.float())


def _conv(before: int, after: int, kernel: int, stride: int = 1, *, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups)


def _relu6(x: Tensor) -> Tensor:
    return functional.hardtanh(x, 0.0, 6.0)
