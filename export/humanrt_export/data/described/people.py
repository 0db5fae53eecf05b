"""Poses with what is true of them, ready to be described in words: `Described`; and poses that recordings lack."""

from __future__ import annotations

import random as standard
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.editing.apply import apply
from humanrt.embedding.facts import REGIONS, Region, facts
from humanrt.embedding.inputs import pose_numbers
from humanrt.geometry.pose_descriptor import without_heading
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import SMPLX_BODY, mirrored, other_sides
from humanrt_export.data.described.portraits import LEVEL
from humanrt_export.data.described.texts import description, told
from humanrt_export.data.edits.texts import edit_of, sentence
from humanrt_export.motion.augment import turn_about_vertical
from humanrt_export.motion.clip import Motion

__all__ = ["Described", "describe_poses", "telling_of", "various_poses"]

Floats = NDArray[np.float32]

_OTHER_SIDES = list(other_sides(SMPLX_BODY))
_EDITED = 0.35  # share of poses that are changed by words of the editor's grammars: hands on hips, sitting, ...
_SHAPED = 0.24  # share of poses that are brought into a shape that recordings of people who walk and dance hardly show
_CANDIDATES = 4  # recorded poses looked at for each that is taken, of which those with rare facts are likelier


@dataclass(frozen=True)
class Described:
    """N poses, their numbers and their facts.

    Attributes:
        numbers: [N, F], see `humanrt.embedding.inputs.pose_numbers`.
        rotations: [N, 22, 3, 3], level and without heading.
        heading: [N, 2] sine and cosine of the way they face, to a level camera: 0 is towards it, 90 degrees to the
            picture's right.
        names: of the facts.
        flags: bool [N, K], which are true.
        true: for each pose the facts that can be said.
    """

    numbers: Floats
    rotations: Floats
    heading: Floats
    names: tuple[str, ...]
    flags: NDArray[np.bool_]
    true: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.true)

    def text(
        self,
        random: standard.Random,
        index: int,
        telling: Mapping[str, float],
        most: int,
        regions: Sequence[Region] = REGIONS,
    ) -> tuple[str, tuple[str, ...]]:
        """Return a text about a pose, and the facts that it says; see `humanrt_export.data.described.texts`."""
        return description(random, self.true[index], telling, most, regions)

    def fits(self, said: Sequence[Sequence[str]]) -> NDArray[np.bool_]:
        """Return which poses fit which texts, bool [texts, N]: all facts that a text says are true."""
        place = {name: index for index, name in enumerate(self.names)}
        lacking = ~self.flags
        wanted = np.zeros((len(said), len(self.names)), np.float32)
        for row, names in enumerate(said):
            wanted[row, [place[name] for name in names]] = 1
        return np.asarray(wanted @ lacking.T.astype(np.float32) < 0.5)

    def rows(self, rows: NDArray[np.integer[Any]]) -> Described:
        """Return some of them."""
        return Described(
            self.numbers[rows],
            self.rotations[rows],
            self.heading[rows],
            self.names,
            self.flags[rows],
            tuple(self.true[row] for row in rows.tolist()),
        )


def describe_poses(poses: NDArray[Any]) -> Described:
    """Return poses [N, 22, 3, 3], the root's to a level camera (y down), with what is true of them."""
    found = facts(poses)
    names = tuple(found)
    flags = np.stack([found[name] for name in names], axis=1)
    true = tuple(tuple(told([names[index] for index in np.flatnonzero(row)])) for row in flags)
    level = np.array(poses, np.float64)
    level[:, 0] = without_heading(level[:, 0])
    root = LEVEL @ np.asarray(poses, np.float64)[:, 0]
    angle = np.arctan2(root[:, 0, 2] - root[:, 2, 0], root[:, 0, 0] + root[:, 2, 2])
    heading = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return Described(pose_numbers(poses), level.astype(np.float32), heading.astype(np.float32), names, flags, true)


def telling_of(described: Described) -> dict[str, float]:
    """Return how telling each fact is: the rarer, the more."""
    shares = described.flags.mean(axis=0)
    return {name: float(1 / (share + 0.02) ** 0.7) for name, share in zip(described.names, shares, strict=True)}


def various_poses(motions: Sequence[Motion], count: int, seed: int) -> NDArray[np.float64]:
    """Return poses [N, 22, 3, 3] to a level camera: recorded ones, those with rare facts more often, and changed ones.

    Half of them are mirrored. What recordings hardly show (hands on hips, kneeling) is had by changing their poses as
    the editor would be asked to, in its grammars.
    """
    random, drawn = standard.Random(seed), np.random.default_rng([seed, 31])
    chances = np.array([np.sqrt(len(motion)) for motion in motions])
    chances /= chances.sum()
    total = _CANDIDATES * count
    pool = np.empty((total, 22, 3, 3))
    for row, number in enumerate(drawn.choice(len(motions), total, p=chances).tolist()):
        motion = motions[number]
        pool[row] = motion.rotations[int(drawn.integers(len(motion)))][:22]
    pool[:, 0] = LEVEL @ pool[:, 0]
    flip = drawn.uniform(size=total) < 0.5
    pool[flip] = mirrored(pool[flip])[:, _OTHER_SIDES]
    flags = np.stack(list(facts(pool).values()), axis=1)
    rarity = (flags / (flags.mean(axis=0) + 0.01) ** 0.8).max(axis=1) + 1
    chosen = drawn.choice(total, count, replace=False, p=rarity / rarity.sum())
    poses = pool[chosen]
    for row in range(count - int(_SHAPED * count), count):
        poses[row] = _shaped(poses[row], drawn)
    for row in range(int(_EDITED * count)):
        _, changes = sentence(random)
        changed = apply(poses[row], edit_of(changes))
        if np.isfinite(changed).all():
            poses[row] = changed
    return poses


# What poses are shaped to -> how often.
_SHAPES = {
    "back": 1, "front": 1, "kneel": 4, "half kneel": 2, "fours": 1, "chair": 4, "kick": 3, "hand up": 4,
}  # fmt: skip


def _shaped(pose: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Return a pose of somebody who lies, kneels, is on all fours, sits on a chair, kicks or holds up one hand.

    Joints that do not matter for it stay as they are in ``pose``, [22, 3, 3] to a level camera. Sides are random.
    """
    out = pose.copy()
    kind = random.choice(list(_SHAPES), p=np.array(list(_SHAPES.values())) / sum(_SHAPES.values()))
    heading = turn_about_vertical(random.uniform(-np.pi, np.pi))
    sides = ["left", "right"] if random.uniform() < 0.5 else ["right", "left"]
    lean = max(0.0, random.normal(4, 12))  # of a trunk that is upright; thighs stay where they are

    def bend(joint: str, degrees: float, spread: float = 6.0, out_by: float = 4.0) -> None:
        turns = np.radians([degrees + spread * random.standard_normal(), 4 * random.standard_normal(), 0])
        side = 1 if joint.startswith("left") else -1
        turns[2] = np.radians(random.normal(side * out_by, 4)) if "hip" in joint else 0
        out[SMPLX_BODY.index(joint)] = matrices_from_vectors(turns)

    def arm(side: str, degrees: float, bent: float) -> None:
        sign = 1 if side == "left" else -1
        shoulder, elbow = (SMPLX_BODY.index(f"{side}_{part}") for part in ("shoulder", "elbow"))
        swing = random.normal(0, 10)
        out[shoulder] = matrices_from_vectors(np.radians([random.normal(0, 10), swing, sign * degrees]))
        out[elbow] = matrices_from_vectors(np.radians([0, -sign * abs(bent), 0]))

    tilt = {"back": -90.0, "front": 90.0, "fours": 80.0}.get(kind, lean) + random.normal(0, 5)
    legs: tuple[tuple[float, float], tuple[float, float]] | None = {
        "kneel": ((-5 - lean, 105), (-5 - lean, 105)),
        "half kneel": ((-5 - lean, 98), (-98 - lean, 98)),
        "fours": ((-80, 92), (-80, 92)),
        "chair": ((-85 - lean, 85), (-85 - lean, 85)),
        "kick": ((-random.uniform(50, 95), abs(random.normal(0, 14))), (4 - lean, abs(random.normal(4, 8)))),
    }.get(kind)
    if kind == "chair":
        bend_to = random.normal(0, 10)  # feet farther ahead, or nearer
        legs = ((-85 - lean, 82 + bend_to), (-85 - lean, 82 + bend_to))
    for side, (hip, knee) in zip(sides, legs or (), strict=False):
        bend(f"{side}_hip", hip, out_by=random.uniform(0, 14) if kind in ("chair", "kneel") else 4.0)
        bend(f"{side}_knee", knee)
        if kind in ("kneel", "half kneel", "fours") and (hip > -60 or kind == "fours") and random.uniform() < 0.8:
            bend(f"{side}_ankle", 40)  # the foot lies on the floor; else it stands on its toes
    if kind == "fours":  # arms down to the floor
        for side, sign in (("left", 1), ("right", -1)):
            turns = np.radians([[0, -75.0 * sign, -12.0 * sign], [0, -8.0 * sign, 0]])
            out[SMPLX_BODY.index(f"{side}_shoulder")], out[SMPLX_BODY.index(f"{side}_elbow")] = matrices_from_vectors(
                turns
            )
    if kind == "hand up":  # the other one hangs down, mostly
        arm(sides[0], random.uniform(65, 88), random.normal(0, 22))
        if random.uniform() < 0.7:
            arm(sides[1], random.normal(-72, 5), random.normal(0, 10))
        return out
    out[0] = LEVEL @ heading @ matrices_from_vectors(np.radians([tilt, 0, random.normal(0, 5)]))
    return out
