"""Crops: the compiled one is OpenCV's, on every processor, whatever the region, and reads no byte outside the image."""

from __future__ import annotations

import ctypes
import mmap
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from humanrt import native
from humanrt.geometry.region import Region
from humanrt.perception.crop import NativeCrop, OpenCvCrop, make_crop

Image = NDArray[np.uint8]
# Of a grey level. OpenCV rounds weights to 1/32 px and results to whole levels; before 5, places to 1/32 px besides,
# which on noise as here is up to 255 / 64 for each axis.
OPENCV_ERROR = 2 / 255 if int(cv2.__version__.partition(".")[0]) >= 5 else 8 / 255
needs_native = pytest.mark.skipif(native.problem() is not None, reason=str(native.problem()))

# An array's view -> the same kind of memory that users' images have: whole, flipped, channels reversed, part of a
# larger image, every other pixel, out of a 4-channel image, transposed.
VIEWS: dict[str, Callable[[Image], Image]] = {
    "whole": lambda image: image,
    "mirrored": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "both": lambda image: image[::-1, ::-1],
    "BGR": lambda image: image[:, :, ::-1],
    "mirrored BGR": lambda image: image[:, ::-1, ::-1],
    "part": lambda image: image[image.shape[0] // 4 :, image.shape[1] // 4 : -1 if image.shape[1] > 4 else None],
    "coarse": lambda image: image[::2, ::3],
    "of RGBA": lambda image: np.dstack((image, image[:, :, :1]))[:, :, :3],
    "transposed": lambda image: image.transpose(1, 0, 2),
}

sizes = st.integers(1, 90)
regions = st.builds(Region, st.floats(-60, 150), st.floats(-60, 150), st.floats(1, 400), st.floats(-4, 4))


def crop(kind: str, rgb: Image, region: Region, size: int = 40) -> NDArray[np.float32]:
    tensor = np.full((1, 3, size, size), np.nan, np.float32)
    made = {
        "native": NativeCrop,
        "portable": lambda tensor: NativeCrop(tensor, portable=True),
        "opencv": OpenCvCrop,
    }[kind](tensor)
    made(rgb, region)
    return tensor[0]


def image_of(height: int, width: int) -> Image:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), np.uint8)


@needs_native
@given(sizes, sizes, regions, st.sampled_from(list(VIEWS)), st.sampled_from([8, 37, 40]))
@example(1, 1, Region(0, 0, 4), "whole", 8)
@example(2, 2, Region(1, 1, 2), "whole", 8)
@example(64, 64, Region(32, 32, 64), "of RGBA", 40)
def test_native_is_opencv(height: int, width: int, region: Region, view: str, size: int) -> None:
    image = VIEWS[view](image_of(height, width))
    expected, portable, fast = (crop(kind, image, region, size) for kind in ("opencv", "portable", "native"))
    np.testing.assert_allclose(portable, expected, atol=OPENCV_ERROR)
    np.testing.assert_array_equal(fast, portable)


@needs_native
@pytest.mark.parametrize("angle", [0.0, 0.4, 1.57, 3.0, -2.2])
def test_a_large_crop_of_a_real_images_size(angle: float) -> None:
    image, region = image_of(720, 1280), Region(640, 360, 700, angle)
    expected, portable, fast = (crop(kind, image, region, 224) for kind in ("opencv", "portable", "native"))
    np.testing.assert_allclose(fast, expected, atol=OPENCV_ERROR)
    np.testing.assert_array_equal(fast, portable)  # so that all processors follow the same hand


@pytest.mark.parametrize("kind", ["opencv", pytest.param("native", marks=needs_native)])
def test_pixel_centres_are_whole_numbers_and_outside_is_black(kind: str) -> None:
    image = image_of(30, 40)
    unscaled = crop(kind, image, Region(20, 16, 16), 16)  # its corner is pixel (12, 8)
    np.testing.assert_allclose(unscaled, image[8:24, 12:28].transpose(2, 0, 1) / np.float32(255), atol=1e-6)
    assert not crop(kind, image, Region(-500, 20, 100), 16).any()
    half = crop(kind, image, Region(7.5, 8, 16), 16)  # columns -0.5, 0.5, ...: the first is half border
    np.testing.assert_allclose(half[:, :, 0], image[:16, 0].T / 510, atol=2 / 255)


@needs_native
@pytest.mark.parametrize(
    "region",
    [
        Region(float("nan"), 10, 20),
        Region(10, 10, float("inf")),
        Region(1e300, 10, 20),
        Region(10, 10, 1e12),
        Region(2**31, -(2**31), 50),
    ],
)
def test_wild_regions_are_harmless(region: Region) -> None:
    result = crop("native", image_of(30, 40), region)
    assert ((result >= 0) & (result <= 1)).all()


@needs_native
@pytest.mark.skipif(sys.platform != "linux", reason="guards memory with mprotect")
@pytest.mark.parametrize("where", ["end", "start"])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("view", ["whole", "mirrored", "upside down", "both", "BGR"])
def test_no_byte_outside_the_image_is_read(where: str, channels: int, view: str) -> None:
    """The image lies against pages that no one may read: a byte too far ends the process."""
    height, width, page = 32, 24, mmap.PAGESIZE
    memory = mmap.mmap(-1, 4 * page)
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    length = height * width * channels - (channels - 3)  # the last pixel's fourth byte is not the image's
    offset = page if where == "start" else 3 * page - length
    flat = np.frombuffer(memory, np.uint8)
    pixels = np.lib.stride_tricks.as_strided(flat[offset:], (height, width, 3), (width * channels, channels, 1))
    pixels[...] = image_of(height, width)
    guards = (base, base + 3 * page)
    try:
        for guard in guards:
            assert protect(guard, page, 0) == 0
        for region in (Region(width / 2, height / 2, 40, angle) for angle in (0.0, 0.5, 1.57, 3.14)):
            image = VIEWS[view](pixels)
            np.testing.assert_allclose(
                crop("native", image, region), crop("opencv", image.copy(), region), atol=OPENCV_ERROR
            )
        corner = Region(width - 1.2, height - 1.2, 2.0)
        np.testing.assert_allclose(
            crop("native", image, corner), crop("opencv", image.copy(), corner), atol=OPENCV_ERROR
        )
    finally:
        for guard in guards:
            protect(guard, page, mmap.PROT_READ | mmap.PROT_WRITE)


def test_without_the_library_opencv_crops(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = np.zeros((1, 3, 8, 8), np.float32)
    monkeypatch.setattr(native, "LIBRARY", native.LIBRARY.with_name("absent.so"))
    assert make_crop(tensor).name == "opencv"


def test_a_tensor_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="float32"):
        OpenCvCrop(np.zeros((1, 3, 8, 9), np.float32))
    with pytest.raises(ValueError, match="float32"):
        OpenCvCrop(np.zeros((1, 3, 8, 8), np.float64))  # type: ignore[arg-type]


def test_the_compiler_fuses_nothing_where_arm_could(tmp_path: Path) -> None:
    """A product and a sum that are fused on Arm are rounded once, and elsewhere twice."""
    pytest.importorskip("ziglang", reason="ziglang compiles for other processors")
    made = tmp_path / "crop.s"
    source = Path(native.__file__).parents[1] / "_native" / "crop.c"
    command = [sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-gnu.2.17", "-std=c99", "-O3"]
    subprocess.run([*command, "-S", "-o", str(made), str(source)], check=True, capture_output=True, timeout=120)
    text = made.read_text()
    assert "fmul" in text
    assert not re.findall(r"\b(?:fn?m(?:add|sub)|fml[as])\b", text)
