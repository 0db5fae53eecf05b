"""``humanrt-export multihmr``: create a bundle from a Multi-HMR checkpoint, NAVER's or ours, on SMPL-X or Anny."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from humanrt.errors import HumanrtError
from humanrt_export.checkpoint import read
from humanrt_export.conversion.multihmr_anny import BODY_TOPOLOGIES, AnnyOptions, export_anny
from humanrt_export.conversion.multihmr_anny_published import export_published
from humanrt_export.conversion.multihmr_anny_recovered import refuse_misnamed
from humanrt_export.conversion.multihmr_smplx import export_multihmr
from humanrt_export.networks.checkpoint_layouts import Layout, layout_of
from humanrt_export.options import Option

__all__ = ["CONFIG", "MultiHmrConfig", "run"]


@dataclass(frozen=True, kw_only=True)
class MultiHmrConfig:
    """Options of ``humanrt-export multihmr``.

    Attributes:
        checkpoint: NAVER's .pt file, on SMPL-X or on Anny, or our own on Anny.
        body: body model.
        body_models: SMPL-X: folder with smplx/SMPLX_NEUTRAL.npz or .pkl.
        out: folder of the bundle.
        max_people: people per image.
        batch: images per call.
        aspect: W:H of the pictures, such as 16:9: a network without most of the tokens that a square one spends on the
            black bars beside them; faster, with an error (see `python -m humanrt.verdict.rectangle`).
        int8_cpu: add the INT8 graph for CPUs; its error is reported.
        topology: Anny: meshes of 13718 (full) and 1229 (10pc) vertices, the default one first; without it, both (for
            NAVER's checkpoint only full).
        name: Anny: name of the bundle; without it, multihmr-anny-SIZE-BACKBONE or multihmr-anny-naver-SIZE-BACKBONE.
        small: Anny: store weights in 8 bits: a quarter of the file.
        about: Anny: facts about the weights for the manifest: licence, data, commit, ... (repeatable).
    """

    checkpoint: Annotated[Path, Option(positional=True, metavar="CHECKPOINT")]
    body: Literal["smplx", "anny"] = "smplx"
    body_models: Annotated[Path | None, Option(metavar="DIR")] = None
    out: Annotated[Path, Option(metavar="DIR")]
    max_people: int = 16
    batch: int = 1
    aspect: Annotated[str | None, Option(metavar="W:H")] = None
    int8_cpu: bool = False
    topology: Annotated[tuple[str, ...], Option(choices=BODY_TOPOLOGIES)] = ()
    name: str | None = None
    small: bool = False
    about: Annotated[tuple[str, ...], Option(metavar="KEY=TEXT", repeated=True)] = ()

    def __post_init__(self) -> None:
        if self.body == "smplx" and self.body_models is None:
            raise HumanrtError(
                "--body-models is missing: give the folder that holds smplx/SMPLX_NEUTRAL.npz, or use --body anny"
            )
        if odd := [text for text in self.about if "=" not in text]:
            raise HumanrtError(f"--about {odd[0]}: give KEY=TEXT")
        _aspect(self.aspect)


CONFIG = MultiHmrConfig


def run(config: MultiHmrConfig) -> int:
    """Create the bundle and print its folder."""
    folder = _anny(config) if config.body == "anny" else _smplx(config)
    sys.stdout.write(f"{folder}\n")
    return 0


def _smplx(config: MultiHmrConfig) -> Path:
    assert config.body_models is not None
    return export_multihmr(
        config.checkpoint,
        config.body_models,
        config.out,
        max_people=config.max_people,
        batch=config.batch,
        int8=config.int8_cpu,
        aspect=_aspect(config.aspect),
        report=_report,
    )


def _anny(config: MultiHmrConfig) -> Path:
    refuse_misnamed(config.checkpoint)
    content = None if config.checkpoint.is_dir() else read(config.checkpoint, "Multi-HMR on Anny")
    options = AnnyOptions(
        name=config.name,
        max_people=config.max_people,
        batch=config.batch,
        int8=config.int8_cpu,
        aspect=_aspect(config.aspect),
        small=config.small,
        more_about=dict(text.split("=", 1) for text in config.about),
        report=_report,
    )
    if content is None or layout_of(content) is not Layout.PUBLISHED_ANNY:
        topologies = config.topology or BODY_TOPOLOGIES
        return export_anny(config.checkpoint, config.out, options, topologies=topologies, content=content)
    if config.topology not in ((), ("full",)):
        raise HumanrtError("--topology: NAVER's Multi-HMR on Anny has only the full mesh; leave it out")
    return export_published(config.checkpoint, config.out, options, content=content)


def _aspect(text: str | None) -> tuple[int, int] | None:
    """Return the width and height of ``W:H`` or ``WxH``."""
    if text is None:
        return None
    width, _, height = text.replace("x", ":").partition(":")
    if not (
        width.isascii() and width.isdigit() and height.isascii() and height.isdigit() and int(width) and int(height)
    ):
        raise HumanrtError(f"--aspect {text}: give the pictures' width and height, such as 16:9 or 1280x720")
    return int(width), int(height)


def _report(line: str) -> None:
    sys.stderr.write(f"{line}\n")
