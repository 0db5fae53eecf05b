"""Drawing of results: meshes over the image if they can be drawn, else skeletons; labels; timings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from humanrt.drawing.colours import colour_of
from humanrt.drawing.draw import Hud, compose, panel_size
from humanrt.drawing.mesh_view import MeshView
from humanrt.errors import HumanrtError
from humanrt.hands.robot_panels import RobotPanels
from humanrt.hands.view import draw_hands
from humanrt.people.draw import bones, draw_ghosts, draw_labels, draw_skeletons
from humanrt.people.holistic_pipeline import HolisticResult
from humanrt.people.pipeline import PeopleResult
from humanrt.retarget import RobotDescription

__all__ = ["PANELS", "PeoplePainter", "open_mesh_view"]

Image = NDArray[np.uint8]

PANELS = ("side", "top")


def open_mesh_view(report: Callable[[str], None]) -> MeshView | None:
    """Open the mesh renderer; if that fails, return None and pass the reason to ``report``."""
    try:
        return MeshView()
    except HumanrtError as error:
        report(f"drawing skeletons instead of meshes: {error}")
        return None


class PeoplePainter:
    """Draw results, always in one size for frames of one size.

    Args:
        faces: [F, 3] triangles of every mesh.
        joint_names: names of the joints, for the skeleton.
        meshes: draws meshes; None draws skeletons.
        panels: additional views beside the picture, of `PANELS`; these need ``meshes``.
        robots: robots that people's hands and arms move, by name; each gets a panel.
    """

    def __init__(
        self,
        faces: NDArray[np.int32],
        joint_names: Sequence[str],
        meshes: MeshView | None,
        panels: Sequence[str] = (),
        robots: Mapping[str, RobotDescription] | None = None,
    ) -> None:
        self._faces = faces
        self._bones = bones(joint_names)
        self._meshes = meshes
        self._panels = panels if meshes else ()
        self._robots = RobotPanels(robots or {})
        self._hud = Hud()

    def __call__(self, result: PeopleResult, *, dropped: int | None = None) -> Image:
        """Draw the picture, RGB uint8 [H, W, 3], of even width and height."""
        people = result.people
        colours = [colour_of(identity) for identity in result.ids]
        vertices: Sequence[NDArray[np.float32]] = [] if people.vertices is None else list(people.vertices)
        if not vertices:
            colours = []
        if self._meshes and vertices:
            image = self._meshes.draw(result.frame.image, vertices, self._faces, people.intrinsics, colours)
        else:
            image = result.frame.image.copy()
            draw_skeletons(image, people, result.ids, self._bones)
        draw_ghosts(image, result.forecasts, people.intrinsics)
        draw_labels(image, people, result.ids, result.filled)
        self._hud(image, result.ms, dropped=dropped)
        beside = []
        if self._meshes and self._panels:
            size = panel_size(image.shape[0], len(self._panels))
            beside = [
                getattr(self._meshes, panel)(vertices, self._faces, people.intrinsics, colours, size=size)
                for panel in self._panels
            ]
        if isinstance(result, HolisticResult):
            if not (self._meshes and vertices):
                draw_hands(image, result.hands)
            beside += self._robots(result.hands, result.robots, image.shape[0], result.arms)
        return compose(image, beside)
