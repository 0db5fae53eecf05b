"""The measurement of edits: what it calls met, missed and impossible."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'humanrt[export]'")

from postures import posture

from humanrt.editing.apply import apply
from humanrt_export.data.edits.texts import edit_of
from pose_edits import SENTENCES, asked, changes_of, joints_of, met
from word_checker import read_claims

STAND = posture(left_elbow=(0, -20, 0), right_elbow=(0, 20, 0))


@pytest.mark.parametrize(
    ("expectation", "change", "result"),
    [
        ("left elbow + 40", {"left_elbow": (0, -65, 0)}, [True]),
        ("left elbow + 40", {"left_elbow": (0, -35, 0)}, [False]),  # less than half
        ("left elbow + 40", {"right_elbow": (0, 65, 0)}, [False]),  # the other one
        ("left elbow - 40", {"left_elbow": (0, -65, 0)}, [None]),  # it is nearly straight
        ("both elbow + 20", {"left_elbow": (0, -65, 0)}, [True, False]),
        ("left arm up 40", {"left_shoulder": (0, 0, -40)}, [True]),
        ("left arm down 40", {"left_shoulder": (0, 0, -40)}, [None]),
        ("left arm at up", {"left_shoulder": (0, 0, 80)}, [True]),
        ("left arm at up", {"left_shoulder": (0, 0, 30)}, [False]),
        ("turn + 20", {"head": (0, 30, 0)}, [True]),
        ("turn - 20", {"head": (0, 30, 0)}, [False]),
        ("facing + 40", {"pelvis": (0, 50, 0)}, [True]),
        ("right knee = 90", {"right_knee": (85, 0, 0)}, [True]),
        ("height - 0.2", {"left_knee": (60, 0, 0)}, [False]),
    ],
)
def test_what_is_met(
    expectation: str, change: dict[str, tuple[float, float, float]], result: list[bool | None]
) -> None:
    turned = {"left_elbow": (0.0, -20.0, 0.0), "right_elbow": (0.0, 20.0, 0.0)} | change
    assert met(expectation, STAND, posture(**turned)) == result


def test_rules_do_what_the_coach_s_sentences_say() -> None:
    claims = [
        claim for said in read_claims("Bend your left elbow by 40 degrees and sit lower by 20 cm.") for claim in said
    ]
    changed = apply(STAND, edit_of(changes_of(claims)))
    assert met("left elbow + 40", STAND, changed) == [True]
    assert met("height - 0.2", STAND, changed) == [True]


def test_the_sentences_can_be_measured() -> None:
    content = json.loads(SENTENCES.read_text(encoding="utf-8"))
    assert len(content["changes"]) >= 60
    assert len({case["text"] for case in content["changes"]}) == len(content["changes"])
    for case in content["changes"]:
        for expectation in case["asks"]:
            part, sides, *_ = asked(expectation)
            assert joints_of(part, sides)
            assert met(expectation, STAND, STAND)
            assert np.isin(met(expectation, STAND, STAND), (True, False, None)).all()
