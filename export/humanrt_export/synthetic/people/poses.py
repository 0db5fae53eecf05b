"""Sources of poses: recordings, joint limits, mixtures of both; and hand poses, which the recordings lack.

A pose consists of rotations of SMPL's joints in a world with y up, and two hands (`humanrt.geometry.skeleton`). The
joint limits are our own, based on the normal range of motion in anatomy textbooks.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import cache_folder
from humanrt.files import write_atomically
from humanrt.geometry.anny import anny_from_smpl
from humanrt.geometry.rotation import between, matrices_from_vectors
from humanrt.geometry.skeleton import HAND_16, SMPL_24, mirrored
from humanrt_export.motion.augment import interpolate, mirror_rotations, random_rotation, resample
from humanrt_export.motion.body_fk import forward
from humanrt_export.motion.clean import clean
from humanrt_export.motion.clip import Motion, MotionError, about
from humanrt_export.motion.load import load_motions
from humanrt_export.motion.split import part_of
from humanrt_export.npz import read_npz
from humanrt_export.synthetic.hand_model import load_arm
from humanrt_export.synthetic.hand_repertoire import hand_rotations, repertoire
from humanrt_export.synthetic.people.resting import Support, lay_down, sit_down

__all__ = ["PARTS", "Part", "Pose", "PoseSource", "anny_rotations", "clean_motions"]

Array = NDArray[np.float64]
Part = Literal["train", "val", "all"]
PARTS: tuple[Part, ...] = ("train", "val", "all")

_FPS = 30.0
_HAND_PERSONS = 2
_SEATED = 0.75  # fraction of people at rest who sit, the others lie
_WAYS = 8  # attempts to find a reachable pose

# Degrees about x, y and z of the joint's rest axes (x left, y up, z front), applied in this order; for paired joints
# the left one's. Third: the usual angle, towards which samples are biased.
_LIMITS: dict[str, tuple[tuple[float, float], ...]] = {
    "hip": ((-110, 18), (-30, 30), (-12, 42)),
    "knee": ((0, 135), (0, 0), (0, 0)),
    "ankle": ((-22, 32), (-8, 8), (-12, 12)),
    "spine1": ((-10, 25), (-14, 14), (-10, 10)),
    "spine2": ((-8, 18), (-14, 14), (-9, 9)),
    "spine3": ((-8, 14), (-12, 12), (-8, 8)),
    "neck": ((-18, 22), (-32, 32), (-14, 14)),
    "head": ((-18, 22), (-30, 30), (-14, 14)),
    "collar": ((-4, 4), (-10, 8), (-6, 14)),
    "shoulder": ((-55, 55), (-115, 35), (-82, 70)),
    "elbow": ((-10, 10), (-140, 0), (0, 0)),
    "wrist": ((-70, 70), (-18, 24), (-60, 60)),
}
_USUAL = {"hip": (-8, 0, 3), "knee": (8, 0, 0), "shoulder": (0, -15, -65), "elbow": (0, -25, 0)}


@dataclass(frozen=True)
class Pose:
    """A pose at one instant.

    Attributes:
        body: [24, 3, 3] of SMPL's joints, the root's to a world with y up.
        left, right: [15, 3, 3] fingers, both as of a right hand.
        clip: the recording and frame that it comes from, and whether mirrored; None if it is not recorded.
        support: what the person sits or lies on.
    """

    body: Array
    left: Array
    right: Array
    clip: tuple[int, float, bool] | None = None
    support: Support = ""


def anny_rotations(poses: Sequence[Pose]) -> Array:
    """Return rotations [N, 74, 3, 3] as `AnnyBody` takes them, the root's to the world."""
    return anny_from_smpl(
        np.stack([pose.body for pose in poses]),
        {"left": np.stack([pose.left for pose in poses]), "right": np.stack([pose.right for pose in poses])},
    )


class PoseSource:
    """Samples poses.

    Args:
        motions: recordings, at any frame rate; if empty, all poses come from joint limits.
        seed: seed of the hand pose library.
        resting: fraction of people who sit or lie.

    Attributes:
        motions: the recordings, at 30 frames per second.
    """

    def __init__(self, motions: Sequence[Motion], seed: int = 0, resting: float = 0.0) -> None:
        self.resting = resting
        self.motions = [resample(motion, _FPS) if motion.fps != _FPS else motion for motion in motions]
        lengths = np.array([len(motion) for motion in self.motions], np.float64)
        self._chances = lengths / lengths.sum() if len(lengths) else lengths
        generator = np.random.default_rng([seed, 77])
        arm = load_arm("right")
        library = [hand_rotations(arm, repertoire(arm, generator)) for _ in range(_HAND_PERSONS)]
        self._hands = np.concatenate(library)[:, 1:]  # [M, 15, 3, 3]
        assert self._hands.shape[1:] == (len(HAND_16) - 1, 3, 3)

    def draw(self, generator: np.random.Generator, *, hands: bool = False) -> Pose:
        """Sample a pose; ``hands``: with the hands in front of the body, as if showing something."""
        left, right = self.hand(generator), self.hand(generator)
        if self.resting and generator.uniform() < self.resting:
            support: Support = "seat" if generator.uniform() < _SEATED else "ground"
            return Pose(_at_rest(generator, hands, support), left, right, support=support)
        kind = generator.uniform()
        clip = None
        if len(self.motions) and kind < (0.2 if hands else 0.65):
            body, clip = self._recorded(generator)
            if generator.uniform() < 0.5:
                body = _shaken(body, generator, np.radians(generator.uniform(0, 10)))
        else:
            body = _from_limits(generator, hands)
            if len(self.motions) and generator.uniform() < 0.6:
                body = self._mixed(body, generator)
            if generator.uniform() < 0.08:
                body[0] = random_rotation(generator)
        if hands or generator.uniform() < 0.5:  # wrists of recordings hardly move
            for side in ("left", "right"):
                body[SMPL_24.index(f"{side}_wrist")] = _joint("wrist", side, generator, 1.4)
        return Pose(body, left, right, clip)

    def later(self, pose: Pose, generator: np.random.Generator) -> Pose:
        """Return the same person at another instant, up to 1.5 s away."""
        left, right = (_between(hand, self.hand(generator), generator) for hand in (pose.left, pose.right))
        if pose.support:  # legs and trunk stay where they are
            body = _between(pose.body, _at_rest(generator, hands=False, support=pose.support), generator)
            kept = [joint for joint in range(len(SMPL_24)) if joint not in _UPPERS]
            body[kept] = pose.body[kept]
            return replace(pose, body=body, left=left, right=right)
        if pose.clip is None:
            other = _from_limits(generator, hands=False)
            body = _between(pose.body, other, generator)
            body[0] = pose.body[0] @ matrices_from_vectors(np.radians(10) * generator.standard_normal(3))
            return Pose(body, left, right)
        number, frame, flipped = pose.clip
        last = len(self.motions[number]) - 1
        seconds = generator.uniform(0.2, 1.5) * generator.choice([-1, 1])
        body = self.at(number, float(np.clip(frame + seconds * _FPS, 0, last)), flipped)
        # The random rotation and jitter stay the same.
        body[0] = pose.body[0] @ self.at(number, frame, flipped)[0].T @ body[0]
        return replace(pose, body=body, left=left, right=right)

    def standing(self, generator: np.random.Generator, before: Array | None = None) -> Array:
        """Sample body rotations [24, 3, 3] from the joint limits: a person standing still on both legs.

        Args:
            before: the previous such pose. The movement from it to the new one avoids self-intersection if a few
                attempts suffice.
        """
        best, lowest_cost = np.eye(3)[None].repeat(24, 0), np.inf
        for _ in range(_WAYS):
            body = _from_limits(generator, hands=bool(generator.uniform() < 0.5))
            body[_LOWER] = np.eye(3)
            way = [body] if before is None else [between(before, body, part) for part in (0.25, 0.5, 0.75, 1.0)]
            cost = sum(map(_crossing, way))
            if cost < lowest_cost:
                best, lowest_cost = body, cost
            if cost <= 0:
                break
        return best

    def at(self, number: int, frame: float, flipped: bool) -> Array:
        """Return body rotations [24, 3, 3] of a recording at a fractional frame (30 per second)."""
        motion = self.motions[number]
        first = min(int(frame), max(len(motion) - 2, 0))
        body = interpolate(motion.rotations[first : first + 2], [min(frame - first, 1.0)])[0]
        return mirror_rotations(body) if flipped else body

    def hand(self, generator: np.random.Generator) -> Array:
        """Sample a hand pose [15, 3, 3]: from the library, or a blend of two; sometimes relaxed."""
        if generator.uniform() < 0.15:
            still = np.broadcast_to(np.eye(3), (15, 3, 3))
            return _shaken(still, generator, np.radians(4))
        one, two = self._hands[generator.integers(len(self._hands), size=2)]
        if generator.uniform() < 0.4:
            return np.asarray(one)
        # Each finger is blended independently.
        amount = np.repeat(generator.uniform(size=5) if generator.uniform() < 0.5 else [generator.uniform()] * 5, 3)
        return between(one, two, amount[:, None])

    def _recorded(self, generator: np.random.Generator) -> tuple[Array, tuple[int, float, bool]]:
        number = int(generator.choice(len(self.motions), p=self._chances))
        frame = float(generator.uniform(0, len(self.motions[number]) - 1))
        flipped = bool(generator.uniform() < 0.5)
        return self.at(number, frame, flipped), (number, frame, flipped)

    def _mixed(self, body: Array, generator: np.random.Generator) -> Array:
        """Combine legs and trunk of a recording with arms and head of ``body``."""
        recorded, _ = self._recorded(generator)
        upper = [k for k, name in enumerate(SMPL_24) if any(part in name for part in _UPPER)]
        recorded[upper] = body[upper]
        return recorded


_UPPER = ("neck", "head", "collar", "shoulder", "elbow", "wrist")
_UPPERS = [k for k, name in enumerate(SMPL_24) if any(part in name for part in _UPPER)]
_LOWER = [k for k, name in enumerate(SMPL_24) if not any(part in name for part in (*_UPPER, "spine"))]


def clean_motions(path: Path, part: Part) -> list[Motion]:
    """Load recordings from a file, a folder or an archive, remove capture errors, and resample to 30 frames per second.

    Cleaning takes half a minute, so the result for a file is kept in humanrt's cache.

    Raises:
        MotionError: nothing there can be read, or the part is empty.
    """
    if path.is_file():
        key = hashlib.sha1(path.read_bytes()).hexdigest()[:16]
        cached = cache_folder() / "motions" / f"{key}-1.npz"
        if not cached.is_file():
            _store(cached, _cleaned(path))
        motions = _stored(cached)
    else:
        motions = _cleaned(path)
    chosen = [motion for motion in motions if part in ("all", part_of(motion))]
    if not chosen:
        raise MotionError(f"{path}: no recording in the part `{part}` (see humanrt_export.motion.split)")
    return chosen


def _cleaned(path: Path) -> list[Motion]:
    return [resample(piece, _FPS) for motion in load_motions(path) for piece in clean(motion)]


def _store(path: Path, motions: Sequence[Motion]) -> None:
    arrays: dict[str, Any] = {
        "length": np.array([len(motion) for motion in motions]),
        "rotations": np.concatenate([motion.rotations for motion in motions]).astype(np.float32),
        "translation": np.concatenate([motion.translation for motion in motions]).astype(np.float32),
    }
    for name in ("name", "subject", "source"):
        arrays[name] = np.array([getattr(motion, name) for motion in motions])
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    write_atomically(path, content.getvalue())


def _stored(path: Path) -> list[Motion]:
    arrays = read_npz(path)
    ends = np.cumsum(arrays["length"])
    return [
        Motion(
            _FPS,
            arrays["translation"][end - length : end].astype(np.float64),
            arrays["rotations"][end - length : end].astype(np.float64),
            *(str(arrays[name][k]) for name in ("source", "name", "subject")),
        )
        for k, (end, length) in enumerate(zip(ends.tolist(), arrays["length"].tolist(), strict=True))
    ]


# --------------------------------------------------------------------------------------------- joint limits


def _joint(name: str, side: str, generator: np.random.Generator, lean: float) -> Array:
    """Sample a rotation [3, 3] within the limits; the larger ``lean``, the closer to the usual angle (0.5: uniform)."""
    usual = _USUAL.get(name, (0.0, 0.0, 0.0))
    turn: Array = np.eye(3)
    for axis, (low, high), middle in zip("xyz", _LIMITS[name], usual, strict=True):
        away = generator.uniform() ** lean
        end = high if generator.uniform() * (high - low) < high - middle else low
        angle = np.radians(middle + away * (end - middle))
        turn = np.asarray(about(axis, np.asarray(angle)) @ turn)
    return mirrored(turn) if side == "right" else turn


def _from_limits(generator: np.random.Generator, hands: bool) -> Array:
    """Sample body rotations [24, 3, 3] from the joint limits, if possible without self-intersection."""
    lean = float(generator.uniform(0.6, 2.0))
    return _clearest(lambda: _within_limits(generator, hands, lean))


def _at_rest(generator: np.random.Generator, hands: bool, support: Support) -> Array:
    """Sample body rotations [24, 3, 3] of somebody who sits or lies, if possible without self-intersection."""

    def sample() -> Array:
        body = _within_limits(generator, hands, float(generator.uniform(0.6, 2.0)))
        (sit_down if support == "seat" else lay_down)(body, generator)
        return body

    return _clearest(sample)


def _clearest(sample: Callable[[], Array], tries: int = 12) -> Array:
    """Return the first sampled body without self-intersection, else the one of a few with the least."""
    best, lowest_cost = np.eye(3)[None].repeat(24, 0), np.inf
    for _ in range(tries):
        body = sample()
        cost = _crossing(body)
        if cost < lowest_cost:
            best, lowest_cost = body, cost
        if cost <= 0:
            break
    return best


def _within_limits(generator: np.random.Generator, hands: bool, lean: float) -> Array:
    """Sample body rotations [24, 3, 3] within the joint limits; ``lean``: see `_joint`."""
    body = np.broadcast_to(np.eye(3), (24, 3, 3)).copy()
    for index, joint in enumerate(SMPL_24):
        side, _, name = joint.rpartition("_")
        if name in _LIMITS:
            # Legs and trunk are mostly those of a standing person.
            body[index] = _joint(name, side, generator, lean if name in _UPPER else 2 * lean)
    if hands:
        _raise_arms(body, generator)
    tilt = np.radians(generator.normal(0, (8, 4)))
    body[0] = about("x", tilt[0]) @ about("z", tilt[1])
    return body


def _raise_arms(body: Array, generator: np.random.Generator) -> None:
    """Raise one hand or both in front of the chest or face."""
    sides = [("left",), ("right",), ("left", "right")][generator.integers(3)]
    for side in sides:
        twist, swing, lift, bend = np.radians(generator.uniform((-35, -95, -60, -130), (50, -35, 5, -25)))
        shoulder = about("z", lift) @ about("y", swing) @ about("x", twist)
        elbow = about("y", bend)
        for joint, turn in (("shoulder", shoulder), ("elbow", elbow)):
            body[SMPL_24.index(f"{side}_{joint}")] = mirrored(turn) if side == "right" else turn


def _crossing(body: Array) -> float:
    """Return the depth [m] to which arms penetrate trunk, head and thighs, and legs each other; 0: not at all."""
    joints = dict(zip(SMPL_24, forward(body[None])[0][0], strict=True))
    depth = 0.0
    up = body[0] @ np.array([0.0, 0.08, 0.0])
    head = joints["head"] + up
    for side, other in (("left", "right"), ("right", "left")):
        arm = [
            joints[f"{side}_elbow"],
            joints[f"{side}_wrist"],
            joints[f"{side}_hand"],
            2 * joints[f"{side}_hand"] - joints[f"{side}_wrist"],
        ]
        for point in arm:
            depth += max(0.0, 0.155 - _distance(point, joints["pelvis"], joints["neck"]))
            depth += max(0.0, 0.145 - float(np.linalg.norm(point - head)))
            for leg in ("left", "right"):
                depth += max(0.0, 0.09 - _distance(point, joints[f"{leg}_hip"], joints[f"{leg}_knee"]))
        depth += max(0.0, 0.12 - _distance(joints[f"{side}_knee"], joints[f"{other}_hip"], joints[f"{other}_knee"]))
        depth += max(0.0, 0.10 - _distance(joints[f"{side}_ankle"], joints[f"{other}_knee"], joints[f"{other}_ankle"]))
    depth += max(0.0, 0.06 - float(np.linalg.norm(joints["left_hand"] - joints["right_hand"])))
    return depth


def _distance(point: Array, start: Array, end: Array) -> float:
    """Return the distance from a point to a segment."""
    along = end - start
    part = float(np.clip((point - start) @ along / max(float(along @ along), 1e-12), 0, 1))
    return float(np.linalg.norm(point - start - part * along))


def _shaken(rotations: NDArray[Any], generator: np.random.Generator, deviation: float) -> Array:
    turns = matrices_from_vectors(deviation * generator.standard_normal((len(rotations), 3)))
    return np.asarray(rotations @ turns)


def _between(one: Array, two: Array, generator: np.random.Generator) -> Array:
    """Return a pose between two poses."""
    return between(one, two, generator.uniform(0.15, 0.7))
