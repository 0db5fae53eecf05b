"""SideThread: work that runs beside the caller's, for small networks that do not profit from several threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from humanrt.resource import Resource

__all__ = ["SideThread"]

T = TypeVar("T")


class SideThread(Resource):
    """Run work on one other thread, in the order in which it is given; or at once, on the caller's.

    Args:
        beside: whether there is another thread.
    """

    def __init__(self, beside: bool = True) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="humanrt side") if beside else None

    def __call__(self, work: Callable[[], T]) -> Future[T]:
        """Start ``work``. The future's ``result()`` waits for it, and raises what it raised."""
        if self._pool is not None:
            return self._pool.submit(work)
        done: Future[T] = Future()
        try:
            done.set_result(work())
        except Exception as error:
            done.set_exception(error)
        return done

    def close(self) -> None:
        """Wait for the work in progress, and end the thread."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
