"""HolisticPeople: whole bodies that follow the person, on a CPU, live.

The landmark network sees each person (`BodyTracker`), PoseBERT turns a window of landmarks into a pose that is
believed, and the body solver (`humanrt.fitting`) finds the body of Anny that agrees with the landmarks in the picture,
those in metres, the believed pose and the frames before. One camera cannot determine how tall a person is, and hence
how far away: the stature is assumed to be that of an average adult, or given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Unpack, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle, load_bundle
from humanrt.bundle.settings import HolisticSettings, LandmarksSettings, face_indices
from humanrt.checks import check_probability
from humanrt.errors import InvalidInputError, choices
from humanrt.fitting import BodyFitter, Observation, PosePrior, Seen
from humanrt.fitting.rig import Attached
from humanrt.geometry.anny import ANNY_BONES, ANNY_PARENTS, anny_from_smpl
from humanrt.geometry.camera import check_image, check_intrinsics, field_of_view_intrinsics, project
from humanrt.geometry.region import Region
from humanrt.geometry.skeleton import world_rotations
from humanrt.hands.pose_smoother import HandPoseSmoother
from humanrt.hands.tracker import Hand, Hands
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.inference.model import Model
from humanrt.people.body_mesh import BodyAtRest, BodyMesh, FaceOnBody
from humanrt.people.body_tracker import BodyTracker, BodyTrackerOptions
from humanrt.people.expression import ExpressionSolver, FaceModel
from humanrt.people.face import FaceLandmarks, PersonFace
from humanrt.people.fitted_body import FittedBody
from humanrt.people.hand_regions import PersonHands, Side
from humanrt.people.landmark_people import Tracked, observe_body, open_pose_stream
from humanrt.people.landmarks import BalancedNetwork, BodyLandmarks, BodyNetwork
from humanrt.people.results import People
from humanrt.posebert.stream import PoseState
from humanrt.resource import releasing
from humanrt.sources.image import as_image
from humanrt.timing import Stopwatch

__all__ = ["DEFAULT_BUNDLE", "QUALITIES", "HolisticPeople", "Quality", "TrackedBodies", "hand_identities"]

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

DEFAULT_BUNDLE = "holistic"
"""The bundle that people are found with unless another one is asked for."""

Quality = Literal["fast", "balanced", "best"]
QUALITIES: tuple[Quality, ...] = get_args(Quality)
"""How people are looked at: ``fast`` by the landmark network full, ``best`` by heavy; ``balanced`` by heavy those who
are nearly as large in the picture as the largest, the others by full."""

_OUTSIDE = 0.05  # weight of a landmark outside of the picture, relative to one inside
_PRIOR_SPREAD = 0.3  # rad, of PoseBERT's rotations of the body
_FINGER_SPREAD = 0.3  # rad, of PoseBERT's rotations of the fingers
_FINGERS = tuple(bone for bone in ANNY_BONES if bone.startswith(("finger", "metacarpal")))
_HEAD = ANNY_BONES.index("head")
# Landmarks of a face that expressions hardly move: bridge and wings of the nose, eye corners, forehead, temples.
_STEADY = [1, 4, 5, 6, 10, 33, 67, 127, 129, 133, 168, 195, 234, 263, 297, 356, 358, 362, 454]
_FADE = 0.3  # s: time constant with which an expression fades once the face is not seen
_LARGEST = 0.8  # sizes of the largest person, from which the larger network looks at one
# px, sizes of the regions at which two pixels of error are as much as the solver's spread of such points (1 cm).
_SHARP_HAND, _SHARP_FACE = 80.0, 60.0
_NEW_SHAPE = 0.004  # change of a phenotype from which a body at rest is computed anew


@dataclass(frozen=True)
class TrackedBodies(Tracked):
    """The people of one frame, with identities, and their hands.

    Attributes:
        hands: the hands of all people, smoothed, in the order of their identities.
        hands_of: identity of a person -> identities of their hands in this frame.
    """

    hands: Hands = field(default_factory=lambda: Hands(()))
    hands_of: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


@dataclass
class _Identity:
    """State of an identity.

    Attributes:
        fitter: solves its pose, position and shape.
        expression: solves its expression.
        rest: its body at rest, and the face of that.
        score, head: as last seen; px.
        hands, face: regions in which they were last seen.
        seen_hands: the hands of this frame.
        amounts: of the face units.
        size: of the body's region, px, when last seen.
        t: time of the last frame, s.
    """

    fitter: BodyFitter
    expression: ExpressionSolver = field(default_factory=ExpressionSolver)
    rest: BodyAtRest | None = None
    face_model: FaceModel | None = None
    score: float = 0.0
    head: Floats = field(default_factory=lambda: np.zeros(2, np.float32))
    hands: dict[Side, Region] = field(default_factory=dict)
    seen_hands: dict[Side, Hand] = field(default_factory=dict)
    face: Region | None = None
    amounts: Array | None = None
    size: float = 0.0
    t: float = 0.0


class HolisticPeople(Model):
    """Recover people's whole-body meshes, in a stream of images or in a single one.

    >>> model = HolisticPeople()                        # the shipped bundles
    >>> tracked = model.track(rgb, t=t)                  # uint8 [H, W, 3], seconds -> Tracked
    >>> people = model(rgb)                              # of a single photograph -> People

    Args:
        bundle: name or folder of the bundle ``holistic``, or a loaded one.
        quality: one of `QUALITIES`.
        fov: degrees over the longer side of the image, assumed where no intrinsics are given; None takes the bundle's.
        stature: height of every person, m; None: unknown, about that of an average adult.
        meshes: also compute vertices. Without them `People` has joints only.
        options: options of the tracker.
        backend, execution: where and how the networks run; see `Execution`. PoseBERT runs at ``fp32``.

    Attributes:
        faces: int32 [F, 3], triangles of every mesh.
        joint_names: [J] names of the joints.
        expression_units: [E] names of the face units.

    Raises:
        BundleError, BackendError, CameraError: the message says what is wrong and how to fix it.
    """

    NEEDS_OPEN = ("__call__", "track")

    @releasing
    def __init__(
        self,
        bundle: Bundle | str | Path = DEFAULT_BUNDLE,
        backend: Execution | Backend | str = "cpu",
        *,
        quality: Quality = "balanced",
        fov: float | None = None,
        stature: float | None = None,
        meshes: bool = True,
        options: BodyTrackerOptions | None = None,
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        super().__init__(bundle, "people", Execution.of(backend, execution))
        if quality not in QUALITIES:
            raise InvalidInputError(f"quality: no `{quality}`; choose one of: {choices(QUALITIES)}")
        settings = HolisticSettings.of(self.bundle)
        landmarks = load_bundle(settings.bundles.landmarks, task="people")
        self._network: BodyNetwork | BalancedNetwork | None = None
        if quality == "best":
            self._network = BodyNetwork(self.bundle, self.backend)
        elif quality == "balanced":
            self._network = BalancedNetwork(self.bundle, landmarks, self.backend)
        self.tracker = self.own(BodyTracker(landmarks, self.execution, options, network=self._network))
        self._stream = self.own(open_pose_stream(settings.bundles.body_poses, self.backend))
        self._mesh = self.own(BodyMesh(self.bundle, self.backend))
        body = settings.body
        self.faces: NDArray[np.int32] = face_indices(self.bundle, "faces", body.vertices)
        self.joint_names: tuple[str, ...] = body.joint_names
        self.expression_units = settings.expression_units
        self.poses = self._stream.bundle.name
        self.quality, self.stature, self.meshes = quality, stature, meshes
        self.fov = LandmarksSettings.of(landmarks).field_of_view if fov is None else fov
        field_of_view_intrinsics((640, 480), self.fov)  # CameraError now, not with the first image
        self._face_on_body = FaceOnBody(self.bundle, body.head_joint)
        usual = self._face_on_body(self._mesh.at_rest(np.array(body.sizes[-3])))
        self._body = FittedBody(
            lambda rotations, shape: self._mesh(self._mesh.at_rest(shape), rotations),
            body,
            fingers=True,
            more={"face": [Attached(f"face_{k}", "head", "head", tuple(usual.neutral[k])) for k in _STEADY]},
        )
        self._body.shape(stature)  # HumanrtError now, not with the first person
        self._head, self._vertices = body.head_joint, body.vertices
        hands = load_bundle(settings.bundles.hands, task="hands")
        self._hands = self.own(PersonHands(self.bundle, hands, self.backend))
        self._faces = self.own(PersonFace(self.bundle, self.backend))
        self._hand_smoother = self.own(HandPoseSmoother(settings.bundles.hand_poses, backend=self.backend))
        self.reset()

    def reset(self) -> None:
        """Forget all people. Identities are not reused."""
        self.tracker.reset()
        self._stream.reset()
        self._hand_smoother.reset()
        self._known: dict[int, _Identity] = {}

    def __call__(
        self, rgb: NDArray[np.uint8] | str | Path, intrinsics: ArrayLike | None = None, threshold: float | None = None
    ) -> People:
        """Return the people in a single image, unrelated to those before it. Arguments as for `track`."""
        image = as_image(rgb)
        self.reset()
        return self.track(image, 0.0, intrinsics, threshold).people

    def track(
        self,
        rgb: NDArray[np.uint8],
        t: float,
        intrinsics: ArrayLike | None = None,
        threshold: float | None = None,
    ) -> TrackedBodies:
        """Return the people in the next image of a stream.

        Args:
            rgb: uint8 [H, W, 3].
            t: its time stamp, s. A time before the last one resets the state: the source was rewound.
            intrinsics: K [3, 3] of the camera in px of this image; None assumes `fov` and the image's centre.
            threshold: minimum score of a person, 0..1; None: the tracker's.

        Raises:
            ValueError: the image is not uint8 [H, W, 3], ``t`` is not a finite time, or the threshold is not a
                probability.
            CameraError: the intrinsics are not valid. The state is then unchanged.
        """
        check_image(rgb)
        check_probability(threshold, "threshold")
        size = (rgb.shape[1], rgb.shape[0])
        K = field_of_view_intrinsics(size, self.fov) if intrinsics is None else check_intrinsics(intrinsics)
        if isinstance(self._network, BalancedNetwork):
            largest = max((known.size for known in self._known.values()), default=0.0)
            self._network.min_size = _LARGEST * largest
        bodies = self.tracker(rgb, t)
        watch = Stopwatch()
        for identity in bodies.lost:
            self._known.pop(identity, None)
        seen = {body.id: body.landmarks for body in bodies if threshold is None or body.landmarks.score >= threshold}
        for identity, landmarks in seen.items():
            if identity not in self._known:
                self._known[identity] = _Identity(self._body.fitter(self.stature))
            self._known[identity].size = landmarks.region.size
        lost = tuple(hand for identity in bodies.lost for hand in hand_identities(identity).values())
        hands = Hands(tuple(self._find_hands(seen)), {}, lost)
        watch.lap("hands")
        faces = {identity: self._find_face(identity, landmarks) for identity, landmarks in seen.items()}
        watch.lap("face")
        poses = self._stream.update(
            t, {identity: observe_body(landmarks, K) for identity, landmarks in seen.items()}, bodies.lost
        )
        hands = self._hand_smoother(hands, t)
        watch.lap("smooth")
        results: list[tuple[float, int, dict[str, NDArray[Any]]]] = []
        for identity, pose in poses.items():
            person = self._person(identity, pose, seen.get(identity), faces.get(identity), size, K, t)
            if person is not None:
                results.append((self._known[identity].score, identity, person))
        results.sort(key=lambda item: -item[0])
        watch.lap("body")
        people = self._people([person for *_, person in results], [self._known[i] for _, i, _ in results], K)
        watch.lap("decode")
        ids = tuple(identity for _, identity, _ in results)
        there = {hand.id for hand in hands}
        return TrackedBodies(
            replace(people, ms=bodies.ms | watch.ms),
            ids,
            bodies.lost,
            frozenset(ids) - seen.keys(),
            hands,
            {i: tuple(hand for hand in hand_identities(i).values() if hand in there) for i in ids},
        )

    def _find_hands(self, seen: Mapping[int, BodyLandmarks]) -> Iterator[Hand]:
        """Yield the hands of the people that are seen."""
        for identity, landmarks in seen.items():
            known = self._known[identity]
            known.seen_hands = {}
            for side, hand_id in hand_identities(identity).items():
                hand = self._hands(self.tracker.picture, landmarks.landmarks_2d, side, known.hands.pop(side, None))
                if hand is not None:
                    known.hands[side] = hand.region
                    found = Hand(hand_id, side, hand.presence, hand.keypoints_2d, hand.keypoints_3d)
                    known.seen_hands[side] = found
                    yield found

    def _find_face(self, identity: int, landmarks: BodyLandmarks) -> FaceLandmarks | None:
        known = self._known[identity]
        face = self._faces(self.tracker.picture, landmarks.landmarks_2d, known.face)
        known.face = None if face is None else face.region
        return face

    def _person(
        self,
        identity: int,
        pose: PoseState,
        landmarks: BodyLandmarks | None,
        face: FaceLandmarks | None,
        size: tuple[int, int],
        K: Array,
        t: float,
    ) -> dict[str, NDArray[Any]] | None:
        """Return a person's parameters and mesh, or None if their position is unknown."""
        known = self._known[identity]
        given = {
            side: self._hand_smoother.poses[hand].rotations
            for side, hand in hand_identities(identity).items()
            if hand in self._hand_smoother.poses
        }
        spread = dict.fromkeys(ANNY_BONES, _PRIOR_SPREAD)
        for side in given:
            spread |= {bone: _FINGER_SPREAD for bone in _FINGERS if bone.endswith(side[0].upper())}
        prior = PosePrior(anny_from_smpl(pose.rotations, given), spread=spread, root_spread=_PRIOR_SPREAD)
        known.score = 0.0 if landmarks is None else landmarks.score
        points = {}
        if landmarks is not None:
            points["body"] = _seen(landmarks, size)
        for side, hand in known.seen_hands.items():
            weight = hand.score * _sharpness(known.hands[side], _SHARP_HAND)
            points[f"{side}_hand"] = Seen(hand.keypoints_2d, np.full(21, weight))
        if face is not None:
            weight = face.score * _sharpness(face.region, _SHARP_FACE)
            points["face"] = Seen(face.landmarks_2d[_STEADY], np.full(len(_STEADY), weight))
        fit = known.fitter.fit(Observation(points, K) if points else [], t, prior)
        if fit is None:
            return None
        rotations = fit.rotations
        if known.rest is None or np.abs(known.rest.shape - fit.shape).max() > _NEW_SHAPE:
            known.rest = self._mesh.at_rest(fit.shape)
            known.face_model = self._face_on_body(known.rest)
        head = fit.joints[self._head]
        if face is not None and known.face_model is not None:
            turn = world_rotations(fit.rotations, ANNY_PARENTS)[_HEAD]
            known.amounts, _ = known.expression(known.face_model, face.landmarks_2d, K, turn, head, t)
        if face is None and known.amounts is not None:
            known.amounts = known.amounts * float(np.exp((known.t - t) / _FADE))
        known.t = t
        known.head = project(head[None].astype(np.float64), K)[0].astype(np.float32)
        amounts = np.zeros(self._mesh.units) if known.amounts is None else known.amounts
        vertices, joints = self._mesh(known.rest, rotations, head, amounts)
        return {
            "rotations": rotations,
            "shape": fit.shape,
            "expression": amounts.astype(np.float32),
            "translation": head,
            "joints": joints,
            "vertices": vertices,
        }

    def _people(self, people: list[dict[str, NDArray[Any]]], known: list[_Identity], K: Array) -> People:
        def stack(name: str, *shape: int) -> Floats:
            return np.stack([one[name] for one in people]) if people else np.zeros((0, *shape), np.float32)

        joints = stack("joints", len(self.joint_names), 3)
        return People(
            scores=np.array([one.score for one in known], np.float32),
            locations=np.array([one.head for one in known], np.float32).reshape(-1, 2),
            translations=stack("translation", 3),
            rotations=stack("rotations", len(ANNY_BONES), 3, 3),
            shape=stack("shape", 6),
            expression=stack("expression", self._mesh.units),
            intrinsics=K,
            vertices=stack("vertices", self._vertices, 3) if self.meshes else None,
            joints=joints,
            joints_2d=project(joints, K).astype(np.float32),
        )


def hand_identities(person: int) -> dict[Side, int]:
    """Return the identities of a person's hands: they are those of the person, from 1, and never reused either."""
    return {"left": 2 * person - 1, "right": 2 * person}


def _sharpness(region: Region, half: float) -> float:
    """Return the weight 0..1 of what was seen in a region: in metres, points of small hands and faces are far off."""
    return 1 / (1 + (half / max(region.size, 1.0)) ** 2)


def _seen(landmarks: BodyLandmarks, size: tuple[int, int]) -> Seen:
    # The network is overconfident about landmarks that it extrapolates beyond the picture's edge.
    inside = ((landmarks.landmarks_2d >= 0) & (landmarks.landmarks_2d < size)).all(axis=1)
    weight = landmarks.visibility * landmarks.presence * np.where(inside, 1.0, _OUTSIDE)
    return Seen(landmarks.landmarks_2d, weight, landmarks.landmarks_3d)
