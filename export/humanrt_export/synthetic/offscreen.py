"""Shared base of the rasterisers: a windowless GL context, a camera's projection, and the rendered image."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import MissingDependencyError
from humanrt_export.synthetic.hand_scene import Camera

__all__ = ["Offscreen", "in_context", "light_view"]


_Renderer = TypeVar("_Renderer", bound="Offscreen")
_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")


def in_context(
    method: Callable[Concatenate[_Renderer, _Args], _Result],
) -> Callable[Concatenate[_Renderer, _Args], _Result]:
    """Return the method with the renderer's context current while it runs, and the one before it afterwards.

    GL calls go to whichever context the thread has current: without this, a renderer that is used after another one
    (or a `MeshView`) was opened draws into that one's objects, or crashes. Calls must not be nested, as a context
    remembers only one predecessor.
    """

    @functools.wraps(method)
    def run(self: _Renderer, /, *args: _Args.args, **keywords: _Args.kwargs) -> _Result:
        with self.gl:
            return method(self, *args, **keywords)

    return run


class Offscreen:
    """A multisampled floating-point picture of one camera. A context manager that owns a GL context on EGL.

    Several may be open at once: methods that draw run `in_context`; `begin` and `picture` are called inside them.

    Attributes:
        camera: the camera.
        gl: the context; `moderngl` the package.
        drawn: the framebuffer to draw into.

    Raises:
        MissingDependencyError: moderngl or EGL is missing.
    """

    def __init__(self, camera: Camera, samples: int = 4) -> None:
        try:
            import moderngl
        except ImportError:
            raise MissingDependencyError(
                "rendering clips needs moderngl; install it with: pip install moderngl"
            ) from None
        try:
            self.gl: Any = moderngl.create_standalone_context(backend="egl")
        except Exception as error:
            raise MissingDependencyError(
                f"rendering clips needs EGL ({error}); on Debian: apt-get install libegl1 libgl1 libgl1-mesa-dri"
            ) from None
        self.camera, self.moderngl = camera, moderngl
        size = camera.size
        self.drawn = self.gl.framebuffer(
            [self.gl.renderbuffer(size, 4, samples=samples, dtype="f2")],
            self.gl.depth_renderbuffer(size, samples=samples),
        )
        self._resolved = self.gl.framebuffer([self.gl.renderbuffer(size, 4, dtype="f2")])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the GL context; the renderer is unusable afterwards."""
        self.gl.release()

    def begin(self) -> None:
        """Clear the image and make it the draw target."""
        self.gl.enable(self.moderngl.DEPTH_TEST)
        self.drawn.use()
        self.drawn.clear(0.0, 0.0, 0.0, 0.0, depth=1.0)

    def picture(self) -> NDArray[np.float32]:
        """Return the rendered image [H, W, 4]: linear RGB, premultiplied, and alpha."""
        self.gl.copy_framebuffer(self._resolved, self.drawn)
        pixels = np.frombuffer(self._resolved.read(components=4, dtype="f2"), dtype=np.float16)
        width, height = self.camera.size
        return pixels.reshape(height, width, 4)[::-1].astype(np.float32)

    def projection(self, near: float, far: float) -> NDArray[np.float64]:
        """Return [4, 4] from camera space (y down, z forward) to clip space, for depths from ``near`` to ``far`` m."""
        (fx, _, cx), (_, fy, cy), _ = self.camera.intrinsics
        width, height = self.camera.size
        return np.array(
            [
                [2 * fx / width, 0, 2 * cx / width - 1, 0],
                [0, -2 * fy / height, 1 - 2 * cy / height, 0],
                [0, 0, (far + near) / (far - near), -2 * far * near / (far - near)],
                [0, 0, 1, 0],
            ]
        )


def light_view(
    points: NDArray[np.float64], key: NDArray[np.float64], up: tuple[float, float, float], margin: float
) -> NDArray[np.float64]:
    """Return the orthographic view [4, 4] of points [N, 3] m from a light in direction ``key`` [3], for a shadow map.

    Args:
        points: vertices that cast shadows.
        key: unit vector towards the light.
        up: any direction not parallel to ``key``.
        margin: space around the points that is included, m.
    """
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    reach = float(np.linalg.norm(points - middle, axis=1).max()) + margin
    side = np.cross(key, up)
    side /= np.linalg.norm(side)
    axes = np.stack([side, np.cross(side, key), -key])  # depth grows away from the light
    result = np.eye(4)
    result[:3, :3] = axes / np.array([reach, reach, 2 * reach])[:, None]
    result[:3, 3] = -result[:3, :3] @ middle
    return result
