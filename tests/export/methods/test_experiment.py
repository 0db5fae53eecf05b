"""What the measurements of training methods share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from humanrt.errors import HumanrtError, MissingDependencyError
from humanrt_export.bodies.anny.model import cached_file
from humanrt_export.data.people.crops import Crops
from humanrt_export.options import parse
from humanrt_export.training import experiment
from humanrt_export.training.experiment import Bench, BenchOptions, Look, spread, table
from humanrt_export.training.methods.batch_norm import Partial

GRAPH = Path(__file__).parents[3] / "engines" / "landmarks" / "body_landmarks.onnx.z"


@dataclass(frozen=True, kw_only=True)
class Options(BenchOptions):
    seconds: float = 9.0
    train: int = 9
    encoder: str = "resnet"
    rate: float = 1e-3


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    if not cached_file("10pc").is_file():
        pytest.skip("Anny is not in the cache; `pytest -m slow tests/export/anny_body` builds it")
    given = ["--out", str(tmp_path), "--quick", "--threads", "1", "--seeds", "1"]
    return Bench(parse(Options, given))


def crops(count: int = 8, size: int = 56) -> Crops:
    generator = np.random.default_rng(0)
    eye = np.tile(np.eye(3, dtype=np.float32), (count, 36, 1, 1))
    image = generator.integers(0, 256, (count, size, size, 3)).astype(np.uint8)
    return Crops(image, eye, np.full((count, 6), 0.5, np.float32), np.zeros((count, 36, 3), np.float32))


def test_mean_and_deviation_of_seeds() -> None:
    assert spread([1.0, 2.0, 3.0]) == "2.0 +- 1.0"
    assert spread([2.345], 2) in ("2.35", "2.34")
    assert table(("a", "b"), [("x", 1)]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"


def test_every_method_gets_the_steps_that_fit_in_the_same_seconds(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = bench.task(crops(), crops(), 0)
    assert 0 < bench._step_seconds(task, 0) < 60
    timed = iter([0.3, 0.9, 0.2, 0.8, 0.25, 0.7])  # in turns: plain, slow, plain, ...; the fastest counts
    monkeypatch.setattr(bench, "_step_seconds", lambda task, turn: next(timed))
    bench.measure({"plain": lambda: task, "slow": lambda: Partial(task, "full")})
    assert (bench.step_seconds("plain"), bench.step_seconds("slow")) == (0.2, 0.7)
    assert (bench.options("plain", 0, 20.0).steps, bench.options("slow", 0, 20.0).steps) == (100, 29)
    again = Bench(bench.given)
    assert again.step_seconds("slow") == 0.7  # so that a run goes on with as many steps


def test_steps_are_timed_with_the_optimizer_that_makes_them(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(experiment, "optimizers_of", lambda task, options: seen.append(options.muon) or [])
    for muon in (False, True):
        bench.given = replace(bench.given, muon=muon)
        bench._step_seconds(bench.task(crops(), crops(), 0), 0)
    assert seen == [False, True]


def test_seeds_decide_the_first_weights_and_what_is_trained_is_kept(bench: Bench) -> None:
    first, same, other = (bench.task(crops(), crops(), seed).model.state_dict() for seed in (0, 0, 1))
    assert torch.equal(first["pose.weight"], same["pose.weight"])
    assert not torch.equal(first["pose.weight"], other["pose.weight"])
    bench.measure({"plain": lambda: bench.task(crops(), crops(), 0)})
    options = bench.options("plain", 0, 0.0)
    task = bench.task(crops(), crops(), 0)
    weights = bench.train("plain-0", task, options)
    assert not task.model.training
    read = bench.train("plain-0", bench.task(crops(), crops(), 0), options)
    assert all(torch.equal(value, read[name]) for name, value in weights.items())
    assert any("validation" in line for line in bench.log("plain-0"))
    bench.write({"runs": {}}, "| |\n")
    assert (bench.out / "report.md").read_text() == "| |\n"


def test_looks_are_rendered_once_and_parts_are_other_people(bench: Bench) -> None:
    pytest.importorskip("moderngl", reason="rendering needs humanrt[synthetic]")
    bench.given = replace(bench.given, train=3, val=2)
    try:
        train, val = (bench.crops(Look("studio"), part) for part in ("train", "val"))
    except MissingDependencyError as error:
        pytest.skip(str(error))
    assert (len(train), len(val)) == (3, 2)
    assert not np.isclose(train.shape[0], val.shape[0]).all()
    before = sorted((bench.out / "data").iterdir())
    np.testing.assert_array_equal(bench.crops(Look("studio"), "train").image, train.image)
    assert sorted((bench.out / "data").iterdir()) == before
    pairs = bench.pairs(Look("studio"), "pose", 2)
    assert pairs.first.shape == pairs.second.shape == (2, 56, 56, 3)
    assert pairs.person.max() > 0.5
    assert not np.array_equal(pairs.first, pairs.second)


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(HumanrtError, match="at least one seed"):
        Options(out=tmp_path, seconds=0.0)


def test_what_the_mean_pose_is_worth_is_measured_as_networks_are(bench: Bench) -> None:
    task = bench.task(crops(), crops(), 0)
    still = task.skeleton(torch.eye(3).expand(8, 36, 3, 3), torch.full((8, 6), 0.5)).numpy()
    same = replace(crops(), joints=still)
    assert task.blind_error(same) == pytest.approx(0, abs=1e-3)  # everybody is the mean, whatever their size
    moved = replace(crops(), joints=still + np.float32([0.1, 0, 0]) * (np.arange(36) > 0)[:, None])
    assert task.blind_error(moved) == pytest.approx(100, abs=0.1)
    half = replace(moved, joints=np.concatenate([still[:4], moved.joints[4:]]))
    assert task.blind_error(half, 4) == pytest.approx(0, abs=1e-3)


def test_who_began_with_another_network_is_not_taken_for_who_did_not(bench: Bench) -> None:
    bench.measure({"plain": lambda: bench.task(crops(), crops(), 0)})
    first = bench.task(crops(), crops(), 0)
    weights = bench.train("first", first, bench.options("plain", 0, 0.0))
    bench.given = replace(bench.given, start=bench.out / "runs" / "first")
    started = bench.task(crops(), crops(), 1)
    assert torch.equal(started.model.state_dict()["pose.weight"], weights["pose.weight"])
    with pytest.raises(HumanrtError, match="with start = "):
        bench.train("first", started, bench.options("plain", 0, 0.0))
    with pytest.raises(HumanrtError, match="give only one"):
        replace(bench.given, backbone_weights=GRAPH)
    bench.given = replace(bench.given, encoder="vitn14")
    with pytest.raises(HumanrtError, match="another network"):
        Bench(bench.given).task(crops(), crops(), 1)
