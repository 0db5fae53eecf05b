"""Pinhole cameras, and their encoding as an input of Multi-HMR's network.

Frame: x right, y down, z forward. Pixels: origin at the top left corner of the network's square input.
`K` is upper triangular, ``[[fx, s, cx], [0, fy, cy], [0, 0, 1]]``, so its inverse is a closed form that
exports to a handful of elementwise operators (no ``Inverse``, which runtimes lack).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = [
    "DEFAULT_FIELD_OF_VIEW",
    "DEVIATION",
    "MEAN",
    "PATCH",
    "RayEncoding",
    "TokenGrid",
    "Window",
    "default_intrinsics",
    "focal_length",
    "unproject",
]

PATCH = 14
"""Side of one token in pixels (DINOv2 /14)."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of RGB in 0..1, which networks see normalised (ImageNet's)."""


class TokenGrid:
    """Token counts of a network whose input is a square of ``image_size`` px."""

    image_size: int

    @property
    def side(self) -> int:
        """Number of tokens along one side of the image."""
        return self.image_size // PATCH

    @property
    def tokens(self) -> int:
        """Number of tokens of one image."""
        return self.side**2


@dataclass(frozen=True)
class Window:
    """The middle of a network's square of tokens: what is left of it where the input is no square.

    A square network sees pictures that are not square between bars of black. One that is given the middle only does
    without most of the bars' tokens. All else stays where it was: the positions of the tokens, their rays, the scale of
    the picture.

    Attributes:
        side: tokens along a side of the square.
        rows, columns: tokens of the window.
    """

    side: int
    rows: int
    columns: int

    @classmethod
    def of(cls, side: int, aspect: tuple[int, int] | None = None, step: int = 1) -> Window:
        """Return the smallest window in the middle of the square that holds a picture.

        Args:
            side: tokens along a side of the square.
            aspect: width and height of the picture, in any unit; None: the whole square.
            step: tokens; the bars' widths are multiples of it.
        """
        width, height = aspect or (1, 1)
        needed = math.ceil(side * min(width, height) / max(width, height))
        shorter = side - 2 * step * ((side - needed) // (2 * step))
        return cls(side, *((shorter, side) if width >= height else (side, shorter)))

    @property
    def square(self) -> bool:
        """Whether it is the whole square."""
        return self.rows == self.columns

    @property
    def top(self) -> int:
        """Rows of tokens above it."""
        return (self.side - self.rows) // 2

    @property
    def left(self) -> int:
        """Columns of tokens left of it."""
        return (self.side - self.columns) // 2

    @property
    def tokens(self) -> int:
        """Number of its tokens."""
        return self.rows * self.columns

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) px."""
        return self.columns * PATCH, self.rows * PATCH

    @property
    def centre(self) -> tuple[int, int]:
        """(x, y) px of the principal point that is assumed, as the square's is ``image_size // 2``."""
        return self.size[0] // 2, self.size[1] // 2

    @property
    def cells(self) -> Tensor:
        """The square's tokens in it, int64 [rows * columns], row by row."""
        all_cells = torch.arange(self.side**2).reshape(self.side, self.side)
        rows, columns = slice(self.top, self.top + self.rows), slice(self.left, self.left + self.columns)
        return all_cells[rows, columns].reshape(-1)


DEFAULT_FIELD_OF_VIEW = 60.0
"""Degrees; what the published models assume where nothing is known of the camera."""


def focal_length(image_size: int, field_of_view: float = DEFAULT_FIELD_OF_VIEW) -> float:
    """Return the focal length in pixels of a square image of ``image_size`` px seen under ``field_of_view`` degrees."""
    return image_size / (2.0 * math.tan(math.radians(field_of_view) / 2.0))


def default_intrinsics(batch: int, image_size: int, field_of_view: float = DEFAULT_FIELD_OF_VIEW) -> Tensor:
    """Return K [batch, 3, 3] for an unknown camera: principal point ``image_size // 2``, square pixels."""
    f, c = focal_length(image_size, field_of_view), float(image_size // 2)
    return torch.tensor([[f, 0.0, c], [0.0, f, c], [0.0, 0.0, 1.0]]).repeat(batch, 1, 1)


def unproject(pixels: Tensor, K: Tensor) -> Tensor:
    """Return ``K^-1 [u, v, 1]``, the point at depth 1 m behind every pixel.

    Args:
        pixels: [B, N, 2] (u, v) px, or [1, N, 2].
        K: [B, 3, 3] px, upper triangular.

    Returns:
        [B, N, 3], third component exactly 1.
    """
    fx, skew, cx = K[:, 0, 0:1], K[:, 0, 1:2], K[:, 0, 2:3]
    fy, cy = K[:, 1, 1:2], K[:, 1, 2:3]
    y = (pixels[..., 1] - cy) / fy
    x = (pixels[..., 0] - cx - skew * y) / fx
    return torch.stack((x, y, torch.ones_like(x)), dim=-1)


class RayEncoding(nn.Module):
    """Compute Fourier features of the viewing ray of every token, [B, K] -> [B, N, 3 + 6 * bands].

    The pixel of a token enters as (row, col): x and y are swapped. The published models were trained this way, so the
    swap stays. Order: the ray (3), ``sin(pi f x)`` for all bands of x, then y, then z, then the cosines likewise.
    """

    pixels: Tensor
    frequencies: Tensor

    def __init__(self, side: int, bands: int, max_resolution: int) -> None:
        super().__init__()
        self.register_buffer("pixels", _centres(side, side), persistent=False)
        frequencies = torch.linspace(1.0, max_resolution / 2, bands) * math.pi
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.dim = 3 + 6 * bands

    def crop(self, window: Window) -> None:
        """Encode only the tokens of a window; intrinsics are then in px of it.

        A row is measured from cx and a column from cy, as x and y are swapped; so each moves with the other's corner.
        """
        corner = torch.tensor([window.left, window.top], dtype=torch.float32) * PATCH
        self.pixels = self.pixels[:, window.cells] - corner

    def forward(self, K: Tensor) -> Tensor:
        rays = unproject(self.pixels, K)
        angles = (rays[..., None] * self.frequencies).flatten(2)
        return torch.cat((rays, torch.sin(angles), torch.cos(angles)), dim=-1)


def _centres(rows: int, columns: int) -> Tensor:
    """Return (row, col) px of the tokens' centres, [1, rows * columns, 2]."""
    down, across = (torch.arange(count, dtype=torch.float32) * PATCH + PATCH // 2 for count in (rows, columns))
    grid = torch.meshgrid(down, across, indexing="ij")
    return torch.stack(grid, -1).reshape(1, -1, 2)
