"""Videos and images out: they play, keep time, and survive a kill and a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from test_record import run_python

from humanrt.errors import OutputError
from humanrt.outputs import video
from humanrt.outputs.h264 import h264_is_available
from humanrt.outputs.video import ImageSink, VideoSink, open_sink
from humanrt.sources.opening import Frame, open_source

LINUX = pytest.mark.skipif(sys.platform == "win32", reason="fragments need a link, which Windows does not allow")


@pytest.fixture(autouse=True, params=["mp4v", "h264"])
def codec(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs with both codecs."""
    if request.param == "h264" and not h264_is_available():
        pytest.skip("PyAV is not installed: the extra `video`")
    monkeypatch.setattr(video, "h264_is_available", lambda: request.param == "h264")
    return str(request.param)


def grey(level: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def frames_of(path: Path) -> list[Frame]:
    with open_source(path) as source:
        return list(source)


def levels(path: Path) -> list[int]:
    return [round(float(frame.image.mean()) / 10) for frame in frames_of(path)]


def test_video_comes_back(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "ünï 手.mp4"
    with open_sink(path, fps=25) as sink:
        for level in range(0, 250, 10):
            picture = grey(level)
            picture[..., 0] = 250  # RGB, so red
            sink.write(picture)
    frames = frames_of(path)
    assert len(frames) == 25
    assert frames[5].t == pytest.approx(5 / 25, abs=1e-3)
    assert frames[0].image[..., 0].mean() > 200 > 50 > frames[0].image[..., 2].mean()
    assert path.read_bytes()[4:12] == (b"ftypiso6" if codec == "mp4v" else b"ftypisom")


def test_real_picture_keeps_its_quality(tmp_path: Path, hand_video: Path) -> None:
    path = tmp_path / "a.mp4"
    with open_source(hand_video) as source, VideoSink(path, source.fps or 30) as sink:
        originals = [next(source).image for _ in range(15)]
        for image in originals:
            sink.write(image)
    for frame in frames_of(path)[5:]:
        assert cv2.PSNR(frame.image, originals[frame.index]) > 32


@pytest.mark.parametrize("start", [0.0, 12345.678])
def test_pictures_keep_their_time(tmp_path: Path, start: float) -> None:
    """At 10 fps: one late by two turns is preceded by repeats, one before its turn is left out."""
    path = tmp_path / "a.mp4"
    with VideoSink(path, fps=10) as sink:
        for level, t in [(0, 0.0), (40, 0.1), (80, 0.4), (120, 0.41), (160, 0.52)]:
            sink.write(grey(level), start + t)
    assert levels(path) == [0, 4, 4, 4, 8, 16]


def test_steady_stamps_lose_and_repeat_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with VideoSink(tmp_path / "a.mp4", fps=29.97) as sink:
        for i in range(100):
            sink.write(grey(i, 16, 16), 7 + i / 29.97 + rng.uniform(-0.005, 0.005) * (i > 0))
    assert sink.frames == 100


@pytest.mark.parametrize(
    "fps", [66.6667, 83.3333, 90.017, 1000 / 15, 333.333, 655.353, 24000 / 1001, 59.94, 14.985, 0.01, 1 / 3, 1e-4]
)
def test_rates_whose_clock_the_format_cannot_count(tmp_path: Path, fps: float) -> None:
    """MPEG-4 counts in 1/65535 s at best: the nearest rate that can be written is taken."""
    path = tmp_path / "a.mp4"
    with VideoSink(path, fps) as sink:
        for i in range(100):
            sink.write(grey(i, 16, 16), i / fps if fps >= 0.01 else None)
    reader = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    frames = 0
    while reader.read()[0]:
        frames += 1
    assert frames == pytest.approx(100, abs=1)
    assert frames / reader.get(cv2.CAP_PROP_FPS) == pytest.approx(100 / max(fps, 0.01), rel=0.01)


def test_long_gaps_are_shortened(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "a.mp4", fps=10) as sink:
        for t in (0.0, 3600.0, 3600.1):
            sink.write(grey(0, 16, 16), t)
    assert sink.frames == 103


def test_odd_sizes_and_other_sizes(tmp_path: Path) -> None:
    """The first picture gives the size; a tall one is fitted in: whole, centred, bars beside it."""
    with VideoSink(tmp_path / "a.mp4", fps=10) as sink:
        sink.write(grey(50, 65, 49))
        sink.write(grey(200, 100, 400))
        sink.write(grey(200, 1, 1))
    first, tall, dot = (frame.image for frame in frames_of(tmp_path / "a.mp4"))
    assert first.shape == tall.shape == dot.shape
    assert tall[:, 31:33].mean() > 180
    assert tall[:, :20].mean() < 60 > tall[:, -20:].mean()
    assert dot[:, 30:34].mean() > 180


def test_an_older_video_stays_until_the_first_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"older")
    with VideoSink(path, fps=10):
        pass
    assert path.read_bytes() == b"older"


KILLED = """
import sys, numpy as np
from humanrt.outputs.h264 import h264_is_available
from humanrt.outputs.video import VideoSink
noise = np.random.default_rng(0).integers(0, 255, (4, 240, 320, 3), np.uint8)
with VideoSink(sys.argv[1], fps=30, codec=sys.argv[2]) as sink:
    for i in range(300):
        sink.write(noise[i % 4])
    print(sink.frames, flush=True)
    sys.stdin.readline()
    import time; time.sleep(60)
"""


@LINUX
def test_kill_leaves_a_playable_video(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    process = run_python(KILLED, path, codec)
    assert process.stdout is not None
    assert process.stdout.readline() == "300\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    video_file = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    frames = 0
    while video_file.read()[0]:
        frames += 1
    per_frame = path.stat().st_size / frames
    assert frames > 200
    if codec == "mp4v":  # H.264 lacks the last group of pictures and what the encoder looked ahead
        assert (300 - frames) * per_frame < 300_000


def test_exception_ends_the_file_properly(tmp_path: Path) -> None:
    def interrupted() -> None:
        with VideoSink(tmp_path / "a.mp4", fps=10) as sink:
            for level in (0, 40, 80):
                sink.write(grey(level))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert levels(tmp_path / "a.mp4") == [0, 4, 8]


def test_full_disk_is_seen_before_it_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter([*[10 << 20] * 5, *[1 << 20] * 9])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=next(left)))
    path = tmp_path / "a.mp4"
    with VideoSink(path, fps=10) as sink:
        for _ in range(5):
            sink.write(grey(40))
        with pytest.raises(OutputError) as error:
            sink.write(grey(40))
    assert str(error.value) == f"{path}: disk full after 5 frames; they stay playable, free some space"
    assert len(frames_of(path)) == 5


@LINUX
def test_failed_writes_are_seen(codec: str, tmp_path: Path) -> None:
    """OpenCV says nothing of them until the end; here a limit on the file's size, as a quota would."""
    code = """
import resource, sys, numpy as np
from humanrt.errors import OutputError
from humanrt.outputs.h264 import h264_is_available
from humanrt.outputs.video import VideoSink
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
noise = np.random.default_rng(0).integers(0, 255, (4, 240, 320, 3), np.uint8)
try:
    with VideoSink(sys.argv[1], fps=30, codec=sys.argv[2]) as sink:
        for i in range(300):
            sink.write(noise[i % 4])
except OutputError as error:
    print(error)
"""
    path = tmp_path / "a.mp4"
    out, err = run_python(code, path, codec).communicate()
    assert err == ""
    stopped = "not all of its 300 frames could be written" if codec == "mp4v" else "writing stopped after "
    assert out.startswith(f"{path}: {stopped}")
    assert out.count("\n") == 1
    assert cv2.VideoCapture(str(path), cv2.CAP_FFMPEG).read()[0]


@pytest.mark.parametrize("name", ["a.mp4", "a.png"])
def test_bad_places(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match=rf"{name}: no folder .*mkdir -p"):
        open_sink(tmp_path / "none" / name)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match=rf"{name}: no permission to write there"):
        open_sink(tmp_path / name)


def test_place_that_refuses_only_when_opened(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gone").mkdir()
    sink = VideoSink(tmp_path / "gone" / "a.mp4", fps=10)
    (tmp_path / "gone").rmdir()
    with pytest.raises(OutputError, match=r"a\.mp4: .*folder"):
        sink.write(grey(0))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["a.avi", "a", "a.gif"])
def test_unknown_suffix(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"cannot be written; name it \.mp4, or \.png or \.jpg"):
        open_sink(tmp_path / name)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPG"])
def test_image(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ü{suffix}"
    picture = grey(0)
    picture[..., 0] = 250
    with open_sink(path) as sink:
        assert isinstance(sink, ImageSink)
        sink.write(picture, t=3.0)
        with pytest.raises(OutputError, match=r"holds one image, but there are more; name it \.mp4"):
            sink.write(picture)
    (frame,) = frames_of(path)
    assert np.abs(frame.image.astype(int) - picture).max() < 6
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_image_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(video.Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"a\.png: cannot be written \(No space left"):
        ImageSink(tmp_path / "a.png").write(grey(0))
    assert list(tmp_path.iterdir()) == []


def test_h264_plays_everywhere_and_has_the_sources_sound(codec: str, tmp_path: Path) -> None:
    if codec != "h264":
        pytest.skip("MPEG-4 Part 2 is written without sound")
    import av

    source = tmp_path / "talk.mp4"
    with av.open(str(source), "w") as file:
        pictures, sound = file.add_stream("libx264", rate=25), file.add_stream("aac", rate=48_000)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        for _ in range(50):
            file.mux(pictures.encode(av.VideoFrame.from_ndarray(grey(90), format="rgb24")))
        tone = np.sin(np.arange(96_000) * 0.05).astype(np.float32)
        for start in range(0, len(tone), 1024):
            frame = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 48_000, start
            file.mux(sound.encode(frame))
        file.mux([*pictures.encode(None), *sound.encode(None)])
    path = tmp_path / "out.mp4"
    with VideoSink(path) as sink:
        sink.start({"source": str(source), "fps": 25.0})
        for k in range(25):  # half of the source
            sink.write(grey(40, width=65, height=49), k / 25)
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # the index first: it plays while it is loaded
    with av.open(str(path)) as file:
        assert [stream.type for stream in file.streams] == ["video", "audio"]
        video_stream, audio = file.streams
        assert (video_stream.codec_context.name, video_stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (video_stream.width, video_stream.height) == (66, 50)
        assert float(audio.duration * audio.time_base) == pytest.approx(1.0, abs=0.05)
    assert levels(path) == [4] * 25
    assert [entry.name for entry in tmp_path.iterdir() if "part" in entry.name] == []


def test_a_source_without_sound_or_that_is_gone_gives_a_film_without(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    for source in (tmp_path / "missing.mp4", Path(__file__)):
        with VideoSink(path) as sink:
            sink.start({"source": str(source), "fps": 10.0})
            for _ in range(5):
                sink.write(grey(40))
        assert levels(path) == [4] * 5
