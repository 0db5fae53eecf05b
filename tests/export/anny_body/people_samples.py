"""Samples of people without a renderer: exact labels of random bodies, a picture of coloured noise."""

from __future__ import annotations

import numpy as np
import torch

from humanrt.geometry.camera import project
from humanrt_export.bodies.anny.body import AnnyBody
from humanrt_export.bodies.anny.bones import ACTIVE
from humanrt_export.networks.rotations import matrices_from_vectors
from humanrt_export.synthetic.people import PeopleLabels, PeopleSample

FACING = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def make_sample(body: AnnyBody, people: int, seed: int, size: int = 98) -> PeopleSample:
    """People who face the camera, 3 to 6 m away, heads in the picture's middle half."""
    generator = torch.Generator().manual_seed(seed)
    rotations = matrices_from_vectors(0.3 * torch.randn(people, len(ACTIVE), 3, generator=generator))
    rotations[:, 0] = FACING @ rotations[:, 0]
    shape = torch.rand(people, 6, generator=generator)
    z = 3 + 3 * torch.rand(people, 1, generator=generator)
    translation = torch.cat(((torch.rand(people, 2, generator=generator) - 0.5) * 0.5 * z, z), 1)
    with torch.inference_mode():
        joints = body(rotations, shape, translation).joints.numpy()
    intrinsics = np.array([[0.9 * size, 0, size / 2], [0, 0.9 * size, size / 2], [0, 0, 1]], np.float32)
    image = np.random.default_rng(seed).integers(0, 256, (size, size, 3)).astype(np.uint8)
    points = project(joints, intrinsics).astype(np.float32)
    labels = PeopleLabels(
        rotations.numpy(), shape.numpy(), translation.numpy(), joints, points, np.ones(people, np.float32)
    )
    empty = np.zeros((size, size))
    return PeopleSample(image, intrinsics, labels, empty.astype(np.uint8), empty.astype(np.float16))
