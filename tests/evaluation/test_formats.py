"""Readers, on small files written in the real layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from cases import ANNY, SIZE, K, people_at

from humanrt.data import PEOPLE_CLIP as CLIP
from humanrt.errors import HumanrtError, SourceError
from humanrt.evaluation.dataset import Shot
from humanrt.evaluation.formats import FORMATS, read_data


def write_shards(folder: Path, people: list[np.ndarray]) -> None:
    """Write one shard with a picture for each array of joints [N, J, 3]; person i is a stripe of the mask."""
    images, masks = [], []
    for k, some in enumerate(people):
        image = np.full((SIZE[1], SIZE[0], 3), 20 * k, np.uint8)
        mask = np.zeros(image.shape[:2], np.uint8)
        for i in range(len(some)):
            mask[:, 50 * i : 50 * i + 50] = i + 1
        images.append(np.asarray(cv2.imencode(".png", image)[1]).reshape(-1))
        masks.append(np.asarray(cv2.imencode(".png", mask)[1]).reshape(-1))
    joints = np.concatenate(people).astype(np.float32)
    count = len(joints)
    folder.mkdir()
    (folder / "people.json").write_text(json.dumps({"format": "humanrt-people-1", "joint_names": ANNY}))
    np.savez(
        folder / "shard-000000.npz",
        first=np.int64(0),
        count=np.array([len(some) for some in people]),
        intrinsics=np.broadcast_to(K.astype(np.float32), (len(people), 3, 3)),
        joints=joints,
        rotations=np.broadcast_to(np.eye(3, dtype=np.float32), (count, 74, 3, 3)),
        shape=np.full((count, 6), 0.5, np.float32),
        translation=joints[:, ANNY.index("head")],
        visible=np.linspace(0.1, 1, count, dtype=np.float32),
        image=np.concatenate(images),
        image_end=np.cumsum([len(code) for code in images]),
        mask=np.concatenate(masks),
        mask_end=np.cumsum([len(code) for code in masks]),
    )


def read_all(folder: Path, format: str) -> list[Shot]:
    return [shot for clip in read_data(folder, format).clips for shot in clip.shots()]


def test_shards(tmp_path: Path) -> None:
    people = [people_at((0, 0, 4)), people_at(), people_at((-0.5, 0, 5), (0.5, 0, 6), (0, 0, -3))]
    write_shards(tmp_path / "data", people)
    data = read_data(tmp_path / "data", "shards")
    assert data.everybody
    (clip,) = data.clips
    assert not clip.film
    assert clip.joint_names == ANNY
    shots = list(clip.shots())
    assert [len(shot.people) for shot in shots] == [1, 0, 3]
    assert [int(shot.frame.image[0, 0, 0]) for shot in shots] == [0, 20, 40]
    assert all(shot.frame.cut for shot in shots)
    for shot, joints in zip(shots, people, strict=True):
        assert shot.people.joints == pytest.approx(joints, abs=1e-6)
    # The first is only a tenth visible; the last is behind the camera.
    assert [shot.people.wanted.tolist() for shot in shots] == [[False], [], [True, True, False]]
    masks = shots[2].people.masks
    assert masks is not None
    assert masks(1)[0, 60]
    assert not masks(1)[0, 10]
    parameters = shots[2].people.parameters
    assert parameters is not None
    assert parameters.sizes == (74, 6)
    assert parameters.heads == pytest.approx(people[2][:, ANNY.index("head")], abs=1e-6)


def test_films() -> None:
    data = read_data(CLIP, "films")
    (clip,) = data.clips
    assert (clip.name, clip.film) == ("demo_people", True)
    shots = list(clip.shots())
    assert len(shots) > 20
    assert shots[0].people.joints.shape[1] == len(clip.joint_names)
    assert shots[0].people.parameters is None


def test_a_film_without_its_last_frames_is_said(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(CLIP.read_bytes())
    with np.load(CLIP.with_suffix(".npz")) as arrays:
        more = {name: arrays[name] for name in arrays}
    for name in ("joints", "translation", "visible"):
        more[name] = np.concatenate([more[name], more[name][:2]])
    np.savez(film.with_suffix(".npz"), **more)
    with pytest.raises(SourceError, match=r"film\.mp4: has \d+ frames, and its truth \d+; render it again"):
        list(read_data(film, "films").clips[0].shots())


def test_an_unknown_format_and_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(HumanrtError, match=r"unknown format `coco`; choose one of: .*films, .*shards"):
        read_data(tmp_path, "coco")
    with pytest.raises(SourceError, match="nothing of format `films` in it"):
        read_data(tmp_path, "films")
    with pytest.raises(SourceError, match="not there; give --data"):
        read_data(tmp_path / "no", "films")


def test_only_some_clips(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no clip is named like zzz; the first is demo_people"):
        read_data(CLIP, "films", ["zzz"])
    assert len(read_data(CLIP, "films", ["zzz", "people"]).clips) == 1


@pytest.mark.parametrize("format", sorted(FORMATS))
def test_damaged_files_end_in_one_line(format: str, tmp_path: Path, damaged: Callable[[str, Path], None]) -> None:
    damaged(format, tmp_path)
    with pytest.raises(HumanrtError) as error:
        read_all(tmp_path, format)
    assert "\n" not in str(error.value)


@pytest.fixture
def damaged() -> Callable[[str, Path], None]:
    """Writes a data set of a format whose files hold noise."""

    def write(format: str, folder: Path) -> None:
        noise = bytes(np.random.default_rng(0).integers(0, 256, 999, np.uint8))
        for name in _FILES[format]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(noise)

    return write


_FILES = {
    "shards": ["people.json", "shard-000000.npz"],
    "films": ["film.mp4", "film.npz"],
    "views": ["calibration.json", "cam01.mp4"],
    "ehf": ["01_align.ply", "01_img.png", "models/SMPLX_NEUTRAL.npz"],
    "mupots": ["TS1/annot.mat", "TS1/img_000000.jpg"],
    "3dpw": ["sequenceFiles/test/a.pkl", "imageFiles/a/image_00000.jpg"],
    "emdb": ["P0/00_a/P0_00_a_data.pkl"],
    "panoptic": ["a/calibration_a.json"],
    "rich": [
        "images/test/Gym_001_a/cam_00/00000_00.png",
        "bodies/test/Gym_001_a/00000/001.pkl",
        "scan_calibration/Gym/calibration/000.xml",
        "gender.json",
    ],
    "bedlam": ["scene.npz"],
}
