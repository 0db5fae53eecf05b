"""``humanrt-export train pose-crop``: Anny's pose from a picture of one person, to try methods on (`pose_crop`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch

from humanrt.errors import HumanrtError
from humanrt_export.bodies.anny.model import load_anny
from humanrt_export.data.people.crops import Crops, crops_at
from humanrt_export.networks.attention import plain
from humanrt_export.networks.encoders import ENCODERS
from humanrt_export.options import Option
from humanrt_export.training.loop import train
from humanrt_export.training.methods.compose import MethodOptions
from humanrt_export.training.methods.continual import train_domains
from humanrt_export.training.options import RunConfig
from humanrt_export.training.processes import several
from humanrt_export.training.tasks.multihmr import refuse_bare
from humanrt_export.training.tasks.pose_crop import PoseCropConfig, PoseCropTask, Skeleton

__all__ = ["TrainPoseCrop", "make_task", "run", "task_of"]

_LEAST = 28  # px


@dataclass(frozen=True, kw_only=True)
class TrainPoseCrop(RunConfig):
    """Options of ``humanrt-export train pose-crop``.

    Attributes:
        data: pictures of people to train on (`humanrt-export data people`), or files of crops.
        val: likewise, to validate on.
        most: people of each --data, the first ones; without it, all.
        in_turn: train on one --data after the other, --steps each.
        augment: roll, zoom and mirror the crops.
        image_size: of the crops.
        start: begin with the weights of another pose-crop run.
        backbone_weights: begin with a pre-trained backbone.
        encoder: what looks at crops.
        width: of resnet: channels of its first stage.
        blocks: of resnet, in each of its four stages.
        methods: how a step is made.
    """

    data: Annotated[tuple[Path, ...], Option(metavar="DIR")]
    val: Annotated[Path, Option(metavar="DIR")]
    most: int | None = None
    in_turn: bool = False
    augment: bool = False
    image_size: Annotated[int, Option(metavar="PX")] = 112
    start: Annotated[Path | None, Option(metavar="RUN")] = None
    backbone_weights: Annotated[Path | None, Option(metavar="FILE")] = None
    encoder: Annotated[str, Option(choices=ENCODERS)] = "resnet"
    width: int = 32
    blocks: int = 1
    methods: MethodOptions = field(default_factory=MethodOptions)

    def __post_init__(self) -> None:
        if min(self.width, self.blocks) < 1:
            raise HumanrtError("--width and --blocks must be at least 1")
        if self.start and self.backbone_weights:
            raise HumanrtError("--start loads a whole network and --backbone-weights a part of one; give only one")
        if not (self.start or self.backbone_weights):
            refuse_bare(self.encoder)
        if self.image_size < _LEAST:
            raise HumanrtError(f"--image-size is {self.image_size}; it must be {_LEAST} px or more")
        if self.most is not None and self.most < 1:
            raise HumanrtError(f"--most is {self.most}; it must be 1 or more")
        if self.in_turn and several():
            raise HumanrtError("--in-turn trains in one process; start it without torchrun")
        if self.in_turn and len({path.stem for path in self.data}) != len(self.data):
            raise HumanrtError("two of --data have the same name, which names their domain; rename one")

    @property
    def network(self) -> PoseCropConfig:
        """The network's settings."""
        return PoseCropConfig(self.encoder, self.image_size, self.width, self.blocks)


def run(config: TrainPoseCrop) -> int:
    """Train."""
    domains, held = _crops(config)
    if not config.in_turn:
        print(f"{sum(map(len, domains))} people, {len(held)} held out")
        task = task_of(config, Crops.joined(domains), held)
        train(config.methods.wrap(task), config.out, config.train)
        return 0
    _train_in_turn(config, domains, held)
    return 0


def make_task(config: TrainPoseCrop) -> PoseCropTask:
    """Make the task of all the people together: they are read, its first weights come from the seed.

    Raises:
        HumanrtError: no such people, or weights of another network.
    """
    domains, held = _crops(config)
    return task_of(config, Crops.joined(domains), held)


def task_of(config: TrainPoseCrop, trained: Crops, held: Crops) -> PoseCropTask:
    """Make the task of these crops, whatever the data that the options name."""
    torch.manual_seed(config.train.seed)  # of the first weights
    task = PoseCropTask(config.network, trained, held, Skeleton(load_anny("10pc")), config.augment)
    if config.train.device == "cpu" or config.methods.second_order:
        task.model.use_attention(plain)  # twice as fast backwards on a CPU, and it can be differentiated twice
    if config.start:
        task.start_at(config.start)
    if config.backbone_weights:
        task.start_from(config.backbone_weights)
    return task


def _crops(config: TrainPoseCrop) -> tuple[list[Crops], Crops]:
    """Crops of each of the data, and those to validate on."""
    domains = [crops_at(path, config.image_size, config.most) for path in config.data]
    return domains, crops_at(config.val, config.image_size)


def _train_in_turn(config: TrainPoseCrop, trained: Sequence[Crops], held: Crops) -> None:
    names = [path.stem for path in config.data]
    domains = dict(zip(names, trained, strict=True))
    tasks = {name: task_of(config, crops, held) for name, crops in domains.items()}
    found = train_domains(
        {name: config.methods.wrap(task) for name, task in tasks.items()},
        config.out,
        config.train,
        lambda domain, model: tasks[domain].error(model, domains[domain]),
    )
    for name, row in zip(names, found.errors, strict=True):
        print(f"after {name}: " + "  ".join(f"{one} {error:.1f} mm" for one, error in zip(names, row, strict=True)))
    print(f"mean {found.final:.1f} mm, forgotten {found.forgetting:.1f} mm (on what was trained on)")
