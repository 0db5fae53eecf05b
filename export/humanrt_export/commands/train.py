"""``humanrt-export train``: train a network from data. One sub-command per network; see `training` for the loop."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from humanrt_export.options import add_options, build, sub_commands
from humanrt_export.training.options import RunConfig

__all__ = ["KINDS", "Kind", "configure", "run"]


class Kind(NamedTuple):
    """A network that can be trained.

    Attributes:
        module: module with ``run(config)`` and the dataclass of its options; imported when the network is chosen.
        config: name of that dataclass, a `RunConfig`.
        help: one line on what the network does.
    """

    module: str
    config: str
    help: str

    def load(self) -> tuple[type[RunConfig], Callable[[RunConfig], int]]:
        """Return the dataclass of its options, and the function that trains."""
        module = importlib.import_module(f"humanrt_export.training.tasks.{self.module}")
        return getattr(module, self.config), module.run


KINDS = {
    "posebert": Kind("posebert", "TrainPosebert", "smooths, completes and predicts sequences of poses"),
    "multihmr": Kind("multihmr", "TrainMultihmr", "finds the people in an image and their bodies (Multi-HMR on Anny)"),
    "posegpt": Kind("posegpt", "TrainPosegpt", "continues and generates motion (our own PoseGPT, for streams)"),
    "posefix": Kind("posefix", "TrainPosefix", "changes a pose as words say (our own editor, which ships)"),
    "poseembroider": Kind("poseembroider", "TrainPoseembroider", "one embedding of pictures, poses and words (ours)"),
    "crossview": Kind("train_crossview", "TrainCrossView", "pre-trains a backbone on pairs of pictures of one person"),
    "pose-crop": Kind("train_pose_crop", "TrainPoseCrop", "a small network for one person, to try methods on"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands; each adds its options when it is chosen."""
    texts = {name: kind.help for name, kind in KINDS.items()}
    sub_commands(parser, texts, "kind", "NETWORK", _configure_kind)


def _configure_kind(name: str, parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    config, _ = KINDS[name].load()
    add_options(parser, config, words)


def run(arguments: argparse.Namespace) -> int:
    """Train."""
    config, train = KINDS[arguments.kind].load()
    return train(build(config, arguments, command=arguments.line))
