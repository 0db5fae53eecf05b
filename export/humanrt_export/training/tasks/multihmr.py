"""``humanrt-export train multihmr``: our Multi-HMR on Anny, on rendered people (`humanrt-export data people`)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from humanrt.errors import HumanrtError
from humanrt.files import file_sha256
from humanrt.people.metrics import Bodies, PeopleMetrics
from humanrt_export.bodies.anny.body import AnnyBody
from humanrt_export.bodies.anny.model import load_anny
from humanrt_export.checkpoint import CheckpointError
from humanrt_export.data.people.augment import Augmentation
from humanrt_export.data.people.dataset import MARKS, Growing, PeopleImages
from humanrt_export.data.people.truth import truth_of
from humanrt_export.networks.attention import plain
from humanrt_export.networks.backbone import BACKBONES, TRUNKS
from humanrt_export.networks.detection import THRESHOLD
from humanrt_export.networks.multihmr_anny import ABOUT, AnnyConfig, AnnyHmr, load_checkpoint
from humanrt_export.networks.trunk import GRAPHS, PoseStem, trunk_weights
from humanrt_export.runs import LAST
from humanrt_export.synthetic.people import PeopleLabels, Shards
from humanrt_export.training.loop import train
from humanrt_export.training.methods.compose import composed
from humanrt_export.training.methods.compose import configure as configure_methods
from humanrt_export.training.tasks.multihmr_losses import Weights, losses

__all__ = ["PeopleTask", "configure", "load_backbone", "make_task", "run"]

_NETWORK = "multihmr-anny"
_TOPOLOGY = "10pc"
_PEOPLE = 16


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options; those of every training are added after."""
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds the samples train and val")
    parser.add_argument("--samples", type=int, metavar="N", help="use the first N of train, waiting for them (all)")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="draw from the first N at the first step ...")
    parser.add_argument("--growth", type=float, default=0.0, metavar="N", help="... and from N more with each step")
    parser.add_argument("--validated", type=int, default=200, metavar="N", help="samples of val (default: 200)")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="threads that make pictures (default: 1)")
    parser.add_argument("--backbone", choices=sorted(BACKBONES), default="dinov2_vits14")
    parser.add_argument(
        "--backbone-weights", type=Path, metavar="FILE", help="start from these (DINOv2's layout; a graph)"
    )
    parser.add_argument(
        "--trunk-rate",
        type=float,
        default=0.1,
        metavar="P",
        help="part of the learning rate for the trunk of mediapipe14; 0: it rests (0.1)",
    )
    parser.add_argument("--start-from", type=Path, metavar="FILE", help="start from all weights of this checkpoint")
    parser.add_argument("--image-size", type=int, default=AnnyConfig.image_size, metavar="PX")
    for name in ("width", "depth", "heads", "mlp"):
        default = getattr(AnnyConfig, name)
        parser.add_argument(f"--{name}", type=int, default=default, help=f"of the decoder (default: {default})")
    looks = Augmentation()
    parser.add_argument(
        "--person",
        type=float,
        default=looks.person,
        metavar="P",
        help=f"pictures that look at somebody ({looks.person})",
    )
    parser.add_argument(
        "--span",
        type=float,
        nargs=2,
        default=looks.span,
        metavar=("LEAST", "MOST"),
        help=f"part of such a picture that the person fills ({looks.span[0]} {looks.span[1]})",
    )
    parser.add_argument("--no-appearance", action="store_true", help="leave light, colours, noise as they are rendered")
    parser.add_argument(
        "--points-from", type=float, default=0.1, metavar="P", help="part of the steps before projected losses (0.1)"
    )
    for name, value in asdict(Weights()).items():
        parser.add_argument(f"--loss-{name}", type=float, default=value, metavar="W", help=f"weight ({value:g})")
    configure_methods(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train."""
    from humanrt_export.training.options import options_of

    options = options_of(arguments)
    task = make_task(arguments, options.steps, options.seed)
    if options.device == "cpu":
        task.model.use_attention(plain, plain)  # whose backward pass is twice as fast there
    print(f"{len(task.images.samples)} samples, {sum(p.numel() for p in task.model.parameters()) / 1e6:.1f} M weights")
    arguments.out.mkdir(parents=True, exist_ok=True)
    data = {name: value for name, value in task.about.items() if name != "joint_names"}
    about = {
        "command": arguments.line,
        "data": json.dumps({"samples": len(task.images.samples), **data}),
    }
    for name in ("backbone_weights", "start_from"):
        if path := getattr(arguments, name):
            path = path / LAST if path.is_dir() else path
            about[name] = f"{path.name}, sha256 {file_sha256(path)}"
    (arguments.out / ABOUT).write_text(json.dumps(about, indent=1) + "\n")
    train(composed(task, arguments), arguments.out, options)
    return 0


def make_task(arguments: argparse.Namespace, steps: int, seed: int) -> PeopleTask:
    """The task of parsed options, for other methods to build on."""
    for name in ("validated", "workers"):
        if getattr(arguments, name) < 1:
            raise HumanrtError(f"--{name} is {getattr(arguments, name)}; need 1 or more")
    if not (0 <= arguments.person <= 1 and 0 < arguments.span[0] <= arguments.span[1]):
        raise HumanrtError("--person is a part from 0 to 1, --span a least and a most above 0")
    if not 0 <= arguments.points_from <= 1:
        raise HumanrtError(f"--points-from is {arguments.points_from}; need a part from 0 to 1")
    if not (arguments.backbone_weights or arguments.start_from):
        refuse_bare(arguments.backbone)
    if not 0 <= arguments.trunk_rate <= 1:
        raise HumanrtError(f"--trunk-rate is {arguments.trunk_rate}; need a part from 0 to 1")
    if arguments.start < 0 or arguments.growth < 0:
        raise HumanrtError("--start and --growth cannot be below 0")
    config = AnnyConfig(
        backbone=arguments.backbone,
        image_size=arguments.image_size,
        **{name: getattr(arguments, name) for name in ("width", "depth", "heads", "mlp")},
    )
    weights = Weights(**{name: getattr(arguments, f"loss_{name}") for name in asdict(Weights())})
    augmentation = Augmentation(person=arguments.person, span=tuple(arguments.span))
    if arguments.no_appearance:
        augmentation = replace(augmentation, colour=0, grey=0, blur=0, noise=0, cutout=0)
    train_shards, val_shards = (Shards(arguments.data / part) for part in ("train", "val"))
    count = arguments.samples or len(train_shards)
    if count < 1 or not len(val_shards):
        raise HumanrtError(f"{arguments.data}: no samples in train or val yet; make some: humanrt-export data people")
    images = PeopleImages(
        Growing(train_shards, count),
        config.image_size,
        augmentation=augmentation,
        start=arguments.start,
        growth=arguments.growth,
        workers=arguments.workers,
    )
    validation = PeopleImages(val_shards, config.image_size)
    torch.manual_seed(seed)  # of the first weights
    task = PeopleTask(
        config,
        weights,
        images,
        validation,
        points_from=int(arguments.points_from * steps),
        validated=arguments.validated,
        trunk_rate=arguments.trunk_rate if arguments.backbone in TRUNKS else 0.0,
        about=train_shards.info,
    )
    if arguments.backbone_weights:
        load_backbone(task.model.backbone, config.backbone, arguments.backbone_weights)
    if arguments.start_from:
        before, _ = load_checkpoint(arguments.start_from)
        if replace(before.config, image_size=config.image_size) != config:  # its tables fit any size
            raise HumanrtError(f"{arguments.start_from}: another network ({before.config}); give its settings")
        task.model.load_state_dict(before.state_dict(), strict=False)  # no checkpoint has marks
    return task


def refuse_bare(backbone: str) -> None:
    """Raise `HumanrtError` for a backbone that would begin with a trunk of random numbers, which rests."""
    if backbone in TRUNKS:
        raise HumanrtError(
            f"{backbone} starts from a trained trunk; give --backbone-weights engines/landmarks/body_landmarks.onnx.z"
        )


def load_backbone(backbone: nn.Module, name: str, path: Path) -> None:
    """Start from a backbone's weights: a file of tensors in DINOv2's layout, or a mapping with them under ``state``.

    Args:
        backbone: a `DinoV2`; name: its key in `backbone.BACKBONES`, for messages.
        path: the file; of one with a `PoseTrunk` also the graph that this is taken from (``.onnx``, ``.onnx.z``).

    Raises:
        CheckpointError: not such a file, or weights of another backbone.
    """
    from humanrt_export.checkpoint import fill, read

    stem = backbone.patch_embed["proj"]
    graph = path.name.endswith(GRAPHS)
    if graph and not isinstance(stem, PoseStem):
        raise CheckpointError(f"{path}: a graph, which only {', '.join(TRUNKS)} begins with; the backbone is {name}")
    if graph:
        stem.trunk.load_state_dict(trunk_weights(path))
        return
    content = read(path, "backbone")
    state = content.get("state", content)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: holds more than tensors; give a backbone's weights in DINOv2's layout")
    about = f"the backbone is {name}; give weights of that one"
    fill(path, backbone, dict(state), lambda name: name, unneeded=r"mask_token|register_tokens", about=about)


@dataclass
class PeopleTask:
    """Multi-HMR on Anny (`training.Task`).

    Attributes:
        settings: the network.
        weights: of the losses.
        images, validation: what is trained and validated on.
        points_from: step from which projected losses count.
        validated: samples of a validation.
        trunk_rate: part of the learning rate for a backbone's trunk.
        body_topology: of the body that losses and metrics see.
        about: how the samples were made.
    """

    settings: AnnyConfig
    weights: Weights
    images: PeopleImages
    validation: PeopleImages
    points_from: int = 0
    validated: int = 200
    trunk_rate: float = 0.0
    body_topology: str = _TOPOLOGY
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = AnnyHmr(self.settings, len(MARKS) if self.weights.marks else 0)
        stem = self.model.backbone.patch_embed["proj"]
        if self.trunk_rate and isinstance(stem, PoseStem):
            stem.trunk.learn()
        data = load_anny(self.body_topology)
        self.joint_names = data.joint_names
        self.body = AnnyBody(data, self.settings.bones, self.settings.anchor).eval().requires_grad_(False)

    def config(self) -> Mapping[str, Any]:
        """The network, the losses, and what is done to pictures; not the samples, to which some may be added."""
        return {
            "network": _NETWORK,
            "settings": asdict(self.settings),
            "weights": asdict(self.weights),
            "augmentation": asdict(self.images.augmentation),
            "points_from": self.points_from,
            **({"trunk_rate": self.trunk_rate} if self.trunk_rate else {}),  # which runs of before do not have
        }

    def rate(self, name: str) -> float:
        """Part of the learning rate for a parameter of the model."""
        return self.trunk_rate if ".trunk." in name else 1.0

    def batch(self, seed: int, step: int, size: int) -> dict[str, Tensor]:
        """Pictures and who is in them (`dataset.targets`)."""
        batch = self.images.batch(seed, step, size)
        batch["points"] = torch.tensor(float(step >= self.points_from))
        return batch

    def held_out_batch(self, size: int) -> dict[str, Tensor]:
        """The first held-out pictures as they are, like a batch of the last step."""
        samples = self.validation.plain(range(min(size, len(self.validation.samples))))
        return self.validation.stacked(samples) | {"points": torch.tensor(1.0)}

    def losses(self, model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See `losses.losses`."""
        said = model.at(batch["image"], batch["cells"], batch["valid"])
        device = batch["image"].device
        with torch.autocast(device.type, enabled=False):
            return losses(said, batch, self.body.to(device), self.settings.image_size, self.weights)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Of held-out pictures, cameras known: see `metrics.PeopleMetrics.summary`."""
        device = next(model.parameters()).device
        body, metrics = self.body.to(device), PeopleMetrics(self.joint_names)
        count = min(self.validated, len(self.validation.samples))
        places = np.linspace(0, len(self.validation.samples) - 1, count).astype(int).tolist()
        for first in range(0, count, _PEOPLE):
            samples = self.validation.plain(places[first : first + _PEOPLE])
            batch = self.validation.stacked(samples)
            image, intrinsics = (batch[name].to(device) for name in ("image", "intrinsics"))
            out = model(image, intrinsics, torch.full((1,), THRESHOLD, device=device), _PEOPLE)
            for place, sample in enumerate(samples):
                here = out.valid[place]
                posed = body(out.rotations[place][here], out.shape[place][here], out.translation[place][here])
                told = (posed.joints, out.locations[place][here], posed.vertices)
                found = Bodies(*(value.cpu().numpy() for value in told))
                metrics.add(found, self.truth(sample.people))
        return metrics.summary()

    def truth(self, people: PeopleLabels) -> Bodies:
        """Of a held-out picture."""
        own = (torch.from_numpy(x) for x in (people.rotations, people.shape, people.translation))
        device = self.body.template.device
        vertices = self.body(*(x.to(device) for x in own)).vertices.cpu().numpy()
        return truth_of(people, vertices, (self.validation.size,) * 2, self.validation.least)
