"""Graphs of a bundle that hold the same network in another precision or for another machine."""

from __future__ import annotations

from dataclasses import dataclass
from reprlib import repr as short

from humanrt.bundle import Bundle
from humanrt.bundle.settings.section import NETWORK, Section

__all__ = ["Variant", "variants_of"]


@dataclass(frozen=True)
class Variant:
    """A graph that replaces another one at a different precision or on a different processor.

    Attributes:
        graph: its name.
        precision: ``fp32``, ``int8``, ...
        of: the graph that it replaces.
        backend: the only backend that it is for; None: any.
        cpu: CPU features that it requires, as Linux names them.
    """

    graph: str
    precision: str
    of: str = NETWORK
    backend: str | None = None
    cpu: tuple[str, ...] = ()

    def on(self, backend: str) -> bool:
        """Return whether it is for the backend of this name."""
        return self.backend in (None, backend)


def variants_of(bundle: Bundle) -> tuple[Variant, ...]:
    """Return the bundle's variants in order of preference. BundleError names what is wrong with one."""
    return tuple(_variant(bundle, one) for one in Section.of(bundle).sections("variants", default=()))


def _variant(bundle: Bundle, settings: Section) -> Variant:
    graph = settings.text("graph")
    if graph not in bundle.graphs:
        raise settings.error("graph", f"names {short(graph)}, which is not a graph of the bundle")
    return Variant(
        graph,
        settings.text("precision"),
        settings.text("of", NETWORK),
        settings.text("backend") if "backend" in settings else None,
        settings.texts("cpu", default=()),
    )
