"""The networks of our own PoseGPT: any length, step by step, with a memory of fixed size."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
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
from humanrt.motion.stepped_gpt import Memory, SteppedGpt
from humanrt.resource import releasing

__all__ = ["StreamingNetworks", "StreamingStream"]

Floats = NDArray[np.float32]
Tokens = NDArray[np.int64]

_LONGEST = 3600.0
"""s, longest motion made at once; `stream` has no end."""
_SEEN = 96
"""Tokens of what was seen that are read at most; the GPT looks back less far."""


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
        self.gpt = self._opened("")
        self._several: SteppedGpt | None = None  # opened when it is needed first

    def _opened(self, ending: str) -> SteppedGpt:
        step, read = (self.bundle.graph(f"{name}{ending}") for name in ("gpt_step", "gpt_books"))
        return self.own(SteppedGpt(self.backend, step, read))

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

    def label_weights(self, label: Label) -> Floats:
        return label_weights(label, self.labels, self.bundle.name)

    def logits(self, tokens: ArrayLike, label: Label = None, frames: int | None = None) -> Floats:
        self._check_frames(frames)
        given = tokens_of(tokens, self.books, self.codes, 0)
        weights, memory = self.label_weights(label), self.gpt.memory()
        before = self.gpt.feed(memory, given, weights)
        self.gpt.advance(memory, weights)
        token = np.zeros(self.books, np.int64)
        for book in range(self.books):
            following = self.gpt.logits(token)[0]
            token[book] = following[book].argmax()
        return np.concatenate((before, following[None]))

    def sample(
        self, count: int, tokens: ArrayLike | None, label: Label, frames: int | None, sampler: Sampler
    ) -> Tokens:
        self._check_frames(frames)
        check_count_of(count)
        given = tokens_of(() if tokens is None else tokens, self.books, self.codes, 0)
        weights, memory = self.label_weights(label), self.gpt.memory()
        self.gpt.feed(memory, given, weights)
        return np.concatenate((given, *(self.gpt.draw(memory, weights, [sampler]) for _ in range(count))))

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
        weights = self.label_weights(label)  # one that does not exist is refused first
        count = self.check_duration(seconds)
        start = self.start(observed, weights)
        for tokens in self._drawn(samplers, start, weights, -(-count // self.factor)):
            frames = self.frames_of(np.concatenate((start.tokens, tokens)), len(start.tokens))[:count]
            yield self._motion(*motion_from_frames(Join(start).apply(frames), self.fps, start.heading))

    def _drawn(self, samplers: list[Sampler], start: Start, weights: Floats, count: int) -> Iterator[Tokens]:
        """Yield so many tokens [count, books] for each sampler; several are drawn at once."""
        done = 0
        while done < len(samplers):
            gpt = self.gpt
            if len(samplers) - done > 1:
                self._several = gpt = self._several or self._opened("_several")
            group = samplers[done : done + gpt.rows]
            others = [Sampler(group[0].sampling)] * (gpt.rows - len(group))  # whose sequences nobody asked for
            memory = start.memory.repeated(gpt.rows)
            tokens = np.stack([gpt.draw(memory, weights, group + others) for _ in range(count)], axis=1)
            yield from tokens[: len(group)]
            done += len(group)

    def start(self, observed: Motion | None, weights: Floats) -> Start:
        """Return where motions begin: after what was seen, or from nothing."""
        memory = self.gpt.memory()
        if observed is None:
            return Start(memory, np.zeros((0, self.books), np.int64), Heading())
        rotations, translation = seen_by(self, observed)
        count = min(len(rotations) // self.factor, _SEEN)
        rotations, translation = rotations[-count * self.factor :], translation[-count * self.factor :]
        tokens = self.encode(rotations, translation)
        self.gpt.feed(memory, tokens, weights)
        seen = frames_from_motion(rotations[-2:], translation[-2:], self.fps)[-1].astype(np.float64)
        version = self.frames_of(tokens, len(tokens) - 1)[-1].astype(np.float64)
        heading = Heading.of(rotations[-1, 0], translation[-1])
        return Start(self.gpt.kept(memory), tokens[-self.reach :], heading, seen, version)

    def stream(self, sampler: Sampler, label: Label, observed: Motion | None, ahead: int | None) -> StreamingStream:
        if ahead is not None:
            raise InvalidInputError(f"bundle {self.bundle.name} draws one token at a time; leave `ahead` out")
        return StreamingStream(self, sampler, label, self.start(observed, self.label_weights(label)))


@dataclass(frozen=True)
class Start:
    """Where motions begin.

    Attributes:
        memory: of one sequence, what was seen; read only.
        tokens: [N, books] the last tokens of what was seen, as many as the decoder looks back.
        heading: where it ended.
        seen: [D] its last frame; None: nothing was seen.
        version: [D] the same as its tokens decode to.
    """

    memory: Memory
    tokens: Tokens
    heading: Heading
    seen: NDArray[np.float64] | None = None
    version: NDArray[np.float64] | None = None


class Join:
    """Makes the frames of one motion go on from its start: pose, height and speeds fade to the network's own."""

    def __init__(self, start: Start) -> None:
        self._index = 0
        self._seam: Seam | None = None
        if start.seen is not None and start.version is not None:
            self._seam = Seam(_poses(start.seen[None])[0], _poses(start.version[None])[0])
            self._difference = start.seen[-4:] - start.version[-4:]

    def apply(self, frames: Floats) -> NDArray[np.float64]:
        """Return the next frames [T, D], which follow those of the last call."""
        out = frames.astype(np.float64)
        if self._seam is not None and self._index < LENGTH:
            count = min(len(out), LENGTH - self._index)
            shares = np.array([self._seam.share(self._index + k) for k in range(count)])
            out[:count, -4:] += shares[:, None] * self._difference
            out[:count, :-4] = self._seam.apply(_poses(out[:count]))[..., :2].reshape(count, -1)
        self._index += len(out)
        return out


class StreamingStream(FrameStream):
    """Generates frames for ever, a token at a time; open one with `PoseGPT.stream`.

    Attributes:
        label: what the motion is, from the next token on. What is remembered of earlier tokens stays as it was
            computed, with the label of then.
    """

    def __init__(self, networks: StreamingNetworks, sampler: Sampler, label: Label, start: Start) -> None:
        super().__init__(networks.fps)
        self._networks, self._sampler = networks, sampler
        self._label, self._weights = label, networks.label_weights(label)
        self._memory = start.memory
        self._tokens: deque[Tokens] = deque(start.tokens, maxlen=networks.reach + 1)
        self._heading, self._join = start.heading, Join(start)

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
        (token,) = networks.gpt.draw(self._memory, self._weights, [self._sampler])
        self._tokens.append(token)
        tokens = np.stack(self._tokens)
        frames = self._join.apply(networks.frames_of(tokens, len(tokens) - 1))
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
