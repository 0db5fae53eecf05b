"""Bones keep an identity's own lengths, however fast a finger or an arm moves."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from humanrt import native
from humanrt.bundle import Bundle, load_bundle
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import HAND_16, MEDIAPIPE_33, SMPL_24, SMPL_PARENTS, SMPL_REST, world_rotations
from humanrt.hands.smoothers import open_smoother
from humanrt.hands.tracker import Hands, HandTracker, TrackerOptions
from humanrt.posebert.bones import HeldBones, Skeleton
from humanrt.posebert.model import PoseBERT
from humanrt.posebert.stream import PoseBERTStream
from humanrt.retarget import Retargeter
from humanrt.sources.opening import Frame, open_source

Array = NDArray[np.float64]

STEP = 1 / 30
MIRROR = np.array((-1.0, 1.0, 1.0))
FOLDS = {1: 1.1, 2: 1.6, 3: 0.8}  # rad, of a finger's joints in a fist
TOWARDS = np.diag((1.0, -1.0, -1.0))  # hand frame -> camera: fingers up, palm to the camera


@pytest.fixture(scope="module")
def skeleton() -> Skeleton:
    return skeleton_for("posebert-hand")


def skeleton_for(name: str) -> Skeleton:
    with PoseBERTStream(name, threads=1) as stream:
        assert stream._skeleton is not None
        return stream._skeleton


def held_once(skeleton: Skeleton, points: Array, rotations: Array, lengths: Array) -> Array:
    return skeleton.held(points, rotations, lengths)[0]


def turns(closed: float, finger: str = "index") -> Array:
    """[16, 3, 3] a hand before the camera, one of whose fingers is closed: 0 open, 1 a fist."""
    rotations = np.broadcast_to(np.eye(3), (16, 3, 3)).copy()
    rotations[0] = TOWARDS
    for place, fold in FOLDS.items():
        rotations[HAND_16.index(f"{finger}{place}")] = matrices_from_vectors(np.array((fold * closed, 0.0, 0.0)))
    return rotations


def hand(skeleton: Skeleton, closed: float, size: float = 1.0) -> Array:
    """[21, 3] m: keypoints of `turns`."""
    ways = skeleton._turned(turns(closed)) * skeleton.rest_lengths[:, None] * size
    points = np.zeros((21, 3))
    for bone, end in enumerate(skeleton._end):
        points[end] = points[skeleton._start[bone]] + ways[bone]
    return points - points.mean(axis=0)


def lengths_of(skeleton: Skeleton, points: NDArray[np.floating]) -> Array:
    return np.asarray(np.linalg.norm(skeleton.vectors(points), axis=-1))


def bends(skeleton: Skeleton, points: NDArray[np.floating]) -> Array:
    """Degrees between the bones of the index finger, [..., 3]."""
    bones = skeleton.vectors(points)[..., 4:8, :]
    bones = bones / np.linalg.norm(bones, axis=-1, keepdims=True)
    return np.asarray(np.degrees(np.arccos((bones[..., 1:, :] * bones[..., :-1, :]).sum(-1).clip(-1, 1))))


def snap(frame: int) -> float:
    """Closed for a second, open two frames later."""
    return 1.0 if frame < 30 else 0.5 if frame == 30 else 0.0


def streamed(stream: PoseBERTStream, observed: list[Array], side: str = "right") -> Array:
    return np.array(
        [stream.update(i * STEP, {1: (points, None, side)})[1].keypoints for i, points in enumerate(observed)]
    )


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_finger_that_snaps_open_keeps_its_bones(skeleton: Skeleton, side: str) -> None:
    mirror = MIRROR if side == "left" else np.ones(3)
    observed = [hand(skeleton, snap(i)) * mirror for i in range(60)]
    with PoseBERTStream("posebert-hand", threads=1) as stream:
        held = streamed(stream, observed, side)
        stream.reset()
        stream._skeleton = None
        network = streamed(stream, observed, side)
    usual = np.median(lengths_of(skeleton, network), axis=0)
    assert (lengths_of(skeleton, network) / usual).min() < 0.6, "the network alone no longer shortens bones here"
    kept = lengths_of(skeleton, held)
    assert (kept / np.median(kept, axis=0)).min() > 0.85
    assert (bends(skeleton, held) < (111, 126, 101)).all()
    # Nothing else changes much: where nothing moves the answers are the same.
    assert np.linalg.norm(held[50:] - network[50:], axis=-1).mean() < 0.005
    np.testing.assert_allclose(held.mean(axis=1), 0, atol=1e-6)


@pytest.fixture(scope="module")
def snapping(hand_video: Path) -> tuple[list[Frame], list[Hands]]:
    """A real index finger that snaps open in frame 79, at 30 frames a second; one hand in every frame."""
    with open_source(hand_video) as source, HandTracker(options=TrackerOptions(max_hands=1)) as tracker:
        frames = list(islice(source, 120))
        return frames, [tracker(frame.image, frame.t) for frame in frames]


@pytest.mark.parametrize("smooth", ["posebert", "oneeuro", "none"])
def test_a_real_finger_that_snaps_open(snapping: tuple[list[Frame], list[Hands]], smooth: str) -> None:
    """However the hand is smoothed, no robot joint jumps; and PoseBERT keeps the bones."""
    frames, seen = snapping
    with HandTracker() as tracker:
        smoother = open_smoother(smooth, tracker)
        hands = [smoother(found, frame.t) if smoother else found for frame, found in zip(frames, seen, strict=True)]
    points = np.array([found[0].keypoints_3d for found in hands])
    times = np.array([frame.t for frame in frames])
    if smooth == "posebert":
        before = [0 if point % 4 == 1 else point - 1 for point in range(1, 21)]
        bones = np.linalg.norm(points[:, 1:] - points[:, before], axis=-1)
        assert (bones / np.median(bones, axis=0)).min() > 0.85
        late = bones[times > times[0] + 1]
        assert (late[:30] / late[0] < 1.012).all()
        assert (late[:30] / late[0] > 0.988).all()
    for name in ("allegro_right", "leap_right", "shadow_right"):
        robot = Retargeter(name)
        steps = np.diff(times, prepend=times[0] - STEP)
        angles = np.array([robot.solve(p, dt=dt, side="right") for p, dt in zip(points, steps, strict=True)])
        assert np.abs(np.diff(angles, axis=0)).max() <= 0.6, name


@pytest.mark.parametrize("options", [{"lag": 2}, {"predict": 0.1}, {"fill": 0.5}])
def test_also_late_ahead_and_filled_in(skeleton: Skeleton, options: dict[str, float]) -> None:
    with PoseBERTStream("posebert-hand", threads=1, **options) as stream:  # type: ignore[arg-type]
        answers = []
        for i in range(60):
            missing = "fill" in options and 31 <= i < 38
            seen = {} if missing else {1: (hand(skeleton, snap(i)), None, "right")}
            answers += [pose.keypoints for pose in stream.update(i * STEP, seen).values()]
    kept = lengths_of(skeleton, np.array(answers))
    assert (kept / np.median(kept, axis=0)).min() > 0.85


def test_lengths_are_those_of_the_identity_and_end_with_it(skeleton: Skeleton) -> None:
    def both(stream: PoseBERTStream, small: bool, large: bool, start: float = 0.0) -> dict[int, list[Array]]:
        found: dict[int, list[Array]] = {1: [], 2: []}
        for i in range(20):
            seen = {1: hand(skeleton, 0.2, 0.7)} if small else {}
            seen |= {2: hand(skeleton, 0.2, 1.4)} if large else {}
            poses = stream.update(start + i * STEP, {k: (points, None, "right") for k, points in seen.items()})
            for identity, pose in poses.items():
                found[identity].append(pose.keypoints)
        return found

    with PoseBERTStream("posebert-hand", threads=1) as stream:
        together = both(stream, True, True)
        stream.reset()
        alone = both(stream, True, False)
        np.testing.assert_allclose(together[1], alone[1], atol=1e-6)
        stream.reset()
        np.testing.assert_allclose(both(stream, False, True)[2], together[2], atol=1e-6)
        ratio = lengths_of(skeleton, together[2][-1]) / lengths_of(skeleton, together[1][-1])
        np.testing.assert_allclose(ratio, 2.0, rtol=0.02)
        # An identity that ended and comes again is somebody new.
        stream.update(1.0, {}, lost=[2])
        for i in range(20):
            poses = stream.update(1.1 + i * STEP, {2: (hand(skeleton, 0.2, 0.7), None, "right")})
            np.testing.assert_allclose(poses[2].keypoints, alone[1][i], atol=1e-6)


def test_a_whole_hand_stays_as_it_is(skeleton: Skeleton) -> None:
    points = hand(skeleton, 0.4)
    # Whole bones keep the keypoints' directions, whatever the rotations say.
    for closed in (0.4, 0.7):
        held = held_once(skeleton, points, turns(closed), skeleton.rest_lengths)
        np.testing.assert_allclose(held, points, atol=1e-9)


def test_a_bone_that_shrinks_turns_smoothly_to_where_the_rotations_point(skeleton: Skeleton) -> None:
    points, found = hand(skeleton, 0.4), []
    for length in np.linspace(1.2, 0.0, 121):
        short = points.copy()
        short[8] = points[7] + length * (points[8] - points[7])
        found.append(held_once(skeleton, short, turns(0.7), skeleton.rest_lengths))
    steps = np.linalg.norm(np.diff(np.array(found)[:, 8], axis=0), axis=-1)
    assert steps.max() < 0.02 * skeleton.rest_lengths[7], "the last bone jumped"
    assert steps.sum() > 0.1 * skeleton.rest_lengths[7]


@pytest.mark.parametrize("left", [0.0, 0.05, 0.5])
def test_what_is_missing_of_a_bone_comes_from_the_rotations(skeleton: Skeleton, left: float) -> None:
    whole = hand(skeleton, 0.4)
    points = whole.copy()
    points[8] = points[7] + left * (points[8] - points[7])
    held = held_once(skeleton, points, turns(0.4), skeleton.rest_lengths)
    np.testing.assert_allclose(held, whole, atol=1e-9)


def test_a_joint_that_is_folded_back_is_not_believed(skeleton: Skeleton) -> None:
    points = hand(skeleton, 0.4)
    points[8] = points[7] + (points[6] - points[7])  # straight back, at full length
    held = held_once(skeleton, points, turns(0.4), lengths_of(skeleton, hand(skeleton, 0.4)))
    np.testing.assert_allclose(bends(skeleton, held), bends(skeleton, hand(skeleton, 0.4)), atol=1e-6)


def test_no_joint_bends_further_than_it_can(skeleton: Skeleton) -> None:
    folded = turns(2.2)  # 139, 202 and 101 degrees
    points = np.random.default_rng(0).normal(0, 0.001, (200, 21, 3))  # no hand at all
    lengths = np.tile(skeleton.rest_lengths, (200, 1))
    held = held_once(skeleton, points, np.broadcast_to(folded, (200, 16, 3, 3)), lengths)
    assert (bends(skeleton, held) < np.array((110, 125, 100)) + 1e-4).all()
    np.testing.assert_allclose(lengths_of(skeleton, held), np.tile(skeleton.rest_lengths, (200, 1)), rtol=1e-9)


@pytest.mark.parametrize("rate", [15, 30, 120])
def test_lengths_are_learned_in_a_second_and_then_stay(skeleton: Skeleton, rate: int) -> None:
    """Another finger than the average one is learned, at any frame rate; collapses of 0.1 s hardly count."""
    own = np.ones(20)
    own[5] = 1.2
    bones, found = HeldBones(skeleton, 1 / rate), []
    for i in range(4 * rate):
        ways = skeleton._turned(turns(0.0)) * (skeleton.rest_lengths * own)[:, None]
        if 2.0 <= i / rate < 2.1:
            ways[7] *= 0.05
        points = np.zeros((21, 3))
        for bone, end in enumerate(skeleton._end):
            points[end] = points[skeleton._start[bone]] + ways[bone]
        found.append(bones.measure(points, i / rate) / skeleton.rest_lengths)
    assert found[rate][5] == pytest.approx(1.15, abs=0.007)  # the same time, the same estimate
    assert found[-1][5] == pytest.approx(1.18, abs=0.006)
    assert min(lengths[7] for lengths in found) > 0.99
    late = np.array(found[rate:])
    assert np.abs(late[rate:] / late[:-rate] - 1).max() < 0.0101, "lengths changed within a second"


def test_no_observation_changes_lengths_by_more_than_a_hundredth_in_a_second(skeleton: Skeleton) -> None:
    """Whatever is seen: noise, hands of other sizes, gaps."""
    random = np.random.default_rng(3)
    bones = HeldBones(skeleton)
    times = np.cumsum(random.choice([1 / 120, 1 / 30, 0.4], 400, p=[0.6, 0.35, 0.05]))
    found = []
    for t in times:
        seen = hand(skeleton, random.uniform(0, 1), random.uniform(0.5, 2)) + random.normal(0, 0.01, (21, 3))
        found.append(bones.measure(seen, t).copy())
    after = np.flatnonzero(times > times[0] + 1.1)
    for i in after:
        late = after[(after >= i) & (times[after] <= times[i] + 1.0)]
        assert np.abs(np.array(found)[late] / found[i] - 1).max() < 0.0101


@pytest.mark.skipif(native.problem() is not None, reason=str(native.problem()))
@pytest.mark.parametrize("name", ["posebert-hand", "posebert-body", "posebert-lift", "posebert-body-h36m"])
def test_the_compiled_sums_are_numpys(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = HeldBones(skeleton_for(name))
    monkeypatch.setattr(native, "LIBRARY", native.LIBRARY.with_name("absent.so"))
    portable = HeldBones(skeleton_for(name))
    assert compiled._library is not None
    assert portable._library is None
    random = np.random.default_rng(7)
    joints, points = len(compiled._skeleton._parents), compiled._skeleton.points
    way, turn = random.normal(0, 0.1, (points, 3)), random.normal(0, 0.5, (joints, 3))
    for i, t in enumerate(np.cumsum(random.choice([0.0, 1 / 120, 1 / 30, 0.5], 200))):
        # Walks, with jumps, collapses to a point, and bones that fold further than they can.
        way = way + random.normal(0, 0.02, way.shape)
        turn = turn + random.normal(0, 0.3, turn.shape)
        seen = (way * (0.0 if i % 29 == 7 else 1.0)).astype(np.float32)
        rotations = matrices_from_vectors(turn).astype(np.float32)
        answers = []
        for bones in (compiled, portable):
            if i % 3 != 1:
                bones.measure(seen, t)
            answers.append(bones.hold(seen, rotations, t))
        assert compiled.lengths is not None
        np.testing.assert_allclose(compiled.lengths, portable.lengths, rtol=1e-9)
        np.testing.assert_allclose(*answers, atol=1e-6)


@pytest.mark.parametrize("rate", [30, 120])
def test_steady_turns_are_late_by_the_same_time_at_every_rate(skeleton: Skeleton, rate: int) -> None:
    """4 ms; and at rest nothing is late."""
    bones, speed, found = HeldBones(skeleton, 1 / rate), 0.5, []
    for i in range(rate):
        t = i / rate
        bones.measure(hand(skeleton, 0.0), t)
        found.append(bones.hold(hand(skeleton, speed * t), turns(speed * t), t))
    late = speed * (rate - 1) / rate - 0.004 * speed
    np.testing.assert_allclose(bends(skeleton, found[-1]), bends(skeleton, hand(skeleton, late)), atol=0.02)
    for i in range(5):
        still = bones.hold(hand(skeleton, 0.3), turns(0.3), 1.0 + i / rate)
    np.testing.assert_allclose(still, hand(skeleton, 0.3), atol=1e-5)


def test_an_answer_of_the_same_time_takes_the_place_of_the_last(skeleton: Skeleton) -> None:
    """What was seen by mistake leaves nothing behind."""
    answers = []
    for mistakes in (False, True):
        bones = HeldBones(skeleton)
        bones.measure(hand(skeleton, 0.0), 0.0)
        for i in range(10):
            if mistakes:
                bones.hold(hand(skeleton, 0.9), turns(0.9), i * STEP)
            last = bones.hold(hand(skeleton, 0.05 * i), turns(0.05 * i), i * STEP)
        answers.append(last)
    np.testing.assert_array_equal(*answers)


def test_both_sides_of_a_body_are_as_long() -> None:
    skeleton = skeleton_for("posebert-body")
    bones = HeldBones(skeleton)
    random = np.random.default_rng(5)
    for i in range(20):
        lengths = bones.measure(random.normal(0, 0.3, (33, 3)), i * STEP)
    by_name = {MEDIAPIPE_33[end]: length for end, length in zip(skeleton._end, lengths, strict=True)}
    for name, length in by_name.items():
        if name.startswith("left_"):
            assert by_name[name.replace("left_", "right_")] == pytest.approx(length, rel=1e-12)


@pytest.mark.parametrize("name", ["posebert-body", "posebert-lift", "posebert-body-h36m"])
def test_arms_and_legs_keep_their_lengths_too(name: str) -> None:
    bundle = load_bundle(name, task="posebert")
    with PoseBERTStream(bundle, threads=1) as stream:
        skeleton = stream._skeleton
    assert skeleton is not None

    def body(raised: float) -> Array:
        """Keypoints at SMPL's joints, as far as they are limbs'; the right arm raised."""
        local = np.broadcast_to(np.eye(3), (24, 3, 3)).copy()
        local[0] = np.diag((-1.0, -1.0, 1.0)) @ np.diag((-1.0, 1.0, -1.0))
        for side, sign in (("left", -1.0), ("right", 1.0)):
            angle = sign * (1.3 - (2.6 * raised if side == "right" else 0.0))
            local[SMPL_24.index(f"{side}_shoulder")] = matrices_from_vectors(np.array((0.0, 0.0, angle)))
        world = world_rotations(local, SMPL_PARENTS)
        ways = (world[skeleton._joint] @ skeleton._rest)[..., 0] * skeleton.rest_lengths[:, None]
        place = np.zeros((24, 3))
        for joint, parent in enumerate(SMPL_PARENTS):
            if parent >= 0:
                place[joint] = place[parent] + world[parent] @ (SMPL_REST[joint] - SMPL_REST[parent])
        points = np.zeros((skeleton.points, 3))
        if skeleton.points == 33:
            points[:11] = place[SMPL_24.index("head")]
        else:
            points[7:11] = place[[SMPL_24.index(j) for j in ("spine2", "spine3", "neck", "head")]]
        shoulders = (place[SMPL_24.index("left_shoulder")] + place[SMPL_24.index("right_shoulder")]) / 2
        for bone, end in enumerate(skeleton._end):
            start = int(skeleton._start[bone])
            fixed = start >= skeleton.points or start not in skeleton._end.tolist()
            trunk = shoulders if skeleton._joint[bone] == SMPL_24.index("spine3") else place[0]
            points[end] = (trunk if fixed else points[start]) + ways[bone]
        return points - points[bundle.setting("origin")].mean(axis=0)

    observed = [body(snap(i)) for i in range(45)]
    with PoseBERTStream(bundle, threads=1) as stream:
        kept = lengths_of(skeleton, streamed(stream, observed))[15:]
        stream.reset()
        stream._skeleton = None
        network = lengths_of(skeleton, streamed(stream, observed))[15:]
    assert (network / np.median(network, axis=0)).min() < 0.6, "the network alone no longer shortens limbs here"
    assert (kept / np.median(kept, axis=0)).min() > 0.85


def test_windows_keep_their_bones_too(skeleton: Skeleton) -> None:
    window = np.array([hand(skeleton, snap(i)) for i in range(10, 50)])
    windows, mask = np.array((window, 1.3 * window)), np.ones((2, 40), bool)
    mask[0, 30:35] = False
    with PoseBERT("posebert-hand", threads=1) as model:
        held, network = (model.refine(keypoints=windows, mask=mask, hold_bones=hold) for hold in (True, False))
        one = model.refine(keypoints=windows[0], mask=mask[0])
        nothing = model.refine(keypoints=windows[0], mask=np.zeros(40, bool))
        none = model.refine(keypoints=windows[:0])
    assert held.keypoints is not None
    assert network.keypoints is not None
    assert nothing.keypoints is not None
    assert none.keypoints is not None
    usual = np.median(lengths_of(skeleton, network.keypoints), axis=1, keepdims=True)
    assert (lengths_of(skeleton, network.keypoints) / usual).min() < 0.6, "the network no longer shortens bones here"
    np.testing.assert_allclose(lengths_of(skeleton, held.keypoints) / usual, 1.0, rtol=0.1)
    assert np.ptp(lengths_of(skeleton, held.keypoints), axis=1).max() < 1e-6
    np.testing.assert_allclose(one.keypoints, held.keypoints[0], atol=1e-6)
    np.testing.assert_array_equal(held.rotations, network.rotations)
    assert np.isfinite(nothing.keypoints).all()
    assert none.keypoints.shape == (0, 40, 21, 3)


def test_keypoints_of_another_kind_are_left_alone(toy: Callable[..., Bundle]) -> None:
    with PoseBERTStream(toy()) as stream:
        assert stream._skeleton is None
