"""Where wrists are in the room, against the truth of rendered clips: errors in mm and degrees, by what is known.

::

    python bench/wrist_pose.py tests/data/hand_turning.mp4 tests/data/hands_crossing.mp4

Every clip lies beside its truth (.npz), as `humanrt_export.synthetic.clips` writes them. Rows: with the true length of
the hand, with lengths that are wrong by 10 %, with none (0.18 m), and with a focal length that is wrong by 10 %.
``within``: share of frames that are at most 15 mm + 5 % of the distance off.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from humanrt.geometry.hand import CHAINS
from humanrt.geometry.rotation import vectors_from_matrices
from humanrt.hands.smoothers import SMOOTHERS, open_smoother
from humanrt.hands.tracker import Hands, HandTracker
from humanrt.hands.truth import Truth
from humanrt.hands.wrist_pose import HAND_LENGTH, WristPoses
from humanrt.retarget import wrist_frame
from humanrt.sources.opening import open_source

Frames = list[tuple[float, Hands]]


def track(clip: Path, smooth: str) -> Frames:
    """Return the smoothed hands of a clip, frame by frame."""
    with open_source(str(clip)) as source, HandTracker(threads=1) as tracker:
        smoother = open_smoother(smooth, tracker)
        frames = [(frame.t, tracker(frame.image, frame.t)) for frame in source]
        return frames if smoother is None else [(t, smoother(hands, t)) for t, hands in frames]


def errors(frames: Frames, truth: Truth, wrists: WristPoses) -> np.ndarray:
    """Return per hand and frame: error in m, in degrees, and the distance in m."""
    rows = []
    for k, (t, hands) in enumerate(frames[: len(truth)]):
        for hand in wrists(hands, t, truth.size):
            for person, side in enumerate(truth.side):
                true_2d = truth.keypoints_2d[k, person]
                gap = float(np.linalg.norm(hand.keypoints_2d - true_2d, axis=1).mean())
                if side != hand.side or not truth.visible[k, person].all() or hand.wrist is None:
                    continue
                if gap > float(np.linalg.norm(np.ptp(true_2d, axis=0))) / 2:
                    continue
                points = truth.keypoints_3d[k, person].astype(np.float64)
                turn = vectors_from_matrices(hand.wrist[:3, :3].T @ wrist_frame(points, side))
                away = np.linalg.norm(hand.wrist[:3, 3] - points[0])
                rows.append((away, np.degrees(np.linalg.norm(turn)), np.linalg.norm(points[0])))
    return np.array(rows)


def true_length(truth: Truth) -> float:
    """Return the length of a clip's hands, m: from the wrist to the tip of the middle finger, along it."""
    chain = truth.keypoints_3d[..., list(CHAINS[2]), :].astype(np.float64)
    return float(np.median(np.linalg.norm(np.diff(chain, axis=-2), axis=-1).sum(axis=-1)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--smooth", choices=SMOOTHERS, default=SMOOTHERS[0])
    options = parser.parse_args()
    clips = [(track(clip, options.smooth), Truth.load(clip.with_suffix(".npz"))) for clip in options.clips]
    cases = {
        "true length": (1.0, 1.0),
        "length 10 % too long": (1.1, 1.0),
        "length 10 % too short": (0.9, 1.0),
        f"length {HAND_LENGTH:g} m": (None, 1.0),
        "focal length 10 % too long": (1.0, 1.1),
    }
    print(f"{'':28}{'mm':>6}{'95 %':>7}{'within':>8}{'degrees':>9}{'95 %':>6}   frames")
    for name, (length, focal) in cases.items():
        rows = []
        for frames, truth in clips:
            K = truth.intrinsics * np.array([[focal], [focal], [1.0]])
            K[:2, 2] = truth.intrinsics[:2, 2]
            wrists = WristPoses(
                K,
                hand_length=None if length is None else length * true_length(truth),
                smooth=options.smooth != "none",
            )
            rows.append(errors(frames, truth, wrists))
        off, turn, distance = np.concatenate(rows).T
        within = float((off <= 0.015 + 0.05 * distance).mean())
        print(
            f"{name:28}{1e3 * np.median(off):6.1f}{1e3 * np.percentile(off, 95):7.1f}{within:8.0%}"
            f"{np.median(turn):9.1f}{np.percentile(turn, 95):6.1f}{len(off):9}"
        )


if __name__ == "__main__":
    main()
