"""Means, strata, intervals and paired differences of known scores."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from cases import ANNY, people_at, scored, shot_of

from humanrt.evaluation.correspondence import correspond
from humanrt.evaluation.dataset import DataSet
from humanrt.evaluation.report import as_markdown, report_of
from humanrt.evaluation.running import Run, RunOptions
from humanrt.evaluation.summary import compared, summarised
from humanrt.geometry.skeleton import SMPL_24

JOINTS = correspond(ANNY, ANNY, "pelvis")
SHOTS = [shot_of(people_at((-0.6, 0, 1.8 + 0.1 * k), (1.0, 0, 6)), k) for k in range(60)]


def noisy(seed: int, size: float, miss: float = 0.0) -> Run:
    generator = np.random.default_rng(seed)

    def found(number: int, true: np.ndarray) -> np.ndarray:
        seen = true + size * generator.normal(size=true.shape)
        return seen[generator.random(len(true)) >= miss]

    half = len(SHOTS) // 2
    parts = {"a": scored(SHOTS[:half], found, film=False), "b": scored(SHOTS[half:], found, film=False)}
    return Run(f"noise {size:g}", parts, JOINTS)


def test_lengths_are_in_millimetres() -> None:
    summary = summarised(noisy(0, 0.02), everybody=True)
    # The mean length of three normals of deviation s is s sqrt(8 / pi); a difference of two joints has sqrt(2) s.
    assert summary["mpjpe"] == pytest.approx(20 * 2**0.5 * (8 / np.pi) ** 0.5, rel=0.05)
    assert summary["place"] == pytest.approx(20 * (8 / np.pi) ** 0.5, rel=0.02)
    assert summary["pa_mpjpe"] < summary["mpjpe"]
    assert (summary["frames"], summary["people"], summary["recall"], summary["precision"]) == (60, 120, 1, 1)
    assert summary["nmje"] == pytest.approx(summary["mpjpe"])
    assert summary["pve"] is None
    assert summary["nmve"] is None


def test_misses_divide_the_normalised_error() -> None:
    run = noisy(0, 0.02, miss=0.3)
    summary = summarised(run, everybody=True)
    recall = np.concatenate([part.found for part in run.clips.values()]).mean()
    f1 = recall / (recall + 0.5 * (1 - recall))
    assert summary["recall"] == pytest.approx(recall)
    assert summary["nmje"] == pytest.approx(summary["mpjpe"] / f1)
    rounded = summarised(run, everybody=True, published=True)
    assert rounded["nmje"] == pytest.approx(summary["mpjpe"] / round(f1, 2))


def test_without_everybody_in_the_truth_nothing_is_wrong() -> None:
    summary = summarised(noisy(0, 0.02), everybody=False)
    assert (summary["precision"], summary["f1"], summary["nmje"], summary["wrong"]) == (None,) * 4
    assert "precision" not in summary["interval"]


def test_strata_and_joints_and_clips() -> None:
    summary = summarised(noisy(0, 0.02), everybody=True)
    strata = summary["strata"]
    away = np.linalg.norm([shot.people.joints[:, ANNY.index("root")] for shot in SHOTS], axis=-1)
    assert strata["farther than 5 m"]["people"] == (away >= 5).sum() > 60
    assert strata["nearer than 2 m"]["people"] == (away < 2).sum() > 0
    assert strata["whole"]["people"] + strata["truncated"]["people"] == 120
    assert "mostly hidden" not in strata
    assert strata["not hidden"]["mpjpe"] == pytest.approx(summary["mpjpe"])
    assert set(summary["joints"]) == set(JOINTS.names)
    assert summary["joints"]["root"] == pytest.approx(0)
    assert np.mean([one["mpjpe"] for one in summary["clips"].values()]) == pytest.approx(summary["mpjpe"], rel=1e-6)


def test_an_interval_is_that_of_a_mean_of_independent_pictures() -> None:
    run = noisy(1, 0.05)
    low, high = summarised(run, everybody=True)["interval"]["place"]
    each = np.concatenate([part.column("place") for part in run.clips.values()]).reshape(60, 2).mean(1) * 1000
    half = 1.96 * each.std() / 60**0.5
    assert (low + high) / 2 == pytest.approx(each.mean(), abs=0.3 * half)
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    expected = 50 * (8 / np.pi) ** 0.5
    inside = 0
    for seed in range(20):
        low, high = summarised(noisy(seed + 10, 0.05), everybody=True)["interval"]["place"]
        inside += low < expected < high
    assert 16 <= inside <= 20


def test_pairs_are_of_the_same_people() -> None:
    # The second is twice as noisy and misses a third; on the people whom both find the difference is that of the noise.
    (pair,) = compared([noisy(0, 0.02), noisy(1, 0.04, miss=0.33)])
    assert pair["bundles"] == ["noise 0.02", "noise 0.04"]
    assert pair["place"]["difference"] == pytest.approx(20 * (8 / np.pi) ** 0.5, rel=0.05)
    low, high = pair["place"]["interval"]
    assert 0 < low < pair["place"]["difference"] < high
    assert pair["recall"]["difference"] == pytest.approx(pair["people"] / 120 - 1)


def test_pve_of_two_meshes_is_not_compared() -> None:
    parts = {"a": scored(SHOTS[:5], lambda number, true: true, film=False, vertices=True)}
    ours = Run("ours", parts, JOINTS, 50)
    assert "pve" in compared([ours, Run("same", parts, JOINTS, 50)])[0]
    (pair,) = compared([ours, Run("other", parts, JOINTS, 500)])
    assert "pve" not in pair
    assert "mpjpe" in pair


def test_the_same_run_twice_differs_by_nothing() -> None:
    run = noisy(0, 0.02)
    (pair,) = compared([run, run])
    assert pair["mpjpe"] == {"difference": 0.0, "interval": [0.0, 0.0]}


def test_a_single_picture_has_no_intervals() -> None:
    one = Run("one", {"a": scored(SHOTS[:1], lambda number, true: true, film=False, vertices=False)}, JOINTS)
    assert summarised(one, everybody=True)["interval"] == {}
    (pair,) = compared([one, replace(one, name="other")])
    assert pair["mpjpe"] == {"difference": 0.0, "interval": None}
    data = DataSet("shards", (), "pelvis", everybody=True, about="made here")
    text = as_markdown(report_of([one, replace(one, name="other")], data, "folder", RunOptions()))
    assert "there is only one" in text
    assert "| +0.0 |" in text


def test_bundles_compared_by_other_joints_are_no_pair() -> None:
    run = noisy(0, 0.02)
    assert compared([run, Run("x", run.clips, correspond(ANNY, SMPL_24, "hips"))]) == []


def test_the_report_names_every_version_of_a_bundle() -> None:
    data = DataSet("shards", (), "pelvis", everybody=True, about="made here")
    ours = replace(noisy(0, 0.02), name="ours", bundles={"net": 8 * "a" + "1", "hands": 9 * "c"})
    shipped = replace(ours, name="shipped", bundles={"net": 8 * "b" + "2", "hands": 9 * "c"})
    same = as_markdown(report_of([ours, replace(ours, name="again")], data, "folder", RunOptions()))
    assert same.count("`net` aaaaaaaa") == same.count("`hands` cccccccc") == 1
    other = as_markdown(report_of([ours, shipped], data, "folder", RunOptions()))
    assert "- ours: `hands` cccccccc, `net` aaaaaaaa\n" in other
    assert "- shipped: `hands` cccccccc, `net` bbbbbbbb\n" in other


def test_the_report_is_json_and_tables() -> None:
    data = DataSet("shards", (), "pelvis", everybody=True, about="made here")
    runs = [noisy(0, 0.02), noisy(1, 0.04, miss=0.33)]
    report = report_of(runs, data, "folder", RunOptions())
    again = json.loads(json.dumps(report, allow_nan=False))
    assert again["mpjpe"] == again["bundles"]["noise 0.02"]["mpjpe"]
    assert {"mpjpe", "pa_mpjpe", "pve", "recall", "precision", "matcher"} <= again.keys()
    text = as_markdown(report)
    widths = [line.count("|") for line in text.splitlines() if line.startswith("|")]
    assert len(widths) > 12
    assert "noise 0.02 to noise 0.04" in text
    assert "matcher: optimal, IoU at least 0.1" in text
    assert "nan" not in text
    assert "root: pelvis" in text


def test_nobody_found_at_all() -> None:
    nobody = Run("none", {"a": scored(SHOTS[:3], lambda n, true: true[:0])}, JOINTS)
    summary = summarised(nobody, everybody=True)
    assert (summary["recall"], summary["mpjpe"], summary["nmje"]) == (0, None, None)
    data = DataSet("shards", (), "pelvis", everybody=True, about="made here")
    report = report_of([nobody], data, "folder", RunOptions())
    json.dumps(report, allow_nan=False)
    assert "none" in as_markdown(report)
