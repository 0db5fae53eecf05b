"""Real motion capture, where ../shared has it, and small skeletons made on the spot."""

from __future__ import annotations

from pathlib import Path

import pytest

from humanrt_export.motion.clip import Motion
from humanrt_export.motion.load import load_motions

ARCHIVE = Path(__file__).resolve().parents[4] / "shared" / "mocap" / "cmu_asfamc.tar.xz"


@pytest.fixture(scope="session")
def archive() -> Path:
    if not ARCHIVE.is_file():
        pytest.skip(f"{ARCHIVE} is not here: it is shared with developers and CI only")
    return ARCHIVE


@pytest.fixture(scope="session")
def cmu(archive: Path) -> dict[str, Motion]:
    """All clips by name."""
    return {motion.name: motion for motion in load_motions(archive)}
