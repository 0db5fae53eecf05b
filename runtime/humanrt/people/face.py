"""The face of a person: its region from the body's landmarks or a detector, and 478 landmarks of it.

The landmarks are the 468 of MediaPipe's face mesh and 5 of each iris. The network that gives them is as sure of a face
that it imagines on the back of a head as of one that it sees; so what it finds must also lie where the body has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import FacePoints, FaceSettings, HolisticSettings
from humanrt.geometry.region import Region, RegionRule, region_from_box, upright_angle
from humanrt.inference.bound_graph import BoundGraph
from humanrt.kernels.image import Picture
from humanrt.perception.crop import crop_into
from humanrt.perception.ssd import BoxDecoder
from humanrt.resource import Owner, releasing

__all__ = ["IRISES", "FaceDetector", "FaceLandmarks", "FaceNetwork", "PersonFace", "face_gap", "face_region", "facing"]

Floats = NDArray[np.float32]

IRISES = (slice(468, 473), slice(473, 478))
"""Landmarks of the iris of the person's right and of the left eye: centre, then 4 points of the edge."""

_LEAST = 6.0  # px, size of the smallest region in which a face is looked for


@dataclass(frozen=True)
class FaceLandmarks:
    """Output of the face landmark network for one region.

    Attributes:
        score: probability that the region holds a face; 0 where the landmarks are not finite numbers.
        landmarks_2d: [478, 2] px of the picture (origin top left): MediaPipe's face mesh, then the irises (`IRISES`).
        depth: [478] px, towards (negative) or away from the camera, relative to the head.
        region: region to crop in the next frame.
    """

    score: float
    landmarks_2d: Floats
    depth: Floats
    region: Region


@dataclass(frozen=True)
class _Features:
    """Eyes, nose and the mouth's middle, px: [2] each."""

    right_eye: Floats
    left_eye: Floats
    nose: Floats
    mouth: Floats

    @property
    def eyes(self) -> Floats:
        return np.asarray((self.right_eye + self.left_eye) / 2, np.float32)

    @property
    def height(self) -> float:
        """Return the distance from the eyes to the mouth."""
        return float(np.linalg.norm(self.mouth - self.eyes))

    @property
    def up(self) -> tuple[float, float]:
        """Return a vector that points up along the face: across the eyes and from mouth to eyes, each by its length.

        One alone is short, and so uncertain, in profile or when the face looks up or down.
        """
        across, along = self.left_eye - self.right_eye, self.eyes - self.mouth
        return float(across[1] + along[0]), float(-across[0] + along[1])


def _of_body(landmarks_2d: Floats, settings: FaceSettings) -> _Features:
    at = settings.body
    return _Features(
        landmarks_2d[at.right_eye],
        landmarks_2d[at.left_eye],
        landmarks_2d[at.nose],
        landmarks_2d[[at.right_mouth, at.left_mouth]].mean(axis=0),
    )


def _of_face(landmarks_2d: Floats, at: FacePoints) -> _Features:
    return _Features(
        landmarks_2d[list(at.right_eye)].mean(axis=0),
        landmarks_2d[list(at.left_eye)].mean(axis=0),
        landmarks_2d[at.nose],
        landmarks_2d[[at.right_mouth, at.left_mouth]].mean(axis=0),
    )


def facing(landmarks_2d: Floats, settings: FaceSettings) -> float:
    """Return how far a body's face is turned to the camera: about 0.9 towards it, 0 in profile, less than 0 away.

    It is the distance between the eyes across the face, relative to that from eyes to mouth.

    Args:
        landmarks_2d: [33, 2] px, the body's landmarks.
        settings: which of them are the face's.
    """
    face = _of_body(landmarks_2d, settings)
    along, across = face.eyes - face.mouth, face.left_eye - face.right_eye
    square = float(along @ along)
    return float(along[0] * across[1] - along[1] * across[0]) / square if square else 0.0


def face_region(landmarks_2d: Floats, settings: FaceSettings) -> Region:
    """Return the square of a face, upright, from the body's landmarks [33, 2] px."""
    face = _of_body(landmarks_2d, settings)
    x, y = (face.eyes + settings.centre * (face.mouth - face.eyes)).tolist()
    across = float(np.linalg.norm(face.left_eye - face.right_eye))
    return Region(x, y, max(settings.height * face.height, settings.width * across), upright_angle((0, 0), face.up))


def face_gap(face: FaceLandmarks, landmarks_2d: Floats, settings: FaceSettings) -> float:
    """Return how far a face lies from where the body's landmarks [33, 2] px have it, relative to eyes to mouth."""
    own, body = _of_face(face.landmarks_2d, settings.points), _of_body(landmarks_2d, settings)
    gaps = [np.linalg.norm(a - b) for a, b in ((own.eyes, body.eyes), (own.nose, body.nose), (own.mouth, body.mouth))]
    height = max(own.height, body.height)
    return float(np.mean(gaps)) / height if height else 0.0


def _around(points: Floats, up: tuple[float, float], rule: RegionRule) -> Region:
    """Return the square around points [N, 2] px, in axes along and across ``up``."""
    angle = upright_angle((0, 0), up)
    c, s = np.cos(angle), np.sin(angle)
    turned = points @ np.array([[c, -s], [s, c]])
    low, high = turned.min(axis=0), turned.max(axis=0)
    u, v = ((low + high) / 2).tolist()
    width, height = (high - low).tolist()
    return region_from_box((c * u - s * v, s * u + c * v), width, height, angle, rule)


class FaceNetwork(Owner):
    """Face landmark network of a bundle ``holistic``. Not thread-safe."""

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self._settings = HolisticSettings.of(bundle).face
        self._network = self.own(BoundGraph(backend, bundle.graph("face_landmarks")))
        self._crop = crop_into(self._network)

    def __call__(self, rgb: Picture, region: Region) -> FaceLandmarks:
        """Return the landmarks in ``region`` of ``rgb`` (uint8 [H, W, 3], on the network's device)."""
        self._crop(rgb, region)
        self._network.run()
        arrays = self._network.arrays
        raw, size = arrays["landmarks"][0], arrays["image"].shape[-1]
        finite = bool(np.isfinite(raw).all())
        to_image = region.to_image(size)
        with np.errstate(invalid="ignore"):
            points = (raw[:, :2] @ to_image[:, :2].T + to_image[:, 2]).astype(np.float32)
        following = region
        if finite:
            following = self._following(points)
        return FaceLandmarks(
            score=float(arrays["presence"].item()) if finite else 0.0,
            landmarks_2d=points,
            depth=raw[:, 2] * np.float32(region.size / size),
            region=following,
        )

    def _following(self, points: Floats) -> Region:
        at = self._settings.points
        (rx, ry), (lx, ly) = points[at.right_eye[0]].tolist(), points[at.left_eye[0]].tolist()
        (tx, ty), (bx, by) = points[at.top].tolist(), points[at.chin].tolist()
        up = (ly - ry + tx - bx, rx - lx + ty - by)
        return _around(points[: IRISES[0].start], up, self._settings.follow)


class FaceDetector(Owner):
    """Face detector of a bundle ``holistic``, in a region of the picture. Not thread-safe."""

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        settings = HolisticSettings.of(bundle)
        detector = settings.face_detector
        self._rule, self._threshold = settings.face.detected, detector.score_threshold
        self._decode = BoxDecoder(detector, detector.anchors(bundle, "face_detector"))
        self._network = self.own(BoundGraph(backend, bundle.graph("face_detector")))
        self._crop = crop_into(self._network)

    def __call__(self, rgb: Picture, region: Region) -> list[tuple[float, Region]]:
        """Return score and region of the faces in ``region`` of ``rgb``, best first.

        Args:
            rgb: uint8 [H, W, 3], on the network's device.
            region: where to search; faces must be roughly upright in it.
        """
        self._crop(rgb, region)
        self._network.run()
        arrays = self._network.arrays
        boxes, scores = self._decode(arrays["boxes"][0], arrays["scores"][0], self._threshold)
        to_image, faces = region.to_image(1.0), []
        for score, row in zip(scores.tolist(), boxes, strict=True):
            points = row[4:].reshape(-1, 2) @ to_image[:, :2].T + to_image[:, 2]
            across = points[1] - points[0]  # from the right eye to the left
            faces.append((score, _around(points, (float(across[1]), float(-across[0])), self._rule)))
        return faces


class PersonFace(Owner):
    """Finds the face of a person in a picture. Not thread-safe; keeps nothing from one call to the next.

    Args:
        bundle: a bundle ``holistic``.
        backend: runs the graphs.
    """

    @releasing
    def __init__(self, bundle: Bundle, backend: Backend) -> None:
        self._settings = HolisticSettings.of(bundle).face
        self._network = self.own(FaceNetwork(bundle, backend))
        self._detector = self.own(FaceDetector(bundle, backend))

    def __call__(self, rgb: Picture, landmarks_2d: Floats, previous: Region | None = None) -> FaceLandmarks | None:
        """Return the landmarks of the face; None if it is not seen, or turned too far away.

        Args:
            rgb: uint8 [H, W, 3], on the networks' device.
            landmarks_2d: [33, 2] px, the body's landmarks.
            previous: `FaceLandmarks.region` in the previous frame; None if the face was not seen. Where it is found
                there, one network runs once; else it is looked for anew, from the body's landmarks and then with the
                detector.
        """
        settings = self._settings
        if not np.isfinite(landmarks_2d).all() or facing(landmarks_2d, settings) < settings.min_facing:
            return None
        if previous is not None and (found := self._look(rgb, previous, landmarks_2d)):
            return found
        region = face_region(landmarks_2d, settings)
        if region.size < _LEAST:
            return None
        if found := self._settled(rgb, region, landmarks_2d):
            return found
        search = Region(region.x, region.y, region.size * settings.search, region.angle)
        for _, detected in self._detector(rgb, search):
            if found := self._settled(rgb, detected, landmarks_2d):
                return found
        return None

    def _settled(self, rgb: Picture, region: Region, landmarks_2d: Floats) -> FaceLandmarks | None:
        """Look in a region that is only roughly right, and again in the one that the landmarks found there give."""
        first = self._network(rgb, region)
        again = self._look(rgb, first.region, landmarks_2d) if first.region.size >= _LEAST else None
        return again or self._accepted(first, landmarks_2d)

    def _look(self, rgb: Picture, region: Region, landmarks_2d: Floats) -> FaceLandmarks | None:
        return self._accepted(self._network(rgb, region), landmarks_2d)

    def _accepted(self, face: FaceLandmarks, landmarks_2d: Floats) -> FaceLandmarks | None:
        """Return the face if it is one and lies where the body has it."""
        settings = self._settings
        seen = face.score >= settings.presence_threshold
        return face if seen and face_gap(face, landmarks_2d, settings) <= settings.max_gap else None
