"""Every configuration that dex-retargeting publishes: does it load, and is the objective's value the peer's?

::

    python bench/retarget_peers.py --install --keypoints x.jsonl --frames 1       # makes the peers' environment
    PYTHONPATH=runtime ~/.cache/humanrt/bench-peers/bin/python bench/dex_configs.py

The URDFs are those that dexi-rs carries. For each of 20 random poses and hands the value of the peer's own objective
function stands against ours (`Retargeter.cost`, without the pull to the rest pose); shown is the largest relative
difference. ``position`` is another function here (`humanrt.retarget.dex`), so its value is not compared.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np


def human_hands(count: int) -> np.ndarray:
    """Return made-up hands [count, 21, 3] m in the wrist frame; some pinch."""
    rng = np.random.default_rng(0)
    hands = rng.normal((0.0, 0.0, 0.1), 0.02, (count, 21, 3))
    hands[:, 0] = 0.0
    hands[::2, 8] = hands[::2, 4] + rng.normal(0.0, 0.006, (len(hands[::2]), 3))
    return hands


def difference(path: Path, config: Any) -> float:
    """Return the largest relative difference of the objective's values."""
    from humanrt.retarget import Retargeter

    ours = Retargeter(path, rest_weight=0.0)
    dex = config.build()
    optimizer = dex.optimizer
    human = np.asarray(optimizer.target_link_human_indices)
    targets = list(optimizer.target_joint_names)
    rng, worst = np.random.default_rng(1), 0.0
    p = ours._problem
    for points in human_hands(20):
        # Poses that both can take: of our variables, with what follows them.
        p.write_q(rng.uniform(p.lower, p.upper))
        q = p.q.copy()
        at = dict(zip(ours.hand.joint_names, q, strict=True))
        vectors = points[human[1]] - points[human[0]]
        fixed = np.array([at[name] for name in optimizer.fixed_joint_names])
        x = np.array([at[name] for name in targets])
        if hasattr(optimizer, "projected"):
            optimizer.projected[:] = False
        ours.reset()
        theirs = optimizer.get_objective_function(vectors, fixed, x.astype(np.float32))(x, np.array([]))
        worst = max(worst, abs(ours.cost(q, points, local=True) / theirs - 1.0))
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    import dex_retargeting
    import dexi_rs
    from dex_retargeting.retargeting_config import RetargetingConfig

    urdfs = Path(dexi_rs.__file__).parent / "resources" / "assets" / "robots" / "hands"
    configs = Path(dex_retargeting.__file__).parent / "configs"
    RetargetingConfig.set_default_urdf_dir(str(urdfs))
    os.chdir(urdfs)
    from humanrt.errors import HumanrtError
    from humanrt.retarget import Retargeter

    failed = 0
    for path in sorted(configs.rglob("*.yml")):
        name = f"{path.parent.name}/{path.stem}"
        try:
            robot = Retargeter(path)
        except HumanrtError as error:
            failed += 1
            print(f"{name:40} refused: {error}")
            continue
        config = RetargetingConfig.load_from_file(str(path))
        value = "" if config.type == "position" else f"{difference(path, config):.1e}"
        print(f"{name:40} {config.type:9} {len(robot.joint_names):3} joints {value:>9}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
