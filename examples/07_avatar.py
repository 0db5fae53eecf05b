"""Move an avatar live by the VMC protocol: python examples/07_avatar.py [VIDEO|CAMERA] [HOST:PORT]."""

import sys

import humanrt
from humanrt.data import PEOPLE_CLIP
from humanrt.outputs.senders import open_sender
from humanrt.tasks import open_people

source = sys.argv[1] if len(sys.argv) > 1 else PEOPLE_CLIP
to = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:39539"  # where VSeeFace, Warudo and others listen
with humanrt.open_source(source) as frames, open_people() as pipeline:
    # The first person that is seen; `vmc://host:port?person=2` is another one. Nobody listening harms nothing.
    print(humanrt.play(frames, pipeline, [open_sender(f"vmc://{to}")]))
