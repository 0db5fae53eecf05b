"""Single-shot detectors (SSD): the whole image to boxes with keypoints, as MediaPipe's models give them."""

from __future__ import annotations

from math import inf, log

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle

__all__ = ["SingleShotDetector", "letterbox"]

Floats = NDArray[np.float32]


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


class SingleShotDetector:
    """Finds boxes and their keypoints in an RGB image. All sizes, thresholds and anchors come from the bundle.

    Args:
        bundle: holds the graph and the array ``anchors``.
        backend: runs it.
        graph: name of the graph: ``image`` -> ``boxes`` [1, A, 4 + 2 K] px of its square, ``scores`` [1, A] logits.
        settings: name of its settings.
    """

    def __init__(self, bundle: Bundle, backend: Backend, graph: str, settings: str) -> None:
        self._graph = backend.open(bundle.graph(graph))
        self._anchors = bundle.array("anchors")["anchors"].astype(np.float32)  # [A, 2] centres, 0..1
        self._size = int(bundle.setting(settings, "input_size"))
        self._scale = bundle.number(settings, "box_scale")
        self._iou = bundle.number(settings, "nms_iou")
        self._threshold = bundle.number(settings, "score_threshold")
        low, high = bundle.setting(settings).get("input_range", (0.0, 1.0))
        self._gain, self._offset = (high - low) / 255.0, 255.0 * low / (low - high)

    def __call__(self, rgb: NDArray[np.uint8], threshold: float | None = None) -> tuple[list[float], Floats]:
        """What is found in ``rgb`` (uint8 [H, W, 3]), best first. ``threshold``: lowest score; None: the bundle's.

        Returns:
            Scores [N], and [N, 2 + K, 2] px of the image: (width, height) of the box, its centre, the keypoints.
        """
        square, scale, left, top = letterbox(rgb, self._size)
        blob = cv2.dnn.blobFromImage(square, self._gain, mean=(self._offset,) * 3)
        out = self._graph.run({"image": blob})
        threshold = self._threshold if threshold is None else threshold
        boxes, scores = self._decode(out["boxes"][0], out["scores"][0], threshold)
        # From the unit square of the network to px of the source image.
        points = boxes.reshape(len(boxes), boxes.shape[1] // 2, 2) * self._size
        points[:, 1:] -= (left, top)  # row 0 is (width, height): it is scaled, not moved
        points *= scale
        return scores.tolist(), points

    def _decode(self, raw: Floats, logits: Floats, threshold: float) -> tuple[Floats, Floats]:
        """Candidates above the threshold, merged.

        Returns:
            [N, 2 + 2 + K * 2] rows of (width, height), centre, keypoints, in 0..1 of the square; and scores [N].
        """
        # Comparing logits leaves the exponential to the few candidates that pass.
        limit = log(threshold / (1 - threshold)) if 0 < threshold < 1 else inf if threshold >= 1 else -inf
        keep = np.flatnonzero(logits > limit)
        if keep.size == 0:
            return np.zeros((0, raw.shape[1]), np.float32), np.zeros(0, np.float32)
        raw, logits = raw[keep], logits[keep]
        boxes = raw / np.float32(self._scale)
        boxes[:, :2] += self._anchors[keep]
        boxes[:, 4:] += np.tile(self._anchors[keep], (1, raw.shape[1] // 2 - 2))
        boxes = np.concatenate((boxes[:, 2:4], boxes[:, :2], boxes[:, 4:]), axis=1)
        scores = (1 / (1 + np.exp(-np.clip(logits, -60, 60)))).astype(np.float32)
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
