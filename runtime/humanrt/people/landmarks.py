"""Body landmarks: 33 landmarks of a region of the image, in pixels and in metres, and the person's silhouette."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import BodyNetworkSettings
from humanrt.checks import check_shapes
from humanrt.errors import BundleError
from humanrt.geometry.region import Region
from humanrt.inference.bound_graph import BoundGraph
from humanrt.kernels.image import Picture
from humanrt.people.person import region_from_circle
from humanrt.perception.crop import crop_into
from humanrt.resource import Owner, releasing

__all__ = ["BONES", "QUALITIES", "BalancedNetwork", "BodyLandmarks", "BodyNetwork", "Quality", "Silhouette"]

Floats = NDArray[np.float32]

Quality = Literal["fast", "balanced", "best"]
QUALITIES: tuple[Quality, ...] = get_args(Quality)
"""How people are looked at: ``fast`` by the landmark network full, ``best`` by heavy; ``balanced`` by heavy those who
are nearly as large in the picture as the largest, the others by full."""

BONES = (
    *((0, 1), (1, 2), (2, 3), (3, 7), (0, 4), (4, 5), (5, 6), (6, 8), (9, 10)),
    *((11, 12), (11, 13), (13, 15), (15, 17), (15, 19), (15, 21), (17, 19)),
    *((12, 14), (14, 16), (16, 18), (16, 20), (16, 22), (18, 20)),
    *((11, 23), (12, 24), (23, 24), (23, 25), (24, 26), (25, 27), (26, 28)),
    *((27, 29), (28, 30), (29, 31), (30, 32), (27, 31), (28, 32)),
)
"""Pairs of landmarks (indices in `humanrt.geometry.skeleton.MEDIAPIPE_33`) that are drawn connected."""


_OUTSIDE = -30.0  # logit where the crop does not reach
_OUTSIDE_WEIGHT = 0.05  # weight of a landmark outside of the picture, relative to one inside


@dataclass(frozen=True)
class Silhouette:
    """Which pixels of a region show the person whom it is about; others in it are background.

    Attributes:
        logits: [256, 256] of the crop; above 0 is the person.
        region: where the crop is in the picture.
    """

    logits: Floats
    region: Region

    def in_picture(self, width: int, height: int) -> Floats:
        """Return the probability [height, width] that a pixel of the picture shows the person, 0 outside the region."""
        # Warped as probabilities: logits differ by hundreds across an edge.
        inside = 1 / (1 + np.exp(-self.logits.clip(_OUTSIDE, -_OUTSIDE)))
        to_image = self.region.to_image(self.logits.shape[-1])
        return np.asarray(cv2.warpAffine(inside, to_image, (width, height), flags=cv2.INTER_LINEAR), np.float32)


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
        silhouette: the person's pixels, if they were asked for.
    """

    score: float
    landmarks_2d: Floats
    depth: Floats
    landmarks_3d: Floats
    visibility: Floats
    presence: Floats
    region: Region
    silhouette: Silhouette | None = None

    def __post_init__(self) -> None:
        check_shapes(
            self,
            landmarks_2d="float32 33 2",
            depth="float32 33",
            landmarks_3d="float32 33 3",
            visibility="float32 33",
            presence="float32 33",
        )

    def weights(self, size: tuple[int, int]) -> Floats:
        """Return the weights [33] of the landmarks in a fit: visibility and presence, little outside of the picture.

        The network is overconfident about landmarks that it extrapolates beyond the picture's edge.

        Args:
            size: (width, height) px of the picture.
        """
        inside = ((self.landmarks_2d >= 0) & (self.landmarks_2d < size)).all(axis=1)
        return np.asarray(self.visibility * self.presence * np.where(inside, 1.0, _OUTSIDE_WEIGHT))


class BodyNetwork(Owner):
    """Body landmark network of a bundle: ``landmarks`` has the smaller one, ``holistic`` the larger. Not thread-safe.

    Args:
        bundle: the bundle.
        backend: runs the graphs.
        silhouettes: whether silhouettes can be asked for: opens a second graph, which shares nothing in memory with the
            first, so that frames without a silhouette cost no more.

    Raises:
        BundleError: the bundle has no network with silhouettes.
    """

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend, *, silhouettes: bool = False) -> None:
        settings = BodyNetworkSettings.of(bundle)
        if silhouettes and not settings.silhouette:
            raise BundleError(
                f"bundle {bundle.path} has no graph `{settings.graph}_silhouette`; export it again, or do without "
                "silhouettes"
            )
        names = {False: settings.graph, **({True: settings.silhouette} if silhouettes else {})}
        self._networks = {key: self.own(BoundGraph(backend, bundle.graph(name))) for key, name in names.items()}
        self._crops = {key: crop_into(network) for key, network in self._networks.items()}
        self._count, self._circle, self._scale = settings.count, list(settings.circle), settings.scale

    def __call__(self, rgb: Picture, region: Region, *, silhouette: bool = False) -> BodyLandmarks:
        """Return the landmarks in ``region`` of ``rgb`` (uint8 [H, W, 3], on the network's device).

        ``silhouette``: also return the silhouette; the network must have been opened for it.
        """
        if silhouette not in self._networks:
            raise ValueError("the body network was opened without silhouettes; give silhouettes=True")
        network = self._networks[silhouette]
        self._crops[silhouette](rgb, region)
        network.run()
        out = network.arrays
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
            silhouette=Silhouette(out["silhouette"][0].copy(), region) if silhouette and finite else None,
        )


class BalancedNetwork(Owner):
    """The larger landmark network for large regions, the smaller one for the others.

    Args:
        bundle, landmarks: bundles of the larger and of the smaller network.
        backend: runs them.

    Attributes:
        min_size: px, size of a region from which the larger network looks at it.
    """

    @releasing
    def __init__(self, bundle: Bundle, landmarks: Bundle, backend: Backend) -> None:
        self._large = self.own(BodyNetwork(bundle, backend))
        self._small = self.own(BodyNetwork(landmarks, backend))
        self.min_size = 0.0

    def __call__(self, rgb: Picture, region: Region) -> BodyLandmarks:
        """Return the landmarks in a region, as `BodyNetwork` does."""
        return (self._large if region.size >= self.min_size else self._small)(rgb, region)
