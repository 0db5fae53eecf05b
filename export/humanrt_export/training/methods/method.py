"""What a training method is: its options, and what it makes of a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from humanrt_export.batches import PictureBatch
from humanrt_export.training.loop import Task

__all__ = ["Method"]

P = TypeVar("P", bound=PictureBatch)


@dataclass(frozen=True, kw_only=True)
class Method:
    """Base of a method's options, a frozen dataclass whose defaults leave a task as it is.

    The fields become options of the trainings whose method it is (`compose.MethodOptions`), which are flat: no two
    methods have a field of one name, unless it is the same field of a common base.
    """

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse options that cannot be. Raises HumanrtError."""

    def wrap(self, task: Task[P]) -> Task[P]:
        """Return the task with the method around it, or the task itself if the method is not asked for."""
        raise NotImplementedError
