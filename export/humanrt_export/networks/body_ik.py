"""Inverse kinematics of MediaPipe's 33 landmarks in torch: what a network's rotations start from.

The same construction as `humanrt.people.landmark_ik`, for whole batches, with gradients and few operators: parts with
three landmarks have frames, limbs swing to where they point and twist by the plane of their bend.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from humanrt.geometry.skeleton import MEDIAPIPE_33, SMPL_24, SMPL_PARENTS

__all__ = ["BodyIK"]

_BENT = (0.15, 0.5)  # sine of a bend: below the first its plane is unknown; above the second it is known
_SMALL = 1e-3  # of lengths, in the landmarks' unit: below it directions, and gradients, fade
_SIDES = (("left", 1.0), ("right", -1.0))
_PARTS = ("pelvis", "chest", "head", "left_arm", "right_arm", "left_leg", "right_leg")
_LIMBS = tuple(
    (f"{side}_{first}", f"{side}_{second}", f"{side}_{third}")
    for first, second, third in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
    for side, _ in _SIDES
)
_HINGES = ((0.0, -1.0, 0.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (1.0, 0.0, 0.0))
"""Axes at rest about which `_LIMBS` bend: an elbow to the front, a knee to the back."""
_WORLD = (*_PARTS, "spine1", "spine2", "neck", *(f"{limb[k]}_limb" for limb in _LIMBS for k in (0, 1)))
_FROM = {
    **{"pelvis": "pelvis", "spine1": "spine1", "spine2": "spine2", "spine3": "chest", "neck": "neck", "head": "head"},
    **{
        f"{side}_{joint}": part.format(side=side)
        for side, _ in _SIDES
        for joint, part in (
            ("collar", "chest"),
            *((name, f"{{side}}_{name}_limb") for name in ("shoulder", "elbow", "hip", "knee")),
            *((name, "{side}_arm") for name in ("wrist", "hand")),
            *((name, "{side}_leg") for name in ("ankle", "foot")),
        )
    },
}
"""Joint -> what its world rotation is: of `_WORLD`."""


class BodyIK(nn.Module):
    """Local rotations of SMPL's joints from landmarks.

    Args:
        rest: [33, 3], landmarks of a T-pose in any unit: x to the person's left, y up, z to the front.
    """

    def __init__(self, rest: Tensor) -> None:
        super().__init__()
        rest = rest.float()
        rest = rest / rest.std()  # so that its own small lengths are far from `_SMALL`
        first, second = _frame_axes()
        limbs = torch.cat(
            [
                _weights([({limb[1]: 1.0}, {limb[0]: 1.0}) for limb in _LIMBS]),
                _weights([({limb[2]: 1.0}, {limb[1]: 1.0}) for limb in _LIMBS]),
            ]
        )
        self._keep("weights", torch.cat([first, second, limbs]))
        rest_frames = _frame(first @ rest, second @ rest)
        self._keep("rest_frames", rest_frames.transpose(-1, -2))
        hinges = torch.tensor(_HINGES)
        ends = (limbs @ rest).unflatten(0, (2, len(_LIMBS)))
        self._keep("hinges", hinges)
        self._keep("rest_upper", ends[0] / ends[0].norm(dim=-1, keepdim=True))
        self._keep("rest_limbs", _frame(ends, hinges.expand_as(ends)).transpose(-1, -2))
        self._keep("order", torch.tensor([_WORLD.index(_FROM[joint]) for joint in SMPL_24]))
        self._keep("parents", torch.tensor([max(parent, 0) for parent in SMPL_PARENTS]))

    def _keep(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value, persistent=False)

    def forward(self, points: Tensor) -> Tensor:
        """Landmarks [B, T, 33, 3], any unit and origin -> [B, T, 24, 3, 3]; the root's to the axes of the landmarks."""
        parts = len(_PARTS)
        ways = self.get_buffer("weights") @ points
        frames = _frame(ways[..., :parts, :], ways[..., parts : 2 * parts, :]) @ self.get_buffer("rest_frames")
        pelvis, chest, head = frames[..., 0, :, :], frames[..., 1, :, :], frames[..., 2, :, :]
        mixed = torch.stack([(2 * pelvis + chest) / 3, (pelvis + 2 * chest) / 3, (chest + head) / 2], dim=-3)
        spine = _frame(mixed[..., 0], mixed[..., 1])
        limbs = self._limbs(ways[..., 2 * parts :, :], pelvis, chest)
        world = torch.cat([frames, spine, limbs], dim=-3).index_select(-3, self.get_buffer("order"))
        above = world.index_select(-3, self.get_buffer("parents"))
        local = above.transpose(-1, -2) @ world
        return torch.cat([world[..., :1, :, :], local[..., 1:, :, :]], dim=-3)

    def _limbs(self, ways: Tensor, pelvis: Tensor, chest: Tensor) -> Tensor:
        """World rotations [..., 8, 3, 3] of both parts of each limb; ways [..., 8, 3]: first the upper parts."""
        upper, lower = ways[..., : len(_LIMBS), :], ways[..., len(_LIMBS) :, :]
        across = _cross(upper, lower)
        size = (across * across).sum(-1, keepdim=True).clamp(min=_SMALL**2).sqrt()
        lengths = ((upper * upper).sum(-1, keepdim=True) * (lower * lower).sum(-1, keepdim=True)).clamp(min=_SMALL**2)
        known = ((size / lengths.sqrt() - _BENT[0]) / (_BENT[1] - _BENT[0])).clamp(0, 1)
        # Nearly straight: as little twist as possible, by the shortest arc from where the limb would be at rest.
        above = torch.stack([chest, chest, pelvis, pelvis], dim=-3)
        was = (above @ self.get_buffer("rest_upper")[..., None])[..., 0]
        hinge = (above @ self.get_buffer("hinges")[..., None])[..., 0]
        now = _unit(upper)
        turn = _cross(was, now)
        once = _cross(turn, hinge)
        swung = hinge + once + _cross(turn, once) / (1 + (was * now).sum(-1, keepdim=True)).clamp(min=0.1)
        axis = known * across / size + (1 - known) * swung
        both = torch.stack([upper, lower], dim=-3)
        turned = _frame(both, torch.stack([axis, axis], dim=-3)) @ self.get_buffer("rest_limbs")
        return turned.transpose(-4, -3).flatten(-4, -3)


def _frame_axes() -> tuple[Tensor, Tensor]:
    """Weights [7, 33] of the landmarks in both axes of the frames of `_PARTS`."""
    hips, shoulders = ({f"{side}_{name}": 0.5 for side, _ in _SIDES} for name in ("hip", "shoulder"))
    ears = {"left_ear": 0.5, "right_ear": 0.5}
    face = dict.fromkeys(("nose", "left_eye", "right_eye"), 1 / 3)
    up = (shoulders, hips)
    first = [({"left_hip": 1.0}, {"right_hip": 1.0}), up, ({"left_ear": 1.0}, {"right_ear": 1.0})]
    second = [up, ({"left_shoulder": 1.0}, {"right_shoulder": 1.0}), (face, ears)]
    for side, _ in _SIDES:
        knuckles = {f"{side}_index": 0.5, f"{side}_pinky": 0.5}
        first.append((knuckles, {f"{side}_wrist": 1.0}))
        second.append(({f"{side}_index": 1.0}, {f"{side}_pinky": 1.0}))
    for side, _ in _SIDES:
        first.append(({f"{side}_foot_index": 1.0}, {f"{side}_heel": 1.0}))
        second.append(({f"{side}_knee": 1.0}, {f"{side}_ankle": 1.0}))
    return _weights(first), _weights(second)


def _weights(ways: Sequence[tuple[Mapping[str, float], Mapping[str, float]]]) -> Tensor:
    """[N, 33]: from the mean of some landmarks to that of others."""
    weights = torch.zeros(len(ways), len(MEDIAPIPE_33))
    for row, (end, start) in zip(weights, ways, strict=True):
        for name, value in end.items():
            row[MEDIAPIPE_33.index(name)] += value
        for name, value in start.items():
            row[MEDIAPIPE_33.index(name)] -= value
    return weights


def _unit(vectors: Tensor) -> Tensor:
    return vectors / (vectors * vectors).sum(-1, keepdim=True).clamp(min=_SMALL**2).sqrt()


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat(
        (
            a[..., 1:2] * b[..., 2:3] - a[..., 2:3] * b[..., 1:2],
            a[..., 2:3] * b[..., 0:1] - a[..., 0:1] * b[..., 2:3],
            a[..., 0:1] * b[..., 1:2] - a[..., 1:2] * b[..., 0:1],
        ),
        dim=-1,
    )


def _frame(first: Tensor, second: Tensor) -> Tensor:
    """Columns along ``first``, the part of ``second`` orthogonal to it, and their normal: [..., 3] -> [..., 3, 3]."""
    a = _unit(first)
    b = _unit(second - (a * second).sum(-1, keepdim=True) * a)
    return torch.stack((a, b, _cross(a, b)), dim=-1)
