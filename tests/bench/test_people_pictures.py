"""`bench/people_pictures.py`: figures of what networks saw, and true landmarks on bodies in garments."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("moderngl", reason="moderngl is not installed: pip install moderngl")

from humanrt.errors import MissingDependencyError
from humanrt.geometry.skeleton import MEDIAPIPE_33
from humanrt_export.bodies.anny.model import cached_file
from humanrt_export.synthetic.people import EngineOptions, PeopleEngine

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))
people_pictures = pytest.importorskip("people_pictures")


def test_figures_are_those_of_what_was_seen() -> None:
    seen = people_pictures.Seen(
        scores=[0.5, 1.0], errors=[10.0, 20.0, 60.0], overlaps=[0.8, 0.6], faces=[1.0, 0.0], seconds=[0.5, 1.5]
    )
    seen.through, seen.holes, seen.garments = 1, 2, 50
    row = seen.row()
    expected = {
        "score": 0.75,
        "share above 0.9": 0.5,
        "mm": 30,
        "median mm": 20,
        "IoU": 0.7,
        "face": 0.5,
        "pictures a second": 1,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert (row["through"], row["holes"]) == pytest.approx((0.02, 0.04))
    text = people_pictures.markdown({"painted": row, "garments": row})
    assert "| garments |" in text
    assert "| 30 | 20 |" in text


def test_true_landmarks_are_on_the_body() -> None:
    if not (cached_file("full").is_file() and cached_file("10pc").is_file()):
        pytest.skip("Anny is not in the cache, and building it takes a minute")
    try:
        with PeopleEngine(EngineOptions(size=64, seed=4, most=2)) as engine:
            checked = 0
            for index in range(4):
                world, view, sample = engine.whole(index)
                for subject, joints in zip(world.people, sample.people.joints, strict=True):
                    marks = people_pictures.landmarks(engine, subject, view, joints)
                    for side, bone in (("left", "lowerarm01.L"), ("right", "lowerarm01.R")):
                        elbow = marks[MEDIAPIPE_33.index(f"{side}_elbow")]
                        assert np.linalg.norm(elbow - joints[engine.joint_names.index(bone)]) < 0.06
                    nose = marks[MEDIAPIPE_33.index("nose")] - joints[engine.joint_names.index("head")]
                    assert 0.03 < np.linalg.norm(nose) < 0.16
                    checked += 1
            assert checked >= 2
    except MissingDependencyError as error:
        pytest.skip(str(error))
