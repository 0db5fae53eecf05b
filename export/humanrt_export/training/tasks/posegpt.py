"""``humanrt-export train posegpt``: our own PoseGPT, in two stages: the auto-encoder, then the GPT over its tokens."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from humanrt.errors import HumanrtError, choices
from humanrt.geometry.skeleton import SMPL_PARENTS, SMPL_REST, SMPLX_BODY
from humanrt.motion.features import frame_numbers
from humanrt_export.batches import Batch
from humanrt_export.data.poses.labelled import FPS, JOINTS, LabelledClip, labels_of, load_labelled, read_labels
from humanrt_export.networks.rotations import matrices_from_rows
from humanrt_export.networks.streaming_gpt import CoderConfig, MotionCoder, StreamingGpt, StreamingGptConfig
from humanrt_export.networks.streaming_runs import fingerprint, load_coder
from humanrt_export.options import Option
from humanrt_export.training.loop import train
from humanrt_export.training.options import RunConfig
from humanrt_export.training.processes import shared

__all__ = ["STAGES", "CoderTask", "GptTask", "TrainPosegpt", "above_floor", "at_pace", "joints_of", "moves_of", "run"]

STAGES = ("auto-encoder", "gpt")
_UNLABELLED = 0.15
"""Share of the GPT's sequences whose label is withheld, so that it works without one."""
_VALIDATED = 64
_COMMITMENT = 0.25
_POSITIONS, _SPEEDS = 8.0, 2.0
"""Weights of the errors of joints in m, and of their speeds, beside the normalised frames."""
_FEET = [SMPLX_BODY.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("ankle", "foot")]
_ARM = ("collar", "shoulder", "elbow", "wrist")
_ARMS = [SMPLX_BODY.index(f"{side}_{joint}") for side in ("left", "right") for joint in _ARM]
_MIXED, _PACED = 0.3, 0.3
"""Shares of the auto-encoder's windows with the arms of another one, and at another pace."""
_PACES = (0.8, 1.25)
_TOKEN_PACES = (0.9, 1.0, 1.1)
"""Paces at which the GPT is shown every clip."""
_MISREAD = 0.2
"""Largest share of earlier codes that are others: in use what the network drew before is never quite right."""
_SLOW = 0.3
"""A number that hardly changes is not blown up: the least scale, as a share of its kind's mean."""


@dataclass(frozen=True, kw_only=True)
class TrainPosegpt(RunConfig):
    """Options of ``humanrt-export train posegpt``.

    Attributes:
        stage: ``auto-encoder`` first; then ``gpt``, on the tokens of a trained one.
        data: folders or archives of motion capture (ASF/AMC, BVH, AMASS).
        labels: JSON file, name of a recording -> label and subject.
        hold_out: subjects that are not trained on, but validated on.
        coder: for ``gpt``: folder of the trained auto-encoder's run.
        width: of the network's vectors; for ``gpt`` a multiple of 32.
        frames: length of a sequence; a multiple of a token's frames.
        books, codes, factor: of the auto-encoder: books of a token, codes of a book, frames of a token.
        blocks: of the GPT.
        window: tokens that a block of the GPT looks back.
        dropout: of the GPT.
    """

    stage: Annotated[str, Option(choices=STAGES, positional=True)]
    data: Annotated[tuple[Path, ...], Option(metavar="PATH")]
    labels: Annotated[Path, Option(metavar="FILE")]
    hold_out: Annotated[tuple[str, ...], Option(metavar="SUBJECT")] = ()
    coder: Annotated[Path | None, Option(metavar="DIR")] = None
    width: int = 160
    frames: Annotated[int, Option(metavar="T")] = 96
    books: int = 4
    codes: int = 128
    factor: int = 4
    blocks: int = 4
    window: Annotated[int, Option(metavar="N")] = 32
    dropout: Annotated[float, Option(metavar="P")] = 0.1

    def __post_init__(self) -> None:
        if self.stage not in STAGES:
            raise HumanrtError(f"unknown stage `{self.stage}`; choose one of: {choices(STAGES)}")
        if self.stage == "gpt" and self.coder is None:
            raise HumanrtError("--coder DIR is missing: a GPT is trained on the tokens of an auto-encoder's run")
        for name in ("width", "books", "codes", "factor", "blocks", "window"):
            if getattr(self, name) < 1:
                raise HumanrtError(f"--{name} is {getattr(self, name)}; it must be 1 or more")
        if self.stage == "gpt" and self.width % 32:
            raise HumanrtError(f"--width is {self.width}; of a GPT it must be a multiple of 32, the width of a head")
        if self.frames < 2 * self.factor or self.frames % self.factor:
            raise HumanrtError(f"--frames is {self.frames}; it must be a multiple of {self.factor}, and not only one")
        if not 0 <= self.dropout < 1:
            raise HumanrtError(f"--dropout is {self.dropout}; it must be from 0 to below 1")


def run(config: TrainPosegpt) -> int:
    """Train a stage."""
    clips = load_labelled(config.data, read_labels(config.labels))
    known = {clip.subject for clip in clips}
    if unknown := sorted(set(config.hold_out) - known):
        raise HumanrtError(f"--hold-out names {choices(unknown)}, of whom there is nothing; subjects: {choices(known)}")
    held = [clip for clip in clips if clip.subject in config.hold_out]
    kept = [clip for clip in clips if clip.subject not in config.hold_out]
    seconds = [sum(len(clip.frames) for clip in part) / FPS for part in (kept, held)]
    print(f"{len(kept)} clips, {seconds[0]:.0f} s, and {len(held)}, {seconds[1]:.0f} s, to validate")
    torch.manual_seed(config.train.seed)  # of the first weights
    task = make_task(config, kept, held or kept)
    train(task, config.out, config.train)
    return 0


def make_task(config: TrainPosegpt, kept: Sequence[LabelledClip], held: Sequence[LabelledClip]) -> CoderTask | GptTask:
    """Make the task of a stage."""
    if config.stage == "auto-encoder":
        sizes = CoderConfig(
            frame_numbers(JOINTS), config.width, factor=config.factor, books=config.books, codes=config.codes
        )
        return CoderTask(sizes, kept, held, config.frames)
    assert config.coder is not None
    coder = load_coder(config.coder)
    if config.frames % coder.config.factor:
        raise HumanrtError(f"--frames is {config.frames}; it must be a multiple of {coder.config.factor}")
    labels = labels_of(kept)
    if not labels:
        raise HumanrtError(f"{config.labels}: names none of the recordings; give the labels of --data")
    settings = StreamingGptConfig(
        coder.config.books,
        coder.config.codes,
        len(labels),
        config.width,
        config.blocks,
        config.width // 32,
        3 * config.width,
        config.window,
        config.dropout,
    )
    return GptTask(settings, coder, labels, kept, held, config.frames // coder.config.factor)


# --------------------------------------------------------------------------------------------- auto-encoder


@dataclass(frozen=True)
class FrameBatch(Batch):
    """Windows of motion.

    Attributes:
        frames: float32 [B, T, D].
    """

    frames: Tensor


class CoderTask:
    """Motion through tokens and back (`training.Task`)."""

    def __init__(
        self, sizes: CoderConfig, clips: Sequence[LabelledClip], held: Sequence[LabelledClip], frames: int
    ) -> None:
        self.frames = frames
        self.clips, self.held = ([clip for clip in part if len(clip.frames) >= frames] for part in (clips, held))
        if not self.clips or not self.held:
            raise HumanrtError(f"no clip is as long as --frames {frames}; give a smaller number")
        self.model = MotionCoder(sizes)
        together = np.concatenate([rows for clip in self.clips for rows in (clip.frames, clip.mirrored)])
        self.model.mean.copy_(torch.from_numpy(together.mean(0)))
        self.model.scale.copy_(torch.from_numpy(_scale(together.std(0))))

    def config(self) -> Mapping[str, Any]:
        """The network and the windows."""
        return {"network": "posegpt-auto-encoder", "settings": asdict(self.model.config), "frames": self.frames}

    def batch(self, seed: int, step: int, size: int) -> FrameBatch:
        """Windows from anywhere in the clips, every second one mirrored."""
        return _windows(self.clips, np.random.default_rng([seed, step]), size, self.frames, varied=True)

    def losses(self, model: nn.Module, batch: FrameBatch) -> dict[str, Tensor]:
        """Errors of the frames, of the joints' places and speeds, and how far vectors are from their codes."""
        assert isinstance(model, MotionCoder)
        frames = batch.frames
        z = model.encode(frames).float()
        with torch.autocast(frames.device.type, enabled=False):
            indices = model.quantizer(z.detach())
            codes = model.quantizer.look_up(indices).detach()
            if model.training:
                model.quantizer.follow(z, indices)
        found = model.decode_codes(z + (codes - z).detach()).float()
        with torch.autocast(frames.device.type, enabled=False):  # millimetres of a chain of joints
            return self._errors(model, found, frames, functional.mse_loss(z, codes))

    def _errors(self, model: MotionCoder, found: Tensor, frames: Tensor, commitment: Tensor) -> dict[str, Tensor]:
        numbers = functional.smooth_l1_loss(found / model.scale, frames / model.scale)
        joints, truth = joints_of(found), joints_of(frames)
        places = (above_floor(found, joints) - above_floor(frames, truth)).norm(dim=-1).mean()
        slips = (moves_of(found, joints) - moves_of(frames, truth)).norm(dim=-1) * FPS / 10
        speeds = slips.mean() + slips[..., _FEET].mean()  # feet twice: nothing shows as much as feet that slide
        total = numbers + _POSITIONS * places + _SPEEDS * speeds + _COMMITMENT * commitment
        return {"total": total, "numbers": numbers, "mm": 1e3 * places, "commitment": commitment}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Of held-out clips: mean error of the joints in mm, above where the root is, and the share of codes in use."""
        assert isinstance(model, MotionCoder)
        batch = _windows(self.held, np.random.default_rng(12345), _VALIDATED, self.frames, varied=False)
        indices = model.quantizer(model.encode(batch.frames))
        found = model.decode(indices)
        joints, truth = (above_floor(frames, joints_of(frames)) for frames in (found, batch.frames))
        error = (joints - truth).norm(dim=-1).mean()
        used = np.mean([len(indices[..., book].unique()) for book in range(model.config.books)]) / model.config.codes
        return {"mm": 1e3 * float(error), "codes_used": float(used)}


def _scale(deviation: NDArray[Any]) -> NDArray[np.float32]:
    """Return what numbers are divided by; rotations have one scale, so that what hardly moves is not blown up."""
    scale = deviation.astype(np.float32).copy()
    rotations = scale[: 6 * JOINTS]
    np.maximum(rotations, _SLOW * rotations.mean(), out=rotations)
    np.maximum(scale, 1e-3, out=scale)
    return scale


def _windows(
    clips: Sequence[LabelledClip], random: np.random.Generator, size: int, frames: int, *, varied: bool
) -> FrameBatch:
    """Return windows of clips; ``varied`` ones are of more poses and paces than the clips."""
    chances = np.array([len(clip.frames) - frames + 1 for clip in clips], np.float64)
    rows = []
    for index in random.choice(len(clips), size, p=chances / chances.sum()):
        source = clips[index].frames if random.uniform() < 0.5 else clips[index].mirrored
        pace = random.uniform(*_PACES) if varied and random.uniform() < _PACED else 1.0
        if round(pace * frames) + 1 > len(source):
            pace = 1.0
        length = frames if pace == 1.0 else round(pace * frames) + 1
        start = int(random.integers(len(source) - length + 1))
        rows.append(at_pace(source[start : start + length], pace, frames))
    windows = np.stack(rows)
    if varied:
        columns = (6 * np.array(_ARMS)[:, None] + np.arange(6)).ravel()
        mixed = random.uniform(size=size) < _MIXED
        arms = np.roll(windows[:, :, columns], 1, axis=0)
        windows[:, :, columns] = np.where(mixed[:, None, None], arms, windows[:, :, columns])
    return FrameBatch(torch.from_numpy(windows))


def at_pace(source: NDArray[np.float32], pace: float, frames: int) -> NDArray[np.float32]:
    """Return so many frames [frames, D] of a window, played so many times as fast."""
    if pace == 1.0:
        return source
    at = pace * np.arange(frames)
    before = np.minimum(at.astype(np.int64), len(source) - 2)
    share = (at - before).astype(np.float32)[:, None]
    out: NDArray[np.float32] = source[before] * (1 - share) + source[before + 1] * share
    out[:, -3:] *= np.float32(pace)  # speeds
    return out


def joints_of(frames: Tensor) -> Tensor:
    """Return the joints [..., 22, 3] m of frames [..., D], from the root, in the axes of the heading; our rest pose."""
    local = matrices_from_rows(frames[..., : 6 * JOINTS].unflatten(-1, (JOINTS, 6)))
    rest = torch.tensor(SMPL_REST[:JOINTS], dtype=frames.dtype, device=frames.device)
    world: list[Tensor] = []
    places: list[Tensor] = []
    for joint, parent in enumerate(SMPL_PARENTS[:JOINTS]):
        if parent < 0:
            world.append(local[..., joint, :, :])
            places.append(torch.zeros_like(frames[..., :3]))
            continue
        world.append(world[parent] @ local[..., joint, :, :])
        places.append(places[parent] + world[parent] @ (rest[joint] - rest[parent]))
    return torch.stack(places, dim=-2)


def above_floor(frames: Tensor, joints: Tensor) -> Tensor:
    """Return joints (`joints_of`) [..., 22, 3] m from the place on the floor below the root, not from the root."""
    return torch.cat((joints[..., :1], joints[..., 1:2] + frames[..., None, -4:-3], joints[..., 2:]), dim=-1)


def moves_of(frames: Tensor, joints: Tensor) -> Tensor:
    """Return how `joints_of` frames [B, T, D], [B, T, 22, 3] m, move in the world, [B, T - 1, 22, 3] m a frame.

    In the axes of the heading of the frame before. Planted feet do not move, whatever the root does.
    """
    turn = (frames[:, 1:, -1:] / FPS)[..., None]
    cosine, sine = turn.cos(), turn.sin()
    x, y, z = joints[:, 1:].split(1, dim=-1)
    after = torch.cat((cosine * x + sine * z, y, cosine * z - sine * x), dim=-1)
    height = frames[..., -4].diff(dim=1)
    root = torch.stack((frames[:, 1:, -3] / FPS, height, frames[:, 1:, -2] / FPS), dim=-1)
    return after + root[..., None, :] - joints[:, :-1]


# --------------------------------------------------------------------------------------------- GPT


@dataclass(frozen=True)
class TokenBatch(Batch):
    """Sequences of tokens.

    Attributes:
        tokens: int64 [B, N, K], to be predicted.
        before: int64 [B, N, K], the same as the network sees them while it predicts later ones.
        labels: float32 [B, N, L].
        present: float32 [B, N], 0 behind the end of a short clip.
    """

    tokens: Tensor
    before: Tensor
    labels: Tensor
    present: Tensor


class GptTask:
    """The next code (`training.Task`)."""

    def __init__(
        self,
        settings: StreamingGptConfig,
        coder: MotionCoder,
        labels: tuple[str, ...],
        clips: Sequence[LabelledClip],
        held: Sequence[LabelledClip],
        tokens: int,
    ) -> None:
        self.labels, self.tokens = labels, tokens
        self.coder = coder
        self.model = StreamingGpt(settings)
        self.sequences = _sequences(coder, labels, clips, _TOKEN_PACES)
        self.held = _sequences(coder, labels, held, (1.0,))

    def config(self) -> Mapping[str, Any]:
        """The network, its labels, and the auto-encoder whose tokens it speaks."""
        return {
            "network": "posegpt-gpt",
            "settings": asdict(self.model.config),
            "labels": list(self.labels),
            "tokens": self.tokens,
            "coder": fingerprint(self.coder),
        }

    def batch(self, seed: int, step: int, size: int) -> TokenBatch:
        """Sequences from anywhere in the clips; the label of some is withheld, and some of their codes misread."""
        return self._drawn(self.sequences, np.random.default_rng([seed, step]), size, _UNLABELLED, _MISREAD)

    def losses(self, model: nn.Module, batch: TokenBatch) -> dict[str, Tensor]:
        """Cross-entropy of the codes."""
        logits = model(batch.tokens, batch.labels, batch.before)
        each = functional.cross_entropy(logits.flatten(0, 2), batch.tokens.flatten(), reduction="none")
        per_token = each.unflatten(0, tuple(batch.tokens.shape)).mean(-1)
        total = (per_token * batch.present).sum() / shared(batch.present.sum())
        return {"total": total}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Cross-entropy on held-out clips, with their labels and without."""
        found = {}
        for name, withheld in (("labelled", 0.0), ("unlabelled", 1.0)):
            batch = self._drawn(self.held, np.random.default_rng(12345), _VALIDATED, withheld)
            found[name] = float(self.losses(model, batch)["total"].detach())
        return found

    def _drawn(
        self,
        sequences: Sequence[tuple[NDArray[np.int64], int]],
        random: np.random.Generator,
        size: int,
        withheld: float,
        misread: float = 0.0,
    ) -> TokenBatch:
        chances = np.sqrt([len(tokens) for tokens, _ in sequences])
        count, books = self.tokens, self.model.config.books
        tokens = np.zeros((size, count, books), np.int64)
        labels = np.zeros((size, count, len(self.labels)), np.float32)
        present = np.zeros((size, count), np.float32)
        for row, index in enumerate(random.choice(len(sequences), size, p=chances / chances.sum())):
            source, label = sequences[index]
            start = int(random.integers(max(1, len(source) - count + 1)))
            part = source[start : start + count]
            tokens[row, : len(part)], present[row, : len(part)] = part, 1
            if label >= 0 and random.uniform() >= withheld:
                labels[row, :, label] = 1
        others = random.integers(self.model.config.codes, size=tokens.shape)
        wrong = random.uniform(size=tokens.shape) < random.uniform(0, misread, (size, 1, 1))
        before = np.where(wrong, others, tokens)
        return TokenBatch(*(torch.from_numpy(array) for array in (tokens, before, labels, present)))


def _sequences(
    coder: MotionCoder, labels: tuple[str, ...], clips: Sequence[LabelledClip], paces: Sequence[float]
) -> list[tuple[NDArray[np.int64], int]]:
    """Return the tokens [N, K] of clips and their mirror images, from each frame of a token on, with their labels."""
    factor = coder.config.factor
    found = []
    for clip in clips:
        label = labels.index(clip.label) if clip.label in labels else -1
        for source, pace in itertools.product((clip.frames, clip.mirrored), paces):
            frames = at_pace(source, pace, int((len(source) - 1) / pace) + 1)
            for phase in range(factor):
                count = (len(frames) - phase) // factor
                if count > 1:
                    part = torch.from_numpy(frames[phase : phase + count * factor])[None]
                    with torch.inference_mode():
                        found.append((coder.quantizer(coder.encode(part))[0].numpy(), label))
    if not found:
        raise HumanrtError("no clip is long enough for two tokens; give longer ones")
    return found
