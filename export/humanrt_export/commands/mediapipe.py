"""The commands that create bundles of MediaPipe's models: ``humanrt-export hands`` and ``landmarks``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from humanrt.bundle import cache_folder
from humanrt.errors import SourceError
from humanrt_export.conversion.mediapipe_models import MEDIAPIPE, download_wheel

__all__ = ["MEDIA", "MediapipeCommand"]

MEDIA = Path(__file__).resolve().parents[4] / "shared" / "media"
"""Beside a checkout; not part of the project."""


@dataclass(frozen=True)
class MediapipeCommand:
    """One of these commands.

    Attributes:
        bundle: name of the bundle.
        export: function of (folder of the bundle, wheel, frames) that returns the folder.
        shows: what `--frames` must be: "a video that shows a hand".
        media: name of the default frames in `shared/media`.
    """

    bundle: str
    export: Callable[[Path, Path, Path], Path]
    shows: str
    media: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of the command."""
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the bundle")
        wheel = f"the wheel of {MEDIAPIPE}; default: download it with pip"
        parser.add_argument("--mediapipe-wheel", type=Path, metavar="FILE", help=wheel)
        frames = f"{self.shows}, for the parity gate against LiteRT"
        parser.add_argument("--frames", type=Path, metavar="SOURCE", help=frames)

    def run(self, options: argparse.Namespace) -> int:
        """Run the command."""
        frames: Path = options.frames or MEDIA / self.media
        if not frames.exists():
            raise SourceError(f"{frames} for the parity gate does not exist; give {self.shows}: --frames SOURCE")
        wheel = options.mediapipe_wheel or download_wheel(cache_folder() / "downloads")
        folder = self.export(options.out, wheel, frames)
        sys.stdout.write(f"{folder}: bundle `{self.bundle}`, parity with LiteRT passed\n")
        return 0
