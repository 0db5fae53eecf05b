"""What PoseBERT does to the metric keypoints of a real hand, where there is no truth but what pictures and bones say.

::

    python bench/posebert_on_video.py ../shared/media/hand.mp4

- Where thumb and another fingertip meet in the picture, they should be near in space too.
- Bones of a finger become shorter towards its tip, and keep their lengths.
- Projected with a webcam's focal length, placed as well as can be, the keypoints should lie on those of the picture.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from humanrt.hands.smoother import hand_span
from humanrt.hands.smoothers import open_smoother
from humanrt.hands.tracker import HandTracker, TrackerOptions
from humanrt.sources.opening import open_source

_TIPS = {"index": 8, "middle": 12, "ring": 16, "pinky": 20}
_BONES = {"index": ((5, 6), (6, 7), (7, 8)), "middle": ((9, 10), (10, 11), (11, 12)), "thumb": ((1, 2), (2, 3), (3, 4))}
_MET = 0.15  # of the span: tips nearer in the picture touch, or lie one behind the other

Array = NDArray[np.floating]


def reprojection(points: Array, pixels: Array, focal: float, centre: Array) -> float:
    """Mean distance in hand spans between pixels [21, 2] and points [21, 3] m, translated as well as can be."""
    points, seen = points - points.mean(0), pixels - centre
    depth = focal * np.linalg.norm(points[:, :2]) / np.linalg.norm(seen - seen.mean(0))
    move = np.array([*(seen.mean(0) * depth / focal), depth])
    for _ in range(15):
        x, y, z = (points + move).T
        slopes = np.zeros((21, 2, 3))
        slopes[:, 0, 0] = slopes[:, 1, 1] = focal / z
        slopes[:, 0, 2], slopes[:, 1, 2] = -focal * x / z**2, -focal * y / z**2
        rest = seen - focal * np.stack((x, y), 1) / z[:, None]
        move = move + np.linalg.lstsq(slopes.reshape(42, 3), rest.reshape(42), rcond=None)[0]
    x, y, z = (points + move).T
    return float(np.linalg.norm(seen - focal * np.stack((x, y), 1) / z[:, None], axis=1).mean() / hand_span(pixels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("video")
    parser.add_argument("--focal", type=float, default=0.9, help="in widths of the picture (0.9: 58 degrees)")
    arguments = parser.parse_args()
    tracker = HandTracker(options=TrackerOptions(max_hands=1))
    smoothers = {name: open_smoother(name, tracker) for name in ("none", "oneeuro", "posebert")}
    points: dict[str, list[Array]] = {name: [] for name in smoothers}
    pixels: list[Array] = []
    with open_source(arguments.video, realtime=False) as source:
        for frame in source:
            hands = tracker(frame.image, frame.t)
            for name, smoother in smoothers.items():
                found = [hand for hand in (smoother(hands, frame.t) if smoother else hands) if not hand.filled]
                points[name] += [hand.keypoints_3d for hand in found]
            pixels += [hand.keypoints_2d for hand in hands]
            height, width = frame.image.shape[:2]
    seen = np.stack(pixels)
    span = np.linalg.norm(seen[:, 9] - seen[:, 0], axis=1)
    print("| | " + " | ".join(smoothers) + " |\n| --- |" + " ---: |" * len(smoothers))
    rows: dict[str, list[str]] = {}
    for finger, tip in _TIPS.items():
        met = np.linalg.norm(seen[:, 4] - seen[:, tip], axis=1) < _MET * span
        rows[f"thumb to {finger}, mm, median of {met.sum()} frames where they meet in the picture"] = [
            f"{np.median(np.linalg.norm(p[met, 4] - p[met, tip], axis=1)) * 1e3:.0f}" if met.any() else "-"
            for p in map(np.stack, points.values())
        ]
    for finger, bones in _BONES.items():
        lengths = [
            [np.linalg.norm(p[:, a] - p[:, b], axis=1) * 1e3 for a, b in bones] for p in map(np.stack, points.values())
        ]
        rows[f"bones of the {finger}, mm, mean (and deviation)"] = [
            ", ".join(f"{bone.mean():.0f} ({bone.std():.1f})" for bone in own) for own in lengths
        ]
    centre, focal = np.array((width, height)) / 2, arguments.focal * width
    far = {
        name: np.mean([reprojection(p, q, focal, centre) for p, q in zip(own, seen, strict=True)])
        for name, own in points.items()
    }
    rows["distance to the picture's keypoints, % of wrist to middle knuckle"] = [f"{100 * d:.1f}" for d in far.values()]
    for text, values in rows.items():
        print(f"| {text} | " + " | ".join(values) + " |")


if __name__ == "__main__":
    main()
