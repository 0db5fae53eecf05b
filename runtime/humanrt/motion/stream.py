"""Endless motion, frame after frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import check_shapes
from humanrt.errors import InvalidInputError
from humanrt.geometry.rotation import between
from humanrt.motion.motion import Motion
from humanrt.motion.networks import Label, PoseGptNetworks
from humanrt.motion.sampling import Sampler

__all__ = ["MotionFrame", "MotionStream", "continued", "seen_by"]


Floats = NDArray[np.float32]

_SEAM = 8
"""Frames over which the first generated poses pass from the pose that was seen to the network's own."""


@dataclass(frozen=True)
class MotionFrame:
    """One frame of an endless motion.

    Attributes:
        index: number of the frame, from 0 on.
        t: s, index divided by the frame rate.
        rotations: [J, 3, 3]; see `Motion`.
        translation: [3] m.
    """

    index: int
    t: float
    rotations: Floats
    translation: Floats

    def __post_init__(self) -> None:
        check_shapes(self, rotations="float32 J 3 3", translation="float32 3")


class MotionStream(Iterator[MotionFrame]):
    """Generates frames for ever; open one with `PoseGPT.stream`.

    Positions of the published GPT end where its training did, so the stream goes on in windows: the last frames, as
    they were given out, are encoded again from the origin on, tokens are drawn behind them up to the window's end and
    decoded, and the new frames continue where the last one was. Of the last window only half a window's frames are
    kept: memory does not grow.

    Attributes:
        label: what the motion is, from the next window on, whose tokens are then all computed with it.
    """

    def __init__(
        self, networks: PoseGptNetworks, sampler: Sampler, label: Label, observed: Motion | None, ahead: int | None
    ) -> None:
        networks.need_gpt()
        self._networks, self._sampler, self._label = networks, sampler, label
        self._tokens = networks.durations[1] // networks.factor
        kept = self._tokens - (self._tokens + 1) // 2
        self._ahead = self._tokens - kept if ahead is None else ahead
        if isinstance(ahead, bool) or not isinstance(self._ahead, int) or not 1 <= self._ahead < self._tokens:
            raise InvalidInputError(
                f"ahead must be a whole number from 1 to {self._tokens - 1}, the tokens of a window, not "
                f"{str(ahead)[:40]!r}"
            )
        networks.conditions(label, networks.durations[1])  # a label that does not exist is refused now
        self._rotations: deque[Floats] = deque(maxlen=(self._tokens - self._ahead) * networks.factor)
        self._places: deque[NDArray[np.float64]] = deque(maxlen=self._rotations.maxlen)
        if observed is not None:
            rotations, translation = seen_by(networks, observed)
            self._rotations.extend(rotations)
            self._places.extend(translation.astype(np.float64))
        self._ready: deque[tuple[Floats, Floats]] = deque()
        self._index = 0

    @property
    def label(self) -> Label:
        return self._label

    @label.setter
    def label(self, label: Label) -> None:
        self._networks.conditions(label, self._networks.durations[1])
        self._label = label

    def __next__(self) -> MotionFrame:
        if not self._ready:
            self._advance()
        rotations, translation = self._ready.popleft()
        frame = MotionFrame(self._index, self._index / self._networks.fps, rotations, translation)
        self._index += 1
        return frame

    def _advance(self) -> None:
        """Generate the frames of another window."""
        networks = self._networks
        factor = networks.factor
        seen = len(self._rotations) // factor * factor
        tokens = np.zeros((0, networks.books), np.int64)
        if seen:
            rotations = np.stack(self._rotations)[-seen:]
            places = np.stack(self._places)[-seen:]
            tokens = networks.encode(rotations, places - places[0])
        conditions = networks.conditions(self._label, networks.durations[1])
        # From nothing, a whole window; its last frames change when it goes on, and are left to the next one.
        count = min(self._tokens - len(tokens), self._ahead + -(-networks.tail // factor))
        tokens = networks.sampled(count, tokens, conditions, self._sampler)
        rotations, deltas = networks.decoded(tokens)
        made = rotations[seen : max(seen + 1, len(rotations) - networks.tail)]
        positions = deltas[seen : seen + len(made)].astype(np.float64).cumsum(0)
        if seen:
            made = continued(made, self._rotations[-1], rotations[seen - 1])
            positions += self._places[-1]
        self._rotations.extend(made)
        self._places.extend(positions)
        self._ready.extend(zip(made, positions.astype(np.float32), strict=True))


def seen_by(networks: PoseGptNetworks, observed: Motion) -> tuple[Floats, Floats]:
    """Return rotations and translation of what was seen, with the bundle's joints."""
    if not isinstance(observed, Motion):
        raise InvalidInputError(f"observed must be a Motion, not {type(observed).__name__}")
    if observed.up != networks.up:
        raise InvalidInputError(
            f"observed has {observed.up} up, but bundle {networks.bundle.name} has {networks.up} up; turn it"
        )
    if abs(observed.fps - networks.fps) > 0.01 * networks.fps:
        raise InvalidInputError(f"observed has {observed.fps:g} frames per second; resample it to {networks.fps:g}")
    if len(observed) < networks.factor:
        raise InvalidInputError(f"observed has {len(observed)} frames; a token alone is {networks.factor}")
    rotations = observed.rotations
    if observed.joint_names != networks.joint_names:
        rotations = observed.with_joints(networks.joint_names)
    return rotations, observed.translation


def continued(made: Floats, seen: Floats, reconstructed: Floats) -> Floats:
    """Return generated rotations [T, J, 3, 3] that begin at the pose that was seen.

    Tokens hold what was seen only approximately. The difference between the pose [J, 3, 3] and the network's version
    of it is applied to what follows, less from frame to frame.
    """
    out = made.copy()
    difference = seen @ np.swapaxes(reconstructed, -1, -2)
    still = np.broadcast_to(np.eye(3), difference.shape)
    for frame in range(min(_SEAM, len(out))):
        share = (frame + 1) / (_SEAM + 1)
        out[frame] = between(difference, still, share) @ out[frame]
    return out
