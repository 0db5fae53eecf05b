"""Pictures of the people with the largest errors: the true limbs in white, the predicted ones in colour."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.errors import OutputError
from humanrt.evaluation.dataset import DataSet
from humanrt.evaluation.running import Run
from humanrt.files import write_atomically
from humanrt.geometry.limbs import LIMB_BONES

__all__ = ["draw_worst"]

_SIDE = 480  # px, of a picture
_FOUND, _TRUE = (255, 90, 40), (255, 255, 255)


def draw_worst(run: Run, data: DataSet, folder: Path, count: int) -> list[Path]:
    """Draw the people of the largest MPJPE, of a film one picture of each person, and return the files.

    Their clips are read once more, up to the frame that is drawn.

    Args:
        run: scores of a bundle.
        data: the data set.
        folder: where pictures are written: ``worst-01-NAME.jpg``.
        count: how many.
    """
    clips = {clip.name: clip for clip in data.clips}
    largest: dict[tuple[str, int, int], tuple[float, str, int]] = {}
    for name, scores in run.clips.items():
        for row in np.flatnonzero(scores.found).tolist():
            case = float(scores.column("mpjpe")[row]), name, row
            key = name, int(scores.person[row]), 0 if clips[name].film else int(scores.frame[row])
            largest[key] = max(case, largest.get(key, case))
    chosen = sorted(largest.values(), key=lambda case: -case[0])[:count]
    paths = []
    for rank, (error, name, row) in enumerate(chosen, 1):
        scores = run.clips[name]
        number = int(scores.frame[row])
        shot = next(islice(clips[name].shots(), number, None), None)
        if shot is None:
            continue
        picture = _drawn(shot.frame.image, scores.limbs[row], scores.true_limbs[row])
        caption = f"{Path(name).name} frame {number}, person {int(scores.person[row])}: {1000 * error:.0f} mm"
        cv2.putText(picture, caption, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.45, _TRUE, 1, cv2.LINE_AA)
        done, code = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
        if not done:
            raise OutputError(f"{folder}: a picture of {name} cannot be encoded")
        path = folder / f"worst-{rank:02d}.jpg"
        write_atomically(path, np.asarray(code).tobytes())
        paths.append(path)
    return paths


def _drawn(image: NDArray[np.uint8], found: NDArray[np.float64], true: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the square around a person, with both skeletons."""
    points = np.concatenate([true, found])
    height, width = image.shape[:2]
    points = np.clip(points, -0.25 * np.array((width, height)), 1.25 * np.array((width, height)))
    low, high = points.min(0), points.max(0)
    side = max(64.0, 1.25 * float((high - low).max()))
    corner = (low + high - side) / 2
    scale = _SIDE / side
    warp = np.array([[scale, 0, -scale * corner[0]], [0, scale, -scale * corner[1]]])
    picture = np.ascontiguousarray(cv2.warpAffine(image, warp, (_SIDE, _SIDE), flags=cv2.INTER_AREA), np.uint8)
    for limbs, colour, thick in ((true, _TRUE, 3), (found, _FOUND, 2)):
        _skeleton(picture, (limbs - corner) * scale, colour, thick)
    return picture


def _skeleton(picture: NDArray[np.uint8], limbs: NDArray[np.float64], colour: Sequence[int], thick: int) -> None:
    places = np.clip(limbs, -(1 << 14), 1 << 14).round().astype(int).tolist()
    for a, b in LIMB_BONES:
        cv2.line(picture, places[a], places[b], colour, thick, cv2.LINE_AA)
