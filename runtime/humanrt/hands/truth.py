"""Exact ground truth of a rendered clip, and the finger angles by which estimates are compared with it.

The clips themselves are made by ``humanrt_export.synthetic``; this module needs only numpy, so that
``humanrt demo`` and ``humanrt bench`` can measure their accuracy anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.errors import SourceError
from humanrt.geometry.hand import CHAINS
from humanrt.geometry.skeleton import Side

__all__ = ["Truth", "finger_flexion"]


def finger_flexion(keypoints_3d: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the flexion of every finger joint from hand keypoints alone.

    The flexion of a joint is the angle between its incoming and outgoing segments: 0 where the chain
    wrist -> ... -> tip runs straight, pi where it folds back on itself. It is never negative, and it does not
    change when the hand is moved, rotated, scaled or mirrored; so the same function serves ground truth in
    camera space and a landmark model's own metric frame.

    Args:
        keypoints_3d: [..., 21, 3] in any unit, MediaPipe order.

    Returns:
        [..., 5, 3] rad: fingers as in `geometry.hand.FINGERS`; joints MCP, PIP, DIP (for the thumb CMC, MCP, IP).
    """
    points = np.asarray(keypoints_3d, dtype=np.float64)
    if points.shape[-2:] != (21, 3):
        raise ValueError(f"keypoints_3d has shape {points.shape}; expected [..., 21, 3]")
    segments = np.diff(points[..., np.array(CHAINS), :], axis=-2)  # [..., 5, 4, 3]
    arriving, leaving = segments[..., :-1, :], segments[..., 1:, :]
    # atan2 of sine and cosine keeps its precision near 0 and pi, where arccos loses half the digits.
    sine = np.linalg.norm(np.cross(arriving, leaving), axis=-1)
    cosine = np.sum(arriving * leaving, axis=-1)
    return np.asarray(np.arctan2(sine, cosine), dtype=np.float64)


@dataclass(frozen=True)
class Truth:
    """Ground truth of the T frames of a rendered clip with H hands.

    Pixels: the origin is the picture's top left corner, and pixel (column i, row j) covers
    [i, i+1) x [j, j+1), its centre at (i + 0.5, j + 0.5). Normalised landmarks therefore map to pixels by
    plain multiplication, x = u * W, as in MediaPipe.

    Attributes:
        t: [T] s, time of each frame's middle of exposure; the first is 0.
        fps: frames per second.
        size: (W, H) px.
        side: one of "left" and "right" per hand, the person's own side (the picture is not mirrored).
        intrinsics: [3, 3] px, one pinhole camera for the whole clip, no distortion.
        keypoints_2d: [T, H, 21, 2] px, MediaPipe order; also given where a point is outside the picture.
        keypoints_3d: [T, H, 21, 3] m, camera space x right, y down, z forward.
        visible: [T, H, 21] the point lies inside the picture (another part may still hide it).
        flexion: [T, H, 5, 3] rad, `finger_flexion` of keypoints_3d.
        source: how the clip was made: command, seed, versions.
    """

    t: NDArray[np.float64]
    fps: float
    size: tuple[int, int]
    side: tuple[Side, ...]
    intrinsics: NDArray[np.float64]
    keypoints_2d: NDArray[np.float32]
    keypoints_3d: NDArray[np.float32]
    visible: NDArray[np.bool_]
    flexion: NDArray[np.float32]
    source: str = ""

    def __len__(self) -> int:
        return len(self.t)

    @classmethod
    def load(cls, path: str | Path) -> Truth:
        """Load a truth file.

        Raises:
            SourceError: the file is absent, or not a truth file.
        """
        path = Path(path)
        try:
            with np.load(path, allow_pickle=False) as stored:
                data = {field.name: stored[field.name] for field in fields(cls)}
        except FileNotFoundError:
            raise SourceError(f"{path}: no ground-truth file; it should lie beside the rendered clip") from None
        except (OSError, ValueError, KeyError) as error:
            raise SourceError(f"{path}: not a ground-truth file of a rendered clip ({error})") from None
        width, height = (int(n) for n in data["size"])
        return cls(
            **(
                data
                | {
                    "fps": float(data["fps"]),
                    "size": (width, height),
                    "side": tuple(str(side) for side in data["side"]),
                    "source": str(data["source"]),
                }
            )
        )

    def save(self, path: str | Path) -> None:
        """Write to ``path`` (.npz)."""
        arrays: dict[str, Any] = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        np.savez_compressed(path, **arrays)
