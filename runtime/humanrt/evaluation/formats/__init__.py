"""The list of data set formats; each reader is one file. A new one is a function and one entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from humanrt.errors import HumanrtError, SourceError, choices
from humanrt.evaluation.dataset import DataSet
from humanrt.evaluation.formats.films import read_films
from humanrt.evaluation.formats.shards import read_shards
from humanrt.evaluation.formats.views import read_views

__all__ = ["FORMATS", "read_data"]

FORMATS: Mapping[str, Callable[[Path], DataSet]] = {
    "shards": read_shards,
    "films": read_films,
    "views": read_views,
}
"""Readers by the name of the format."""


def read_data(folder: str | Path, format: str, only: Sequence[str] = ()) -> DataSet:
    """Open a data set. Pictures are read when they are asked for.

    Args:
        folder: where it is.
        format: one of `FORMATS`.
        only: clips whose name contains one of these; none: all.

    Raises:
        HumanrtError: there is no such format; SourceError: the folder is not there, or does not hold it.
    """
    if format not in FORMATS:
        raise HumanrtError(f"unknown format `{format}`; choose one of: {choices(FORMATS)}")
    folder = Path(folder)
    if not folder.exists():
        raise SourceError(f"{folder}: not there; give --data, where the data set of format `{format}` is")
    data = FORMATS[format](folder)
    if not data.clips:
        raise SourceError(f"{folder}: nothing of format `{format}` in it; see docs/use/evaluate.md for its layout")
    if only:
        clips = tuple(clip for clip in data.clips if any(text in clip.name for text in only))
        if not clips:
            raise SourceError(f"{folder}: no clip is named like {' or '.join(only)}; the first is {data.clips[0].name}")
        data = replace(data, clips=clips)
    return data
