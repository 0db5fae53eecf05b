"""Features of the processor, without those hidden by ``HUMANRT_HIDE_CPU``, to test the code paths of other machines."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path
from typing import Literal

__all__ = ["HIDE", "features", "hidden", "int8_products"]

HIDE = "HUMANRT_HIDE_CPU"
"""Environment variable: features not to use, by their Linux names, separated by commas (``amx_bf16,avx512_vnni``)."""


def features() -> frozenset[str]:
    """Return the processor's features, as Linux names them; empty on other systems, where they are unknown."""
    return _all_features() - hidden()


def hidden() -> frozenset[str]:
    """Return the features that the environment hides."""
    return frozenset(name for name in os.environ.get(HIDE, "").replace(",", " ").split())


def int8_products() -> Literal["exact", "saturating"]:
    """Return how ONNX Runtime's CPU sums INT8 products here: on x86 without VNNI pairs of them saturate at 16 bits.

    Errors are several times larger there. Where the features are unknown, x86 counts as saturating.
    """
    x86 = platform.machine() in ("x86_64", "AMD64")
    return "saturating" if x86 and not {"avx512_vnni", "avx_vnni"} & features() else "exact"


@cache
def _all_features() -> frozenset[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return frozenset(flags.partition(":")[2].split())
