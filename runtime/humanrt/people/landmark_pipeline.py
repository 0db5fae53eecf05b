"""Pipelines for people who are followed by their landmarks."""

from __future__ import annotations

from typing import Any, TypeVar

from numpy.typing import ArrayLike

from humanrt.checks import check_kind, check_probability
from humanrt.geometry.camera import check_intrinsics
from humanrt.people.landmark_model import GEOMETRY, LandmarkModel, Tracked
from humanrt.people.landmark_people import LandmarkPeople
from humanrt.people.landmark_poses import LANDMARK_SMOOTHERS
from humanrt.people.pipeline import PeopleResult, people_header, people_result
from humanrt.people.results import People
from humanrt.people.smoothed_pipeline import Shown, SmoothedPipeline
from humanrt.people.smoother import PeopleSmoother
from humanrt.sources.opening import Frame, check_frame

__all__ = ["FollowingPipeline", "LandmarkPipeline"]

T = TypeVar("T", bound=Tracked)
R = TypeVar("R", bound=PeopleResult, covariant=True)


class FollowingPipeline(SmoothedPipeline[T, R]):
    """What pipelines around a `LandmarkModel` share. Closes the model it was given.

    Args:
        model: detects and tracks the people.
        intrinsics: K [3, 3] of the camera in px of the frames; None assumes the model's field of view.
        threshold: minimum score of a person; None: the tracker's.
        smoother, predict: see `SmoothedPipeline`. The model itself links frames, and fills in; with a smoother behind
            it, the smoother fills in.
    """

    task = "people"
    target = "people"
    overlaps = False
    """Each frame's regions come from the people of the frame before, so frames cannot overlap."""

    def __init__(
        self,
        model: LandmarkModel[T],
        *,
        intrinsics: ArrayLike | None = None,
        threshold: float | None = None,
        smoother: PeopleSmoother | None = None,
        predict: float | None = None,
    ) -> None:
        check_probability(threshold, "threshold")
        self.model = model
        self.intrinsics = None if intrinsics is None else check_intrinsics(intrinsics)
        self.threshold = threshold
        super().__init__(model, smoother, predict, "--smooth-after")

    def about(self) -> dict[str, Any]:
        after = {} if self.smoother is None else {"smooth_after": self.smoother.name}
        return {**people_header(self.model), "poses": self.model.poses, "smooth": self.model.smooth, **after}

    def reset(self) -> None:
        """Forget all identities."""
        self.model.reset()
        super().reset()

    def __call__(self, frame: Frame) -> R:
        """Process one frame. Frames come in the order of their time stamps."""
        check_frame(frame)
        seen = self._track(frame, photograph=frame.cut)
        return self._finished(frame, seen, seen.people.ms, cut=frame.cut)

    def _look(self, frame: Frame, *, cut: bool) -> T:
        if cut:
            self.model.tracker.new_scene()
        return self._track(frame)

    def _posed(self, people: People) -> People:
        return self.model.posed(people)

    def _track(self, frame: Frame, *, photograph: bool = False) -> T:
        """Return the people of a frame. Frames come in the order of their time stamps."""
        # Meshes of smoothed people are made after smoothing. `HolisticPeople` then makes none before; `LandmarkPeople`
        # runs its body for where somebody is all the same, so that every body is posed twice.
        meshes = self.smoother is None
        return self.model.track(
            frame.image, frame.t, self.intrinsics, self.threshold, photograph=photograph, meshes=meshes
        )


class LandmarkPipeline(FollowingPipeline[Tracked, PeopleResult]):
    """Track the people of a stream of frames, with results as of `PeoplePipeline`.

    The arguments are those of `FollowingPipeline`; ``model`` is a `LandmarkPeople`.
    """

    def __init__(
        self,
        model: LandmarkPeople,
        *,
        intrinsics: ArrayLike | None = None,
        threshold: float | None = None,
        smoother: PeopleSmoother | None = None,
        predict: float | None = None,
    ) -> None:
        check_kind(model, LandmarkPeople, "model", "a LandmarkPeople")
        super().__init__(model, intrinsics=intrinsics, threshold=threshold, smoother=smoother, predict=predict)

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for the user if poses are computed without PoseBERT."""
        if self.model.poses != GEOMETRY or self.model.smooth != LANDMARK_SMOOTHERS[0]:
            return ()
        return (
            "there is no bundle `posebert-body` here: each frame's pose is by itself, by geometry, and "
            "trembles as the landmarks do",
        )

    def _result(self, frame: Frame, seen: Tracked | None, shown: Shown, ms: dict[str, float]) -> PeopleResult:
        return people_result(frame, shown, ms)
