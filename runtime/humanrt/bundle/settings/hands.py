"""Settings of bundles for the task ``hands``."""

from __future__ import annotations

from dataclasses import dataclass
from reprlib import repr as short

from humanrt.bundle import Bundle
from humanrt.bundle.settings.detector import DetectorSettings
from humanrt.bundle.settings.section import MAX_IMAGE_SIZE, Section, Shapes
from humanrt.geometry.region import FollowRule, RegionRule

__all__ = ["HAND_KEYPOINTS", "HandsSettings", "region_rule", "region_scale"]

HAND_KEYPOINTS = 21


@dataclass(frozen=True)
class HandsSettings:
    """Settings of a bundle for the task ``hands``.

    Attributes:
        palm: settings of the palm detector.
        wrist, middle_mcp: indices of the palm keypoints that define the hand's up direction.
        palm_region: how a region is grown from a palm detection.
        models: names of the landmark models.
        presence_threshold: presence score below which a region holds no hand, 0..1.
        region: how the next frame's region follows from the keypoints.
    """

    palm: DetectorSettings
    wrist: int
    middle_mcp: int
    palm_region: RegionRule
    models: tuple[str, ...]
    presence_threshold: float
    region: FollowRule

    @classmethod
    def of(cls, bundle: Bundle) -> HandsSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        palm, landmarks = settings.section("palm"), settings.section("landmarks")
        detector = DetectorSettings.of(bundle, "palm_detector", "palm")
        wrist, middle_mcp = (palm.integer(name, 0, detector.keypoints - 1) for name in ("wrist", "middle_mcp"))
        if wrist == middle_mcp:
            raise palm.error("middle_mcp", "must differ from `wrist`")
        models = landmarks.texts("models")
        for index, model in enumerate(models):
            if f"landmarks_{model}" not in bundle.graphs:
                raise landmarks.error(f"models.{index}", f"names {short(model)}, for which there is no graph")
            shapes = Shapes(bundle, f"landmarks_{model}")
            size = shapes.of("image", 1, 3, "size", "size")[2]
            shapes.of("image", 1, 3, landmarks.integer("input_size", 1, MAX_IMAGE_SIZE, default=size), size)
            for name in ("keypoints_2d", "keypoints_3d"):
                shapes.of(name, 1, HAND_KEYPOINTS, 3)
            for name in ("presence", "handedness"):
                shapes.of(name, 1, 1)
        region, up = landmarks.section("region"), landmarks.section("region").section("up")
        inside = region.integers("keypoints", 0, HAND_KEYPOINTS - 1)
        if len(set(inside)) < 2:
            raise region.error("keypoints", "must contain at least two keypoints")
        return cls(
            detector,
            wrist,
            middle_mcp,
            region_rule(palm.section("region")),
            models,
            landmarks.number("presence_threshold", 0.0, 1.0),
            FollowRule(region_rule(region), inside, *(up.weights(end, HAND_KEYPOINTS) for end in ("from", "to"))),
        )


def region_rule(settings: Section) -> RegionRule:
    """Read how a region is made from a detection or from landmarks."""
    return RegionRule(region_scale(settings), settings.number("shift", -10.0, 10.0))


def region_scale(settings: Section) -> float:
    """Read how much larger than its circle or box a region is."""
    return settings.number("scale", 0.05, 50.0)
