"""``humanrt-export posefix``: create a bundle from a checkpoint of PoseFix or PoseScript, or a training of ours."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from humanrt.errors import HumanrtError
from humanrt_export.conversion.posefix import LICENCE, export_posefix
from humanrt_export.conversion.word_editor import export_editor
from humanrt_export.options import Option

__all__ = ["CONFIG", "PoseFixConfig", "run"]


@dataclass(frozen=True, kw_only=True)
class PoseFixConfig:
    """Options of ``humanrt-export posefix``.

    Attributes:
        checkpoint: .pth file of an editor, a writer or a retrieval model; which of them, the file tells. Or the folder
            of an editor that `train posefix` made.
        out: folder of the bundle.
        words: of a .pth file, its word list: BERT's vocab.txt where a DistilBERT reads the text, else the list of its
            training, as text (one word a line), JSON, or the published pickle. Without, the bundle takes and gives
            token ids only.
    """

    checkpoint: Annotated[Path, Option(positional=True, metavar="CHECKPOINT")]
    out: Annotated[Path, Option(metavar="DIR")]
    words: Annotated[Path | None, Option(metavar="FILE")] = None


CONFIG = PoseFixConfig


def run(config: PoseFixConfig) -> int:
    """Create the bundle and print its folder."""
    if config.checkpoint.is_dir():
        if config.words is not None:
            raise HumanrtError("--words is for a .pth file; a training of ours has its own list")
        sys.stdout.write(f"{export_editor(config.checkpoint, config.out, report=_report)}\n")
        return 0
    folder = export_posefix(config.checkpoint, config.out, words=config.words, report=_report)
    _report(f"warning: the published models, and with them this bundle, are under {LICENCE}: non-commercial use only")
    sys.stdout.write(f"{folder}\n")
    return 0


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
