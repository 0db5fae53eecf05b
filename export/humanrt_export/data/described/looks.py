"""What the landmark network sees in portraits, also where half of a person is hidden: `Looks`, computed once."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.backends import BackendOptions, open_backend
from humanrt.bundle import load_bundle
from humanrt.embedding.facts import Region as Part
from humanrt.embedding.inputs import PICTURE_NUMBERS, PersonReader
from humanrt.errors import HumanrtError
from humanrt.files import write_atomically
from humanrt.geometry.region import Region
from humanrt_export.data.described.portraits import Portraits, load_portraits
from humanrt_export.npz import read_npz

__all__ = ["HALVES", "Looks", "hide", "load_looks", "look_at_portraits"]

Floats = NDArray[np.float32]

HALVES: dict[str, tuple[Part, ...]] = {"lower": ("legs",), "upper": ("arms", "trunk", "head")}
"""Half of a person that is hidden -> regions of the body that are then told in words."""
_WAIST = 0.5  # of a box's height


@dataclass(frozen=True)
class Looks:
    """What was seen of N people.

    Attributes:
        whole: [V, N, F] of whole people, in V slightly different regions (`humanrt.embedding.inputs.picture_numbers`).
        half: [N, F], with half of the person hidden.
        hidden: [N] which half, an index into `HALVES`.
        poses: [N, 22, 3, 3], as of `Portraits`.
    """

    whole: Floats
    half: Floats
    hidden: NDArray[np.int64]
    poses: Floats


def look_at_portraits(folder: Path, seed: int = 0, say: Callable[[str], object] = lambda _: None) -> Looks:
    """Return what is seen in the portraits of a folder; kept beside them in files ``*.looks``.

    Raises:
        HumanrtError: the folder holds no portraits, or other arrays.
    """
    files = sorted(folder.glob("*.npz"))
    if not files or not all(path.stem.isdecimal() for path in files):
        raise HumanrtError(
            f"{folder}: holds {'other files than' if files else 'no'} portraits; make some with "
            f"`humanrt-export data portraits --out {folder}`"
        )
    parts: list[Looks] = []
    opened: list[PersonReader] = []
    with open_backend("cpu", BackendOptions(threads=1)) as backend:
        for path in files:
            kept = path.with_suffix(".looks")
            if not kept.is_file():
                opened = opened or [PersonReader(load_bundle("landmarks", task="people"), backend)]
                made = _seen(load_portraits(path), opened[0], np.random.default_rng([seed, int(path.stem)]))
                content = io.BytesIO()
                np.savez(content, allow_pickle=False, **vars(made))
                write_atomically(kept, content.getvalue())
                say(str(kept))
            parts.append(Looks(**read_npz(kept)))
        for one in opened:
            one.close()
    return load_looks(parts)


def load_looks(parts: list[Looks]) -> Looks:
    """Return several as one."""
    return Looks(
        np.concatenate([one.whole for one in parts], axis=1),
        np.concatenate([one.half for one in parts]),
        np.concatenate([one.hidden for one in parts]),
        np.concatenate([one.poses for one in parts]),
    )


def hide(
    image: NDArray[np.uint8], box: NDArray[np.floating], half: int, random: np.random.Generator
) -> NDArray[np.uint8]:
    """Return a picture with the upper or lower half of a box, and what is beside it, covered by one colour."""
    out = image.copy()
    waist = round(float(box[1] + _WAIST * (box[3] - box[1])))
    colour = random.integers(0, 256, 3) if random.uniform() < 0.7 else np.zeros(3)
    rows = slice(max(waist, 0), None) if half == 0 else slice(0, max(waist, 0))
    out[rows] = colour
    if random.uniform() < 0.5:
        out[rows] = cv2.add(out[rows], random.integers(0, 40, out[rows].shape, np.uint8))
    return out


def _seen(portraits: Portraits, reader: PersonReader, random: np.random.Generator) -> Looks:
    count = len(portraits)
    whole, half = np.zeros((2, count, PICTURE_NUMBERS), np.float32), np.zeros((count, PICTURE_NUMBERS), np.float32)
    hidden = random.integers(0, len(HALVES), count)
    for row in range(count):
        image, box = portraits.image(row), portraits.boxes[row]
        width, height = box[2] - box[0], box[3] - box[1]
        loose = (
            box
            + 0.04 * random.standard_normal(4) * (width, height, width, height)
            + (-0.03, -0.05, 0.03, 0.03) * np.array([width, height, width, height])
        )
        middle, size = (loose[:2] + loose[2:]) / 2, 1.25 * float(max(loose[2:] - loose[:2]))
        whole[0, row], region = reader.look(image, Region(float(middle[0]), float(middle[1]), size))
        moved = Region(
            region.x + float(random.normal(0, 0.03)) * region.size,
            region.y + float(random.normal(0, 0.03)) * region.size,
            region.size * float(np.exp(random.normal(0, 0.1))),
            region.angle + float(random.normal(0, 0.12)),
        )
        whole[1, row] = reader.look(_recoloured(image, random), moved, again=False)[0]
        half[row] = reader.look(
            hide(image, box, int(hidden[row]), random), Region(float(middle[0]), float(middle[1]), size)
        )[0]
    return Looks(whole, half, hidden, portraits.poses)


def _recoloured(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    gains = np.exp(random.normal(0, 0.15, 3)) * np.exp(random.normal(0, 0.2))
    return np.asarray((image * gains + random.normal(0, 10)).clip(0, 255), np.uint8)
