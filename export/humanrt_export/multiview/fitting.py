"""One body fitted to all views of one person: a pose at every time, one shape for all of them.

Stages:
1. Landmarks are triangulated robustly, and become one calm path each (`humanrt.evaluation.calibrated`).
2. Skeleton: the body of an average person of that size is posed to the paths.
3. Shape: each time says what it knows of the phenotypes, poses being unknown (the Schur complement of the solver's
   Hessian). Added up they are one shape, and the poses are solved again in it.
4. Pictures: poses and then shape are solved for the landmarks themselves in all views, Geman-McClure's distances, with
   the paths as a weak belief that keeps the motion calm. How far landmarks lie off, each kind for itself, is read off
   the last solution, so that exact landmarks are fitted exactly and bad ones loosely. If they are exact, both go on
   until nothing moves: spine, neck and clavicles are known by a hundredth of a millimetre of the landmarks alone.
5. Silhouettes, where the pictures have them: shape, and then poses once more, for landmarks and outlines together
   (`humanrt_export.multiview.silhouettes`): shape is what makes a body fill its outline.

The solver is that of the runtime (`humanrt.fitting`): damped Gauss-Newton steps within the limits of the joints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import Bundle
from humanrt.bundle.settings import HolisticSettings
from humanrt.evaluation.calibrated import View, path_of, triangulate
from humanrt.fitting.kernel import Kernel, make_kernel
from humanrt.fitting.problem import Problem
from humanrt.fitting.rig import STATURE, RigShape
from humanrt.fitting.start import aligned
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt.geometry.skeleton import MEDIAPIPE_33
from humanrt.people.fitted_body import FittedBody
from humanrt.people.rig import BodyRig, open_rig
from humanrt.resource import Owner, releasing
from humanrt_export.multiview.landmark_points import fit_points
from humanrt_export.multiview.persons import off_pixels
from humanrt_export.multiview.silhouettes import Matches, Outline, SilhouetteBody, residuals

__all__ = ["SHAPE_SPREAD", "FitOptions", "PersonFit", "PersonFitter", "Views"]

Array = NDArray[np.float64]

_TORSO = [MEDIAPIPE_33.index(f"{side}_{part}") for part in ("shoulder", "hip") for side in ("left", "right")]
_PIVOT = [MEDIAPIPE_33.index(f"{side}_hip") for side in ("left", "right")]
# Of gender, age, muscle, weight, height, proportions. Age is not solved for: it goes with the size that paths say.
SHAPE_SPREAD = np.array([0.25, 0.0, 0.2, 0.2, 0.2, 0.25])
_LOWER, _UPPER = np.array([0.0, -1 / 3, 0.0, 0.0, 0.0, 0.0]), np.ones(6)
_PX = 15.0  # px, distance at which a landmark counts a half when it is triangulated
_SEEN = 0.1  # sum of weights of a landmark's views from which it is known where it is
_CHUNK, _OVERLAP = 120, 20  # frames of a path that are solved together
_SHAPED = 24  # times that say what the shape is, at most
_TRUST = 3.0  # times' worth of what all say of the shape that is believed: errors of landmarks last
_WIDTHS = (0.03, 0.12)  # m: landmarks this far off cost a half of the most that they can
_BENT = 0.01  # change of a phenotype from which slopes are computed anew
_STATURES = 0.8, 2.0  # m, of the bodies that fits begin with
_FEW = 20  # sightings of a landmark
_SAME = 1e-3  # change of phenotypes that is none
_ITERATIONS, _ALL_ITERATIONS = 60, 2000  # of the solver, and of exact landmarks: weak directions take hundreds
_MATCHED, _STEPS, _DAMPING = 2, 3, 1e-3  # how often rim and outlines are matched, and what follows each time
_OUTLINE_WIDTH = 0.04  # m: outlines this far off cost a half of the most that they can
_OUTLINE_POINTS = 0.25  # points of an outline that say as much as one: neighbours err alike
_EXACT = 3e-4  # m: landmarks that lie off by less are free of errors, but for what the solver leaves
_UNTIL_STILL = 4  # rounds that are solved to the end then
_NOTHING = 1e-6  # m, how far landmarks are off at most then, by their median, if the shape is right
_CLEARLY = 0.5  # part of what another solution leaves that is clearly less
_MUSCLE, _WEIGHT = 2, 3  # indices of phenotypes
_SIDES = 0.45, 0.55  # of their kink
_SHRINK, _SETTLED = 3.0, 1.2  # factor by which landmarks' spread may fall at once; change at which it is settled


@dataclass(frozen=True)
class FitOptions:
    """How closely is fitted.

    Attributes:
        spread: m at the person, how far landmarks lie off at first.
        least: m, the least that landmarks are believed to be off.
        path_spread: m, how far the calm paths may be off.
        rest_spread: factor on each joint's usual distance from rest: how weak the prior of poses is.
        calm: weight of squared second differences of the paths at 60 frames a second.
        rounds: of reading off how far landmarks lie off, and solving again, at most.
        outline: m, how far outlines are believed to be off; 0: silhouettes are not used.
        clothes: m, how far outlines lie outside of the bare body.
        outlined: rounds of shape and poses by silhouettes.
    """

    spread: float = 0.02
    least: float = 1e-5
    path_spread: float = 0.03
    rest_spread: float = 2.0
    calm: float = 100.0
    rounds: int = 8
    outline: float = 0.006
    clothes: float = 0.005
    outlined: int = 2


@dataclass(frozen=True)
class Views:
    """What V cameras saw of one person at T times.

    Attributes:
        cameras: [V].
        pixels: [V, T, 33, 2], landmarks.
        weight: [V, T, 33], 0: not seen.
        fps: of the times.
        outlines: [V][T] of silhouettes, None where there is none; empty: there are no silhouettes.
    """

    cameras: tuple[View, ...]
    pixels: Array
    weight: Array
    fps: float
    outlines: tuple[tuple[Outline | None, ...], ...] = ()

    def only(self, views: Sequence[int]) -> Views:
        """Return some of the views."""
        some = list(views)
        return Views(
            tuple(self.cameras[k] for k in some), self.pixels[some], self.weight[some], self.fps,
            tuple(self.outlines[k] for k in some if self.outlines),
        )  # fmt: skip

    @property
    def scale(self) -> Array:
        """[V, T] px, the longer side of the box of the landmarks that are seen; NaN where none is."""
        seen = self.weight > 0.3
        low = np.where(seen[..., None], self.pixels, np.inf).min(axis=2)
        high = np.where(seen[..., None], self.pixels, -np.inf).max(axis=2)
        return np.asarray(np.where(seen.any(axis=2), (high - low).max(axis=-1), np.nan))


@dataclass(frozen=True)
class PersonFit:
    """The body at T times, in the world.

    Attributes:
        rotations: [T, 74, 3, 3] of Anny's bones, each relative to its parent, the root's to the world.
        pelvis: [T, 3] m, the joint ``root``.
        shape: [6] phenotypes.
        stature: m.
        joint_names: [J].
        joints: [T, J, 3] m.
        points: [T, 33, 3] m: where the landmarks are on the body.
        spread: [33] m, how far landmarks lie off.
        support: [T, 33] views that agree on a landmark.
    """

    rotations: Array
    pelvis: Array
    shape: Array
    stature: float
    joint_names: tuple[str, ...]
    joints: Array
    points: Array
    spread: Array
    support: Array


class PersonFitter(Owner):
    """Fit Anny to what several cameras saw of one person. Not thread-safe.

    Args:
        bundle: bundle ``holistic``, which has the body.
        options: see `FitOptions`.
        kernel: native, numpy or auto.
    """

    @releasing
    def __init__(self, bundle: Bundle, options: FitOptions | None = None, kernel: str = "auto") -> None:
        self.options = FitOptions() if options is None else options
        self.mesh: BodyRig = self.own(open_rig(bundle))
        self.body = FittedBody(
            lambda turns, shape: self.mesh.pose(shape, turns),
            HolisticSettings.of(bundle).body,
            landmarks=fit_points(),
        )
        self.surface = SilhouetteBody(self.mesh, self.body)
        self._kernel = kernel

    def fit(self, views: Views, shape: Array | None = None) -> PersonFit:
        """Return the body that agrees best with all views.

        Args:
            views: what was seen.
            shape: [6] phenotypes that are known; None: they are solved for.
        """
        path, known, support = self._path(views)
        mean = self._mean(path, known) if shape is None else np.asarray(shape, np.float64)
        solver = _Solver(self, views, path, known, mean, solved=shape is None)
        solver.pose_skeleton()
        solver.learn_shape()
        for _ in range(self.options.rounds):
            solver.pose_pictures()
            solver.learn_shape()
            if solver.learn_spread():
                break
        solver.pose_pictures()
        solver.solve_to_the_end()
        if views.outlines and self.options.outline > 0:
            for _ in range(self.options.outlined):
                solver.learn_outlined_shape()
                solver.pose_outlines()
        return solver.result(support)

    def _path(self, views: Views) -> tuple[Array, NDArray[np.bool_], Array]:
        """Return the landmarks' paths [T, 33, 3] m, where they are known [T, 33], and how many views agree [T, 33]."""
        count = views.pixels.shape[1]
        calm = self.options.calm * (views.fps / 60) ** 4
        if count < 3:
            path = triangulate(views.cameras, views.pixels, views.weight + 1e-9, rounds=20)
        else:
            parts = []
            for start in range(0, count, _CHUNK):
                first, last = max(start - _OVERLAP, 0), min(start + _CHUNK + _OVERLAP, count)
                some = slice(first, last)
                chunk = path_of(views.cameras, views.pixels[:, some], views.weight[:, some] + 1e-9, calm=calm)
                parts.append(chunk[start - first : start - first + _CHUNK])
            path = np.concatenate(parts)
        off = off_pixels(views.cameras, path, views.pixels)
        agreeing = views.weight / (1 + (off / _PX) ** 2)
        support = (agreeing > _SEEN).sum(axis=0)
        return path, np.asarray((support >= 2) & np.isfinite(path).all(axis=-1)), support.astype(np.float64)

    def stature(self, views: Views) -> float:
        """Return how tall somebody is, by lengths of bones alone, in the cameras' units."""
        path, known, _ = self._path(views)
        return self._size(path, known)

    def _mean(self, path: Array, known: NDArray[np.bool_]) -> Array:
        """Return the phenotypes of an average person as large as the paths say."""
        return self.body.phenotypes(float(np.clip(self._size(path, known), *_STATURES)))

    def _size(self, path: Array, known: NDArray[np.bool_]) -> float:
        at, _ = self.body.rest(self.body.phenotypes(STATURE))
        joints = dict(zip(self.body.rig.joint_names, at, strict=True))
        ratios = []
        for one, other, a, b in (
            ("hip", "knee", "upperleg01", "lowerleg01"),
            ("knee", "ankle", "lowerleg01", "foot"),
            ("shoulder", "elbow", "upperarm01", "lowerarm01"),
            ("elbow", "wrist", "lowerarm01", "wrist"),
            ("shoulder", "hip", "upperarm01", "upperleg01"),
        ):
            for side in ("left", "right"):
                i, j = (MEDIAPIPE_33.index(f"{side}_{name}") for name in (one, other))
                usual = float(np.linalg.norm(joints[f"{a}.L"] - joints[f"{b}.L"]))
                both = known[:, i] & known[:, j]
                if both.any():
                    ratios.append(float(np.median(np.linalg.norm(path[both, i] - path[both, j], axis=-1))) / usual)
        return STATURE * (float(np.median(ratios)) if ratios else 1.0)


class _Solver:
    """The state of one person's fit."""

    def __init__(
        self,
        fitter: PersonFitter,
        views: Views,
        path: Array,
        known: NDArray[np.bool_],
        mean: Array,
        *,
        solved: bool,
    ) -> None:
        self.views, self.path, self.known, self.options = views, path, known, fitter.options
        self.body, self.rig, self._kind = fitter.body, fitter.body.rig, fitter._kernel
        self.surface = fitter.surface
        self._solved = np.flatnonzero(SHAPE_SPREAD) if solved else np.arange(0)
        self._prior_mean, self._low = mean, np.minimum(_LOWER, mean)
        self._zero = np.diag(SHAPE_SPREAD[self._solved] ** -2.0)
        self.shape = mean.copy()
        self.spread = np.full(len(self.rig.points), self.options.spread)
        count = views.pixels.shape[1]
        self.x = np.tile(self.rig.rest, (count, 1))
        self.rotation = np.tile(np.eye(3), (count, 1, 1))
        self.position = np.zeros((count, 3))
        self.place = np.zeros((count, len(self.rig.points), 3))
        self.learned = np.zeros(count, bool)
        every = max(1, int(np.ceil(count / _SHAPED)))
        self._telling = np.arange(count) % every == 0
        self._slopes: RigShape | None = None
        self._believe = False, 0.02  # whether pictures are, and to how many metres the paths
        self._sloped = mean
        self._same, self._bent, self._iterations = _SAME, _BENT, _ITERATIONS
        self._take(self._solved[:0])

    def _take(self, solved: NDArray[np.intp]) -> None:
        """Make the solver of the rig in the present shape, of which some phenotypes are solved for with the pose."""
        if len(solved):
            if self._slopes is None or np.abs(self.shape - self._sloped).max() > self._bent:
                self._slopes, self._sloped = self.rig.shape(self.shape, self.body.rest, solved), self.shape.copy()
            self.rig_shape: RigShape = self.rig.moved(self._slopes, self.shape, self.body.rest)
        else:
            self.rig_shape = self.rig.shape(self.shape, self.body.rest, solved)
        low, high = (limit[solved] - self.shape[solved] for limit in (self._low, _UPPER))
        p = Problem.of(self.rig, self.rig_shape, low, high, views=len(self.views.cameras))
        p.tolerance, p.max_iterations = 1e-9, self._iterations
        for k, view in enumerate(self.views.cameras):
            K = view.K
            p.camera[k] = [*K[0], K[1, 1], K[1, 2], *view.R.ravel(), *view.T]
        p.shape_information[...] = self._zero[: len(solved), : len(solved)]
        p.shape_prior[...] = (self._prior_mean - self.shape)[solved]
        self.problem = p
        self.kernel: Kernel = make_kernel(p, self._kind)

    # ------------------------------------------------------------------------------------------ stages

    def pose_skeleton(self) -> None:
        """Pose the body to the paths alone, at each time from the last one's pose and from rest."""
        standing = self._standing()
        before: tuple[Array, Array] | None = None
        for t in range(len(self.x)):
            sure = self.known[t]
            torso = [k for k in _TORSO if sure[k]]
            if len(torso) < 3 and before is None:
                torso = np.flatnonzero(sure).tolist()
            starts = []
            if len(torso) >= 3:
                starts.append((aligned(standing[torso], self.path[t, torso]), self.rig.rest))
            if before is not None:
                starts.append(before)
            if not starts:
                starts.append((np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]), self.rig.rest))
            pivot = self._pivot(t)
            best: tuple[float, tuple[Array, ...]] | None = None
            for root, x in starts:
                p = self.problem
                p.rotation[...], p.x[...], p.position[...] = root, x, pivot
                self._solve(t, *self._believe)
                if best is None or p.cost[0] < best[0]:
                    best = float(p.cost[0]), (p.rotation.copy(), p.position.copy(), p.x.copy(), p.place.copy())
            assert best is not None
            self.rotation[t], self.position[t], self.x[t], self.place[t] = best[1]
            before = self.rotation[t], self.x[t]

    def pose_pictures(self) -> None:
        """Pose the body to the landmarks in the pictures, from the poses so far."""
        self._believe = True, self.options.path_spread
        for t in range(len(self.x)):
            self._at(t)
            self._solve(t, *self._believe)
            self._keep(t)

    def learn_shape(self) -> None:
        """Solve for the shape that all times together say, and take it."""
        self._learn_shape(self._known_shape, outlined=False)

    def solve_to_the_end(self) -> None:
        """Go on until nothing moves if landmarks are exact: then they alone say everything, and priors nothing.

        Anny's bodies have kinks in the middle of the phenotypes, behind which a search stays: it begins on either side
        of those of muscle and weight, which landmarks show least, until one of them leaves nothing. What is left is the
        median over landmarks, so that outliers do not choose a side; the state before stays unless one leaves clearly
        less. Landmarks of a network, which are off by pixels, are left as they are.
        """
        if np.median(self.spread) > _EXACT or not len(self._solved):
            return
        self._same, self._bent, self._iterations = 0.0, 0.0, _ALL_ITERATIONS
        spread, sides = self.spread, [self.shape.copy()]
        for muscle, weight in product(_SIDES, _SIDES):
            sides.append(self.shape.copy())
            sides[-1][[_MUSCLE, _WEIGHT]] = muscle, weight
        best = self._left(), self._state()
        for side in sides:
            self.shape, self.spread = side, spread.copy()
            for _ in range(_UNTIL_STILL):
                self.learn_shape()
                self.pose_pictures()
                self.learn_spread()
            left = self._left()
            if left < _CLEARLY * best[0]:
                best = left, self._state()
            if left < _NOTHING:
                break
        self.shape, self.spread, self.rotation, self.position, self.x, self.place = best[1]
        self._take(self._solved[:0])

    def _left(self) -> float:
        """Return how far landmarks lie off, m: the median over those that are seen."""
        return float(np.median(self._off_metres()[self.views.weight > 0.5]))

    def _state(self) -> tuple[Array, ...]:
        """Return a copy of all that is solved for."""
        return tuple(one.copy() for one in (self.shape, self.spread, self.rotation, self.position, self.x, self.place))

    def learn_outlined_shape(self) -> None:
        """Solve for the shape that all times together say, silhouettes included, and take it."""
        self._learn_shape(self._known_outlined_shape, outlined=True)

    def _learn_shape(self, known_shape: Callable[[int], Array | None], *, outlined: bool) -> None:
        """Do so by what each time knows of the shape: its information at a time, [S, S], once that time is solved."""
        if not len(self._solved):
            return
        for _ in range(2):  # phenotypes are linear only piece by piece
            self._take(self._solved)
            if outlined:
                self.surface.take(self.shape, self._solved)
            p = self.problem
            pull = self._zero @ p.shape_prior
            information = self._zero.copy()
            trust = min(_TRUST / np.count_nonzero(self._telling), 1.0)
            for t in np.flatnonzero(self._telling).tolist():
                self._at(t)
                p.shape[...] = 0.0
                if (known := known_shape(t)) is not None:
                    information += trust * (known - self._zero)
                    pull += trust * (known @ p.shape - self._zero @ p.shape_prior)
            if self._step_shape(information, pull):
                break
        self._take(self._solved[:0])

    def _known_shape(self, t: int) -> Array | None:
        """Solve a time by landmarks; None if it cannot say how sure it is."""
        self._solve(t, *self._believe)
        return self.problem.shape_known if self.kernel.spread(np.zeros(len(self.rig.points), np.int32)) else None

    def _known_outlined_shape(self, t: int) -> Array:
        """Solve a time by landmarks and silhouettes."""
        hessian = self._solve_outlined(t)
        end = 6 + len(self.problem.x)
        pose = hessian[:end, :end] + 1e-6 * np.eye(end)
        known: Array = hessian[end:, end:] - hessian[end:, :end] @ np.linalg.solve(pose, hessian[:end, end:])
        return known

    def pose_outlines(self) -> None:
        """Pose the body to landmarks and silhouettes, from the poses so far."""
        self.surface.take(self.shape, self._solved[:0])
        for t in range(len(self.x)):
            self._at(t)
            self._solve_outlined(t)
            self._keep(t)

    def _step_shape(self, information: Array, pull: Array) -> bool:
        """Take the shape that ``information`` and ``pull`` say; return whether it is the same as before."""
        before = self.shape.copy()
        self.shape[self._solved] += np.linalg.solve(information, pull)
        self.shape = np.clip(self.shape, self._low, _UPPER)
        return bool(np.abs(self.shape - before).max() < self._same)

    def learn_spread(self) -> bool:
        """Read off how far landmarks lie off, each the median over views and times; return whether that is settled."""
        before = self.spread.copy()
        metres = self._off_metres()
        sure = self.views.weight > 0.5
        for k in range(len(self.spread)):
            # Few of a kind say little of it: then all kinds are one.
            mine = metres[..., k][sure[..., k]] if np.count_nonzero(sure[..., k]) >= _FEW else metres[sure]
            if len(mine):
                # Half of the distances of a plane normal distribution lie within 1.18 of its standard deviations.
                self.spread[k] = max(float(np.median(mine)) / 1.18, before[k] / _SHRINK, self.options.least)
        return bool((np.abs(np.log(self.spread / before)) < np.log(_SETTLED)).all())

    # ------------------------------------------------------------------------------------------ one time

    def _at(self, t: int) -> None:
        p = self.problem
        p.rotation[...], p.position[...], p.x[...] = self.rotation[t], self.position[t], self.x[t]

    def _keep(self, t: int) -> None:
        p = self.problem
        self.rotation[t], self.position[t], self.x[t], self.place[t] = p.rotation, p.position, p.x, p.place

    def _solve(self, t: int, pictures: bool, paths: float) -> None:
        """Solve one time: with what pictures say, and with paths believed to so many metres."""
        self._ask(t, pictures, paths)
        self.kernel.solve()

    def _solve_outlined(self, t: int) -> Array:
        """Solve one time with landmarks and silhouettes; return half of the Hessian [N, N] after Gauss and Newton.

        Levenberg and Marquardt's steps on the kernel's model of everything else, to which outlines are added.
        """
        p = self.problem
        self._ask(t, *self._believe)
        outlines = [one[t] for one in self.views.outlines]
        low, high = np.concatenate([p.lower, p.shape_lower]), np.concatenate([p.upper, p.shape_upper])
        self._evaluate()
        for _ in range(_MATCHED):
            matches = self.surface.matches(self.surface.posed(p), self.views.cameras, outlines)
            damping = _DAMPING
            for _ in range(_STEPS):
                cost, gradient, hessian = self._outlined_model(matches)
                value = np.concatenate([p.x, p.shape])
                pull = gradient[6:]
                free = np.ones(len(gradient), bool)
                free[6:] = ((value > low) | (pull < 0)) & ((value < high) | (pull > 0))
                damped = hessian + damping * np.diag(np.maximum(np.diag(hessian), 1e-6))
                step = np.zeros(len(gradient))
                step[free] = -np.linalg.solve(damped[np.ix_(free, free)], gradient[free])
                before = p.rotation.copy(), p.position.copy(), p.x.copy(), p.shape.copy()
                moved = np.clip(value + step[6:], low, high)
                p.rotation[...] = matrices_from_vectors(step[:3]) @ p.rotation
                p.position[...] += step[3:6]
                p.x[...], p.shape[...] = moved[: len(p.x)], moved[len(p.x) :]
                self._evaluate()
                if self.kernel.model().cost + self._outlines_cost(matches)[0] > cost:
                    p.rotation[...], p.position[...], p.x[...], p.shape[...] = before
                    self._evaluate()
                    damping *= 10
                else:
                    damping /= 3
        return hessian

    def _outlined_model(self, matches: Matches) -> tuple[float, Array, Array]:
        """Return cost, and half of its gradient [N] and Hessian [N, N], of everything at the state."""
        model = self.kernel.model()
        at = self.surface.posed(self.problem, matches.vertex)
        cost, off, slope, weight = self._outlines_cost(matches, at)
        across = np.einsum("mi,min->mn", slope, self.surface.slopes(self.problem, matches.vertex, at))
        weighted = across * weight[:, None]
        return model.cost + cost, model.gradient + weighted.T @ off, model.hessian + weighted.T @ across

    def _outlines_cost(self, matches: Matches, at: Array | None = None) -> tuple[float, Array, Array, Array]:
        """Return the cost of outlines; their residuals [M] m, slopes [M, 3] by places, and weights [M]."""
        at = self.surface.posed(self.problem, matches.vertex) if at is None else at
        off, slope = residuals(at, matches, self.views.cameras, self.options.clothes)
        share = 1 / (1 + (off / _OUTLINE_WIDTH) ** 2)
        weight = _OUTLINE_POINTS * self.options.outline**-2.0
        return float(weight * (off**2 * share).sum()), off, slope, weight * share**2

    def _evaluate(self) -> None:
        """Write what follows from the state to the problem."""
        p = self.problem
        iterations, p.max_iterations = p.max_iterations, 1
        self.kernel.solve()
        p.max_iterations = iterations

    def _ask(self, t: int, pictures: bool, paths: float) -> None:
        """Set what is known of one time: what pictures say, and paths believed to so many metres."""
        p, o = self.problem, self.options
        p.seen_weight[...] = 0.0
        if pictures:
            for k, view in enumerate(self.views.cameras):
                depth = max(float(view.R[2] @ p.position + view.T[2]), 0.1)
                per_metre = 0.5 * (view.K[0, 0] + view.K[1, 1]) / depth
                p.seen[k] = self.views.pixels[k, t]
                p.seen_weight[k] = self.views.weight[k, t] / (self.spread * per_metre) ** 2
                p.seen_width[k] = np.clip(4 * self.spread, *_WIDTHS) * per_metre
        pivot = self._pivot(t)
        p.moved[...] = np.where(self.known[t][:, None], self.path[t] - pivot, 0.0)
        p.moved_weight[...] = np.where(self.known[t][:, None], paths**-2.0, 0.0)
        p.placed[...], p.placed_weight[...] = pivot, paths**-2.0 if self.known[t, _PIVOT].all() else 1.0
        p.prior[...], p.prior_weight[...] = self.rig.rest, (o.rest_spread * self.rig.spread) ** -2.0

    def _pivot(self, t: int) -> Array:
        """Return where the middle of the hips is, or what is known of the body if they are not."""
        some = _PIVOT if self.known[t, _PIVOT].all() else np.flatnonzero(self.known[t]).tolist()
        return np.asarray(self.path[t, some].mean(axis=0)) if some else self.position[max(t - 1, 0)]

    def _off_metres(self) -> Array:
        """Return how far landmarks of all views lie from the body's [V, T, 33] m, at the person's depth."""
        off = off_pixels(self.views.cameras, self.place, self.views.pixels)
        focal = np.array([view.K[0, 0] for view in self.views.cameras])
        return np.asarray(off * (self._depths() / focal[:, None])[..., None])

    def _depths(self) -> Array:
        return np.stack([self.position @ view.R[2] + view.T[2] for view in self.views.cameras])

    def _standing(self) -> Array:
        shape = self.rig_shape
        origin = np.zeros_like(shape.offset)
        for link, parent in enumerate(self.rig.parent):
            if parent >= 0:
                origin[link] = origin[parent] + shape.offset[link]
        return np.asarray(origin[self.rig.point_link] + shape.point)

    def result(self, support: Array) -> PersonFit:
        """Return the solution."""
        p, rest = self.problem, self.body.rest(self.shape)
        turns, pelvis, joints = [], [], []
        for t in range(len(self.x)):
            self._at(t)
            self._ask(t, *self._believe)
            self._evaluate()
            turns.append(self.rig.rotations(p.world))
            pelvis.append(p.origin[0].copy())
            joints.append(self.rig.joints_of(turns[-1], rest[0]) + pelvis[-1])
        return PersonFit(
            np.array(turns), np.array(pelvis), self.shape.copy(), rest[1], self.rig.joint_names, np.array(joints),
            self.place.copy(), self.spread.copy(), support,
        )  # fmt: skip
