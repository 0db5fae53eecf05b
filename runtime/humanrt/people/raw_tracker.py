"""The shipped tracker of people, which also keeps what its landmark network said of each region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import BodyNetworkSettings
from humanrt.geometry.region import Region
from humanrt.kernels.image import Picture
from humanrt.people.body_tracker import BodyTracker
from humanrt.people.landmarks import BodyLandmarks, BodyNetwork
from humanrt.sources.opening import Frame

__all__ = ["RawTracker", "Seen"]


@dataclass(frozen=True)
class Seen:
    """One person in one frame, as the network saw them.

    Attributes:
        id: identity, from 1.
        marks: the network's output.
        crop: the region that was cropped (`marks.region` is that of the next frame).
        silhouette: [256, 256] logits that a pixel of the crop is of this person; None if the graph has no such output.
    """

    id: int
    marks: BodyLandmarks
    crop: Region
    silhouette: NDArray[np.float32] | None


class RawTracker(BodyTracker):
    """The shipped tracker, which also keeps what its network said of each region.

    Args:
        network: bundle that has the landmark network; people are detected with the shipped bundle ``landmarks``.
        silhouettes: whether silhouettes are computed, if the network has them.
        threads: of the networks.
    """

    def __init__(self, network: Bundle, *, silhouettes: bool = True, threads: int = 1) -> None:
        super().__init__("landmarks", "cpu", threads=threads)
        silhouettes = silhouettes and bool(BodyNetworkSettings.of(network).silhouette)
        self._network = self.own(_Network(network, self.backend, silhouettes=silhouettes))
        self._landmarks = self._network

    def observe(self, frame: Frame) -> list[Seen]:
        """Return the people of the next frame."""
        kept = self._network.kept
        kept.clear()
        seen = []
        for body in self(frame.image, frame.t):
            silhouette = body.landmarks.silhouette
            crop = kept[id(body.landmarks)][1]
            seen.append(Seen(body.id, body.landmarks, crop, None if silhouette is None else silhouette.logits))
        return seen


class _Network(BodyNetwork):
    """A landmark network that keeps, by the identity of each result, the result and its region."""

    def __init__(self, bundle: Bundle, backend: Backend, *, silhouettes: bool) -> None:
        super().__init__(bundle, backend, silhouettes=silhouettes)
        self._silhouettes = silhouettes
        self.kept: dict[int, tuple[BodyLandmarks, Region]] = {}

    def __call__(self, rgb: Picture, region: Region, *, silhouette: bool = False) -> BodyLandmarks:
        marks = super().__call__(rgb, region, silhouette=silhouette or self._silhouettes)
        self.kept[id(marks)] = (marks, region)
        return marks
