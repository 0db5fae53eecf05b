"""The training loop, one for all networks: resumable at any step, never losing more than the last minutes.

What is trained is a `Task`: its model, its batches, its losses, its metrics. A batch, and all that is random in a
step, depends on the seed and the number of the step alone, so a training that was interrupted goes on exactly as if it
had not been. Methods that change how a
step is made (adversarial inputs, inner steps) do that in `Task.losses`; the loop asks for a loss to minimise, no more.

A run is a folder: ``last.pt`` (everything needed to go on), ``log.jsonl`` (one line a report), and what the task adds.
"""

from __future__ import annotations

import copy
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from humanrt.errors import HumanrtError, OutputError
from humanrt_export.batches import Batch
from humanrt_export.checkpoint import save as save_checkpoint
from humanrt_export.runs import LAST, LOG, load_run, read_run
from humanrt_export.training.options import TrainOptions
from humanrt_export.training.processes import Processes, joined
from humanrt_export.training.tracking import tracked

__all__ = ["Batch", "Task", "TrainOptions", "optimizers_of", "rate_of", "train", "trained"]


# What may differ when a run goes on: where and how long, not what is computed.
_FREE = {"report_every", "validate_every", "save_every", "minutes", "device", "threads", "half", "half_cpu", "track"}


_LONGEST = 160  # characters of torch's own words in a message
_MUON_LEAST = 64  # rows and columns: smaller matrices only read numbers out


B = TypeVar("B", bound=Batch)


class Task(Protocol[B]):
    """What is trained, on batches of the class ``B``."""

    model: nn.Module

    def config(self) -> Mapping[str, Any]:
        """Everything that decides what is trained, as JSON; a run is resumed only with the same."""

    def batch(self, seed: int, step: int, size: int) -> B:
        """The batch of one step, on the CPU; called ahead of its step, in another thread."""

    def losses(self, model: nn.Module, batch: B) -> Mapping[str, Tensor]:
        """Scalars; ``total`` is minimised, the others are reported."""

    def validate(self, model: nn.Module) -> Mapping[str, float]:
        """Metrics of a model in evaluation mode."""


def rate_of(task: Task[Any], name: str) -> float:
    """What part of the learning rate a parameter of the task's model has: 1, or what its method ``rate`` says."""
    rate: Callable[[str], float] = getattr(task, "rate", lambda name: 1.0)
    return rate(name)


def train(
    task: Task[Any], out: str | Path, options: TrainOptions, say: Callable[[str], object] = print
) -> dict[str, float]:
    """Train, or go on training, into ``out``. Returns the last validation's metrics.

    SIGINT and SIGTERM end it after the current step, with everything saved. The first weights are the task's: whoever
    makes it seeds them. Of several processes (`training.processes`) the first validates, and only its metrics are
    returned.

    Raises:
        HumanrtError: an option is none; ``out`` holds a run of something else, or cannot be written to; the loss is no
            longer a number.
    """
    if options.threads:
        torch.set_num_threads(options.threads)
    team = joined(options.device, options.batch)
    return _train(task, Path(out), options, say if team.first else lambda line: None, team)


def _train(
    task: Task[Any], out: Path, options: TrainOptions, say: Callable[[str], object], team: Processes
) -> dict[str, float]:
    """Train in this process, which is one of a team: the first of them validates, reports and writes."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: cannot be created ({error.strerror}); choose another --out") from error
    for part in out.glob(f".{LAST}-*") if team.first else ():  # of a save that was killed
        part.unlink(missing_ok=True)
    device = team.device
    model = task.model.to(device).train()
    optimizers = optimizers_of(task, options)
    average = copy.deepcopy(model).eval()
    description = {"task": json.loads(json.dumps(dict(task.config()))), "options": _fixed(options)}
    step, before = _resume(out / LAST, description, model, optimizers, average)
    say(f"{out}: " + (f"goes on at step {step} of {options.steps}" if step else f"{options.steps} steps"))

    losses_of = team.losses(task.losses, model)

    def save() -> None:
        if not team.first:
            return
        content = {
            "format": 1,
            "description": description,
            "step": step,
            "seconds": before + time.monotonic() - started,
            "model": model.state_dict(),
            "average": average.state_dict(),
            "optimizer": [optimizer.state_dict() for optimizer in optimizers],
        }
        save_checkpoint(out / LAST, content)

    started = saved = reported = time.monotonic()
    sums: dict[str, float] = {}
    summed = 0  # steps in the sums: after a resumption fewer than from report to report
    metrics: dict[str, float] = {}
    mixed = {"cuda": options.half, "cpu": options.half_cpu}.get(device.type, False)
    cast = torch.autocast(device.type, torch.bfloat16, enabled=mixed)
    track = tracked(options.track if team.first else None, out, description, step)
    with track as curves, _stopping() as stopped, _ahead(task, options, step) as batches:
        while step < options.steps and not team.any(stopped()):
            batch = team.part(next(batches)).to(device)
            for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                # Not `LambdaLR`: one per optimizer would count steps beside `step`, and have to be resumed with it.
                group["lr"] = options.rate * group["part"] * _schedule(step, options)
            torch.manual_seed((options.seed << 32) + (team.rank << 26) + step)  # dropout and the like
            with cast:
                losses = losses_of(batch)
            model.zero_grad(set_to_none=True)
            losses["total"].backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), options.clip)
            if not torch.isfinite(norm):
                save()
                raise HumanrtError(
                    f"{out}: at step {step} the gradient is not finite; the checkpoint before it is kept: train again "
                    "into another --out with a lower --rate or another --seed"
                )
            for optimizer in optimizers:
                optimizer.step()
            _follow(average, model, min(options.average, (1 + step) / (10 + step)))
            step, summed = step + 1, summed + 1
            for name, value in losses.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
            now = time.monotonic()
            if step % options.report_every == 0:
                means = team.mean({name: value / summed for name, value in sums.items()})
                if team.first:
                    _log(out / LOG, {"step": step, "seconds": round(before + now - started, 1), **means})
                curves(step, means)
                left = (options.steps - step) * (now - reported) / summed / 60
                shown = "  ".join(f"{name} {value:.4f}" for name, value in means.items())
                say(f"{step:6d}  {shown}  {left:.0f} min left")
                sums, summed, reported = {}, 0, now
            if team.first and (step % options.validate_every == 0 or step == options.steps):
                with torch.inference_mode():
                    metrics = dict(task.validate(average))
                _log(out / LOG, {"step": step, "validation": metrics})
                curves(step, {f"validation/{name}": value for name, value in metrics.items()})
                say(f"{step:6d}  validation: " + "  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
            if now - saved > options.save_every:
                save()
                saved = time.monotonic()
            late = options.minutes is not None and now - started > 60 * options.minutes
            if options.minutes is not None and team.any(late):
                break
        save()
        team.wait()  # the others may read what the first has saved
    if step < options.steps:
        say(f"{out}: stopped at step {step} of {options.steps}; run the same command to resume")
    return metrics


def trained(
    task: Task[Any], out: Path, options: TrainOptions, say: Callable[[str], object] = print
) -> dict[str, Tensor]:
    """`train` to the end; the averaged weights, with which the task's network is left, in evaluation mode.

    Raises:
        HumanrtError: as `train`; it was asked to stop.
    """
    train(task, out, options, say)
    _, weights, step = load_run(out)
    if step < options.steps:
        raise HumanrtError(f"{out}: stopped at step {step} of {options.steps}; run the same command to resume")
    task.model.load_state_dict(weights)
    task.model.eval()
    return weights


def _resume(
    file: Path,
    description: Mapping[str, Any],
    model: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    average: nn.Module,
) -> tuple[int, float]:
    """The step and the seconds to go on from; (0, 0.0) where there is nothing.

    Raises:
        HumanrtError: what is there was trained with other settings, or by a version whose network was another.
    """
    if not file.exists():
        return 0, 0.0
    content = read_run(file)
    for kind in ("task", "options"):
        before = content["description"][kind]
        for name in sorted(description[kind].keys() | before.keys()):
            value = description[kind].get(name)
            if (found := before.get(name)) != value:
                raise HumanrtError(
                    f"{file.parent} has a training run with {name} = {found!r}, not {value!r}; "
                    "give the same settings to resume it, or another --out to start over"
                )
    saved = content["optimizer"]
    try:
        model.load_state_dict(content["model"])
        average.load_state_dict(content["average"])
        # Runs of before there were several have one.
        for optimizer, state in zip(optimizers, saved if isinstance(saved, list) else [saved], strict=True):
            parts = [group["part"] for group in optimizer.param_groups]
            optimizer.load_state_dict(state)
            for group, part in zip(optimizer.param_groups, parts, strict=True):
                group["part"] = part
        return content["step"], content["seconds"]
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:_LONGEST]
        raise HumanrtError(
            f"{file}: the network that it holds is not this version's ({reason}); go on with the version that began "
            "it, or give another --out to begin anew"
        ) from error


def _fixed(options: TrainOptions) -> dict[str, Any]:
    fixed = {name: value for name, value in asdict(options).items() if name not in _FREE}
    if not options.muon:  # runs of before there was a choice go on
        del fixed["muon"]
    return fixed


def _log(file: Path, line: Mapping[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def optimizers_of(task: Task[Any], options: TrainOptions) -> list[torch.optim.Optimizer]:
    """Muon, where it is wanted, and AdamW. Matrices decay; biases, norms, tokens and the like do not."""
    # By part of the rate and being no matrix, in this order; AdamW's own rate always has both groups.
    adamw: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, False): [], (1.0, True): []}
    muon: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, value in task.model.named_parameters():
        if value.requires_grad:
            by_muon = options.muon and value.ndim == 2 and min(value.shape) >= _MUON_LEAST
            (muon if by_muon else adamw).setdefault((rate_of(task, name), value.ndim != 2), []).append(value)

    def settings(groups: Mapping[tuple[float, bool], list[nn.Parameter]]) -> list[dict[str, Any]]:
        return [
            {"params": values, "part": rate, "weight_decay": 0.0 if bare else options.decay}
            for (rate, bare), values in groups.items()
        ]

    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(settings(adamw), lr=options.rate, betas=(0.9, 0.98))]
    if muon:
        optimizers.append(torch.optim.Muon(settings(muon), lr=options.rate, adjust_lr_fn="match_rms_adamw"))
    return optimizers


def _schedule(step: int, options: TrainOptions) -> float:
    if step < options.warmup:
        return (step + 1) / options.warmup
    phase = (step - options.warmup) / max(1, options.steps - options.warmup)
    return 0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, phase))) / 2


def _follow(average: nn.Module, model: nn.Module, keep: float) -> None:
    """Move averaged weights towards the model's. ``keep``: what is left of them.

    Not `torch.optim.swa_utils.AveragedModel`: of buffers it averages all or none, and batch norm's statistics are
    averaged here while its counts are copied; its first update copies the weights; and it counts updates in a buffer
    of its own beside the run's step. With a function for all that, it is longer than these lines.
    """
    with torch.no_grad():
        for mean, value in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
            if value.is_floating_point():
                mean.lerp_(value, 1 - keep)
            else:
                mean.copy_(value)


@contextmanager
def _ahead(task: Task[B], options: TrainOptions, step: int) -> Iterator[Iterator[B]]:
    """Batches from ``step`` on, each made while the step before it is computed."""
    with ThreadPoolExecutor(1) as pool:

        def batches() -> Iterator[B]:
            at = step
            coming = pool.submit(task.batch, options.seed, at, options.batch)
            while True:
                batch = coming.result()
                at += 1
                coming = pool.submit(task.batch, options.seed, at, options.batch)
                yield batch

        yield batches()


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Whether the user asked to stop: SIGINT and SIGTERM let the step end; a second SIGINT does not wait."""
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        print("stopping after this step; once more to give up at once", file=sys.stderr)

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            before[number] = signal.signal(number, stop)
        except ValueError:  # not the main thread: whoever runs it there stops it
            break
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
