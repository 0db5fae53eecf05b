"""PoseGPT: motion to tokens and back, generated from a label, from what was seen, or from nothing."""

from __future__ import annotations

import numpy as np

from humanrt.checks import check_range
from humanrt.errors import InvalidInputError
from humanrt.motion.motion import Motion
from humanrt.motion.networks import Label, PoseGptNetworks
from humanrt.motion.sampling import Sampler, Sampling
from humanrt.motion.stream import MotionStream, continued, seen_by

__all__ = ["PoseGPT"]


class PoseGPT(PoseGptNetworks):
    """Encode, decode, continue and generate motion.

    >>> gpt = PoseGPT("./posegpt")                    # made by `humanrt-export posegpt`
    >>> motion = gpt.generate("walk", seconds=2.0, seed=1)

    Rotations and translations are in the axes of the bundle's training (`up` says which axis points up), with its
    joints (`joint_names`). Not thread-safe.

    It opens like any model, and has the attributes of `PoseGptNetworks`.
    """

    NEEDS_OPEN = ("generate", "generate_several", "stream")

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
        if isinstance(samples, bool) or not isinstance(samples, int | np.integer) or not 1 <= samples <= 10_000:
            raise InvalidInputError(f"samples must be a whole number from 1 to 10000, not {str(samples)[:40]!r}")
        self.need_gpt()
        low, high = self.durations
        check_range(seconds, "seconds", 0.0, 1e9, above=True)
        new = max(1, round(seconds * self.fps))
        sampling = Sampling(temperature, top_k, top_p)
        samplers = [Sampler(sampling, (seed, index) if index else seed) for index in range(samples)]
        self.conditions(label, None)  # a label that does not exist is refused first
        context = np.zeros((0, self.books), np.int64)
        if observed is not None:
            rotations, translation = seen_by(self, observed)
            room = (high - -(-new // self.factor) * self.factor) // self.factor
            if room < 1:
                raise InvalidInputError(
                    f"{seconds:g} s after what was seen are beyond the trained window of {high / self.fps:g} s, of "
                    f"which at least {self.factor / self.fps:g} s are for what was seen; ask for less, or use `stream`"
                )
            count = min(room, len(rotations) // self.factor)
            rotations, translation = rotations[-count * self.factor :], translation[-count * self.factor :]
            context = self.encode(rotations, translation)
        frames = len(context) * self.factor + new
        if not low <= frames <= high and (observed is None or frames > high):
            raise InvalidInputError(
                f"{seconds:g} s ({new} frames) are outside of the trained window of {low / self.fps:g} to "
                f"{high / self.fps:g} s ({low} to {high} frames); ask for a duration within, or use `stream`"
            )
        conditions = self.conditions(label, max(low, frames))
        count = -(-new // self.factor)
        motions = []
        for sampler in samplers:
            tokens = self.sampled(count, context, conditions, sampler)
            made, deltas = self.decoded(tokens)
            first = len(context) * self.factor
            positions = deltas[first : first + new].astype(np.float64).cumsum(0)
            poses = made[first : first + new]
            if observed is not None:
                positions += translation[-1]
                poses = continued(poses, rotations[-1], made[first - 1])
            motions.append(self.motion(poses, positions))
        return motions

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
    ) -> MotionStream:
        """Return an iterator of frames without end, after what was seen or from nothing.

        Args:
            observed: as for `generate`.
            label: what the motion is; may be changed on the way (`MotionStream.label`).
            temperature, top_k, top_p, seed: as for `generate`.
            ahead: tokens that are drawn at a time; fewer react sooner to another label, and cost more. None: half a
                window.
        """
        return MotionStream(self, Sampler(Sampling(temperature, top_k, top_p), seed), label, observed, ahead)
