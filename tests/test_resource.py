"""Resources: closed in the right order, once, and also where their owner could not be made."""

from __future__ import annotations

import pytest

from humanrt.errors import ClosedError
from humanrt.resource import Owner, Resource, releasing


class Part(Resource):
    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log

    def close(self) -> None:
        self.log.append(self.name)


class Whole(Owner):
    @releasing
    def __init__(self, log: list[str], fails: bool = False) -> None:
        self.first = self.own(Part("first", log))
        self.own(Part("second", log))
        if fails:
            raise ValueError("no third")


def test_the_last_is_closed_first_and_all_only_once() -> None:
    log: list[str] = []
    with Whole(log) as whole:
        assert whole.first.name == "first"
        assert not log
    whole.close()
    assert log == ["second", "first"]


def test_what_an_owner_had_is_closed_when_it_cannot_be_made() -> None:
    log: list[str] = []
    with pytest.raises(ValueError, match="no third"):
        Whole(log, fails=True)
    assert log == ["second", "first"]


def test_all_are_closed_when_one_fails() -> None:
    class Failing(Part):
        def close(self) -> None:
            super().close()
            raise RuntimeError(self.name)

    log: list[str] = []
    owner = Owner()
    for kind, name in ((Part, "a"), (Failing, "b"), (Part, "c")):
        owner.own(kind(name, log))
    with pytest.raises(RuntimeError, match="b"):
        owner.close()
    assert log == ["c", "b", "a"]


def test_a_resource_is_closed_by_leaving_it_with_an_error_too() -> None:
    log: list[str] = []
    with pytest.raises(KeyError), Part("a", log):
        raise KeyError
    assert log == ["a"]


class Worker(Owner):
    NEEDS_OPEN = ("__call__", "ask")

    def __call__(self) -> int:
        return 1

    def ask(self) -> int:
        """Answer."""
        return 2

    def close(self) -> None:
        if not self.closed:
            assert self.ask() == 2  # what closing itself does is still allowed
        super().close()


class Specialist(Worker):
    def ask(self) -> int:
        return 3 * super().ask() // 3


class Stubborn(Resource):
    def __call__(self) -> int:
        return 1

    def close(self) -> None:
        raise OSError("no")


@pytest.mark.parametrize("kind", [Worker, Specialist])
def test_what_is_closed_says_so(kind: type[Worker]) -> None:
    worker = kind()
    assert (worker(), worker.ask(), worker.closed) == (1, 2, False)
    worker.close()
    assert worker.closed
    for use in (worker, worker.ask):
        with pytest.raises(ClosedError, match=f"^this {kind.__name__} is closed; open another$"):
            use()
    assert kind.ask.__name__ == "ask"


def test_what_cannot_be_closed_is_closed_all_the_same() -> None:
    stubborn = Stubborn()
    with pytest.raises(OSError, match="no"):
        stubborn.close()
    with pytest.raises(ClosedError):
        stubborn()
