"""Scene cuts: where a film switches to another scene, and no track can continue.

Images are compared as thumbnails. After a cut nothing of the previous image is left in place: most of the picture
changes, and the new image does not correlate with the old one in brightness, edges or local contrast, even after the
best shift. This is insensitive to changes within a scene: a change of exposure or light rescales the picture, a pan
shifts it, and motion in it leaves the rest unchanged.
"""

from __future__ import annotations

from collections import deque
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["CutDetector"]

Floats = NDArray[np.float32]

_WIDTH, _HEIGHT = 32, 18  # thumbnail size, for images of any shape
# Measured by bench/cuts.py. Neighbouring frames of one scene correlate by 0.94 or more and change in less than 40 % of
# their cells; the two sides of a cut correlate by 0.59 at most and change in 68 % or more.
_SIMILAR = 0.6
_CHANGED = 0.6  # fraction of the picture
_STEP = 16.0  # levels of 255 by which a cell must differ to count as changed...
_FAINT = (0.35, 3.0)  # ...or this fraction of the contrast, if that is less; but at least this many levels
_DROP = 0.7  # times the minimum similarity of the last frames: in a fast pan all of them are low
_RECENT = 3  # frames
_BLACK = 10.0  # levels: an image that is nowhere brighter is black
_DARK = 5  # black images that end a scene
_FLAT = 2.0  # levels: an image of less contrast is empty
_BURNT = 250.0  # levels: brighter cells are saturated, as in a flash
_GLARE = 0.2  # fraction of the picture that a flash saturates...
_FLASH = 4  # ...for at most this many frames
_SPANS = (8, 16, 32)  # frames over which dissolves are searched
_BLEND = 0.5  # in a dissolve no single step is more than this fraction of a cell's total change...
_STEADY = 0.7  # ...and the net change is at least this fraction of the sum of all steps

_MEAN = np.full((1, 3), 1 / 3, np.float32)
_WINDOW = cv2.createHanningWindow((_WIDTH, _HEIGHT), cv2.CV_64F)


class _Look:
    """Features of an image that are compared, computed lazily.

    Attributes:
        cells: [18, 32, 3] levels.
        grey: [18, 32] levels.
    """

    def __init__(self, rgb: NDArray[np.uint8]) -> None:
        # Subsample first: averaging a whole large image would take longer than everything else.
        step = max(1, min(rgb.shape[:2]) // 144)
        some = np.ascontiguousarray(rgb[::step, ::step])
        self.cells: Floats = cv2.resize(some, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
        self.grey: Floats = cv2.transform(self.cells, _MEAN)

    @cached_property
    def planes(self) -> tuple[Floats, Floats, Floats]:
        """[18, 32] each: brightness, strength of edges, local contrast."""
        edges = np.hypot(cv2.Sobel(self.grey, cv2.CV_32F, 1, 0), cv2.Sobel(self.grey, cv2.CV_32F, 0, 1))
        log = np.log(self.grey + 8)
        return self.grey, edges, log - cv2.GaussianBlur(log, (0, 0), 2)

    @cached_property
    def glare(self) -> float:
        """Fraction of the picture that is saturated."""
        return float((self.cells.min(axis=2) > _BURNT).mean())

    @cached_property
    def step(self) -> float:
        """Levels by which a cell must differ from this image to count as changed."""
        part, least = _FAINT
        return min(max(part * float(self.grey.std()), least), _STEP)

    @property
    def flat(self) -> bool:
        return float(self.grey.std()) < _FLAT

    @property
    def black(self) -> bool:
        return float(self.grey.max()) < _BLACK


class CutDetector:
    """Detect scene cuts in a stream of images, each at its first image. Costs about 0.2 ms per image.

    A change of the image size is a cut, too. A dissolve counts as a cut in its middle. A flash does not, so a cut to a
    largely white image is detected only if the image stays white: after 4 images. An image that is black or of one
    colour, as decoders return for a damaged one, is skipped: the image after it is compared with the one before it. But
    5 black images end the scene.

    >>> cuts = CutDetector()
    >>> cuts(rgb)                       # uint8 [H, W, 3] -> whether a new scene begins with this image
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Drop all state: the next image is the first."""
        self._size: tuple[int, ...] = ()
        self._begin(None)

    def _begin(self, look: _Look | None) -> bool:
        self._last = look
        self._similar: deque[float] = deque(maxlen=_RECENT)
        self._flash: _Look | None = None  # the image before the flash
        self._waited = self._dark = 0
        self._past: deque[_Look] = deque(maxlen=max(_SPANS) + 1)
        self._steps: deque[Floats] = deque(maxlen=max(_SPANS))
        if look is not None:
            self._past.append(look)
        return True

    def __call__(self, rgb: NDArray[np.uint8]) -> bool:
        """Return whether a new scene begins with this image; False for the first one.

        Args:
            rgb: uint8 [H, W, 3].
        """
        look, last = _Look(rgb), self._last
        size, self._size = self._size, rgb.shape
        if last is None:
            self._begin(look)
            return False
        if size != rgb.shape or self._dark == _DARK:
            return self._begin(look)
        self._dark = self._dark + 1 if look.black and not last.black else 0
        if look.black or look.flat:
            return False
        if self._flash is not None:
            return self._after_flash(self._flash, look)
        # If most cells are unchanged, no correlation is needed.
        still = float((np.abs(look.grey - last.grey) > look.step).mean()) < _CHANGED / 2
        similar, changed = (1.0, 0.0) if still else _compare(last, look)
        if changed > _CHANGED and similar < min((_SIMILAR, *(_DROP * before for before in self._similar))):
            if look.glare - last.glare > _GLARE:
                self._flash, self._waited = last, 0
                return False
            return self._begin(look)
        self._similar.append(similar)
        self._steps.append(look.grey - last.grey)
        self._past.append(look)
        self._last = look
        return self._dissolved(look) and self._begin(look)

    def _after_flash(self, before: _Look, look: _Look) -> bool:
        """Return whether the flash was a cut after all: the scene before it did not come back."""
        similar, changed = _compare(before, look)
        if changed <= _CHANGED or similar >= _SIMILAR:
            self._begin(look)
            return False
        self._waited += 1
        if look.glare - before.glare > _GLARE and self._waited < _FLASH:
            return False
        return self._begin(look)

    def _dissolved(self, look: _Look) -> bool:
        """Return whether one scene dissolved into another over the last images, everywhere at once and step by step."""
        for span in _SPANS:
            if len(self._steps) < span:
                return False
            before = self._past[-1 - span]
            net = np.abs(look.grey - before.grey)
            moved = net > max(look.step, before.step)
            if moved.mean() < _CHANGED / 2:
                continue
            steps = np.abs(np.array([self._steps[-k] for k in range(1, span + 1)]))
            steady = moved & (steps.max(axis=0) < _BLEND * net) & (net > _STEADY * steps.sum(axis=0))
            if steady.mean() < _CHANGED / 2:
                continue
            similar, changed = _compare(before, look)
            if changed > _CHANGED and similar < _SIMILAR:
                return True
        return False


def _compare(before: _Look, after: _Look) -> tuple[float, float]:
    """Return the similarity of two images, -1..1, and the fraction of the second that differs, 0..1.

    Both are those of the best shift.
    """
    shifts = {(0, 0)}
    for one, other in ((before.grey, after.grey), (before.planes[2], after.planes[2])):
        (x, y), _ = cv2.phaseCorrelate(one.astype(np.float64), other.astype(np.float64), _WINDOW)
        if abs(x) <= _WIDTH / 2 and abs(y) <= _HEIGHT / 2:
            shifts.add((round(x), round(y)))
    similar, shift = max(
        (max(_correlation(*_overlap(a, b, shift)) for a, b in zip(before.planes, after.planes, strict=True)), shift)
        for shift in shifts
    )
    one, other = _overlap(before.cells, after.cells, shift)
    one, other = one - one.mean(axis=(0, 1)), other - other.mean(axis=(0, 1))
    gain = float(np.clip(other.std() / max(float(one.std()), 1e-3), 0.25, 4.0))
    return similar, float((np.abs(other - gain * one).max(axis=2) > max(before.step, after.step)).mean())


def _overlap(before: Floats, after: Floats, shift: tuple[int, int]) -> tuple[Floats, Floats]:
    """Return the overlapping parts of two thumbnails, the second being the first moved by ``shift`` (x, y) cells."""
    x, y = shift
    one = before[max(0, -y) : _HEIGHT - max(0, y), max(0, -x) : _WIDTH - max(0, x)]
    other = after[max(0, y) : _HEIGHT + min(0, y), max(0, x) : _WIDTH + min(0, x)]
    return one, other


def _correlation(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / norm if norm > 1e-3 else 0.0
