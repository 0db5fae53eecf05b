"""Rendering of a robot hand in its solved pose, in 3D with only numpy and OpenCV.

Capsules are ray-cast exactly, one ray per pixel of their bounding box, into a depth buffer; where the palm's capsules
form triangles, these are filled to one slab. The shading of a normal is looked up in an image of a lit ball, crevices
are darkened where the depth buffer lies behind its own blur, and outlines are smoothed last.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from humanrt.drawing.draw import DIM, PALETTE, PAPER, draw_text

__all__ = ["RobotView"]

Image = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]
Corners = list[tuple[tuple[int, int], tuple[int, int], tuple[int, int]]]

PALM = len(PALETTE) - 1
CUFF = PALM + 1  # colour of the stub of a forearm
COLOURS = np.vstack([PALETTE, [(96, 102, 116)]])
BALL = 64  # normals per side of the lit ball
RIM = 1.25  # radius to which the ball is drawn: the soft outline of a capsule lies outside 1
MIN_RADIUS = 2.0  # px; below it the soft outline would reach beyond RIM
FAR = np.float32(1e6)


class RobotView:
    """Draw a hand; the view does not move with the pose.

    Args:
        name: title above the hand.
        rotation: [3, 3], rotates the human wrist frame (x out of the palm, z towards the fingers) into the hand's base
            frame, as in hand descriptions.
        size: (width, height) px.
        around: of an arm: what is in the middle of the picture, [3] m in the base frame, and how far the arm reaches
            from there, m. None: a hand, whose wrist and fingers tell. ``rotation`` then turns a person's axes (forward,
            left, up) into the base frame.
    """

    def __init__(
        self,
        name: str,
        rotation: npt.ArrayLike | None = None,
        size: tuple[int, int] = (360, 480),
        around: tuple[npt.ArrayLike, float] | None = None,
    ) -> None:
        self.name = name
        self.size = size
        self._base = np.asarray(np.eye(3) if rotation is None else rotation, np.float64)
        self._balls = _lit_balls()
        self._empty = _backdrop(*size)
        self._frame: _Frame | None = None
        if around is not None:
            centre, reach = np.asarray(around[0], np.float64), 1.6 * around[1]
            foot = np.stack([np.zeros(3), -0.03 * reach * self._base[:, 2]])
            self._frame = _Frame(centre, reach, foot, [])

    def draw(
        self,
        segments: npt.ArrayLike,
        radii: npt.ArrayLike,
        fingers: npt.ArrayLike,
        *,
        orientation: npt.ArrayLike | None = None,
        angles: npt.ArrayLike | None = None,
        limits: npt.ArrayLike | None = None,
        note: str = "",
    ) -> Image:
        """Draw the picture, RGB uint8 [H, W, 3].

        Args:
            segments: [L, 2, 3] m, base frame, the first of the palm starting at the wrist.
            radii: [L] m.
            fingers: [L], 0 thumb to 4 little finger, -1 palm.
            orientation: [3, 3], columns are the wrist frame's axes in the camera's (x right, y down, z forward), to
                rotate the hand as the human's is rotated; None: palm to the viewer, fingers up.
            angles: [dof] rad, drawn as a strip of bars, empty at the lower limit.
            limits: [dof, 2] rad, of the angles.
            note: small text under the name.
        """
        image = self._empty.copy()
        segments = np.asarray(segments, np.float64)
        radii, fingers = np.asarray(radii, np.float64), np.asarray(fingers, np.int64)
        if len(segments):
            self._draw_hand(image, segments, radii, fingers, orientation)
        self._draw_words(image, note)
        if angles is not None and limits is not None:
            self._draw_angles(image, np.asarray(angles, np.float64), np.asarray(limits, np.float64))
        return image

    def _draw_hand(
        self,
        image: Image,
        segments: npt.NDArray[np.float64],
        radii: npt.NDArray[np.float64],
        fingers: npt.NDArray[np.int64],
        orientation: npt.ArrayLike | None,
    ) -> None:
        if self._frame is None:
            self._frame = _Frame.around(segments, fingers, self._base)
        frame = self._frame
        segments = np.concatenate([segments, frame.stub[None]])
        radii = np.append(radii, 1.5 * radii.max())
        colours = np.append(np.where(fingers < 0, PALM, fingers), CUFF)

        turn = _FRONT if orientation is None else np.asarray(orientation, np.float64)
        points = (segments - frame.centre) @ (turn @ self._base.T).T
        unit = min(0.80 * self.size[0], 0.62 * self.size[1])  # px, the hand's length in the picture
        # Perspective, as a warp of the scene: seen from 2.6 hands away; nearer points are larger.
        near = 2.6 / (2.6 + points[..., 2] / frame.reach) * (unit / frame.reach)
        points *= near[..., None]
        points[..., :2] += (self.size[0] / 2, self.size[1] * 0.48)
        thick = radii * near.mean(axis=1)

        scene = _Scene(self.size)
        for ends, radius, colour in zip(points, thick.tolist(), colours.tolist(), strict=True):
            scene.capsule(ends, radius, colour)
        for corners in frame.slab:
            scene.face(np.array([points[c] for c in corners]), float(np.mean([thick[c[0]] for c in corners])), PALM)
        scene.paint(image, self._balls, unit)

    def _draw_words(self, image: Image, note: str) -> None:
        u = min(self.size) / 360
        draw_text(image, self.name.replace("_", " "), (14 * u, 26 * u), 12 * u, PAPER, bold=True)
        if note:
            draw_text(image, note, (14 * u, 44 * u), 9 * u, DIM)

    def _draw_angles(self, image: Image, angles: npt.NDArray[np.float64], limits: npt.NDArray[np.float64]) -> None:
        """Draw one bar per joint, from its lower limit (empty) to its upper (full)."""
        width, height = self.size
        u = min(self.size) / 360
        share = (angles - limits[:, 0]) / np.maximum(limits[:, 1] - limits[:, 0], 1e-9)
        step = (width - 28 * u) / max(1, len(angles))
        top, bottom = round(height - 36 * u), round(height - 12 * u)
        for i, part in enumerate(np.nan_to_num(np.clip(share, 0, 1))):
            left = round(14 * u + i * step)
            right = max(left, round(14 * u + (i + 0.66) * step))
            level = round(bottom - part * (bottom - top))
            cv2.rectangle(image, (left, top), (right, bottom), (58, 64, 76), cv2.FILLED)
            cv2.rectangle(image, (left, level), (right, bottom), DIM, cv2.FILLED)


@dataclass(frozen=True)
class _Frame:
    """Pose-independent geometry of a hand, taken from the first pose drawn; metres, base frame."""

    centre: Points  # [3], in the middle of the picture
    reach: float  # from the wrist to the longest finger's tip
    stub: Points  # [2, 3], a piece of forearm
    slab: Corners  # faces of the palm

    @classmethod
    def around(cls, segments: Points, fingers: npt.NDArray[np.int64], base: Points) -> _Frame:
        palm = np.flatnonzero(fingers < 0)
        wrist = segments[palm[0] if len(palm) else 0, 0]
        lengths = np.linalg.norm(segments[:, 1] - segments[:, 0], axis=1)
        longest = max(float(lengths[fingers == finger].sum()) for finger in range(5))
        reach = float(lengths[palm].max(initial=0.0)) + longest
        aside, up = base[:, 1], base[:, 2]
        thumb = segments[fingers == 0].reshape(-1, 3)[:1]
        lean = float(np.sign((thumb - wrist) @ aside).sum())  # the thumb stands out to one side: make room
        return cls(
            centre=wrist + reach * (0.42 * up + 0.08 * lean * aside),
            reach=reach,
            stub=np.stack([wrist - 0.05 * reach * up, wrist - 0.22 * reach * up]),
            slab=_triangles(segments, palm),
        )


def _turned(yaw: float, pitch: float) -> npt.NDArray[np.float64]:
    """Return the wrist frame seen from the front of the palm, fingers up, then rotated by yaw and pitch degrees."""
    y, p = np.radians([yaw, pitch])
    front = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    return np.asarray(about_x @ about_y @ front)


_FRONT = _turned(yaw=18.0, pitch=8.0)


def _lit_balls() -> Image:
    """Render a lit ball of each colour, indexed by the normal's y and x: RGB [colours * BALL * BALL, 3]."""
    line = (np.arange(BALL) + 0.5 - BALL / 2) / (BALL / 2) * RIM
    nx, ny = np.meshgrid(line, line)
    norm = np.maximum(1.0, np.hypot(nx, ny))
    nx, ny = nx / norm, ny / norm
    nz = -np.sqrt(np.maximum(0.0, 1 - nx**2 - ny**2))  # towards the viewer
    normal = np.stack([nx, ny, nz], axis=-1)

    def light(*direction: float) -> npt.NDArray[np.float64]:
        d = np.array(direction)
        return np.asarray(normal @ (d / np.linalg.norm(d)))

    key = np.clip(0.25 + 0.75 * light(-0.55, -0.7, -0.75), 0, None)  # wrapped lighting: soft
    fill = np.clip(light(0.8, 0.3, -0.5), 0, None)
    rim = np.clip(1 + nz, 0, 1) ** 3 * np.clip(0.3 - 0.7 * ny, 0, 1)
    glint = np.clip(light(-0.42, -0.55, -1.0), 0, None) ** 42
    shade = 0.16 + 0.82 * key + 0.14 * fill
    balls = COLOURS[:, None, None] * shade[..., None] + (70 * rim + 95 * glint)[..., None]
    return np.asarray(np.clip(balls, 0, 255).reshape(-1, 3), np.uint8)


def _backdrop(width: int, height: int) -> Image:
    """Render a dark wall, a little lighter behind the hand."""
    x = np.linspace(-1, 1, width)[None]
    y = np.linspace(-1, 1, height)[:, None]
    glow = np.exp(-1.1 * (x**2 + (y + 0.1) ** 2))[..., None]
    dither = np.random.default_rng(0).uniform(0, 1, (height, width, 1))  # else the gradient shows banding
    return np.asarray(np.array([26, 29, 36]) + glow * np.array([38, 42, 50]) + dither, np.uint8)


class _Scene:
    """Depth buffer along z (px), with the colour and normal of each pixel."""

    def __init__(self, size: tuple[int, int]) -> None:
        width, height = size
        self._depth = np.full((height, width), FAR, np.float32)
        self._shade = np.full((height, width), -1, np.float32)  # row in the lit balls; -1: nothing there
        self._x = np.arange(width, dtype=np.float32)[None]
        self._y = np.arange(height, dtype=np.float32)[:, None]
        self._edges: list[tuple[npt.NDArray[np.intp], Array, Array, Array]] = []

    def _box(self, low: Points, high: Points) -> tuple[slice, slice]:
        """Return the rows and columns of the pixels between two corners (x, y) px."""
        height, width = self._depth.shape
        (x0, y0), (x1, y1) = low.tolist(), high.tolist()
        return (
            slice(max(0, min(height, int(y0))), max(0, min(height, int(y1) + 2))),
            slice(max(0, min(width, int(x0))), max(0, min(width, int(x1) + 2))),
        )

    def capsule(self, ends: Points, radius: float, colour: int) -> None:
        """Cast a capsule with ends [2, 3] px."""
        a, axis, radius = ends[0], ends[1] - ends[0], max(radius, MIN_RADIUS)
        box = self._box(ends[:, :2].min(0) - radius - 1, ends[:, :2].max(0) + radius + 1)
        x, y = self._x[:, box[1]] - np.float32(a[0]), self._y[box[0]] - np.float32(a[1])
        if not x.size or not y.size:
            return
        ux, uy, uz = axis.tolist()
        flat, (ex, ey) = math.hypot(ux, uy), (1.0, 0.0)
        if flat > 1e-3:
            ex, ey = ux / flat, uy / flat
        flat = max(flat, 1e-3)  # seen along its axis, any direction in the picture will do
        length = math.hypot(flat, uz)
        # In the picture plane: a pixel lies `along` the axis from a and `beside` it. Its ray hits the cylinder
        # at `height` in front of the axis, and that point projects onto the axis at s, 0..1 between the ends.
        along, beside = x * ex + y * ey, x * ey - y * ex
        square = beside * beside
        height = np.sqrt(np.maximum(radius * radius - square, 0))
        s = along * (1 / flat) - height * (uz / (flat * length))
        np.clip(s, 0, 1, out=s)
        # Beyond the ends the projection is the end itself, and the ray hits the ball around it: the same formula.
        nx, ny = x - s * ux, y - s * uy
        depth = s * uz - np.sqrt(np.maximum(radius * radius - nx * nx - ny * ny, 0))
        depth += np.float32(a[2])
        shade = _ball_row(nx / radius, ny / radius, colour)

        # The outline is that of the flat capsule, whatever the tilt, and soft for half a pixel on both sides.
        beyond = along - np.clip(along, 0, flat)
        inside = radius * radius - square - beyond * beyond
        whole = inside >= radius
        seen = whole & (depth < self._depth[box])
        np.copyto(self._depth[box], depth, where=seen)
        np.copyto(self._shade[box], shade, where=seen)
        row, column = np.nonzero((inside > -radius) & ~whole)
        cover = inside[row, column] / (2 * radius) + 0.5
        at = (row + box[0].start) * self._depth.shape[1] + column + box[1].start
        self._edges.append((at, depth[row, column], shade[row, column], cover))

    def face(self, corners: Points, lift: float, colour: int) -> None:
        """Cast a triangle with corners [3, 3] px, moved towards the viewer by lift px. Capsules cover its border."""
        normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
        if abs(normal[2]) < 1e-3:
            return  # seen edge-on
        normal *= -np.sign(normal[2]) / np.linalg.norm(normal)
        a, b, c = corners + normal * lift
        low, high = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
        box = self._box(low[:2], high[:2])
        x, y = self._x[:, box[1]] - np.float32(a[0]), self._y[box[0]] - np.float32(a[1])
        b, c = b - a, c - a
        area = b[0] * c[1] - b[1] * c[0]
        v = x * np.float32(c[1] / area) - y * np.float32(c[0] / area)
        w = y * np.float32(b[0] / area) - x * np.float32(b[1] / area)
        depth = v * np.float32(b[2]) + w * np.float32(c[2]) + np.float32(a[2])
        seen = (v >= 0) & (w >= 0) & (v + w <= 1) & (depth < self._depth[box])
        np.copyto(self._depth[box], depth, where=seen)
        self._shade[box][seen] = _ball_row(np.float32(normal[0]), np.float32(normal[1]), colour)

    def paint(self, image: Image, balls: Image, unit: float) -> None:
        """Shade the nearest surfaces into the picture.

        Args:
            image: RGB uint8 [H, W, 3], drawn into.
            balls: see `_lit_balls`.
            unit: the hand's length in px, for the size of shadows.
        """
        mask = self._shade >= 0
        deepest = float(np.max(self._depth, where=mask, initial=-FAR)) + 0.3 * unit
        depth = cv2.min(self._depth, deepest)
        blur = max(3, int(unit / 14) | 1)
        crevice = (depth - cv2.blur(depth, (blur, blur))) * np.float32(5.0 / unit)
        bright = np.where(mask, 1 - np.clip(crevice, 0, 0.55, out=crevice), self._wall(mask, unit))
        rows = np.maximum(self._shade, 0, out=self._shade).astype(np.int32)
        picture = np.take(balls, rows, axis=0)
        cv2.copyTo(image, (~mask).view(np.uint8), picture)
        cv2.multiply(picture, cv2.merge([bright] * 3), dst=image, dtype=cv2.CV_8U)

        at, near, shade, cover = (np.concatenate(part) for part in zip(*self._edges, strict=True))
        seen = near < depth.ravel()[at] + 1
        at, cover = at[seen], cover[seen, None]
        flat = image.reshape(-1, 3)
        colour = balls[shade[seen].astype(np.int32)]
        flat[at] = (flat[at] * (1 - cover) + colour * cover).astype(np.uint8)

    def _wall(self, mask: npt.NDArray[np.bool_], unit: float) -> Array:
        """Return the brightness of the wall behind: a soft shadow, down and to the right, away from the light."""
        height, width = mask.shape
        eighth = (max(1, width // 8), max(1, height // 8))
        small = cv2.resize(mask.view(np.uint8) * 255, eighth, interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small.astype(np.float32), (0, 0), max(1.0, unit / 144))
        move = np.array([[1, 0, unit / 160], [0, 1, unit / 114]], np.float32)
        small = 1 - cv2.warpAffine(small, move, (small.shape[1], small.shape[0])) * np.float32(0.55 / 255)
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _ball_row(nx: Array | np.float32, ny: Array | np.float32, colour: int) -> Array:
    """Return the row of a normal's colour in the lit balls: an integer, as float32. |n| may reach RIM."""
    half = np.float32(BALL / 2 / RIM)
    middle = np.float32(BALL / 2)
    row = np.floor(ny * half + (middle + colour * BALL)) * BALL
    return np.asarray(row + np.floor(nx * half + middle), np.float32)


def _triangles(segments: Points, palm: npt.NDArray[np.intp]) -> Corners:
    """Return the triangles that the palm's capsules form, as corners: ends (segment, 0 or 1) of capsules."""
    first: dict[tuple[float, ...], tuple[int, int]] = {}
    edges = set()
    for i in palm.tolist():
        keys = [tuple(np.round(segments[i, end], 6).tolist()) for end in (0, 1)]
        corners = [first.setdefault(key, (i, end)) for end, key in enumerate(keys)]
        edges.add((min(corners), max(corners)))
    return [(a, b, c) for a, b in sorted(edges) for c in sorted(set(first.values())) if {(a, c), (b, c)} <= edges]
