"""Forecaster: what each person of a stream does next, several times, by PoseGPT."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import check_count, check_range
from humanrt.errors import HumanrtError, choices
from humanrt.geometry.skeleton import SMPLX_BODY, SkeletonError
from humanrt.motion.observed import CAMERA_UP, on_floor, resampled, smpl_rotations
from humanrt.motion.posegpt import PoseGPT
from humanrt.motion.rest import joint_positions
from humanrt.people.pipeline import PeopleResult
from humanrt.people.results import Forecast
from humanrt.resource import Owner
from humanrt.timing import Stopwatch

__all__ = ["Forecaster"]

Array = NDArray[np.float64]

_SEEN = 2.0
"""s of each person that are kept; the network looks back about as far."""
_LEAST = 0.5
"""s that must have been seen of a person."""
_GAP = 0.34
"""s without a person after which their motion begins anew: longer than is filled in."""
_AGAIN = 0.1
"""s after which a forecast is made anew, and between the poses that it gives."""
_MOST = 100


@dataclass
class _Track:
    """What was seen of one person.

    Attributes:
        seen: time, rotations [R, 3, 3] and place of the root [3] m of each frame.
        forecast: the last one.
    """

    seen: deque[tuple[float, Array, Array]] = field(default_factory=deque)
    forecast: Forecast | None = None

    @property
    def seconds(self) -> float:
        return self.seen[-1][0] - self.seen[0][0]

    def push(self, t: float, rotations: Array, place: Array) -> None:
        if self.seen and not 0 < t - self.seen[-1][0] <= _GAP:
            self.seen.clear()
            self.forecast = None
        self.seen.append((t, rotations, place))
        while self.seconds > _SEEN:
            self.seen.popleft()


class Forecaster(Owner):
    """Adds to results of people what each of them does next (`PeopleResult.forecasts`).

    The camera must look about horizontally: down in its picture is down for the network. People's feet stand on the
    floor in what was seen of them. Forecasts are of our rest skeleton, an average adult.

    Args:
        gpt: generates; it is closed with this.
        bones: names of the bones whose rotations people have.
        joint_names: names of their joints.
        seconds: how far ahead.
        samples: forecasts of each person.

    Raises:
        HumanrtError: the body's bones are not known, or a number is not possible.
    """

    def __init__(
        self, gpt: PoseGPT, bones: Sequence[str], joint_names: Sequence[str], seconds: float = 1.0, samples: int = 5
    ) -> None:
        self._gpt = self.own(gpt)
        check_range(seconds, "--forecast", _AGAIN, 60.0)
        check_count(samples, "--forecast-samples", _MOST)
        self.seconds, self.samples, self._bones = float(seconds), samples, tuple(bones)
        root = next((name for name in ("pelvis", "root") if name in joint_names), None)
        try:
            smpl_rotations(np.tile(np.eye(3), (1, len(bones), 1, 1)), bones)
        except SkeletonError as error:
            raise HumanrtError(f"--forecast is not for this bundle: {error}; take one on SMPL-X or Anny") from None
        if root is None:
            raise HumanrtError(f"--forecast: the bundle's joints have no pelvis or root: {choices(joint_names)}")
        if gpt.window is not None:
            gpt.generate(seconds=self.seconds)  # the durations that its training allows
        self._root = list(joint_names).index(root)
        self._tracks: dict[int, _Track] = {}

    def about(self) -> dict[str, Any]:
        """Return the forecasts' part of a recording's header."""
        about = {"bundle": self._gpt.bundle.name, "seconds": self.seconds, "samples": self.samples}
        return {"forecast": {**about, "joints": list(SMPLX_BODY)}}

    def __call__(self, result: PeopleResult) -> PeopleResult:
        """Return the result with a forecast of each person who has been seen long enough."""
        watch = Stopwatch()
        if result.frame.cut:
            self._tracks.clear()
        for lost in result.lost:
            self._tracks.pop(lost, None)
        people = result.people
        if people.joints is None:
            raise HumanrtError("forecasts need people's joints; leave out --parameters-only")
        forecasts = []
        for row, identity in enumerate(result.ids):
            track = self._tracks.setdefault(identity, _Track())
            track.push(
                result.frame.t,
                people.rotations[row].astype(np.float64),
                people.joints[row, self._root].astype(np.float64),
            )
            if track.seconds < _LEAST:
                continue
            if track.forecast is None or result.frame.t - track.forecast.t > _AGAIN - 1e-3:
                track.forecast = self._forecast(track, identity, result.frame.index)
            forecasts.append(track.forecast)
        watch.lap("forecast")
        ms = {**result.ms, **watch.ms}
        ms["total"] = result.ms["total"] + watch.ms["forecast"]
        return replace(result, forecasts=tuple(forecasts), ms=ms)

    def _forecast(self, track: _Track, identity: int, seed: int) -> Forecast:
        gpt = self._gpt
        times, turns, places = (np.array(values) for values in zip(*track.seen, strict=True))
        rotations, names, parents = smpl_rotations(turns, self._bones)
        seen = resampled(times, rotations, places, gpt.fps, names, parents).turned(gpt.up)
        lift = 0.0
        if gpt.variant == "streaming":  # the others' motions begin at the origin anyway
            seen, lift = on_floor(seen)
        made = gpt.generate_several(self.samples, None, self.seconds, seen, seed=seed)
        step = max(1, round(_AGAIN * gpt.fps))
        joints = []
        for motion in made:
            moved = replace(motion, translation=motion.translation - np.array([0, lift, 0], np.float32))
            whole = joint_positions(moved.turned(CAMERA_UP))[step - 1 :: step]
            joints.append(whole[:, [motion.joint_names.index(name) for name in SMPLX_BODY]])
        ahead = (np.arange(step - 1, len(made[0]), step) + 1) / gpt.fps
        return Forecast(identity, float(times[-1]), tuple(ahead.tolist()), np.stack(joints).astype(np.float32))
