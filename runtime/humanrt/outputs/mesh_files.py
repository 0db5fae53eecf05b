"""Mesh files: one file per frame with all people in it, written without a library.

=======  ============================================================================================
``glb``  glTF 2.0: one node per person, named ``person-ID`` and coloured by identity, below a node
         that turns the camera's axes (y down, z forward) into glTF's (y up, z backward).
``obj``  Wavefront: one object per person, named likewise; glTF's axes, since viewers expect them.
``npz``  numpy: all arrays of the result, in the camera's own axes.
=======  ============================================================================================

Units are metres. Files are written atomically.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.drawing.colours import colour_of
from humanrt.errors import HumanrtError, OutputError, choices
from humanrt.outputs.base import Image, Output
from humanrt.outputs.gltf import GltfFile
from humanrt.people.pipeline import PeopleResult
from humanrt.people.results import People
from humanrt.perception.pipeline import Result

__all__ = ["FORMATS", "MeshWriter", "check_format", "glb", "material", "npz", "obj", "vertex_normals"]

Faces = NDArray[np.int32]


def glb(people: People, ids: tuple[int, ...], faces: Faces) -> bytes:
    """Return a binary glTF file with positions and normals. The triangles are stored once, for all people."""
    vertices = _vertices(people)
    file = GltfFile()
    indices = file.add_triangles(faces, vertices.shape[1])
    positions = [file.add(mesh.astype(np.float32), "vertices", bounds=True) for mesh in vertices]
    normals = [file.add(vertex_normals(mesh, faces), "vertices") for mesh in vertices]
    names = [f"person-{identity}" for identity in ids]
    file.document |= {
        "scenes": [{"nodes": [0]}],
        "nodes": [
            # Half a turn about x: y down and z forward become y up and z backward.
            {"name": "camera-space", "rotation": [1, 0, 0, 0], "children": list(range(1, len(ids) + 1))},
            *({"name": name, "mesh": index} for index, name in enumerate(names)),
        ],
        "meshes": [
            {
                "name": name,
                "primitives": [
                    {
                        "attributes": {"POSITION": positions[index], "NORMAL": normals[index]},
                        "indices": indices,
                        "material": index,
                    }
                ],
            }
            for index, name in enumerate(names)
        ],
        "materials": [material(identity) for identity in ids],
    }
    return file.bytes()


def material(identity: int) -> dict[str, Any]:
    """Return a glTF material in the colour of an identity."""
    return {
        "name": f"person-{identity}",
        "pbrMetallicRoughness": {
            "baseColorFactor": [*_linear(colour_of(identity)), 1.0],
            "metallicFactor": 0.0,
            "roughnessFactor": 0.7,
        },
    }


def vertex_normals(vertices: NDArray[np.floating[Any]], faces: Faces) -> NDArray[np.float32]:
    """Return smooth unit normals [V, 3] of a mesh [V, 3]; vertices without a triangle get -z.

    Without normals, glTF viewers shade every triangle flat.
    """
    a, b, c = (vertices[faces[:, corner]].astype(np.float64) for corner in range(3))
    of_faces = np.cross(b - a, c - a)  # length is twice the triangle's area: larger triangles weigh more
    corners = faces.ravel()
    sums = [np.bincount(corners, np.repeat(of_faces[:, axis], 3), len(vertices)) for axis in range(3)]
    normals = np.stack(sums, axis=1)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(lengths > 0, normals / np.where(lengths > 0, lengths, 1), (0, 0, -1)).astype(np.float32)


def obj(people: People, ids: tuple[int, ...], faces: Faces) -> bytes:
    """Return a Wavefront file with positions rounded to 0.01 mm."""
    vertices = _vertices(people)
    text = io.StringIO()
    text.write("# humanrt; metres; x right, y up, z towards the camera\n")
    for index, (identity, mesh) in enumerate(zip(ids, vertices, strict=True)):
        text.write(f"o person-{identity}\n")
        np.savetxt(text, mesh * (1.0, -1.0, -1.0), fmt="v %.5f %.5f %.5f")
        np.savetxt(text, faces + 1 + index * vertices.shape[1], fmt="f %d %d %d")
    return text.getvalue().encode()


def npz(people: People, ids: tuple[int, ...], faces: Faces) -> bytes:
    """Return a numpy archive with the fields of `People`, ``ids`` [N] and ``faces`` [F, 3]."""
    arrays: dict[str, Any] = {name: value for name, value in vars(people).items() if isinstance(value, np.ndarray)}
    buffer = io.BytesIO()
    np.savez(buffer, ids=np.array(ids, np.int64), faces=faces, **arrays)
    return buffer.getvalue()


FORMATS = {"glb": glb, "obj": obj, "npz": npz}
_NAME = re.compile(rf"\d{{6,}}\.({'|'.join(FORMATS)})")


def check_format(kind: str) -> None:
    """Raise HumanrtError if a format is not one of `FORMATS`."""
    if kind not in FORMATS:
        raise HumanrtError(f"unknown mesh format `{kind}`; choose one of: {choices(FORMATS)}")


class MeshWriter(Output):
    """Writes ``FOLDER/000012.glb`` for frame 12; frames without people get no file.

    Args:
        folder: output folder; created if missing when the first file is written.
        kind: a key of `FORMATS`.
        faces: [F, 3] triangles of every mesh.

    Raises:
        HumanrtError: unknown format.
        OutputError: the folder cannot be written, or already holds meshes, from which those of this run could not be
            told apart.
    """

    def __init__(self, folder: str | Path, kind: str, faces: Faces) -> None:
        check_format(kind)
        self.folder = Path(folder)
        self._kind = kind
        self._faces = faces
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputError(f"{self.folder}: is a file; give the name of a folder for the meshes")
        if files := _meshes_in(self.folder):
            raise OutputError(
                f"{self.folder}: holds {len(files)} mesh file{'s' if len(files) > 1 else ''} of an earlier run "
                f"({files[0]}); give a new folder, or empty this one"
            )

    def put(self, result: Result, picture: Image | None) -> bool:
        """Write the meshes of a result of people."""
        if not isinstance(result, PeopleResult):
            raise TypeError(f"only people have meshes: a MeshWriter takes a PeopleResult, not {type(result).__name__}")
        self.write(result)
        return True

    def write(self, result: PeopleResult) -> Path | None:
        """Write the file of this frame and return its path, or None if it has no people. OutputError if that fails."""
        if not len(result.people):
            return None
        path = self.folder / f"{result.frame.index:06d}.{self._kind}"
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(FORMATS[self._kind](result.people, result.ids, self._faces))
            part.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another --meshes") from None
        return path


def _meshes_in(folder: Path) -> list[str]:
    """Return the names of the files in a folder that a `MeshWriter` wrote or could have written."""
    try:
        names = [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(f"{folder}: cannot be read ({error.strerror}); choose another --meshes") from None
    return sorted(name for name in names if _NAME.fullmatch(name))


def _vertices(people: People) -> NDArray[np.float32]:
    if people.vertices is None:
        raise ValueError("these people have no meshes; use MultiHMR(..., meshes=True)")
    return people.vertices


def _linear(colour: tuple[int, int, int]) -> list[float]:
    """Convert sRGB 0..255 to linear 0..1, the colour space of glTF's factors."""
    srgb = np.array(colour) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return [round(float(value), 4) for value in linear]
