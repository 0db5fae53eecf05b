"""Animate a character as a film's people move: python examples/06_animate.py [VIDEO] [OUT.glb]."""

import sys

import humanrt
from humanrt.data import PEOPLE_CLIP
from humanrt.outputs.record import Recorder
from humanrt.tasks import open_people

source = sys.argv[1] if len(sys.argv) > 1 else PEOPLE_CLIP
out = sys.argv[2] if len(sys.argv) > 2 else "people.glb"
with humanrt.open_source(source) as frames, open_people() as pipeline:
    print(humanrt.play(frames, pipeline, [Recorder("people.jsonl")]))

for id, track in humanrt.read_recording("people.jsonl").tracks().people.items():
    print(f"person {id}: {len(track)} frames from {track.t[0]:.2f} to {track.t[-1]:.2f} s")
for path in humanrt.convert("people.jsonl", out):  # open it in Blender, or drop it on any glTF viewer
    print(path)
