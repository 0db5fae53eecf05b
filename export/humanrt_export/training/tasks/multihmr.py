"""``humanrt-export train multihmr``: our Multi-HMR on Anny, on rendered people (`humanrt-export data people`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from humanrt.bundle import MANIFEST
from humanrt.errors import HumanrtError, choices
from humanrt.files import file_sha256
from humanrt.people.metrics import Bodies, PeopleMetrics
from humanrt_export.bodies.anny.body import AnnyBody
from humanrt_export.bodies.anny.model import load_anny
from humanrt_export.checkpoint import CheckpointError
from humanrt_export.conversion.multihmr_anny_recovered import is_bundle, network_of
from humanrt_export.data.people.augment import Augmentation
from humanrt_export.data.people.dataset import MARKS, Growing, PeopleBatch, PeopleImages
from humanrt_export.data.people.imagined import ImaginedPeople
from humanrt_export.data.people.truth import truth_of
from humanrt_export.networks.attention import plain
from humanrt_export.networks.backbone import TRUNKS, DinoV2
from humanrt_export.networks.detection import THRESHOLD
from humanrt_export.networks.keypoint_backbone import KEYPOINT_BACKBONES, KeypointBackbone
from humanrt_export.networks.movenet import movenet_weights
from humanrt_export.networks.multihmr_anny import ABOUT, AnnyConfig, AnnyHmr, trunk_learned
from humanrt_export.networks.trunk import GRAPHS, PoseStem, trunk_weights
from humanrt_export.options import Group, Option
from humanrt_export.runs import LAST
from humanrt_export.synthetic.people import PeopleLabels, Shards
from humanrt_export.synthetic.people.poses import PoseSource, clean_motions
from humanrt_export.training.frozen_maps import FrozenMaps
from humanrt_export.training.loop import train
from humanrt_export.training.methods.compose import MethodOptions
from humanrt_export.training.options import RunConfig, recorded
from humanrt_export.training.processes import is_first, started
from humanrt_export.training.tasks.multihmr_losses import (
    Weights,
    imagined_losses,
    keypoint_errors,
    losses,
    true_keypoints,
)

__all__ = ["PeopleTask", "TrainMultihmr", "load_backbone", "make_task", "run"]

_NETWORK = "multihmr-anny"
_NETWORK_OPTIONS = ("backbone", "image_size", "width", "depth", "heads", "mlp", "corrections")
_TOPOLOGY = "10pc"
_PEOPLE = 16
_POSE_TRUNK_RATE = 0.1  # of mediapipe14
REUSED_AFTER = 40
"""Steps after which a picture is used again."""


@dataclass(frozen=True, kw_only=True)
class TrainMultihmr(RunConfig):
    """Options of ``humanrt-export train multihmr``.

    Attributes:
        data: folder that holds the samples train and val.
        samples: use the first so many of train, waiting for them; without it, all.
        start: draw from the first so many at the first step ...
        growth: ... and from so many more with each step.
        validated: samples of val.
        workers: threads that make pictures.
        network: its settings.
        backbone_weights: start from these (DINOv2's layout; a graph).
        trunk_rate: part of the learning rate for a trunk's layers of strides from 16 on; 0: it rests; without it, 0.1
            for mediapipe14 and 0 for movenet14.
        reuse: use each picture in so many steps, which spares frozen trunks most of their work.
        imagined: people a step of whom only keypoints are seen, for a network that looks for them.
        motions: recordings for these, a file or a folder.
        forced: part of the people in pictures whose keypoints are moved towards the true ones, by a random part of the
            way: what sees real people better than rendered ones is then trusted.
        start_from: start from all weights of this checkpoint, another training's folder, or a bundle.
        looks: how pictures are varied.
        appearance: vary light, colours and noise, too.
        points_from: part of the steps before projected losses.
        losses: their weights.
        methods: how a step is made.
    """

    data: Annotated[Path, Option(metavar="DIR")]
    samples: int | None = None
    start: int = 0
    growth: Annotated[float, Option(metavar="N")] = 0.0
    validated: int = 200
    workers: int = 1
    network: Annotated[AnnyConfig, Group(only=_NETWORK_OPTIONS)] = field(default_factory=AnnyConfig)
    backbone_weights: Annotated[Path | None, Option(metavar="FILE")] = None
    trunk_rate: Annotated[float | None, Option(metavar="P")] = None
    reuse: int = 1
    imagined: Annotated[int, Option(metavar="N")] = 0
    motions: Annotated[Path | None, Option(metavar="PATH")] = None
    forced: Annotated[float, Option(metavar="P")] = 0.0
    start_from: Annotated[Path | None, Option(metavar="FILE")] = None
    looks: Annotated[Augmentation, Group(only=("person", "span"))] = field(default_factory=Augmentation)
    appearance: bool = True
    points_from: Annotated[float, Option(metavar="P")] = 0.1
    losses: Annotated[Weights, Group(prefix="loss-")] = field(default_factory=Weights)
    methods: MethodOptions = field(default_factory=MethodOptions)

    def __post_init__(self) -> None:
        for name in ("validated", "workers", "reuse"):
            if getattr(self, name) < 1:
                raise HumanrtError(f"--{name} is {getattr(self, name)}; it must be 1 or more")
        if self.reuse > self.train.batch:
            raise HumanrtError(
                f"--reuse is {self.reuse}, but --batch {self.train.batch}: one picture a step is new at "
                "least; give no more than the batch"
            )
        if not (0 <= self.looks.person <= 1 and 0 < self.looks.span[0] <= self.looks.span[1]):
            raise HumanrtError("--person must be from 0 to 1, and --span a minimum and a maximum above 0")
        if not 0 <= self.points_from <= 1:
            raise HumanrtError(f"--points-from is {self.points_from}; it must be from 0 to 1")
        if not (self.backbone_weights or self.start_from):
            refuse_bare(self.network.backbone)
        if self.trunk_rate is not None and not 0 <= self.trunk_rate <= 1:
            raise HumanrtError(f"--trunk-rate is {self.trunk_rate}; it must be from 0 to 1")
        if self.trunk_rate and self.network.backbone not in (trunks := (*TRUNKS, *KEYPOINT_BACKBONES)):
            raise HumanrtError(
                f"--trunk-rate is {self.trunk_rate}, but {self.network.backbone} has no trunk of its own rate; leave "
                f"it out, or give a --backbone that has one: {choices(trunks)}"
            )
        if self.imagined < 0:
            raise HumanrtError("--imagined must be at least 0")
        if self.imagined and (self.motions is None or self.network.backbone not in KEYPOINT_BACKBONES):
            raise HumanrtError(f"--imagined needs --motions, and a --backbone that is {choices(KEYPOINT_BACKBONES)}")
        if not 0 <= self.forced <= 1 or (self.forced and self.network.backbone not in KEYPOINT_BACKBONES):
            raise HumanrtError(
                f"--forced must be from 0 to 1, and needs a --backbone that is {choices(KEYPOINT_BACKBONES)}"
            )
        if self.imagined % started():
            raise HumanrtError(
                f"--imagined is {self.imagined}, of all {started()} processes together; give a multiple of {started()}"
            )
        if self.start < 0 or self.growth < 0:
            raise HumanrtError("--start and --growth must be at least 0")

    @property
    def augmentation(self) -> Augmentation:
        """How pictures are varied in all."""
        if self.appearance:
            return self.looks
        return replace(self.looks, colour=0, grey=0, blur=0, noise=0, cutout=0)


def run(config: TrainMultihmr) -> int:
    """Train."""
    task = make_task(config)
    print(f"{len(task.images.samples)} samples, {sum(p.numel() for p in task.model.parameters()) / 1e6:.1f} M weights")
    config.out.mkdir(parents=True, exist_ok=True)
    data = {name: value for name, value in task.about.items() if name != "joint_names"}
    about = {
        "command": config.command,
        "data": json.dumps({"samples": len(task.images.samples), **data}),
    }
    for name in ("backbone_weights", "start_from"):
        if path := getattr(config, name):
            path = path / (MANIFEST if is_bundle(path) else LAST) if path.is_dir() else path
            about[name] = f"{path.name}, sha256 {file_sha256(path)}"
    if is_first():
        (config.out / ABOUT).write_text(json.dumps(about, indent=1) + "\n")
    train(config.methods.wrap(task), config.out, config.train)
    return 0


def make_task(config: TrainMultihmr) -> PeopleTask:
    """Make the task, for other methods to build on: its samples are opened, its first weights come from the seed.

    Raises:
        HumanrtError: no samples, or weights that are not the network's.
    """
    network, options = config.network, config.train
    train_shards, val_shards = (Shards(config.data / part) for part in ("train", "val"))
    count = config.samples or len(train_shards)
    if count < 1 or not len(val_shards):
        raise HumanrtError(f"{config.data}: no samples in train or val yet; make some with  humanrt-export data people")
    images = PeopleImages(
        Growing(train_shards, count),
        network.image_size,
        augmentation=config.augmentation,
        start=config.start,
        growth=config.growth,
        workers=config.workers,
    )
    validation = PeopleImages(val_shards, network.image_size)
    imagined = None
    if config.imagined and config.motions:
        imagined = ImaginedPeople(PoseSource(clean_motions(config.motions, "train")))
    torch.manual_seed(options.seed)  # of the first weights
    task = PeopleTask(
        network,
        config.losses,
        images,
        validation,
        points_from=int(config.points_from * options.steps),
        validated=config.validated,
        trunk_rate=_trunk_rate(network.backbone, config.trunk_rate),
        reuse=config.reuse,
        imagined=imagined,
        imagined_people=config.imagined,
        forced=config.forced,
        about=train_shards.info,
    )
    if config.backbone_weights:
        load_backbone(task.model.backbone, network.backbone, config.backbone_weights)
    if config.start_from:
        before, told = network_of(config.start_from)
        # Its tables fit any size; a head that corrects poses may start from one that does not.
        like = replace(before.config, image_size=network.image_size)
        if network.corrections and not like.corrections:
            like = replace(like, depth=min(like.depth, network.depth))
        if network.corrections:  # however often, it is one block
            like = replace(like, corrections=network.corrections)
        if like != network:
            raise HumanrtError(f"{config.start_from}: another network ({before.config}); give the same settings")
        start_from(task.model, before.state_dict())
        if network.backbone in KEYPOINT_BACKBONES:
            task.trunk_before = {True: "learned", False: "", None: "unknown"}[trunk_learned(told)]
    if options.device == "cpu":
        task.model.use_attention(plain, plain)  # whose backward pass is twice as fast there
        if config.methods == MethodOptions():  # others change the pictures
            task.freeze(options.threads)
    return task


def start_from(model: nn.Module, before: Mapping[str, Tensor]) -> None:
    """Take over the weights that a model has, too; no checkpoint has marks.

    Where a layer has more inputs now, which are its last, they are not heeded at first.

    Raises:
        HumanrtError: weights have another shape.
    """
    own = model.state_dict()  # which shares the model's memory
    for name, value in before.items():
        if name not in own:
            continue
        wanted = own[name].shape
        if wanted == value.shape:
            own[name].copy_(value)
        elif value.ndim == 2 and wanted[0] == value.shape[0] and wanted[1] > value.shape[1]:
            own[name].zero_()[:, : value.shape[1]] = value
        else:
            raise HumanrtError(f"{name} is {list(value.shape)} there, {list(wanted)} here; give the same settings")


def _trunk_rate(backbone: str, given: float | None) -> float:
    """Return what part of the learning rate the trunk of a backbone has; 0: it has none, or that rests."""
    if given is None:
        return _POSE_TRUNK_RATE if backbone in TRUNKS else 0.0
    return given


def refuse_bare(backbone: str) -> None:
    """Raise `HumanrtError` for a backbone that would begin with a trunk of random numbers, which rests."""
    if backbone in KEYPOINT_BACKBONES:
        raise HumanrtError(
            f"{backbone} starts from a trained trunk; give --backbone-weights engines/multipose/multipose.onnx.z"
        )
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

    if isinstance(backbone, KeypointBackbone):
        backbone.trunk.load_state_dict(movenet_weights(path))
        return
    stem = backbone.patch_embed["proj"]
    graph = path.name.endswith(GRAPHS)
    if graph and not isinstance(stem, PoseStem):
        raise CheckpointError(f"{path}: a graph, from which only {', '.join(TRUNKS)} can start; the backbone is {name}")
    if graph:
        stem.trunk.load_state_dict(trunk_weights(path))
        return
    content = read(path, "backbone")
    state = content.get("state", content)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: contains more than tensors; give a backbone's weights in DINOv2's layout")
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
        trunk_before: `learned` or `unknown`, if the trunk of the network that this one starts from may have been
            trained: what it says of it goes with the weights.
        reuse: steps in which each picture is used.
        imagined: people without pictures, of whom a network that reads keypoints learns, too; None: there are none.
        imagined_people: how many of them a step.
        forced: part of the people in pictures whose keypoints are moved towards the true ones.
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
    trunk_before: str = ""
    reuse: int = 1
    imagined: ImaginedPeople | None = None
    imagined_people: int = 0
    forced: float = 0.0
    body_topology: str = _TOPOLOGY
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = AnnyHmr(self.settings, len(MARKS) if self.weights.marks else 0)
        backbone = self.model.backbone
        stem = backbone.patch_embed["proj"] if isinstance(backbone, DinoV2) else None
        if self.trunk_rate and isinstance(stem, PoseStem):
            stem.trunk.learn()
        if self.trunk_rate and isinstance(backbone, KeypointBackbone):
            backbone.trunk.learn()
        self.frozen: FrozenMaps | None = None
        self._kept: dict[tuple[int, int], PeopleBatch] = {}  # by seed and step: new pictures that will be used again
        data = load_anny(self.body_topology)
        self.joint_names = data.joint_names
        self.body = AnnyBody(data, self.settings.bones, self.settings.anchor).eval().requires_grad_(False)

    def config(self) -> Mapping[str, Any]:
        """The network, the losses, and what is done to pictures; not the samples, to which some may be added."""
        return {
            "network": _NETWORK,
            "settings": recorded(self.settings, "corrections"),
            "weights": recorded(self.weights, "keypoints", "posed", "beside", "imagined"),
            "augmentation": asdict(self.images.augmentation),
            "points_from": self.points_from,
            **({"trunk_rate": self.trunk_rate} if self.trunk_rate else {}),  # which runs of before do not have
            **({"trunk_before": self.trunk_before} if self.trunk_before else {}),
            **({"reuse": self.reuse} if self.reuse > 1 else {}),
            **({"forced": self.forced} if self.forced else {}),
            **({"imagined_people": self.imagined_people, "motions": self.imagined.about} if self.imagined else {}),
            # Earlier ones had a pose each, and fewer losses: a run that was begun with them goes on with their version.
            **({"imagined_version": 2} if self.imagined else {}),
        }

    def rate(self, name: str) -> float:
        """Part of the learning rate for a parameter of the model."""
        return self.trunk_rate if ".trunk." in name else 1.0

    def batch(self, seed: int, step: int, size: int) -> PeopleBatch:
        """Pictures and who is in them, and people without pictures."""
        pictures = self._part(seed, step, size) if self.reuse == 1 else self._partly_new(seed, step, size)
        imagined = self.imagined.batch(seed, step, self.imagined_people) if self.imagined else None
        return replace(pictures, projected=step >= self.points_from, imagined=imagined)

    def _partly_new(self, seed: int, step: int, size: int) -> PeopleBatch:
        """Of `reuse` parts one is new, the others are those of earlier steps."""
        sizes = [size // self.reuse + (k < size % self.reuse) for k in range(self.reuse)]
        parts = []
        for k, wanted in enumerate(sizes):
            before = step - k * REUSED_AFTER
            if before < 0:  # there is no earlier step yet: the part is new, another than all others, used once
                parts.append(self._part(seed + k, step, wanted))
                continue
            key = (seed, before)
            if key not in self._kept:
                self._kept[key] = self._part(seed, before, sizes[0])  # of which smaller parts are the first ones
            parts.append(self._kept[key].rows(slice(wanted)))
        oldest = step - (self.reuse - 1) * REUSED_AFTER
        self._kept = {key: part for key, part in self._kept.items() if key[0] == seed and oldest < key[1] <= step}
        return PeopleBatch.joined(parts)

    def _part(self, seed: int, step: int, size: int) -> PeopleBatch:
        batch = self.images.batch(seed, step, size)
        return batch.with_maps(self.frozen(batch.image)) if self.frozen else batch

    def freeze(self, threads: int) -> None:
        """Compute what is frozen of a trunk with the batches, by ONNX Runtime, from the weights that it has now."""
        backbone = self.model.backbone
        if isinstance(backbone, KeypointBackbone):
            self.frozen = FrozenMaps(backbone, self.settings.image_size, threads, lower=bool(self.trunk_rate))

    def held_out_batch(self, size: int) -> PeopleBatch:
        """The first held-out pictures as they are, like a batch of the last step."""
        samples = self.validation.plain(range(min(size, len(self.validation.samples))))
        return self.validation.stacked(samples)

    def losses(self, model: nn.Module, batch: PeopleBatch) -> dict[str, Tensor]:
        """See `losses.losses`."""
        batch = batch.trimmed()
        device = batch.image.device
        body = self.body.to(device)
        with torch.autocast(device.type, enabled=False):
            true = true_keypoints(batch, body, self.forced) if self.forced else None
        said = model.at(batch.image, batch.cells, batch.valid, batch.intrinsics, batch.maps, true)
        with torch.autocast(device.type, enabled=False):
            found = losses(said, batch, body, self.settings.image_size, self.weights)
            given = None
            if batch.imagined is not None and said.keypoints is not None:
                errors = keypoint_errors(said.keypoints, batch, body) if self.settings.corrections else None
                given = batch.imagined.given(body, errors)
        if given is None or batch.imagined is None:
            return found
        imagined = model.head.imagine(given, batch.imagined.camera)
        with torch.autocast(device.type, enabled=False):
            found |= imagined_losses(imagined, batch.imagined, body, self.weights)
        return found | {"total": found["total"] + self.weights.imagined * found["imagined"]}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Of held-out pictures, cameras known: see `metrics.PeopleMetrics.summary`."""
        device = next(model.parameters()).device
        body, metrics = self.body.to(device), PeopleMetrics(self.joint_names)
        count = min(self.validated, len(self.validation.samples))
        places = np.linspace(0, len(self.validation.samples) - 1, count).astype(int).tolist()
        for first in range(0, count, _PEOPLE):
            samples = self.validation.plain(places[first : first + _PEOPLE])
            batch = self.validation.stacked(samples).to(device)
            maps = self.frozen(batch.image) if self.frozen else model.maps(batch.image)
            threshold = torch.full((1,), THRESHOLD, device=device)
            out = model.people(batch.image, maps, batch.intrinsics, threshold, _PEOPLE)
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
        return truth_of(people, vertices, (self.validation.size,) * 2, self.validation.min_visible)
