"""An index of poses on disk: a folder that grows, that others read meanwhile, and that survives a crash.

``head.json`` says how many rows and files count; the others hold a row for each pose, or a line for each file:

===============  =============================================================================
`vectors.f32`    [D] float32, a pose's descriptor
`coarse.f32`     [`COARSE`] float32, what bounds its distances (`humanrt.search.coarse`)
`rows.bin`       `ROW`: source, frame, person, time
`sources.jsonl`  a `Source`
===============  =============================================================================

What is made of the vectors later is kept in folders of its own beside them (`humanrt.search.kept`).

Rows are written behind those that count, flushed to the disk, and only then does a new ``head.json`` replace the old
one: that is the acknowledgement. Whatever ends a writer, at any instant, leaves the rows of the last head; what stands
behind them is overwritten by the next writer. A reader takes the head that it finds when it opens, and never sees half
of an addition. There is one writer at a time (`lock`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import MAX_ABS
from humanrt.errors import HumanrtError, InvalidInputError, SourceError
from humanrt.files import write_atomically
from humanrt.search.coarse import COARSE, coarse_rows

__all__ = ["KEPT", "ROW", "Addition", "IndexWriter", "PoseIndex", "Source", "locked"]

Floats = NDArray[np.float32]

ROW = np.dtype([("source", "<u4"), ("frame", "<u4"), ("person", "<i8"), ("t", "<f8")])
FORMAT = 1
_HEAD, _LOCK, _SOURCES = "head.json", "lock", "sources.jsonl"
_VECTORS, _COARSE, _ROWS = "vectors.f32", "coarse.f32", "rows.bin"
_MAX_HEAD = 1 << 24  # bytes
KEPT = "kept-"
"""What names of folders begin with that hold what was made of an index's vectors (`humanrt.search.kept`)."""


@dataclass(frozen=True)
class Source:
    """A file whose poses are in an index.

    Attributes:
        file: its absolute path.
        sha256: of its content.
        first, rows: its rows in the index.
    """

    file: str
    sha256: str
    first: int
    rows: int


@dataclass(frozen=True)
class Addition:
    """A file that is to be put into an index. The rows of the same file with another content then no longer count.

    Attributes:
        file: its path.
        sha256: of its content.
        vectors: [N, D] descriptors of its poses.
        rows: [N] of `ROW`; their ``source`` is set when they are added. The rows of a person are together, and in time.
    """

    file: Path
    sha256: str
    vectors: Floats
    rows: NDArray[Any]


@dataclass(frozen=True)
class _Head:
    """What counts.

    Attributes:
        descriptor, groups: see `PoseIndex`.
        rows: number of rows.
        listed: bytes of ``sources.jsonl``.
        replaced: places of sources that were added again with another content since.
    """

    descriptor: str
    groups: tuple[int, ...]
    rows: int = 0
    listed: int = 0
    replaced: tuple[int, ...] = ()

    def text(self) -> bytes:
        return json.dumps({"format": FORMAT, **asdict(self)}).encode()


class PoseIndex:
    """An index opened for reading, as it is at this moment.

    Args:
        path: its folder.

    Attributes:
        path: as given.
        descriptor: by which its vectors were made.
        groups: [D] of their numbers, for `humanrt.search.coarse`.
        sources: the files, in the order of their numbers in the rows.
        replaced: numbers of files that were added again since, with another content: their rows no longer count.
        vectors: [N, D] float32, mapped from the disk.
        coarse: [N, `COARSE`] float32, likewise.
        rows: [N] of `ROW`, likewise.
        listed: bytes of ``sources.jsonl`` that count.

    Raises:
        SourceError: it is no index, of another version, or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        head = _read_head(self.path)
        self.descriptor, self.replaced = head.descriptor, frozenset(head.replaced)
        self.sources = _read_sources(self.path, head)
        self.listed = head.listed
        self.groups = np.array(head.groups, np.int64)
        self.vectors: Floats = self._mapped(_VECTORS, np.dtype("<f4"), (head.rows, len(head.groups)))
        self.coarse: Floats = self._mapped(_COARSE, np.dtype("<f4"), (head.rows, COARSE))
        self.rows: NDArray[Any] = self._mapped(_ROWS, ROW, (head.rows,))

    def __len__(self) -> int:
        return len(self.rows)

    def listing(self, listed: int) -> str:
        """Return the sha256 of the first bytes of ``sources.jsonl``; "" if it is shorter.

        What counts is never changed, so this tells one index from another that was made in its place.
        """
        if not listed:
            return hashlib.sha256().hexdigest()
        try:
            with (self.path / _SOURCES).open("rb") as stream:
                content = stream.read(listed)
        except OSError as error:
            reason = error.strerror or error
            raise SourceError(f"{self.path / _SOURCES}: {reason}; the index is damaged: make it again") from None
        return hashlib.sha256(content).hexdigest() if len(content) == listed else ""

    def _mapped(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        file = self.path / name
        try:
            if not shape[0]:
                return np.zeros(shape, dtype)
            return np.memmap(file, dtype, "r", shape=shape)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "shorter than head.json says"
            raise SourceError(f"{file}: {reason}; the index is damaged: make it again with `humanrt index`") from None


class IndexWriter:
    """Adds files to an index, and makes it if there is none. Use in ``with``; one writer at a time.

    Args:
        path: its folder.
        descriptor: by which the vectors are made.
        groups: [D] of their numbers, see `humanrt.search.coarse`.

    Raises:
        HumanrtError: the folder holds something else, an index by another descriptor, or another writer is at work.
    """

    def __init__(self, path: str | Path, descriptor: str, groups: Sequence[int]) -> None:
        self.path = Path(path)
        if self.path.exists() and not (self.path / _HEAD).exists() and not _only_own(self.path):
            raise HumanrtError(f"{self.path} holds something other than an index of poses; give a new folder to --out")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock: BinaryIO = (self.path / _LOCK).open("ab")
        except OSError as error:
            raise HumanrtError(
                f"{self.path} cannot be written ({error.strerror or error}); choose another --out"
            ) from error
        try:
            if not locked(self._lock):
                raise HumanrtError(f"{self.path}: another `humanrt index` is adding to it; wait until it is done")
            for left in self.path.glob(_UNFINISHED):  # by a writer that was killed
                left.unlink(missing_ok=True)
            if (self.path / _HEAD).exists():
                self._head = _read_head(self.path)
                if (self._head.descriptor, self._head.groups) != (descriptor, tuple(groups)):
                    raise HumanrtError(
                        f"{self.path}: holds vectors by `{self._head.descriptor}`, not by `{descriptor}` of this "
                        "version; make another index"
                    )
            else:
                self._head = _Head(descriptor, tuple(groups))
                write_atomically(self.path / _HEAD, self._head.text())
            self._sources = list(_read_sources(self.path, self._head))
            gone = set(self._head.replaced)
            self._places = {one.file: place for place, one in enumerate(self._sources) if place not in gone}
        except BaseException:
            self._lock.close()
            raise

    @property
    def current(self) -> Mapping[str, str]:
        """The sha256 of each file that counts, by its absolute path."""
        return {file: self._sources[place].sha256 for file, place in self._places.items()}

    @property
    def poses(self) -> int:
        """How many poses count."""
        return sum(self._sources[place].rows for place in self._places.values())

    def add(self, files: Sequence[Addition]) -> None:
        """Add the poses of files; when this returns they are on the disk, and readers that open the index see them.

        Several at once cost hardly more than one: the disk is flushed once for all.

        Raises:
            InvalidInputError: vectors of another size, or not finite. Nothing is added then.
            HumanrtError: the disk is full, or cannot be written. Nothing is added then.
        """
        head, size = self._head, len(self._head.groups)
        for one in files:
            wanted = (len(one.rows), size)
            if one.vectors.shape != wanted or not np.abs(one.vectors).max(initial=0) < MAX_ABS:  # NaN included
                raise InvalidInputError(f"{one.file}: vectors must be finite, {list(wanted)}, one for each row")
        if not files:
            return
        first, sources, replaced, places = head.rows, list(self._sources), set(head.replaced), dict(self._places)
        parts, next_row = [], first
        for one in files:
            name = str(one.file.absolute())
            if name in places:
                replaced.add(places[name])
            places[name] = len(sources)
            part = one.rows.astype(ROW)
            part["source"] = len(sources)
            parts.append(part)
            sources.append(Source(name, one.sha256, next_row, len(part)))
            next_row += len(part)
        vectors = np.concatenate([one.vectors for one in files]).astype("<f4")
        coarse = coarse_rows(vectors, np.array(head.groups)).astype("<f4")
        lines = "".join(json.dumps(asdict(one)) + "\n" for one in sources[len(self._sources) :]).encode()
        self._write(_VECTORS, first * vectors.itemsize * size, vectors.tobytes())
        self._write(_COARSE, first * coarse.itemsize * COARSE, coarse.tobytes())
        self._write(_ROWS, first * ROW.itemsize, np.concatenate(parts).tobytes())
        self._write(_SOURCES, head.listed, lines)
        head = replace(head, rows=next_row, listed=head.listed + len(lines), replaced=tuple(sorted(replaced)))
        write_atomically(self.path / _HEAD, head.text())  # the acknowledgement
        self._head, self._sources, self._places = head, sources, places

    def close(self) -> None:
        """Let other writers in."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, name: str, at: int, data: bytes) -> None:
        """Write behind the bytes that count, over whatever a writer that was killed left there."""
        file = self.path / name
        try:
            with file.open("r+b" if file.exists() else "x+b") as stream:
                if stream.seek(0, os.SEEK_END) < at:
                    raise SourceError(f"{file}: shorter than {_HEAD} says; the index is damaged: make it again")
                stream.seek(at)
                stream.truncate()
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            reason = error.strerror or error
            raise HumanrtError(f"{file} cannot be written ({reason}); the index is as it was before") from error


_UNFINISHED = f".{_HEAD}-*"
_OWN = (_HEAD, _VECTORS, _COARSE, _ROWS, _SOURCES, _LOCK)


def _only_own(path: Path) -> bool:
    """Whether a folder holds nothing but files of an index, such as one that was begun."""
    return path.is_dir() and all(
        one.name in _OWN or one.match(_UNFINISHED) or one.name.startswith(KEPT) for one in path.iterdir()
    )


def _read_head(path: Path) -> _Head:
    file = path / _HEAD
    try:
        if file.stat().st_size > _MAX_HEAD:
            raise ValueError("it is too large")
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SourceError(
            f"{path}: no index of poses ({error.strerror}: {_HEAD}); make one with `humanrt index`"
        ) from None
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{file}: damaged ({error}); make the index again") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        version = content.get("format") if isinstance(content, dict) else None
        raise SourceError(f"{file}: format {str(version)[:20]} is not {FORMAT}; make the index again with this version")
    try:
        head = _Head(
            str(content["descriptor"]),
            tuple(int(group) for group in content["groups"]),
            int(content["rows"]),
            int(content["listed"]),
            tuple(int(place) for place in content["replaced"]),
        )
        sound = head.rows >= 0 and head.listed >= 0 and -1 <= min(head.groups) <= max(head.groups) < COARSE - 1
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise SourceError(f"{file}: its entries are not those of an index; it is damaged: make the index again")
    return head


def _read_sources(path: Path, head: _Head) -> tuple[Source, ...]:
    """Read the sources that count. SourceError unless each begins where the one before ends, and all rows have one."""
    file, sources, next_row = path / _SOURCES, list[Source](), 0
    if not head.listed:
        return ()
    try:
        with file.open("rb") as stream:
            lines = stream.read(head.listed).decode("utf-8").splitlines()
        for line in lines:
            entry = json.loads(line)
            source = Source(str(entry["file"]), str(entry["sha256"]), int(entry["first"]), int(entry["rows"]))
            if source.first != next_row or source.rows < 0:
                raise ValueError
            sources.append(source)
            next_row += source.rows
        if next_row != head.rows:
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise SourceError(f"{file}: not as {_HEAD} says; the index is damaged: make it again") from None
    return tuple(sources)


def locked(stream: BinaryIO) -> bool:
    """Lock a file until it is closed or its process ends; False if another process holds it."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            stream.seek(0)
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
