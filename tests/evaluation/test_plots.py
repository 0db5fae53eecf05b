"""Charts of scores: what is drawn is what was measured."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from humanrt.drawing.colours import colour_of
from humanrt.evaluation.correspondence import Correspondence
from humanrt.evaluation.plots import draw_plots
from humanrt.evaluation.running import Run
from humanrt.evaluation.scoring import VALUES, Scores

NAMES = ("hip", "knee")


def run_of(name: str, errors: np.ndarray, distance: float = 3.0, visible: float = np.nan) -> Run:
    """A run that found people [N] with errors [N, 2] m of their joints."""
    count = len(errors)
    values = np.full((count, len(VALUES)), np.nan)
    values[:, VALUES.index("mpjpe")] = errors.mean(axis=1)
    arrays = {one.name: np.zeros(count) for one in fields(Scores)}
    arrays |= {key: np.arange(count) for key in ("unit", "wrong_unit", "rte_unit")}
    scores = Scores(
        **arrays
        | {
            "found": np.ones(count, bool),
            "values": values,
            "joints": errors,
            "distance": np.full(count, distance),
            "visible": np.full(count, visible),
        }
    )
    joints = Correspondence("two joints", NAMES, [0, 1], [0, 1], [0], [0], [0] * 12, [0] * 12, [], [], "pelvis")
    return Run(name, {"clip": scores}, joints)


def drawn(path: Path, number: int) -> np.ndarray:
    """Rows and columns of the pixels in a bundle's colour, without the legend."""
    picture = cv2.imread(str(path))[..., ::-1].astype(int)
    same = np.abs(picture - np.array(colour_of(number))).sum(axis=-1) < 3
    same[:62] = False
    return np.argwhere(same)


def test_bars_are_as_tall_as_errors(tmp_path: Path) -> None:
    runs = [run_of("one", np.full((6, 2), [0.05, 0.1])), run_of("two", np.full((6, 2), [0.1, 0.1]))]
    paths = draw_plots(runs, tmp_path)
    assert {path.name for path in paths} == {"pck.png", "distance.png", "joints.png"}  # nothing is known of visibility
    one, two = (drawn(tmp_path / "joints.png", k) for k in range(2))
    middle = (one[:, 1].min() + one[:, 1].max()) / 2
    hip, knee = (one[one[:, 1] < middle, 0], one[one[:, 1] > middle, 0])
    assert np.ptp(knee) == pytest.approx(2 * np.ptp(hip), abs=3)
    assert two[:, 0].min() == knee.min()


def test_pck_is_the_part_of_joints_that_are_nearer(tmp_path: Path) -> None:
    draw_plots([run_of("one", np.full((6, 2), [0.05, 0.15]))], tmp_path)
    rows = drawn(tmp_path / "pck.png", 0)
    low, high = rows[:, 0].max(), rows[:, 0].min()
    half = rows[(rows[:, 1] > rows[:, 1].min() + 300) & (rows[:, 1] < rows[:, 1].min() + 500), 0]
    assert half.mean() == pytest.approx((low + high) / 2, abs=2)


def test_far_people_have_a_bar_of_their_own(tmp_path: Path) -> None:
    runs = [run_of("near", np.full((6, 2), 0.1), distance=19.0), run_of("far", np.full((6, 2), 0.1), distance=35.0)]
    draw_plots(runs, tmp_path)
    near, far = (drawn(tmp_path / "distance.png", k) for k in range(2))
    assert near[:, 0].min() == far[:, 0].min()  # both 100 mm
    assert near[:, 1].max() < far[:, 1].min() - 100  # in bins of their own


def test_charts_of_earlier_runs_do_not_stay(tmp_path: Path) -> None:
    draw_plots([run_of("one", np.full((6, 2), 0.1), visible=1.0)], tmp_path)
    assert (tmp_path / "visibility.png").is_file()
    paths = draw_plots([run_of("one", np.full((6, 2), 0.1))], tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    assert {path.stem for path in paths} == {"pck", "distance", "joints"}


def test_few_people_and_other_joints_are_left_out(tmp_path: Path) -> None:
    other = run_of("other", np.full((6, 2), 0.1), visible=1.0)
    other = replace(other, joints=replace(other.joints, names=("wrist", "elbow")))
    paths = draw_plots([run_of("few", np.full((3, 2), 0.1), visible=1.0), other], tmp_path)
    assert {path.stem for path in paths} == {"pck", "distance", "visibility", "joints"}
    assert not len(drawn(tmp_path / "visibility.png", 0))
    assert len(drawn(tmp_path / "visibility.png", 1))
    assert not len(drawn(tmp_path / "joints.png", 1))
