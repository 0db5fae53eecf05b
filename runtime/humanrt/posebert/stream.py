"""PoseBERT on a live stream: one window per identity, resampled to the model's clock, one inference for all of them.

The window's time grid is anchored at the newest time: the newest row is the newest observation itself, and the rows
before it are 1 / clock_hz apart, at any camera frame rate. Missed frames are masked, and filled in by the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import ceil, floor, inf
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Array, Backend
from humanrt.bundle import Bundle, GraphSpec
from humanrt.bundle.settings import PoseBertSettings
from humanrt.checks import MAX_ABS, check_kind, check_shapes, check_time
from humanrt.errors import BundleError, HumanrtError, InvalidInputError
from humanrt.geometry.camera import check_intrinsics
from humanrt.geometry.mirror import MIRROR, MIRROR_ROTATION
from humanrt.geometry.rotation import between, matrices_from_6d
from humanrt.geometry.skeleton import MEDIAPIPE_BODY
from humanrt.inference.bound_graph import BoundGraph
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.inference.model import Model
from humanrt.posebert.bones import HeldBones, Skeleton, skeleton_of
from humanrt.posebert.graphs import graphs_of
from humanrt.posebert.model import PoseBERT
from humanrt.posebert.rays import Gaze, directions, rays
from humanrt.resource import Owner, releasing

__all__ = ["Observation", "PoseBERTStream", "PoseState"]

# In steps of the clock: max distance of an observation from a row ...
_EXACT_STEPS = 0.1  # to be used for it unchanged (time stamps of a steady camera vary by less),
_USED_STEPS = 0.5  # to be used for it at all, so that at frame rates up to the clock's no observation is lost;
_INTERPOLATED_GAP = 1.5  # and max distance of two observations for any row between them to be interpolated,
_MAX_GAP = 3.0  # or for a row near one of them to be interpolated towards the other.
_EPSILON = 1e-6  # s: time stamps are sums of floats
_RUN_COST = {False: 0.5, True: 1000.0}  # fixed cost of a run, in windows, by on_device; on a GPU windows are free
_MAX_FILLABLE_GAP = 0.5  # s: after a gap this long a window is cleared, unless gaps this long are filled
_NO_TURN = np.eye(3, dtype=np.float32)


class Observation(NamedTuple):
    """Observation of one identity; a plain tuple also works.

    Attributes:
        keypoints: [K, 3] m, camera axes, in the bundle's order; rotations [J, 3, 3] for a bundle that takes them. If it
            contains NaN or an implausible number (beyond 1e9), it counts as not observed.
        confidence: [K] (or [J]) in 0..1, or one for all; None if unknown. NaN counts as 0.
        side: ``"left"`` for a left hand, which is mirrored for the network and back.
        pixels: [K, 2] px of the keypoints in the picture, and intrinsics [3, 3] px of its camera, for bundles that take
            rays (`PoseBERTStream.sighted`); others ignore them. None, or numbers that are not finite: not known. With
            them the answer is in the camera's axes; without, in those of a camera that looks at the person, which the
            keypoints are in too.
    """

    keypoints: NDArray[np.floating]
    confidence: NDArray[np.floating] | float | None = None
    side: str = "right"
    pixels: NDArray[np.floating] | None = None
    intrinsics: NDArray[np.floating] | None = None


@dataclass(frozen=True, slots=True)
class PoseState:
    """Pose of one identity.

    Attributes:
        keypoints: float32 [K, 3] m, camera axes, relative to the bundle's origin (hands: the mean of the 21); [0, 3]
            from a bundle that takes rotations. Their bones have the identity's own lengths (`humanrt.posebert.bones`).
        rotations: float32 [J, 3, 3], in the order of the bundle's joints, each relative to its parent; root: camera
            axes. A left hand's are those of the left hand, in axes that are the right hand's mirrored twice: M R M.
        filled: there was no observation at that time (before prediction): the network filled it in.
        age: seconds from the last observation before that time; 0 if there was one.
        t: time of this pose, in the source's clock: the update's - lag + predict.
        spread: float32 [J] rad, standard deviation about each axis by which the rotations are expected to be off; None
            from a bundle that does not say.
        keypoint_spread: float32 [K, 2] m, that of the keypoints: along each axis beside the line of sight, along it.
    """

    keypoints: NDArray[np.float32]
    rotations: NDArray[np.float32]
    filled: bool
    age: float
    t: float
    spread: NDArray[np.float32] | None = None
    keypoint_spread: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        check_shapes(
            self,
            keypoints="float32 K 3",
            rotations="float32 J 3 3",
            spread="float32 J",
            keypoint_spread="float32 K 2",
        )


class PoseBERTStream(Model):
    """Smooth, fill and predict poses of a stream.

    >>> stream = PoseBERTStream("posebert-hand")
    >>> poses = stream.update(t, {1: (keypoints, None, "right")})       # seconds; -> {1: PoseState}

    Args:
        model: name or folder of a bundle for the task ``posebert``, a loaded one, or a `PoseBERT`. Published weights
            that take rotations work, but not those that take keypoints in their own frame.
        lag: delay of the output in frames of the model's clock, which makes it smoother: later frames are known then.
        predict: s by which the output is ahead, to cancel the pipeline's own latency. Not together with ``lag``.
        fill: s; a gap is filled in for this long, then the identity is absent from the output until it is seen again.
        ahead: s after an update up to which `rotations_at` predicts; they are taken from the window. Not together with
            ``predict``.
        backend, execution: where and how the networks run; see `Execution`. Defaults are those of the given
            `PoseBERT`; without one, ``cpu``.

    Attributes:
        sighted: the bundle takes rays: give `Observation.pixels` and `Observation.intrinsics`.

    Raises:
        HumanrtError: BundleError, BackendError, or invalid options.
    """

    NEEDS_OPEN = ("update",)

    @releasing
    def __init__(
        self,
        model: PoseBERT | Bundle | str | Path = "posebert-hand",
        *,
        lag: int = 0,
        predict: float = 0.0,
        fill: float = 0.33,
        ahead: float = 0.0,
        backend: Execution | Backend | str | None = None,
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        own = Execution()
        if not isinstance(model, Bundle | str | Path):
            check_kind(model, PoseBERT, "model", "a PoseBERT, or the name or folder of its bundle")
            own, model = model.execution, model.bundle
        if not isinstance(backend, Execution):
            backend = own if backend is None else replace(own, backend=backend)
        super().__init__(model, "posebert", Execution.of(backend, execution))
        specs = _graphs(self.bundle)
        settings, *_ = [PoseBertSettings.of(self.bundle, spec.name) for spec in specs]
        self.clock_hz, self.joints = settings.clock_hz, settings.joints
        self._networks = [self.own(_Network(self.backend, spec)) for spec in specs]
        self._plans: dict[int, list[_Network]] = {}
        self._skeleton = skeleton_of(settings, self._networks[0].values.shape[2:])
        self.sighted = self._networks[0].rays is not None
        self._origin = list(settings.origin) or slice(None)
        self._body = MEDIAPIPE_BODY if settings.input == "mediapipe33" else slice(None)
        self.window = self._networks[0].values.shape[1]
        self.frame: tuple[int, ...] = self._networks[0].values.shape[2:]
        self.lag, self.predict, self.fill, self.ahead = lag, predict, fill, ahead
        self._step = 1 / self.clock_hz
        self._check_options()
        future = ceil(max(predict, ahead) * self.clock_hz - _EPSILON)
        self._now = self.window - 1 - future  # row of the newest time
        row = self._now - lag + predict * self.clock_hz
        self._row = floor(row + _EPSILON)
        self._fraction = row - self._row
        self._offsets = (np.arange(self._now + 1) - self._now) * self._step
        self.reset()

    def _check_options(self) -> None:
        if not (isinstance(self.lag, int) and 0 <= self.lag < self.window - 1):
            raise HumanrtError(f"lag must be 0 to {self.window - 2} frames, given this window; it is {self.lag}")
        for name, seconds in (("predict", self.predict), ("fill", self.fill), ("ahead", self.ahead)):
            check_kind(seconds, (float, int, np.number), name, "a number of seconds")
        max_predict = self.window // 2 * self._step
        for name, seconds in (("predict", self.predict), ("ahead", self.ahead)):
            if not 0 <= seconds <= max_predict:
                raise HumanrtError(f"{name} must be 0 to {max_predict:.2f} s, half of the window; it is {seconds}")
        if self.ahead and self.predict:
            raise HumanrtError(f"ahead {self.ahead} and predict {self.predict} s contradict each other; give only one")
        if self.lag and self.predict:
            raise HumanrtError(f"lag {self.lag} and predict {self.predict} s contradict each other; give only one")
        if not 0 <= self.fill < inf:
            raise HumanrtError(f"fill must be 0 s or more; it is {self.fill}")

    @property
    def points(self) -> int:
        """Number of keypoints K; 0 if the bundle takes rotations."""
        return self.frame[0] if len(self.frame) == 2 else 0

    def reset(self) -> None:
        """Forget all identities."""
        self._tracks: dict[int, _Track] = {}
        self._future: dict[int, NDArray[np.float32]] = {}
        self._t = -inf

    def rotations_at(self, t: float) -> dict[int, NDArray[np.float32]]:
        """Return the rotations [J, 3, 3] of the last update's identities as they will be at a later time.

        Up to ``ahead`` seconds after the update; later they stay as they are then. Nothing of the state changes.

        Args:
            t: s, not before the last update.

        Raises:
            ValueError: there was no update yet, or it is later than ``t``.
        """
        t = check_time(t)
        if t < self._t or self._t == -inf:
            raise InvalidInputError(f"t = {t}: rotations are predicted for a time after the last update, {self._t}")
        place = min(t - self._t, self.ahead) * self.clock_hz
        row = floor(place + _EPSILON)
        share = place - row
        if share < _EPSILON:
            return {identity: rows[row].copy() for identity, rows in self._future.items()}
        return {
            identity: between(rows[row], rows[row + 1], share).astype(np.float32)
            for identity, rows in self._future.items()
        }

    def update(
        self,
        t: float,
        observations: Mapping[int, Observation | tuple[Any, ...]],
        lost: Iterable[int] = (),
    ) -> dict[int, PoseState]:
        """Add the observations of a frame and return the poses at ``t`` - lag + predict.

        Args:
            t: time stamp of the frame, s. A time before the last one drops all state: the source was rewound. If equal
                to the last one, observations replace the previous ones.
            observations: observations by identity. A known identity that is absent was missed in this frame.
            lost: identities that ended: their state is dropped before this frame.

        Returns:
            Poses by identity, in the order in which identities were first seen: those observed, and those missed for no
            longer than ``fill``. With a lag, this is evaluated at the time of the output.

        Raises:
            ValueError: keypoints or confidences of another shape than the bundle's, confidences outside of 0..1, an
                unknown side, or a time that is not a finite number of seconds. The state is then unchanged.
        """
        t = check_time(t)
        check_kind(observations, Mapping, "observations", "a mapping of identities to observations")
        for identity, observation in observations.items():
            check_kind(observation, tuple, f"the observation of {identity}", "Observation(keypoints, confidence, side)")
        checked = {identity: self._checked(identity, *observation) for identity, observation in observations.items()}
        if t < self._t:
            self.reset()
        self._t = t
        for identity in lost:
            self._tracks.pop(identity, None)
        for identity, seen in checked.items():
            if seen is not None:
                self._observe(identity, t, *seen)
        horizon = max(self.fill, self.window * self._step) + self.lag * self._step
        for identity in [i for i, track in self._tracks.items() if t - track.last > horizon]:
            del self._tracks[identity]
        past = t - self.lag * self._step  # time of the frame that is read, before prediction
        ages = ((identity, track.age(past)) for identity, track in self._tracks.items())
        # Two steps more: between two observations near enough for interpolation no fill is needed.
        wanted = [(identity, age) for identity, age in ages if age <= self.fill + 2 * self._step]
        answer: dict[int, PoseState] = {}
        self._future = {}
        start = 0
        for network in self._plan(len(wanted)):
            answer |= self._infer(network, wanted[start : start + network.batch], t)
            start += network.batch
        return answer

    def _plan(self, count: int) -> list[_Network]:
        """Return the networks to run for this many windows: on a CPU every window costs, on a GPU every run."""
        if count not in self._plans:
            costs = [_RUN_COST[network.on_device] + network.batch for network in self._networks]
            best: list[tuple[float, list[_Network]]] = [(0.0, [])]
            for some in range(1, count + 1):
                rest = (best[max(some - network.batch, 0)] for network in self._networks)
                plans = [
                    (cost + before, [network, *after])
                    for network, cost, (before, after) in zip(self._networks, costs, rest, strict=True)
                ]
                best.append(min(plans, key=lambda plan: (plan[0], len(plan[1]))))
            self._plans[count] = best[count][1]
        return self._plans[count]

    def _checked(
        self,
        identity: int,
        keypoints: NDArray[np.floating],
        confidence: NDArray[np.floating] | float | None = None,
        side: str | None = "right",
        pixels: NDArray[np.floating] | None = None,
        intrinsics: NDArray[np.floating] | None = None,
    ) -> tuple[Array, Array | float | None, bool, Array | None] | None:
        """Return keypoints, confidence, whether it is a left hand, and `_looks`; None if not observed. See `update`."""
        with np.errstate(over="ignore"):  # values that overflow become infinite and count as missing
            keypoints = np.asarray(keypoints, np.float32)
        if keypoints.shape != self.frame:
            what = "keypoints" if self.points else "rotations"
            raise ValueError(f"{what} of {identity} must be {list(self.frame)}, not {list(keypoints.shape)}")
        if confidence is not None and np.shape(confidence) not in ((), self.frame[:1]):
            raise ValueError(f"confidence of {identity} must be [{self.frame[0]}], not {list(np.shape(confidence))}")
        if side not in (None, "left", "right"):
            raise InvalidInputError(f"side of {identity} must be left or right, not {side!r}")
        if confidence is not None:
            confidence = np.nan_to_num(np.asarray(confidence, np.float64))  # unknown: no reason to trust it
            if not (confidence.min(initial=0) >= 0 and confidence.max(initial=0) <= 1):
                raise InvalidInputError(f"confidence of {identity} must be numbers from 0 to 1")
        looks = self._looks(identity, pixels, intrinsics) if self.sighted else None
        if not np.abs(keypoints).max(initial=0) <= MAX_ABS:  # NaN included
            return None
        return keypoints, confidence, side == "left", looks

    def _looks(
        self, identity: int, pixels: NDArray[np.floating] | None, intrinsics: NDArray[np.floating] | None
    ) -> Array | None:
        """Return the unit vectors [K, 3] to the keypoints; None where they are not known."""
        if pixels is None or intrinsics is None:
            return None
        for name, value, shape in (("pixels", pixels, (self.points, 2)), ("intrinsics", intrinsics, (3, 3))):
            if np.shape(value) != shape:
                raise InvalidInputError(f"{name} of {identity} must be {list(shape)}, not {list(np.shape(value))}")
        return directions(pixels, check_intrinsics(intrinsics)) if np.isfinite(pixels).all() else None

    def _observe(
        self,
        identity: int,
        t: float,
        keypoints: Array,
        confidence: Array | float | None,
        left: bool,
        looks: Array | None,
    ) -> None:
        track = self._tracks.get(identity)
        if track is None or track.left != left:
            # It is another hand, so it moves to the end of the order too.
            self._tracks.pop(identity, None)
            skeleton, sighted = self._skeleton, self.sighted
            track = self._tracks[identity] = _Track(left, self.frame, self.window, self._step, skeleton, sighted)
        elif t - track.last > max(self.fill, _MAX_FILLABLE_GAP) + self.lag * self._step:
            track.clear()
        mirror = MIRROR if self.points else MIRROR_ROTATION
        sight = None
        if track.gaze is not None and looks is not None:
            turn = track.gaze.follow(looks[self._origin].mean(axis=0), t)
            sight = rays(keypoints, looks, turn, self._body) * (MIRROR if left else 1), turn
        track.push(t, keypoints * mirror if left else keypoints, confidence, sight)

    def _infer(self, network: _Network, wanted: list[tuple[int, float]], t: float) -> dict[int, PoseState]:
        grid = t + self._offsets
        for slot, (identity, _) in enumerate(wanted):
            self._tracks[identity].window(grid, *network.rows(slot, len(grid)))
        network.run(len(wanted))
        time = t - self.lag * self._step + self.predict
        answer = {}
        for slot, (identity, age) in enumerate(wanted):
            seen = bool(network.mask[slot, self._now - self.lag])
            if not seen and age > self.fill + _EPSILON:
                continue
            track = self._tracks[identity]
            keypoints, rotations = self._read(network.smoothed[slot], network.rotations[slot])
            if track.bones:
                # Measured on observations, in the row without prediction; predictions use these lengths.
                if seen or track.bones.lengths is None:
                    track.bones.measure(network.smoothed[slot, self._now - self.lag], t)
                keypoints = track.bones.hold(keypoints, rotations, t)
            if track.left:
                keypoints, rotations = keypoints * MIRROR, rotations * MIRROR_ROTATION
            if (turn := track.turn(t - self.lag * self._step)) is not None:  # from the gaze's axes to the camera's
                keypoints = keypoints @ turn
                rotations[0] = turn.T @ rotations[0]
            if self.ahead:
                self._future[identity] = self._coming(network.rotations[slot, self._now :], track, turn)
            spreads = [None if value is None else value[slot, self._row].copy() for value in network.spreads]
            answer[identity] = PoseState(keypoints, rotations, not seen, 0.0 if seen else age, time, *spreads)
        return answer

    @staticmethod
    def _coming(rows: Array, track: _Track, turn: Array | None) -> NDArray[np.float32]:
        """Return the rotations [F, J, 3, 3] from now on, as `update` returns those of one row."""
        coming = rows * MIRROR_ROTATION if track.left else rows.copy()
        if turn is not None:
            coming[:, 0] = turn.T @ coming[:, 0]
        return np.asarray(coming, np.float32)

    def _read(self, keypoints: Array, rotations: Array) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the output's row, or an interpolation between two rows."""
        row, fraction = self._row, self._fraction
        if fraction < _EPSILON:
            return keypoints[row].copy(), rotations[row].copy()
        points = keypoints[row] + np.float32(fraction) * (keypoints[row + 1] - keypoints[row])
        return points, between(rotations[row], rotations[row + 1], fraction).astype(np.float32)


class _Track:
    """Observations of one identity within the window, oldest first, in preallocated arrays.

    The arrays fill up from the front; when they are full, observations still in the window move to the front.
    """

    def __init__(
        self,
        left: bool,
        frame: tuple[int, ...],
        window: int,
        step: float,
        skeleton: Skeleton | None = None,
        sighted: bool = False,
    ) -> None:
        self.left = left
        self.gaze = Gaze() if sighted else None
        self.bones = None if skeleton is None else HeldBones(skeleton, step)
        self._step = step
        self._span = (window + _MAX_GAP) * step
        # Of two neighbours in time less than a fifth of a step apart, the older one is dropped (see `push`), so a
        # window holds at most ten per step; the size is doubled so that moving is rare.
        size = 20 * (window + 5)
        self._times = np.empty(size)
        self._values = np.empty((size, *frame), np.float32)
        self._confidence = np.empty((size, frame[0]), np.float32)
        self._rays = np.zeros((size if sighted else 0, *frame), np.float32)
        self._turns = np.zeros((size if sighted else 0, 3, 3), np.float32)
        self.clear()

    def clear(self) -> None:
        self._start = self._end = 0
        if self.gaze is not None:
            self.gaze.reset()

    @property
    def last(self) -> float:
        """Time of the newest observation; -inf before the first."""
        return float(self._times[self._end - 1]) if self._end > self._start else -inf

    def age(self, t: float) -> float:
        """Return the seconds to ``t`` from the last observation that is not after it; inf if there is none."""
        times = self._times[self._start : self._end]
        count = int(times.searchsorted(t + _EXACT_STEPS * self._step, side="right"))
        return max(t - float(times[count - 1]), 0.0) if count else inf

    def turn(self, t: float) -> Array | None:
        """Return the gaze's turn [3, 3] at the last observation not after ``t``, or at the first; None without rays."""
        if self.gaze is None or self._end == self._start:
            return None
        times = self._times[self._start : self._end]
        place = self._start + max(int(times.searchsorted(t + _EXACT_STEPS * self._step, side="right")) - 1, 0)
        found: Array = self._turns[place]
        return found

    def push(
        self,
        t: float,
        values: Array,
        confidence: Array | float | None,
        sight: tuple[Array | float, Array] | None = None,
    ) -> None:
        """Append an observation, not before the last one; one at the same time replaces it.

        ``sight``: its rays, and the gaze's turn [3, 3]; None: not known.
        """
        count = self._end - self._start
        if (count and t <= self.last) or (count > 1 and t - self._times[self._end - 2] < self._step / 5):
            self._end -= 1
        if self._end == len(self._times):
            self._move(t - self._span)
        self._times[self._end] = t
        self._values[self._end] = values
        self._confidence[self._end] = 1.0 if confidence is None else confidence
        if self.gaze is not None:
            if sight is None:  # the answer stays in the axes that it was in
                sight = 0.0, self._turns[self._end - 1] if self._end > self._start else _NO_TURN
            self._rays[self._end], self._turns[self._end] = sight
        self._end += 1

    def _move(self, oldest: float) -> None:
        first = self._start + int(self._times[self._start :].searchsorted(oldest))
        count = self._end - first
        seen = (self._times, self._values, self._confidence)
        for array in seen if self.gaze is None else (*seen, self._rays, self._turns):
            array[:count] = array[first:].copy()  # the two may overlap
        self._start, self._end = 0, count

    def window(
        self, grid: NDArray[np.float64], values: Array, mask: Array, confidence: Array, sight: Array | None = None
    ) -> None:
        """Write the rows at the times of ``grid`` [P], the last of which is now, into arrays of P rows.

        ``sight``: for the rays, of a network that takes them.
        """
        # Drop observations that left the window, except one before its first row, for interpolation.
        times = self._times[self._start : self._end]
        self._start += max(int(times.searchsorted(grid[-1] - self._span)) - 1, 0)
        span = slice(self._start, self._end)
        times = self._times[span]
        after = times.searchsorted(grid - _EPSILON)
        right, left = np.minimum(after, len(times) - 1), np.maximum(after - 1, 0)
        to_left, to_right = np.abs(grid - times[left]), np.abs(times[right] - grid)
        gap = times[right] - times[left]  # 0 outside of the observations: left and right are the same
        distance = np.minimum(to_left, to_right) / self._step
        inside = (gap > 0) & (gap <= _INTERPOLATED_GAP * self._step + _EPSILON)
        mask[:] = inside | (distance <= _USED_STEPS)
        # The newest row counts as observed only if there is an observation now, at any frame rate.
        mask[-1] = distance[-1] <= _EXACT_STEPS
        weight = np.divide(to_left, gap, out=np.zeros_like(gap), where=gap > 0)
        take = (distance <= _EXACT_STEPS) | (gap > _MAX_GAP * self._step)
        weight = np.where(take, to_right < to_left, weight).astype(np.float32)
        # Most rows are an observation as it is; zeros where nothing is known.
        one = np.where(weight > 0.5, right, left)
        mixed = np.flatnonzero((weight > 0) & (weight < 1) & mask)
        empty = ~mask
        written = [(self._values[span], values), (self._confidence[span], confidence)]
        if sight is not None:
            written.append((self._rays[span], sight))
        for source, out in written:
            np.take(source, one, axis=0, out=out)
            out[empty] = 0
            if len(mixed):
                w = weight[mixed].reshape(-1, *[1] * (out.ndim - 1))
                mean = source[left[mixed]] * (1 - w) + source[right[mixed]] * w
                # Rotations: project back onto SO(3); neighbours are less than three steps apart, so it is close.
                out[mixed] = _orthonormal(mean) if mean.ndim == 4 else mean


def _orthonormal(R: Array) -> Array:
    """Return rotations by Gram-Schmidt of the first two columns of [..., 3, 3]."""
    return matrices_from_6d(R[..., :2].reshape(*R.shape[:-2], 6), "rows")


class _Network(Owner):
    """Graph for up to ``batch`` windows, with its buffers bound once."""

    def __init__(self, backend: Backend, spec: GraphSpec) -> None:
        self._network = self.own(BoundGraph(backend, spec))
        arrays, self.on_device = self._network.arrays, self._network.on_device
        self.mask, self.rotations = arrays["mask"], arrays["rotations"]
        self.batch, window, joints = self.rotations.shape[:3]
        # Published weights take rotations as 6-d `rows` of the window's matrices.
        self._features = arrays["features"].reshape(self.batch, window, joints, 3, 2) if "features" in arrays else None
        self.values = (
            np.zeros((self.batch, window, joints, 3, 3), np.float32)
            if self._features is not None
            else next(arrays[name] for name in ("keypoints", "rotations_in") if name in arrays)
        )
        # A graph need not take confidences, nor return keypoints.
        shape = self.values.shape[:3]
        self._confidence = arrays["confidence"] if "confidence" in arrays else np.zeros(shape, np.float32)
        self.rays = arrays.get("rays")
        self.spreads = (arrays.get("spread"), arrays.get("keypoint_spread"))
        nothing = np.zeros((self.batch, window, 0, 3), np.float32)
        self.smoothed = arrays.get("smoothed", nothing)
        self.mask[:] = False  # future rows stay masked

    def rows(self, slot: int, count: int) -> tuple[Array, ...]:
        """Return the first rows of values, mask, confidence and, where taken, rays of one window, to be written."""
        inputs = (self.values, self.mask, self._confidence, *(() if self.rays is None else (self.rays,)))
        return tuple(array[slot, :count] for array in inputs)

    def run(self, count: int) -> None:
        """Run inference on the first ``count`` windows; the others are empty."""
        self.mask[count:] = False
        if self._features is not None:
            np.copyto(self._features, self.values[..., :2])
        self._network.run()


def _graphs(bundle: Bundle) -> list[GraphSpec]:
    """Return the graphs for streams, smallest batch first."""
    specs = list(graphs_of(bundle).values())
    frames = {_frame(bundle, spec) for spec in specs}
    if len(frames) > 1:
        raise BundleError(f"bundle {bundle.path}: its graphs have different windows; export the bundle again")
    return specs


def _frame(bundle: Bundle, spec: GraphSpec) -> tuple[int, ...]:
    """Return (T, K or J) of a graph that streams can use. BundleError for any other graph."""
    shapes = {tensor.name: tensor.shape for tensor in (*spec.inputs, *spec.outputs)}
    mask, rotations = shapes.get("mask", ()), shapes.get("rotations", ())
    if len(mask) == 2 and mask[0] > 0 and mask[1] > 1 and rotations == (*mask, *rotations[2:3], 3, 3):
        joints = rotations[2]
        points = shapes.get("keypoints", ())[2:3]
        takes: dict[str, tuple[int, ...]] = {
            "keypoints": (*mask, *points, 3),
            "rotations_in": (*mask, joints, 3, 3),
            "features": (*mask, 6 * joints),
        }
        given = [name for name in takes if name in shapes]
        smoothed = shapes.get("smoothed", takes["keypoints"]) == takes["keypoints"] or "keypoints" not in shapes
        confidence = shapes.get("confidence", ())[:2] in ((), mask)
        confidence &= "rays" not in shapes or ("keypoints" in shapes and shapes["rays"] == shapes["keypoints"])
        whole = len(given) == 1 and ("keypoints" not in shapes or "smoothed" in shapes)
        if whole and shapes[given[0]] == takes[given[0]] and smoothed and confidence:
            return (mask[1], *shapes[given[0]][2:])
    raise BundleError(
        f"{spec.path}: streams cannot use a graph of {', '.join(f'{name} {list(s)}' for name, s in shapes.items())} "
        f"(bundle `{bundle.name}`); use posebert-hand, for example"
    )
