"""Multi-HMR: one image in, the parameters of a fixed number of people out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from humanrt_export.bodies.smplx_sizes import ROTATIONS
from humanrt_export.networks.attention import Attention
from humanrt_export.networks.backbone import BACKBONES, DinoV2
from humanrt_export.networks.camera import RayEncoding, TokenGrid, Window, focal_length, unproject
from humanrt_export.networks.detection import Detection
from humanrt_export.networks.multihmr_head import HumanHead

__all__ = ["ModelConfig", "MultiHmr", "NetworkOutput"]

_EPS = 1e-10


@dataclass(frozen=True)
class ModelConfig(TokenGrid):
    """Network configuration stored in a checkpoint.

    Attributes:
        backbone: a key of `backbone.BACKBONES`.
        image_size: side S of the square input in px, a multiple of 14.
        num_betas: shape coefficients, 10 or 11.
        head_depth: layers of the head.
        head_heads: number of attention heads of the head, 32 wide each.
        ray_bands: number of frequencies of the ray encoding.
        ray_max_resolution: twice the highest of these frequencies.
        max_distance: m; depth is clamped to 0..this.
    """

    backbone: str = "dinov2_vits14"
    image_size: int = 672
    num_betas: int = 10
    head_depth: int = 2
    head_heads: int = 8
    ray_bands: int = 16
    ray_max_resolution: int = 64
    max_distance: float = 50.0


class NetworkOutput(NamedTuple):
    """P slots per image, highest score first. An empty slot holds score 0, identity rotations, and zeros.

    Attributes:
        scores: [B, P].
        valid: [B, P] bool: the slot holds a person.
        cells: [B, P] int32, ``row * side + column`` of the person's token.
        locations: [B, P, 2] (u, v) px of the network's input: the head.
        translation: [B, P, 3] m, camera space: the head.
        rotations: [B, P, 53, 3, 3].
        shape: [B, P, betas].
        expression: [B, P, 10].
    """

    scores: Tensor
    valid: Tensor
    cells: Tensor
    locations: Tensor
    translation: Tensor
    rotations: Tensor
    shape: Tensor
    expression: Tensor


class MultiHmr(nn.Module):
    """Compute `NetworkOutput` from image, intrinsics and threshold.

    Depth: the head predicts y = log(z + 1e-10) * fn / f, where fn is the focal length of a 60 degree camera of
    the same size: the depth at which the person would appear equally large to that camera.
    """

    identity: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = BACKBONES[config.backbone][0]
        self.config = config
        self.backbone = DinoV2(config.backbone, config.image_size)
        self.detection = Detection(width, config.side)
        self.rays = RayEncoding(config.side, config.ray_bands, config.ray_max_resolution)
        self.head = HumanHead(
            width + self.rays.dim, config.side, config.num_betas, config.head_depth, config.head_heads
        )
        self.register_buffer("identity", torch.eye(3).expand(ROTATIONS, 3, 3).clone(), persistent=False)

    def forward(self, image: Tensor, intrinsics: Tensor, threshold: Tensor, max_people: int) -> NetworkOutput:
        """Detect people and regress their parameters.

        Args:
            image: [B, 3, S, S] RGB, ImageNet-normalised, letterboxed with zeros.
            intrinsics: K [B, 3, 3] in pixels of this image, upper triangular.
            threshold: [1], minimum score of a person.
            max_people: P; if more are present, the P best are kept.
        """
        tokens = self.backbone(image)
        found = self.detection(tokens, image, threshold, max_people)
        context = torch.cat((tokens, self.rays(intrinsics)), dim=-1)
        predicted = self.head(context, found.cells, found.valid)
        normal = focal_length(self.config.image_size)
        depth = torch.exp(predicted.nearness * (intrinsics[:, 0, 0:1] / normal)) - _EPS
        depth = depth.clamp(0.0, self.config.max_distance)
        translation = depth[..., None] * unproject(found.locations, intrinsics)

        # `where` instead of a product: an image with NaN fills its slots with NaN.
        person = found.valid[..., None]
        return NetworkOutput(
            scores=found.scores,
            valid=found.valid,
            cells=found.cells.to(torch.int32),
            locations=torch.where(person, found.locations, 0.0),
            translation=torch.where(person, translation, 0.0),
            rotations=torch.where(person[..., None, None], predicted.rotations, self.identity),
            shape=torch.where(person, predicted.shape, 0.0),
            expression=torch.where(person, predicted.expression, 0.0),
        )

    def crop(self, window: Window) -> None:
        """See only a window of the square: images and intrinsics are then of its size. For inference only."""
        for part in (self.backbone, self.detection, self.rays, self.head):
            part.crop(window)

    def use_attention(self, backbone: Attention, head: Attention) -> None:
        """Set the attention implementations of backbone and head (see `attention`)."""
        self.backbone.use_attention(backbone)
        self.head.use_attention(head)
