"""What measurements keep is used again only with the bundles that it is of."""

from __future__ import annotations

from humanrt.bundle import load_bundle, loaded_bundles
from kept import are_present, version_of


def test_bundles_are_present_if_every_one_is_there_and_the_same() -> None:
    with loaded_bundles() as used:
        load_bundle("landmarks")
        load_bundle("holistic")
    assert are_present(used)
    for name in used:
        assert not are_present(used | {name: "0" * 64})
    assert not are_present(used | {"no-such-bundle": "0" * 64})


def test_a_version_is_of_all_bundles_in_any_order() -> None:
    used = {"a": "1", "b": "2"}
    assert version_of(used) == version_of({"b": "2", "a": "1"})
    assert len({version_of(one) for one in (used, used | {"a": "3"}, used | {"b": "3"}, {"a": "1"})}) == 4
