"""EMDB: P0/NAME/images/00000.jpg and P0/NAME/P0_NAME_data.pkl. One person a sequence; it needs the user's SMPL files.

The layout is that of dataset.md in the set's own repository.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from humanrt.bundle.unpickle import as_array
from humanrt.evaluation.body_files import BodyFiles
from humanrt.evaluation.dataset import Clip, DataSet, Shot, TruePeople
from humanrt.evaluation.formats.files import in_picture, load_pickled, of_format, picture, size_of, version_of
from humanrt.geometry.limbs import limb_indices
from humanrt.geometry.skeleton import SMPL_24

__all__ = ["read_emdb"]

_FPS = 30.0
_ABOUT = "one person of each sequence, from electromagnetic sensors; the joints of the person's SMPL body"


def read_emdb(folder: Path, bodies: BodyFiles) -> DataSet:
    """Return the sequences, by names like ``P0/09_outdoor_walk``."""
    clips = tuple(
        Clip(
            path.parent.relative_to(folder).as_posix(),
            partial(_shots, path, bodies),
            SMPL_24,
            fps=_FPS,
            version=version_of(path),
        )
        for path in sorted(folder.glob("P*/*/*_data.pkl"))
    )
    return DataSet("emdb", clips, "hips", everybody=False, about=_ABOUT)


def _shots(path: Path, bodies: BodyFiles) -> Iterator[Shot]:
    with of_format(path, "a sequence of EMDB"):
        sequence = load_pickled(path)
        body = bodies("smpl", str(sequence["gender"]))
        count = int(sequence["n_frames"])
        smpl, camera = sequence["smpl"], sequence["camera"]
        roots, poses, translations, shape = (
            as_array(smpl[name]).astype(np.float64) for name in ("poses_root", "poses_body", "trans", "betas")
        )
        vectors = np.concatenate([roots, poses], 1).reshape(count, len(SMPL_24), 3)
        K = as_array(camera["intrinsics"]).astype(np.float64)
        extrinsics = as_array(camera["extrinsics"]).astype(np.float64)
        good = as_array(sequence["good_frames_mask"]).astype(bool)
        if not (len(translations) == len(good) == count and extrinsics.shape == (count, 4, 4) and K.shape == (3, 3)):
            raise ValueError("its arrays are of different sizes")
    limbs = limb_indices(SMPL_24)
    for index in range(count):
        frame = picture(path.parent / "images" / f"{index:05d}.jpg", index / _FPS, index, cut=index == 0)
        vertices, joints = (
            (points @ extrinsics[index, :3, :3].T + extrinsics[index, :3, 3])[None]
            for points in body(vectors[index], shape.ravel(), translations[index])
        )
        wanted = good[[index]] & in_picture(joints[:, limbs], K, size_of(frame.image))
        people = TruePeople(joints, (0,), wanted, np.full(1, np.nan), vertices)
        yield Shot(frame, people, K, np.linalg.inv(extrinsics[index]))
