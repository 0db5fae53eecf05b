"""SMPL-X as a small torch module: rotations, shape, expression and translation -> vertices and joints.

It follows the papers (Loper et al., SMPL, 2015; Pavlakos et al., SMPL-X, 2019). The data is the user's own
`SMPLX_NEUTRAL.npz` or `.pkl`, under the licence that they accepted; it is read without running any code in it.
Units: metres. Camera axes: x right, y down, z forward.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from humanrt.bundle.unpickle import NpzArrays, UnsafePickleError, as_array, load_pickle
from humanrt.errors import HumanrtError
from humanrt_export.archives import damage
from humanrt_export.bodies.chain import BoneChain, pick
from humanrt_export.bodies.smplx_sizes import EXPRESSIONS, ROTATIONS

__all__ = ["JOINT_NAMES", "BodyFileError", "BodyOutput", "SmplxBody", "SmplxData", "find_smplx", "load_smplx"]

JOINTS = 55
_HEAD = 15
# Expressions follow 300 shape directions in the full file, 10 in the small one.
_FULL_DIRECTIONS, _FULL_EXPRESSION, _SMALL_EXPRESSION = 400, 300, 10
_LANDMARKS = 51
_SUM_ERROR = 0.05  # tolerance for rows that must sum to 1

_FINGERS = ("index", "middle", "pinky", "ring", "thumb")
_TREE_NAMES = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle"),
    *("spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder"),
    *("right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "jaw", "left_eye", "right_eye"),
    *(f"{side}_{finger}{i}" for side in ("left", "right") for finger in _FINGERS for i in (1, 2, 3)),
)
# Joints that are single vertices of the SMPL-X mesh, in the order that users of its joints expect.
_SURFACE_JOINTS = {
    **{"nose_tip": 9120, "right_eye_surface": 9929, "left_eye_surface": 9448, "right_ear": 616, "left_ear": 6},
    **{"left_big_toe": 5770, "left_small_toe": 5780, "left_heel": 8846},
    **{"right_big_toe": 8463, "right_small_toe": 8474, "right_heel": 8635},
    **{"left_thumb_tip": 5361, "left_index_tip": 4933, "left_middle_tip": 5058},
    **{"left_ring_tip": 5169, "left_pinky_tip": 5286},
    **{"right_thumb_tip": 8079, "right_index_tip": 7669, "right_middle_tip": 7794},
    **{"right_ring_tip": 7905, "right_pinky_tip": 8022},
}
JOINT_NAMES = (*_TREE_NAMES, *_SURFACE_JOINTS, *(f"face_{i}" for i in range(_LANDMARKS)))
"""Names of the 127 joints: 55 of the kinematic tree, 21 on the surface, 51 face landmarks."""

# Rows of the pose directions (joint - 1) in the order of the 53 rotations without the root: 21 body, 30 hands, jaw.
_CORRECTIVE_JOINTS = (*range(21), *range(24, 54), 21)


class BodyFileError(HumanrtError):
    """A body model file is missing or is not SMPL-X."""


@dataclass(frozen=True)
class SmplxData:
    """The arrays of a SMPL-X file that the body needs.

    Attributes:
        template: [V, 3] m.
        directions: [V, 3, betas + 10] m per unit of shape, then of expression.
        pose_directions: [V, 3, 486] m per entry of (R - I) of joints 1..54, row-major.
        regressor: [55, V].
        weights: [V, 55].
        parents: 55 parents, -1 for the root.
        faces: [F, 3] int64.
        landmark_faces: [51] int64.
        landmark_weights: [51, 3] barycentric.
    """

    template: NDArray[np.float64]
    directions: NDArray[np.float64]
    pose_directions: NDArray[np.float64]
    regressor: NDArray[np.float64]
    weights: NDArray[np.float64]
    parents: tuple[int, ...]
    faces: NDArray[np.int64]
    landmark_faces: NDArray[np.int64]
    landmark_weights: NDArray[np.float64]


class BodyOutput(NamedTuple):
    """Meshes in camera space.

    Attributes:
        vertices: [..., V, 3] m.
        joints: [..., 127, 3] m, `JOINT_NAMES`.
    """

    vertices: Tensor
    joints: Tensor


def find_smplx(folder: str | Path) -> Path:
    """Find `SMPLX_NEUTRAL.npz` (or `.pkl`) in ``folder`` or its `smplx` folder; ``folder`` itself if it is a file."""
    folder = Path(folder)
    if folder.is_file():
        return folder
    for place in (folder / "smplx", folder):
        for name in ("SMPLX_NEUTRAL.npz", "SMPLX_NEUTRAL.pkl"):
            if (place / name).is_file():
                return place / name
    raise BodyFileError(
        f"{folder}: no smplx/SMPLX_NEUTRAL.npz or .pkl; get it at https://smpl-x.is.tue.mpg.de and give its folder"
    )


def load_smplx(path: str | Path, num_betas: int = 10) -> SmplxData:
    """Read a SMPL-X file, `.npz` or `.pkl`. BodyFileError names what is missing or misshapen."""
    path = Path(path)
    try:
        if damaged := damage(path):
            raise BodyFileError(f"{path}: damaged: {damaged}; download it again")
        if path.suffix == ".npz":
            content: Mapping[str, Any] = NpzArrays(path)
        else:
            with path.open("rb") as stream:
                content = load_pickle(stream, path)
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise BodyFileError(f"{path}: cannot be read ({error}); download it again") from error
    if not isinstance(content, Mapping):
        raise BodyFileError(f"{path}: holds a {type(content).__name__}, not a SMPL-X model")

    def member(name: str, *shape: int | None) -> NDArray[Any]:
        """Return an array of the file, checked for this shape; None matches any size."""
        if name not in content:
            raise BodyFileError(f"{path}: `{name}` is missing; not a SMPL-X model file")
        try:
            array = as_array(content[name])
        except UnsafePickleError:
            raise
        except Exception as error:
            raise BodyFileError(f"{path}: `{name}` cannot be read ({error}); download it again") from error
        fits = len(array.shape) == len(shape) and all(
            want in (None, have) for want, have in zip(shape, array.shape, strict=True)
        )
        if not fits or array.dtype.kind not in "fiu":
            wanted = ["any" if size is None else size for size in shape]
            raise BodyFileError(f"{path}: `{name}` is {array.dtype} {list(array.shape)}; it must be numbers {wanted}")
        if not np.isfinite(array).all():
            what = "NaN" if np.isnan(array).any() else "infinity"
            raise BodyFileError(f"{path}: `{name}` holds {what}; download it again")
        return array

    def shares(name: str, *shape: int) -> NDArray[Any]:
        """Return an array whose rows must sum to 1: if they do not, a part of the file was lost."""
        array = member(name, *shape)
        if np.abs(array.sum(1) - 1).max() > _SUM_ERROR:
            raise BodyFileError(f"{path}: `{name}` is damaged: its rows do not sum to 1; download it again")
        return array

    template = member("v_template", None, 3)
    count = len(template)
    directions = member("shapedirs", count, 3, None)
    expression = _FULL_EXPRESSION if directions.shape[-1] >= _FULL_DIRECTIONS else _SMALL_EXPRESSION
    if num_betas > expression or directions.shape[-1] < expression + EXPRESSIONS:
        raise BodyFileError(
            f"{path}: `shapedirs` has {directions.shape[-1]} directions, too few for {num_betas} shape coefficients "
            f"and {EXPRESSIONS} expressions; use the file with {_FULL_DIRECTIONS}"
        )
    kept = (*range(num_betas), *range(expression, expression + EXPRESSIONS))
    parents = member("kintree_table", 2, JOINTS)[0].astype(np.int64).copy()
    parents[0] = -1
    if not all(0 <= parent < joint for joint, parent in enumerate(parents.tolist()) if joint):
        raise BodyFileError(f"{path}: `kintree_table` is not a tree whose parents come first")
    faces = member("f", None, 3).astype(np.int64)
    landmark_faces = member("lmk_faces_idx", _LANDMARKS).astype(np.int64)
    if faces.min() < 0 or faces.max() >= count or landmark_faces.min() < 0 or landmark_faces.max() >= len(faces):
        raise BodyFileError(f"{path}: `f` or `lmk_faces_idx` points outside the mesh")
    if count <= max(_SURFACE_JOINTS.values()):
        raise BodyFileError(f"{path}: `v_template` has {count} vertices; SMPL-X has 10475")
    return SmplxData(
        template=template.astype(np.float64),
        directions=directions[..., kept].astype(np.float64),
        pose_directions=member("posedirs", count, 3, 9 * (JOINTS - 1)).astype(np.float64),
        regressor=shares("J_regressor", JOINTS, count).astype(np.float64),
        weights=shares("weights", count, JOINTS).astype(np.float64),
        parents=tuple(parents.tolist()),
        faces=faces,
        landmark_faces=landmark_faces,
        landmark_weights=member("lmk_bary_coords", _LANDMARKS, 3).astype(np.float64),
    )


class SmplxBody(nn.Module):
    """Compute `BodyOutput` from parameters of people by linear blend skinning of SMPL-X.

    The root's rotation turns the body about its pelvis; then the body is moved so that its head joint is where
    the network detected it. Everything independent of the input is computed once, in float64: joints are affine
    in the coefficients, so neither the regressor nor the eyes' pose directions are kept.
    """

    template: Tensor
    blend: Tensor
    joint_template: Tensor
    joint_directions: Tensor
    weights: Tensor
    landmark_vertices: Tensor
    landmark_weights: Tensor
    surface_vertices: Tensor
    eyes: Tensor
    above: Tensor

    def __init__(self, data: SmplxData) -> None:
        super().__init__()
        count = len(data.template)
        self.coefficients = data.directions.shape[-1]
        # [betas + 10 + 468, 3 V]: one product for shape, expression and pose correctives. Rows of correctives in the
        # order of the 53 rotations (the eyes never rotate); columns: x of all vertices, then y, then z.
        correctives = data.pose_directions.reshape(count, 3, JOINTS - 1, 9)[:, :, _CORRECTIVE_JOINTS]
        blend = np.concatenate((data.directions, correctives.reshape(count, 3, -1)), axis=-1)
        arrays: dict[str, NDArray[Any]] = {
            "template": data.template.T.reshape(-1),
            "blend": blend.transpose(2, 1, 0).reshape(-1, 3 * count),
            "joint_template": data.regressor @ data.template,
            "joint_directions": np.einsum("jv,vck->kjc", data.regressor, data.directions).reshape(-1, 3 * JOINTS),
            "weights": data.weights.T,
            "landmark_weights": data.landmark_weights,
        }
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array, np.float32)))
        indices: dict[str, ArrayLike] = {
            "landmark_vertices": data.faces[data.landmark_faces].reshape(-1),
            "surface_vertices": list(_SURFACE_JOINTS.values()),
        }
        self.chain = BoneChain(data.parents)
        self.register_buffer("above", torch.tensor(data.parents[1:]), persistent=False)
        for name, values in indices.items():
            self.register_buffer(name, torch.from_numpy(np.asarray(values, np.int64)))
        self.register_buffer("eyes", torch.eye(3).expand(2, 3, 3).clone())

    def forward(self, rotations: Tensor, shape: Tensor, expression: Tensor, translation: Tensor) -> BodyOutput:
        """Pose bodies.

        Args:
            rotations: [..., 53, 3, 3]: root (relative to the camera), 21 body, 15 + 15 hands, jaw.
            shape: [..., betas].
            expression: [..., 10].
            translation: [..., 3] m, camera space: where the head joint is.
        """
        people = rotations.shape[:-3]
        rotations = rotations.reshape(-1, ROTATIONS, 3, 3)
        coefficients = torch.cat((shape, expression), dim=-1).reshape(-1, self.coefficients)

        correctives = (rotations[:, 1:] - self.eyes[:1]).flatten(1)
        rest = torch.cat((coefficients, correctives), dim=-1) @ self.blend + self.template
        joints = (coefficients @ self.joint_directions).unflatten(-1, (JOINTS, 3)) + self.joint_template

        eyes = self.eyes.expand(len(rotations), 2, 3, 3)
        local = torch.cat((rotations[:, :22], rotations[:, 52:], eyes, rotations[:, 22:52]), dim=1)
        offsets = torch.cat((joints[:, :1], joints[:, 1:] - pick(joints, self.above)), dim=1)
        turns, posed = self.chain(local, offsets)
        posed = posed + (translation.reshape(-1, 1, 3) - posed[:, _HEAD : _HEAD + 1])
        vertices = self._skin(rest.unflatten(-1, (3, -1)), turns, joints, posed)

        landmarks = pick(vertices, self.landmark_vertices).unflatten(1, (_LANDMARKS, 3))
        landmarks = (landmarks * self.landmark_weights[..., None]).sum(dim=2)
        points = torch.cat((posed, pick(vertices, self.surface_vertices), landmarks), dim=1)
        return BodyOutput(vertices.reshape(*people, -1, 3), points.reshape(*people, -1, 3))

    def _skin(self, rest: Tensor, turns: Tensor, joints: Tensor, posed: Tensor) -> Tensor:
        """Skin rest vertices [N, 3, V] by the motion of every joint; returns vertices [N, V, 3]."""
        moves = posed[..., None] - turns @ joints[..., None]
        transforms = torch.cat((turns, moves), dim=-1).flatten(2).transpose(1, 2)
        blended = (transforms @ self.weights).unflatten(1, (3, 4))
        x, y, z = rest[:, None, 0], rest[:, None, 1], rest[:, None, 2]
        skinned = blended[:, :, 0] * x + blended[:, :, 1] * y + blended[:, :, 2] * z + blended[:, :, 3]
        return skinned.transpose(1, 2)
