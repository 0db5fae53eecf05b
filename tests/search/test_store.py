"""The index on disk: what counts, what a crash leaves, readers beside a writer, and damage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from humanrt.errors import HumanrtError, InvalidInputError, SourceError
from humanrt.search.coarse import COARSE
from humanrt.search.store import ROW, Addition, IndexWriter, PoseIndex

GROUPS = (*range(COARSE - 1), -1, 3)


def addition(name: str, count: int, seed: int = 0, sha256: str = "a") -> Addition:
    random = np.random.default_rng(seed)
    rows = np.zeros(count, ROW)
    rows["frame"], rows["t"] = np.arange(count), np.arange(count) / 30
    return Addition(Path("/archive") / name, sha256, random.random((count, len(GROUPS)), np.float32), rows)


def test_what_is_added_is_read_back(tmp_path: Path) -> None:
    first, second = addition("a", 5), addition("b", 3, seed=1)
    with IndexWriter(tmp_path / "index", "way", GROUPS) as writer:
        writer.add([first])
        writer.add([second, addition("c", 1, seed=2)])
        assert (writer.poses, len(writer.current)) == (9, 3)
    index = PoseIndex(tmp_path / "index")
    assert (len(index), index.descriptor, index.replaced) == (9, "way", frozenset())
    assert [(one.file, one.first, one.rows) for one in index.sources] == [
        ("/archive/a", 0, 5), ("/archive/b", 5, 3), ("/archive/c", 8, 1),
    ]  # fmt: skip
    np.testing.assert_array_equal(index.vectors[5:8], second.vectors)
    np.testing.assert_array_equal(index.rows["source"], [0] * 5 + [1] * 3 + [2])
    np.testing.assert_array_equal(index.rows["t"][:5], first.rows["t"])


def test_an_index_is_added_to_and_a_changed_file_replaces_itself(tmp_path: Path) -> None:
    with IndexWriter(tmp_path, "way", GROUPS) as writer:
        writer.add([addition("a", 5), addition("b", 2)])
    with IndexWriter(tmp_path, "way", GROUPS) as writer:
        assert writer.current == {"/archive/a": "a", "/archive/b": "a"}
        writer.add([addition("a", 4, seed=3, sha256="other")])
        assert (writer.poses, writer.current["/archive/a"]) == (6, "other")
    index = PoseIndex(tmp_path)
    assert (len(index), index.replaced) == (11, frozenset({0}))
    with IndexWriter(tmp_path, "way", GROUPS) as writer:
        assert writer.poses == 6


def test_a_reader_keeps_what_it_opened_while_rows_are_added(tmp_path: Path) -> None:
    with IndexWriter(tmp_path, "way", GROUPS) as writer:
        writer.add([addition("a", 5)])
        before = PoseIndex(tmp_path)
        seen = np.array(before.vectors)
        writer.add([addition("b", 700, seed=1)])
        np.testing.assert_array_equal(before.vectors, seen)
        assert (len(before), len(PoseIndex(tmp_path))) == (5, 705)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    with IndexWriter(tmp_path, "way", GROUPS), pytest.raises(HumanrtError, match="another `humanrt index` is adding"):
        IndexWriter(tmp_path, "way", GROUPS)
    IndexWriter(tmp_path, "way", GROUPS).close()


WRITER = """
import sys
from pathlib import Path
import numpy as np
from humanrt.search.store import ROW, Addition, IndexWriter
with IndexWriter(Path(sys.argv[1]), "way", tuple(range(15))) as index:
    for number in range(len(index.current), 10_000):
        count = 1 + number % 50
        rows = np.zeros(count, ROW)
        rows["frame"] = np.arange(count)
        index.add([Addition(Path(f"/{number}"), "", np.full((count, 15), number, np.float32), rows)])
        print(number, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_kill_while_adding_loses_only_what_was_not_acknowledged(tmp_path: Path) -> None:
    for wait in (0.05, 0.3):
        process = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        said = [process.stdout.readline()]
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        said += process.stdout.read().split("\n")
        process.wait()
        acknowledged = [int(line) for line in said if line.strip()]
        index = PoseIndex(tmp_path)
        assert len(index.sources) >= acknowledged[-1] + 1
        for number, source in enumerate(index.sources):
            assert (source.file, source.rows) == (f"/{number}", 1 + number % 50)
            rows = slice(source.first, source.first + source.rows)
            assert (index.vectors[rows] == number).all()
            assert (index.rows["source"][rows] == number).all()


def test_what_stands_behind_the_rows_that_count_is_overwritten(tmp_path: Path) -> None:
    with IndexWriter(tmp_path, "way", GROUPS) as writer:
        writer.add([addition("a", 5)])
    (tmp_path / ".head.json-8x2").write_text("{")
    for name in ("vectors.f32", "coarse.f32", "rows.bin", "sources.jsonl"):
        with (tmp_path / name).open("ab") as stream:
            stream.write(b"left by a writer that was killed" * 99)
    assert len(PoseIndex(tmp_path)) == 5
    with IndexWriter(tmp_path, "way", GROUPS) as writer:
        writer.add([addition("b", 2, seed=1)])
    index = PoseIndex(tmp_path)
    np.testing.assert_array_equal(index.vectors[5:], addition("b", 2, seed=1).vectors)
    assert (tmp_path / "vectors.f32").stat().st_size == 7 * 4 * len(GROUPS)
    assert not list(tmp_path.glob(".head*"))
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / ".head.json-8x2").write_text("")  # killed before there was a first head
    IndexWriter(tmp_path / "begun", "way", GROUPS).close()
    assert len(PoseIndex(tmp_path / "begun")) == 0


def head(change: Callable[[dict[str, object]], object]) -> Callable[[Path], object]:
    def damage(path: Path) -> object:
        content = json.loads((path / "head.json").read_text())
        change(content)
        return (path / "head.json").write_text(json.dumps(content))

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: (p / "head.json").unlink(), "no index of poses .*make one with `humanrt index`"),
        (lambda p: (p / "head.json").write_text("{"), r"head\.json: damaged"),
        (lambda p: (p / "head.json").write_text("[" * 100_000), r"head\.json: damaged"),
        (head(lambda h: h.update(format=9)), "format 9 is not 1; make the index again"),
        (head(lambda h: h.update(rows=10**12)), r"sources\.jsonl: not as head\.json says"),
        (head(lambda h: h.update(rows=-1)), "not those of an index"),
        (head(lambda h: h.update(groups=[])), "not those of an index"),
        (head(lambda h: h.update(groups=[99])), "not those of an index"),
        (head(lambda h: h.pop("listed")), "not those of an index"),
        (lambda p: (p / "vectors.f32").write_bytes(b"12"), r"vectors\.f32: shorter than head\.json says"),
        (lambda p: (p / "rows.bin").unlink(), r"rows\.bin: No such file"),
        (lambda p: (p / "sources.jsonl").write_text("{}\n" * 40), r"sources\.jsonl: not as head\.json says"),
    ],
)
def test_damage_is_named_in_one_line(damage: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    with IndexWriter(tmp_path, "way", GROUPS) as writer:
        writer.add([addition("a", 5)])
    damage(tmp_path)
    with pytest.raises(SourceError, match=message) as caught:
        PoseIndex(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_does_not_fit_is_refused_and_nothing_is_added(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    with pytest.raises(HumanrtError, match="holds something other than an index"):
        IndexWriter(tmp_path / "other", "way", GROUPS)
    with pytest.raises(HumanrtError, match="holds something other than an index"):
        IndexWriter(tmp_path / "other" / "thesis.txt", "way", GROUPS)
    with IndexWriter(tmp_path / "index", "way", GROUPS) as writer:
        bad = addition("a", 5)
        bad.vectors[2, 3] = np.nan
        with pytest.raises(InvalidInputError, match=r"/archive/a: vectors must be finite, \[5, 17\]"):
            writer.add([addition("b", 2), bad])
        assert writer.poses == 0
    with pytest.raises(HumanrtError, match="holds vectors by `way`, not by `other`"):
        IndexWriter(tmp_path / "index", "other", GROUPS)
    assert len(PoseIndex(tmp_path / "index")) == 0
