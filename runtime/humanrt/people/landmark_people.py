"""LandmarkPeople: body meshes from landmarks, on a CPU, live: MediaPipe's landmarks -> PoseBERT -> Anny.

A window of landmarks in metres is converted to the body's rotations (`PoseBERTStream`), and the body is placed where
its landmarks project onto those in the picture. One camera cannot determine how tall a person is, and hence how far
away, and neither do the landmarks: their metres are those of an average adult for anyone (on rendered people from 1.2
to 2.1 m tall they had the same size). So the stature is assumed, or given; the position in the picture is right either
way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.bundle.settings import LandmarksSettings, face_indices
from humanrt.errors import BundleError
from humanrt.geometry.anny import anny_from_smpl
from humanrt.geometry.camera import project
from humanrt.geometry.skeleton import MEDIAPIPE_33, SMPL_24
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.people.body_points import HIPS, STATURE, LandmarkPoints
from humanrt.people.body_tracker import Bodies, BodyTracker, BodyTrackerOptions
from humanrt.people.landmark_ik import LandmarkIK
from humanrt.people.landmark_model import (
    GEOMETRY,
    Estimate,
    LandmarkModel,
    Tracked,
    View,
    observe_body,
    open_pose_stream,
    people_of,
)
from humanrt.people.landmark_poses import LANDMARK_SMOOTHERS, LandmarkPoses, check_landmark_smoothing
from humanrt.people.landmarks import BodyLandmarks
from humanrt.people.results import People
from humanrt.people.smoother import PeopleSmootherOptions
from humanrt.people.stature import shape_of_stature
from humanrt.posebert.stream import PoseState
from humanrt.resource import releasing
from humanrt.smoothing.one_euro import OneEuro, OneEuroOptions
from humanrt.timing import Stopwatch

__all__ = ["LandmarkPeople", "solve_translation"]

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

_EARS = [MEDIAPIPE_33.index(f"{side}_ear") for side in ("left", "right")]
_MAX_FIT_ERROR = (
    0.1  # sizes of the region: if the median distance to the body's points is larger, the pose does not match
)
_MAX_DEPTH_RATIO = 1.6  # either way, of the fitted depth to the depth by size
_MIN_DEPTH = 0.3  # m, of a body's origin
# The position in the picture is not smoothed; depth, which jitters by centimetres, is.
_DEPTH_FILTER = OneEuroOptions(min_cutoff=1.0, beta=8.0, derivative_cutoff=2.0)


@dataclass
class _Identity:
    """State of an identity: pelvis position, m; head, px, as last seen; depth filter."""

    translation: Array | None = None
    head: Floats = field(default_factory=lambda: np.zeros(2, np.float32))
    depth: OneEuro = field(default_factory=lambda: OneEuro(_DEPTH_FILTER))


class LandmarkPeople(LandmarkModel[Tracked]):
    """Recover people's body meshes from their landmarks, in a stream of images or in a single one.

    >>> model = LandmarkPeople()                        # the shipped bundles
    >>> tracked = model.track(rgb, t=t)                  # uint8 [H, W, 3], seconds -> Tracked
    >>> people = model(rgb)                              # of a single photograph -> People

    Args:
        bundle: name or folder of the bundle ``landmarks``, or a loaded one.
        poses: name or folder of a bundle for the task ``posebert`` that takes the 33 landmarks, or a loaded one; None:
            each frame on its own, by inverse kinematics (`LandmarkIK`), which jitters as the landmarks do.
        fov: degrees over the longer side of the image, assumed where no intrinsics are given; None takes the bundle's.
        stature: height of every person, m; None takes the bundle's.
        meshes: also compute vertices and joints. Otherwise `People` has neither.
        smooth: one of `LANDMARK_SMOOTHERS`: ``posebert`` with the bundle ``poses``; ``oneeuro``, rotations of inverse
            kinematics, smoothed and filled in; or ``none``, which leaves depth as it is, too.
        options: options of the tracker.
        backend, execution: where and how the networks run; see `Execution`. PoseBERT runs at ``fp32``.

    Attributes:
        poses: name of the bundle that computes rotations from landmarks; ``geometry`` without one. Others: see
            `LandmarkModel`.

    Raises:
        BundleError, BackendError, CameraError: the message says what is wrong and how to fix it.
    """

    @releasing
    def __init__(
        self,
        bundle: Bundle | str | Path = "landmarks",
        poses: Bundle | str | Path | None = "posebert-body",
        backend: Execution | Backend | str = "cpu",
        *,
        fov: float | None = None,
        stature: float | None = None,
        meshes: bool = True,
        smooth: str = LANDMARK_SMOOTHERS[0],
        options: BodyTrackerOptions | None = None,
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        super().__init__(bundle, Execution.of(backend, execution))
        check_landmark_smoothing(smooth)
        settings = LandmarksSettings.of(self.bundle)
        body = settings.body
        self.tracker = self.own(BodyTracker(self.bundle, self.execution, options))
        self.smooth = smooth
        stream = None
        if poses is not None and smooth == LANDMARK_SMOOTHERS[0]:
            stream = self.own(open_pose_stream(poses, self.backend))
        self.poses = GEOMETRY if stream is None else stream.bundle.name
        self._body = self.own(self.backend.open(self.bundle.graph("body")))
        self.faces = face_indices(self.bundle, "faces", body.vertices)
        self.joint_names = body.joint_names
        self._assume_field_of_view(settings.field_of_view if fov is None else fov)
        self.meshes = meshes
        self._points = _landmark_points(self.bundle, self.joint_names)
        self._head, self._root = body.head_joint, body.pelvis_joint
        self._vertices, self._example_shapes = body.vertices, body.sizes
        self.stature = body.stature_m if stature is None else float(stature)
        self._shape = self._shape_of(self.stature)
        self._stream = stream or self._geometry(smooth)
        self.reset()

    @cached_property
    def _ik(self) -> LandmarkIK:
        """Inverse kinematics, used only where no PoseBERT is."""
        return LandmarkIK(self._rest_pose(self._shape)[0])

    def _geometry(self, smooth: str) -> LandmarkPoses:
        """Return inverse kinematics, smoothed or, as without a PoseBERT bundle, frame by frame."""
        options = PeopleSmootherOptions().rotations if smooth == "oneeuro" else None
        return LandmarkPoses(self._ik, options)

    def reset(self) -> None:
        """Forget all people. Identities are not reused."""
        self.tracker.reset()
        self._stream.reset()
        self._known: dict[int, _Identity] = {}

    def _recover(self, bodies: Bodies, seen: Mapping[int, BodyLandmarks], view: View) -> Tracked:
        watch = Stopwatch()
        for identity in bodies.lost:
            self._known.pop(identity, None)
        observed = {identity: observe_body(landmarks, view.K) for identity, landmarks in seen.items()}
        poses = self._stream.update(view.t, observed, bodies.lost)
        watch.lap("smooth")
        estimates = [self._person(identity, pose, seen.get(identity), view) for identity, pose in poses.items()]
        watch.lap("body")
        return self._tracked(bodies, seen, estimates, view, watch)

    def _person(self, identity: int, pose: PoseState, landmarks: BodyLandmarks | None, view: View) -> Estimate | None:
        """Return a person's parameters and mesh, or None if their position is unknown."""
        known = self._known.setdefault(identity, _Identity())
        if landmarks is not None:
            known.head = landmarks.landmarks_2d[_EARS].mean(axis=0)
        rotations = anny_from_smpl(pose.rotations).astype(np.float32)
        posed = self._posed(rotations, self._shape)
        joints = posed["joints"]
        if landmarks is not None:
            points = self._points(joints, pose.rotations, self.stature)
            known.translation = self._solve_translation(known, points, landmarks, view.size, view.K, view.t)
        if known.translation is None:
            return None
        move = known.translation.astype(np.float32)
        return Estimate(
            id=identity,
            score=0.0 if landmarks is None else landmarks.score,
            head_2d=known.head,
            translation=joints[self._head] + move,
            rotations=rotations,
            shape=self._shape,
            expression=np.zeros(0, np.float32),
            joints=joints + move,
            vertices=posed["vertices"] + move,
        )

    def _posed(self, rotations: Floats, shape: Floats, body: Any = None) -> dict[str, Floats]:
        """Return vertices [V, 3] and joints [J, 3] m, relative to the pelvis; ``body``: None: the tracking thread's."""
        feeds = {"rotations": rotations[None, None], "shape": shape[None, None], "translation": _ZERO_TRANSLATION}
        posed = (self._body if body is None else body).run(feeds)
        joints = posed["joints"][0, 0]
        root = joints[self._root]
        return {"vertices": posed["vertices"][0, 0] - root, "joints": joints - root}

    def _solve_translation(
        self, known: _Identity, points: Array, landmarks: BodyLandmarks, size: tuple[int, int], K: Array, t: float
    ) -> Array:
        """Return the position of the pelvis, [3] m; its depth is smoothed, its position in the picture is not."""
        weights = landmarks.weights(size)
        raw = solve_translation(points, landmarks.landmarks_2d, weights, K)
        depth = self.stature / STATURE * _depth_of(landmarks, K)
        error = np.linalg.norm(project(points + raw, K) - landmarks.landmarks_2d, axis=1)
        if (
            np.median(error) > _MAX_FIT_ERROR * landmarks.region.size
            or not 1 / _MAX_DEPTH_RATIO < raw[2] / depth < _MAX_DEPTH_RATIO
        ):
            # The pose lags behind, or is wrong. A person's apparent size gives the depth whatever their pose.
            raw = _solve_translation_at_depth(depth, points, landmarks.landmarks_2d, weights, K)
        if self.smooth == "none":
            return np.asarray(raw)
        log_depth = known.depth(np.log(raw[2:]), t)
        depth = float(np.exp(log_depth[0]))
        return np.asarray(raw * (depth / raw[2]))

    @cached_property
    def _body_beside(self) -> Any:
        """The body model again, for `posed`: another thread may use the first."""
        return self.own(self.backend.open(self.bundle.graph("body")))

    def posed(self, people: People) -> People:
        if not self.meshes:
            return people
        vertices = np.zeros((len(people), self._vertices, 3), np.float32)
        joints = np.zeros((len(people), len(self.joint_names), 3), np.float32)
        for i, (rotations, shape) in enumerate(zip(people.rotations, people.shape, strict=True)):
            posed = self._posed(rotations, shape, self._body_beside)
            move = people.translations[i] - posed["joints"][self._head]
            vertices[i], joints[i] = posed["vertices"] + move, posed["joints"] + move
        pixels = project(joints, people.intrinsics).astype(np.float32)
        return replace(people, vertices=vertices, joints=joints, joints_2d=pixels)

    def _people(self, estimates: Sequence[Estimate], view: View) -> People:
        return people_of(
            estimates,
            view.K,
            vertices=self._vertices if self.meshes and view.meshes else None,
            joints=len(self.joint_names) if self.meshes else None,
            shape=len(self._shape),
            expression=0,
        )

    def _shape_of(self, stature: float) -> Floats:
        """Return the phenotypes [6] of a person of this stature, interpolated between the bundle's examples."""
        table = np.array(self._example_shapes, np.float32)
        statures = np.array([self._rest_pose(shape)[1] for shape in table])
        return shape_of_stature(stature, statures, table, self.bundle.path).astype(np.float32)

    def _rest_pose(self, shape: Floats) -> tuple[Array, float]:
        """Return the landmarks [33, 3] m of a shape in the T-pose, and its stature, m."""
        identity = np.broadcast_to(np.eye(3), (len(SMPL_24), 3, 3))
        posed = self._posed(anny_from_smpl(identity).astype(np.float32), shape)
        stature = float(np.ptp(posed["vertices"][:, 1]))
        return self._points(posed["joints"], identity, stature), stature


def solve_translation(
    points: Array, seen: NDArray[np.floating[Any]], weights: NDArray[np.floating[Any]], K: Array
) -> Array:
    """Solve for the position of a body from its points and their projections.

    Args:
        points: [P, 3] m, relative to the body's origin, camera axes.
        seen: [P, 2] px.
        weights: [P], weight of each point.
        K: [3, 3] px.

    Returns:
        The origin [3] m in camera space: least squares of the distances in the picture, with outliers down-weighted.
    """
    rays = np.column_stack([seen, np.ones(len(seen))]) @ np.linalg.inv(K).T
    # x + tx = u (z + tz), and likewise for y: linear in t.
    slope = np.zeros((len(points), 2, 3))
    slope[:, 0, 0] = slope[:, 1, 1] = 1
    slope[:, :, 2] = -rays[:, :2]
    wanted = rays[:, :2] * points[:, 2:] - points[:, :2]
    given = np.asarray(weights, np.float64) + 1e-3
    chosen = given
    solution = np.array([0.0, 0.0, 1.0])
    for _ in range(8):
        normal = np.einsum("p,pij,pil->jl", chosen, slope, slope)
        solution = np.linalg.solve(normal, np.einsum("p,pij,pi->j", chosen, slope, wanted))
        error = np.linalg.norm(slope @ solution - wanted, axis=1)  # m at the body
        chosen = given / np.maximum(error, 0.03)
    if solution[2] < _MIN_DEPTH:  # the points are those of another pose
        solution = rays[HIPS].mean(axis=0) * _MIN_DEPTH
    return np.asarray(solution)


def _depth_of(landmarks: BodyLandmarks, K: Array) -> float:
    """Return the depth, m, at which the landmarks' spread in metres matches their spread in the picture."""
    metres = np.linalg.norm(landmarks.landmarks_3d[:, :2] - landmarks.landmarks_3d[:, :2].mean(axis=0), axis=1)
    pixels = np.linalg.norm(landmarks.landmarks_2d - landmarks.landmarks_2d.mean(axis=0), axis=1)
    focal = (K[0, 0] + K[1, 1]) / 2
    return max(float(focal * np.sqrt((metres**2).mean() / max((pixels**2).mean(), 1e-9))), _MIN_DEPTH)


def _solve_translation_at_depth(
    depth: float, points: Array, seen: NDArray[np.floating[Any]], weights: NDArray[np.floating[Any]], K: Array
) -> Array:
    """Solve for the position as `solve_translation` does, with the depth of the origin, m, known."""
    rays = np.column_stack([seen, np.ones(len(seen))]) @ np.linalg.inv(K).T
    across = rays[:, :2] * np.maximum(points[:, 2:] + depth, _MIN_DEPTH) - points[:, :2]
    return np.append(np.average(across, axis=0, weights=weights + 1e-3), depth)


_ZERO_TRANSLATION = np.zeros((1, 1, 3), np.float32)


def _landmark_points(bundle: Bundle, joint_names: Sequence[str]) -> LandmarkPoints:
    """Create the landmark points; BundleError if a joint is missing on which landmarks are placed."""
    try:
        return LandmarkPoints(joint_names)
    except KeyError as error:
        raise BundleError(
            f"{bundle.path}: `settings.body.joint_names` lacks {error}, which landmarks depend on; export it again"
        ) from error
