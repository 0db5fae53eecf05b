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
_MIN_SIMILARITY = 0.6
_MIN_CHANGE = 0.6  # fraction of the picture
_CHANGED_LEVELS = 16.0  # levels of 255 by which a cell must differ to count as changed...
_FAINT_CHANGE = (0.35, 3.0)  # ...or this fraction of the contrast, if that is less; but at least this many levels
_SIMILARITY_DROP = 0.7  # times the minimum similarity of the last frames: in a fast pan all of them are low
_RECENT_FRAMES = 3  # frames
_BLACK_LEVEL = 10.0  # levels: an image that is nowhere brighter is black
_BLACK_FRAMES = 5  # black images that end a scene
_EMPTY_CONTRAST = 2.0  # levels: an image of less contrast is empty
_SATURATED_LEVEL = 250.0  # levels: brighter cells are saturated, as in a flash
_FLASH_AREA = 0.2  # fraction of the picture that a flash saturates...
_MAX_FLASH_FRAMES = 4  # ...for at most this many frames
_DISSOLVE_FRAMES = (8, 16, 32)  # frames over which dissolves are searched
_MAX_STEP_SHARE = 0.5  # in a dissolve no single step is more than this fraction of a cell's total change...
_MIN_MONOTONICITY = 0.7  # ...and the net change is at least this fraction of the sum of all steps

_GREY_WEIGHTS = np.full((1, 3), 1 / 3, np.float32)
_HANNING = cv2.createHanningWindow((_WIDTH, _HEIGHT), cv2.CV_64F)


class _Thumbnail:
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
        self.grey: Floats = cv2.transform(self.cells, _GREY_WEIGHTS)

    @cached_property
    def planes(self) -> tuple[Floats, Floats, Floats]:
        """[18, 32] each: brightness, strength of edges, local contrast."""
        edges = np.hypot(cv2.Sobel(self.grey, cv2.CV_32F, 1, 0), cv2.Sobel(self.grey, cv2.CV_32F, 0, 1))
        log = np.log(self.grey + 8)
        return self.grey, edges, log - cv2.GaussianBlur(log, (0, 0), 2)

    @cached_property
    def glare(self) -> float:
        """Fraction of the picture that is saturated."""
        return float((self.cells.min(axis=2) > _SATURATED_LEVEL).mean())

    @cached_property
    def step(self) -> float:
        """Levels by which a cell must differ from this image to count as changed."""
        fraction, min_levels = _FAINT_CHANGE
        return min(max(fraction * float(self.grey.std()), min_levels), _CHANGED_LEVELS)

    @property
    def flat(self) -> bool:
        return float(self.grey.std()) < _EMPTY_CONTRAST

    @property
    def black(self) -> bool:
        return float(self.grey.max()) < _BLACK_LEVEL


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

    def _begin(self, thumbnail: _Thumbnail | None) -> bool:
        self._previous = thumbnail
        self._similarities: deque[float] = deque(maxlen=_RECENT_FRAMES)
        self._flash: _Thumbnail | None = None  # the image before the flash
        self._flash_frames = self._black_count = 0
        self._history: deque[_Thumbnail] = deque(maxlen=max(_DISSOLVE_FRAMES) + 1)
        self._steps: deque[Floats] = deque(maxlen=max(_DISSOLVE_FRAMES))
        if thumbnail is not None:
            self._history.append(thumbnail)
        return True

    def __call__(self, rgb: NDArray[np.uint8]) -> bool:
        """Return whether a new scene begins with this image; False for the first one.

        Args:
            rgb: uint8 [H, W, 3].
        """
        thumbnail, previous = _Thumbnail(rgb), self._previous
        size, self._size = self._size, rgb.shape
        if previous is None:
            self._begin(thumbnail)
            return False
        if size != rgb.shape or self._black_count == _BLACK_FRAMES:
            return self._begin(thumbnail)
        self._black_count = self._black_count + 1 if thumbnail.black and not previous.black else 0
        if thumbnail.black or thumbnail.flat:
            return False
        if self._flash is not None:
            return self._after_flash(self._flash, thumbnail)
        # If most cells are unchanged, no correlation is needed.
        still = float((np.abs(thumbnail.grey - previous.grey) > thumbnail.step).mean()) < _MIN_CHANGE / 2
        similarity, changed = (1.0, 0.0) if still else _compare(previous, thumbnail)
        if changed > _MIN_CHANGE and similarity < min(
            (_MIN_SIMILARITY, *(_SIMILARITY_DROP * before for before in self._similarities))
        ):
            if thumbnail.glare - previous.glare > _FLASH_AREA:
                self._flash, self._flash_frames = previous, 0
                return False
            return self._begin(thumbnail)
        self._similarities.append(similarity)
        self._steps.append(thumbnail.grey - previous.grey)
        self._history.append(thumbnail)
        self._previous = thumbnail
        return self._dissolved(thumbnail) and self._begin(thumbnail)

    def _after_flash(self, before: _Thumbnail, thumbnail: _Thumbnail) -> bool:
        """Return whether the flash was a cut after all: the scene before it did not come back."""
        similarity, changed = _compare(before, thumbnail)
        if changed <= _MIN_CHANGE or similarity >= _MIN_SIMILARITY:
            self._begin(thumbnail)
            return False
        self._flash_frames += 1
        if thumbnail.glare - before.glare > _FLASH_AREA and self._flash_frames < _MAX_FLASH_FRAMES:
            return False
        return self._begin(thumbnail)

    def _dissolved(self, thumbnail: _Thumbnail) -> bool:
        """Return whether one scene dissolved into another over the last images, everywhere at once and step by step."""
        for span in _DISSOLVE_FRAMES:
            if len(self._steps) < span:
                return False
            before = self._history[-1 - span]
            net = np.abs(thumbnail.grey - before.grey)
            changed_cells = net > max(thumbnail.step, before.step)
            if changed_cells.mean() < _MIN_CHANGE / 2:
                continue
            steps = np.abs(np.array([self._steps[-k] for k in range(1, span + 1)]))
            steady = (
                changed_cells
                & (steps.max(axis=0) < _MAX_STEP_SHARE * net)
                & (net > _MIN_MONOTONICITY * steps.sum(axis=0))
            )
            if steady.mean() < _MIN_CHANGE / 2:
                continue
            similarity, changed = _compare(before, thumbnail)
            if changed > _MIN_CHANGE and similarity < _MIN_SIMILARITY:
                return True
        return False


def _compare(before: _Thumbnail, after: _Thumbnail) -> tuple[float, float]:
    """Return the similarity of two images, -1..1, and the fraction of the second that differs, 0..1.

    Both are those of the best shift.
    """
    shifts = {(0, 0)}
    for one, other in ((before.grey, after.grey), (before.planes[2], after.planes[2])):
        (x, y), _ = cv2.phaseCorrelate(one.astype(np.float64), other.astype(np.float64), _HANNING)
        if abs(x) <= _WIDTH / 2 and abs(y) <= _HEIGHT / 2:
            shifts.add((round(x), round(y)))
    similarity, shift = max(
        (max(_correlation(*_overlap(a, b, shift)) for a, b in zip(before.planes, after.planes, strict=True)), shift)
        for shift in shifts
    )
    one, other = _overlap(before.cells, after.cells, shift)
    one, other = one - one.mean(axis=(0, 1)), other - other.mean(axis=(0, 1))
    gain = float(np.clip(other.std() / max(float(one.std()), 1e-3), 0.25, 4.0))
    return similarity, float((np.abs(other - gain * one).max(axis=2) > max(before.step, after.step)).mean())


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
