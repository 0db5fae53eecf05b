"""The floor before a live camera: an estimate that settles while people walk and stand, and the camera stands still."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.animation.ground import Standing, floor_below, standing
from humanrt.animation.soles import Soles, leg_bones, soles_of
from humanrt.errors import HumanrtError
from humanrt.geometry.ground import Ground
from humanrt.geometry.skeleton import SkeletonError, world_rotations
from humanrt.people.pipeline import PeopleResult
from humanrt.people.results import People
from humanrt.people.rig import BodyRig
from humanrt.perception.cuts import CutDetector
from humanrt.perception.still_camera import StillCamera
from humanrt.timing import Stopwatch

__all__ = ["LiveGround"]

_OFTEN = 0.1  # s between frames of a person that count
_AGAIN = 0.5  # s after which the floor is found anew
_LEAST = 1.0  # s of standing, of all people together, before which nothing is said
_MOST = 3000  # frames of people that are kept, the newest: five minutes of one
_SHAPE = 1.0  # s for which a person's soles are kept: shapes settle
_BLIND = 2.0  # s for which the background may not be found again


@dataclass
class _Walker:
    """What is known of one person.

    Attributes:
        seen: s, when a frame of them last counted.
        soles, shaped: and from when they are.
    """

    seen: float
    soles: Soles
    shaped: float


class LiveGround:
    """Adds to results of people the floor on which they stand (`PeopleResult.ground`), by all that was seen until then.

    A new scene, and a camera that moves, begin anew: there is no floor until people stood for `_LEAST` seconds before a
    camera that stands still. So a camera that never stands still never gets one.

    Args:
        rig: the people's body; it stays open.
        say: takes a line whenever the camera moves.

    Attributes:
        ground: the last estimate; None: there is none.
        moved: how often the camera moved.

    Raises:
        HumanrtError: the body's legs are not known.
    """

    def __init__(self, rig: BodyRig, say: Callable[[str], object] = lambda line: None) -> None:
        try:
            leg_bones(rig.bones)
        except SkeletonError as error:
            raise HumanrtError(f"--ground is not for this bundle: {error}") from None
        self._rig, self._say = rig, say
        soles_of(rig, rig.default_shape)  # what takes long is kept by the rig, and is done before frames arrive
        self._cuts, self._camera = CutDetector(), StillCamera()
        self.moved = 0
        self._size: tuple[int, ...] = ()
        self._begin()

    def _begin(self) -> None:
        """Forget the floor, and take the next picture as the camera's place."""
        self.ground: Ground | None = None
        self._rows: deque[Standing] = deque(maxlen=_MOST)
        self._walkers: dict[int, _Walker] = {}
        self._looked: float | None = None  # s, when the camera and the floor were looked at last
        self._lost: float | None = None  # since when the background is not found again
        self._structured = False  # whether the background could be found again at all
        self._camera.reset()

    @property
    def missing(self) -> str:
        """Why there is no floor."""
        moved = f", which moved {self.moved} times" if self.moved else ""
        return f"not known, as nobody stood upright for {_LEAST:g} s before a camera that stood still{moved}"

    def about(self) -> dict[str, Any]:
        """Return the floor's part of a recording's header."""
        return {"ground": {"least_seconds": _LEAST, "every_seconds": _AGAIN}}

    def __call__(self, result: PeopleResult) -> PeopleResult:
        """Return the result with the floor, where it is known."""
        watch = Stopwatch()
        people, t, image = result.people, result.frame.t, result.frame.image
        if people.joints is None or people.joints_2d is None:
            raise HumanrtError("--ground needs people's joints; leave out --parameters-only")
        if self._cuts(image) or result.frame.cut or image.shape != self._size:
            self._size = image.shape
            self._begin()
        for lost in result.lost:
            self._walkers.pop(lost, None)
        for row, identity in enumerate(result.ids):
            if identity not in result.filled:
                self._observe(people, row, identity, t)
        if self._looked is None or not 0 <= t - self._looked < _AGAIN - 1e-3:
            self._looked = t
            self._look(image, people, t)
            if sum(float(one.seconds.sum()) for one in self._rows) >= _LEAST - 1e-6:
                self.ground = floor_below(self._rows)
        watch.lap("ground")
        ms = {**result.ms, **watch.ms}
        ms["total"] = result.ms["total"] + watch.ms["ground"]
        return replace(result, ground=self.ground, ms=ms)

    def _look(self, image: NDArray[np.uint8], people: People, t: float) -> None:
        """Begin anew if the camera is not where it was."""
        boxes = _boxes(people)
        state = self._camera(image, boxes)
        if state == "still":
            self._lost = None
        if state == "unknown" and self._lost is None:
            self._lost = t
        blind = self._lost is not None and not 0 <= t - self._lost < _BLIND
        if state == "moved" or (blind and self._structured):
            self.moved += 1
            if self.ground is not None:
                self._say(f"at {t:.1f} s the camera is no longer where it was: the floor is looked for anew")
            self._begin()
            state = self._camera(image, boxes)
            self._looked = t
        self._structured |= state == "still"

    def _observe(self, people: People, row: int, identity: int, t: float) -> None:
        """Take a person into account, if they stand upright."""
        walker = self._walkers.get(identity)
        if walker is None or not 0 <= t - walker.shaped < _SHAPE:
            soles = soles_of(self._rig, people.shape[row])
            seen = t - _OFTEN if walker is None else walker.seen
            walker = self._walkers[identity] = _Walker(seen, soles, t)
        step = t - walker.seen
        if 0 <= step < _OFTEN - 1e-3:
            return
        walker.seen = t
        assert people.joints is not None
        local = people.rotations[row].astype(np.float64)[None]
        world = world_rotations(local, self._rig.parents)
        heads = self._rig.bone_heads(people.joints[row])[None]
        upright = standing(self._rig.tree, world, heads, walker.soles, np.array([max(step, 0.0)]))
        if len(upright.seconds):
            self._rows.append(upright)


def _boxes(people: People) -> NDArray[np.float64]:
    """Return boxes [N, 4] px around the people, as far as they are before the camera."""
    assert people.joints is not None
    assert people.joints_2d is not None
    boxes = []
    for joints, flat in zip(people.joints, people.joints_2d, strict=True):
        ahead = flat[joints[:, 2] > 0]
        if len(ahead):
            boxes.append((*ahead.min(axis=0), *ahead.max(axis=0)))
    return np.array(boxes, np.float64).reshape(-1, 4)
