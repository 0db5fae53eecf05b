"""Features of the processor, without those hidden by ``HUMANRT_HIDE_CPU``, to test the code paths of other machines."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

__all__ = ["HIDE", "features", "hidden"]

HIDE = "HUMANRT_HIDE_CPU"
"""Environment variable: features not to use, by their Linux names, separated by commas (``amx_bf16,avx512_vnni``)."""


def features() -> frozenset[str]:
    """Return the processor's features, as Linux names them; empty on other systems, where they are unknown."""
    return _all_features() - hidden()


def hidden() -> frozenset[str]:
    """Return the features that the environment hides."""
    return frozenset(name for name in os.environ.get(HIDE, "").replace(",", " ").split())


@cache
def _all_features() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(flags.partition(":")[2].split())
