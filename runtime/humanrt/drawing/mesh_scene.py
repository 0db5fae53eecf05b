"""Side and top views of meshes: a room with a floor, and cameras that look into it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from humanrt.drawing.colours import Colour
from humanrt.drawing.draw import DIM, draw_text

__all__ = ["GRID", "GROUND", "NEAR", "SIGHT", "VIEWS", "Image", "Points", "Room", "SceneCamera", "darken"]

Image = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]
NEAR = 0.05  # m; anything nearer to the camera, or behind it, is clipped
GROUND = (40, 44, 52)
GRID = (72, 78, 90)
SIGHT = (255, 186, 66)  # the camera and its field of view


@dataclass(frozen=True)
class SceneCamera:
    """A pinhole camera placed in camera space; its rotation maps camera space to its own axes."""

    intrinsics: Points  # [3, 3] px
    rotation: Points = field(default_factory=lambda: np.eye(3))
    eye: Points = field(default_factory=lambda: np.zeros(3))
    near: float = NEAR

    def project(self, points: npt.ArrayLike) -> Points:
        """Project points [..., 3] m to pixels [..., 2]."""
        p = (np.asarray(points, np.float64) - self.eye) @ (self.intrinsics @ self.rotation).T
        return np.asarray(p[..., :2] / p[..., 2:])

    def clip(self, size: tuple[int, int], before: Points | None = None) -> npt.NDArray[np.float32]:
        """Return the matrix [4, 4] to GL clip space for a picture of ``size``; its first row is the buffer's first."""
        (fx, skew, cx), (_, fy, cy), _ = self.intrinsics
        width, height = size
        lens = np.array(
            [
                [2 * fx / width, 2 * skew / width, 2 * cx / width - 1, 0],
                [0, 2 * fy / height, 2 * cy / height - 1, 0],
                [0, 0, 1, -2 * self.near],  # no far plane
                [0, 0, 1, 0],
            ]
        )
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = self.rotation, -self.rotation @ self.eye
        whole = lens @ pose if before is None else lens @ pose @ before
        return np.ascontiguousarray(whole.T, np.float32)

    def box(self, meshes: Sequence[npt.NDArray[np.float32]], size: tuple[int, int]) -> tuple[int, int, int, int] | None:
        """Return x, y, width, height (px) of the area that meshes may cover in a picture of ``size``; None if empty."""
        width, height = size
        turn = (self.intrinsics @ self.rotation).astype(np.float32)
        shift = -turn @ self.eye.astype(np.float32)
        low, high = np.full(2, np.inf), np.full(2, -np.inf)
        for mesh in meshes:
            x, y, z = turn @ mesh.T + shift[:, None]
            if z.max() <= self.near:
                continue
            if z.min() <= self.near:  # crosses the near plane: may cover anything
                return 0, 0, width, height
            u, v = np.divide(x, z, out=x), np.divide(y, z, out=y)
            low = np.minimum(low, (u.min(), v.min()))
            high = np.maximum(high, (u.max(), v.max()))
        x0, y0 = np.clip(np.floor(low) - 1, 0, size).tolist()
        x1, y1 = np.clip(np.ceil(high) + 1, 0, size).tolist()
        return (int(x0), int(y0), int(x1 - x0), int(y1 - y0)) if x1 > x0 and y1 > y0 else None


@dataclass(frozen=True)
class Room:
    """The visible part of the scene, m: ``depth`` ahead, ``floor`` below the camera, ``half`` to its left and right."""

    depth: float
    half: float
    floor: float

    @classmethod
    def around(cls, meshes: Sequence[npt.NDArray[np.float32]], floor: float | None, depth: float | None) -> Room:
        low, high = np.array([-0.5, 0, 0]), np.array([0.5, 0, 2.0])
        for mesh in meshes:
            low, high = np.minimum(low, mesh.min(axis=0)), np.maximum(high, mesh.max(axis=0))
        if floor is None:
            floor = float(max(mesh[:, 1].max() for mesh in meshes)) if meshes else 1.5
        if depth is None:
            depth = next((step for step in _DEPTHS if step >= high[2] + 0.3), _DEPTHS[-1])
        depth = max(depth, 0.5)
        half = min(max(1.0, math.ceil(max(-low[0], high[0]) + 0.2)), 2 * depth)
        return cls(depth, half, max(floor, 0.1))

    @property
    def corners(self) -> Points:
        """Return the corners [8, 3] m; the room is tall enough for a standing person."""
        top = min(-0.2, self.floor - 1.9)
        x, y, z = (-self.half, self.half), (top, self.floor), (0.0, self.depth)
        return np.array([(a, b, c) for a in x for b in y for c in z])

    def seen_from(self, turn: Points, far: float, size: tuple[int, int]) -> SceneCamera:
        """Return a camera ``far`` times the room's half-diagonal away, its focal length so that the room just fits."""
        corners = self.corners
        middle = corners.mean(axis=0)
        away = far * float(np.linalg.norm(corners[0] - middle))
        eye = middle - turn[2] * away
        plain = SceneCamera(np.eye(3), turn, eye).project(corners)
        low, high = plain.min(axis=0), plain.max(axis=0)
        focal = float((0.88 * np.array(size) / (high - low)).min())
        cx, cy = np.array(size) / 2 - focal * (low + high) / 2
        return SceneCamera(np.array([[focal, 0, cx], [0, focal, cy], [0, 0, 1.0]]), turn, eye, away / 4)

    def picture(self, camera: SceneCamera, size: tuple[int, int], intrinsics: Points, seen: tuple[int, int]) -> Image:
        """Draw the floor, and the camera that took an image of size `seen` with these intrinsics."""
        width, height = size
        image = np.empty((height, width, 3), np.uint8)
        image[:] = GROUND
        u = min(size) / 360
        step = 1.0 if self.depth <= 12 else 5.0

        def line(a: Sequence[float] | Points, b: Sequence[float] | Points, colour: Colour, thick: float = 1.0) -> None:
            ends = np.rint(camera.project(np.array([a, b])) * 16 - 8).astype(int).tolist()
            cv2.line(image, ends[0], ends[1], colour, max(1, round(thick * u)), cv2.LINE_AA, 4)

        rays = np.array([[x, y, 1.0] for x, y in ((0, 0), (seen[0], 0), seen, (0, seen[1]))])
        rays = rays @ np.linalg.inv(intrinsics).T
        rays /= rays[:, 2:]
        self._light(image, camera, rays)
        for z in np.arange(0, self.depth + 0.01, step).tolist():
            line((-self.half, self.floor, z), (self.half, self.floor, z), GRID)
        across = math.floor(self.half / step) * step
        for x in np.arange(-across, across + 0.01, step).tolist():
            line((x, self.floor, 0), (x, self.floor, self.depth), GRID)

        low, high = self.corners.min(axis=0), self.corners.max(axis=0)
        with np.errstate(divide="ignore"):
            far = np.where(rays > 0, high / rays, low / rays).min(axis=1)  # where each ray leaves the room
        near = 0.06 * self.depth / max(1.0, float(np.abs(rays).max()))
        for i, ray in enumerate(rays):  # to the edge of the room
            line((0, 0, 0), ray * far[i], _mixed(SIGHT, GROUND, 0.35))
        for i, ray in enumerate(rays):
            line((0, 0, 0), ray * near, SIGHT, 1.5)
            line(ray * near, rays[i - 1] * near, SIGHT, 1.5)

        at = (1 if camera.rotation[0, 2] > 0.5 else -1) * self.half  # labels on the side facing the viewer, or left
        every = step if self.depth / step <= 6 else 2 * step
        for z in np.arange(every, self.depth + 0.01, every).tolist():
            x, y = camera.project((at, self.floor, z)).tolist()
            drop = (-8 * u, 14 * u) if at > 0 else (-22 * u, 3 * u)
            draw_text(image, f"{z:.0f} m", (x + drop[0], y + drop[1]), 7.5 * u, DIM)
        return image

    def _light(self, image: Image, camera: SceneCamera, rays: Points) -> None:
        """Lighten the floor between the left and right borders of the camera's field of view."""
        left, right = np.clip([rays[:, 0].min(), rays[:, 0].max()], -4.0, 4.0) * self.depth
        masks = []
        for xz in (
            [(0, 0), (left, self.depth), (right, self.depth)],
            [(-self.half, 0), (self.half, 0), (self.half, self.depth), (-self.half, self.depth)],
        ):
            points = camera.project([(x, self.floor, z) for x, z in xz])
            mask = np.zeros(image.shape[:2], np.uint8)
            masks.append(cv2.fillPoly(mask, [np.rint(points * 16 - 8).astype(np.int32)], 255, cv2.LINE_AA, 4))
        share = cv2.min(*masks)[..., None] * np.float32(0.10 / 255)
        image[:] = image + share * (np.array(SIGHT, np.float32) - image)


_DEPTHS = (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50)


def _elevated(degrees: float) -> Points:
    """Return the rotation of a view from the right, ``degrees`` above the horizon.

    Rows are right, down and forward of the picture in camera space.
    """
    down, along = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    forward = np.array([-along, down, 0.0])
    right = np.array([0.0, 0.0, 1.0])
    return np.stack([right, np.cross(forward, right), forward])


VIEWS = {  # rotation and distance; from above almost without perspective, so that it reads like a map
    "side": (_elevated(14.0), 4.0),
    "top": (np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]), 40.0),
}


def darken(image: Image, shadow: Image) -> None:
    """Draw soft shadows where `shadow` [H, W] is 1."""
    soft = cv2.GaussianBlur(shadow * np.uint8(140), (0, 0), max(1.0, min(shadow.shape) / 160))
    cv2.multiply(image, cv2.cvtColor(255 - soft, cv2.COLOR_GRAY2RGB), dst=image, scale=1 / 255)


def _mixed(a: Colour, b: Colour, share: float) -> Colour:
    red, green, blue = (round(share * x + (1 - share) * y) for x, y in zip(a, b, strict=True))
    return (red, green, blue)
