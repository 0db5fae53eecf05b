"""The landmark networks' own output on a video, kept as arrays: what every fit to landmarks starts from.

The regions are those of the shipped `BodyTracker`, run at every frame of the video; the network in it is ``full`` (of
bundle `landmarks`), ``heavy`` (of bundle `holistic`, with silhouettes), or another ONNX file of the same inputs and
outputs, with or without the silhouette.

    python bench/raw_landmarks.py VIDEO --network full|heavy|FILE.onnx --out FILE.npz

The file holds one row for every person and frame, N rows in all (see `Rows`), and ``size`` (width, height) px, ``fps``,
``t`` [frames] s, and what ``--truth`` (the .npz of ``humanrt-export data film``) holds, its names begun with ``true_``.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from humanrt.bundle import Bundle, load_bundle
from humanrt.files import write_atomically
from humanrt.geometry.region import Region
from humanrt.people.raw_tracker import RawTracker, Seen
from humanrt.sources.opening import Frame, open_source

__all__ = ["Rows", "network_bundle", "raw_tracker", "rows_of"]

Array = NDArray[Any]

SILHOUETTE = "silhouette"
_SIZE = 256


@dataclass(frozen=True)
class Rows:
    """N observations, in the order of the frames.

    Attributes:
        frame: [N] number of the frame, from 0.
        id: [N] identity, from 1.
        score: [N] 0..1.
        landmarks_2d, depth, landmarks_3d, visibility, presence: see `BodyLandmarks`, each with N in front.
        crop, region: [N, 4] x, y, size px, angle rad: what was cropped, and what will be in the next frame.
        silhouette: [N, S, S] float16 logits that a pixel of the crop is of this person, means over the network's
            pixels; N is 0 without that output.
    """

    frame: Array
    id: Array
    score: Array
    landmarks_2d: Array
    depth: Array
    landmarks_3d: Array
    visibility: Array
    presence: Array
    crop: Array
    region: Array
    silhouette: Array

    @classmethod
    def of(cls, seen: list[tuple[int, Seen]], side: int = 64) -> Rows:
        """Stack observations, given with the numbers of their frames; silhouettes of ``side`` x ``side``."""
        marks = [one.marks for _, one in seen]
        smaller = [
            one.silhouette.reshape(side, _SIZE // side, side, _SIZE // side).mean((1, 3))
            for _, one in seen
            if one.silhouette is not None
        ]
        return cls(
            frame=np.array([frame for frame, _ in seen], np.int64),
            id=np.array([one.id for _, one in seen], np.int64),
            score=np.array([one.score for one in marks], np.float32),
            landmarks_2d=np.array([one.landmarks_2d for one in marks]).reshape(-1, 33, 2),
            depth=np.array([one.depth for one in marks]).reshape(-1, 33),
            landmarks_3d=np.array([one.landmarks_3d for one in marks]).reshape(-1, 33, 3),
            visibility=np.array([one.visibility for one in marks]).reshape(-1, 33),
            presence=np.array([one.presence for one in marks]).reshape(-1, 33),
            crop=_regions([one.crop for _, one in seen]),
            region=_regions([one.region for one in marks]),
            silhouette=np.array(smaller, np.float16).reshape(-1, side, side),
        )


def raw_tracker(network: str | Path = "full", *, silhouettes: bool = True, threads: int = 1) -> RawTracker:
    """Return the tracker of a network: ``full``, ``heavy``, or an ONNX file of the same inputs and outputs."""
    return RawTracker(network_bundle(network), silhouettes=silhouettes, threads=threads)


def network_bundle(network: str | Path) -> Bundle:
    """Return a bundle that has the network: ``full``, ``heavy``, or an ONNX file in place of full."""
    if network == "heavy":
        return load_bundle("holistic", task="people")
    bundle = load_bundle("landmarks", task="people")
    if network == "full":
        return bundle
    import onnx

    path = Path(network).resolve()
    outputs = [output.name for output in onnx.load(path, load_external_data=False).graph.output]
    entry = dict(bundle.manifest["graphs"]["body_landmarks"], file=str(path))
    graphs = {**bundle.manifest["graphs"], "body_landmarks": entry}
    if SILHOUETTE in outputs:
        silhouette = {"shape": [1, _SIZE, _SIZE], "dtype": "float32", "description": "logits of this person"}
        entry["outputs"] = {**entry["outputs"], SILHOUETTE: silhouette}
        graphs["body_landmarks_silhouette"] = entry
    return replace(bundle, manifest={**bundle.manifest, "graphs": graphs})


def rows_of(tracker: RawTracker, frames: Iterable[Frame], side: int = 64) -> tuple[Rows, Array]:
    """Return what the tracker sees in all frames, and the frames' time stamps [T] s; ``side`` as for `Rows.of`."""
    seen, times = [], []
    for number, frame in enumerate(frames):
        times.append(frame.t)
        seen += [(number, one) for one in tracker.observe(frame)]
    return Rows.of(seen, side), np.array(times)


def save(path: Path, rows: Rows, more: Mapping[str, Any]) -> None:
    content = io.BytesIO()
    arrays = {field.name: getattr(rows, field.name) for field in fields(rows)}
    np.savez_compressed(content, allow_pickle=False, **arrays, **more)
    write_atomically(path, content.getvalue())


def _regions(regions: list[Region]) -> Array:
    return np.array([(one.x, one.y, one.size, one.angle) for one in regions]).reshape(-1, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--network", default="full", help="full, heavy, or an ONNX file")
    parser.add_argument("--truth", type=Path, help="the .npz of the film")
    parser.add_argument("--intrinsics", type=float, nargs=9, metavar="K", help="3 x 3, px from the picture's corner")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with raw_tracker(arguments.network, threads=arguments.threads) as tracker, open_source(arguments.video) as source:
        rows, times = rows_of(tracker, source)
        more: dict[str, Any] = {"size": np.array(source.size), "fps": source.fps, "t": times}
    if arguments.intrinsics:
        more["intrinsics"] = np.array(arguments.intrinsics).reshape(3, 3)
    if arguments.truth:
        with np.load(arguments.truth) as truth:
            more |= {f"true_{name}": truth[name] for name in truth if name not in ("t", "fps", "size", "intrinsics")}
            more["intrinsics"] = truth["intrinsics"]
    save(arguments.out, rows, more)
    print(
        f"{arguments.out}: {len(rows.frame)} observations of {len(set(rows.id.tolist()))} people in {len(times)} frames"
    )


if __name__ == "__main__":
    main()
