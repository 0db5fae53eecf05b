"""What holds memory, a file or a device: a context manager, or call ``close()``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from types import TracebackType
from typing import Any, ClassVar, Concatenate, ParamSpec, Self, TypeVar

from humanrt.errors import ClosedError

__all__ = ["Owner", "Resource", "releasing"]


class Resource:
    """Something to be closed, by leaving ``with`` or by calling ``close()``; twice does no harm.

    What a class lists in `NEEDS_OPEN` raises `ClosedError` after that, in it and its subclasses.
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
            setattr(cls, "close", _closing(cls.__dict__["close"]))  # noqa: B010 - to mypy, a method is no variable

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    @property
    def title(self) -> str:
        """What it is called where a message says that it is closed."""
        return f"this {type(self).__name__.lstrip('_')}"

    def close(self) -> None:
        """Release it."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _refusing(method: Callable[..., Any]) -> Callable[..., Any]:
    """``method``, which a closed object refuses."""

    @wraps(method)
    def guarded(self: Resource, /, *args: Any, **kwargs: Any) -> Any:
        if self._closed:
            raise ClosedError(f"{self.title} is closed; open another")
        return method(self, *args, **kwargs)

    return guarded


def _closing(close: Callable[..., None]) -> Callable[..., None]:
    """``close``, after which the object is closed, whatever else it did."""

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
