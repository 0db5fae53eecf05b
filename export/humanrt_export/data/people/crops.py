"""Pictures of one person each, out of pictures of people, with their pose: `Crops`.

A crop is what a camera in the same place sees that looks about at the person (`anny.augment`): rotations and joints are
in the axes of that camera, x right, y down, z forward. Joints are metres from the root.
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
from humanrt_export.data.people.augment import Augmentation, View, mirror_places, random_view, seen_by
from humanrt_export.data.people.rows import Rows
from humanrt_export.synthetic.people.sample import PeopleSample
from humanrt_export.synthetic.people.shards import Shards

__all__ = ["BONES", "Crops", "about_person", "crops_at", "crops_of", "turned"]

BONES = (*BODY, *HEAD)
"""What is estimated of a small crop: all but the fingers."""

_LEAST_VISIBLE = 0.5
_CENTRED = Augmentation(mirror=0, roll=3.0, person=1, span=(0.75, 1.0), enlarge=4.0, bars=0, colour=0, grey=0)

_ROLL = 15.0  # degrees, standard deviation
_ZOOM = (-0.15, 0.1)  # logarithms
_OTHER_SIDES = mirror_places(BONES)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Crops(Rows):
    """N people, one a picture.

    Attributes:
        image: uint8 [N, S, S, 3] RGB; black beyond the borders of the picture that it was.
        rotations: [N, R, 3, 3] of `BONES`; the root's from Anny's frame to the crop's camera.
        shape: [N, 6] phenotypes.
        joints: [N, R, 3] m from the root, where `BONES` begin.
    """

    image: NDArray[np.uint8]
    rotations: Floats
    shape: Floats
    joints: Floats


def crops_of(
    samples: Iterable[PeopleSample], size: int, joint_names: Sequence[str], most: int | None = None, seed: int = 0
) -> Crops:
    """Everybody of whom at least half is seen.

    Args:
        samples: pictures of people.
        size: S, px.
        joint_names: of the samples' joints (`AnnyData.joint_names`).
        most: stop after so many people.
        seed: of where exactly cameras look.
    """
    bones, places = indices(BONES, ACTIVE), indices(BONES, joint_names)
    rows: list[tuple[Any, ...]] = []
    for number, sample in enumerate(samples):
        for person in range(len(sample.people)):
            cut = about_person(sample, person, size, np.random.default_rng([seed, number, person]))
            if cut is None:
                continue
            seen, _ = cut
            joints = seen.people.joints[0][places]
            rows.append((seen.image, seen.people.rotations[0][bones], seen.people.shape[0], joints - joints[:1]))
            if len(rows) == most:
                return _stacked(rows)
    if not rows:
        raise HumanrtError("nobody in these pictures is visible enough for a crop; give more pictures")
    return _stacked(rows)


def about_person(
    sample: PeopleSample, place: int, size: int, generator: np.random.Generator
) -> tuple[PeopleSample, View] | None:
    """What a camera sees that looks at one person, and that camera; None where less than half of them is seen."""
    if sample.people.visible[place] < _LEAST_VISIBLE:
        return None
    alone = replace(sample, people=sample.people.take(slice(place, place + 1)))
    view = random_view(alone, size, _CENTRED, generator)
    seen = seen_by(alone, view)
    return None if seen.people.visible[0] < _LEAST_VISIBLE else (seen, view)


def crops_at(path: Path, size: int, most: int | None = None) -> Crops:
    """The first ``most`` crops of a file that `Crops.save` wrote, or of samples (`humanrt-export data people`).

    Raises:
        HumanrtError: it is neither, or its crops are of another size.
    """
    if path.is_dir():
        shards = Shards(path)
        return crops_of(shards, size, shards.info["joint_names"], most)
    crops = Crops.load(path)
    if crops.image.shape[1:] != (size, size, 3):
        raise HumanrtError(f"{path}: its crops are {crops.image.shape[1]} px, not {size}; choose that --image-size")
    return crops.take(slice(most))


def turned(crops: Crops, generator: np.random.Generator) -> Crops:
    """The same people, each as another camera in that place sees them: rolled, with another lens, half of them in a
    mirror. Labels follow; those of a mirror are millimetres off, for Anny's two sides are not quite alike."""
    images, rotations, joints = np.empty_like(crops.image), crops.rotations.copy(), crops.joints.copy()
    size = crops.image.shape[1]
    middle = ((size - 1) / 2, (size - 1) / 2)
    for row, image in enumerate(crops.image):
        roll, zoom = generator.normal(0, _ROLL), float(np.exp(generator.uniform(*_ZOOM)))
        warp = cv2.getRotationMatrix2D(middle, -roll, zoom)  # OpenCV's positive angles are the other way round
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
