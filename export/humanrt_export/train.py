"""``humanrt-export train``: trains a network from data. One sub-command a network; see `training` for the loop."""

from __future__ import annotations

import argparse
import importlib
from dataclasses import fields
from pathlib import Path

from humanrt_export.training import TrainOptions

__all__ = ["configure", "options_of", "run"]

KINDS = {
    "posebert": ("humanrt_export.posebert.train", "smooths, completes and predicts sequences of poses"),
    "multihmr": ("humanrt_export.anny.train", "finds the people in an image and their bodies (Multi-HMR on Anny)"),
    "crossview": ("humanrt_export.methods.train_crossview", "pre-trains a backbone on pairs of pictures of one person"),
    "pose-crop": ("humanrt_export.methods.train_pose_crop", "a small network for one person, to try methods on"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    kinds = parser.add_subparsers(dest="kind", metavar="NETWORK", required=True)
    for name, (module, text) in KINDS.items():
        sub = kinds.add_parser(name, help=text, description=text)
        importlib.import_module(module).configure(sub)
        _training(sub)


def run(arguments: argparse.Namespace) -> int:
    """Train."""
    status: int = importlib.import_module(KINDS[arguments.kind][0]).run(arguments)
    return status


def options_of(arguments: argparse.Namespace) -> TrainOptions:
    """What `_training` parsed."""
    return TrainOptions(**{field.name: getattr(arguments, field.name) for field in fields(TrainOptions)})


def _training(parser: argparse.ArgumentParser) -> None:
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
