"""The yardstick for hands: MediaPipe's hand tracking loop on LiteRT, written apart from humanrt.

Palm detection -> region -> landmarks -> region from landmarks, with the published constants of MediaPipe's hand
tracking graph and the .tflite files of the mediapipe 0.10.21 wheel, run by `ai-edge-litert`. It follows one hand
and does not smooth. It shares no code with humanrt, so that the two can disagree.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from time import perf_counter
from typing import Any

import cv2
import numpy as np

WHEEL = "mediapipe==0.10.21"
MODELS = {
    "palm": "mediapipe/modules/palm_detection/palm_detection_full.tflite",
    "full": "mediapipe/modules/hand_landmark/hand_landmark_full.tflite",
    "lite": "mediapipe/modules/hand_landmark/hand_landmark_lite.tflite",
}
STABLE = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]


def models(folder: Path) -> dict[str, Path]:
    """The .tflite files, taken out of the wheel into ``folder`` (downloaded by pip when they are not there)."""
    paths = {name: folder / path for name, path in MODELS.items()}
    if not all(path.is_file() for path in paths.values()):
        with tempfile.TemporaryDirectory() as temporary:
            pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
            target = ["--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", "-d", temporary]
            subprocess.run([*pip, *target, WHEEL], check=True)
            (wheel,) = Path(temporary).glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                for member in MODELS.values():
                    archive.extract(member, folder)
    return paths


class LiteRt:
    """One .tflite model: [1, S, S, 3] float32 in, outputs in the model's order."""

    def __init__(self, path: Path, threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]
        self.last_ms = 0.0

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        self._interpreter.set_tensor(self._input, image)
        start = perf_counter()
        self._interpreter.invoke()
        self.last_ms = (perf_counter() - start) * 1e3
        return [self._interpreter.get_tensor(index) for index in self._outputs]


class LiteRtHand:
    """Follows one hand. ``__call__(rgb)`` -> dict of keypoints [21, 2] px, presence, ...; None without a hand."""

    def __init__(self, paths: dict[str, Path], model: str = "full", threads: int = 2) -> None:
        self.palm = LiteRt(paths["palm"], threads)
        self.landmarks = LiteRt(paths[model], threads)
        self.region: tuple[float, float, float, float] | None = None
        cells = [
            ((column + 0.5) / grid, (row + 0.5) / grid)
            for grid, count in ((24, 2), (12, 6))
            for row in range(grid)
            for column in range(grid)
            for _ in range(count)
        ]
        self.anchors = np.array(cells)

    def __call__(self, rgb: np.ndarray) -> dict[str, Any] | None:
        if self.region is None:
            self.region = self.detect(rgb)
            if self.region is None:
                return None
        crop, matrix = self.crop(rgb, self.region)
        screen, presence, right, world = self.landmarks(crop[None].astype(np.float32) / 255)
        if presence.item() < 0.5:
            self.region = None
            return None
        keypoints = screen.reshape(21, 3)[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        angle = self.region[3]
        metric = world.reshape(21, 3).copy()
        metric[:, :2] = metric[:, :2] @ [
            [math.cos(angle), math.sin(angle)],
            [-math.sin(angle), math.cos(angle)],
        ]
        self.region = self.follow(keypoints)
        return {
            "keypoints_2d": keypoints,
            "keypoints_3d": metric,
            "presence": presence.item(),
            "right": right.item(),
            "ms": self.landmarks.last_ms,
            "crop": crop,
        }

    def detect(self, rgb: np.ndarray) -> tuple[float, float, float, float] | None:
        height, width = rgb.shape[:2]
        side = max(height, width)
        scale = 192 / side
        to_square = np.array([[scale, 0, (192 - width * scale) / 2], [0, scale, (192 - height * scale) / 2]])
        square = cv2.warpAffine(rgb, to_square, (192, 192), flags=cv2.INTER_LINEAR)
        boxes, logits = self.palm(square[None].astype(np.float32) / 255)
        scores = 1 / (1 + np.exp(-np.clip(logits.ravel(), -100, 100)))
        best = int(scores.argmax())
        if scores[best] < 0.5:
            return None
        points = boxes.reshape(-1, 9, 2).astype(np.float64) / 192
        points[:, [0, *range(2, 9)]] += self.anchors[:, None]
        low, high = points[:, 0] - points[:, 1] / 2, points[:, 0] + points[:, 1] / 2
        sides = np.clip(np.minimum(high, high[best]) - np.maximum(low, low[best]), 0, None).prod(axis=1)
        area = (high - low).prod(axis=1)
        same = (sides / (area + area[best] - sides) > 0.3) & (scores >= 0.5)
        mean = np.average(points[same], axis=0, weights=scores[same]) * side
        mean[[0, *range(2, 9)]] -= [(side - width) / 2, (side - height) / 2]
        (x, y), (w, h), wrist, middle = mean[0], mean[1], mean[2], mean[4]
        angle = math.pi / 2 - math.atan2(wrist[1] - middle[1], middle[0] - wrist[0])
        return x + 0.5 * h * math.sin(angle), y - 0.5 * h * math.cos(angle), 2.6 * max(w, h), angle

    def follow(self, keypoints: np.ndarray) -> tuple[float, float, float, float]:
        target = ((keypoints[5] + keypoints[13]) / 2 + keypoints[9]) / 2
        wrist = keypoints[0]
        angle = math.pi / 2 - math.atan2(wrist[1] - target[1], target[0] - wrist[0])
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        inside = keypoints[STABLE] @ turn.T
        low, high = inside.min(axis=0), inside.max(axis=0)
        w, h = high - low
        x, y = turn.T @ ((low + high) / 2)
        return x + 0.1 * h * math.sin(angle), y - 0.1 * h * math.cos(angle), 2.0 * max(w, h), angle

    @staticmethod
    def crop(rgb: np.ndarray, region: tuple[float, float, float, float]) -> tuple[np.ndarray, np.ndarray]:
        x, y, size, angle = region
        c, s = size / 224 * math.cos(angle), size / 224 * math.sin(angle)
        matrix = np.array([[c, -s, x - 112 * (c - s)], [s, c, y - 112 * (s + c)]])
        return cv2.warpAffine(rgb, matrix, (224, 224), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP), matrix


def run(source: Path, folder: Path, model: str, threads: int, flip: bool = False) -> dict[str, np.ndarray]:
    """The loop over a whole video: found [T], keypoints_2d [T, 21, 2], keypoints_3d, presence, right, ms."""
    hand = LiteRtHand(models(folder), model, threads)
    video = cv2.VideoCapture(str(source))
    rows: list[dict[str, Any] | None] = []
    while True:
        ok, bgr = video.read()
        if not ok:
            break
        rgb = cv2.cvtColor(bgr[:, ::-1] if flip else bgr, cv2.COLOR_BGR2RGB)
        rows.append(hand(rgb))
    nothing = {
        "keypoints_2d": np.full((21, 2), np.nan),
        "keypoints_3d": np.full((21, 3), np.nan),
        "presence": 0.0,
        "right": np.nan,
        "ms": np.nan,
    }
    return {
        "found": np.array([row is not None for row in rows]),
        **{key: np.array([(row or nothing)[key] for row in rows]) for key in nothing},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--models", type=Path, default=Path.home() / ".cache/humanrt/mediapipe-0.10.21")
    parser.add_argument("--model", choices=("full", "lite"), default="full")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True, help="an .npz of the loop's results")
    arguments = parser.parse_args()
    result = run(arguments.source, arguments.models, arguments.model, arguments.threads)
    np.savez_compressed(arguments.out, **result)
    print(
        f"{arguments.source}: a hand in {result['found'].sum()} of {len(result['found'])} frames, "
        f"landmarks p50 {np.nanmedian(result['ms']):.2f} ms"
    )


if __name__ == "__main__":
    main()
