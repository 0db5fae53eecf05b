"""Which graphs of a bundle are PoseBERT's: ``posebert``, or of several batches: ``posebert_b1``, ``posebert_b10``."""

from __future__ import annotations

from humanrt.bundle import Bundle, GraphSpec
from humanrt.errors import BundleError
from humanrt.variants import bases

__all__ = ["graphs_of"]


def graphs_of(bundle: Bundle) -> dict[int, GraphSpec]:
    """Windows at once -> the graph that takes so many, the fewest first. BundleError where there is none."""
    names = [name for name in bases(bundle) if name == "posebert" or name.startswith("posebert_b")]
    if not names:
        raise BundleError(f"bundle {bundle.path} has no graph `posebert`; export the bundle again")
    specs = [bundle.graph(name) for name in names]
    sizes = {next(tensor.shape[0] for tensor in spec.inputs if tensor.name == "mask"): spec for spec in specs}
    return dict(sorted(sizes.items()))
