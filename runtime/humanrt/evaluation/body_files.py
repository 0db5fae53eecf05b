"""The user's own SMPL and SMPL-X files, for data sets whose truth is their parameters: numpy only.

The body is that of the papers (Loper et al., SMPL, 2015; Pavlakos et al., SMPL-X, 2019): shape and pose move a
template, joints are regressed from the shaped template, and vertices follow the bones. No code of a file is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle.unpickle import NpzArrays, as_array, load_pickle
from humanrt.errors import SourceError
from humanrt.geometry.rotation import matrices_from_vectors

__all__ = ["BodyFile", "BodyFiles"]

Array = NDArray[np.float64]

Model = Literal["smpl", "smplx"]
_JOINTS = {"smpl": 24, "smplx": 55}
_GENDERS = ("neutral", "male", "female")


@dataclass(frozen=True)
class BodyFile:
    """One body: V vertices, J joints.

    Attributes:
        template: [V, 3] m.
        shapes: [V, 3, S] m per unit of shape.
        corrections: [V, 3, 9 (J - 1)] m per entry of R - I of the joints but the root.
        regressor: [J, V].
        weights: [V, J].
        parents: [J], -1 for the root.
    """

    template: Array
    shapes: Array
    corrections: Array
    regressor: Array
    weights: Array
    parents: tuple[int, ...]

    @classmethod
    def load(cls, path: Path, model: Model) -> BodyFile:
        """Load ``.npz`` or ``.pkl``. SourceError if it is not of the model; UnsafePickleError if it is no data."""
        try:
            members: Mapping[str, Any]
            if path.suffix == ".npz":
                members = NpzArrays(path)
            else:
                with path.open("rb") as stream:
                    members = load_pickle(stream, path)
            named = {
                name: as_array(members[name]).astype(np.float64)
                for name in ("v_template", "shapedirs", "posedirs", "J_regressor", "weights")
            }
            parents = as_array(members["kintree_table"])[0].astype(np.int64).tolist()
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise SourceError(f"{path}: not a file of {model.upper()} ({error})") from error
        joints, vertices = _JOINTS[model], len(named["v_template"])
        wanted = {
            "v_template": (vertices, 3),
            "posedirs": (vertices, 3, 9 * (joints - 1)),
            "J_regressor": (joints, vertices),
            "weights": (vertices, joints),
        }
        for name, shape in wanted.items():
            if named[name].shape != shape:
                raise SourceError(f"{path}: not a file of {model.upper()}: `{name}` is {list(named[name].shape)}")
        if named["shapedirs"].ndim != 3 or named["shapedirs"].shape[:2] != (vertices, 3) or len(parents) != joints:
            raise SourceError(f"{path}: not a file of {model.upper()}: `shapedirs` or `kintree_table`")
        tree = (-1, *(int(one) for one in parents[1:]))
        if any(not 0 <= parent < joint for joint, parent in enumerate(tree) if joint):
            raise SourceError(f"{path}: not a file of {model.upper()}: its bones are not in order")
        template, shapes, corrections, regressor, weights = named.values()
        return cls(template, shapes, corrections, regressor, weights, tree)

    def __call__(self, vectors: Array, shape: Array, translation: Array) -> tuple[Array, Array]:
        """Return vertices [V, 3] and joints [J, 3] m.

        Args:
            vectors: [J, 3] axis-angle, each relative to the parent's.
            shape: [S'], at most as many coefficients as the file has.
            translation: [3] m.
        """
        if len(vectors) != len(self.parents) or len(shape) > self.shapes.shape[2]:
            raise SourceError(
                f"{len(vectors)} rotations and {len(shape)} shape coefficients for a body of {len(self.parents)} joints"
            )
        rotations = matrices_from_vectors(np.asarray(vectors, np.float64))
        shaped = self.template + self.shapes[:, :, : len(shape)] @ np.asarray(shape, np.float64)
        rest = self.regressor @ shaped
        posed = shaped + self.corrections @ (rotations[1:] - np.eye(3)).ravel()
        world, joints = rotations.copy(), rest.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                world[joint] = world[parent] @ rotations[joint]
                joints[joint] = joints[parent] + world[parent] @ (rest[joint] - rest[parent])
        shifts = joints - np.einsum("jab,jb->ja", world, rest)
        turned = np.einsum("vj,jab->vab", self.weights, world)
        vertices = np.einsum("vab,vb->va", turned, posed) + self.weights @ shifts
        return vertices + translation, joints + translation


class BodyFiles:
    """Finds the user's files in a folder, and keeps those that were loaded.

    Args:
        folder: holds ``SMPL_NEUTRAL``, ``SMPLX_MALE``, ... as .npz or .pkl, itself or in ``smpl`` and ``smplx``. None:
            there are none, which is an error only for a data set that needs them.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._kept: dict[tuple[str, str], BodyFile] = {}

    def __call__(self, model: Model, gender: str = "neutral") -> BodyFile:
        """Return a body. SourceError says which file is missing."""
        gender = {"m": "male", "f": "female", "n": "neutral"}.get(gender, gender)
        if gender not in _GENDERS:
            raise SourceError(f"unknown gender `{gender}` of a body; known: {', '.join(_GENDERS)}")
        if (model, gender) not in self._kept:
            self._kept[model, gender] = BodyFile.load(self._find(model, gender), model)
        return self._kept[model, gender]

    def _find(self, model: str, gender: str) -> Path:
        name = f"{model.upper()}_{gender.upper()}"
        if self.folder is None:
            raise SourceError(
                f"the truth of this data set is parameters: give --body-models, the folder of your {name}.npz"
            )
        for place in (self.folder, self.folder / model):
            for suffix in (".npz", ".pkl"):
                if (place / f"{name}{suffix}").is_file():
                    return place / f"{name}{suffix}"
        raise SourceError(f"{self.folder}: no {name}.npz or .pkl there, nor in {model}/, which the truth needs")
