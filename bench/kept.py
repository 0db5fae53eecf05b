"""Whether what a measurement kept is of the bundles that are here now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from humanrt.bundle import load_bundle, loaded_bundles
from humanrt.errors import BundleError

__all__ = ["are_present", "version_of"]


def are_present(used: Mapping[str, str]) -> bool:
    """Return whether bundles, by the SHA-256 of their manifests as of `loaded_bundles`, are the same now."""
    with loaded_bundles() as present:
        try:
            for name in used:
                load_bundle(name)
        except BundleError:  # one of them is gone
            return False
    return dict(used) == present


def version_of(used: Mapping[str, str]) -> str:
    """Return a short name of a set of bundles."""
    return hashlib.sha256(json.dumps(dict(used), sort_keys=True).encode()).hexdigest()[:12]
