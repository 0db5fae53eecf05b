"""Pairs of pictures of one person: their sources, and batches of them for `crossview`.

A pair shows two cameras at one instant (kind ``view``) or one camera at two instants (kind ``pose``). Pairs from the
data engine are cropped around the person and have a person mask; users' own, from folders or a video, have none.
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
        person: float32 [(S / 14)^2], fraction of each patch of the first covered by a person; zeros if unknown.
    """

    first: Image
    second: Image
    person: NDArray[np.float32]


@dataclass(frozen=True)
class PairBatch(Batch):
    """Pairs, and the masks of their first pictures.

    Attributes:
        first, second: float32 [B, 3, S, S] RGB, normalised.
        hidden: bool [B, (S / 14)^2], hidden patches of the first: the same number in each.
        kind: int64 [B], index into `KINDS`.
    """

    first: Tensor
    second: Tensor
    hidden: Tensor
    kind: Tensor


class Pairs(Protocol):
    """Pairs of one kind and one size."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Pair: ...


@dataclass(frozen=True)
class PairArrays(Rows):
    """Pairs in memory: the fields of `Pair` with a leading dimension N."""

    first: Image
    second: Image
    person: NDArray[np.float32]

    def __getitem__(self, index: int) -> Pair:
        return Pair(self.first[index], self.second[index], self.person[index])

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> PairArrays:
        """Stack pairs, in order."""
        return cls(*(np.stack([getattr(pair, field.name) for pair in pairs]) for field in fields(cls)))


class FolderPairs:
    """Pictures with the same names in two folders, such as ``first/0001.jpg`` and ``second/0001.jpg``, read on demand.

    Args:
        first, second: the folders.
        size: S, px, of the central square of each picture, resized.

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
    """Frames of a video that are some frames apart, kept in memory at their final size.

    Args:
        video: the file.
        size: S, px, of the central square of each frame, resized.
        apart: minimum and maximum number of frames between the two.
        seed: seed of the choice of the second frame for each first one.

    Raises:
        SourceError: the video is too short for that.
    """

    def __init__(self, video: Path, size: int, apart: tuple[int, int] = (5, 30), seed: int = 0) -> None:
        min_apart, max_apart = apart
        if not 1 <= min_apart <= max_apart:
            raise SourceError(
                f"frames of a pair are {min_apart} to {max_apart} apart; give 1 or more, the smaller number first"
            )
        with open_source(video) as source:
            self.frames = [_square(frame.image, size) for frame in source]
        if len(self.frames) <= min_apart:
            raise SourceError(
                f"{video}: {len(self.frames)} frames, and a pair is {min_apart} apart; give a longer video"
            )
        generator = np.random.default_rng(seed)
        self.size = size
        self.frame_pairs = [
            (index, int(generator.integers(index + min_apart, min(index + max_apart, len(self.frames) - 1) + 1)))
            for index in range(len(self.frames) - min_apart)
        ]

    def __len__(self) -> int:
        return len(self.frame_pairs)

    def __getitem__(self, index: int) -> Pair:
        first, second = self.frame_pairs[index]
        return Pair(self.frames[first], self.frames[second], _nobody(self.size))


def pairs_of(samples: Iterable[tuple[PeopleSample, PeopleSample]], size: int, seed: int = 0) -> list[Pair]:
    """Return pairs of the data engine, cropped around each person who is at least half visible in both pictures.

    Args:
        samples: two pictures of the same people, in the same order.
        size: S, px.
        seed: seed of the exact positions of the crops.
    """
    pairs = []
    for number, (one, two) in enumerate(samples):
        for index in range(len(one.people)):
            generator = np.random.default_rng([seed, number, index])
            cut = [_about(sample, index, size, generator) for sample in (one, two)]
            if (first := cut[0]) is not None and (second := cut[1]) is not None:
                pairs.append(Pair(first[0], second[0], coverage(first[1], PATCH)))
    return pairs


def batch_of(sources: Mapping[str, Pairs], ratio: float, bias: float, seed: int, step: int, size: int) -> PairBatch:
    """Return a batch of ``size`` pairs, equally many from each source (the last ones get the rest).

    Args:
        sources: kind (`KINDS`) -> pairs.
        ratio, bias: see `masking.hidden_patches`.
        seed, step: determine everything random.
    """
    generator = np.random.default_rng([seed, step])
    chosen, kinds = [], []
    for number, (kind, pairs) in enumerate(sources.items()):
        count = size * (number + 1) // len(sources) - size * number // len(sources)
        chosen += [pairs[int(index)] for index in generator.integers(len(pairs), size=count)]
        kinds += [KINDS.index(kind)] * count
    hidden = np.stack([hidden_patches(pair.person, ratio, bias, generator) for pair in chosen])
    return PairBatch(
        first=normalised(np.stack([pair.first for pair in chosen])),
        second=normalised(np.stack([pair.second for pair in chosen])),
        hidden=torch.from_numpy(hidden),
        kind=torch.tensor(kinds),
    )


def _about(
    sample: PeopleSample, index: int, size: int, generator: np.random.Generator
) -> tuple[Image, NDArray[np.bool_]] | None:
    """Return the crop around a person, and the person's mask in it."""
    cut = about_person(sample, index, size, generator)
    if cut is None:
        return None
    seen, view = cut
    painted = np.repeat(np.where(sample.mask == index + 1, 255, 0).astype(np.uint8)[..., None], 3, axis=-1)
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
