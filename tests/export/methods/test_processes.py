"""Several processes train as one does: the same losses and weights, a resumption included, and one of them writes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'humanrt[export]'")

from methods.together import Weighted, options  # noqa: E402

from humanrt.errors import HumanrtError  # noqa: E402
from humanrt_export.runs import load_run, read_run  # noqa: E402
from humanrt_export.training import processes  # noqa: E402
from humanrt_export.training.loop import train  # noqa: E402

TOGETHER = Path(__file__).with_name("together.py")
STEPS = 8


def log(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def alike(found: Path, expected: Path) -> None:
    """Two runs have reported the same numbers, and hold the same weights, averages and state of the optimizers."""
    assert len(log(found)) == len(log(expected)) == STEPS // 2 + STEPS // 4
    for one, other in zip(log(found), log(expected), strict=True):
        assert one.keys() == other.keys()
        for name, value in other.items():
            assert one[name] == pytest.approx(value, rel=1e-4), name
    for name, value in load_run(expected)[1].items():
        torch.testing.assert_close(load_run(found)[1][name], value, rtol=1e-4, atol=1e-5)
    runs = [read_run(run / "last.pt") for run in (found, expected)]
    for name, value in runs[1]["model"].items():
        torch.testing.assert_close(runs[0]["model"][name], value, rtol=1e-4, atol=1e-5)
    assert runs[0]["step"] == runs[1]["step"] == STEPS


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    train(Weighted(), out, options(STEPS), lambda line: None)
    return out


def test_two_processes_train_as_one_and_go_on(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This is the first process; the second is another. Both stop after a step, and go on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
    for name, value in {**shared, "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    own = {"RANK": "1", "LOCAL_RANK": "1", "OMP_NUM_THREADS": "1"}
    monkeypatch.setattr(processes, "_PATIENCE", timedelta(seconds=100))
    command = [sys.executable, str(TOGETHER), str(tmp_path / "two"), str(STEPS), "1e-9", "end"]
    second = subprocess.Popen(command, env={**os.environ, **own}, stderr=subprocess.PIPE, text=True)
    try:
        task = Weighted()
        assert train(task, tmp_path / "two", options(STEPS, minutes=1e-9), lambda line: None) == {}
        assert load_run(tmp_path / "two")[2] == 1
        metrics = train(task, tmp_path / "two", options(STEPS), lambda line: None)
        assert metrics["fit"] == pytest.approx(log(whole)[-1]["validation"]["fit"], rel=1e-4)
        processes.leave()
        assert second.wait(60) == 0, second.communicate()[1]
    finally:
        processes.leave()
        second.kill()
        second.communicate()
    found = log(tmp_path / "two")
    assert [line["step"] for line in found] == [line["step"] for line in log(whole)]
    for name, value in load_run(whole)[1].items():
        torch.testing.assert_close(load_run(tmp_path / "two")[1][name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_torchrun_starts_them(whole: Path, tmp_path: Path) -> None:
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = tmp_path / "run.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(TOGETHER.parent.parent)!r})\n"
        "from methods.together import Weighted, options\nfrom humanrt_export.training.loop import train\n"
        f"train(Weighted(), sys.argv[1], options({STEPS}))\n"
    )
    done = subprocess.run([*run, str(script), str(tmp_path / "two")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("validation:") == STEPS // 4, "one of them says what happens"
    alike(tmp_path / "two", whole)


def test_a_batch_that_cannot_be_divided_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"WORLD_SIZE": "3", "RANK": "1", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(HumanrtError, match="--batch is 8, of all 3 processes together; give a multiple of 3"):
        train(Weighted(), tmp_path / "run", options(STEPS), lambda line: None)
    assert not processes.is_first()
    assert not torch.distributed.is_initialized()
    monkeypatch.delenv("RANK")
    assert processes.is_first(), "a name or two of another program's are no torchrun"
