"""The fitter: a person followed over time, at any frame rate, by one camera or several, through gaps and nonsense."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fitting_cases import Floats, K, Person, Posed

from humanrt.errors import InvalidInputError
from humanrt.fitting import BodyFit, BodyFitter, FitOptions, Observation, PosePrior, Seen
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.camera import CameraError, project
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.people.fitted_body import FittedBody


def off(fit: BodyFit | None, points: Floats) -> float:
    """Mean distance of the points from where they are, m."""
    assert fit is not None
    return float(np.linalg.norm(fit.points - points, axis=1).mean())


def test_a_first_frame_is_found(body: FittedBody, kernel: str) -> None:
    person = Person(body)
    fit = body.fitter(kernel=kernel).fit(person.seen(0.3), 0.3)
    assert off(fit, person.points(0.3)) < 0.03
    assert fit is not None
    assert fit.residual_px < 3


def test_joints_are_those_of_the_mesh(body: FittedBody, posed: Posed) -> None:
    person, fitter = Person(body), body.fitter()
    for t in np.arange(0, 0.5, 1 / 30):
        fit = fitter.fit(person.seen(float(t)), float(t))
        assert fit is not None
        _, joints = posed(fit.rotations, fit.shape)
        root = joints[0] - fit.translation
        assert np.abs(joints - root - fit.joints).max() < 1e-4  # to first order between shapes that were computed


def test_a_person_is_followed_closely_and_calmly(body: FittedBody) -> None:
    person, fitter, random = Person(body), body.fitter(), np.random.default_rng(0)
    errors, places = [], []
    for t in np.arange(0, 2, 1 / 30):
        seen = person.seen(float(t), noise=3 * random.normal(size=(33, 2)))
        fit = fitter.fit(seen, float(t))
        errors.append(off(fit, person.points(float(t))))
        assert fit is not None
        places.append(fit.points - fit.points[[23, 24]].mean(axis=0))
    assert np.mean(errors[5:]) < 0.06
    jerk = np.linalg.norm(np.diff(np.array(places[5:]), 2, axis=0), axis=-1)
    assert jerk.mean() < 0.014  # 12 mm of noise would make 29 mm


def test_the_same_answer_at_any_frame_rate(body: FittedBody) -> None:
    """Landmarks that are off by what changes slowly: at 15, 30 and 60 fps they lead to the same body."""
    ends = {}
    for fps in (15, 30, 60):
        person, fitter, found = Person(body), body.fitter(), []
        for frame in range(int(1.5 * fps) + 1):
            t = frame / fps
            wave = 8 * np.sin(2 * np.pi * 1.2 * t + np.arange(66).reshape(33, 2))
            fit = fitter.fit(person.seen(t, noise=wave), t)
            assert fit is not None
            if frame % (fps // 15) == 0:
                found.append(fit.points - fit.points[[23, 24]].mean(axis=0))
        ends[fps] = np.array(found)
    apart = [np.linalg.norm(ends[fps] - ends[30], axis=-1)[8:] for fps in (15, 60)]
    assert max(float(np.median(a)) for a in apart) < 0.01
    assert max(float(np.percentile(a, 95)) for a in apart) < 0.04


def test_gaps_are_bridged(body: FittedBody) -> None:
    person, fitter, spreads, last = Person(body), body.fitter(), [], 0.0
    for frame in range(40):
        t = frame / 30
        fit = fitter.fit([] if 28 <= frame < 34 else person.seen(t), t)
        assert fit is not None
        spreads.append(float(fit.spread.mean()))
        if frame < 28:
            last = off(fit, person.points(t))
        elif frame < 34:
            assert np.isnan(fit.residual_px)
            assert off(fit, person.points(t)) < last + 0.03 * (frame - 26)
    assert spreads[33] > 1.1 * spreads[27]
    assert off(fit, person.points(39 / 30)) < 0.06


def test_several_views_of_one_person(body: FittedBody) -> None:
    """Four cameras know what one cannot: how far away and how tall somebody is."""
    shape = body.shape().mean
    shape[4] += 0.09
    person = Person(body, shape)
    turns = [matrices_from_vectors(np.array([0.05, angle, 0.02])) for angle in (0.0, 1.2, 2.4, -1.4)]
    middle = np.array([0.0, 0.1, 4.0])
    moves = [middle - turn @ middle for turn in turns]
    fitter = body.fitter()
    for frame in range(12):
        t = frame / 30
        views = [person.seen(t, turn, move) for turn, move in zip(turns, moves, strict=True)]
        blind = [replace(view, points={"body": replace(view.points["body"], metres=None)}) for view in views]
        fit = fitter.fit(blind if frame % 2 else views, t)
    assert off(fit, person.points(11 / 30)) < 0.016
    single = body.fitter().fit(person.seen(0.0), 0.0)
    assert off(single, person.points(0.0)) > 0.02


def test_what_is_not_a_number_is_not_seen(body: FittedBody) -> None:
    person, fitter = Person(body), body.fitter()
    nothing = Observation({"body": Seen(np.full((33, 2), np.nan), np.ones(33), np.full((33, 3), np.nan))}, K)
    assert fitter.fit(nothing, 0.0) is None
    assert fitter.fit([], 0.1) is None
    for frame in range(6):
        t = 0.2 + frame / 30
        seen = person.seen(t).points["body"]
        pixels, metres, weight = seen.pixels.copy(), np.array(seen.metres), seen.weight.copy()
        pixels[15], metres[16], weight[17] = np.nan, np.inf, np.nan
        fit = fitter.fit(Observation({"body": Seen(pixels, weight, metres)}, K), t)
        assert off(fit, person.points(t)) < 0.05
    assert fit is not None
    assert all(np.isfinite(part).all() for part in (fit.rotations, fit.joints, fit.shape, fit.spread))


def test_what_is_refused_changes_nothing(body: FittedBody) -> None:
    person, fitter, other = Person(body), body.fitter(), body.fitter()
    good = person.seen(0.0)
    for one in (fitter, other):
        one.fit(good, 0.0)
    bent = 2 * np.eye(3)
    for bad, t, prior, kind, message in (
        (replace(good, R=bent), 0.1, None, InvalidInputError, "R must be a rotation matrix"),
        (replace(good, t=np.full(3, np.nan)), 0.1, None, InvalidInputError, "t must be three metres"),
        (replace(good, K=np.zeros((3, 3))), 0.1, None, CameraError, "focal lengths"),
        (replace(good, points={"tail": good.points["body"]}), 0.1, None, InvalidInputError, "no points `tail`; it has"),
        (
            replace(good, points={"body": Seen(np.zeros((3, 2)), np.ones(3))}),
            *(0.1, None, InvalidInputError, r"expected pixels \[33, 2\]"),
        ),
        (good, float("nan"), None, InvalidInputError, "finite time"),
        (good, 0.1, PosePrior(np.zeros((3, 3, 3))), InvalidInputError, "prior's rotations"),
    ):
        with pytest.raises(kind, match=message):
            fitter.fit(bad, t, prior)
    one, same = (each.fit(person.seen(0.1), 0.1) for each in (fitter, other))
    assert one is not None
    assert same is not None
    assert (one.joints == same.joints).all()


def test_a_jump_is_found_again(body: FittedBody) -> None:
    """After a cut the person stands elsewhere, turned round: the search starts anew, within a few frames."""
    person, fitter = Person(body), body.fitter()
    for frame in range(10):
        fitter.fit(person.seen(frame / 30), frame / 30)
    turn = matrices_from_vectors(np.array([0.0, 2.8, 0.0]))
    move = np.array([-0.8, 0.0, 8.0])
    for frame in range(10, 25):
        seen = person.seen(frame / 30, turn, move)
        fit = fitter.fit(replace(seen, R=None, t=None), frame / 30)
    assert fitter.restarts == 1
    assert off(fit, person.points(24 / 30) @ turn.T + move) < 0.1


def test_fingers_are_followed(body_with_fingers: FittedBody) -> None:
    person, fitter, rig = Person(body_with_fingers), body_with_fingers.fitter(), body_with_fingers.rig
    random, errors = np.random.default_rng(1), []
    for frame in range(30):
        t = frame / 30
        noise = np.zeros((len(rig.points), 2))
        noise[:33], noise[33:] = 3 * random.normal(size=(33, 2)), 0.5 * random.normal(size=(42, 2))
        fit = fitter.fit(person.seen(t, noise=noise), t)
        points = person.points(t)
        assert fit is not None
        for kind in ("left_hand", "right_hand"):
            where = rig.kinds[kind]
            a, b = fit.points[where] - fit.points[where][0], points[where] - points[where][0]
            errors.append(float(np.linalg.norm(a - b, axis=1).mean()))
    assert np.median(errors) < 0.012


def test_a_believed_pose_fills_what_nobody_sees(body: FittedBody) -> None:
    person, fitter = Person(body), body.fitter()
    for frame in range(20):
        t = frame / 30
        seen = person.seen(t).points["body"]
        weight = seen.weight.copy()
        weight[25:] = 0  # knees and feet
        believed = PosePrior(person.rotations, 0.1, 0.3)
        fit = fitter.fit(Observation({"body": Seen(seen.pixels, weight, seen.metres)}, K), t, believed)
    assert off(fit, person.points(t)) < 0.05


def test_a_given_pose_is_refined(body: FittedBody, posed: Posed) -> None:
    """A pose that is off by 12 degrees a joint and 40 cm in depth comes back to its landmarks, fingers as they were."""
    person, random = Person(body), np.random.default_rng(4)
    truth = person.points(0.4)
    rotations, moved = person.rotations, person.pelvis + np.array([0.05, 0, 0.4])
    off_by = matrices_from_vectors(0.12 * random.normal(size=(74, 3)))
    given = rotations @ off_by
    fitter = body.fitter()
    before = fitter.refine([], PosePrior(given, 0.2, 0.2), moved)
    after = fitter.refine(person.seen(0.4), PosePrior(given, 0.2, 0.2), moved)
    assert off(before, truth) > 0.3
    assert off(after, truth) < 0.12
    flat = (project(points, K) for points in (after.points, truth))
    assert np.linalg.norm(np.subtract(*flat), axis=1).mean() < 6
    fingers = [k for k, bone in enumerate(ANNY_BONES) if bone.startswith("finger")]
    assert np.abs(after.rotations[fingers] - given[fingers]).max() < 1e-6
    _, joints = posed(after.rotations, after.shape)
    assert np.abs(joints - joints[0] + after.translation - after.joints).max() < 1e-5
    for bad, message in ((np.zeros(2), "three metres"), (np.full(3, np.nan), "finite")):
        with pytest.raises(InvalidInputError, match=message):
            fitter.refine(person.seen(0.4), PosePrior(given), bad)


def test_a_time_before_the_last_starts_anew(body: FittedBody) -> None:
    person, fitter = Person(body), body.fitter()
    first = fitter.fit(person.seen(0.5), 0.5)
    for frame in range(5):
        fitter.fit(person.seen(1 + frame / 30), 1 + frame / 30)
    again = fitter.fit(person.seen(0.5), 0.5)
    assert first is not None
    assert again is not None
    assert np.abs(first.joints - again.joints).max() < 1e-4


def test_options_are_used(body: FittedBody) -> None:
    fitter = BodyFitter(body.rig, body.rest, body.shape(1.9), FitOptions(max_iterations=3), "numpy")
    assert fitter.kernel == "numpy"
    person = Person(body)
    fitter.fit(person.seen(0.0), 0.0)
    fitter.fit(person.seen(0.1), 0.1)
    assert fitter.evaluations <= 3
