"""Results in the browser while they are computed (``humanrt run --view viser``)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from humanrt.geometry.skeleton import Array, world_rotations
from humanrt.hands.pipeline import HandResult
from humanrt.outputs.base import Image, Output
from humanrt.people.holistic_pipeline import HolisticResult
from humanrt.people.pipeline import PeopleResult
from humanrt.people.rig import BodyRig
from humanrt.perception.pipeline import Result
from humanrt.resource import Owner, releasing
from humanrt.retarget import RobotDescription
from humanrt.viewing.stage import DEFAULT_PORT, NEW_SHAPE, Body, Stage, reduced

__all__ = ["LiveScene"]

_PICTURE_WIDTH = 320  # px, of the camera's picture


class LiveScene(Owner, Output):
    """Shows results as a page in the browser.

    Args:
        rig: the people's body, of the model that finds them; None: for hands.
        robots: the robot hands that move.
        port, host: of the page, see `Stage`.
    """

    @releasing
    def __init__(
        self,
        rig: BodyRig | None = None,
        robots: Mapping[str, RobotDescription] | None = None,
        *,
        port: int = DEFAULT_PORT,
        host: str = "127.0.0.1",
    ) -> None:
        self._rig, self._robots = rig, dict(robots or {})
        self._rest: dict[int, tuple[Array, Array]] = {}  # by identity: shape, and joints at rest
        self.stage = self.own(Stage(port, rig, host=host))

    def put(self, result: Result, picture: Image | None) -> bool:
        """Show a result."""
        if isinstance(result, PeopleResult) and self._rig is not None:
            self.stage.show_people(self._bodies(self._rig, result))
            self._show_camera(result)
        if isinstance(result, HandResult | HolisticResult):
            self.stage.show_hands({hand.id: (hand.side, hand.keypoints_3d) for hand in result.hands})
            solved = [*result.robots.values(), *getattr(result, "arms", {}).values()]
            moved = {name: angles for one in solved for name, angles in one.items()}
            self.stage.show_robots({name: (self._robots[name], q) for name, q in moved.items() if name in self._robots})
        return True

    def _bodies(self, rig: BodyRig, result: PeopleResult) -> dict[int, Body]:
        people = result.people
        bodies = {}
        self._rest = {id: known for id, known in self._rest.items() if id in result.ids}
        for k, id in enumerate(result.ids):
            shape = people.shape[k].astype(np.float64)
            if id not in self._rest or np.abs(self._rest[id][0] - shape).max(initial=0.0) > NEW_SHAPE:
                self._rest[id] = shape, rig.rest(shape)
            shape, rest = self._rest[id]
            turns = world_rotations(people.rotations[k].astype(np.float64), rig.parents)
            heads = rig.tree.positions(rest, turns, np.zeros(3))
            heads += people.translations[k] - heads[rig.bones.index("head")]
            bodies[id] = Body(heads, turns, shape)
        return bodies

    def _show_camera(self, result: PeopleResult) -> None:
        image = result.frame.image
        height, width = image.shape[:2]
        self.stage.show_camera(result.people.intrinsics, (width, height), reduced(image, _PICTURE_WIDTH))
