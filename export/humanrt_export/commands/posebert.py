"""``humanrt-export posebert``: create a bundle from a PoseBERT checkpoint, published or from our own training."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from humanrt.errors import HumanrtError
from humanrt_export.checkpoint import read
from humanrt_export.conversion.posebert import LICENCE, WINDOW, export_published, export_training
from humanrt_export.options import Option

__all__ = ["CONFIG", "PoseBertConfig", "run"]


@dataclass(frozen=True, kw_only=True)
class PoseBertConfig:
    """Options of ``humanrt-export posebert``.

    Attributes:
        checkpoint: published .pt file, or the folder of our own training.
        out: folder of the bundle.
        window: frames per call; without it, 64 for published weights, and the training's own window for ours.
        batch: windows per call; several numbers: one graph each.
    """

    checkpoint: Annotated[Path, Option(positional=True, metavar="CHECKPOINT")]
    out: Annotated[Path, Option(metavar="DIR")]
    window: Annotated[int | None, Option(metavar="T")] = None
    batch: Annotated[tuple[int, ...], Option(metavar="B")] = (1,)


CONFIG = PoseBertConfig


def run(config: PoseBertConfig) -> int:
    """Create the bundle and print its folder."""
    checkpoint = config.checkpoint
    if checkpoint.is_dir() or {"description", "average"} <= set(read(checkpoint, "PoseBERT")):
        folder = export_training(checkpoint, config.out, window=config.window, batches=config.batch, report=_report)
    else:
        if len(config.batch) > 1:
            raise HumanrtError("--batch: a bundle of published weights has one batch size; give one number")
        window = WINDOW if config.window is None else config.window
        folder = export_published(checkpoint, config.out, window=window, batch=config.batch[0], report=_report)
        _report(f"warning: these weights, and with them this bundle, are under {LICENCE}: non-commercial use only")
    sys.stdout.write(f"{folder}\n")
    return 0


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
