"""People without pictures: poses, and keypoints of them as a network would see them, for the head that reads those.

Rendering a person takes a hundred times as long as drawing a pose. A head that reads keypoints (`keypoint_head`) learns
from such people how poses look, and from pictures where keypoints are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanrt.geometry.rotation import matrices_from_vectors
from humanrt_export.batches import Batch
from humanrt_export.bodies.anny.body import AnnyBody
from humanrt_export.bodies.anny.bones import indices
from humanrt_export.bodies.anny.model import load_anny
from humanrt_export.networks.keypoint_head import JOINTS, GivenKeypoints
from humanrt_export.synthetic.people.poses import PoseSource, anny_rotations
from humanrt_export.synthetic.people.scene import draw_phenotypes, facing

__all__ = ["COCO_JOINTS", "Imagined", "ImaginedPeople", "KeypointErrors"]

_FOCAL = 500.0  # px, of a camera 500 px wide and high
_HANDS = 0.15  # of the people show something
_DISTANCE = (1.0, 12.0)  # m
_PITCH, _ROLL = 18.0, 8.0  # degrees, standard deviations of how the camera is turned
_PER_POSE, _YAW = 4, 0.4  # rad, standard deviation
_SIZE = 0.15  # standard deviation of the logarithm of the size that is known before
_DEVIATION = 0.55  # of the logarithm by which one person's keypoints are worse than another's
_WRONG, _FAR = 0.04, 0.4  # keypoints that are elsewhere, and how far, m
# COCO's keypoints: the joint, and the standard deviation of where MoveNet's regression has it, m.
_COCO = (
    *(("eye.L", 0.04), ("eye.L", 0.04), ("eye.R", 0.04), ("head", 0.05), ("head", 0.05)),
    *((f"{name}.{side}", sigma) for name, sigma in (("upperarm01", 0.07), ("lowerarm01", 0.10)) for side in "LR"),
    *((f"{name}.{side}", sigma) for name, sigma in (("wrist", 0.13), ("upperleg01", 0.06)) for side in "LR"),
    *((f"{name}.{side}", sigma) for name, sigma in (("lowerleg01", 0.10), ("foot", 0.13)) for side in "LR"),
)
COCO_JOINTS = tuple(name for name, _ in _COCO)
"""Anny's joints that stand for COCO's keypoints."""
_KEPT, _OWN = 0.7, 0.35  # of the regression's error is the heat map's too; its own
_SHARE = (0.0, 1.0)  # of the errors of people in pictures: MoveNet sees real people better
_GUESSED = 0.15  # m, standard deviation of what the person's token says


class KeypointErrors(NamedTuple):
    """How wrong a network's keypoints of M people in pictures are, and what it takes them for; metres at their heads.

    Attributes:
        regressed, found: [M, 17, 2] m; guessed [M, J, 2] m, of `GivenKeypoints`.
        size: [M] of the logarithm.
        confidence: [M, 17].
    """

    regressed: Tensor
    found: Tensor
    guessed: Tensor
    size: Tensor
    confidence: Tensor


@dataclass(frozen=True)
class Imagined(Batch):
    """N people, each in front of a camera of their own that points at their head.

    Attributes:
        rotations: [N, R, 3, 3]; shape: [N, S]; translation: [N, 3] m, of the head, as `AnnyBody` takes them.
        camera: [N, 3, 3] px.
        noise: [N, 4, K, 2] of a standard normal distribution, for the keypoints.
        scale: [N] error of the known size's logarithm.
        chosen: [N] in 0..1, who of the people in pictures gives each their errors.
        share: [N] in 0..1, what is left of these errors of places.
    """

    rotations: Tensor
    shape: Tensor
    translation: Tensor
    camera: Tensor
    noise: Tensor
    scale: Tensor
    chosen: Tensor
    share: Tensor

    def given(self, body: AnnyBody, errors: KeypointErrors | None = None) -> GivenKeypoints:
        """Return what a network would know of them.

        Args:
            body: poses them.
            errors: what it knows wrongly of M people in pictures: each has those of one of these, of places a random
                part (`share`), of the size all, with their confidence. None, or of nobody: they are drawn from normal
                distributions.
        """
        if errors is not None and len(errors.size):
            return self._like(body, errors)
        keypoints, joints, size = self._true(body)
        scale = torch.exp(self.scale)[:, None, None]
        true = keypoints / scale
        deviation = torch.tensor([sigma for _, sigma in _COCO], device=true.device)[:, None]
        worse = torch.exp(_DEVIATION * self.noise[:, 3, :1, :1])
        error = self.noise[:, 0, : len(_COCO)] * deviation * worse
        wrong = self.noise[:, 3, 1 : 1 + len(_COCO), :1] > _quantile(1 - _WRONG)
        error = torch.where(wrong, _FAR * self.noise[:, 0, : len(_COCO)], error)
        own = _OWN * self.noise[:, 1, : len(_COCO)] * deviation * worse
        guessed = joints / scale + _GUESSED * self.noise[:, 2, : len(JOINTS)]
        rows = (true + error, true + _KEPT * error + own, guessed, size + self.scale, torch.zeros_like(true[..., 0]))
        return GivenKeypoints(*(row[:, None] for row in rows))

    def _like(self, body: AnnyBody, errors: KeypointErrors) -> GivenKeypoints:
        """Return what would be known of them if it were wrong as ``errors`` are."""
        keypoints, joints, size = self._true(body)
        row = (self.chosen * len(errors.size)).long().clamp(max=len(errors.size) - 1)
        share = self.share[:, None, None]
        wrong = errors.size[row]
        places = [
            (true + share * error[row]) / torch.exp(wrong)[:, None, None]
            for true, error in (
                (keypoints, errors.regressed),
                (keypoints, errors.found),
                (joints, errors.guessed),
            )
        ]
        return GivenKeypoints(*(value[:, None] for value in (*places, size + wrong, errors.confidence[row])))

    def _true(self, body: AnnyBody) -> tuple[Tensor, Tensor, Tensor]:
        """Return their keypoints [N, 17, 2] and joints [N, J, 2], m at the head, and the logarithm of px per metre."""
        names = load_anny("10pc").joint_names
        with torch.no_grad():
            joints = body(self.rotations, self.shape, self.translation).joints
        metres = joints[..., :2] / joints[..., 2:].clamp(min=0.1) * self.translation[:, None, 2:]
        size = torch.log(self.camera[:, 0, 0] / self.translation[:, 2])
        return metres[:, indices(COCO_JOINTS, names)], metres[:, indices(JOINTS, names)], size


class ImaginedPeople:
    """Draw people without pictures; which ones depends on the seed and the step alone."""

    def __init__(self, source: PoseSource) -> None:
        self._source = source

    @property
    def about(self) -> Mapping[str, int]:
        """The recordings that poses come from, for a training's record: how many, and their frames."""
        motions = self._source.motions
        return {"recordings": len(motions), "frames": sum(len(motion) for motion in motions)}

    def batch(self, seed: int, step: int, size: int) -> Imagined:
        """Return ``size`` people."""
        generator = np.random.default_rng([seed, step, 25])
        poses = [
            facing(self._source.draw(generator, hands=bool(generator.uniform() < _HANDS)), generator, toward=False)
            for _ in range(-(-size // _PER_POSE))
        ]
        # To draw a pose takes longer than anything else: each is seen from several cameras, in several shapes.
        rotations = np.repeat(anny_rotations(poses), _PER_POSE, axis=0)[:size]
        yaw = matrices_from_vectors(np.outer(generator.normal(0, _YAW, size), (0, 1, 0)))
        rotations[:, 0] = yaw @ rotations[:, 0]
        pitch, roll = np.radians(generator.normal(0, 1, (2, size)) * np.array([[_PITCH], [_ROLL]]))
        turned = matrices_from_vectors(np.outer(roll, (0, 0, 1))) @ matrices_from_vectors(np.outer(pitch, (1, 0, 0)))
        rotations[:, 0] = turned @ np.diag([1.0, -1.0, -1.0]) @ rotations[:, 0]
        nearest, farthest = np.log(_DISTANCE).tolist()
        depth = np.exp(generator.uniform(nearest, farthest, size))
        camera = np.array([[_FOCAL, 0, _FOCAL / 2], [0, _FOCAL, _FOCAL / 2], [0, 0, 1]])
        values: dict[str, NDArray[Any]] = {
            "rotations": rotations,
            "shape": np.stack([draw_phenotypes(generator) for _ in range(size)]),
            "translation": np.stack((np.zeros(size), np.zeros(size), depth), axis=-1),
            "camera": np.broadcast_to(camera, (size, 3, 3)),
            "noise": generator.normal(0, 1, (size, 4, max(len(JOINTS), len(_COCO) + 1), 2)),
            "scale": generator.normal(0, _SIZE, size),
            "chosen": generator.uniform(size=size),
            "share": generator.uniform(*_SHARE, size),
        }
        return Imagined(**{name: torch.from_numpy(value.astype(np.float32)) for name, value in values.items()})


def _quantile(probability: float) -> float:
    """Return the quantile of the standard normal distribution."""
    return float(torch.special.ndtri(torch.tensor(probability)))
