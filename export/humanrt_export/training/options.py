"""Options of every training, and what all kinds of trainings are asked: `TrainOptions`, `RunConfig`. Without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from humanrt.errors import HumanrtError, choices
from humanrt_export.options import Option
from humanrt_export.training.tracking import TRACKERS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["RunConfig", "TrainOptions", "recorded"]


@dataclass(frozen=True)
class TrainOptions:
    """How to train; what a resumed run may not change is checked.

    Attributes:
        steps: in all, over every resumption.
        batch: samples (windows, images, ...) a step.
        muon: matrices learn by Muon (Jordan et al., 2024), everything else by AdamW; the rates are comparable.
        rate: highest learning rate; it rises linearly during the warm-up and falls as a cosine to a hundredth.
        warmup: steps until the rate is reached.
        decay: weight decay (AdamW), of matrices only.
        clip: largest norm of the gradient.
        average: decay a step of the averaged weights that are validated and exported.
        seed: of everything random.
        report_every: steps between reports.
        validate_every: steps between validations.
        save_every: seconds between checkpoints.
        minutes: stop after so long, to be resumed by the same command; without it, train to the end.
        device: cpu, cuda, ...
        threads: of the CPU; 0: as torch likes.
        half: mixed precision (bfloat16) where the device is a GPU.
        half_cpu: likewise on a CPU: several times faster on one with AMX, slower on others.
        track: tensorboard, trackio or wandb: show the curves there too; log.jsonl is written anyway.
    """

    steps: int = 20000
    batch: int = 64
    muon: bool = False
    rate: float = 1e-3
    warmup: int = 300
    decay: float = 0.01
    clip: float = 1.0
    average: float = 0.999
    seed: int = 0
    report_every: int = 100
    validate_every: int = 1000
    save_every: float = 60.0
    minutes: float | None = None
    device: str = "cpu"
    threads: int = 0
    half: bool = True
    half_cpu: bool = False
    track: str | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "report_every", "validate_every"):
            if getattr(self, name) < 1:
                raise HumanrtError(f"--{name.replace('_', '-')} is {getattr(self, name)}; it must be 1 or more")
        for name in ("rate", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise HumanrtError(f"--{name} is {getattr(self, name)}; it must be a number above 0")
        for name in ("warmup", "decay", "threads"):
            if not 0 <= getattr(self, name) < math.inf:
                raise HumanrtError(f"--{name} is {getattr(self, name)}; it must be 0 or more")
        if self.track is not None and self.track not in TRACKERS:
            raise HumanrtError(f"--track is {self.track}; choose one of: {choices(TRACKERS)}")
        if not 0 <= self.average < 1:
            raise HumanrtError(f"--average is {self.average}; it must be a number from 0 to below 1")
        if not 0 <= self.seed < 2**31:
            raise HumanrtError(f"--seed is {self.seed}; it must be 0 to {2**31 - 1}")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every kind of training is asked.

    Attributes:
        out: folder of the run; if it exists, the run goes on.
        train: how to train.
        command: line that started it, for the run's record.
    """

    out: Annotated[Path, Option(metavar="DIR")]
    train: TrainOptions = field(default_factory=TrainOptions)
    command: Annotated[str, Option(hidden=True)] = ""


def recorded(options: DataclassInstance, *added: str) -> Mapping[str, Any]:
    """Return a dataclass's fields as a run keeps them: of those ``added`` later, which runs of before lack, none that
    has its default."""
    usual = {one.name: one.default for one in fields(options)}
    return {name: value for name, value in asdict(options).items() if name not in added or value != usual[name]}
