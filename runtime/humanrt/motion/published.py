"""The networks of the published PoseGPT: windows of tokens with absolute positions and durations."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Array
from humanrt.bundle import Bundle
from humanrt.bundle.settings import PoseGptSettings
from humanrt.checks import check_range
from humanrt.errors import HumanrtError, InvalidInputError
from humanrt.inference.bound_graph import BoundGraph
from humanrt.inference.execution import Execution
from humanrt.inference.model import Model
from humanrt.motion.arguments import Label, check_count_of, label_weights, numbers_of, tokens_of
from humanrt.motion.frame_stream import FrameStream
from humanrt.motion.motion import Motion
from humanrt.motion.sampling import Sampler
from humanrt.motion.seam import Seam, seen_by
from humanrt.resource import releasing

__all__ = ["PublishedNetworks", "PublishedStream"]

Floats = NDArray[np.float32]
Tokens = NDArray[np.int64]


class PublishedNetworks(Model):
    """Opens a bundle of a published checkpoint; `PoseGPT` is what users open."""

    @releasing
    def __init__(self, bundle: Bundle, execution: Execution) -> None:
        super().__init__(bundle, "posegpt", execution)
        settings = PoseGptSettings.of(self.bundle)
        self.labels, self.joint_names, self.parents = settings.labels, settings.joints, settings.parents
        self.fps, self.up, self.factor, self.window = settings.clock_hz, settings.up, settings.factor, settings.window
        self.books, self.codes, self.durations = settings.books, settings.codes, settings.durations
        self.variant, self.tail, self.generates = settings.variant, settings.tail, settings.generates
        self._encoder = self.own(BoundGraph(self.backend, self.bundle.graph("encoder")))
        self._decoder = self.own(BoundGraph(self.backend, self.bundle.graph("decoder")))
        self._gpt: BoundGraph | None = None
        self._step: BoundGraph | None = None
        if settings.generates:
            self._gpt = self.own(BoundGraph(self.backend, self.bundle.graph("gpt")))
            self._step = self.own(BoundGraph(self.backend, self.bundle.graph("gpt_step")))

    # ----------------------------------------------------------------------------------------- tokens

    def encode(self, rotations: ArrayLike, translation: ArrayLike, valid: ArrayLike | None = None) -> Tokens:
        """Return the tokens [T // factor, books] of a motion.

        Frames that do not fill a token are dropped at the end.

        Args:
            rotations: [T, J, 3, 3], T from factor to window * factor.
            translation: [T, 3] m; only its change since the first frame counts.
            valid: bool [T], False where the motion repeats its last frame as padding, as the training's clips do.
        """
        self._run_encoder(rotations, translation, valid)
        count = np.shape(rotations)[0] // self.factor
        tokens: Tokens = self._encoder.arrays["tokens"][0, :count].copy()
        return tokens

    def latents(self, rotations: ArrayLike, translation: ArrayLike, valid: ArrayLike | None = None) -> Floats:
        """Return what `encode` quantises, [T // factor, numbers], the books' shares one after the other."""
        self._run_encoder(rotations, translation, valid)
        count = np.shape(rotations)[0] // self.factor
        latents: Floats = self._encoder.arrays["latents"][0, :count].copy()
        return latents

    def decode(self, tokens: ArrayLike) -> Motion:
        """Return the motion of tokens [N, books], N from 1 to the window: N * factor frames from the origin on."""
        rotations, deltas = self.decoded(self._tokens(tokens, 1))
        return self.motion(rotations, deltas.cumsum(0, dtype=np.float32))

    def logits(self, tokens: ArrayLike, label: Label = None, frames: int | None = None) -> Floats:
        """Return the logits [N + 1, books, codes] of every token, given those before it, and of the next.

        Args:
            tokens: [N, books], N below the window.
            label: what the motion is; None: no label.
            frames: duration of the whole motion; None: the longest that the GPT was trained for.
        """
        given = self._tokens(tokens, 0, self.window - 1)
        conditions = self.conditions(label, frames)
        logits: Floats = self._prefill(given, conditions)["logits"][0, : len(given) + 1].copy()
        return logits

    def sample(
        self, count: int, tokens: ArrayLike | None, label: Label, frames: int | None, sampler: Sampler
    ) -> Tokens:
        given = np.zeros((0, self.books), np.int64) if tokens is None else self._tokens(tokens, 0)
        check_count_of(count)
        if len(given) + count > self.window:
            raise InvalidInputError(
                f"{len(given)} tokens and {count} more are beyond the window of {self.window} tokens "
                f"({self.window * self.factor / self.fps:g} s); ask for fewer, or use `stream`"
            )
        return self.sampled(int(count), given, self.conditions(label, frames), sampler)

    # ----------------------------------------------------------------------------------------- motion

    def generate(
        self, samplers: list[Sampler], label: Label, seconds: float, observed: Motion | None
    ) -> Iterator[Motion]:
        """Yield a motion for each sampler."""
        self.need_gpt()
        self.conditions(label, None)  # a label that does not exist is refused first
        check_range(seconds, "seconds", 0.0, 1e9, above=True)
        low, high = self.durations
        new = max(1, round(seconds * self.fps))
        count = -(-new // self.factor)
        context = np.zeros((0, self.books), np.int64)
        if observed is not None:
            rotations, translation = seen_by(self, observed)
            room = (high - count * self.factor) // self.factor
            if room < 1:
                raise InvalidInputError(
                    f"{seconds:g} s after what was seen are beyond the trained window of {high / self.fps:.3g} s, of "
                    f"which at least {self.factor / self.fps:.2g} s are for what was seen; ask for less, or `stream`"
                )
            used = min(room, len(rotations) // self.factor)
            rotations, translation = rotations[-used * self.factor :], translation[-used * self.factor :]
            context = self.encode(rotations, translation)
        first = len(context) * self.factor
        if first + new > high or (observed is None and new < low):
            raise InvalidInputError(
                f"{seconds:g} s ({new} frames) are outside of the trained window of {low / self.fps:.3g} to "
                f"{high / self.fps:.3g} s ({low} to {high} frames); ask for a duration within, or use `stream`"
            )
        conditions = self.conditions(label, max(low, first + new))
        for sampler in samplers:
            made, deltas = self.decoded(self.sampled(count, context, conditions, sampler))
            positions = deltas[first : first + new].astype(np.float64).cumsum(0)
            poses = made[first : first + new]
            if observed is not None:
                positions += translation[-1]
                poses = Seam(rotations[-1], made[first - 1]).apply(poses)
            yield self.motion(poses, positions)

    def stream(self, sampler: Sampler, label: Label, observed: Motion | None, ahead: int | None) -> PublishedStream:
        """Return frames without end."""
        return PublishedStream(self, sampler, label, observed, ahead)

    # ----------------------------------------------------------------------------------------- networks

    def _run_encoder(self, rotations: ArrayLike, translation: ArrayLike, valid: ArrayLike | None) -> None:
        poses = numbers_of(rotations, "rotations", (None, len(self.joint_names), 3, 3))
        places = numbers_of(translation, "translation", (len(poses), 3))
        if not self.factor <= len(poses) <= self.window * self.factor:
            raise InvalidInputError(
                f"a motion of {len(poses)} frames is outside of the window of {self.factor} to "
                f"{self.window * self.factor} frames ({self.window * self.factor / self.fps:g} s); cut it"
            )
        count = len(poses) // self.factor * self.factor
        arrays = self._encoder.arrays
        arrays["motion"][0, :count] = np.concatenate(
            (poses[:count, :, :, :2].reshape(count, -1), places[:count] - places[:1]), axis=1
        )
        arrays["motion"][0, count:] = 0
        arrays["present"][0] = np.arange(arrays["present"].shape[1]) < count
        arrays["valid"][0] = arrays["present"][0]
        if valid is not None:
            there = np.asarray(valid)
            if there.shape != (len(poses),) or not np.isin(there, (0, 1)).all() or not there[0]:
                raise InvalidInputError(f"valid must be bool [{len(poses)}] and begin with True")
            arrays["valid"][0, :count] = there[:count]
        self._encoder.run()

    def decoded(self, tokens: Tokens) -> tuple[Floats, Floats]:
        """Return rotations [N * factor, J, 3, 3] and the translation's differences [N * factor, 3] m."""
        arrays = self._decoder.arrays
        arrays["tokens"][0, : len(tokens)] = tokens
        arrays["tokens"][0, len(tokens) :] = 0
        arrays["present"][0] = np.arange(self.window) < len(tokens)
        self._decoder.run()
        frames = len(tokens) * self.factor
        return arrays["rotations"][0, :frames].copy(), arrays["deltas"][0, :frames].copy()

    def _prefill(self, tokens: Tokens, conditions: dict[str, Array]) -> dict[str, Array]:
        gpt, _ = self.need_gpt()
        gpt.arrays["tokens"][0, : len(tokens)] = tokens
        gpt.arrays["tokens"][0, len(tokens) :] = 0
        for name, value in conditions.items():
            gpt.arrays[name][...] = value
        gpt.run()
        return gpt.arrays

    def sampled(self, count: int, given: Tokens, conditions: dict[str, Array], sampler: Sampler) -> Tokens:
        """Return the given tokens and ``count`` more."""
        _, step = self.need_gpt()
        tokens = np.concatenate((given, np.zeros((count, self.books), np.int64)))
        cache, position = step.arrays["cache"], step.arrays["position"]
        for name, value in conditions.items():
            step.arrays[name][...] = value
        start = len(given)
        if start:
            whole = self._prefill(given, conditions)
            # Row `start` was computed without its token's successor, so it is right too: its logits draw the first.
            cache[..., : start + 1, :] = whole["cache"][..., : start + 1, :]
            tokens[start] = sampler(whole["logits"][0, start])
            start += 1
        for place in range(start, len(tokens)):
            step.arrays["token"][0] = tokens[place - 1] if place else 0
            position[0] = place
            step.run()
            cache[..., place : place + 1, :] = step.arrays["row"]
            tokens[place] = sampler(step.arrays["logits"][0, 0])
        return tokens

    def motion(self, rotations: Floats, positions: NDArray[Any]) -> Motion:
        """Return a motion with the bundle's joints."""
        return Motion(
            np.ascontiguousarray(rotations, np.float32),
            positions.astype(np.float32),
            self.fps,
            self.joint_names,
            self.parents,
            self.up,
        )

    # ----------------------------------------------------------------------------------------- arguments

    def need_gpt(self) -> tuple[BoundGraph, BoundGraph]:
        """Return the graphs of the GPT: of whole sequences, and of a step. HumanrtError if there is none."""
        if self._gpt is None or self._step is None:
            raise HumanrtError(
                f"bundle {self.bundle.path} holds an auto-encoder without a GPT: it encodes and decodes, and generates "
                "nothing; export the checkpoint of the GPT, which holds both"
            )
        return self._gpt, self._step

    def _tokens(self, tokens: ArrayLike, least: int, most: int | None = None) -> Tokens:
        most = self.window if most is None else most
        return tokens_of(tokens, self.books, self.codes, least, most, self.factor / self.fps)

    def conditions(self, label: Label, frames: int | None) -> dict[str, Array]:
        """Return the GPT's inputs that tell label and duration."""
        gpt, _ = self.need_gpt()
        conditions: dict[str, Array] = {}
        weights = label_weights(label, self.labels, self.bundle.name)
        if self.labels:
            conditions["label"] = weights[None]
        if "duration" in gpt.arrays:
            low, high = self.durations
            frames = high if frames is None else frames
            if isinstance(frames, bool) or not isinstance(frames, int | np.integer) or not low <= frames <= high:
                raise InvalidInputError(
                    f"frames is {str(frames)[:40]}; the GPT was trained for {low} to {high} frames "
                    f"({low / self.fps:.2g} to {high / self.fps:.3g} s)"
                )
            conditions["duration"] = np.array([frames], np.int64)
        return conditions


class PublishedStream(FrameStream):
    """Generates frames for ever; open one with `PoseGPT.stream`.

    Positions of the published GPT end where its training did. Where a window is full, the stream goes on in another:
    the last frames, as they were given out, are encoded again from the origin on, and tokens are drawn behind them.
    New frames continue where the last one was. Only half a window of frames is kept: memory does not grow.

    A decoder that sees all tokens changes frames that were given out already when there are more; new frames then
    continue the pose that was given out. Of ``online`` bundles no such frame changes, for the last ones are held back.

    Attributes:
        label: what the motion is, from the next tokens on; those before them are then computed with it again.
    """

    def __init__(
        self, networks: PublishedNetworks, sampler: Sampler, label: Label, observed: Motion | None, ahead: int | None
    ) -> None:
        super().__init__(networks.fps)
        networks.need_gpt()
        self._networks, self._sampler, self._label = networks, sampler, label
        self._size = networks.durations[1] // networks.factor
        held = -(-networks.tail // networks.factor)  # tokens whose frames are not final yet
        most = self._size - 1 - held
        self._ahead = max(1, self._size // 2 - held) if ahead is None else ahead
        if isinstance(ahead, bool) or not isinstance(self._ahead, int) or not 1 <= self._ahead <= max(1, most):
            raise InvalidInputError(
                f"ahead must be a whole number from 1 to {max(1, most)}, of the {self._size} tokens of a window, not "
                f"{str(ahead)[:40]!r}"
            )
        networks.conditions(label, networks.durations[1])  # a label that does not exist is refused now
        self._held = held
        kept = max(1, min(self._size // 2, self._size - self._ahead - held))
        self._rotations: deque[Floats] = deque(maxlen=kept * networks.factor)
        self._places: deque[NDArray[np.float64]] = deque(maxlen=self._rotations.maxlen)
        self._tokens: Tokens = np.zeros((0, networks.books), np.int64)
        self._given = 0  # frames of this window that were given out, or seen
        if observed is not None:
            rotations, translation = seen_by(networks, observed)
            self._rotations.extend(rotations)
            self._places.extend(translation.astype(np.float64))
            self._begin_window()

    @property
    def label(self) -> Label:
        return self._label

    @label.setter
    def label(self, label: Label) -> None:
        self._networks.conditions(label, self._networks.durations[1])
        self._label = label

    def _begin_window(self) -> None:
        """Encode the last frames as the beginning of another window."""
        count = len(self._rotations) // self._networks.factor * self._networks.factor
        places = np.stack(self._places)[-count:]
        self._tokens = self._networks.encode(np.stack(self._rotations)[-count:], places - places[0])
        self._given = count

    def _advance(self) -> None:
        """Generate the frames of some more tokens."""
        networks = self._networks
        if len(self._tokens) + self._ahead > self._size:
            self._begin_window()
        # As many more frames as `ahead` tokens have, behind which those are held back that are not final.
        wanted = -(-(self._given + networks.tail) // networks.factor) + self._ahead
        count = max(1, min(wanted, self._size) - len(self._tokens))
        conditions = networks.conditions(self._label, networks.durations[1])
        self._tokens = networks.sampled(count, self._tokens, conditions, self._sampler)
        rotations, deltas = networks.decoded(self._tokens)
        start, stop = self._given, max(self._given + 1, len(rotations) - networks.tail)
        made = rotations[start:stop]
        positions = deltas[start:stop].astype(np.float64).cumsum(0)
        if start:
            made = Seam(self._rotations[-1], rotations[start - 1]).apply(made)
            positions += self._places[-1]
        self._given = stop
        self._rotations.extend(made)
        self._places.extend(positions)
        self._ready.extend(zip(made, positions.astype(np.float32), strict=True))
