"""The list of data set formats; each reader is one file. A new one is a function and one entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from humanrt.errors import HumanrtError, SourceError, choices
from humanrt.evaluation.body_files import BodyFiles
from humanrt.evaluation.dataset import DataSet
from humanrt.evaluation.formats.bedlam import read_bedlam
from humanrt.evaluation.formats.ehf import read_ehf
from humanrt.evaluation.formats.emdb import read_emdb
from humanrt.evaluation.formats.films import read_films
from humanrt.evaluation.formats.mupots import read_mupots
from humanrt.evaluation.formats.panoptic import read_panoptic
from humanrt.evaluation.formats.rich import read_rich
from humanrt.evaluation.formats.shards import read_shards
from humanrt.evaluation.formats.threedpw import read_3dpw
from humanrt.evaluation.formats.views import read_views

__all__ = ["FORMATS", "read_data"]

FORMATS: Mapping[str, Callable[[Path, BodyFiles], DataSet]] = {
    "shards": lambda folder, bodies: read_shards(folder),
    "films": lambda folder, bodies: read_films(folder),
    "views": lambda folder, bodies: read_views(folder),
    "ehf": read_ehf,
    "mupots": lambda folder, bodies: read_mupots(folder),
    "3dpw": lambda folder, bodies: read_3dpw(folder),
    "emdb": read_emdb,
    "panoptic": lambda folder, bodies: read_panoptic(folder),
    "rich": read_rich,
    "bedlam": read_bedlam,
}
"""Readers by the name of the format."""


def read_data(
    folder: str | Path, format: str, only: Sequence[str] = (), body_models: str | Path | None = None
) -> DataSet:
    """Open a data set. Pictures are read when they are asked for.

    Args:
        folder: where it is.
        format: one of `FORMATS`.
        only: clips whose name contains one of these; none: all.
        body_models: folder of the user's SMPL and SMPL-X files, for formats whose truth is their parameters.

    Raises:
        HumanrtError: there is no such format; SourceError: the folder is not there, or does not hold it.
    """
    if format not in FORMATS:
        raise HumanrtError(f"unknown format `{format}`; choose one of: {choices(FORMATS)}")
    folder = Path(folder)
    if not folder.exists():
        raise SourceError(f"{folder}: not there; give --data, where the data set of format `{format}` is")
    data = FORMATS[format](folder, BodyFiles(None if body_models is None else Path(body_models)))
    if not data.clips:
        raise SourceError(f"{folder}: nothing of format `{format}` in it; see docs/use/evaluate.md for its layout")
    if only:
        clips = tuple(clip for clip in data.clips if any(text in clip.name for text in only))
        if not clips:
            raise SourceError(f"{folder}: no clip is named like {' or '.join(only)}; the first is {data.clips[0].name}")
        data = replace(data, clips=clips)
    return data
