"""Shards of ``humanrt-export data people``: people.json, and shard-NNNNNN.npz with encoded pictures and labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.bundle.arrays import read_arrays
from humanrt.evaluation.dataset import Clip, DataSet, Shot
from humanrt.evaluation.formats.files import of_format, version_of
from humanrt.evaluation.formats.rendered import ABOUT, PARAMETERS, rendered_people
from humanrt.sources.opening import Frame

__all__ = ["read_shards"]

_INFO = "people.json"
_LABELS = (*PARAMETERS, "joints", "visible")
_PICTURES = ("image", "image_end", "mask", "mask_end")
_MAX_BYTES = 1 << 32


def read_shards(folder: Path) -> DataSet:
    """Return the shards of a folder; each is a clip of pictures that stand for themselves."""
    with of_format(folder / _INFO, "the description of a folder of shards"):
        names = tuple(str(name) for name in json.loads((folder / _INFO).read_text(encoding="utf-8"))["joint_names"])
    clips = [
        Clip(path.stem, partial(_shots, path, names), names, film=False, version=version_of(path))
        for path in sorted(folder.glob("shard-*.npz"))
    ]
    return DataSet("shards", tuple(clips), "pelvis", everybody=True, about=ABOUT)


def _shots(path: Path, names: tuple[str, ...]) -> Iterator[Shot]:
    with of_format(path, "a shard"):
        arrays = read_arrays(path, _MAX_BYTES, wanted={"count", "intrinsics", *_LABELS, *_PICTURES})
        ends = np.cumsum(arrays["count"]).tolist()
    for index, end in enumerate(ends):
        with of_format(path, "a shard"):
            people = slice(end - int(arrays["count"][index]), end)
            image = np.ascontiguousarray(_decoded(arrays, "image", index, cv2.IMREAD_COLOR)[..., ::-1])
            mask = _decoded(arrays, "mask", index, cv2.IMREAD_UNCHANGED)
            K = arrays["intrinsics"][index].astype(np.float64)
            labels = {name: arrays[name][people] for name in _LABELS}
            height, width = image.shape[:2]
            truth = rendered_people(labels, names, K, (width, height), partial(_mask, mask))
        yield Shot(Frame(image, float(index), index, cut=True), truth, K)


def _mask(mask: NDArray[np.uint8], person: int) -> NDArray[np.bool_]:
    return np.asarray(mask == person + 1)


def _decoded(arrays: dict[str, NDArray[Any]], name: str, index: int, mode: int) -> NDArray[np.uint8]:
    ends = arrays[f"{name}_end"]
    code = arrays[name][int(ends[index - 1]) if index else 0 : int(ends[index])]
    picture = cv2.imdecode(code, mode)
    if picture is None:
        raise ValueError(f"picture {index} cannot be decoded")
    return np.asarray(picture, np.uint8)
