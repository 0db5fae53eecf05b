"""``humanrt-export posegpt``: create a bundle from a PoseGPT checkpoint, of the published code or of our training."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from humanrt.errors import HumanrtError
from humanrt_export.conversion.posegpt import LICENCE, export_published
from humanrt_export.conversion.posegpt_streaming import export_training
from humanrt_export.options import Option

__all__ = ["CONFIG", "PoseGptConfig", "run"]


@dataclass(frozen=True, kw_only=True)
class PoseGptConfig:
    """Options of ``humanrt-export posegpt``.

    Attributes:
        checkpoint: .pt file of the GPT (it holds the auto-encoder too) or of the auto-encoder alone; or the folder of a
            GPT that `train posegpt` made.
        hparams: for a .pt file: settings of its training, which lie beside the folder checkpoints/.
        coder: for a folder: that of the auto-encoder on whose tokens the GPT was trained.
        out: folder of the bundle.
        labels: for a .pt file: text file with the names of the labels, one a line, in the order of the training's;
            without, they are numbered.
        window: for a .pt file: tokens of a sequence; without, the training's, and more where the file has positions for
            them.
    """

    checkpoint: Annotated[Path, Option(positional=True, metavar="CHECKPOINT")]
    out: Annotated[Path, Option(metavar="DIR")]
    hparams: Annotated[Path | None, Option(metavar="FILE.yaml")] = None
    coder: Annotated[Path | None, Option(metavar="DIR")] = None
    labels: Annotated[Path | None, Option(metavar="FILE")] = None
    window: Annotated[int | None, Option(metavar="N")] = None


CONFIG = PoseGptConfig


def run(config: PoseGptConfig) -> int:
    """Create the bundle and print its folder."""
    if config.checkpoint.is_dir():
        folder = _run_of_ours(config)
    else:
        if config.hparams is None:
            raise HumanrtError(
                "--hparams FILE.yaml is missing: the settings of the training, which lie beside the folder checkpoints/"
            )
        if config.coder is not None:
            raise HumanrtError("--coder is for the folder of a training of ours; a .pt file holds its auto-encoder")
        labels = read_labels(config.labels) if config.labels else ()
        folder = export_published(
            config.checkpoint, config.hparams, config.out, labels=labels, window=config.window, report=_report
        )
        _report(f"warning: the published code, and with it this bundle, is under {LICENCE}: non-commercial use only")
    sys.stdout.write(f"{folder}\n")
    return 0


def _run_of_ours(config: PoseGptConfig) -> Path:

    if config.coder is None:
        raise HumanrtError("--coder DIR is missing: the run of the auto-encoder on whose tokens the GPT was trained")
    for name in ("hparams", "labels", "window"):
        if getattr(config, name) is not None:
            raise HumanrtError(f"--{name} is for a .pt file; a training of ours records its own")
    return export_training(config.checkpoint, config.coder, config.out, report=_report)


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the names of labels in a text file, one a line. HumanrtError if it is not such a file."""
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise HumanrtError(f"--labels {path}: cannot be read ({error}); give a text file, one name a line") from error
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise HumanrtError(f"--labels {path}: names `{twice[0]}` twice; names must differ")
    return names


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
