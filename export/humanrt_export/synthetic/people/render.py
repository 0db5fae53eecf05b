"""Rasteriser of people and things: pictures in linear light, masks with depth, and areas; headless on EGL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.camera import project
from humanrt_export.synthetic.hand_scene import Camera, Look
from humanrt_export.synthetic.offscreen import Offscreen, in_context, light_view

__all__ = ["NEAR", "Fabric", "Figure", "PeopleRenderer", "Thing"]

Floats = NDArray[np.float32]
Array = NDArray[np.float64]

NEAR = 0.06
"""m, near plane: nothing nearer to the camera is drawn."""

_FAR = 80.0
_SHADOW = 512  # texels on each side of the shadow map
_TILE = 160  # px per side of the picture in which an area is counted
_SHADERS = Path(__file__).with_name("shaders")
_FORMAT = ("3f 3f 3f 3f 2f", "position", "normal", "rest", "albedo", "cloth")


@dataclass(frozen=True)
class Fabric:
    """Appearance of cloth and skin besides their colours.

    Attributes:
        patterns: patterns of shirt and trousers, see `pattern` in surface.frag.
        second: [2, 3] second colour of each pattern.
        frame: [2, 3] repetitions per metre, slant [rad], fraction of the second colour.
        texture: index of the renderer's texture, for prints.
        rough: depth of bumps [m]; shine: strength of highlights; glow: fraction of emitted light.
        seed: [3] offset of all patterns.
    """

    patterns: tuple[int, int] = (0, 0)
    second: Array = field(default_factory=lambda: np.zeros((2, 3)))
    frame: Array = field(default_factory=lambda: np.ones((2, 3)))
    texture: int = 0
    rough: float = 0.0
    shine: float = 0.05
    glow: float = 0.0
    seed: Array = field(default_factory=lambda: np.zeros(3))


@dataclass(frozen=True)
class Figure:
    """A person at one instant, in camera space.

    Attributes:
        topology: key of the renderer's ``faces``.
        vertices, normals: [V, 3] m.
        still: [V, 8] constant attributes: position at rest [m], albedo, fraction of shirt and of trousers.
        fabric: appearance of clothes and skin.
        triangles: [F, 3] if they are not those of the topology: of a body with garments.
    """

    topology: str
    vertices: Floats
    normals: Floats
    still: Floats
    fabric: Fabric
    triangles: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class Thing:
    """A textured object, in camera space.

    Attributes:
        vertices, normals: [V, 3] m.
        uv: [V, 2] texture coordinates; the texture repeats after 1.
        triangles: [F, 3].
        texture: index of the renderer's texture; tint: [3] factor on it.
        solid: it hides people and casts shadows; a ground does not.
        bare: only shadows on it are visible.
    """

    vertices: Floats
    normals: Floats
    uv: Floats
    triangles: NDArray[np.int32]
    texture: int
    tint: Array
    solid: bool = True
    bare: bool = False


class PeopleRenderer(Offscreen):
    """Draws people and things. Load them first; all other methods use what was loaded last.

    Args:
        size: (W, H) px of the pictures.
        faces: topology -> [F, 3].
        textures: uint8 [H, W, 3] sRGB each.
        samples: multisamples per pixel.
    """

    def __init__(
        self,
        size: tuple[int, int],
        faces: Mapping[str, NDArray[np.int32]],
        textures: Sequence[NDArray[np.uint8]],
        samples: int = 4,
    ) -> None:
        super().__init__(Camera(size), samples)
        gl = self.gl
        shader = {path.name: path.read_text() for path in _SHADERS.iterdir()}
        self._surface = gl.program(vertex_shader=shader["surface.vert"], fragment_shader=shader["surface.frag"])
        self._flat = gl.program(vertex_shader=shader["flat.vert"], fragment_shader=shader["flat.frag"])
        self._clip = gl.program(vertex_shader=shader["flat.vert"], varyings=["clip"])
        self._map = gl.depth_texture((_SHADOW, _SHADOW))
        self._map.compare_func = "<="
        self._map.repeat_x = self._map.repeat_y = False
        self._shadow = gl.framebuffer(depth_attachment=self._map)
        self._labels = gl.framebuffer([gl.renderbuffer(size, 2, dtype="f4")], gl.depth_renderbuffer(size))
        self._tile = gl.framebuffer([gl.renderbuffer((_TILE, _TILE), 2, dtype="f4")])
        self._faces = {name: gl.buffer(triangles.astype("i4").tobytes()) for name, triangles in faces.items()}
        self._textures = [self._texture(picture) for picture in textures]
        self._slots: dict[tuple[str, int], tuple[Any, Any, Any]] = {}
        self._people: list[tuple[Figure, Any, Any]] = []
        self._things: list[tuple[Thing, Any, Any]] = []
        self._passing: list[Any] = []

    @in_context
    def load(self, figures: Sequence[Figure], things: Sequence[Thing]) -> None:
        """Load the people and things to draw."""
        for item in self._passing:
            item.release()
        self._people, self._things, self._passing = [], [], []
        used: dict[str, int] = {}
        for figure in figures:
            if figure.triangles is not None:
                whole = np.hstack([figure.vertices, figure.normals, figure.still])
                self._people.append((figure, *self._load_once(whole, figure.triangles)))
                continue
            slot = used[figure.topology] = used.get(figure.topology, -1) + 1
            content = np.hstack([figure.vertices, figure.normals, figure.still]).astype("f4").tobytes()
            key = (figure.topology, slot)
            if key in self._slots:
                self._slots[key][0].write(content)
            else:
                buffer = self.gl.buffer(content)
                self._slots[key] = (buffer, *self._arrays(buffer, self._faces[figure.topology]))
            self._people.append((figure, *self._slots[key][1:]))
        for thing in things:
            flat = np.zeros((len(thing.vertices), 6))  # no bumps in the texture, no colour, no cloth
            whole = np.hstack([thing.vertices, thing.normals, thing.uv, flat])
            self._things.append((thing, *self._load_once(whole, thing.triangles)))

    @in_context
    def draw(
        self,
        camera: Camera,
        look: Look,
        up: Array,
        darkness: float = 1.0,
        ambient: Floats | None = None,
        cast: float = 1.0,
    ) -> Floats:
        """Render a picture.

        Args:
            camera: a camera with the renderer's size.
            look: the light.
            up: [3] the world's vertical in camera space.
            darkness: darkness of shadows, 0..1.
            ambient: [9, 3] ambient light by normal, see `surroundings.Surroundings.ambient`; None: that of ``look``.
            cast: factor on the darkness of shadows on ground that shows nothing else.

        Returns:
            [H, W, 4] linear RGB, premultiplied, and alpha.
        """
        gl, program = self.gl, self._surface
        self.camera = camera
        shadow_camera = self._shadow_camera(look.key)
        gl.enable(self.moderngl.DEPTH_TEST)
        self._shadow.use()
        self._shadow.clear(depth=1.0)
        self._flat["camera"].write(shadow_camera.T.astype("f4").tobytes())
        for _, _, flat in self._solid():
            flat.render()
        self.begin()
        self._map.use(0)
        program["shadow_map"].value, program["paint"].value = 0, 1
        program["camera"].write(self.projection(NEAR, _FAR).T.astype("f4").tobytes())
        program["shadow_camera"].write(shadow_camera.T.astype("f4").tobytes())
        program["texel"].value, program["darkness"].value = 0.8 / _SHADOW, darkness
        for name in ("key", "key_radiance", "fill_above", "fill_below"):
            program[name].value = tuple(float(x) for x in getattr(look, name))
        program["up"].value = tuple(up.tolist())
        program["surrounded"].value = ambient is not None
        program["ambient"].write((np.zeros((9, 3)) if ambient is None else ambient).astype("f4").tobytes())
        program["kind"].value = 0
        for figure, array, _ in self._people:
            fabric = figure.fabric
            self._textures[fabric.texture].use(1)
            program["pattern"].value = fabric.patterns
            program["second"].write(fabric.second.astype("f4").tobytes())
            program["frame"].write(fabric.frame.astype("f4").tobytes())
            program["seed"].value = tuple(fabric.seed.tolist())
            for name in ("rough", "shine", "glow"):
                program[name].value = getattr(fabric, name)
            array.render()
        program["glow"].value = program["shine"].value = 0.0
        for bare in (False, True):  # the ground that shows only shadows is behind everything
            program["kind"].value = 2 if bare else 1
            program["darkness"].value = darkness * cast if bare else darkness
            for thing, array, _ in self._things:
                if thing.bare == bare:
                    self._textures[thing.texture].use(1)
                    program["tint"].value = tuple(thing.tint.tolist())
                    array.render()
        return self.picture()

    @in_context
    def labels(self, camera: Camera) -> tuple[NDArray[np.uint8], Floats]:
        """Return person numbers [H, W] from 1, 0 for none or a thing; and depths [H, W] m of the person there, else 0.

        Both are sampled at pixel centres.
        """
        self.camera = camera
        gl = self.gl
        gl.enable(self.moderngl.DEPTH_TEST)
        self._labels.use()
        self._labels.clear(0.0, 0.0, depth=1.0)
        self._flat["camera"].write(self.projection(NEAR, _FAR).T.astype("f4").tobytes())
        number = {id(flat): index + 1 for index, (_, _, flat) in enumerate(self._people)}
        for _, _, flat in self._solid():
            self._flat["number"].value = float(number.get(id(flat), 0))
            flat.render()
        seen = self._read(self._labels, camera.size)
        mask = seen[..., 0].astype(np.uint8)
        return mask, np.where(mask > 0, seen[..., 1], np.float32(0))

    @in_context
    def area(self, camera: Camera, index: int) -> float:
        """Return the number of pixels that person ``index`` would cover alone in a picture without borders.

        It is exact for people who span less than 160 px; for larger ones every second, third, ... pixel is counted.
        """
        figure, _, flat = self._people[index]
        points = project(figure.vertices[figure.vertices[:, 2] > NEAR], camera.intrinsics)
        low, high = np.floor(points.min(axis=0)), np.ceil(points.max(axis=0))
        step = max(int(np.ceil((high - low).max() / _TILE)), 1)
        wide = step * _TILE
        # The part of the image plane that starts at `low` and is `wide` px large, instead of the whole picture.
        width, height = camera.size
        window = np.eye(4)
        window[0, 0], window[1, 1] = width / wide, height / wide
        window[0, 3] = (width - 2 * low[0]) / wide - 1
        window[1, 3] = 1 - (height - 2 * low[1]) / wide
        self.camera = camera
        self.gl.disable(self.moderngl.DEPTH_TEST)
        self._tile.use()
        self._tile.clear(0.0, 0.0)
        self._flat["camera"].write((window @ self.projection(NEAR, _FAR)).T.astype("f4").tobytes())
        self._flat["number"].value = 1.0
        flat.render()
        return float(self._read(self._tile, (_TILE, _TILE))[..., 0].sum()) * step**2

    @in_context
    def pixels(self, camera: Camera, points: NDArray[Any]) -> Array:
        """Return where the vertex shader projects points [N, 3] m, [N, 2] px; used to check labels."""
        self.camera = camera
        buffer = self.gl.buffer(np.ascontiguousarray(points, "f4").tobytes())
        array = self.gl.vertex_array(self._clip, [(buffer, "3f", "position")])
        result = self.gl.buffer(reserve=16 * len(points))
        self._clip["camera"].write(self.projection(NEAR, _FAR).T.astype("f4").tobytes())
        array.transform(result, self.moderngl.POINTS, vertices=len(points))
        clip = np.frombuffer(result.read(), np.float32).reshape(-1, 4).astype(np.float64)
        for item in (array, buffer, result):
            item.release()
        width, height = camera.size
        return np.asarray((clip[:, :2] / clip[:, 3:] * (0.5, -0.5) + 0.5) * (width, height))

    def _solid(self) -> list[tuple[Figure | Thing, Any, Any]]:
        return [*self._people, *(item for item in self._things if item[0].solid)]

    def _read(self, target: Any, size: tuple[int, int]) -> Floats:
        pixels = np.frombuffer(target.read(components=2, dtype="f4"), np.float32)
        return pixels.reshape(size[1], size[0], 2)[::-1]

    def _load_once(self, content: NDArray[Any], triangles: NDArray[np.int32]) -> tuple[Any, Any]:
        """Return vertex arrays of a mesh that is freed at the next `load`."""
        buffers = self.gl.buffer(content.astype("f4").tobytes()), self.gl.buffer(triangles.astype("i4").tobytes())
        arrays = self._arrays(*buffers)
        self._passing += [*arrays, *buffers]
        return arrays

    def _arrays(self, buffer: Any, triangles: Any) -> tuple[Any, Any]:
        """Return vertex arrays for pictures, and for shadows, masks and depth."""
        return (
            self.gl.vertex_array(self._surface, [(buffer, *_FORMAT)], triangles),
            self.gl.vertex_array(self._flat, [(buffer, "3f 44x", "position")], triangles),
        )

    def _texture(self, picture: NDArray[np.uint8]) -> Any:
        height, width = picture.shape[:2]
        texture = self.gl.texture((width, height), 3, np.ascontiguousarray(picture).tobytes())
        texture.build_mipmaps()
        return texture

    def _shadow_camera(self, key: Array) -> Array:
        """Return the orthographic view [4, 4] of all people from the key light."""
        if not self._people:
            return np.eye(4)
        points = np.concatenate([figure.vertices[::40] for figure, _, _ in self._people]).astype(np.float64)
        return light_view(points, key, up=(0.1, 0.9, 0.2), margin=0.1)
