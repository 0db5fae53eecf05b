"""The networks of PoseGPT: motion to tokens and back, and tokens after tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Array, Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import PoseGptSettings
from humanrt.checks import MAX_ABS
from humanrt.errors import HumanrtError, InvalidInputError, choices
from humanrt.inference.bound_graph import BoundGraph
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.inference.model import Model
from humanrt.motion.motion import Motion
from humanrt.motion.sampling import Sampler, Sampling
from humanrt.resource import releasing

__all__ = ["Label", "PoseGptNetworks"]

Floats = NDArray[np.float32]
Tokens = NDArray[np.int64]

Label = str | Sequence[str] | ArrayLike | None
"""A label by its name, several names, or a weight for each of the bundle's labels (k-hot)."""


class PoseGptNetworks(Model):
    """Encode and decode motion, and continue sequences of tokens. `PoseGPT` is what users open.

    Args:
        bundle: name or folder of a bundle for the task ``posegpt``, or a loaded one.
        backend, execution: where and how the networks run; see `Execution`.

    Attributes:
        labels: names of the labels, in the order of a k-hot label; empty if the bundle takes none.
        joint_names, parents: of a pose.
        fps: frames per second.
        up: the world's axis that points up.
        factor: frames of a token.
        window: the largest number of tokens of a sequence.
        books, codes: number of books of a token, and of codes in each.
        durations: (shortest, longest) motion that the GPT was trained for, in frames.
        variant: ``causal``, ``online`` or ``offline``; see `PoseGptSettings`.
        tail: how many of a decoded sequence's last frames change when it goes on; of an ``online`` bundle no others do.
        generates: whether there is a GPT.

    Raises:
        BundleError, BackendError: the message says what is wrong and how to fix it.
    """

    NEEDS_OPEN: ClassVar[tuple[str, ...]] = ("encode", "latents", "decode", "logits", "sample")

    @releasing
    def __init__(
        self,
        bundle: Bundle | str | Path,
        backend: Execution | Backend | str = "cpu",
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        super().__init__(bundle, "posegpt", Execution.of(backend, execution))
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
        self,
        count: int,
        tokens: ArrayLike | None = None,
        label: Label = None,
        frames: int | None = None,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | tuple[int, ...] = 0,
    ) -> Tokens:
        """Return tokens [N + count, books]: those given, and as many more.

        Args:
            count: number of new tokens; with those given at most the window.
            tokens: [N, books]; None: from nothing.
            label, frames: as for `logits`.
            temperature, top_k, top_p: see `Sampling`; temperature 0 takes the most probable codes.
            seed: of the random numbers.
        """
        given = np.zeros((0, self.books), np.int64) if tokens is None else self._tokens(tokens, 0)
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise InvalidInputError(f"count must be a whole number above 0, not {str(count)[:40]!r}")
        if len(given) + count > self.window:
            raise InvalidInputError(
                f"{len(given)} tokens and {count} more are beyond the window of {self.window} tokens "
                f"({self.window * self.factor / self.fps:g} s); ask for fewer, or use `stream`"
            )
        sampler = Sampler(Sampling(temperature, top_k, top_p), seed)
        return self.sampled(int(count), given, self.conditions(label, frames), sampler)

    # ----------------------------------------------------------------------------------------- networks

    def _run_encoder(self, rotations: ArrayLike, translation: ArrayLike, valid: ArrayLike | None) -> None:
        poses = _numbers(rotations, "rotations", (None, len(self.joint_names), 3, 3))
        places = _numbers(translation, "translation", (len(poses), 3))
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
        """Check tokens [N, books]."""
        most = self.window if most is None else most
        array = np.asarray(tokens)
        if array.size == 0 and array.ndim <= 2 and least == 0:
            return np.zeros((0, self.books), np.int64)
        if array.ndim != 2 or array.shape[1] != self.books or array.dtype.kind not in "iu":
            raise InvalidInputError(
                f"tokens must be whole numbers [N, {self.books}], not {array.dtype} {list(array.shape)}"
            )
        if not least <= len(array) <= most:
            raise InvalidInputError(
                f"{len(array)} tokens are outside of the window of {least} to {most} tokens "
                f"({most * self.factor / self.fps:g} s); cut them"
            )
        if array.min(initial=0) < 0 or array.max(initial=0) >= self.codes:
            raise InvalidInputError(f"tokens must be from 0 to {self.codes - 1}: each book has {self.codes} codes")
        return array.astype(np.int64)

    def conditions(self, label: Label, frames: int | None) -> dict[str, Array]:
        """Return the GPT's inputs that tell label and duration."""
        gpt, _ = self.need_gpt()
        conditions: dict[str, Array] = {}
        weights = self._label(label)
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

    def _label(self, label: Label) -> Floats:
        """Return the weight of each label. InvalidInputError lists the labels."""
        weights = np.zeros(len(self.labels), np.float32)
        if label is None:
            return weights
        if not self.labels:
            raise InvalidInputError(f"bundle {self.bundle.name} takes no labels; leave the label out")
        names = [label] if isinstance(label, str) else label
        if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
            for name in names:
                if name not in self.labels:
                    raise InvalidInputError(f"no label `{str(name)[:60]}`; labels: {choices(self.labels)}")
                weights[self.labels.index(str(name))] = 1
            return weights
        return _numbers(label, f"a label as numbers ({choices(self.labels)})", weights.shape)


def _numbers(values: ArrayLike, name: str, shape: tuple[int | None, ...]) -> Floats:
    """Convert to float32. InvalidInputError for other shapes, and for what is no finite number."""
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty(0, object)
    wanted = ", ".join("T" if size is None else str(size) for size in shape)
    fits = array.ndim == len(shape) and all(
        size is None or size == found for size, found in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype.kind not in "biuf":
        raise InvalidInputError(f"{name} must be numbers [{wanted}], not {array.dtype} {list(array.shape)}")
    if array.size and not float(np.abs(array.astype(np.float64)).max()) <= MAX_ABS:  # NaN included
        raise InvalidInputError(f"{name} holds values that are not finite, or beyond 1e9")
    return array.astype(np.float32)
