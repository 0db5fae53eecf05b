"""Settings of single-shot detectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import Bundle
from humanrt.bundle.settings.section import MAX_IMAGE_SIZE, REMEDY, Section, Shapes
from humanrt.errors import BundleError

__all__ = ["DetectorSettings"]


@dataclass(frozen=True)
class DetectorSettings:
    """Settings of a single-shot detector.

    Attributes:
        input_size: px, side of the square input.
        input_range: the values that pixels 0 and 255 are mapped to.
        box_scale: px of the square input per unit of the box output.
        score_threshold: detections below this score are ignored, 0..1.
        nms_iou: IoU from which two boxes are the same detection.
        keypoints: number of keypoints of a box.
    """

    input_size: int
    input_range: tuple[float, float]
    box_scale: float
    score_threshold: float
    nms_iou: float
    keypoints: int

    @classmethod
    def of(cls, bundle: Bundle, graph: str, section: str) -> DetectorSettings:
        """Read ``settings.SECTION`` of a bundle, checked against the graph. BundleError names what is wrong."""
        settings = Section.of(bundle).section(section)
        size = settings.integer("input_size", 1, MAX_IMAGE_SIZE)
        shapes = Shapes(bundle, graph)
        shapes.of("image", 1, 3, size, size)
        _, anchors, values = shapes.of("boxes", 1, "anchors", "4 + 2 x keypoints")
        shapes.of("scores", 1, anchors)
        keypoints = settings.integer("keypoints", 1, 1000, default=(values - 4) // 2)
        shapes.of("boxes", 1, anchors, 4 + 2 * keypoints)
        low, high = settings.numbers("input_range", 2, -1e3, 1e3, default=(0.0, 1.0))
        if not low < high:
            raise settings.error("input_range", f"must be increasing, not {[low, high]}")
        return cls(
            size,
            (low, high),
            settings.number("box_scale", 1e-3, 1e6),
            settings.number("score_threshold", 0.0, 1.0),
            settings.number("nms_iou", 0.0, 1.0),
            keypoints,
        )

    def anchors(self, bundle: Bundle, graph: str) -> NDArray[np.float32]:
        """Return the anchor centres [A, 2], 0..1 of the square, one per box. BundleError if they do not match."""
        count = Shapes(bundle, graph).of("scores", 1, "anchors")[1]
        anchors = bundle.array("anchors").get("anchors")
        if (
            anchors is None
            or anchors.shape != (count, 2)
            or anchors.dtype.kind != "f"
            or not np.isfinite(anchors).all()
        ):
            raise BundleError(f"{bundle.path}: array `anchors` must be [{count}, 2] finite numbers; {REMEDY}")
        return anchors.astype(np.float32)
