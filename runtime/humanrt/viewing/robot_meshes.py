"""Meshes of a robot hand's links, from the visuals of its URDF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.geometry.skeleton import Array
from humanrt.retarget import RobotDescription
from humanrt.retarget.robot import Visual

__all__ = ["LinkMesh", "link_meshes"]


@dataclass(frozen=True)
class LinkMesh:
    """What is drawn of a link.

    Attributes:
        joint: that carries it; None: the base.
        vertices: [V, 3] m, in the joint's frame.
        faces: [F, 3].
    """

    joint: str | None
    vertices: Array
    faces: NDArray[np.int64]


def link_meshes(robot: RobotDescription) -> list[LinkMesh]:
    """Return the meshes of a hand that was read from a URDF; none if it has no visuals, or no file of them is there."""
    return [mesh for visual in robot.visuals if (mesh := _mesh(visual)) is not None]


def _mesh(visual: Visual) -> LinkMesh | None:
    """Return a visual's mesh; None if its file cannot be read."""
    import trimesh

    shape: Any
    if visual.kind == "box":
        shape = trimesh.creation.box(visual.size)
    elif visual.kind == "cylinder":
        shape = trimesh.creation.cylinder(radius=visual.size[0], height=visual.size[1], sections=24)
    elif visual.kind == "sphere":
        shape = trimesh.creation.icosphere(subdivisions=2, radius=visual.size[0])
    else:
        try:
            shape = trimesh.load(visual.file, force="mesh")
            shape.apply_scale(visual.size)
        except Exception:  # whatever a damaged file makes its reader say
            return None
    vertices = np.asarray(shape.vertices, np.float64)
    if not len(vertices) or not np.isfinite(vertices).all():
        return None
    return LinkMesh(visual.joint, vertices @ visual.pose[:3, :3].T + visual.pose[:3, 3], np.asarray(shape.faces))
