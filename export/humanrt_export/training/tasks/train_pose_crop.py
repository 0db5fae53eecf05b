"""``humanrt-export train pose-crop``: Anny's pose from a picture of one person, to try methods on (`pose_crop`)."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from humanrt.errors import HumanrtError
from humanrt_export.bodies.anny.model import load_anny
from humanrt_export.data.people.crops import Crops, crops_at
from humanrt_export.networks.attention import plain
from humanrt_export.networks.encoders import ENCODERS
from humanrt_export.training.loop import train
from humanrt_export.training.methods.compose import composed
from humanrt_export.training.methods.compose import configure as configure_methods
from humanrt_export.training.methods.continual import train_domains
from humanrt_export.training.tasks.multihmr import refuse_bare
from humanrt_export.training.tasks.pose_crop import PoseCropConfig, PoseCropTask, Skeleton

__all__ = ["configure", "run"]

_LEAST = 28  # px


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options; those of every training are added after."""
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        metavar="DIR",
        help="pictures of people to train on (`humanrt-export data people`), or files of crops",
    )
    parser.add_argument("--val", type=Path, required=True, metavar="DIR", help="likewise, to validate on")
    parser.add_argument("--most", type=int, metavar="N", help="people of each --data, the first ones (default: all)")
    parser.add_argument("--in-turn", action="store_true", help="train on one --data after the other, --steps each")
    parser.add_argument("--augment", action="store_true", help="roll, zoom and mirror the crops")
    parser.add_argument("--image-size", type=int, default=112, metavar="PX", help="of the crops (default: 112)")
    parser.add_argument("--start", type=Path, metavar="RUN", help="begin with the weights of another pose-crop run")
    parser.add_argument("--backbone-weights", type=Path, metavar="FILE", help="begin with a pre-trained backbone")
    parser.add_argument("--encoder", choices=sorted(ENCODERS), default="resnet")
    parser.add_argument("--width", type=int, default=32, help="of resnet: channels of its first stage (default: 32)")
    parser.add_argument("--blocks", type=int, default=1, help="of resnet, in each of its four stages (default: 1)")
    configure_methods(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train."""
    from humanrt_export.training.options import options_of

    options = options_of(arguments)
    if min(arguments.width, arguments.blocks) < 1:
        raise HumanrtError("--width and --blocks must be at least 1")
    if arguments.start and arguments.backbone_weights:
        raise HumanrtError("--start brings a whole network and --backbone-weights a part of one; give one of them")
    if not (arguments.start or arguments.backbone_weights):
        refuse_bare(arguments.encoder)
    size = arguments.image_size
    if size < _LEAST:
        raise HumanrtError(f"--image-size is {size}; need {_LEAST} px or more")
    if arguments.most is not None and arguments.most < 1:
        raise HumanrtError(f"--most is {arguments.most}; need 1 or more")
    trained = [crops_at(path, size, arguments.most) for path in arguments.data]
    held = crops_at(arguments.val, size)
    config = PoseCropConfig(arguments.encoder, size, arguments.width, arguments.blocks)
    skeleton = Skeleton(load_anny("10pc"))

    def task(crops: Crops) -> PoseCropTask:
        torch.manual_seed(options.seed)  # of the first weights
        made = PoseCropTask(config, crops, held, skeleton, arguments.augment)
        if options.device == "cpu" or arguments.second_order:
            made.model.use_attention(plain)  # twice as fast backwards on a CPU, and it can be differentiated twice
        if arguments.start:
            made.start_at(arguments.start)
        if arguments.backbone_weights:
            made.start_from(arguments.backbone_weights)
        return made

    if not arguments.in_turn:
        print(f"{sum(map(len, trained))} people, {len(held)} held out")
        train(composed(task(Crops.joined(trained)), arguments), arguments.out, options)
        return 0
    names = [path.stem for path in arguments.data]
    tasks = {name: task(crops) for name, crops in zip(names, trained, strict=True)}
    if len(tasks) != len(names):
        raise HumanrtError("two of --data have the same name, which is their domain's; rename one")
    wrapped = {name: composed(one, arguments) for name, one in tasks.items()}
    domains = dict(zip(names, trained, strict=True))
    found = train_domains(
        wrapped, arguments.out, options, lambda domain, model: tasks[domain].error(model, domains[domain])
    )
    for name, row in zip(names, found.errors, strict=True):
        print(f"after {name}: " + "  ".join(f"{one} {error:.1f} mm" for one, error in zip(names, row, strict=True)))
    print(f"mean {found.final:.1f} mm, forgotten {found.forgetting:.1f} mm (on what was trained on)")
    return 0
