"""Motions from files, folders and archives: `load_motions`, `load_motion`.

Formats by extension: `.amc` (with the `.asf` of its subject beside it), `.bvh`, `.npz` (AMASS, SMPL-X). Archives
(`.tar`, `.tar.xz`, `.tar.gz`, `.zip`) are read in memory: nothing is extracted to disk.
"""

from __future__ import annotations

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path, PurePosixPath

import numpy as np

from humanrt_export.motion.amass import parse_amass
from humanrt_export.motion.asf_amc import CMU_FPS, Skeleton, parse_amc, parse_asf
from humanrt_export.motion.bvh import bvh_motion
from humanrt_export.motion.clip import Motion, MotionError
from humanrt_export.motion.retarget import Source, find_naming, retarget

__all__ = ["FORMATS", "amc_motion", "load_motion", "load_motions"]

FORMATS = (".amc", ".bvh", ".npz")
_ARCHIVES = (".tar", ".tar.xz", ".tar.gz", ".tgz", ".tar.bz2", ".zip")
_LARGEST = 512 * 2**20  # bytes of one file: an hour of CMU's motion is 100 MB
_MOST = 8 * 2**30
_DAMAGED = (
    *(OSError, EOFError, ValueError, RuntimeError),
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)


def amc_motion(skeleton: Skeleton, text: str, source: str, fps: float = CMU_FPS) -> Motion:
    """Read an AMC motion of a skeleton, on SMPL's tree."""
    amc = parse_amc(text, skeleton, source)
    place, turns = skeleton.pose(amc)
    ends = skeleton.joints(place, turns)
    rest = skeleton.joints(np.zeros((1, 3)), {name: np.eye(3)[None] for name in skeleton.bones})
    starts = {bone.name: bone.parent or bone.name for bone in skeleton.bones.values()}
    hinges = {}
    for name, bone in skeleton.bones.items():
        turning = [channel for channel in bone.channels if channel.startswith("r")]
        if len(turning) == 1:
            hinges[name] = bone.axes[:, "xyz".index(turning[0][1])]
    return retarget(
        Source(
            heads={name: rest[start][0] for name, start in starts.items()},
            ends={name: rest[name][0] for name in skeleton.bones},
            turns=turns,
            joints={name: ends[start] for name, start in starts.items()},
            hinges=hinges,
            title=skeleton.source,
        ),
        find_naming(list(skeleton.bones), skeleton.source),
        lambda translation, rotations: Motion(
            fps, translation, rotations, source, PurePosixPath(source).stem, _subject(source)
        ),
    )


def load_motions(path: Path | str) -> Iterator[Motion]:
    """Load all motions of a file, a folder (recursively) or an archive, in the order of their names.

    Raises:
        MotionError: a motion cannot be read, or there is none.
    """
    path = Path(path)
    if path.is_dir():
        yield from _load(_FolderFiles(path), str(path))
    elif path.name.lower().endswith(_ARCHIVES):
        yield from _load(_ArchiveFiles(path), str(path))
    else:
        yield load_motion(path)


def load_motion(path: Path | str) -> Motion:
    """Load one motion; an `.amc` uses the `.asf` beside it (with the same name prefix, or the only one)."""
    path = Path(path)
    if not path.is_file():
        raise MotionError(f"{path}: no such file; give a motion ({', '.join(FORMATS)}), a folder or an archive")
    if path.suffix.lower() not in FORMATS:
        raise MotionError(f"{path}: unknown kind of motion file; known are {', '.join(FORMATS)} and archives of them")
    beside = {path.name: path} | {other.name: other for other in sorted(path.parent.glob("*.[aA][sS][fF]"))}
    return next(_load({name: _read(file) for name, file in beside.items()}, str(path.parent), (path.name,)))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            raise MotionError(f"{path}: more than {_LARGEST >> 20} MB; cut the motion into parts")
        return path.read_bytes()
    except OSError as error:
        raise MotionError(f"{path}: {error.strerror or error}") from None


class _FolderFiles(Mapping[str, bytes]):
    """The motions and skeletons below a folder, read on access."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        files = (file for file in folder.rglob("*") if _wanted(file.name) and file.is_file())
        self._names = sorted(file.relative_to(folder).as_posix() for file in files)

    def __getitem__(self, name: str) -> bytes:
        if name not in self._names:
            raise KeyError(name)
        return _read(self._folder / name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _ArchiveFiles(dict[str, bytes]):
    """The motions and skeletons in an archive, all in memory. Links and devices are skipped."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            for name, size, content in _zipped(path) if path.suffix.lower() == ".zip" else _tarred(path):
                if size > _LARGEST or sum(map(len, self.values())) + size > _MOST:
                    raise MotionError(f"{path}: `{name}` is too large to read in memory; unpack the archive")
                self[name] = content()
        except FileNotFoundError:
            raise MotionError(f"{path}: no such file") from None
        except _DAMAGED as error:
            raise MotionError(f"{path}: damaged archive ({error or type(error).__name__}); copy it again") from None


def _wanted(name: str) -> bool:
    path = PurePosixPath(name)  # `._name`: added to archives by macOS
    return path.suffix.lower() in (*FORMATS, ".asf") and not path.name.startswith(".")


_Files = Iterator[tuple[str, int, Callable[[], bytes]]]


def _tarred(path: Path) -> _Files:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and _wanted(member.name):
                file = archive.extractfile(member)
                if file is not None:
                    yield member.name, member.size, file.read


def _zipped(path: Path) -> _Files:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir() and _wanted(member.filename):
                yield member.filename, member.file_size, partial(archive.read, member)


def _load(files: Mapping[str, bytes], where: str, only: tuple[str, ...] = ()) -> Iterator[Motion]:
    motions = [name for name in sorted(files) if PurePosixPath(name).suffix.lower() in FORMATS]
    if not motions:
        raise MotionError(f"{where}: it contains no motion ({', '.join(FORMATS)})")

    @cache
    def skeleton(name: str) -> Skeleton:
        return parse_asf(_text(files[name]), name)

    for name in only or motions:
        suffix = PurePosixPath(name).suffix.lower()
        if suffix == ".amc":
            yield amc_motion(skeleton(_skeleton_of(name, files, where)), _text(files[name]), name)
        elif suffix == ".bvh":
            yield bvh_motion(_text(files[name]), name, _subject(name))
        else:
            yield parse_amass(files[name], name, _subject(name))


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="replace")


def _skeleton_of(name: str, files: Mapping[str, bytes], where: str) -> str:
    """Find the `.asf` of an `.amc`: in the same folder, with the subject's name; else the only one there."""
    path = PurePosixPath(name)
    found = [
        other
        for other in files
        if PurePosixPath(other).suffix.lower() == ".asf" and PurePosixPath(other).parent == path.parent
    ]
    own = [other for other in found if PurePosixPath(other).stem == path.stem.split("_")[0]]
    if len(own or found) != 1:
        wanted = f"{path.stem.split('_')[0]}.asf"
        raise MotionError(f"{where}: `{name}` needs its skeleton beside it: put `{wanted}` into the same folder")
    return (own or found)[0]


def _subject(name: str) -> str:
    """Return the subject: `cmu/01/01_02.amc` -> `01`; the folder's name for names without a leading number."""
    path = PurePosixPath(name)
    first = path.stem.split("_")[0]
    return first if first != path.stem and first.isalnum() else path.parent.name
