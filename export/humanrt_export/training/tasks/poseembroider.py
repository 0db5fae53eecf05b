"""``humanrt-export train poseembroider``: our own embedder of a person's picture, a pose and words."""

from __future__ import annotations

import random as standard
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from humanrt.editing.words import GROUPS, LONGEST, UNKNOWN, encode, word_ids
from humanrt.embedding.facts import REGIONS, side_of
from humanrt.embedding.words import words_of
from humanrt.errors import HumanrtError
from humanrt.geometry.skeleton import SMPLX_BODY, mirrored, other_sides
from humanrt_export.batches import Batch
from humanrt_export.conversion.begun_embedder import BegunEmbedder, embedder_of_bundle
from humanrt_export.data.described.looks import HALVES, Looks, load_looks, look_at_portraits
from humanrt_export.data.described.people import Described, describe_poses, telling_of, various_poses
from humanrt_export.data.vocabulary import frequent_words
from humanrt_export.motion.load import load_motions
from humanrt_export.motion.split import part_of
from humanrt_export.networks.pose_embedder import PoseEmbedder, PoseEmbedderConfig
from humanrt_export.options import Option
from humanrt_export.training.loop import train
from humanrt_export.training.options import RunConfig

__all__ = [
    "BUNDLES",
    "EmbedBatch",
    "EmbedTask",
    "FuseBatch",
    "FuseTask",
    "TrainPoseembroider",
    "fuse_task",
    "make_task",
    "read_texts",
    "run",
    "word_list",
]

_HIDDEN = 0.12
"""Share of words of which the network sees the letters only."""
_HALF = 0.35
"""Share of pictures of which half is hidden; then half of the texts tell of the hidden half."""
_SAMPLED = 20_000
"""Texts that the list of words is made from."""
_LONGEST_TRAINED = 40
"""Words of a text, of which the rest is cut off while training."""
_TREMBLE = 0.002
"""Of descriptors, whose points are then 9 mm off along each axis."""
_TEXTS, _TEXTS_OF_HALF = 5, 2
"""Texts that are made of each portrait for the second stage, and how many of them are of the hidden half."""
_NOISE = (0.05, 0.02, 0.03)
"""Standard deviation of what is added to the numbers of vectors of pictures, poses and words in the second stage."""
_SIDED = 4.0
"""How much likelier facts of one side are said of poses in half of their texts."""
_DRAWN = 4
"""Subsets that are fused in a step of the second stage; others in the next."""
_GROUPS = 8
"""Groups of like length in which a batch's texts are read."""
_HELD = 256
"""Portraits that are only validated on."""

_OTHER_SIDES = list(other_sides(SMPLX_BODY))
_WORDS = "text.words.weight"

BUNDLES = tuple(given for count in (1, 2, 3) for given in combinations(range(3), count))
"""Subsets of picture, pose and text that are fused, as indices."""
_KNOWN = 0.25
"""Weight of a target that is among what is given, beside 1 of one that is to be found."""
_ROTATIONS, _HEADING = 1.0, 0.5
"""Weights of the body and of the heading, beside the mean InfoNCE."""


@dataclass(frozen=True, kw_only=True)
class TrainPoseembroider(RunConfig):
    """Options of ``humanrt-export train poseembroider``.

    Attributes:
        portraits: folders of `humanrt-export data portraits`; what the landmark network sees in them is kept beside
            them.
        data: folders or archives of motion capture, for further poses, with words but without pictures.
        poses: how many of these; each has its mirror image beside it.
        begin: bundle that this command made before, from whose encoders the first stage goes on; its words are kept,
            and the temperature begins anew.
        width: numbers of an embedding.
        hidden: of the encoders of pictures and poses.
        text: of a word's vector, a multiple of 4.
        core: of the layer that fuses, a multiple of 4.
        only_words: with --begin, only the reader of words learns; pictures and poses keep their vectors.
        aligned: the first stage: encoders whose vectors are aligned in pairs; fused by their mean.
        encoders: the second stage: run of the first one, whose encoders stay as they are while a layer that fuses
            learns. Without both, everything learns at once, which takes longer.
    """

    portraits: Annotated[tuple[Path, ...], Option(metavar="DIR")]
    data: Annotated[tuple[Path, ...], Option(metavar="PATH")] = ()
    poses: int = 20_000
    begin: Annotated[str | None, Option(metavar="NAME|PATH")] = None
    only_words: bool = False
    width: int = PoseEmbedderConfig.width
    hidden: int = PoseEmbedderConfig.hidden
    text: int = PoseEmbedderConfig.text
    core: int = PoseEmbedderConfig.core
    aligned: bool = False
    encoders: Annotated[Path | None, Option(metavar="RUN")] = None

    def __post_init__(self) -> None:
        if self.encoders is not None and (self.aligned or self.data):
            raise HumanrtError("--encoders is the second stage, of portraits alone; leave --aligned and --data out")
        if self.encoders is None and not self.data:
            raise HumanrtError("--data is missing: recordings, for poses without pictures")
        if self.begin is not None and not self.aligned:
            raise HumanrtError("--begin takes up the encoders of a bundle, for --aligned; give that too")
        if self.only_words and self.begin is None:
            raise HumanrtError("--only-words keeps the other encoders of a bundle; give --begin too")
        for name in ("poses", "width", "hidden", "text", "core"):
            if getattr(self, name) < 1:
                raise HumanrtError(f"--{name} is {getattr(self, name)}; it must be 1 or more")
        for name in ("text", "core"):
            if getattr(self, name) % 4:
                raise HumanrtError(f"--{name} is {getattr(self, name)}; it must be a multiple of 4, the heads")


def run(config: TrainPoseembroider) -> int:
    """Train."""
    looks = load_looks([look_at_portraits(folder, say=print) for folder in config.portraits])
    if len(looks.half) <= _HELD:
        raise HumanrtError(f"{config.portraits[0]}: {len(looks.half)} portraits; more than {_HELD} are needed")
    if config.encoders is not None:
        torch.manual_seed(config.train.seed)
        train(fuse_task(config.encoders, looks, config.core), config.out, config.train)
        return 0
    motions = [motion for path in config.data for motion in load_motions(path)]
    kept = [motion for motion in motions if part_of(motion) == "train"]
    if not kept:
        raise HumanrtError(f"{config.data[0]}: no motion to train on; all of it is held out")
    print(f"{len(looks.half)} portraits, {config.poses} poses of {len(kept)} clips", flush=True)
    torch.manual_seed(config.train.seed)  # of the first weights
    poses = various_poses(kept, config.poses, config.train.seed)
    further = describe_poses(np.concatenate([poses, mirrored(poses)[:, _OTHER_SIDES]]))
    train(make_task(config, looks, further), config.out, config.train)
    return 0


def make_task(config: TrainPoseembroider, looks: Looks, further: Described) -> EmbedTask:
    """Make the task on portraits and further poses."""
    seen = describe_poses(looks.poses)
    telling = telling_of(further)
    words = word_list(further, telling)
    begun = None if config.begin is None else embedder_of_bundle(config.begin)
    if begun is not None:
        words = (*begun.words, *(word for word in words if word not in set(begun.words)))
    sizes = PoseEmbedderConfig(
        len(words) + UNKNOWN + 2, config.width, config.hidden, config.text, core=config.core, fused=not config.aligned
    )
    task = EmbedTask(sizes, words, telling, looks, seen, further)
    if begun is not None:
        task.take_up(begun, config.only_words)
    return task


def word_list(described: Described, telling: Mapping[str, float]) -> tuple[str, ...]:
    """Return the words of the texts that are trained on, those that are often said first."""
    random = standard.Random(0)
    texts = (described.text(random, n % len(described), telling, 1 + n % 6)[0] for n in range(_SAMPLED))
    return frequent_words(map(words_of, texts))


@dataclass(frozen=True)
class EmbedBatch(Batch):
    """People with pictures, poses and texts, then people without pictures.

    Attributes:
        image: float32 [B, F].
        pose: float32 [B + C, G].
        words: int64 [B + C, L].
        which: int64 [B + C, L], which row of ``letters``.
        letters: int64 [U, G], of the different words.
        present: float32 [B + C, L].
        rotations: float32 [B + C, 22, 3, 3], level and without heading.
        heading: float32 [B, 2], sine and cosine.
        fits: float32 [B + C, B + C]: whether text i fits person j.
    """

    image: Tensor
    pose: Tensor
    words: Tensor
    which: Tensor
    letters: Tensor
    present: Tensor
    rotations: Tensor
    heading: Tensor
    fits: Tensor


class EmbedTask:
    """One embedding of what is given (`training.Task`).

    Args:
        sizes: of the network.
        words: its list.
        telling: how likely facts are said (`telling_of`).
        looks: what is seen in portraits.
        seen: their poses, in the same order; the last ones are only validated on.
        further: poses without pictures; the second half of them mirrors the first.
    """

    def __init__(
        self,
        sizes: PoseEmbedderConfig,
        words: tuple[str, ...],
        telling: Mapping[str, float],
        looks: Looks,
        seen: Described,
        further: Described,
    ) -> None:
        self.words, self.ids, self.telling = words, word_ids(words), telling
        self.looks, self.seen, self.further = looks, seen, further
        self.sided = {name: weight * (_SIDED if side_of(name) else 1) for name, weight in telling.items()}
        self.model = PoseEmbedder(sizes)
        self.begun: Mapping[str, Any] | None = None

    def take_up(self, begun: BegunEmbedder, only_words: bool = False) -> None:
        """Begin with the weights of a bundle; words that it does not know are learned anew.

        The temperature begins anew, too: no graph of a bundle holds it.

        Args:
            begun: the bundle's.
            only_words: nothing learns but the reader of words.

        Raises:
            HumanrtError: its sizes are others.
        """
        own, taken = self.model.state_dict(), dict(begun.weights)
        listed = taken.pop(_WORDS)
        wrong = [name for name, value in taken.items() if own[name].shape != value.shape]
        if wrong or listed.shape[1:] != own[_WORDS].shape[1:]:
            raise HumanrtError(
                f"--begin: {(wrong or [_WORDS])[0]} has another size there; give the sizes of that bundle"
            )
        self.model.load_state_dict(taken, strict=False)
        with torch.no_grad():
            self.model.text.words.weight[: len(listed)] = listed
        self.begun = {**begun.about, "only words": only_words}
        if only_words:
            for name, parameter in self.model.named_parameters():
                parameter.requires_grad_(name.startswith(("text.", "temperature")))

    def config(self) -> Mapping[str, Any]:
        """The network and its words."""
        return {
            "network": "pose-embedder",
            "settings": asdict(self.model.config),
            "words": list(self.words),
            "portraits": len(self.seen),
            "poses": len(self.further) // 2,
            **({} if self.begun is None else {"begun": dict(self.begun)}),
        }

    def batch(self, seed: int, step: int, size: int) -> EmbedBatch:
        """New texts; half of the people with pictures, and of the others each one with its mirror image.

        So nothing but the sides tells which text belongs to which of the two.
        """
        drawn = np.random.default_rng([seed, step])
        random = standard.Random(f"{seed} {step}")
        rows = drawn.integers(0, len(self.seen) - _HELD, size)
        some = drawn.integers(0, len(self.further), size - size // 2)
        twins = (some + len(self.further) // 2) % len(self.further)
        others = np.concatenate([some, twins])[:size]
        which = drawn.integers(0, len(self.looks.whole), size)
        half = drawn.uniform(size=size) < _HALF
        image = np.where(half[:, None], self.looks.half[rows], self.looks.whole[which, rows])
        image = image + 0.02 * drawn.standard_normal(image.shape, np.float32)
        texts: list[str] = []
        said: list[tuple[str, ...]] = []
        halves = list(HALVES.values())
        for place, row in enumerate([*rows.tolist(), *others.tolist()]):
            people = self.seen if place < size else self.further
            regions = REGIONS
            if place < size and half[place] and random.random() < 0.5:
                regions = halves[int(self.looks.hidden[row])]
            elif random.random() < 0.15:
                regions = (random.choice(REGIONS),)
            most = random.choice((1, 1, 2, 2, 3, 4, 5, 7))
            telling = self.sided if place >= size and random.random() < 0.5 else self.telling
            text, facts = people.text(random, row, telling, most, regions)
            if not facts:
                text, facts = people.text(random, row, telling, most)
            texts.append(text)
            said.append(facts)
        # Numbers are drawn once, but the sum of both groups is one batch: all are negatives of each other.
        flags = np.concatenate([self.seen.flags[rows], self.further.flags[others]])
        fits = _fits(self.seen.names, flags, said)
        words, letters, present = (one[:, :_LONGEST_TRAINED] for one in read_texts(texts, self.ids))
        different, which = np.unique(letters.reshape(-1, GROUPS), axis=0, return_inverse=True)
        hidden = (words > UNKNOWN + 1) & (drawn.uniform(size=words.shape) < _HIDDEN) & (letters[..., 0] > 0)
        words[hidden] = UNKNOWN
        pose = np.concatenate([self.seen.numbers[rows], self.further.numbers[others]])
        arrays: dict[str, NDArray[Any]] = {
            "image": image.astype(np.float32),
            "pose": (pose + _TREMBLE * drawn.standard_normal(pose.shape, np.float32)).astype(np.float32),
            "words": words,
            "which": which.reshape(words.shape),
            "letters": different,
            "present": present,
            "rotations": np.concatenate([self.seen.rotations[rows], self.further.rotations[others]]),
            "heading": self.seen.heading[rows],
            "fits": fits.astype(np.float32),
        }
        return EmbedBatch(**{name: torch.from_numpy(array) for name, array in arrays.items()})

    def losses(self, model: nn.Module, batch: EmbedBatch) -> dict[str, Tensor]:
        """InfoNCE of every subset with every target; the body of what is given; the heading of pictures."""
        assert isinstance(model, PoseEmbedder)
        count = len(batch.image)
        image, heading = model.read_picture(batch.image)
        pose = model.read_pose(batch.pose)
        text = _texts_read(model, batch)
        scale = model.temperature.clamp(max=4.6).exp()
        spaces = (image, pose[:count], text[:count])
        whole = torch.stack(spaces, 1)
        terms: list[Tensor] = []
        weights: list[float] = []
        bodies: list[Tensor] = []
        known = torch.eye(count, device=image.device)
        for given in BUNDLES if model.core is not None else BUNDLES[:3]:
            mask = torch.tensor([index in given for index in range(3)]).expand(count, 3)
            token, predicted = model.fuse(whole, mask)
            for target in range(3):
                if model.core is None and target in given:
                    continue
                query = predicted[:, target]
                logits = scale * query @ spaces[target].T
                terms.append(_contrast(logits, _alike(given, target, batch.fits[:count, :count], known)))
                weights.append(_KNOWN if target in given else 1.0)
            bodies.append(_rotation_error(model.read_body(token), batch.rotations[:count]))
        # Those without pictures: pose and words only, among all.
        rest = torch.stack((torch.zeros_like(pose), pose, text), 1)
        everyone = torch.eye(len(pose), device=image.device)
        for given, target in (((1,), 2), ((2,), 1), ((1, 2), 1)):
            if model.core is None and target in given:
                continue
            mask = torch.tensor([index in given for index in range(3)]).expand(len(pose), 3)
            token, predicted = model.fuse(rest, mask)
            logits = scale * predicted[:, target] @ rest[:, target].T
            terms.append(_contrast(logits, _alike(given, target, batch.fits, everyone)))
            weights.append(_KNOWN if target in given else 2.0)
            bodies.append(_rotation_error(model.read_body(token), batch.rotations))
        share = torch.tensor(weights)
        contrast = (torch.stack(terms) * share).sum() / share.sum()
        facing = functional.normalize(heading, dim=-1)
        losses = {
            "contrast": contrast,
            "rotations": torch.stack(bodies).mean(),
            "heading": (1 - (facing * batch.heading).sum(-1)).mean(),
        }
        total = contrast + _ROTATIONS * losses["rotations"] + _HEADING * losses["heading"]
        return {"total": total, **losses}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Recall at 1 of held-out portraits, single and double; error of the heading, degrees."""
        assert isinstance(model, PoseEmbedder)
        random = standard.Random(7)
        rows = np.arange(len(self.seen) - _HELD, len(self.seen))
        texts = [self.seen.text(random, int(row), self.telling, 8)[0] for row in rows]
        words, letters, present = (torch.from_numpy(one) for one in read_texts(texts, self.ids))
        image, heading = model.read_picture(torch.from_numpy(self.looks.whole[0, rows]))
        pose = model.read_pose(torch.from_numpy(self.seen.numbers[rows]))
        vectors = torch.stack((image, pose, model.read_text(words, letters, present)), 1)
        facing = torch.atan2(*heading.T) - torch.atan2(*torch.from_numpy(self.seen.heading[rows]).T)
        off = torch.rad2deg(torch.atan2(facing.sin(), facing.cos()).abs()).median()
        return {**_recalls(model, vectors), "heading": float(off)}


@dataclass(frozen=True)
class FuseBatch(Batch):
    """Vectors of people.

    Attributes:
        vectors: float32 [B, 3, D], of picture, pose and text.
        rotations: float32 [B, 22, 3, 3], level and without heading.
        fits: float32 [B, B]: whether text i fits person j.
        bundles: int64 [K], which of `BUNDLES` are fused.
    """

    vectors: Tensor
    rotations: Tensor
    fits: Tensor
    bundles: Tensor


class FuseTask:
    """Fuse the vectors of encoders that stay as they are (`training.Task`).

    Args:
        model: whose encoders are trained.
        about: of the run that trained them, for the record.
        words: its list.
        looks: what is seen in portraits.
        seen: their poses.
    """

    def __init__(
        self, model: PoseEmbedder, about: Mapping[str, Any], words: tuple[str, ...], looks: Looks, seen: Described
    ) -> None:
        self.model, self.about, self.words, self.looks, self.seen = model, about, words, looks, seen
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(("core.", "targets.", "body.", "temperature")))
        random, telling, halves = standard.Random(1), telling_of(seen), list(HALVES.values())
        place = {name: index for index, name in enumerate(seen.names)}
        texts: list[str] = []
        self._wanted = np.zeros((len(seen) * _TEXTS, len(seen.names)), bool)
        for person in range(len(seen)):
            for number in range(_TEXTS):
                of_half = number >= _TEXTS - _TEXTS_OF_HALF
                regions = halves[int(looks.hidden[person])] if of_half else REGIONS
                most = random.choice((2, 3, 4)) if of_half else random.choice((1, 2, 3, 5, 8))
                text, said = seen.text(random, person, telling, most, regions)
                if not said:
                    text, said = seen.text(random, person, telling, most)
                self._wanted[len(texts), [place[name] for name in said]] = True
                texts.append(text)
        with torch.inference_mode():
            pictures = np.concatenate([looks.whole, looks.half[None]])
            flat = model.read_picture(torch.from_numpy(pictures.reshape(-1, pictures.shape[-1])))[0]
            self._images = flat.numpy().reshape(*pictures.shape[:2], -1)
            self._poses = model.read_pose(torch.from_numpy(seen.numbers)).numpy()
            ids, order = word_ids(words), np.argsort([len(text) for text in texts])
            self._texts = np.zeros((len(texts), self._poses.shape[1]), np.float32)
            for first in range(0, len(texts), 256):
                some = order[first : first + 256]
                words_, letters, present = read_texts([texts[row] for row in some], ids)
                different, which = np.unique(letters.reshape(-1, GROUPS), axis=0, return_inverse=True)
                arrays = (words_, different, present, which.reshape(words_.shape))
                self._texts[some] = model.read_text(*(torch.from_numpy(one) for one in arrays)).numpy()

    def config(self) -> Mapping[str, Any]:
        """The network, its words, and where its encoders are from."""
        return {
            "network": "pose-embedder",
            "settings": asdict(self.model.config),
            "words": list(self.words),
            "portraits": len(self.seen),
            "texts": _TEXTS,
            "encoders": dict(self.about),
        }

    def batch(self, seed: int, step: int, size: int) -> FuseBatch:
        """People, of whom some pictures show a half; then half of the texts are of the hidden one."""
        drawn = np.random.default_rng([seed, step])
        rows = drawn.integers(0, len(self.seen) - _HELD, size)
        half = drawn.uniform(size=size) < _HALF
        which = np.where(half, len(self._images) - 1, drawn.integers(0, len(self._images) - 1, size))
        whole = _TEXTS - _TEXTS_OF_HALF
        of_half = half & (drawn.uniform(size=size) < 0.5)
        number = np.where(of_half, drawn.integers(whole, _TEXTS, size), drawn.integers(0, whole, size))
        told = rows * _TEXTS + number
        fits = self._wanted[told].astype(np.float32) @ (~self.seen.flags[rows]).T.astype(np.float32) < 0.5
        vectors = np.stack([self._images[which, rows], self._poses[rows], self._texts[told]], axis=1)
        # The encoders have seen these people, and know them better than others.
        vectors = vectors + np.array(_NOISE, np.float32)[:, None] * drawn.standard_normal(vectors.shape, np.float32)
        vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
        return FuseBatch(
            torch.from_numpy(vectors),
            torch.from_numpy(self.seen.rotations[rows]),
            torch.from_numpy(fits.astype(np.float32)),
            torch.from_numpy(drawn.permutation(len(BUNDLES))[:_DRAWN]),
        )

    def losses(self, model: nn.Module, batch: FuseBatch) -> dict[str, Tensor]:
        """InfoNCE of some subsets with every target, and the body of them."""
        assert isinstance(model, PoseEmbedder)
        count = len(batch.vectors)
        scale = model.temperature.clamp(max=4.6).exp()
        known = torch.eye(count, device=batch.vectors.device)
        terms: list[Tensor] = []
        weights: list[float] = []
        bodies: list[Tensor] = []
        for given in [BUNDLES[index] for index in batch.bundles.tolist()]:
            mask = torch.tensor([index in given for index in range(3)]).expand(count, 3)
            token, predicted = model.fuse(batch.vectors, mask)
            for target in range(3):
                logits = scale * predicted[:, target] @ batch.vectors[:, target].T
                terms.append(_contrast(logits, _alike(given, target, batch.fits, known)))
                weights.append(_KNOWN if target in given else 1.0)
            bodies.append(_rotation_error(model.read_body(token), batch.rotations))
        share = torch.tensor(weights)
        contrast = (torch.stack(terms) * share).sum() / share.sum()
        rotations = torch.stack(bodies).mean()
        return {"total": contrast + _ROTATIONS * rotations, "contrast": contrast, "rotations": rotations}

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Recall at 1 of held-out portraits, single and double."""
        assert isinstance(model, PoseEmbedder)
        rows = np.arange(len(self.seen) - _HELD, len(self.seen))
        told = self._texts[rows * _TEXTS + _TEXTS - _TEXTS_OF_HALF - 1]
        vectors = torch.from_numpy(np.stack([self._images[0, rows], self._poses[rows], told], axis=1))
        return _recalls(model, vectors)


def fuse_task(run: Path, looks: Looks, core: int) -> FuseTask:
    """Make the task of the second stage on the encoders of a run of the first.

    Raises:
        HumanrtError: it is no run of an embedder with aligned vectors.
    """
    from humanrt_export.conversion.pose_embedder import load_embedder

    first, words, about = load_embedder(run)
    if first.core is not None:
        raise HumanrtError(f"--encoders {run}: was not trained with --aligned; it fuses already")
    model = PoseEmbedder(replace(first.config, core=core, fused=True))
    own = {name: value for name, value in first.state_dict().items() if not name.startswith("targets.")}
    model.load_state_dict(own, strict=False)
    shown = {key: value for key, value in about.items() if key != "task"}
    return FuseTask(model, shown, words, looks, describe_poses(looks.poses))


def read_texts(
    texts: Sequence[str], ids: Mapping[str, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return texts as the network takes them: words [B, L], letters [B, L, G], and where there are words [B, L]."""
    encoded = [encode(words_of(text), ids) for text in texts]
    longest = max(1, min(LONGEST, max(len(one.words) for one in encoded)))
    words = np.zeros((len(texts), longest), np.int64)
    letters, present = np.zeros((*words.shape, GROUPS), np.int64), np.zeros(words.shape, np.float32)
    for row, one in enumerate(encoded):
        length = len(one.words)
        words[row, :length], letters[row, :length], present[row, :length] = one.words, one.letters, 1
    present[:, 0] = 1  # a text without words is one of padding
    return words, letters, present


def _recalls(model: PoseEmbedder, vectors: Tensor) -> dict[str, float]:
    """Return the mean recall at 1 of single and of double queries among vectors [N, 3, D]."""
    found: dict[int, list[float]] = {1: [], 2: []}
    right = torch.arange(len(vectors))
    for given in BUNDLES[:6]:
        mask = torch.tensor([index in given for index in range(3)]).expand(len(vectors), 3)
        predicted = model.fuse(vectors, mask)[1]
        for target in set(range(3)) - set(given):
            best = (predicted[:, target] @ vectors[:, target].T).argmax(1)
            found[len(given)].append(float((best == right).float().mean()))
    return {"single": float(np.mean(found[1])), "double": float(np.mean(found[2]))}


def _texts_read(model: PoseEmbedder, batch: EmbedBatch) -> Tensor:
    """Return unit vectors [B + C, D] of the texts, read in groups of like length: that is faster."""
    lengths = batch.present.sum(1).long()
    order = lengths.argsort()
    found: list[Tensor] = []
    for group in order.chunk(_GROUPS):
        longest = int(lengths[group].max())
        words, present, which = (one[group, :longest] for one in (batch.words, batch.present, batch.which))
        found.append(model.read_text(words, batch.letters, present, which).float())
    return torch.cat(found)[order.argsort()]


def _fits(names: Sequence[str], flags: NDArray[np.bool_], said: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
    place = {name: index for index, name in enumerate(names)}
    wanted = np.zeros((len(said), len(names)), np.float32)
    for row, facts in enumerate(said):
        wanted[row, [place[name] for name in facts]] = 1
    return np.asarray(wanted @ (~flags).T.astype(np.float32) < 0.5)


def _alike(given: tuple[int, ...], target: int, fits: Tensor, known: Tensor) -> Tensor:
    """Return which targets [B, B] a query means: where words alone ask, or answer, whoever they fit; else the same."""
    if given == (2,) and target != 2:
        return fits
    if target == 2 and 2 not in given:
        return fits.T
    return known


def _contrast(logits: Tensor, alike: Tensor) -> Tensor:
    """Return the symmetric InfoNCE of logits [B, B], where several may be right [B, B]."""
    rows = -(logits.log_softmax(1) * alike).sum(1) / alike.sum(1).clamp(min=1)
    columns = -(logits.log_softmax(0) * alike).sum(0) / alike.sum(0).clamp(min=1)
    return (rows.mean() + columns.mean()) / 2


def _rotation_error(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean squared difference of matrices, of [B, 22, 3, 3]."""
    return (found - wanted).pow(2).sum((-1, -2)).mean()
