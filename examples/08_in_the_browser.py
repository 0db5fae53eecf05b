"""Watch people in the browser while they are found: python examples/08_in_the_browser.py [VIDEO|CAMERA] [PORT]."""

import sys

import humanrt
from humanrt.data import PEOPLE_CLIP
from humanrt.tasks import open_people
from humanrt.viewing.live import LiveScene  # pip install 'humanrt[viewer]'

source = sys.argv[1] if len(sys.argv) > 1 else PEOPLE_CLIP
port = int(sys.argv[2]) if len(sys.argv) > 2 else 8080
with humanrt.open_source(source) as frames, open_people() as pipeline:
    scene = LiveScene(pipeline.model.rig, port=port)
    print(f"open {scene.stage.url}")
    print(humanrt.play(frames, pipeline, [scene]))  # the page stays until the source ends
