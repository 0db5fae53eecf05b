"""Multi-HMR on Anny: one image in, the camera's field of view and a fixed number of people out; and its checkpoints.

A checkpoint is written by ``torch.save`` from tensors, numbers and text only, so that it loads with ``weights_only``:
``{"format": "humanrt-multihmr-anny-1", "config": {...}, "about": {...}, "state": {name: tensor}}``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor, nn

from humanrt.errors import choices
from humanrt_export.bodies.anny.bones import ACTIVE, ROOT
from humanrt_export.bodies.anny.phenotypes import PHENOTYPES
from humanrt_export.checkpoint import CheckpointError, fill, read, save, tensors
from humanrt_export.networks.anny_head import AnnyHead, Predictions, sincos_positions
from humanrt_export.networks.attention import Attention
from humanrt_export.networks.backbone import BACKBONES, SCRATCH, TABLE_SIDE, DinoV2
from humanrt_export.networks.camera import PATCH, TokenGrid, Window, focal_length, unproject
from humanrt_export.networks.checkpoint_layouts import Layout, require
from humanrt_export.networks.detection import Detection, Detections
from humanrt_export.networks.keypoint_backbone import (
    KEYPOINT_BACKBONES,
    KeypointBackbone,
    KeypointMaps,
    token_step,
    token_width,
)
from humanrt_export.networks.keypoint_head import KeypointHead, Keypoints, TrueKeypoints
from humanrt_export.networks.movenet import LowerMaps
from humanrt_export.options import Option
from humanrt_export.runs import load_run

__all__ = [
    "ABOUT",
    "FORMAT",
    "AnnyConfig",
    "AnnyHmr",
    "ClassTokenBackbone",
    "NetworkOutput",
    "NoOffsets",
    "Trained",
    "camera_of",
    "config_of",
    "load_checkpoint",
    "people_output",
    "save_checkpoint",
    "trunk_learned",
]

FORMAT = "humanrt-multihmr-anny-1"
ABOUT = "about.json"  # in a training's folder: the command, the data
_KIND = "Multi-HMR on Anny"
_USUAL_DISTANCE = 4.0  # m; predicted distance of people before training
_USUAL_SCORE = 0.01  # of a token before training: almost none contains a head
_POSITION_SCALE = 0.02
_MARKS = "marks."
_GIVEN_POSITIONS = 0.3  # scale of the sin/cos positions, used when no table was learned before


@dataclass(frozen=True)
class AnnyConfig(TokenGrid):
    """Network configuration stored in a checkpoint.

    Attributes:
        backbone: image backbone, a key of `backbone.BACKBONES` or of `keypoint_backbone.KEYPOINT_BACKBONES`.
        image_size: side S of the square input in px, a multiple of 14.
        width, depth, heads, mlp: sizes of the decoder.
        corrections: how often a head that looks for keypoints poses a person and corrects that, by one more block.
        bones: names of the rotations, in order, root first.
        phenotypes: names of the shape parameters, in order.
        anchor: the joint that locations and translations refer to.
        max_distance: m; depth is clamped to 0..this.
    """

    backbone: Annotated[str, Option(choices=(*BACKBONES, *KEYPOINT_BACKBONES))] = "dinov2_vits14"
    image_size: Annotated[int, Option(metavar="PX")] = 448
    width: int = 512
    depth: int = 8
    heads: int = 16
    mlp: int = 2048
    corrections: int = 0
    bones: tuple[str, ...] = ACTIVE
    phenotypes: tuple[str, ...] = tuple(phenotype.name for phenotype in PHENOTYPES)
    anchor: str = "head"
    max_distance: float = 50.0

    def __post_init__(self) -> None:
        if self.backbone not in (known := (*BACKBONES, *KEYPOINT_BACKBONES)):
            raise CheckpointError(f"unknown backbone `{self.backbone}`; choose one of: {choices(known)}")
        if self.image_size < PATCH or self.image_size % PATCH:
            raise CheckpointError(f"image_size is {self.image_size}; it must be a multiple of {PATCH}")
        if self.side % token_step(self.backbone):
            raise CheckpointError(f"image_size is {self.image_size}; {self.backbone} needs a multiple of {2 * PATCH}")
        if self.bones[:1] != (ROOT,) or len(set(self.bones)) != len(self.bones):
            raise CheckpointError(f"bones must be different names, `{ROOT}` first")
        if self.phenotypes != AnnyConfig.phenotypes:
            raise CheckpointError(f"phenotypes are {list(self.phenotypes)}; it must be {list(AnnyConfig.phenotypes)}")
        if min(self.depth, self.heads, self.mlp) < 1 or self.width < 4 or self.width % 4:
            raise CheckpointError("depth, heads and mlp must be at least 1, and width a multiple of 4")
        if self.corrections < 0 or (self.corrections and self.backbone not in KEYPOINT_BACKBONES):
            raise CheckpointError(
                f"corrections is {self.corrections}; {self.backbone} "
                + ("needs 0 or more" if self.backbone in KEYPOINT_BACKBONES else "has a head that makes none: give 0")
            )


class NetworkOutput(NamedTuple):
    """P slots per image, highest score first. An empty slot holds score 0, identity rotations, and zeros.

    Attributes:
        scores: [B, P].
        valid: [B, P] bool: the slot holds a person.
        cells: [B, P] int32, ``row * side + column`` of the person's token.
        locations: [B, P, 2] (u, v) px of the network's input: the head.
        translation: [B, P, 3] m, camera space: the head.
        rotations: [B, P, R, 3, 3], see `body`.
        shape: [B, P, S] phenotypes.
        camera: [B, 3, 3] K in px: the caller's, or the network's own estimate where the caller's is all zeros.
    """

    scores: Tensor
    valid: Tensor
    cells: Tensor
    locations: Tensor
    translation: Tensor
    rotations: Tensor
    shape: Tensor
    camera: Tensor


class Trained(NamedTuple):
    """Raw outputs of the network that the losses use, before conversion to people.

    Attributes:
        logits: [B, side^2], logit of the score of every token.
        angle: [B] rad, field of view.
        predictions: predictions for the requested cells.
        marks: [B, side^2, M] logits of each landmark in each token, or None.
        keypoints: where the head of a `KeypointBackbone` looked, else None.
    """

    logits: Tensor
    angle: Tensor
    predictions: Predictions
    marks: Tensor | None = None
    keypoints: Keypoints | None = None


class ClassTokenBackbone(DinoV2):
    """`DinoV2` that keeps its class token: image [B, 3, S, S] -> [B, 1 + (S/14)^2, D]."""

    def forward(self, image: Tensor) -> Tensor:
        return self.everything(image)


class NoOffsets(nn.Module):
    """Replacement for the detection's own offsets: in this network the decoder predicts them."""

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.zeros_like(tokens[..., :2])


class AnnyHmr(nn.Module):
    """Compute `NetworkOutput` from image, intrinsics and threshold.

    Depth: the head predicts d, the logarithm of the scale at the person in px per metre, which is visible in an image
    whatever camera took it; ``z = f / exp(d)`` with the focal length f of the camera in use. A known camera thus
    changes the location of people, but not their pose or shape.
    """

    identity: Tensor
    low: Tensor
    span: Tensor
    backbone: ClassTokenBackbone | KeypointBackbone
    head: AnnyHead | KeypointHead

    def __init__(self, config: AnnyConfig, marks: int = 0) -> None:
        super().__init__()
        width = token_width(config.backbone)
        self.config, self.window = config, Window.of(config.side)
        keypoints = config.backbone in KEYPOINT_BACKBONES
        self.backbone = (KeypointBackbone if keypoints else ClassTokenBackbone)(config.backbone, config.image_size)
        self.detection = Detection(width, config.side)
        self.detection.offset = NoOffsets()
        self.view = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
        sizes = {
            "tokens": width,
            "side": config.side,
            "rotations": len(config.bones),
            "phenotypes": len(config.phenotypes),
            "width": config.width,
            "depth": config.depth,
            "heads": config.heads,
            "mlp": config.mlp,
        }
        usual = math.log(focal_length(config.image_size) / _USUAL_DISTANCE)
        if keypoints:
            self.head = KeypointHead(**sizes, size=usual, corrections=config.corrections)
        else:
            self.head = AnnyHead(**sizes, size=usual)
        # Only for training: predicts which joints are visible in each token; no checkpoint contains it.
        self.marks = nn.Linear(width, marks) if marks else None
        identity = torch.eye(3).expand(len(config.bones), 3, 3).clone()
        self.register_buffer("identity", identity, persistent=False)
        self.register_buffer("low", torch.tensor([p.low for p in PHENOTYPES]), persistent=False)
        self.register_buffer("span", torch.tensor([p.high - p.low for p in PHENOTYPES]), persistent=False)
        self._initialise()

    def forward(self, image: Tensor, intrinsics: Tensor, threshold: Tensor, max_people: int) -> NetworkOutput:
        """Detect people and regress their parameters.

        Args:
            image: [B, 3, S, S] RGB, ImageNet-normalised, letterboxed with zeros.
            intrinsics: K [B, 3, 3] in pixels of this image, upper triangular; zeros if unknown.
            threshold: [1], minimum score of a person.
            max_people: P; if more are present, the P best are kept.
        """
        maps = self.maps(image)
        return self.people(image, maps, intrinsics, threshold, max_people)

    def maps(self, image: Tensor, lower: LowerMaps | None = None) -> KeypointMaps | None:
        """Return what the trunk of a `KeypointBackbone` sees; None without one. ``lower``: what its lower layers do."""
        if not isinstance(self.backbone, KeypointBackbone):
            return None
        return self.backbone.maps(image) if lower is None else self.backbone.upper(lower)

    def people(
        self,
        image: Tensor,
        maps: KeypointMaps | LowerMaps | None,
        intrinsics: Tensor,
        threshold: Tensor,
        max_people: int,
    ) -> NetworkOutput:
        """`forward` with the trunk's maps of the image at hand."""
        if isinstance(maps, LowerMaps):
            maps = self.maps(image, maps)
        everything = self._everything(image, maps)
        tokens = everything[:, 1:]
        found = self.detection(tokens, image, threshold, max_people)
        estimated = self.camera(everything[:, 0])
        camera = torch.where(intrinsics[:, :1, :1] > 0, intrinsics, estimated)
        if isinstance(self.head, KeypointHead):
            assert maps is not None
            predicted, _ = self.head(tokens, found.cells, maps, camera)
        else:
            predicted = self.head(tokens, found.cells, found.valid)
        return people_output(found, predicted, camera, self.identity, self.low, self.span, self.config.max_distance)

    def at(
        self,
        image: Tensor,
        cells: Tensor,
        valid: Tensor,
        intrinsics: Tensor,
        maps: KeypointMaps | LowerMaps | None = None,
        true: TrueKeypoints | None = None,
    ) -> Trained:
        """Predict people at the tokens where they are known to be; for training.

        Args:
            image: [B, 3, S, S] as `forward` takes it.
            cells: [B, P] int64, ``row * side + column``; valid [B, P] bool: the slot holds a person.
            intrinsics: K [B, 3, 3] px.
            maps: of the trunk, or of its lower layers, if they are at hand.
            true: keypoints to which a head that looks for them moves those that it sees.
        """
        if not isinstance(maps, KeypointMaps):
            maps = self.maps(image, maps)
        everything = self._everything(image, maps)
        tokens = everything[:, 1:]
        logits = self.detection.score(tokens)[..., 0].float()
        marks = None if self.marks is None else self.marks(tokens).float()
        keypoints = None
        if isinstance(self.head, KeypointHead):
            assert maps is not None
            predictions, keypoints = self.head(tokens, cells, maps, intrinsics, true)
        else:
            seen = self.head.look(tokens, cells, valid)
        with torch.autocast(image.device.type, enabled=False):  # rotations and angles need full precision
            if isinstance(self.head, AnnyHead):
                predictions = self.head.read(seen.float())
            return Trained(logits, self.field_of_view(everything[:, 0].float()), predictions, marks, keypoints)

    def _everything(self, image: Tensor, maps: KeypointMaps | None) -> Tensor:
        """Return the class token and the tokens, [B, 1 + N, D]."""
        if isinstance(self.backbone, KeypointBackbone):
            assert maps is not None
            return self.backbone.tokens(maps)
        everything: Tensor = self.backbone(image)
        return everything

    def field_of_view(self, class_token: Tensor) -> Tensor:
        """Estimate the field of view [B] of the square input from the class token [B, D]; rad, 0..pi."""
        angle: Tensor = math.pi * torch.sigmoid(self.view(class_token)[:, 0])
        return angle

    def camera(self, class_token: Tensor) -> Tensor:
        """Estimate K [B, 3, 3] in px from the class token [B, D]; the principal point is the image centre."""
        return camera_of(self.field_of_view(class_token), self.config.image_size, self.window.centre)

    def crop(self, window: Window) -> None:
        """See only a window of the square: images and intrinsics are then of its size. For inference only."""
        self.window = window
        for part in (self.backbone, self.detection, self.head):
            part.crop(window)

    def use_attention(self, backbone: Attention, head: Attention) -> None:
        """Set the attention implementations of backbone and head (see `multihmr.attention`)."""
        self.backbone.use_attention(backbone)
        self.head.use_attention(head)

    def _initialise(self) -> None:
        """Initialise for training: almost no detections, 60 degrees; people upright, facing the camera, 4 m away."""
        if isinstance(self.backbone, ClassTokenBackbone):
            nn.init.trunc_normal_(self.backbone.pos_embed, std=_POSITION_SCALE)
        if self.config.backbone in SCRATCH:
            # Otherwise token positions have to be learned, which takes longer than everything else.
            table = sincos_positions(TABLE_SIDE, self.backbone.pos_embed.shape[-1])
            with torch.no_grad():
                self.backbone.pos_embed[:, 1:] = _GIVEN_POSITIONS * table
        nn.init.trunc_normal_(self.backbone.cls_token, std=_POSITION_SCALE)
        if self.marks is not None:
            nn.init.constant_(self.marks.bias, _logit(_USUAL_SCORE))
        for last, value in ((self.detection.score[-1], _logit(_USUAL_SCORE)), (self.view[-1], _logit(1 / 3))):
            nn.init.constant_(last.bias, value)


def people_output(
    found: Detections,
    predicted: Predictions,
    camera: Tensor,
    identity: Tensor,
    low: Tensor,
    span: Tensor,
    max_distance: float | None,
) -> NetworkOutput:
    """Convert predictions and a camera to people.

    Args:
        found: the detections.
        predicted: the head's predictions for them.
        camera: [B, 3, 3] K in px of the network's input.
        identity: [R, 3, 3], the rotations of an empty slot.
        low, span: [S], lower bounds and widths of the shape's ranges.
        max_distance: m; depth is clamped to 0..this; None: not clamped.
    """
    locations = found.locations + PATCH * predicted.offsets
    depth = camera[:, 0, 0:1] * torch.exp(-predicted.size)
    if max_distance is not None:
        depth = depth.clamp(0.0, max_distance)
    translation = depth[..., None] * unproject(locations, camera)

    # `where` instead of a product: an image with NaN fills its slots with NaN.
    person = found.valid[..., None]
    return NetworkOutput(
        scores=found.scores,
        valid=found.valid,
        cells=found.cells.to(torch.int32),
        locations=torch.where(person, locations, 0.0),
        translation=torch.where(person, translation, 0.0),
        rotations=torch.where(person[..., None, None], predicted.rotations, identity),
        shape=torch.where(person, low + span * predicted.shape, 0.0),
        camera=camera,
    )


def camera_of(angle: Tensor, image_size: int, centre: tuple[int, int] | None = None) -> Tensor:
    """Convert the field of view [B] in rad of the square input to K [B, 3, 3] in px.

    ``centre``: the principal point (x, y); None: the square's.
    """
    half = angle / 2
    # Written with sine and cosine, which all runtimes support.
    f = image_size / 2 * torch.cos(half) / torch.sin(half)
    zero, one = torch.zeros_like(f), torch.ones_like(f)
    x, y = (one * float(place) for place in centre or (image_size // 2, image_size // 2))
    return torch.stack((f, zero, x, zero, f, y, zero, zero, one), dim=-1).unflatten(-1, (3, 3))


def save_checkpoint(path: str | Path, model: AnnyHmr, about: Mapping[str, str] | None = None) -> Path:
    """Write a checkpoint, atomically.

    Args:
        path: the file.
        model: the network; its floating tensors keep their precision.
        about: description of the weights: ``licence`` (SPDX), ``data``, ``authors``, ``training``; copied into bundles.
    """
    path = Path(path)
    content = {
        "format": FORMAT,
        "config": {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in dataclasses.asdict(model.config).items()
        },
        "about": dict(about or {}),
        "state": {key: value.detach().cpu() for key, value in model.state_dict().items() if not key.startswith(_MARKS)},
    }
    save(path, content)
    return path


def load_checkpoint(path: str | Path, content: Mapping[str, Any] | None = None) -> tuple[AnnyHmr, dict[str, str]]:
    """Load the network of a checkpoint in evaluation mode, FP32, and its description. No code of the file runs.

    Args:
        path: file of `save_checkpoint`, or the folder of a training, whose averaged weights are used.
        content: result of `checkpoint.read` for the file, if already read.

    Raises:
        CheckpointError: not such a file, or a key is missing, unexpected, misshapen or not finite.
    """
    path = Path(path)
    if content is None:
        content = _of_run(path) if path.is_dir() else read(path, _KIND)
    require(path, content, Layout.OWN_ANNY)
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a checkpoint of {_KIND} (`format` is not `{FORMAT}`)")
    state, about = tensors(path, content, "state", _KIND), content.get("about")
    model = AnnyHmr(config_of(path, content.get("config")))
    fill(path, model, state, lambda name: name, about="its `config` says what the network is")
    told = {str(key): str(value) for key, value in about.items()} if isinstance(about, Mapping) else {}
    return model.eval(), told


def trunk_learned(about: Mapping[str, str]) -> bool | None:
    """Return whether a network's trunk was trained further, here or before, by the description of its weights.

    None: the description does not say it (``training``, which `humanrt-export train multihmr` writes).
    """
    try:
        task = json.loads(about["training"])["task"]
        if task.get("trunk_rate"):
            return True
        return {"learned": True, "unknown": None}.get(task.get("trunk_before"), False)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _of_run(folder: Path) -> dict[str, Any]:
    """Return the content of a checkpoint made from a training's averaged weights."""
    description, state, step = load_run(folder)
    config = description["task"].get("settings")
    state = {name: value for name, value in state.items() if not name.startswith(_MARKS)}
    about = {"licence": "Apache-2.0", "training": json.dumps({"step": step, **description})}
    with contextlib.suppress(OSError):
        about |= json.loads((folder / ABOUT).read_text())
    return {"format": FORMAT, "config": config, "about": about, "state": state}


def config_of(path: Path, given: Any) -> AnnyConfig:
    """Return the settings that a file contains. CheckpointError names what is wrong with them."""
    known = {field.name: field for field in dataclasses.fields(AnnyConfig)}
    if not isinstance(given, Mapping) or (unknown := [key for key in given if key not in known]):
        what = f"has no setting {choices(map(str, unknown))}" if isinstance(given, Mapping) else "needs settings"
        raise CheckpointError(f"{path}: `config` {what}; its settings: {choices(known)}")
    settings: dict[str, Any] = {}
    for key, value in given.items():
        default = known[key].default
        if isinstance(default, tuple):
            fits = isinstance(value, list) and all(isinstance(name, str) for name in value)
        elif isinstance(default, float):
            fits = isinstance(value, float | int) and not isinstance(value, bool)
        else:
            fits = type(value) is type(default)
        if not fits:
            raise CheckpointError(f"{path}: setting `{key}` is {value!r}; it must be like {default!r}")
        settings[key] = tuple(value) if isinstance(default, tuple) else value
    try:
        return AnnyConfig(**settings)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))
