"""PoseBERT for people of single frames: the body's rotations by a network that has seen how people move.

Where somebody is, and everything that is not the body's 22 rotations, stays with `OneEuroPeople`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.checks import check_range
from humanrt.errors import BundleError
from humanrt.geometry.skeleton import SMPL_24, SMPLX_BODY
from humanrt.inference.execution import Execution
from humanrt.people.body_turns import BodyTurns
from humanrt.people.results import People
from humanrt.people.smoother import OneEuroPeople, PeopleSmootherOptions, SmoothedPeople
from humanrt.people.tracking import Identities
from humanrt.posebert.stream import Observation, PoseBERTStream

__all__ = ["POSES", "PoseBertPeople"]

POSES = "posebert-people"
"""The bundle that takes and returns the body's rotations."""

_AHEAD = 0.4  # s for which the network predicts motion; then people stay as they are
_BODY = len(SMPLX_BODY)


class PoseBertPeople(OneEuroPeople):
    """Smooth, fill in and predict people: the body's rotations by PoseBERT, all else by One-Euro.

    >>> smoother = PoseBertPeople(bones, len(bones))          # those of the model's rotations
    >>> smoothed = smoother(people, tracker(people, t), t, size)

    Args:
        bones: names of the model's rotations, Anny's or SMPL-X's; None: SMPL-X's.
        count: how many rotations there are.
        model: name or folder of a PoseBERT bundle from body rotations to body rotations, ours or of the published
            weights for SMPL, or a loaded one.
        options: see `PeopleSmootherOptions`; ``rotations`` are those that the network does not give.
        share: part of the way, 0..1, from One-Euro's rotations of the body to the network's.
        backend: where the network runs; None: a CPU.

    Raises:
        SkeletonError: the rotations are neither Anny's nor SMPL-X's.
        BundleError: the bundle is not there, or not from body rotations to body rotations.
    """

    name = "posebert"

    def __init__(
        self,
        bones: Sequence[str] | None,
        count: int,
        model: Bundle | str | Path = POSES,
        options: PeopleSmootherOptions | None = None,
        *,
        share: float = 1.0,
        backend: Execution | Backend | str | None = None,
    ) -> None:
        check_range(share, "share", 0.0, 1.0)
        self._turns, self._share = BodyTurns(bones, count), share
        fill = (PeopleSmootherOptions() if options is None else options).fill_seconds
        self._stream = PoseBERTStream(model, fill=fill, ahead=_AHEAD, backend=backend)
        try:
            if self._stream.points or self._stream.joints not in (SMPL_24, SMPLX_BODY):
                raise BundleError(
                    f"bundle {self._stream.bundle.path} does not fit: it is not from the rotations of SMPL's or "
                    "SMPL-X's body to such rotations"
                )
            super().__init__(options)
        except BaseException:
            self._stream.close()
            raise

    def close(self) -> None:
        """Free the network."""
        self._stream.close()
        super().close()

    def reset(self) -> None:
        """Forget all identities, and the camera."""
        super().reset()
        self._stream.reset()

    def __call__(
        self, people: People, identities: Identities, t: float, size: tuple[int, int], *, cut: bool = False
    ) -> SmoothedPeople:
        """Return the people of one frame, smoothed, and those whom it missed; arguments as for `OneEuroPeople`."""
        smoothed = super().__call__(people, identities, t, size, cut=cut)
        body = self._turns.read(people.rotations)
        missing = len(self._stream.joints) - _BODY  # SMPL's hands, which turn with the wrists
        body = np.concatenate([body, np.broadcast_to(np.eye(3), (len(body), missing, 3, 3))], axis=1)
        seen = {
            id: Observation(one, float(np.clip(score, 0.0, 1.0)))
            for id, one, score in zip(identities.ids, body, people.scores, strict=True)
        }
        poses = self._stream.update(t, seen, identities.lost)
        self._last = self._turned(smoothed, {id: pose.rotations for id, pose in poses.items()})
        return self._last

    def predicted(self, t: float) -> SmoothedPeople:
        """Return the people of the last frame as they will be at ``t`` s; see `OneEuroPeople.predicted`."""
        smoothed = super().predicted(t)
        return self._turned(smoothed, self._stream.rotations_at(t))

    def _turned(self, smoothed: SmoothedPeople, poses: Mapping[int, NDArray[Any]]) -> SmoothedPeople:
        """Return people with the rotations of the poses, where there are some."""
        known = [i for i, id in enumerate(smoothed.ids) if id in poses]
        if not known:
            return smoothed
        rotations = smoothed.people.rotations.copy()
        body = np.stack([poses[smoothed.ids[i]][:_BODY] for i in known])
        rotations[known] = self._turns.replaced(rotations[known], body, self._share)
        return replace(smoothed, people=replace(smoothed.people, rotations=rotations))
