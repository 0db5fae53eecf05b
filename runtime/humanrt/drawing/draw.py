"""Overlay of hand landmarks, labels and timings on the image, and a canvas that puts pictures side by side.

All pictures are RGB uint8 [H, W, 3]; functions named `draw_...` draw in place. Lines and letters scale with the
picture. Fingers have the same colours here and on the robot hand.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from humanrt.geometry.hand import KNUCKLES
from humanrt.timing import RunningMean

__all__ = [
    "BONES",
    "PALETTE",
    "Hud",
    "captioned",
    "compose",
    "draw_corner",
    "draw_hand",
    "draw_hud",
    "draw_label",
    "draw_text",
    "fit",
    "panel_size",
]

Image = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

PALETTE: npt.NDArray[np.uint8] = np.array(
    [(255, 107, 94), (255, 186, 66), (88, 206, 120), (66, 168, 255), (186, 128, 255), (222, 224, 230)],
    np.uint8,
)
"""[6, 3] RGB: thumb, index, middle, ring, little finger; the last, hence also -1, is the palm."""

BONES: tuple[tuple[int, int, int], ...] = (
    *((a, b, -1) for a, b in ((0, 1), (0, 5), (5, 9), (9, 13), (13, 17), (0, 17))),
    *((first + i, first + i + 1, finger) for finger, first in enumerate(KNUCKLES) for i in range(3)),
)
"""(keypoint, keypoint, finger) in MediaPipe order; ``finger`` is an index into PALETTE."""

FINGER_OF_KEYPOINT = np.array([-1, *np.repeat(np.arange(5), 4)])

INK: Colour = (22, 24, 30)
PAPER: Colour = (238, 240, 244)
DIM: Colour = (160, 166, 178)

_LATIN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})

MIN_PANEL_HEIGHT = 64  # px


def unit(image: Image) -> float:
    """Return the width in px of a thin but clearly visible line in this picture: 1 at 360 rows, 2 at 720."""
    return float(max(0.75, min(image.shape[:2]) / 360))


def draw_hand(
    image: Image,
    keypoints: npt.NDArray[np.floating],
    *,
    id: int | None = None,
    side: str = "",
    score: float | None = None,
) -> None:
    """Draw landmarks, bones and a label. ``keypoints``: [21, 2] px, MediaPipe order; NaN ones are left out."""
    u = unit(image)
    bone, joint = max(1, round(1.5 * u)), max(2, round(1.9 * u))
    seen = np.isfinite(keypoints).all(axis=1)
    limit = 4.0 * max(image.shape)  # far outside the image; OpenCV draws garbage beyond 16 bits
    points = np.where(seen[:, None], np.clip(keypoints, -limit, limit), 0.0)
    at = [(int(x), int(y)) for x, y in np.round(points * 8)]  # in 1/8 px
    for rim in (True, False):  # a dark rim underneath, so that it is visible on skin and on bright walls
        grow = max(1, round(u)) if rim else 0
        for a, b, finger in BONES:
            if seen[a] and seen[b]:
                colour = INK if rim else _colour(finger)
                cv2.line(image, at[a], at[b], colour, bone + 2 * grow, cv2.LINE_AA, 3)
        for i in np.flatnonzero(seen):
            colour = INK if rim else _colour(int(FINGER_OF_KEYPOINT[i]))
            cv2.circle(image, at[i], (joint + grow) * 8, colour, cv2.FILLED, cv2.LINE_AA, 3)
    words = [f"#{id}" if id is not None else "", side, f"{score:.2f}" if score is not None else ""]
    label = "  ".join(word for word in words if word)
    if label and seen.any():
        x, y = points[seen].min(axis=0)
        draw_label(image, label, (x, y - 14 * u))


def draw_label(image: Image, words: str, at: tuple[float, float]) -> None:
    """Draw words on a dark plate with its lower left corner at (x, y) px, moved as needed to stay in the picture."""
    u = unit(image)
    height = 9.0 * u
    pad = round(4 * u)
    width = round(_text_width(words, height, bold=True)) + 2 * pad
    tall = round(height) + 2 * pad
    x = int(np.clip(at[0], 0, max(0, image.shape[1] - width)))
    y = int(np.clip(at[1] - tall, 0, max(0, image.shape[0] - tall)))
    _shade(image, x, y, width, tall)
    draw_text(image, words, (x + pad, y + tall - pad), height, bold=True)


def captioned(image: Image, lines: Sequence[str], room: int) -> Image:
    """Return a picture with words below it, where they cover nobody's feet.

    Args:
        image: the picture.
        lines: each is drawn smaller where it would not fit; those beyond ``room`` are left out.
        room: lines for which there is room, so that pictures keep their size. The height stays even if it was.
    """
    u = unit(image)
    line, pad = round(21 * u), round(7 * u)
    strip = np.full((2 * round((room * line + pad) / 2), image.shape[1], 3), INK, np.uint8)
    for row, words in enumerate(map(_in_ascii, lines[:room])):
        width = _text_width(words, 13.0 * u, bold=True)
        share = min(1.0, (strip.shape[1] - 2 * pad) / max(1.0, width))
        x = round((strip.shape[1] - share * width) / 2)
        draw_text(strip, words, (x, (row + 1) * line - round(4 * u) + pad // 2), 13.0 * u * share, bold=True)
    return np.concatenate((image, strip))


def draw_corner(image: Image, words: str) -> None:
    """Draw a few words, large, on a dark plate in the upper right corner."""
    u = unit(image)
    height, pad = 13.0 * u, round(7 * u)
    width = round(_text_width(words := _in_ascii(words), height, bold=True)) + 2 * pad
    if width > image.shape[1]:
        return
    _shade(image, image.shape[1] - width, 0, width, round(height) + 2 * pad)
    draw_text(image, words, (image.shape[1] - width + pad, round(height) + pad), height, bold=True)


def _in_ascii(words: str) -> str:
    """Return words in letters that OpenCV can draw."""
    return unicodedata.normalize("NFKD", words.translate(_LATIN)).encode("ascii", "ignore").decode()


def draw_hud(
    image: Image,
    ms: Mapping[str, float] | None = None,
    *,
    fps: float | None = None,
    dropped: int | None = None,
) -> None:
    """Draw timings in the upper left corner. ``ms``: milliseconds per stage, in order; `total` comes last."""
    u = unit(image)
    line, height, pad = round(14 * u), 8.5 * u, round(7 * u)
    stages = dict(ms or {})
    total = stages.pop("total", sum(stages.values()) if stages else None)
    rows = [(name, f"{value:.1f}", value) for name, value in stages.items()]
    head = [f"{fps:.0f} fps"] if fps is not None else []
    head += [f"{dropped} dropped"] if dropped is not None else []
    tall = 2 * pad + line * (len(rows) + (total is not None) + bool(head)) - round(0.35 * line)
    wide = round(150 * u)
    if not (head or rows):
        return
    _shade(image, 0, 0, wide, tall)
    y = pad + round(0.65 * line)
    if head:
        draw_text(image, head[0], (pad, y), height, bold=True)
        if len(head) > 1:
            colour = PAPER if not dropped else _colour(1)
            _draw_right(image, head[1], wide - pad, y, height, colour)
        y += line
    longest = max([1e-9, *(value for _, _, value in rows)])
    for name, value, length in rows:
        draw_text(image, name, (pad, y), height, DIM)
        bar = round(34 * u * max(0.0, length) / longest)
        left, top = round(72 * u), y - round(0.32 * line)
        cv2.rectangle(image, (left, top), (left + bar, top + max(1, round(2 * u))), _colour(3), cv2.FILLED)
        _draw_right(image, value, wide - pad, y, height)
        y += line
    if total is not None:
        draw_text(image, "total ms", (pad, y), height, bold=True)
        _draw_right(image, f"{total:.1f}", wide - pad, y, height, bold=True)


def draw_text(
    image: Image,
    words: str,
    at: tuple[float, float],
    height: float,
    colour: Colour = PAPER,
    *,
    bold: bool = False,
) -> None:
    """Draw words whose first letter stands at (x, y) px, with capitals `height` px tall."""
    font = cv2.FONT_HERSHEY_DUPLEX if bold else cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(image, words, (round(at[0]), round(at[1])), font, height / 22, colour, 1, cv2.LINE_AA)


class Hud:
    """Draws the timings of a stream frame by frame, like `draw_hud` but with the frame rate averaged."""

    def __init__(self) -> None:
        self._interval = RunningMean()

    def __call__(self, image: Image, ms: Mapping[str, float], *, dropped: int | None = None) -> None:
        """Draw on an image. ``ms``: milliseconds per stage; the frame rate is that of ``total``."""
        interval = self._interval.add(ms.get("total", 0.0))
        draw_hud(image, ms, fps=1e3 / interval if interval else None, dropped=dropped)


def panel_size(height: int, panels: int) -> tuple[int, int]:
    """Return (width, height) px of each of ``panels`` panels beside an image of ``height`` px.

    `compose` uses panels of that size unscaled. If the image is too small for panels, they keep a size that can be
    drawn and the canvas grows.
    """
    rows = 1 if panels == 1 else 2
    height += height % 2
    tall = max(height // rows, MIN_PANEL_HEIGHT)
    return tall * 3 // 4 // 2 * 2, tall


def compose(image: Image, panels: Sequence[Image]) -> Image:
    """Put panels to the right of the image: a single one as tall as the image, several in two rows.

    Returns:
        uint8 [H', W', 3] with even width and height, as video needs, taller than the image only if panels need it.
        Panels whose size differs from `panel_size` are fitted.
    """
    tall = image.shape[0] + image.shape[0] % 2
    wide = image.shape[1] + image.shape[1] % 2
    width, height = panel_size(tall, max(1, len(panels)))
    columns = (len(panels) + 1) // 2
    if panels:
        tall = max(tall, (height + height % 2) if len(panels) == 1 else 2 * height)
    canvas = np.zeros((tall, wide + columns * width, 3), np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    for i, panel in enumerate(panels):
        x, y = wide + i // 2 * width, i % 2 * height
        canvas[y : y + height, x : x + width] = fit(panel, width, height)
    return canvas


def fit(panel: Image, width: int, height: int) -> Image:
    """Scale the whole picture, keeping its aspect ratio, and centre it in one of (width, height) px."""
    if panel.shape[:2] == (height, width):
        return panel
    scale = min(width / panel.shape[1], height / panel.shape[0])
    size = (max(1, int(panel.shape[1] * scale)), max(1, int(panel.shape[0] * scale)))
    fitted = cv2.resize(panel, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    whole = np.empty((height, width, 3), np.uint8)
    whole[:] = INK
    x, y = (width - size[0]) // 2, (height - size[1]) // 2
    whole[y : y + size[1], x : x + size[0]] = fitted
    return whole


def _colour(finger: int) -> Colour:
    r, g, b = PALETTE[finger].tolist()
    return (r, g, b)


def _shade(image: Image, x: int, y: int, width: int, height: int) -> None:
    plate = image[y : y + height, x : x + width]
    cv2.addWeighted(plate, 0.28, np.full_like(plate, INK), 0.72, 0.0, dst=plate)


def _text_width(words: str, height: float, *, bold: bool = False) -> float:
    font = cv2.FONT_HERSHEY_DUPLEX if bold else cv2.FONT_HERSHEY_SIMPLEX
    return float(cv2.getTextSize(words, font, height / 22, 1)[0][0])


def _draw_right(
    image: Image, words: str, x: float, y: float, height: float, colour: Colour = PAPER, *, bold: bool = False
) -> None:
    draw_text(image, words, (x - _text_width(words, height, bold=bold), y), height, colour, bold=bold)
