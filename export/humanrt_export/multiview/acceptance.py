"""May a fit stand for the truth? Every person is accepted or rejected, with the reasons; and every time of them.

Nothing is known about a real person but what the views say, so a fit is asked whether they agree:
- reprojection: landmarks of a view that was left out, against the body fitted to the others, as part of the person's
  height in the picture;
- stability: how far joints move when half of the views are left out; as there is a value for every time, it is also an
  estimate of the fit's own error there;
- support: limb joints that two views at least agree on, seen at an angle that tells depth;
- people before a moving camera: whether they held still.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError
from humanrt.evaluation.calibrated import View
from humanrt.geometry.limbs import LIMBS, limb_indices
from humanrt.geometry.skeleton import MEDIAPIPE_33
from humanrt_export.multiview.fitting import PersonFit, PersonFitter, Views
from humanrt_export.multiview.persons import off_pixels

__all__ = ["Limits", "Verdict", "halves", "judge"]

Array = NDArray[np.float64]

_MARKS = limb_indices(MEDIAPIPE_33)
_EVERY = 5  # each fifth frame of a moving camera is left out to be predicted
_SPLITS = 3  # pairs of halves, at most


@dataclass(frozen=True)
class Limits:
    """What a fit must reach. Set on rendered people (docs/measurements/fit.md).

    Attributes:
        reprojection: of the person's height: median of left-out views.
        stability: m, mean movement of limb joints at one time if half of the views are left out.
        support: of the twelve limb joints, how many two views must agree on.
        angle: degrees, the least angle between the rays that place a person.
        still: m, median movement of limb joints between the first and the second half of a moving camera's frames.
        part: of the times, how many must be accepted for the person to be.
    """

    reprojection: float = 0.03
    stability: float = 0.05
    support: int = 9
    angle: float = 5.0
    still: float = 0.06
    part: float = 0.3

    def __post_init__(self) -> None:
        # A limit that is NaN would accept everybody, or nobody, without a word.
        for name, most in (
            ("reprojection", np.inf),
            ("stability", np.inf),
            ("still", np.inf),
            ("angle", 90),
            ("part", 1),
        ):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise HumanrtError(
                    f"--limit-{name} is {value:g}; it must be 0 or more" + f", at most {most}" * (most < 91)
                )
        if not 0 <= self.support <= len(LIMBS):
            raise HumanrtError(f"--limit-support is {self.support}; it must be 0 to {len(LIMBS)} joints")


@dataclass(frozen=True)
class Verdict:
    """What was asked of one person's fit.

    Attributes:
        accepted: whether it may stand for the truth, at the times where ``times`` says so.
        reasons: why not.
        times: bool [T].
        uncertainty: [T] m, mean movement of limb joints if half of the views are left out; NaN: too few views.
        measures: further numbers, for the report.
    """

    accepted: bool
    reasons: tuple[str, ...]
    times: NDArray[np.bool_]
    uncertainty: Array
    measures: dict[str, Any] = field(default_factory=dict)


def judge(
    fitter: PersonFitter,
    views: Views,
    fit: PersonFit,
    *,
    still: bool,
    limits: Limits | None = None,
) -> Verdict:
    """Ask whether a fit may stand for the truth. It is fitted anew for every view, and half of the views, left out.

    Args:
        fitter: made the fit.
        views: what it was made from.
        fit: the fit.
        still: frames of a moving camera, of people who hold still.
        limits: what must be reached.
    """
    limits = Limits() if limits is None else limits
    names = fitter.body.rig.joint_names
    limbs = limb_indices(names)
    count = len(fit.joints)
    held = np.full(views.weight.shape, np.nan)
    for kept, left in _left_out(len(views.cameras), still):
        without = fitter.fit(views.only(kept))
        off = off_pixels([views.cameras[k] for k in left], without.points, views.pixels[left])
        held[left] = np.where(views.weight[left] > 0.5, off / views.scale[left][..., None], np.nan)
    moved = []
    for half in halves(len(views.cameras)):
        part = fitter.fit(views.only(half))
        moved.append(np.linalg.norm(part.joints[:, limbs] - fit.joints[:, limbs], axis=-1))
    uncertainty = np.mean([one.mean(axis=1) for one in moved], axis=0) if moved else np.full(count, np.nan)
    support = (fit.support[:, _MARKS] >= 2).sum(axis=1)
    angles = np.array([_angle(views, fit, t) for t in range(count)])
    with np.errstate(all="ignore"):
        each = np.array([_median(held[:, t]) for t in range(count)])
        measures: dict[str, Any] = {
            "held_out_reprojection": {
                "median": _median(held),
                "p95": _percentile(held, 95),
                "median_px": _median(held * views.scale[..., None]),
            },
            "stability_mm": {
                "median": 1000 * _median(np.array(moved)),
                "mean": 1000 * _mean(np.array(moved)),
                "p95": 1000 * _percentile(np.array(moved), 95),
            },
            "angle_deg": _median(angles),
            "landmark_spread_mm": 1000 * float(np.median(fit.spread)),
            "limbs_supported": _mean(support.astype(np.float64)),
        }
    times = (support >= limits.support) & (angles >= limits.angle)
    times &= ~(each > 2 * limits.reprojection) & ~(uncertainty > limits.stability)
    reasons = []
    if np.median(angles) < limits.angle:
        reasons.append(f"its views are {np.median(angles):.1f} degrees apart; {limits.angle:g} at least show depth")
    if np.median(support) < limits.support:
        reasons.append(f"two views agree on {np.median(support):.0f} of 12 limb joints; {limits.support} are needed")
    if not measures["held_out_reprojection"]["median"] <= limits.reprojection and np.isfinite(held).any():
        off = measures["held_out_reprojection"]["median"]
        reasons.append(f"left-out views are missed by {off:.3f} of the height; {limits.reprojection:g} is the limit")
    if still and len(views.cameras) >= 4:
        middle = len(views.cameras) // 2
        first, second = (fitter.fit(views.only(range(*side))) for side in ((0, middle), (middle, len(views.cameras))))
        sway = float(np.median(np.linalg.norm(first.joints[0, limbs] - second.joints[0, limbs], axis=-1)))
        measures["still_mm"] = 1000 * sway
        if sway > limits.still:
            reasons.append(f"moves by {1000 * sway:.0f} mm between the halves of the film; {1000 * limits.still:.0f}")
    if times.mean() < limits.part and not reasons:
        reasons.append(f"{times.mean():.0%} of the times are accepted; {limits.part:.0%} are needed")
    measures["times_accepted"] = float(times.mean())
    return Verdict(not reasons, tuple(reasons), times & (not reasons), uncertainty, measures)


def _left_out(count: int, still: bool) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the views that are kept and those that are left out."""
    if still:
        left = list(range(_EVERY // 2, count, _EVERY))
        if left and count - len(left) >= 2:
            yield [k for k in range(count) if k not in left], left
        return
    if count >= 3:
        for one in range(count):
            yield [k for k in range(count) if k != one], [one]


def halves(count: int) -> list[Sequence[int]]:
    """Return halves of ``count`` views: of up to four both parts of every division, of more three of them.

    Of three views, where a half would be one, it is each pair.
    """
    if count < 3:
        return []
    size = max(count // 2, 2)
    if count <= 4:
        return list(combinations(range(count), size))
    random = np.random.default_rng(0)
    orders = [np.arange(count)[np.argsort(np.arange(count) % 2, kind="stable")]]
    orders += [random.permutation(count) for _ in range(_SPLITS - 1)]
    return [sorted(some.tolist()) for order in orders for some in (order[:size], order[size:])]


def _angle(views: Views, fit: PersonFit, t: int) -> float:
    """Return the largest angle, degrees, between the rays of two cameras that see the person."""
    cameras: list[View] = [
        view for view, weight in zip(views.cameras, views.weight[:, t], strict=True) if (weight > 0.3).sum() >= 6
    ]
    if len(cameras) < 2:
        return 0.0
    rays = np.array([fit.pelvis[t] - view.centre for view in cameras])
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    # Beyond a right angle views say again less of depth, down to two that look at each other.
    sines = np.linalg.norm(np.cross(rays[:, None], rays[None]), axis=-1)
    return float(np.degrees(np.arcsin(np.clip(sines, 0, 1).max())))


def _median(values: Array) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")


def _mean(values: Array) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _percentile(values: Array, part: float) -> float:
    return float(np.nanpercentile(values, part)) if np.isfinite(values).any() else float("nan")
