"""HandTracker on real video and rendered clips: found, followed, named, and gone when gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from humanrt.errors import BundleError
from humanrt.hands.tracker import Hands, HandTracker, TrackerOptions
from humanrt.hands.truth import Truth
from humanrt.sources.opening import Frame, open_source

Image = NDArray[np.uint8]
DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def frames(hand_video: Path) -> list[Frame]:
    """The first 160 frames: the hand rests, then moves its fingers."""
    with open_source(hand_video) as source:
        return list(islice(source, 160))


def track(frames: Iterable[Frame], tracker: HandTracker | None = None) -> list[Hands]:
    tracker = tracker or HandTracker()
    return [tracker(frame.image, frame.t) for frame in frames]


def edited(frames: Iterable[Frame], edit: Callable[[Image], Image]) -> list[Frame]:
    return [Frame(np.ascontiguousarray(edit(frame.image)), frame.t, frame.index) for frame in frames]


def points(results: Sequence[Hands]) -> NDArray[np.float32]:
    assert all(len(hands) == 1 for hands in results), [len(hands) for hands in results]
    return np.array([hands[0].keypoints_2d for hands in results])


def identities(results: Sequence[Hands]) -> set[int]:
    return {hand.id for hands in results for hand in hands}


@pytest.fixture(scope="module")
def reference(frames: list[Frame]) -> list[Hands]:
    return track(frames)


def test_one_right_hand_in_every_frame(reference: list[Hands]) -> None:
    assert [len(hands) for hands in reference] == [1] * len(reference)
    assert identities(reference) == {1}
    assert {hand.side for hands in reference for hand in hands} == {"right"}
    assert min(hand.score for hands in reference for hand in hands) > 0.9


def test_metric_keypoints_have_a_hands_size_and_face_the_camera(reference: list[Hands]) -> None:
    for hands in reference[:: len(reference) // 10]:
        metric = hands[0].keypoints_3d
        assert 0.06 < np.linalg.norm(metric[9] - metric[0]) < 0.13
        # Turned back to the camera's axes they look as the hand looks in the image.
        a, b = metric[9, :2] - metric[0, :2], hands[0].keypoints_2d[9] - hands[0].keypoints_2d[0]
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.95


def test_the_flipped_clip_is_a_left_hand_at_the_mirrored_place(frames: list[Frame], reference: list[Hands]) -> None:
    width = frames[0].image.shape[1]
    flipped = track(edited(frames[:60], lambda image: image[:, ::-1]))
    assert {hand.side for hands in flipped for hand in hands} == {"left"}
    mirrored = points(flipped) * (-1, 1) + (width, 0)
    gap = np.linalg.norm(mirrored - points(reference[:60]), axis=-1)
    assert np.median(gap) < 4  # the network is not exactly mirror symmetric: a few px of a hand of 350


def test_mirrored_images_can_be_declared(frames: list[Frame]) -> None:
    tracker = HandTracker(options=TrackerOptions(mirrored=True))
    flipped = track(edited(frames[:3], lambda image: image[:, ::-1]), tracker)
    assert {hand.side for hands in flipped for hand in hands} == {"right"}
    # The metric keypoints are the person's own again: those of the image that was flipped.
    plain = track(frames[:3])
    for a, b in zip(plain, flipped, strict=True):
        assert np.linalg.norm(a[0].keypoints_3d - b[0].keypoints_3d, axis=1).mean() < 0.01


def test_half_the_resolution(frames: list[Frame], reference: list[Hands]) -> None:
    half = track(edited(frames, lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)))
    assert identities(half) == {1}
    gap = np.linalg.norm(2 * points(half) - points(reference), axis=-1)
    assert np.median(gap) < 3  # px: one and a half of the halved image's


@pytest.mark.parametrize("keep", [3, 6])
def test_fewer_frames_a_second(frames: list[Frame], reference: list[Hands], keep: int) -> None:
    slow = track(frames[::keep])
    assert identities(slow) == {1}
    gap = np.linalg.norm(points(slow) - points(reference[::keep]), axis=-1)
    assert np.median(gap) < 2  # px of a hand of 300: the crop comes from a frame longer ago


def test_repeated_frames(frames: list[Frame], reference: list[Hands]) -> None:
    doubled = [Frame(f.image, f.t + half / 60, f.index) for f in frames[:60] for half in (0, 1)]
    result = track(doubled)
    assert identities(result) == {1}
    assert np.median(np.linalg.norm(points(result)[1::2] - points(reference[:60]), axis=-1)) < 1


@pytest.mark.parametrize("turn", [cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE])
def test_a_turned_camera(frames: list[Frame], reference: list[Hands], turn: int) -> None:
    turned = track(edited(frames[:20], lambda image: np.asarray(cv2.rotate(image, turn), np.uint8)))
    assert {hand.side for hands in turned for hand in hands} == {"right"}
    for before, after in zip(reference, turned, strict=False):
        a, b = (np.linalg.norm(h[0].keypoints_2d[:, None] - h[0].keypoints_2d, axis=-1) for h in (before, after))
        assert np.median(np.abs(a - b)) < 4  # distances do not turn


def test_the_detector_runs_only_while_a_hand_is_missing(frames: list[Frame]) -> None:
    one = track(frames, HandTracker(options=TrackerOptions(max_hands=1)))
    assert [i for i, hands in enumerate(one) if "detect" in hands.ms] == [0]
    two = track(frames)
    searched = [frames[i].t for i, hands in enumerate(two) if "detect" in hands.ms]
    assert np.diff(searched).min() >= 0.5 - 1e-6


def two_hands(frames: Iterable[Frame]) -> list[Frame]:
    """The hand and its mirror image, side by side."""
    crop = [frame.image[:, 500:1000] for frame in frames]
    images = [np.concatenate((image[:, ::-1], image), axis=1) for image in crop]
    return [Frame(np.ascontiguousarray(image), i / 30, i) for i, image in enumerate(images)]


def test_two_hands_keep_their_names(frames: list[Frame]) -> None:
    results = track(two_hands(frames))
    assert all(len(hands) == 2 for hands in results)
    assert identities(results) == {1, 2}
    sides = {(hand.id, hand.side) for hands in results for hand in hands}
    assert len(sides) == 2
    assert {side for _, side in sides} == {"left", "right"}


def test_at_most_so_many_hands_as_asked(frames: list[Frame]) -> None:
    results = track(two_hands(frames[:10]), HandTracker(options=TrackerOptions(max_hands=1)))
    assert [len(hands) for hands in results] == [1] * 10
    with pytest.raises(ValueError, match="at least 1"):
        TrackerOptions(max_hands=0)


def test_a_hand_that_leaves_is_gone_at_once_and_forgotten_in_time(frames: list[Frame]) -> None:
    empty = np.full_like(frames[0].image, 90)
    tracker = HandTracker()
    t = frames[-1].t
    track(frames[-3:], tracker)
    gone = [tracker(empty, t + (i + 1) / 30) for i in range(30)]
    assert all(len(hands) == 0 for hands in gone)
    assert sum(hands.lost == (1,) for hands in gone) == 1
    lost_after = next(i for i, hands in enumerate(gone) if hands.lost) / 30
    assert lost_after == pytest.approx(tracker.options.remember, abs=0.05)
    back = tracker(frames[-1].image, t + 1.5)
    assert [hand.id for hand in back] == [2]


def test_a_new_scene_ends_identities(frames: list[Frame]) -> None:
    tracker = HandTracker()
    assert [hand.id for hand in tracker(frames[0].image, 0.0)] == [1]
    tracker.new_scene()
    after = tracker(frames[1].image, 1 / 30)
    assert [hand.id for hand in after] == [2]
    assert after.lost == (1,)
    # Mirrored and upside down it is another picture, with the hand elsewhere.
    other = np.ascontiguousarray(frames[2].image[::-1, ::-1])
    assert tracker(other, 2 / 30).lost == (2,)


def test_a_short_gap_keeps_the_identity(frames: list[Frame]) -> None:
    empty = np.full_like(frames[0].image, 90)
    tracker = HandTracker()
    images = [f.image for f in frames[:5]] + [empty] * 6 + [f.image for f in frames[11:20]]
    results = [tracker(image, i / 30) for i, image in enumerate(images)]
    assert [len(hands) for hands in results] == [1] * 5 + [0] * 6 + [1] * 9
    assert identities(results) == {1}


def test_nobody_in_view(hand_video: Path) -> None:
    tracker = HandTracker()
    random = np.random.default_rng(0)
    for image in (
        np.zeros((480, 640, 3)),
        np.full((480, 640, 3), 255),
        random.integers(0, 255, (480, 640, 3)),
    ):
        assert len(tracker(image.astype(np.uint8))) == 0


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 500, 3), (700, 3, 3), (5, 5, 3)])
def test_tiny_and_narrow_images_hold_no_hand(shape: tuple[int, int, int]) -> None:
    assert len(HandTracker()(np.zeros(shape, np.uint8))) == 0


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_rgb_image_is_refused(image: Image) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\]"):
        HandTracker()(image)


def test_a_rewound_clock_starts_afresh(frames: list[Frame]) -> None:
    tracker = HandTracker()
    first = track(frames[:3], tracker)
    again = track(frames[:3], tracker)
    assert identities(first) == {1}
    assert identities(again) == {2}
    np.testing.assert_allclose(points(first), points(again), atol=1e-3)


def test_unknown_models_are_named() -> None:
    with pytest.raises(BundleError, match="it has: full, lite"):
        HandTracker(options=TrackerOptions(model="huge"))


def follow(clip: str) -> tuple[list[Hands], Truth]:
    with open_source(DATA / f"{clip}.mp4") as source:
        return track(source), Truth.load(DATA / f"{clip}.npz")


def owner(truth: NDArray[np.float32], hands: Hands) -> int | None:
    """Identity of the hand that lies on the true keypoints [21, 2]; None when none does."""
    span = np.linalg.norm(np.ptp(truth, axis=0))
    for hand in hands:
        if np.linalg.norm(hand.keypoints_2d - truth, axis=1).mean() < span / 4:
            return hand.id
    return None


def test_identities_are_kept_while_hands_cross() -> None:
    results, truth = follow("hands_crossing")
    for person, side in enumerate(truth.side):
        owners = [owner(truth.keypoints_2d[f, person], hands) for f, hands in enumerate(results)]
        seen = [identity for identity in owners if identity is not None]
        assert len(set(seen[:5])) == 1
        assert seen[-1] == seen[0], f"{side} hand: {owners}"
        assert seen.count(seen[0]) > 0.9 * len(seen)
        assert len(seen) > 0.8 * len(results)


def test_a_lost_hand_is_not_reported_while_it_is_away() -> None:
    results, truth = follow("hand_lost")
    seen = truth.visible[:, 0].any(axis=-1)
    away = ~seen
    assert away.sum() > 5
    assert sum(len(hands) for hands, is_away in zip(results, away, strict=True) if is_away) == 0
    whole = truth.visible[:, 0].all(axis=-1)
    assert np.mean([len(hands) == 1 for hands, ok in zip(results, whole, strict=True) if ok]) > 0.9
