"""Convert frames on the GPU (uint8 BGR, RGB or NV12) to the network's input: letterbox.cu, and the same in numpy."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.backends.cuda import CudaBuffer, CudaDevice
from humanrt.bundle import TensorSpec
from humanrt.errors import choices
from humanrt.geometry.camera import Letterbox
from humanrt.geometry.letterbox import down_first, levels_of, pillow_resize, windows
from humanrt.kernels.parameters import Parameters, input_kernel
from humanrt.resource import Resource

__all__ = ["FILTERS", "FORMATS", "Frame", "GpuLetterbox", "LetterboxOptions", "frame_bytes", "reference", "tables"]

FORMATS = ("bgr", "rgb", "nv12")
FILTERS = ("area", "linear", "cubic", "pillow")
MATRICES = ("bt601", "bt709")


@dataclass(frozen=True)
class LetterboxOptions:
    """How frames are converted to inputs.

    Attributes:
        format: ``bgr``, ``rgb`` or ``nv12``.
        mean, std: [3] of R, G, B in 0..1; the input is (level / 255 - mean) / std.
        filter: ``area``, ``linear``, ``cubic``, or ``pillow``, which is ``pillow-bicubic`` of
            `humanrt.geometry.letterbox`; None is its ``opencv-area``: area to shrink and cubic to enlarge.
        matrix: ``bt601`` or ``bt709``: the colour matrix of NV12.
        fill: level of the padding, 0..255.
    """

    format: str = "bgr"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    filter: str | None = None
    matrix: str = "bt601"
    fill: float = 0.0

    def __post_init__(self) -> None:
        for what, value, known in (
            ("format", self.format, FORMATS),
            ("filter", self.filter, (*FILTERS, None)),
            ("matrix", self.matrix, MATRICES),
        ):
            if value not in known:
                raise ValueError(f"{what} is {value!r}; choose one of: {choices(k for k in known if k)}")


class Frame(ctypes.Structure):
    """The struct ``Letterbox`` of letterbox.cu."""

    _fields_ = (
        ("source", ctypes.c_void_p),
        ("out", ctypes.c_void_p),
        *((name, ctypes.c_void_p) for name in ("across", "down", "levels")),
        ("chroma", ctypes.c_int64),
        *((name, ctypes.c_int32) for name in ("format", "matrix", "filter", "width", "height", "pitch")),
        *((name, ctypes.c_int32) for name in ("input_width", "input_height")),
        *((name, ctypes.c_int32) for name in ("scaled_width", "scaled_height", "left", "top")),
        *((name, ctypes.c_int32) for name in ("across_taps", "down_taps", "down_first")),
        ("fill", ctypes.c_float),
        ("gain", ctypes.c_float * 3),
        ("bias", ctypes.c_float * 3),
    )

    @classmethod
    def of(cls, source: int, out: int, box: Letterbox, pitch: int, options: LetterboxOptions, table: int = 0) -> Frame:
        """Fill the struct for a source with ``pitch`` bytes per row. ``table``: address of the `tables`, if any.

        All addresses are device addresses.
        """
        chosen = options.filter or (
            "area" if box.scaled[0] < box.source[0] or box.scaled[1] < box.source[1] else "cubic"
        )
        gain = [1 / (255 * std) for std in options.std]
        bias = [-mean / std for mean, std in zip(options.mean, options.std, strict=True)]
        used = (0, 0, 0), (0, 0, 0)
        if table:
            across, down = (windows(size, scaled) for size, scaled in zip(box.source, box.scaled, strict=True))
            starts = np.cumsum((0, across.nbytes, down.nbytes)) + table
            used = (
                tuple(starts.tolist()),
                (across.shape[1] - 2, down.shape[1] - 2, down_first(box.source, box.scaled)),
            )
        return cls(
            source, out, *used[0], pitch * box.source[1], FORMATS.index(options.format), MATRICES.index(options.matrix),
            FILTERS.index(chosen), *box.source, pitch, *box.size, *box.scaled, *box.offset, *used[1], options.fill,
            (ctypes.c_float * 3)(*gain), (ctypes.c_float * 3)(*bias),
        )  # fmt: skip


def frame_bytes(size: tuple[int, int], pixel_format: str) -> int:
    """Return the bytes of a tightly packed frame (width, height). ValueError for NV12 of odd size."""
    width, height = size
    if pixel_format != "nv12":
        return 3 * width * height
    if width % 2 or height % 2:
        raise ValueError(f"NV12 frames need even sizes, not {width} x {height}")
    return width * height * 3 // 2


def tables(box: Letterbox, options: LetterboxOptions) -> NDArray[np.int32]:
    """Return the kernel's tables for the filter ``pillow``: horizontal and vertical windows, bits of the levels."""
    parts = [windows(size, scaled).ravel() for size, scaled in zip(box.source, box.scaled, strict=True)]
    return np.concatenate((*parts, levels_of(options.mean, options.std).ravel().view(np.int32)))


class GpuLetterbox(Resource):
    """Letterboxes frames into a network's input buffer.

    Args:
        device: the GPU.
        out: float32 [1, 3, H, W], the network's input.
        options: see `LetterboxOptions`.

    Attributes:
        step: the binding to run after `set_frame` and before the network. Until the first `set_frame`, all is padding.
    """

    def __init__(self, device: CudaDevice, out: CudaBuffer, options: LetterboxOptions | None = None) -> None:
        self._options = options or LetterboxOptions()
        self._out, self._device = out, device
        self._box: Letterbox | None = None
        self._tables: CudaBuffer | None = None
        nothing = Letterbox((1, 1), (out.spec.shape[-1], out.spec.shape[-2]), (0, 0), (0, 0))
        self._parameters = Parameters(Frame.of(0, out.address, nothing, 0, self._options), device)
        self.step = input_kernel("letterbox", device, self._parameters, out)

    def set_frame(self, source: int, pitch: int, box: Letterbox) -> None:
        """Set the frame that `step` will read (device address, ``pitch`` bytes per row) and its letterbox."""
        if self._options.filter == "pillow" and box != self._box:
            array = tables(box, self._options)
            self._close_tables()
            self._tables = CudaBuffer(TensorSpec("windows", array.shape, "int32"), self._device)
            self._tables.upload(array)
            self._box = box
        table = self._tables.address if self._tables else 0
        self._parameters.give(Frame.of(source, self._out.address, box, pitch, self._options, table))

    def close(self) -> None:
        self._parameters.close()
        self._close_tables()

    def _close_tables(self) -> None:
        if self._tables is not None:
            self._device.compute.synchronize()  # its work may still read them
            self._tables.close()
            self._tables = self._box = None


def reference(
    frame: NDArray[np.uint8],
    size: tuple[int, int],
    into: int | tuple[int, int],
    options: LetterboxOptions | None = None,
) -> NDArray[np.float64]:
    """Compute the kernel's output [3, H, W] in numpy at double precision.

    Args:
        frame: bytes of an image.
        size: (width, height) of the image.
        into: (width, height) of the output, or the side of a square one.
        options: see `LetterboxOptions`.
    """
    options = options or LetterboxOptions()
    box = Letterbox.fit(size, into)
    given = Frame.of(0, 0, box, 1, options)
    rgb = _rgb(frame, size, options)
    if options.filter == "pillow":
        levels = pillow_resize(np.floor(rgb + 0.5).astype(np.uint8), box.scaled)
        scaled = levels.transpose(2, 0, 1).astype(np.float64)
    else:
        down, across = (
            _weights(FILTERS[given.filter], box.source[axis], box.scaled[axis]) for axis in (1, 0)
        )  # [scaled, source]
        scaled = np.clip(np.einsum("ij,jkc,lk->cil", down, rgb, across, optimize=True), 0, 255)
    filled = np.full((3, *box.size[::-1]), float(options.fill))
    (x, y), (width, height) = box.offset, box.scaled
    filled[:, y : y + height, x : x + width] = scaled
    mean, std = (np.asarray(value)[:, None, None] for value in (options.mean, options.std))
    result: NDArray[np.float64] = (filled / 255 - mean) / std
    return result


def _rgb(frame: NDArray[np.uint8], size: tuple[int, int], options: LetterboxOptions) -> NDArray[np.float64]:
    width, height = size
    if options.format != "nv12":
        pixels = frame.reshape(height, width, 3).astype(np.float64)
        return pixels[..., ::-1] if options.format == "bgr" else pixels
    light = 1.164384 * np.maximum(frame[: width * height].reshape(height, width) - 16.0, 0)
    uv = frame[width * height :].reshape(height // 2, width // 2, 2).repeat(2, 0).repeat(2, 1) - 128.0
    red, green_u, green_v, blue = {
        "bt601": (1.596027, 0.391762, 0.812968, 2.017232),
        "bt709": (1.792741, 0.213249, 0.532909, 2.112402),
    }[options.matrix]
    u, v = uv[..., 0], uv[..., 1]
    rgb: NDArray[np.float64] = np.clip(
        np.stack([light + red * v, light - green_u * u - green_v * v, light + blue * u], -1), 0, 255
    )
    return rgb


def _weights(kind: str, size: int, scaled: int) -> NDArray[np.float64]:
    """Return the weights [scaled, size] of the source pixels along one axis."""
    ratio, source = size / scaled, np.arange(size)
    weights = np.zeros((scaled, size))
    rows: Sequence[Any] = range(scaled)
    for i in rows:
        if kind == "area":
            overlap = np.minimum((i + 1) * ratio, source + 1) - np.maximum(i * ratio, source)
            weights[i] = np.maximum(overlap, 0) / ratio
            continue
        u = (i + 0.5) * ratio - 0.5
        first = int(np.floor(u)) - (kind == "cubic")
        for at in range(first, first + (2 if kind == "linear" else 4)):
            d, a = abs(u - at), -0.75
            inner, outer = ((a + 2) * d - (a + 3)) * d * d + 1, ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
            weights[i, np.clip(at, 0, size - 1)] += 1 - d if kind == "linear" else inner if d <= 1 else outer
    return weights
