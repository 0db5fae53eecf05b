"""Samples of people -> batches for the network: augmented pictures, and where each person belongs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from humanrt.errors import HumanrtError
from humanrt.people.metrics import MIN_VISIBLE
from humanrt_export.batches import PictureBatch
from humanrt_export.bodies.anny.bones import ACTIVE, indices
from humanrt_export.bodies.anny.model import load_anny
from humanrt_export.data.people.augment import Augmentation, appearance, head_place, random_view, seen_by
from humanrt_export.data.people.truth import NEAREST
from humanrt_export.networks.camera import DEVIATION, MEAN, PATCH
from humanrt_export.synthetic.people.sample import PeopleLabels, PeopleSample

__all__ = ["MARKS", "Growing", "PeopleBatch", "PeopleImages", "Samples", "Targets", "normalised", "targets"]

_PATIENCE = 300.0  # s that a batch waits for samples that are still being made


MARKS = (
    *("root", "spine02", "neck01", "head"),
    *(f"{name}.{side}" for side in "LR" for name in ("eye", "upperarm01", "lowerarm01", "wrist", "finger3-1")),
    *(f"{name}.{side}" for side in "LR" for name in ("upperleg01", "lowerleg01", "foot", "big-toe-tip")),
)
"""Joints that a token is asked about in training."""


@dataclass(frozen=True)
class Targets:
    """What one picture's slots should hold: P slots, T tokens, R bones. Empty slots hold a person who stands 1 m ahead.

    Attributes:
        cells: int64 [P], token of each person's head, row by row.
        valid: bool [P], slots that hold a person.
        ignored: bool [T], tokens where nobody is wanted and nobody is wrong.
        marks: bool [T, M], tokens in which `MARKS` are.
        heads: float32 [P, 2] px.
        rotations: float32 [P, R, 3, 3] of `ACTIVE` bones.
        shape: float32 [P, 6] phenotypes.
        translation: float32 [P, 3] m, of the head joint in camera axes (x right, y down, z forward).
    """

    cells: NDArray[np.int64]
    valid: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    marks: NDArray[np.bool_]
    heads: NDArray[np.float32]
    rotations: NDArray[np.float32]
    shape: NDArray[np.float32]
    translation: NDArray[np.float32]

    @classmethod
    def empty(cls, tokens: int, slots: int, shape: int) -> Targets:
        """Return those of a picture without people."""
        return cls(
            cells=np.zeros(slots, np.int64),
            valid=np.zeros(slots, bool),
            ignored=np.zeros(tokens, bool),
            marks=np.zeros((tokens, len(MARKS)), bool),
            heads=np.zeros((slots, 2), np.float32),
            rotations=np.tile(np.eye(3, dtype=np.float32), (slots, len(ACTIVE), 1, 1)),
            shape=np.zeros((slots, shape), np.float32),
            translation=np.tile(np.array([0, 0, 1], np.float32), (slots, 1)),
        )


@dataclass(frozen=True)
class PeopleBatch(PictureBatch):
    """Pictures and who is in them.

    Attributes:
        intrinsics: float32 [B, 3, 3] px.
        cells, valid, ignored, marks, heads, rotations, shape, translation: as in `Targets`, [B, ...].
        projected: whether the losses of projected points count: not in the first steps of a training, when bodies are
            still anywhere.
    """

    intrinsics: Tensor
    cells: Tensor
    valid: Tensor
    ignored: Tensor
    marks: Tensor
    heads: Tensor
    rotations: Tensor
    shape: Tensor
    translation: Tensor
    projected: bool = True


class Samples(Protocol):
    """Where samples come from."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> PeopleSample: ...


class Growing:
    """The first ``count`` samples of a folder that may still be filled: waits for those that are not there yet."""

    def __init__(self, shards: Any, count: int) -> None:
        self._shards, self._count = shards, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> PeopleSample:
        until = time.monotonic() + _PATIENCE
        while index >= len(self._shards) and index >= self._shards.refresh():
            if time.monotonic() > until:
                raise HumanrtError(
                    f"{self._shards.folder}: sample {index} of {self._count} is missing, and none was added for "
                    f"{_PATIENCE:.0f} s; is it still being filled?"
                )
            time.sleep(1)
        sample: PeopleSample = self._shards[index]
        return sample


class PeopleImages:
    """Batches of a training or of a validation.

    Args:
        samples: of any size.
        size: side of the network's input, px.
        slots: people a picture; the nearest are kept.
        augmentation: what is done to pictures.
        least: `visible` of people who should be found; those who are seen less are neither wanted nor wrong.
        start, growth: at step s only the first ``start + growth * s`` samples are drawn from: a folder that is still
            being filled gives the same batches as the full one. ``start`` 0: all, always.
        workers: threads that make pictures.
    """

    def __init__(
        self,
        samples: Samples,
        size: int,
        slots: int = 12,
        augmentation: Augmentation | None = None,
        *,
        least: float = MIN_VISIBLE,
        start: int = 0,
        growth: float = 0.0,
        workers: int = 1,
    ) -> None:
        self.samples, self.size, self.slots, self.least = samples, size, slots, least
        self.augmentation = augmentation or Augmentation()
        self._start, self._growth = start, growth
        self._pool = ThreadPoolExecutor(workers) if workers > 1 else None

    def batch(self, seed: int, step: int, size: int) -> PeopleBatch:
        """Random samples, augmented."""
        generator = np.random.default_rng([seed, step])
        count = len(self.samples)
        if self._start:
            count = min(count, self._start + int(self._growth * step))
        # Seeds first: what a picture becomes does not depend on which thread makes it.
        jobs = [(int(generator.integers(count)), int(generator.integers(2**62))) for _ in range(size)]
        made = list((self._pool.map if self._pool else map)(self._augmented, jobs))
        return self.stacked(made)

    def plain(self, indices: Sequence[int]) -> list[PeopleSample]:
        """These samples as they are, resized."""
        none = Augmentation.none()
        generator = np.random.default_rng(0)
        samples = [self.samples[index] for index in indices]
        return [seen_by(one, random_view(one, self.size, none, generator)) for one in samples]

    def _augmented(self, job: tuple[int, int]) -> PeopleSample:
        index, seed = job
        generator = np.random.default_rng(seed)
        sample = self.samples[index]
        view = random_view(sample, self.size, self.augmentation, generator)
        return appearance(seen_by(sample, view), self.augmentation, generator)

    def stacked(self, samples: Sequence[PeopleSample]) -> PeopleBatch:
        """A batch of pictures of the network's size."""
        rows = [targets(sample.people, self.size, self.slots, self.least) for sample in samples]
        names = [field.name for field in fields(Targets)]
        return PeopleBatch(
            image=normalised(np.stack([sample.image for sample in samples])),
            intrinsics=torch.from_numpy(np.stack([sample.intrinsics for sample in samples])),
            **{name: torch.from_numpy(np.stack([getattr(row, name) for row in rows])) for name in names},
        )


def normalised(images: NDArray[np.uint8]) -> Tensor:
    """uint8 [B, S, S, 3] RGB -> the network's float32 [B, 3, S, S]."""
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float()
    mean, deviation = (torch.tensor(values).view(3, 1, 1) * 255 for values in (MEAN, DEVIATION))
    return planes.sub_(mean).div_(deviation)


def targets(people: PeopleLabels, size: int, slots: int, least: float) -> Targets:
    """What one picture's slots should hold. Of two people in one token the nearer is kept.

    Args:
        people: who is in it.
        size: side of the picture, px.
        slots: P.
        least: `visible` of people who should be found.
    """
    side = size // PATCH
    row = Targets.empty(side * side, slots, people.shape.shape[-1])
    heads = people.joints_2d[:, head_place(people)]
    taken: set[int] = set()
    for person in np.argsort(people.translation[:, 2]):
        z, (x, y) = people.translation[person, 2], heads[person]
        if z < NEAREST or not (0 <= x < size and 0 <= y < size):
            continue
        cell = int(y // PATCH) * side + int(x // PATCH)
        slot = len(taken)
        if cell in taken:
            continue
        if people.visible[person] < least or slot == slots:
            row.ignored[cell] = True
            continue
        taken.add(cell)
        row.cells[slot], row.valid[slot], row.heads[slot] = cell, True, heads[person]
        row.rotations[slot], row.shape[slot] = people.rotations[person], people.shape[person]
        row.translation[slot] = people.translation[person]
    row.ignored[list(taken)] = False
    seen = people.joints_2d[people.visible >= least][:, _mark_places()]
    cells = (seen // PATCH).astype(int)
    _, mark = np.nonzero(((seen >= 0) & (seen < size)).all(-1))
    inside = cells[((seen >= 0) & (seen < size)).all(-1)]
    row.marks[inside[:, 1] * side + inside[:, 0], mark] = True
    return row


@cache
def _mark_places() -> list[int]:
    return indices(MARKS, load_anny("10pc").joint_names)
