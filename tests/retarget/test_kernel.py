"""The numbers: kinematics, derivatives, optimality, and that the compiled kernel is the numpy one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from hands import human_hand, sequence
from humanrt import native
from humanrt.errors import BackendError
from humanrt.retarget import Retargeter, RetargetOptions, native_problem, robots
from humanrt.retarget.description import HandDescription
from humanrt.retarget.kernel import make_kernel
from humanrt.retarget.retargeter import _checked
from humanrt.retarget.robot import Joint, Point

OBJECTIVES = ("pose", "vector", "dexpilot")
needs_native = pytest.mark.skipif(native_problem() is not None, reason=str(native_problem()))


def mimic_hand() -> HandDescription:
    """Two fingers: a slide, hinges, a mimic of a mimic, a locked joint."""

    def joint(name: str, parent: str | None, z: float, **more: object) -> Joint:
        eye = tuple(np.eye(3).ravel())
        settings = {"axis": (0.0, 1.0, 0.0), "lower": -0.2, "upper": 1.5, **more}
        return Joint(name, parent, (0.0, 0.0, z), eye, **settings)  # type: ignore[arg-type]

    joints = (
        joint("last", "second", 0.03, mimic=("second", 0.8, 0.05)),  # children before parents: order is free
        joint("first", "slide", 0.08),
        joint("second", "first", 0.05, mimic=("first", 1.1, -0.1)),
        joint("slide", None, 0.0, prismatic=True, axis=(0.0, 1.0, 0.0), lower=-0.02, upper=0.02),
        joint("base", None, 0.02, axis=(1.0, 0.0, 0.0), lower=-1.0, upper=1.0),
        joint("tip", "base", 0.04, axis=(0.6, 0.0, 0.8)),
        joint("frozen", "tip", 0.03),
    )
    thumb = (
        Point("base", (0, 0, 0)),
        Point("tip", (0, 0, 0)),
        Point("frozen", (0, 0, 0)),
        Point("frozen", (0, 0.01, 0.03)),
    )
    index = (
        Point("first", (0, 0, 0)),
        Point("second", (0, 0, 0)),
        Point("last", (0, 0, 0)),
        Point("last", (0, 0, 0.03)),
    )
    return HandDescription(
        name="mimic", side="right", joints=joints, fingers={"thumb": thumb, "index": index},
        wrist=Point(None, (0, 0, 0)), scale=1.1, locked={"frozen": 0.3},
    )  # fmt: skip


HANDS = [*robots(), mimic_hand()]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("hand", HANDS, ids=lambda h: h if isinstance(h, str) else h.name)
def test_gradient_and_hessian_by_differences(hand: str, objective: str, kernel: str) -> None:
    rng = np.random.default_rng(0)
    retargeter = Retargeter(hand, objective=objective, kernel=kernel)
    problem, solver = retargeter._problem, retargeter._kernel
    solver.targets(human_hand(0.4), False, True)
    n = len(problem.x)
    x = rng.uniform(problem.lower, problem.upper)
    pull, centre = rng.uniform(0.0, 0.01, n), rng.normal(size=n)
    here = solver.evaluate(x, pull, centre)
    h = 1e-6
    for i in range(n):
        step = np.eye(n)[i] * h
        up, down = solver.evaluate(x + step, pull, centre), solver.evaluate(x - step, pull, centre)
        assert (up.cost - down.cost) / (2 * h) == pytest.approx(here.gradient[i], abs=1e-7 * (1 + abs(here.cost)))
        difference = (up.gradient - down.gradient) / (2 * h)
        np.testing.assert_allclose(difference, here.hessian[i], atol=2e-5 * (1 + np.abs(here.hessian).max()))


@needs_native
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("hand", HANDS, ids=lambda h: h if isinstance(h, str) else h.name)
def test_native_is_numpy(hand: str, objective: str) -> None:
    native = Retargeter(hand, objective=objective, smoothing=1e-3, kernel="native")
    numpy = Retargeter(hand, objective=objective, smoothing=1e-3, kernel="numpy")
    for i, frame in enumerate(sequence(40)[::5]):
        side = "left" if i % 2 else "right"
        a, b = (r.solve(frame, dt=1 / 30, side=side) for r in (native, numpy))
        np.testing.assert_allclose(a, b, atol=1e-9)
        assert native.cost(a, frame, side=side) == pytest.approx(numpy.cost(b, frame, side=side), rel=1e-9)


def test_objective_is_the_fields_definition() -> None:
    """VECTOR of dex-retargeting, written out: mean SmoothL1 of the vectors' errors, plus 4e-3 |q - last|^2."""
    rng = np.random.default_rng(1)
    retargeter = Retargeter("allegro_right", RetargetOptions.of_peers("vector"))
    low, high = retargeter.limits.T
    q, last = rng.uniform(low, high), rng.uniform(low, high)
    hand, human = retargeter.hand, human_hand(0.5)
    tips = hand.positions(q, [points[3] for points in hand.fingers.values()]) - hand.positions(q, [hand.wrist])
    d = np.linalg.norm(tips - 1.6 * (human[[4, 8, 12, 16]] - human[0]), axis=1)
    expected = np.where(d < 0.02, 0.5 * d**2 / 0.02, d - 0.01).mean() + 4e-3 * ((q - last) ** 2).sum()
    assert retargeter.cost(q, human, last=last, local=True) == pytest.approx(expected, rel=1e-12)


def test_dexpilot_is_the_fields_definition() -> None:
    """DEXPILOT of dex-retargeting, written out for a hand whose index tip touches the thumb's."""
    human = human_hand(0.5)
    human[8] = human[4] + np.array([0.0, 0.01, 0.0])
    retargeter = Retargeter("allegro_right", RetargetOptions.of_peers("dexpilot"))
    low, high = retargeter.limits.T
    q = np.random.default_rng(1).uniform(low, high)
    hand = retargeter.hand
    points = hand.positions(q, [hand.wrist, *(points[3] for points in hand.fingers.values())])
    ends, keypoints = [(2, 1), (3, 1), (4, 1), (3, 2), (4, 2), (4, 3), (0, 1), (0, 2), (0, 3), (0, 4)], human[::4]
    cost = 0.0
    for k, (a, b) in enumerate(ends):
        v = keypoints[b] - keypoints[a]
        target, weight = 1.6 * v, 1.0 if k < 6 else 10.0
        if k < 3 and np.linalg.norm(v) < 0.03:
            target, weight = 1e-4 * v / (np.linalg.norm(v) + 1e-6), 200.0
        assert k >= 3 or (weight == 200.0) == (k == 0)
        d = float(np.linalg.norm(points[b] - points[a] - target))
        cost += weight / 10 * (0.5 * d * d / 0.03 if d < 0.03 else d - 0.015)
    assert retargeter.cost(q, human, local=True) == pytest.approx(cost, rel=1e-12)


@needs_native
@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("robot", ["allegro_right", "leap_right", "shadow_right"])
def test_searches_that_are_cut_short_lose_nothing(robot: str, objective: str) -> None:
    """The restarts, cut short where they cannot win, end in the minimum that whole searches from all starts find."""
    rng = np.random.default_rng(6)
    frames = sequence(60)
    frames = np.concatenate((frames, frames[rng.permutation(60)] + rng.normal(0, 0.008, frames.shape)))
    retargeter, whole = Retargeter(robot, objective=objective), Retargeter(robot, objective=objective, restarts=False)
    p = retargeter._problem
    for frame in frames:
        starts = [retargeter.last]
        for x in p.start:
            p.x[...] = x
            p.write_q()
            starts.append(retargeter.last)
        retargeter.warm_start(starts[0])
        q = retargeter.solve(frame)
        found = []
        for start in starts:
            whole.warm_start(start)
            found.append((whole.solve(frame), float(whole._problem.cost[0])))
            if objective == "dexpilot":  # its hysteresis must see each frame once
                whole._problem.projected[...] = p.projected
        best = min(cost for _, cost in found)
        assert p.cost[0] <= best * (1 + 2e-6)
        assert min(float(np.abs(q - other).max()) for other, cost in found if cost <= best * (1 + 2e-6)) < 1e-6


@pytest.mark.parametrize("robot", ["allegro_right", "leap_right", "shadow_right"])
def test_no_random_start_finds_better(robot: str) -> None:
    rng = np.random.default_rng(2)
    retargeter, other = Retargeter(robot), Retargeter(robot, restarts=False)
    for bend in (0.0, 0.3, 0.6):
        keypoints = human_hand(bend)
        best = retargeter.cost(retargeter.solve_local(keypoints), keypoints, local=True)
        for _ in range(20):
            other.reset(rng.uniform(*other.limits.T))
            found = other.cost(other.solve_local(keypoints), keypoints, local=True)
            assert best <= found * (1 + 1e-5)


def test_solution_is_stationary_inside_the_limits(kernel: str) -> None:
    retargeter = Retargeter("shadow_right", kernel=kernel)
    frame = sequence(20)[7]
    retargeter.solve(frame)
    p = retargeter._problem
    retargeter._kernel.targets(_checked(frame), False, False)
    gradient = retargeter._kernel.evaluate(p.x, np.full(len(p.x), p.rest_weight), p.rest).gradient
    inside = (p.x > p.lower) & (p.x < p.upper)
    assert np.abs(gradient[inside]).max() < 1e-7
    assert (gradient[p.x <= p.lower] >= 0).all()
    assert (gradient[p.x >= p.upper] <= 0).all()


@needs_native
def test_a_library_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "VERSION", native.VERSION + 1)
    native._load.cache_clear()
    try:
        with warnings.catch_warnings():  # tests/native is about the warning
            warnings.simplefilter("ignore", native.RefusedLibraryWarning)
            line = str(native_problem())
        assert f"is of version {native.VERSION - 1}, not {native.VERSION}; rebuild: python hatch_build.py" in line
    finally:
        native._load.cache_clear()


def test_missing_kernel_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(native, "LIBRARY", native.LIBRARY.with_name("absent.so"))
    assert "hatch_build.py" in str(native_problem())
    assert Retargeter("allegro_right").kernel == "numpy"
    with pytest.raises(BackendError, match=r"absent\.so"):
        make_kernel(Retargeter("allegro_right")._problem, "native")
