"""The real person before four calibrated cameras of ../shared/media/views, as the benches measure with him.

What stands for the truth is `humanrt.evaluation.calibrated`, from landmarks of the heavy network, or of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from humanrt.evaluation.calibrated import View, ViewsTruth, load_truth
from raw_landmarks import network_bundle

__all__ = ["BYSTANDER", "VIEWS", "truth_of"]

VIEWS = Path(__file__).parents[2] / "shared" / "media" / "views"

BYSTANDER = {"cam01": (0.0, 270.0, 170.0, 800.0), "cam02": (740.0, 460.0, 890.0, 910.0)}
"""Boxes x0, y0, x1, y1 px in which the bystander stands; whoever is found there is neither right nor wrong."""


def truth_of(views: Sequence[View], network: str | Path = "heavy", *, threads: int = 1) -> ViewsTruth:
    """Return the truth from landmarks of a network with silhouettes: ``heavy``, the shipped one, or an ONNX file."""
    return load_truth(views, network_bundle(network), threads=threads)
