"""A person against a pose, a motion and an exercise."""

from __future__ import annotations

import json

import numpy as np
from movements import squats, track, waving
from postures import posture

from humanrt import PoseCoach
from humanrt.coach.poses import PoseTrack
from humanrt.coach.trainer import Coaching, Trainer
from humanrt.geometry.skeleton import SMPLX_BODY, mirrored, other_sides


def test_a_pose_is_reached() -> None:
    goal = posture(left_knee=(60, 0, 0))
    trainer = Trainer(PoseCoach(), PoseTrack(goal[None], np.zeros(1)))
    said: list[str] = []
    for t in np.arange(0, 6, 0.1):
        said += trainer.update(t, posture(left_knee=(0 if t < 3 else 60, 0, 0))).said
    assert said == ["Bend your left knee.", "Good.", "Your pose matches."]


def test_somebody_who_follows_at_another_pace_is_not_corrected() -> None:
    trainer = Trainer(PoseCoach(), track(waving, 4.0))
    moments = [trainer.update(t, waving(0.7 * t)) for t in np.arange(0, 5.7, 0.05)]
    assert not [words for one in moments for words in one.said if words != "Your pose matches."]
    assert moments[-1].phase is None


def test_what_is_wrong_throughout_a_motion_is_said() -> None:
    trainer = Trainer(PoseCoach(), track(waving, 4.0))

    def person(t: float) -> np.ndarray:
        pose = waving(t)
        pose[SMPLX_BODY.index("right_knee")] = posture(right_knee=(50, 0, 0))[SMPLX_BODY.index("right_knee")]
        return pose

    moments = [trainer.update(t, person(t)) for t in np.arange(0, 4, 0.05)]
    said = [words for one in moments for words in one.said]
    assert said[0] == "Straighten your right knee."
    assert moments[-1].guidance.sentences == ("Straighten your right knee.",)


def test_repetitions_are_counted_and_what_was_missing_at_the_bottom_is_said() -> None:
    trainer = Trainer(PoseCoach(), track(squats, 4.0))
    moments = [trainer.update(t, squats(t, depth=0.7)) for t in np.arange(0, 4.2, 0.05)]
    ends = [one for one in moments if one.repetition is not None]
    assert [one.count for one in ends] == [1, 2]
    for one in ends:
        assert one.deeper[0].startswith(("Bend both knees", "Sit lower"))
    half = Trainer(PoseCoach(), track(squats, 4.0))
    ends = [
        one for t in np.arange(0, 2.2, 0.05) if (one := half.update(t, squats(t, depth=0.5))).repetition is not None
    ]
    assert [one.count for one in ends] == [0]
    assert ends[0].deeper[0].startswith(("Bend both knees", "Sit lower"))
    full = Trainer(PoseCoach(), track(squats, 4.0))
    ends = [one for t in np.arange(0, 4.2, 0.05) if (one := full.update(t, squats(t))).repetition is not None]
    assert [one.deeper for one in ends] == [(), ()]


def test_mirrored_references_are_followed_with_the_other_side() -> None:
    swap = list(other_sides(SMPLX_BODY))
    trainer = Trainer(PoseCoach(mirrored=True), track(waving, 4.0))
    moments = [trainer.update(t, mirrored(waving(t))[swap]) for t in np.arange(0, 4, 0.05)]
    assert not [words for one in moments for words in one.said if words != "Your pose matches."]


def test_reset_forgets() -> None:
    trainer = Trainer(PoseCoach(), track(squats, 4.0))
    for t in np.arange(0, 2.2, 0.05):
        last = trainer.update(t, squats(t))
    assert last.count == 1
    trainer.reset()
    assert trainer.update(9.0, squats(0)).count == 0


def test_records_are_json() -> None:
    trainer = Trainer(PoseCoach(), track(squats, 4.0))
    records = [trainer.update(t, squats(t, depth=0.8)) for t in np.arange(0, 2.2, 0.05)]
    assert isinstance(records[0], Coaching)
    text = json.dumps([one.record() for one in records])
    assert sum("repetition" in one for one in json.loads(text)) == 1
