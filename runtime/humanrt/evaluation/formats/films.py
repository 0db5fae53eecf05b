"""Films of ``humanrt-export data`` and ``fit``: NAME.mp4 with NAME.npz beside it, in a folder at any depth, or one.

Beyond what `data film` writes, a file may have: to_world [T, 4, 4] of a camera that moves (not finite: a frame without
truth), intrinsics of each frame [T, 3, 3], and, of fits of real people, known [T, N] (whose place is), ids [N], and
``about``, a sentence. Not everybody in pictures of real people is in their truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle.arrays import read_arrays
from humanrt.errors import SourceError
from humanrt.evaluation.dataset import Clip, DataSet, Shot
from humanrt.evaluation.formats.files import of_format, version_of
from humanrt.evaluation.formats.rendered import ABOUT, PARAMETERS, rendered_people
from humanrt.people.truth import PeopleTruth
from humanrt.sources.opening import open_source

__all__ = ["read_films"]

_MAX_BYTES = 1 << 32
_VIDEOS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm")


def read_films(folder: Path) -> DataSet:
    """Return the films of a folder, or the one film that is given."""
    some = [folder] if folder.is_file() else sorted(one for one in folder.rglob("*") if one.suffix.lower() in _VIDEOS)
    films = [film for film in some if _truth(film).is_file()]
    top = folder.parent if folder.is_file() else folder
    clips = [_clip(film, film.relative_to(top).with_suffix("").as_posix()) for film in films]
    said = sorted({text for film in films if (text := _about(film))})
    return DataSet("films", tuple(clips), "pelvis", everybody=not said, about="; ".join(said) or ABOUT)


def _truth(film: Path) -> Path:
    return film.with_suffix(".npz")


def _clip(film: Path, name: str) -> Clip:
    with of_format(_truth(film), "the truth of a film"):
        header = read_arrays(_truth(film), _MAX_BYTES, wanted={"joint_names", "fps"})
        names = tuple(str(one) for one in header["joint_names"])
        fps = float(header["fps"]) if "fps" in header else 30.0
    return Clip(name, partial(_shots, film), names, film=True, fps=fps, version=version_of(film, _truth(film)))


def _about(film: Path) -> str:
    """Return what a fit of real people says of itself; empty of rendered ones, who are exact and complete."""
    with of_format(_truth(film), "the truth of a film"):
        return str(read_arrays(_truth(film), _MAX_BYTES, wanted={"about"}).get("about", ""))


def _shots(film: Path) -> Iterator[Shot]:
    path = _truth(film)
    truth = PeopleTruth.load(path)
    with of_format(path, "the truth of a film"):
        arrays = read_arrays(path, _MAX_BYTES, wanted={*PARAMETERS, "known", "ids", "to_world"})
        ids: NDArray[Any] | None = arrays.pop("ids", None)
        labels = {**arrays, "joints": truth.joints, "visible": np.asarray(truth.visible)}
        if truth.intrinsics.ndim == 3:
            labels["intrinsics"] = truth.intrinsics
        if len({len(one) for one in labels.values()}) > 1:
            raise ValueError("its arrays are of different numbers of frames")
        if ids is not None and len(ids) != truth.joints.shape[1]:
            raise ValueError("its ids are of another number of people")
    with open_source(film) as source:
        count = 0
        for frame in source:
            if frame.index >= len(truth):
                break
            count += 1
            rows = {name: array[frame.index] for name, array in labels.items()}
            K, to_world = rows.pop("intrinsics", truth.intrinsics), rows.pop("to_world", None)
            if to_world is not None and not np.isfinite(to_world).all():
                continue
            known = np.asarray(rows.pop("known", np.ones(len(rows["joints"]))), bool)
            numbers = np.arange(len(known)) if ids is None else ids
            rows = {name: array[known] for name, array in rows.items()}
            people = rendered_people(rows, truth.joint_names, K, truth.size)
            people = replace(people, ids=tuple(int(one) for one in numbers[known]))
            yield Shot(frame, people, K, to_world)
    if count < len(truth):
        raise SourceError(f"{film}: has {count} frames, and its truth {len(truth)}; render it again")
