"""What every pipeline is and gives: `Pipeline`, from frames to results; `Result`, everything known of one frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from humanrt import __version__
from humanrt.inference.model import Model
from humanrt.resource import Resource
from humanrt.sources.opening import Frame, Source

__all__ = ["Pipeline", "Result", "model_header"]


class Result:
    """Everything known of one frame. Subclasses are frozen dataclasses with these fields.

    Attributes:
        frame: the frame it belongs to.
        ids: the identities in it.
        ms: milliseconds per stage, in the order of the work, and ``total``: their sum, without waiting for the source.
    """

    frame: Frame
    ms: dict[str, float]

    if TYPE_CHECKING:  # a field in one subclass and a property in another; a property here would be the field's default

        @property
        def ids(self) -> tuple[int, ...]: ...

    def hand_records(self) -> list[dict[str, Any]]:
        """Return the frame's hands as a recording holds them."""
        return []

    def people_records(self) -> list[dict[str, Any]]:
        """Return the frame's people as a recording holds them."""
        return []

    def camera_record(self) -> dict[str, Any]:
        """Return what a recording says of the camera in this frame."""
        return {}

    def entities(self) -> list[str]:
        """Return a few words on each hand or person of the frame."""
        return []

    def __repr__(self) -> str:
        found = ", ".join(self.entities()) or "nothing"
        total = f", {self.ms['total']:.1f} ms" if "total" in self.ms else ""
        return f"<{type(self).__name__} of frame {self.frame.index} at {self.frame.t:.3f} s: {found}{total}>"

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
    """Frames in, results out, in order. Closes the models that it was given.

    A subclass says what it computes (`__call__`), forgets (`reset`), frees (`close`) and writes about itself into a
    recording's header (`about`).
    """

    task: ClassVar[str]
    """Name of its task, as ``humanrt run --task`` calls it."""
    target: ClassVar[str]
    """What it looks for, in words, for summaries."""

    def __call__(self, frame: Frame) -> R:
        """Process one frame. Frames come in the order of their time stamps."""
        raise NotImplementedError

    def stream(self, frames: Iterable[Frame]) -> Iterator[R]:
        """Process frames as they come: one result each, in order, though perhaps some frames later."""
        return map(self, frames)

    def reset(self) -> None:
        """Forget all identities and their state."""
        raise NotImplementedError

    def about(self) -> dict[str, Any]:
        """Return what a recording's header says of this pipeline: its bundle, how it runs, what it gives."""
        raise NotImplementedError

    def header(self, source: Source) -> dict[str, Any]:
        """Return the first line of a recording of this pipeline's results on a source."""
        about = {"humanrt": __version__, "task": self.task, **self.about()}
        return {**about, "source": source.name, "fps": source.fps}

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines to tell the user once: where work is slower or coarser here than it should be, what was assumed."""
        return ()


def model_header(model: Model) -> dict[str, Any]:
    """Return what a recording's header says of a model: its bundle, backend and precision."""
    return {
        "bundle": {"name": model.bundle.name, "version": model.bundle.manifest.get("version")},
        "backend": model.backend.name,
        "precision": model.precision,
    }
