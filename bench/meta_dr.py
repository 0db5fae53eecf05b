"""Domain after domain without replay: plain, with randomised pictures, with Meta-DR; beside joint training.

    python bench/meta_dr.py --out build/meta_dr            about an hour on two cores
    python bench/meta_dr.py --out build/meta_dr --quick

A small network learns people in the looks studio, outdoor, night and thermal, one after the other, the same seconds on
each. Joint training, the upper bound, sees all of them at once, for as long as the others in all. Measured on held-out
people of every look after the last one; of `randomised`, a look that nobody was trained on; and what was forgotten: by
how much the error of an earlier look rose from its best to the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from humanrt_export.data.people.crops import Crops
from humanrt_export.entry import run_module
from humanrt_export.options import parse
from humanrt_export.training.experiment import Bench, BenchOptions, Look, spread, table
from humanrt_export.training.loop import Task
from humanrt_export.training.methods.continual import train_domains
from humanrt_export.training.methods.manipulations import Manipulations
from humanrt_export.training.methods.meta_dr import MetaDr, MetaDrOptions, Randomised

_LOOKS = ("studio", "outdoor", "night", "thermal")
_UNSEEN = Look("randomised")


@dataclass(frozen=True, kw_only=True)
class MetaDrBench(BenchOptions):
    """Options of this measurement.

    Attributes:
        looks: in this order.
        recall: beta.
        adapt: gamma.
        inner_rate: of the inner step.
        second_order: differentiate through the inner step.
        manipulated: manipulations composed.
    """

    seconds: float = 60.0
    train: int = 1500
    rate: float = 1e-3
    looks: tuple[str, ...] = _LOOKS
    recall: float = 1.0
    adapt: float = 1.0
    inner_rate: float = 0.01
    second_order: bool = False
    manipulated: int = 3


def main() -> int:
    bench = Bench(parse(MetaDrBench, text=__doc__.splitlines()[0]))
    given = bench.given
    looks = [Look(style) for style in given.looks]
    trained = {look.name: bench.crops(look, "train") for look in looks}
    held = {look.name: bench.crops(look, "val") for look in (*looks, _UNSEEN)}
    manipulations = Manipulations(count=given.manipulated)
    options = MetaDrOptions(given.recall, given.adapt, given.inner_rate, given.second_order, manipulations)

    def wrapped(method: str, task: Task) -> Task:
        if method == "randomised":
            return Randomised(task, manipulations)
        return MetaDr(task, options) if method == "meta-dr" else task

    methods = ("plain", "randomised", "meta-dr")
    one = looks[0].name
    bench.measure({name: lambda name=name: wrapped(name, bench.task(trained[one], held[one], 0)) for name in methods})
    everywhere = Crops.joined(list(trained.values()))
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in (*methods, "joint", "joint, randomised")}
    for seed in range(given.seeds):
        for method in methods:
            bare = {name: bench.task(crops, held[name], seed) for name, crops in trained.items()}
            tasks = {name: wrapped(method, task) for name, task in bare.items()}
            bench.say(f"training {method}-{seed}")
            result = train_domains(
                tasks,
                bench.out / "runs" / f"{method}-{seed}",
                bench.options(method, seed),
                lambda name, model: bare[name].error(model, held[name]),  # noqa: B023
                lambda line: None,
            )
            last = bare[looks[-1].name]
            found[method].append(
                {
                    "errors": result.errors,
                    "final": result.final,
                    "forgetting": result.forgetting,
                    "unseen": last.error(tasks[looks[-1].name].model, held[_UNSEEN.name]),
                }
            )
            bench.say(f"{method}-{seed}: {found[method][-1]}")
        for method, name in (("plain", "joint"), ("randomised", "joint, randomised")):
            task = bench.task(everywhere, held[one], seed)
            seconds = given.seconds * len(looks)
            bench.train(f"joint-{method}-{seed}", wrapped(method, task), bench.options(method, seed, seconds))
            errors = [task.error(task.model, held[look.name]) for look in looks]
            unseen = task.error(task.model, held[_UNSEEN.name])
            found[name].append({"errors": [errors], "final": sum(errors) / len(errors), "unseen": unseen})
            bench.say(f"{name}-{seed}: {found[name][-1]}")
    guess = bench.task(everywhere, held[one], 0).blind_error
    blind = [guess(held[look.name]) for look in (*looks, _UNSEEN)]
    seen = [f"{error:.1f}" for error in blind[:-1]]
    rows: list[tuple[object, ...]] = [
        ("mean pose", *seen, f"{sum(blind[:-1]) / len(looks):.1f}", "", f"{blind[-1]:.1f}")
    ]
    rows += [
        (
            name,
            *(spread(run["errors"][-1][place] for run in runs) for place in range(len(looks))),
            spread(run["final"] for run in runs),
            spread(run["forgetting"] for run in runs) if "forgetting" in runs[0] else "",
            spread(run["unseen"] for run in runs),
        )
        for name, runs in found.items()
    ]
    head = ("training", *(look.name for look in looks), "mean", "forgotten", "unseen look")
    text = f"Joint error after the last look, mm, {given.seeds} seeds, {given.seconds:.0f} s a look:\n\n" + table(
        head, rows
    )
    bench.write({"runs": found}, text)
    return 0


if __name__ == "__main__":
    run_module(main)
