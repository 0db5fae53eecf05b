"""Addresses: no password or token of any form is left in what is shown."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from humanrt.address import redacted, redacted_address
from humanrt.cli import main
from humanrt.errors import HumanrtError, SourceError
from humanrt.sources.opening import open_source
from humanrt.verdict.recording import name_of

SECRET = "topsecret"

WITH_SECRETS = [
    f"http://user:{SECRET}@host/a.mp4",
    f"rtsp://user:a@b@{SECRET}@192.168.0.2:554/live",
    f"rtsp://user:pa/ss{SECRET}@cam/1",
    f"rtsp://user:pa?{SECRET}@cam/1",
    f"rtsp://user:pa#{SECRET}@cam/1",
    f"rtsp://user:12/{SECRET}@cam/1",
    f"rtsp://user%3A{SECRET}%40cam/1",
    f"rtsp://user:{SECRET}%2540cam/1",
    f"https://{SECRET}@host/a.mp4",
    f"http://u:{SECRET}@[::1]:80/a.mp4",
    f"RTSP://U:{SECRET}@host",
    f"https:///u:{SECRET}@host/a",
    f"http://host/a.mp4?token={SECRET}",
    f"http://host/a.mp4?{SECRET}",
    f"http://host/a.mp4?a=1&api_key={SECRET}&b=2",
    f"http://host/a.mp4?a=1;sig={SECRET}",
    f"https://bucket.s3.amazonaws.com/a.mp4?X-Amz-Credential={SECRET}&X-Amz-Signature={SECRET}",
    f"http://host/a.mp4#access_token={SECRET}",
    f"http://host/a;jsessionid={SECRET}/b.mp4",
    f"http://host/token={SECRET}~hmac={SECRET}/a.m3u8",
    f"srt://host:9000?passphrase={SECRET}&streamid=#!::u={SECRET}",
    f"rtmp://u:{SECRET}@host/live?key={SECRET}",
    f"cache:http://u:{SECRET}@host/a.mp4",
    f"concat:http://u:{SECRET}@host/a.mp4|http://u:{SECRET}@host/b.mp4",
    f"http://host/?url=http://u:{SECRET}@host/a.mp4",
    f"rtsp://u:a'b\"{SECRET}<`@host/a",
    f"rtsp:u:{SECRET}@host/a",
    f"u:{SECRET}@192.168.0.2:554/a",
    f"//u:{SECRET}@host/a",
    f"http:/host/a.mp4?token={SECRET}",
    f"http://user:{SECRET}",
    f"http://user:{SECRET}/dir/a.mp4",
    f"rtmp://host/app/{SECRET}",
    f"rtmps://host/app/instance/{SECRET}?x=1",
    f"rtsps://192.168.0.2:7441/{SECRET}1x2y3z4w5",
    f"https://host/hls/{SECRET}-9f86d081-884c-4d63-9b1a-0c2f5e6d7a8b/index.m3u8",
]


@pytest.mark.parametrize("address", WITH_SECRETS)
def test_secrets_of_addresses_are_hidden(address: str) -> None:
    shown = redacted_address(address)
    assert SECRET not in shown
    assert redacted_address(shown) == shown
    for text in (f"no video at {address}: check it", f"{{'source': '{address}'}}", f"({address}), then"):
        assert SECRET not in redacted(text)
        assert redacted(redacted(text)) == redacted(text)
    error = HumanrtError(f"{address}: no")
    assert SECRET not in repr(error) + str(error) + str(error.args)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://user:pw@host.org:80/dir/a.mp4?token=x&n=1", "http://host.org:80/dir/a.mp4?token=***&n=***"),
        ("http://host.org/@channel/a.mp4", "http://host.org/@channel/a.mp4"),
        ("http://user:pw@host.org/@channel/a.mp4", "http://host.org/@channel/a.mp4"),
        ("rtsp://cam:554/live", "rtsp://cam:554/live"),
        ("rtsp:/user:pw@cam/live", "rtsp:/cam/live"),
        ("user:pw@cam/live", "***@cam/live"),
        ("rtsp://127.0.0.1:x/live", "rtsp://127.0.0.1:***"),
        ("rtsp://host.org:554/Streaming/Channels/101", "rtsp://host.org:554/Streaming/Channels/101"),
        ("http://host.org/VID20241128123456.mp4", "http://host.org/VID20241128123456.mp4"),
        ("http://host.org/a1b2c3d4e5f6a7b8.mp4", "http://host.org/***.mp4"),
        ("rtmp://host.org/live", "rtmp://host.org/live"),
        ("file:///a/b?c=d.mp4", "file:///a/b?c=d.mp4"),
        ("rtsp://user:a b@cam/1", "rtsp://cam/1"),
        ("rtmp://host/live playpath=x token=y", "rtmp://host/live playpath=*** token=***"),
        ("C:/a@b/c=d.mp4", "C:/a@b/c=d.mp4"),
        ("a.mp4", "a.mp4"),
    ],
)
def test_the_rest_stays(address: str, shown: str) -> None:
    assert redacted_address(address) == shown


@pytest.mark.parametrize("text", ["x" * 200_000, "a:" * 100_000, "a:/" * 70_000, "a@" * 100_000, "http://a:b" * 20_000])
def test_long_texts_take_no_time(text: str) -> None:
    began = time.monotonic()
    redacted(text)
    redacted_address(text)
    assert time.monotonic() - began < 5.0


@pytest.mark.parametrize("option", ["--record", "--video", "--bundle", "--robot", "--backend"])
def test_an_address_given_for_something_else_is_not_quoted_whole(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes())
    for address in (f"rtsp://u:pa'{SECRET}@host/a", f"u:{SECRET}@host/a", f"http://host/a?token='{SECRET}'"):
        assert main(["run", str(tmp_path / "a.png"), "--headless", option, address]) == 2
        printed = capsys.readouterr()
        assert SECRET not in printed.out + printed.err
        assert printed.err.count("\n") == 1


def test_errors_are_one_printable_line() -> None:
    error = HumanrtError("a\nb\udce9\x1b[31m\u2028.mp4: ünreadable 手")
    assert str(error) == "a\\nb\\xe9\\x1b[31m\\u2028.mp4: ünreadable 手"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Serve clip.mp4, six pictures, to whoever asks with whatever password; `127.0.0.1:PORT`."""
    video = cv2.VideoWriter(str(tmp_path / "clip.mp4"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for level in range(6):
        video.write(np.full((48, 64, 3), 40 * level, np.uint8))
    video.release()
    data = (tmp_path / "clip.mp4").read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            if "clip.mp4" not in self.path:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_a_video_at_an_address_is_named_without_its_password(server: str) -> None:
    with open_source(f"http://user:{SECRET}@{server}/clip.mp4?sig={SECRET}") as source:
        assert source.name == f"http://{server}/clip.mp4?sig=***"
        assert len(list(source)) == 6


def test_no_log_of_a_library_prints_a_password(server: str, tmp_path: Path) -> None:
    """Also where the user asked FFmpeg and OpenCV for all they have to say: they print addresses whole."""
    talkative = {"OPENCV_FFMPEG_LOGLEVEL": "56", "OPENCV_FFMPEG_DEBUG": "1", "OPENCV_LOG_LEVEL": "DEBUG"}
    for address in (
        f"http://user:{SECRET}@{server}/clip.mp4",
        f"http://{server}/clip.mp4?token={SECRET}",
        f"http://user:a@{SECRET}@{server}/absent.mp4",
        f"rtsp://user:{SECRET}@127.0.0.1:9/live",
    ):
        record = tmp_path / "r.jsonl"
        record.unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "humanrt", "run", address, "--headless", "--smooth", "none", "--record", record],
            capture_output=True,
            text=True,
            env={**os.environ, **talkative, "OPENCV_VIDEOIO_DEBUG": "1"},
            check=False,
        )
        assert done.returncode == (0 if "clip" in address else 2), done.stderr
        assert SECRET not in done.stdout + done.stderr
        if "clip" in address:
            header = json.loads(record.read_text().partition("\n")[0])
            assert header["source"].startswith(f"http://{server}/clip.mp4")
            assert SECRET not in record.read_text()


def test_usage_errors_and_reports_hold_no_password(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"http://user:{SECRET} x@{server}/clip.mp4?X-Amz-Signature={SECRET * 40}"
    for arguments in ([address], ["run", "0", address], ["run", "0", "--size", address], ["bench", address]):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert SECRET not in error
        assert error.count("\n") == 1
    report = tmp_path / "b.json"
    address = address.replace(" x", "")
    assert main(["bench", "hands", "--source", address, "--repeat", "1", "--warmup", "0", "--json", str(report)]) == 0
    printed = capsys.readouterr()
    assert SECRET not in report.read_text() + printed.out + printed.err
    assert json.loads(report.read_text())["source"] == f"http://{server}/clip.mp4?X-Amz-Signature=***"


@pytest.mark.parametrize("address", WITH_SECRETS)
def test_a_manifest_names_a_source_without_its_secrets(address: str) -> None:
    """What a verdict was calibrated on goes into the bundle, which is passed on."""
    assert SECRET not in name_of(address)
    assert name_of("folder/hand.mp4") == "hand.mp4"
    assert name_of(f"http://u:{SECRET}@host/dir/hand.mp4?token={SECRET}") == "hand.mp4?token=***"


def test_a_mistyped_address_is_not_quoted_whole() -> None:
    for address in (f"user:{SECRET}@127.0.0.1/live", f"rtsp:/user:{SECRET}@host/live"):
        with pytest.raises(SourceError, match="no such file") as error:
            open_source(address)
        assert SECRET not in str(error.value)
