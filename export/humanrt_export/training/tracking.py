"""Trackers of experiments: programs that show the curves of a training beside those of others.

``log.jsonl`` in the run's folder is always written; a tracker gets the same numbers. Each of them is a package of the
user's, imported only where it is asked for.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from humanrt.errors import HumanrtError, MissingDependencyError, choices

__all__ = ["TRACKERS", "Track", "tracked"]

Track = Callable[[int, Mapping[str, float]], None]
"""Takes the number of a step and its numbers by name; a validation's begin with ``validation/``."""

_PROJECT = "humanrt"


@contextmanager
def _tensorboard(out: Path, config: Mapping[str, Any], step: int) -> Any:
    _needed("tensorboard", "tensorboard")
    board = _needed("torch.utils.tensorboard", "tensorboard")
    writer = board.SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)
    try:
        yield lambda at, values: [writer.add_scalar(name, value, at) for name, value in values.items()]
    finally:
        writer.close()


@contextmanager
def _hosted(package: str, out: Path, config: Mapping[str, Any], more: Mapping[str, Any]) -> Any:
    module = _needed(package, package)
    try:
        module.init(project=_PROJECT, name=out.resolve().name, config=dict(config), resume="allow", **more)
    except Exception as error:  # each package has errors of its own: no account, no network
        reason = " ".join(str(error).split())[:160]
        raise HumanrtError(f"--track {package}: it cannot begin ({reason}); mend that, or leave --track out") from error
    try:
        yield lambda at, values: module.log(dict(values), step=at)
    finally:
        module.finish()


def _trackio(out: Path, config: Mapping[str, Any], step: int) -> AbstractContextManager[Track]:
    return _hosted("trackio", out, config, {})


def _wandb(out: Path, config: Mapping[str, Any], step: int) -> AbstractContextManager[Track]:
    identity = hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:16]  # so that a resumed run goes on there too
    return _hosted("wandb", out, config, {"id": identity})


TRACKERS: Mapping[str, Callable[[Path, Mapping[str, Any], int], AbstractContextManager[Track]]] = {
    "tensorboard": _tensorboard,
    "trackio": _trackio,
    "wandb": _wandb,
}


def tracked(name: str | None, out: Path, config: Mapping[str, Any], step: int) -> AbstractContextManager[Track]:
    """Open a tracker for a run; None: one that drops everything.

    Args:
        name: one of `TRACKERS`.
        out: folder of the run; its name is the run's.
        config: what is trained, as JSON.
        step: from which the run goes on; what a tracker has from later steps is replaced where it can be.

    Raises:
        MissingDependencyError: its package is not installed.
        HumanrtError: no such tracker, or it cannot begin.
    """
    if name is None:
        return nullcontext(lambda step, values: None)
    if name not in TRACKERS:
        raise HumanrtError(f"--track: no `{name}`; choose one of: {choices(TRACKERS)}")
    return TRACKERS[name](out, config, step)


def _needed(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingDependencyError(f"--track {package} needs a package: `pip install {package}`") from None
