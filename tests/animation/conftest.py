"""The body and the recording that tests of animation files share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from known_take import Known, record

from humanrt.bundle import load_bundle
from humanrt.people.rig import BodyRig, open_rig


@pytest.fixture(scope="session")
def rig() -> Iterator[BodyRig]:
    with open_rig(load_bundle("holistic")) as opened:
        yield opened


@pytest.fixture(scope="session")
def known(rig: BodyRig, tmp_path_factory: pytest.TempPathFactory) -> Known:
    return record(rig, tmp_path_factory.mktemp("recordings") / "take.jsonl", "holistic")


@pytest.fixture(scope="session")
def natural(rig: BodyRig, tmp_path_factory: pytest.TempPathFactory) -> Known:
    """The same, with bodies that bend where people's do."""
    path = tmp_path_factory.mktemp("recordings") / "take.jsonl"
    return record(rig, path, "holistic", natural=True)
