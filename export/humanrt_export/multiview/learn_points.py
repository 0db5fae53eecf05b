"""Fit the offsets of `humanrt_export.multiview.landmark_points` and print the table, of 1200 people in 3 minutes::

    python -m humanrt_export.multiview.learn_points SHARDS --people 1200

SHARDS are of ``humanrt-export data people --part train``: never fit them to people by whom anything is measured.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray

from humanrt.backends import open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import load_bundle
from humanrt.bundle.arrays import read_arrays
from humanrt.fitting.rig import STATURE
from humanrt.geometry.anny import ANNY_BONES, ANNY_PARENTS, part_axes
from humanrt.geometry.camera import project
from humanrt.geometry.limbs import limb_indices
from humanrt.geometry.mirror import MIRROR
from humanrt.geometry.region import Region
from humanrt.geometry.skeleton import MEDIAPIPE_33, world_rotations
from humanrt.people.body_points import anchor_of, plain_name
from humanrt.people.landmarks import BodyNetwork
from humanrt_export.entry import run_module
from humanrt_export.options import Option, parse
from humanrt_export.synthetic.body_align import fit

Array = NDArray[np.float64]

_SEEN = 0.75  # least part of a person that can be seen
_TALL = 130  # px, the least side of the box of the limbs
_SURE = 0.8  # least score of a person
_VISIBLE = 0.5  # least weight of a landmark
_ROUNDS = 2  # of the network, from the truth's region and then from its own


@dataclass(frozen=True, kw_only=True)
class PointsConfig:
    """Options.

    Attributes:
        shards: folder of `humanrt-export data people`.
        people: how many are looked at.
    """

    shards: Annotated[Path, Option(metavar="DIR", positional=True)]
    people: int = 1200


def _observed(given: PointsConfig) -> Iterator[tuple[Array, Array, Array, Array, Array]]:
    """Yield of each person joints [J, 3] m, rotations [74, 3, 3], K [3, 3], landmarks [33, 2] px, weights [33]."""
    names = json.loads((given.shards / "people.json").read_text(encoding="utf-8"))["joint_names"]
    limbs, count = limb_indices(names), 0
    with open_backend("cpu", BackendOptions(threads=1)) as backend:
        network = BodyNetwork(load_bundle("holistic", task="people"), backend)
        for path in sorted(given.shards.glob("shard-*.npz")):
            arrays = read_arrays(path, 1 << 32)
            ends, codes = np.cumsum(arrays["count"]).tolist(), [0, *arrays["image_end"].tolist()]
            for index, end in enumerate(ends):
                K, image = arrays["intrinsics"][index].astype(np.float64), None
                for one in range(end - int(arrays["count"][index]), end):
                    joints = arrays["joints"][one].astype(np.float64)
                    if arrays["visible"][one] < _SEEN or joints[limbs, 2].min() < 0.3:
                        continue
                    if image is None:
                        code = arrays["image"][codes[index] : codes[index + 1]]
                        image = np.ascontiguousarray(cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1], np.uint8)
                    flat, size = project(joints[limbs], K), (image.shape[1], image.shape[0])
                    low, high = flat.min(axis=0), flat.max(axis=0)
                    if (high - low).max() < _TALL or (low < 0).any() or (high > size).any():
                        continue
                    x, y = ((low + high) / 2).tolist()
                    region = Region(x, y, 1.35 * float((high - low).max()))
                    for _ in range(_ROUNDS):
                        marks = network(image, region)
                        region = marks.region
                    if marks.score >= _SURE:
                        turns = arrays["rotations"][one].astype(np.float64)
                        yield (
                            joints,
                            turns,
                            K,
                            marks.landmarks_2d.astype(np.float64),
                            marks.weights(size).astype(np.float64),
                        )
                        count += 1
                    if count == given.people:
                        return


def main() -> int:
    given = parse(PointsConfig, text=__doc__.splitlines()[0])
    cv2.setNumThreads(1)
    names = json.loads((given.shards / "people.json").read_text(encoding="utf-8"))["joint_names"]
    joints, turns, K, pixels, weights = (np.array(column) for column in zip(*_observed(given), strict=True))
    sys.stdout.write(f"{len(joints)} people\n")
    world = world_rotations(turns, ANNY_PARENTS)
    long = sum(
        np.linalg.norm(joints[:, names.index(a)] - joints[:, names.index(b)], axis=1)
        for a, b in (("upperleg01.L", "lowerleg01.L"), ("lowerleg01.L", "foot.L"), ("upperarm01.L", "lowerarm01.L"))
    )
    size = np.asarray(long / np.median(long)) * (1.68 / STATURE)
    for plain in dict.fromkeys(plain_name(landmark)[1] for landmark in MEDIAPIPE_33):
        parts = []
        for k, landmark in enumerate(MEDIAPIPE_33):
            side, its = plain_name(landmark)
            if its != plain:
                continue
            joint, part = anchor_of(landmark)
            bone, axes = part_axes(part)
            turn = world[:, ANNY_BONES.index(bone)] @ axes * size[:, None, None]
            some = weights[:, k] > _VISIBLE
            seen = (pixels[:, k] - K[:, :2, 2]) / K[:, :1, 0]
            mirror = MIRROR if side == "right" else 1.0
            parts.append((joints[some, names.index(joint)], turn[some] * mirror, seen[some]))
        offset, error = fit(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        if len(parts) == 1:
            offset[0] = 0.0  # in the middle
        numbers = ", ".join(f"{1000 * value:.1f}" for value in offset)
        sys.stdout.write(f'    "{plain}": ({numbers}),  # off by {1000 * np.median(error):.0f} mm, median\n')
    return 0


if __name__ == "__main__":
    run_module(main)
