"""Plausible motion of a hand: named poses, pinches that touch, and minimum-jerk movements between them.

A `Motion` is a function of time: it can be evaluated at any instant (frames, sub-frames of motion blur),
is twice continuously differentiable everywhere and never leaves the joint limits. Nothing here was recorded
from people: it is synthetic, made from joint limits, finger synergies and the minimum-jerk law of reaching.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.hand import FINGERS
from humanrt_export.synthetic.hand_model import JOINTS, LIMITS, ROOT, Arm, index_of, pose

__all__ = [
    "Drift",
    "Keyframe",
    "Motion",
    "clip",
    "counting",
    "curl",
    "fist",
    "inside",
    "minimum_jerk",
    "open_hand",
    "pinch",
    "pointing",
    "random_motion",
    "random_pose",
    "sample_lag",
]

Array = NDArray[np.float64]


def minimum_jerk(phase: NDArray[Any]) -> Array:
    """Return 0 to 1 for ``phase`` from 0 to 1, at rest before and after; value, speed, acceleration are continuous."""
    x = np.clip(phase, 0.0, 1.0)
    return np.asarray(x**3 * (10 + x * (6 * x - 15)))


@dataclass(frozen=True)
class Keyframe:
    """Reach ``q`` at ``t`` s after moving for ``move`` s; hold it until the next keyframe's movement begins."""

    t: float
    q: Array
    move: float


@dataclass(frozen=True)
class Drift:
    """The slight drift of a hand that is held still: a few slow sines on some entries of the pose.

    Attributes:
        amplitude: [30] m and rad.
        frequency: [N] Hz.
        phase: [N, 30] rad.
    """

    amplitude: Array
    frequency: Array
    phase: Array

    @classmethod
    def none(cls) -> Drift:
        """Return a drift of zero."""
        return cls(np.zeros(len(JOINTS)), np.zeros(0), np.zeros((0, len(JOINTS))))

    @classmethod
    def sample(
        cls, generator: np.random.Generator, *, period: float, millimetres: float = 4.0, degrees: float = 1.5
    ) -> Drift:
        """Sample drift of the arm (not of the fingers: a pinch must stay closed), with period ``period`` s."""
        amplitude = np.zeros(len(JOINTS))
        amplitude[0:3] = millimetres * 1e-3
        amplitude[3:6] = np.radians(degrees)
        amplitude[index_of("wrist_flexion")] = amplitude[index_of("wrist_deviation")] = np.radians(degrees)
        cycles = np.unique(np.maximum(1, np.round(np.array([0.17, 0.31, 0.57]) * period)))
        phase = generator.uniform(0, 2 * np.pi, (len(cycles), len(JOINTS)))
        return cls(amplitude / len(cycles), cycles / period, phase)

    def at(self, t: Array) -> Array:
        """Return the drift [T, 30] at times [T] s."""
        waves = np.sin(2 * np.pi * (self.frequency * t[:, None])[..., None] + self.phase)
        return np.asarray(waves.sum(axis=1) * self.amplitude)


@dataclass(frozen=True)
class Motion:
    """A pose as a function of time.

    Attributes:
        keyframes: in chronological order; their movements must not overlap.
        drift: offset added to the keyframes' poses.
        lag: [30] in [0, 1): delay of a joint's start as a fraction of each movement; the other joints finish
            correspondingly early, as the fingers of a real hand do not move in unison.
    """

    keyframes: tuple[Keyframe, ...]
    drift: Drift = field(default_factory=Drift.none)
    lag: Array = field(default_factory=lambda: np.zeros(len(JOINTS)))

    def __post_init__(self) -> None:
        for before, after in zip(self.keyframes, self.keyframes[1:], strict=False):
            if after.t - after.move < before.t - 1e-9:
                raise ValueError(
                    f"the movement to the keyframe at {after.t:.2f} s begins before the previous keyframe "
                    f"is reached at {before.t:.2f} s"
                )

    def at(self, t: NDArray[Any]) -> Array:
        """Return poses [T, 30] at times t [T] s, inside the joint limits."""
        t = np.asarray(t, dtype=np.float64)
        q = np.repeat(self.keyframes[0].q[None], len(t), axis=0)
        late = self.lag.max()
        for before, after in zip(self.keyframes, self.keyframes[1:], strict=False):
            phase = (t[:, None] - (after.t - after.move)) / after.move
            q = q + minimum_jerk((phase - self.lag) / (1 - late)) * (after.q - before.q)
        # Drift can exceed a limit slightly: compress it smoothly, as clipping would not be twice differentiable.
        return inside(q + self.drift.at(t))


def inside(q: Array, margin: float = 0.02) -> Array:
    """Smoothly keep joint angles inside their limits; angles more than ``margin`` rad away from them do not change."""
    low, high = LIMITS[:, 0], LIMITS[:, 1]

    def soft(excess: Array) -> Array:
        # Identity below -margin, constant 0 above +margin, C2 in between (a quartic blend).
        x = np.clip(excess / margin, -1.0, 1.0)
        blend = -((1 - x) ** 3) * (3 + x) / 16 * margin
        return np.where(excess < -margin, excess, blend)

    finite = np.isfinite(high)
    result = q.copy()
    result[:, finite] = high[finite] + soft(q[:, finite] - high[finite])
    result[:, finite] = low[finite] - soft(low[finite] - result[:, finite])
    return result


def clip(q: Array, margin: float = 0.02) -> Array:
    """Clip joint angles to at least ``margin`` rad inside their limits, as keyframes require."""
    return np.asarray(np.clip(q, LIMITS[:, 0] + margin, LIMITS[:, 1] - margin))


# Poses: joint angles only; the caller sets the hand's position and orientation.


def open_hand(spread: float = 1.0) -> Array:
    """Return an open hand: fingers straight; ``spread`` 0: side by side, 1: spread."""
    angles: dict[str, float] = {"thumb_cmc_abduction": -3, "thumb_cmc_flexion": -12 * spread}
    angles |= {"thumb_mcp_flexion": -12, "thumb_ip_flexion": -16}
    for finger, sideways in zip(FINGERS[1:], (4, 1, -2, -6), strict=True):
        angles |= {
            f"{finger}_mcp_flexion": -9,
            f"{finger}_pip_flexion": -11,
            f"{finger}_dip_flexion": -6,
            f"{finger}_mcp_abduction": (spread - 0.6) * sideways,
        }
    return pose(None, angles)


def curl(base: Array, finger: str, amount: float) -> Array:
    """Close one finger by ``amount``: 0 as in ``base``, 1 as in a fist."""
    if finger == "thumb":
        closed: dict[str, float] = {
            "thumb_cmc_flexion": 32,
            "thumb_cmc_abduction": 16,
            "thumb_cmc_rotation": 18,
        }
        closed |= {"thumb_mcp_flexion": 40, "thumb_ip_flexion": 42}
    else:
        # As they close, fingers converge towards the root of the thumb.
        together = {"index": -4, "middle": -1, "ring": 3, "pinky": 7}[finger]
        closed = {f"{finger}_mcp_flexion": 66, f"{finger}_pip_flexion": 84, f"{finger}_dip_flexion": 48}
        closed |= {f"{finger}_mcp_abduction": together}
    target = pose(base, closed)
    return base + amount * (target - base)


def fist(arm: Arm) -> Array:
    """Return a fist: all fingers closed, the thumb's pulp on the middle and ring finger."""
    q = open_hand(0.6)
    for finger in FINGERS:
        q = curl(q, finger, 1.0)
    return thumb_over(arm, q, ("middle", "ring"))


def thumb_over(arm: Arm, q: Array, fingers: Sequence[str]) -> Array:
    """Place the thumb on the backs of the middle phalanges of closed ``fingers``."""
    bones = [arm.names.index(f"finger{FINGERS.index(finger) + 1}-2") for finger in fingers]
    rows = [int(np.flatnonzero(arm.capsule_bones == b)[0]) for b in bones]
    middles = np.tensordot(arm.capsules[rows], [0.4, 0.6], axes=(1, 0))
    radius = arm.capsule_radii[rows].mean()

    free = [index_of(name) for name in JOINTS if name.startswith("thumb")]

    def residual(at: Array) -> Array:
        moves = arm.transforms(at)
        backs = moves[..., bones, :, :]
        middle = (np.einsum("...fij,fj->...fi", backs[..., :3], middles) + backs[..., 3]).mean(axis=-2)
        palm = moves[..., arm.names.index("wrist"), :, 2]  # direction of the hand's z axis
        points, normals = arm.fingertips(at)
        gap = points[..., 0, :] - middle - (radius + 0.001) * palm
        return np.concatenate([gap / 0.0015, 0.3 * (normals[..., 0, :] + palm)], axis=-1)

    return solve(q, free, residual)


def pinch(arm: Arm, finger: str, *, others: float = 0.0, base: Array | None = None) -> Array:
    """Return a pinch of thumb and ``finger``, pulp on pulp; the others stay as in ``base`` or curl by ``others``.

    It is solved by inverse kinematics for this hand, so that the fingertips touch whatever its shape.
    """
    number = FINGERS.index(finger)
    q = open_hand(0.7) if base is None else base.copy()
    for other in FINGERS[1:]:
        if other != finger:
            q = curl(q, other, others)
    begin: dict[str, float] = {
        f"{finger}_mcp_flexion": 38,
        f"{finger}_pip_flexion": 42,
        f"{finger}_dip_flexion": 20,
        f"{finger}_mcp_abduction": 0,
        "thumb_cmc_flexion": 18 + 5 * number,
        "thumb_cmc_abduction": 8 + 3 * number,
        "thumb_cmc_rotation": 8 + 4 * number,
        "thumb_mcp_flexion": 10,
        "thumb_ip_flexion": 12,
    }
    q = pose(q, begin)
    free = [index_of(name) for name in JOINTS if name.startswith(("thumb", finger))]

    def residual(at: Array) -> Array:
        points, normals = arm.fingertips(at)
        gap = points[..., 0, :] - points[..., number, :]
        return np.concatenate([gap / 0.0005, 1.5 * (normals[..., 0, :] + normals[..., number, :])], axis=-1)

    return solve(q, free, residual)


def pointing(arm: Arm) -> Array:
    """Return a pointing pose: index finger out, the others closed, thumb on the middle finger."""
    q = open_hand(0.6)
    for finger in ("thumb", "middle", "ring", "pinky"):
        q = curl(q, finger, 1.0)
    return thumb_over(arm, q, ("middle", "ring"))


def counting(arm: Arm, number: int) -> Array:
    """Return a hand with ``number`` (0 to 5) fingers up, index first, thumb last."""
    if number == 5:
        return open_hand(1.0)
    q = open_hand(0.9)
    for finger in FINGERS[1 + number :]:
        q = curl(q, finger, 1.0)
    if number == 4:
        return curl(q, "thumb", 0.8)
    closed = FINGERS[1 + number :]
    return thumb_over(arm, curl(q, "thumb", 1.0), closed[:2])


def solve(q: Array, free: Sequence[int], residual: Callable[[Array], Array], steps: int = 40) -> Array:
    """Minimise ``residual`` over the joints ``free`` by damped Gauss-Newton, near the start and inside the limits."""
    start, free = clip(q), list(free)
    q = start.copy()
    # Joints with a larger range may leave the start further: sideways motion of fingers is small.
    sideways = np.array(["_mcp_abduction" in JOINTS[joint] for joint in free])
    pull = 1 / np.radians(np.where(sideways, 10.0, 35.0))
    limits = LIMITS[free] + np.array([0.02, -0.02])
    nudges = np.zeros((len(free), len(JOINTS)))
    nudges[np.arange(len(free)), free] = 1e-5

    def full(at: Array) -> Array:
        return np.concatenate([residual(at), pull * (at - start)[..., free]], axis=-1)

    value, damping = full(q), 1e-2
    for _ in range(steps):
        jacobian = (full(q + nudges) - value).T / 1e-5
        step = np.linalg.solve(jacobian.T @ jacobian + damping * np.eye(len(free)), -jacobian.T @ value)
        trial = q.copy()
        trial[free] = np.clip(q[free] + step, limits[:, 0], limits[:, 1])
        new = full(trial)
        if new @ new < value @ value:
            q, value, damping = trial, new, damping * 0.4
            if np.abs(step).max() < 1e-5:
                break
        else:
            damping *= 5
    return q


def random_pose(arm: Arm, generator: np.random.Generator) -> Array:
    """Sample a typical hand pose: open, closing along the common synergy, counting, pinching, free."""
    kind = generator.choice(["open", "grasp", "count", "pinch", "free"], p=[0.15, 0.3, 0.15, 0.25, 0.15])
    if kind == "open":
        q = open_hand(generator.uniform(0, 1.3))
    elif kind == "count":
        q = counting(arm, int(generator.integers(0, 6)))
    elif kind == "pinch":
        finger = str(generator.choice(FINGERS[1:], p=[0.5, 0.25, 0.15, 0.1]))
        return clip(pinch(arm, finger, others=generator.uniform(0, 0.7)))  # noise would separate the fingertips
    else:
        # The first grasping synergy closes all fingers together; the rest is individual.
        together, own = generator.uniform(0, 1), 0.15 if kind == "grasp" else 0.6
        q = open_hand(generator.uniform(0.2, 1.2))
        for finger in FINGERS:
            q = curl(q, finger, float(np.clip(together + own * generator.normal(), 0, 1)))
    noise = generator.normal(0, np.radians(4.0), len(JOINTS))
    noise[ROOT] = 0
    return clip(q + noise)


def random_motion(
    arm: Arm,
    generator: np.random.Generator,
    *,
    seconds: float,
    mean: Array | None = None,
    turn: float = 25.0,
) -> Motion:
    """Sample a sequence of random poses, with pauses.

    Args:
        arm: the arm (pinches depend on the hand's shape).
        generator: source of all randomness.
        seconds: length.
        mean: [6] m and rad, mean position and yaw, pitch, roll.
        turn: spread of wrist and forearm angles, degrees.
    """
    mean = np.array([0.0, 0.03, 0.5, 0, 0, 0]) if mean is None else mean
    t, keyframes = 0.0, list[Keyframe]()
    while not keyframes or keyframes[-1].t < seconds:
        q = random_pose(arm, generator)
        q[ROOT] = mean
        q[0:3] += generator.normal(0, (0.025, 0.02, 0.02))
        q[3:6] += generator.normal(0, np.radians((turn, 0.4 * turn, 0.5 * turn)))
        for name, share in (("supination", 0.8), ("wrist_flexion", 0.5), ("wrist_deviation", 0.25)):
            q[index_of(name)] = generator.normal(0, np.radians(share * turn))
        move = float(generator.uniform(0.25, 0.9))
        if keyframes:
            t += move
        keyframes.append(Keyframe(t, clip(q), move))
        t += float(generator.choice([0.0, generator.uniform(0.1, 0.8)]))  # a pause, or none
    drift = Drift.sample(generator, period=max(seconds, 4.0))
    return Motion(tuple(keyframes), drift, sample_lag(generator))


def sample_lag(generator: np.random.Generator, max_lag: float = 0.18) -> Array:
    """Sample a small lag for each finger and the arm, as fractions [30] of a movement's duration."""
    lag = np.zeros(len(JOINTS))
    for finger in FINGERS:
        columns = [index for index, name in enumerate(JOINTS) if name.startswith(finger)]
        lag[columns] = generator.uniform(0, max_lag)
    return lag
