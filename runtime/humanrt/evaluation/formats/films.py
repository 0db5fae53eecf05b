"""Films of ``humanrt-export data film``: NAME.mp4 with NAME.npz beside it, in a folder at any depth, or one of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from humanrt.bundle.arrays import read_arrays
from humanrt.errors import SourceError
from humanrt.evaluation.dataset import Clip, DataSet, Shot
from humanrt.evaluation.formats.files import of_format, version_of
from humanrt.evaluation.formats.rendered import ABOUT, PARAMETERS, rendered_people
from humanrt.people.truth import PeopleTruth
from humanrt.sources.opening import open_source

__all__ = ["read_films"]

_MAX_BYTES = 1 << 32


def read_films(folder: Path) -> DataSet:
    """Return the films of a folder, or the one film that is given."""
    films = [folder] if folder.is_file() else sorted(folder.rglob("*.mp4"))
    top = folder.parent if folder.is_file() else folder
    clips = [_clip(film, film.relative_to(top).with_suffix("").as_posix()) for film in films if _truth(film).is_file()]
    return DataSet("films", tuple(clips), "pelvis", everybody=True, about=ABOUT)


def _truth(film: Path) -> Path:
    return film.with_suffix(".npz")


def _clip(film: Path, name: str) -> Clip:
    with of_format(_truth(film), "the truth of a film"):
        header = read_arrays(_truth(film), _MAX_BYTES, wanted={"joint_names", "fps"})
        names = tuple(str(one) for one in header["joint_names"])
        fps = float(header["fps"]) if "fps" in header else 30.0
    return Clip(name, partial(_shots, film), names, film=True, fps=fps, version=version_of(film, _truth(film)))


def _shots(film: Path) -> Iterator[Shot]:
    path = _truth(film)
    truth = PeopleTruth.load(path)
    with of_format(path, "the truth of a film"):
        arrays = read_arrays(path, _MAX_BYTES, wanted=PARAMETERS)
        labels = {**arrays, "joints": truth.joints, "visible": np.asarray(truth.visible)}
        if len({len(one) for one in labels.values()}) > 1:
            raise ValueError("its arrays are of different numbers of frames")
    with open_source(film) as source:
        count = 0
        for frame in source:
            if frame.index >= len(truth):
                break
            count += 1
            rows = {name: array[frame.index] for name, array in labels.items()}
            people = rendered_people(rows, truth.joint_names, truth.intrinsics, truth.size)
            yield Shot(frame, people, truth.intrinsics)
    if count < len(truth):
        raise SourceError(f"{film}: has {count} frames, and its truth {len(truth)}; render it again")
