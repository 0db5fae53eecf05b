"""A repertoire of hand motion in front of a camera, calm and fast, for rendering and for training.

`hand_motion.Motion` moves all joints together from pose to pose. Here the arm, the fingers and single fingers
have their own timing: a `Layered` motion is a sum of minimum-jerk submovements (which may overlap),
slow drift and the hand's physiological tremor. It is as smooth as a `Motion` and stays within the joint limits.

Poses are drawn from a library created once per person (`repertoire`): pinches are solved by inverse kinematics,
which costs milliseconds each; a motion then takes less than a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.hand import FINGERS
from humanrt.geometry.mirror import MIRROR
from humanrt.geometry.skeleton import HAND_16, HAND_16_PARENTS, local_rotations
from humanrt_export.synthetic import hand_motion as motion
from humanrt_export.synthetic.hand_model import JOINTS, LIMITS, ROOT, Arm, index_of
from humanrt_export.synthetic.hand_motion import minimum_jerk

__all__ = ["Layered", "hand_rest", "hand_rotations", "repertoire", "varied_motion"]

Array = NDArray[np.float64]

_BONES = ("wrist", *(f"finger{1 + FINGERS.index(name[:-1])}-{name[-1]}" for name in HAND_16[1:]))
_ARM = [index_of(name) for name in ("supination", "wrist_flexion", "wrist_deviation")]
_DIGITS = [index for index, name in enumerate(JOINTS) if name.startswith(FINGERS)]


def hand_rest(arm: Arm) -> Array:
    """Return the rest positions [16, 3] m of the joints of `HAND_16` in the right hand's frame (origin: the wrist)."""
    return arm.heads[[arm.names.index(bone) for bone in _BONES]]


def hand_rotations(arm: Arm, q: NDArray[Any]) -> Array:
    """Convert poses to joint rotations.

    Args:
        arm: the arm.
        q: [..., 30] poses.

    Returns:
        [..., 16, 3, 3] in the order of `HAND_16`: each joint's rotation relative to its parent (the wrist's: from the
        hand frame to camera axes), all frames parallel at rest. A left hand's rotations are those of its mirror image
        (x -> -x), a right hand. The slight cupping of the metacarpals is included in ring1 and pinky1.
    """
    turns = arm.transforms(q)[..., [arm.names.index(bone) for bone in _BONES], :, :3]
    if arm.side == "left":
        turns = MIRROR[:, None] * turns
    return local_rotations(turns, HAND_16_PARENTS)


def repertoire(arm: Arm, generator: np.random.Generator, count: int = 48) -> Array:
    """Sample finger poses [count, 30] of one person (the entries of arm and wrist are 0)."""
    poses = []
    for _ in range(count):
        if generator.uniform() < 0.8:
            q = motion.random_pose(arm, generator)
        else:  # fingers independent of each other; the last two joints of a finger bend together, coupled by tendons
            q = motion.open_hand(generator.uniform(0, 1.2))
            for finger in FINGERS[1:]:
                bend, hook = generator.beta(0.7, 0.9), generator.normal(0, 0.25)
                q = motion.curl(q, finger, bend)
                q[index_of(f"{finger}_mcp_flexion")] -= np.radians(60) * hook
                q[index_of(f"{finger}_pip_flexion")] += np.radians(40) * hook
                q[index_of(f"{finger}_mcp_abduction")] += np.radians(6) * generator.normal()
            q = motion.curl(q, "thumb", generator.uniform(0, 1))
            q[index_of("thumb_cmc_abduction")] += np.radians(12) * generator.normal()
        q = motion.clip(q)
        q[ROOT] = q[_ARM] = 0
        poses.append(q)
    return np.array(poses)


@dataclass(frozen=True)
class Layered:
    """A pose as a function of time: a start, submovements, and sines.

    Attributes:
        start: [30] pose before the first submovement.
        begin, length: [N] s, start and duration of each submovement.
        change: [N, 30] what each one adds to the pose.
        lag: [30] delay of a joint's start as a fraction of the submovement (the other joints finish early).
        amplitude: [M, 30] m and rad; frequency: [M] Hz; phase: [M, 30] rad: drift and tremor.
    """

    start: Array
    begin: Array
    length: Array
    change: Array
    lag: Array
    amplitude: Array
    frequency: Array
    phase: Array

    def at(self, t: NDArray[Any]) -> Array:
        """Return poses [T, 30] at times t [T] s, inside the joint limits."""
        t = np.asarray(t, dtype=np.float64)
        late = self.lag.max()
        q = np.repeat(self.start[None], len(t), axis=0)
        for begin, length, change in zip(self.begin, self.length, self.change, strict=True):
            columns = np.flatnonzero(change)
            phase = ((t - begin) / length)[:, None]
            q[:, columns] += minimum_jerk((phase - self.lag[columns]) / (1 - late)) * change[columns]
        waves = np.sin(2 * np.pi * self.frequency[:, None] * t[:, None, None] + self.phase)
        return motion.inside(q + np.sum(waves * self.amplitude, axis=1))


@dataclass
class _Track:
    """Submovements of some entries of the pose, added one after another."""

    value: Array
    t: float
    begin: list[float]
    length: list[float]
    change: list[Array]

    @classmethod
    def at(cls, value: Array, t: float) -> _Track:
        return cls(value.copy(), t, [], [], [])

    def to(self, target: Array, move: float, hold: float, overlap: float = 0.0) -> None:
        """Move to ``target`` within ``move`` s, starting up to ``overlap`` s before the last movement's end."""
        begin = self.t - (overlap if self.begin else 0.0)
        self.begin.append(begin)
        self.length.append(move)
        self.change.append(target - self.value)
        self.value, self.t = target.copy(), begin + move + hold


# Duration of a movement, s; probability and duration, s, of a pause after it; probability of each manner.
_MANNERS = {
    "still": ((0.5, 1.4), 1.0, (1.0, 3.5), 0.12),
    "calm": ((0.6, 1.6), 0.7, (0.2, 1.2), 0.25),
    "normal": ((0.3, 0.9), 0.5, (0.1, 0.8), 0.35),
    "lively": ((0.16, 0.45), 0.25, (0.05, 0.4), 0.28),
}


def _manner(generator: np.random.Generator) -> tuple[tuple[float, float], float, tuple[float, float]]:
    names = list(_MANNERS)
    chosen = _MANNERS[str(generator.choice(names, p=[_MANNERS[name][3] for name in names]))]
    return chosen[0], chosen[1], chosen[2]


def _finger_track(track: _Track, poses: Array, generator: np.random.Generator, end: float) -> None:
    """Move all fingers between poses, sometimes back and forth between two (opening and closing, tapping a pinch)."""
    while track.t < end:
        (shortest, longest), pausing, pause = _manner(generator)
        until = track.t + generator.uniform(0.8, 2.5)
        way = generator.choice(["poses", "repeat", "part"], p=[0.55, 0.2, 0.25])
        other, home = poses[generator.integers(len(poses))], track.value
        period = generator.uniform(0.14, 0.5)
        while track.t < min(until, end):
            move = float(np.exp(generator.uniform(np.log(shortest), np.log(longest))))
            hold = float(generator.uniform(*pause)) if generator.uniform() < pausing else 0.0
            if way == "repeat":
                target = other if np.any(track.value != other) else home
                track.to(target, period * generator.uniform(0.9, 1.1), 0.0)
                continue
            target = poses[generator.integers(len(poses))]
            if way == "part":  # part of the way, or only some fingers
                keep = np.repeat(generator.uniform(size=5) < 0.5, [5, 4, 4, 4, 4]).astype(float)
                blend = track.value.copy()
                blend[_DIGITS] += generator.uniform(0.2, 1) * keep * (target - track.value)[_DIGITS]
                target = blend
            track.to(target, move, hold, overlap=0.35 * move * generator.uniform() * (generator.uniform() < 0.3))


def varied_motion(
    arm: Arm,
    poses: Array,
    generator: np.random.Generator,
    *,
    seconds: float,
    fov: float = 1.0,
    aspect: float = 0.75,
    depth: tuple[float, float] = (0.30, 0.85),
    leave: bool = False,
) -> Layered:
    """Sample the motion of one hand.

    Args:
        arm: the arm.
        poses: the person's `repertoire`.
        generator: everything random comes from here.
        seconds: length.
        fov: horizontal field of view of the camera [rad].
        aspect: height of the picture over its width.
        depth: minimum and maximum distance from the camera, m.
        leave: the hand leaves the picture once, partly or completely, and returns.
    """
    before = 1.0  # s before the clip at which the tracks start, so that a clip may begin in the middle of a movement
    end = seconds + before
    fingers = _Track.at(poses[generator.integers(len(poses))], 0.0)
    _finger_track(fingers, poses, generator, end)

    # Position and orientation of the hand vary about a mean, which is constant during the clip.
    z = float(np.exp(generator.uniform(np.log(depth[0]), np.log(depth[1]))))
    half = z * np.tan(fov / 2) * np.array([1.0, aspect])
    room = np.maximum(half - 0.09, 0.25 * half)  # half a hand size away from the picture's edges
    centre = np.array([*(generator.uniform(-0.9, 0.9, 2) * room), z])
    facing = generator.choice(["palm", "side", "back"], p=[0.62, 0.15, 0.23])
    yaw = {"palm": 0.0, "side": generator.choice([-1, 1]) * 65.0, "back": 180.0}[str(facing)]
    roll = generator.normal(0, 22) if generator.uniform() < 0.75 else generator.uniform(-110, 110)
    mean = np.radians([yaw + generator.normal(0, 18), generator.normal(-5, 18), roll])
    far = float(np.exp(generator.uniform(np.log(0.008), np.log(0.11))))
    turn = np.radians(np.exp(generator.uniform(np.log(4.0), np.log(45.0))))

    def sample_root() -> Array:
        q = np.zeros(len(JOINTS))
        q[0:3] = centre + far * generator.normal(size=3) * (1, 0.8, 0.7)
        q[0:2] = np.clip(q[0:2], -0.95 * room, 0.95 * room)
        q[2] = max(q[2], 0.26)
        q[3:6] = mean + turn * generator.normal(size=3) * (1, 0.45, 0.6)
        q[_ARM] = np.clip(turn * generator.normal(size=3) * (0.7, 0.6, 0.3), LIMITS[_ARM, 0], LIMITS[_ARM, 1])
        return q

    stops, times = [sample_root()], list[tuple[float, float]]()
    t = 0.0
    away = generator.uniform(before + 0.3, before + max(0.6 * seconds, 0.31)) if leave else np.inf
    while t < end:
        (shortest, longest), pausing, pause = _manner(generator)
        for _ in range(int(generator.integers(1, 4))):
            move = float(np.exp(generator.uniform(np.log(shortest), np.log(longest)))) * 1.2
            hold = float(generator.uniform(*pause)) if generator.uniform() < pausing else 0.0
            if t >= away:
                away = np.inf
                q = stops[-1].copy()
                angle, reach = generator.uniform(0, 2 * np.pi), generator.uniform(0.7, 1.6)
                q[0:2] = reach * (half + 0.05) * np.array([np.cos(angle), np.sin(angle)]) / 0.8
                stops += [q, sample_root()]
                times += [(t, move), (t + move + 0.5 * hold, move)]
                t += 2 * move + 0.5 * hold
                continue
            q = sample_root()
            if generator.uniform() < 0.15:  # the palm turns away, or back
                q[index_of("yaw")] += np.radians(generator.choice([-1, 1]) * generator.uniform(80, 180))
                move = max(move, 0.4)
            stops.append(q)
            times.append((t, move))
            t += move + hold
    roots = np.array(stops)
    # The stops are positions of the hand's centre; a pose holds that of the wrist, which follows from it.
    posed = roots.copy()
    posed[:, _DIGITS] = poses[0][_DIGITS]
    middle = arm.keypoints(posed).mean(axis=-2) - roots[:, 0:3]
    roots[:, 0:3] -= middle

    taps = _Track.at(np.zeros(len(JOINTS)), generator.uniform(0, end))
    if generator.uniform() < 0.3:  # single fingers move independently for a while
        digits = generator.choice(5, size=int(generator.integers(1, 4)), replace=False)
        stop, period = taps.t + generator.uniform(0.5, 2.0), generator.uniform(0.12, 0.35)
        while taps.t < min(stop, end):
            target = np.zeros(len(JOINTS))
            finger = FINGERS[generator.choice(digits)]
            first, size = ("thumb_mcp" if finger == "thumb" else f"{finger}_mcp"), generator.uniform(8, 40)
            target[index_of(f"{first}_flexion")] = np.radians(size)
            second = "thumb_ip_flexion" if finger == "thumb" else f"{finger}_pip_flexion"
            target[index_of(second)] = np.radians(0.5 * size)
            taps.to(target, period, 0.0)
            taps.to(np.zeros(len(JOINTS)), period, generator.uniform(0, 0.2))

    begin = np.array([*fingers.begin, *(t for t, _ in times), *taps.begin]) - before
    length = np.array([*fingers.length, *(move for _, move in times), *taps.length])
    change = np.concatenate(
        [
            np.reshape(fingers.change, (-1, len(JOINTS))),
            np.diff(roots, axis=0),
            np.reshape(taps.change, (-1, len(JOINTS))),
        ]
    )
    start = (fingers.value - np.sum(fingers.change, axis=0)) + roots[0]
    amplitude, frequency = _unrest(generator)
    phase = generator.uniform(0, 2 * np.pi, amplitude.shape)
    return Layered(start, begin, length, change, motion.sample_lag(generator), amplitude, frequency, phase)


def _unrest(generator: np.random.Generator) -> tuple[Array, Array]:
    """Sample amplitudes [6, 30] and frequencies [6] Hz of slow drift (below 1 Hz) and tremor (6 to 11 Hz)."""
    frequency = np.concatenate([generator.uniform(0.1, 0.8, 3), generator.uniform(6, 11, 3)])
    amplitude = np.zeros((6, len(JOINTS)))
    slow, tremor = np.exp(generator.normal(0, 0.5, 2))
    amplitude[:3, 0:3] = slow * 1.2e-3
    amplitude[:3, [*range(3, 6), *_ARM]] = slow * np.radians(0.5)
    amplitude[:3, _DIGITS] = slow * np.radians(0.25)
    amplitude[3:, 0:3] = tremor * 0.05e-3
    amplitude[3:, [*range(3, 6), *_ARM, *_DIGITS]] = tremor * np.radians(0.02)
    return amplitude, frequency
