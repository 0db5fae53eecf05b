"""CMU Panoptic: SEQUENCE/calibration_SEQUENCE.json, hdPose3d_stage1_coco19/body3DScene_00000000.json, and pictures.

Of every HD camera they are hdVideos/hd_00_00.mp4 or hdImgs/00_00/00_00_00000000.jpg. Each camera is a film, and its
pictures are undistorted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.evaluation.dataset import Clip, DataSet, Shot, TruePeople
from humanrt.evaluation.formats.files import in_picture, of_format, picture, size_of, version_of
from humanrt.geometry.limbs import limb_indices
from humanrt.sources.opening import Frame, open_source

__all__ = ["JOINTS", "read_panoptic"]

Array = NDArray[np.float64]

JOINTS = (
    *("neck", "nose", "hips"),
    *(f"left_{name}" for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")),
    *(f"right_{name}" for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")),
    *("left_eye", "left_ear", "right_eye", "right_ear"),
)
"""The set's 19 joints in their order."""

_FPS = 29.97
_POSES = "hdPose3d_stage1_coco19"
_MIN_CONFIDENCE = 0.1
_ABOUT = "several people, triangulated from many cameras; joints only"


@dataclass(frozen=True)
class _Camera:
    name: str
    K: Array
    distortion: Array
    R: Array
    t: Array


def read_panoptic(folder: Path) -> DataSet:
    """Return the cameras of one sequence, or of all sequences in a folder, by names like ``160422_pizza1/00_03``."""
    found = sorted([*folder.glob("calibration_*.json"), *folder.glob("*/calibration_*.json")])
    clips = []
    for path in found:
        for camera in _cameras(path):
            pictures, film = path.parent / "hdImgs" / camera.name, path.parent / "hdVideos" / f"hd_{camera.name}.mp4"
            if pictures.is_dir() or film.is_file():
                name = f"{path.stem.removeprefix('calibration_')}/{camera.name}"
                shots = partial(_shots, path.parent, camera, pictures, film)
                clips.append(Clip(name, shots, JOINTS, fps=_FPS, version=version_of(path, path.parent / _POSES)))
    return DataSet("panoptic", tuple(clips), "hips", everybody=True, about=_ABOUT)


def _cameras(path: Path) -> list[_Camera]:
    with of_format(path, "a calibration of CMU Panoptic"):
        cameras = []
        for one in json.loads(path.read_text(encoding="utf-8"))["cameras"]:
            if one.get("type", "hd") == "hd":
                K, R = (np.array(one[name], np.float64).reshape(3, 3) for name in ("K", "R"))
                t = np.array(one["t"], np.float64).reshape(3) / 100
                cameras.append(_Camera(str(one["name"]), K, np.array(one["distCoef"], np.float64).ravel(), R, t))
        return cameras


def _shots(folder: Path, camera: _Camera, pictures: Path, film: Path) -> Iterator[Shot]:
    poses = {_number(path): path for path in (folder / _POSES).glob("body3DScene_*.json")}
    K = camera.K.copy()
    K[:2, 2] += 0.5  # OpenCV counts from the first pixel's centre
    for frame in _frames(pictures, film, set(poses)):
        path = poses[frame.index]
        with of_format(path, "a pose of CMU Panoptic"):
            bodies = json.loads(path.read_text(encoding="utf-8"))["bodies"]
            ids, joints, sure = _people(bodies)
        joints = joints @ camera.R.T + camera.t
        image = np.asarray(cv2.undistort(frame.image, camera.K, camera.distortion), np.uint8)
        limbs = limb_indices(JOINTS)
        wanted = sure[:, limbs].all(1) & in_picture(joints[:, limbs], K, size_of(image))
        people = TruePeople(joints, ids, wanted, np.full(len(ids), np.nan))
        yield Shot(Frame(image, frame.t, frame.index, frame.cut), people, K)


def _people(bodies: list[Any]) -> tuple[tuple[int, ...], Array, NDArray[np.bool_]]:
    """Return identities, joints [N, 19, 3] m of the world, and which of them [N, 19] are known."""
    rows = np.array([one["joints19"] for one in bodies], np.float64).reshape(len(bodies), len(JOINTS), 4)
    return tuple(int(one["id"]) for one in bodies), rows[..., :3] / 100, rows[..., 3] > _MIN_CONFIDENCE


def _frames(pictures: Path, film: Path, numbers: set[int]) -> Iterator[Frame]:
    """Yield the frames that have a pose; their index is the number of the frame in the recording."""
    if pictures.is_dir():
        last = None
        for path in sorted(pictures.glob("*.jpg")):
            number = _number(path)
            if number in numbers:
                yield picture(path, number / _FPS, number, cut=last is None)
                last = number
        return
    with open_source(film) as source:
        yield from (frame for frame in source if frame.index in numbers)


def _number(path: Path) -> int:
    return int(re.findall(r"\d+", path.stem)[-1])
