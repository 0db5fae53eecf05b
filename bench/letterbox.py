"""The exact letterbox of Multi-HMR (Pillow's bicubic) against OpenCV's, in one interleaved run on one thread.

OpenCV's is what humanrt had before: INTER_AREA to shrink, INTER_CUBIC to enlarge, planes split, normalised through
look-up tables. Both make the network's whole input, float32 [3, S, S], from a frame of noise; they take turns frame by
frame. Two ratios, OpenCV's time by the exact one's: the median over turns, and that of the fastest twentieths, which
other work on the machine disturbs least.

    python bench/letterbox.py [--all]
"""

from __future__ import annotations

import argparse
from time import perf_counter

import cv2
import numpy as np

from humanrt.geometry.camera import Letterbox
from humanrt.geometry.letterbox import NativeScaler, PortableScaler, Scaler, levels_of
from humanrt.stats import machine

CASES = (((1280, 720), 448), ((1920, 1080), 672), ((640, 480), 448), ((320, 240), 448))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--all", action="store_true", help="also without AVX2, and in numpy")
    arguments = parser.parse_args()

    cv2.setNumThreads(1)
    levels = levels_of(MEAN, STD)
    ways: dict[str, Scaler] = {"OpenCV": PortableScaler(levels, "opencv-area"), "exact": NativeScaler(levels)}
    if arguments.all:
        ways |= {f"exact, {code}": NativeScaler(levels, code=code) for code in ("sse2", "portable")}
        ways |= {"exact, numpy": PortableScaler(levels)}
    print(machine())
    print("| frame | input | way | ms: median | fastest 5 % | times OpenCV's speed: median | fastest 5 % |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
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
        fastest = np.percentile(times, 5, axis=0)
        for i, name in enumerate(ways):
            ratio = np.median(times[:, 0] / times[:, i])
            print(
                f"| {size[0]} x {size[1]} | {side} | {name} | {np.median(times[:, i]):.2f} | {fastest[i]:.2f} "
                f"| {ratio:.2f} | {fastest[0] / fastest[i]:.2f} |"
            )


if __name__ == "__main__":
    main()
