"""How deep robot hands penetrate themselves, with and without `RetargetOptions.collisions`, and what that costs.

::

    python bench/self_collision.py                              # the true keypoints of the clip that ships
    python bench/self_collision.py --keypoints x.jsonl          # a recording (--record) of one hand

Depths are those of the capsules (`humanrt.retarget.problem`), mm, of the deepest pair of each frame. *gap*: between
the surfaces of the robot's thumb tip and fingertip where the human's tips are less than 25 mm apart. Times are those of
the processor, per frame, the shortest of `--passes` over all hands: other programs slow a frame down now and then.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from humanrt.data import TRUTH
from humanrt.hands.truth import Truth
from humanrt.retarget import Retargeter
from humanrt.retarget.capsules import TIP, capsule_radius, nearest

_TOUCHING = 0.025  # m between the human's tips


def read(path: Path | None) -> np.ndarray:
    """Return right hands [F, 21, 3] m."""
    if path is None:
        points = Truth.load(TRUTH).keypoints_3d[:, 0].astype(np.float64)
        return points - points[:, :1]
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    return np.array([h["keypoints_3d"] for line in lines for h in line["hands"] if h["side"] == "right"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keypoints", type=Path)
    parser.add_argument("--robot", nargs="+", default=["allegro_right", "leap_right", "shadow_right"])
    parser.add_argument("--objective", nargs="+", default=["pose", "dexpilot"])
    parser.add_argument("--passes", type=int, default=5)
    options = parser.parse_args()
    hands = read(options.keypoints)
    print(f"{len(hands)} frames{'':28} deepest  99 %  frames > 2 mm   ms mean   p50   gap: median, max (frames)")
    for robot in options.robot:
        pairs = Retargeter(robot, collisions=True)._problem
        for objective in options.objective:
            retargeters, solutions, shortest = {}, {}, {}
            for _ in range(options.passes):
                for collisions in (False, True):
                    retargeter = Retargeter(robot, objective=objective, collisions=collisions)
                    found, times = [], []
                    for keypoints in hands:
                        begin = time.process_time()
                        found.append(retargeter.solve(keypoints))
                        times.append(1e3 * (time.process_time() - begin))
                    retargeters[collisions], solutions[collisions] = retargeter, found
                    shortest[collisions] = np.minimum(shortest.get(collisions, np.inf), times)
            for collisions in (False, True):
                retargeter, times = retargeters[collisions], shortest[collisions]
                hand = retargeter.hand
                points = (hand.wrist, *(point for finger in hand.fingers.values() for point in finger))
                depths, gaps = [], []
                for keypoints, q in zip(hands, solutions[collisions], strict=True):
                    at = hand.positions(q, points)
                    depths.append(
                        max(
                            reach - nearest(*at[ends])[0]
                            for ends, reach in zip(pairs.collision_points, pairs.collision_reach, strict=True)
                        )
                    )
                    for slot in range(1, len(hand.fingers)):
                        if np.linalg.norm(keypoints[4 * slot + 4] - keypoints[4]) < _TOUCHING:
                            apart = np.linalg.norm(at[4 * slot + 4] - at[4])
                            gaps.append(apart - 2 * capsule_radius(hand, TIP))
                deep = 1e3 * np.maximum(depths, 0.0)
                gap = f"{1e3 * np.median(gaps):5.1f}, {1e3 * max(gaps):.1f} ({len(gaps)})" if gaps else "-"
                print(
                    f"{robot:14} {objective:9} {'apart' if collisions else '     '} {deep.max():11.1f} "
                    f"{np.percentile(deep, 99):6.1f} {int((deep > 2).sum()):10} {np.mean(times):12.3f} "
                    f"{np.median(times):6.3f}   {gap}"
                )


if __name__ == "__main__":
    main()
