"""Letterboxes are Pillow's in every level, in C, with vector instructions and without, and in numpy."""

from __future__ import annotations

import ctypes
import hashlib
import json
import mmap
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_crop import VIEWS

from golden_people import GOLDEN, load_module
from humanrt import native
from humanrt.bundle import Bundle, load_bundle
from humanrt.bundle.settings import MultiHmrSettings
from humanrt.errors import BundleError
from humanrt.geometry.camera import Letterbox
from humanrt.geometry.letterbox import (
    NativeScaler,
    PortableScaler,
    Preprocessor,
    Resize,
    Scaler,
    down_first,
    levels_of,
    pillow_resize,
    resize,
    windows,
)

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LEVELS = levels_of(MEAN, STD)
CODES = ("fastest", "sse2", "portable")
sizes = st.integers(1, 150)


def scalers() -> dict[str, Scaler]:
    """Everything that scales as Pillow does on this machine."""
    found: dict[str, Scaler] = {"numpy": PortableScaler(LEVELS)}
    if native.problem() is None:
        found |= {code: NativeScaler(LEVELS, code=code) for code in CODES}
    return found


def boxed(scale: Scaler, rgb: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    out = np.full((3, side, side), np.nan, np.float32)
    scale(rgb, Letterbox.fit((rgb.shape[1], rgb.shape[0]), side), out)
    return out


@pytest.mark.parametrize("kind", scalers())
@pytest.mark.parametrize(("source", "size"), [((160, 80), (112, 70)), ((80, 160), (70, 112)), ((64, 64), (112, 70))])
def test_a_rectangle_is_the_middle_of_the_square(kind: str, source: tuple[int, int], size: tuple[int, int]) -> None:
    scale, rgb = scalers()[kind], noise(*source)
    out = np.full((3, *size[::-1]), np.nan, np.float32)
    box = Letterbox.fit(source, size)
    scale(rgb, box, out)
    if source[0] == source[1]:  # smaller, between two bars: what a square of the shorter side has
        assert (box.scaled, box.offset) == ((70, 70), (21, 0))
        np.testing.assert_array_equal(out[:, :, 21:91], boxed(scale, rgb, 70))
        np.testing.assert_array_equal(out[:, :, :21], np.broadcast_to(LEVELS[:, :1, None], (3, 70, 21)))
        return
    x, y = (112 - size[0]) // 2, (112 - size[1]) // 2
    np.testing.assert_array_equal(out, boxed(scale, rgb, 112)[:, y : y + size[1], x : x + size[0]])


def noise(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Bytes of black, white and all between, the same with every numpy."""
    grains = np.random.RandomState(seed).randint(-300, 556, (height, width, 3))
    return np.clip(grains, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("kind", scalers())
def test_golden_letterboxes_of_the_authors_are_equal(kind: str) -> None:
    if not GOLDEN.is_dir():
        pytest.skip(f"{GOLDEN} is not here: it is shared with developers and CI only")
    recorded = json.loads((GOLDEN / "letterbox.json").read_text())
    picture = load_module(GOLDEN / "stand_in_picture.py").picture
    with np.load(GOLDEN / "letterbox.npz") as arrays:
        np.testing.assert_array_equal(levels_of(recorded["mean"], recorded["std"]), arrays["levels"])
    for name, case in recorded["cases"].items():
        source = recorded["pictures"][case["picture"]]
        rgb = picture(source["width"], source["height"], source["seed"])
        box = Letterbox.fit((source["width"], source["height"]), case["side"])
        assert [list(box.scaled), list(box.offset)] == [case["scaled"], case["offset"]], name
        out = boxed(scalers()[kind], rgb, case["side"])
        assert hashlib.sha256(out.tobytes()).hexdigest() == case["input_sha256"], name


# (width, height) of `noise`, (width, height) wanted: sha256 of the levels that Pillow 13.0.0 makes with BICUBIC.
PILLOW_13 = {
    ((97, 61), (33, 21)): "4c75badcece0076f",
    ((20, 13), (61, 40)): "61b3ac96a5d0027f",
    ((64, 48), (64, 31)): "87688b74965292e4",
    ((64, 48), (50, 48)): "1f0e66324fbdfa18",
    ((3, 2), (56, 37)): "fb4fc8a6322ba4c2",
    ((1, 1), (7, 7)): "a749aecc4d0b4dd2",
    ((40, 41), (41, 40)): "d2a8c75eb0d05aea",
    ((40, 150), (15, 56)): "9a15179b37e06698",
    ((9, 400), (1, 56)): "3a0bea7eda9c9d29",
    ((60, 170), (79, 224)): "780f040d1870c509",
    ((301, 7), (14, 1)): "0116948c37461de5",
}


@pytest.mark.parametrize(("source", "size"), PILLOW_13)
def test_levels_are_those_recorded_of_pillow(source: tuple[int, int], size: tuple[int, int]) -> None:
    """Smaller, larger, one axis only, windows that leave the picture, and so high that it goes down first."""
    result = pillow_resize(noise(*source), size)
    assert result.shape == (size[1], size[0], 3)
    assert hashlib.sha256(np.ascontiguousarray(result).tobytes()).hexdigest()[:16] == PILLOW_13[source, size]


@pytest.mark.skipif(find_spec("PIL") is None, reason="Pillow is not installed; its levels are recorded above")
@settings(deadline=None)
@given(sizes, sizes, st.integers(0, 2**31), st.sampled_from([14, 56, 112]))
@example(1, 1, 0, 14)
@example(1, 150, 0, 14)  # one column
@example(30, 150, 0, 56)  # down first
@example(56, 56, 0, 56)
def test_it_is_the_installed_pillows(width: int, height: int, seed: int, side: int) -> None:
    import PIL
    from PIL import Image, ImageOps

    box = Letterbox.fit((width, height), side)
    if round(min(width, height) / max(width, height) * side) == 0:
        return  # ImageOps makes an empty picture of it
    if int(PIL.__version__.partition(".")[0]) < 13 and down_first(box.source, box.scaled):
        return
    rgb = noise(width, height, seed)
    wanted = np.asarray(ImageOps.pad(Image.fromarray(rgb), (side, side)))
    for scale in scalers().values():
        np.testing.assert_array_equal(
            boxed(scale, rgb, side), LEVELS[np.arange(3)[:, None, None], wanted.transpose(2, 0, 1)]
        )


@settings(deadline=None)
@given(sizes, sizes, st.integers(0, 2**31), st.sampled_from(list(VIEWS)), st.sampled_from([14, 56, 112]))
@example(1, 1, 0, "whole", 14)
@example(1, 150, 0, "upside down", 56)
@example(30, 149, 0, "BGR", 56)
def test_all_of_them_give_the_same_numbers_from_any_memory(
    width: int, height: int, seed: int, view: str, side: int
) -> None:
    rgb = VIEWS[view](noise(width, height, seed))
    expected = boxed(PortableScaler(LEVELS), np.ascontiguousarray(rgb), side)
    assert not np.isnan(expected).any()
    for scale in scalers().values():
        np.testing.assert_array_equal(boxed(scale, rgb, side), expected)


@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920), (333, 2000), (4000, 30)])
def test_large_images_too(size: tuple[int, int]) -> None:
    rgb = noise(*size)
    expected = boxed(PortableScaler(LEVELS), rgb, 224)
    for scale in scalers().values():
        np.testing.assert_array_equal(boxed(scale, rgb, 224), expected)


@pytest.mark.skipif(native.problem() is not None, reason=str(native.problem()))
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="protects memory with mprotect")
@pytest.mark.parametrize("size", [(5, 3), (64, 40), (20, 97)])
@pytest.mark.parametrize("code", CODES)
def test_no_byte_behind_the_image_is_read(size: tuple[int, int], code: str) -> None:
    """The image ends where a page ends, behind which nothing may be read."""
    rgb = noise(*size)
    page = mmap.PAGESIZE
    pages = -(-rgb.nbytes // page)
    memory = mmap.mmap(-1, (pages + 1) * page)
    buffer = (ctypes.c_char * len(memory)).from_buffer(memory)
    address = ctypes.addressof(buffer)
    at_end = np.frombuffer(buffer, np.uint8, rgb.nbytes, pages * page - rgb.nbytes).reshape(rgb.shape)
    at_end[...] = rgb
    libc = ctypes.CDLL(None)
    assert libc.mprotect(ctypes.c_void_p(address + pages * page), page, 0) == 0
    try:
        out = boxed(NativeScaler(LEVELS, code=code), at_end, 56)
    finally:
        libc.mprotect(ctypes.c_void_p(address + pages * page), page, 3)
    np.testing.assert_array_equal(out, boxed(PortableScaler(LEVELS), rgb, 56))


@given(st.integers(1, 3000), st.integers(1, 900))
@settings(deadline=None)
def test_windows_lie_in_the_image_and_weigh_one(size: int, scaled: int) -> None:
    table = windows(size, scaled)
    first, count, weights = table[:, 0], table[:, 1], table[:, 2:]
    assert (count >= 1).all()
    assert (first >= 0).all()
    assert (first + count <= size).all()
    assert not weights[np.arange(weights.shape[1]) >= count[:, None]].any()
    assert np.abs(weights.sum(axis=1) - (1 << 22)).max() <= count.max()
    assert np.abs(weights).sum(axis=1).max() * 255 + (1 << 21) < 2**31, "sums fit 32 bits"


def test_opencvs_way_is_opencvs() -> None:
    rgb = noise(60, 40)
    smaller, larger = (cv2.resize(rgb, size, interpolation=way) for size, way in (
        ((30, 20), cv2.INTER_AREA), ((90, 60), cv2.INTER_CUBIC),
    ))  # fmt: skip
    np.testing.assert_array_equal(resize(rgb, (30, 20), "opencv-area"), smaller)
    np.testing.assert_array_equal(resize(rgb, (90, 60), "opencv-area"), larger)
    out = np.empty((3, 30, 30), np.float32)
    Preprocessor(30, MEAN, STD, "opencv-area")(rgb, out)
    np.testing.assert_array_equal(out[:, 5:25], LEVELS[np.arange(3)[:, None, None], smaller.transpose(2, 0, 1)])


def test_an_unknown_way_is_refused_and_not_replaced() -> None:
    with pytest.raises(ValueError, match="resize is 'bicubic'; choose one of: opencv-area, pillow-bicubic"):
        Preprocessor(56, MEAN, STD, "bicubic")


def test_without_the_compiled_library_the_numbers_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rgb, outs = noise(80, 50), np.empty((2, 3, 56, 56), np.float32)
    Preprocessor(56, MEAN, STD)(rgb, outs[0])
    monkeypatch.setattr(native, "LIBRARY", Path("nowhere.so"))
    Preprocessor(56, MEAN, STD)(rgb, outs[1])
    np.testing.assert_array_equal(outs[1], outs[0])


@pytest.mark.parametrize(
    ("letterbox", "body", "expected"),
    [
        ({"resize": "pillow-bicubic"}, "Anny", "pillow-bicubic"),
        ({"resize": "opencv-area"}, "SMPL-X neutral", "opencv-area"),
        ({}, "SMPL-X neutral", "pillow-bicubic"),
        ({}, "Anny", "opencv-area"),
        (None, "SMPL-X neutral", "pillow-bicubic"),
    ],
)
def test_the_bundle_says_how_its_network_is_fed(letterbox: Any, body: str, expected: Resize) -> None:
    """Those of before this was a setting: as they were trained."""
    shipped = load_bundle("multihmr-anny", task="people")
    assert MultiHmrSettings.of(shipped).resize == "opencv-area" == shipped.setting("letterbox", "resize")
    assert MultiHmrSettings.of(changed(shipped, letterbox, body)).resize == expected


@pytest.mark.parametrize("given", ["lanczos", 3, ["pillow-bicubic"]])
def test_another_way_is_refused(given: Any) -> None:
    bundle = changed(load_bundle("multihmr-anny", task="people"), {"resize": given})
    says = r"`settings.letterbox.resize` is .*; this version has: opencv-area, pillow-bicubic"
    with pytest.raises(BundleError, match=says):
        MultiHmrSettings.of(bundle)


def changed(bundle: Bundle, letterbox: Any, body: str = "Anny") -> Bundle:
    settings = {**bundle.settings, "letterbox": letterbox, "body": {**bundle.settings["body"], "model": body}}
    if letterbox is None:
        del settings["letterbox"]
    return replace(bundle, manifest={**bundle.manifest, "settings": settings})
