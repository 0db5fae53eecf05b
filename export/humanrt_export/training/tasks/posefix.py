"""``humanrt-export train posefix``: our own editor, "pose + words -> pose", on texts of our own (`data.edits`)."""

from __future__ import annotations

import random as standard
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from humanrt.editing.changes import CHANNELS, PLACES, SCALES, Edit
from humanrt.editing.words import GROUPS, LONGEST, UNKNOWN, Encoded, encode, split, word_ids
from humanrt.errors import HumanrtError
from humanrt_export.batches import Batch
from humanrt_export.data.edits.pairs import PosePair, draw_pairs
from humanrt_export.data.edits.texts import edit_of, nonsense, sentence
from humanrt_export.data.vocabulary import frequent_words
from humanrt_export.motion.clip import Motion
from humanrt_export.motion.load import load_motions
from humanrt_export.motion.split import part_of
from humanrt_export.networks.word_editor import WordEditor, WordEditorConfig
from humanrt_export.options import Option
from humanrt_export.training.loop import train
from humanrt_export.training.options import RunConfig
from humanrt_export.training.processes import shared

__all__ = ["EditTask", "TrainPosefix", "run", "word_list"]

_NONSENSE = 0.17
"""Share of texts that ask for nothing."""
_HIDDEN = 0.12
"""Share of words of which the network sees the letters only."""
_SAMPLED = 12_000
"""Texts from which the list of words is made."""
_TOGETHER = 8
"""Steps whose texts are made together and sorted by length: a batch of texts of like length has little padding."""
_VALIDATED = 600
_NOTHING = 0.15
"""Amounts below this count by difference, not by ratio: 7.5 degrees, 4 cm."""


@dataclass(frozen=True, kw_only=True)
class TrainPosefix(RunConfig):
    """Options of ``humanrt-export train posefix``.

    Attributes:
        data: folders or archives of motion capture (ASF/AMC, BVH, AMASS), from which poses are drawn.
        pairs: of poses that are drawn.
        width: of the network's vectors, a multiple of 4.
        blocks: of the network that reads the text.
        looks: times that channels look at the text.
    """

    data: Annotated[tuple[Path, ...], Option(metavar="PATH")]
    pairs: int = 10_000
    width: int = 64
    blocks: int = 2
    looks: int = 2

    def __post_init__(self) -> None:
        for name in ("pairs", "width", "blocks", "looks"):
            if getattr(self, name) < 1:
                raise HumanrtError(f"--{name} is {getattr(self, name)}; it must be 1 or more")
        if self.width % 4:
            raise HumanrtError(f"--width is {self.width}; it must be a multiple of 4, the number of heads")


def run(config: TrainPosefix) -> int:
    """Train."""
    motions = [motion for path in config.data for motion in load_motions(path)]
    kept = [motion for motion in motions if part_of(motion) == "train"]
    held = [motion for motion in motions if part_of(motion) == "val"]
    if not kept:
        raise HumanrtError(f"{config.data[0]}: no motion to train on; all of it is held out")
    print(f"{len(kept)} clips, and {len(held)} to validate", flush=True)
    torch.manual_seed(config.train.seed)  # of the first weights
    train(make_task(config, kept, held or kept), config.out, config.train)
    return 0


def make_task(config: TrainPosefix, kept: Sequence[Motion], held: Sequence[Motion]) -> EditTask:
    """Make the task on poses of clips."""
    pairs = draw_pairs(kept, config.pairs, config.train.seed)
    words = word_list(pairs)
    sizes = WordEditorConfig(len(words) + UNKNOWN + 2, config.width, config.blocks, config.looks)
    return EditTask(sizes, words, pairs, draw_pairs(held, min(config.pairs, 1000), config.train.seed + 1))


def word_list(pairs: Sequence[PosePair]) -> tuple[str, ...]:
    """Return the words of the texts that are trained on, those that are often said first."""
    random = standard.Random(0)
    texts = (sentence(random, pairs[number % len(pairs)].wishes)[0] for number in range(_SAMPLED))
    return frequent_words(map(split, texts))


@dataclass(frozen=True)
class EditBatch(Batch):
    """Texts, poses, and what becomes of the channels (`humanrt.editing.changes`).

    Attributes:
        words: int64 [B, L].
        letters: int64 [B, L, G].
        numbers, present: float32 [B, L].
        seen: float32 [B, C, 3], of the pose.
        said, absolute, value: float32 [B, C]; values in the network's units.
        way: float32 [B, C, 3].
        place: int64 [B, C].
        sure: float32 [B], 1 for texts that ask for a change.
    """

    words: Tensor
    letters: Tensor
    numbers: Tensor
    present: Tensor
    seen: Tensor
    said: Tensor
    absolute: Tensor
    value: Tensor
    way: Tensor
    place: Tensor
    sure: Tensor


@dataclass(frozen=True)
class _Sample:
    text: Encoded
    seen: np.ndarray[Any, np.dtype[np.float32]]
    edit: Edit
    sure: bool


class EditTask:
    """What words ask of a pose (`training.Task`).

    Args:
        sizes: of the network.
        words: its list.
        pairs: of poses, to train on.
        held: likewise, to validate on.
    """

    def __init__(
        self, sizes: WordEditorConfig, words: tuple[str, ...], pairs: Sequence[PosePair], held: Sequence[PosePair]
    ) -> None:
        self.words, self.pairs, self.held = words, pairs, held
        self.ids = word_ids(words)
        self.model = WordEditor(sizes)
        self._made: tuple[tuple[int, int, int], list[_Sample]] | None = None

    def config(self) -> Mapping[str, Any]:
        """The network and its words."""
        return {
            "network": "word-editor",
            "settings": asdict(self.model.config),
            "words": list(self.words),
            "channels": list(CHANNELS),
            "places": list(PLACES),
            "pairs": len(self.pairs),
        }

    def batch(self, seed: int, step: int, size: int) -> EditBatch:
        """New texts of like length; of some words only the letters are seen."""
        block, place = divmod(step, _TOGETHER)
        samples = self._block(seed, block, size)
        order = np.random.default_rng([seed, block]).permutation(_TOGETHER)
        start = size * int(order[place])
        return _stacked(samples[start : start + size], np.random.default_rng([seed, step]), _HIDDEN)

    def losses(self, model: nn.Module, batch: EditBatch) -> dict[str, Tensor]:
        """Errors of what is said of each channel; of the numbers only where something is."""
        assert isinstance(model, WordEditor)
        vector = model.read(batch.words, batch.letters, batch.numbers, batch.present)
        found = {name: value.float() for name, value in model.change(vector.float(), batch.seen).items()}
        said = batch.said
        count = shared(said.sum(), least=1.0)
        sure = functional.binary_cross_entropy_with_logits(found["sure"], batch.sure)
        which = functional.binary_cross_entropy_with_logits(found["said"], said, reduction="none").sum(1).mean()
        absolute = functional.binary_cross_entropy_with_logits(found["absolute"], batch.absolute, reduction="none")
        # Errors are ratios: half of an amount is as wrong as twice of it. Relative to what is asked, "a lot" shrank.
        size = (torch.asinh(found["value"] / _NOTHING) - torch.asinh(batch.value / _NOTHING)).abs()
        way = 1 - functional.cosine_similarity(found["way"], batch.way, dim=-1)
        place = functional.cross_entropy(found["place"].transpose(1, 2), batch.place, reduction="none")
        moved = _is(CHANNELS_WITH_WAYS, said)
        hands = _is(("left_hand", "right_hand"), said) * batch.absolute
        moving = moved * (1 - hands)
        placed = (place * hands * said).sum() / count
        losses = {
            "said": which,
            "absolute": (absolute * said).sum() / count,
            "size": (size * said * (1 - hands)).sum() / count,
            "way": (way * said * moving).sum() / count,
            "place": placed,
            "sure": sure,
        }
        return {"total": sum(losses.values(), torch.zeros(())), **losses}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Of texts on held-out poses: those of which all channels are right, and those of which all is."""
        assert isinstance(model, WordEditor)
        random = standard.Random(12345)
        made = [_sample(random, self.held, self.ids, self.words) for _ in range(_VALIDATED)]
        batch = _stacked(made, np.random.default_rng(0), 0.0)
        found = model.change(model.read(batch.words, batch.letters, batch.numbers, batch.present), batch.seen)
        sure = (found["sure"] > 0) == (batch.sure > 0.5)
        asks = batch.sure > 0.5
        channels = ((found["said"] > 0) == (batch.said > 0.5)).all(1)
        hands = _is(("left_hand", "right_hand"), batch.said) * batch.absolute > 0.5
        kind = (found["absolute"] > 0) == (batch.absolute > 0.5)
        close = (found["value"] - batch.value).abs() < 0.5 * batch.value.abs() + 0.16
        towards = functional.cosine_similarity(found["way"], batch.way, dim=-1) > 0.8
        towards |= _is(CHANNELS_WITH_WAYS, batch.said) < 0.5
        right = torch.where(hands, found["place"].argmax(-1) == batch.place, close & towards) & kind
        each = right[batch.said > 0.5].float().mean()
        whole = channels & (right | (batch.said < 0.5)).all(1)
        return {
            "sure": float(sure.float().mean()),
            "channels": float(channels[asks].float().mean()),
            "changes": float(each),
            "texts": float(whole[asks].float().mean()),
        }

    def _block(self, seed: int, block: int, size: int) -> list[_Sample]:
        key = (seed, block, size)
        if self._made is None or self._made[0] != key:
            random = standard.Random(f"{seed} {block}")
            made = [_sample(random, self.pairs, self.ids, self.words) for _ in range(_TOGETHER * size)]
            self._made = (key, sorted(made, key=lambda sample: len(sample.text.words)))
        return self._made[1]


CHANNELS_WITH_WAYS = tuple(name for name in CHANNELS if name.endswith(("_arm", "_thigh", "_hand", "_foot")))


def _is(channels: Sequence[str], like: Tensor) -> Tensor:
    """Return 1 at some channels [C]."""
    return torch.tensor([float(name in channels) for name in CHANNELS], dtype=like.dtype, device=like.device)


def _sample(
    random: standard.Random, pairs: Sequence[PosePair], ids: Mapping[str, int], words: Sequence[str]
) -> _Sample:
    pair = pairs[random.randrange(len(pairs))]
    if random.random() < _NONSENSE:
        return _Sample(encode(nonsense(random, words), ids), pair.seen, Edit.empty(), False)
    text, changes = sentence(random, pair.wishes if random.random() < 0.5 else ())
    return _Sample(encode(text, ids), pair.seen, edit_of(changes), True)


def _stacked(samples: Sequence[_Sample], random: np.random.Generator, hidden: float) -> EditBatch:
    """Return samples as a batch; of some words only the letters are kept."""
    size = len(samples)
    longest = max(1, min(LONGEST, max(len(sample.text.words) for sample in samples)))
    words, letters = np.zeros((size, longest), np.int64), np.zeros((size, longest, GROUPS), np.int64)
    numbers, present = np.zeros((size, longest), np.float32), np.zeros((size, longest), np.float32)
    for row, sample in enumerate(samples):
        length = len(sample.text.words)
        words[row, :length], letters[row, :length] = sample.text.words, sample.text.letters
        numbers[row, :length], present[row, :length] = sample.text.numbers, 1
    present[:, 0] = 1  # a text without words is one of padding
    words[(words > UNKNOWN + 1) & (random.uniform(size=words.shape) < hidden) & (letters[..., 0] > 0)] = UNKNOWN
    edits = [sample.edit for sample in samples]
    arrays: dict[str, Any] = {
        "words": words,
        "letters": letters,
        "numbers": numbers,
        "present": present,
        "seen": np.stack([sample.seen for sample in samples]),
        "said": np.stack([edit.said for edit in edits]).astype(np.float32),
        "absolute": np.stack([edit.absolute for edit in edits]).astype(np.float32),
        "value": (np.stack([edit.value for edit in edits]) / SCALES).astype(np.float32),
        "way": np.stack([edit.way for edit in edits]).astype(np.float32),
        "place": np.stack([edit.place for edit in edits]),
        "sure": np.array([sample.sure for sample in samples], np.float32),
    }
    return EditBatch(**{name: torch.from_numpy(array) for name, array in arrays.items()})
