"""Visuals of a URDF: the shapes that its links are drawn with. Files are found here and opened by who draws them."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from humanrt.retarget.robot import Visual, rotation_of_rpy

__all__ = ["MESHES", "visuals_of"]

Array = NDArray[np.float64]

MESHES = (".stl", ".obj", ".ply", ".glb", ".gltf")
"""Suffixes of mesh files that are drawn."""
_PACKAGE = "package://"


def visuals_of(
    robot: ElementTree.Element, urdf: Path, carrier: Callable[[str], tuple[str | None, Array]]
) -> tuple[Visual, ...]:
    """Return the shapes of all links.

    Those that are not as a URDF has them, and meshes that are not there or of another kind, are left out: a hand moves
    without them.

    Args:
        robot: the URDF's root element.
        urdf: its file.
        carrier: the movable joint that carries a link, and the link's pose [4, 4] in that joint's frame.
    """
    found = []
    for link in robot.findall("link"):
        for visual in link.findall("visual"):
            try:
                joint, pose = carrier(link.attrib["name"])
                own = _pose(visual.find("origin"))
                found += [Visual(joint, pose @ own, *shape) for shape in _shapes(visual.find("geometry"), urdf)]
            except (KeyError, ValueError):
                continue
    return tuple(found)


def _pose(origin: ElementTree.Element | None) -> Array:
    pose = np.eye(4)
    if origin is not None:
        pose[:3, 3] = _numbers(origin.get("xyz", "0 0 0"), 3)
        pose[:3, :3] = rotation_of_rpy(_numbers(origin.get("rpy", "0 0 0"), 3))
    return pose


def _shapes(geometry: ElementTree.Element | None, urdf: Path) -> Iterator[tuple[str, tuple[float, ...], Path | None]]:
    """Yield kind, size and file of the shapes; ValueError or KeyError if one is malformed."""
    for shape in geometry if geometry is not None else ():
        if shape.tag == "box":
            yield "box", _numbers(shape.attrib["size"], 3), None
        elif shape.tag == "cylinder":
            yield "cylinder", _numbers(f"{shape.attrib['radius']} {shape.attrib['length']}", 2), None
        elif shape.tag == "sphere":
            yield "sphere", _numbers(shape.attrib["radius"], 1), None
        elif shape.tag == "mesh" and (path := _file(shape.attrib["filename"], urdf)):
            yield "mesh", _numbers(shape.get("scale", "1 1 1"), 3), path


def _file(name: str, urdf: Path) -> Path | None:
    """Return the file that a URDF names; of ``package://`` the package is looked for in the folders above the URDF."""
    if name.startswith(_PACKAGE):
        package, _, inside = name.removeprefix(_PACKAGE).partition("/")
        above = list(urdf.resolve().parents)
        places = [*(folder / package / inside for folder in above), *(folder / inside for folder in above)]
    else:
        places = [urdf.parent / name.removeprefix("file://")]
    return next((place for place in places if place.suffix.lower() in MESHES and place.is_file()), None)


def _numbers(given: str, count: int) -> tuple[float, ...]:
    values = tuple(float(value) for value in given.split())
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError(given)
    return values
