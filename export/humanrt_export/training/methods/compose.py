"""The methods that change how a step is made, and their options.

They compose in this order, from the inside: which part is trained, randomised pictures, adversarial pictures, and the
objective of Meta-DR around them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from humanrt.errors import HumanrtError, choices
from humanrt_export.options import Option
from humanrt_export.training.loop import Task
from humanrt_export.training.methods.adversarial import METHODS, Adversarial, AdversarialOptions, P
from humanrt_export.training.methods.batch_norm import PARTS, Partial
from humanrt_export.training.methods.manipulations import MANIPULATIONS, Manipulations
from humanrt_export.training.methods.meta_dr import MetaDr, MetaDrOptions, Randomised

__all__ = ["MethodOptions", "composed"]

_FULL_SCALE = 255


@dataclass(frozen=True)
class MethodOptions:
    """Which training methods are used, and how (docs/train/methods.md).

    Attributes:
        update: what is trained.
        adversarial: train on pictures attacked by this method.
        epsilon: of the attack, of 255.
        noise: of n-fgsm, in epsilons.
        attack_steps: of pgd.
        clean: part of each batch that is not attacked.
        randomise: change this part of each batch's pictures at random.
        manipulations: which changes; without any, all.
        manipulated: changes composed.
        meta_dr: recall and adapt after a step on changed pictures.
        recall: beta of Meta-DR.
        adapt: gamma of Meta-DR.
        inner_rate: of Meta-DR's inner step.
        second_order: differentiate through Meta-DR's inner step.
    """

    update: Annotated[str, Option(choices=PARTS)] = "full"
    adversarial: Annotated[str | None, Option(choices=METHODS)] = None
    epsilon: Annotated[float, Option(metavar="E")] = 4.0
    noise: Annotated[float, Option(metavar="K")] = 2.0
    attack_steps: int = 7
    clean: Annotated[float, Option(metavar="P")] = 0.0
    randomise: Annotated[float | None, Option(metavar="P")] = None
    manipulations: Annotated[tuple[str, ...], Option(choices=MANIPULATIONS, metavar="NAME")] = ()
    manipulated: int = 3
    meta_dr: bool = False
    recall: Annotated[float, Option(metavar="W")] = 1.0
    adapt: Annotated[float, Option(metavar="W")] = 1.0
    inner_rate: Annotated[float, Option(metavar="R")] = 0.01
    second_order: bool = False

    def __post_init__(self) -> None:
        if self.update not in PARTS:
            raise HumanrtError(f"no part `{self.update}` of a network; there are: {choices(PARTS)}")
        _ = (self.changes, self.attack, self.objective)  # each refuses what it cannot be

    @property
    def changes(self) -> Manipulations:
        """The random changes of `randomise` and `meta_dr`."""
        return Manipulations(self.manipulations or tuple(MANIPULATIONS), self.manipulated)

    @property
    def attack(self) -> AdversarialOptions | None:
        """How pictures are attacked, if they are."""
        if self.adversarial is None:
            return None
        return AdversarialOptions(
            self.adversarial, self.epsilon / _FULL_SCALE, self.noise, steps=self.attack_steps, clean=self.clean
        )

    @property
    def objective(self) -> MetaDrOptions | None:
        """The objective of Meta-DR, if it is used."""
        if not self.meta_dr:
            return None
        return MetaDrOptions(self.recall, self.adapt, self.inner_rate, self.second_order, self.changes)


def composed(task: Task[P], options: MethodOptions) -> Task[P]:
    """Wrap a task in the methods that are asked for."""
    if options.update != "full":
        task = Partial(task, options.update)
    if options.randomise is not None:
        task = Randomised(task, options.changes, options.randomise)
    if options.attack:
        task = Adversarial(task, options.attack)
    if options.objective:
        task = MetaDr(task, options.objective)
    return task
