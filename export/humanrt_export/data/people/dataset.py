"""Batches for the network from samples of people: augmented pictures, and the targets of each person."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
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
from humanrt_export.data.people.augment import Augmentation, appearance, head_index, random_view, seen_by
from humanrt_export.data.people.imagined import Imagined
from humanrt_export.data.people.truth import NEAREST
from humanrt_export.networks.camera import DEVIATION, MEAN, PATCH
from humanrt_export.networks.keypoint_backbone import KeypointMaps
from humanrt_export.networks.movenet import LowerMaps
from humanrt_export.synthetic.people.sample import PeopleLabels, PeopleSample

__all__ = ["MARKS", "Growing", "PeopleBatch", "PeopleImages", "Samples", "Targets", "normalised", "targets"]

_PATIENCE = 300.0  # s for which a batch waits for samples that are still being made


MARKS = (
    *("root", "spine02", "neck01", "head"),
    *(f"{name}.{side}" for side in "LR" for name in ("eye", "upperarm01", "lowerarm01", "wrist", "finger3-1")),
    *(f"{name}.{side}" for side in "LR" for name in ("upperleg01", "lowerleg01", "foot", "big-toe-tip")),
)
"""Joints that each token predicts in training."""


@dataclass(frozen=True)
class Targets:
    """Targets of one picture: P slots, T tokens, R bones. Empty slots contain a person at rest, 1 m ahead.

    Attributes:
        cells: int64 [P], index of the token of each person's head, in row-major order.
        valid: bool [P], slots that contain a person.
        ignored: bool [T], tokens that count neither as positive nor as negative.
        marks: bool [T, M], tokens that contain each of `MARKS`.
        heads: float32 [P, 2] px.
        rotations: float32 [P, R, 3, 3] of `ACTIVE` bones.
        shape: float32 [P, 6] phenotypes.
        translation: float32 [P, 3] m, position of the head joint in camera axes (x right, y down, z forward).
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
        """Return the targets of a picture without people."""
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
    """Pictures and their targets.

    Attributes:
        intrinsics: float32 [B, 3, 3] px.
        cells, valid, ignored, marks, heads, rotations, shape, translation: as in `Targets`, [B, ...].
        of_cells, of_coarse, of_fine, of_regressed: float16, what a frozen trunk sees (`KeypointMaps`), where it was
            computed with the batch; then there is no image any more, [B, 3, 0, 0].
        of_quarter, of_eighth, of_sixteenth: likewise, of a trunk whose lower layers are frozen (`LowerMaps`).
        imagined: people without pictures beside them, as many as one likes.
        projected: whether the losses of projected points count: not in the first steps of training, when the bodies'
            positions are still arbitrary.
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
    of_cells: Tensor | None = None
    of_coarse: Tensor | None = None
    of_fine: Tensor | None = None
    of_regressed: Tensor | None = None
    of_quarter: Tensor | None = None
    of_eighth: Tensor | None = None
    of_sixteenth: Tensor | None = None
    imagined: Imagined | None = None
    projected: bool = True

    @property
    def maps(self) -> KeypointMaps | LowerMaps | None:
        """What a frozen trunk, or its lower layers, see; or None."""
        kinds: tuple[type[KeypointMaps | LowerMaps], ...] = (KeypointMaps, LowerMaps)
        for kind in kinds:
            maps = [getattr(self, f"of_{name}") for name in kind._fields]
            if maps[0] is not None:
                return kind(*(value.float() for value in maps))
        return None

    def with_maps(self, maps: KeypointMaps | LowerMaps) -> PeopleBatch:
        """Return the batch with what a frozen trunk sees in its pictures, instead of these."""
        seen = {f"of_{name}": value.half() for name, value in maps._asdict().items()}
        return replace(self, image=self.image.new_zeros(len(self), 3, 0, 0), **seen)

    def trimmed(self) -> PeopleBatch:
        """Return the batch without the last slots that are empty in all pictures; one is left at least."""
        slots = max(1, int(self.valid.sum(1).max()))
        names = ("cells", "valid", "heads", "rotations", "shape", "translation")
        return replace(self, **{name: getattr(self, name)[:, :slots] for name in names})


class Samples(Protocol):
    """A source of samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> PeopleSample: ...


class Growing:
    """The first ``count`` samples of a folder that may still be filled; waits for missing ones."""

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
    """Batches for training or validation.

    Args:
        samples: the samples, of any picture size.
        size: side of the network's input, px.
        slots: maximum number of people per picture; the nearest are kept.
        augmentation: augmentation of the pictures.
        min_visible: minimum `visible` of people who should be detected; less visible people count neither way.
        start, growth: step s draws only from the first ``start + growth * s`` samples, so that a folder that is still
            being filled gives the same batches as the full one. ``start`` 0: always from all.
        workers: number of threads that make pictures.
    """

    def __init__(
        self,
        samples: Samples,
        size: int,
        slots: int = 12,
        augmentation: Augmentation | None = None,
        *,
        min_visible: float = MIN_VISIBLE,
        start: int = 0,
        growth: float = 0.0,
        workers: int = 1,
    ) -> None:
        self.samples, self.size, self.slots, self.min_visible = samples, size, slots, min_visible
        self.augmentation = augmentation or Augmentation()
        self._start, self._growth = start, growth
        self._pool = ThreadPoolExecutor(workers) if workers > 1 else None

    def batch(self, seed: int, step: int, size: int) -> PeopleBatch:
        """Return random samples, augmented."""
        generator = np.random.default_rng([seed, step])
        count = len(self.samples)
        if self._start:
            count = min(count, self._start + int(self._growth * step))
        # Draw the seeds first, so that a picture does not depend on the thread that makes it.
        jobs = [(int(generator.integers(count)), int(generator.integers(2**62))) for _ in range(size)]
        made = list((self._pool.map if self._pool else map)(self._augmented, jobs))
        return self.stacked(made)

    def plain(self, indices: Sequence[int]) -> list[PeopleSample]:
        """Return these samples without augmentation, resized."""
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
        """Stack samples of the network's size to a batch."""
        rows = [targets(sample.people, self.size, self.slots, self.min_visible) for sample in samples]
        names = [field.name for field in fields(Targets)]
        return PeopleBatch(
            image=normalised(np.stack([sample.image for sample in samples])),
            intrinsics=torch.from_numpy(np.stack([sample.intrinsics for sample in samples])),
            **{name: torch.from_numpy(np.stack([getattr(row, name) for row in rows])) for name in names},
        )


def normalised(images: NDArray[np.uint8]) -> Tensor:
    """Convert uint8 [B, S, S, 3] RGB to the network's input, float32 [B, 3, S, S]."""
    planes = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().float()
    mean, deviation = (torch.tensor(values).view(3, 1, 1) * 255 for values in (MEAN, DEVIATION))
    return planes.sub_(mean).div_(deviation)


def targets(people: PeopleLabels, size: int, slots: int, min_visible: float) -> Targets:
    """Return the targets of one picture. Of two people in one token, the nearer is kept.

    Args:
        people: the people in it.
        size: side of the picture, px.
        slots: P.
        min_visible: minimum `visible` of people who should be detected.
    """
    side = size // PATCH
    row = Targets.empty(side * side, slots, people.shape.shape[-1])
    heads = people.joints_2d[:, head_index(people)]
    taken: set[int] = set()
    for person in np.argsort(people.translation[:, 2]):
        z, (x, y) = people.translation[person, 2], heads[person]
        if z < NEAREST or not (0 <= x < size and 0 <= y < size):
            continue
        cell = int(y // PATCH) * side + int(x // PATCH)
        slot = len(taken)
        if cell in taken:
            continue
        if people.visible[person] < min_visible or slot == slots:
            row.ignored[cell] = True
            continue
        taken.add(cell)
        row.cells[slot], row.valid[slot], row.heads[slot] = cell, True, heads[person]
        row.rotations[slot], row.shape[slot] = people.rotations[person], people.shape[person]
        row.translation[slot] = people.translation[person]
    row.ignored[list(taken)] = False
    seen = people.joints_2d[people.visible >= min_visible][:, _mark_indices()]
    cells = (seen // PATCH).astype(int)
    _, mark = np.nonzero(((seen >= 0) & (seen < size)).all(-1))
    inside = cells[((seen >= 0) & (seen < size)).all(-1)]
    row.marks[inside[:, 1] * side + inside[:, 0], mark] = True
    return row


@cache
def _mark_indices() -> list[int]:
    return indices(MARKS, load_anny("10pc").joint_names)
