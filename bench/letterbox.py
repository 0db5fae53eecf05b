"""The exact letterbox of Multi-HMR (Pillow's bicubic) against OpenCV's, in one interleaved run on one thread.

OpenCV's is what humanrt had before: INTER_AREA to shrink, INTER_CUBIC to enlarge, planes split, normalised through
look-up tables. Both make the network's whole input, float32 [3, S, S], from a frame of noise; they take turns frame by
frame. A ratio is OpenCV's time by the exact one's, of the same turn; the median is the figure.

    python bench/letterbox.py [--portable]
"""

from __future__ import annotations

import argparse
from time import perf_counter

import cv2
import numpy as np

from humanrt.camera import Letterbox
from humanrt.letterbox import NativeScaler, PortableScaler, Scaler, levels_of
from humanrt.stats import machine

CASES = (((1280, 720), 448), ((1920, 1080), 672), ((640, 480), 448), ((320, 240), 448))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--portable", action="store_true", help="also the two twins without vector instructions")
    arguments = parser.parse_args()

    cv2.setNumThreads(1)
    levels = levels_of(MEAN, STD)
    ways: dict[str, Scaler] = {"OpenCV": PortableScaler(levels, "opencv-area"), "exact": NativeScaler(levels)}
    if arguments.portable:
        ways |= {"exact, portable C": NativeScaler(levels, portable=True), "exact, numpy": PortableScaler(levels)}
    print(machine())
    print(
        "| frame | input | way | ms (median) | ms (5 %) | times OpenCV's speed |\n| --- | --- | --- | --- | --- | --- |"
    )
    for size, side in CASES:
        rgb = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
        box, out = Letterbox.fit(size, side), np.empty((3, side, side), np.float32)
        times = np.empty((arguments.turns + 2, len(ways)))
        for turn in times:
            for way, scale in enumerate(ways.values()):
                begin = perf_counter()
                scale(rgb, box, out)
                turn[way] = (perf_counter() - begin) * 1e3
        times = times[2:]
        for name, took in zip(ways, times.T, strict=True):
            print(
                f"| {size[0]} x {size[1]} | {side} | {name} | {np.median(took):.2f} | {np.percentile(took, 5):.2f} "
                f"| {np.median(times[:, 0] / took):.2f} |"
            )


if __name__ == "__main__":
    main()
