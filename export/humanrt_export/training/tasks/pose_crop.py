"""Anny's pose from a picture of one person: a small task to try training methods on.

The network is an encoder and one linear layer, whose numbers are added to a person who stands and faces the camera.
Losses are of rotations and of joints; the metric, mm, is of joints about the root, of a body of the true shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from humanrt.errors import HumanrtError
from humanrt_export.batches import PictureBatch
from humanrt_export.bodies.anny.body import AnnyBody
from humanrt_export.bodies.anny.bones import ROOT, indices
from humanrt_export.bodies.anny.model import AnnyData
from humanrt_export.data.people.crops import BONES, Crops, turned
from humanrt_export.data.people.dataset import normalised
from humanrt_export.networks.anny_head import upright
from humanrt_export.networks.attention import Attention
from humanrt_export.networks.encoders import NormedTrunk, Transformer, encoder
from humanrt_export.networks.rotations import matrices_from_rows
from humanrt_export.networks.trunk import trunk_weights
from humanrt_export.runs import load_run
from humanrt_export.training.tasks.multihmr import load_backbone

__all__ = ["CropBatch", "PoseCrop", "PoseCropConfig", "PoseCropTask", "Skeleton"]

_RESIDUAL_SCALE = 0.02
_VALIDATED = 256
_AT_ONCE = 64
_MEASURED = 256


@dataclass(frozen=True)
class PoseCropConfig:
    """The network and its losses.

    Attributes:
        encoder: one of `encoders.ENCODERS`.
        size: side of the crop, px; of a transformer a multiple of 14.
        width, blocks: of a `ResNet`: channels of its first stage, a multiple of 8; blocks of each.
        rotations: weight of the rotations' loss (L1 of matrices), that of joints (L1, dm) is 1.
    """

    encoder: str = "resnet"
    size: int = 112
    width: int = 32
    blocks: int = 1
    rotations: float = 1.0

    def __post_init__(self) -> None:
        # oneDNN's gradient of convolutions with 4 channels corrupts the heap (torch 2.13 on AVX2 and AVX-512).
        if self.width <= 0 or self.width % 8:
            raise HumanrtError(f"--width is {self.width}; it must be a multiple of 8")


class PoseCrop(nn.Module):
    """Image [B, 3, S, S] -> rotations [B, R, 3, 3] of `BONES`."""

    standing: Tensor

    def __init__(self, config: PoseCropConfig) -> None:
        super().__init__()
        self.encoder = encoder(config.encoder, config.size, config.width, config.blocks)
        self.register_buffer("standing", upright(len(BONES)), persistent=False)
        self.pose = nn.Linear(self.encoder.features, 6 * len(BONES))
        nn.init.normal_(self.pose.weight, std=_RESIDUAL_SCALE * self.encoder.features**-0.5)
        nn.init.zeros_(self.pose.bias)

    def use_attention(self, attention: Attention) -> None:
        """Compute attention this way from now on, where the encoder has any (see `multihmr.attention`)."""
        if isinstance(self.encoder, Transformer):
            self.encoder.use_attention(attention)

    def forward(self, image: Tensor) -> Tensor:
        six = self.pose(self.encoder(image)).float() + self.standing
        return matrices_from_rows(six.unflatten(-1, (len(BONES), 6)))


class Skeleton(nn.Module):
    """Where `BONES` begin, [B, R, 3] m from the root, of rotations [B, R, 3, 3] and phenotypes [B, 6]."""

    places: Tensor

    def __init__(self, data: AnnyData) -> None:
        super().__init__()
        # A body all but without a skin: its chain of bones is what is needed.
        bare = replace(
            data,
            point_names=(),
            template=data.template[:1],
            blend=data.blend[:, :1],
            weights=data.weights[:1],
            point_template=data.point_template[:0],
            point_blend=data.point_blend[:, :0],
            point_weights=data.point_weights[:0],
        )
        self.body = AnnyBody(bare, BONES, anchor=ROOT)
        self.register_buffer("places", torch.tensor(indices(BONES, data.names)))

    def forward(self, rotations: Tensor, shape: Tensor) -> Tensor:
        joints: Tensor = self.body(rotations, shape, rotations.new_zeros(len(rotations), 3)).joints
        return joints[:, self.places]


@dataclass(frozen=True)
class CropBatch(PictureBatch):
    """People, one a picture, and their pose.

    Attributes:
        rotations: float32 [B, R, 3, 3] of `BONES`; the root's from Anny's frame to the crop's camera.
        shape: float32 [B, 6] phenotypes.
        joints: float32 [B, R, 3] m from the root, where `BONES` begin.
    """

    rotations: Tensor
    shape: Tensor
    joints: Tensor

    @classmethod
    def of(cls, crops: Crops) -> CropBatch:
        """All of these crops, in order."""
        rotations, shape, joints = map(torch.from_numpy, (crops.rotations, crops.shape, crops.joints))
        return cls(normalised(crops.image), rotations, shape, joints)


class PoseCropTask:
    """See the module (`training.Task`).

    Args:
        config: the network.
        trained: people to train on; batches are drawn with replacement.
        held: people to validate on.
        skeleton: of Anny.
        augmented: people are trained on as other cameras see them (`crops.turned`).
    """

    def __init__(
        self, config: PoseCropConfig, trained: Crops, held: Crops, skeleton: Skeleton, augmented: bool = False
    ) -> None:
        for crops in (trained, held):
            if crops.image.shape[1:] != (config.size, config.size, 3):
                raise HumanrtError(f"the crops are {crops.image.shape[1]} px, but the network takes {config.size}")
        self.settings, self.trained, self.held = config, trained, held
        self.skeleton = skeleton.eval().requires_grad_(False)
        self.model: nn.Module = PoseCrop(config)
        # What a run is told apart by, where it is not as usual.
        self._more: dict[str, Any] = {"augmented": True} if augmented else {}

    def start_from(self, path: Path) -> None:
        """Begin with a pre-trained encoder: a file of `crossview.save_backbone`, or DINOv2's own; of `landmark-cnn`
        the graph of MediaPipe's landmark network.

        Raises:
            HumanrtError: nobody publishes weights of this encoder, or the weights are another one's.
        """
        encoder = self.model.encoder
        if isinstance(encoder, NormedTrunk):
            count = len(self.trained)
            some = np.linspace(0, count - 1, min(count, _MEASURED)).astype(int)
            encoder.start_from(trunk_weights(path), normalised(self.trained.image[some]))
        elif isinstance(encoder, Transformer):
            load_backbone(encoder.backbone, self.settings.encoder, path)
        else:
            raise HumanrtError(
                f"--backbone-weights: there are no published weights of {self.settings.encoder}; leave it out"
            )
        self._more["backbone"] = str(path)

    def start_at(self, path: Path) -> None:
        """Begin with another run's network.

        Raises:
            HumanrtError: no run, or of another network.
        """
        description, weights, _ = load_run(path)
        wanted = {name: value for name, value in self.config().items() if name not in self._more}
        told = {name: value for name, value in description["task"].items() if name in wanted}
        if told != wanted:
            raise HumanrtError(f"{path}: a run of another network ({told}); give one with the same encoder and size")
        self.model.load_state_dict(weights)
        self._more["start"] = str(path)

    def config(self) -> Mapping[str, Any]:
        """The network, its losses, and where they are: augmentation, and which run it began with."""
        return {"network": "pose-crop", **asdict(self.settings), **self._more}

    def batch(self, seed: int, step: int, size: int) -> CropBatch:
        """People drawn at random, as other cameras see them if they are augmented."""
        generator = np.random.default_rng([seed, step])
        people = self.trained.take(generator.integers(len(self.trained), size=size))
        return CropBatch.of(turned(people, generator) if "augmented" in self._more else people)

    def held_out_batch(self, size: int) -> CropBatch:
        """The first of the held-out people."""
        return CropBatch.of(self.held.take(slice(size)))

    def losses(self, model: nn.Module, batch: CropBatch) -> dict[str, Tensor]:
        """Means over the batch."""
        rotations, joints = (value.mean() for value in self._losses(model, batch))
        return {"total": joints + self.settings.rotations * rotations, "rotations": rotations, "joints": joints}

    def sample_losses(self, model: nn.Module, batch: CropBatch) -> Tensor:
        """The total [B] of each sample."""
        rotations, joints = self._losses(model, batch)
        return joints + self.settings.rotations * rotations

    def errors(self, model: nn.Module, batch: CropBatch) -> Tensor:
        """Mean distance [B] of the joints, mm."""
        joints = self._skeleton(batch)(model(batch.image), batch.shape)
        return 1000 * (joints - batch.joints).norm(dim=-1)[:, 1:].mean(-1)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """``mpjpe``, mm, of held-out people; ``standing``: of somebody who stands and faces the camera."""
        return {"mpjpe": self.error(model, self.held), "standing": self._standing(self.held)}

    def error(self, model: nn.Module, crops: Crops, most: int = _VALIDATED) -> float:
        """Mean joint error, mm, of the first ``most`` of other people; ``model`` in evaluation mode."""
        device = next(model.parameters()).device
        crops = crops.take(slice(most))
        found = []
        with torch.no_grad():
            for first in range(0, len(crops), _AT_ONCE):
                batch = CropBatch.of(crops.take(slice(first, first + _AT_ONCE)))
                found.append(self.errors(model, batch.to(device)))
        return float(torch.cat(found).mean())

    def blind_error(self, crops: Crops, most: int = _VALIDATED) -> float:
        """`error` of whoever says of everybody, without looking, the mean of the poses that are trained on."""
        u, _, vt = np.linalg.svd(self.trained.rotations.astype(np.float64).mean(0))
        u[..., -1] *= np.linalg.det(u @ vt)[:, None]
        return self._told(torch.from_numpy((u @ vt).astype(np.float32)), crops, most)

    def _standing(self, crops: Crops) -> float:
        return self._told(matrices_from_rows(upright(len(BONES)).unflatten(-1, (len(BONES), 6))), crops)

    def _told(self, rotations: Tensor, crops: Crops, most: int = _VALIDATED) -> float:
        """The error of one pose [R, 3, 3] for everybody."""
        batch = CropBatch.of(crops.take(slice(most)))
        joints = self.skeleton.cpu()(rotations.expand(len(batch), -1, -1, -1), batch.shape)
        return float(1000 * (joints - batch.joints).norm(dim=-1)[:, 1:].mean())

    def _losses(self, model: nn.Module, batch: CropBatch) -> tuple[Tensor, Tensor]:
        rotations = model(batch.image)
        with torch.autocast(rotations.device.type, enabled=False):
            joints = self._skeleton(batch)(rotations.float(), batch.shape)
            off = (rotations.float() - batch.rotations).abs().mean((1, 2, 3))
            return off, 10 * (joints - batch.joints).abs().mean((1, 2))

    def _skeleton(self, batch: CropBatch) -> Skeleton:
        skeleton: Skeleton = self.skeleton.to(batch.image.device)
        return skeleton
