"""EHF: 01_img.png and 01_align.ply, ... of one person before one camera; the user's SMPLX_NEUTRAL is needed for joints.

The camera's numbers are those that the set publishes for all of its pictures; they were read from public code that
loads the set, not from the set itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanrt.evaluation.body_files import BodyFiles
from humanrt.evaluation.dataset import Clip, DataSet, Shot, TruePeople
from humanrt.evaluation.formats.files import of_format, picture, version_of
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPLX_55

__all__ = ["K", "read_ehf", "read_ply"]

K = np.array([[1498.22426237, 0.0, 790.263706], [0.0, 1498.22426237, 578.90334], [0.0, 0.0, 1.0]])
_TURN = matrices_from_vectors(np.array([-2.98747896, 0.01172457, -0.05704687]))
_SHIFT = np.array([-0.03609917, 0.43416458, 2.37101226])
_ABOUT = "one person; SMPL-X meshes aligned to scans, joints regressed from their vertices"

_TYPES = {"float": "f4", "float32": "f4", "double": "f8", "float64": "f8", "uchar": "u1", "uint8": "u1", "char": "i1"}
_TYPES |= {"short": "i2", "ushort": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4"}


def read_ehf(folder: Path, bodies: BodyFiles) -> DataSet:
    """Return all pictures as one clip."""
    meshes = sorted(folder.glob("*_align.ply"))
    if not meshes:
        return DataSet("ehf", (), "pelvis", everybody=True, about=_ABOUT)
    clip = Clip("EHF", partial(_shots, meshes, bodies), SMPLX_55, film=False, version=version_of(*meshes))
    return DataSet("ehf", (clip,), "pelvis", everybody=True, about=_ABOUT)


def _shots(meshes: list[Path], bodies: BodyFiles) -> Iterator[Shot]:
    regressor = bodies("smplx").regressor
    for index, path in enumerate(meshes):
        with of_format(path, "a mesh of EHF"):
            vertices = read_ply(path) @ _TURN.T + _SHIFT
            joints = regressor @ vertices
        frame = picture(path.with_name(path.name.replace("_align.ply", "_img.png")), float(index), index)
        people = TruePeople(joints[None], (0,), np.ones(1, bool), np.full(1, np.nan), vertices[None])
        yield Shot(frame, people, K)


def read_ply(path: Path) -> NDArray[np.float64]:
    """Return the vertices [V, 3] of a PLY file, text or binary. ValueError if it is none."""
    data = path.read_bytes()
    head, mark, body = data.partition(b"end_header\n")
    lines = head.decode("latin1").split("\n")
    if not mark or lines[0].strip() != "ply":
        raise ValueError("it is no PLY file")
    layout = next(line.split()[1] for line in lines if line.startswith("format"))
    elements = [line.split()[1:] for line in lines if line.startswith("element")]
    if not elements or elements[0][0] != "vertex":
        raise ValueError("its first element is not its vertices")
    count, names = int(elements[0][1]), []
    for line in lines[lines.index(" ".join(["element", *elements[0]])) + 1 :]:
        if not line.startswith("property"):
            break
        names.append(tuple(line.split()[1:]))
    if layout == "ascii":
        values = np.array(
            [line.split()[: len(names)] for line in body.decode("latin1").splitlines()[:count]], np.float64
        )
        table = {name: values[:, k] for k, (_, name) in enumerate(names)}
    else:
        order = "<" if layout == "binary_little_endian" else ">"
        kind = np.dtype([(name, order + _TYPES[word]) for word, name in names])
        rows = np.frombuffer(body, kind, count)
        table = {name: rows[name] for _, name in names}
    return np.stack([table[axis].astype(np.float64) for axis in "xyz"], 1)
