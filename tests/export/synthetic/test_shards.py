"""Shards: what is written comes back; folders grow, go on, and say what is wrong with them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from humanrt_export.synthetic.people import PeopleLabels, PeopleSample, Shards, ShardWriter
from humanrt_export.synthetic.people.shards import ShardError

SIZE = 24


def sample(index: int) -> PeopleSample:
    """Smooth, so that JPEG keeps it; ``index % 4`` people."""
    rng = np.random.default_rng(index)
    count = index % 4
    ramp = np.linspace(0, 255, SIZE)
    image = np.stack([np.add.outer(ramp, ramp) / 2, np.full((SIZE, SIZE), 40.0 + index), np.tile(ramp, (SIZE, 1))], -1)
    people = PeopleLabels(
        rotations=rng.normal(size=(count, 74, 3, 3)).astype(np.float32),
        shape=rng.uniform(size=(count, 6)).astype(np.float32),
        translation=rng.normal(size=(count, 3)).astype(np.float32),
        joints=rng.normal(size=(count, 116, 3)).astype(np.float32),
        joints_2d=rng.normal(size=(count, 116, 2)).astype(np.float32),
        visible=rng.uniform(size=count).astype(np.float32),
        expression=rng.uniform(size=(count, 52)).astype(np.float32),
    )
    mask = rng.integers(0, count + 1, (SIZE, SIZE)).astype(np.uint8)
    depth = (rng.uniform(0.3, 20, (SIZE, SIZE)) * (mask > 0)).astype(np.float16)
    return PeopleSample(image.astype(np.uint8), rng.normal(size=(3, 3)).astype(np.float32), people, mask, depth)


def same(a: PeopleSample, b: PeopleSample, tolerance: int) -> None:
    assert int(np.abs(a.image.astype(int) - b.image).max()) <= tolerance
    for name in ("intrinsics", "mask", "depth"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert getattr(a, name).dtype == getattr(b, name).dtype
    for name in ("rotations", "shape", "translation", "joints", "joints_2d", "visible", "expression"):
        np.testing.assert_array_equal(getattr(a.people, name), getattr(b.people, name))


def fill(folder: Path, first: int, count: int, quality: int = 0, **about: object) -> list[int]:
    """Make what is missing; the indices that were made."""
    writer, made = ShardWriter(folder, {"seed": 1, **about}, size=4, quality=quality), []
    for number, indices in writer.missing(first, count):
        writer.write(number, indices[0], [sample(index) for index in indices])
        made += list(indices)
    return made


@pytest.mark.parametrize(("quality", "tolerance"), [(0, 0), (95, 12)])
def test_samples_come_back(tmp_path: Path, quality: int, tolerance: int) -> None:
    fill(tmp_path, 0, 10, quality)
    shards = Shards(tmp_path)
    assert len(shards) == 10
    for index in (0, 3, 4, 9, 7):
        same(shards[index], sample(index), tolerance)
    same(shards[-1], sample(9), tolerance)
    assert len(shards[2:5]) == 3
    with pytest.raises(IndexError):
        shards[10]
    same(pickle.loads(pickle.dumps(shards))[5], sample(5), tolerance)


def test_a_folder_grows_and_goes_on(tmp_path: Path) -> None:
    assert fill(tmp_path, 0, 4) == [0, 1, 2, 3]
    shards = Shards(tmp_path)
    assert fill(tmp_path, 0, 12) == list(range(4, 12))
    assert fill(tmp_path, 0, 12) == []
    assert len(shards) == 4
    assert shards.refresh() == 12
    same(shards[11], sample(11), 0)
    (tmp_path / "shard-000001.npz").unlink()
    assert fill(tmp_path, 0, 12) == [4, 5, 6, 7]
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_short_shard_is_filled(tmp_path: Path) -> None:
    assert fill(tmp_path, 0, 6) == list(range(6))
    assert fill(tmp_path, 0, 8) == [4, 5, 6, 7]
    assert len(Shards(tmp_path)) == 8


def test_other_data_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, 0, 4)
    with pytest.raises(ShardError, match="made with seed 1, not 2"):
        ShardWriter(tmp_path, {"seed": 2}, size=4, quality=0)


def test_bad_folders_say_so(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="humanrt-export data people"):
        Shards(tmp_path / "none")
    fill(tmp_path, 0, 4)
    path = tmp_path / "shard-000000.npz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ShardError, match="damaged shard"):
        Shards(tmp_path)
    (tmp_path / "people.json").write_text("{}")
    with pytest.raises(ShardError, match="people-1"):
        Shards(tmp_path)


def test_shards_from_before_faces_moved_are_read(tmp_path: Path) -> None:
    fill(tmp_path, 0, 4)
    path = next(tmp_path.glob("shard-*.npz"))
    with np.load(path) as arrays:
        content = {name: arrays[name] for name in arrays if name != "expression"}
    np.savez(path, **content)
    old = Shards(tmp_path)[3]
    np.testing.assert_array_equal(old.people.joints, sample(3).people.joints)
    np.testing.assert_array_equal(old.people.expression, np.zeros((3, 52), np.float32))
