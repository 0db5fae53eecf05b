"""Read a video's container: its tracks, its display orientation, and whether the file is complete.

OpenCV's FFmpeg reports little of this: for most containers its frame count is an estimate from the longest track, its
rotation ignores mirroring, and it does not say why a file cannot be opened. Only what these need is parsed, of MP4 and
MOV, Matroska and WebM, AVI, FLV, ASF (WMV), Ogg, GIF, and MPEG streams.

Files are not trusted: sizes are checked before anything is read or allocated, loops are bounded, and inconsistent data
leaves the answer unknown (None).

Formats: ISO/IEC 14496-12 (MP4), RFC 9559 (Matroska), Adobe Flash Video 10.1 and Enhanced RTMP 2 (FLV), Advanced
Systems Format 01.20.06e (ASF), RFC 3533 (Ogg), GIF89a.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, Protocol

import numpy as np

from humanrt.sources.orientation import UPRIGHT, Turn, turn_of_matrix
from humanrt.sources.remote_file import RemoteFile

__all__ = ["Container", "Extent", "read_container", "read_extent"]

MAX_INDEX_BYTES = 64 << 20  # bytes of an MP4's index; a day of video has 30 MB
MAX_SAMPLES = 1 << 23  # samples of an MP4 whose timestamps are read; 77 hours at 30 fps
MAX_ELEMENTS = 1 << 21  # boxes, blocks, tags or pages that are visited

_BAD = (struct.error, IndexError, ValueError, OverflowError, OSError)


class _Bytes(Protocol):
    """A file that is read at given offsets."""

    size: int

    def at(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset` on; fewer at the end of the file."""


@dataclass(frozen=True)
class Container:
    """The tracks of a file.

    Attributes:
        kind: the container format's name, for messages.
        video: the first video track's codec; None if there is no video.
        sound: whether there is an audio track.
        index: False if an MP4 lacks its index.
        turn: the display orientation; None if it is not read from this kind of container.
    """

    kind: str
    video: str | None
    sound: bool
    index: bool = True
    turn: Turn | None = None


@dataclass(frozen=True)
class Extent:
    """Amount of video that a file should contain.

    Attributes:
        cut: whether the file is truncated, or lacks what its header announces; None if unknown.
        frames: number of frames displayed; None if there is only an estimate.
        seconds: their total duration.
    """

    cut: bool | None = None
    frames: int | None = None
    seconds: float | None = None


def read_container(source: Path | str) -> Container | None:
    """Read the container of a file or of an http address; None if its format is unknown.

    Only regular files are read.
    """
    try:
        with _open(source) as file:
            return _describe(file)
    except _BAD:
        return None


def read_extent(source: Path | str) -> Extent:
    """Read how much video a file or an http address should contain; an empty Extent if unknown."""
    try:
        with _open(source) as file:
            start = file.at(0, 1024)
            for begins, measure in _EXTENTS:
                if begins(start):
                    return measure(file)
    except _BAD:
        pass
    return Extent()


def _open(source: Path | str) -> _File | RemoteFile:
    return RemoteFile(source) if isinstance(source, str) else _File(source)


class _File:
    """A regular file, read at given offsets."""

    def __init__(self, path: Path) -> None:
        if not S_ISREG(path.stat().st_mode):  # opening a pipe would consume its data
            raise OSError("not a regular file")
        self._file: BinaryIO = path.open("rb")
        self.size = os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> _File:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def at(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset` on; fewer at the end of the file."""
        if self._file.tell() != offset:
            self._file.seek(offset)
        return self._file.read(count)


def _describe(file: _Bytes) -> Container | None:
    start = file.at(0, 1024)
    if _is_mp4(start):
        return _describe_mp4(file)
    if _is_matroska(start):
        return _describe_matroska(file)
    if start[:4] == b"RIFF" and start[8:12] == b"AVI ":
        return _describe_avi(file)
    if _is_flv(start):
        return _describe_flv(file)
    if _is_asf(start):
        return _describe_asf(file)
    if _is_ogg(start):
        return _describe_ogg(file)
    if _is_gif(start):
        return Container("GIF", "GIF", sound=False)
    if _is_transport(start) or _is_program(start):
        return _describe_mpeg(file)
    return _describe_sound(start)


def _text(code: bytes) -> str:
    """Return a codec's code, which may hold any bytes, as printable text."""
    return code.decode("latin-1").strip("\0 ").encode("ascii", "backslashreplace").decode() or "unknown"


_CODECS = {
    "av01": "AV1",
    "avc1": "H.264",
    "avc3": "H.264",
    "h264": "H.264",
    "hvc1": "HEVC",
    "hev1": "HEVC",
    "hevc": "HEVC",
    "dvh1": "HEVC with Dolby Vision",
    "dvhe": "HEVC with Dolby Vision",
    "vvc1": "VVC",
    "vvi1": "VVC",
    "vp08": "VP8",
    "vp80": "VP8",
    "vp09": "VP9",
    "vp90": "VP9",
    "mp4v": "MPEG-4",
    "fmp4": "MPEG-4",
    "xvid": "MPEG-4",
    "dx50": "MPEG-4",
    "divx": "MPEG-4",
    "mjpg": "Motion JPEG",
    "jpeg": "Motion JPEG",
    "encv": "encrypted",
    "drmi": "encrypted",
    "V_AV1": "AV1",
    "V_VP8": "VP8",
    "V_VP9": "VP9",
    "V_MPEG4/ISO/AVC": "H.264",
    "V_MPEGH/ISO/HEVC": "HEVC",
    "V_MPEGI/ISO/VVC": "VVC",
    "V_THEORA": "Theora",
}


def _codec(code: bytes) -> str:
    name = _text(code)
    return _CODECS.get(name, _CODECS.get(name.lower(), name))


# --- MP4 and MOV ---

_TOP_LEVEL = frozenset(
    b"ftyp styp moov moof mfra mdat free skip wide pnot PICT junk uuid meta sidx ssix prft emsg pdin".split()
)


def _is_mp4(start: bytes) -> bool:
    return start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp")


def _top_boxes(file: _Bytes) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield type, start of the body, announced end, and start of each top-level box of an MP4."""
    at = 0
    for _ in range(MAX_ELEMENTS):
        head = file.at(at, 16)
        if len(head) < 8:
            return
        size, kind, body = int.from_bytes(head[:4], "big"), head[4:8], at + 8
        if kind not in _TOP_LEVEL:  # trailing data, or zeros that a download has not filled yet
            return
        if size == 1:
            size, body = int.from_bytes(head[8:16], "big"), at + 16
        end = file.size if size == 0 else at + size
        if end < body:
            return
        yield kind, body, end, at
        at = end
        if at >= file.size:
            return


def _boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield type and body of each box in a part of an MP4's index."""
    at = 0
    while at + 8 <= len(data):
        size, kind, body = int.from_bytes(data[at : at + 4], "big"), bytes(data[at + 4 : at + 8]), at + 8
        if size == 1:
            size, body = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        end = len(data) if size == 0 else at + size
        if end < body or end > len(data):
            return
        yield kind, data[body:end]
        at = end


def _child(data: memoryview, *path: bytes) -> memoryview:
    """Return the body of the first box at this path; empty if there is none."""
    for kind in path:
        data = next((body for name, body in _boxes(data) if name == kind), _NOTHING)
    return data


def _index(file: _Bytes) -> memoryview | None:
    for kind, body, end, _ in _top_boxes(file):
        if kind == b"moov":
            if end > file.size or end - body > MAX_INDEX_BYTES:
                return None
            return memoryview(file.at(body, end - body))
    return None


def _tracks(moov: memoryview, handler: bytes) -> list[memoryview]:
    tracks = [body for kind, body in _boxes(moov) if kind == b"trak"]
    return [track for track in tracks if _child(track, b"mdia", b"hdlr")[8:12] == handler]


def _describe_mp4(file: _Bytes) -> Container:
    moov = _index(file)
    if moov is None:
        return Container("MP4", None, sound=False, index=False)
    videos = _tracks(moov, b"vide")
    sound = bool(_tracks(moov, b"soun"))
    if not videos:
        return Container("MP4", None, sound)
    codec = _codec(bytes(_child(videos[0], b"mdia", b"minf", b"stbl", b"stsd")[12:16]))
    return Container("MP4", codec, sound, turn=_mp4_turn(moov, videos[0]))


def _matrix(box: memoryview, short: int, long: int) -> tuple[int, int, int, int]:
    """Return a, b, c, d of the matrix in a full box; its offset depends on the box's version."""
    a, b, _, c, d = struct.unpack_from(">5i", box, long if box[0] == 1 else short)
    return a, b, c, d


def _mp4_turn(moov: memoryview, track: memoryview) -> Turn:
    """Return a track's display orientation: its own matrix, followed by the movie's."""
    try:
        a, b, c, d = _matrix(_child(track, b"tkhd"), 40, 52)
        header = _child(moov, b"mvhd")
        e, f, g, h = _matrix(header, 36, 48) if len(header) else (1, 0, 0, 1)
    except _BAD:
        return UPRIGHT
    if not (e or f or g or h):
        e, h = 1, 1
    return turn_of_matrix(a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h)


def _mp4_extent(file: _Bytes) -> Extent:
    moov = _index(file)
    videos = [] if moov is None else _tracks(moov, b"vide")
    if moov is None or not videos:
        return Extent()
    cut = False
    fragments = 0
    identity = _track_identity(videos[0])
    for kind, body, end, _ in _top_boxes(file):
        cut = cut or end > file.size
        if kind == b"moof" and end <= min(file.size, body + MAX_INDEX_BYTES):
            fragments += _samples_of_fragment(memoryview(file.at(body, end - body)), identity)
    if len(_child(moov, b"mvex")):
        own = _sample_count(_child(videos[0], b"mdia", b"minf", b"stbl"))
        return Extent(cut, own + fragments)
    frames, seconds = _shown(moov, videos[0])
    return Extent(cut, frames, seconds)


def _track_identity(track: memoryview) -> int:
    header = _child(track, b"tkhd")
    return int.from_bytes(header[20:24] if header[0] == 1 else header[12:16], "big")


def _samples_of_fragment(moof: memoryview, identity: int) -> int:
    samples = 0
    for kind, fragment in _boxes(moof):
        if kind == b"traf" and int.from_bytes(_child(fragment, b"tfhd")[4:8], "big") == identity:
            runs = [body for name, body in _boxes(fragment) if name == b"trun"]
            samples += sum(int.from_bytes(run[4:8], "big") for run in runs)
    return samples


def _sample_count(table: memoryview) -> int:
    sizes = _child(table, b"stsz")
    return int.from_bytes((sizes if len(sizes) else _child(table, b"stz2"))[8:12], "big")


def _runs(box: memoryview, count: int) -> np.ndarray:
    """Expand a run-length table of (count, value) to one value per sample; int64 [count]."""
    entries = int.from_bytes(box[4:8], "big")
    pairs = np.frombuffer(box[8 : 8 + 8 * entries], ">u4").reshape(-1, 2).astype(np.int64)
    if pairs[:, 0].sum() > MAX_SAMPLES:
        raise ValueError("implausibly many samples")
    values = np.repeat(pairs[:, 1].astype(np.uint32).view(np.int32).astype(np.int64), pairs[:, 0])[:count]
    return np.pad(values, (0, count - len(values)))


def _shown(moov: memoryview, track: memoryview) -> tuple[int | None, float | None]:
    """Return the number of samples that a track's edit list shows, and their duration in seconds."""
    table = _child(track, b"mdia", b"minf", b"stbl")
    count = _sample_count(table)
    if count > MAX_SAMPLES:
        return count, None
    header = _child(track, b"mdia", b"mdhd")
    scale = int.from_bytes(header[20:24] if header[0] == 1 else header[12:16], "big")
    durations = _runs(_child(table, b"stts"), count)
    if scale == 0:
        return count, None
    edits = _edits(_child(track, b"edts", b"elst"))
    if not edits:
        return count, float(durations.sum()) / scale
    offsets = _child(table, b"ctts")
    times = np.cumsum(durations) - durations
    if len(offsets):
        times = times + _runs(offsets, count)
    film = _child(moov, b"mvhd")
    film_scale = int.from_bytes(film[20:24] if film[0] == 1 else film[12:16], "big")
    shown = np.zeros(count, bool)
    for length, start in edits:
        end = start + (length + 0.5) * scale / film_scale if length and film_scale else np.inf
        shown |= (times >= start) & (times < end)
    return int(shown.sum()), float(durations[shown].sum()) / scale


def _edits(box: memoryview) -> list[tuple[int, int]]:
    """Return duration (movie time scale) and start (track time scale) of each edit that is not empty."""
    if not len(box):
        return []
    entry = ">Qq" if box[0] == 1 else ">Ii"
    stride = struct.calcsize(entry) + 4
    count = min(int.from_bytes(box[4:8], "big"), (len(box) - 8) // stride, 1000)
    edits = [struct.unpack_from(entry, box, 8 + stride * number) for number in range(count)]
    return [(length, start) for length, start in edits if start >= 0]


# --- Matroska and WebM ---

_SEGMENT, _CLUSTER, _TRACKS, _CUES = 0x18538067, 0x1F43B675, 0x1654AE6B, 0x1C53BB6B
_NOTHING = memoryview(b"")
_BLOCKS = (0xA3, 0xA0)  # SimpleBlock, BlockGroup
# Other elements of segments and clusters: Info, SeekHead, Tags, Attachments, Chapters, Void, CRC-32, Timestamp,
# SilentTracks, Position, PrevSize, EncryptedBlock; and EBML, in concatenated files.
_OTHERS = frozenset((0x1549A966, 0x114D9B74, 0x1254C367, 0x1941A469, 0x1043A770, 0xEC, 0xBF, 0xE7, 0x5854, 0xA7, 0xAB))
_KNOWN = _OTHERS | {_SEGMENT, _CLUSTER, _TRACKS, _CUES, *_BLOCKS, 0xAF, 0x1A45DFA3}


def _is_matroska(start: bytes) -> bool:
    return start[:4] == b"\x1a\x45\xdf\xa3"


def _element(head: bytes) -> tuple[int, int | None, int] | None:
    """Return ID, size (None: unknown) and header length of an EBML element; None if the header is truncated."""
    if not head or not head[0]:
        return None
    width = 9 - head[0].bit_length()
    if width > 4 or len(head) <= width or not head[width]:
        return None
    length = 9 - head[width].bit_length()
    if len(head) < width + length:
        return None
    size = int.from_bytes(head[width : width + length], "big") & ((1 << 7 * length) - 1)
    return int.from_bytes(head[:width], "big"), None if size == (1 << 7 * length) - 1 else size, width + length


def _elements(file: _Bytes) -> Iterator[tuple[int, int, int | None]]:
    """Yield ID, start of the body, and end of each element in the segment; clusters of unknown size are entered.

    A final ID of 0 stands for data that is not an element, or for a truncated header.
    """
    at = 0
    for _ in range(MAX_ELEMENTS):
        if at >= file.size:
            return
        element = _element(file.at(at, 12))
        if element is None or element[0] not in _KNOWN:
            yield 0, at, None
            return
        identity, size, head = element
        body = at + head
        yield identity, body, None if size is None else body + size
        at = body if identity == _SEGMENT or size is None else body + size


def _children(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at < len(data):
        element = _element(bytes(data[at : at + 12]))
        if element is None or element[1] is None:
            return
        identity, size, head = element[0], element[1], element[2]
        yield identity, data[at + head : at + head + size]
        at += head + size


def _describe_matroska(file: _Bytes) -> Container | None:
    for identity, body, end in _elements(file):
        if identity == _TRACKS and end is not None and end - body <= MAX_INDEX_BYTES:
            entries = [dict(_children(entry)) for kind, entry in _children(memoryview(file.at(body, end - body)))
                       if kind == 0xAE]  # fmt: skip
            kinds = [int.from_bytes(entry.get(0x83, b""), "big") for entry in entries]
            videos = [entry for entry, kind in zip(entries, kinds, strict=True) if kind == 1]
            if not videos:
                return Container("Matroska", None, 2 in kinds)
            return Container("Matroska", _matroska_codec(videos[0]), 2 in kinds, turn=_matroska_turn(videos[0]))
    return None


def _matroska_codec(entry: dict[int, memoryview]) -> str:
    code = bytes(entry.get(0x86, b""))
    if code == b"V_MS/VFW/FOURCC":
        code = bytes(entry.get(0x63A2, b""))[16:20]
    return _codec(code)


def _matroska_turn(entry: dict[int, memoryview]) -> Turn:
    """Return the orientation of a rectangular projection: its roll, after mirroring if its yaw is 180 degrees."""
    projection = dict(_children(dict(_children(entry.get(0xE0, _NOTHING))).get(0x7670, _NOTHING)))
    if int.from_bytes(projection.get(0x7671, b""), "big"):  # 360 degrees
        return UPRIGHT
    yaw, pitch, roll = (_real(projection.get(key, _NOTHING)) for key in (0x7673, 0x7674, 0x7675))
    if pitch or abs(yaw) not in (0.0, 180.0) or not abs(roll) <= 360:
        return UPRIGHT
    cosine, sine, mirror = math.cos(math.radians(roll)), math.sin(math.radians(roll)), -1 if yaw else 1
    return turn_of_matrix(mirror * cosine, mirror * -sine, sine, cosine)


def _real(data: memoryview) -> float:
    value: float = struct.unpack({8: ">d", 4: ">f"}[len(data)], data)[0] if len(data) in (4, 8) else 0.0
    return value


def _matroska_extent(file: _Bytes) -> Extent:
    segment_end: int | None = None
    clusters = index = False
    at = 0
    for identity, body, end in _elements(file):
        if identity == _SEGMENT:
            segment_end = end
        if identity == 0:
            # Anything may follow the segment. Inside it, this is a truncated header, or zeros that a download has not
            # filled yet.
            return Extent(cut=segment_end is None or body < segment_end)
        clusters = clusters or identity == _CLUSTER
        index = index or (clusters and identity == _CUES)
        at = body if end is None else end
        if at > file.size and identity in (_CLUSTER, _TRACKS, *_BLOCKS, 0xE7):
            return Extent(cut=True)
    # The index after the last cluster is written when the file is complete; without it, and with less data than
    # announced, clusters are missing.
    return Extent(cut=not index and segment_end is not None and segment_end > file.size)


# --- AVI, FLV, ASF ---


def _describe_avi(file: _Bytes) -> Container:
    """Read the codec only: OpenCV's frame count is exact for AVI."""
    head = file.at(0, 1 << 16)
    headers = [match.start() for match in re.finditer(rb"strh....(?=vids|auds)", head, re.DOTALL)]
    videos = [at for at in headers if head[at + 8 : at + 12] == b"vids"]
    codec = None
    if videos:
        form = head.find(b"strf", videos[0])
        compression = head[form + 24 : form + 28] if form >= 0 else b""
        codec = _codec(compression if compression.strip(b"\0") else head[videos[0] + 12 : videos[0] + 16])
    return Container("AVI", codec, sound=len(headers) > len(videos))


def _is_flv(start: bytes) -> bool:
    return start[:3] == b"FLV"


_FLV_CODECS = {2: "Sorenson H.263", 3: "Flash screen video", 4: "VP6", 5: "VP6", 6: "Flash screen video", 7: "H.264"}
_FLV_CODECS |= {12: "HEVC", 13: "AV1"}


def _flv_tags(file: _Bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield type, first bytes, and announced end of each tag."""
    at = int.from_bytes(file.at(5, 4), "big") + 4
    for _ in range(MAX_ELEMENTS):
        head = file.at(at, 16)
        if len(head) < 11:
            return
        end = at + 11 + int.from_bytes(head[1:4], "big")
        yield head[0] & 0x1F, head[11:], end
        at = end + 4


def _describe_flv(file: _Bytes) -> Container:
    codec, sound = None, False
    for number, (kind, first, _) in enumerate(_flv_tags(file)):
        if kind == 9 and codec is None and first:
            codec = _codec(first[1:5]) if first[0] & 0x80 else _FLV_CODECS.get(first[0] & 15, "unknown")
        sound = sound or kind == 8
        if (codec and sound) or number > 1000:
            break
    return Container("FLV", codec, sound)


def _flv_extent(file: _Bytes) -> Extent:
    end = 0
    for _, _, end in _flv_tags(file):
        if end > file.size:
            return Extent(cut=True)
    return Extent(cut=0 < file.size - (end + 4) < 11)


_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_ASF_STREAM = bytes.fromhex("9107dcb7b7a9cf118ee600c00c205365")
_ASF_VIDEO = bytes.fromhex("c0ef19bc4d5bcf11a8fd00805f5c442b")
_ASF_SOUND = bytes.fromhex("409e69f84d5bcf11a8fd00805f5c442b")


def _is_asf(start: bytes) -> bool:
    return start[:16] == _ASF_HEADER


def _asf_objects(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 24 <= len(data):
        size = int.from_bytes(data[at + 16 : at + 24], "little")
        if size < 24:
            return
        yield data[at : at + 16], data[at : at + size]
        at += size


def _describe_asf(file: _Bytes) -> Container:
    size = int.from_bytes(file.at(16, 8), "little")
    streams = [item for name, item in _asf_objects(file.at(30, min(size, 1 << 20) - 30)) if name == _ASF_STREAM]
    videos = [stream for stream in streams if stream[24:40] == _ASF_VIDEO]
    sound = any(stream[24:40] == _ASF_SOUND for stream in streams)
    return Container("ASF", _codec(videos[0][105:109]) if videos else None, sound)


def _asf_extent(file: _Bytes) -> Extent:
    at = int.from_bytes(file.at(16, 8), "little")
    head = file.at(at, 24)
    if head[:16] != _ASF_DATA:
        return Extent()
    size = int.from_bytes(head[16:24], "little")
    return Extent(cut=at + size > file.size if size > 50 else None)  # a broadcast announces 0, or its header only


# --- Ogg, GIF, MPEG streams, sound ---


def _is_ogg(start: bytes) -> bool:
    return start[:4] == b"OggS"


_OGG_VIDEO = {b"\x80theora": "Theora", b"BBCD\0": "Dirac", b"\x01video": "OGM", b"OVP80": "VP8"}
_OGG_SOUND = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex ", b"\x01audio")


def _describe_ogg(file: _Bytes) -> Container:
    """Read the first page of each stream; they precede all other pages."""
    head = file.at(0, 1 << 14)
    pages = [match.end() for match in re.finditer(rb"OggS\0\x02.{20}(?=[\x01-\x04])", head, re.DOTALL)]
    packets = [head[at + 1 + head[at] :][:16] for at in pages]
    videos = [name for packet in packets for mark, name in _OGG_VIDEO.items() if packet.startswith(mark)]
    return Container("Ogg", videos[0] if videos else None, any(packet.startswith(_OGG_SOUND) for packet in packets))


def _ogg_extent(file: _Bytes) -> Extent:
    at = 0
    for _ in range(MAX_ELEMENTS):
        head = file.at(at, 282)
        if not head:
            return Extent(cut=False)
        if head[:4] != b"OggS"[: len(head)]:
            return Extent()
        if len(head) < 27 or len(head) < 27 + head[26]:
            return Extent(cut=True)
        at += 27 + head[26] + sum(head[27 : 27 + head[26]])
        if at > file.size:
            return Extent(cut=True)
    return Extent()


def _is_gif(start: bytes) -> bool:
    return start[:6] in (b"GIF87a", b"GIF89a")


def _gif_extent(file: _Bytes) -> Extent:
    flags = file.at(10, 1)[0]
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    for _ in range(MAX_ELEMENTS):
        head = file.at(at, 10)
        if not head or head[0] == 0:
            return Extent(cut=True)
        if head[0] == 0x3B:
            return Extent(cut=False)
        if head[0] == 0x21:
            at += 2
        elif head[0] == 0x2C and len(head) == 10:
            at += 11 + (3 << (head[9] & 7) + 1 if head[9] & 0x80 else 0)
        else:
            return Extent(cut=True)
        for _ in range(MAX_ELEMENTS):
            length = file.at(at, 1)
            at += 1 + (length[0] if length else 0)
            if not length or at > file.size:
                return Extent(cut=True)
            if not length[0]:
                break
    return Extent()


def _packet_size(start: bytes) -> int | None:
    """Return the packet size of a transport stream. Packets begin with 0x47, on Blu-rays after a 4-byte timestamp."""
    for size, first in ((188, 0), (192, 4)):
        if start[first : first + 2 * size + 1 : size] == b"GGG":
            return size
    return None


def _is_transport(start: bytes) -> bool:
    return _packet_size(start) is not None


def _transport_extent(file: _Bytes) -> Extent:
    size = _packet_size(file.at(0, 1024))
    return Extent(cut=size is not None and file.size % size != 0)


def _is_program(start: bytes) -> bool:
    return start[:4] == b"\0\0\x01\xba"


def _program_extent(file: _Bytes) -> Extent:
    """Judge by the packets in the last megabyte."""
    tail = file.at(max(0, file.size - (1 << 20)), 1 << 20)
    at = tail.find(b"\0\0\x01\xba")
    while 0 <= at < len(tail):
        head = tail[at : at + 14]
        if len(head) < 6:
            return Extent(cut=True)
        if head[:3] != b"\0\0\x01" or head[3] < 0xB9:
            return Extent()
        if head[3] == 0xB9:
            return Extent(cut=False)
        if head[3] == 0xBA:
            if len(head) < 14:
                return Extent(cut=True)
            at += 14 + (head[13] & 7) if head[4] & 0xC0 == 0x40 else 12
        else:
            at += 6 + int.from_bytes(head[4:6], "big")
    return Extent(cut=at > len(tail)) if at >= 0 else Extent()


def _describe_mpeg(file: _Bytes) -> Container | None:
    """Tell video from audio by the packets that begin in the first 4 MB."""
    head = file.at(0, 4 << 20)
    video = re.search(rb"\0\0\x01[\xe0-\xef]", head) is not None
    sound = re.search(rb"\0\0\x01[\xc0-\xdf\xbd]", head) is not None
    return Container("MPEG", "unknown" if video else None, sound) if video or sound else None


def _describe_sound(start: bytes) -> Container | None:
    riff_wave = start[:4] in (b"RIFF", b"RF64") and start[8:12] == b"WAVE"
    mpeg = start[:1] == b"\xff" and len(start) > 1 and start[1] & 0xE0 == 0xE0 and start[1] & 0x18 != 0x08
    names = {b"ID3": "MP3", b"fLaC": "FLAC", b"FORM": "AIFF", b"#!AMR": "AMR", b"caff": "CAF", b"MThd": "MIDI"}
    name = next((name for mark, name in names.items() if start.startswith(mark)), None)
    if riff_wave or mpeg or name:
        return Container("WAV" if riff_wave else name or "MPEG audio", None, sound=True)
    return None


_EXTENTS = (
    (_is_mp4, _mp4_extent),
    (_is_matroska, _matroska_extent),
    (_is_flv, _flv_extent),
    (_is_asf, _asf_extent),
    (_is_ogg, _ogg_extent),
    (_is_gif, _gif_extent),
    (_is_transport, _transport_extent),
    (_is_program, _program_extent),
)
