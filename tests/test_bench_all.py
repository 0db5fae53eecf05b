"""`humanrt bench --all`: every configuration has a row, measured as by a single bench, or the reason why not."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import cv2
import pytest

from command_line import refused
from humanrt.bundle import load_bundle
from humanrt.cli import main
from humanrt.commands import bench
from humanrt.commands.bench_all import (
    COLUMNS,
    Configuration,
    Row,
    as_csv,
    as_markdown,
    as_text,
    configurations,
    measure_all,
)
from humanrt.commands.bench_peers import installed
from shipped import shipped


def test_rows_are_those_that_the_bundle_has() -> None:
    found = [(one.precision, one.backend, one.threads) for one in configurations(load_bundle("multihmr-anny"), 4)]
    assert found == [
        ("fp32", "cpu", 1),
        ("fp32", "cpu", 4),
        ("bf16x3", "cpu", 1),
        ("bf16x3", "cpu", 4),
        ("int16", "cpu", 1),
        ("int16", "cpu", 4),
        ("fp32", "cuda", 1),
        ("fp32", "tensorrt", 1),
    ]


def test_rows_are_measured_or_refused() -> None:
    told: list[tuple[int, int]] = []
    command = ["bench", "posebert", "--max-frames", "12", "--repeat", "1", "--warmup", "1"]
    rows = measure_all(load_bundle("posebert-hand"), command, lambda done, of: told.append((done, of)), cores=1)
    assert told == [(0, 3), (1, 3), (2, 3)]
    cpu, *gpus = rows
    assert cpu.report is not None
    cells = dict(zip(COLUMNS, cpu.cells(), strict=True))
    assert float(cells["p50 ms"]) == pytest.approx(cpu.report["stages"]["1 hand"]["p50"], abs=0.1)
    assert float(cells["peak MB"]) > 50
    assert float(cells["size MB"]) == pytest.approx(1.13, abs=0.1)
    for row in gpus:
        assert row.report is not None or f"backend `{row.how.backend}` cannot run here" in row.refused
    lines = list(csv.reader(as_csv(rows).splitlines()))
    assert lines[0] == list(COLUMNS)
    assert [line[:3] for line in lines[1:]] == [["fp32", "cpu", "1"], ["fp32", "cuda", ""], ["fp32", "tensorrt", ""]]
    assert as_markdown(rows).count("\n") == len(rows) + 2
    assert len(as_text(rows).splitlines()) == len(rows) + 1


def test_the_exit_status_is_1_if_no_row_could_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    how = configurations(load_bundle("posebert-hand"), 1)
    report = {"stages": {"total": {"p50": 2.0, "p99": 3.0}}, "cold": {"open_ms": 1.0, "first_frame_ms": 1.0}}
    refused_rows = [Row(one, None, "nothing here", 0, "") for one in how]
    ran = Row(refused_rows[0].how, {**report, "peak_memory_bytes": None}, "", 0, "")
    for rows, status in ((refused_rows, 1), ([*refused_rows, ran], 0)):
        monkeypatch.setattr(bench, "measure_all", lambda *_, rows=rows, **__: rows)
        assert main(["bench", "posebert", "--all"]) == status
        out = capsys.readouterr()
        assert "fp32 cpu 1: nothing here" in out.out
        assert ("none of the 3 rows could run" in out.err) == bool(status)


def test_the_chart_has_a_bar_as_long_as_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hows = [Configuration("fp32", "cpu", threads) for threads in (1, 2)]
    cold = {"open_ms": 1.0, "first_frame_ms": 1.0}
    rows = [
        Row(how, {"stages": {"total": {"p50": p50, "p99": 20.0}}, "cold": cold, "peak_memory_bytes": None}, "", 0, "")
        for how, p50 in zip(hows, (16.0, 4.0), strict=True)
    ]
    monkeypatch.setattr(bench, "measure_all", lambda *_, **__: rows)
    assert main(["bench", "posebert", "--all", "--plot", str(tmp_path / "chart.png")]) == 0
    picture = cv2.imread(str(tmp_path / "chart.png"))[..., ::-1]
    bars = (picture == (70, 130, 200)).all(-1).sum(1)
    assert bars.max() == pytest.approx(4 * bars[bars > 0].min(), abs=8)
    assert (bars > 0).sum() == 2 * 19


_HANDS = """
class Hands:
    def __init__(self, max_num_hands):
        self.hands = max_num_hands

    def process(self, rgb):
        assert (rgb.shape[2], rgb.dtype.name, self.hands) == (3, "uint8", 2)
"""


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages that are installed: a stand-in for mediapipe 0.10.21 with hands alone."""
    solutions = tmp_path / "mediapipe" / "python" / "solutions"
    solutions.mkdir(parents=True)
    (tmp_path / "mediapipe" / "__init__.py").write_text("import mediapipe.python.solutions as solutions")
    (solutions / "__init__.py").write_text("from mediapipe.python.solutions import hands")
    (solutions / "hands.py").write_text(_HANDS)
    about = tmp_path / "mediapipe-0.10.21.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mediapipe\nVersion: 0.10.21\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path


def test_peers_that_are_installed_have_rows(
    beside: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert installed("hands")["mediapipe"] == "0.10.21"
    assert installed("posebert") == {}
    monkeypatch.setattr(bench, "installed", lambda task: {"mediapipe": "0.10.21"})
    monkeypatch.setattr(bench, "measure_all", lambda *_, **__: [])
    table = beside / "table.csv"
    few = ["--max-frames", "5", "--repeat", "2", "--warmup", "1", "--csv", str(table)]
    assert main(["bench", "hands", "--all", *few]) == 1  # no row of the bundle
    with table.open() as file:
        row = next(csv.DictReader(file))
    assert (row["precision"], row["backend"], row["threads"]) == ("", "mediapipe 0.10.21", "")
    assert float(row["p50 ms"]) < float(row["first ms"]) + 100
    assert float(row["peak MB"]) > 20
    assert (row["size MB"], row["refused because"]) == ("", "")
    assert main(["bench", "people", "--all", *few]) == 1
    assert "mediapipe 0.10.21: mediapipe 0.10.21 has no `solutions.holistic`" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("retarget", "--all"), "runs no bundle"),
        (("people", "--all", "--threads", "2"), "--all measures every threads; leave out --threads"),
        (("people", "--csv", "x.csv"), "--csv writes the table of --all"),
        (("people", "--all", "--plot", "x.doc"), "--plot x.doc: is a picture; end its name in one of: .png, .jpg"),
        (("people", "--all", "--json", "x.json"), "of one measurement"),
        (("multihmr",), "no bundle `multihmr`; known: hands, holistic"),
        (("posegpt",), "no measurement for task `posegpt` of bundle `posegpt`; there is: hands, people, posebert"),
        (("holistic", "--bundle", "landmarks"), "two bundles, `holistic` and --bundle landmarks; give one"),
    ],
)
def test_mistakes(options: tuple[str, ...], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert expected in refused(capsys, "bench", *options)


def test_a_bundle_means_the_bench_of_its_task(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    few = ["--max-frames", "12", "--repeat", "1", "--warmup", "1", "--json", str(report)]
    assert main(["bench", str(shipped("posebert-hand")), *few]) == 0
    found = json.loads(report.read_text())
    assert (found["bench"], found["bundle"]) == ("posebert", "posebert-hand")
