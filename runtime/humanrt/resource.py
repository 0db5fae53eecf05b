"""What holds memory, a file or a device: a context manager, or call ``close()``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Self, TypeVar

__all__ = ["Owner", "Resource"]


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


class Owner(Resource):
    """A resource that is made of others, and closes them with itself, the last first."""

    def __init__(self) -> None:
        self._owned = ExitStack()

    def own(self, resource: R) -> R:
        """``resource``, which is closed with this object."""
        self._owned.callback(resource.close)
        return resource

    @contextmanager
    def opening(self) -> Iterator[None]:
        """What was owned is closed again where something inside cannot be opened."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._owned.close()
