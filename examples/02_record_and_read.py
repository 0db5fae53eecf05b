"""Write a recording and read it back: python examples/02_record_and_read.py [VIDEO] [OUT.jsonl]."""

import sys

import numpy as np

import humanrt
from humanrt.data import CLIP
from humanrt.outputs.record import Recorder

source = sys.argv[1] if len(sys.argv) > 1 else CLIP
out = sys.argv[2] if len(sys.argv) > 2 else "hands.jsonl"
with humanrt.open_source(source) as frames, humanrt.HandPipeline() as pipeline:
    print(humanrt.play(frames, pipeline, [Recorder(out)]))

recording = humanrt.read_recording(out)
print(recording.header["task"], recording.header["source"])
for line in recording:
    for hand in line["hands"]:
        tip = np.array(hand["keypoints_3d"])[8]  # m; index fingertip, in MediaPipe's order
        print(f"{line['t']:.2f} s, hand {hand['id']}: index fingertip at {np.round(tip, 3)} m")
