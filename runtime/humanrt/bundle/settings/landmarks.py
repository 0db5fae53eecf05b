"""Settings of people bundles `landmarks`."""

from __future__ import annotations

from dataclasses import dataclass

from humanrt.bundle import Bundle
from humanrt.bundle.settings.body import BodyNetworkSettings, BodySettings, read_body, read_circle
from humanrt.bundle.settings.detector import DetectorSettings
from humanrt.bundle.settings.hands import region_scale
from humanrt.bundle.settings.section import Section

__all__ = ["LandmarksSettings"]


@dataclass(frozen=True)
class LandmarksSettings:
    """Settings of a bundle for the task ``people`` whose ``settings.model`` is ``landmarks``.

    Attributes:
        person: settings of the person detector.
        person_circle: indices of its keypoints: the centre of the circle around the body, and a point on it.
        person_scale: size of a region relative to the circle.
        network: settings of the landmark network.
        max_people: maximum number of tracked people.
        field_of_view: degrees over the longer side of the image, if no intrinsics are given.
        body: settings of the body model.
    """

    person: DetectorSettings
    person_circle: tuple[int, int]
    person_scale: float
    network: BodyNetworkSettings
    max_people: int
    field_of_view: float
    body: BodySettings

    @classmethod
    def of(cls, bundle: Bundle) -> LandmarksSettings:
        """Read and check them. BundleError names what is missing or wrong."""
        settings = Section.of(bundle)
        person = settings.section("person")
        detector = DetectorSettings.of(bundle, "person_detector", "person")
        return cls(
            detector,
            read_circle(person, detector.keypoints),
            region_scale(person.section("region")),
            BodyNetworkSettings.of(bundle),
            settings.section("tracking").integer("max_people", 1, 1000),
            settings.section("camera").number("field_of_view_deg", 1.0, 179.0),
            read_body(bundle, settings.section("body")),
        )
