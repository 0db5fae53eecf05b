"""What an index of a million poses costs, and what searching it takes, beside libraries for nearest neighbours.

    python bench/pose_search.py build --data ../shared/mocap/*.tar.xz --poses 1000000 --out poses.index
    python bench/pose_search.py query poses.index --queries 100
    python bench/pose_search.py words poses.index
    python bench/pose_search.py peer poses.index hnswlib        (or usearch, faiss; each in an environment that has it)

The poses are motion capture at 120 Hz, again and again: each copy of a clip is another person's, every joint turned by
an angle of its own (6 degrees, the same throughout a clip), every other copy mirrored. Queries are poses of the index,
moved by 5 cm (root mean square), so that none is an exact hit.

**words**: the embeddings and facts of all poses are made, as the first `humanrt find` with words does, then searched by
ten texts, by ten poses of the index moved by 5 cm, and by both together; recall is against a scan of all embeddings.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_TOP = 10
_RECALL = 0.95


_WAYS: Mapping[str, float] = {"nearest frames": 0.0, "events": 0.5}  # gap, s


_TEXTS = (
    "both arms raised above the head", "kneeling on the floor", "squatting down", "left arm up, right arm down",
    "sitting on a chair", "bending over", "a kick with the right leg", "standing on the left leg, right knee raised",
    "arms spread out to both sides", "looking down with the hands on the hips",
)  # fmt: skip


def build(data: Sequence[Path], poses: int, out: Path) -> None:
    """Make an index of so many poses."""
    from humanrt.geometry.rotation import matrices_from_vectors
    from humanrt.geometry.skeleton import SMPLX_BODY, mirrored, other_sides
    from humanrt.search.descriptor import GROUPS, NAME, describe
    from humanrt.search.store import ROW, Addition, IndexWriter
    from humanrt_export.motion.load import load_motions

    random = np.random.default_rng(0)
    clips = [motion.rotations[:, : len(SMPLX_BODY)] for path in data for motion in load_motions(path)]
    spent, count, number, waiting = {"describe": 0.0, "append": 0.0}, 0, 0, list[Addition]()
    with IndexWriter(out, NAME, GROUPS) as index:
        while count < poses:
            clip = np.array(clips[number % len(clips)][: poses - count], np.float64)
            copy = number // len(clips)
            clip[:, 0] = np.diag([1.0, -1.0, -1.0]) @ clip[:, 0]  # y up -> the camera's
            if copy % 2:
                clip = mirrored(clip)[:, list(other_sides(SMPLX_BODY))]
            if copy:
                clip = clip @ matrices_from_vectors(np.radians(6) * random.standard_normal((clip.shape[1], 3)))
            began = time.perf_counter()
            vectors = describe(clip)
            spent["describe"] += time.perf_counter() - began
            rows = np.zeros(len(clip), ROW)
            rows["frame"], rows["t"] = np.arange(len(clip)), np.arange(len(clip)) / 120
            count, number = count + len(clip), number + 1
            waiting.append(Addition(Path(f"/archive/{number:05d}.jsonl"), f"{number}", vectors, rows))
            if sum(len(one.rows) for one in waiting) >= 20_000 or count >= poses:  # as `humanrt index`
                began = time.perf_counter()
                index.add(waiting)
                spent["append"] += time.perf_counter() - began
                waiting.clear()
    size = sum(one.stat().st_size for one in out.iterdir())
    print(
        f"{count} poses of {number} files: {spent['describe']:.1f} s to describe, {spent['append']:.1f} s to add "
        f"(flushed to the disk every 20,000), {size / 1e6:.0f} MB"
    )


def query(path: Path, count: int) -> None:
    """Measure the search, and compare it with a scan of all vectors."""
    from humanrt.search.nearest import nearest
    from humanrt.search.store import PoseIndex

    index = PoseIndex(path)
    queries = _queries(index.vectors, count)
    truth = _exact(index.vectors, queries)
    for name, gap in _WAYS.items():
        found, times = [], []
        for vector in queries:
            began = time.perf_counter()
            found.append(nearest(index, vector, _TOP, gap=gap))
            times.append(time.perf_counter() - began)
        print(f"{name}: {_percentiles(times)}", end="")
        if gap:
            print()
            continue
        same = [
            len({event.row for event in events} & set(rows.tolist())) / _TOP
            for events, rows in zip(found, truth, strict=True)
        ]
        print(f", recall at {_TOP} {np.mean(same):.4f}")


def words(path: Path, bundle: str) -> None:
    """Measure the search by words: what is made once, and then queries, beside a scan of all embeddings."""
    from humanrt.embedding.said import said
    from humanrt.search.embedded import EmbeddedSpace, FactSpace, kept_facts
    from humanrt.search.nearest import nearest_in
    from humanrt.search.store import KEPT, PoseIndex
    from humanrt.search.ways import Worded

    index = PoseIndex(path)
    with Worded(bundle) as way:
        texts = [way.query(words=text) for text in _TEXTS]
        began = time.perf_counter()
        space = way.space(index, texts[0])
        assert isinstance(space, EmbeddedSpace)
        kept = space.kept
        made = time.perf_counter() - began
        began = time.perf_counter()
        facts = kept_facts(index, print)
        folders = {one.name: sum(file.stat().st_size for file in one.iterdir()) for one in path.glob(f"{KEPT}*")}
        sizes = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in folders.items())
        print(f"{len(index)} poses: {made:.1f} s to embed, {time.perf_counter() - began:.1f} s for facts; {sizes}")
        poses = way.embedder.encode_descriptors(_queries(index.vectors, len(texts)))
        both = [
            way.embedder.fuse(pose=pose, text=way.embedder.encode_text(text)).predicted["pose"]
            for pose, text in zip(poses, _TEXTS, strict=True)
        ]
        vectors = kept.columns["vectors"]
        for title, queries in (("texts", texts), ("poses", list(poses)), ("texts and poses", both)):
            times: dict[str, list[float]] = {name: [] for name in (*_WAYS, "events, with facts")}
            same = []
            for text, query in zip(_TEXTS, queries, strict=True):
                plain = EmbeddedSpace(kept, query)
                fitting = FactSpace(plain, facts, said(text).facts)
                found = {}
                for name, gap in (*_WAYS.items(), ("events, with facts", 0.5)):
                    began = time.perf_counter()
                    found[name] = nearest_in(index, fitting if "facts" in name else plain, _TOP, gap=gap)
                    times[name].append(time.perf_counter() - began)
                scores = np.concatenate(
                    [
                        part.astype(np.float32) @ query
                        for part in np.array_split(vectors, max(1, len(vectors) // 100_000))
                    ]
                )
                rows = set(np.argpartition(-scores, _TOP)[:_TOP].tolist())
                # Poses at the same distance as the last one are as right.
                last = scores[list(rows)].min() - 1e-6
                same.append(np.mean([scores[event.row] >= last for event in found["nearest frames"]]))
            print(f"{title}: recall at {_TOP} {np.mean(same):.3f}")
            for name, some in times.items():
                print(f"  {name}: {_percentiles(some)}")


def peer(path: Path, name: str, count: int) -> None:
    """Measure a library on the vectors of an index: the fastest setting that reaches the recall."""
    vectors: Floats = np.fromfile(path / "vectors.f32", np.float32).reshape(-1, 57)
    queries = _queries(vectors, count)
    truth = _exact(vectors, queries)
    began = time.perf_counter()
    search = _PEERS[name](vectors)
    print(f"{name}: built in {time.perf_counter() - began:.0f} s", flush=True)
    for effort in (10, 16, 32, 64, 128, 256, 512):
        times, same = [], []
        for vector, rows in zip(queries, truth, strict=True):
            began = time.perf_counter()
            found = search(vector, effort)
            times.append(time.perf_counter() - began)
            same.append(len(set(np.asarray(found).ravel().tolist()) & set(rows.tolist())) / _TOP)
        print(f"  effort {effort}: recall at {_TOP} {np.mean(same):.3f}, {_percentiles(times)}", flush=True)
        if np.mean(same) >= _RECALL:
            return


def _hnswlib(vectors: Floats) -> Callable[[Floats, int], Any]:
    library = importlib.import_module("hnswlib")
    index = library.Index(space="l2", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=100, M=16)
    index.add_items(vectors, num_threads=2)
    index.save_index("/tmp/peer.hnswlib")
    print(f"  {Path('/tmp/peer.hnswlib').stat().st_size / 1e6:.0f} MB on disk")

    def search(vector: Floats, effort: int) -> Any:
        index.set_ef(effort)
        return index.knn_query(vector, k=_TOP, num_threads=1)[0]

    return search


def _usearch(vectors: Floats) -> Callable[[Floats, int], Any]:
    library = importlib.import_module("usearch.index")
    index = library.Index(ndim=vectors.shape[1], metric="l2sq", dtype="f32", connectivity=16, expansion_add=100)
    index.add(np.arange(len(vectors)), vectors, threads=2)
    index.save("/tmp/peer.usearch")
    print(f"  {Path('/tmp/peer.usearch').stat().st_size / 1e6:.0f} MB on disk")

    def search(vector: Floats, effort: int) -> Any:
        index.expansion_search = effort
        return index.search(vector, _TOP).keys

    return search


def _faiss(vectors: Floats) -> Callable[[Floats, int], Any]:
    library = importlib.import_module("faiss")
    library.omp_set_num_threads(2)
    cells = 2048
    index = library.IndexIVFFlat(library.IndexFlatL2(vectors.shape[1]), vectors.shape[1], cells)
    index.train(vectors[:: max(1, len(vectors) // (40 * cells))])
    index.add(vectors)
    library.write_index(index, "/tmp/peer.faiss")
    print(f"  {Path('/tmp/peer.faiss').stat().st_size / 1e6:.0f} MB on disk")
    library.omp_set_num_threads(1)

    def search(vector: Floats, effort: int) -> Any:
        index.nprobe = max(1, effort // 8)
        return index.search(vector[None], _TOP)[1]

    return search


_PEERS = {"hnswlib": _hnswlib, "usearch": _usearch, "faiss": _faiss}


def _queries(vectors: Floats, count: int) -> Floats:
    """Return poses of the index, moved by about 5 cm."""
    random = np.random.default_rng(1)
    chosen = np.asarray(vectors[random.choice(len(vectors), count, replace=False)])
    noise = random.standard_normal(chosen.shape).astype(np.float32)
    return np.asarray(chosen + 0.05 * noise / np.sqrt(chosen.shape[1]), np.float32)


def _exact(vectors: Floats, queries: Floats) -> NDArray[np.int64]:
    """Return the nearest rows [Q, `_TOP`], by a scan of all vectors in float64."""
    found = []
    for query in queries:
        distances = np.concatenate(
            [
                ((part.astype(np.float64) - query) ** 2).sum(1)
                for part in np.array_split(vectors, max(1, len(vectors) // 100_000))
            ]
        )
        found.append(np.argpartition(distances, _TOP)[:_TOP])
    return np.array(found)


def _percentiles(seconds: Sequence[float]) -> str:
    low, middle, high = np.percentile(seconds, (5, 50, 95)) * 1e3
    return f"{middle:.1f} ms median ({low:.1f} to {high:.1f})"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("build")
    one.add_argument("--data", nargs="+", type=Path, required=True)
    one.add_argument("--poses", type=int, default=1_000_000)
    one.add_argument("--out", type=Path, required=True)
    one = commands.add_parser("query")
    one.add_argument("index", type=Path)
    one.add_argument("--queries", type=int, default=100)
    one = commands.add_parser("words")
    one.add_argument("index", type=Path)
    one.add_argument("--bundle", default="pose-embedder")
    one = commands.add_parser("peer")
    one.add_argument("index", type=Path)
    one.add_argument("name", choices=_PEERS)
    one.add_argument("--queries", type=int, default=100)
    given = parser.parse_args(arguments)
    if given.command == "build":
        build(given.data, given.poses, given.out)
    elif given.command == "query":
        query(given.index, given.queries)
    elif given.command == "words":
        words(given.index, given.bundle)
    else:
        peer(given.index, given.name, given.queries)


if __name__ == "__main__":
    main(sys.argv[1:])
