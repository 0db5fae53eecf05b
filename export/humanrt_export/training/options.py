"""Training options on the command line."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from humanrt_export.training.loop import TrainOptions

__all__ = ["options_of"]


def options_of(arguments: argparse.Namespace) -> TrainOptions:
    """What `add_training_options` parsed."""
    return TrainOptions(**{field.name: getattr(arguments, field.name) for field in fields(TrainOptions)})


def add_training_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run; if it exists, it goes on")
    texts = {
        "steps": "steps in all",
        "batch": "samples a step",
        "rate": "highest learning rate",
        "warmup": "steps until the rate is reached",
        "decay": "weight decay",
        "clip": "largest norm of a gradient",
        "average": "decay a step of the averaged weights",
        "seed": "of everything random",
        "report_every": "steps between reports",
        "validate_every": "steps between validations",
        "save_every": "seconds between checkpoints",
        "minutes": "stop after so long; the same command goes on",
        "device": "cpu or cuda",
        "threads": "of the CPU; 0: as torch likes",
    }
    for field in fields(TrainOptions):
        if field.name == "half":
            parser.add_argument("--no-half", dest="half", action="store_false", help="no mixed precision on a GPU")
            continue
        if field.name == "half_cpu":
            text = "mixed precision (bfloat16) on a CPU: faster where it has AMX"
            parser.add_argument("--half-cpu", action="store_true", help=text)
            continue
        if field.name == "muon":
            parser.add_argument("--muon", action="store_true", help="matrices learn by Muon instead of AdamW")
            continue
        kind = float if field.name == "minutes" else type(field.default)
        name = "--" + field.name.replace("_", "-")
        parser.add_argument(name, type=kind, default=field.default, help=f"{texts[field.name]} (default: %(default)s)")
