"""A hand to the joint angles of a robot hand: python examples/00_hand_to_robot.py [VIDEO, or 0 for a webcam]."""

import sys

import numpy as np

import humanrt
from humanrt.data import CLIP

source = sys.argv[1] if len(sys.argv) > 1 else CLIP
smoother = humanrt.HandPoseSmoother()  # PoseBERT; HandSmoother() is One-Euro
pipeline = humanrt.HandPipeline(humanrt.HandTracker(), ["allegro_right"], smoother)
print(*pipeline.joint_names["allegro_right"])
with humanrt.open_source(source) as frames:
    for frame in frames:
        result = pipeline(frame)
        for hand in result.hands:
            angles = result.robots[hand.id]["allegro_right"]  # [16] rad, in the order of the names above
            print(f"{frame.t:.2f} s, hand {hand.id} ({hand.side}):", np.round(angles, 2))
