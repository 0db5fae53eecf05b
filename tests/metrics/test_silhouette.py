"""IoU of masks, by hand."""

from __future__ import annotations

import numpy as np

from humanrt.metrics.silhouette import iou


def test_iou() -> None:
    one, other = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert np.isnan(iou(one, other))
    one[:2], other[1:3] = True, True  # 8 px each, 4 in common
    assert iou(one, other) == 4 / 12
    assert iou(one, one) == 1
