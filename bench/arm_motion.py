"""How steadily robot arms follow: whether they reach, how fast joints must move, and when they change branches.

::

    python bench/arm_motion.py                                  # smooth paths within the arm's workspace
    python bench/arm_motion.py --recording walk.jsonl           # the driver's arms in a recording (--record) of people

Smooth paths: *joints*, of sines in all joints around the rest pose, so that one branch reaches all of it; *places*, of
sines in place (up to 15 % of the reach along each axis) and turn (up to 0.6 rad about each) around the rest pose's
tool. Both take 4 s a round, at 30 frames a second. ``--seed`` begins the random numbers.

Rows: *jumping*, what was done before: each frame is solved from the last, and from anywhere where that does not reach,
at up to 15 rad/s; *steady*: `ArmRetargeter` with time; *unbounded*: the same without a limit of the joints' speed, so
that nothing hides a jump; *anew*: each frame from anywhere, which says what can be reached at all. All have the same
targets. ``at limit``: frames in which a joint moved at the solver's limit (10 rad/s) or faster; where a solver jumps,
its joints are there until they have arrived. ``> 30 mm``: frames in which the tool was further off than that.
``fastest``: rad/s of any joint. ``changing``: frames on the way to another branch.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.people.arms import arm_pose
from humanrt.retarget import ArmPose, ArmRetargeter, arms, load_arm
from humanrt.retarget.arm import Placement
from humanrt.retarget.arm_retargeter import FACING, MAX_SPEED

Array = NDArray[np.float64]
Poses = list[tuple[float, ArmPose]]

SCALE, FPS, ROUND, OFF = 1.5, 30.0, 4.0, 0.03
SHOULDER = np.array([0.2, 0.1, 2.0])
BEFORE = 15.0
"""rad/s"""


def person_at(solver: ArmRetargeter, tool: Array, elbow: Array) -> ArmPose:
    """Return the person whose arm is laid onto the robot's with its tool in a pose [4, 4]."""
    shoulder = solver.arm.positions(solver.arm.rest_pose, [solver.arm.shoulder])[0]

    def place(point: Array) -> Array:
        return SHOULDER + FACING @ (point - shoulder) / SCALE

    return ArmPose(SHOULDER, place(elbow), place(tool[:3, 3]), FACING @ tool[:3, :3])


def waves(rng: np.random.Generator, size: int, count: int) -> Array:
    """Return a smooth closed path [count, size] from 0, within -1..1, of three sines in each."""
    t = np.arange(count) / FPS * 2.0 * np.pi / ROUND
    parts = rng.uniform(-1.0, 1.0, (2, 3, size)) / np.array([1.0, 2.0, 3.0])[:, None]
    sines, cosines = (f(np.arange(1, 4)[:, None] * t) for f in (np.sin, np.cos))
    path = sines.T @ parts[0] + (cosines.T - 1.0) @ parts[1]
    limited: Array = path / max(1.0, float(np.abs(path).max()))
    return limited


def smooth_paths(solver: ArmRetargeter, kind: str, count: int, seed: int) -> Iterator[Poses]:
    """Yield paths of a person whose wrist moves within the arm's workspace."""
    rng, arm = np.random.default_rng(seed), solver.arm
    rest = arm.pose(arm.rest_pose)
    for _ in range(count):
        frames = int(2 * ROUND * FPS)
        if kind == "joints":
            way = np.clip(arm.rest_pose + 1.6 * waves(rng, len(arm.rest_pose), frames), *arm.limits.T)
            tools = [arm.pose(q) for q in way]
            elbows = [arm.positions(q, [arm.elbow])[0] for q in way]
        else:
            move, turn = waves(rng, 3, frames) * 0.15 * solver.reach, waves(rng, 3, frames) * 0.6
            tools = [rest.copy() for _ in range(frames)]
            for tool, step, axis in zip(tools, move, turn, strict=True):
                tool[:3, 3] += step
                tool[:3, :3] = matrices_from_vectors(axis) @ rest[:3, :3]
            elbows = [arm.positions(arm.rest_pose, [arm.elbow])[0]] * frames
        yield [
            (k / FPS, person_at(solver, tool, elbow)) for k, (tool, elbow) in enumerate(zip(tools, elbows, strict=True))
        ]


def recorded(path: Path, side: str) -> Poses:
    """Return the arms of the person who is seen in most frames of a recording. SystemExit: it has no people."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines = records[1:]  # the first is the header
    seen = Counter(person["id"] for line in lines for person in line.get("people", ()))
    if not seen:
        raise SystemExit(
            f"{path}: no people in this recording; make one with humanrt run --task people --record {path}"
        )
    driver = seen.most_common(1)[0][0]
    return [
        (line["t"], arm_pose(np.array(person["joints_3d"]), records[0]["joints"], side))
        for line in lines
        for person in line["people"]
        if person["id"] == driver
    ]


def follow(solver: ArmRetargeter, poses: Poses, how: str) -> tuple[Array, Array, int]:
    """Return joint angles [F, dof], errors [F, 2] in m and rad, and the number of frames on the way to a branch."""
    solver.reset()
    angles, errors, changing, last = [], [], 0, None
    for t, pose in poses:
        dt = None if last is None else t - last
        last = t
        if how in ("steady", "unbounded"):
            q = solver.solve(pose, dt=dt)
            changing += solver.state == "changing"
        else:
            if how == "anew":
                length = solver._length  # the same targets as in the other rows
                solver.reset()
                solver._length = length
            q = solver.solve(pose)
            if how == "jumping" and angles and dt is not None:
                q = np.clip(q, angles[-1] - BEFORE * dt, angles[-1] + BEFORE * dt)
        tool, turn = solver.target(pose)
        here = solver.arm.pose(q)
        off = 0.0 if turn is None else np.linalg.norm(vectors_from_matrices(here[:3, :3].T @ turn))
        angles.append(q)
        errors.append((np.linalg.norm(here[:3, 3] - tool), off))
    return np.array(angles), np.array(errors), changing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recording", type=Path)
    parser.add_argument("--robot", nargs="+", default=arms(), help="names, or paths of URDFs or JSON files")
    parser.add_argument("--side", nargs="+", choices=("left", "right"), default=["right"])
    parser.add_argument("--paths", type=int, default=10, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--max-speed", type=float, default=MAX_SPEED, help="rad/s, of the solver")
    options = parser.parse_args()
    speed = options.max_speed
    print(
        f"{'':43}frames  <= 2 mm  <= 10 mm   mm: mean, 99 %   degrees: mean, 99 %   "
        "at limit   > 30 mm   fastest   changing"
    )
    for robot in options.robot:
        for side in options.side:
            arm = load_arm(robot, side)
            if options.recording is not None:
                described = arm
                cases = {"recording": [recorded(options.recording, side)]}
            else:
                described = replace(arm, placement=Placement("camera", scale=SCALE))
                solver = ArmRetargeter(described)
                cases = {k: list(smooth_paths(solver, k, options.paths, options.seed)) for k in ("joints", "places")}
            for case, paths in cases.items():
                for how in ("jumping", "steady", "unbounded", "anew"):
                    solver = ArmRetargeter(described, max_speed=None if how == "unbounded" else speed)
                    runs = [follow(solver, path, how) for path in paths]
                    rates = np.concatenate(
                        [
                            np.abs(np.diff(q, axis=0)).max(axis=1) / np.diff([t for t, _ in path])
                            for (q, _, _), path in zip(runs, paths, strict=True)
                        ]
                    )
                    off, turn = np.concatenate([errors for _, errors, _ in runs]).T
                    print(
                        f"{Path(str(robot)).stem + ', ' + side:16} {case:10} {how:14} {len(off):6} "
                        f"{(off <= 0.002).mean():8.1%} {(off <= 0.01).mean():8.1%} "
                        f"{1e3 * off.mean():9.1f}, {1e3 * np.percentile(off, 99):6.1f}"
                        f"{np.degrees(turn.mean()):12.1f}, {np.degrees(np.percentile(turn, 99)):6.1f}"
                        f"{int((rates > speed * (1 - 1e-6)).sum()):13} {int((off > OFF).sum()):9}"
                        f"{rates.max():10.1f} {sum(c for *_, c in runs):10}"
                    )


if __name__ == "__main__":
    main()
