"""Pipelines for people who are followed by their landmarks."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from numpy.typing import ArrayLike

from humanrt.checks import check_kind, check_probability
from humanrt.geometry.camera import check_intrinsics
from humanrt.people.landmark_model import GEOMETRY, LandmarkModel, Tracked
from humanrt.people.landmark_people import LandmarkPeople
from humanrt.people.landmark_poses import LANDMARK_SMOOTHERS
from humanrt.people.pipeline import PeopleResult, people_header
from humanrt.perception.pipeline import Pipeline
from humanrt.sources.opening import Frame, check_frame

__all__ = ["FollowingPipeline", "LandmarkPipeline"]

T = TypeVar("T", bound=Tracked)
R = TypeVar("R", bound=PeopleResult, covariant=True)


class FollowingPipeline(Pipeline[R], Generic[T, R]):
    """What pipelines around a `LandmarkModel` share. Closes the model it was given.

    Args:
        model: detects and tracks the people.
        intrinsics: K [3, 3] of the camera in px of the frames; None assumes the model's field of view.
        threshold: minimum score of a person; None: the tracker's.
    """

    task = "people"
    target = "people"
    overlaps = False
    """Each frame's regions come from the people of the frame before, so frames cannot overlap."""

    def __init__(
        self, model: LandmarkModel[T], *, intrinsics: ArrayLike | None = None, threshold: float | None = None
    ) -> None:
        check_probability(threshold, "threshold")
        self.model = model
        self.intrinsics = None if intrinsics is None else check_intrinsics(intrinsics)
        self.threshold = threshold

    def about(self) -> dict[str, Any]:
        return {**people_header(self.model), "poses": self.model.poses, "smooth": self.model.smooth}

    def close(self) -> None:
        """Free the model's networks."""
        self.model.close()

    def reset(self) -> None:
        """Forget all identities."""
        self.model.reset()

    def _track(self, frame: Frame) -> T:
        """Return the people of a frame. Frames come in the order of their time stamps."""
        check_frame(frame)
        return self.model.track(frame.image, frame.t, self.intrinsics, self.threshold, photograph=frame.cut)


class LandmarkPipeline(FollowingPipeline[Tracked, PeopleResult]):
    """Track the people of a stream of frames, with results as of `PeoplePipeline`.

    The arguments are those of `FollowingPipeline`; ``model`` is a `LandmarkPeople`.
    """

    def __init__(
        self, model: LandmarkPeople, *, intrinsics: ArrayLike | None = None, threshold: float | None = None
    ) -> None:
        check_kind(model, LandmarkPeople, "model", "a LandmarkPeople")
        super().__init__(model, intrinsics=intrinsics, threshold=threshold)

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for the user if poses are computed without PoseBERT."""
        if self.model.poses != GEOMETRY or self.model.smooth != LANDMARK_SMOOTHERS[0]:
            return ()
        return (
            "there is no bundle `posebert-body` here: each frame's pose is by itself, by geometry, and "
            "trembles as the landmarks do",
        )

    def __call__(self, frame: Frame) -> PeopleResult:
        """Process one frame. Frames come in the order of their time stamps."""
        tracked = self._track(frame)
        ms = dict(tracked.people.ms)
        ms["total"] = sum(ms.values())
        return PeopleResult(frame, tracked.people, tracked.ids, tracked.lost, ms, tracked.filled)
