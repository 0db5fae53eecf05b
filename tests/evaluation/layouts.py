"""Small data sets in the real layouts of those that users bring, with people whose joints are known."""

from __future__ import annotations

import json
import pickle
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from humanrt.geometry.camera import project
from humanrt.geometry.rotation import matrices_from_vectors

__all__ = ["CAMERA", "SIZE", "WORLD", "body_file", "matlab_file", "write_picture"]

SIZE = (320, 240)
CAMERA = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])

WORLD = np.eye(4)
"""A camera in the world, world to camera: turned about the vertical, and away from the origin."""
WORLD[:3, :3] = matrices_from_vectors(np.array([0.0, 0.5, 0.0]))
WORLD[:3, 3] = 0.3, -0.1, 1.0


def write_picture(path: Path, grey: int = 0) -> None:
    """Write a picture of one grey, which tells pictures apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((SIZE[1], SIZE[0], 3), grey, np.uint8))


def body_file(path: Path, joints: int, parents: Sequence[int], vertices: int = 40) -> dict[str, np.ndarray]:
    """Write a body of random geometry with SMPL's arrays, and return them. A ``.pkl`` has a sparse regressor."""
    generator = np.random.default_rng(joints)
    weights = generator.random((vertices, joints)) ** 6
    regressor = generator.random((joints, vertices)) ** 6
    arrays = {
        "v_template": generator.normal(0, 0.4, (vertices, 3)),
        "shapedirs": generator.normal(0, 0.02, (vertices, 3, 20)),
        "posedirs": generator.normal(0, 0.002, (vertices, 3, 9 * (joints - 1))),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.stack([np.where(np.array(parents) < 0, 2**32 - 1, parents), np.arange(joints)]),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    else:
        path.write_bytes(pickle.dumps(arrays, 2))
    return arrays


def matlab_file(path: Path, variables: dict[str, Any], *, packed: bool = True) -> None:
    """Write a .mat file of version 5: arrays, object arrays (cells) and dicts (structs of one element)."""
    content = b"MATLAB 5.0 MAT-file, written by a test".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    for name, value in variables.items():
        element = _matrix(name, value)
        if packed:
            small = zlib.compress(element)
            element = struct.pack("<II", 15, len(small)) + small
        content += element
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _element(kind: int, data: bytes) -> bytes:
    if 0 < len(data) <= 4:  # the small form: type, size and data in eight bytes
        return struct.pack("<HH", kind, len(data)) + data.ljust(4, b"\0")
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def _matrix(name: str, value: Any) -> bytes:
    classes = {"f8": (6, 9), "f4": (7, 7), "u1": (9, 2), "i4": (12, 5), "u2": (11, 4)}
    if isinstance(value, dict):
        shape, kind = (1, 1), 2
        names = b"".join(field.encode().ljust(32, b"\0") for field in value)
        body = (
            _element(5, struct.pack("<i", 32)) + _element(1, names) + b"".join(_matrix("", v) for v in value.values())
        )
    elif value.dtype == object:
        shape, kind = value.shape, 1
        body = b"".join(_matrix("", one) for one in value.ravel(order="F"))
    else:
        shape = value.shape
        kind, stored = classes[value.dtype.str[1:]]
        body = _element(stored, value.tobytes(order="F"))
    head = _element(6, struct.pack("<II", kind, 0)) + _element(5, struct.pack(f"<{len(shape)}i", *shape))
    return (
        struct.pack("<II", 14, len(head + _element(1, name.encode()) + body)) + head + _element(1, name.encode()) + body
    )


def panoptic(folder: Path, joints: np.ndarray, ids: Sequence[int], *, unsure: int | None = None) -> None:
    """Write a sequence of one camera: joints [T, N, 19, 3] m of the world; of the last person one may be unsure."""
    R, t = WORLD[:3, :3], WORLD[:3, 3:] * 100
    K = CAMERA.copy()
    K[:2, 2] -= 0.5
    camera = {"name": "00_00", "type": "hd", "K": K.tolist(), "distCoef": [0.0] * 5, "R": R.tolist(), "t": t.tolist()}
    folder.mkdir(parents=True)
    cameras = [camera, {**camera, "name": "01_01", "type": "vga"}]
    (folder / f"calibration_{folder.name}.json").write_text(json.dumps({"cameras": cameras}))
    poses = folder / "hdPose3d_stage1_coco19"
    poses.mkdir()
    for k, frame in enumerate(joints):
        rows = np.concatenate([100 * frame, np.full((*frame.shape[:2], 1), 0.9)], -1)
        if unsure is not None:
            rows[-1, unsure, 3] = -1
        bodies = [{"id": one, "joints19": row.ravel().tolist()} for one, row in zip(ids, rows, strict=True)]
        (poses / f"body3DScene_{100 + k:08d}.json").write_text(json.dumps({"bodies": bodies}))
        write_picture(folder / "hdImgs" / "00_00" / f"00_00_{100 + k:08d}.jpg", 10 * k)
    write_picture(folder / "hdImgs" / "00_00" / "00_00_00000099.jpg")  # a picture without a pose


def mupots(folder: Path, joints: np.ndarray, valid: np.ndarray) -> None:
    """Write a sequence: joints [T, N, 17, 3] m in camera space."""
    cells = np.empty(joints.shape[:2], object)
    for index in np.ndindex(cells.shape):
        cells[index] = {
            "annot2": project(joints[index], CAMERA).T.copy(),
            "annot3": 1000 * joints[index].T,
            "univ_annot3": 1000 * joints[index].T,
            "isValidFrame": np.array([[valid[index]]], np.uint8),
        }
    matlab_file(folder / "annot.mat", {"annotations": cells})
    for k in range(len(joints)):
        write_picture(folder / f"img_{k:06d}.jpg", 10 * k)
