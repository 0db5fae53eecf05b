"""``humanrt-export train``: trains a network from data. One sub-command a network; see `training` for the loop."""

from __future__ import annotations

import argparse
import importlib

from humanrt_export.training.options import add_training_options

__all__ = ["configure", "run"]

KINDS = {
    "posebert": ("humanrt_export.training.tasks.posebert", "smooths, completes and predicts sequences of poses"),
    "multihmr": (
        "humanrt_export.training.tasks.multihmr",
        "finds the people in an image and their bodies (Multi-HMR on Anny)",
    ),
    "crossview": (
        "humanrt_export.training.tasks.train_crossview",
        "pre-trains a backbone on pairs of pictures of one person",
    ),
    "pose-crop": ("humanrt_export.training.tasks.train_pose_crop", "a small network for one person, to try methods on"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    kinds = parser.add_subparsers(dest="kind", metavar="NETWORK", required=True)
    for name, (module, text) in KINDS.items():
        sub = kinds.add_parser(name, help=text, description=text)
        importlib.import_module(module).configure(sub)
        add_training_options(sub)


def run(arguments: argparse.Namespace) -> int:
    """Train."""
    status: int = importlib.import_module(KINDS[arguments.kind][0]).run(arguments)
    return status
