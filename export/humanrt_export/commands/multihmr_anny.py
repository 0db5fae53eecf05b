"""The part of `humanrt-export multihmr` that exports a Multi-HMR on Anny."""

from __future__ import annotations

import argparse
import sys

from humanrt.errors import HumanrtError
from humanrt_export.checkpoint import read
from humanrt_export.conversion.multihmr_anny import BODY_TOPOLOGIES, export_anny
from humanrt_export.networks.checkpoint_layouts import Layout, layout_of

__all__ = ["configure_body", "run"]


def configure_body(parser: argparse.ArgumentParser) -> None:
    """Options that only ``--body anny`` has."""
    parser.add_argument(
        "--topology",
        nargs="+",
        choices=BODY_TOPOLOGIES,
        help="Anny: meshes of 13718 (full) and 1229 (10pc) vertices, the default one first (default: both; NAVER's "
        "checkpoint: full, the only one)",
    )
    parser.add_argument(
        "--name",
        help="Anny: of the bundle (default: multihmr-anny-SIZE-BACKBONE, or multihmr-anny-naver-SIZE-BACKBONE)",
    )
    parser.add_argument("--small", action="store_true", help="Anny: store weights in 8 bits: a quarter of the file")
    parser.add_argument(
        "--about",
        action="append",
        default=[],
        metavar="KEY=TEXT",
        help="Anny: what is to be said about the weights in the manifest: licence, data, commit, ...",
    )


def run(options: argparse.Namespace) -> int:
    """`humanrt-export multihmr --body anny`."""
    if odd := [text for text in options.about if "=" not in text]:
        raise HumanrtError(f"--about {odd[0]}: need KEY=TEXT")
    from humanrt_export.conversion.multihmr_anny_published import export_published

    content = None if options.checkpoint.is_dir() else read(options.checkpoint, "Multi-HMR on Anny")
    published = content is not None and layout_of(content) is Layout.PUBLISHED_ANNY
    if published and options.topology not in (None, ["full"]):
        raise HumanrtError("--topology: NAVER's Multi-HMR on Anny has the full mesh only; leave it out")
    export = export_published if published else export_anny
    folder = export(
        options.checkpoint,
        options.out,
        content=content,
        max_people=options.max_people,
        batch=options.batch,
        int8=options.int8_cpu,
        name=options.name,
        small=options.small,
        more_about=dict(text.split("=", 1) for text in options.about),
        report=lambda line: print(line, file=sys.stderr),
        **({} if published else {"topologies": options.topology or BODY_TOPOLOGIES}),
    )
    sys.stdout.write(f"{folder}\n")
    return 0
