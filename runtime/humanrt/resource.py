"""Base classes of objects that hold memory, a file or a device: use them in ``with``, or call ``close()``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from types import TracebackType
from typing import Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar

from humanrt.errors import ClosedError

__all__ = ["Owner", "Resource", "releasing"]


class Resource:
    """An object that is closed by leaving ``with`` or by calling ``close()``, which may be called twice.

    After that, the methods that a class lists in `NEEDS_OPEN` raise `ClosedError`, in it and in its subclasses.
    """

    NEEDS_OPEN: ClassVar[tuple[str, ...]] = ("__call__",)
    """Names of the methods that a closed object refuses."""

    _closed = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in cls.NEEDS_OPEN:
            if name in cls.__dict__:
                setattr(cls, name, _refusing(cls.__dict__[name]))
        if "close" in cls.__dict__:
            setattr(cls, "close", _closing(cls.__dict__["close"]))  # noqa: B010 - mypy forbids assigning to a method

    @property
    def closed(self) -> bool:
        """Whether the object was closed."""
        return self._closed

    @property
    def title(self) -> str:
        """Name of the object in a message that it is closed."""
        return f"this {type(self).__name__.lstrip('_')}"

    def close(self) -> None:
        """Release what the object holds."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _refusing(method: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``method`` to raise ClosedError on a closed object."""

    @wraps(method)
    def guarded(self: Resource, /, *args: Any, **kwargs: Any) -> Any:
        if self._closed:
            raise ClosedError(f"{self.title} is closed; open another")
        return method(self, *args, **kwargs)

    return guarded


def _closing(close: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``close`` to mark the object as closed, even if it raises."""

    @wraps(close)
    def marking(self: Resource) -> None:
        try:
            close(self)
        finally:
            self._closed = True

    return marking


R = TypeVar("R", bound=Resource)
P = ParamSpec("P")


class Owner(Resource):
    """A resource that owns others and closes them when it is closed, in reverse order."""

    _owned: ExitStack

    def __new__(cls, *_: Any, **__: Any) -> Self:
        self = super().__new__(cls)
        self._owned = ExitStack()
        return self

    def own(self, resource: R) -> R:
        """Take ownership of ``resource``, which is then closed with this object, and return it."""
        self._owned.callback(resource.close)
        return resource

    @contextmanager
    def releasing(self) -> Iterator[Self]:
        """Close everything owned so far if the block raises."""
        try:
            yield self
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._owned.close()


O = TypeVar("O", bound=Owner)  # noqa: E741


def releasing(init: Callable[Concatenate[O, P], None]) -> Callable[Concatenate[O, P], None]:
    """Wrap an owner's ``__init__`` to close everything owned so far if it raises."""

    @wraps(init)
    def guarded(self: O, /, *args: P.args, **kwargs: P.kwargs) -> None:
        with self.releasing():
            init(self, *args, **kwargs)

    return guarded
