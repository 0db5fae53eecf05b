"""Hand landmarks: 21 keypoints of a region of the image, in pixels and in metres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import HandsSettings
from humanrt.checks import check_shapes
from humanrt.errors import BundleError, choices
from humanrt.geometry.region import Region
from humanrt.hands.placement import make_placement
from humanrt.inference.bound_graph import BoundGraph
from humanrt.kernels.image import Picture
from humanrt.perception.crop import crop_into
from humanrt.resource import Owner, releasing

__all__ = ["HandLandmarks", "LandmarkNetwork"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class HandLandmarks:
    """Output of the landmark network for one region.

    Attributes:
        presence: probability that the region holds a hand; 0 where the keypoints are not finite numbers.
        right: probability that it is a right hand, in an image that is not mirrored.
        keypoints_2d: [21, 2] px of the source image (origin top left), MediaPipe order.
        keypoints_3d: [21, 3] m, relative to the hand's own origin, axes of the camera (x right, y down, z forward).
        region: region to crop in the next frame.
    """

    presence: float
    right: float
    keypoints_2d: Floats
    keypoints_3d: Floats
    region: Region

    def __post_init__(self) -> None:
        check_shapes(self, keypoints_2d="float32 21 2", keypoints_3d="float32 21 3")


class LandmarkNetwork(Owner):
    """Landmark network of a hand bundle; ``model`` is ``"full"`` or ``"lite"``.

    Its buffers are allocated and bound once: the crop is written where the network reads it. Not thread-safe.
    """

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend, model: str = "full") -> None:
        settings = HandsSettings.of(bundle)
        name = f"landmarks_{model}"
        if model not in settings.models:
            models = choices(settings.models)
            raise BundleError(f"bundle {bundle.path} has no landmark model `{model}`; it has: {models}")
        network = self._network = self.own(BoundGraph(backend, bundle.graph(name)))
        self._crop = crop_into(network)
        points, metric, self._presence, self._right = (
            network.arrays[name] for name in ("keypoints_2d", "keypoints_3d", "presence", "handedness")
        )
        size = network.arrays["image"].shape[-1]
        self._place = make_placement(points[0], metric[0], size, settings.region)

    def __call__(self, rgb: Picture, region: Region) -> HandLandmarks:
        """Return the landmarks in ``region`` of ``rgb`` (uint8 [H, W, 3], on the network's device)."""
        self._crop(rgb, region)
        self._network.run()
        placed = self._place(region)
        return HandLandmarks(
            presence=self._presence.item() if placed.region else 0.0,
            # MediaPipe calls this output "left", of a mirrored selfie: a right hand in the camera's own image.
            right=self._right.item(),
            keypoints_2d=placed.keypoints_2d,
            keypoints_3d=placed.keypoints_3d,
            region=placed.region or region,
        )
