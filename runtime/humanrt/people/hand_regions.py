"""The hands of a person: regions from the body's landmarks, corrected by a network, then the hand landmarks.

No palm detector is needed, and whose hand it is, and which, is known. A body's landmarks say roughly where its hands
are; `hand_recrop` looks there and gives the square that the hand landmark network wants. Once a hand is found, its own
landmarks give the region in the next frame, as long as it stays where the body has it.
"""

from __future__ import annotations

from math import hypot

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import HandFromBody, HandRegionSettings, HolisticSettings
from humanrt.geometry.region import Region, RegionRule, region_from_box, upright_angle
from humanrt.geometry.skeleton import Side
from humanrt.hands.landmarks import HandLandmarks, LandmarkNetwork
from humanrt.inference.bound_graph import BoundGraph
from humanrt.kernels.image import Picture
from humanrt.perception.crop import crop_into
from humanrt.resource import Owner, releasing

__all__ = ["HandRecrop", "PersonHands", "hand_region"]

Floats = NDArray[np.float32]

_LEAST = 4.0  # px, size of the smallest region in which a hand is looked for


def hand_region(landmarks_2d: Floats, side: HandFromBody, settings: HandRegionSettings) -> Region:
    """Return the square around a hand, fingers up, from the body's landmarks.

    Args:
        landmarks_2d: [33, 2] px.
        side: which of them are the hand's.
        settings: how large the square is.
    """
    (wx, wy), (ix, iy), (px, py) = landmarks_2d[[side.wrist, side.index, side.pinky]].tolist()
    # Close to the knuckle of the middle finger, which the body's landmarks lack.
    x, y = (2 * ix + px) / 3, (2 * iy + py) / 3
    angle = upright_angle((wx, wy), (x, y))
    size = max(settings.length * hypot(x - wx, y - wy), settings.width * hypot(ix - px, iy - py))
    return region_from_box((x, y), size, size, angle, RegionRule(1.0, settings.shift))


class HandRecrop(Owner):
    """The network that corrects a hand's region. Not thread-safe.

    Args:
        bundle: a bundle ``holistic``.
        backend: runs the graph.
    """

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self._rule = HolisticSettings.of(bundle).hand.refined
        self._network = self.own(BoundGraph(backend, bundle.graph("hand_recrop")))
        self._crop = crop_into(self._network)

    def __call__(self, rgb: Picture, region: Region) -> Region:
        """Return the square of the hand in a region of ``rgb`` (uint8 [H, W, 3], on the network's device).

        It is the region itself where the network gives no finite numbers.
        """
        self._crop(rgb, region)
        self._network.run()
        arrays = self._network.arrays
        to_image = region.to_image(arrays["image"].shape[-1])
        points = arrays["points"][0] @ to_image[:, :2].T + to_image[:, 2]
        if not np.isfinite(points).all():
            return region
        centre, edge = points.tolist()
        # The second point is on the wrist's side, half the square's size away.
        size = 2 * hypot(edge[0] - centre[0], edge[1] - centre[1])
        return region_from_box(centre, size, size, upright_angle(edge, centre), self._rule)


class PersonHands(Owner):
    """Finds the hands of a person in a picture. Not thread-safe; keeps nothing from one call to the next.

    Args:
        bundle: a bundle ``holistic``.
        hands: the bundle ``hands``.
        backend: runs the graphs.
        model: which hand landmark model: ``full`` or ``lite``.
    """

    @releasing
    def __init__(self, bundle: Bundle, hands: Bundle, backend: Backend, model: str = "full") -> None:
        self._settings = HolisticSettings.of(bundle).hand
        self._recrop = self.own(HandRecrop(bundle, backend))
        self._landmarks = self.own(LandmarkNetwork(hands, backend, model))

    def __call__(
        self, rgb: Picture, landmarks_2d: Floats, side: Side, previous: Region | None = None
    ) -> HandLandmarks | None:
        """Return the landmarks of one hand; None if it is not seen.

        Args:
            rgb: uint8 [H, W, 3], on the networks' device.
            landmarks_2d: [33, 2] px, the body's landmarks.
            side: which hand of the person.
            previous: `HandLandmarks.region` of this hand in the previous frame; None if it was not seen. Where the hand
                is found there, one network runs; else it is looked for anew, which takes two more.
        """
        body = self._settings.left if side == "left" else self._settings.right
        if not np.isfinite(landmarks_2d).all():
            return None
        if previous is not None:
            found = self._look(rgb, previous, landmarks_2d[body.wrist])
            if found is not None:
                return found
        region = hand_region(landmarks_2d, body, self._settings)
        if region.size < _LEAST or not _touches(rgb, region):
            return None
        return self._look(rgb, self._recrop(rgb, region), landmarks_2d[body.wrist])

    def _look(self, rgb: Picture, region: Region, wrist: Floats) -> HandLandmarks | None:
        """Return the hand in a region, if there is one and it ends at the body's wrist."""
        found = self._landmarks(rgb, region)
        gap = float(np.linalg.norm(found.keypoints_2d[0] - wrist))
        near = gap <= self._settings.max_gap * region.size
        return found if found.presence >= self._settings.presence_threshold and near else None


def _touches(rgb: Picture, region: Region) -> bool:
    """Return whether a region's centre is in the picture or at most half its size outside."""
    height, width = rgb.shape[:2]
    reach = region.size / 2
    return bool(-reach < region.x < width + reach and -reach < region.y < height + reach)
