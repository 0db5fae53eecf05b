"""The published Multi-HMR on Anny (NAVER's `multiHMR_672_L_anny`): the network.

Written from a description of the model (shared/facts/multihmr.md) and checked against recorded outputs; it shares the
backbone, the detection and the decoder's layers with our own networks. `published_checkpoint` reads its files,
`published_body` poses its people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from humanrt_export.networks.anny_head import Predictions, SlotHead
from humanrt_export.networks.attention import Attention
from humanrt_export.networks.backbone import BACKBONES
from humanrt_export.networks.camera import TokenGrid, Window
from humanrt_export.networks.decoder import DecoderLayer
from humanrt_export.networks.detection import Detection
from humanrt_export.networks.multihmr_anny import (
    ClassTokenBackbone,
    NetworkOutput,
    NoOffsets,
    camera_of,
    people_output,
)
from humanrt_export.networks.rotations import matrices_from_rows

__all__ = ["BONES", "SHAPE", "PublishedConfig", "PublishedHead", "PublishedHmr"]

BONES = 163
"""Bones of the rig; the network predicts a rotation for each, but only some of them turn."""

SHAPE = (
    *("gender", "age", "muscle", "weight", "height", "proportions"),
    *("cupsize", "firmness", "african", "asian", "caucasian"),
)
"""Names of the shape's numbers. Only the first six change the body."""

_LEAST_SIZE = math.log(1e-5)  # logarithm of px per metre: no person is farther away than 1e5 focal lengths


@dataclass(frozen=True)
class PublishedConfig(TokenGrid):
    """Network configuration stored in a checkpoint.

    Attributes:
        backbone: a key of `backbone.BACKBONES`.
        image_size: side S of the square input in px, a multiple of 14.
        turning: indices of the rig's bones that rotate, ascending, root first.
        width, depth, heads, head_width, mlp: sizes of the decoder.
    """

    backbone: str
    image_size: int
    turning: tuple[int, ...]
    width: int = 512
    depth: int = 8
    heads: int = 16
    head_width: int = 32
    mlp: int = 2048


class PublishedHmr(nn.Module):
    """Compute `NetworkOutput` from image, intrinsics and threshold.

    Depth: the network predicts the logarithm of the scale at the head in px per metre, so a known camera changes the
    location of people, but not their pose or shape. Rotations are those of the bones that rotate, see
    `published_body`; the shape is `SHAPE`, all in 0..1.
    """

    identity: Tensor
    low: Tensor
    span: Tensor
    fov_max: Tensor

    def __init__(self, config: PublishedConfig) -> None:
        super().__init__()
        width = BACKBONES[config.backbone][0]
        self.config, self.window = config, Window.of(config.side)
        self.backbone = ClassTokenBackbone(config.backbone, config.image_size)
        self.detection = Detection(width, config.side, clamped=False)
        self.detection.offset = NoOffsets()
        self.view = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        self.register_buffer("fov_max", torch.full((1,), math.pi))
        self.head = PublishedHead(config, width)
        identity = torch.eye(3).expand(len(config.turning), 3, 3).clone()
        self.register_buffer("identity", identity, persistent=False)
        self.register_buffer("low", torch.zeros(len(SHAPE)), persistent=False)
        self.register_buffer("span", torch.ones(len(SHAPE)), persistent=False)

    def forward(self, image: Tensor, intrinsics: Tensor, threshold: Tensor, max_people: int) -> NetworkOutput:
        """Detect people and regress their parameters.

        Args:
            image: [B, 3, S, S] RGB, ImageNet-normalised, letterboxed with black.
            intrinsics: K [B, 3, 3] in px of this image, upper triangular; zeros: use the network's own estimate.
            threshold: [1], minimum score of a person.
            max_people: P; if more are present, the P best are kept.
        """
        everything = self.backbone(image)
        tokens = everything[:, 1:]
        found = self.detection(tokens, image, threshold, max_people)
        predicted = self.head(tokens, found.cells, found.valid)
        estimated = camera_of(self.field_of_view(everything[:, 0]), self.config.image_size, self.window.centre)
        camera = torch.where(intrinsics[:, :1, :1] > 0, intrinsics, estimated)
        return people_output(found, predicted, camera, self.identity, self.low, self.span, None)

    def field_of_view(self, class_token: Tensor) -> Tensor:
        """Estimate the field of view [B] in rad of the square input from the class token [B, D]."""
        angle: Tensor = self.fov_max * torch.sigmoid(self.view(class_token)[:, 0])
        return angle

    def crop(self, window: Window) -> None:
        """See only a window of the square: images and intrinsics are then of its size. For inference only."""
        self.window = window
        for part in (self.backbone, self.detection, self.head):
            part.crop(window)

    def use_attention(self, backbone: Attention, head: Attention) -> None:
        """Set the attention implementations of backbone and head (see `multihmr.attention`)."""
        self.backbone.use_attention(backbone)
        self.head.use_attention(head)


class PublishedHead(SlotHead):
    """Predict `Predictions` from patch tokens [B, side^2, D] and detected cells."""

    initial_pose: Tensor
    turning: Tensor

    def __init__(self, config: PublishedConfig, tokens: int) -> None:
        super().__init__()
        width = config.width
        # Both are constants, but the files hold them, and a file's initial pose may differ from the formula's.
        self.register_buffer("positions", torch.zeros(config.tokens, width))
        self.register_buffer("initial_pose", torch.zeros(1, 6 * BONES))
        self.register_buffer("turning", torch.tensor(config.turning), persistent=False)
        self.embed = nn.Linear(tokens, width)
        self.layers = nn.ModuleList(
            DecoderLayer(width, width, config.heads, config.mlp, bias=False, head_width=config.head_width)
            for _ in range(config.depth)
        )
        self.offset = _mlp(width, width, 2)
        self.pose = _mlp(width + 6 * BONES, width, 6 * BONES)
        self.shape = _mlp(width, width, len(SHAPE))
        self.size = _mlp(width, width, 1)

    def read(self, x: Tensor) -> Predictions:
        """Convert decoded slots [B, P, width] to `Predictions`."""
        start = self.initial_pose.expand(*x.shape[:2], -1)
        pose = (self.pose(torch.cat((x, start), dim=-1)) + start).unflatten(-1, (BONES, 6))
        return Predictions(
            offsets=self.offset(x),
            rotations=matrices_from_rows(torch.index_select(pose, 2, self.turning)),
            shape=torch.sigmoid(self.shape(x)),
            size=self.size(x)[..., 0].clamp(min=_LEAST_SIZE),
        )


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
