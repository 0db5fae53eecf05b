"""Samples in files: `Shards` reads a folder that may still grow, `ShardWriter` fills it shard by shard.

A folder contains `people.json`, which says how it was made, and `shard-000000.npz`, `shard-000001.npz`, ... A shard of
S samples with M people in total is an uncompressed archive of arrays:

    first           int64, the engine's index of the first sample
    count [S]       number of people of each sample; their labels are consecutive in the arrays of M people
    rotations, shape, translation, joints, joints_2d, visible, expression: [M, ...] as in `PeopleLabels`; in shards from
                    before faces moved there is no expression
    intrinsics      [S, 3, 3]
    image, mask, depth: uint8 [bytes], concatenated encoded pictures: JPEG (PNG at quality 0), PNG, 16-bit PNG of
                    the float16's bits
    image_end, mask_end, depth_end: int64 [S], where each of them ends

Shards are written to a temporary file and renamed, so that no reader sees a partial one. An existing shard is never
made again: an interrupted run resumes where it stopped.
"""

from __future__ import annotations

import bisect
import io
import json
import mmap
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.files import write_atomically
from humanrt_export.synthetic.people.sample import PeopleLabels, PeopleSample

__all__ = ["FORMAT", "ShardError", "ShardWriter", "Shards"]

FORMAT = "humanrt-people-1"

_INFO = "people.json"
_NAME = re.compile(r"shard-(\d{6})\.npz")
_LABELS = tuple(field.name for field in fields(PeopleLabels))
_LATER = ("expression",)  # labels that older shards lack
_PICTURES = ("image", "mask", "depth")
_OPEN = 128  # shards that stay mapped


class ShardError(HumanrtError):
    """A folder of shards is missing, damaged, or contains other data than requested."""


class Shards(Sequence[PeopleSample]):
    """The samples of a folder, in the order of its shards, as of now; `refresh` looks again.

    Attributes:
        folder: the folder.
        info: content of `people.json`.

    Raises:
        ShardError: it is not such a folder. The empty folder of a run that has just started is accepted.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.info = _read_info(self.folder)
        self._paths: list[Path] = []
        self._ends: list[int] = []
        self._maps: OrderedDict[int, dict[str, NDArray[Any]]] = OrderedDict()
        self.refresh()

    def refresh(self) -> int:
        """Include new shards; return the number of samples. Existing samples keep their indices."""
        known = set(self._paths)
        for path in sorted(self.folder.glob("shard-*.npz")):
            if path not in known and _NAME.fullmatch(path.name):
                self._paths.append(path)
                count = len(_map(path)["count"])
                self._ends.append((self._ends[-1] if self._ends else 0) + count)
        return len(self)

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: Any) -> Any:
        """Return the sample number ``index``, from 0, or the list of samples of a slice."""
        if isinstance(index, slice):
            return [self[index] for index in range(*index.indices(len(self)))]
        index = index + len(self) if index < 0 else index
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        shard = bisect.bisect_right(self._ends, index)
        start = self._ends[shard - 1] if shard else 0
        return _sample(self._arrays(shard), index - start)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_maps": OrderedDict()}  # maps cannot be passed to other processes

    def _arrays(self, shard: int) -> dict[str, NDArray[Any]]:
        if shard not in self._maps:
            self._maps[shard] = _map(self._paths[shard])
            if len(self._maps) > _OPEN:
                self._maps.popitem(last=False)
        self._maps.move_to_end(shard)
        return self._maps[shard]


class ShardWriter:
    """Fills a folder, and continues an existing one that was made in the same way.

    Args:
        folder: the folder.
        about: how the samples are made; stored in `people.json`. It is an error if an existing folder differs.
        size: number of samples per shard.
        quality: JPEG quality of the images; 0: lossless PNG.

    Raises:
        ShardError: the folder contains other data.
        OutputError: it cannot be written.
    """

    def __init__(self, folder: str | Path, about: Mapping[str, Any], size: int = 128, quality: int = 95) -> None:
        self.folder, self.size, self.quality = Path(folder), size, quality
        info = json.loads(json.dumps({"format": FORMAT, "shard": size, "quality": quality, **about}))
        if (self.folder / _INFO).exists():
            self._compare(info)
        else:
            write_atomically(self.folder / _INFO, (json.dumps(info, indent=1) + "\n").encode())

    def missing(self, first: int, count: int) -> Iterator[tuple[int, range]]:
        """Return the missing shards of samples ``first`` to ``first + count - 1``: number, and indices of samples."""
        for number in range(first // self.size, -(-(first + count) // self.size)):
            start = max(number * self.size, first)
            indices = range(start, min((number + 1) * self.size, first + count))
            path = self.path(number)
            # A shard that an earlier, shorter run left incomplete is made again.
            if not path.exists() or len(_map(path)["count"]) < len(indices):
                yield number, indices

    def path(self, number: int) -> Path:
        """Return the file of a shard."""
        return self.folder / f"shard-{number:06d}.npz"

    def write(self, number: int, first: int, samples: Sequence[PeopleSample]) -> Path:
        """Write the shard ``number``, whose samples have the indices from ``first``."""
        arrays: dict[str, Any] = {
            "first": np.int64(first),
            "count": np.array([len(sample.people) for sample in samples], np.int64),
            "intrinsics": np.stack([sample.intrinsics for sample in samples]),
        }
        for name in _LABELS:
            arrays[name] = np.concatenate([getattr(sample.people, name) for sample in samples])
        for name in _PICTURES:
            coded = [_encode(name, getattr(sample, name), self.quality) for sample in samples]
            arrays[name] = np.concatenate(coded)
            arrays[f"{name}_end"] = np.cumsum([len(code) for code in coded])
        path, content = self.path(number), io.BytesIO()
        np.savez(content, allow_pickle=False, **arrays)
        write_atomically(path, content.getvalue())
        return path

    def _compare(self, info: Mapping[str, Any]) -> None:
        found = _read_info(self.folder)
        for key in sorted(found.keys() | info.keys()):
            if found.get(key) != info.get(key):
                raise ShardError(
                    f"{self.folder}: made with {key} {found.get(key)!r}, not {info.get(key)!r}; "
                    "give another folder, or the same options"
                )


def _read_info(folder: Path) -> dict[str, Any]:
    path = folder / _INFO
    try:
        info = json.loads(path.read_text())
    except FileNotFoundError:
        raise ShardError(
            f"{folder}: no samples there (no {_INFO}); make some with  humanrt-export data people"
        ) from None
    except (OSError, ValueError) as error:
        raise ShardError(f"{path}: cannot be read ({error})") from None
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise ShardError(f"{path}: not `{FORMAT}`; make the samples again: humanrt-export data people")
    return info


def _map(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of an uncompressed archive as views of the mapped file, without reading them."""
    try:
        with path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            arrays = {}
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise ValueError("its arrays are compressed")
                # The local header: 30 bytes, then name and extra field, whose lengths it contains; then the `.npy`.
                name, extra = (
                    int.from_bytes(content[member.header_offset + at : member.header_offset + at + 2], "little")
                    for at in (26, 28)
                )
                stream.seek(member.header_offset + 30 + name + extra)
                version = np.lib.format.read_magic(stream)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, fortran, kind = read(stream)
                if fortran or kind.hasobject:
                    raise ValueError("its arrays have another layout")
                flat = np.frombuffer(content, kind, int(np.prod(shape)), stream.tell())
                arrays[member.filename.removesuffix(".npy")] = flat.reshape(shape)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ShardError(f"{path}: damaged shard ({error}); delete it and run the same command again") from None
    labels = set(_LABELS) - set(_LATER)
    wanted = {"first", "count", "intrinsics", *labels, *_PICTURES, *(f"{name}_end" for name in _PICTURES)}
    if lacking := sorted(wanted - arrays.keys()):
        raise ShardError(f"{path}: `{lacking[0]}` is missing; delete it and run the same command again")
    return arrays


def _sample(arrays: Mapping[str, NDArray[Any]], index: int) -> PeopleSample:
    start = int(arrays["count"][:index].sum())
    people = slice(start, start + int(arrays["count"][index]))
    pictures = {}
    for name in _PICTURES:
        ends = arrays[f"{name}_end"]
        pictures[name] = _decode(name, arrays[name][int(ends[index - 1]) if index else 0 : int(ends[index])])
    return PeopleSample(
        intrinsics=arrays["intrinsics"][index].copy(),
        people=PeopleLabels(**{name: arrays[name][people].copy() for name in _LABELS if name in arrays}),
        **pictures,
    )


def _encode(name: str, picture: NDArray[Any], quality: int) -> NDArray[np.uint8]:
    fast = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    if name == "image":
        coded = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality]) if quality else None
        _, code = coded or cv2.imencode(".png", picture[..., ::-1], fast)
    else:
        _, code = cv2.imencode(".png", picture.view(np.uint16) if name == "depth" else picture, fast)
    return np.asarray(code, np.uint8).reshape(-1)


def _decode(name: str, code: NDArray[np.uint8]) -> NDArray[Any]:
    if name == "image":
        return np.ascontiguousarray(np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))[..., ::-1])
    picture = np.asarray(cv2.imdecode(code, cv2.IMREAD_UNCHANGED))
    return picture.view(np.float16) if name == "depth" else picture
