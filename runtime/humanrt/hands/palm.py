"""Palm detection: the whole image to rotated regions, one per hand (MediaPipe's detector, BlazePalm)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.hands.region import Region, RegionRule, region_from_box, upright_angle

__all__ = ["Palm", "PalmDetector", "letterbox"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Palm:
    """One detected palm: its score in 0..1 and the region in which the landmark network finds the hand."""

    score: float
    region: Region


def letterbox(rgb: NDArray[np.uint8], size: int) -> tuple[NDArray[np.uint8], float, float, float]:
    """Fit the image into a ``size`` x ``size`` square: aspect kept, centred, black padding.

    Returns:
        The square, the scale (source px per square px), and the left and top padding in square px.
    """
    height, width = rgb.shape[:2]
    scale = max(height, width) / size
    w, h = max(round(width / scale), 1), max(round(height / scale), 1)
    left, top = (size - w) // 2, (size - h) // 2
    square = np.zeros((size, size, 3), np.uint8)
    cv2.resize(rgb, (w, h), dst=square[top : top + h, left : left + w], interpolation=cv2.INTER_LINEAR)
    return square, scale, left, top


class PalmDetector:
    """Finds palms in an RGB image. All sizes, thresholds and anchors come from the bundle."""

    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self._graph = backend.open(bundle.graph("palm_detector"))
        self._anchors = bundle.array("anchors")["anchors"].astype(np.float32)  # [A, 2] centres, 0..1
        self._size = int(bundle.setting("palm", "input_size"))
        self._scale = bundle.number("palm", "box_scale")
        self._iou = bundle.number("palm", "nms_iou")
        self._threshold = bundle.number("palm", "score_threshold")
        self._axis = (int(bundle.setting("palm", "wrist")), int(bundle.setting("palm", "middle_mcp")))
        region = bundle.setting("palm", "region")
        self._rule = RegionRule(float(region["scale"]), float(region["shift"]))

    def __call__(self, rgb: NDArray[np.uint8], threshold: float | None = None) -> list[Palm]:
        """Palms in ``rgb`` (uint8 [H, W, 3]), best score first."""
        square, scale, left, top = letterbox(rgb, self._size)
        blob = cv2.dnn.blobFromImage(square, 1 / 255.0)
        out = self._graph.run({"image": blob})
        boxes, scores = self._decode(out["boxes"][0], out["scores"][0], threshold or self._threshold)
        # From the unit square of the network to px of the source image.
        points = boxes.reshape(len(boxes), boxes.shape[1] // 2, 2) * self._size
        points[:, 1:] -= (left, top)  # row 0 is (width, height): it is scaled, not moved
        points *= scale
        return [self._palm(score, p) for score, p in zip(scores.tolist(), points, strict=True)]

    def _palm(self, score: float, points: Floats) -> Palm:
        width, height = points[0].tolist()
        wrist, middle = (points[2 + index].tolist() for index in self._axis)
        angle = upright_angle(wrist, middle)
        return Palm(score, region_from_box(points[1].tolist(), width, height, angle, self._rule))

    def _decode(self, raw: Floats, logits: Floats, threshold: float) -> tuple[Floats, Floats]:
        """Candidates above the threshold, merged.

        Returns:
            [K, 2 + 2 + 7 * 2] rows of (width, height), centre, keypoints, in 0..1 of the square; and scores [K].
        """
        # Comparing logits leaves the exponential to the few candidates that pass.
        keep = np.flatnonzero(logits > np.log(threshold / (1 - threshold)))
        if keep.size == 0:
            return np.zeros((0, 18), np.float32), np.zeros(0, np.float32)
        raw, logits = raw[keep], logits[keep]
        boxes = raw / np.float32(self._scale)
        boxes[:, :2] += self._anchors[keep]
        boxes[:, 4:] += np.tile(self._anchors[keep], (1, 7))
        boxes = np.concatenate((boxes[:, 2:4], boxes[:, :2], boxes[:, 4:]), axis=1)
        scores = (1 / (1 + np.exp(-np.clip(logits, -100, 100)))).astype(np.float32)
        return _merge(boxes, scores, self._iou)


def _merge(boxes: Floats, scores: Floats, iou: float) -> tuple[Floats, Floats]:
    """Weighted non-maximum suppression (Bazarevsky et al., BlazeFace, 2019): overlapping boxes are averaged."""
    half = boxes[:, :2] / 2
    low, high = boxes[:, 2:4] - half, boxes[:, 2:4] + half
    area = np.prod(boxes[:, :2], axis=1)
    left = np.argsort(-scores, kind="stable")
    merged, best = [], []
    while left.size:
        first = left[0]
        sides = np.clip(np.minimum(high[first], high[left]) - np.maximum(low[first], low[left]), 0, None)
        overlap = sides[:, 0] * sides[:, 1]
        same = overlap / (area[first] + area[left] - overlap) > iou
        same[0] = True
        group = left[same]
        merged.append(np.average(boxes[group], axis=0, weights=scores[group]))
        best.append(scores[first])
        left = left[~same]
    return np.array(merged, np.float32), np.array(best, np.float32)
