"""Animated glTF files as a viewer shows them: pygltflib reads them, and glTF's rules for skins are applied in numpy."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pygltflib
from numpy.typing import NDArray

Array = NDArray[np.float64]
_DTYPES = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


class GlbReader:
    """One file."""

    def __init__(self, path: Path) -> None:
        self.gltf = pygltflib.GLTF2().load(str(path))
        self.blob = self.gltf.binary_blob()
        json.loads(self.gltf.to_json())
        self.nodes = {node.name: k for k, node in enumerate(self.gltf.nodes)}
        self.parents = {child: k for k, node in enumerate(self.gltf.nodes) for child in node.children or []}

    @cache  # noqa: B019 - lives as long as a test
    def read(self, index: int) -> NDArray:
        accessor = self.gltf.accessors[index]
        size = _SIZES[accessor.type]
        if accessor.bufferView is None:
            array = np.zeros((accessor.count, size), _DTYPES[accessor.componentType])
        else:
            array = self._view(accessor.bufferView, accessor.componentType, accessor.count * size).reshape(-1, size)
        if accessor.sparse:
            rows = self._view(
                accessor.sparse.indices.bufferView, accessor.sparse.indices.componentType, accessor.sparse.count
            )
            values = self._view(accessor.sparse.values.bufferView, accessor.componentType, accessor.sparse.count * size)
            array = array.copy()
            array[rows] = values.reshape(-1, size)
        return array[:, 0] if size == 1 else array

    def _view(self, view: int, component: int, count: int) -> NDArray:
        one = self.gltf.bufferViews[view]
        dtype = np.dtype(_DTYPES[component])
        return np.frombuffer(self.blob, dtype, count, one.byteOffset)

    def animated(self, t: float) -> dict[int, dict[str, Array]]:
        """Return by node the animated properties at a time."""
        result: dict[int, dict[str, Array]] = {}
        (animation,) = self.gltf.animations
        for channel in animation.channels:
            sampler = animation.samplers[channel.sampler]
            times, values = self.read(sampler.input), self.read(sampler.output)
            values = values.reshape(len(times), -1)
            after = int(np.clip(np.searchsorted(times, t, side="right"), 0, len(times) - 1))
            before = max(after - 1, 0) if times[after] > t else after
            span = times[after] - times[before]
            part = (
                0.0
                if sampler.interpolation == "STEP" or span <= 0
                else float(np.clip((t - times[before]) / span, 0, 1))
            )
            value = (1 - part) * values[before] + part * values[after]
            result.setdefault(channel.target.node, {})[channel.target.path] = value.astype(np.float64)
        return result

    def matrices(self, t: float) -> list[Array]:
        """Return the world matrix [4, 4] of each node."""
        moved = self.animated(t)

        def of(node: int) -> Array:
            about, change = self.gltf.nodes[node], moved.get(node, {})
            matrix = np.eye(4)
            x, y, z, w = change.get("rotation", np.array(about.rotation or (0, 0, 0, 1)))
            matrix[:3, :3] = [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
            matrix[:3, :3] *= change.get("scale", np.array(about.scale or (1, 1, 1)))
            matrix[:3, 3] = change.get("translation", np.array(about.translation or (0, 0, 0)))
            return of(self.parents[node]) @ matrix if node in self.parents else matrix

        return [of(node) for node in range(len(self.gltf.nodes))]

    def vertices(self, person: int, t: float) -> Array:
        """Return the vertices [V, 3] of a person's mesh at a time."""
        node = self.nodes[f"person-{person}-mesh"]
        about = self.gltf.nodes[node]
        primitive = self.gltf.meshes[about.mesh].primitives[0]
        mesh = self.read(primitive.attributes.POSITION).astype(np.float64)
        amounts = self.animated(t).get(node, {}).get("weights", np.zeros(0))
        for amount, target in zip(amounts, primitive.targets or [], strict=True):
            mesh = mesh + amount * self.read(target["POSITION"])
        skin = self.gltf.skins[about.skin]
        inverse = self.read(skin.inverseBindMatrices).reshape(-1, 4, 4).swapaxes(1, 2)
        world = self.matrices(t)
        joints = np.stack([world[joint] for joint in skin.joints]) @ inverse
        index, weight = self.read(primitive.attributes.JOINTS_0), self.read(primitive.attributes.WEIGHTS_0)
        points = np.concatenate([mesh, np.ones((len(mesh), 1))], axis=1)
        moved = np.einsum("vkij,vj->vki", joints[index], points)
        return np.einsum("vk,vki->vi", weight, moved)[:, :3]

    def heads(self, person: int, t: float) -> dict[str, Array]:
        """Return where a person's joints are at a time, by name."""
        world = self.matrices(t)
        skin = self.gltf.skins[self.gltf.nodes[self.nodes[f"person-{person}-mesh"]].skin]
        return {self.gltf.nodes[joint].name: world[joint][:3, 3] for joint in skin.joints}
