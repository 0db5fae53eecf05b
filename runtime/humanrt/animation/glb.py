"""glTF: people as skinned, animated characters, with their expressions as morph targets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from humanrt.animation.take import Take
from humanrt.geometry.humanoid import CAMERA_TO_GLTF, Skeleton
from humanrt.geometry.rotation import quaternions_from_matrices
from humanrt.geometry.skeleton import Array
from humanrt.outputs.gltf import GltfFile
from humanrt.outputs.mesh_files import material, vertex_normals
from humanrt.people.rig import BodyRig

__all__ = ["animated_glb"]

_MOMENT = 1e-3  # s: so much earlier than their first frame people appear, as float32 rounds times
_MORPHED = 1e-5  # m: what a face unit moves less counts as still


def animated_glb(takes: Sequence[Take], skeleton: Skeleton, rig: BodyRig) -> bytes:
    """Return a binary glTF file with one character per take, and one animation of all of them.

    Camera space, with y up and z backward; m, s. The clip begins at the first time of all takes. While a person is
    away, their character is scaled to nothing.

    Args:
        takes: the takes.
        skeleton: the joints that the characters have.
        rig: the body that they are of.
    """
    file = GltfFile()
    nodes: list[dict[str, Any]] = []
    # One animation, since programs play one at a time.
    animation: dict[str, Any] = {"name": "take", "samplers": [], "channels": []}
    document: dict[str, Any] = {"meshes": [], "skins": [], "materials": [], "animations": [animation], "nodes": nodes}
    start, end = min(take.t[0] for take in takes), max(take.t[-1] for take in takes)
    # A skinned mesh follows its joints alone, so its node is a root of the scene too.
    tops = [_add_character(file, document, take, skeleton, rig, (start, end)) for take in takes]
    roots = [node for top in tops for node in (top, top + 1)]
    file.document |= document | {"scenes": [{"nodes": roots}]}
    if skeleton.name == "vrm" and len(takes) == 1:
        _add_humanoid(file.document, skeleton, rig)
    return file.bytes()


def _add_character(
    file: GltfFile,
    document: dict[str, Any],
    take: Take,
    skeleton: Skeleton,
    rig: BodyRig,
    clip: tuple[float, float],
) -> int:
    """Add a take's nodes, mesh, skin and motion; return the index of its topmost node, before that of its mesh."""
    name = f"person-{take.id}"
    nodes: list[dict[str, Any]] = document["nodes"]
    number = len(document["meshes"])
    joints = skeleton.rest(take.rest)
    top: int = len(nodes)
    first = top + 2
    mesh_node: dict[str, Any] = {"name": f"{name}-mesh", "mesh": number, "skin": number}
    nodes += [{"name": name, "children": [first]}, mesh_node]
    for k, (joint, parent) in enumerate(zip(skeleton.joints, skeleton.parents, strict=True)):
        node: dict[str, Any] = {"name": joint, "translation": (joints[k] - joints[max(parent, 0)]).tolist()}
        if children := [first + c for c, above in enumerate(skeleton.parents) if above == k]:
            node["children"] = children
        nodes.append(node)

    document["materials"].append(material(take.id))
    units = _add_mesh(file, document, take, skeleton, rig)
    inverse = np.tile(np.eye(4, dtype=np.float32), (len(joints), 1, 1))
    inverse[:, 3, :3] = -joints  # column-major
    document["skins"].append(
        {"inverseBindMatrices": file.add(inverse), "joints": list(range(first, first + len(joints))), "skeleton": first}
    )

    turns = skeleton.turns(take.local, CAMERA_TO_GLTF)
    rotations = _continuous(quaternions_from_matrices(skeleton.local(turns))).astype(np.float32)
    times = file.add((take.t - clip[0]).astype(np.float32), bounds=True)
    tracks: list[tuple[int, str, int, int, str]] = [
        (first + k, "rotation", times, file.add(rotations[:, k]), "LINEAR") for k in range(len(joints))
    ]
    root = (take.root @ CAMERA_TO_GLTF.T).astype(np.float32)
    tracks.append((first, "translation", times, file.add(root), "LINEAR"))
    if units:
        amounts = take.expression.astype(np.float32).ravel()
        tracks.append((top + 1, "weights", times, file.add(amounts), "LINEAR"))
    if visible := _visibility(take, clip):
        moments, scales = visible
        tracks.append((top, "scale", file.add(moments, bounds=True), file.add(scales), "STEP"))
    (animation,) = document["animations"]
    for moved, path, inputs, outputs, kind in tracks:
        animation["channels"].append({"sampler": len(animation["samplers"]), "target": {"node": moved, "path": path}})
        animation["samplers"].append({"input": inputs, "output": outputs, "interpolation": kind})
    return top


def _add_mesh(file: GltfFile, document: dict[str, Any], take: Take, skeleton: Skeleton, rig: BodyRig) -> int:
    """Add the mesh of a take in the pose in which the skeleton rests; return the number of its morph targets."""
    vertices, joints = rig.pose(take.shape, skeleton.pose)
    mesh = ((vertices - rig.bone_heads(joints)[0]) @ skeleton.axes.T).astype(np.float32)
    index, weight = _skin_of(skeleton, rig)
    primitive: dict[str, Any] = {
        "attributes": {
            "POSITION": file.add(mesh, "vertices", bounds=True),
            "NORMAL": file.add(vertex_normals(mesh, rig.faces), "vertices"),
            "JOINTS_0": file.add(index, "vertices"),
            "WEIGHTS_0": file.add(weight, "vertices"),
        },
        "indices": file.add_triangles(rig.faces, len(mesh)),
        "material": len(document["materials"]) - 1,
    }
    entry: dict[str, Any] = {"name": f"person-{take.id}", "primitives": [primitive]}
    count: int = take.expression.shape[1]
    if count:
        shapes = rig.expression_shapes(take.shape, skeleton.pose)[:count] @ skeleton.axes.T
        shapes[np.abs(shapes).max(axis=-1) < _MORPHED] = 0.0
        primitive["targets"] = [{"POSITION": file.add_sparse(shape.astype(np.float32))} for shape in shapes]
        names = list(rig.expression_units) or [f"expression-{k}" for k in range(count)]
        entry |= {"weights": [0.0] * count, "extras": {"targetNames": names}}
    document["meshes"].append(entry)
    return count


def _skin_of(skeleton: Skeleton, rig: BodyRig) -> tuple[Any, Any]:
    """Return the joints [V, 4] and weights [V, 4] of the skin on a skeleton's joints."""
    index, weight = skeleton.joint_of_bone[rig.skin.index], rig.skin.weight.copy()
    for later in range(1, 4):  # bones that became one joint
        for earlier in range(later):
            same = index[:, later] == index[:, earlier]
            weight[same, earlier] += weight[same, later]
            weight[same, later] = 0.0
    return np.where(weight > 0, index, 0).astype(np.uint16), weight


def _visibility(take: Take, clip: tuple[float, float]) -> tuple[Any, Any] | None:
    """Return times [K] and scales [K, 3] of a character that is away at times; None if it is always there."""
    steps: list[tuple[float, float]] = []
    if take.present[0, 0] > clip[0]:
        steps.append((0.0, 0.0))
    for start, end in take.present - clip[0]:
        steps += [(max(float(start) - _MOMENT, 0.0), 1.0), (float(end) + _MOMENT, 0.0)]
    if take.present[-1, 1] >= clip[1]:
        steps.pop()
    if len(steps) == 1:
        return None
    moments = np.array([t for t, _ in steps], np.float32)
    return moments, np.repeat(np.array([scale for _, scale in steps], np.float32)[:, None], 3, axis=1)


def _continuous(q: Array) -> Array:
    """Return quaternions [F, ..., 4] with signs so that each is on the side of the one before."""
    flips = np.where((q[1:] * q[:-1]).sum(axis=-1, keepdims=True) < 0, -1.0, 1.0)
    return np.concatenate([q[:1], q[1:] * np.cumprod(flips, axis=0)])


def _add_humanoid(document: dict[str, Any], skeleton: Skeleton, rig: BodyRig) -> None:
    """Say which nodes are the humanoid's bones, and which morph targets its expressions, as VRM 1.0 does."""
    nodes = document["skins"][0]["joints"]
    targets = document["meshes"][0].get("extras", {}).get("targetNames", [])
    document["extensionsUsed"] = ["VRMC_vrm"]
    document["extensions"] = {
        "VRMC_vrm": {
            "specVersion": "1.0",
            "meta": {
                "name": "humanrt",
                "authors": ["humanrt"],
                "licenseUrl": "https://vrm.dev/licenses/1.0/",
            },
            "humanoid": {
                "humanBones": {joint: {"node": node} for joint, node in zip(skeleton.joints, nodes, strict=True)}
            },
            "expressions": {
                "custom": {
                    unit: {"morphTargetBinds": [{"node": 1, "index": k, "weight": 1.0}]}
                    for k, unit in enumerate(targets)
                }
            },
        }
    }
