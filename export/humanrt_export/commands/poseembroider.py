"""``humanrt-export poseembroider``: create a bundle from files of a published PoseEmbroider, or a training of ours."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from humanrt.errors import HumanrtError
from humanrt_export.conversion.pose_embedder import export_embedder
from humanrt_export.conversion.poseembroider import LICENCE, export_published
from humanrt_export.options import Option

__all__ = ["CONFIG", "PoseEmbroiderConfig", "run"]


@dataclass(frozen=True, kw_only=True)
class PoseEmbroiderConfig:
    """Options of ``humanrt-export poseembroider``.

    Attributes:
        checkpoints: the folder of an embedder that `train poseembroider` made; or the published files, in any order:
            poseembroider_... (the core, needed), and whichever of smpler_x_b32, posevae_..., posetext_... (encoders),
            hpsestimator_... and instructgen_... (heads) are wanted.
        out: folder of the bundle.
        tokenizer: vocab.txt of the text encoder's WordPieces (BERT's uncased list); without, texts are given as ids of
            tokens.
    """

    checkpoints: Annotated[tuple[Path, ...], Option(positional=True, metavar="CHECKPOINT")]
    out: Annotated[Path, Option(metavar="DIR")]
    tokenizer: Annotated[Path | None, Option(metavar="VOCAB.txt")] = None


CONFIG = PoseEmbroiderConfig


def run(config: PoseEmbroiderConfig) -> int:
    """Create the bundle and print its folder."""
    if any(path.is_dir() for path in config.checkpoints):
        if len(config.checkpoints) > 1 or config.tokenizer is not None:
            raise HumanrtError("a training of ours is one folder, and has its own list of words; give nothing else")
        sys.stdout.write(f"{export_embedder(config.checkpoints[0], config.out, report=_report)}\n")
        return 0
    folder = export_published(config.checkpoints, config.out, tokenizer=config.tokenizer, report=_report)
    _report(f"warning: the published weights, and with them this bundle, are under {LICENCE}: non-commercial use only")
    sys.stdout.write(f"{folder}\n")
    return 0


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
