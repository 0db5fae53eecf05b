"""Pre-training by cross-view and cross-pose completion against training without it, at equal time in all.

    python bench/crossview.py --out build/crossview            about an hour on two cores
    python bench/crossview.py --out build/crossview --quick

A small transformer completes pairs of rendered people, at each ratio of hidden patches, without labels. Then it learns
poses from few and from many labelled crops; the same network without completion learns them for as long as pre-training
and that together, and also for as long as the latter alone. All of them begin with random weights, or with those of
``--backbone-weights``. Sheets of completions are in the runs (`sheet-*.png`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Self

import cv2
import torch

from humanrt.errors import HumanrtError
from humanrt_export.data.people.pairs import KINDS
from humanrt_export.entry import run_module
from humanrt_export.networks.attention import plain
from humanrt_export.networks.encoders import ENCODERS
from humanrt_export.options import Option, parse
from humanrt_export.training.experiment import Bench, BenchOptions, Look, spread, table
from humanrt_export.training.tasks.crossview import CrossViewConfig, CrossViewTask, save_backbone, sheet
from humanrt_export.training.tasks.pose_crop import PoseCropTask

_LOOK = Look("randomised")


@dataclass(frozen=True, kw_only=True)
class CrossViewBench(BenchOptions):
    """Options of this measurement.

    Attributes:
        pre_seconds: of pre-training.
        ratios: hidden parts.
        bias: how much more of people.
        pairs: of each kind.
        few: labelled crops of the small case.
        width: of the decoder.
        depth: of the decoder.
        heads: of the decoder.
    """

    seconds: float = 100.0
    train: int = 2000
    encoder: Annotated[str, Option(choices=ENCODERS)] = "vitn14"
    rate: float = 1e-3
    pre_seconds: float = 200.0
    ratios: tuple[float, ...] = (0.75, 0.9)
    bias: float = CrossViewConfig.bias
    pairs: int = 2000
    few: int = 250
    width: int = 192
    depth: int = 4
    heads: int = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start:
            raise HumanrtError(
                "--start brings heads that know poses, and nothing would be left to compare; see --backbone-weights"
            )

    def small(self) -> Self:
        """See the base."""
        return replace(super().small(), pre_seconds=1.0, pairs=24, few=16)


def main() -> int:
    bench = Bench(parse(CrossViewBench, text=__doc__.splitlines()[0]))
    given = bench.given
    trained, held = (bench.crops(_LOOK, part) for part in ("train", "val"))
    amounts = {name: trained.take(slice(count)) for name, count in (("few", given.few), ("all", len(trained)))}
    pairs = {kind: bench.pairs(_LOOK, kind, given.pairs) for kind in KINDS}
    cut = max(1, given.pairs // 10)
    sources = {kind: arrays.take(slice(cut, None)) for kind, arrays in pairs.items()}
    kept = {kind: arrays.take(slice(cut)) for kind, arrays in pairs.items()}

    def completion(ratio: float, seed: int) -> CrossViewTask:
        torch.manual_seed(seed)
        config = CrossViewConfig(given.encoder, given.size, given.width, given.depth, given.heads, ratio, given.bias)
        task = CrossViewTask(config, sources, kept)
        if given.backbone_weights:
            task.start_from(given.backbone_weights)
        if given.device == "cpu":
            task.model.use_attention(plain)  # whose backward pass is twice as fast there
        return task

    def pose(amount: str, seed: int) -> PoseCropTask:
        return bench.task(amounts[amount], held, seed)

    bench.measure(
        {f"completion {ratio:g}": lambda ratio=ratio: completion(ratio, 0) for ratio in given.ratios}
        | {"pose": lambda: pose("all", 0)}
    )
    found: dict[str, list[dict[str, float]]] = {}
    completions: dict[str, list[dict[str, float]]] = {}
    for seed in range(given.seeds):
        for ratio in given.ratios:
            name = f"completion {ratio:g}"
            pre = completion(ratio, seed)
            run = f"completion-{ratio:g}-{seed}"
            weights = bench.train(run, pre, bench.options(name, seed, given.pre_seconds))
            backbone = save_backbone(bench.out / "runs" / run / "backbone.pt", pre, weights, {})
            cv2.imwrite(str(bench.out / "runs" / f"sheet-{ratio:g}-{seed}.png"), sheet(pre, pre.model)[..., ::-1])
            with torch.no_grad():
                completions.setdefault(name, []).append(pre.validate(pre.model))
            for amount in amounts:
                one = pose(amount, seed)
                one.start_from(backbone)
                bench.train(f"pre-{ratio:g}-{amount}-{seed}", one, bench.options("pose", seed))
                found.setdefault(f"pre-trained, {ratio:.0%} hidden", []).append({amount: one.error(one.model, held)})
        for name, seconds in (
            ("without completion, as long in all", given.pre_seconds + given.seconds),
            ("without completion, as long on poses", given.seconds),
        ):
            for amount in amounts:
                one = pose(amount, seed)
                bench.train(f"scratch-{seconds:.0f}-{amount}-{seed}", one, bench.options("pose", seed, seconds))
                found.setdefault(name, []).append({amount: one.error(one.model, held)})
    columns = {f"{len(crops)} labelled": name for name, crops in amounts.items()}
    rows: list[tuple[object, ...]] = [("mean pose", *(f"{pose(name, 0).blind_error(held):.1f}" for name in amounts))]
    rows += [
        (name, *(spread(run[column] for run in runs if column in run) for column in columns.values()))
        for name, runs in found.items()
    ]
    times = f"{given.pre_seconds:.0f} s of pre-training, {given.seconds:.0f} s on poses"
    text = f"Joint error, mm, {given.seeds} seeds; {times}:\n\n"
    text += table(("training", *columns), rows)
    names = list(next(iter(completions.values()))[0])
    text += "\nCompletion, held-out pairs (`without`: beside the second picture of another pair):\n\n"
    rows = [
        (name.split()[1], *(spread((run[key] for run in runs), 3) for key in names))
        for name, runs in completions.items()
    ]
    text += table(("hidden", *(name.replace("_", " ") for name in names)), rows)
    bench.write({"runs": found, "completions": completions}, text)
    return 0


if __name__ == "__main__":
    run_module(main)
