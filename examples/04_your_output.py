"""An output of your own, beside a recording: joint angles as UDP packets. python examples/04_your_output.py [VIDEO]."""

import json
import socket
import sys

import humanrt
from humanrt.data import CLIP
from humanrt.outputs.record import Recorder


class Udp(humanrt.Output):
    """Sends the joint angles of every frame to an address, as one JSON packet."""

    def __init__(self, host, port):
        self.address, self.socket = (host, port), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def start(self, header):
        print("joints:", *header["robots"]["allegro_right"])

    def put(self, result, picture):  # False would end the loop; picture is None, as nothing is drawn
        angles = {identity: robots["allegro_right"].tolist() for identity, robots in result.robots.items()}
        self.socket.sendto(json.dumps({"t": result.frame.t, "angles": angles}).encode(), self.address)
        return True

    def close(self):
        self.socket.close()


source = sys.argv[1] if len(sys.argv) > 1 else CLIP
with humanrt.open_source(source) as frames, humanrt.HandPipeline(robots="allegro_right") as pipeline:
    print(humanrt.play(frames, pipeline, [Udp("127.0.0.1", 9870), Recorder("hands.jsonl")]))
