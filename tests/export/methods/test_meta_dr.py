"""Gradients of the meta-objective are those of its definition; manipulations; domains in turn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from methods.picture_task import Brightness, Pictures, check_resuming, quiet
from torch import Tensor, nn

from humanrt.errors import HumanrtError
from humanrt_export.runs import load_run
from humanrt_export.training.loop import TrainOptions
from humanrt_export.training.methods.continual import Continual, train_domains
from humanrt_export.training.methods.manipulations import MANIPULATIONS, Manipulations
from humanrt_export.training.methods.meta_dr import MetaDr, MetaDrOptions, Randomised
from humanrt_export.training.methods.pixels import normalised, pixels

BETA, GAMMA, RATE = 0.7, 1.3, 0.2


class Curved:
    """A toy whose network is called by a method and by its own name; smooth, of few weights, in double precision."""

    def __init__(self) -> None:
        torch.manual_seed(4)
        self.model: nn.Module = nn.Sequential(nn.Linear(12, 3), nn.Tanh(), nn.Linear(3, 1)).double()

    def config(self) -> Mapping[str, Any]:
        return {}

    def batch(self, seed: int, step: int, size: int) -> Pictures:
        generator = torch.Generator().manual_seed(seed)
        picture = torch.rand(size, 3, 2, 2, generator=generator, dtype=torch.double)
        return Pictures(picture, picture.square().mean((1, 2, 3)))

    def losses(self, model: Any, batch: Pictures) -> dict[str, Tensor]:
        hidden = model[1](model[0](batch.image.flatten(1)))
        return {"total": (model[2](hidden)[:, 0] - batch.brightness).square().mean()}

    def validate(self, model: nn.Module) -> dict[str, float]:
        return {}


class Halved(Manipulations):
    """The same change every time."""

    def __call__(self, picture: Tensor) -> Tensor:
        return picture.detach() * 0.5


def _options(second_order: bool) -> MetaDrOptions:
    return MetaDrOptions(BETA, GAMMA, RATE, second_order, Halved())


def _set(model: nn.Module, flat: Tensor) -> None:
    with torch.no_grad():
        at = 0
        for value in model.parameters():
            value.copy_(flat[at : at + value.numel()].view_as(value))
            at += value.numel()


def _flat(model: nn.Module) -> Tensor:
    return torch.cat([value.detach().flatten() for value in model.parameters()])


def _gradient(task: MetaDr[Pictures], batch: Pictures) -> Tensor:
    task.model.zero_grad()
    task.losses(task.model, batch)["total"].backward()
    return torch.cat([value.grad.flatten() for value in task.model.parameters()])  # type: ignore[union-attr]


def _plain(at: Tensor, batch: Pictures) -> tuple[float, Tensor]:
    """The toy's loss at these weights, and its gradient."""
    toy = Curved()
    _set(toy.model, at)
    total = toy.losses(toy.model, batch)["total"]
    total.backward()
    return float(total.detach()), torch.cat([value.grad.flatten() for value in toy.model.parameters()])  # type: ignore[union-attr]


def _objective(at: Tensor, constant: Tensor | None, batch: Pictures, meta: Pictures) -> float:
    """As the paper defines it; ``constant``: the inner gradient, where it counts as one."""
    stepped = at - RATE * (_plain(at, meta)[1] if constant is None else constant)
    return _plain(at, batch)[0] + BETA * _plain(stepped, batch)[0] + GAMMA * _plain(stepped, meta)[0]


@pytest.mark.parametrize("second_order", [False, True])
def test_the_gradient_of_the_objective_is_that_of_finite_differences(second_order: bool) -> None:
    task = MetaDr(Curved(), _options(second_order))
    batch = task.batch(1, 0, 5)
    meta = replace(batch, image=normalised(0.5 * pixels(batch.image)))
    found, at = _gradient(task, batch), _flat(task.model)
    constant = None if second_order else _plain(at, meta)[1]
    wanted, other = torch.empty_like(at), torch.empty_like(at)
    for place in range(len(at)):
        step = torch.zeros_like(at)
        step[place] = 1e-5
        wanted[place], other[place] = (
            (_objective(at + step, inner, batch, meta) - _objective(at - step, inner, batch, meta)) / 2e-5
            for inner in (constant, _plain(at, meta)[1] if second_order else None)
        )
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-8)
    assert float((found - other).abs().max()) > 1e-4  # the orders differ, so one cannot pass for the other


def test_what_is_reported_is_the_objective() -> None:
    task = MetaDr(Curved(), _options(False))
    batch = task.batch(1, 0, 5)
    meta = replace(batch, image=normalised(0.5 * pixels(batch.image)))
    losses = {name: float(value.detach()) for name, value in task.losses(task.model, batch).items()}
    at = _flat(task.model)
    stepped = at - RATE * _plain(at, meta)[1]
    assert losses["task"] == pytest.approx(_plain(at, batch)[0])
    assert losses["recall"] == pytest.approx(_plain(stepped, batch)[0])
    assert losses["adapt"] == pytest.approx(_plain(stepped, meta)[0])
    assert losses["total"] == pytest.approx(losses["task"] + BETA * losses["recall"] + GAMMA * losses["adapt"])


def test_running_statistics_are_those_of_the_current_domain() -> None:
    def network() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(108, 1))

    meta, plain = MetaDr(Brightness(network=network()), _options(False)), Brightness(network=network())
    batch = plain.batch(0, 0, 4)
    meta.losses(meta.model, batch)
    plain.losses(plain.model, batch)
    for name, value in plain.model.named_buffers():
        torch.testing.assert_close(dict(meta.model.named_buffers())[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("name", sorted(MANIPULATIONS))
def test_manipulations_keep_range_and_shape_and_change_more_at_higher_levels(name: str) -> None:
    torch.manual_seed(0)
    smooth = nn.functional.interpolate(torch.rand(4, 3, 4, 4), size=(16, 16), mode="bicubic").clamp(0, 1)

    def change(level: float) -> float:
        torch.manual_seed(1)
        changed = MANIPULATIONS[name](smooth, torch.full((4, 1, 1, 1), level)).clamp(0, 1)
        assert changed.shape == smooth.shape
        return float((changed - smooth).abs().mean())

    assert change(1.0) > 0.01
    if name == "grey":
        grey = MANIPULATIONS[name](smooth, torch.zeros(4, 1, 1, 1))
        assert float((grey[:, 0] - grey[:, 2]).abs().max()) == 0
        return
    assert change(0.0) < 1e-5 or name == "solarise"
    for sign in (-1, 1):
        assert change(sign) >= change(0.5 * sign) >= change(0.0)


def test_each_picture_gets_its_own_and_levels_bound_the_change() -> None:
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 16, 16).expand(32, -1, -1, -1)
    changed = Manipulations(count=2)(picture)
    assert len({float(one.sum()) for one in changed}) > 25
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1
    assert torch.equal(Manipulations(("contrast", "brightness"), strength=0.0)(picture), picture)
    torch.manual_seed(5)
    first = Manipulations()(picture)
    torch.manual_seed(5)
    assert torch.equal(first, Manipulations()(picture))


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_randomised_changes_its_share(share: float) -> None:
    task = Brightness()
    batch = task.batch(0, 0, 8)
    Randomised(task, Manipulations(("brightness",), 1), share).losses(task.model, batch)
    moved = (task.seen[-1] - pixels(batch.image)).abs().amax((1, 2, 3)) > 1e-4
    assert int(moved.sum()) == round(8 * share)


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    check_resuming(tmp_path, lambda task: MetaDr(task, MetaDrOptions(rate=0.01)), steps_before=18)


def test_domains_in_turn_begin_where_the_last_one_ended(tmp_path: Path) -> None:
    options = TrainOptions(steps=4, batch=4, warmup=1, report_every=4, validate_every=4, average=0.5)
    started: dict[str, dict[str, Tensor]] = {}

    def tasks() -> dict[str, Brightness]:
        class Noting(Brightness):
            def __init__(self, name: str) -> None:
                super().__init__()
                self.name = name

            def losses(self, model: nn.Module, batch: Pictures) -> dict[str, Tensor]:
                if self.name not in started:
                    started[self.name] = {key: value.clone() for key, value in model.state_dict().items()}
                return super().losses(model, batch)

        return {name: Noting(name) for name in ("day", "night")}

    def error(domain: str, model: nn.Module) -> float:
        assert not model.training
        return {"day": 1.0, "night": 2.0}[domain] * float(next(model.parameters()).abs().mean())

    result = train_domains(tasks(), tmp_path, options, error, quiet)
    ended = load_run(tmp_path / "0-day")[1]
    for name, value in ended.items():
        torch.testing.assert_close(started["night"][name], value, rtol=0, atol=0)
    assert result.domains == ("day", "night")
    assert result.errors[0][1] == pytest.approx(2 * result.errors[0][0])
    assert train_domains(tasks(), tmp_path, options, error, quiet) == result  # what is done stays
    with pytest.raises(HumanrtError, match="stopped at step 1 of 9"):
        train_domains(tasks(), tmp_path / "b", replace(options, steps=9, minutes=0.0), error, quiet)


def test_forgetting_is_the_rise_from_the_best() -> None:
    result = Continual(("a", "b", "c"), ((10.0, 50.0, 60.0), (8.0, 20.0, 40.0), (15.0, 26.0, 30.0)))
    assert result.final == pytest.approx((15 + 26 + 30) / 3)
    assert result.forgetting == pytest.approx(((15 - 8) + (26 - 20)) / 2)
    assert math.isfinite(Continual(("a",), ((3.0,),)).forgetting)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Manipulations(("contrasts",)), "choose one of: blue"),
        (lambda: Manipulations(strength=2.0), "strength 0 to 1"),
        (lambda: MetaDrOptions(rate=0.0), "rate above 0"),
        (lambda: Randomised(Brightness(), share=2.0), "must be 0 to 1"),
    ],
)
def test_options_that_are_none_are_refused(make: Any, says: str) -> None:
    with pytest.raises(HumanrtError, match=says):
        make()
