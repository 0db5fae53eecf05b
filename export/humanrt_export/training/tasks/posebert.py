"""``humanrt-export train posebert``: our streaming networks, on pairs of a front-end and the truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from humanrt.errors import HumanrtError, choices
from humanrt_export.conversion.posebert_weights import begin_with, initial_weights
from humanrt_export.data.poses.borrowed import BorrowedErrors
from humanrt_export.data.poses.clips import Clip, load_clips
from humanrt_export.data.poses.dataset import Noise, PoseBatch, Windows, resampled
from humanrt_export.data.poses.kinds import KINDS, Kind
from humanrt_export.data.poses.noise import NoiseModel
from humanrt_export.data.poses.sight import SightedNoise
from humanrt_export.data.poses.turning import TurnedNoise
from humanrt_export.networks.posebert import Refined, StreamingConfig, StreamingPoseBert
from humanrt_export.options import Group, Option
from humanrt_export.training.loop import train
from humanrt_export.training.options import RunConfig, recorded
from humanrt_export.training.tasks.posebert_losses import Weights, distance, forward_kinematics, geodesic, losses

__all__ = ["PoseTask", "TrainPosebert", "make_task", "run"]

_LOOKAHEADS = (0, 0, 0, 1, 2, 4, 8, None)
_VALIDATED = 64
_CALMEST = 0.15
_HEAD = 32


@dataclass(frozen=True, kw_only=True)
class TrainPosebert(RunConfig):
    """Options of ``humanrt-export train posebert``.

    Attributes:
        variant: what goes in and what comes out.
        data: folder that holds train/*.npz and val/*.npz.
        clean: folder of clean motion (*.npz), to which fitted noise is added.
        noise: noise model for the clean motion (fitted by posebert.noise).
        real: part of windows that are pairs.
        frames: length of a window.
        width: of a token, a multiple of the 32 of a head.
        depth: layers.
        hidden: width of a layer's MLP.
        dropout: for where there are few pairs.
        borrowed: part of the clean motion that gets errors of pairs (`BorrowedErrors`), of networks that take
            rotations; the others get the model's.
        begins: cut-off in Hz of the filter that a network of rotations is before training; 0: none.
        relative: a network of rotations decides by how poses change and deviate, not by poses.
        initial: bundle, or folder of a training, whose weights this one begins with; its network may take no rays, say
            no spread and not start from inverse kinematics.
        losses: their weights.
    """

    variant: Annotated[str, Option(choices=KINDS, positional=True)]
    data: Annotated[Path, Option(metavar="DIR")]
    clean: Annotated[Path | None, Option(metavar="DIR")] = None
    noise: Annotated[Path | None, Option(metavar="FILE")] = None
    real: Annotated[float, Option(metavar="P")] = 0.5
    frames: Annotated[int, Option(metavar="T")] = 48
    width: int = 128
    depth: int = 4
    hidden: int = 256
    dropout: Annotated[float, Option(metavar="P")] = 0.0
    borrowed: Annotated[float, Option(metavar="P")] = 0.0
    begins: Annotated[float, Option(metavar="HZ")] = 0.0
    relative: bool = False
    initial: Annotated[str | None, Option(metavar="BUNDLE")] = None
    losses: Annotated[Weights, Group(prefix="loss-")] = field(default_factory=Weights)

    def __post_init__(self) -> None:
        if self.variant not in KINDS:
            raise HumanrtError(f"unknown variant `{self.variant}`; choose one of: {choices(KINDS)}")
        if self.width < _HEAD or self.width % _HEAD:
            raise HumanrtError(f"--width is {self.width}; it must be a multiple of {_HEAD}, the width of a head")
        for name, least in (("depth", 1), ("hidden", 1), ("frames", 3)):  # of two frames there is no acceleration
            if getattr(self, name) < least:
                raise HumanrtError(f"--{name} is {getattr(self, name)}; it must be {least} or more")
        for name in ("real", "borrowed"):
            if not 0 <= getattr(self, name) <= 1:
                raise HumanrtError(f"--{name} is {getattr(self, name)}; it must be from 0 to 1")
        rate = KINDS[self.variant].config.rate
        if not 0 <= self.begins < rate / 2:
            raise HumanrtError(f"--begins is {self.begins} Hz; it must be from 0 to below {rate / 2:g}")
        if (self.begins or self.borrowed or self.relative) and not KINDS[self.variant].config.blend:
            raise HumanrtError(
                f"--begins, --borrowed and --relative are for networks of rotations; leave them out for {self.variant}"
            )
        if not 0 <= self.dropout < 1:
            raise HumanrtError(f"--dropout is {self.dropout}; it must be from 0 to below 1")
        if (self.clean is None) != (self.noise is None):
            raise HumanrtError(
                "--clean DIR and --noise FILE belong together: clean motion gets the fitted noise; give both"
            )

    @property
    def network(self) -> StreamingConfig:
        """The network's settings."""
        heads = self.width // _HEAD
        return replace(
            KINDS[self.variant].config,
            width=self.width,
            depth=self.depth,
            hidden=self.hidden,
            heads=heads,
            dropout=self.dropout,
            begins=self.begins,
            relative=self.relative,
        )


def run(config: TrainPosebert) -> int:
    """Train."""
    task = make_task(config)
    print(f"{len(task.windows.pairs)} clips of pairs, {len(task.windows.clean)} of clean motion")
    train(task, config.out, config.train)
    return 0


def make_task(config: TrainPosebert) -> PoseTask:
    """Make the task: its data are read, its first weights come from the seed.

    Raises:
        HumanrtError: the clips or the noise cannot be read, or are not the variant's.
    """
    windows, held_out = (windows_of(config, part) for part in ("train", "val"))
    torch.manual_seed(config.train.seed)  # of the first weights
    task = PoseTask(KINDS[config.variant], config.network, config.losses, windows, held_out, config.borrowed)
    if config.initial:
        begin_with(task.model, initial_weights(config.initial))
    return task


def windows_of(config: TrainPosebert, part: str) -> Windows:
    """Read the windows of the data's folder ``train`` or ``val``."""
    kind = KINDS[config.variant]
    rate = kind.config.rate

    def clips(folder: Path) -> list[Clip]:
        seen = [(phase, kind.clip(clip)) for phase, clip in _phased(load_clips(folder))]
        wanted = (kind.config.points, kind.config.joints)
        for _, clip in seen:
            found = (clip["keypoints"].shape[1], clip["rotations"].shape[1])
            if found != wanted or clip["observed"].shape[1:] != kind.frame:
                raise HumanrtError(
                    f"{folder}: its clips have {found[0]} keypoints and {found[1]} rotations, but {kind.name} needs "
                    f"{wanted[0]} and {wanted[1]}; give clips made for it"
                )
        return [on_clock(clip, rate, phase) for phase, clip in seen]

    pairs, clean = clips(config.data / part), list[Clip]()
    noise: Noise | None = None
    if part == "train" and config.clean and config.noise:
        clean, model = clips(config.clean), NoiseModel.load(config.noise)
        if model.points != kind.noise_points:
            raise HumanrtError(
                f"{config.noise}: noise of {model.points} keypoints, but {kind.name} has {kind.noise_points}; fit it "
                f"to such pairs (python -m humanrt_export.data.poses.noise_fit --input {kind.name})"
            )
        if kind.config.source == "rotations":
            noise = BorrowedErrors(pairs, kind.config.joints, TurnedNoise(model), config.borrowed)
        else:
            noise = SightedNoise(model, _CALMEST) if kind.config.rays else _seen_with(model)
    corruption = replace(kind.corruption, real=config.real)
    return Windows(pairs, clean, noise, config.frames, kind.config.origin, kind.config.lengths, kind.flips, corruption)


def _seen_with(model: NoiseModel) -> Noise:
    """The model's noise, from that of the pairs down to that of a large, well lit, sharp picture."""

    def noise(
        truth: NDArray[Any], t: NDArray[Any], generator: np.random.Generator
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        return model(truth, t, generator, fast=float(generator.uniform(_CALMEST, 1)))

    return noise


def on_clock(clip: Clip, rate: float, phase: float) -> Clip:
    """Resampled, from ``phase`` on; frames that are the clock's own stay as they are, as in a stream."""
    steps = np.diff(clip["t"]) * rate
    return resampled(clip, rate, 0.0 if np.allclose(steps, 1, atol=0.02) else phase)


def _phased(clips: list[dict[str, NDArray[Any]]]) -> list[tuple[float, dict[str, NDArray[Any]]]]:
    phases = np.random.default_rng(7).uniform(size=len(clips))
    return [(float(phase), clip) for phase, clip in zip(phases, clips, strict=True)]


@dataclass
class PoseTask:
    """Masked modelling of pose sequences (`training.Task`).

    Attributes:
        kind: what goes in and what comes out.
        settings: the network.
        weights: of the losses.
        windows, held_out: what is trained and validated on.
        borrowed: part of the clean motion that gets errors of pairs in ``windows``, for the record.
    """

    kind: Kind
    settings: StreamingConfig
    weights: Weights
    windows: Windows
    held_out: Windows
    borrowed: float = 0.0

    def __post_init__(self) -> None:
        self.model = StreamingPoseBert(self.settings)
        self.rest = torch.as_tensor(self.kind.rest, dtype=torch.float32)

    def config(self) -> Mapping[str, Any]:
        """The network, the losses, and what is done to windows; not the clips, to which some may be added."""
        return {
            "network": "posebert",
            "variant": self.kind.name,
            "settings": recorded(self.settings, "begins", "relative"),
            "weights": asdict(self.weights),
            "frames": self.windows.frames,
            "corruption": asdict(self.windows.corruption),
            **({"borrowed": self.borrowed} if self.borrowed else {}),  # which runs of before do not have
        }

    def batch(self, seed: int, step: int, size: int) -> PoseBatch:
        """Windows, and with how much look-ahead they are answered."""
        lookahead = _LOOKAHEADS[np.random.default_rng([seed, step, 1]).integers(len(_LOOKAHEADS))]
        return replace(self.windows.batch(seed, step, size), lookahead=lookahead)

    def losses(self, model: nn.Module, batch: PoseBatch) -> dict[str, Tensor]:
        """See `losses.losses`."""
        refined: Refined = model(batch.values, batch.mask, batch.confidence, batch.lookahead, batch.rays)
        device = batch.rows.device
        with torch.autocast(device.type, enabled=False):  # accelerations are differences of nearly equal numbers
            exact = Refined(*(None if value is None else value.float() for value in refined))
            return losses(exact, batch, self.kind.parents, self.rest.to(device), self.weights)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Of the held-out pairs, streamed: errors and jitter of the last two thirds of each window, beside raw ones."""
        device = next(model.parameters()).device
        batch = self.held_out.batch(12345, 0, _VALIDATED).to(device)
        rows = batch.rows * (torch.arange(batch.rows.shape[1], device=device) >= self.windows.frames // 3)
        found: dict[str, float] = {}
        for name, lookahead in (("now", 0), ("lag4", 4), ("window", None)):
            refined: Refined = model(batch.values, batch.mask, batch.confidence, lookahead, batch.rays)
            found[f"{name}_degrees"] = float(_mean(geodesic(refined.rotations, batch.rotations), rows)) * 180 / np.pi
            if self.settings.source == "rotations":
                found |= self._places(batch, rows, refined.rotations, name)
                found |= self._places(batch, rows * batch.mask, batch.values, "raw") if name == "now" else {}
            if refined.keypoints is not None and refined.unit is not None:
                found[f"{name}_error"], found[f"{name}_jitter"] = _quality(
                    refined.keypoints / refined.unit, batch.keypoints, rows
                )
                if name == "now":
                    seen = rows * batch.mask
                    origin = batch.values[:, :, list(self.settings.origin)].mean(2, keepdim=True)
                    raw = (batch.values - origin) / refined.unit
                    found["raw_error"], found["raw_jitter"] = _quality(raw, batch.keypoints, seen)
                    found["seen_error"], _ = _quality(refined.keypoints / refined.unit, batch.keypoints, seen)
                    beside = distance((refined.keypoints / refined.unit)[..., :2], batch.keypoints[..., :2])
                    found["seen_beside"] = float(_mean(beside, seen))
                    found["raw_beside"] = float(_mean(distance(raw[..., :2], batch.keypoints[..., :2]), seen))
        return found

    def _places(self, batch: PoseBatch, rows: Tensor, rotations: Tensor, name: str) -> dict[str, float]:
        """Error and jitter of the joints that rotations give."""
        rest = self.rest.to(rows.device)
        placed, true = (forward_kinematics(some, self.kind.parents, rest) for some in (rotations, batch.rotations))
        error, jitter = _quality(placed, true, rows)
        return {f"{name}_error": error, f"{name}_jitter": jitter}


def _quality(keypoints: Tensor, truth: Tensor, rows: Tensor) -> tuple[float, float]:
    """Mean error, and mean length of the acceleration, in units of the network."""
    acceleration = keypoints[:, 2:] - 2 * keypoints[:, 1:-1] + keypoints[:, :-2]
    still = rows[:, 2:] * rows[:, 1:-1] * rows[:, :-2]
    error = _mean(distance(keypoints, truth), rows)
    return float(error), float(_mean(acceleration.norm(dim=-1), still))


def _mean(values: Tensor, rows: Tensor) -> Tensor:
    return (values.flatten(2).mean(-1) * rows).sum() / rows.sum()
