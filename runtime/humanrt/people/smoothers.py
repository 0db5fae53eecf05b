"""The list of smoothers of people, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from humanrt.bundle import Bundle
from humanrt.bundle.settings import MULTIHMR, MultiHmrSettings, people_model, topology_of
from humanrt.errors import BundleError, HumanrtError, choices
from humanrt.geometry.anny import ANNY_BONES
from humanrt.geometry.skeleton import SkeletonError
from humanrt.inference.execution import Execution
from humanrt.people.pose_smoother import PoseBertPeople
from humanrt.people.smoother import FOLLOWED, OneEuroPeople, PeopleSmoother, PeopleSmootherOptions

__all__ = ["SMOOTHERS", "SmootherContext", "open_smoother"]


@dataclass(frozen=True)
class SmootherContext:
    """What a factory in `SMOOTHERS` is given: whose people its smoother is for.

    Attributes:
        bundle: of the people.
        option: what names the smoother on the command line.
        bones: names of the rotations; None: SMPL-X's.
        count: how many there are.
        options: of the smoother; None: its default ones.
    """

    bundle: Bundle
    option: str
    bones: Sequence[str] | None
    count: int
    options: PeopleSmootherOptions | None

    @classmethod
    def of(cls, bundle: Bundle) -> SmootherContext:
        """Return what smoothers of a bundle's people are given."""
        if people_model(bundle) != MULTIHMR:  # followed by landmarks
            return cls(bundle, "--smooth-after", ANNY_BONES, len(ANNY_BONES), FOLLOWED)
        settings = MultiHmrSettings.of(bundle)
        mesh = topology_of(bundle, settings, None)
        sizes = {tensor.name: tensor.shape for tensor in bundle.graph(mesh.graph).inputs}
        return cls(bundle, "--smooth", settings.bones, sizes["rotations"][2], None)


def _one_euro(given: SmootherContext) -> PeopleSmoother:
    return OneEuroPeople(given.options)


def _posebert(given: SmootherContext) -> PeopleSmoother:
    option, name = f"{given.option} posebert", given.bundle.name
    try:
        # On one thread of the CPU, wherever the model runs: the network is small.
        return PoseBertPeople(given.bones, given.count, options=given.options, backend=Execution(threads=1))
    except SkeletonError as error:
        raise HumanrtError(f"{option}: bundle `{name}`: {error}; take oneeuro") from error
    except BundleError as error:
        raise BundleError(f"{option}: {error}; or take oneeuro") from error


SMOOTHERS: Mapping[str, Callable[[SmootherContext], PeopleSmoother] | None] = {
    "oneeuro": _one_euro,
    "posebert": _posebert,
    "none": None,
}
"""Name -> function that opens a smoother of people, whatever perceives them; the first is the default of models that
look at one frame at a time, and of people who are predicted (docs/measurements/smoothing.md)."""


def open_smoother(bundle: Bundle, name: str | None = None) -> PeopleSmoother | None:
    """Open the smoother of a name in `SMOOTHERS` for the people of a bundle; None for ``none``.

    Args:
        bundle: of the people. Those who are followed by landmarks are smoothed already, and less again (`FOLLOWED`).
        name: of the smoother; None: the first.

    Raises:
        HumanrtError: there is no such smoother, and the message lists them; or it does not know the model's bones, or
            its own bundle is not installed.
    """
    if name is None:
        name = next(iter(SMOOTHERS))
    if name not in SMOOTHERS:
        option = "--smooth" if people_model(bundle) == MULTIHMR else "--smooth-after"
        raise HumanrtError(
            f"{option} {name}: bundle `{bundle.name}` does not have it; choose one of: {choices(SMOOTHERS)}"
        )
    make = SMOOTHERS[name]
    return None if make is None else make(SmootherContext.of(bundle))
