"""Body landmarks: 33 landmarks of a region of the image, in pixels and in metres."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import LandmarksSettings, is_landmarks
from humanrt.geometry.region import Region
from humanrt.inference.bound_graph import BoundGraph
from humanrt.kernels.image import Picture
from humanrt.people.person import region_from_circle
from humanrt.perception.crop import crop_into
from humanrt.resource import Owner, releasing

__all__ = ["BONES", "BodyLandmarks", "BodyNetwork", "uses_landmarks"]

Floats = NDArray[np.float32]

BONES = (
    *((0, 1), (1, 2), (2, 3), (3, 7), (0, 4), (4, 5), (5, 6), (6, 8), (9, 10)),
    *((11, 12), (11, 13), (13, 15), (15, 17), (15, 19), (15, 21), (17, 19)),
    *((12, 14), (14, 16), (16, 18), (16, 20), (16, 22), (18, 20)),
    *((11, 23), (12, 24), (23, 24), (23, 25), (24, 26), (25, 27), (26, 28)),
    *((27, 29), (28, 30), (29, 31), (30, 32), (27, 31), (28, 32)),
)
"""Pairs of landmarks (indices in `humanrt.geometry.skeleton.MEDIAPIPE_33`) that are drawn connected."""


def uses_landmarks(bundle: Bundle) -> bool:
    """Return whether a bundle for people is for `LandmarkPeople` (else for `MultiHMR`)."""
    return is_landmarks(bundle)


@dataclass(frozen=True)
class BodyLandmarks:
    """Output of the landmark network for one region.

    Attributes:
        score: probability that the region holds a person; 0 where the landmarks are not finite numbers.
        landmarks_2d: [33, 2] px of the source image (origin top left), in the order of
            `humanrt.geometry.skeleton.MEDIAPIPE_33`.
        depth: [33] px, towards (negative) or away from the camera, relative to the hips.
        landmarks_3d: [33, 3] m, relative to the midpoint of the hips, axes of the camera (x right, y down, z forward).
        visibility: [33] probability that the landmark is in the picture and not hidden.
        presence: [33] probability that the landmark is in the picture.
        region: region to crop in the next frame.
    """

    score: float
    landmarks_2d: Floats
    depth: Floats
    landmarks_3d: Floats
    visibility: Floats
    presence: Floats
    region: Region


class BodyNetwork(Owner):
    """Landmark network of a bundle ``landmarks``. Not thread-safe."""

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        settings = LandmarksSettings.of(bundle)
        self._network = self.own(BoundGraph(backend, bundle.graph("body_landmarks")))
        self._crop = crop_into(self._network)
        self._count, self._circle, self._scale = settings.count, list(settings.circle), settings.scale

    def __call__(self, rgb: Picture, region: Region) -> BodyLandmarks:
        """Return the landmarks in ``region`` of ``rgb`` (uint8 [H, W, 3], on the network's device)."""
        self._crop(rgb, region)
        self._network.run()
        out = self._network.arrays
        count, size = self._count, out["image"].shape[-1]
        raw, metric = out["landmarks"][0], out["landmarks_3d"][0, :count]
        finite = bool(np.isfinite(raw).all() and np.isfinite(metric).all())
        to_image = region.to_image(size)
        c, s = cos(region.angle), sin(region.angle)
        # The network sees the body upright; its metric axes are rotated back to the camera's.
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], np.float32)
        with np.errstate(invalid="ignore"):
            points = raw[:, :2] @ to_image[:, :2].T + to_image[:, 2]
            turned = metric @ turn
        following = region
        if finite:
            centre, edge = points[self._circle].tolist()
            following = region_from_circle(centre, edge, self._scale)
        seen = 1 / (1 + np.exp(-raw[:count, 3:5].clip(-30, 30)))
        return BodyLandmarks(
            score=float(out["presence"].item()) if finite else 0.0,
            landmarks_2d=points[:count].astype(np.float32),
            depth=raw[:count, 2] * np.float32(region.size / size),
            landmarks_3d=turned,
            visibility=seen[:, 0],
            presence=seen[:, 1],
            region=following,
        )
