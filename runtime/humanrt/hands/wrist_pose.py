"""Where a hand is in the room: the pose of its wrist in camera space, from metric keypoints, pixels and the camera.

The landmark model gives the hand's shape in metres about its own origin, and where its keypoints are in the picture.
The pose that lays the shape onto the picture (perspective-n-point) is the hand's. One picture cannot tell a small hand
that is near from a large one that is far: the hand's length says it, and an error of 1 % in it is one of 1 % in the
distance.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import check_range
from humanrt.errors import InvalidInputError
from humanrt.geometry.camera import check_intrinsics, directions, field_of_view_intrinsics
from humanrt.geometry.hand import CHAINS, FINGERS, TIPS, WRIST
from humanrt.geometry.mirror import MIRROR
from humanrt.geometry.rotation import matrices_from_vectors, vectors_from_matrices
from humanrt.geometry.skeleton import Side
from humanrt.hands.tracker import Hands
from humanrt.retarget.wrist import wrist_frame
from humanrt.smoothing.one_euro import OneEuro, OneEuroOptions
from humanrt.smoothing.one_euro_rotations import OneEuroRotations

__all__ = ["FIELD_OF_VIEW", "HAND_LENGTH", "WristPoses", "pose_of", "wrist_pose"]

Array = NDArray[np.float64]
Floats = NDArray[np.floating]

HAND_LENGTH = 0.18
"""m from the wrist to the tip of the outstretched middle finger, an adult's; 0.16 to 0.21 are usual."""

FIELD_OF_VIEW = 60.0
"""Degrees over the longer side of the image, assumed where no camera is given."""

_MIDDLE = list(CHAINS[FINGERS.index("middle")])
# The landmark model is surer of the palm than of the fingers' ends.
_WEIGHT = np.where(np.isin(np.arange(21), TIPS), 0.3, 1.0)
_WEIGHT[np.array(TIPS) - 1] = 0.5
_POINT_SPREAD = 0.01  # m at the hand, of keypoints against the posed shape
# The model saw the hand in a crop of its own, and its axes are about those of a camera that looks at the hand. How the
# keypoints move closer together with their distance says the rest, as far as the shape is right.
_ROTATION_SPREAD = 0.3  # rad
_ITERATIONS, _CONVERGED = 10, 1e-5  # rad and m
_NEAREST = 0.02  # m from the camera
_RESTING = OneEuroOptions(min_cutoff=1.2, beta=6.0, derivative_cutoff=3.0)  # of positions, in hand lengths
_TURNING = OneEuroOptions(min_cutoff=1.5, beta=3.0, derivative_cutoff=3.0)  # of rotations


def wrist_pose(
    keypoints_2d: Floats, keypoints_3d: Floats, K: Floats, side: Side, hand_length: float = HAND_LENGTH
) -> Array | None:
    """Return a wrist's pose [4, 4] in camera space, m: x right, y down, z forward.

    The origin is the wrist's keypoint. Axes are those of `humanrt.retarget.wrist`: x out of the palm, z to the knuckle
    of the middle finger, y = z x x.

    Args:
        keypoints_2d: [21, 2] px, MediaPipe order.
        keypoints_3d: [21, 3] m, camera axes, any origin and scale.
        K: [3, 3] px, intrinsics.
        side: the hand's.
        hand_length: m from the wrist to the tip of the middle finger, along it.

    Returns:
        None where the keypoints determine no place in front of the camera.
    """
    shape = np.asarray(keypoints_3d, np.float64)
    length = float(np.linalg.norm(np.diff(shape[_MIDDLE], axis=0), axis=1).sum())
    if not length > 0:
        return None
    # At the usual size, so that the hand's length changes the distance and nothing else.
    shape = (shape - shape[WRIST]) * (HAND_LENGTH / length)
    placed = _place(shape, directions(keypoints_2d, K))
    if placed is None:
        return None
    turn, position = placed
    return pose_of(turn @ wrist_frame(shape, side), position * (hand_length / HAND_LENGTH))


def pose_of(rotation: Array, position: Floats) -> Array:
    """Return the pose [4, 4] of a rotation [3, 3] and a position [3]."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, position
    return pose


def _place(shape: Array, rays: Array) -> tuple[Array, Array] | None:
    """Return rotation [3, 3] and position [3] m of a shape [21, 3] that is seen along rays [21, 2] (x / z, y / z).

    Least squares of the points' distances from their rays, across, at their depth, and of the turn from where the hand
    faces the camera as the landmark model saw it: Gauss-Newton on both.
    """
    expected = _towards(rays.mean(axis=0))
    turn, position = expected, np.zeros(3)
    # Distance from the ray (u, v) at the depth of a point (x, y, z): (x - u z, y - v z).
    across = np.zeros((21, 2, 3))
    across[:, 0, 0] = across[:, 1, 1] = 1.0
    across[:, :, 2] = -rays
    weight = (_WEIGHT / _POINT_SPREAD**2)[:, None, None]
    weighted = np.swapaxes(across, 1, 2) @ (weight * across)  # [21, 3, 3]
    slope = np.zeros((21, 3, 6))
    slope[:, :, 3:] = np.eye(3)
    for iteration in range(_ITERATIONS):
        turned = shape @ turn.T
        x, y, z = turned.T
        slope[:, 0, 1], slope[:, 0, 2] = z, -y  # d (w x p) / dw
        slope[:, 1, 0], slope[:, 1, 2] = -z, x
        slope[:, 2, 0], slope[:, 2, 1] = y, -x
        pulled = weighted @ slope
        hessian = np.einsum("kai,kaj->ij", slope, pulled)
        gradient = np.einsum("kai,ka->i", pulled, turned + position)
        hessian[:3, :3] += np.eye(3) / _ROTATION_SPREAD**2
        gradient[:3] += vectors_from_matrices(turn @ expected.T) / _ROTATION_SPREAD**2
        if iteration == 0:  # first to the place, which is far from where the search starts
            hessian[:3, 3:] = hessian[3:, :3] = 0.0
            hessian[:3, :3], gradient[:3] = np.eye(3), 0.0
        try:
            step = -np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            return None
        turn, position = matrices_from_vectors(step[:3]) @ turn, position + step[3:]
        if not (np.isfinite(position).all() and position[2] > _NEAREST):
            return None
        if iteration and np.abs(step).max() < _CONVERGED:
            break
    return turn, position


def _towards(ray: Array) -> Array:
    """Return the smallest rotation [3, 3] from the optical axis to a ray (x / z, y / z)."""
    axis = np.array([-ray[1], ray[0], 0.0])
    length = float(np.linalg.norm(ray))
    return matrices_from_vectors(axis * (np.arctan(length) / length)) if length > 1e-9 else np.eye(3)


@dataclass
class _Filters:
    side: Side
    position: OneEuro = field(default_factory=lambda: OneEuro(_RESTING))
    rotation: OneEuroRotations = field(default_factory=lambda: OneEuroRotations(_TURNING))

    def __call__(self, pose: Array, t: float, unit: float) -> Array:
        position = self.position(pose[None, :3, 3], t, unit)[0]
        return pose_of(self.rotation(pose[:3, :3], t), position)


class WristPoses:
    """Gives the hands of a stream the poses of their wrists; state belongs to an identity and ends with it.

    Args:
        intrinsics: K [3, 3] of the camera, px of the frames. None: a field of view is assumed.
        fov: that field of view, degrees over the longer side of the image. None: `FIELD_OF_VIEW`.
        hand_length: m, of all hands, see `wrist_pose`. None: `HAND_LENGTH`.
        mirrored: the images are mirrored (`TrackerOptions.mirrored`); poses are in the space of the camera, which is
            not.
        smooth: whether to smooth, on the frames' own time stamps.

    Raises:
        CameraError, InvalidInputError: an impossible camera, both descriptions of it, or a length that no hand has.
    """

    def __init__(
        self,
        intrinsics: ArrayLike | None = None,
        fov: float | None = None,
        hand_length: float | None = None,
        *,
        mirrored: bool = False,
        smooth: bool = True,
    ) -> None:
        if intrinsics is not None and fov is not None:
            raise InvalidInputError("intrinsics and fov both describe the camera; give only one")
        self._given = None if intrinsics is None else check_intrinsics(intrinsics)
        self._fov = FIELD_OF_VIEW if fov is None else fov
        field_of_view_intrinsics((1, 1), self._fov)  # refused now, not with the first frame
        self.hand_length: float = HAND_LENGTH if hand_length is None else hand_length
        check_range(self.hand_length, "hand_length (m)", 0.05, 0.4)
        self._mirrored, self._smooth = mirrored, smooth
        self.reset()

    def reset(self) -> None:
        """Forget all identities."""
        self._filters: dict[int, _Filters] = {}

    def camera(self, size: tuple[int, int]) -> Array:
        """Return the intrinsics K [3, 3] px of images of (width, height)."""
        return field_of_view_intrinsics(size, self._fov) if self._given is None else self._given

    def __call__(self, hands: Hands, t: float, size: tuple[int, int]) -> Hands:
        """Return the hands with `Hand.wrist` set, where they determine it.

        Args:
            hands: the hands of the frame, smoothed or not.
            t: the frame's own time stamp, s.
            size: (width, height) of the frame, px.
        """
        for identity in hands.lost:
            self._filters.pop(identity, None)
        K = self.camera(size)
        placed = []
        for hand in hands:
            pixels: Floats = hand.keypoints_2d
            if self._mirrored:  # the camera's own picture has its principal point on the other side, too
                pixels = (pixels - K[:2, 2]) * MIRROR[:2] + K[:2, 2]
            pose = wrist_pose(pixels, hand.keypoints_3d, K, hand.side, self.hand_length)
            if pose is not None and self._smooth:
                filters = self._filters.get(hand.id)
                if filters is None or filters.side != hand.side:
                    filters = self._filters[hand.id] = _Filters(hand.side)
                pose = filters(pose, t, self.hand_length)
            placed.append(hand if pose is None else replace(hand, wrist=pose))
        return Hands(tuple(placed), hands.ms, hands.lost)
