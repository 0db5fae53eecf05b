"""Poses before and after an edit, as bodies that stand side by side on one floor: for files and pictures."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.animation.glb import animated_glb
from humanrt.animation.motion import take_of_motion
from humanrt.animation.take import Take
from humanrt.bundle import load_bundle
from humanrt.drawing.colours import colour_of
from humanrt.drawing.mesh_view import MeshView
from humanrt.editing.body import Body, about
from humanrt.geometry.humanoid import skeleton_of
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt.motion.motion import Motion
from humanrt.people.rig import BodyRig, open_rig

__all__ = ["edited_glb", "edited_picture"]

Array = NDArray[np.float64]

_BODY = "landmarks"  # the bundle whose body is shown
_APART = 1.3  # m
_FAR, _SIZE = 5.0, (900, 760)  # m, px of a picture
_PAPER, _LINE = (250, 250, 250), (150, 150, 150)
_CAMERA_HEIGHT = 1.0  # m above the floor
_ASIDE = 30.0  # degrees that a body in a picture looks to its left of the camera
_SOLES = {"left_ankle": 0.08, "right_ankle": 0.08, "left_foot": 0.03, "right_foot": 0.03}  # m, of joints above a sole


def edited_glb(before: Array, after: Array, fps: float) -> bytes:
    """Return a binary glTF file: on the left the poses before, beside them those after, feet on one floor.

    Args:
        before, after: [T, 22, 3, 3] in a camera's axes.
        fps: poses per second.
    """
    with open_rig(load_bundle(_BODY, task="people")) as rig:
        takes = _takes(before, after, fps, rig)
        return animated_glb(takes, skeleton_of(rig.tree), rig)


def edited_picture(before: Array, after: Array, words: str) -> bytes:
    """Return a PNG of the first pose before and after, seen from the front, under the words.

    Raises:
        HumanrtError: there is no OpenGL, or no moderngl.
    """
    width, height = _SIZE
    with open_rig(load_bundle(_BODY, task="people")) as rig, MeshView() as view:
        turn = about(np.array([0.0, 1.0, 0.0]), _ASIDE - Body(before[0]).angle("facing"))
        takes = _takes(_turned(before[:1], turn), _turned(after[:1], turn), 1.0, rig)
        meshes = []
        for take in takes:
            vertices, joints = rig.pose(take.shape, take.local[0])
            placed = vertices - rig.bone_heads(joints)[0] + take.root[0]
            meshes.append(np.asarray(placed, np.float32))
        focal = 1.15 * _FAR * width / 4.2
        K = np.array([[focal, 0, width / 2], [0, focal, height * 0.52], [0, 0, 1]])
        image = np.full((height, width, 3), _PAPER, np.uint8)
        floor = round(K[1, 2] + focal * _CAMERA_HEIGHT / _FAR)
        cv2.line(image, (0, floor), (width, floor), _LINE, 2)
        image = view.draw(image, meshes, rig.faces, K, [colour_of(1), colour_of(2)], alpha=1.0)
    cv2.putText(image, _plain(words), (12, 28), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (30, 30, 30), 1, cv2.LINE_AA)
    done, data = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    assert done
    return bytes(data)


def _turned(poses: Array, turn: Array) -> Array:
    """Return poses [T, 22, 3, 3] turned by a rotation of a world with y up."""
    flip = np.diag([1.0, -1.0, -1.0])
    turned = poses.copy()
    turned[:, 0] = flip @ turn @ flip @ turned[:, 0]
    return turned


def _plain(words: str) -> str:
    """Return words as OpenCV's fonts have them."""
    return " ".join(words.split()).encode("ascii", "replace").decode()[:74]


def _takes(before: Array, after: Array, fps: float, rig: BodyRig) -> list[Take]:
    return [
        take_of_motion(_standing(poses, sign * _APART / 2, fps), rig, id=number, placed=True)
        for number, (poses, sign) in enumerate(((before, -1), (after, 1)), start=1)
    ]


def _standing(poses: Array, aside: float, fps: float) -> Motion:
    """Return poses as a motion in place, the lowest sole of each on the floor."""
    heights = [-min(Body(pose).joint(joint)[1] - under for joint, under in _SOLES.items()) for pose in poses]
    where: NDArray[Any] = np.array([[aside, _CAMERA_HEIGHT - height, _FAR] for height in heights])
    return Motion(poses.astype(np.float32), where.astype(np.float32), fps, SMPLX_BODY, up="-y")
