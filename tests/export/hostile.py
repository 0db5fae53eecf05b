"""Files that no loader of checkpoints may trust: what runs a command when unpickled, and what is no checkpoint."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from humanrt_export.checkpoint import CheckpointError

__all__ = ["Hostile", "refusal", "refuse_files_that_are_no_checkpoints", "refuse_hostile_file"]

Refused = Callable[[Path], str]
"""Loads a file that must be refused, and returns the message."""


def refusal(load: Callable[[Path], object], path: Path) -> str:
    """The one line with which a loader refuses a file, by its name."""
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


class Hostile:
    """Makes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.target}",)


def refuse_hostile_file(refused: Refused, folder: Path, content: Mapping[str, Any], where: str, zipped: bool) -> None:
    """A checkpoint of ``content``, hostile at ``where``, is refused by the name of what it would run, which is not."""
    import torch

    target, path = folder / "owned", folder / "hostile.pt"
    torch.save({**content, where: Hostile(target)}, path, _use_new_zipfile_serialization=zipped)
    message = refused(path)
    assert "refused" in message
    assert "system" in message
    assert not target.exists()


def refuse_files_that_are_no_checkpoints(refused: Refused, folder: Path) -> None:
    """No file, no pickle, a pickle of something else."""
    import torch

    assert "no such file" in refused(folder / "absent.pt")
    path = folder / "file.pt"
    for content in (b"not a checkpoint", pickle.dumps([1, 2])):
        path.write_bytes(content)
        refused(path)
    torch.save([1, 2], path)
    assert "list" in refused(path)
