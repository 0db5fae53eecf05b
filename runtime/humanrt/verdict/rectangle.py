"""The verdict on rectangular networks: ``python -m humanrt.verdict.rectangle BUNDLE --against SQUARE --source FRAMES``.

A rectangular network (`humanrt-export multihmr --aspect`) is the middle of a square one: it does without most of the
tokens of the black bars beside a picture, to which the square network's tokens attend. So its people are a little
elsewhere. Both bundles, made of the same weights, see the same frames; the distances of `humanrt.verdict` are printed,
and written into the rectangular bundle's manifest, under `rectangle`, with the frames' sha256.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from humanrt.backends import Array, open_backend
from humanrt.backends.options import BackendOptions
from humanrt.bundle import Bundle, load_bundle
from humanrt.bundle.manifest import MANIFEST
from humanrt.bundle.settings import MultiHmrSettings
from humanrt.errors import BundleError, HumanrtError
from humanrt.files import write_atomically
from humanrt.verdict import case_of, judge, record

__all__ = ["judge_rectangle", "main"]

LIMITS = "int8"
"""The precision whose limits apply: an approximation, not another order of summation."""


def judge_rectangle(
    rectangular: Bundle,
    square: Bundle,
    source: str,
    *,
    frames: int = 64,
    threads: int = 0,
    threshold: float | None = None,
) -> dict[str, Any]:
    """Return the verdict on a rectangular network, as `humanrt.verdict.judge` makes it.

    Args:
        rectangular: the bundle to judge.
        square: a bundle of the same weights.
        source: frames, as for `humanrt run`.
        frames: how many at most.
        threads: of the CPU; 0: all.
        threshold: minimum score of a person; None: the bundle's.

    Raises:
        BundleError: the bundles do not belong together, or the frames are of another shape than the rectangle.
    """
    own, whole = MultiHmrSettings.of(rectangular), MultiHmrSettings.of(square)
    sides = whole.input_size
    if sides[0] != sides[1] or own.image_size != whole.image_size or own.batch != whole.batch:
        raise BundleError(
            f"{square.path}: its network of {sides[0]} x {sides[1]} px is not the square that one of "
            f"{own.input_size[0]} x {own.input_size[1]} px is the middle of; export the same weights without --aspect"
        )
    feeds = record(square, source, max_inputs=frames, max_frames=frames, threshold=threshold, threads=threads).feeds[
        "network"
    ]
    with (
        open_backend("cpu", BackendOptions(threads=threads)) as cpu,
        cpu.open(rectangular.graph("network")) as network,
    ):

        def run(feed: Mapping[str, Array]) -> dict[str, Array]:
            return _in_square(network.run(_middle(feed, own.input_size)), own.input_size, sides[0])

        return judge(case_of(square, "network", feeds, run), LIMITS, against=square.name, source=source)


def _corner(size: tuple[int, int], side: int) -> tuple[int, int]:
    return (side - size[0]) // 2, (side - size[1]) // 2


def _middle(feed: Mapping[str, Array], size: tuple[int, int]) -> dict[str, Array]:
    """Return the rectangle's inputs: the middle of a square's image, with a camera in px of it."""
    x, y = _corner(size, feed["image"].shape[-1])
    K = feed["intrinsics"].copy()
    K[:, :2, 2] = np.where(K[:, :1, 0] > 0, K[:, :2, 2] - np.array([x, y], np.float32), 0)
    whole = feed["image"]
    image = np.ascontiguousarray(whole[:, :, y : y + size[1], x : x + size[0]])
    around = whole - whole[:, :, :1, :1]
    around[:, :, y : y + size[1], x : x + size[0]] = 0
    if around.any():
        raise BundleError(
            f"the frames do not fit the network's {size[0]} x {size[1]} px: export one with their --aspect"
        )
    return {**feed, "image": image, "intrinsics": K}


def _in_square(outputs: Mapping[str, Array], size: tuple[int, int], side: int) -> dict[str, Array]:
    """Return the rectangle's outputs in px of the square."""
    corner = np.array(_corner(size, side), np.float32)
    moved = {"locations": outputs["locations"] + corner}
    if "camera" in outputs:
        moved["camera"] = outputs["camera"].copy()
        moved["camera"][:, :2, 2] += corner
    return {**outputs, **moved}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Returns 0 if the verdict passed, 1 if it failed, 2 if there is none."""
    parser = argparse.ArgumentParser(prog="python -m humanrt.verdict.rectangle", description=__doc__)
    parser.add_argument("rectangular", help="bundle of `humanrt-export multihmr --aspect`")
    parser.add_argument("--against", required=True, help="bundle of the same weights without --aspect")
    parser.add_argument("--source", required=True, help="frames to judge on, as for `humanrt run`")
    parser.add_argument("--frames", type=int, default=64, help="how many at most")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--threshold", type=float, help="minimum score of a person")
    given = parser.parse_args(arguments)
    try:
        rectangular, square = (load_bundle(name, task="people") for name in (given.rectangular, given.against))
        verdict = judge_rectangle(
            rectangular, square, given.source, frames=given.frames, threads=given.threads, threshold=given.threshold
        )
        manifest = json.dumps({**rectangular.manifest, "rectangle": verdict}, indent=1, ensure_ascii=False)
        write_atomically(rectangular.path / MANIFEST, f"{manifest}\n".encode())
    except HumanrtError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return error.exit_status
    seen = verdict["detections"]
    sys.stdout.write(f"{seen['reference']} people, {seen['gained']} gained, {seen['lost']} lost\n")
    for name, row in verdict["distances"].items():
        sys.stdout.write(
            f"{name}: mean {row['mean']:.3g} {row['unit']}, p99 {row['p99']:.3g}, worst {row['max']:.3g}\n"
        )
    sys.stdout.write(f"{'passed' if verdict['passed'] else 'FAILED'} {verdict['reason']}\n")
    return 0 if verdict["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
