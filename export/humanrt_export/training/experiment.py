"""What the measurements of training methods share (bench/crossview.py and its kin): data, equal time, seeds, tables.

Time is equalised before it is spent: how long a step of each method takes is measured once, in turns, and each gets
as many steps as fit in the same seconds, so that every run has its whole schedule of learning rates, and a run that was
cut off goes on with the same number of steps.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated, Any, Generic, Self, TypeVar

import torch
from torch import Tensor

from humanrt.errors import HumanrtError
from humanrt.stats import machine, write_report
from humanrt_export.bodies.anny.model import load_anny
from humanrt_export.data.people.crops import Crops, crops_of
from humanrt_export.data.people.pairs import PairArrays
from humanrt_export.data.people.render import render_crops, render_pairs
from humanrt_export.networks.attention import plain
from humanrt_export.networks.encoders import ENCODERS
from humanrt_export.options import Option
from humanrt_export.synthetic.people import STYLES, EngineOptions, PeopleEngine, Shards
from humanrt_export.training.loop import Task, TrainOptions, optimizers_of, trained
from humanrt_export.training.tasks.multihmr import refuse_bare
from humanrt_export.training.tasks.pose_crop import PoseCropConfig, PoseCropTask, Skeleton

__all__ = ["Bench", "BenchOptions", "Look", "spread", "table"]

_HELD_OUT_SEED = 1_000_000
_TURNS = 3


@dataclass(frozen=True)
class Look:
    """What pictures a domain is made of.

    Attributes:
        style: of `STYLES`.
        recorded: poses of recordings (``--motions``) instead of joint limits.
    """

    style: str
    recorded: bool = False

    @property
    def name(self) -> str:
        """For files and tables."""
        return f"{self.style}-recorded" if self.recorded else self.style


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Options that all measurements have.

    Attributes:
        out: folder of data, runs and report; what is there is not made again.
        seconds: of each training; all methods get as many.
        seeds: runs of each method.
        train: people rendered to train on, of each look.
        val: people rendered to measure on, of each look.
        encoder: what looks at crops.
        size: of crops.
        batch: crops a step.
        rate: highest learning rate.
        people: train/ and val/ of `data people`, instead of rendering `randomised`.
        start: begin with the network of this run of `train pose-crop`.
        backbone_weights: begin with these weights of the encoder.
        augment: roll, zoom and mirror the crops of training.
        muon: matrices learn by Muon.
        motions: recordings; without: poses of joint limits only.
        device: cpu or cuda.
        threads: of the CPU; 0: as torch likes.
        half_cpu: bfloat16 on a CPU: twice as fast where it has AMX.
        quick: minutes, to see that it works; the figures mean nothing.
    """

    out: Annotated[Path, Option(metavar="DIR")]
    seconds: float
    seeds: int = 3
    train: int
    val: int = 256
    encoder: Annotated[str, Option(choices=ENCODERS)] = "resnet"
    size: Annotated[int, Option(metavar="PX")] = 112
    batch: int = 32
    rate: float
    people: Annotated[Path | None, Option(metavar="DIR")] = None
    start: Annotated[Path | None, Option(metavar="RUN")] = None
    backbone_weights: Annotated[Path | None, Option(metavar="FILE")] = None
    augment: bool = False
    muon: bool = False
    motions: Annotated[Path | None, Option(metavar="DIR")] = None
    device: str = "cpu"
    threads: int = 0
    half_cpu: bool = False
    quick: bool = False

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.seconds <= 0 or min(self.train, self.val) < 1:
            raise HumanrtError("give at least one seed, one second, and one person each to train and to measure on")
        if self.start and self.backbone_weights:
            raise HumanrtError("--start loads a whole network and --backbone-weights a part of one; give only one")
        if not (self.start or self.backbone_weights):
            refuse_bare(self.encoder)

    def small(self) -> Self:
        """Everything small, for ``--quick``."""
        size = 64 if self.encoder == "landmark-cnn" else 56
        return replace(self, seconds=1.0, train=64, val=16, seeds=min(self.seeds, 2), batch=8, size=size)


Given = TypeVar("Given", bound=BenchOptions)


class Bench(Generic[Given]):
    """One measurement: a folder with its data and runs.

    Args:
        given: its options.

    Attributes:
        given: the options; with ``--quick`` the small ones.
    """

    def __init__(self, given: Given) -> None:
        self.given = given = given.small() if given.quick else given
        self.out: Path = given.out
        if given.threads:
            torch.set_num_threads(given.threads)
        os.environ.setdefault("LP_NUM_THREADS", str(given.threads or torch.get_num_threads()))
        self.skeleton = Skeleton(load_anny("10pc"))
        self.config = PoseCropConfig(given.encoder, given.size)
        self._steps: dict[str, float] = {}
        timed = self.out / "seconds.json"
        if timed.is_file():
            self._steps = json.loads(timed.read_text())

    # ------------------------------------------------------------------------------------------------ data

    def crops(self, look: Look, part: str) -> Crops:
        """People of a look to ``train`` on, or to measure on (``val``: other people, held-out recordings)."""
        count = self.given.train if part == "train" else self.given.val
        path = self.out / "data" / f"{look.name}-{part}-{count}-{self.given.size}.npz"
        if not path.is_file():
            if self.given.people and look == Look("randomised"):
                shards = Shards(self.given.people / part)
                crops_of(shards, self.given.size, shards.info["joint_names"], count).save(path)
            else:
                self.say(f"rendering {count} people: {look.name}, {part}")
                with self._engine(look, part) as engine:
                    render_crops(engine, count, self.given.size).save(path)
        return Crops.load(path)

    def pairs(self, look: Look, kind: str, count: int) -> PairArrays:
        """Pairs of people, of those that are trained on."""
        path = self.out / "data" / f"{look.name}-{kind}-{count}-{self.given.size}.npz"
        if not path.is_file():
            self.say(f"rendering {count} pairs: {look.name}, {kind}")
            with self._engine(look, "train", _HELD_OUT_SEED // 2) as engine:
                render_pairs(engine, kind, count, self.given.size).save(path)
        return PairArrays.load(path)

    def _engine(self, look: Look, part: str, seed: int = 0) -> PeopleEngine:
        return PeopleEngine(
            EngineOptions(
                size=2 * self.given.size,
                seed=seed + (0 if part == "train" else _HELD_OUT_SEED),
                most=2,
                motions=self.given.motions if look.recorded else None,
                part="train" if part == "train" else "val",
                style=STYLES[look.style],
                letterboxed=0.0,
            )
        )

    # --------------------------------------------------------------------------------------------- training

    def task(self, trained: Crops, held: Crops, seed: int, config: PoseCropConfig | None = None) -> PoseCropTask:
        """The small task, its first weights from the seed."""
        torch.manual_seed(seed)
        task = PoseCropTask(config or self.config, trained, held, self.skeleton, self.given.augment)
        if self.given.start:
            task.start_at(self.given.start)
        if self.given.backbone_weights:
            task.start_from(self.given.backbone_weights)
        if self.given.device == "cpu":
            task.model.use_attention(plain)  # whose backward pass is twice as fast there
        return task

    def measure(self, tasks: Mapping[str, Callable[[], Task[Any]]]) -> None:
        """How long a step of each takes: of `_TURNS` turns in which each makes a few steps, the fastest counts."""
        missing = {name: make for name, make in tasks.items() if name not in self._steps}
        if not missing:
            return
        self.say("measuring steps")
        made = {name: make() for name, make in missing.items()}
        best = dict.fromkeys(made, float("inf"))
        for turn in range(_TURNS):
            for name, task in made.items():
                best[name] = min(best[name], self._step_seconds(task, turn))
        self._steps |= best
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "seconds.json").write_text(json.dumps(self._steps, indent=1) + "\n")

    def step_seconds(self, name: str) -> float:
        """What `measure` found."""
        return self._steps[name]

    def options(self, name: str, seed: int, seconds: float | None = None, **more: Any) -> TrainOptions:
        """As many steps of ``name`` as fit in the seconds, and everything else alike."""
        steps = max(4, round((self.given.seconds if seconds is None else seconds) / self._steps[name]))
        settings: dict[str, Any] = {
            "steps": steps,
            "batch": self.given.batch,
            "rate": self.given.rate,
            "muon": self.given.muon,
            "warmup": max(1, steps // 20),
            "average": 0.99,
            "seed": seed,
            "report_every": max(1, steps // 10),
            "validate_every": steps,
            "device": self.given.device,
            "threads": self.given.threads,
            "half_cpu": self.given.half_cpu,
        }
        return TrainOptions(**(settings | more))

    def train(self, name: str, task: Task[Any], options: TrainOptions) -> dict[str, Tensor]:
        """Train into a folder of that name, or read what was trained there. Returns the averaged weights, and leaves
        the task's network with them, in evaluation mode."""
        folder = self.out / "runs" / name
        self.say(f"training {name}: {options.steps} steps")
        return trained(task, folder, options, lambda line: None)

    def log(self, name: str) -> list[dict[str, Any]]:
        """Lines of a run's log."""
        lines = (self.out / "runs" / name / "log.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def _step_seconds(self, task: Task[Any], turn: int) -> float:
        device = torch.device(self.given.device)
        model = task.model.to(device).train()
        optimizers = optimizers_of(task, TrainOptions(muon=self.given.muon))
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = 0.0
        times = []
        for step in range(3):
            batch = task.batch(turn, step, self.given.batch).to(device)
            start = _clock(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda" or self.given.half_cpu):
                loss = task.losses(model, batch)["total"]
            model.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            times.append(_clock(device) - start)
        return min(times[1:])

    # ---------------------------------------------------------------------------------------------- reports

    def say(self, line: str) -> None:
        """Progress."""
        print(line, flush=True)

    def write(self, report: Mapping[str, Any], text: str) -> None:
        """``report.json`` and ``report.md``; the latter is also printed."""
        given = {name: str(value) if isinstance(value, Path) else value for name, value in vars(self.given).items()}
        about = {"machine": machine() | {"torch": torch.__version__}, "options": given, "step_seconds": self._steps}
        self.out.mkdir(parents=True, exist_ok=True)
        write_report(self.out / "report.json", about | dict(report))
        (self.out / "report.md").write_text(text)
        print(text)
        print(f"wrote {self.out}/report.json and report.md")


def spread(values: Iterable[float], digits: int = 1) -> str:
    """Mean and standard deviation of runs with different seeds: ``"71.3 +- 0.8"``."""
    found = list(values)
    deviation = f" +- {statistics.stdev(found):.{digits}f}" if len(found) > 1 else ""
    return f"{statistics.fmean(found):.{digits}f}{deviation}"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Markdown; all columns but the first are of numbers."""
    lines = [list(head), ["---"] + ["---:"] * (len(head) - 1), *([str(cell) for cell in row] for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _clock(device: torch.device) -> float:
    """Seconds: of a CPU those that we had it for, on each thread, whoever else uses it; of a GPU those that pass."""
    if device.type == "cpu":
        threads: int = torch.get_num_threads()
        return process_time() / threads
    torch.cuda.synchronize(device)
    return perf_counter()
