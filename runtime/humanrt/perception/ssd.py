"""Single-shot detectors (SSD): boxes with keypoints from the whole image, as MediaPipe's models output them."""

from __future__ import annotations

from math import inf, log

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import DetectorSettings
from humanrt.geometry.camera import Letterbox
from humanrt.inference.bound_graph import BoundGraph
from humanrt.kernels.image import GpuImage, Picture
from humanrt.kernels.letterbox import GpuLetterbox, LetterboxOptions
from humanrt.resource import Owner, releasing

__all__ = ["BoxDecoder", "SingleShotDetector", "fitted", "letterbox"]

Floats = NDArray[np.float32]


def fitted(width: int, height: int, size: int) -> tuple[Letterbox, float]:
    """Return MediaPipe's letterbox of an image in a ``size`` x ``size`` square, and its scale, source px per px."""
    scale = max(height, width) / size
    w, h = max(round(width / scale), 1), max(round(height / scale), 1)
    return Letterbox((width, height), (size, size), (w, h), ((size - w) // 2, (size - h) // 2)), scale


def letterbox(rgb: NDArray[np.uint8], box: Letterbox) -> NDArray[np.uint8]:
    """Letterbox the image into its square: aspect kept, centred, black padding."""
    (w, h), (left, top) = box.scaled, box.offset
    square = np.zeros((box.size[1], box.size[0], 3), np.uint8)
    cv2.resize(rgb, (w, h), dst=square[top : top + h, left : left + w], interpolation=cv2.INTER_LINEAR)
    return square


class BoxDecoder:
    """Decodes the outputs of a single-shot detector; all sizes, thresholds and anchors come from its settings.

    Args:
        settings: settings of the detector.
        anchors: [A, 2] centres, 0..1 of the square.
    """

    def __init__(self, settings: DetectorSettings, anchors: Floats) -> None:
        self._anchors, self._scale, self._iou = anchors, settings.box_scale, settings.nms_iou

    def __call__(self, raw: Floats, logits: Floats, threshold: float) -> tuple[Floats, Floats]:
        """Decode the candidates above the threshold and merge overlapping ones.

        Args:
            raw: [A, 4 + 2 K], the output ``boxes``.
            logits: [A], the output ``scores``.
            threshold: min score.

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


class SingleShotDetector(Owner):
    """Detect boxes and their keypoints in an RGB image. All sizes, thresholds and anchors come from the bundle.

    Args:
        bundle: holds the graph and the array ``anchors``.
        backend: runs the graph.
        graph: name of the graph: ``image`` -> ``boxes`` [1, A, 4 + 2 K] px of its square, ``scores`` [1, A] logits.
        settings: name of the detector's settings.

    Attributes:
        decode: decodes the graph's outputs.
    """

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend, graph: str, settings: str) -> None:
        own = DetectorSettings.of(bundle, graph, settings)
        self.decode = BoxDecoder(own, own.anchors(bundle, graph))
        self._size, self._threshold = own.input_size, own.score_threshold
        low, high = own.input_range
        network = self._network = self.own(BoundGraph(backend, bundle.graph(graph)))
        self._gain, self._offset = (high - low) / 255.0, 255.0 * low / (low - high)
        if (image := network.buffers["image"].gpu) is not None:
            options = LetterboxOptions(
                "rgb", mean=(low / (low - high),) * 3, std=(1 / (high - low),) * 3, filter="linear"
            )
            self._letterbox = network.own(GpuLetterbox(image.device, image, options))
            network.precede(self._letterbox.step, "image")

    def __call__(self, rgb: Picture, threshold: float | None = None) -> tuple[list[float], Floats]:
        """Return the detections in ``rgb``, best first.

        Args:
            rgb: uint8 [H, W, 3], on the network's device.
            threshold: minimum score; None: the bundle's.

        Returns:
            Scores [N], and [N, 2 + K, 2] px of the image: (width, height) of the box, its centre, the keypoints.
        """
        box, scale = fitted(rgb.shape[1], rgb.shape[0], self._size)
        out = self._network.arrays
        if isinstance(rgb, GpuImage):
            self._letterbox.set_frame(rgb.address, rgb.pitch, box)
        else:
            np.copyto(out["image"], cv2.dnn.blobFromImage(letterbox(rgb, box), self._gain, mean=(self._offset,) * 3))
        self._network.run()
        threshold = self._threshold if threshold is None else threshold
        boxes, scores = self.decode(out["boxes"][0], out["scores"][0], threshold)
        # From the unit square of the network to px of the source image.
        points = boxes.reshape(len(boxes), boxes.shape[1] // 2, 2) * self._size
        points[:, 1:] -= box.offset  # row 0 is (width, height): it is scaled, not moved
        points *= scale
        return scores.tolist(), points


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
