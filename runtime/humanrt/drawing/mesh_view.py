"""Render meshes of people over their image, and the same scene from the side or from above.

moderngl, from the extra `view`, is imported only when a MeshView is created; it renders off screen, with EGL or, if
that is missing, on a display. Camera space is x right, y down, z forward, in metres. Pixels have their origin at
the top left corner of the top left pixel, whose centre is thus at (0.5, 0.5): a vertex is drawn at K (x, y, z) / z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from humanrt.drawing.mesh_scene import VIEWS, Image, Points, Room, SceneCamera, darken
from humanrt.errors import HumanrtError, MissingDependencyError
from humanrt.resource import Resource

__all__ = ["MeshView"]

Meshes = Sequence[npt.NDArray[np.floating]]  # or one array [N, V, 3]
Faces = npt.NDArray[np.integer]
Colours = Sequence[Sequence[int]] | npt.NDArray[np.integer]

MAX_PEOPLE = 65535  # in a mask

_VERTEX = """
#version 330
uniform mat4 clip;
in vec3 position;
in vec3 normal;
out vec3 at;
out vec3 outward;
void main() {
    at = position;
    outward = normal;
    gl_Position = clip * vec4(position, 1.0);
}
"""

# A light beside the viewer keeps every pose readable, a wide soft one from the upper left adds shape, the sky brightens
# what faces up; edges darken, so that limbs stand out from the body behind them. Squares and square roots approximate
# the gamma of colours: powers are expensive when a CPU renders.
_LIT = """
#version 330
uniform vec3 eye;
uniform vec3 key;
uniform vec3 colour;
uniform float alpha;
in vec3 at;
in vec3 outward;
out vec4 shown;
void main() {
    vec3 n = normalize(gl_FrontFacing ? outward : -outward);
    vec3 toward = normalize(eye - at);
    float facing = clamp(dot(n, toward), 0.0, 1.0);
    float wrapped = max(0.0, (dot(n, key) + 0.25) / 1.25);
    float light = 0.06 + 0.26 * facing + 1.15 * wrapped * wrapped + 0.14 * (0.5 - 0.5 * n.y);
    light *= mix(0.35, 1.0, smoothstep(0.0, 0.7, facing));
    float glint = 0.16 * pow(max(0.0, dot(n, normalize(key + toward))), 24.0);
    vec3 lit = colour * colour * light + glint;
    shown = vec4(sqrt(min(lit, 1.0)), 1.0) * alpha;
}
"""

_NUMBERED = """
#version 330
uniform int number;
out uint shown;
void main() { shown = uint(number); }
"""


class MeshView(Resource):
    """Draws meshes of one topology at a time. Owns a GL context: use it inside `with`, or close it.

    Every method takes vertices (one [V, 3] per person, m, camera space), faces ([F, 3], the same array for every
    frame: data derived from it is cached, so do not change it in place) and intrinsics ([3, 3], px of the image).
    A person with a non-finite vertex is left out. Methods raise ValueError for arrays of other shapes.

    Args:
        size: (width, height) px of the images; `draw` sets it to that of its image.
        samples: samples per pixel, for smooth outlines; limited to what the driver supports. 0 gives jagged outlines
            and is three times as fast on a CPU (Mesa's llvmpipe).

    Raises:
        MissingDependencyError: moderngl is not installed.
        HumanrtError: no GL context can be created.
    """

    def __init__(self, size: tuple[int, int] = (640, 480), *, samples: int = 4) -> None:
        self.size = size
        self._gl = _context(_import_moderngl())
        with self._gl as gl:
            gl.enable(gl.DEPTH_TEST)
            gl.front_face = "cw"  # image rows go down, and so do the buffer's: GL sees everything upside down
            self._samples = min(samples, int(gl.max_samples))
            self._lit = gl.program(vertex_shader=_VERTEX, fragment_shader=_LIT)
            self._numbered = gl.program(vertex_shader=_VERTEX, fragment_shader=_NUMBERED)
        self._topology: _Topology | None = None
        self._targets: dict[tuple[int, int, bool], _Target] = {}

    def draw(
        self,
        image: Image,
        vertices: Meshes,
        faces: Faces,
        intrinsics: npt.ArrayLike,
        colours: Colours,
        *,
        alpha: float = 0.85,
    ) -> Image:
        """Draw the meshes over a copy of the image.

        Args:
            image: RGB uint8 [H, W, 3]; not modified.
            vertices, faces, intrinsics: see `MeshView`.
            colours: RGB 0..255 of each person.
            alpha: 0 (invisible) to 1 (solid); where people overlap, only the nearest is visible.

        Returns:
            A new RGB uint8 [H, W, 3].
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image is {image.dtype} {list(image.shape)}; uint8 [H, W, 3] is needed")
        self.size = (image.shape[1], image.shape[0])
        painted = image.copy()
        camera = SceneCamera(_matrix(intrinsics))
        with self._gl:
            people = self._upload(vertices, faces)
            self._paint(painted, people, camera, _checked(colours, len(vertices)), alpha)
        return painted

    def mask(self, vertices: Meshes, faces: Faces, intrinsics: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """Return int32 [H, W] of `self.size`: at each pixel centre i + 1 if vertices[i] is in front, 0 if nobody."""
        if len(vertices) > MAX_PEOPLE:
            raise ValueError(f"{len(vertices)} people; a mask holds {MAX_PEOPLE}")
        with self._gl:
            people = self._upload(vertices, faces)
            numbers = self._number(self.size, people, SceneCamera(_matrix(intrinsics)).clip(self.size))
        return numbers.astype(np.int32)

    def side(
        self,
        vertices: Meshes,
        faces: Faces,
        intrinsics: npt.ArrayLike,
        colours: Colours,
        *,
        size: tuple[int, int] = (640, 360),
        floor: float | None = None,
        depth: float | None = None,
    ) -> Image:
        """Draw the scene from the camera's right and slightly above: the camera is at the left, depth to the right.

        Args:
            vertices, faces, intrinsics: see `MeshView`.
            colours: RGB 0..255 of each person.
            size: (width, height) px of the picture.
            floor: m below the camera; None is under the lowest vertex.
            depth: m shown; None follows the people, in steps. Set both this and ``floor`` for a fixed view.

        Returns:
            RGB uint8 [H, W, 3].
        """
        return self._scene("side", vertices, faces, intrinsics, colours, size, floor, depth)

    def top(
        self,
        vertices: Meshes,
        faces: Faces,
        intrinsics: npt.ArrayLike,
        colours: Colours,
        *,
        size: tuple[int, int] = (480, 480),
        floor: float | None = None,
        depth: float | None = None,
    ) -> Image:
        """Draw the scene from above: camera at the bottom, depth upwards, x to the right. Arguments as for `side`."""
        return self._scene("top", vertices, faces, intrinsics, colours, size, floor, depth)

    def close(self) -> None:
        """Free the GL context. May be called twice; nothing can be drawn afterwards."""
        if self._gl is not None:
            self._targets.clear()
            self._topology = None
            self._gl.release()
            self._gl = None

    def _upload(self, vertices: Meshes, faces: Faces) -> list[_Person]:
        """Upload the people that can be drawn to the device."""
        if not len(vertices):
            return []
        count = len(vertices[0])
        if any(np.shape(mesh) != (count, 3) for mesh in vertices):
            raise ValueError(f"vertices are {[np.shape(mesh) for mesh in vertices]}; each must be [V, 3] of one V")
        if self._topology is None or not self._topology.holds(faces, count):
            if self._topology is not None:
                self._topology.release()
            self._topology = None  # in case the next one is refused
            self._topology = _Topology(self._gl, (self._lit, self._numbered), faces, count)
        return self._topology.upload(vertices)

    def _paint(self, image: Image, people: list[_Person], camera: SceneCamera, colours: Points, alpha: float) -> None:
        """Draw into the image."""
        height, width = image.shape[:2]
        box = camera.box([person.vertices for person in people], (width, height))
        if box is None:
            return
        target = self._target((width, height), smooth=True)
        program = self._lit
        program["clip"].write(camera.clip((width, height)))
        program["eye"].value = tuple(camera.eye.tolist())
        program["key"].value = tuple((camera.rotation.T @ _KEY).tolist())
        program["alpha"].value = float(np.clip(alpha, 0.0, 1.0))
        target.begin()
        for person in people:
            program["colour"].value = tuple(colours[person.index].tolist())
            person.lit.render()
        x, y, w, h = box
        layer = target.read(box)
        patch = image[y : y + h, x : x + w]
        clear = cv2.cvtColor(255 - layer[..., 3], cv2.COLOR_GRAY2RGB)
        cv2.multiply(patch, clear, dst=clear, scale=1 / 255)
        patch[:] = cv2.add(clear, cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB), dst=clear)

    def _number(
        self, size: tuple[int, int], people: list[_Person], clip: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.uint16]:
        """Return the number of the person at each pixel, uint16 [H, W]; a view that the next call overwrites."""
        target = self._target(size, smooth=False)
        self._numbered["clip"].write(clip)
        target.begin()
        for person in people:
            self._numbered["number"].value = person.index + 1
            person.numbered.render()
        numbers: npt.NDArray[np.uint16] = target.read((0, 0, *size))[..., 0]
        return numbers

    def _scene(
        self,
        name: str,
        vertices: Meshes,
        faces: Faces,
        intrinsics: npt.ArrayLike,
        colours: Colours,
        size: tuple[int, int],
        floor: float | None,
        depth: float | None,
    ) -> Image:
        K = _matrix(intrinsics)
        checked = _checked(colours, len(vertices))
        with self._gl:
            people = self._upload(vertices, faces)
            room = Room.around([person.vertices for person in people], floor, depth)
            camera = room.seen_from(*VIEWS[name], size)
            image = room.picture(camera, size, K, self.size)
            if people:  # their shadows, straight down
                flat = np.diag([1.0, 0.0, 1.0, 1.0])
                flat[1, 3] = room.floor
                shadow = (self._number(size, people, camera.clip(size, flat)) > 0).view(np.uint8)
                darken(image, shadow)
            self._paint(image, people, camera, checked, 1.0)
        return image

    def _target(self, size: tuple[int, int], *, smooth: bool) -> _Target:
        """Return the framebuffer for pictures of this size; the last few are cached."""
        key = (*size, smooth)
        target = self._targets.pop(key, None) or _Target(
            self._gl, size, self._samples if smooth else 0, "f1" if smooth else "u2"
        )
        self._targets[key] = target
        if len(self._targets) > 6:
            self._targets.pop(next(iter(self._targets))).release()
        return target


_KEY = np.array([-0.56, -0.62, -0.55])  # towards the main light, in the axes of the viewing camera


@dataclass
class _Person:
    """A mesh on the device.

    Attributes:
        index: its index in the caller's sequence.
        vertices: float32 [V, 3], a copy.
    """

    index: int
    vertices: npt.NDArray[np.float32]
    normals: npt.NDArray[np.float32]
    buffers: tuple[Any, Any]
    lit: Any
    numbered: Any


class _Topology:
    """Faces on the device, and slots for the max number of people uploaded at once so far."""

    def __init__(self, gl: Any, programs: tuple[Any, Any], faces: Faces, count: int) -> None:
        """Upload ``faces`` of a mesh with ``count`` vertices."""
        faces = np.asarray(faces)
        if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces) or not np.issubdtype(faces.dtype, np.integer):
            raise ValueError(f"faces are {faces.dtype} {list(faces.shape)}; whole numbers [F, 3] are needed")
        if faces.min() < 0 or faces.max() >= count:
            raise ValueError(f"faces name vertices {faces.min()}..{faces.max()}; there are 0..{count - 1}")
        self._gl, self._programs, self._faces, self._count = gl, programs, faces, count
        self._indices = gl.buffer(np.ascontiguousarray(faces, np.int32).tobytes())
        self._corners = np.ascontiguousarray(faces.T, np.intp).ravel()
        self._corner_points = np.empty((3, 3, len(faces)), np.float32)  # coordinate, corner, face
        self._face_normals = np.empty((3, 3, len(faces)))
        self._slots: list[_Person] = []

    def holds(self, faces: Faces, count: int) -> bool:
        return count == self._count and (faces is self._faces or np.array_equal(faces, self._faces))

    def upload(self, vertices: Meshes) -> list[_Person]:
        people: list[_Person] = []
        for index, mesh in enumerate(vertices):
            if len(people) == len(self._slots):
                self._slots.append(self._slot())
            person = self._slots[len(people)]
            person.vertices[:] = mesh
            if not np.isfinite(person.vertices).all():
                continue
            person.index = index
            self._smooth(person.vertices, person.normals)
            person.buffers[0].write(person.vertices)
            person.buffers[1].write(person.normals)
            people.append(person)
        return people

    def release(self) -> None:
        for slot in self._slots:
            for thing in (slot.lit, slot.numbered, *slot.buffers):
                thing.release()
        self._indices.release()

    def _slot(self) -> _Person:
        vertices, normals = np.empty((2, self._count, 3), np.float32)
        at, outward = (self._gl.buffer(reserve=vertices.nbytes, dynamic=True) for _ in range(2))
        lit, numbered = self._programs
        return _Person(
            0,
            vertices,
            normals,
            (at, outward),
            self._gl.vertex_array(lit, [(at, "3f", "position"), (outward, "3f", "normal")], self._indices),
            self._gl.vertex_array(numbered, [(at, "3f", "position")], self._indices),
        )

    def _smooth(self, vertices: npt.NDArray[np.float32], normals: npt.NDArray[np.float32]) -> None:
        """Fill in normals [V, 3], not normalised: the area-weighted sum of the face normals around each vertex."""
        corners = self._corner_points
        np.take(np.ascontiguousarray(vertices.T), self._corners, axis=1, out=corners.reshape(3, -1), mode="clip")
        first, u, v = corners[:, 0], corners[:, 1], corners[:, 2]
        u -= first
        v -= first
        cross = self._face_normals
        for i, (j, k) in enumerate(((1, 2), (2, 0), (0, 1))):
            cross[i] = u[j] * v[k] - u[k] * v[j]  # once per corner, as bincount needs it
            normals[:, i] = np.bincount(self._corners, cross[i].ravel(), self._count)


class _Target:
    """A framebuffer and the memory it is read into. ``kind``: "f1", 8-bit RGBA, or "u2", 16-bit integers."""

    def __init__(self, gl: Any, size: tuple[int, int], samples: int, kind: str) -> None:
        width, height = size
        self._gl, self._kind = gl, kind
        self._channels = 4 if kind == "f1" else 1
        colour = gl.renderbuffer(size, self._channels, samples=samples, dtype=kind)
        self._drawn = gl.framebuffer([colour], gl.depth_renderbuffer(size, samples=samples))
        self._resolved = gl.framebuffer([gl.renderbuffer(size, self._channels, dtype=kind)]) if samples else self._drawn
        self._memory = np.empty(height * width * self._channels, np.uint8 if kind == "f1" else np.uint16)

    def begin(self) -> None:
        self._drawn.use()
        self._drawn.clear(depth=1.0)

    def read(self, box: tuple[int, int, int, int]) -> npt.NDArray[Any]:
        """Read the box x, y, width, height as [height, width, channels]; a view that the next call overwrites."""
        _, _, width, height = box
        if self._resolved is not self._drawn:
            self._gl.copy_framebuffer(self._resolved, self._drawn)
        memory = self._memory[: height * width * self._channels]
        self._resolved.read_into(memory, viewport=box, components=self._channels, alignment=1, dtype=self._kind)
        return memory.reshape(height, width, self._channels)

    def release(self) -> None:
        for buffer in {self._drawn, self._resolved}:
            for part in (*buffer.color_attachments, buffer.depth_attachment):
                if part is not None:
                    part.release()
            buffer.release()


def _matrix(intrinsics: npt.ArrayLike) -> Points:
    K = np.array(intrinsics, np.float64)
    if K.shape != (3, 3) or not np.isfinite(K).all() or K[0, 0] <= 0 or K[1, 1] <= 0:
        raise ValueError(f"intrinsics are {K.tolist()}; a finite [3, 3] with fx and fy above 0 is needed")
    return K


def _checked(colours: Colours, count: int) -> Points:
    """Return the colours as [count, 3] in 0..1; ValueError if they do not fit."""
    rgb = np.asarray(colours, np.float64).reshape(-1, 3) / 255
    if len(rgb) != count:
        raise ValueError(f"{len(rgb)} colours for {count} people")
    return rgb


def _import_moderngl() -> ModuleType:
    try:
        import moderngl
    except ImportError:
        raise MissingDependencyError("drawing meshes needs moderngl: `pip install 'humanrt[view]'`") from None
    module: ModuleType = moderngl
    return module


def _context(moderngl: ModuleType) -> Any:
    """Create a GL 3.3 context without a window: with EGL, else with what the platform offers."""
    reasons = []
    for settings in ({"backend": "egl"}, {}):
        try:
            return moderngl.create_context(standalone=True, require=330, **settings)
        except Exception as error:  # moderngl and glcontext raise bare Exception
            reasons.append(str(error))
    raise HumanrtError(
        f"OpenGL, needed to draw meshes, is not available (EGL: {reasons[0]}; display: {reasons[1]}); "
        "on Debian or Ubuntu: apt-get install libegl1 libgl1 libgl1-mesa-dri; or run without meshes"
    )
