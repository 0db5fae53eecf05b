"""RICH: bodies/PART/NAME/FRAME/PERSON.pkl, images/PART/NAME/cam_03/FRAME_03.png, and the cameras.

These are scan_calibration/SCENE/calibration/003.xml. The layout, and that pictures are projected to without distortion,
are those of the makers' own toolkit. It also has gender.json, by which bodies are posed: copy it beside the folders. It
needs the user's SMPL-X files of both genders. Hands are components of a basis that is not read: the 22 joints of the
body are compared, and no vertices.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle.unpickle import as_array
from humanrt.evaluation.body_files import BodyFiles
from humanrt.evaluation.dataset import Clip, DataSet, Shot, TruePeople
from humanrt.evaluation.formats.files import in_picture, load_pickled, of_format, picture, size_of, version_of
from humanrt.geometry.limbs import limb_indices
from humanrt.geometry.skeleton import SMPLX_55, SMPLX_BODY

__all__ = ["read_rich"]

Array = NDArray[np.float64]

_FPS = 30.0
_MAX_XML = 1 << 20
_GENDERS = "gender.json"
_ABOUT = "one or more people of each sequence, SMPL-X fitted to many cameras; the joints of the body"


def read_rich(folder: Path, bodies: BodyFiles) -> DataSet:
    """Return every camera of every sequence as a film, by names like ``test/ParkingLot2_009_overfence1/cam_00``."""
    clips = []
    for images in sorted((folder / "images").glob("*/*/cam_*")):
        part, name = images.parts[-3:-1]
        calibration = folder / "scan_calibration" / name.split("_")[0] / "calibration" / f"{_number(images):03d}.xml"
        people = folder / "bodies" / part / name
        if people.is_dir():
            version = version_of(people, calibration)
            shots = partial(_shots, folder, images, people, calibration, bodies)
            clips.append(Clip(f"{part}/{name}/{images.name}", shots, SMPLX_BODY, fps=_FPS, version=version))
    return DataSet("rich", tuple(clips), "pelvis", everybody=True, about=_ABOUT)


def _shots(folder: Path, images: Path, people: Path, calibration: Path, bodies: BodyFiles) -> Iterator[Shot]:
    genders = _genders(folder)
    K, R, t = _camera(calibration)
    limbs = limb_indices(SMPLX_BODY)
    first = True
    for path in sorted(file for file in images.iterdir() if file.suffix.lower() in (".png", ".jpg", ".jpeg")):
        number = int(re.findall(r"\d+", path.stem)[0])
        files = sorted((people / f"{number:05d}").glob("*.pkl"))
        if not files:
            continue
        joints = np.stack([_joints(file, genders, bodies) for file in files]) @ R.T + t
        frame = picture(path, number / _FPS, number, cut=first)
        first = False
        wanted = in_picture(joints[:, limbs], K, size_of(frame.image))
        yield Shot(frame, TruePeople(joints, tuple(map(_number, files)), wanted, np.full(len(files), np.nan)), K)


def _joints(path: Path, genders: Mapping[str, str], bodies: BodyFiles) -> Array:
    with of_format(path, "a body of RICH"):
        stored = load_pickled(path)
        root, pose, shape, shift = (
            as_array(stored[name]).astype(np.float64).ravel()
            for name in ("global_orient", "body_pose", "betas", "transl")
        )
        vectors = np.zeros((len(SMPLX_55), 3))
        vectors[: len(SMPLX_BODY)] = np.concatenate([root, pose]).reshape(len(SMPLX_BODY), 3)
        body = bodies("smplx", genders[str(_number(path))])
        return body(vectors, shape, shift)[1][: len(SMPLX_BODY)]


def _genders(folder: Path) -> Mapping[str, str]:
    path = folder / _GENDERS
    with of_format(path, "the genders of RICH's people, of the makers' toolkit (resource/gender.json)"):
        return {str(person): str(gender) for person, gender in json.loads(path.read_text(encoding="utf-8")).items()}


def _camera(path: Path) -> tuple[Array, Array, Array]:
    """Return K [3, 3] px, and R [3, 3] and t [3] m from the cameras' common space."""
    with of_format(path, "a calibration of RICH"):
        text = path.read_text(encoding="utf-8")
        if len(text) > _MAX_XML or "<!" in text:  # entities could make it grow without end
            raise ValueError("it is no plain XML")
        tree = ElementTree.fromstring(text)
        numbers = {}
        for name, shape in (("CameraMatrix", (3, 4)), ("Intrinsics", (3, 3))):
            data = tree.findtext(f"./{name}/data")
            numbers[name] = np.array((data or "").split(), np.float64).reshape(shape)
        K = numbers["Intrinsics"].copy()
        K[:2, 2] += 0.5  # OpenCV counts from the first pixel's centre
        return K, numbers["CameraMatrix"][:, :3], numbers["CameraMatrix"][:, 3]


def _number(path: Path) -> int:
    return int(re.findall(r"\d+", path.stem)[-1])
