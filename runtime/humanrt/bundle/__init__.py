"""Bundles: one model, one folder with a manifest, graphs and arrays."""

from __future__ import annotations

from humanrt.bundle.manifest import (
    FORMAT,
    MANIFEST,
    Bundle,
    GraphSpec,
    TensorSpec,
    cache_folder,
    graph_source,
    load_bundle,
    loaded_bundles,
    shipped_bundles,
)

__all__ = [
    "FORMAT",
    "MANIFEST",
    "Bundle",
    "GraphSpec",
    "TensorSpec",
    "cache_folder",
    "graph_source",
    "load_bundle",
    "loaded_bundles",
    "shipped_bundles",
]
