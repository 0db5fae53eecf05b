"""Work beside the caller's: in order, with its errors, on one other thread or none."""

from __future__ import annotations

import threading

import pytest

from humanrt.inference.side_thread import SideThread


@pytest.mark.parametrize("beside", [True, False])
def test_work_is_done_in_order_and_its_errors_are_raised(beside: bool) -> None:
    done: list[tuple[int, bool]] = []

    def work(number: int) -> int:
        done.append((number, threading.current_thread() is not threading.main_thread()))
        return 1 // number

    with SideThread(beside) as side:
        futures = [side(lambda number=number: work(number)) for number in (3, 1, 0)]
        assert [future.result() for future in futures[:2]] == [0, 1]
        with pytest.raises(ZeroDivisionError):
            futures[2].result()
    assert done == [(3, beside), (1, beside), (0, beside)]


def test_closing_waits_for_what_runs() -> None:
    side, began, ended = SideThread(), threading.Event(), threading.Event()

    def work() -> None:
        began.set()
        threading.Event().wait(0.05)
        ended.set()

    side(work)
    began.wait()
    side.close()
    assert ended.is_set()
