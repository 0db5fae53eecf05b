"""LandmarkModel: what models that follow people by their landmarks share, whatever they compute from these."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle
from humanrt.checks import check_probability, check_same_count, check_time
from humanrt.errors import BundleError
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.camera import check_image, check_intrinsics, field_of_view_intrinsics, project
from humanrt.geometry.skeleton import MEDIAPIPE_33, SMPL_24
from humanrt.inference.execution import Execution
from humanrt.inference.model import Model
from humanrt.people.body_points import HIPS
from humanrt.people.body_tracker import Bodies, BodyTracker
from humanrt.people.landmarks import BodyLandmarks
from humanrt.people.results import People
from humanrt.people.rig import BodyRig, open_rig
from humanrt.posebert.stream import Observation, PoseBERTStream
from humanrt.sources.image import as_image
from humanrt.timing import Stopwatch

__all__ = ["GEOMETRY", "Estimate", "LandmarkModel", "Tracked", "View", "observe_body", "open_pose_stream", "people_of"]

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

GEOMETRY = "geometry"
"""`LandmarkModel.poses` where no bundle computes rotations."""


@dataclass(frozen=True)
class Tracked:
    """The people of one frame, in the format of `MultiHMR`, highest score first, with identities.

    Attributes:
        people: the people.
        ids: [N] identity of each, from 1.
        lost: identities that ended with this frame.
        filled: identities that were not seen in this frame: for a short time their pose is filled in, and they stay
            where they were last seen. Their score is 0.
    """

    people: People
    ids: tuple[int, ...]
    lost: tuple[int, ...]
    filled: frozenset[int]

    def __post_init__(self) -> None:
        check_same_count(self, "people", "ids")


@dataclass(frozen=True)
class Estimate:
    """One person in one frame.

    Attributes:
        id: identity.
        score: 0..1.
        head_2d: [2] px.
        translation: [3] m, the head joint.
        rotations: [R, 3, 3].
        shape: [S].
        expression: [E].
        joints: [J, 3] m.
        vertices: [V, 3] m; None where no meshes were asked for.
        confirmed: the landmark network sees the person, or saw them before; see `People.unconfirmed`.
    """

    id: int
    score: float
    head_2d: Floats
    translation: Floats
    rotations: Floats
    shape: Floats
    expression: Floats
    joints: Floats
    vertices: Floats | None
    confirmed: bool = True


@dataclass(frozen=True)
class View:
    """What is known of a frame besides its people.

    Attributes:
        size: (width, height) px.
        K: [3, 3] px, the camera.
        t: time stamp, s.
        threshold: minimum score of a person.
        meshes: whether meshes are wanted of them.
    """

    size: tuple[int, int]
    K: Array
    t: float
    threshold: float = 0.0
    meshes: bool = True


R = TypeVar("R", bound=Tracked)


class LandmarkModel(Model, ABC, Generic[R]):
    """Follow people by their landmarks, in a stream of images or in a single one.

    A subclass sets the attributes, says what it computes of the people who are seen (`_recover`), and clears its own
    state in `reset`.

    Args:
        bundle, execution: see `Model`.

    Attributes:
        tracker: finds the people and their landmarks.
        fov: degrees over the longer side of the image, assumed where no intrinsics are given.
        faces: int32 [F, 3], triangles of every mesh.
        joint_names: [J] names of the joints.
        poses: name of the bundle that computes rotations from landmarks; `GEOMETRY` without one.
        smooth: one of `humanrt.people.landmark_poses.LANDMARK_SMOOTHERS`.
    """

    NEEDS_OPEN = ("__call__", "track", "posed")

    tracker: BodyTracker
    fov: float
    faces: NDArray[np.int32]
    joint_names: tuple[str, ...]
    poses: str
    smooth: str

    def __init__(self, bundle: Bundle | str | Path, execution: Execution) -> None:
        super().__init__(bundle, "people", execution)

    @cached_property
    def rig(self) -> BodyRig:
        """The skeleton and skin of the body, as animation programs understand them."""
        return self.own(open_rig(self.bundle, self.backend))

    @abstractmethod
    def reset(self) -> None:
        """Forget all people. Identities are not reused."""

    @abstractmethod
    def _recover(self, bodies: Bodies, seen: Mapping[int, BodyLandmarks], view: View) -> R:
        """Compute the people of a frame.

        Args:
            bodies: what the tracker found.
            seen: the landmarks of those above the threshold, by identity.
            view: the frame's size, camera and time.
        """

    @abstractmethod
    def posed(self, people: People) -> People:
        """Return people with the vertices and joints of their parameters, such as smoothed ones.

        Those are left out that the model does not give otherwise. Another thread may `track` meanwhile.
        """

    @abstractmethod
    def _people(self, estimates: Sequence[Estimate], view: View) -> People:
        """Return the people as arrays, in the given order (`people_of`)."""

    def _tracked(
        self,
        bodies: Bodies,
        seen: Mapping[int, BodyLandmarks],
        estimates: Iterable[Estimate | None],
        view: View,
        watch: Stopwatch,
    ) -> Tracked:
        """Return the people of a frame, highest score first; those whose position is not known (None) are left out."""
        ranked = sorted((one for one in estimates if one is not None), key=lambda one: -one.score)
        people = self._people(ranked, view)
        watch.lap("decode")
        ids = tuple(one.id for one in ranked)
        filled = frozenset(one.id for one in ranked if one.confirmed) - seen.keys()
        return Tracked(replace(people, ms=bodies.ms | watch.ms), ids, bodies.lost, filled)

    def _assume_field_of_view(self, degrees: float) -> None:
        """Set the field of view that is assumed without intrinsics. CameraError now, not with the first image."""
        field_of_view_intrinsics((640, 480), degrees)
        self.fov = degrees

    def __call__(
        self, rgb: NDArray[np.uint8] | str | Path, intrinsics: ArrayLike | None = None, threshold: float | None = None
    ) -> People:
        """Return the people in a single image, unrelated to those before it. Arguments as for `track`."""
        image = as_image(rgb)
        self.reset()
        return self.track(image, 0.0, intrinsics, threshold, photograph=True).people

    def track(
        self,
        rgb: NDArray[np.uint8],
        t: float,
        intrinsics: ArrayLike | None = None,
        threshold: float | None = None,
        *,
        photograph: bool = False,
        meshes: bool = True,
    ) -> R:
        """Return the people in the next image of a stream.

        Args:
            rgb: uint8 [H, W, 3].
            t: its time stamp, s. A time before the last one resets the state: the source was rewound.
            intrinsics: K [3, 3] of the camera in px of this image; None assumes `fov` and the image's centre.
            threshold: minimum score of a person, 0..1; None: the tracker's.
            photograph: the image has nothing to do with those before and after it.
            meshes: False leaves vertices out, which `posed` makes later.

        Raises:
            ValueError: the image is not uint8 [H, W, 3], ``t`` is not a finite time, or the threshold is not a
                probability.
            CameraError: the intrinsics are not valid. The state is then unchanged.
        """
        check_image(rgb)
        t = check_time(t)
        check_probability(threshold, "threshold")
        size = (rgb.shape[1], rgb.shape[0])
        K = field_of_view_intrinsics(size, self.fov) if intrinsics is None else check_intrinsics(intrinsics)
        if photograph:
            self.tracker.photograph()
        bodies = self.tracker(rgb, t)
        least = 0.0 if threshold is None else threshold
        seen = {body.id: body.landmarks for body in bodies if body.landmarks.score >= least}
        return self._recover(bodies, seen, View(size, K, t, least, meshes))


def people_of(
    estimates: Sequence[Estimate], K: Array, *, vertices: int | None, joints: int | None, shape: int, expression: int
) -> People:
    """Return the people as arrays, in the given order.

    Args:
        estimates: the people.
        K: [3, 3] px, the camera.
        vertices, joints: V and J; None leaves them out.
        shape, expression: S and E.
    """

    def stack(name: str, *size: int) -> Floats:
        return np.stack([getattr(one, name) for one in estimates]) if estimates else np.zeros((0, *size), np.float32)

    joints_3d = None if joints is None else stack("joints", joints, 3)
    return People(
        scores=np.array([one.score for one in estimates], np.float32),
        locations=np.array([one.head_2d for one in estimates], np.float32).reshape(-1, 2),
        translations=stack("translation", 3),
        rotations=stack("rotations", len(ANNY_BONES), 3, 3),
        shape=stack("shape", shape),
        expression=stack("expression", expression),
        intrinsics=K,
        vertices=None if vertices is None else stack("vertices", vertices, 3),
        joints=joints_3d,
        joints_2d=None if joints_3d is None else project(joints_3d, K).astype(np.float32),
        unconfirmed=np.array([not one.confirmed for one in estimates], bool),
    )


def open_pose_stream(poses: Bundle | str | Path, backend: Backend) -> PoseBERTStream:
    """Open the PoseBERT stream; BundleError if the bundle is not for the 33 landmarks of a body."""
    stream = PoseBERTStream(poses, backend=backend)
    if stream.points != len(MEDIAPIPE_33) or stream.joints != SMPL_24:
        raise BundleError(
            f"bundle {stream.bundle.path} does not fit: it estimates {len(stream.joints)} rotations from "
            f"{stream.points} keypoints, not SMPL's {len(SMPL_24)} from MediaPipe's {len(MEDIAPIPE_33)}"
        )
    return stream


def observe_body(landmarks: BodyLandmarks, K: Array) -> Observation:
    """Return a body's landmarks as PoseBERT takes them, seen by a camera K [3, 3] px."""
    metres = landmarks.landmarks_3d - landmarks.landmarks_3d[HIPS].mean(axis=0)
    return Observation(metres, landmarks.visibility, pixels=landmarks.landmarks_2d, intrinsics=K)
