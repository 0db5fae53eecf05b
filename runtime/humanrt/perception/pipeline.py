"""Base classes of pipelines: `Pipeline`, from frames to results; `Result`, everything known of one frame."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from humanrt import __version__
from humanrt.errors import HumanrtError
from humanrt.inference.model import Model
from humanrt.resource import Resource
from humanrt.sources.opening import Frame, Source

__all__ = ["JointResult", "Pipeline", "Result", "SideBySide", "model_header", "refuse_live"]


class Result:
    """Everything known of one frame. Subclasses are frozen dataclasses with these fields.

    Attributes:
        frame: the input frame.
        ids: the identities in it.
        hands: the hands in it; empty where the task does not look for any.
        ms: milliseconds per stage, in processing order, and ``total``: their sum, without waiting for the source.
    """

    frame: Frame
    ms: dict[str, float]

    if TYPE_CHECKING:  # a field in one subclass and a property in another; a property here would be the field's default

        @property
        def ids(self) -> tuple[Hashable, ...]: ...

        @property
        def hands(self) -> Iterable[Any]: ...

    @property
    def persons(self) -> tuple[Any, ...]:
        """The people in it, one by one; empty where the task does not look for any."""
        return ()

    def hand_records(self) -> list[dict[str, Any]]:
        """Return the frame's hands as a recording holds them."""
        return []

    def people_records(self) -> list[dict[str, Any]]:
        """Return the frame's people as a recording holds them."""
        return []

    def camera_record(self) -> dict[str, Any]:
        """Return the camera of this frame as a recording holds it."""
        return {}

    def entities(self) -> list[str]:
        """Return a short description of each hand or person of the frame."""
        return []

    def __repr__(self) -> str:
        counts = ", ".join(self.entities()) or "nothing"
        total = f", {self.ms['total']:.1f} ms" if "total" in self.ms else ""
        return f"<{type(self).__name__} of frame {self.frame.index} at {self.frame.t:.3f} s: {counts}{total}>"

    def record(self) -> dict[str, Any]:
        """Return the frame as one line of a recording (docs/use/recording.md)."""
        height, width = self.frame.image.shape[:2]
        return {
            "frame": self.frame.index,
            "t": self.frame.t,
            "size": [width, height],
            **self.camera_record(),
            "hands": self.hand_records(),
            "people": self.people_records(),
            "ms": self.ms,
        }

    def captured(self, ms: float) -> Self:
        """Return the result with the stage ``capture`` before the others; it is not part of ``total``."""
        return replace(self, ms={"capture": ms, **self.ms})  # type: ignore[type-var]  # subclasses are dataclasses


R = TypeVar("R", bound=Result, covariant=True)


class Pipeline(Resource, Generic[R]):
    """Map frames to results, in order. Closes the models that it was given.

    A subclass implements the computation (`__call__`), clearing the state (`reset`), freeing resources (`close`) and
    its part of a recording's header (`about`).
    """

    task: str
    """Name of the task, as in ``humanrt run --task``."""
    target: str
    """What the pipeline detects, in words, for summaries."""
    needs_live: bool = False
    """Whether `stream` drops frames to keep up with a camera: files, of which every frame counts, are refused."""

    def __call__(self, frame: Frame) -> R:
        """Process one frame. Frames come in the order of their time stamps."""
        raise NotImplementedError

    def stream(self, frames: Iterable[Frame]) -> Iterator[R]:
        """Process frames as they arrive: one result each, in order, possibly a few frames later."""
        return map(self, frames)

    def reset(self) -> None:
        """Forget all identities and their state."""
        raise NotImplementedError

    def about(self) -> dict[str, Any]:
        """Return this pipeline's part of a recording's header: its bundle, execution options and outputs."""
        raise NotImplementedError

    def header(self, source: Source) -> dict[str, Any]:
        """Return the header, the first line of a recording of this pipeline's results on a source."""
        about = {"humanrt": __version__, "task": self.task, **self.about()}
        return {**about, "source": source.name, "fps": source.fps}

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines to show the user once: where processing is slower or coarser than it should be, and assumptions."""
        return ()


@dataclass(frozen=True, repr=False)
class JointResult(Result):
    """Results of several pipelines for one frame: hands and people side by side.

    Attributes:
        frame: the input frame.
        parts: the results of the pipelines, in their order.
        ms: milliseconds per stage, of all pipelines together, and ``total``.
    """

    frame: Frame
    parts: tuple[Result, ...]
    ms: dict[str, float]

    @property
    def ids(self) -> tuple[Hashable, ...]:
        """The identities in the frame, each as (index of its pipeline, identity): every pipeline counts its own."""
        return tuple((index, id) for index, part in enumerate(self.parts) for id in part.ids)

    @property
    def hands(self) -> tuple[Any, ...]:
        """The hands in the frame."""
        return tuple(hand for part in self.parts for hand in part.hands)

    @property
    def persons(self) -> tuple[Any, ...]:
        """The people in the frame, one by one."""
        return tuple(person for part in self.parts for person in part.persons)

    def entities(self) -> list[str]:
        return [entity for part in self.parts for entity in part.entities()]

    def hand_records(self) -> list[dict[str, Any]]:
        return [record for part in self.parts for record in part.hand_records()]

    def people_records(self) -> list[dict[str, Any]]:
        return [record for part in self.parts for record in part.people_records()]

    def camera_record(self) -> dict[str, Any]:
        return {name: value for part in self.parts for name, value in part.camera_record().items()}


class SideBySide(Pipeline[JointResult]):
    """Run several pipelines on the same frames, one after the other: hands and people in one run and one recording.

    >>> both = SideBySide([open_hands(options=HandOptions("allegro_right")), open_people()])

    Args:
        pipelines: the pipelines to run, in this order; they are closed with this one.

    Raises:
        HumanrtError: one of them predicts at a camera's pace.
    """

    def __init__(self, pipelines: Sequence[Pipeline[Any]]) -> None:
        self.pipelines = tuple(pipelines)
        for pipeline in self.pipelines:
            refuse_live(pipeline, self)
        self.task = "+".join(pipeline.task for pipeline in pipelines)
        self.target = " or ".join(pipeline.target for pipeline in pipelines)

    def __call__(self, frame: Frame) -> JointResult:
        """Process one frame. Frames come in the order of their time stamps."""
        parts = tuple(pipeline(frame) for pipeline in self.pipelines)
        ms: dict[str, float] = {}
        for part in parts:
            for stage, took in part.ms.items():
                ms[stage] = ms.get(stage, 0.0) + took
        ms["total"] = ms.pop("total")  # last, as everywhere
        return JointResult(frame, parts, ms)

    def reset(self) -> None:
        """Forget all identities and their state."""
        for pipeline in self.pipelines:
            pipeline.reset()

    def about(self) -> dict[str, Any]:
        """Return each pipeline's header part under its task, and all robots under the key where readers expect them."""
        parts = {pipeline.task: pipeline.about() for pipeline in self.pipelines}
        robots = {name: joints for part in parts.values() for name, joints in part["robots"].items()}
        return {"robots": robots, **parts}

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines to show the user once."""
        return tuple(note for pipeline in self.pipelines for note in pipeline.notes)

    def close(self) -> None:
        """Free the pipelines, the last first."""
        with ExitStack() as stack:
            for pipeline in self.pipelines:
                stack.callback(pipeline.close)


def refuse_live(inner: Pipeline[Any], outer: Pipeline[Any]) -> None:
    """Raise HumanrtError if ``inner`` predicts in its `stream`, which ``outer``, calling it frame by frame, skips."""
    if inner.needs_live:
        raise HumanrtError(
            f"predict: {type(outer).__name__} looks at every frame, so that its pipeline of {inner.target} never "
            "predicts; open that one without predict"
        )


def model_header(model: Model) -> dict[str, Any]:
    """Return a model's part of a recording's header: its bundle, backend and precision."""
    return {
        "bundle": {"name": model.bundle.name, "version": model.bundle.manifest.get("version")},
        "backend": model.backend.name,
        "precision": model.precision,
    }
