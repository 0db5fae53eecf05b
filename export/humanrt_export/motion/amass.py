"""AMASS and SMPL-X motions (.npz) as users bring them. Neither the data nor the body models come with humanrt.

Read: `poses` [T, 3 J] axis-angle of 22, 24, 52 (SMPL-H), 55 (SMPL-X) joints, `trans` [T, 3] m, and
`mocap_framerate` or `mocap_frame_rate`. AMASS's world is z up; it is rotated to y up. `trans` is used as the
pelvis position: the pelvis lies a few decimetres beside it, by an offset that only the body model knows.
"""

from __future__ import annotations

import io
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.rotation import matrices_from_vectors
from humanrt_export.motion.clip import Motion, MotionError
from humanrt_export.npz import read_npz

__all__ = ["parse_amass"]

_JOINTS = {22: "SMPL-X's body", 24: "SMPL", 52: "SMPL-H", 55: "SMPL-X"}
_MAX_BYTES = 1 << 29  # a day of motion
_RATES = ("mocap_framerate", "mocap_frame_rate", "fps")
# x right, y away, z up -> x right, y up, z towards.
_Z_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


def parse_amass(content: bytes, source: str = "motion", subject: str = "", up: Literal["y", "z"] = "z") -> Motion:
    """Read an AMASS or SMPL-X motion; ``up`` is the axis that points up in its world.

    Fingers, jaw and eyes are left out; joints 22 and 23 of SMPL (bases of the hands) too where there are hands.
    """
    try:
        wanted = ("poses", "root_orient", "pose_body", "trans", *_RATES)
        data = read_npz(io.BytesIO(content), wanted, max_bytes=_MAX_BYTES)
    except (ValueError, OSError) as error:
        raise MotionError(
            f"{source}: not a readable .npz ({error}); AMASS's motions are .npz without pickles"
        ) from None
    poses = _poses(data, source)
    trans = _numbers(data, "trans", source) if "trans" in data else np.zeros((len(poses), 3))
    if trans.shape != (len(poses), 3):
        raise MotionError(f"{source}: `trans` is {list(trans.shape)}, expected [{len(poses)}, 3]")
    rate = next((key for key in _RATES if key in data), None)
    if rate is None:
        raise MotionError(f"{source}: it has no frame rate; add `mocap_framerate` (frames per second)")
    fps = _numbers(data, rate, source)
    if fps.size != 1 or not fps.item() > 0:
        raise MotionError(f"{source}: `{rate}` must be one number above 0")
    joints = poses.shape[1]
    rotations = np.broadcast_to(np.eye(3), (len(poses), 24, 3, 3)).copy()
    kept = 24 if joints == 24 else 22
    rotations[:, :kept] = matrices_from_vectors(poses[:, :kept])
    if up == "z":
        rotations[:, 0] = _Z_UP @ rotations[:, 0]
        trans = trans @ _Z_UP.T
    return Motion(fps.item(), trans, rotations, source, PurePosixPath(source).stem, subject)


def _poses(data: dict[str, NDArray[Any]], source: str) -> NDArray[np.float64]:
    """Return the poses [T, J, 3] rad."""
    if "poses" in data:
        poses = _numbers(data, "poses", source)
    elif "root_orient" in data and "pose_body" in data:
        parts = [_numbers(data, key, source) for key in ("root_orient", "pose_body")]
        if any(part.ndim != 2 for part in parts) or len(parts[0]) != len(parts[1]):
            raise MotionError(f"{source}: `root_orient` and `pose_body` must be [T, 3] and [T, 63]")
        poses = np.concatenate(parts, axis=1)
    else:
        raise MotionError(f"{source}: it has no `poses`; an AMASS or SMPL-X motion has poses, trans, mocap_framerate")
    if poses.ndim == 3 and poses.shape[2] == 3:
        poses = poses.reshape(len(poses), -1)
    if poses.ndim != 2 or poses.shape[1] // 3 not in _JOINTS or poses.shape[1] % 3 or not len(poses):
        known = ", ".join(f"{3 * count} ({name})" for count, name in _JOINTS.items())
        raise MotionError(f"{source}: `poses` is {list(poses.shape)}, expected [T, N] with N of {known}")
    return poses.reshape(len(poses), -1, 3)


def _numbers(data: dict[str, NDArray[Any]], key: str, source: str) -> NDArray[np.float64]:
    try:
        values = np.asarray(data[key], np.float64)
    except (TypeError, ValueError):
        raise MotionError(f"{source}: `{key}` holds no numbers") from None
    if not np.isfinite(values).all():
        raise MotionError(f"{source}: `{key}` holds numbers that are not finite; cut those frames out")
    return values
