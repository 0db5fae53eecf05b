"""What a refined window is measured by: places, rotations, and how both change from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from humanrt_export.data.poses.dataset import PoseBatch
from humanrt_export.networks.posebert import Refined
from humanrt_export.training.processes import shared

__all__ = ["Weights", "differences", "distance", "forward_kinematics", "geodesic", "losses"]


@dataclass(frozen=True)
class Weights:
    """Weight of each loss. Lengths are in units of the network (palm or torso), angles in radians, time in frames.

    Attributes:
        keypoints: distance of keypoints.
        rotations: angle between rotations.
        joints: distance of the joints that the rotations give.
        velocity: difference of first differences in time.
        acceleration: difference of second differences in time.
        lateral: distance of keypoints beside the line of sight, which depth, far less sure, would drown.
        spread: how unlikely the errors are, given the spreads that the network says; only of networks that do.
    """

    keypoints: float = 1.0
    rotations: float = 0.3
    joints: float = 1.0
    velocity: float = 1.0
    acceleration: float = 1.0
    lateral: float = 0.0
    spread: float = 0.0


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean [..., D] -> [...], with a gradient at 0."""
    difference = a - b
    return ((difference * difference).sum(-1) + 1e-8).sqrt()


def geodesic(A: Tensor, B: Tensor) -> Tensor:
    """Angle [...] rad between rotation matrices [..., 3, 3].

    As 2 asin(|A - B| / sqrt(8)): the same angle as by the trace, but with a bounded gradient near 0.
    """
    chord = ((A - B).square().sum((-1, -2)) + 1e-8).sqrt()
    return 2 * torch.asin((chord / 8**0.5).clamp(max=0.9999))


def differences(values: Tensor, order: int) -> Tensor:
    """Finite differences along dim 1, in units a frame (order 1) or a frame squared (order 2)."""
    for _ in range(order):
        values = values[:, 1:] - values[:, :-1]
    return values


def forward_kinematics(rotations: Tensor, parents: Sequence[int], rest: Tensor) -> Tensor:
    """Joint positions [..., J, 3] about the root.

    Args:
        rotations: [..., J, 3, 3] local to parents; the root's takes the body to the camera.
        parents: of each joint; before it in the order, or -1.
        rest: [J, 3] joint positions at rest.
    """
    turned: list[Tensor] = []
    places: list[Tensor] = []
    for joint, parent in enumerate(parents):
        own = rotations[..., joint, :, :]
        if parent < 0:
            turned.append(own)
            places.append(torch.zeros_like(own[..., 0]))
        else:
            turned.append(turned[parent] @ own)
            places.append(places[parent] + turned[parent] @ (rest[joint] - rest[parent]))
    return torch.stack(places, dim=-2)


def losses(
    refined: Refined,
    truth: PoseBatch,
    parents: Sequence[int],
    rest: Tensor,
    weights: Weights,
) -> dict[str, Tensor]:
    """All losses of a batch and their weighted sum, ``total``.

    Args:
        refined: of the network.
        truth: true keypoints and rotations, and the weight of each frame.
        parents, rest: the tree; rest [J, 3] in the network's unit.
    """
    rows = truth.rows
    angles = geodesic(refined.rotations, truth.rotations)
    placed, true_places = (forward_kinematics(value, parents, rest) for value in (refined.rotations, truth.rotations))
    found = {"rotations": _mean(angles, rows), "joints": _mean(distance(placed, true_places), rows)}
    moving = [(placed, true_places)]
    if refined.keypoints is not None and refined.unit is not None:
        keypoints = refined.keypoints / refined.unit
        found["keypoints"] = _mean(distance(keypoints, truth.keypoints), rows)
        moving.append((keypoints, truth.keypoints))
        if weights.lateral:
            found["lateral"] = _mean(distance(keypoints[..., :2], truth.keypoints[..., :2]), rows)
    if refined.spread is not None and weights.spread:
        found["spread"] = _unlikely(refined, truth, angles)
    spans = rows
    for name, order in (("velocity", 1), ("acceleration", 2)):
        spans = spans[:, 1:] * rows[:, :-order]  # of a change, all frames that take part must count
        found[name] = sum(
            (_mean(distance(differences(a, order), differences(b, order)), spans) for a, b in moving),
            start=torch.zeros((), device=rows.device),
        ) / len(moving)
    total = sum((getattr(weights, name) * value for name, value in found.items()), torch.zeros((), device=rows.device))
    return {"total": total, **found}


def _unlikely(refined: Refined, truth: PoseBatch, angles: Tensor) -> Tensor:
    """Negative log-likelihood of errors, normal with the network's spreads, up to a constant; no gradient to answers.

    Beyond `_USUAL` spreads it grows linearly: the rarest errors must not decide.
    """
    rows = truth.rows
    assert refined.spread is not None
    total = _mean(3 * refined.spread.log() + _misfit(angles.detach() / refined.spread), rows)
    if refined.keypoints is not None and refined.unit is not None and refined.keypoint_spread is not None:
        error = (refined.keypoints / refined.unit).detach() - truth.keypoints
        spread = refined.keypoint_spread / refined.unit
        beside, along = error[..., :2].norm(dim=-1) / spread[..., 0], error[..., 2].abs() / spread[..., 1]
        logs = 2 * spread[..., 0].log() + spread[..., 1].log()
        total = total + _mean(logs + _misfit(beside) + _misfit(along), rows)
    return total


_USUAL = 3.0  # standard deviations


def _misfit(off: Tensor) -> Tensor:
    """Half the square of errors in standard deviations, and its tangent beyond `_USUAL`."""
    near = off.clamp(max=_USUAL)
    return 0.5 * near.square() + _USUAL * (off - near)


def _mean(values: Tensor, rows: Tensor) -> Tensor:
    """Mean of [B, T, ...] with a weight per frame."""
    per_row = values.flatten(2).mean(-1)
    return (per_row * rows).sum() / shared(rows.sum(), least=1e-6)
