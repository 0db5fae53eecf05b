"""PoseGPT: motion to tokens and back, generated from a label, from what was seen, or from nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle, load_bundle
from humanrt.bundle.settings import posegpt_model
from humanrt.errors import InvalidInputError
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.motion.arguments import Label
from humanrt.motion.motion import Motion
from humanrt.motion.published import PublishedNetworks, PublishedStream
from humanrt.motion.sampling import Sampler, Sampling
from humanrt.motion.streaming import StreamingNetworks, StreamingStream
from humanrt.resource import Owner, releasing

__all__ = ["POSEGPT", "PoseGPT"]

POSEGPT = "posegpt"
"""Name of the bundle that ships."""

Floats = NDArray[np.float32]
Tokens = NDArray[np.int64]
_MOST = 10_000  # motions of one call


class PoseGPT(Owner):
    """Encode, decode, continue and generate motion.

    >>> gpt = PoseGPT()                               # the bundle that ships, or PoseGPT("./posegpt")
    >>> motion = gpt.generate("walk", seconds=2.0, seed=1)

    Rotations and translations are in the axes of the bundle's training (`up` says which axis points up), with its
    joints (`joint_names`). Not thread-safe.

    Args:
        bundle: name or folder of a bundle for the task ``posegpt``, or a loaded one; without, the one that ships.
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

    NEEDS_OPEN = ("encode", "latents", "decode", "logits", "sample", "generate", "generate_several", "stream")

    @releasing
    def __init__(
        self,
        bundle: Bundle | str | Path = POSEGPT,
        backend: Execution | Backend | str = "cpu",
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        chosen = bundle if isinstance(bundle, Bundle) else load_bundle(bundle, task="posegpt")
        kind = StreamingNetworks if posegpt_model(chosen) == "streaming" else PublishedNetworks
        networks = self._networks = self.own(kind(chosen, Execution.of(backend, execution)))
        self.bundle, self.backend = networks.bundle, networks.backend
        self.labels, self.joint_names, self.parents = networks.labels, networks.joint_names, networks.parents
        self.fps, self.up, self.factor, self.window = networks.fps, networks.up, networks.factor, networks.window
        self.books, self.codes, self.durations = networks.books, networks.codes, networks.durations
        self.variant, self.tail, self.generates = networks.variant, networks.tail, networks.generates

    def encode(self, rotations: ArrayLike, translation: ArrayLike, valid: ArrayLike | None = None) -> Tokens:
        """Return the tokens [T // factor, books] of a motion.

        Frames that do not fill a token are dropped at the end.

        Args:
            rotations: [T, J, 3, 3], T at least factor, and at most window * factor.
            translation: [T, 3] m; only its change since the first frame counts.
            valid: bool [T], False where the motion repeats its last frame as padding, as the clips of the published
                training do; only for bundles of it.
        """
        return self._networks.encode(rotations, translation, valid)

    def latents(self, rotations: ArrayLike, translation: ArrayLike, valid: ArrayLike | None = None) -> Floats:
        """Return what `encode` quantises, [T // factor, numbers], the books' shares one after the other."""
        return self._networks.latents(rotations, translation, valid)

    def decode(self, tokens: ArrayLike) -> Motion:
        """Return the motion of tokens [N, books], at most the window: N * factor frames from the origin on."""
        return self._networks.decode(tokens)

    def logits(self, tokens: ArrayLike, label: Label = None, frames: int | None = None) -> Floats:
        """Return the logits [N + 1, books, codes] of every token, given those before it, and of the next.

        Where books are predicted one after the other (`variant` is ``streaming``), each is given those before it; of
        the next token those are the most probable ones.

        Args:
            tokens: [N, books], N below the window.
            label: what the motion is; None: no label.
            frames: duration of the whole motion; None: the longest that the GPT was trained for. Only for bundles of
                the published training.
        """
        return self._networks.logits(tokens, label, frames)

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
        sampler = Sampler(Sampling(temperature, top_k, top_p), seed)
        return self._networks.sample(count, tokens, label, frames, sampler)

    def generate(
        self,
        label: Label = None,
        seconds: float = 2.0,
        observed: Motion | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 0,
        *,
        top_p: float | None = None,
    ) -> Motion:
        """Return a new motion, or what comes after one that was seen.

        Args:
            label: what the motion is; see `Label`. None: anything.
            seconds: duration of the new motion; with what was seen within `durations`.
            observed: what was seen so far, at the bundle's frame rate; of a longer one its end is used. The new motion
                begins one frame after it, where it ended. Joints are mapped by their names.
            temperature, top_k, top_p: see `Sampling`.
            seed: the same seed gives the same motion on one backend.

        Raises:
            InvalidInputError: a duration outside of the trained window, a label that does not exist, another skeleton.
        """
        (motion,) = self.generate_several(1, label, seconds, observed, temperature, top_k, seed, top_p=top_p)
        return motion

    def generate_several(
        self,
        samples: int,
        label: Label = None,
        seconds: float = 2.0,
        observed: Motion | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 0,
        *,
        top_p: float | None = None,
    ) -> list[Motion]:
        """Return several motions; the first is that of `generate`, for the same seed. See there."""
        if isinstance(samples, bool) or not isinstance(samples, int | np.integer) or not 1 <= samples <= _MOST:
            raise InvalidInputError(f"samples must be a whole number from 1 to {_MOST}, not {str(samples)[:40]!r}")
        sampling = Sampling(temperature, top_k, top_p)
        samplers = [Sampler(sampling, (seed, index) if index else seed) for index in range(samples)]
        made: Iterator[Motion] = self._networks.generate(samplers, label, seconds, observed)
        return list(made)

    def stream(
        self,
        observed: Motion | None = None,
        label: Label = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 0,
        *,
        top_p: float | None = None,
        ahead: int | None = None,
    ) -> PublishedStream | StreamingStream:
        """Return an iterator of frames without end, after what was seen or from nothing.

        Args:
            observed: as for `generate`.
            label: what the motion is; may be changed on the way: the iterator's attribute ``label``.
            temperature, top_k, top_p, seed: as for `generate`.
            ahead: tokens that are drawn at a time; fewer react sooner to another label, and cost more. None: half a
                window. Only for bundles of the published training; ours draw one at a time.
        """
        return self._networks.stream(Sampler(Sampling(temperature, top_k, top_p), seed), label, observed, ahead)
