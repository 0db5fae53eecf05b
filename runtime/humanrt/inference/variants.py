"""Graph variants: drop-in replacements for a graph at another precision or on another CPU, and when they are permitted.

A bundle lists them under ``settings.variants``, in order of preference::

    {"of": "network", "graph": "network-int8-cpu", "precision": "int8", "backend": "cpu", "cpu": ["avx512_vnni"]}

``of``: the graph that it replaces (default ``network``); ``backend``: the only backend that it is for; ``cpu``:
features that the processor must have, as Linux names them. A variant of lower precision is opened only with a passing
verdict, which states how far it is from the FP32 graph on real frames (`humanrt.verdict`). That of an INT8 graph for
the CPU holds on processors that sum INT8 products as the one did on which it was made (`processor.int8_products`).
"""

from __future__ import annotations

from dataclasses import replace

from humanrt import native
from humanrt.backends import Backend
from humanrt.backends.engines import EXACT
from humanrt.bundle import Bundle
from humanrt.bundle.settings import Variant, variants_of
from humanrt.errors import BackendError, choices
from humanrt.native import processor

__all__ = ["EXACT", "at", "base_of", "bases", "variants", "why_unproven"]

"""The precision that every graph is available in and that needs no verdict."""


def variants(bundle: Bundle) -> tuple[Variant, ...]:
    """Return the bundle's variants, in order of preference. BundleError if one is malformed."""
    return variants_of(bundle)


def base_of(bundle: Bundle, graph: str) -> str:
    """Return the graph that ``graph`` replaces, or ``graph`` itself if it is not a variant."""
    return next((variant.of for variant in variants(bundle) if variant.graph == graph), graph)


def bases(bundle: Bundle) -> tuple[str, ...]:
    """Return the bundle's graphs that are not variants."""
    return tuple(name for name in bundle.graphs if base_of(bundle, name) == name)


def at(bundle: Bundle, backend: Backend, precision: str = EXACT) -> Bundle:
    """Return the bundle with its graphs replaced by those of this precision for this backend, as far as available.

    Raises:
        BackendError: the bundle has none; none can run on this processor; or one has no passing verdict and the backend
            was not opened with ``unverified``.
    """
    entries = [variant for variant in variants(bundle) if variant.on(backend.name)]
    chosen: dict[str, str] = {}
    lacking: dict[str, str] = {}
    for entry in entries:
        base, name = entry.of, entry.graph
        if entry.precision != precision or base in chosen:
            continue
        if reason := _why_not_here(bundle, entry):
            lacking[base] = reason
        else:
            chosen[base] = name
    missing = [base for base in lacking if base not in chosen]
    if missing and (precision != EXACT or any(base not in bundle.graphs for base in missing)):
        raise BackendError(f"precision `{precision}` cannot run here: {lacking[missing[0]]}; use another precision")
    # TensorRT's engines are FP16 or FP32 versions of the FP32 graph; `BackendOptions` selects which.
    plans = backend.name == "tensorrt" and precision == "fp16"
    if not chosen and precision != EXACT and not plans:
        offered = choices({EXACT, *(variant.precision for variant in entries)})
        raise BackendError(
            f"bundle {bundle.name} has no graph of precision `{precision}` for backend `{backend.name}`; it has: "
            f"{offered} (`humanrt-export quantize` makes others)"
        )
    if precision != EXACT and not backend.unverified:
        for name in chosen.values():
            if reason := why_unproven(bundle, name):
                raise BackendError(
                    f"graph {name} of bundle {bundle.name} {reason}; run it anyway with --unverified, or use "
                    f"--precision {EXACT}"
                )
    return replace(bundle, chosen=chosen)


def why_unproven(bundle: Bundle, graph: str) -> str | None:
    """Return why a variant may not be relied on; None if its verdict has passed.

    A verdict belongs to a graph's file: any change invalidates it. Variants that an exporter made and compared with
    PyTorch itself have theirs under ``parity``.
    """
    again = f"humanrt-export quantize {bundle.path}"
    given = bundle.manifest.get("verdicts", {}).get(graph)
    if given is None:
        given = bundle.manifest.get("parity", {}).get(graph)
    else:
        file = bundle.manifest["graphs"][graph]["file"]
        if not isinstance(given, dict) or given.get("graph_sha256") != bundle.manifest["files"][file]["sha256"]:
            return f"has a verdict of another file than {file}, so none (run: {again})"
    if not isinstance(given, dict):
        return f"has no verdict: nobody knows its error (run: {again})"
    if given.get("passed") is not True:
        return f"failed its verdict: {given.get('reason') or 'see its entry in the manifest'}"
    here = processor.int8_products()
    of_integers = any(
        one.graph == graph and (one.precision, one.backend) == ("int8", "cpu") for one in variants(bundle)
    )
    if of_integers and given.get("int8_products") != here:
        there = given.get("int8_products", "of an unknown kind")
        return f"has a verdict from a processor whose INT8 products are {there}; here they are {here} (run: {again})"
    return None


def _why_not_here(bundle: Bundle, entry: Variant) -> str | None:
    if lacking := set(entry.cpu) - processor.features():
        return f"it needs a processor with {choices(lacking)}, which this one lacks"
    operators = bundle.graph(entry.graph).operators
    return native.operators_problem(operators) if operators else None
