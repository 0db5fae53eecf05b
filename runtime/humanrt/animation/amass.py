"""AMASS: motion as arrays of SMPL-X parameters, as programs around SMPL read it. The world is z up."""

from __future__ import annotations

import io

import numpy as np

from humanrt.animation.take import Take
from humanrt.geometry.bones import SMPLX_BONES
from humanrt.geometry.humanoid import skeleton_of
from humanrt.geometry.rotation import vectors_from_matrices
from humanrt.geometry.skeleton import SMPLX_55, Array

__all__ = ["amass"]

_CAMERA_TO_Z_UP: Array = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
_BETAS = 16


def amass(take: Take, fps: float) -> bytes:
    """Return a take as an AMASS archive (SMPL-X), at evenly spaced times.

    ``trans`` is where the pelvis is. SMPL-X programs show the body some 0.35 m beside it, by a constant: the template's
    own pelvis is not at its origin, and bundles do not hold the template. ``betas`` are those of SMPL-X's people; of
    Anny's they are 0, the average body.
    """
    take = take.at_rate(fps)
    skeleton = skeleton_of(take.tree, "smpl")
    local = vectors_from_matrices(skeleton.local(skeleton.turns(take.local, _CAMERA_TO_Z_UP)))
    poses = np.zeros((len(take.t), len(SMPLX_55), 3))
    for k, joint in enumerate(skeleton.joints):
        poses[:, SMPLX_55.index(joint)] = local[:, k]
    flat = poses.reshape(len(poses), -1)
    betas = np.zeros(_BETAS)
    if take.tree.names == SMPLX_BONES:
        betas[: min(_BETAS, len(take.shape))] = take.shape[:_BETAS]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        gender=np.array("neutral"),
        surface_model_type=np.array("smplx"),
        mocap_frame_rate=np.array(float(fps)),  # the name in SMPL-X files; those of SMPL-H have the next
        mocap_framerate=np.array(float(fps)),
        mocap_time_length=np.array(len(poses) / fps),
        trans=take.root @ _CAMERA_TO_Z_UP.T,
        poses=flat,
        root_orient=flat[:, :3],
        pose_body=flat[:, 3:66],
        pose_jaw=flat[:, 66:69],
        pose_eye=flat[:, 69:75],
        pose_hand=flat[:, 75:],
        betas=betas,
        num_betas=np.array(_BETAS),
    )
    return buffer.getvalue()
