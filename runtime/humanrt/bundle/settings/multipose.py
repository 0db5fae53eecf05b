"""Settings of bundles for the task ``detection``."""

from __future__ import annotations

from dataclasses import dataclass

from humanrt.bundle import Bundle
from humanrt.bundle.settings.section import MAX_IMAGE_SIZE, Section, Shapes
from humanrt.geometry.skeleton import COCO_17

__all__ = ["MultiposeSettings"]


@dataclass(frozen=True)
class MultiposeSettings:
    """Settings of a bundle for the task ``detection`` whose ``settings.model`` is ``multipose``.

    Attributes:
        input_size: px, side of the square input.
        centre_threshold: minimum probability of a person's centre, 0..1.
        keypoint_threshold: minimum score of a keypoint that is seen, 0..1.
        spread: of a keypoint's weights about the place where its person's centre expects it.
        max_people: most people in one look.
    """

    input_size: int
    centre_threshold: float
    keypoint_threshold: float
    spread: float
    max_people: int

    @classmethod
    def of(cls, bundle: Bundle) -> MultiposeSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        settings.choice("model", ["multipose"])
        multipose = settings.section("multipose")
        size = multipose.integer("input_size", 4, MAX_IMAGE_SIZE)
        keypoints = multipose.texts("keypoints", len(COCO_17))
        if keypoints != COCO_17:
            raise multipose.error("keypoints", "must be COCO's, in COCO's order")
        shapes = Shapes(bundle, "multipose")
        shapes.of("image", 1, 3, size, size)
        cells = (size // 4, size // 4)
        channels = {"centres": 1, "regressed": 34, "heatmaps": 17, "offsets": 34, "box_offsets": 2, "box_sizes": 2}
        for name, count in channels.items():
            shapes.of(name, 1, count, *cells)
        return cls(
            size,
            multipose.number("centre_threshold", 0.0, 1.0),
            multipose.number("keypoint_threshold", 0.0, 1.0),
            multipose.number("spread", 1e-3, 1e3),
            multipose.integer("max_people", 1, 1000),
        )
