"""The list of smoothers of people, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from humanrt.bundle import Bundle
from humanrt.bundle.settings import MultiHmrSettings, topology_of
from humanrt.errors import BundleError, HumanrtError, choices
from humanrt.geometry.skeleton import SkeletonError
from humanrt.inference.execution import Execution
from humanrt.people.pose_smoother import PoseBertPeople
from humanrt.people.smoother import OneEuroPeople, PeopleSmoother

__all__ = ["SMOOTHERS", "open_smoother"]


def _one_euro(bundle: Bundle) -> PeopleSmoother:
    return OneEuroPeople()


def _posebert(bundle: Bundle) -> PeopleSmoother:
    settings = MultiHmrSettings.of(bundle)
    mesh = topology_of(bundle, settings, None)
    sizes = {tensor.name: tensor.shape for tensor in bundle.graph(mesh.graph).inputs}
    try:
        # On one thread of the CPU, wherever the model runs: the network is small.
        return PoseBertPeople(settings.bones, sizes["rotations"][2], backend=Execution(threads=1))
    except SkeletonError as error:
        raise HumanrtError(f"--smooth posebert: bundle `{bundle.name}`: {error}; take oneeuro") from error
    except BundleError as error:
        raise BundleError(f"--smooth posebert: {error}; or take oneeuro") from error


SMOOTHERS: Mapping[str, Callable[[Bundle], PeopleSmoother] | None] = {
    "oneeuro": _one_euro,
    "posebert": _posebert,
    "none": None,
}
"""Smoothers of models that look at one frame at a time; the first is their default (docs/measurements/smoothing.md)."""


def open_smoother(bundle: Bundle, name: str | None = None) -> PeopleSmoother | None:
    """Open the smoother of a name in `SMOOTHERS` for the people of a model's bundle; None for ``none``.

    Raises:
        HumanrtError: there is no such smoother, and the message lists them; or it does not know the model's bones, or
            its own bundle is not installed.
    """
    if name is None:
        name = next(iter(SMOOTHERS))
    if name not in SMOOTHERS:
        raise HumanrtError(
            f"--smooth {name}: bundle `{bundle.name}` does not have it; choose one of: {choices(SMOOTHERS)}"
        )
    make = SMOOTHERS[name]
    return None if make is None else make(bundle)
