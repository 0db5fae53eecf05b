"""Hand landmarks: a region of the image to 21 keypoints, in pixels and in metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.crop import make_crop
from humanrt.errors import BundleError
from humanrt.hands.placement import make_placement
from humanrt.host_copy import HostCopy
from humanrt.region import FollowRule, Region

__all__ = ["HandLandmarks", "LandmarkNetwork"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class HandLandmarks:
    """What the landmark network says of one region.

    Attributes:
        presence: probability that the region holds a hand; 0 where the keypoints are not finite numbers.
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
    """The landmark network of a hand bundle, ``model`` being ``"full"`` or ``"lite"``.

    Its buffers are allocated and bound once: the crop is written where the network reads it. Not for two threads.
    """

    def __init__(self, bundle: Bundle, backend: Backend, model: str = "full") -> None:
        name = f"landmarks_{model}"
        if name not in bundle.graphs:
            models = ", ".join(g.removeprefix("landmarks_") for g in bundle.graphs if g.startswith("landmarks_"))
            raise BundleError(f"bundle {bundle.path} has no landmark model `{model}`; it has: {models}")
        graph = backend.open(bundle.graph(name))
        image = graph.buffer("image")
        outputs = {spec.name: graph.buffer(spec.name) for spec in graph.spec.outputs}
        self._binding = graph.bind({"image": image}, outputs)
        self._image = HostCopy(image)
        self._points, self._metric, self._presence, self._right = (
            HostCopy(outputs[name]) for name in ("keypoints_2d", "keypoints_3d", "presence", "handedness")
        )
        self._fetched = [o for o in (self._points, self._metric, self._presence, self._right) if o.on_device]
        self._crop = make_crop(self._image.array)
        rule = FollowRule.from_settings(bundle.setting("landmarks", "region"))
        size = self._image.array.shape[-1]
        self._place = make_placement(self._points.array[0], self._metric.array[0], size, rule)

    def __call__(self, rgb: NDArray[np.uint8], region: Region) -> HandLandmarks:
        """Landmarks in ``region`` of ``rgb`` (uint8 [H, W, 3])."""
        self._crop(rgb, region)
        self._image.send()
        self._binding.run()
        for output in self._fetched:
            output.fetch()
        placed = self._place(region)
        return HandLandmarks(
            presence=self._presence.array.item() if placed.region else 0.0,
            # MediaPipe calls this output "left", of a mirrored selfie: a right hand in the camera's own image.
            right=self._right.array.item(),
            keypoints_2d=placed.keypoints_2d,
            keypoints_3d=placed.keypoints_3d,
            region=placed.region or region,
        )
