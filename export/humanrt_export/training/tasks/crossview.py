"""Completion of one picture of a person from a second one: how an encoder learns people without labels.

CroCo: Weinzaepfel et al., CroCo: self-supervised pre-training for 3D vision tasks by cross-view completion, 2022. For
people, with pairs across poses as well as across views: Armando et al., Cross-view and cross-pose completion for 3D
human understanding, 2024. Most patches of the first picture are hidden; one encoder sees what is left of it and the
whole second picture; a decoder, in which the first picture's tokens look at each other and at the second's, guesses the
pixels of what is hidden (normalised patch by patch, as in He et al., Masked autoencoders, 2022).

The encoder is `DinoV2`, so that its weights load into Multi-HMR's backbone (``train multihmr --backbone-weights``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from humanrt.errors import HumanrtError
from humanrt_export.checkpoint import save
from humanrt_export.data.people.pairs import KINDS, PairBatch, Pairs, batch_of
from humanrt_export.networks.anny_head import sincos_positions
from humanrt_export.networks.attention import Attention
from humanrt_export.networks.backbone import BACKBONES, TRUNKS, DinoV2
from humanrt_export.networks.camera import PATCH
from humanrt_export.networks.decoder import DecoderLayer
from humanrt_export.networks.encoders import initialised
from humanrt_export.options import Option
from humanrt_export.training.methods.pixels import pixels
from humanrt_export.training.processes import shared
from humanrt_export.training.tasks.multihmr import load_backbone

__all__ = ["CrossView", "CrossViewConfig", "CrossViewTask", "patches", "picture", "save_backbone", "sheet"]

_EPS = 1e-6
_VALIDATED = 64
_SHOWN = 8


@dataclass(frozen=True)
class CrossViewConfig:
    """The network, and what is hidden from it.

    Attributes:
        backbone: what looks at the picture, a key of `backbone.BACKBONES`.
        image_size: S, px, a multiple of 14.
        width, depth, heads: of the decoder; heads are 32 wide.
        ratio: part of the first picture's patches that is hidden.
        bias: how much more a patch of a person is hidden than one of the background (`masking.hidden_patches`).
    """

    backbone: Annotated[str, Option(choices=BACKBONES)] = "dinov2_vits14"
    image_size: Annotated[int, Option(metavar="PX")] = 224
    width: int = 512
    depth: int = 8
    heads: int = 16
    ratio: float = 0.75
    bias: float = 3.0

    def __post_init__(self) -> None:
        if self.backbone not in BACKBONES:
            raise HumanrtError(f"unknown backbone `{self.backbone}`; choose one of: {', '.join(BACKBONES)}")
        if self.image_size < 2 * PATCH or self.image_size % PATCH:
            raise HumanrtError(
                f"--image-size is {self.image_size}; it must be a multiple of {PATCH}, at least {2 * PATCH}"
            )
        if self.backbone in TRUNKS and self.image_size % (2 * PATCH):
            raise HumanrtError(f"--image-size is {self.image_size}; {self.backbone} needs a multiple of {2 * PATCH}")
        if self.width < 4 or self.width % 4 or min(self.depth, self.heads) < 1:
            raise HumanrtError("the decoder's depth and heads must be at least 1, and its width a multiple of 4")
        if not 0 < self.ratio < 1 or self.bias < 0:
            raise HumanrtError("the masking ratio must be between 0 and 1, and its bias at least 0")


class CrossView(nn.Module):
    """First picture with holes, whole second picture -> the hidden pixels."""

    positions: Tensor

    def __init__(self, config: CrossViewConfig) -> None:
        super().__init__()
        features = BACKBONES[config.backbone][0]
        self.encoder = initialised(DinoV2(config.backbone, config.image_size))
        self.embed = nn.Linear(features, config.width)
        self.unseen = nn.Parameter(torch.zeros(1, 1, config.width))
        positions = sincos_positions(config.image_size // PATCH, config.width)[None]
        self.register_buffer("positions", positions, persistent=False)
        self.layers = nn.ModuleList(
            DecoderLayer(config.width, config.width, config.heads, 4 * config.width, bias=True)
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)
        self.pixels = nn.Linear(config.width, 3 * PATCH * PATCH)
        nn.init.trunc_normal_(self.unseen, std=0.02)

    def forward(self, first: Tensor, second: Tensor, hidden: Tensor) -> Tensor:
        """Guess what is hidden.

        Args:
            first, second: [B, 3, S, S] normalised.
            hidden: bool [B, N], patches of the first that are not seen: equally many in every picture.

        Returns:
            [B, H, 588]: the hidden patches in their order, layout as `patches`, each normalised by itself.
        """
        size = len(first)
        seen = _places(~hidden)
        context = self.embed(self.encoder(second)) + self.positions
        # Hidden patches are blank, for some backbones see patches by convolutions, which look beyond their borders.
        cut = patches(first)
        shown = picture(torch.where(hidden[..., None], torch.zeros_like(cut), cut))
        known = self.embed(self.encoder.everything(shown, seen)[:, 1:])
        # Known tokens in their places, the learned one in all others.
        x = self.unseen.to(known.dtype).expand(size, hidden.shape[1], -1)
        x = x.scatter(1, seen[..., None].expand(-1, -1, known.shape[-1]), known) + self.positions
        for layer in self.layers:
            x = layer(x, context, None)
        guessed = x.gather(1, _places(hidden)[..., None].expand(-1, -1, x.shape[-1]))
        found: Tensor = self.pixels(self.norm(guessed))
        return found

    def use_attention(self, attention: Attention) -> None:
        """Compute attention this way from now on (see `multihmr.attention`)."""
        self.encoder.use_attention(attention)
        for layer in self.layers:
            layer.attention = attention


def patches(image: Tensor) -> Tensor:
    """[B, 3, S, S] -> [B, N, 588]: patches row by row; of each its rows, columns, colours."""
    side = image.shape[-1] // PATCH
    cut = image.unflatten(-1, (side, PATCH)).unflatten(2, (side, PATCH))  # [B, 3, rows, y, columns, x]
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)


def picture(cut: Tensor) -> Tensor:
    """The inverse of `patches`."""
    side = round(cut.shape[1] ** 0.5)
    parts = cut.unflatten(2, (PATCH, PATCH, 3)).unflatten(1, (side, side))
    return parts.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)


def completion_losses(guessed: Tensor, first: Tensor, hidden: Tensor) -> Tensor:
    """Mean squared error [B] over the hidden patches, whose pixels are normalised patch by patch."""
    truth = _at(patches(first), hidden)
    mean, variance = truth.mean(-1, keepdim=True), truth.var(-1, keepdim=True)
    return (guessed.float() - (truth - mean) / (variance + _EPS).sqrt()).square().mean((1, 2))


class CrossViewTask:
    """See the module (`training.Task`).

    Args:
        config: the network.
        sources: kind (`pairs.KINDS`) -> pairs to train on.
        held: likewise, to validate on.
    """

    def __init__(self, config: CrossViewConfig, sources: Mapping[str, Pairs], held: Mapping[str, Pairs]) -> None:
        if not sources or any(kind not in KINDS for kind in (*sources, *held)):
            raise HumanrtError(f"give pairs of at least one kind of {', '.join(KINDS)}")
        self.settings, self.sources, self.held = config, sources, held
        self.model: nn.Module = CrossView(config)
        self._start: dict[str, str] = {}

    def start_from(self, path: Path) -> None:
        """Begin with a backbone that has learned already: DINOv2's, or what `anny.train.load_backbone` takes."""
        load_backbone(self.model.encoder, self.settings.backbone, path)
        self._start = {"start": str(path)}

    def config(self) -> Mapping[str, Any]:
        """The network, what is hidden, the kinds of pairs, and what it began with, if anything."""
        return {"network": "crossview", **asdict(self.settings), "kinds": sorted(self.sources), **self._start}

    def batch(self, seed: int, step: int, size: int) -> PairBatch:
        """See `pairs.batch_of`."""
        return batch_of(self.sources, self.settings.ratio, self.settings.bias, seed, step, size)

    def losses(self, model: nn.Module, batch: PairBatch) -> dict[str, Tensor]:
        """The mean of each kind, and their sum, ``total``."""
        guessed = model(batch.first, batch.second, batch.hidden)
        each = completion_losses(guessed, batch.first, batch.hidden)
        found = {}
        for kind in self.sources:
            own = (batch.kind == KINDS.index(kind)).to(each.dtype)
            found[kind] = (each * own).sum() / shared(own.sum(), least=1.0)
        return {"total": torch.stack(list(found.values())).sum(), **found}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Of held-out pairs, each kind: the loss, and ``*_without``: beside the second picture of another pair.

        How much larger the latter is says how much is taken from the second picture.
        """
        device = next(model.parameters()).device
        found = {}
        for kind, pairs in self.held.items():
            size = min(_VALIDATED, len(pairs))
            batch = batch_of({kind: pairs}, self.settings.ratio, self.settings.bias, 12345, 0, size).to(device)
            for name, second in ((kind, batch.second), (f"{kind}_without", batch.second.roll(1, 0))):
                guessed = model(batch.first, second, batch.hidden)
                found[name] = float(completion_losses(guessed, batch.first, batch.hidden).mean())
        return found


def save_backbone(path: Path, task: CrossViewTask, weights: Mapping[str, Tensor], about: Mapping[str, str]) -> Path:
    """Write the encoder's weights as ``train multihmr --backbone-weights`` and DINOv2's own readers take them.

    Args:
        path: the file, written atomically: ``{"state": tensors, "backbone": ..., "image_size": ..., "about": ...}``.
        task: whose network.
        weights: of the whole network (`training.load_run`).
        about: what they are: ``licence``, ``data``, ``training``.
    """
    own = {name.removeprefix("encoder."): value for name, value in weights.items() if name.startswith("encoder.")}
    content = {
        "state": own,
        "backbone": task.settings.backbone,
        "image_size": task.settings.image_size,
        "about": dict(about),
    }
    save(path, content)
    return path


def sheet(task: CrossViewTask, model: nn.Module, most: int = _SHOWN) -> NDArray[np.uint8]:
    """Held-out pairs to look at, RGB: a row each, kinds after each other.

    Columns: what is seen of the first picture, the second, the completion, the first itself. Guessed patches are shown
    with the mean and contrast of the true ones, which the network does not guess.
    """
    device = next(model.parameters()).device
    rows = []
    for kind, pairs in task.held.items():
        size = min(most, len(pairs))
        batch = batch_of({kind: pairs}, task.settings.ratio, task.settings.bias, 12345, 0, size).to(device)
        first, second, hidden = batch.first, batch.second, batch.hidden
        truth = patches(first)
        mean, variance = truth.mean(-1, keepdim=True), truth.var(-1, keepdim=True)
        guessed = torch.zeros_like(truth)
        with torch.no_grad():
            guessed[hidden] = model(first, second, hidden).float().flatten(0, 1)
        completed = torch.where(hidden[..., None], guessed * (variance + _EPS).sqrt() + mean, truth)
        holes = torch.where(hidden[..., None], torch.zeros_like(truth), truth)
        columns = (pixels(picture(holes)), pixels(second), pixels(picture(completed)), pixels(first))
        rows.append(torch.cat(columns, dim=3).permute(0, 2, 3, 1).flatten(0, 1))
    shown = (torch.cat(rows).clamp(0, 1) * 255).round()
    return np.asarray(shown.to(torch.uint8).cpu().numpy())


def _places(mask: Tensor) -> Tensor:
    """Where each row of bool [B, N] is True, [B, count] in ascending order; the count is that of the first row."""
    return torch.nonzero(mask)[:, 1].view(len(mask), -1)


def _at(tokens: Tensor, mask: Tensor) -> Tensor:
    return tokens[mask].view(len(tokens), -1, tokens.shape[-1])
