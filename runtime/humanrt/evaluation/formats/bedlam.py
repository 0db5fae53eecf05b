"""BEDLAM: SCENE.npz of SMPL-X parameters in camera space, and the pictures of the scene. It needs SMPLX_NEUTRAL.

Pictures are looked for in SCENE/png, SCENE, and both below images/ and training_images/, beside the file or one folder
up. Names and meaning of the arrays are those of public code that loads the set; no file of it was read here.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from humanrt.bundle.unpickle import NpzArrays, as_array
from humanrt.errors import SourceError
from humanrt.evaluation.body_files import BodyFiles
from humanrt.evaluation.dataset import Clip, DataSet, Shot, TruePeople
from humanrt.evaluation.formats.files import in_picture, of_format, picture, size_of, version_of
from humanrt.geometry.limbs import limb_indices
from humanrt.geometry.skeleton import SMPLX_55

__all__ = ["read_bedlam"]

_ABOUT = "rendered people, dressed; exact"
_ARRAYS = ("pose_cam", "shape", "trans_cam", "cam_int", "cam_ext")
_ORDER = (*range(22), *range(22, 25), *range(25, 55))  # body, jaw and eyes, hands: as SMPLX_55


def read_bedlam(folder: Path, bodies: BodyFiles) -> DataSet:
    """Return the scenes; their pictures stand for themselves."""
    clips = tuple(
        Clip(path.stem, partial(_shots, path, bodies), SMPLX_55, film=False, version=version_of(path))
        for path in sorted(folder.rglob("*.npz"))
    )
    return DataSet("bedlam", clips, "pelvis", everybody=True, about=_ABOUT)


def _shots(path: Path, bodies: BodyFiles) -> Iterator[Shot]:
    with of_format(path, "a scene of BEDLAM"):
        stored = NpzArrays(path)
        names = [str(name) for name in as_array(stored["imgname"]).ravel().tolist()]
        poses, shapes, shifts, cameras, extrinsics = (as_array(stored[name]).astype(np.float64) for name in _ARRAYS)
        if not len(names) == len(poses) == len(shapes) == len(shifts) == len(cameras) == len(extrinsics):
            raise ValueError("its arrays are of different sizes")
        vectors = poses.reshape(len(names), len(SMPLX_55), 3)[:, _ORDER]
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            rows.setdefault(name, []).append(row)
    body, places, limbs = bodies("smplx"), _places(path), limb_indices(SMPLX_55)
    for index, (name, some) in enumerate(rows.items()):
        file = next((place / name for place in places if (place / name).is_file()), None)
        if file is None:
            raise SourceError(
                f"{path}: picture {name} is not there; looked in {places[0]} and {len(places) - 1} others"
            )
        frame = picture(file, float(index), index)
        posed = [body(vectors[row], shapes[row], shifts[row] + extrinsics[row, :3, 3]) for row in some]
        vertices, joints = (np.stack(side) for side in zip(*posed, strict=True))
        K = cameras[some[0]]
        wanted = in_picture(joints[:, limbs], K, size_of(frame.image))
        people = TruePeople(joints, tuple(range(len(some))), wanted, np.full(len(some), np.nan), vertices)
        yield Shot(frame, people, K)


def _places(path: Path) -> list[Path]:
    tops = [top / name for top in (path.parent, path.parent.parent) for name in ("", "images", "training_images")]
    return [top / path.stem / end for top in tops for end in ("png", "")]
