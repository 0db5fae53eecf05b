"""Graphs stored packed (``NAME.onnx.z``): the same bytes once opened, in less room.

Weights in float16 hardly deflate as they are: of each, one byte is noise (the end of the mantissa), and it hides that
the other (sign and exponent) repeats. So a file is taken apart into planes, here the even bytes and the odd ones, which
are deflated one after the other. Opening costs 5 ms a MB (LZMA: 4 % smaller still, 45 ms a MB).

A packed file is one byte, the number of planes, and a zlib stream of the planes in their order.
"""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["SUFFIX", "pack", "unpack"]

SUFFIX = ".z"
"""What the name of a packed file ends with."""

_PLANES = (1, 2, 4)  # bytes as they are; of float16; of float32
_ALWAYS = 1 << 24  # bytes that may be unpacked of any file
_STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_FILTERED, zlib.Z_HUFFMAN_ONLY)  # what repeats by chance only misleads


def pack(data: bytes) -> bytes:
    """The shortest packed form of ``data``."""
    content = np.frombuffer(data, np.uint8)
    forms = []
    for planes in _PLANES:
        apart = b"".join(content[first::planes].tobytes() for first in range(planes))
        for strategy in _STRATEGIES:
            deflate = zlib.compressobj(9, strategy=strategy)
            forms.append(bytes([planes]) + deflate.compress(apart) + deflate.flush())
    return min(forms, key=len)


def unpack(packed: bytes) -> bytes:
    """What `pack` was given. ValueError: it is not what `pack` gives, or a hundred times as large unpacked."""
    planes = packed[0] if packed else 0
    if planes not in _PLANES:
        raise ValueError("it is not a packed file")
    try:
        # Weights do not shrink to a hundredth: what would grow so much was made to fill the memory.
        limit = max(100 * len(packed), _ALWAYS)
        stream = zlib.decompressobj()
        content_bytes = stream.decompress(memoryview(packed)[1:], limit + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(content_bytes) > limit:
        raise ValueError("unpacked, it would be more than a hundred times as large")
    if not stream.eof:
        raise ValueError("it is cut short")
    data = np.frombuffer(content_bytes, np.uint8)
    content = np.empty_like(data)
    start = 0
    for first in range(planes):
        plane = content[first::planes]
        plane[:] = data[start : start + len(plane)]
        start += len(plane)
    return content.tobytes()
