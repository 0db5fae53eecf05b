"""Crops of single people out of pictures, with their poses: `Crops`.

A crop is the picture of a camera at the same position that roughly points at the person (`data.people.augment`):
rotations and joints are in that camera's axes (x right, y down, z forward). Joints are metres from the root.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.geometry.mirror import MIRROR
from humanrt.geometry.skeleton import mirrored
from humanrt_export.bodies.anny.bones import ACTIVE, BODY, HEAD, indices
from humanrt_export.data.people.augment import Augmentation, View, mirror_indices, random_view, seen_by
from humanrt_export.data.people.rows import Rows
from humanrt_export.synthetic.people.sample import PeopleSample
from humanrt_export.synthetic.people.shards import Shards

__all__ = ["BONES", "Crops", "about_person", "crops_at", "crops_of", "turned"]

BONES = (*BODY, *HEAD)
"""Bones that can be estimated from a small crop: all but the fingers."""

_MIN_VISIBLE = 0.5
_CENTRED = Augmentation(mirror=0, roll=3.0, person=1, span=(0.75, 1.0), enlarge=4.0, bars=0, colour=0, grey=0)

_ROLL = 15.0  # degrees, standard deviation
_ZOOM = (-0.15, 0.1)  # logarithms
_OTHER_SIDES = mirror_indices(BONES)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Crops(Rows):
    """Crops of N people.

    Attributes:
        image: uint8 [N, S, S, 3] RGB; black beyond the borders of the original picture.
        rotations: [N, R, 3, 3] of `BONES`; the root's from Anny's frame to the crop's camera.
        shape: [N, 6] phenotypes.
        joints: [N, R, 3] m from the root, heads of `BONES`.
    """

    image: NDArray[np.uint8]
    rotations: Floats
    shape: Floats
    joints: Floats


def crops_of(
    samples: Iterable[PeopleSample], size: int, joint_names: Sequence[str], max_count: int | None = None, seed: int = 0
) -> Crops:
    """Return crops of all people of whom at least half is visible.

    Args:
        samples: pictures of people.
        size: S, px.
        joint_names: names of the samples' joints (`AnnyData.joint_names`).
        max_count: maximum number of people.
        seed: seed of the exact directions of the cameras.
    """
    bones, joint_indices = indices(BONES, ACTIVE), indices(BONES, joint_names)
    rows: list[tuple[Any, ...]] = []
    for number, sample in enumerate(samples):
        for person in range(len(sample.people)):
            cut = about_person(sample, person, size, np.random.default_rng([seed, number, person]))
            if cut is None:
                continue
            seen, _ = cut
            joints = seen.people.joints[0][joint_indices]
            rows.append((seen.image, seen.people.rotations[0][bones], seen.people.shape[0], joints - joints[:1]))
            if len(rows) == max_count:
                return _stacked(rows)
    if not rows:
        raise HumanrtError("nobody in these pictures is visible enough for a crop; give more pictures")
    return _stacked(rows)


def about_person(
    sample: PeopleSample, person: int, size: int, generator: np.random.Generator
) -> tuple[PeopleSample, View] | None:
    """Return the picture of a camera that points at one person, and the camera; None if less than half is visible."""
    if sample.people.visible[person] < _MIN_VISIBLE:
        return None
    alone = replace(sample, people=sample.people.take(slice(person, person + 1)))
    view = random_view(alone, size, _CENTRED, generator)
    seen = seen_by(alone, view)
    return None if seen.people.visible[0] < _MIN_VISIBLE else (seen, view)


def crops_at(path: Path, size: int, max_count: int | None = None) -> Crops:
    """Return the first crops of a file that `Crops.save` wrote, or of samples (`humanrt-export data people`).

    Raises:
        HumanrtError: it is neither, or its crops are of another size.
    """
    if path.is_dir():
        shards = Shards(path)
        return crops_of(shards, size, shards.info["joint_names"], max_count)
    crops = Crops.load(path)
    if crops.image.shape[1:] != (size, size, 3):
        raise HumanrtError(f"{path}: its crops are {crops.image.shape[1]} px, not {size}; choose that --image-size")
    return crops.take(slice(max_count))


def turned(crops: Crops, generator: np.random.Generator) -> Crops:
    """Return the same people as another camera at that position sees them: rolled, with another lens, half of them
    mirrored. Mirrored labels are millimetres off, as Anny is not quite symmetric."""
    images, rotations, joints = np.empty_like(crops.image), crops.rotations.copy(), crops.joints.copy()
    size = crops.image.shape[1]
    middle = ((size - 1) / 2, (size - 1) / 2)
    for row, image in enumerate(crops.image):
        roll, zoom = generator.normal(0, _ROLL), float(np.exp(generator.uniform(*_ZOOM)))
        warp = cv2.getRotationMatrix2D(middle, -roll, zoom)  # OpenCV's positive angles have the opposite sense
        warped = cv2.warpAffine(image, warp, (size, size), flags=cv2.INTER_LINEAR)
        c, s = np.cos(np.deg2rad(roll)), np.sin(np.deg2rad(roll))
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32)
        rotations[row, 0] = turn @ rotations[row, 0]
        joints[row] = joints[row] @ turn.T
        if generator.uniform() < 0.5:
            warped = warped[:, ::-1]
            rotations[row] = mirrored(rotations[row, _OTHER_SIDES])
            joints[row] = joints[row, _OTHER_SIDES] * MIRROR
        images[row] = warped
    return replace(crops, image=images, rotations=rotations, joints=joints)


def _stacked(rows: Sequence[tuple[Any, ...]]) -> Crops:
    image, *floats = zip(*rows, strict=True)
    return Crops(np.stack(image), *(np.stack(values).astype(np.float32) for values in floats))
