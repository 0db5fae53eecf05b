"""Domain after domain without replay: plain, with randomised pictures, with Meta-DR; beside joint training.

    python bench/meta_dr.py --out build/meta_dr            about an hour on two cores
    python bench/meta_dr.py --out build/meta_dr --quick

A small network learns people in the looks studio, outdoor, night and thermal, one after the other, the same seconds on
each. Joint training, the upper bound, sees all of them at once, for as long as the others in all. Measured on held-out
people of every look after the last one; of `randomised`, a look that nobody was trained on; and what was forgotten: by
how much the error of an earlier look rose from its best to the end.
"""

from __future__ import annotations

from typing import Any

from humanrt_export.data.people.crops import Crops
from humanrt_export.training.experiment import Bench, Look, arguments, spread, table
from humanrt_export.training.loop import Task
from humanrt_export.training.methods.continual import train_domains
from humanrt_export.training.methods.manipulations import Manipulations
from humanrt_export.training.methods.meta_dr import MetaDr, MetaDrOptions, Randomised

_LOOKS = ("studio", "outdoor", "night", "thermal")
_UNSEEN = Look("randomised")


def main() -> None:
    parser = arguments(__doc__.splitlines()[0], seconds=60.0, train=1500, encoder="resnet", rate=1e-3)
    parser.add_argument("--looks", nargs="+", default=list(_LOOKS), help=f"in this order (default: {' '.join(_LOOKS)})")
    parser.add_argument("--recall", type=float, default=1.0, help="beta (default: 1)")
    parser.add_argument("--adapt", type=float, default=1.0, help="gamma (default: 1)")
    parser.add_argument("--inner-rate", type=float, default=0.01, help="of the inner step (default: 0.01)")
    parser.add_argument("--second-order", action="store_true")
    parser.add_argument("--manipulated", type=int, default=3, metavar="N", help="manipulations composed (default: 3)")
    given = parser.parse_args()
    bench = Bench(given)
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


if __name__ == "__main__":
    main()
