"""Scores of clips whose errors are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cases import ANNY, clip_of, people_at, scored, shot_of

from humanrt.evaluation.correspondence import correspond
from humanrt.evaluation.scoring import ClipScorer, Predicted, Scores
from humanrt.metrics.matching import optimal
from humanrt.metrics.trajectory import bends, jerks, root_translation_error, world_distances

TWO = people_at((-0.6, 0, 4), (0.7, 0, 6))


def test_the_truth_has_no_error() -> None:
    scores = scored([shot_of(TWO)], lambda number, true: true, film=False, vertices=True)
    assert scores.found.tolist() == [True, True]
    assert scores.wrong.tolist() == [0]
    for name in ("mpjpe", "pa_mpjpe", "pve", "pa_pve", "hands", "pa_hands", "place", "root_error", "depth"):
        assert scores.column(name) == pytest.approx(0, abs=2e-6), name
    assert np.isnan(scores.column("iou")).all()
    assert np.isnan(scores.column("w_mpjpe")).all()  # pictures that stand for themselves have no motion
    assert scores.inside == pytest.approx(1)
    assert scores.distance == pytest.approx(np.linalg.norm(TWO[:, ANNY.index("root")], axis=1))


def test_a_shift_is_an_error_of_place_only() -> None:
    scores = scored([shot_of(TWO)], lambda number, true: np.add(true, (0.03, 0, 0.04)), vertices=True)
    assert scores.column("place") == pytest.approx(0.05, abs=1e-6)
    assert scores.column("root_error") == pytest.approx(0.05, abs=1e-6)
    assert scores.column("depth") == pytest.approx(0.04 / TWO[:, ANNY.index("root"), 2], abs=1e-6)
    for name in ("mpjpe", "pa_mpjpe", "pve", "hands"):
        assert scores.column(name) == pytest.approx(0, abs=2e-6), name


def test_one_joint_counts_in_its_own_column() -> None:
    def found(number: int, true: np.ndarray) -> np.ndarray:
        moved = true.copy()
        moved[:, ANNY.index("wrist.L"), 1] += 0.1
        return moved

    joints = correspond(ANNY, ANNY, "pelvis")
    scores = scored([shot_of(TWO)], found)
    wanted = np.zeros((2, len(joints.names)))
    wanted[:, joints.names.index("wrist.L")] = 0.1
    assert scores.joints == pytest.approx(wanted, abs=1e-6)
    assert scores.column("mpjpe") == pytest.approx(0.1 / len(joints.names), abs=1e-6)
    # A hand is about its wrist: its twenty other keypoints are 10 cm off, and the other hand's are right.
    assert scores.column("hands") == pytest.approx(0.1 * 20 / 21 / 2, abs=1e-6)


def test_missed_people_have_a_row_and_finds_that_are_nobody_are_counted() -> None:
    def found(number: int, true: np.ndarray) -> np.ndarray:
        return np.concatenate([true[1:], people_at((2.4, 0, 4), (2.6, 0, 7))])

    scores = scored([shot_of(TWO), shot_of(TWO, 1)], found)
    assert scores.found.tolist() == [False, True] * 2
    assert scores.person.tolist() == [0, 1] * 2
    assert scores.frame.tolist() == [0, 0, 1, 1]
    assert np.isnan(scores.column("mpjpe")).tolist() == [True, False] * 2
    assert scores.wrong.tolist() == [2, 2]


def test_people_who_need_not_be_found_count_as_neither() -> None:
    scores = scored([shot_of(TWO, wanted=[True, False])], lambda number, true: true)
    assert scores.person.tolist() == [0]
    assert scores.wrong.tolist() == [0]


def test_nobody_there_and_nobody_found() -> None:
    nobody = people_at()
    scores = scored([shot_of(nobody)], lambda number, true: true)
    assert (len(scores.found), scores.wrong.tolist()) == (0, [0])
    scores = scored([shot_of(nobody)], lambda number, true: TWO)
    assert (len(scores.found), scores.wrong.tolist()) == (0, [2])


def test_people_behind_the_camera_are_not_paired() -> None:
    behind = people_at((0, 0, -4))
    scores = scored([shot_of(behind)], lambda number, true: true)
    assert scores.found.tolist() == [False]


def test_a_person_partly_outside_is_truncated() -> None:
    scores = scored([shot_of(people_at((2.0, 0, 4)))], lambda number, true: true)
    assert 0 < scores.inside[0] < 1


def test_motion() -> None:
    """A person who walks at 1 cm a frame; found with a jump of 3 cm sideways in frame 5 of ten."""
    shots = [shot_of(people_at((0.01 * k, 0, 4)), k) for k in range(10)]
    scores = scored(shots, lambda number, true: true + ([0, 0.03, 0] if number == 5 else [0, 0, 0]))
    # About the root the jump cannot be seen; the place has it, and jitter is of the place.
    assert np.nanmax(scores.column("acceleration_error")) < 1e-5
    assert np.isnan(scores.column("acceleration")[:2]).all()
    jitter = scores.column("jitter")
    assert jitter[8] == pytest.approx(0.03 * 30**3 / 10, rel=1e-3)  # third differences 0, 1, -3, 3, -1 times 3 cm
    assert jitter[[5, 6, 7, 8]] == pytest.approx(0.003 * 30**3 * np.array([1, 3, 3, 1]), rel=1e-3)
    assert scores.column("true_jitter")[3:] == pytest.approx(0, abs=1e-2)
    # The root's path is 9 cm long, and a tenth of the frames is off by 3 cm.
    assert len(scores.rte) == 1
    assert 100 * 0.03 * 0.5 / 10 / 0.09 < scores.rte[0] < 100 * 0.03 * 2 / 10 / 0.09


def test_a_gap_separates_differences_in_time() -> None:
    shots = [shot_of(people_at((0.01 * k * k, 0, 4)), k) for k in range(8)]
    scores = scored(shots, lambda number, true: true[:0] if number == 4 else true)
    assert scores.found.tolist() == [True] * 4 + [False] + [True] * 3
    known = np.isfinite(scores.column("acceleration"))
    assert known.tolist() == [False, False, True, True, False, False, False, True]
    assert np.isfinite(scores.column("w_mpjpe")).sum() == 7


def test_frames_that_the_data_leaves_out_are_a_gap_too() -> None:
    shots = [shot_of(people_at((0.01 * k, 0, 4)), k) for k in (0, 1, 2, 7, 8, 9, 10)]
    scores = scored(shots, lambda number, true: true)
    assert scores.frame.tolist() == list(range(7))  # pictures are counted as they come
    known = np.isfinite(scores.column("acceleration"))
    assert known.tolist() == [False, False, True, False, False, True, True]


def test_a_moving_camera_is_taken_out_by_its_known_pose() -> None:
    """The person stands; the camera moves aside by 2 cm a frame, so that in its space the person moves."""
    standing = people_at((0, 0, 4))
    shots = []
    for k in range(6):
        to_world = np.eye(4)
        to_world[0, 3] = 0.02 * k
        shots.append(replace(shot_of(standing - [0.02 * k, 0, 0], k), to_world=to_world))
    scores = scored(shots, lambda number, true: true)
    assert scores.column("true_jitter")[3:] == pytest.approx(0, abs=0.02)
    assert np.isnan(scores.rte).all()  # who stands has no path of which an error could be a fraction


def test_units_are_pictures_or_seconds() -> None:
    shots = [shot_of(people_at((0, 0, 4)), k) for k in range(45)]
    assert sorted(set(scored(shots, lambda n, true: true).unit.tolist())) == [0, 1]
    assert len(set(scored(shots, lambda n, true: true, film=False).unit.tolist())) == 45


def test_a_file_of_scores_comes_back_only_for_what_it_was_made_of(tmp_path: Path) -> None:
    scores = scored([shot_of(TWO)], lambda number, true: true[:1])
    path = tmp_path / "deep" / "clip.npz"
    assert Scores.load(path, {"a": 1}) is None
    scores.save(path, {"a": 1})
    again = Scores.load(path, {"a": 1})
    assert again is not None
    assert np.array_equal(again.values, scores.values, equal_nan=True)
    assert again.found.tolist() == scores.found.tolist()
    assert Scores.load(path, {"a": 2}) is None
    path.write_bytes(path.read_bytes()[:200])
    assert Scores.load(path, {"a": 1}) is None


def test_joined_scores_keep_units_apart() -> None:
    one = scored([shot_of(TWO)], lambda number, true: true, film=False)
    both = Scores.joined([one, one])
    assert both.unit.tolist() == [0, 0, 1, 1]
    assert both.wrong_unit.tolist() == [0, 1]


def test_silhouettes_are_compared_person_by_person() -> None:
    shot = shot_of(TWO)
    height, width = shot.frame.image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    mask[:, :100], mask[:, 100:140] = 1, 2
    shot = replace(shot, people=replace(shot.people, masks=lambda person: mask == person + 1))
    drawn = np.zeros((height, width), np.int32)
    drawn[:, :50], drawn[:, 100:140] = 2, 1  # found in the other order
    scorer = ClipScorer(clip_of([shot]), correspond(ANNY, ANNY, "pelvis"), optimal, 0.1)
    scorer.add(shot, Predicted((0, 1), TWO[::-1].astype(np.float32)), drawn, None)
    assert scorer.finish().column("iou") == pytest.approx([0.5, 1.0])


def test_long_films_are_scored_in_parts_as_if_at_once() -> None:
    """Two people over 730 frames, one lost for a while: chunks and blocks end where they end, and nothing shows."""
    random = np.random.default_rng(0)
    path = np.cumsum(np.cumsum(random.normal(0, 1e-4, (730, 2, 3)), axis=0), axis=0) + np.array([[-1, 0, 5], [1, 0, 6]])
    shots = [shot_of(people_at(*places), k) for k, places in enumerate(path)]
    noise = random.normal(0, 0.02, (730, *shots[0].people.joints.shape))

    def found(number: int, true: np.ndarray) -> np.ndarray:
        joints = (true + noise[number]).astype(np.float32)
        return joints[1:] if 140 <= number < 155 else joints

    scores = scored(shots, found)
    joints = correspond(ANNY, ANNY, "pelvis")
    for person, there in ((0, [k for k in range(730) if not 140 <= k < 155]), (1, list(range(730)))):
        mine = scores.person == person
        ours, true = (
            np.array([points[person if len(points) == 2 else 0] for points in some], np.float32).astype(np.float64)
            for some in ([found(k, shots[k].people.joints) for k in there], [shots[k].people.joints for k in there])
        )
        about = [points[:, joints.predicted] - points[:, joints.root].mean(1, keepdims=True) for points in (ours, true)]
        rows = np.flatnonzero(mine)[there]
        for whole, name in ((False, "w_mpjpe"), (True, "wa_mpjpe")):
            wanted = world_distances(ours[:, joints.predicted], true[:, joints.predicted], whole=whole).mean(1)
            assert scores.column(name)[rows] == pytest.approx(wanted, abs=1e-6), name
        wanted = np.full(len(there), np.nan)
        wanted[2:] = bends(about[0] - about[1]).mean(1)
        if person == 0:
            wanted[140:142] = np.nan  # the first two after the gap
        assert scores.column("acceleration_error")[rows] == pytest.approx(wanted, abs=1e-6, nan_ok=True)
        wanted = np.full(len(there), np.nan)
        wanted[3:] = jerks(ours[:, joints.predicted], 30.0).mean(1)
        if person == 0:
            wanted[140:143] = np.nan
        assert scores.column("jitter")[rows] == pytest.approx(wanted, rel=1e-4, nan_ok=True)
        roots = [points[:, joints.root].mean(1) for points in (ours, true)]
        assert scores.rte[person] == pytest.approx(root_translation_error(*roots), rel=1e-5)
