"""Batch-norm-only adaptation against no and full fine-tuning, at equal time, when looks and poses shift.

    python bench/batchnorm_adaptation.py --motions ../shared/mocap/cmu_asfamc.tar.xz --out build/batchnorm
    python bench/batchnorm_adaptation.py --out build/batchnorm --quick

The first takes about half an hour on two cores. A small residual network learns people of joint-limit poses in the look
`studio`. Then it is adapted to people of recorded poses in another look, with few and with many pictures: not at all,
by batch norm only (weights, biases, running statistics), or as a whole. Measured on held-out people of the new look and
poses; of the old look and new poses (what MoCap-SPIN is after: poses are learned from renders, looks must not be
forgotten); of the old look and poses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from humanrt_export.entry import run_module
from humanrt_export.options import parse
from humanrt_export.training.experiment import Bench, BenchOptions, Look, spread, table
from humanrt_export.training.methods.batch_norm import PARTS, Partial
from humanrt_export.training.tasks.pose_crop import PoseCropTask


@dataclass(frozen=True, kw_only=True)
class BatchNormBench(BenchOptions):
    """Options of this measurement.

    Attributes:
        source_seconds: of the first training.
        look: style adapted to.
        few: pictures of a small adaptation.
        adapt_rate: learning rate of the whole.
        batch_norm_rate: learning rate of batch norm alone.
    """

    seconds: float = 60.0
    train: int = 2000
    rate: float = 2e-3
    source_seconds: float = 180.0
    look: str = "outdoor"
    few: int = 64
    adapt_rate: float = 5e-4
    batch_norm_rate: float = 0.016

    def small(self) -> Self:
        """See the base."""
        return replace(super().small(), source_seconds=1.0, few=16)


def main() -> int:
    bench = Bench(parse(BatchNormBench, text=__doc__.splitlines()[0]))
    given = bench.given
    old, new, new_poses = Look("studio"), Look(given.look, bool(given.motions)), Look("studio", bool(given.motions))
    source, target = bench.crops(old, "train"), bench.crops(new, "train")
    measured = {"new look, new poses": new, "old look, new poses": new_poses, "old look, old poses": old}
    held = {name: bench.crops(look, "val") for name, look in measured.items()}
    rates = {"full": given.adapt_rate, "batch-norm": given.batch_norm_rate}
    amounts = {"few": target.take(slice(given.few)), "all": target}

    def task(amount: str | None, seed: int) -> PoseCropTask:
        return bench.task(amounts[amount] if amount else source, held["new look, new poses"], seed)

    bench.measure(
        {"source": lambda: task(None, 0)} | {part: lambda part=part: Partial(task("all", 0), part) for part in PARTS}
    )
    found: dict[str, list[dict[str, float]]] = {}

    def note(name: str, one: PoseCropTask) -> None:
        errors = {what: one.error(one.model, crops) for what, crops in held.items()}
        found.setdefault(name, []).append(errors)
        bench.say(f"{name}: " + "  ".join(f"{what} {error:.1f}" for what, error in errors.items()))

    for seed in range(given.seeds):
        first = task(None, seed)
        weights = bench.train(f"source-{seed}", first, bench.options("source", seed, given.source_seconds))
        note("frozen", first)
        for amount, crops in amounts.items():
            for part in PARTS:
                one = task(amount, seed)
                one.model.load_state_dict(weights)
                bench.train(f"{part}-{amount}-{seed}", Partial(one, part), bench.options(part, seed, rate=rates[part]))
                note(f"{part}, {len(crops)} pictures", one)
    guess = task(None, 0).blind_error
    blind = ("mean pose of the old", *(f"{guess(crops):.1f}" for crops in held.values()))
    rows = [blind] + [(name, *(spread(run[what] for run in runs) for what in held)) for name, runs in found.items()]
    text = f"Joint error, mm, {given.seeds} seeds; from `{old.name}` to `{new.name}`, {given.seconds:.0f} s each:\n\n"
    text += table(("adapted", *held), rows)
    bench.write({"runs": found}, text)
    return 0


if __name__ == "__main__":
    run_module(main)
