"""Recordings: what is written comes back, whatever happens to the disk or the process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from humanrt.errors import OutputError, SourceError
from humanrt.outputs.record import Recorder, check_apart, read_recording

HEADER = {"humanrt": "0.1.0", "robots": {"toy": ["a", "b"]}}


def record(path: Path, records: list[dict], header: dict | None = None) -> Path:
    with Recorder(path, header or HEADER) as recorder:
        for item in records:
            recorder.write(item)
    return path


def run_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_round_trip_with_rounding(tmp_path: Path) -> None:
    frame = {
        "frame": np.int64(3),
        "t": 0.1 + 0.2,
        "size": (640, 480),
        "hands": [
            {
                "id": 1,
                "side": "right",
                "score": np.float32(0.98765432),
                "keypoints_2d": np.array([[1 / 3, 2 / 3]], np.float32),
                "keypoints_3d": np.array([[1 / 3, -1e-7, 0.1]], np.float32),
                "robot": {"toy": np.array([np.pi, 1])},
            }
        ],
        "people": [],
        "flag": True,
    }
    recording = read_recording(record(tmp_path / "a.jsonl", [frame, {"frame": 4}]))
    assert recording.header == HEADER
    first, second = recording
    assert first == {
        "frame": 3,
        "t": 0.3,
        "size": [640, 480],
        "hands": [
            {
                "id": 1,
                "side": "right",
                "score": 0.98765,
                "keypoints_2d": [[0.33, 0.67]],
                "keypoints_3d": [[0.33333, -0.0, 0.1]],
                "robot": {"toy": [3.14159, 1.0]},
            }
        ],
        "people": [],
        "flag": True,
    }
    assert second == {"frame": 4}
    assert not recording.truncated


def test_nan_and_infinity_become_null(tmp_path: Path) -> None:
    frame = {"a": float("nan"), "b": np.array([1.0, np.inf, np.nan], np.float32), "c": np.float64("inf")}
    path = record(tmp_path / "a.jsonl", [frame])
    assert "NaN" not in path.read_text()
    assert next(iter(read_recording(path))) == {"a": None, "b": [1.0, None, None], "c": None}


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(-1e4, 1e4, width=32)))
def test_any_array_comes_back_to_its_decimals(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray) -> None:
    path = record(tmp_path_factory.mktemp("r") / "a.jsonl", [{"x": array, "x_2d": array}])
    back = next(iter(read_recording(path)))
    np.testing.assert_allclose(np.array(back["x"]), array, atol=5.1e-6)
    np.testing.assert_allclose(np.array(back["x_2d"]), array, atol=5.1e-3)
    assert np.array(back["x"]).shape == array.shape


def test_what_json_cannot_hold_is_our_mistake(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.jsonl", HEADER) as recorder, pytest.raises(TypeError, match="object"):
        recorder.write({"x": object()})


def test_an_older_recording_stays_until_the_first_frame(tmp_path: Path) -> None:
    path = record(tmp_path / "a.jsonl", [{"frame": 0}])
    before = path.read_bytes()
    with Recorder(path, {"humanrt": "new"}) as recorder:
        assert path.read_bytes() == before
        recorder.write({"frame": 1})
        assert read_recording(path).header == {"humanrt": "new"}


def test_nothing_is_created_without_frames(tmp_path: Path) -> None:
    record(tmp_path / "a.jsonl", [])
    assert list(tmp_path.iterdir()) == []


def test_every_line_is_on_its_way_at_once(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.jsonl", HEADER) as recorder:
        for i in range(3):
            recorder.write({"frame": i})
            assert len(list(read_recording(recorder.path))) == i + 1


def test_kill_leaves_whole_lines(tmp_path: Path) -> None:
    code = """
import sys, itertools
from humanrt.outputs.record import Recorder
with Recorder(sys.argv[1], {"humanrt": "0"}) as recorder:
    for i in itertools.count():
        recorder.write({"frame": i, "x": [0.5] * 500})
        if i == 50: print("going", flush=True)
"""
    process = run_python(code, tmp_path / "a.jsonl")
    assert process.stdout is not None
    assert process.stdout.readline() == "going\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    frames = [item["frame"] for item in read_recording(tmp_path / "a.jsonl")]
    assert len(frames) > 50
    assert frames == list(range(len(frames)))


def test_full_disk(tmp_path: Path) -> None:
    """A limit on the file's size stands in for the disk: the same failing write."""
    code = """
import resource, sys
from humanrt.errors import OutputError
from humanrt.outputs.record import Recorder
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    with Recorder(sys.argv[1], {"humanrt": "0"}) as recorder:
        for i in range(1000):
            recorder.write({"frame": i, "x": [0.5] * 500})
except OutputError as error:
    print(error)
"""
    path = tmp_path / "a.jsonl"
    out, err = run_python(code, path).communicate()
    assert err == ""
    assert out.count("\n") == 1
    assert str(path) in out
    assert "free some space" in out
    recording = read_recording(path)
    frames = list(recording)
    assert f"after {len(frames)} frames" in out
    assert len(frames) == 9
    assert not recording.truncated


def test_full_device() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Recorder("/dev/full", HEADER) as recorder, pytest.raises(OutputError, match=r"No space left"):
        recorder.write({"frame": 0})


@pytest.mark.parametrize(
    ("name", "parts"), [("none/a.jsonl", ("no folder", "mkdir -p")), (".", ("is a folder", "name of a file"))]
)
def test_bad_places(tmp_path: Path, name: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(OutputError) as error:
        Recorder(tmp_path / name, HEADER)
    assert "\n" not in str(error.value)
    for part in (str(tmp_path), *parts):
        assert part in str(error.value)


def test_read_only_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # root may write anywhere, so the answer is put in the kernel's mouth
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match=r"a\.jsonl: no permission to write there; choose another folder"):
        Recorder(tmp_path / "a.jsonl", HEADER)


def test_place_that_refuses_only_when_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    recorder = Recorder(tmp_path / "a.jsonl", HEADER)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OutputError, match=r"a\.jsonl: cannot be written \(Permission denied\)"):
        recorder.write({})


def test_cut_last_line_is_reported_and_left_out(tmp_path: Path) -> None:
    path = record(tmp_path / "a.jsonl", [{"frame": 0}, {"frame": 1}])
    path.write_bytes(path.read_bytes()[:-4])
    recording = read_recording(path)
    assert list(recording) == [{"frame": 0}]
    assert recording.truncated


@pytest.mark.parametrize("line", ["{broken", "[1, 2]", ""])
def test_other_damage_names_the_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([json.dumps(HEADER), '{"frame": 0}', line, '{"frame": 2}', ""]))
    with pytest.raises(SourceError, match=r"a\.jsonl: line 3 is not a JSON object"):
        list(read_recording(path))


@pytest.mark.parametrize("content", ["", "{}\n", "\x89PNG\n", '{"frame": 0}\n'])
def test_what_is_no_recording(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(SourceError, match=r"a\.jsonl: "):
        read_recording(path)


def test_missing_recording(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.jsonl: cannot be read"):
        read_recording(tmp_path / "none.jsonl")


def test_outputs_are_apart_from_inputs_and_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a.mp4"
    source.write_bytes(b"precious")
    (tmp_path / "link.mp4").symlink_to(source)
    (tmp_path / "hard.mp4").hardlink_to(source)
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "new.mp4")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "./a.mp4", "sub/../a.mp4", "link.mp4", "hard.mp4", str(source)):
        with pytest.raises(OutputError, match=r"--video .* is the source .*choose another name"):
            check_apart({"--video": Path(name)}, {"the source": [source]})
    for pair in (("new.mp4", str(tmp_path / "new.mp4")), ("new.mp4", "dangling.mp4"), ("new.mp4", "sub/../new.mp4")):
        with pytest.raises(OutputError, match="is also the file of --record"):
            check_apart({"--record": Path(pair[0]), "--video": Path(pair[1])}, {})
    check_apart({"--record": Path("a.jsonl"), "--video": Path("b.mp4")}, {"the source": [source]})
