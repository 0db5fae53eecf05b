"""People with 17 keypoints each in one look at a picture: MoveNet MultiPose Lightning (bundle ``multipose``).

The network finds everybody at once, in any pose, without needing a face, and has few false detections, but it is
coarse. It proposes people to the landmark network, and confirms or rejects what that finds.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import MultiposeSettings
from humanrt.geometry.region import Region
from humanrt.inference.bound_graph import BoundGraph
from humanrt.kernels.image import Picture
from humanrt.perception.crop import crop_into
from humanrt.resource import Owner, releasing

__all__ = ["Heads", "Multipose", "PoseDetection", "decoded"]

Floats = NDArray[np.float32]

_CELL = 4  # px of the network's input


@dataclass(frozen=True)
class PoseDetection:
    """One person, as the network sees them.

    Attributes:
        score: 0..1: the probability of the centre times the mean of the scores of the keypoints that are seen. It is
            small even for people in plain sight: 0.2 is sure, 0.5 very sure.
        keypoints: [17, 2] px of the image, in the order of `humanrt.geometry.skeleton.COCO_17`, from the heat maps;
            those that the heat maps do not show are as in ``regressed``.
        regressed: [17, 2] px of the image, predicted from the person's centre: coarser, but never another person's.
        keypoint_scores: [17] 0..1.
    """

    score: float
    keypoints: Floats
    regressed: Floats
    keypoint_scores: Floats


@dataclass(frozen=True)
class Heads:
    """The network's outputs for one image of H x W cells; coordinates are (y, x) in cells.

    Attributes:
        centres: [1, H, W] probability of a person's centre.
        regressed: [2 K, H, W] keypoints relative to the centre's cell.
        heatmaps: [K, H, W] probability of anybody's keypoint.
        offsets: [2 K, H, W] keypoints relative to the heat map's cell.
        box_offsets, box_sizes: [2, H, W] the person's box relative to the centre's cell.
    """

    centres: Floats
    regressed: Floats
    heatmaps: Floats
    offsets: Floats
    box_offsets: Floats
    box_sizes: Floats


def decoded(heads: Heads, settings: MultiposeSettings) -> list[PoseDetection]:
    """Decode the people of one image, best centre first; px of the network's input.

    As the published graph does: a keypoint is where its heat map, weighted by the distance from where the person's
    centre expects it, is largest within the person's box.
    """
    centres = heads.centres[0]
    height, width = centres.shape
    peaks = centres == cv2.dilate(centres, np.ones((3, 3), np.uint8))
    rows, columns = np.nonzero(peaks & (centres >= settings.centre_threshold))
    order = np.argsort(-centres[rows, columns], kind="stable")[: settings.max_people]
    count = len(heads.heatmaps)
    which = np.arange(count)
    people = []
    for y, x in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        expected = heads.regressed[:, y, x].reshape(count, 2) + np.array([y, x], np.float32)
        middle, half = heads.box_offsets[:, y, x] + (y, x), np.maximum(heads.box_sizes[:, y, x], 0) / 2
        low = np.clip(np.ceil(middle - half), 0, (height, width)).astype(int)
        high = np.clip(np.ceil(middle + half), 0, (height, width)).astype(int)
        keypoints, scores = expected.copy(), np.zeros(count, np.float32)
        if (high > low).all():
            across = [np.arange(low[k], high[k], dtype=np.float32) - expected[:, k, None] for k in (0, 1)]
            # exp of a sum of squares is a product: one exponential per row and column instead of one per cell.
            scale = settings.spread * min(height, width)
            near = [np.exp(-(gaps**2) / scale) for gaps in across]
            weighted = heads.heatmaps[:, low[0] : high[0], low[1] : high[1]] * near[0][:, :, None] * near[1][:, None]
            best = weighted.reshape(count, -1).argmax(axis=1)
            scores = weighted.reshape(count, -1)[which, best]
            cells = np.stack([best // (high[1] - low[1]) + low[0], best % (high[1] - low[1]) + low[1]], axis=1)
            offsets = heads.offsets.reshape(count, 2, height, width)[which, :, cells[:, 0], cells[:, 1]]
            keypoints = np.where(scores[:, None] > settings.keypoint_threshold, cells + offsets, expected)
        seen = scores > settings.keypoint_threshold
        mean = float(scores[seen].mean()) if seen.any() else 0.0
        people.append(
            PoseDetection(
                float(centres[y, x]) * mean,
                (keypoints[:, ::-1] * _CELL).astype(np.float32),
                (expected[:, ::-1] * _CELL).astype(np.float32),
                scores,
            )
        )
    return people


class Multipose(Owner):
    """Find people in a square of an image. Not thread-safe.

    All sizes and thresholds come from the bundle.
    """

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self._settings = MultiposeSettings.of(bundle)
        self._network = self.own(BoundGraph(backend, bundle.graph("multipose")))
        self._crop = crop_into(self._network)

    def __call__(self, rgb: Picture, region: Region) -> list[PoseDetection]:
        """Return the people in ``region`` of ``rgb`` (uint8 [H, W, 3], on the network's device), best first."""
        self._crop(rgb, region)
        self._network.run()
        out, settings = self._network.arrays, self._settings
        heads = Heads(**{one.name: out[one.name][0] for one in fields(Heads)})
        if not np.isfinite(heads.centres).all():
            return []
        people = decoded(heads, settings)
        to_image = region.to_image(settings.input_size)

        def placed(points: Floats) -> Floats:
            return np.asarray(points @ to_image[:, :2].T + to_image[:, 2], np.float32)

        found = [
            PoseDetection(one.score, placed(one.keypoints), placed(one.regressed), one.keypoint_scores)
            for one in people
            if np.isfinite(one.regressed).all() and np.isfinite(one.keypoints).all()
        ]
        return sorted(found, key=lambda one: -one.score)
