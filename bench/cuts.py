"""How often `humanrt.perception.cuts` misses a cut, and how often it finds one where there is none.

::

    python bench/cuts.py ../shared/media/hand.mp4 ../shared/media/walk.mp4 ../shared/media/views/cam0*.mp4

Cuts, dissolves, flashes and changes of exposure are made of the clips given (each one scene) and of those that ship.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from time import process_time

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.data import CLIP, PEOPLE_CLIP
from humanrt.perception.cuts import CutDetector
from humanrt.sources.opening import open_source

Image = NDArray[np.uint8]
_SIZE = (640, 360)


def _found(images: Sequence[Image]) -> list[int]:
    cuts = CutDetector()
    return [k for k, image in enumerate(images) if cuts(image)]


def _lit(image: Image, gain: float) -> Image:
    return np.clip(image * gain, 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", help="videos of one scene each")
    parser.add_argument("--trials", type=int, default=100, metavar="N", help="of every kind")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    clips: list[list[Image]] = []
    for name in (*arguments.clips, str(CLIP), str(PEOPLE_CLIP)):
        with open_source(name) as source:
            images = [frame.image for frame in source]
        start = process_time()
        alarms = _found(images)
        ms = (process_time() - start) / len(images) * 1e3
        print(f"{name}: {len(alarms)} false cuts in {len(images)} frames, {ms:.2f} ms of a core each")
        clips.append([np.asarray(cv2.resize(image, _SIZE, interpolation=cv2.INTER_AREA), np.uint8) for image in images])

    def part(count: int, which: int) -> list[Image]:
        images = clips[which]
        first = int(rng.integers(0, max(len(images) - count, 0) + 1))
        return [images[min(first + k, len(images) - 1)] for k in range(count)]

    def two(count: int) -> tuple[list[Image], list[Image]]:
        a, b = rng.choice(len(clips), 2, replace=False)
        return part(count, int(a)), part(count, int(b))

    def tell(kind: str, cuts: int, missed: int, false: int) -> None:
        print(f"{kind:<36} {missed} of {cuts} missed, {false} false in {arguments.trials} clips")

    for kind, gain in (("cuts", 1.0), ("cuts in the dark (levels / 7)", 1 / 7)):
        found = []
        for _ in range(arguments.trials):
            a, b = two(8)
            found.append(_found([_lit(image, gain) for image in a + b]))
        tell(kind, len(found), sum(8 not in one for one in found), sum(len(set(one) - {8}) for one in found))
    missed = false = 0
    for _ in range(arguments.trials):
        a, b = two(8)
        gap = int(rng.integers(1, 5))
        c = part(8, int(rng.integers(len(clips))))
        alarms = _found([*a, *b[:gap], *(image[:, ::-1] for image in c)])
        missed += (8 not in alarms) + (8 + gap not in alarms)
        false += len(set(alarms) - {8, 8 + gap})
    tell("two cuts, 1 to 4 frames apart", 2 * arguments.trials, missed, false)
    for length in (8, 16, 24, 40):
        missed = false = 0
        for _ in range(arguments.trials):
            a, b = two(60)
            mixed = [
                cv2.addWeighted(a[12 + k], 1 - (k + 1) / (length + 1), b[k], (k + 1) / (length + 1), 0)
                for k in range(length)
            ]
            alarms = _found([*a[:12], *(np.asarray(image, np.uint8) for image in mixed), *b[length:]])
            hits = [k for k in alarms if 12 <= k <= 15 + length]
            missed += not hits
            false += len(alarms) - len(hits)
        tell(f"dissolves of {length} frames", arguments.trials, missed, false)
    for kind, gains in (
        ("flashes x 2.5", (2.5, 2.5)),
        ("flashes x 8", (8.0, 8.0)),
        ("exposure / 3 to x 3", (0.33, 3.0)),
    ):
        false = 0
        for _ in range(arguments.trials):
            images = part(16, int(rng.integers(len(clips))))
            gain, length = float(rng.uniform(*gains)), int(rng.integers(1, 4)) if gains[0] == gains[1] else 16
            false += len(_found([_lit(one, gain if 6 <= k < 6 + length else 1) for k, one in enumerate(images)]))
        tell(kind, 0, 0, false)
    for share in (0.05, 0.1, 0.2):
        false = 0
        for _ in range(arguments.trials):
            wide = clips[int(rng.integers(len(clips)))][int(rng.integers(50))]
            width = _SIZE[0] // 2
            steps = range(0, _SIZE[0] - width, max(1, round(width * share)))
            false += len(_found([np.ascontiguousarray(wide[:, x : x + width]) for x in steps]))
        tell(f"pans by {share:.0%} of the width a frame", 0, 0, false)


if __name__ == "__main__":
    main()
