"""The methods that change how a step is made, as options of a training's command line.

They compose in this order, from the inside: which part is trained, randomised pictures, adversarial pictures, and the
objective of Meta-DR around them all.
"""

from __future__ import annotations

import argparse
from typing import Any

from humanrt_export.training.loop import Task
from humanrt_export.training.methods.adversarial import METHODS, Adversarial, AdversarialOptions
from humanrt_export.training.methods.batch_norm import PARTS, Partial
from humanrt_export.training.methods.manipulations import MANIPULATIONS, Manipulations
from humanrt_export.training.methods.meta_dr import MetaDr, MetaDrOptions, Randomised

__all__ = ["composed", "configure"]

_FULL_SCALE = 255


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    group = parser.add_argument_group("training methods (docs/train/methods.md)")
    add: Any = group.add_argument
    add("--update", choices=PARTS, default="full", help="what is trained (default: full)")
    add("--adversarial", choices=METHODS, help="train on attacked pictures")
    add("--epsilon", type=float, default=4.0, metavar="E", help="of the attack, of 255 (default: 4)")
    add("--noise", type=float, default=2.0, metavar="K", help="of n-fgsm, in epsilons (default: 2)")
    add("--attack-steps", type=int, default=7, metavar="N", help="of pgd (default: 7)")
    add("--clean", type=float, default=0.0, metavar="P", help="part of each batch that is not attacked (0)")
    add("--randomise", type=float, metavar="P", help="change this part of each batch's pictures at random")
    add("--manipulations", nargs="+", choices=sorted(MANIPULATIONS), metavar="NAME", help="which changes (all)")
    add("--manipulated", type=int, default=3, metavar="N", help="changes composed (default: 3)")
    add("--meta-dr", action="store_true", help="recall and adapt after a step on changed pictures")
    add("--recall", type=float, default=1.0, metavar="W", help="beta of Meta-DR (1)")
    add("--adapt", type=float, default=1.0, metavar="W", help="gamma of Meta-DR (1)")
    add("--inner-rate", type=float, default=0.01, metavar="R", help="of Meta-DR's inner step (0.01)")
    add("--second-order", action="store_true", help="differentiate through Meta-DR's inner step")


def composed(task: Task, arguments: argparse.Namespace) -> Task:
    """The task with the methods that were asked for around it."""
    names = tuple(arguments.manipulations or MANIPULATIONS)
    manipulations = Manipulations(names, arguments.manipulated)
    if arguments.update != "full":
        task = Partial(task, arguments.update)
    if arguments.randomise is not None:
        task = Randomised(task, manipulations, arguments.randomise)
    if arguments.adversarial:
        options = AdversarialOptions(
            arguments.adversarial,
            arguments.epsilon / _FULL_SCALE,
            arguments.noise,
            steps=arguments.attack_steps,
            clean=arguments.clean,
        )
        task = Adversarial(task, options)
    if arguments.meta_dr:
        options_dr = MetaDrOptions(
            arguments.recall, arguments.adapt, arguments.inner_rate, arguments.second_order, manipulations
        )
        task = MetaDr(task, options_dr)
    return task
