"""Adversarial training in one step, and the attacks that its worth is measured with.

FGSM: Goodfellow et al., Explaining and harnessing adversarial examples, 2015. PGD: Madry et al., Towards deep learning
models resistant to adversarial attacks, 2018. RS-FGSM: Wong et al., Fast is better than free, 2020. N-FGSM: de Jorge et
al., Make some noise: reliable and efficient single-step adversarial training, 2022.

Perturbations are of pictures in 0..1, before normalisation; epsilon = 4 / 255 is four grey levels.

Single-step training can overfit catastrophically: from one epoch to the next it resists the step that it is trained
with and nothing else. `Adversarial` looks for that at every validation: the loss under a single step beside PGD's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from humanrt.errors import HumanrtError, choices
from humanrt_export.options import Option
from humanrt_export.training.loop import Task
from humanrt_export.training.methods.method import Method, P
from humanrt_export.training.methods.pixels import normalised, pixels
from humanrt_export.training.methods.wrapped import Wrapped, held_out, sample_losses

__all__ = [
    "METHODS",
    "Adversarial",
    "AdversarialOptions",
    "Attack",
    "Pgd",
    "fgsm",
    "n_fgsm",
    "pgd",
    "rs_fgsm",
    "worst_case",
]

METHODS = ("fgsm", "rs-fgsm", "n-fgsm", "pgd")

Loss = Callable[[Tensor], Tensor]
"""Picture [B, 3, H, W] in 0..1 -> a scalar whose gradient at one picture does not depend on the others."""

_RS_STEP = 1.25  # epsilons: Wong et al.'s step
_PGD_STEP = 2.5  # epsilons, over all steps: Madry et al.'s


@dataclass(frozen=True)
class Pgd:
    """A strong attack, to measure with.

    Attributes:
        epsilon: largest change of a value in 0..1.
        steps: gradient steps.
        restarts: from different random beginnings; the worst counts for each picture.
        step: size of a step; None: a quarter of epsilon.
    """

    epsilon: float = 4 / 255
    steps: int = 50
    restarts: int = 10
    step: float | None = None

    @property
    def size(self) -> float:
        """Of a step."""
        return self.epsilon / 4 if self.step is None else self.step


@dataclass(frozen=True)
class AdversarialOptions:
    """How inputs are made worse.

    Attributes:
        method: one of `METHODS`.
        epsilon: in 0..1, of what the network shall resist.
        noise: k of N-FGSM, whose noise is uniform in +- k epsilon.
        step: alpha; None: epsilon, of RS-FGSM 1.25 epsilon, of PGD 2.5 epsilon / steps.
        steps: of PGD.
        clean: part of every batch that stays as it is.
        watched: pictures that are attacked at every validation; 0: none.
        watch_steps: of that PGD.
    """

    method: str = "n-fgsm"
    epsilon: float = 4 / 255
    noise: float = 2.0
    step: float | None = None
    steps: int = 7
    clean: float = 0.0
    watched: int = 32
    watch_steps: int = 10

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise HumanrtError(f"unknown adversarial method `{self.method}`; choose one of: {choices(METHODS)}")
        if not 0 < self.epsilon < 1:
            raise HumanrtError(
                f"epsilon is {self.epsilon}; it must be a fraction of full scale between 0 and 1, such as 4/255"
            )
        if not 0 <= self.clean <= 1:
            raise HumanrtError(f"the clean fraction is {self.clean}; it must be 0 to 1")
        if self.noise < 0 or self.steps < 1 or (self.step is not None and self.step <= 0):
            raise HumanrtError("noise must be at least 0, steps at least 1, and a step above 0")
        if self.watched < 0 or self.watch_steps < 1:
            raise HumanrtError("watched must be at least 0, and watch_steps at least 1")

    def attack(self, loss: Loss, picture: Tensor) -> Tensor:
        """The pictures [B, 3, H, W] that a step is made on, all of them changed."""
        epsilon, step = self.epsilon, self.step
        if self.method == "fgsm":
            return fgsm(loss, picture, step or epsilon)
        if self.method == "rs-fgsm":
            return rs_fgsm(loss, picture, epsilon, step or _RS_STEP * epsilon)
        if self.method == "n-fgsm":
            return n_fgsm(loss, picture, epsilon, self.noise, step or epsilon)
        return pgd(loss, picture, epsilon, step or _PGD_STEP * epsilon / self.steps, self.steps)


def fgsm(loss: Loss, picture: Tensor, step: float) -> Tensor:
    """One step of size ``step`` along the gradient's sign."""
    return (picture + step * _ascent(loss, picture)).clamp(0, 1)


def rs_fgsm(
    loss: Loss, picture: Tensor, epsilon: float, step: float, generator: torch.Generator | None = None
) -> Tensor:
    """Random start within epsilon, one step, back into epsilon."""
    start = _uniform(picture, epsilon, generator)
    moved = start + step * _ascent(loss, picture + start)
    return (picture + moved.clamp(-epsilon, epsilon)).clamp(0, 1)


def n_fgsm(
    loss: Loss, picture: Tensor, epsilon: float, noise: float, step: float, generator: torch.Generator | None = None
) -> Tensor:
    """Noise eta uniform in +- noise * epsilon, and one step from there.

    Nothing takes the sum back into epsilon, so it reaches ``noise * epsilon + step``: with noise 2 and a step of
    epsilon, three epsilons. That is what keeps the single step from catastrophic overfitting.
    """
    eta = _uniform(picture, noise * epsilon, generator)
    return (picture + eta + step * _ascent(loss, picture + eta)).clamp(0, 1)


def pgd(
    loss: Loss, picture: Tensor, epsilon: float, step: float, steps: int, generator: torch.Generator | None = None
) -> Tensor:
    """Random start within epsilon, and ``steps`` steps, each back into epsilon and into 0..1."""
    attacked = (picture + _uniform(picture, epsilon, generator)).clamp(0, 1)
    for _ in range(steps):
        moved = attacked + step * _ascent(loss, attacked)
        attacked = torch.minimum(torch.maximum(moved, picture - epsilon), picture + epsilon).clamp(0, 1)
    return attacked


def worst_case(task: Task[P], model: nn.Module, batch: P, attack: Pgd, seed: int = 0) -> P:
    """The batch with every picture replaced by the worst that PGD found.

    The worst of a picture is the restart whose last step has the highest loss of that picture alone. ``model`` should
    be in evaluation mode. Works under `torch.inference_mode` too.
    """
    with torch.inference_mode(False), torch.enable_grad():
        batch = batch.clone()
        picture = pixels(batch.image)
        generator = torch.Generator(picture.device).manual_seed(seed)

        def loss(attacked: Tensor) -> Tensor:
            return task.losses(model, replace(batch, image=normalised(attacked)))["total"]

        worst, height = picture, picture.new_full((len(picture),), -torch.inf)
        for _ in range(attack.restarts):
            attacked = pgd(loss, picture, attack.epsilon, attack.size, attack.steps, generator)
            with torch.no_grad():
                found = sample_losses(task, model, replace(batch, image=normalised(attacked)))
            worse = found > height
            worst = torch.where(worse[:, None, None, None], attacked, worst)
            height = torch.where(worse, found, height)
        return replace(batch, image=normalised(worst))


class Adversarial(Wrapped[P]):
    """A task that is trained on attacked pictures.

    Validation adds, of held-out pictures: ``fgsm_loss``, ``pgd_loss``, and ``single_step_gap``, what PGD adds to the
    single step's loss as a part of it. Robust networks have a gap of a few hundredths; where it jumps while `fgsm_loss`
    falls, the training has overfitted catastrophically, and what was before is the better network.
    """

    def __init__(self, task: Task[P], options: AdversarialOptions) -> None:
        super().__init__(task)
        self.options = options

    def config(self) -> Mapping[str, Any]:
        """The task's, and the attack."""
        watch = ("watched", "watch_steps")
        about = {name: value for name, value in asdict(self.options).items() if name not in watch}
        return {**self.task.config(), "adversarial": about}

    def losses(self, model: nn.Module, batch: P) -> Mapping[str, Tensor]:
        """The task's, of attacked pictures; the first ones of a random order stay clean."""
        picture = pixels(batch.image)

        def loss(attacked: Tensor) -> Tensor:
            return self.task.losses(model, replace(batch, image=normalised(attacked)))["total"]

        attacked = self.options.attack(loss, picture)
        clean = round(self.options.clean * len(picture))
        kept = torch.randperm(len(picture), device=picture.device)[:clean]
        attacked[kept] = picture[kept]
        return self.task.losses(model, replace(batch, image=normalised(attacked)))

    def validate(self, model: nn.Module) -> Mapping[str, float]:
        """The task's metrics, and the watch for catastrophic overfitting."""
        found = dict(self.task.validate(model))
        if not self.options.watched:
            return found
        epsilon = self.options.epsilon
        device = next(model.parameters()).device
        with torch.inference_mode(False), torch.enable_grad():
            batch = held_out(self.task, self.options.watched).to(device)
            picture = pixels(batch.image)

            def loss(attacked: Tensor) -> Tensor:
                return self.task.losses(model, replace(batch, image=normalised(attacked)))["total"]

            single = fgsm(loss, picture, epsilon)
            generator = torch.Generator(device).manual_seed(0)
            many = pgd(loss, picture, epsilon, epsilon / 4, self.options.watch_steps, generator)
            with torch.no_grad():
                losses = {"fgsm_loss": float(loss(single)), "pgd_loss": float(loss(many))}
        gap = (losses["pgd_loss"] - losses["fgsm_loss"]) / max(abs(losses["fgsm_loss"]), 1e-12)
        return found | losses | {"single_step_gap": gap}


_FULL_SCALE = 255


@dataclass(frozen=True, kw_only=True)
class Attack(Method):
    """Train on attacked pictures.

    Attributes:
        adversarial: train on pictures attacked by this method.
        epsilon: of the attack, of 255.
        noise: of n-fgsm, in epsilons.
        attack_steps: of pgd.
        clean: part of each batch that is not attacked.
    """

    adversarial: Annotated[str | None, Option(choices=METHODS)] = None
    epsilon: Annotated[float, Option(metavar="E")] = 4.0
    noise: Annotated[float, Option(metavar="K")] = 2.0
    attack_steps: int = 7
    clean: Annotated[float, Option(metavar="P")] = 0.0

    def check(self) -> None:
        """Refuse attacks that cannot be."""
        if self.adversarial is not None:
            self._options(self.adversarial)

    def wrap(self, task: Task[P]) -> Task[P]:
        """Attack the task's pictures."""
        return task if self.adversarial is None else Adversarial(task, self._options(self.adversarial))

    def _options(self, method: str) -> AdversarialOptions:
        epsilon = self.epsilon / _FULL_SCALE
        return AdversarialOptions(method, epsilon, self.noise, steps=self.attack_steps, clean=self.clean)


def _ascent(loss: Loss, picture: Tensor) -> Tensor:
    """Sign of the gradient of the loss at ``picture``; parameters get no gradient."""
    at = picture.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(at), at)
    return gradient.sign()


def _uniform(like: Tensor, bound: float, generator: torch.Generator | None) -> Tensor:
    return (2 * torch.rand(like.shape, generator=generator, device=like.device, dtype=like.dtype) - 1) * bound
