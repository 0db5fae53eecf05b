"""What holds memory, a file or a device: a context manager, or call ``close()``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

__all__ = ["Owner", "Resource", "releasing"]


class Resource:
    """Something to be closed, by leaving ``with`` or by calling ``close()``; twice does no harm."""

    def close(self) -> None:
        """Release it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


R = TypeVar("R", bound=Resource)
P = ParamSpec("P")


class Owner(Resource):
    """A resource that is made of others, and closes them with itself, the last first."""

    _owned: ExitStack

    def __new__(cls, *_: Any, **__: Any) -> Self:
        self = super().__new__(cls)
        self._owned = ExitStack()
        return self

    def own(self, resource: R) -> R:
        """``resource``, which is closed with this object."""
        self._owned.callback(resource.close)
        return resource

    @contextmanager
    def releasing(self) -> Iterator[Self]:
        """What is owned by then is closed where something inside fails."""
        try:
            yield self
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._owned.close()


O = TypeVar("O", bound=Owner)  # noqa: E741


def releasing(init: Callable[Concatenate[O, P], None]) -> Callable[Concatenate[O, P], None]:
    """An owner's ``__init__`` that closes what it owned by then where it fails."""

    @wraps(init)
    def guarded(self: O, /, *args: P.args, **kwargs: P.kwargs) -> None:
        with self.releasing():
            init(self, *args, **kwargs)

    return guarded
