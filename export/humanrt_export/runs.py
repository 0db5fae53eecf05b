"""Training runs on disk: their files, and reading the last checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from humanrt.errors import HumanrtError

__all__ = ["LAST", "load_run"]

LAST, LOG = "last.pt", "log.jsonl"


def load_run(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], int]:
    """Return the description of a run (its folder or its ``last.pt``), its averaged weights, and the step.

    Raises:
        HumanrtError: it is not a run of `train`.
    """
    file = path / LAST if path.is_dir() else path
    content = read_run(file)
    return content["description"], content["average"], content["step"]


def read_run(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise HumanrtError(f"{file}: no such file; give the folder of a training run, or its {LAST}")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise HumanrtError(f"{file}: not a checkpoint of a training ({reason})") from error
    wanted = {"format", "description", "step", "model", "average", "optimizer"}
    if not isinstance(content, dict) or not wanted <= content.keys() or content["format"] != 1:
        raise HumanrtError(f"{file}: not a checkpoint of `humanrt-export train`")
    return content
