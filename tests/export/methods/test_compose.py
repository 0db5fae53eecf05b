"""Methods compose in the order of their list, and a new one is its file and one entry of that list."""

from __future__ import annotations

import argparse
import inspect
import sys
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Annotated

import pytest
import torch
from methods.picture_task import Brightness, Pictures
from torch import Tensor, nn

from humanrt.errors import HumanrtError
from humanrt_export.options import Option, add_options, build
from humanrt_export.training.loop import Task
from humanrt_export.training.methods import compose
from humanrt_export.training.methods.adversarial import Adversarial
from humanrt_export.training.methods.batch_norm import Partial
from humanrt_export.training.methods.compose import MethodOptions
from humanrt_export.training.methods.meta_dr import MetaDr, Randomised
from humanrt_export.training.methods.method import Method, P
from humanrt_export.training.methods.wrapped import Wrapped


class Noisy(Wrapped[P]):
    """A task whose pictures get noise: what a new file holds."""

    def __init__(self, task: Task[P], deviation: float) -> None:
        super().__init__(task)
        self.deviation = deviation

    def losses(self, model: nn.Module, batch: P) -> dict[str, Tensor]:
        image = batch.image + self.deviation * torch.randn_like(batch.image)
        return dict(self.task.losses(model, replace(batch, image=image)))


@dataclass(frozen=True, kw_only=True)
class AddNoise(Method):
    """Train on noisy pictures.

    Attributes:
        deviation: of the noise.
    """

    deviation: Annotated[float, Option(metavar="D")] = 0.0

    def check(self) -> None:
        if self.deviation < 0:
            raise HumanrtError(f"--deviation is {self.deviation}; need 0 or more")

    def wrap(self, task: Task[P]) -> Task[P]:
        return Noisy(task, self.deviation) if self.deviation else task


def _classes(task: Task[Pictures]) -> list[type]:
    """Of a task and those inside, from the outside in."""
    found: list[type] = []
    inner: object = task
    while isinstance(inner, Wrapped):
        found.append(type(inner))
        inner = inner.task
    return [*found, type(inner)]


def test_without_options_a_task_stays_as_it_is() -> None:
    task = Brightness()
    assert MethodOptions().wrap(task) is task


def test_methods_compose_from_the_inside_out() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(108, 1))
    options = MethodOptions(update="batch-norm", randomise=0.5, adversarial="n-fgsm", meta_dr=True)
    found = _classes(options.wrap(Brightness(network=network)))
    assert found == [MetaDr, Adversarial, Randomised, Partial, Brightness]


def test_no_two_methods_have_a_field_of_one_name() -> None:
    # That of a common base is inherited by several, and one field.
    own = [name for method in MethodOptions.__mro__ for name in inspect.get_annotations(method)]
    assert len(own) == len(set(own)) == len(fields(MethodOptions))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"update": "half"}, "unknown part `half` of a network"),
        ({"adversarial": "fgms"}, "unknown adversarial method `fgms`"),
        ({"manipulations": ("contrasts",)}, "unknown image manipulation contrasts"),
        ({"inner_rate": 0.0}, "inner rate above 0"),
    ],
)
def test_each_method_refuses_its_own_options(options: dict[str, object], says: str) -> None:
    with pytest.raises(HumanrtError, match=says):
        MethodOptions(**options)  # type: ignore[arg-type]


def test_a_new_method_is_one_entry_of_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial addition of docs/extend.md: the list's file with one import and one entry more."""
    monkeypatch.setitem(sys.modules, "noisy", sys.modules[__name__])
    source = Path(compose.__file__).read_text(encoding="utf-8")
    entry = "    MetaObjective,\n)"
    assert source.count(entry) == 1
    source = source.replace(entry, "    MetaObjective,\n    AddNoise,\n)")
    source = source.replace("\n\n__all__", "\nfrom noisy import AddNoise\n\n__all__")
    extended = ModuleType("extended")
    monkeypatch.setitem(sys.modules, "extended", extended)
    exec(compile(source, "extended.py", "exec"), extended.__dict__)

    parser = argparse.ArgumentParser()
    add_options(parser, extended.MethodOptions)
    assert "--deviation D" in parser.format_help()
    assert "of the noise" in parser.format_help()
    options = build(extended.MethodOptions, parser.parse_args(["--deviation", "0.1", "--adversarial", "fgsm"]))
    assert _classes(options.wrap(Brightness())) == [Noisy, Adversarial, Brightness]
    with pytest.raises(HumanrtError, match="--deviation is -1"):
        build(extended.MethodOptions, parser.parse_args(["--deviation", "-1"]))
