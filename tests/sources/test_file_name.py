"""File names that are not UTF-8, not of one line, or look like an address: in, out, and in messages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_capture import picture, write_video

from humanrt.errors import SourceError
from humanrt.outputs.video import VideoSink, open_sink
from humanrt.sources.file_name import name_for_opencv
from humanrt.sources.opening import open_source

LATIN = os.fsdecode(b"caf\xe9")


def named(folder: Path, name: str) -> Path:
    """A path of that name, where this file system takes it."""
    path = folder / name
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system takes no such names")
    path.unlink()
    return path


@pytest.mark.parametrize(
    "name", [LATIN, "a\nb", "12:30:00", "concat:x|y", "%03d", "ünï 手", "http:x", os.fsdecode(b"\xed\xa0\x80")]
)
def test_videos_and_images_of_any_name(tmp_path: Path, name: str) -> None:
    video = named(tmp_path, f"{name}.mp4")
    with VideoSink(video, 10) as sink:
        for _ in range(3):
            sink.write(picture())
    image = tmp_path / f"{name}.png"
    with open_sink(image) as sink:
        sink.write(picture())
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([video.name, image.name])
    for path, frames in ((video, 3), (image, 1)):
        with open_source(path) as source:
            assert len(list(source)) == frames
            source.name.encode()
            assert source.name.isprintable()


def test_a_folder_whose_name_is_not_utf_8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = named(tmp_path, LATIN)
    folder.mkdir()
    write_video(tmp_path / "a.mp4", frames=3).rename(folder / "a.mp4")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TMPDIR", str(folder))
    with open_source("a.mp4") as source:
        assert source.name == "a.mp4"
        assert len(list(source)) == 3


def test_a_message_names_the_file_in_one_line(tmp_path: Path) -> None:
    path = named(tmp_path, f"{LATIN}\n.mp4")
    with pytest.raises(SourceError) as error:
        open_source(path)
    assert str(error.value).startswith(f"{tmp_path}/caf\\xe9\\n.mp4: no such file")


def test_opencv_gets_utf_8_and_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with name_for_opencv(Path("12:30.mp4")) as name:
        assert name == str(tmp_path / "12:30.mp4")
    with name_for_opencv(Path(f"{LATIN}.mp4")) as name:
        assert name.isascii()
        assert Path(name).suffix == ".mp4"
        assert Path(name).readlink() == tmp_path / f"{LATIN}.mp4"
    assert not Path(name).parent.exists()


@pytest.mark.parametrize("utf_8", [True, False], ids=["UTF-8", "ASCII locale"])
@pytest.mark.parametrize("name", [LATIN, "café"])
def test_the_command_line_takes_any_name_in_any_locale(tmp_path: Path, name: str, utf_8: bool) -> None:
    video = named(tmp_path, f"{name}.mp4")
    write_video(tmp_path / "a.mp4", frames=2).rename(video)
    locale = {"LC_ALL": "C.UTF-8"} if utf_8 else {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    record, made = tmp_path / f"r{name}.jsonl", tmp_path / f"o{name}.mp4"
    command = ["-m", "humanrt", "run", video, "--headless", "--smooth", "none", "--record", record, "--video", made]
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, env={**os.environ, **locale}, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"")
    header = json.loads(record.read_bytes().partition(b"\n")[0])
    assert header["source"] == f"{tmp_path}/{'caf' + chr(92) + 'xe9' if name == LATIN else name}.mp4"
    with open_source(made) as source:
        assert len(list(source)) == 2
