"""MuPoTS-3D: TS1/annot.mat and TS1/img_000000.jpg, ... Several people; joints only, in camera space.

The set gives no camera: it is fitted to its joints in space and in the picture, which is exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.evaluation.dataset import Clip, DataSet, Shot, TruePeople
from humanrt.evaluation.formats.files import in_picture, of_format, picture, size_of, version_of
from humanrt.evaluation.matlab import read_mat
from humanrt.geometry.limbs import limb_indices

__all__ = ["JOINTS", "camera_of", "read_mupots"]

JOINTS = (
    *("head_top", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "hips", "spine_middle", "head"),
)
"""The set's 17 joints, as public code that reads it lists them (MPI-INF-3DHP's test order)."""

_FPS = 30.0
_ABOUT = "several people, from markerless capture with many cameras; joints only"


def read_mupots(folder: Path) -> DataSet:
    """Return the sequences ``TS1`` ... in their order."""
    files = sorted(folder.glob("TS*/annot.mat"), key=lambda path: (len(path.parent.name), path.parent.name))
    clips = tuple(
        Clip(path.parent.name, partial(_shots, path), JOINTS, fps=_FPS, version=version_of(path)) for path in files
    )
    return DataSet("mupots", clips, "hips", everybody=True, about=_ABOUT)


def _shots(path: Path) -> Iterator[Shot]:
    with of_format(path, "the annotation of MuPoTS-3D"):
        cells = read_mat(path)["annotations"]
        structs = [[_struct(cells[f, p]) for p in range(cells.shape[1])] for f in range(cells.shape[0])]
        joints = np.array([[one["annot3"].T for one in frame] for frame in structs], np.float64) / 1000
        flat = np.array([[one["annot2"].T for one in frame] for frame in structs], np.float64)
        valid = np.array([[bool(np.ravel(one["isValidFrame"])[0]) for one in frame] for frame in structs])
        if joints.shape[2:] != (len(JOINTS), 3) or flat.shape[2:] != (len(JOINTS), 2):
            raise ValueError(f"its people have {list(joints.shape[2:])} joints, not [{len(JOINTS)}, 3]")
        K = camera_of(joints[valid], flat[valid])
    pictures = {int(re.findall(r"\d+", one.stem)[-1]): one for one in path.parent.glob("img_*.jpg")}
    limbs = limb_indices(JOINTS)
    for index in range(len(joints)):
        name = pictures.get(index, path.with_name(f"img_{index:06d}.jpg"))
        frame = picture(name, index / _FPS, index, cut=index == 0)
        here = np.where(valid[index, :, None, None], joints[index], 1.0)
        wanted = valid[index] & in_picture(here[:, limbs], K, size_of(frame.image))
        people = TruePeople(joints[index], tuple(range(len(here))), wanted, np.full(len(here), np.nan))
        yield Shot(frame, people, K)


def _struct(cell: Any) -> dict[str, Any]:
    one = np.ravel(cell)[0]
    if not isinstance(one, dict):
        raise ValueError("a cell of `annotations` is no struct")
    return one


def camera_of(joints: NDArray[np.float64], flat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return K [3, 3] px that projects joints [..., 3] to pixels [..., 2], by least squares. ValueError without any."""
    points, pixels = joints.reshape(-1, 3), flat.reshape(-1, 2)
    points, pixels = points[points[:, 2] > 0.05], pixels[points[:, 2] > 0.05]
    if len(points) < 4:
        raise ValueError("nobody is annotated, so that the camera is not known")
    K = np.eye(3)
    for axis in (0, 1):
        rays = np.stack([points[:, axis] / points[:, 2], np.ones(len(points))], 1)
        K[axis, axis], K[axis, 2] = np.linalg.lstsq(rays, pixels[:, axis], rcond=None)[0]
    return K
