"""Anny as a bundle has it, as a rig that is fitted to landmarks (`humanrt.fitting`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle.settings import BodySettings
from humanrt.fitting import Attached, BodyFitter, FitOptions, Rig, Seen, ShapePrior
from humanrt.geometry.anny import ANNY_BONES, anny_from_smpl
from humanrt.geometry.skeleton import MEDIAPIPE_33, SMPL_24, Side
from humanrt.people.body_points import HIPS, attached_landmarks
from humanrt.people.hand_points import attached_hand
from humanrt.people.landmarks import BodyLandmarks
from humanrt.people.stature import shape_of_stature

__all__ = ["FittedBody", "seen_body"]

Array = NDArray[np.float64]
Floats = NDArray[np.floating[Any]]

# Phenotypes: gender, age, muscle, weight, height, proportions. Those that move joints are solved for, around the middle
# of adults; one camera cannot tell a tall person from a near one, so the stature is held tightly.
_SPREAD = np.array([0.25, 0.0, 0.0, 0.0, 0.0, 0.25])
_LOWER, _UPPER = np.array([0.0, -1 / 3, 0.0, 0.0, 0.0, 0.0]), np.ones(6)
_HEIGHT = 4  # index
_PER_HEIGHT = 1.09  # m of stature by the phenotype `height`, of an adult


def seen_body(landmarks: BodyLandmarks, size: tuple[int, int]) -> Seen:
    """Return a body's landmarks as they are fitted, with the weights that they have in a picture of (width, height)."""
    return Seen(landmarks.landmarks_2d, landmarks.weights(size), landmarks.landmarks_3d)


class FittedBody:
    """The rig of a body, its joints at rest, and the shapes that are assumed.

    >>> body = FittedBody(posed, settings.body)
    >>> fitter = body.fitter()                       # one for each identity

    Args:
        posed: rotations [74, 3, 3] of Anny's bones and phenotypes [6] -> vertices [V, 3] and joints [J, 3] m.
        settings: of the body in the bundle.
        fingers: also solve for fingers, which the points ``left_hand`` and ``right_hand`` show.
        more: further points, by kind, such as some of a face.
        bundle: the bundle that the body comes from, for messages.
        landmarks: where a body's landmarks lie; None: `attached_landmarks`.

    Raises:
        BundleError, HumanrtError: the body's joints are not Anny's.
    """

    def __init__(
        self,
        posed: Callable[[Floats, Floats], tuple[Floats, Floats]],
        settings: BodySettings,
        *,
        fingers: bool = False,
        more: Mapping[str, Sequence[Attached]] | None = None,
        bundle: object = "the bundle",
        landmarks: Sequence[Attached] | None = None,
    ) -> None:
        self._bundle = bundle
        self._posed, self._sizes, self._stature = posed, np.array(settings.sizes, np.float64), settings.stature_m
        self._root = settings.pelvis_joint
        self._still = np.broadcast_to(np.eye(3, dtype=np.float32), (len(ANNY_BONES), 3, 3))
        self._upright = anny_from_smpl(np.broadcast_to(np.eye(3), (len(SMPL_24), 3, 3))).astype(np.float32)
        self._statures: Array | None = None
        usual, _ = self.rest(self.phenotypes(self._stature))
        points: dict[str, Sequence[Attached]] = {
            "body": tuple(attached_landmarks() if landmarks is None else landmarks),
            **{kind: tuple(some) for kind, some in (more or {}).items()},
        }
        if fingers:
            at = dict(zip(settings.joint_names, usual, strict=True))
            sides: tuple[Side, ...] = ("left", "right")
            points |= {f"{side}_hand": attached_hand(side, at) for side in sides}
        self.rig = Rig.of(
            settings.joint_names,
            usual,
            points,
            [MEDIAPIPE_33[place] for place in HIPS],
            fingers=fingers,
        )

    def rest(self, shape: Array) -> tuple[Array, float]:
        """Return the joints [J, 3] m of a shape at rest, from the pelvis, and its stature, m."""
        phenotypes = np.asarray(shape, np.float32)
        joints = np.asarray(self._posed(self._still, phenotypes)[1], np.float64)
        upright = self._posed(self._upright, phenotypes)[0]
        return joints - joints[self._root], float(np.ptp(upright[:, 1]))

    def phenotypes(self, stature: float) -> Array:
        """Return the phenotypes [6] of a person of this stature, m, interpolated between the bundle's examples."""
        if self._statures is None:
            self._statures = np.array([self.rest(size)[1] for size in self._sizes])
        return shape_of_stature(stature, self._statures, self._sizes, self._bundle)

    def shape(self, stature: float | None = None) -> ShapePrior:
        """Return what is assumed of a person: about 1.7 m tall, or as tall as is said, to 2 cm."""
        mean = self.phenotypes(self._stature if stature is None else stature)
        spread = _SPREAD.copy()
        spread[_HEIGHT] = (0.1 if stature is None else 0.02) / _PER_HEIGHT
        return ShapePrior(mean, spread, np.minimum(_LOWER, mean), _UPPER)

    def fitter(
        self, stature: float | None = None, options: FitOptions | None = None, kernel: str = "auto"
    ) -> BodyFitter:
        """Create the fitter of one person."""
        return BodyFitter(self.rig, self.rest, self.shape(stature), options, kernel)
