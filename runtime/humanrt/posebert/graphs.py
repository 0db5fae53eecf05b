"""PoseBERT's graphs in a bundle: ``posebert``, or one per batch size: ``posebert_b1``, ``posebert_b10``."""

from __future__ import annotations

from humanrt.bundle import Bundle, GraphSpec
from humanrt.errors import BundleError
from humanrt.inference.variants import bases

__all__ = ["graphs_of"]


def graphs_of(bundle: Bundle) -> dict[int, GraphSpec]:
    """Return the graphs by batch size in windows, smallest first. BundleError if there are none."""
    names = [name for name in bases(bundle) if name == "posebert" or name.startswith("posebert_b")]
    if not names:
        raise BundleError(f"bundle {bundle.path} has no graph `posebert`; export the bundle again")
    specs = [bundle.graph(name) for name in names]
    sizes = {_windows(bundle, spec): spec for spec in specs}
    return dict(sorted(sizes.items()))


def _windows(bundle: Bundle, spec: GraphSpec) -> int:
    """Return a graph's batch size in windows. BundleError if it has no mask, which gives the batch size."""
    for tensor in spec.inputs:
        if tensor.name == "mask" and len(tensor.shape) == 2 and tensor.shape[0] >= 1:
            return tensor.shape[0]
    raise BundleError(f"bundle {bundle.path}: graph `{spec.name}` has no input `mask` [B, T]; export the bundle again")
