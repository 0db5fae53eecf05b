"""HolisticPeople: whole bodies that follow the person, on a CPU, live.

The landmark network sees each person (`BodyTracker`), PoseBERT turns a window of landmarks into a pose that is
believed, and the body solver (`humanrt.fitting`) finds the body of Anny that agrees with the landmarks in the picture,
those in metres, the believed pose and the frames before. One camera cannot determine how tall a person is, and hence
how far away: the stature is assumed to be that of an average adult, or given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Unpack, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.backends import Backend
from humanrt.bundle import Bundle, load_bundle
from humanrt.bundle.settings import HolisticSettings, LandmarksSettings, face_indices
from humanrt.errors import InvalidInputError, choices
from humanrt.fitting import BodyFitter, FitOptions, Observation, PosePrior, Seen
from humanrt.fitting.rig import Attached
from humanrt.geometry.anny import ANNY_BONES, ANNY_PARENTS, anny_from_smpl
from humanrt.geometry.camera import project
from humanrt.geometry.hand import WRIST
from humanrt.geometry.region import Region
from humanrt.geometry.rotation import between
from humanrt.geometry.skeleton import Side, world_rotations
from humanrt.hands.pose_smoother import HandPoseSmoother
from humanrt.hands.tracker import Hand, Hands
from humanrt.hands.wrist_pose import pose_of
from humanrt.inference.execution import Execution, ExecutionOptions
from humanrt.inference.side_thread import SideThread
from humanrt.people.body_mesh import BodyAtRest, BodyMesh, BodyPoser, FaceOnBody, same_shape
from humanrt.people.body_points import rest_landmarks
from humanrt.people.body_tracker import Bodies, BodyTracker, BodyTrackerOptions
from humanrt.people.expression import ExpressionOptions, ExpressionSolver, FaceModel, unit_spreads
from humanrt.people.face import FaceLandmarks, PersonFace
from humanrt.people.fitted_body import FittedBody, seen_body
from humanrt.people.hand_regions import PersonHands
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
from humanrt.people.landmarks import QUALITIES, BalancedNetwork, BodyLandmarks, BodyNetwork, Quality
from humanrt.people.results import People
from humanrt.people.single_shot import SingleShotBody
from humanrt.people.smoother import PeopleSmootherOptions
from humanrt.people.unconfirmed import body_of, splits, unconfirmed
from humanrt.posebert.stream import PoseBERTStream, PoseState
from humanrt.resource import releasing
from humanrt.retarget import wrist_frame
from humanrt.timing import Stopwatch

__all__ = [
    "DEFAULT_BUNDLE",
    "QUALITIES",
    "HolisticPeople",
    "Quality",
    "TrackedBodies",
    "hand_identities",
    "person_of_hand",
]

Array = NDArray[np.float64]
Floats = NDArray[np.float32]

DEFAULT_BUNDLE = "holistic"
"""The bundle that people are found with unless another one is asked for."""

_PROPOSALS: Mapping[Quality, tuple[str, ...]] = {
    "fast": ("multipose",),
    "balanced": ("multipose", "multihmr"),
    "best": ("multipose", "multihmr"),
}
_SIDES: tuple[Side, ...] = get_args(Side)
_PRIOR_SPREAD = 0.3  # rad, of PoseBERT's rotations of the body
_FINGER_SPREAD = 0.3  # rad, of PoseBERT's rotations of the fingers
_BODY_SPREAD = 0.3  # rad, of the single-shot network's rotations, in photographs
_FINGERS = tuple(bone for bone in ANNY_BONES if bone.startswith(("finger", "metacarpal")))
_HEAD = ANNY_BONES.index("head")
# Landmarks of a face that expressions hardly move: bridge and wings of the nose, eye corners, forehead, temples.
_STEADY = [1, 4, 5, 6, 10, 33, 67, 127, 129, 133, 168, 195, 234, 263, 297, 356, 358, 362, 454]
_FADE = 0.3  # s: time constant with which an expression fades once the face is not seen
_LARGEST = 0.8  # sizes of the largest person, from which the larger network looks at one
# px, sizes of the regions at which two pixels of error are as much as the solver's spread of such points (1 cm).
_SHARP_HAND, _SHARP_FACE = 80.0, 60.0
# Of a solver that expects nothing of the frame before: nothing that moves so freely does.
_FRAME_BY_FRAME = FitOptions(acceleration=1e3, depth_acceleration=1e3, walk=1e3)


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
        hands, face: regions in which they were last seen.
        wrists: poses [4, 4] m of the wrists, as the body has them in the last frame that it was solved in.
        amounts: of the face units.
        size: of the body's region, px, when last seen.
        t: time of the last frame, s.
    """

    fitter: BodyFitter
    expression: ExpressionSolver
    rest: BodyAtRest | None = None
    face_model: FaceModel | None = None
    hands: dict[Side, Region] = field(default_factory=dict)
    wrists: dict[Side, Array] = field(default_factory=dict)
    face: Region | None = None
    amounts: Array | None = None
    size: float = 0.0
    t: float = 0.0


class HolisticPeople(LandmarkModel[TrackedBodies]):
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
        smooth: one of `LANDMARK_SMOOTHERS`: what the body solver believes of a pose before it looks at the pixels:
            ``posebert``, or inverse kinematics, with ``oneeuro`` smoothed, with ``none`` frame by frame; then the
            solver does not expect motion to go on, either. Fingers are PoseBERT's always: nothing else lifts them.
        options: options of the tracker; None: the default ones, with the proposals of the quality.
        backend, execution: where and how the networks run; see `Execution`. PoseBERT runs at ``fp32``.

    Attributes:
        expression_units: [E] names of the face units. Others: see `LandmarkModel`.

    Raises:
        BundleError, BackendError, CameraError: the message says what is wrong and how to fix it.
    """

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
        smooth: str = LANDMARK_SMOOTHERS[0],
        options: BodyTrackerOptions | None = None,
        **execution: Unpack[ExecutionOptions],
    ) -> None:
        super().__init__(bundle, Execution.of(backend, execution))
        check_landmark_smoothing(smooth)
        if quality not in QUALITIES:
            raise InvalidInputError(f"quality: no `{quality}`; choose one of: {choices(QUALITIES)}")
        settings = HolisticSettings.of(self.bundle)
        landmarks = load_bundle(settings.bundles.landmarks, task="people")
        self._network: BodyNetwork | BalancedNetwork | None = None
        if quality == "best":
            self._network = BodyNetwork(self.bundle, self.backend)
        elif quality == "balanced":
            self._network = BalancedNetwork(self.bundle, landmarks, self.backend)
        if options is None:
            options = BodyTrackerOptions(proposals=_PROPOSALS[quality])
        self.tracker = self.own(BodyTracker(landmarks, self.execution, options, network=self._network))
        self._mesh = self.own(BodyMesh(self.bundle, self.backend))
        body = settings.body
        self.faces = face_indices(self.bundle, "faces", body.vertices)
        self.joint_names = body.joint_names
        self.expression_units = settings.expression_units
        self._expressing = ExpressionOptions(unit_spread=unit_spreads(self.expression_units))
        self.quality, self.stature, self.meshes = quality, stature, meshes
        self._assume_field_of_view(LandmarksSettings.of(landmarks).field_of_view if fov is None else fov)
        self._face_on_body = FaceOnBody(self.bundle, body.head_joint)
        usual = self._face_on_body(self._mesh.at_rest(np.array(body.sizes[-3])))
        self._body = FittedBody(
            lambda rotations, shape: self._mesh(self._mesh.at_rest(shape), rotations),
            body,
            fingers=True,
            more={"face": [Attached(f"face_{k}", "head", "head", tuple(usual.neutral[:, k])) for k in _STEADY]},
            bundle=self.bundle.path,
        )
        self._body.shape(stature)  # HumanrtError now, not with the first person
        self._head, self._root, self._vertices = body.head_joint, body.pelvis_joint, body.vertices
        # Networks as small as these do not profit from several threads: half of them run beside the others instead.
        beside = self.backend.device is None and self.backend.threads != 1
        small = self.own(replace(self.execution, backend="cpu", threads=1).open()) if beside else self.backend
        self._beside = self.own(SideThread(beside))
        hands = load_bundle(settings.bundles.hands, task="hands")
        self._hands = {side: self.own(PersonHands(self.bundle, hands, small)) for side in _SIDES}
        self._faces = self.own(PersonFace(self.bundle, small))
        self.smooth = smooth
        self._stream: PoseBERTStream | LandmarkPoses
        if smooth == LANDMARK_SMOOTHERS[0]:
            stream = self._stream = self.own(open_pose_stream(settings.bundles.body_poses, small))
            self.poses = stream.bundle.name
        else:
            filtered = PeopleSmootherOptions().rotations if smooth == "oneeuro" else None
            self._stream, self.poses = LandmarkPoses(LandmarkIK(rest_landmarks()), filtered), GEOMETRY
        self._fit_options = _FRAME_BY_FRAME if smooth == "none" else None
        self._hand_smoothers = {
            side: self.own(HandPoseSmoother(settings.bundles.hand_poses, backend=small)) for side in _SIDES
        }
        self.reset()

    def reset(self) -> None:
        """Forget all people. Identities are not reused."""
        self.tracker.reset()
        self._stream.reset()
        for smoother in self._hand_smoothers.values():
            smoother.reset()
        self._known: dict[int, _Identity] = {}
        self._passing: tuple[int, ...] = ()  # identities of the last photograph that end with it

    def track(
        self,
        rgb: NDArray[np.uint8],
        t: float,
        intrinsics: ArrayLike | None = None,
        threshold: float | None = None,
        *,
        photograph: bool = False,
        meshes: bool = True,
    ) -> TrackedBodies:
        if isinstance(self._network, BalancedNetwork):
            largest = max((known.size for known in self._known.values()), default=0.0)
            self._network.min_size = _LARGEST * largest
        return super().track(rgb, t, intrinsics, threshold, photograph=photograph, meshes=meshes)

    def _recover(self, bodies: Bodies, seen: Mapping[int, BodyLandmarks], view: View) -> TrackedBodies:
        watch = Stopwatch()
        for identity in bodies.lost:
            self._known.pop(identity, None)
        twos = self._twos(bodies, seen, view)
        seen = {identity: landmarks for identity, landmarks in seen.items() if identity not in twos}
        for identity, landmarks in seen.items():
            if identity not in self._known:
                expression = ExpressionSolver(self._expressing)
                self._known[identity] = _Identity(self._body.fitter(self.stature, self._fit_options), expression)
            self._known[identity].size = landmarks.region.size
        hands: dict[Side, Hands] = {}
        found: dict[Side, dict[int, Hand]] = {}

        def follow(side: Side) -> None:
            looked = {identity: self._find_hand(identity, landmarks, side) for identity, landmarks in seen.items()}
            found[side] = {identity: hand for identity, hand in looked.items() if hand is not None}
            lost = tuple(hand_identities(identity)[side] for identity in bodies.lost)
            hands[side] = self._hand_smoothers[side](Hands(tuple(found[side].values()), {}, lost), view.t)

        def beside() -> dict[int, FaceLandmarks | None]:
            follow("left")
            return {identity: self._find_face(identity, landmarks) for identity, landmarks in seen.items()}

        others = self._beside(beside)
        follow("right")
        watch.lap("hands")
        observed = {identity: observe_body(landmarks, view.K) for identity, landmarks in seen.items()}
        poses = self._stream.update(view.t, observed, bodies.lost)
        watch.lap("smooth")
        faces = others.result()
        watch.lap("face")
        estimates = [
            self._person(
                identity,
                pose,
                seen.get(identity),
                [found[side][identity] for side in _SIDES if identity in found[side]],
                faces.get(identity),
                view,
            )
            for identity, pose in poses.items()
        ]
        coarse = self._coarse(bodies, [body for two in twos.values() for body in two], view)
        ended, self._passing = self._passing, tuple(one.id for one in coarse)
        watch.lap("body")
        tracked = self._tracked(bodies, seen, [*estimates, *coarse], view, watch)
        lost = tuple(hand for identity in bodies.lost for hand in hand_identities(identity).values())
        wrists = {
            hand_identities(estimate.id)[side]: pose
            for estimate in estimates
            if estimate is not None
            for side, pose in self._known[estimate.id].wrists.items()
        }
        together = sorted((hand for one in hands.values() for hand in one), key=lambda hand: hand.id)
        there = {hand.id for hand in together}
        return TrackedBodies(
            tracked.people,
            tracked.ids,
            (*tracked.lost, *ended),
            tracked.filled,
            Hands(tuple(replace(hand, wrist=wrists.get(hand.id)) for hand in together), {}, lost),
            {i: tuple(hand for hand in hand_identities(i).values() if hand in there) for i in tracked.ids},
        )

    def _find_hand(self, identity: int, landmarks: BodyLandmarks, side: Side) -> Hand | None:
        """Return a hand of a person who is seen, if it is seen."""
        known = self._known[identity]
        found = self._hands[side](self.tracker.picture, landmarks.landmarks_2d, side, known.hands.pop(side, None))
        if found is None:
            return None
        known.hands[side] = found.region
        return Hand(hand_identities(identity)[side], side, found.presence, found.keypoints_2d, found.keypoints_3d)

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
        hands: Sequence[Hand],
        face: FaceLandmarks | None,
        view: View,
    ) -> Estimate | None:
        """Return a person's parameters and mesh, or None if their position is unknown."""
        known = self._known[identity]
        given = {
            side: self._hand_smoothers[side].poses[hand].rotations
            for side, hand in hand_identities(identity).items()
            if hand in self._hand_smoothers[side].poses
        }
        spread = dict.fromkeys(ANNY_BONES, _PRIOR_SPREAD)
        for side in given:
            spread |= {bone: _FINGER_SPREAD for bone in _FINGERS if bone.endswith(side[0].upper())}
        prior = PosePrior(anny_from_smpl(pose.rotations, given), spread=spread, root_spread=_PRIOR_SPREAD)
        if landmarks is not None and (body := body_of(landmarks, self.tracker.looks)) is not None:
            prior = _combined(prior, body, view.K)
        points = {}
        if landmarks is not None:
            points["body"] = seen_body(landmarks, view.size)
        for hand in hands:
            weight = hand.score * _sharpness(known.hands[hand.side], _SHARP_HAND)
            points[f"{hand.side}_hand"] = Seen(hand.keypoints_2d, np.full(21, weight))
        if face is not None:
            weight = face.score * _sharpness(face.region, _SHARP_FACE)
            points["face"] = Seen(face.landmarks_2d[_STEADY], np.full(len(_STEADY), weight))
        fit = known.fitter.fit(Observation(points, view.K) if points else [], view.t, prior)
        if fit is None:
            return None
        for side in _SIDES:
            on_body = fit.points[self._body.rig.kinds[f"{side}_hand"]].astype(np.float64)
            known.wrists[side] = pose_of(wrist_frame(on_body, side), on_body[WRIST])
        if known.rest is None or not same_shape(known.rest, fit.shape):
            known.rest = self._mesh.at_rest(fit.shape)
            known.face_model = self._face_on_body(known.rest)
        head = fit.joints[self._head]
        if face is not None and known.face_model is not None:
            turn = world_rotations(fit.rotations, ANNY_PARENTS)[_HEAD]
            known.amounts, _ = known.expression(known.face_model, face.landmarks_2d, view.K, turn, head, view.t)
        if face is None and known.amounts is not None:
            known.amounts = known.amounts * float(np.exp((known.t - view.t) / _FADE))
        known.t = view.t
        amounts = np.zeros(self._mesh.units) if known.amounts is None else known.amounts
        vertices, joints = None, fit.joints
        if view.meshes:
            vertices, joints = self._mesh(known.rest, fit.rotations, head, amounts)
        return Estimate(
            id=identity,
            score=0.0 if landmarks is None else landmarks.score,
            head_2d=project(head[None].astype(np.float64), view.K)[0].astype(np.float32),
            translation=head,
            rotations=fit.rotations,
            shape=fit.shape,
            expression=amounts.astype(np.float32),
            joints=joints,
            vertices=vertices,
        )

    def _twos(
        self, bodies: Bodies, seen: Mapping[int, BodyLandmarks], view: View
    ) -> dict[int, tuple[SingleShotBody, SingleShotBody]]:
        """Return the two bodies that take the place of one person who is seen, where two hug, by identity.

        They do only if both are above the threshold and there is room for one more: a person whom the landmark network
        confirms is better than half of a pair, or nobody.
        """
        found = splits({body.id: body.landmarks for body in bodies}, self.tracker.looks)
        both = [
            (identity, two)
            for identity, two in found.items()
            if identity in seen and all(body.score >= view.threshold for body in two)
        ]
        return dict(islice(both, max(self.tracker.max_people - len(bodies), 0)))

    def _coarse(self, bodies: Bodies, twos: Sequence[SingleShotBody], view: View) -> list[Estimate]:
        """Return the people of a photograph whose bodies are the single-shot network's.

        They are those whom the landmark network takes for one (``twos``), and those whom it does not confirm.
        """
        room = max(self.tracker.max_people - len(bodies) - len(twos) // 2, 0)
        others = unconfirmed(self.tracker.looks, [body.landmarks for body in bodies], view.size, room)
        estimates = []
        for body in (*twos, *others):
            if body.score < view.threshold:
                continue
            rotations, root = body.before(view.K)
            shape = body.shape if self.stature is None else self._body.phenotypes(self.stature)
            rest = self._mesh.at_rest(shape)
            vertices, joints = self._mesh(rest, rotations)
            move = (root - joints[self._root]).astype(np.float32)
            head = joints[self._head] + move
            estimates.append(
                Estimate(
                    id=self.tracker.new_identity(),
                    score=body.score,
                    head_2d=project(head[None].astype(np.float64), view.K)[0].astype(np.float32),
                    translation=head,
                    rotations=rotations.astype(np.float32),
                    shape=np.asarray(shape, np.float32),
                    expression=np.zeros(self._mesh.units, np.float32),
                    joints=joints + move,
                    vertices=vertices + move,
                    confirmed=False,
                )
            )
        return estimates

    @cached_property
    def _poser(self) -> BodyPoser:
        """The body model again, for `posed`: another thread may use the first."""
        return self.own(BodyPoser(self.bundle, self.backend))

    def posed(self, people: People) -> People:
        if not len(people):
            meshes = np.zeros((0, self._vertices, 3), np.float32) if self.meshes else None
            joints = np.zeros((0, len(self.joint_names), 3), np.float32)
            return replace(people, vertices=meshes, joints=joints, joints_2d=joints[..., :2])
        meshes, joints = map(np.stack, self._poser(people))
        pixels = project(joints, people.intrinsics).astype(np.float32)
        return replace(people, vertices=meshes if self.meshes else None, joints=joints, joints_2d=pixels)

    def _people(self, estimates: Sequence[Estimate], view: View) -> People:
        return people_of(
            estimates,
            view.K,
            vertices=self._vertices if self.meshes and view.meshes else None,
            joints=len(self.joint_names),
            shape=6,
            expression=self._mesh.units,
        )


def _combined(prior: PosePrior, body: SingleShotBody, K: Array) -> PosePrior:
    """Return what is believed of a pose that the single-shot network sees, too, both weighted by their precision.

    Fingers are left as they are.
    """
    assert not isinstance(prior.spread, float | int)
    seen, _ = body.before(K)
    rotations, spread = np.array(prior.rotations, np.float64), dict(prior.spread)
    for index, bone in enumerate(ANNY_BONES):
        if bone in _FINGERS:
            continue
        amount, spread[bone] = _weighted(spread[bone])
        rotations[index] = between(rotations[index], seen[index], amount)
    root = _PRIOR_SPREAD if prior.root_spread is None else float(prior.root_spread)
    return PosePrior(rotations, spread, _weighted(root)[1])


def _weighted(spread: float) -> tuple[float, float]:
    """Return the weight of a single-shot rotation beside another of this spread, rad, and the spread of both."""
    own, other = _BODY_SPREAD**-2.0, spread**-2.0
    return own / (own + other), (own + other) ** -0.5


def hand_identities(person: int) -> dict[Side, int]:
    """Return the identities of a person's hands: they are those of the person, from 1, and never reused either."""
    return {"left": 2 * person - 1, "right": 2 * person}


def person_of_hand(hand: int) -> int:
    """Return the identity of the person whose hand has this identity."""
    return (hand + 1) // 2


def _sharpness(region: Region, half: float) -> float:
    """Return the weight 0..1 of what was seen in a region: in metres, points of small hands and faces are far off."""
    return 1 / (1 + (half / max(region.size, 1.0)) ** 2)
