"""3DPW: sequenceFiles/PART/NAME.pkl and imageFiles/NAME/image_00000.jpg. One or two people of a sequence are annotated.

Joints are those that the files hold (``jointPositions``, SMPL's 24), in the world, so that no body file is needed.
Papers of the HMR line take 14 other joints, regressed from vertices: their figures are not comparable with these.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from humanrt.bundle.unpickle import as_array
from humanrt.evaluation.dataset import Clip, DataSet, Shot, TruePeople
from humanrt.evaluation.formats.files import in_picture, load_pickled, of_format, picture, size_of, version_of
from humanrt.geometry.limbs import limb_indices
from humanrt.geometry.skeleton import SMPL_24

__all__ = ["read_3dpw"]

_FPS = 30.0
_ABOUT = "one or two people of each sequence, from inertial sensors and a camera; SMPL's joints"


def read_3dpw(folder: Path) -> DataSet:
    """Return the sequences; their names begin with the part: ``test/downtown_arguing_00``."""
    files = sorted((folder / "sequenceFiles").rglob("*.pkl"))
    clips = tuple(
        Clip(
            path.relative_to(folder / "sequenceFiles").with_suffix("").as_posix(),
            partial(_shots, folder, path),
            SMPL_24,
            fps=_FPS,
            version=version_of(path),
        )
        for path in files
    )
    return DataSet("3dpw", clips, "pelvis", everybody=False, about=_ABOUT)


def _shots(folder: Path, path: Path) -> Iterator[Shot]:
    with of_format(path, "a sequence of 3DPW"):
        sequence = load_pickled(path)
        name = str(sequence["sequence"])
        K = as_array(sequence["cam_intrinsics"]).astype(np.float64)
        poses = as_array(sequence["cam_poses"]).astype(np.float64)
        world = np.stack([as_array(one).astype(np.float64) for one in sequence["jointPositions"]])
        valid = np.stack([as_array(one).astype(bool) for one in sequence["campose_valid"]])
        count = len(poses)
        world = world.reshape(len(world), count, len(SMPL_24), 3)
        if valid.shape != world.shape[:2] or poses.shape[1:] != (4, 4) or K.shape != (3, 3):
            raise ValueError("its arrays are of different sizes")
    limbs = limb_indices(SMPL_24)
    for index in range(count):
        frame = picture(folder / "imageFiles" / name / f"image_{index:05d}.jpg", index / _FPS, index, cut=index == 0)
        joints = world[:, index] @ poses[index, :3, :3].T + poses[index, :3, 3]
        wanted = valid[:, index] & in_picture(joints[:, limbs], K, size_of(frame.image))
        people = TruePeople(joints, tuple(range(len(joints))), wanted, np.full(len(joints), np.nan))
        yield Shot(frame, people, K, np.linalg.inv(poses[index]))
