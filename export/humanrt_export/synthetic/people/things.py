"""Objects around people: ground, walls, boxes and pillars, in front of and behind them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from humanrt_export.synthetic.people.render import Thing
from humanrt_export.synthetic.people.style import Style
from humanrt_export.synthetic.people.view import View

__all__ = ["draw_prism", "draw_things"]

Array = NDArray[np.float64]


def draw_things(generator: np.random.Generator, style: Style, textures: int, spots: Array, view: View) -> list[Thing]:
    """Sample ground, walls, boxes and pillars, in world axes.

    Args:
        generator: source of all randomness.
        style: number and brightness.
        textures: number of textures to choose from.
        spots: [N, 3] m, joints of people, which things must not touch.
        view: the camera.
    """
    bright = 0.25 if style.heat else 1.0

    def tint() -> Array:
        return np.asarray(bright * generator.uniform(0.3, 1.1) * (1 + generator.uniform(-0.25, 0.25, 3)))

    def texture() -> int:
        return int(generator.integers(textures))

    things = []
    far = float(max((-spots[:, 2]).max(), 2.0)) if len(spots) else 5.0
    ground = generator.uniform() < style.ground
    if ground or generator.uniform() < 0.8:
        every = float(np.exp(generator.uniform(np.log(0.6), np.log(5.0))))
        corners = np.array([[-40, 0, 15], [40, 0, 15], [40, 0, -60], [-40, 0, -60]], np.float64)
        angle = generator.uniform(0, np.pi)
        turned = corners[:, [0, 2]] @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        things.append(_quad(corners, turned / every, texture(), tint(), bare=not ground))
    if ground and generator.uniform() < style.walls:
        high, paper = generator.uniform(2.3, 4.5), texture()
        back, wide = -far - generator.uniform(0.6, 5), generator.uniform(1.5, 6)
        reach = 0.6 + (float(np.abs(spots[:, 0]).max()) if len(spots) else 1.0)
        every, colour = generator.uniform(0.8, 4), tint()
        left, right = -max(wide, reach), max(wide, reach)
        panels = [
            [[left, 0, back], [right, 0, back]],
            [[left, 0, 15], [left, 0, back]],
            [[right, 0, back], [right, 0, 15]],
        ]
        for panel in panels[: int(generator.integers(1, 4))]:
            low = np.array(panel, np.float64)
            corners = np.concatenate([low, low[::-1] + np.array([0, high, 0])])
            long = float(np.linalg.norm(low[1] - low[0]))
            uv = np.array([[0, 0], [long, 0], [long, high], [0, high]]) / every
            things.append(_quad(corners, uv, paper, colour))
    for _ in range(int(generator.integers(0, style.props + 1))):
        size = np.exp(generator.uniform(np.log(0.08), np.log(1.2), 3)) * (1, generator.uniform(0.5, 2.2), 1)
        depth = generator.uniform(0.35, 1.5) * far
        spot = view.position + depth * view.turn[2] * (1, 0, 1)
        spot = spot + view.turn[0] * generator.uniform(-1, 1) * depth * np.tan(view.camera.fov / 2)
        bottom = generator.uniform(0, 1.5) if generator.uniform() < 0.15 else 0.0
        middle = np.array([spot[0], bottom + size[1] / 2, spot[2]])
        wide = float(np.hypot(size[0], size[2])) / 2
        gap = np.hypot(*(spots[:, [0, 2]] - middle[[0, 2]]).T).min() if len(spots) else 9.0
        if gap > wide + 0.16 and np.linalg.norm(middle - view.position) > wide + 0.5 * size[1] + 0.15:
            sides = 24 if generator.uniform() < 0.35 else 4
            things.append(draw_prism(middle, size, sides, generator.uniform(0, np.pi), texture(), tint()))
    if len(spots) and generator.uniform() < 0.08:  # something at a hand, or elsewhere on a body
        size = np.exp(generator.uniform(np.log(0.03), np.log(0.15), 3))
        middle = spots[generator.integers(len(spots))] + generator.normal(0, 0.05, 3)
        if view.see(middle)[2] > 0.3:
            things.append(draw_prism(middle, size, 4, generator.uniform(0, np.pi), texture(), tint()))
    return things


def _quad(corners: Array, uv: Array, texture: int, tint: Array, bare: bool = False) -> Thing:
    """Return a flat quadrilateral with these corners in order."""
    normal = np.cross(corners[1] - corners[0], corners[3] - corners[0])
    normal /= np.linalg.norm(normal)
    return Thing(
        corners.astype(np.float32),
        np.tile(normal, (4, 1)).astype(np.float32),
        uv.astype(np.float32),
        np.array([[0, 1, 2], [0, 2, 3]], np.int32),
        texture,
        tint,
        solid=False,
        bare=bare,
    )


def draw_prism(middle: Array, size: Array, corners: int, angle: float, texture: int, tint: Array) -> Thing:
    """Return an upright prism of size [3] m: four corners make a box, many a pillar."""
    at = angle + 2 * np.pi * (np.arange(corners + 1) + 0.5) / corners
    ring = np.stack([np.cos(at), np.sin(at)], axis=1) / (np.cos(np.pi / 4) if corners == 4 else 1.0) / 2
    vertices: list[Array] = []
    normals: list[Array] = []
    uv: list[Array] = []
    triangles: list[list[int]] = []
    for k in range(corners):
        low = np.column_stack([ring[k : k + 2, 0] * size[0], [-size[1] / 2] * 2, ring[k : k + 2, 1] * size[2]])
        base = len(vertices) * 4
        vertices.append(np.concatenate([low, low[::-1] + np.array([0, size[1], 0])]))
        out = np.array([ring[k : k + 2, 0].mean() * size[2], 0, ring[k : k + 2, 1].mean() * size[0]])
        normals.append(np.tile(out / np.linalg.norm(out), (4, 1)))
        wide = 4 * k / corners
        uv.append(np.array([[wide, 0], [wide + 4 / corners, 0], [wide + 4 / corners, 1], [wide, 1]]))
        triangles += [[base, base + 1, base + 2], [base, base + 2, base + 3]]
    base = 4 * corners
    lid = np.column_stack([ring[:-1, 0] * size[0], np.full(corners, size[1] / 2), ring[:-1, 1] * size[2]])
    triangles += [[base, base + k, base + k + 1] for k in range(1, corners - 1)]
    return Thing(
        np.concatenate([*vertices, lid]).astype(np.float32) + middle.astype(np.float32),
        np.concatenate([*normals, np.tile([0.0, 1.0, 0.0], (corners, 1))]).astype(np.float32),
        np.concatenate([*uv, ring[:-1] + 0.5]).astype(np.float32),
        np.array(triangles, np.int32),
        texture,
        tint,
    )
