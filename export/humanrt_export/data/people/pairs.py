"""Two pictures of one person: where they come from, and batches of them for `crossview`.

A pair is of two cameras at one instant (kind ``view``) or of one camera at two instants (kind ``pose``). Pairs of the
data engine are cut out about the person and know where the person is; users' own, of folders or a video, do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanrt.errors import SourceError
from humanrt.sources.opening import open_source
from humanrt_export.batches import Batch
from humanrt_export.data.people.augment import seen_by
from humanrt_export.data.people.crops import about_person
from humanrt_export.data.people.dataset import normalised
from humanrt_export.data.people.masking import coverage, hidden_patches
from humanrt_export.data.people.rows import Rows
from humanrt_export.networks.camera import PATCH
from humanrt_export.synthetic.people.engine import KINDS
from humanrt_export.synthetic.people.sample import PeopleSample

__all__ = ["KINDS", "FolderPairs", "Pair", "PairArrays", "PairBatch", "Pairs", "VideoPairs", "batch_of", "pairs_of"]

_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Pair:
    """Two pictures of one person.

    Attributes:
        first, second: uint8 [S, S, 3] RGB.
        person: float32 [(S / 14)^2], part of each patch of the first that is a person; zeros where nothing is known.
    """

    first: Image
    second: Image
    person: NDArray[np.float32]


@dataclass(frozen=True)
class PairBatch(Batch):
    """Pairs, and what is hidden of their first pictures.

    Attributes:
        first, second: float32 [B, 3, S, S] RGB, normalised.
        hidden: bool [B, (S / 14)^2], patches of the first that are hidden: equally many in each.
        kind: int64 [B], index in `KINDS`.
    """

    first: Tensor
    second: Tensor
    hidden: Tensor
    kind: Tensor


class Pairs(Protocol):
    """Pairs of one kind, of one size."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Pair: ...


@dataclass(frozen=True)
class PairArrays(Rows):
    """Pairs in memory: the fields of `Pair` with N in front."""

    first: Image
    second: Image
    person: NDArray[np.float32]

    def __getitem__(self, index: int) -> Pair:
        return Pair(self.first[index], self.second[index], self.person[index])

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> PairArrays:
        """Those, in order."""
        return cls(*(np.stack([getattr(pair, field.name) for pair in pairs]) for field in fields(cls)))


class FolderPairs:
    """Pictures of the same name in two folders: ``first/0001.jpg`` and ``second/0001.jpg``. Read when asked for.

    Args:
        first, second: the folders.
        size: S, px: the middle square of each picture, resized.

    Raises:
        SourceError: a folder is missing, or no name is in both.
    """

    def __init__(self, first: Path, second: Path, size: int) -> None:
        for folder in (first, second):
            if not folder.is_dir():
                raise SourceError(f"{folder}: no such folder; give two folders with pictures of the same names")
        names = [
            {path.name for path in folder.iterdir() if path.suffix.lower() in _PICTURES} for folder in (first, second)
        ]
        self.paths = [(first / name, second / name) for name in sorted(names[0] & names[1])]
        if not self.paths:
            raise SourceError(
                f"{first} and {second} have no pictures with the same names; name both pictures of a pair alike"
            )
        self.size = size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Pair:
        first, second = (_square(_read(path), self.size) for path in self.paths[index])
        return Pair(first, second, _nobody(self.size))


class VideoPairs:
    """Frames of a video that are some frames apart. Frames are kept in memory, at their final size.

    Args:
        video: the file.
        size: S, px: the middle square of each frame, resized.
        apart: fewest and most frames between the two.
        seed: of which second frame goes with each first one.

    Raises:
        SourceError: the video is too short for that.
    """

    def __init__(self, video: Path, size: int, apart: tuple[int, int] = (5, 30), seed: int = 0) -> None:
        least, most = apart
        if not 1 <= least <= most:
            raise SourceError(f"frames of a pair are {least} to {most} apart; give 1 or more, the smaller number first")
        with open_source(video) as source:
            self.frames = [_square(frame.image, size) for frame in source]
        if len(self.frames) <= least:
            raise SourceError(f"{video}: {len(self.frames)} frames, and a pair is {least} apart; give a longer video")
        generator = np.random.default_rng(seed)
        self.size = size
        self.places = [
            (place, int(generator.integers(place + least, min(place + most, len(self.frames) - 1) + 1)))
            for place in range(len(self.frames) - least)
        ]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Pair:
        first, second = self.places[index]
        return Pair(self.frames[first], self.frames[second], _nobody(self.size))


def pairs_of(samples: Iterable[tuple[PeopleSample, PeopleSample]], size: int, seed: int = 0) -> list[Pair]:
    """Pairs of the data engine, cut out about each person of whom at least half is seen in both pictures.

    Args:
        samples: two pictures of the same people, in the same order.
        size: S, px.
        seed: of where exactly the cut-outs are.
    """
    found = []
    for number, (one, two) in enumerate(samples):
        for place in range(len(one.people)):
            generator = np.random.default_rng([seed, number, place])
            cut = [_about(sample, place, size, generator) for sample in (one, two)]
            if (first := cut[0]) is not None and (second := cut[1]) is not None:
                found.append(Pair(first[0], second[0], coverage(first[1], PATCH)))
    return found


def batch_of(sources: Mapping[str, Pairs], ratio: float, bias: float, seed: int, step: int, size: int) -> PairBatch:
    """A batch of ``size`` pairs, as many of each source as of the others (the last ones get the rest).

    Args:
        sources: kind (`KINDS`) -> pairs.
        ratio, bias: see `masking.hidden_patches`.
        seed, step: what is random comes from these.
    """
    generator = np.random.default_rng([seed, step])
    chosen, kinds = [], []
    for number, (kind, pairs) in enumerate(sources.items()):
        count = size * (number + 1) // len(sources) - size * number // len(sources)
        chosen += [pairs[int(place)] for place in generator.integers(len(pairs), size=count)]
        kinds += [KINDS.index(kind)] * count
    hidden = np.stack([hidden_patches(pair.person, ratio, bias, generator) for pair in chosen])
    return PairBatch(
        first=normalised(np.stack([pair.first for pair in chosen])),
        second=normalised(np.stack([pair.second for pair in chosen])),
        hidden=torch.from_numpy(hidden),
        kind=torch.tensor(kinds),
    )


def _about(
    sample: PeopleSample, place: int, size: int, generator: np.random.Generator
) -> tuple[Image, NDArray[np.bool_]] | None:
    """The picture cut out about a person, and where that person is in it."""
    cut = about_person(sample, place, size, generator)
    if cut is None:
        return None
    seen, view = cut
    painted = np.repeat(np.where(sample.mask == place + 1, 255, 0).astype(np.uint8)[..., None], 3, axis=-1)
    return seen.image, seen_by(replace(sample, image=painted), view).image[..., 0] > 127


def _read(path: Path) -> Image:
    with open_source(path) as source:
        return next(iter(source)).image


def _square(image: Image, size: int) -> Image:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = np.ascontiguousarray(image[top : top + side, left : left + side])
    return np.asarray(cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def _nobody(size: int) -> NDArray[np.float32]:
    return np.zeros((size // PATCH) ** 2, np.float32)
