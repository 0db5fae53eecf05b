"""BVH: a skeleton and its motion as text. Centimetres and degrees; y up."""

from __future__ import annotations

import numpy as np

from humanrt.animation.take import Take
from humanrt.geometry.humanoid import CAMERA_TO_GLTF, Skeleton
from humanrt.geometry.skeleton import Array

__all__ = ["bvh", "euler_zxy"]

_CM = 100.0
_TIP = 3.0  # cm: length of the bones at the ends


def bvh(take: Take, skeleton: Skeleton, fps: float) -> bytes:
    """Return a take as BVH, at evenly spaced times: BVH has no time stamps.

    Joints are ``Z X Y``; the root also has positions.
    """
    take = take.at_rate(fps)
    joints = skeleton.rest(take.rest) * _CM
    children = [[c for c, above in enumerate(skeleton.parents) if above == k] for k in range(len(joints))]
    lines = ["HIERARCHY"]
    order: list[int] = []

    def write(joint: int, depth: int) -> None:
        tab, parent = "\t" * depth, skeleton.parents[joint]
        order.append(joint)
        channels = "Zrotation Xrotation Yrotation"
        position = "6 Xposition Yposition Zposition " if parent < 0 else "3 "
        lines.extend(
            [
                f"{tab}{'ROOT' if parent < 0 else 'JOINT'} {skeleton.joints[joint]}",
                f"{tab}{{",
                f"{tab}\tOFFSET {_numbers(joints[joint] - joints[max(parent, 0)])}",
                f"{tab}\tCHANNELS {position}{channels}",
            ]
        )
        for child in children[joint]:
            write(child, depth + 1)
        if not children[joint]:
            along = joints[joint] - joints[max(parent, 0)]
            tip = along / max(float(np.linalg.norm(along)), 1e-9) * _TIP
            lines.extend([f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\tOFFSET {_numbers(tip)}", f"{tab}\t}}"])
        lines.append(f"{tab}}}")

    write(0, 0)
    angles = np.degrees(euler_zxy(skeleton.local(skeleton.turns(take.local, CAMERA_TO_GLTF))))
    rows = np.concatenate([take.root @ CAMERA_TO_GLTF.T * _CM, angles[:, order].reshape(len(take.t), -1)], axis=1)
    lines += ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {1 / fps:.7f}", *map(_numbers, rows)]
    return ("\n".join(lines) + "\n").encode()


def _numbers(values: Array) -> str:
    return " ".join(f"{value:.5f}" for value in values + 0.0)


def euler_zxy(R: Array) -> Array:
    """Return the angles z, x, y [F, ..., 3] rad of rotations R = Rz Rx Ry [F, ..., 3, 3], without jumps in time."""
    x = np.arcsin(np.clip(R[..., 2, 1], -1.0, 1.0))
    # Where cos x is 0, z and y turn about the same axis, and y is taken as 0.
    locked = np.abs(R[..., 2, 1]) > 1 - 1e-9
    z = np.where(locked, np.arctan2(R[..., 1, 0], R[..., 0, 0]), np.arctan2(-R[..., 0, 1], R[..., 1, 1]))
    y = np.where(locked, 0.0, np.arctan2(-R[..., 2, 0], R[..., 2, 2]))
    angles = np.stack([z, x, y], axis=-1)
    for f in range(1, len(angles)):  # the same rotation two ways; the one nearer to the frame before
        a = angles[f]
        other = np.stack([a[..., 0] + np.pi, np.pi - a[..., 1], a[..., 2] + np.pi], axis=-1)
        near = [one + 2 * np.pi * np.round((angles[f - 1] - one) / (2 * np.pi)) for one in (a, other)]
        far = [np.abs(one - angles[f - 1]).sum(axis=-1, keepdims=True) for one in near]
        angles[f] = np.where(far[0] <= far[1], near[0], near[1])
    return angles
