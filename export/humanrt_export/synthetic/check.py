"""Measure how well MediaPipe's own models, run by LiteRT, detect and track the hands of a rendered clip.

This is an independent, plain implementation of MediaPipe's loop (palm detection, then regions from landmarks), for
judging the clips. It shares no code with the runtime's HandTracker. It needs ``ai-edge-litert``::

    python -m humanrt_export.synthetic.check CLIP.mp4 ... --models SITE_PACKAGES/mediapipe/modules
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.hands.truth import Truth, finger_flexion
from humanrt_export.entry import run_module

__all__ = ["Reference", "follow", "frames_of", "next_region"]

Array = NDArray[np.float64]

_ROI_POINTS = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]


def _anchors() -> Array:
    """Return the anchor centres [2016, 2]: two per cell at stride 8, six per cell at stride 16, of a 192 px picture."""
    rows = []
    for cells, count in ((24, 2), (12, 6)):
        y, x = np.mgrid[0:cells, 0:cells]
        centres = (np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5) / cells
        rows.append(np.repeat(centres, count, axis=0))
    return np.concatenate(rows)


class Reference:
    """MediaPipe's palm detector and hand landmark model, as shipped."""

    def __init__(self, models: Path, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._palm = Interpreter(str(models / "palm_detection/palm_detection_full.tflite"), num_threads=threads)
        self._hand = Interpreter(str(models / "hand_landmark/hand_landmark_full.tflite"), num_threads=threads)
        for model in (self._palm, self._hand):
            model.allocate_tensors()
        self._anchors = _anchors()

    def detect(self, rgb: NDArray[np.uint8], threshold: float = 0.5) -> list[tuple[float, Array]]:
        """Detect palms: (score, region [4]: centre x, y, side, angle), best first, after non-maximum suppression."""
        height, width = rgb.shape[:2]
        size = max(width, height)
        matrix = np.array([[192 / size, 0, (1 - width / size) * 96], [0, 192 / size, (1 - height / size) * 96]])
        raw, scores = self._run(self._palm, cv2.warpAffine(rgb, matrix, (192, 192), flags=cv2.INTER_AREA))
        if raw.shape[-1] != 18:
            raw, scores = scores, raw
        score = 1 / (1 + np.exp(-scores.reshape(-1).clip(-100, 100)))
        detections: list[tuple[float, Array]] = []
        for index in np.argsort(-score):
            if score[index] < threshold:
                break
            values = raw.reshape(-1, 18)[index].astype(np.float64) / 192
            centre, extent = values[:2] + self._anchors[index], values[2:4]
            keys = values[4:].reshape(7, 2) + self._anchors[index]
            pixels = np.array([width, height]) / 2
            centre = (centre - 0.5) * size + pixels
            wrist, middle = ((keys[k] - 0.5) * size + pixels for k in (0, 2))
            angle = np.pi / 2 - np.arctan2(-(middle - wrist)[1], (middle - wrist)[0])
            side = float(extent.max()) * size
            centre = centre + _rotate(np.array([0.0, -0.5 * side]), angle)
            region = np.array([*centre, 2.6 * side, angle])
            if all(np.linalg.norm(region[:2] - other[:2]) > 0.35 * region[2] for _, other in detections):
                detections.append((float(score[index]), region))
        return detections

    def landmarks(self, rgb: NDArray[np.uint8], region: Array) -> tuple[float, float, Array, Array]:
        """Return presence, right-handedness, keypoints_2d [21, 2] px, keypoints_3d [21, 3] m of the hand in it."""
        x, y, side, angle = region
        scale = side / 224
        linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        # Corner-origin pixels on both sides; warpAffine counts from pixel centres, half a pixel further in.
        to_picture = np.column_stack([linear, np.array([x, y]) - linear @ np.array([112.0, 112.0])])
        centred = to_picture.copy()
        centred[:, 2] += linear @ np.array([0.5, 0.5]) - 0.5
        patch = cv2.warpAffine(
            rgb,
            centred,
            (224, 224),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        outputs = self._run(self._hand, patch)
        points = outputs[0].reshape(21, 3)[:, :2] @ to_picture[:, :2].T + to_picture[:, 2]
        world = outputs[3].reshape(21, 3).astype(np.float64)
        world[:, :2] = world[:, :2] @ (linear / scale).T
        return float(outputs[1].squeeze()), float(outputs[2].squeeze()), np.asarray(points), world

    @staticmethod
    def _run(model: Any, picture: NDArray[np.uint8]) -> list[NDArray[Any]]:
        model.set_tensor(model.get_input_details()[0]["index"], picture[None].astype(np.float32) / 255)
        model.invoke()
        return [model.get_tensor(out["index"]) for out in model.get_output_details()]


def next_region(points: Array) -> Array:
    """Return the region for the next frame, from keypoints [21, 2] px: centre x, y, side, angle."""
    heading = 0.5 * (0.5 * (points[5] + points[13]) + points[9]) - points[0]
    angle = np.pi / 2 - np.arctan2(-heading[1], heading[0])
    turned = _rotate(points[_ROI_POINTS], -angle)
    low, high = turned.min(axis=0), turned.max(axis=0)
    side = float((high - low).max())
    centre = _rotate((low + high) / 2, angle) + _rotate(np.array([0.0, -0.1 * side]), angle)
    return np.array([*centre, 2.0 * side, angle])


def _rotate(vectors: Array, angle: float) -> Array:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.asarray(vectors @ np.array([[cosine, sine], [-sine, cosine]]))


def frames_of(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a video, uint8 [H, W, 3] RGB."""
    capture = cv2.VideoCapture(str(path))
    while True:
        ok, frame = capture.read()
        if not ok:
            capture.release()
            return
        yield np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def follow(
    reference: Reference, frames: Iterator[NDArray[np.uint8]], hands: int
) -> list[list[tuple[float, float, Array, Array]]]:
    """Run MediaPipe's loop over a clip; return the hands of each frame, as `Reference.landmarks` returns them."""
    regions: list[Array] = []
    result = []
    for frame in frames:
        if len(regions) < hands:
            for _, region in reference.detect(frame):
                if len(regions) < hands and all(
                    np.linalg.norm(region[:2] - other[:2]) > 0.4 * other[2] for other in regions
                ):
                    regions.append(region)
        detections = [hand for hand in (reference.landmarks(frame, region) for region in regions) if hand[0] > 0.5]
        regions = []
        for hand in detections:
            region = next_region(hand[2])
            if all(np.linalg.norm(region[:2] - other[:2]) > 0.2 * other[2] for other in regions):
                regions.append(region)
        result.append(detections)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each clip."""
    parser = argparse.ArgumentParser(description="MediaPipe (LiteRT) on rendered clips")
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--save", type=Path, help="folder for the raw estimates (.npz per clip)")
    options = parser.parse_args(arguments)
    reference = Reference(options.models)
    for clip in options.clips:
        truth = Truth.load(clip.with_suffix(".npz"))
        detected = [bool(reference.detect(frame)) for frame in list(frames_of(clip))[::10]]
        tracked = follow(reference, frames_of(clip), len(truth.side))
        estimate = np.full(truth.keypoints_2d.shape, np.nan)
        world = np.full(truth.keypoints_3d.shape, np.nan)
        presence, right = np.zeros(truth.visible.shape[:2]), np.full(truth.visible.shape[:2], np.nan)
        for index, hands in enumerate(tracked):
            for score, handed, points, metric in hands:
                miss = np.linalg.norm(truth.keypoints_2d[index] - points, axis=-1).mean(axis=-1)
                nearest = int(miss.argmin())
                if miss[nearest] < 60:
                    presence[index, nearest], right[index, nearest] = score, handed
                    estimate[index, nearest], world[index, nearest] = points, metric
        error = np.linalg.norm(estimate - truth.keypoints_2d, axis=-1)
        bend = np.degrees(finger_flexion(np.nan_to_num(world)) - truth.flexion)
        for hand, side in enumerate(truth.side):
            shown = truth.visible[:, hand].mean(axis=1) > 0.9
            seen = ~np.isnan(error[:, hand, 0])
            both = shown & seen
            e = error[both, hand]
            agree = np.mean((right[both, hand] > 0.5) == (side == "right"))
            sys.stdout.write(
                f"{clip.name} {side}: {both.sum()} of {shown.sum()} frames tracked, palm found in "
                f"{100 * np.mean(detected):.0f}% of every 10th frame, presence min {presence[both, hand].min():.2f}, "
                f"px error median {np.median(e):.1f} p95 {np.percentile(e, 95):.1f} (of frame means: p95 "
                f"{np.percentile(e.mean(axis=1), 95):.1f}), side right in {100 * agree:.0f}%, "
                f"flexion error median {np.median(np.abs(bend[both, hand])):.0f} deg\n"
            )
        if options.save:
            options.save.mkdir(parents=True, exist_ok=True)
            np.savez(
                options.save / f"{clip.stem}.npz",
                estimate=estimate,
                presence=presence,
                right=right,
                world=world,
            )
    return 0


if __name__ == "__main__":
    run_module(main)
