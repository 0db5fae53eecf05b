"""Hand landmarks: a region of the image to 21 keypoints, in pixels and in metres."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.errors import BundleError
from humanrt.hands.region import FollowRule, Region, region_from_keypoints

__all__ = ["HandLandmarks", "LandmarkNetwork"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class HandLandmarks:
    """What the landmark network says of one region.

    Attributes:
        presence: probability that the region holds a hand.
        right: probability that it is a right hand, in an image that is not mirrored.
        keypoints_2d: [21, 2] px of the source image (origin top left), MediaPipe order.
        keypoints_3d: [21, 3] m, relative to the hand's own origin, axes of the camera (x right, y down, z forward).
        region: where to look in the next frame.
    """

    presence: float
    right: float
    keypoints_2d: Floats
    keypoints_3d: Floats
    region: Region


class LandmarkNetwork:
    """The landmark network of a hand bundle, ``model`` being ``"full"`` or ``"lite"``."""

    def __init__(self, bundle: Bundle, backend: Backend, model: str = "full") -> None:
        name = f"landmarks_{model}"
        if name not in bundle.graphs:
            models = ", ".join(g.removeprefix("landmarks_") for g in bundle.graphs if g.startswith("landmarks_"))
            raise BundleError(f"bundle {bundle.path} has no landmark model `{model}`; it has: {models}")
        self._graph = backend.open(bundle.graph(name))
        self._size = int(bundle.setting("landmarks", "input_size"))
        self._rule = FollowRule.from_settings(bundle.setting("landmarks", "region"))

    def __call__(self, rgb: NDArray[np.uint8], region: Region) -> HandLandmarks:
        """Landmarks in ``region`` of ``rgb`` (uint8 [H, W, 3])."""
        size = self._size
        to_image = region.to_image(size)
        crop = cv2.warpAffine(
            rgb,
            to_image,
            (size, size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        )
        out = self._graph.run({"image": cv2.dnn.blobFromImage(crop, 1 / 255.0)})
        points = out["keypoints_2d"][0, :, :2] @ to_image[:, :2].T.astype(np.float32)
        points += to_image[:, 2].astype(np.float32)
        # The network sees the hand upright; its metric axes are turned back to the camera's.
        metric = out["keypoints_3d"][0].copy()
        c, s = cos(region.angle), sin(region.angle)
        metric[:, :2] = metric[:, :2] @ np.array([[c, s], [-s, c]], np.float32)
        return HandLandmarks(
            presence=float(out["presence"][0, 0]),
            # MediaPipe calls this output "left", of a mirrored selfie: a right hand in the camera's own image.
            right=float(out["handedness"][0, 0]),
            keypoints_2d=points,
            keypoints_3d=metric,
            region=region_from_keypoints(points, self._rule),
        )
