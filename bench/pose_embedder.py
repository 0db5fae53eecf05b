"""How well the embedder that ships finds pictures, poses and words by any two of them, beside aligned vectors.

    humanrt-export data portraits --out portraits/test --count 2048 --seed 3 --recorded --part all \
        --motions ../shared/mocap/hdm05.tar.xz
    python bench/pose_embedder.py recall --portraits portraits/test --run runs/embedder --aligned runs/aligned
    python bench/pose_embedder.py words --motions ../shared/mocap/hdm05.tar.xz --sheets sheets

Nothing of HDM05's five people was trained on or tuned on.

**recall**: of the first 2,000 portraits, whose poses are those of a pool of 24,576 frames that differ most. Each has
one picture, one pose, one text of at most eight facts (new wordings). A query is compared with all 2,000; right is the
same portrait only. *fused* is the network that ships; *aligned* has the same encoders, data and batches, but vectors
are only aligned in pairs, and averaged. **half**: half of the person is covered by one colour; *words* tell of the
hidden half (at most four facts). **body**: mean distance of 19 points from the truth, mm, without heading, of the body
read from the token; beside it that of the mean pose. **heading**: error of the way people face, degrees.

**words**: ten queries, written by hand, on an index of recordings made without an embedder: by the embedding alone, and
as `humanrt find` does, which looks up by geometry what it understands of the words. A hit is right if its facts
(`humanrt.embedding.facts`, geometry: the same rules) are true. *chance* is the share of all frames of which they are,
*there* the number of events of such frames: where it is below ten, so is the best precision that can be reached.
"""

from __future__ import annotations

import argparse
import random as standard
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from humanrt.embedding.facts import REGIONS, Region, facts
from humanrt.embedding.said import said
from humanrt.search.descriptor import GROUPS, NAME, describe, points_of
from humanrt.search.embedded import FactSpace, kept_facts
from humanrt.search.nearest import nearest_in
from humanrt.search.sheet import write_sheet
from humanrt.search.store import ROW, Addition, IndexWriter, PoseIndex
from humanrt.search.ways import Worded
from humanrt.stats import machine, write_report
from humanrt_export.conversion.pose_embedder import load_embedder
from humanrt_export.data.described.looks import HALVES, Looks, look_at_portraits
from humanrt_export.data.described.people import Described, describe_poses, telling_of
from humanrt_export.data.described.portraits import LEVEL
from humanrt_export.motion.augment import resample
from humanrt_export.motion.load import load_motions
from humanrt_export.training.tasks.poseembroider import read_texts

__all__ = ["QUERIES", "main", "recalls"]

Floats = NDArray[np.float32]

COUNT, RANKS = 2000, (1, 5, 10)
NAMES = ("image", "pose", "text")
NINE = (((0,), 1), ((0,), 2), ((1,), 0), ((1,), 2), ((2,), 0), ((2,), 1), ((0, 1), 2), ((0, 2), 1), ((1, 2), 0))

QUERIES: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("both arms raised above the head", (("hands.overhead",),)),
    ("somebody kneels on the floor", (("body.kneel",), ("body.half_kneel",), ("body.fours",))),
    ("squatting down", (("body.squat",),)),
    ("the left hand is up in the air, the right arm hangs down", (("left_hand.overhead", "right_arm.down"),)),
    ("sitting on a chair", (("body.sit",),)),
    ("bending over, reaching for the floor", (("trunk.bent_over",), ("left_hand.floor",), ("right_hand.floor",))),
    ("a kick with the right leg stretched forward", (("right_leg.front",),)),
    ("standing on the left leg with the right knee pulled up", (("right_knee.raised",),)),
    ("arms spread out to both sides", (("arms.side",),)),
    ("arms stretched forward", (("arms.front",),)),
)
"""Words, and facts of which one set must be true."""

FURTHER: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("she puts her hands on her hips", (("hands.hip",),)),
    ("lifts the left knee to the hip", (("left_knee.raised",),)),
    ("right arm stretched out sideways, left arm at the side", (("right_arm.side", "left_arm.down"),)),
    ("a deep squat", (("body.deep_squat",),)),
    ("leaning back", (("trunk.back",),)),
    ("touching the floor with both hands", (("hands.floor",),)),
    ("lying on the back", (("body.lying_back",),)),
    ("a long step, arms hanging down", (("feet.stride", "arms.down"),)),
    ("kicking back with the left leg", (("left_leg.back",),)),
    ("the right hand scratches the head", (("right_hand.head",),)),
)
"""Ten more, written when nothing was to be changed any more."""


def recalls(queries: Floats, collection: Floats) -> list[float]:
    """Return the recall at 1, 5 and 10, in percent: the right answer of query i is row i.

    Args:
        queries, collection: unit vectors [N, D].
    """
    scores = queries @ collection.T
    right = scores[np.arange(len(scores)), np.arange(len(scores))]
    places = (scores > right[:, None]).sum(axis=1)
    return [100 * float((places < rank).mean()) for rank in RANKS]


class Model:
    """A trained network, and what it makes of portraits."""

    def __init__(self, run: Path) -> None:
        self.network, words, about = load_embedder(run)
        self.step = about["step"]
        self.ids = {word: index for index, word in enumerate(words, start=3)}

    def images(self, numbers: Floats) -> tuple[Floats, Floats]:
        with torch.inference_mode():
            vector, heading = self.network.read_picture(torch.from_numpy(numbers))
        return vector.numpy(), heading.numpy()

    def poses(self, numbers: Floats) -> Floats:
        with torch.inference_mode():
            return self.network.read_pose(torch.from_numpy(numbers)).numpy()

    def texts(self, texts: Sequence[str]) -> Floats:
        with torch.inference_mode():
            found = []
            for first in range(0, len(texts), 200):
                arrays = (torch.from_numpy(one) for one in read_texts(texts[first : first + 200], self.ids))
                found.append(self.network.read_text(*arrays).numpy())
        return np.concatenate(found)

    def fused(self, vectors: Sequence[Floats | None]) -> tuple[Floats, Floats]:
        """Return tokens [N, D], and what to look for [N, 3, D]."""
        some = next(one for one in vectors if one is not None)
        stacked = np.stack([np.zeros_like(some) if one is None else one for one in vectors], axis=1)
        given = torch.tensor([one is not None for one in vectors]).expand(len(some), 3)
        with torch.inference_mode():
            token, predicted = self.network.fuse(torch.from_numpy(stacked), given)
        return token.numpy(), predicted.numpy()

    def bodies(self, token: Floats) -> Floats:
        """Return points [N, P, 3] m of the bodies of tokens."""
        with torch.inference_mode():
            rotations = self.network.read_body(torch.from_numpy(token)).numpy().astype(np.float64)
        rotations[:, 0] = LEVEL @ rotations[:, 0]
        return points_of(rotations)


def texts_of(
    people: Described, telling: dict[str, float], most: int, regions: Sequence[Sequence[Region]], seed: int
) -> list[str]:
    random = standard.Random(seed)
    texts = []
    for index, where in enumerate(regions):
        text, _ = people.text(random, index, telling, most, where)
        texts.append(text or people.text(random, index, telling, most)[0] or "a person")
    return texts


def recall(looks: Looks, runs: dict[str, Path]) -> dict[str, Any]:
    """Return the tables."""
    people = describe_poses(looks.poses)
    telling = telling_of(people)
    whole = texts_of(people, telling, 8, [REGIONS] * COUNT, 1)
    halves = list(HALVES.values())
    hidden = texts_of(people, telling, 4, [halves[int(one)] for one in looks.hidden], 2)
    true = points_of(looks.poses)
    found: dict[str, Any] = {"items": COUNT, "texts": whole[:6]}
    found["mean pose"] = _millimetres(np.broadcast_to(true.mean(axis=0), true.shape), true)
    for name, run in runs.items():
        model = Model(run)
        image, heading = model.images(looks.whole[0])
        half, _ = model.images(looks.half)
        pose, text, told = model.poses(people.numbers), model.texts(whole), model.texts(hidden)
        spaces = (image, pose, text)
        rows: dict[str, list[float]] = {}
        for given, target in NINE:
            vectors = [spaces[index] if index in given else None for index in range(3)]
            rows[f"{' + '.join(NAMES[one] for one in given)} -> {NAMES[target]}"] = recalls(
                model.fused(vectors)[1][:, target], spaces[target]
            )
        singles, doubles = (np.mean(list(rows.values())[part], axis=0) for part in (slice(6), slice(6, 9)))
        rows |= {"mean of single": singles.tolist(), "mean of double": doubles.tolist()}
        rows["half a picture -> pose"] = recalls(model.fused((half, None, None))[1][:, 1], pose)
        rows["words of the hidden half -> pose"] = recalls(model.fused((None, None, told))[1][:, 1], pose)
        rows["half a picture + words -> pose"] = recalls(model.fused((half, None, told))[1][:, 1], pose)
        body = {
            "picture": (image, None, None),
            "picture + text": (image, None, text),
            "half a picture": (half, None, None),
            "half a picture + words": (half, None, told),
            "text": (None, None, text),
            "pose": (None, pose, None),
        }
        off = np.arctan2(*heading.T) - np.arctan2(*people.heading.T)
        off = np.degrees(np.abs(np.arctan2(np.sin(off), np.cos(off))))
        found[name] = {
            "step": model.step,
            "recall": rows,
            "body": {key: _millimetres(model.bodies(model.fused(given)[0]), true) for key, given in body.items()},
            "heading": {"median": float(np.median(off)), "above 45": 100 * float((off > 45).mean())},
        }
    return found


def _millimetres(points: NDArray[Any], true: NDArray[Any]) -> float:
    return 1000 * float(np.linalg.norm(points - true, axis=-1).mean())


def words(archives: Sequence[Path], sheets: Path | None, top: int, bundle: str) -> dict[str, Any]:
    """Return the precision of the ten queries."""
    motions = [resample(one, 30.0) for path in archives for one in load_motions(path) if len(one) > 1]
    poses = [np.array(one.rotations[:, :22]) for one in motions]
    for one in poses:
        one[:, 0] = LEVEL @ one[:, 0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "poses.index"
        with IndexWriter(path, NAME, GROUPS) as writer:
            for number, (motion, some) in enumerate(zip(motions, poses, strict=True)):
                rows = np.zeros(len(some), ROW)
                rows["frame"], rows["t"] = np.arange(len(some)), np.arange(len(some)) / 30
                file = Path(f"{number:04d}_{Path(motion.source).stem}.npz")
                writer.add([Addition(file, f"{number:064x}", describe(some), rows)])
        index, all_poses = PoseIndex(path), np.concatenate(poses)
        flags = facts(all_poses)
        found: dict[str, Any] = {"poses": len(index), "clips": len(motions), "queries": {}}
        with Worded(bundle) as way:
            way.space(index, way.query(words=QUERIES[0][0]))  # embeddings and facts are made once
            kept = kept_facts(index, print)
            for number, (query, wanted) in enumerate((*QUERIES, *FURTHER)):
                understood = said(query)
                right = np.any([np.all([flags[one] for one in names], axis=0) for names in wanted], axis=0)
                one: dict[str, Any] = {
                    "there": _events_of(index, right),
                    "chance": 100 * float(right.mean()),
                    "left to the embedder": understood.rest,
                }
                for name in ("embedding", "find"):
                    start = perf_counter()
                    space = way.space(index, way.query(words=query))
                    if name == "find" and understood.facts:
                        space = FactSpace(space, kept, understood.facts)
                    events = nearest_in(index, space, top)
                    if isinstance(space, FactSpace):
                        events = [replace(one, distance=space.inner_distance(one.distance)) for one in events]
                    hits = [bool(right[event.row]) for event in events]
                    one[name] = {
                        "precision": 100 * float(np.mean(hits)),
                        "right": hits,
                        "files": len({event.file for event in events}),
                        "s": perf_counter() - start,
                    }
                    if sheets is not None:
                        sheets.mkdir(parents=True, exist_ok=True)
                        _sheet(sheets / f"{number + 1:02d}_{name}.png", index, events, query)
                found["queries"][query] = one
        rows = list(found["queries"].values())
        for title, part in (("first", rows[: len(QUERIES)]), ("further", rows[len(QUERIES) :])):
            found[f"mean of the {title} ten"] = [
                float(np.mean([one[name]["precision"] for one in part])) for name in ("embedding", "find")
            ]
    return found


def _events_of(index: PoseIndex, right: NDArray[np.bool_], gap: float = 0.5) -> int:
    """Return how many events there are: right frames of one clip, less than ``gap`` s apart."""
    rows = index.rows[right]
    if not len(rows):
        return 0
    return 1 + int(((np.diff(rows["source"].astype(int)) != 0) | (np.diff(rows["t"]) > gap)).sum())


def _sheet(path: Path, index: PoseIndex, events: Sequence[Any], query: str) -> None:
    write_sheet(path, index, None, events, title=query)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write a report if one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("recall", "words"))
    parser.add_argument("--portraits", type=Path, help="folder of `humanrt-export data portraits`")
    parser.add_argument("--run", type=Path, help="of the network that ships")
    parser.add_argument("--aligned", type=Path, help="of the one to compare with")
    parser.add_argument("--motions", type=Path, nargs="+", help="archives of recordings")
    parser.add_argument("--bundle", default="pose-embedder", help="embedder that reads the words")
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--sheets", type=Path, help="folder for a picture of each query's hits")
    parser.add_argument("--report", type=Path, help="file for the figures (.json)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if options.what == "recall":
        looks = look_at_portraits(options.portraits)
        some = Looks(looks.whole[:, :COUNT], looks.half[:COUNT], looks.hidden[:COUNT], looks.poses[:COUNT])
        runs = {"fused": options.run} | ({"aligned": options.aligned} if options.aligned else {})
        found = recall(some, runs)
        for name in runs:
            print(f"{name} (step {found[name]['step']}): recall at 1, 5, 10")
            for row, values in found[name]["recall"].items():
                print(f"  {row:40s}" + "".join(f"{value:7.1f}" for value in values))
            print("  body, mm:", {key: round(value) for key, value in found[name]["body"].items()})
            print("  heading, degrees:", {key: round(value, 1) for key, value in found[name]["heading"].items()})
        print("mean pose, mm:", round(found["mean pose"]))
    else:
        found = words(options.motions, options.sheets, options.top, options.bundle)
        print(
            f"{found['poses']} poses of {found['clips']} clips; precision at {options.top}, %, of the embedding alone"
        )
        print("and of `humanrt find`; chance, %; clips among the hits of find, time of the search")
        for query, one in found["queries"].items():
            alone, both, rest = one["embedding"], one["find"], one["left to the embedder"]
            print(
                f"  {query:62s}{alone['precision']:6.0f}{both['precision']:6.0f}{one['chance']:7.1f}{one['there']:6d}  "
                f"{both['files']} clips, {both['s']:.3f} s" + (f"; embedder alone: {'; '.join(rest)}" if rest else "")
            )
        for title in ("first", "further"):
            alone, both = found[f"mean of the {title} ten"]
            print(f"  {f'mean of the {title} ten':62s}{alone:6.0f}{both:6.0f}")
    if options.report is not None:
        write_report(options.report, {"machine": machine(), **found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
