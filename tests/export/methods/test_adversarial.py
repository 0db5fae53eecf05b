"""Perturbations have the statistics that their papers give them; attacks find the worst that can be known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from methods.picture_task import SIZE, Brightness, check_resuming, quiet
from torch import Tensor

from humanrt.errors import HumanrtError
from humanrt_export.training.loop import TrainOptions, train
from humanrt_export.training.methods.adversarial import (
    METHODS,
    Adversarial,
    AdversarialOptions,
    Pgd,
    fgsm,
    n_fgsm,
    pgd,
    rs_fgsm,
    worst_case,
)
from humanrt_export.training.methods.pixels import normalised, pixels
from humanrt_export.training.methods.wrapped import sample_losses

EPSILON = 8 / 255
GREY = torch.full((16, 3, 64, 64), 0.5)
SIGNS = torch.sign(torch.randn(64, 64, generator=torch.Generator().manual_seed(1)))


def slope(picture: Tensor) -> Tensor:
    """A loss whose gradient has the signs `SIGNS`, wherever it is taken."""
    return (picture * SIGNS).sum()


def test_n_fgsm_reaches_three_epsilons_and_is_not_projected() -> None:
    delta = n_fgsm(slope, GREY, EPSILON, 2.0, EPSILON, torch.Generator().manual_seed(0)) - GREY
    eta = delta - EPSILON * SIGNS  # what is left is the noise
    assert float(delta.abs().max()) <= 3 * EPSILON + 1e-6
    assert float(delta.abs().max()) > 2.99 * EPSILON
    assert float(eta.abs().max()) <= 2 * EPSILON + 1e-6
    # Uniform in +- 2 epsilon: mean 0, variance (4 epsilon)^2 / 12, quarters of equal share.
    count = eta.numel()
    assert float(eta.mean()) == pytest.approx(0, abs=5 * 2 * EPSILON / (3 * count) ** 0.5)
    assert float(eta.var()) == pytest.approx((4 * EPSILON) ** 2 / 12, rel=0.01)
    shares = torch.histc(eta, bins=4, min=-2 * EPSILON, max=2 * EPSILON) / count
    torch.testing.assert_close(shares, torch.full((4,), 0.25), rtol=0, atol=0.005)
    # The noise is along the step half of the time, and then the sum is outside of epsilon.
    assert float((delta.abs() > EPSILON).float().mean()) == pytest.approx(0.5, abs=0.005)


def test_the_gradient_of_n_fgsm_is_taken_at_the_noisy_picture() -> None:
    places = []

    def loss(picture: Tensor) -> Tensor:
        places.append(picture.detach())
        return slope(picture)

    attacked = n_fgsm(loss, GREY, EPSILON, 2.0, EPSILON, torch.Generator().manual_seed(0))
    (place,) = places  # one gradient
    torch.testing.assert_close(attacked, place + EPSILON * SIGNS)
    assert float((place - GREY).abs().mean()) == pytest.approx(EPSILON, rel=0.02)


def test_pictures_stay_in_range_and_only_there_are_perturbations_cut() -> None:
    picture = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(0)
    attacked = n_fgsm(slope, picture, EPSILON, 2.0, EPSILON, generator)
    assert float(attacked.min()) == 0
    assert float(attacked.max()) == 1
    inner = (picture - 0.5).abs() < 0.5 - 3 * EPSILON
    assert float((attacked - picture)[inner].abs().max()) > 2.9 * EPSILON


def test_rs_fgsm_and_pgd_stay_within_epsilon_and_fgsm_is_one_step() -> None:
    torch.testing.assert_close(fgsm(slope, GREY, EPSILON) - GREY, (EPSILON * SIGNS).expand_as(GREY))
    rs = rs_fgsm(slope, GREY, EPSILON, 1.25 * EPSILON, torch.Generator().manual_seed(0)) - GREY
    assert float(rs.abs().max()) <= EPSILON + 1e-6
    # clamp(u + 1.25) of u uniform in +- 1 is at the border for u > -0.25: five eighths.
    assert float((rs * SIGNS > EPSILON - 1e-6).float().mean()) == pytest.approx(5 / 8, abs=0.005)
    steps = pgd(slope, GREY, EPSILON, EPSILON / 4, 9, torch.Generator().manual_seed(0)) - GREY
    torch.testing.assert_close(steps, (EPSILON * SIGNS).expand_as(GREY))  # 9 quarters are enough from anywhere


def test_pgd_finds_the_optimum_of_a_loss_whose_optimum_is_known() -> None:
    goal = 0.5 + EPSILON * (torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3)) - 0.5)
    picture = torch.full((1, 3, SIZE, SIZE), 0.5)
    found = pgd(lambda x: -(x - goal).square().sum(), picture, EPSILON, EPSILON / 50, 200)
    assert float((found - goal).abs().max()) <= EPSILON / 50 + 1e-6


def test_the_worst_case_is_the_worst_of_each_picture() -> None:
    task = Brightness()
    batch = task.batch(0, 0, 5)
    clean = sample_losses(task, task.model, batch)
    one = worst_case(task, task.model, batch, Pgd(EPSILON, steps=3, restarts=1, step=EPSILON / 8))
    many = worst_case(task, task.model, batch, Pgd(EPSILON, steps=3, restarts=8, step=EPSILON / 8))
    found = [sample_losses(task, task.model, attacked) for attacked in (one, many)]
    assert bool((found[0] > clean).all())
    assert bool((found[1] >= found[0]).all())
    assert float((pixels(many.image) - pixels(batch.image)).abs().max()) <= EPSILON + 1e-6
    # A square's maximum over a box is at a corner: the exact worst case of a linear network.
    linear = task.model[1]  # type: ignore[index]
    weight = linear.weight.view(3, SIZE, SIZE) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    picture = pixels(batch.image)
    off = task.model(batch.image)[:, 0] - batch.brightness
    corner = (picture + EPSILON * weight.sign() * off.sign()[:, None, None, None]).clamp(0, 1)
    exact = sample_losses(task, task.model, replace(batch, image=normalised(corner)))
    strong = worst_case(task, task.model, batch, Pgd(EPSILON, steps=50, restarts=10))
    torch.testing.assert_close(sample_losses(task, task.model, strong), exact)


@pytest.mark.parametrize("clean", [0.0, 0.25, 1.0])
def test_the_clean_part_is_exact_and_the_rest_is_attacked(clean: float) -> None:
    task = Brightness()
    batch = task.batch(0, 0, 8)
    Adversarial(task, AdversarialOptions(epsilon=EPSILON, clean=clean)).losses(task.model, batch)
    moved = (task.seen[-1] - pixels(batch.image)).abs().amax((1, 2, 3)) > 1e-5
    assert int((~moved).sum()) == round(8 * clean)


def test_attacks_leave_no_gradients_and_validation_watches_for_overfitting() -> None:
    task = Brightness()
    wrapped = Adversarial(task, AdversarialOptions(epsilon=EPSILON, watched=6, watch_steps=20))
    batch = task.batch(0, 0, 2)
    wrapped.options.attack(lambda x: task.losses(task.model, replace(batch, image=x))["total"], pixels(batch.image))
    assert all(value.grad is None for value in task.model.parameters())
    with torch.inference_mode():
        found = wrapped.validate(task.model)
    assert found["single_step_gap"] == pytest.approx((found["pgd_loss"] - found["fgsm_loss"]) / found["fgsm_loss"])
    # Of a linear network a single step is the worst there is.
    assert abs(found["single_step_gap"]) < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path: Path, method: str) -> None:
    attack = AdversarialOptions(method, EPSILON, clean=0.25, steps=2, watched=2)
    check_resuming(tmp_path, lambda task: Adversarial(task, attack), steps_before=13)


def test_a_run_goes_on_only_with_the_same_attack(tmp_path: Path) -> None:
    options = TrainOptions(steps=4, batch=2, minutes=0.0)
    train(Adversarial(Brightness(), AdversarialOptions(watched=0)), tmp_path, options, quiet)
    with pytest.raises(HumanrtError, match="adversarial"):
        train(Adversarial(Brightness(), AdversarialOptions(epsilon=0.1, watched=0)), tmp_path, options, quiet)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"method": "fgms"}, "choose one of: fgsm, n-fgsm, pgd, rs-fgsm"),
        ({"epsilon": 4.0}, "such as 4/255"),
        ({"clean": 2.0}, "must be 0 to 1"),
        ({"steps": 0}, "at least 1"),
    ],
)
def test_options_that_are_none_are_refused(settings: dict[str, float], says: str) -> None:
    with pytest.raises(HumanrtError, match=says):
        AdversarialOptions(**settings)  # type: ignore[arg-type]
