"""BodyFitter: one person's pose, position and shape from frame to frame, fitted to what cameras see of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.checks import SAME_INSTANT, check_points, check_range, check_shapes, check_time, numbers
from humanrt.errors import InvalidInputError, choices
from humanrt.fitting.kernel import Kernel, make_kernel
from humanrt.fitting.motion import PointMotion
from humanrt.fitting.observation import Observation, PosePrior
from humanrt.fitting.problem import Problem
from humanrt.fitting.rig import STATURE, Rest, Rig
from humanrt.fitting.shape import ShapeEstimate, ShapePrior
from humanrt.fitting.start import aligned, along_ray, depth_by_size, fronts, pivot_at
from humanrt.geometry.anny import ANNY_BONES

__all__ = ["BodyFit", "BodyFitter", "FitOptions"]

Array = NDArray[np.float64]
Floats32 = NDArray[np.float32]

_FRAME = 1 / 30  # s: weights are those of frames this far apart
_LONGEST = 3.0  # frames: what a measurement after a gap counts as, at most
_WIDE = 4.0  # times the width of residuals, for the first steps from an unknown pose
_FITS, _BETTER = 0.1, 0.6  # misfit of a body that is found, and ratio to its misfit at which another pose is taken
_TORSO = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
# Points that are followed over time: where they are says where everything is.
# The number is how freely they accelerate, relative to knees and elbows.
_SIDED = {
    **dict.fromkeys(("ear", "shoulder", "hip"), 0.5),
    **dict.fromkeys(("elbow", "knee"), 1.0),
    **dict.fromkeys(("wrist", "index", "pinky", "ankle", "foot_index"), 1.5),
}
# The pivot's; and the part of it that is let through along the z axis, a single camera's depth, which is seen worst.
_PIVOT, _DEPTH = 0.7, 0.5
_FOLLOWED = {"nose": 0.5} | {f"{side}_{part}": much for part, much in _SIDED.items() for side in ("left", "right")}


@dataclass(frozen=True)
class FitOptions:
    """Options of `BodyFitter`. Weights are those of frames 1/30 s apart: more frames of less weight say the same.

    Attributes:
        pixel_spread: m at the person, standard deviation of points in pictures, by kind of points.
        pixel_width: m at the person: a point this far off costs half of the most that it can.
        metric_spread, metric_width: m, the same of the body's points in metres, relative to the hips.
        metric_scale: the body's size over that of its points in metres, for a person 1.7 m tall.
        rest_spread: factor on each joint's usual distance from rest: how weak the prior of an unknown pose is.
        acceleration: m/s^2 sqrt(s), noise of accelerations of knees and elbows: how freely people move.
        depth_acceleration: the same of the body's depth.
        walk: rad/sqrt(s), how far joints drift that nothing shows.
        shape_trust: part of what a frame says about the shape that is believed: a pose's errors last many frames.
        shape_memory: s, time in which what was seen of the shape is forgotten.
        patience: s: if the body lies wholly off its points for so long, or longer off some of them, the search starts
            anew: a network takes left for right for some frames, which is to be sat out.
        max_iterations: evaluations a frame, at most.
    """

    pixel_spread: Mapping[str, float] = field(
        default_factory=lambda: {"body": 0.02, "left_hand": 0.01, "right_hand": 0.01, "face": 0.01}
    )
    pixel_width: Mapping[str, float] = field(
        default_factory=lambda: {"body": 0.12, "left_hand": 0.04, "right_hand": 0.04, "face": 0.04}
    )
    metric_spread: float = 0.12
    metric_width: float = 0.25
    metric_scale: float = 1.0
    rest_spread: float = 1.6
    acceleration: float = 4.0
    depth_acceleration: float = 1.5
    walk: float = 1.0
    shape_trust: float = 0.1
    shape_memory: float = 30.0
    patience: float = 0.2
    max_iterations: int = 12


@dataclass(frozen=True)
class BodyFit:
    """One person at one time.

    Attributes:
        rotations: float32 [74, 3, 3] of Anny's bones, each relative to its parent, the root's to the world.
        translation: float32 [3] m, the pelvis (joint ``root``).
        shape: float32 [6] phenotypes.
        joints: float32 [J, 3] m: those that the body has in this pose and shape.
        points: float32 [P, 3] m, the rig's points.
        residual_px: median distance in the pictures of the points that were seen, px; NaN where none was.
        spread: float32 [74] rad, standard deviation of each bone's rotation relative to its parent; 0 for those that
            do not move. As good as the weights that it follows from: to compare by, not to bet on.
    """

    rotations: Floats32
    translation: Floats32
    shape: Floats32
    joints: Floats32
    points: Floats32
    residual_px: float
    spread: Floats32

    def __post_init__(self) -> None:
        check_shapes(
            self,
            rotations="float32 R 3 3",
            translation="float32 3",
            shape="float32 6",
            joints="float32 J 3",
            points="float32 P 3",
            spread="float32 R",
        )


@dataclass(frozen=True)
class _View:
    """A checked observation: camera [17], pixels [P, 2], weights [P], metres [P, 3] and their weights [P]."""

    camera: Array
    pixels: Array
    weight: Array
    metres: Array
    metric_weight: Array

    @property
    def intrinsics(self) -> Array:
        """K [3, 3]."""
        fx, skew, cx, fy, cy = self.camera[:5]
        return np.array([[fx, skew, cx], [0, fy, cy], [0, 0, 1.0]])

    @property
    def turn(self) -> Array:
        """R [3, 3] from the world to the camera."""
        return self.camera[5:14].reshape(3, 3)

    @property
    def move(self) -> Array:
        """t [3] m."""
        return self.camera[14:]

    def depth(self, point: Array) -> float:
        """Depth, m, of a point [3] of the world."""
        return float(self.turn[2] @ point + self.move[2])


@dataclass(frozen=True)
class _Pose:
    """A believed pose: variables [V], their weights [V], the root's rotation and its weight."""

    x: Array
    weight: Array
    root: Array
    root_weight: float


class BodyFitter:
    """Fit one person: make one for each identity, and drop it with them.

    >>> fitter = BodyFitter(rig, rest, shape)
    >>> fit = fitter.fit(observation, t, prior)      # -> BodyFit; None while the person was not seen yet

    Args:
        rig: the body and its points.
        rest: joints at rest and stature of a shape.
        shape: the shape that is assumed before anything is seen.
        options: see `FitOptions`.
        kernel: native, numpy or auto.
    """

    def __init__(
        self, rig: Rig, rest: Rest, shape: ShapePrior, options: FitOptions | None = None, kernel: str = "auto"
    ) -> None:
        self.rig, self.options = rig, FitOptions() if options is None else options
        self._rest, self._kernel_kind, self._assumed = rest, kernel, shape
        names = [point.name for point in rig.points]
        self._torso = [names.index(name) for name in _TORSO if name in names]
        self._followed = np.array([name in _FOLLOWED for name in names], np.int32)
        self._moving = np.flatnonzero(self._followed)
        self._still: NDArray[np.bool_] = np.asarray(rig.turns.max(axis=1) == 0) & (np.arange(len(ANNY_BONES)) > 0)
        self._spreads, self._widths = np.ones(len(names)), np.ones(len(names))
        for kind, where in rig.kinds.items():
            self._spreads[where] = self.options.pixel_spread[kind]
            self._widths[where] = self.options.pixel_width[kind]
        self._t: float | None = None
        self._bad = 0.0
        self.evaluations = 0
        """Evaluations for the last frame."""
        self.restarts = 0
        """How often the search started anew because the body lay off its points."""
        self.reset()

    @property
    def kernel(self) -> str:
        """``native`` (compiled) or ``numpy``."""
        return self._kernel.name

    def reset(self) -> None:
        """Forget the person, their shape included."""
        o = self.options
        self._shape = ShapeEstimate(self.rig, self._rest, self._assumed, o.shape_trust, o.shape_memory)
        self._new_problem(1)
        self._forget()

    def fit(
        self, observations: Observation | Sequence[Observation], t: float, prior: PosePrior | None = None
    ) -> BodyFit | None:
        """Return the person at time ``t``, s, from what one camera, or several calibrated ones, saw then.

        Without an observation the person goes on as they moved, and as the prior says. A time before the last one
        starts anew.

        Raises:
            InvalidInputError, CameraError: an observation, the prior or the time is not valid. The state is then
                unchanged.
        """
        given = [observations] if isinstance(observations, Observation) else list(observations)
        views = [self._checked(one) for one in given]
        pose = None if prior is None else self._believed(prior)
        t = check_time(t)
        if self._t is not None and t < self._t - SAME_INSTANT:
            self.reset()
        views = [view for view in views if (view.weight > 0).any()]
        if self._t is None and not views:
            return None
        if len(views) > len(self._problem.camera):
            self._new_problem(len(views))
        if self._t is None:
            self._begin(views, pose)
            dt = 0.0
        else:
            dt = max(t - self._t, 0.0)
            self._continue(views, pose, dt)
        self._t = t
        self._learn(dt)
        return self._result(views)

    def refine(
        self,
        observations: Observation | Sequence[Observation],
        pose: PosePrior,
        translation: ArrayLike,
        translation_spread: float = 0.3,
    ) -> BodyFit:
        """Return a pose that is known from elsewhere, such as a mesh network's, corrected by what was seen.

        Bones that the rig does not move (toes; fingers in a rig without them) keep their rotations. What was known of
        the person is forgotten, before and after; the shape is the one that is assumed.

        Args:
            observations: what one camera, or several calibrated ones, saw; none: the nearest pose that the
                rig can take.
            pose: the pose, and how far it may be off.
            translation: [3] m, the pelvis (joint ``root``) in the world's axes (a single camera's).
            translation_spread: m, how far it may be off.

        Raises:
            InvalidInputError, CameraError: an observation, the pose or the translation is not valid.
        """
        given = [observations] if isinstance(observations, Observation) else list(observations)
        views = [view for view in map(self._checked, given) if (view.weight > 0).any()]
        believed = self._believed(pose)
        pelvis = numbers(translation, "translation")
        check_points(pelvis, "translation")
        if pelvis.shape != (3,):
            raise InvalidInputError(f"translation must be three metres, not {list(pelvis.shape)}")
        check_range(translation_spread, "translation_spread (m)", 0.0, above=True)
        self.reset()
        if len(views) > len(self._problem.camera):
            self._new_problem(len(views))
        p = self._problem
        pivot = pelvis + believed.root @ self._shape.rig_shape.offset[0]
        p.rotation[...], p.position[...], p.x[...] = believed.root, pivot, believed.x
        for _ in range(2):  # metres at the person to pixels by its depth, as it is then
            self._observe(views, 1.0, [view.depth(p.position) for view in views])
            self._believe(believed, 1.0, None)
            p.placed[...], p.placed_weight[...] = pivot, translation_spread**-2.0
            self.evaluations = self._kernel.solve()
        fit = self._result(views)
        self.reset()
        rotations = np.where(self._still[:, None, None], pose.rotations, fit.rotations)
        joints = self.rig.joints_of(rotations, self._rest(self._assumed.mean)[0]) + fit.translation
        return replace(fit, rotations=rotations.astype(np.float32), joints=joints.astype(np.float32))

    # ------------------------------------------------------------------------------------------ input

    def _checked(self, view: Observation) -> _View:
        """Return an observation as arrays over all points of the rig; what is not finite counts as not seen."""
        camera = view.camera()
        count = len(self.rig.points)
        pixels, weight = np.zeros((count, 2)), np.zeros(count)
        metres, metric_weight = np.zeros((count, 3)), np.zeros(count)
        for kind, seen in view.points.items():
            if kind not in self.rig.kinds:
                raise InvalidInputError(f"the rig has no points `{kind}`; it has: {choices(self.rig.kinds)}")
            where = self.rig.kinds[kind]
            size = where.stop - where.start
            flat, sure = np.asarray(seen.pixels, np.float64), np.asarray(seen.weight, np.float64)
            if flat.shape != (size, 2) or sure.shape != (size,):
                raise InvalidInputError(
                    f"{kind}: expected pixels [{size}, 2] and weights [{size}], got {list(flat.shape)} and "
                    f"{list(sure.shape)}"
                )
            known = np.asarray((np.abs(flat) < 1e7).all(axis=1))
            pixels[where] = np.where(known[:, None], flat, 0.0)
            weight[where] = np.where(known, np.clip(np.nan_to_num(sure), 0.0, 1.0), 0.0)
            if kind == "body" and seen.metres is not None:
                deep = np.asarray(seen.metres, np.float64)
                if deep.shape != (size, 3):
                    raise InvalidInputError(f"{kind}: expected metres [{size}, 3], got {list(deep.shape)}")
                known = np.asarray((np.abs(deep) < 100).all(axis=1))
                pivot = list(self.rig.pivot)
                if known[pivot].all():  # they are relative to it
                    metres[where] = np.where(known[:, None], deep - deep[pivot].mean(axis=0), 0.0)
                    metric_weight[where] = np.where(known, weight[where], 0.0)
        if (weight[list(self.rig.pivot)] > 0).all() and metric_weight.any():
            K = np.array([camera[:3], [0, *camera[3:5]], [0, 0, 1]])
            metres = along_ray(metres, pixels[list(self.rig.pivot)].mean(axis=0), K)
        return _View(camera, pixels, weight, metres, metric_weight)

    def _believed(self, prior: PosePrior) -> _Pose:
        rotations = np.asarray(prior.rotations, np.float64)
        if rotations.shape != (len(ANNY_BONES), 3, 3) or not np.isfinite(rotations).all():
            raise InvalidInputError(f"a prior's rotations must be finite [{len(ANNY_BONES)}, 3, 3], of Anny's bones")
        weight = np.empty(len(self.rig.rest))
        firsts = np.cumsum([0, *(len(joint.axes) for joint in self.rig.joints)])
        for joint, first, end in zip(self.rig.joints, firsts, firsts[1:], strict=False):
            spread = prior.spread if isinstance(prior.spread, float | int) else prior.spread[joint.bones[0][0]]
            weight[first:end] = float(spread) ** -2.0
        root = 0.0 if prior.root_spread is None else float(prior.root_spread) ** -2.0
        return _Pose(self.rig.variables(rotations), weight, rotations[0], root)

    # ------------------------------------------------------------------------------------------ one frame

    def _new_problem(self, views: int) -> None:
        old = getattr(self, "_problem", None)
        p = Problem.of(self.rig, self._shape.rig_shape, *self._shape.limits, views=views)
        p.max_iterations = self.options.max_iterations
        if old is not None:
            for name in ("rotation", "position", "x", "world", "origin", "place"):
                getattr(p, name)[...] = getattr(old, name)
        self._problem: Problem = p
        self._kernel: Kernel = make_kernel(p, self._kernel_kind)

    def _forget(self) -> None:
        """Forget how the person moved."""
        o = self.options
        names = [self.rig.points[place].name for place in self._moving]
        freely = o.acceleration * np.array([*(_FOLLOWED[name] for name in names), _PIVOT])
        noise = np.repeat(freely[:, None], 3, axis=1)
        noise[:, 2] *= _DEPTH
        noise[-1, 2] = o.depth_acceleration
        self._motion = PointMotion(noise)
        self._t = None
        self._bad = 0.0

    def _continue(self, views: list[_View], pose: _Pose | None, dt: float) -> None:
        """Solve a frame from the state of the last one."""
        self._motion.predict(dt)
        frames = min(dt / _FRAME, _LONGEST)
        self._observe(views, frames, [view.depth(self._motion.place[-1]) for view in views])
        self._believe(pose, frames, dt)
        self.evaluations = self._kernel.solve()
        off = self._misfit(views) - _FITS if views else 0.0
        self._bad = self._bad + dt * off if off > 0 else 0.0
        if self._bad > self.options.patience:
            self._again(views, pose)

    def _begin(self, views: list[_View], pose: _Pose | None) -> None:
        """Solve a first frame, from several rotations of the body."""
        self._forget()
        p = self._problem
        best: tuple[float, tuple[Array, ...]] | None = None
        self.evaluations = 0
        for root, pivot, x in self._starts(views, pose):
            p.rotation[...], p.position[...], p.x[...] = root, pivot, x
            p.shape[...] = self._shape.change
            depths = [view.depth(pivot) for view in views]
            self._observe(views, 1.0, depths)
            self._believe(pose, 1.0, None)
            for widths in (p.seen_width, p.metric_width):
                widths *= _WIDE
            self.evaluations += self._kernel.solve()
            depths = [view.depth(p.position) for view in views]
            self._observe(views, 1.0, depths)
            self.evaluations += self._kernel.solve()
            if best is None or p.cost[0] < best[0]:
                best = float(p.cost[0]), tuple(a.copy() for a in self._state())
        assert best is not None
        for array, value in zip(self._state(), best[1], strict=True):
            array[...] = value

    def _again(self, views: list[_View], pose: _Pose | None) -> None:
        """Search anew; keep what is found if the body lies much better on its points."""
        before = tuple(a.copy() for a in self._state()), self._motion, self._t, self._misfit(views)
        self._begin(views, pose)
        if self._misfit(views) < _BETTER * before[3]:
            self.restarts += 1
            return
        for array, value in zip(self._state(), before[0], strict=True):
            array[...] = value
        _, self._motion, self._t, _ = before
        self._bad = 0.0

    def _state(self) -> tuple[Array, ...]:
        p = self._problem
        return p.rotation, p.position, p.x, p.shape, p.world, p.origin, p.place

    def _starts(self, views: list[_View], pose: _Pose | None) -> list[tuple[Array, Array, Array]]:
        """Return rotations [3, 3], positions [3] and variables [V] to start from."""
        rig, torso = self.rig, self._torso
        view = max(views, key=lambda one: float(one.weight.sum()))
        sure = view.weight > 0.3 * view.weight.max()
        x = rig.rest if pose is None else pose.x
        grown = self._shape.rig_shape.stature / STATURE * self.options.metric_scale
        standing = self._standing()
        back = view.turn.T
        roots: list[Array] = []
        if (view.metric_weight[torso] > 0).all() and sure.sum() > 2:
            depth = depth_by_size(view.metres[sure] * grown, view.pixels[sure], view.intrinsics)
            turn = back @ aligned(standing[torso], view.metres[torso])
            flat = back @ aligned(standing[torso], view.metres[torso] * (1.0, 1.0, -1.0))
            roots = [turn, flat]
        else:
            depth = depth_by_size(standing[sure] @ fronts()[0].T, view.pixels[sure], view.intrinsics)
            roots = [back @ front for front in fronts()]
        if pose is not None and pose.root_weight > 0:
            roots.insert(0, pose.root)
        pivot = list(rig.pivot)
        if not (view.weight[pivot] > 0).all():
            pivot = np.flatnonzero(sure).tolist()
        at = back @ (pivot_at(depth, view.pixels[pivot].mean(axis=0), view.intrinsics) - view.move)
        return [(root, at, x) for root in roots]

    def _standing(self) -> Array:
        """Return the points [P, 3] m at rest, Anny's axes."""
        shape = self._shape.rig_shape
        origin = np.zeros_like(shape.offset)
        for link, parent in enumerate(self.rig.parent):
            if parent >= 0:
                origin[link] = origin[parent] + shape.offset[link]
        return np.asarray(origin[self.rig.point_link] + shape.point)

    def _observe(self, views: list[_View], frames: float, depths: list[float]) -> None:
        """Write what was seen; ``depths`` of the body turn metres at the person to pixels."""
        p, o = self._problem, self.options
        p.seen_weight[...] = p.metric_weight[...] = 0.0
        grown = self._shape.rig_shape.stature / STATURE * o.metric_scale
        for k, (view, depth) in enumerate(zip(views, depths, strict=True)):
            per_metre = 0.5 * (view.camera[0] + view.camera[3]) / max(depth, 0.1)
            p.camera[k], p.seen[k] = view.camera, view.pixels
            p.seen_weight[k] = frames * view.weight / (self._spreads * per_metre) ** 2
            p.seen_width[k] = self._widths * per_metre
            p.metric[k] = grown * view.metres @ view.turn
            p.metric_weight[k] = frames * view.metric_weight / (o.metric_spread * grown) ** 2
            p.metric_width[k] = o.metric_width * grown

    def _believe(self, pose: _Pose | None, frames: float, dt: float | None) -> None:
        """Write what is believed of pose, motion and shape; ``dt``: since the last frame, None: there was none."""
        p, o, rig = self._problem, self.options, self.rig
        weight = frames * (o.rest_spread * rig.spread) ** -2.0
        pull = weight * rig.rest
        if pose is not None:
            weight, pull = weight + frames * pose.weight, pull + frames * pose.weight * pose.x
        turning = 0.0 if pose is None else frames * pose.root_weight
        p.turned[...] = p.rotation if pose is None else pose.root
        p.moved_weight[...] = p.placed_weight[...] = 0.0
        if dt is not None:
            walk = 1.0 / (o.walk**2 * max(dt, 1e-6))
            weight, pull = weight + walk, pull + walk * p.x
            if pose is None:
                turning = walk
            precision = 1.0 / np.maximum(self._motion.variance, 1e-8)
            p.moved[self._moving], p.moved_weight[self._moving] = self._motion.place[:-1], precision[:-1]
            p.placed[...], p.placed_weight[...] = self._motion.place[-1], precision[-1]
        p.turned_weight[0] = turning
        p.prior[...], p.prior_weight[...] = pull / weight, weight
        p.shape_prior[...] = self._shape.change
        p.shape_information[...] = self._shape.information

    def _misfit(self, views: list[_View]) -> float:
        """Return what points cost, as part of the most that they can: in pictures and in metres, 0 to 2."""
        p = self._problem
        total = 0.0
        for k, view in enumerate(views):
            error = ((self._projected(view) - view.pixels) ** 2).sum(axis=1) / p.seen_width[k] ** 2
            total += float(np.average(1 - 1 / (1 + error), weights=view.weight))
            if view.metric_weight.any():
                error = ((p.place - p.position - p.metric[k]) ** 2).sum(axis=1) / p.metric_width[k] ** 2
                total += float(np.average(1 - 1 / (1 + error), weights=view.metric_weight))
        return total / len(views)

    def _projected(self, view: _View) -> Array:
        """Return the points [P, 2] px in a view; those behind the camera are infinitely far off."""
        inside = self._problem.place @ view.turn.T + view.move
        image = inside @ view.intrinsics.T
        return np.asarray(np.where(inside[:, 2:] > 0.05, image[:, :2] / np.maximum(inside[:, 2:], 0.05), np.inf))

    def _learn(self, dt: float) -> None:
        """Update motion and shape by the solution."""
        p = self._problem
        change = p.shape.copy()
        if not self._kernel.spread(self._followed):
            return
        place = np.vstack([p.place[self._moving] - p.position, p.position])
        variance = np.vstack([p.moved_variance[self._moving], p.placed_variance])
        believed = np.vstack([p.moved_believed[self._moving], p.placed_believed])
        self._motion.correct(place, variance, believed)
        if self._shape.learn(change, p.shape_known, dt):
            p.reshape(self._shape.rig_shape, *self._shape.limits)
            p.shape[...] = self._shape.change
            p.max_iterations = 1
            self._kernel.solve()  # the same pose in the shape as it is now
            p.max_iterations = self.options.max_iterations

    def _result(self, views: list[_View]) -> BodyFit:
        p, rig, shape = self._problem, self.rig, self._shape
        local = shape.rig_shape.joint + shape.rig_shape.joint_by @ p.shape
        joints = p.origin[rig.joint_link] + (p.world[rig.joint_link] @ local[:, :, None])[:, :, 0]
        errors = [
            np.linalg.norm(self._projected(view) - view.pixels, axis=1)[view.weight > 0.5 * view.weight.max()]
            for view in views
        ]
        return BodyFit(
            rotations=rig.rotations(p.world).astype(np.float32),
            translation=p.origin[0].astype(np.float32),
            shape=shape.phenotypes.astype(np.float32),
            joints=joints.astype(np.float32),
            points=p.place.astype(np.float32),
            residual_px=float(np.median(np.concatenate(errors))) if errors else float("nan"),
            spread=rig.bone_spread(p.x_variance).astype(np.float32),
        )
