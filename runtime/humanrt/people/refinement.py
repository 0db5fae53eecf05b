"""BodyRefinement: people of a Multi-HMR on Anny, corrected by what a landmark network sees of each of them.

A single-shot network sees everybody at once, and each of them coarsely; the landmark network looks at one person
closely. The body solver (`humanrt.fitting`) believes the pose of the first, and fits it to the points of the second,
each weighted by how well it is seen. Every picture is by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle, load_bundle
from humanrt.bundle.settings import HolisticSettings, LandmarksSettings, body_names
from humanrt.errors import BundleError, InvalidInputError, choices
from humanrt.fitting import BodyFitter, Observation, PosePrior
from humanrt.fitting.shape import fixed
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.camera import project
from humanrt.inference.bound_graph import BoundGraph
from humanrt.inference.variants import EXACT, at
from humanrt.kernels.image import GpuUpload, Picture
from humanrt.people.confirmation import SAME_TRUNK, TrunkDetection, trunk_distance, trunk_gap
from humanrt.people.fitted_body import FittedBody, seen_body
from humanrt.people.landmarks import QUALITIES, BodyLandmarks, BodyNetwork, Quality
from humanrt.people.person import is_grey, region_of_trunk, sepia
from humanrt.people.results import People
from humanrt.resource import Owner, releasing
from humanrt.timing import Stopwatch

__all__ = ["BodyRefinement", "check_refinable", "quality_of"]

Array = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]

_BUNDLE = "holistic"
_LARGEST = 0.8  # sizes of the largest person, from which ``balanced`` looks at one with the larger network
_PRESENT = 0.5  # score of landmarks that are somebody's
_FARTHEST = 0.2  # `trunk_distance` up to which they are those of the person whom they were looked for
_POSE_SPREAD, _ROOT_SPREAD = 0.3, 0.3  # rad, of the pose that the single-shot network sees
_PLACE_SPREAD = 0.3  # of its distance, how far the pelvis may be off


def quality_of(refine: bool | Quality) -> Quality | None:
    """Return the quality that ``refine`` asks for: True is ``balanced``, False is none.

    Raises:
        InvalidInputError: no such quality.
    """
    if isinstance(refine, bool):
        return "balanced" if refine else None
    if refine not in QUALITIES:
        raise InvalidInputError(f"refine: no `{refine}`; choose one of: {choices(QUALITIES)}")
    return refine


def check_refinable(bundle: Bundle) -> None:
    """Raise BundleError if the body of a bundle is not Anny, whose joints the body solver knows."""
    model, bones = body_names(bundle)
    if bones != ANNY_BONES:
        raise BundleError(
            f"refine: bundle `{bundle.name}` has the body {model}, but the body solver knows Anny; leave it out, "
            "or take multihmr-anny"
        )


@dataclass(frozen=True)
class _Look:
    """What was seen of one of the people: which one, the landmarks, and `trunk_distance` from where they were found."""

    index: int
    landmarks: BodyLandmarks
    gap: float


class BodyRefinement(Owner):
    """Correct the people in a picture. Not thread-safe; keeps nothing from one call to the next.

    Args:
        quality: one of `QUALITIES`: which landmark network has the last word about a person.
        backend: runs the networks, at ``fp32``.
        bundle: the bundle ``holistic`` that has the networks, or its name.

    Raises:
        BundleError, BackendError: the message says what is wrong and how to fix it.
    """

    @releasing
    def __init__(self, quality: Quality, backend: Backend, bundle: Bundle | str = _BUNDLE) -> None:
        self.quality = quality
        holistic = bundle if isinstance(bundle, Bundle) else load_bundle(bundle, task="people")
        landmarks = load_bundle(HolisticSettings.of(holistic).bundles.landmarks, task="people")
        holistic, landmarks = at(holistic, backend, EXACT), at(landmarks, backend, EXACT)
        self._upload = None if backend.device is None else self.own(GpuUpload(backend.device))
        self._first = self.own(BodyNetwork(landmarks, backend))
        self._close = self._first if quality == "fast" else self.own(BodyNetwork(holistic, backend))
        self._posed = self.own(BoundGraph(backend, landmarks.graph("body")))
        settings = LandmarksSettings.of(landmarks).body
        self._head, self._root = settings.head_joint, settings.pelvis_joint
        self._body = FittedBody(self._pose, settings, bundle=landmarks.path)

    def __call__(self, rgb: NDArray[np.uint8], people: People) -> People:
        """Return the people with the rotations and places that agree with the picture; without meshes.

        Whoever the landmark network does not see where they were found stays as they are, and so do everybody's shape,
        fingers and toes.

        Args:
            rgb: uint8 [H, W, 3], the picture.
            people: those found in it, with rotations of Anny's bones.
        """
        watch = Stopwatch()
        joints = [self._joints(people, index) for index in range(len(people))]
        looks = self._looks(sepia(rgb) if is_grey(rgb) else rgb, people, joints)
        watch.lap("landmarks")
        rotations, translations = people.rotations.copy(), people.translations.copy()
        for look in looks:
            size = (rgb.shape[1], rgb.shape[0])
            rotations[look.index], translations[look.index] = self._fit(look, people, joints[look.index], size)
        watch.lap("body")
        ms = {stage: people.ms.get(stage, 0.0) + spent for stage, spent in watch.ms.items()}
        return replace(
            people,
            rotations=rotations,
            translations=translations,
            vertices=None,
            joints=None,
            joints_2d=None,
            ms=people.ms | ms,
        )

    def _joints(self, people: People, index: int) -> Array:
        """Return the joints [J, 3] m, camera space, of one of the people."""
        _, joints = self._pose(people.rotations[index], people.shape[index])
        return np.asarray(joints - joints[self._head] + people.translations[index], np.float64)

    def _looks(self, rgb: NDArray[np.uint8], people: People, joints: list[Array]) -> list[_Look]:
        """Return what is seen of the people, at most once of each."""
        if not joints:
            return []
        picture: Picture = rgb if self._upload is None else self._upload(rgb)
        focal = float(people.intrinsics[0, 0])
        first: dict[int, tuple[TrunkDetection, BodyLandmarks]] = {}
        for index, points in enumerate(joints):
            head, root = points[self._head], points[self._root]
            if min(head[2], root[2]) <= 0.05:  # behind the camera, or in it
                continue
            flat = project(np.stack([head, root]), people.intrinsics).astype(np.float32)
            trunk = TrunkDetection(float(people.scores[index]), *flat)
            length = float(np.linalg.norm(head - root))
            first[index] = trunk, self._first(picture, region_of_trunk(trunk.head, trunk.hips, length, focal, root[2]))
        sizes = [marks.region.size for _, marks in first.values()]
        large = {"fast": inf, "balanced": _LARGEST * max(sizes, default=0.0), "best": 0.0}[self.quality]
        looks = []
        for index, (trunk, marks) in first.items():
            network = self._close if marks.region.size >= large else self._first
            again = network(picture, marks.region)
            seen = again if again.score >= min(_PRESENT, marks.score) else marks
            gap = trunk_distance(seen, trunk)
            if seen.score >= _PRESENT and gap <= _FARTHEST:
                looks.append(_Look(index, seen, gap))
        kept: list[_Look] = []
        for look in sorted(looks, key=lambda one: one.gap):
            if all(trunk_gap(look.landmarks, other.landmarks) > SAME_TRUNK for other in kept):
                kept.append(look)
        return kept

    def _fit(self, look: _Look, people: People, joints: Array, size: tuple[int, int]) -> tuple[Floats, Floats]:
        """Return rotations [74, 3, 3] and translation [3] m of a person who was looked at."""
        rotations = people.rotations[look.index]
        pelvis = joints[self._root]
        fitter = BodyFitter(self._body.rig, self._body.rest, fixed(people.shape[look.index]))
        fit = fitter.refine(
            Observation({"body": seen_body(look.landmarks, size)}, people.intrinsics),
            PosePrior(rotations, _POSE_SPREAD, _ROOT_SPREAD),
            pelvis,
            _PLACE_SPREAD * float(pelvis[2]),
        )
        return fit.rotations, fit.joints[self._head]

    def _pose(self, rotations: Floats, shape: Floats) -> tuple[Floats, Floats]:
        """Return vertices [V, 3] and joints [J, 3] m of a pose."""
        arrays = self._posed.arrays
        arrays["rotations"][0, 0], arrays["shape"][0, 0] = rotations, shape
        arrays["translation"][...] = 0.0
        self._posed.run()
        return arrays["vertices"][0, 0].copy(), arrays["joints"][0, 0].copy()
