"""Smoothing of the people of any model that looks at single frames: positions, rotations, shapes; frames filled in.

Everything is filtered where its errors are independent of each other and of the camera:

- rotations on SO(3), each bone's relative to its parent, the root's relative to the camera;
- a head's position in the picture and its distance apart: distance trembles most, by its ratio, and may be smoothed
  much more than what is seen beside the line of sight. Distance counts per focal length, which is what a picture shows:
  a network that estimates the camera anew in every frame moves everybody with it;
- a person's shape is one shape, and the camera one camera: means that settle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp, expm1
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from humanrt.checks import SAME_INSTANT, check_kind, check_range, check_time
from humanrt.errors import InvalidInputError
from humanrt.geometry.camera import directions, project
from humanrt.people.results import People
from humanrt.people.tracking import Identities
from humanrt.resource import Resource
from humanrt.smoothing.one_euro import OneEuro, OneEuroOptions
from humanrt.smoothing.one_euro_rotations import OneEuroRotations
from humanrt.smoothing.settling_mean import SettlingMean

__all__ = ["FOLLOWED", "OneEuroPeople", "PeopleSmoother", "PeopleSmootherOptions", "SmoothedPeople"]

Floats = NDArray[np.float32]
Vector = NDArray[np.float64]

_MIN_DEPTH = 1e-3  # m; a network's depth begins at 0
_ELBOW_ROOM = 0.3  # m between the heads of two people in the picture


@dataclass(frozen=True)
class SmoothedPeople:
    """The people of one frame, smoothed.

    Attributes:
        people: parameters only: no vertices, no joints. Those who are filled in are the last, with score 0.
        ids: [N] their identities.
        filled: identities of those who were not found in this frame.
    """

    people: People
    ids: tuple[int, ...]
    filled: frozenset[int] = frozenset()


class PeopleSmoother(Protocol):
    """Interface of smoothers for the people of a stream of frames.

    Attributes:
        name: name of the kind, as in `humanrt run --smooth`.
    """

    name: str

    def reset(self) -> None:
        """Forget all identities, and the camera."""

    def close(self) -> None:
        """Free the resources it opened."""

    def __call__(
        self, people: People, identities: Identities, t: float, size: tuple[int, int], *, cut: bool = False
    ) -> SmoothedPeople:
        """Return the people of the frame at ``t`` s, smoothed; see `OneEuroPeople`."""

    def predicted(self, t: float) -> SmoothedPeople:
        """Return the people of the last frame as they will be at ``t`` s; see `OneEuroPeople`."""


@dataclass(frozen=True)
class PeopleSmootherOptions:
    """Parameters of smoothing people, chosen on rendered films of training (docs/measurements/smoothing.md).

    Attributes:
        rotations: speed in rad/s.
        position: of the head in the picture; speed in m/s at its distance.
        distance: of the head; speed in its own size per second.
        shape_seconds: time constant of the mean of a person's shape.
        camera_seconds: time constant of the mean of the camera's intrinsics, where the network estimates them.
        fill_seconds: whoever is not found goes on for so long, but not for longer than they were seen without a gap.
        coast_seconds: time constant with which their motion comes to rest, and that of people who are predicted.
    """

    rotations: OneEuroOptions = field(default_factory=lambda: OneEuroOptions(3.0, 0.0, 1.0))
    position: OneEuroOptions = field(default_factory=lambda: OneEuroOptions(3.0, 2.0, 1.0))
    distance: OneEuroOptions = field(default_factory=lambda: OneEuroOptions(0.1, 2.0, 0.3))
    shape_seconds: float = 10.0
    camera_seconds: float = 10.0
    fill_seconds: float = 0.33
    coast_seconds: float = 0.1

    def __post_init__(self) -> None:
        for name in ("rotations", "position", "distance"):
            check_kind(getattr(self, name), OneEuroOptions, name, "OneEuroOptions")
        for name in ("shape_seconds", "camera_seconds", "coast_seconds"):
            check_range(getattr(self, name), f"{name} (s)", 0.0, above=True)
        check_range(self.fill_seconds, "fill_seconds (s)", 0.0)


FOLLOWED = PeopleSmootherOptions(
    rotations=OneEuroOptions(6.0, 0.0, 4.0),
    position=OneEuroOptions(10.0, 0.0, 4.0),
    distance=OneEuroOptions(10.0, 0.0, 2.0),
    shape_seconds=1e-3,
)
"""For people whom a body solver or PoseBERT has smoothed already: lightly smoothed again, quickly predicted.

Their shape is theirs. Chosen by predictions of 0.1 and 0.2 s, beside the truth of the demo's film and beside what is
seen of a real one then.
"""


@dataclass(frozen=True)
class _Pose:
    """What is filtered of a person.

    Attributes:
        rotations: [R, 3, 3].
        head: [2] px, the head joint in the picture.
        distance: log of the head's z, m, per focal length, px.
    """

    rotations: Vector
    head: Vector
    distance: float


class _Track:
    """Filters of one identity, and what it was last seen with that is not filtered.

    Attributes:
        last: time in s at which it was seen.
        credit: s for which it may be filled in: as long as it was found in frames that follow each other, less what was
            filled in since.
        shape: [S], the mean.
        location: [2] px, the head as the network saw it, relative to the head joint in the picture.
        expression: [E].
    """

    def __init__(self, options: PeopleSmootherOptions, t: float) -> None:
        self.last, self.credit = t, 0.0
        self._coast = options.coast_seconds
        self._rotations = OneEuroRotations(options.rotations)
        self._head, self._distance = OneEuro(options.position), OneEuro(options.distance)
        self._shapes = SettlingMean(options.shape_seconds)

    def observe(self, pose: _Pose, shape: Vector, location: Vector, expression: Floats, t: float) -> _Pose:
        """Return the smoothed pose."""
        self.last, self.location, self.expression = t, location - pose.head, expression
        self.shape = self._shapes(shape, t)
        rotations = self._rotations(pose.rotations, t)
        head = self._head(pose.head, t, unit=exp(-pose.distance))  # px of a metre there
        return _Pose(rotations, head, float(self._distance(np.array([pose.distance]), t)[0]))

    def at(self, t: float) -> _Pose:
        """Return the pose at a time after it was last seen: the motion goes on, and comes to rest."""
        seconds = self._coast * -expm1((self.last - t) / self._coast)
        return _Pose(self._rotations.ahead(seconds), self._head.ahead(seconds), float(self._distance.ahead(seconds)[0]))


class OneEuroPeople(Resource):
    """Smooth people with One-Euro filters and fill in missed frames; state belongs to an identity and ends with it.

    >>> smoother = OneEuroPeople()
    >>> smoothed = smoother(people, tracker(people, t), t, size)     # parameters; `MultiHMR.posed` makes meshes of them

    Args:
        options: see `PeopleSmootherOptions`.
    """

    name = "oneeuro"

    def __init__(self, options: PeopleSmootherOptions | None = None) -> None:
        self.options = PeopleSmootherOptions() if options is None else options
        check_kind(self.options, PeopleSmootherOptions, "options", "PeopleSmootherOptions")
        self._camera = SettlingMean(self.options.camera_seconds)
        self.reset()

    def reset(self) -> None:
        """Forget all identities, and the camera."""
        self._tracks: dict[int, _Track] = {}
        self._t: float | None = None
        self._size: tuple[int, int] | None = None
        self._last: SmoothedPeople | None = None
        self._camera.reset()

    def __call__(
        self, people: People, identities: Identities, t: float, size: tuple[int, int], *, cut: bool = False
    ) -> SmoothedPeople:
        """Return the people of one frame, smoothed, and those whom it missed.

        Args:
            people: the people detected in the frame.
            identities: theirs.
            t: time of the frame in s, non-decreasing; a time before the last one resets: the source was rewound.
            size: (width, height) px of the frame.
            cut: a new scene begins.
        """
        t = check_time(t)
        check_kind(people, People, "people", "what a model of people returns")
        if cut or size != self._size or (self._t is not None and t < self._t):
            self.reset()
        step = 0.0 if self._t is None else t - self._t
        self._t, self._size = t, size
        for identity in identities.lost:
            self._tracks.pop(identity, None)
        observed = self._observed(people, identities.ids, t, step)
        filled = {}
        for id, track in self._tracks.items():
            if id not in observed:
                track.credit -= step
                pose = track.at(t)
                may_go_on = self.options.fill_seconds > 0 and track.credit > -SAME_INSTANT
                if may_go_on and self._may_be_there(pose, observed.values(), size):
                    filled[id] = pose
        ids = (*identities.ids, *filled)
        K = self._camera(people.intrinsics, t)
        self._last = SmoothedPeople(self._people(people, ids, observed | filled, K), ids, frozenset(filled))
        return self._last

    def predicted(self, t: float) -> SmoothedPeople:
        """Return the people of the last frame at a later time: their motion goes on, and comes to rest.

        Args:
            t: s, not before the last frame. Nothing of the state changes.

        Raises:
            ValueError: there was no frame yet, or it is later than ``t``.
        """
        t = check_time(t)
        last = self._last
        if last is None or self._t is None or t < self._t:
            raise InvalidInputError(f"t = {t}: people are predicted for a time after the last frame, {self._t}")
        poses = {id: self._tracks[id].at(t) for id in last.ids}
        return replace(last, people=self._people(last.people, last.ids, poses, last.people.intrinsics))

    def _observed(self, people: People, ids: Sequence[int], t: float, step: float) -> dict[int, _Pose]:
        """Return the smoothed poses of those who were found."""
        z = np.maximum(people.translations[:, 2:].astype(np.float64), _MIN_DEPTH)
        heads = project(np.concatenate([people.translations[:, :2], z], axis=1), people.intrinsics)
        distances = np.log(z[:, 0] / _focal(people.intrinsics))
        poses = {}
        for i, id in enumerate(ids):
            track = self._tracks.get(id)
            if track is None:
                track = self._tracks[id] = _Track(self.options, t)
            elif track.last >= t - step - SAME_INSTANT:
                track.credit = min(self.options.fill_seconds, max(track.credit, 0.0) + step)
            raw = _Pose(people.rotations[i].astype(np.float64), heads[i], float(distances[i]))
            shape, location = people.shape[i].astype(np.float64), people.locations[i].astype(np.float64)
            poses[id] = track.observe(raw, shape, location, people.expression[i], t)
        return poses

    @staticmethod
    def _may_be_there(pose: _Pose, found: Iterable[_Pose], size: tuple[int, int]) -> bool:
        """Return whether somebody who was missed may be there: in the picture, and nobody else is.

        Where somebody else was found it is most often the same person, whom the tracker took for a new one.
        """
        near = _ELBOW_ROOM * exp(-pose.distance)  # px
        return bool(((pose.head >= 0) & (pose.head < size)).all()) and all(
            float(np.hypot(*(pose.head - other.head))) > near for other in found
        )

    def _people(self, people: People, ids: Sequence[int], poses: Mapping[int, _Pose], K: Vector) -> People:
        """Return the parameters of these people; the first of them are those in ``people``."""
        tracks = [self._tracks[id] for id in ids]
        heads, distances = np.zeros((len(ids), 2)), np.zeros(len(ids))
        rotations = np.zeros((len(ids), *people.rotations.shape[1:]), np.float32)
        shape = np.zeros((len(ids), *people.shape.shape[1:]), np.float32)
        expression = np.zeros((len(ids), *people.expression.shape[1:]), np.float32)
        locations = np.zeros((len(ids), 2), np.float32)
        for i, (id, track) in enumerate(zip(ids, tracks, strict=True)):
            pose = poses[id]
            rotations[i], heads[i], distances[i] = pose.rotations, pose.head, pose.distance
            shape[i], expression[i], locations[i] = track.shape, track.expression, pose.head + track.location
        z = np.exp(distances) * _focal(K)
        unconfirmed = people.unconfirmed
        if unconfirmed is not None:  # only who was confirmed is filled in: photographs have no frames after them
            unconfirmed = np.concatenate([unconfirmed, np.zeros(len(ids) - len(people), bool)])
        translations = np.column_stack([directions(heads, K) * z[:, None], z])
        return People(
            scores=np.concatenate([people.scores, np.zeros(len(ids) - len(people), np.float32)]),
            locations=locations,
            translations=translations.astype(np.float32),
            rotations=rotations,
            shape=shape,
            expression=expression,
            intrinsics=K,
            unconfirmed=unconfirmed,
            ms=people.ms,
        )


def _focal(K: Vector) -> float:
    """Return the focal length, px, whichever way pixels are longer."""
    return float(np.sqrt(K[0, 0] * K[1, 1]))
