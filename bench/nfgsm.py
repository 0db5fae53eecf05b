"""N-FGSM against clean, FGSM, RS-FGSM and PGD training at equal time: error of poses, clean and attacked.

    python bench/nfgsm.py --out build/nfgsm            about an hour on two cores
    python bench/nfgsm.py --out build/nfgsm --quick    two minutes, to see that it works

Every method trains the same small network on the same rendered people for the same seconds, from each seed. Attacks of
the measurement: FGSM, and PGD with 50 steps and 10 restarts, the worst for each picture, both within epsilon. Where a
training overfits catastrophically, PGD's loss rises far above the single step's (`single_step_gap`): the largest rise
that its own watch saw from one validation to any later one is in the table, and in how many seeds it was above a
quarter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch

from humanrt_export.entry import run_module
from humanrt_export.options import Option, parse
from humanrt_export.training.experiment import Bench, BenchOptions, Look, spread, table
from humanrt_export.training.methods.adversarial import (
    METHODS,
    Adversarial,
    AdversarialOptions,
    Pgd,
    fgsm,
    worst_case,
)
from humanrt_export.training.methods.pixels import normalised, pixels
from humanrt_export.training.tasks.pose_crop import PoseCropTask

_LOOK = Look("randomised")
_OVERFITTED = 0.25


@dataclass(frozen=True, kw_only=True)
class NfgsmBench(BenchOptions):
    """Options of this measurement.

    Attributes:
        epsilon: of 255.
        attacked: held-out people under PGD.
        methods: that are measured.
    """

    seconds: float = 150.0
    train: int = 2000
    rate: float = 2e-3
    epsilon: Annotated[float, Option(metavar="E")] = 8.0
    attacked: int = 32
    methods: Annotated[tuple[str, ...], Option(choices=("clean", *METHODS))] = ("clean", *METHODS)


def main() -> int:
    bench = Bench(parse(NfgsmBench, text=__doc__.splitlines()[0]))
    given = bench.given
    epsilon = given.epsilon / 255
    attack = Pgd(epsilon, 3, 2) if given.quick else Pgd(epsilon)
    trained, held = (bench.crops(_LOOK, part) for part in ("train", "val"))

    def make(method: str, seed: int) -> tuple[PoseCropTask, Any]:
        task = bench.task(trained, held, seed)
        return task, task if method == "clean" else Adversarial(task, AdversarialOptions(method, epsilon))

    methods = given.methods
    bench.measure({method: lambda method=method: make(method, 0)[1] for method in methods})
    found: dict[str, list[dict[str, float]]] = {method: [] for method in methods}
    for seed in range(given.seeds):
        for method in methods:
            task, wrapped = make(method, seed)
            options = bench.options(method, seed)
            options = bench.options(method, seed, validate_every=max(1, options.steps // 8))
            bench.train(f"{method}-{seed}", wrapped, options)
            gaps = [
                line["validation"].get("single_step_gap", 0.0)
                for line in bench.log(f"{method}-{seed}")
                if "validation" in line
            ]
            found[method].append(
                {"steps": options.steps, "gap_rise": rise(gaps), **attacked(task, attack, given.attacked)}
            )
            bench.say(f"{method}-{seed}: {found[method][-1]}")
    guess = bench.task(trained, held, 0).blind_error
    all_of_them, some = f"{guess(held):.1f}", f"{guess(held, given.attacked):.1f}"
    rows: list[tuple[object, ...]] = [("mean pose", "", "", all_of_them, some, some, "", "")]
    for method in methods:
        runs = found[method]
        rows.append(
            (
                "clean training" if method == "clean" else {"pgd": "PGD (7 steps)"}.get(method, method.upper()),
                f"{1000 * bench.step_seconds(method):.0f}",
                runs[0]["steps"],
                *(spread(run[name] for run in runs) for name in ("clean", "fgsm", "pgd")),
                f"{max(run['gap_rise'] for run in runs):.2f}" if method != "clean" else "",
                f"{sum(run['gap_rise'] > _OVERFITTED for run in runs)} of {len(runs)}" if method != "clean" else "",
            )
        )
    head = (
        "training",
        "ms a step",
        "steps",
        "clean mm",
        "FGSM mm",
        f"PGD-{attack.steps} x {attack.restarts} mm",
        "gap's rise",
        "overfitted",
    )
    text = f"Joint error, {given.seeds} seeds, {given.seconds:.0f} s each, epsilon {given.epsilon:g}/255:\n\n" + table(
        head, rows
    )
    bench.write({"runs": found}, text)


def rise(values: list[float]) -> float:
    """The most by which a value is above an earlier one."""
    return max((later - min(values[: place + 1]) for place, later in enumerate(values)), default=0.0)


def attacked(task: PoseCropTask, attack: Pgd, most: int) -> dict[str, float]:
    """Mean joint error, mm, of the task's network: of all held-out people, and of the first ones under attacks."""
    device = next(task.model.parameters()).device
    batch = task.held_out_batch(most).to(device)
    picture = pixels(batch.image)

    def loss(changed: torch.Tensor) -> torch.Tensor:
        return task.losses(task.model, replace(batch, image=normalised(changed)))["total"]

    single = replace(batch, image=normalised(fgsm(loss, picture, attack.epsilon)))
    worst = worst_case(task, task.model, batch, attack)
    with torch.no_grad():
        errors = {
            name: float(task.errors(task.model, made).mean()) for name, made in (("fgsm", single), ("pgd", worst))
        }
    return {"clean": task.error(task.model, task.held), **errors}
    return 0


if __name__ == "__main__":
    run_module(main)
