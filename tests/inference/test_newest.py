"""Work on the newest input: one at a time, nothing queues up, errors arrive where the output is taken."""

from __future__ import annotations

from threading import Event, current_thread

import pytest

from humanrt.inference.newest import Newest


def test_only_the_newest_is_worked_on() -> None:
    going, done = Event(), []

    def work(given: int) -> str:
        going.wait(10)
        done.append(current_thread())
        return f"made of {given}"

    with Newest(work) as newest:
        assert newest.take() is None
        assert newest.take(wait=True) is None  # nothing was begun
        for given in (1, 2, 3):
            newest.offer(given)
            assert newest.take() is None
        going.set()
        assert newest.take(wait=True) == (1, "made of 1")
        newest.offer(4)
        newest.offer(5)
        assert newest.take(wait=True) == (4, "made of 4")
        assert newest.take() is None
    assert current_thread() not in done


def test_what_goes_wrong_is_raised_where_it_is_taken() -> None:
    with Newest(lambda given: 1 / given) as newest:
        newest.offer(0)
        with pytest.raises(ZeroDivisionError):
            newest.take(wait=True)
        newest.offer(2)
        assert newest.take(wait=True) == (2, 0.5)
