"""``humanrt-export posegpt``: create a bundle from a PoseGPT checkpoint that was trained with the published code."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from humanrt.errors import HumanrtError
from humanrt_export.conversion.posegpt import LICENCE, export_published
from humanrt_export.options import Option

__all__ = ["CONFIG", "PoseGptConfig", "run"]


@dataclass(frozen=True, kw_only=True)
class PoseGptConfig:
    """Options of ``humanrt-export posegpt``.

    Attributes:
        checkpoint: .pt file of the GPT (it holds the auto-encoder too), or of the auto-encoder alone.
        hparams: settings of its training, which lie beside the folder checkpoints/.
        out: folder of the bundle.
        labels: text file with the names of the labels, one a line, in the order of the training's; without, they are
            numbered.
        window: tokens of a sequence; without, the training's, and more where the file has positions for them.
    """

    checkpoint: Annotated[Path, Option(positional=True, metavar="CHECKPOINT")]
    hparams: Annotated[Path, Option(metavar="FILE.yaml")]
    out: Annotated[Path, Option(metavar="DIR")]
    labels: Annotated[Path | None, Option(metavar="FILE")] = None
    window: Annotated[int | None, Option(metavar="N")] = None


CONFIG = PoseGptConfig


def run(config: PoseGptConfig) -> int:
    """Create the bundle and print its folder."""
    labels = read_labels(config.labels) if config.labels else ()
    folder = export_published(
        config.checkpoint, config.hparams, config.out, labels=labels, window=config.window, report=_report
    )
    _report(f"warning: the published code, and with it this bundle, is under {LICENCE}: non-commercial use only")
    sys.stdout.write(f"{folder}\n")
    return 0


def read_labels(path: Path) -> tuple[str, ...]:
    """Return the names of labels in a text file, one a line. HumanrtError if it is not such a file."""
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise HumanrtError(
            f"--labels {path}: cannot be read ({error}); give a text file with one name a line"
        ) from error
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise HumanrtError(f"--labels {path}: names `{twice[0]}` twice; names must differ")
    return names


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
