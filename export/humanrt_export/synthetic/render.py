"""Rasteriser: renders posed arms to linear-light pictures with soft shading and shadows, headless on EGL.

Real-time skin in one pass: diffuse light that bleeds red across the shadow's edge, a key light with a soft
shadow map, ambient light darkened near other fingers, a broad highlight, and procedural
detail (creases at the joints, nails, blotches) placed by coordinates attached to the fingers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt_export.synthetic.hand_model import Arm, Surface
from humanrt_export.synthetic.hand_scene import Camera, Look
from humanrt_export.synthetic.offscreen import Offscreen, in_context, light_view

__all__ = ["Renderer"]

Array = NDArray[np.float64]

_NEAR, _FAR = 0.05, 4.0  # m
_SHADOW = 1024  # texels on each side of the shadow map
_CAPSULES = 48  # maximum number of occluding capsules
_SHADERS = Path(__file__).with_name("shaders")


class Renderer(Offscreen):
    """Draws arms for one camera.

    Args:
        camera: the camera.
        samples: multisamples per pixel.
    """

    def __init__(self, camera: Camera, samples: int = 4) -> None:
        super().__init__(camera, samples)
        gl = self.gl
        shader = {path.name: path.read_text() for path in _SHADERS.iterdir()}
        self._program = gl.program(
            vertex_shader=shader["mesh.vert"],
            fragment_shader=shader["skin.frag"].replace("CAPSULES", str(_CAPSULES)),
        )
        self._shadow_program = gl.program(vertex_shader=shader["shadow.vert"], fragment_shader=shader["shadow.frag"])
        self._shadow_map = gl.depth_texture((_SHADOW, _SHADOW))
        self._shadow_map.compare_func = "<="
        self._shadow_map.repeat_x = self._shadow_map.repeat_y = False
        self._shadow = gl.framebuffer(depth_attachment=self._shadow_map)
        self._meshes: dict[int, tuple[Any, Any, Any, Surface]] = {}

    @in_context
    def draw(self, arms: Sequence[tuple[Arm, NDArray[Any]]], look: Look, seed: float = 0.0) -> NDArray[np.float32]:
        """Draw one instant.

        Args:
            arms: each with its pose [30].
            look: colours and light.
            seed: shifts the pattern of the skin.

        Returns:
            [H, W, 4] linear RGB, premultiplied, and alpha.
        """
        gl = self.gl
        transforms = [arm.transforms(q) for arm, q in arms]
        drawn = []
        for (arm, _), moves in zip(arms, transforms, strict=True):
            for surface in arm.surfaces:
                positions, normals = arm.skin(surface, moves)
                drawn.append((surface, arm.side, self._upload(surface, positions, normals)))
        shadow_camera = self._shadow_camera(arms, transforms, look.key)

        gl.enable(self.moderngl.DEPTH_TEST)
        self._shadow.use()
        self._shadow.clear(depth=1.0)
        self._shadow_program["shadow_camera"].write(shadow_camera.T.astype("f4").tobytes())
        for _, _, (_, shadow_array) in drawn:
            shadow_array.render()

        self.begin()
        self._shadow_map.use(0)
        program = self._program
        for name, value in {
            "camera": self.projection(_NEAR, _FAR),
            "shadow_camera": shadow_camera,
        }.items():
            program[name].write(value.T.astype("f4").tobytes())
        program["texel"].value = 1 / _SHADOW
        program["seed"].value = (seed, 1.7 * seed, 0.6 * seed)
        for name in ("key", "key_radiance", "fill_above", "fill_below"):
            program[name].value = tuple(float(x) for x in getattr(look, name))
        self._capsules([arm for arm, _ in arms], transforms)
        for surface, side, (array, _) in drawn:
            # Mirroring reverses the winding of triangles.
            gl.front_face = "ccw" if side == "right" else "cw"
            program["cloth"].value = surface.cloth
            program["skin"].value = tuple(float(x) for x in (look.sleeve if surface.cloth else look.skin))
            # Skin is a closed surface: back faces are never visible. A sleeve is open at the cuff.
            (gl.disable if surface.cloth else gl.enable)(self.moderngl.CULL_FACE)
            array.render()
        gl.disable(self.moderngl.CULL_FACE)
        return self.picture()

    def _upload(self, surface: Surface, positions: Array, normals: Array) -> tuple[Any, Any]:
        """Upload this instant's positions; return the vertex arrays for drawing and for the shadow."""
        key = id(surface)
        moving = np.hstack([positions, normals]).astype("f4").tobytes()
        if key not in self._meshes:
            gl = self.gl
            fixed = np.column_stack([surface.vertices, surface.finger, surface.palm]).astype("f4")
            buffer, constant = gl.buffer(moving), gl.buffer(fixed.tobytes())
            indices = gl.buffer(surface.triangles.astype("i4").tobytes())
            array = gl.vertex_array(
                self._program,
                [
                    (buffer, "3f 3f", "position", "normal"),
                    (constant, "3f 4f 1f", "rest", "finger", "palm"),
                ],
                indices,
            )
            shadow = gl.vertex_array(self._shadow_program, [(buffer, "3f 12x", "position")], indices)
            self._meshes[key] = (buffer, array, shadow, surface)  # kept alive, so that its id is not reused
        else:
            self._meshes[key][0].write(moving)
        return self._meshes[key][1], self._meshes[key][2]

    def _shadow_camera(self, arms: Sequence[tuple[Arm, Any]], transforms: Sequence[Array], key: Array) -> Array:
        """Return the orthographic view [4, 4] from the key light, of all hands and part of the forearms."""
        points = np.concatenate(
            [
                (moves[arm.keypoint_bones][..., :3] @ arm.keypoint_rest[..., None])[..., 0]
                + moves[arm.keypoint_bones][..., 3]
                for (arm, _), moves in zip(arms, transforms, strict=True)
            ]
        )
        return light_view(points, key, up=(0.0, 1.0, 0.0), margin=0.05)

    def _capsules(self, arms: Sequence[Arm], transforms: Sequence[Array]) -> None:
        starts: list[Array] = []
        ends: list[Array] = []
        for arm, moves in zip(arms, transforms, strict=True):
            at = moves[arm.capsule_bones]
            for end, store in ((0, starts), (1, ends)):
                points = np.einsum("cij,cj->ci", at[..., :3], arm.capsules[:, end]) + at[..., 3]
                store.append(np.column_stack([points, arm.capsule_radii]) if end == 0 else points)
        a, b = np.concatenate(starts)[:_CAPSULES], np.concatenate(ends)[:_CAPSULES]
        count = len(a)
        pad = ((0, _CAPSULES - count), (0, 0))
        self._program["capsule_a"].write(np.pad(a, pad).astype("f4").tobytes())
        self._program["capsule_b"].write(np.pad(b, pad).astype("f4").tobytes())
        self._program["capsules"].value = count
