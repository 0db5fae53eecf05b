"""The command `humanrt-export multihmr`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from humanrt.errors import HumanrtError
from humanrt_export.conversion.multihmr_smplx import export_multihmr

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Options of ``humanrt-export multihmr``, for both bodies."""
    from humanrt_export.commands.multihmr_anny import configure_body

    parser.add_argument(
        "checkpoint", type=Path, metavar="CHECKPOINT", help="NAVER's .pt file, on SMPL-X or on Anny, or our own on Anny"
    )
    parser.add_argument("--body", choices=("smplx", "anny"), default="smplx", help="body model (default: smplx)")
    parser.add_argument(
        "--body-models", type=Path, metavar="DIR", help="SMPL-X: folder with smplx/SMPLX_NEUTRAL.npz or .pkl"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the bundle")
    parser.add_argument("--max-people", type=int, default=16, metavar="N", help="people per image (default: 16)")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="images per call (default: 1)")
    parser.add_argument("--int8-cpu", action="store_true", help="add the INT8 graph for CPUs; its error is reported")
    configure_body(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    if options.body == "anny":
        from humanrt_export.commands import multihmr_anny

        return multihmr_anny.run(options)
    if options.body_models is None:
        raise HumanrtError(
            "--body-models is missing: give the folder that holds smplx/SMPLX_NEUTRAL.npz, or use --body anny"
        )
    folder = export_multihmr(
        options.checkpoint,
        options.body_models,
        options.out,
        max_people=options.max_people,
        batch=options.batch,
        int8=options.int8_cpu,
        report=lambda line: sys.stderr.write(f"{line}\n"),
    )
    sys.stdout.write(f"{folder}\n")
    return 0
