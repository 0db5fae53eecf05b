"""The training methods of the command line, together: `MethodOptions`."""

from __future__ import annotations

from dataclasses import dataclass

from humanrt_export.training.loop import Task
from humanrt_export.training.methods.adversarial import Attack
from humanrt_export.training.methods.batch_norm import Update
from humanrt_export.training.methods.meta_dr import MetaObjective, Randomise
from humanrt_export.training.methods.method import Method, P

__all__ = ["MethodOptions"]


# The list of methods, from the inside out: each goes around the task that those before it have made.
@dataclass(frozen=True, kw_only=True)
class MethodOptions(
    Update,
    Randomise,
    Attack,
    MetaObjective,
):
    """Options of all training methods (docs/train/methods.md). A method is added by its name in the list above."""

    def check(self) -> None:
        """Refuse options that cannot be. Raises HumanrtError."""
        for method in _listed():
            method.check(self)

    def wrap(self, task: Task[P]) -> Task[P]:
        """Return the task with all methods around it that are asked for."""
        for method in _listed():
            task = method.wrap(self, task)
        return task


def _listed() -> tuple[type[Method], ...]:
    return MethodOptions.__bases__
