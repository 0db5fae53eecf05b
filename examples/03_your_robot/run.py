"""Your own robot hand, from a URDF and the names of its fingertips: python examples/03_your_robot/run.py [VIDEO]."""

import sys
from pathlib import Path

import numpy as np

import humanrt
from humanrt.data import CLIP

source = sys.argv[1] if len(sys.argv) > 1 else CLIP
robot = str(Path(__file__).with_name("my_hand.json"))  # where `humanrt run --robot` expects a name, too
pipeline = humanrt.HandPipeline(humanrt.HandTracker(), [robot], humanrt.HandPoseSmoother())
(name,) = pipeline.joint_names  # "my_hand"
print(*pipeline.joint_names[name])
with humanrt.open_source(source) as frames:
    for frame in frames:
        result = pipeline(frame)
        for hand in result.hands:
            print(f"{frame.t:.2f} s:", np.round(result.robots[hand.id][name], 2))
