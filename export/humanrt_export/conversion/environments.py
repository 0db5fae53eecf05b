"""Panoramas of real places for the data engine (CC0), from the npm package `@pmndrs/assets`: `fetch_environments`.

The package holds 18 of them, 512 x 256, as OpenEXR in base64 in JavaScript. OpenCV cannot read their compression, so
the package `OpenEXR` is needed for this once; Radiance files (.hdr) are written, which OpenCV reads.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.errors import MissingDependencyError, SourceError
from humanrt.files import write_atomically
from humanrt_export.conversion.npm_packages import NpmPackage

__all__ = ["ENVIRONMENTS", "PACKAGE", "fetch_environments", "mended"]

PACKAGE = NpmPackage("@pmndrs/assets", "1.7.0")

ENVIRONMENTS = {
    "apartment": "74c0206dd58bed5fd0795194c3eb0d6f1a7e30c26a831dc239617de707d3a6d8",
    "bridge": "0e0c4def1bd2e8f88d13de12e708047a103b845116f6a04737a25127ad115cb0",
    "city": "dcb14d9dfc48d83e7cc38c7fbb76416cac3a959a59a80d4b0fbfd9dbf4a05ed3",
    "dawn": "455ea02a016b2d177faa501e812ea993b43f223480fe3fe6abded88c5f242cf2",
    "esplanade": "1c7a9a7da193deafd6494a55c21a0a198b72e9024a5faae6e2d3db66a87154dc",
    "forest": "d37ba5af4a60e169f22482f299a14dde2c84455142eb2074d791c863aa619a79",
    "hall": "55db560c95f87b2c0cb82079d87c684fb0be8890d33e97a3628246740bef09e2",
    "lab": "3adb2d8b79177fe47c8d9fc50e52b8d5329ff6ba8409bd38d519fbce1e09d7d3",
    "lobby": "58150e771d20555ebe4a9fc0e1e1aede23de9096430c71d3107017e8a13dc7a6",
    "night": "e76f8e31dad6f491ff83fc3182551b1867c499464569a87d5d2874efb374f66e",
    "park": "88947c10444e0c5f0e51018e5b69af9a7489baab9e8034b0044686c2d8fd7a8c",
    "sky": "62744ec42116f896c2d5959365c9be75589ca09d81ecdd99052c3307ec44ce62",
    "studio": "bdbc4502798c49310b46e57f27ffa8532a7f0a7c2f6708362132be225f0cfdbd",
    "sunrise": "36c7e652f58293b59a235add4b9399d450a24ea79b78709bcd1198246b08a68f",
    "sunset": "57ab9a1e5aec61f1816b2b977646d0baf82a4adf61bfe9d4a8313138f2f50e7c",
    "venice": "08d9d3255f50ffba3a2aa37a95abbcd0944282b90101877b5d0abf340ee0642a",
    "warehouse": "ce15dbb7b20bfd3c1daa478fec3425c6a8efa7ae5e2fe4d501033a1bcc1bd90a",
    "workshop": "32b92ffdb6aca9d5f73f13bbf9bd2d7b47169522de69f7fc4b18cf1da6beb048",
}
"""Names of the panoramas, and the sha256 of their files in the package."""

_BRIGHT = 2.0  # times the mean: pixels of that much light are no part of a dark ring


def fetch_environments(out: Path, package: Path | None = None) -> Iterator[Path]:
    """Write the panoramas to a folder; yields each file.

    Args:
        out: the folder; files that are there are written again.
        package: the package's file, if it is there already; None: npm downloads it into humanrt's cache.

    Raises:
        SourceError: npm fails, or the package is another.
        MissingDependencyError: `OpenEXR` is not installed.
    """
    try:
        openexr = importlib.import_module("OpenEXR")
    except ImportError:
        raise MissingDependencyError("reading panoramas needs OpenEXR; install it with: pip install OpenEXR") from None
    paths = {f"package/hdri/{name}.exr.js": digest for name, digest in ENVIRONMENTS.items()}
    file = package or PACKAGE.download()
    for path, script in PACKAGE.read(file, paths).items():
        name = Path(path).name.removesuffix(".exr.js")
        panorama = mended(_decoded(openexr, script, f"{file}: {path}"))
        done, code = cv2.imencode(".hdr", panorama[..., ::-1])
        assert done
        write_atomically(out / f"{name}.hdr", np.asarray(code).tobytes())
        yield out / f"{name}.hdr"


def mended(panorama: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a panorama [H, W, 3] without the dark rings, less than black, that lossy compression leaves about lights.

    Pixels below black, or much darker than those around though a light is near, and those beside them unless they are
    bright, become the geometric mean of those around.
    """
    light = panorama.mean(axis=-1)
    dim = light < _BRIGHT * float(light.mean())
    near = cv2.dilate((light > 2 * _BRIGHT * light.mean()).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    dark = light < 0.5 * cv2.medianBlur(light.clip(0), 5)
    wrong = (panorama.min(axis=-1) <= 0) | (dark & near)
    beside = cv2.dilate(wrong.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    known = ~(wrong | (beside & dim))
    logs = np.log(np.where(known[..., None], panorama, 1).clip(1e-6)).astype(np.float32)
    while not known.all() and known.any():
        weight = cv2.blur(known.astype(np.float32), (3, 3))[..., None]
        around = cv2.blur(logs * known[..., None], (3, 3)) / np.maximum(weight, 1e-6)
        new = ~known & (weight[..., 0] > 0.05)
        logs[new], known = around[new], known | new
    return np.asarray(np.exp(logs), np.float32)


def _decoded(openexr: Any, script: bytes, where: str) -> NDArray[np.float32]:
    """Return the picture [H, W, 3] in a module of the package."""
    found = re.search(rb"base64,([A-Za-z0-9+/=]+)", script)
    try:
        if found is None:
            raise ValueError("no base64 in it")
        content = base64.b64decode(found[1], validate=True)
        with tempfile.NamedTemporaryFile(suffix=".exr") as file:  # OpenEXR reads files only
            file.write(content)
            file.flush()
            channels = openexr.File(file.name).channels()
        one = channels.get("RGB") or channels.get("RGBA")
        pixels = one.pixels if one is not None else np.stack([channels[name].pixels for name in "RGB"], axis=-1)
    except (ValueError, KeyError, binascii.Error, RuntimeError, OSError) as error:
        raise SourceError(f"{where} cannot be read as OpenEXR ({error})") from error
    return np.ascontiguousarray(pixels[..., :3], np.float32)
