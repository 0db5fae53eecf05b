"""Newest: slow work on another thread, always on the newest input."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from humanrt.inference.side_thread import SideThread
from humanrt.resource import Owner

__all__ = ["Newest"]

Given = TypeVar("Given")
Made = TypeVar("Made")


class Newest(Owner, Generic[Given, Made]):
    """Do work on one input at a time, on a thread of its own; inputs offered meanwhile are left out.

    Args:
        work: called on that thread.
    """

    def __init__(self, work: Callable[[Given], Made]) -> None:
        self._work = work
        self._side = self.own(SideThread())
        self._pending: tuple[Given, Future[Made]] | None = None

    def offer(self, given: Given) -> None:
        """Begin to work on an input, unless an earlier one's output was not taken yet."""
        if self._pending is None:
            self._pending = given, self._side(lambda: self._work(given))

    def take(self, *, wait: bool = False) -> tuple[Given, Made] | None:
        """Return an input and its output once the work is done, and raise what it raised; None before that.

        Args:
            wait: until it is done, if it was begun.
        """
        if self._pending is None or not (wait or self._pending[1].done()):
            return None
        (given, future), self._pending = self._pending, None
        return given, future.result()
