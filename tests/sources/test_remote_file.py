"""Videos at http addresses: what their container says is read there, in pieces."""

from __future__ import annotations

import base64
import http.server
import re
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from test_capture import write_video

from humanrt.errors import SourceError
from humanrt.sources.opening import open_source
from humanrt.sources.remote_file import MAX_REQUESTS, RemoteFile


class Server(http.server.ThreadingHTTPServer):
    """Gives the files of a folder, whole or in ranges, with a password if one is set; `sent`: the share that comes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ranges, self.login, self.asked, self.sent = folder, True, "", 0, 1.0
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, *_: object) -> None:
        """A reader that had enough closes the connection; that is no fault."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.asked += 1
        path = self.server.folder / self.path.lstrip("/").partition("?")[0]
        if not path.is_file():
            self.send_error(404)
            return
        if self.server.login and self.headers.get("Authorization") != f"Basic {self.server.login}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.end_headers()
            return
        data = path.read_bytes()
        found = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if self.server.ranges else None
        begin = int(found[1]) if found else 0
        end = min(len(data), int(found[2]) + 1) if found and found[2] else len(data)
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(data)}")
        self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        try:
            self.wfile.write(data[begin : begin + int(self.server.sent * (end - begin))])
            self.close_connection = self.server.sent < 1.0
        except OSError:  # the reader had enough
            self.close_connection = True


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def test_pieces_are_those_of_the_file(server: Server, tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 256, 300_000, np.uint8).tobytes()
    (tmp_path / "a.bin").write_bytes(data)
    server.login = base64.b64encode(b"us@er:pw").decode()
    with RemoteFile(f"http://us%40er:pw@{server.address}/a.bin?x=1") as file:
        assert file.size == len(data)
        for offset, count in ((0, 10), (70_000, 100), (65_530, 100), (299_990, 100), (1000, 200_000), (300_000, 5)):
            assert file.at(offset, count) == data[offset : offset + count]
        with pytest.raises(OSError, match="too many pieces"):  # noqa: PT012 - never without an end
            for number in range(2 * MAX_REQUESTS):
                file.at((number % 2) * 200_000, 10)
    assert server.asked == MAX_REQUESTS


@pytest.mark.parametrize("path", ["absent.bin", "a.bin"])
def test_what_gives_no_pieces_is_an_os_error(
    server: Server, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.bin").write_bytes(b"xyz")
    server.ranges = False
    monkeypatch.setattr("humanrt.sources.remote_file.MAX_WHOLE_BYTES", 2)
    for address in (f"http://{server.address}/{path}", "rtsp://127.0.0.1:9/a", "http://127.0.0.1:9/a"):
        with pytest.raises(OSError, match=r"\w"):
            RemoteFile(address)


@pytest.mark.parametrize("ranges", [True, False])
def test_an_answer_that_breaks_off_or_trickles_is_an_os_error(
    server: Server, tmp_path: Path, ranges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than was asked for is not what the file says."""
    (tmp_path / "a.bin").write_bytes(b"x" * 100_000)
    server.ranges, server.sent = ranges, 0.5
    with pytest.raises(OSError, match="truncated"):
        RemoteFile(f"http://{server.address}/a.bin")
    server.sent = 1.0
    monkeypatch.setattr("humanrt.sources.remote_file.DEADLINE", -1.0)
    with pytest.raises(OSError, match="too long"):
        RemoteFile(f"http://{server.address}/a.bin")


def test_a_server_without_ranges_sends_the_whole_once(server: Server, tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 256, 300_000, np.uint8).tobytes()
    (tmp_path / "a.bin").write_bytes(data)
    server.ranges = False
    with RemoteFile(f"http://{server.address}/a.bin") as file:
        for offset, count in ((0, 10), (299_990, 100), (70_000, 100_000)):
            assert file.at(offset, count) == data[offset : offset + count]
    assert server.asked == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_a_mirrored_video_is_shown_mirrored(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.ranges = ranges
    path = tmp_path / "a.mp4"
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 30, (64, 48))
    for _ in range(3):
        video.write(np.repeat(np.array([50, 200], np.uint8), 32)[None, :, None].repeat(48, 0).repeat(3, 2))
    video.release()
    data = bytearray(path.read_bytes())
    struct.pack_into(">9i", data, data.find(b"tkhd") + 44, -(1 << 16), 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    with open_source(f"http://{server.address}/a.mp4") as source:
        image = next(source).image
    assert image[:, :20].mean() > 180
    assert image[:, 44:].mean() < 70


@pytest.mark.parametrize("ranges", [True, False])
def test_a_video_that_is_cut_on_the_server_breaks_off(server: Server, tmp_path: Path, ranges: bool) -> None:
    server.ranges = ranges
    path = write_video(tmp_path / "a.mkv", 90)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with open_source(f"http://{server.address}/a.mkv") as source, pytest.raises(SourceError, match="truncated after"):
        list(source)


def test_a_whole_video_is_not_asked_for_twice(server: Server, tmp_path: Path) -> None:
    write_video(tmp_path / "a.avi", 10)
    with open_source(f"http://{server.address}/a.avi") as source:
        asked = server.asked
        assert len(list(source)) == 10
    assert server.asked == asked
