"""Pinhole cameras and letterboxes: all maths of pixels and intrinsics is here.

Frame: x right, y down, z forward, metres. Pixels: the origin is the top left corner of the image, so the centre of its
first pixel is (0.5, 0.5), and the middle of an image of width W is W / 2. OpenCV's calibration puts the origin at the
centre of that pixel: add 0.5 to its principal point.

K is ``[[fx, s, cx], [0, fy, cy], [0, 0, 1]]`` in pixels.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from humanrt.errors import HumanrtError

__all__ = [
    "CameraError",
    "Letterbox",
    "check_image",
    "check_intrinsics",
    "directions",
    "field_of_view_intrinsics",
    "focal_length",
    "project",
    "read_intrinsics",
]

Floats = NDArray[np.floating[Any]]

_MIN_FOCAL_LENGTH, _MAX_ENTRY = 1e-3, 1e7  # px, of focal lengths and all other entries of K
_MAX_FILE_BYTES = 1 << 20  # bytes, of a file with nine numbers


class CameraError(HumanrtError, ValueError):
    """Intrinsics or a field of view are impossible."""


def focal_length(extent: float, field_of_view: float) -> float:
    """Return the focal length in px of a camera that sees ``extent`` px under ``field_of_view`` degrees.

    Raises:
        CameraError: the angle is not between 1 and 179 degrees.
    """
    if not isinstance(field_of_view, float | int | np.number):
        raise CameraError(f"field of view must be a number of degrees, not {field_of_view!r:.60}")
    if not 1.0 <= field_of_view <= 179.0:
        raise CameraError(f"field of view is {field_of_view:g} degrees; give 1 to 179 (usual webcams: 50 to 80)")
    return extent / (2.0 * math.tan(math.radians(field_of_view) / 2.0))


def field_of_view_intrinsics(
    size: tuple[int, int], field_of_view: float, centre: tuple[float, float] | None = None
) -> NDArray[np.float64]:
    """Return K [3, 3] of a camera with square pixels whose longer side spans ``field_of_view`` degrees.

    Args:
        size: (width, height) px.
        field_of_view: degrees.
        centre: principal point, px; None is the middle of the image.
    """
    f = focal_length(max(size), field_of_view)
    x, y = centre or (size[0] / 2, size[1] / 2)
    return np.array([[f, 0.0, x], [0.0, f, y], [0.0, 0.0, 1.0]])


def check_image(rgb: NDArray[Any]) -> None:
    """Raise ValueError if an image is not uint8 [H, W, 3] with at least one pixel."""
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ValueError(f"an image must be uint8 [H, W, 3], not {rgb.dtype} {list(rgb.shape)}{_remedy(rgb)}")


def _remedy(image: NDArray[Any]) -> str:
    """Return what makes an image of another kind the right one, where that is known."""
    shape = image.shape
    if image.dtype.kind == "f" and image.ndim == 3:
        return "; of floats from 0 to 1: (image * 255).round().astype(np.uint8)"
    if image.dtype != np.uint8 or not image.size:
        return ""
    if image.ndim == 2 or (image.ndim == 3 and shape[2] == 1):
        return "; of a grey one: cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)"
    if image.ndim == 3 and shape[2] == 4:
        return "; without its alpha: image[..., :3]"
    if image.ndim == 3 and shape[0] == 3:
        return "; with its channels last: image.transpose(1, 2, 0)"
    return ""


def check_intrinsics(K: ArrayLike, count: int | None = None) -> NDArray[np.float64]:
    """Check K and return it as float64 [3, 3], or [count, 3, 3] with a single matrix repeated.

    Raises:
        CameraError: K has another shape, is not finite or not upper triangular, has focal lengths that are not
            positive, or absurd numbers.
    """
    try:
        matrix = np.asarray(K, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise CameraError(f"intrinsics are not numbers ({error}); give K as a 3 x 3 matrix in pixels") from None
    wanted = [3, 3] if count is None else [count, 3, 3]
    if count is not None and matrix.shape == (3, 3):
        matrix = np.broadcast_to(matrix, wanted)
    if list(matrix.shape) != wanted:
        raise CameraError(f"intrinsics have shape {list(matrix.shape)}, not {wanted}; give K as a matrix in pixels")
    if not np.isfinite(matrix).all():
        raise CameraError("intrinsics contain NaN or infinity")
    if not ((matrix[..., 0, 0] > 0).all() and (matrix[..., 1, 1] > 0).all()):
        raise CameraError("intrinsics: the focal lengths K[0][0] and K[1][1] must be above 0 px")
    if (
        np.abs(matrix).max(initial=0) > _MAX_ENTRY
        or min(matrix[..., 0, 0].min(), matrix[..., 1, 1].min()) < _MIN_FOCAL_LENGTH
    ):
        raise CameraError(
            f"intrinsics must be pixels: focal lengths of {_MIN_FOCAL_LENGTH:g} px at least, nothing above 1e7"
        )
    if np.any(matrix[..., 1, 0]) or np.any(matrix[..., 2, :] != (0.0, 0.0, 1.0)):
        raise CameraError("intrinsics are not [[fx, s, cx], [0, fy, cy], [0, 0, 1]]; is K transposed?")
    return matrix


def read_intrinsics(text: str) -> NDArray[np.float64]:
    """Read K [3, 3] from ``FX,FY,CX,CY`` in px, or from a file: .npy, .json, or .txt with three rows of three numbers.

    Raises:
        CameraError: the text is neither, or the file holds no valid intrinsics.
    """
    numbers = text.split(",")
    if len(numbers) > 1:
        try:
            fx, fy, cx, cy = map(float, numbers)
        except ValueError:
            raise CameraError(f"intrinsics `{text}` are not FX,FY,CX,CY in pixels, nor a file") from None
        return check_intrinsics(np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]]))
    path = Path(text)
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise ValueError("the file is too large for a 3 x 3 matrix")
        if path.suffix == ".npy":
            matrix = np.load(path, allow_pickle=False)
        elif path.suffix == ".json":
            matrix = json.loads(path.read_text(encoding="utf-8"))
        else:
            matrix = np.loadtxt(path)
    except (OSError, ValueError, EOFError, MemoryError, RecursionError, OverflowError, TypeError) as error:
        raise CameraError(f"{text}: cannot read intrinsics ({error}); give FX,FY,CX,CY or a 3 x 3 matrix") from None
    try:
        return check_intrinsics(matrix)
    except CameraError as error:
        raise CameraError(f"{text}: {error}") from None


def project(points: Floats, K: Floats) -> NDArray[np.float64]:
    """Project points [..., 3] m in camera space to pixels [..., 2].

    Points behind the camera have no image: they are projected to their mirror image through the camera centre, so check
    their z. A point in the plane of the camera (z = 0) gives NaN or infinity.
    """
    image = np.asarray(points, np.float64) @ np.asarray(K, np.float64).T
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels: NDArray[np.float64] = image[..., :2] / image[..., 2:]
    return pixels


def directions(pixels: Floats, K: Floats) -> NDArray[np.float64]:
    """Return the ray directions x / z and y / z [..., 2] of pixels [..., 2]."""
    u, v = np.moveaxis(np.asarray(pixels, np.float64), -1, 0)
    y = (v - K[1, 2]) / K[1, 1]
    return np.stack([(u - K[0, 2] - K[0, 1] * y) / K[0, 0], y], axis=-1)


@dataclass(frozen=True)
class Letterbox:
    """An image fitted into a network's input: aspect ratio kept, centred, the rest padded.

    Attributes:
        source: (width, height) px of the image.
        size: (width, height) px of the input; most are square.
        scaled: (width, height) px of the image in the input.
        offset: (x, y) px of the scaled image's top left corner in the input.
    """

    source: tuple[int, int]
    size: tuple[int, int]
    scaled: tuple[int, int]
    offset: tuple[int, int]

    @classmethod
    def fit(cls, source: tuple[int, int], size: int | tuple[int, int]) -> Letterbox:
        """Return the letterbox of an image (width, height), rounded like Pillow's `ImageOps.pad`, as networks need.

        Args:
            source: (width, height) px of the image.
            size: (width, height) px of the input, or the side of a square one.
        """
        across, down = size = (size, size) if isinstance(size, int) else size
        width, height = source
        if width * down >= height * across:
            scaled = (across, max(1, round(height / width * across)))
        else:
            scaled = (max(1, round(width / height * down)), down)
        return cls(source, size, scaled, (round((across - scaled[0]) / 2), round((down - scaled[1]) / 2)))

    @property
    def scale(self) -> tuple[float, float]:
        """Scale from image px to input px, horizontal and vertical: equal except for the rounding of `scaled`."""
        return self.scaled[0] / self.source[0], self.scaled[1] / self.source[1]

    def points_to_input(self, points: Floats) -> NDArray[np.float64]:
        """Map pixels [..., 2] of the image to the input."""
        return np.asarray(points, np.float64) * self.scale + self.offset

    def points_to_source(self, points: Floats) -> NDArray[np.float64]:
        """Map pixels [..., 2] of the input to the image."""
        return (np.asarray(points, np.float64) - self.offset) / self.scale

    def intrinsics_to_input(self, K: Floats) -> NDArray[np.float64]:
        """Convert K [3, 3] of the image to K of the input."""
        return self._matrix() @ np.asarray(K, np.float64)

    def intrinsics_to_source(self, K: Floats) -> NDArray[np.float64]:
        """Convert K [3, 3] of the input to K of the image."""
        (sx, sy), (x, y) = self.scale, self.offset
        inverse = np.array([[1 / sx, 0.0, -x / sx], [0.0, 1 / sy, -y / sy], [0.0, 0.0, 1.0]])
        return inverse @ np.asarray(K, np.float64)

    def _matrix(self) -> NDArray[np.float64]:
        """Matrix [3, 3] from homogeneous pixels of the image to those of the input."""
        (sx, sy), (x, y) = self.scale, self.offset
        return np.array([[sx, 0.0, x], [0.0, sy, y], [0.0, 0.0, 1.0]])
