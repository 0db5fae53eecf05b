"""The command `humanrt-export posebert`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from humanrt.errors import HumanrtError
from humanrt_export.checkpoint import read
from humanrt_export.conversion.posebert import LICENCE, WINDOW, export_published, export_training

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``humanrt-export posebert``."""
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="published .pt file, or a training of ours")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the bundle")
    parser.add_argument(
        "--window", type=int, metavar="T", help=f"frames a call (default: {WINDOW}; of a training of ours, its own)"
    )
    parser.add_argument(
        "--batch",
        type=int,
        nargs="+",
        default=[1],
        metavar="B",
        help="windows a call; several numbers: a graph for each (default: 1)",
    )


def run(options: argparse.Namespace) -> int:
    """Run the command."""

    def report(line: str) -> None:
        sys.stderr.write(f"{line}\n")

    checkpoint: Path = options.checkpoint
    if checkpoint.is_dir() or {"description", "average"} <= set(read(checkpoint, "PoseBERT")):
        folder = export_training(checkpoint, options.out, window=options.window, batches=options.batch, report=report)
    else:
        if len(options.batch) > 1:
            raise HumanrtError("--batch: a bundle of published weights has one batch size; give one number")
        window = WINDOW if options.window is None else options.window
        folder = export_published(checkpoint, options.out, window=window, batch=options.batch[0], report=report)
        report(f"warning: these weights, and with them this bundle, are under {LICENCE}: non-commercial use only")
    sys.stdout.write(f"{folder}\n")
    return 0
