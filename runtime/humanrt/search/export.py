"""An index as plain files, for any vector database: vectors in one, what they are of in the other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from humanrt.errors import OutputError
from humanrt.files import folder_atomically
from humanrt.search.nearest import Filter
from humanrt.search.store import PoseIndex

__all__ = ["export_vectors"]

_AT_ONCE = 1 << 16  # rows


def export_vectors(index: PoseIndex, folder: Path, only: Filter | None = None) -> int:
    """Write what counts in an index to a new folder, and return its number of rows.

    `vectors.npy` holds float32 [N, D]; `payload.jsonl` a line for each row of it: `id` (its number in the index),
    `file`, `frame`, `t` in seconds, `person`; `about.json` the descriptor's name, D, N and the metric (Euclidean
    distance, in the unit of `find`). Memory stays flat, whatever the size of the index.

    Args:
        index: the index.
        folder: is made; nothing may be there yet.
        only: rows that are written; None: all.

    Raises:
        OutputError: the folder is there already, or cannot be written.
    """
    if folder.exists():
        raise OutputError(f"{folder}: is there already; name a folder that is to be made")
    flags = (only or Filter()).allowed(index)
    rows = np.arange(len(index)) if flags is None else np.flatnonzero(flags)
    size = len(index.groups)
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(rows), size)}
    about = {"descriptor": index.descriptor, "dimensions": size, "rows": len(rows), "metric": "euclidean"}
    try:
        with folder_atomically(folder) as part:
            part.mkdir()
            with (
                (part / "vectors.npy").open("wb") as vectors,
                (part / "payload.jsonl").open("w", encoding="utf-8") as lines,
            ):
                np.lib.format.write_array_header_1_0(vectors, header)
                for first in range(0, len(rows), _AT_ONCE):
                    some = rows[first : first + _AT_ONCE]
                    vectors.write(index.vectors[some].astype("<f4").tobytes())
                    for at, row in zip(some.tolist(), index.rows[some], strict=True):
                        what = {"id": at, "file": index.sources[row["source"]].file, "frame": int(row["frame"])}
                        what |= {"t": round(float(row["t"]), 4), "person": int(row["person"])}
                        lines.write(json.dumps(what, ensure_ascii=False) + "\n")
            (part / "about.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error}); choose another folder") from None
    return len(rows)
