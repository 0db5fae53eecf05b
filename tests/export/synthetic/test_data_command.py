"""``humanrt-export data``: shards, sheets and films from the command line; mistakes are one line and status 2."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from command_line import refused
from humanrt.errors import HumanrtError, MissingDependencyError
from humanrt_export.bodies.anny.model import cached_file
from humanrt_export.cli import main
from humanrt_export.commands.data import FilmConfig, PeopleConfig, make_people
from humanrt_export.synthetic.hand_scene import Camera
from humanrt_export.synthetic.people import Shards


@pytest.fixture(scope="module")
def gl() -> None:
    pytest.importorskip("moderngl", reason="moderngl is not installed: pip install moderngl")
    from humanrt_export.synthetic.offscreen import Offscreen

    if not all(cached_file(topology).is_file() for topology in ("full", "10pc")):
        pytest.skip("Anny is not in the cache with both of its meshes, and building it takes a minute")
    try:
        Offscreen(Camera((64, 48))).close()
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("gl")
def test_people_in_shards_and_on_a_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, picture = tmp_path / "people", tmp_path / "sheet.png"
    words = ["data", "people", "--size", "64", "--shard", "2", "--quality", "0", "--most", "3"]
    assert main([*words, "--out", str(out), "--sheet", str(picture), "--count", "3", "--columns", "3"]) == 0
    assert "3 samples, 3 of them made now" in capsys.readouterr().out
    assert cv2.imread(str(picture)).shape == (64, 3 * 64, 3)
    shards = Shards(out)
    assert len(shards) == 3
    assert len(shards.info["joint_names"]) == 116
    assert main([*words, "--out", str(out), "--count", "4"]) == 0  # fills the last shard
    assert "4 samples, 2 of them made now" in capsys.readouterr().out
    np.testing.assert_array_equal(Shards(out)[2].image, shards[2].image)
    said = refused(capsys, *words, "--out", out, "--count", "4", "--seed", "5", command=main)
    assert "made with seed 0, not 5" in said


@pytest.mark.usefixtures("gl")
def test_pairs_lie_side_by_side(tmp_path: Path) -> None:
    words = ["data", "people", "--size", "64", "--shard", "2", "--pairs", "pose", "--seed", "2"]
    assert main([*words, "--out", str(tmp_path / "pairs"), "--count", "2"]) == 0
    shards = Shards(tmp_path / "pairs")
    assert len(shards) == 4
    for one, two in ((0, 1), (2, 3)):
        np.testing.assert_array_equal(shards[one].people.shape, shards[two].people.shape)
        np.testing.assert_array_equal(shards[one].intrinsics, shards[two].intrinsics)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["people", "--count", "1"], "nothing to do"),
        (["people", "--out", "x", "--count", "0"], "--count is 0"),
        (["people", "--out", "x", "--count", "1", "--shard", "3"], "even"),
        (["people", "--sheet", "x.gif", "--count", "1"], ".png or .jpg"),
        (["people", "--out", "x", "--count", "1", "--style", "cubist"], "randomised"),
        (["people", "--out", "x", "--count", "1", "--most", "11"], "0 to 10"),
        (["people", "--out", "x", "--count", "1", "--motions", "none.bvh"], "none.bvh"),
        (["film", "--out", "x.avi"], ".mp4"),
        (["film", "--out", "x.mp4", "--width", "641"], "even"),
        (["film", "--out", "x.mp4", "--seconds", "0"], "--seconds"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refused(capsys, "data", *words, command=main)


@pytest.mark.usefixtures("gl")
def test_people_are_made_alike_from_python_and_by_a_run_file(tmp_path: Path) -> None:
    make_people(PeopleConfig(out=tmp_path / "python", count=2, size=64, seed=3, quality=0, shard=2))
    file = tmp_path / "run.toml"
    file.write_text("count = 9\nsize = 64\nseed = 3\nquality = 0\nshard = 2\n")
    words = ["data", "people", "--config", str(file), "--count", "2", "--out", str(tmp_path / "file")]
    assert main(words) == 0
    one, other = Shards(tmp_path / "python"), Shards(tmp_path / "file")
    assert len(one) == len(other) == 2
    np.testing.assert_array_equal(one[1].image, other[1].image)


def test_mistakes_from_python_are_refused_when_they_are_made(tmp_path: Path) -> None:
    with pytest.raises(HumanrtError, match="nothing to do"):
        PeopleConfig(count=1)
    with pytest.raises(HumanrtError, match="unknown kind of pairs `two`; choose one of: pose, view"):
        PeopleConfig(out=tmp_path, count=1, pairs="two")  # type: ignore[arg-type]
    with pytest.raises(HumanrtError, match="choose one of: all, train, val"):
        FilmConfig(out=tmp_path / "film.mp4", part="test")  # type: ignore[arg-type]


def test_a_run_file_of_another_command_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.toml"
    file.write_text("count = 3\n")
    said = refused(capsys, "data", "film", "--out", "x.mp4", "--config", file, command=main)
    assert "unknown setting `count`; choose one of: assets, backgrounds, environments, faces, fps" in said
