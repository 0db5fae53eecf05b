"""Resources: closed in the right order, once, and also where their owner could not be made."""

from __future__ import annotations

import pytest

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
