"""Contact sheets: the mesh of a bundle over every 20th frame of real pictures, to be looked at.

    python bench/people_sheet.py --bundle holistic:best --media ../shared/media --photo astronaut.png --out sheets

Writes NAME.jpg for `walk.mp4`, the four views (each camera a row; their cameras are known) and every photograph
(`people.jpg` and those of ``--photo``); with ``--full`` also every drawn frame as it is, NAME-FRAME.png. Videos are
followed live, frame after frame. Labels are identity, score and distance; people who were filled in are called so.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.drawing.colours import colour_of
from humanrt.drawing.mesh_view import MeshView
from humanrt.errors import OutputError
from humanrt.evaluation.calibrated import load_views
from humanrt.files import write_atomically
from humanrt.people.draw import draw_labels
from humanrt.sources.opening import open_source
from humanrt.tasks import open_people
from people_views import bundle_options

__all__ = ["Subject", "drawn", "sheet"]

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Subject:
    """What is drawn on one sheet.

    Attributes:
        name: of the sheet.
        sources: videos or photographs, and the camera [3, 3] of each, px, or None.
        columns: cells in a row.
        height: of a cell, px; 0 leaves pictures as they are.
    """

    name: str
    sources: Sequence[tuple[Path, NDArray[np.float64] | None]]
    columns: int
    height: int


def subjects(media: Path, photos: Iterable[Path]) -> list[Subject]:
    """Return what there is to draw."""
    found = [
        Subject("walk", [(media / "walk.mp4", None)], 3, 360),
        Subject("views", [(view.video, view.K) for view in load_views(media / "views")], 5, 640),
    ]
    return found + [Subject(path.stem, [(path, None)], 1, 0) for path in (media / "people.jpg", *photos)]


def drawn(
    bundle: str, source: Path, K: NDArray[np.float64] | None, view: MeshView, every: int, threads: int
) -> list[tuple[int, Image]]:
    """Return numbers and drawings, RGB, of every ``every``-th frame of a source that a bundle follows."""
    pictures = []
    name, options = bundle_options(bundle, intrinsics=K)
    with open_people(name, "cpu", options, threads=threads) as pipeline, open_source(source) as frames:
        for frame in frames:
            result = pipeline(frame)
            if frame.index % every:
                continue
            people = result.people
            vertices: Any = [] if people.vertices is None else list(people.vertices)
            colours = [colour_of(identity) for identity in result.ids]
            image = view.draw(frame.image, vertices, pipeline.model.faces, people.intrinsics, colours, alpha=0.75)
            draw_labels(image, people, result.ids, result.filled)
            pictures.append((frame.index, image))
    return pictures


def sheet(images: Sequence[Image], columns: int, height: int) -> Image:
    """Return pictures in rows of ``columns``, each scaled to ``height`` px (0: as it is); black where there is none."""
    cells = []
    for image in images:
        scale = height / image.shape[0] if height else 1.0
        shape = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        cells.append(image if scale == 1 else cv2.resize(image, shape, interpolation=cv2.INTER_AREA))
    tall, wide = (max(cell.shape[axis] for cell in cells) for axis in (0, 1))
    rows = -(-len(cells) // columns)
    whole = np.zeros((rows * tall, min(columns, len(cells)) * wide, 3), np.uint8)
    for index, cell in enumerate(cells):
        y, x = index // columns * tall, index % columns * wide
        whole[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
    return whole


def write(path: Path, image: Image, quality: int) -> None:
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if path.suffix == ".jpg" else []
    done, code = cv2.imencode(path.suffix, image[..., ::-1], options)
    if not done:
        raise OutputError(f"{path}: a picture of {image.shape[1]} x {image.shape[0]} px cannot be written; draw fewer")
    write_atomically(path, code.tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="holistic", metavar="NAME|PATH[:QUALITY]")
    parser.add_argument("--media", type=Path, default=Path(__file__).parents[2] / "shared" / "media")
    parser.add_argument("--photo", type=Path, nargs="*", default=[], metavar="FILE")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="of the sheets")
    parser.add_argument("--every", type=int, default=20, metavar="N", help="frame of the videos (default: 20)")
    parser.add_argument("--quality", type=int, default=85, help="of the JPEGs (default: 85)")
    parser.add_argument("--full", action="store_true", help="also every drawn frame at its own size, as PNG")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with MeshView() as view:
        for subject in subjects(arguments.media, arguments.photo):
            if arguments.only and subject.name not in arguments.only:
                continue
            images = []
            for source, K in subject.sources:
                for number, image in drawn(arguments.bundle, source, K, view, arguments.every, arguments.threads):
                    images.append(image)
                    if arguments.full:
                        write(arguments.out / f"{source.stem}-{number:03}.png", image, 0)
            path = arguments.out / f"{subject.name}.jpg"
            write(path, sheet(images, subject.columns, subject.height), arguments.quality)
            print(f"{path}: {len(images)} pictures", flush=True)


if __name__ == "__main__":
    main()
