"""The networks of our own PoseGPT: any length, step by step, with a memory of fixed size."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.bundle import Bundle
from humanrt.bundle.settings import StreamingGptSettings
from humanrt.checks import check_range
from humanrt.errors import InvalidInputError
from humanrt.geometry.rotation import matrices_from_6d
from humanrt.inference.bound_graph import BoundGraph
from humanrt.inference.execution import Execution
from humanrt.inference.model import Model
from humanrt.motion.arguments import Label, check_count_of, label_weights, numbers_of, tokens_of
from humanrt.motion.features import Heading, frames_from_motion, motion_from_frames
from humanrt.motion.frame_stream import FrameStream
from humanrt.motion.motion import Motion
from humanrt.motion.sampling import Sampler
from humanrt.motion.seam import LENGTH, Seam, seen_by
from humanrt.resource import releasing

__all__ = ["Memory", "StreamingNetworks", "StreamingStream"]

Floats = NDArray[np.float32]
Tokens = NDArray[np.int64]

_LONGEST = 3600.0
"""s, longest motion made at once; `stream` has no end."""
_SEEN = 96
"""Tokens of what was seen that are read at most; the GPT looks back less far."""


class Memory:
    """What the GPT knows of a sequence of tokens: keys and values of the last ones, in a ring.

    Attributes:
        place: how many tokens there were.
        token: [books] the last one.
    """

    def __init__(self, shape: tuple[int, ...], books: int) -> None:
        self.cache = np.zeros(shape, np.float32)
        self.place = 0
        self.token = np.zeros(books, np.int64)

    def take(self, token: Tokens) -> None:
        """Remember that this token came next."""
        self.token, self.place = token, self.place + 1


class StreamingNetworks(Model):
    """Opens a bundle of our own PoseGPT; `PoseGPT` is what users open."""

    @releasing
    def __init__(self, bundle: Bundle, execution: Execution) -> None:
        super().__init__(bundle, "posegpt", execution)
        settings = StreamingGptSettings.of(self.bundle)
        self.labels, self.joint_names, self.parents = settings.labels, settings.joints, settings.parents
        self.fps, self.up, self.factor = settings.clock_hz, settings.up, settings.factor
        self.books, self.codes = settings.books, settings.codes
        self.window: int | None = None
        self.durations = (1, int(_LONGEST * self.fps))
        self.variant, self.tail, self.generates = "streaming", 0, True
        self.reach = settings.reach
        self._encoder = self.own(BoundGraph(self.backend, self.bundle.graph("encoder")))
        self._decoder = self.own(BoundGraph(self.backend, self.bundle.graph("decoder")))
        self._step = self.own(BoundGraph(self.backend, self.bundle.graph("gpt_step")))
        self._read = self.own(BoundGraph(self.backend, self.bundle.graph("gpt_books")))
        self._loaded: Memory | None = None

    # ----------------------------------------------------------------------------------------- motion and tokens

    def encode(self, rotations: ArrayLike, translation: ArrayLike, valid: ArrayLike | None = None) -> Tokens:
        return self._encoded(rotations, translation, valid)[1]

    def latents(self, rotations: ArrayLike, translation: ArrayLike, valid: ArrayLike | None = None) -> Floats:
        return self._encoded(rotations, translation, valid)[0]

    def _encoded(self, rotations: ArrayLike, translation: ArrayLike, valid: ArrayLike | None) -> tuple[Floats, Tokens]:
        poses = numbers_of(rotations, "rotations", (None, len(self.joint_names), 3, 3))
        places = numbers_of(translation, "translation", (len(poses), 3))
        if valid is not None:
            raise InvalidInputError(f"bundle {self.bundle.name} takes no `valid`: it needs no padding; cut the motion")
        count = len(poses) // self.factor
        if not count:
            raise InvalidInputError(f"a motion of {len(poses)} frames is shorter than a token of {self.factor}")
        frames = frames_from_motion(poses, places, self.fps)
        arrays = self._encoder.arrays
        size = arrays["tokens"].shape[1]
        latents, tokens = [], []
        for start, skipped in _pieces(count, size, self.reach):
            part = frames[start * self.factor : min(start + size, count) * self.factor]
            arrays["frames"][0, : len(part)] = part
            arrays["frames"][0, len(part) :] = 0
            self._encoder.run()
            kept = slice(skipped, len(part) // self.factor)
            latents.append(arrays["latents"][0, kept].copy())
            tokens.append(arrays["tokens"][0, kept].copy())
        return np.concatenate(latents), np.concatenate(tokens)

    def frames_of(self, tokens: Tokens, first: int = 0) -> Floats:
        """Return the frames [(N - first) * factor, D] of tokens [N, books] from token ``first`` on."""
        arrays = self._decoder.arrays
        size = arrays["tokens"].shape[1]
        begin = max(0, first - self.reach)
        frames = []
        for start, skipped in _pieces(len(tokens) - begin, size, self.reach):
            part = tokens[begin + start : begin + start + size]
            arrays["tokens"][0, : len(part)] = part
            arrays["tokens"][0, len(part) :] = 0
            self._decoder.run()
            frames.append(arrays["frames"][0, skipped * self.factor : len(part) * self.factor].copy())
        return np.concatenate(frames)[(first - begin) * self.factor :]

    def decode(self, tokens: ArrayLike) -> Motion:
        frames = self.frames_of(tokens_of(tokens, self.books, self.codes, 1))
        return self._motion(*motion_from_frames(frames, self.fps, Heading()))

    def _motion(self, rotations: NDArray[np.float64], places: NDArray[np.float64]) -> Motion:
        return Motion(
            rotations.astype(np.float32), places.astype(np.float32), self.fps, self.joint_names, self.parents, self.up
        )

    # ----------------------------------------------------------------------------------------- tokens after tokens

    def memory(self) -> Memory:
        """Return the memory of an empty sequence."""
        return Memory(self._step.arrays["cache"].shape, self.books)

    def _advance(self, memory: Memory, label: Floats) -> None:
        """Compute what `_read` reads of the next token."""
        arrays = self._step.arrays
        if self._loaded is not memory:
            if self._loaded is not None:
                self._loaded.cache[...] = arrays["cache"]
            arrays["cache"][...] = memory.cache
            self._loaded = memory
        arrays["token"][0], arrays["place"][0], arrays["label"][0] = memory.token, memory.place, label
        self._step.run()
        ring = arrays["cache"].shape[-2]
        arrays["cache"][..., memory.place % ring, :] = arrays["row"][..., 0, :]
        self._read.arrays["hidden"][...] = arrays["hidden"]

    def _logits(self, token: Tokens) -> Floats:
        """Return the logits [books, C] of the next token's books, each given the codes of those before it."""
        self._read.arrays["token"][0, 0] = token
        self._read.run()
        logits: Floats = self._read.arrays["logits"][0, 0]
        return logits

    def feed(self, memory: Memory, tokens: Tokens, label: Floats) -> Floats:
        """Take tokens [N, books] into the memory; returns the logits [N, books, C] that they had."""
        logits = np.empty((len(tokens), self.books, self.codes), np.float32)
        for index, token in enumerate(tokens):
            self._advance(memory, label)
            logits[index] = self._logits(token)
            memory.take(token)
        return logits

    def draw(self, memory: Memory, label: Floats, sampler: Sampler) -> Tokens:
        """Draw the next token [books], one book after the other."""
        self._advance(memory, label)
        token = np.zeros(self.books, np.int64)
        for book in range(self.books):
            token[book] = sampler(self._logits(token)[book : book + 1])[0]
        memory.take(token)
        return token

    def label_weights(self, label: Label) -> Floats:
        return label_weights(label, self.labels, self.bundle.name)

    def logits(self, tokens: ArrayLike, label: Label = None, frames: int | None = None) -> Floats:
        self._check_frames(frames)
        given = tokens_of(tokens, self.books, self.codes, 0)
        weights, memory = self.label_weights(label), self.memory()
        before = self.feed(memory, given, weights)
        self._advance(memory, weights)
        token = np.zeros(self.books, np.int64)
        for book in range(self.books):
            following = self._logits(token)
            token[book] = following[book].argmax()
        return np.concatenate((before, following[None]))

    def sample(
        self, count: int, tokens: ArrayLike | None, label: Label, frames: int | None, sampler: Sampler
    ) -> Tokens:
        self._check_frames(frames)
        check_count_of(count)
        given = tokens_of(() if tokens is None else tokens, self.books, self.codes, 0)
        weights, memory = self.label_weights(label), self.memory()
        self.feed(memory, given, weights)
        return np.concatenate((given, [self.draw(memory, weights, sampler) for _ in range(count)]))

    def _check_frames(self, frames: int | None) -> None:
        if frames is not None:
            raise InvalidInputError(f"bundle {self.bundle.name} takes no duration: its motion has no end; leave it out")

    # ----------------------------------------------------------------------------------------- motion

    def check_duration(self, seconds: float) -> int:
        """Return the frames of a duration."""
        check_range(seconds, "seconds", 0.0, _LONGEST, above=True)
        return max(1, round(seconds * self.fps))

    def generate(
        self, samplers: list[Sampler], label: Label, seconds: float, observed: Motion | None
    ) -> Iterator[Motion]:
        """Yield a motion for each sampler."""
        self.label_weights(label)  # one that does not exist is refused first
        count = self.check_duration(seconds)
        for sampler in samplers:
            stream = StreamingStream(self, sampler, label, observed)
            frames = [next(stream) for _ in range(count)]
            yield Motion(
                np.stack([frame.rotations for frame in frames]),
                np.stack([frame.translation for frame in frames]),
                self.fps,
                self.joint_names,
                self.parents,
                self.up,
            )

    def stream(self, sampler: Sampler, label: Label, observed: Motion | None, ahead: int | None) -> StreamingStream:
        if ahead is not None:
            raise InvalidInputError(f"bundle {self.bundle.name} draws one token at a time; leave `ahead` out")
        return StreamingStream(self, sampler, label, observed)


class StreamingStream(FrameStream):
    """Generates frames for ever, a token at a time; open one with `PoseGPT.stream`.

    Attributes:
        label: what the motion is, from the next token on. What is remembered of earlier tokens stays as it was
            computed, with the label of then.
    """

    def __init__(self, networks: StreamingNetworks, sampler: Sampler, label: Label, observed: Motion | None) -> None:
        super().__init__(networks.fps)
        self._networks, self._sampler = networks, sampler
        self._label, self._weights = label, networks.label_weights(label)
        self._memory = networks.memory()
        self._tokens: deque[Tokens] = deque(maxlen=networks.reach + 1)
        self._heading = Heading()
        self._seam: Seam | None = None
        self._lift = 0.0  # m, by which what was seen was higher than the network's version
        if observed is not None:
            self._begin(observed)

    def _begin(self, observed: Motion) -> None:
        networks = self._networks
        rotations, translation = seen_by(networks, observed)
        count = min(len(rotations) // networks.factor, _SEEN)
        rotations, translation = rotations[-count * networks.factor :], translation[-count * networks.factor :]
        tokens = networks.encode(rotations, translation)
        networks.feed(self._memory, tokens, self._weights)
        self._tokens.extend(tokens)
        self._heading = Heading.of(rotations[-1, 0], translation[-1])
        version = networks.frames_of(tokens, len(tokens) - 1)[-1]
        seen = frames_from_motion(rotations[-1:], translation[-1:], networks.fps)[0]
        self._seam = Seam(_poses(seen[None])[0], _poses(version[None])[0])
        self._lift = float(seen[-4] - version[-4])

    @property
    def label(self) -> Label:
        return self._label

    @label.setter
    def label(self, label: Label) -> None:
        self._weights = self._networks.label_weights(label)
        self._label = label

    def _advance(self) -> None:
        """Generate the frames of another token."""
        networks = self._networks
        self._tokens.append(networks.draw(self._memory, self._weights, self._sampler))
        tokens = np.stack(self._tokens)
        frames = networks.frames_of(tokens, len(tokens) - 1).astype(np.float64)
        if self._seam is not None and self._index < LENGTH:
            shares = [self._seam.share(self._index + k) for k in range(len(frames))]
            frames[:, -4] += self._lift * np.array(shares)
            frames[:, :-4] = self._seam.apply(_poses(frames))[..., :2].reshape(len(frames), -1)
        rotations, places = motion_from_frames(frames, networks.fps, self._heading)
        turned = self._heading.angle + float(frames[:, -1].sum()) / networks.fps
        self._heading = Heading(float(np.remainder(turned + np.pi, 2 * np.pi) - np.pi), places[-1, [0, 2]])
        self._ready.extend(zip(rotations.astype(np.float32), places.astype(np.float32), strict=True))


def _poses(frames: NDArray[Any]) -> NDArray[np.float64]:
    """Return the rotations [T, J, 3, 3] of frames, the root's without its heading."""
    return matrices_from_6d(frames[:, :-4].reshape(len(frames), -1, 6), "rows")


def _pieces(count: int, size: int, reach: int) -> Iterator[tuple[int, int]]:
    """Yield (start, how many of it are known already) of pieces that cover ``count`` steps in order."""
    yield 0, 0
    done = size
    while done < count:
        yield done - reach, reach
        done += size - reach
