"""Mesh files, read back by hand, and by trimesh where it is installed."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from humanrt.errors import HumanrtError
from humanrt.outputs.mesh_files import MeshWriter, glb, npz, obj, vertex_normals
from humanrt.people.pipeline import PeopleResult
from humanrt.people.results import People
from humanrt.sources.opening import Frame

FACES = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]], np.int32)


def some_people(count: int = 2, vertices: int = 4) -> People:
    random = np.random.default_rng(0)
    mesh = random.standard_normal((count, vertices, 3)).astype(np.float32) + np.float32((0, 0, 3))
    return People(
        scores=np.ones(count, np.float32),
        locations=np.zeros((count, 2), np.float32),
        translations=mesh[:, 0],
        rotations=np.broadcast_to(np.eye(3, dtype=np.float32), (count, 2, 3, 3)).copy(),
        shape=np.zeros((count, 4), np.float32),
        expression=np.zeros((count, 1), np.float32),
        intrinsics=np.eye(3),
        vertices=mesh,
        joints=mesh[:, :2],
        joints_2d=mesh[:, :2, :2],
    )


def result_of(people: People, index: int = 12) -> PeopleResult:
    ids = tuple(range(3, 3 + len(people)))
    return PeopleResult(Frame(np.zeros((4, 6, 3), np.uint8), 0.4, index), people, ids, (), {"total": 1.0})


def parsed(data: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    """A GLB file's document, and the content of its accessors."""
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack_from("<I4s", data, 12)
    assert kind == b"JSON"
    assert size % 4 == 0
    document = json.loads(data[20 : 20 + size])
    binary_size, kind = struct.unpack_from("<I4s", data, 20 + size)
    assert kind == b"BIN\0"
    assert binary_size % 4 == 0
    binary = data[28 + size :]
    assert len(binary) == binary_size == document["buffers"][0]["byteLength"]
    arrays = []
    for accessor in document["accessors"]:
        view = document["bufferViews"][accessor["bufferView"]]
        assert view["byteOffset"] % 4 == 0
        dtype = {5126: "<f4", 5123: "<u2", 5125: "<u4"}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC3": 3}[accessor["type"]]
        array = np.frombuffer(binary, dtype, accessor["count"] * width, view["byteOffset"]).reshape(-1, width)
        assert array.nbytes == view["byteLength"]
        arrays.append(array)
    return document, arrays


@pytest.mark.parametrize("vertices", [4, 70000])
def test_glb(vertices: int) -> None:
    people = some_people(vertices=vertices)
    document, (indices, *both) = parsed(glb(people, (3, 4), FACES))
    meshes, normals = both[:2], both[2:]
    np.testing.assert_array_equal(indices.reshape(-1, 3), FACES)
    for place, (mesh, normal) in enumerate(zip(meshes, normals, strict=True)):
        assert document["meshes"][place]["primitives"][0]["attributes"] == {"POSITION": place + 1, "NORMAL": place + 3}
        np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-6)
        np.testing.assert_array_equal(normal, vertex_normals(mesh, FACES))
    np.testing.assert_array_equal(meshes, people.vertices)
    for accessor, mesh in zip(document["accessors"][1:3], meshes, strict=True):
        np.testing.assert_array_equal(accessor["min"], mesh.min(axis=0).astype(float))
        np.testing.assert_array_equal(accessor["max"], mesh.max(axis=0).astype(float))
    assert [node["name"] for node in document["nodes"]] == ["camera-space", "person-3", "person-4"]
    colours = [material["pbrMetallicRoughness"]["baseColorFactor"] for material in document["materials"]]
    assert colours[0] != colours[1]


def test_normals_point_out_of_a_ball() -> None:
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed")
    ball = trimesh.creation.icosphere(subdivisions=3)
    normals = vertex_normals(np.asarray(ball.vertices), np.asarray(ball.faces, np.int32))
    assert (normals * ball.vertices).sum(axis=1).min() > 0.999
    loose = vertex_normals(np.zeros((1, 3)), np.empty((0, 3), np.int32))
    np.testing.assert_array_equal(loose, [[0, 0, -1]])


def test_glb_opens_in_trimesh(tmp_path: Path) -> None:
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed")
    people = some_people()
    (tmp_path / "a.glb").write_bytes(glb(people, (3, 4), FACES))
    scene = trimesh.load(tmp_path / "a.glb")
    assert set(scene.geometry) == {"person-3", "person-4"}
    whole = scene.to_geometry()
    expected = people.vertices.reshape(-1, 3) * (1, -1, -1)  # y up, z towards the camera
    assert whole.faces.shape == (8, 3)
    np.testing.assert_allclose(np.sort(whole.vertices, axis=0), np.sort(expected, axis=0), atol=1e-5)


def test_obj() -> None:
    people = some_people()
    lines = [line.split() for line in obj(people, (3, 4), FACES).decode().splitlines()]
    assert [line[1] for line in lines if line[0] == "o"] == ["person-3", "person-4"]
    vertices = np.array([line[1:] for line in lines if line[0] == "v"], float)
    np.testing.assert_allclose(vertices, people.vertices.reshape(-1, 3) * (1, -1, -1), atol=6e-6)
    faces = np.array([line[1:] for line in lines if line[0] == "f"], int)
    np.testing.assert_array_equal(faces, np.concatenate((FACES + 1, FACES + 5)))


def test_npz(tmp_path: Path) -> None:
    people = some_people()
    (tmp_path / "a.npz").write_bytes(npz(people, (3, 4), FACES))
    with np.load(tmp_path / "a.npz") as data:
        assert data["ids"].tolist() == [3, 4]
        np.testing.assert_array_equal(data["faces"], FACES)
        for name in ("vertices", "joints", "rotations", "translations", "intrinsics", "scores"):
            np.testing.assert_array_equal(data[name], getattr(people, name))


@pytest.mark.parametrize("kind", ["glb", "obj", "npz"])
def test_a_file_a_frame_and_none_for_nobody(tmp_path: Path, kind: str) -> None:
    writer = MeshWriter(tmp_path / "new" / "meshes", kind, FACES)
    assert writer.write(result_of(some_people(0), 11)) is None
    assert not writer.folder.exists()
    path = writer.write(result_of(some_people()))
    assert path == tmp_path / "new" / "meshes" / f"000012.{kind}"
    assert [file.name for file in writer.folder.iterdir()] == [path.name]


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(HumanrtError, match="choose one of: glb, npz, obj"):
        MeshWriter(tmp_path, "stl", FACES)
    (tmp_path / "file").write_text("")
    with pytest.raises(HumanrtError, match="is a file"):
        MeshWriter(tmp_path / "file", "glb", FACES)
    with pytest.raises(HumanrtError, match="cannot be written"):
        MeshWriter("/proc/meshes", "glb", FACES).write(result_of(some_people()))
