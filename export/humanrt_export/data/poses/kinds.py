"""The networks that can be trained: their inputs and outputs, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import HumanrtError, choices
from humanrt.geometry.skeleton import (
    H36M_17,
    HAND_16,
    HAND_16_PARENTS,
    MEDIAPIPE_33,
    SMPL_24,
    SMPL_PARENTS,
    SMPL_REST,
    SMPLX_BODY,
    SMPLX_BODY_PARENTS,
    other_sides,
)
from humanrt.people.body_points import rest_landmarks
from humanrt_export.data.poses.clips import Clip
from humanrt_export.data.poses.dataset import Corruption
from humanrt_export.data.poses.sight import sighted, stacked
from humanrt_export.data.poses.turning import EXTRA, as_points, turned
from humanrt_export.networks.posebert import StreamingConfig
from humanrt_export.synthetic.hand_model import load_arm
from humanrt_export.synthetic.hand_repertoire import hand_rest

__all__ = ["KINDS", "Kind", "as_seen_by", "h36m_from_mediapipe"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Kind:
    """One of the networks.

    Attributes:
        name: name on the command line; `input` is that of its bundles' settings.
        body: ``"hand"`` or ``"body"``: `settings.kind`.
        config: the network's configuration; width and depth are set by the user.
        joint_names, parents: tree of the output rotations.
        rest_metres: [J, 3] m, joints at rest.
        size: m, the length that `StreamingConfig.lengths` has in the rest pose.
        clip: converts a stored clip to this network's inputs and outputs.
        flips: permutations of keypoints and joints for mirroring; None if mirroring is not possible.
        corruption: corruption of its windows.
        noise_clip: converts a stored clip to the form to which the noise model is fitted.
    """

    name: str
    body: str
    config: StreamingConfig
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    rest_metres: Array
    size: float
    clip: Callable[[Clip], Clip]
    flips: tuple[tuple[int, ...], tuple[int, ...]] | None
    corruption: Corruption
    noise_clip: Callable[[Clip], Clip]

    @property
    def input(self) -> str:
        """`settings.input` of its bundles: the kind of keypoints. The graph's inputs show whether there are rays."""
        return self.name.removesuffix("rays")

    @property
    def noise_points(self) -> int:
        """Number of points of its noise model: of keypoints with rays twice as many; of rotations, see `turning`."""
        if self.config.source == "rotations":
            return self.config.joints + EXTRA
        return self.config.points * (2 if self.config.rays else 1)

    @property
    def frame(self) -> tuple[int, ...]:
        """Shape of what is observed in a frame."""
        return (self.config.points, 3) if self.config.source == "keypoints" else (self.config.joints, 3, 3)

    @property
    def rest(self) -> Array:
        """Joints at rest [J, 3], in units of the network."""
        return np.asarray(self.rest_metres / self.size)


def h36m_from_mediapipe(points: Array) -> Array:
    """Approximate the 17 joints of Human3.6M from the 33 landmarks: [..., 33, D] -> [..., 17, D].

    `neck` is the nose; the top of the head lies beyond the ears by 0.6 of the distance from shoulders to ears.
    """
    at = {name: points[..., index, :] for index, name in enumerate(MEDIAPIPE_33)}
    hips = (at["left_hip"] + at["right_hip"]) / 2
    shoulders = (at["left_shoulder"] + at["right_shoulder"]) / 2
    ears = (at["left_ear"] + at["right_ear"]) / 2
    made = {
        "hip": hips,
        "spine": (hips + shoulders) / 2,
        "thorax": shoulders,
        "neck": at["nose"],
        "head": ears + 0.6 * (ears - shoulders),
    }
    return np.stack([(at | made)[name] for name in H36M_17], axis=-2)


def _same(clip: Clip) -> Clip:
    return clip


def _h36m(clip: Clip) -> Clip:
    """Convert a clip with 33 landmarks to the 17-joint skeleton, including its observations."""
    changed: dict[str, Array] = dict(clip)
    if "keypoints_h36m" in clip:
        changed["keypoints"] = clip["keypoints_h36m"]
        changed["observed"] = h36m_from_mediapipe(clip["observed"])
        if "confidence" in clip:
            changed["confidence"] = h36m_from_mediapipe(clip["confidence"][..., None])[..., 0].clip(0, 1)
    return changed


def _body(name: str, points: tuple[str, ...], origin: tuple[str, ...], clip: Callable[[Clip], Clip]) -> Kind:
    sides = ("left", "right")
    lengths = tuple((points.index(f"{side}_shoulder"), points.index(f"{side}_hip")) for side in sides)
    rest = {joint: SMPL_REST[index] for index, joint in enumerate(SMPL_24)}
    return Kind(
        name=name,
        body="body",
        config=StreamingConfig(
            points=len(points),
            joints=len(SMPL_24),
            origin=tuple(points.index(point) for point in origin),
            lengths=lengths,
        ),
        joint_names=SMPL_24,
        parents=SMPL_PARENTS,
        rest_metres=SMPL_REST,
        size=float(np.mean([np.linalg.norm(rest[f"{side}_shoulder"] - rest[f"{side}_hip"]) for side in sides])),
        clip=clip,
        flips=(other_sides(points), other_sides(SMPL_24)),
        # People stand upright and cameras are nearly level; clean motion may face any direction.
        corruption=Corruption(turn=0.25, tilt=0.08, yaw=float(np.pi)),
        noise_clip=clip,
    )


def _rest() -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in rest_landmarks().round(4).tolist())


def _sighted() -> Kind:
    """Return the kind of MediaPipe's landmarks with their rays."""
    plain = _body("mediapipe33", MEDIAPIPE_33, ("left_hip", "right_hip"), sighted)
    return replace(
        plain,
        name="mediapipe33rays",
        config=replace(plain.config, rays=True, spread=True, rest=_rest()),
        # Landmarks are upright whatever the camera's roll; cameras may look from anywhere.
        corruption=Corruption(turn=0.25, tilt=0.13, yaw=float(np.pi), upended=0.15, sightless=0.15, lens=0.25),
        noise_clip=stacked,
    )


def _turned() -> Kind:
    """Return the kind of the body's rotations, those of SMPL-X's body without hands: of Anny's people too."""
    joints = len(SMPLX_BODY)
    rest = SMPL_REST[:joints]
    sides = [[SMPLX_BODY.index(f"{side}_{joint}") for joint in ("shoulder", "hip")] for side in ("left", "right")]
    return Kind(
        name="smplx22",
        body="body",
        config=StreamingConfig(
            source="rotations", points=0, joints=joints, origin=(), lengths=(), readers=12, blend=True
        ),
        joint_names=SMPLX_BODY,
        parents=SMPLX_BODY_PARENTS,
        rest_metres=rest,
        size=float(np.mean([np.linalg.norm(rest[shoulder] - rest[hip]) for shoulder, hip in sides])),
        clip=partial(turned, joints=joints),
        flips=((), other_sides(SMPLX_BODY)),
        # Who was never seen lying or upside down is put upright by the network, as an error of the front-end.
        corruption=Corruption(bursts=1.5, turn=0.25, tilt=0.13, yaw=float(np.pi), upended=0.25),
        noise_clip=partial(as_points, joints=joints),
    )


def _hand() -> Kind:
    arm = load_arm("right")
    span = np.linalg.norm(arm.keypoint_rest[[5, 9, 13, 17]] - arm.keypoint_rest[0], axis=-1).mean()
    return Kind(
        name="hand21",
        body="hand",
        config=StreamingConfig(),
        joint_names=HAND_16,
        parents=HAND_16_PARENTS,
        rest_metres=np.asarray(hand_rest(arm)),
        size=float(span),
        clip=_same,
        flips=None,
        corruption=Corruption(),
        noise_clip=_same,
    )


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        _hand(),
        _body("mediapipe33", MEDIAPIPE_33, ("left_hip", "right_hip"), _same),
        _sighted(),
        _body("h36m17", H36M_17, ("hip",), _h36m),
        _turned(),
    )
}


def as_seen_by(kind: str | None, clips: Sequence[Clip]) -> list[Clip]:
    """Convert clips to the form to which a noise model for one of `KINDS` is fitted; None: unchanged."""
    if kind is None:
        return list(clips)
    if kind not in KINDS:
        raise HumanrtError(f"--input {kind}: no such network; choose one of: {choices(KINDS)}")
    return [KINDS[kind].noise_clip(clip) for clip in clips]
