"""Rendering of dressed people: per-vertex colours, one light, soft fill from above and below; headless on EGL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt_export.synthetic.hand_scene import Camera, Look
from humanrt_export.synthetic.offscreen import Offscreen, in_context

__all__ = ["BodyRenderer"]

Floats = NDArray[np.float32]

_NEAR, _FAR = 0.1, 30.0  # m

_VERTEX = """
#version 330
uniform mat4 camera;
in vec3 position;
in vec3 albedo;
out vec3 at;
out vec3 colour;
void main() {
    at = position;
    colour = albedo;
    gl_Position = camera * vec4(position, 1.0);
}
"""

# Normals are those of the triangles, which are a pixel or two large. Camera space has y down.
_FRAGMENT = """
#version 330
uniform vec3 key;
uniform vec3 key_radiance;
uniform vec3 fill_above;
uniform vec3 fill_below;
in vec3 at;
in vec3 colour;
out vec4 shown;
void main() {
    vec3 n = normalize(cross(dFdx(at), dFdy(at)));
    if (dot(n, at) > 0.0) n = -n;
    float wrapped = max(0.0, (dot(n, key) + 0.15) / 1.15);
    vec3 light = key_radiance * wrapped + mix(fill_below, fill_above, 0.5 - 0.5 * n.y);
    float facing = clamp(dot(n, -normalize(at)), 0.0, 1.0);
    light *= mix(0.55, 1.0, smoothstep(0.0, 0.6, facing));
    float glint = 0.05 * pow(max(0.0, dot(n, normalize(key - normalize(at)))), 20.0);
    shown = vec4(colour * light + glint * key_radiance, 1.0);
}
"""


class BodyRenderer(Offscreen):
    """Draws meshes for one camera.

    Args:
        camera: the camera.
        samples: multisamples per pixel.
    """

    def __init__(self, camera: Camera, samples: int = 4) -> None:
        super().__init__(camera, samples)
        self._program = self.gl.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        self._meshes: dict[int, tuple[Any, Any, Floats]] = {}

    @in_context
    def draw(
        self, people: Sequence[tuple[Floats, Floats]], faces: NDArray[np.int32], look: Look
    ) -> NDArray[np.float32]:
        """Draw one instant.

        Args:
            people: vertices [V, 3] m in camera space, and albedo [V, 3] linear RGB: the same array for every instant.
            faces: [F, 3].
            look: the light.

        Returns:
            [H, W, 4] linear RGB, premultiplied, and alpha.
        """
        program = self._program
        self.begin()
        program["camera"].write(self.projection(_NEAR, _FAR).T.astype("f4").tobytes())
        for name in ("key", "key_radiance", "fill_above", "fill_below"):
            program[name].value = tuple(float(x) for x in getattr(look, name))
        for vertices, colours in people:
            self._upload(vertices, colours, faces).render()
        return self.picture()

    def _upload(self, vertices: Floats, colours: Floats, faces: NDArray[np.int32]) -> Any:
        moving = np.ascontiguousarray(vertices, np.float32).tobytes()
        key = id(colours)
        if key not in self._meshes:
            gl = self.gl
            buffer, paint = gl.buffer(moving), gl.buffer(np.ascontiguousarray(colours, np.float32).tobytes())
            content = [(buffer, "3f", "position"), (paint, "3f", "albedo")]
            array = gl.vertex_array(self._program, content, gl.buffer(faces.astype("i4").tobytes()))
            self._meshes[key] = (buffer, array, colours)  # keep the colours alive, so that their id is not reused
        else:
            self._meshes[key][0].write(moving)
        return self._meshes[key][1]
