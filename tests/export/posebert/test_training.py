"""The training loop: a run that was interrupted goes on as if it had not been."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: pip install 'humanrt[export]'")

from humanrt.errors import HumanrtError  # noqa: E402
from humanrt_export.batches import Batch  # noqa: E402
from humanrt_export.cli import main  # noqa: E402
from humanrt_export.data.poses.clips import save_clip  # noqa: E402
from humanrt_export.runs import LAST, load_run  # noqa: E402
from humanrt_export.training.loop import TrainOptions, train  # noqa: E402
from humanrt_export.training.tasks.posebert import TrainPosebert, make_task  # noqa: E402
from humanrt_export.training.tasks.posebert_losses import Weights  # noqa: E402

_OPTIONS = TrainOptions(steps=12, batch=8, warmup=3, report_every=4, validate_every=6, average=0.9, seed=3)


@dataclass(frozen=True)
class Points(Batch):
    """Points of a line, [B, 1] each."""

    x: torch.Tensor
    y: torch.Tensor


class Line:
    """Fits a line; stops after `limit` steps by raising, as a power cut would."""

    def __init__(self, slope: float = 2.0, limit: int | None = None) -> None:
        torch.manual_seed(0)
        self.model: torch.nn.Module = torch.nn.Linear(1, 1)
        self.slope, self.limit, self.steps = slope, limit, 0

    def config(self) -> Mapping[str, Any]:
        return {"slope": self.slope}

    def batch(self, seed: int, step: int, size: int) -> Points:
        x = torch.randn(size, 1, generator=torch.Generator().manual_seed(1000 * seed + step))
        return Points(x, self.slope * x + 1)

    def losses(self, model: torch.nn.Module, batch: Points) -> dict[str, torch.Tensor]:
        if self.steps == self.limit:
            raise RuntimeError("power cut")
        self.steps += 1
        return {"total": (model(batch.x) - batch.y).square().mean()}

    def validate(self, model: torch.nn.Module) -> dict[str, float]:
        return {"slope": float(next(model.parameters()))}


def _quiet(line: str) -> None:
    pass


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    train(Line(), tmp_path / "whole", _OPTIONS, _quiet)
    with pytest.raises(RuntimeError, match="power cut"):
        train(Line(limit=7), tmp_path / "cut", replace(_OPTIONS, save_every=0.0), _quiet)
    train(Line(), tmp_path / "cut", _OPTIONS, _quiet)
    _, whole, step = load_run(tmp_path / "whole")
    _, cut, _ = load_run(tmp_path / "cut" / LAST)
    assert step == 12
    for name, value in whole.items():
        torch.testing.assert_close(cut[name], value, rtol=0, atol=0)
    content = [torch.load(tmp_path / run / LAST, weights_only=True) for run in ("whole", "cut")]
    for name, value in content[0]["model"].items():
        torch.testing.assert_close(content[1]["model"][name], value, rtol=0, atol=0)


class Layers(Line):
    """Has a matrix that is large enough for Muon, and a layer that learns at a tenth of the rate."""

    def __init__(self, limit: int | None = None) -> None:
        super().__init__(limit=limit)
        self.model = torch.nn.Sequential(torch.nn.Linear(1, 64), torch.nn.Linear(64, 64), torch.nn.Linear(64, 1))

    def validate(self, model: torch.nn.Module) -> dict[str, float]:
        return {}

    def rate(self, name: str) -> float:
        return 0.1 if name.startswith("2.") else 1.0


def test_with_muon_too(tmp_path: Path) -> None:
    options = replace(_OPTIONS, muon=True)
    train(Layers(), tmp_path / "whole", options, _quiet)
    with pytest.raises(RuntimeError, match="power cut"):
        train(Layers(limit=7), tmp_path / "cut", replace(options, save_every=0.0), _quiet)
    with pytest.raises(HumanrtError, match="with muon = True, not None"):
        train(Layers(), tmp_path / "cut", _OPTIONS, _quiet)
    train(Layers(), tmp_path / "cut", options, _quiet)
    _, whole, _ = load_run(tmp_path / "whole")
    _, cut, _ = load_run(tmp_path / "cut")
    for name, value in whole.items():
        assert torch.equal(value, cut[name]), name


def test_runs_of_before_muon_go_on(tmp_path: Path) -> None:
    whole = _trained(tmp_path / "whole", _OPTIONS)
    with pytest.raises(RuntimeError, match="power cut"):
        train(Layers(limit=7), tmp_path / "cut", replace(_OPTIONS, save_every=0.0), _quiet)
    content = torch.load(tmp_path / "cut" / LAST, weights_only=True)
    assert "muon" not in content["description"]["options"]
    # As it was then: one optimizer, two groups, no part of the rate.
    (tmp_path / "cut" / f".{LAST}-xyz").write_bytes(b"of a save that was killed")
    for group in content["optimizer"][0]["param_groups"]:
        del group["part"]
    content["optimizer"] = content["optimizer"][0]
    torch.save(content, tmp_path / "cut" / LAST)
    cut = _trained(tmp_path / "cut", _OPTIONS)
    for name, value in whole.items():
        assert torch.equal(value, cut[name]), name
    assert not list((tmp_path / "cut").glob(".*"))


@pytest.mark.parametrize("part", ["model", "average", "optimizer"])
def test_a_run_of_another_network_is_refused_in_one_line(tmp_path: Path, part: str) -> None:
    train(Line(), tmp_path, replace(_OPTIONS, minutes=0.0), _quiet)
    content = torch.load(tmp_path / LAST, weights_only=True)
    if part == "optimizer":
        content[part][0]["param_groups"].pop()
    else:
        content[part]["old"] = content[part].pop("weight")
    torch.save(content, tmp_path / LAST)
    with pytest.raises(HumanrtError, match="the network that it holds is not this version's") as refused:
        train(Line(), tmp_path, _OPTIONS, _quiet)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


def test_averaged_weights_follow_with_batch_norms_statistics_and_counts(tmp_path: Path) -> None:
    class Normed(Line):
        def __init__(self) -> None:
            super().__init__()
            self.model = torch.nn.Sequential(torch.nn.BatchNorm1d(1), self.model)
            self.seen: list[dict[str, torch.Tensor]] = []

        def losses(self, model: torch.nn.Module, batch: Points) -> dict[str, torch.Tensor]:
            self.seen.append({name: value.clone() for name, value in model.state_dict().items()})
            return super().losses(model, batch)

        def validate(self, model: torch.nn.Module) -> dict[str, float]:
            assert not model.training
            assert self.model.training
            return {"mean": float(model[0].running_mean)}  # type: ignore[index]

    task = Normed()
    metrics = train(task, tmp_path, replace(_OPTIONS, steps=3), _quiet)
    _, average, _ = load_run(tmp_path)
    assert metrics["mean"] == float(average["0.running_mean"])
    assert int(average["0.num_batches_tracked"]) == 3
    states = [*task.seen[1:], task.model.state_dict()]
    for name in ("0.running_mean", "1.weight"):
        mean = task.seen[0][name]
        for step, state in enumerate(states):
            mean = torch.lerp(mean, state[name], 1 - min(0.9, (1 + step) / (10 + step)))
        torch.testing.assert_close(average[name], mean, rtol=1e-6, atol=0)


def test_muon_learns_matrices_alone(tmp_path: Path) -> None:
    plain, muon = (
        {name: value - Layers().model.state_dict()[name] for name, value in state.items()}
        for state in (
            _trained(tmp_path / str(by), replace(_OPTIONS, steps=1, warmup=1, decay=0.0, muon=by))
            for by in (False, True)
        )
    )
    for name, value in plain.items():
        # AdamW's first step is the rate, whatever the gradient; Muon's is a turn.
        expected = 0.1 if name.startswith("2.") else 1.0
        assert value.abs().max() == pytest.approx(expected * _OPTIONS.rate, rel=0.01)
        assert torch.equal(value, muon[name]) == (name != "1.weight")
    assert 0 < muon["1.weight"].square().mean().sqrt() < 0.3 * _OPTIONS.rate


def _trained(out: Path, options: TrainOptions) -> dict[str, torch.Tensor]:
    task = Layers()
    train(task, out, options, _quiet)
    return {name: value.detach().clone() for name, value in task.model.state_dict().items()}


def test_what_is_random_in_the_network_is_the_same_after_an_interruption(tmp_path: Path) -> None:
    class Forgetful(Line):
        def __init__(self, limit: int | None = None) -> None:
            super().__init__(limit=limit)
            self.model = torch.nn.Sequential(self.model, torch.nn.Dropout(0.5))

    train(Forgetful(), tmp_path / "whole", _OPTIONS, _quiet)
    with pytest.raises(RuntimeError, match="power cut"):
        train(Forgetful(limit=7), tmp_path / "cut", replace(_OPTIONS, save_every=0.0), _quiet)
    train(Forgetful(), tmp_path / "cut", _OPTIONS, _quiet)
    whole, cut = (load_run(tmp_path / run)[1] for run in ("whole", "cut"))
    for name, value in whole.items():
        torch.testing.assert_close(cut[name], value, rtol=0, atol=0)


def test_reports_after_an_interruption_are_means_of_the_steps_since(tmp_path: Path) -> None:
    class Flat(Line):
        def losses(self, model: torch.nn.Module, batch: Points) -> dict[str, torch.Tensor]:
            return {"total": 0 * super().losses(model, batch)["total"] + 1}

    with pytest.raises(RuntimeError, match="power cut"):
        train(Flat(limit=7), tmp_path, replace(_OPTIONS, save_every=0.0), _quiet)
    train(Flat(), tmp_path, _OPTIONS, _quiet)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {line["step"]: line["total"] for line in lines if "total" in line} == {4: 1.0, 8: 1.0, 12: 1.0}


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("batch", 0), ("report_every", 0), ("validate_every", -1), ("rate", float("nan")), ("average", 1.0)],
)
def test_options_that_are_none_are_refused(tmp_path: Path, name: str, value: float) -> None:
    with pytest.raises(HumanrtError, match=f"--{name.replace('_', '-')} is "):
        train(Line(), tmp_path / "run", replace(_OPTIONS, **{name: value}), _quiet)  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_it_learns_and_logs(tmp_path: Path) -> None:
    metrics = train(Line(), tmp_path, replace(_OPTIONS, steps=300, rate=0.05, validate_every=100), _quiet)
    assert metrics["slope"] == pytest.approx(2, abs=0.1)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[0]["total"] > lines[-2]["total"]
    assert lines[-1]["validation"] == metrics


def test_minutes_stops_early_and_keeps_everything(tmp_path: Path) -> None:
    train(Line(), tmp_path, replace(_OPTIONS, minutes=0.0), _quiet)
    assert load_run(tmp_path)[2] == 1
    train(Line(), tmp_path, _OPTIONS, _quiet)
    assert load_run(tmp_path)[2] == 12


@pytest.mark.parametrize(
    ("task", "options", "named"),
    [(Line(slope=3.0), _OPTIONS, "slope = 2.0"), (Line(), replace(_OPTIONS, rate=0.5), "rate = 0.001")],
)
def test_another_training_in_the_folder_is_refused_by_name(
    tmp_path: Path, task: Line, options: TrainOptions, named: str
) -> None:
    train(Line(), tmp_path, replace(_OPTIONS, minutes=0.0), _quiet)
    with pytest.raises(HumanrtError, match=named):
        train(task, tmp_path, options, _quiet)


def test_a_loss_that_is_no_number_stops_with_the_run_kept(tmp_path: Path) -> None:
    class Broken(Line):
        def losses(self, model: torch.nn.Module, batch: Points) -> dict[str, torch.Tensor]:
            total = super().losses(model, batch)["total"]
            return {"total": total / 0 if self.steps > 5 else total}

    with pytest.raises(HumanrtError, match="at step 5 the gradient is not finite"):
        train(Broken(), tmp_path, _OPTIONS, _quiet)
    assert load_run(tmp_path)[2] == 5


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(HumanrtError, match="--device cuda: torch cannot use it"):
        train(Line(), tmp_path, replace(_OPTIONS, device="cuda"), _quiet)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_what_is_not_a_run_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / LAST).write_bytes(content)
    with pytest.raises(HumanrtError, match=r"last\.pt"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--width", "48"), "--width is 48; it must be a multiple of 32"),
        (("--depth", "0"), "--depth is 0"),
        (("--frames", "2"), "--frames is 2"),
        (("--dropout", "1"), "--dropout is 1"),
        (("--real", "2"), "--real is 2"),
        (("--noise", "noise.npz"), "belong together"),
        ((), "needs 17 and 24; give clips made for it"),
    ],
)
def test_posebert_refuses_what_it_cannot_train(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
) -> None:
    turns = np.tile(np.eye(3, dtype=np.float32), (9, 16, 1, 1))
    points = np.zeros((9, 21, 3), np.float32)
    hand = {"t": np.arange(9) / 30, "observed": points, "score": np.ones(9), "keypoints": points, "rotations": turns}
    save_clip(tmp_path / "data" / "train" / "hand.npz", hand)
    given = ["train", "posebert", "h36m17", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "run"), *words]
    assert main(given) == 2
    assert re.search(says, capsys.readouterr().err)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def hands(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for part in ("train", "val"):
        turns = np.tile(np.eye(3, dtype=np.float32), (60, 16, 1, 1))
        points = generator.normal(0, 0.05, (60, 21, 3)).astype(np.float32)
        hand = {"t": np.arange(60) / 30, "observed": points, "score": np.ones(60)}
        save_clip(tmp_path / "data" / part / "hand.npz", hand | {"keypoints": points, "rotations": turns})
    return tmp_path / "data"


def test_posebert_is_trained_alike_from_python_by_options_and_by_a_run_file(hands: Path, tmp_path: Path) -> None:
    options = TrainOptions(steps=2, batch=2, warmup=1, validate_every=2)
    config = TrainPosebert(
        variant="hand21",
        data=hands,
        out=tmp_path / "python",
        frames=8,
        width=32,
        depth=1,
        hidden=32,
        losses=Weights(velocity=2.0),
        train=options,
    )
    train(make_task(config), config.out, config.train, _quiet)
    common = ["--steps", "2", "--batch", "2", "--warmup", "1", "--validate-every", "2", "--frames", "8"]
    network = ["--width", "32", "--depth", "1", "--hidden", "32", "--loss-velocity", "2"]
    given = ["train", "posebert", "hand21", "--data", str(hands), *common, *network]
    assert main([*given, "--out", str(tmp_path / "options")]) == 0
    file = tmp_path / "run.toml"
    file.write_text(
        f'variant = "hand21"\ndata = "{hands.as_posix()}"\nframes = 9\nwidth = 32\ndepth = 1\nhidden = 32\n'
        "[train]\nsteps = 2\nbatch = 2\nwarmup = 1\nvalidate_every = 2\n[losses]\nvelocity = 2\n"
    )
    words = ["train", "posebert", "--config", str(file), "--frames", "8", "--out", str(tmp_path / "file")]
    assert main(words) == 0
    (about, weights, step), *others = (load_run(tmp_path / name) for name in ("python", "options", "file"))
    assert step == 2
    for other_about, other, _ in others:
        assert other_about == about  # so that each goes on with what another began
        assert all(torch.equal(other[name], value) for name, value in weights.items())


def test_a_run_file_of_another_network_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.toml"
    file.write_text("backbone = 'dinov2_vits14'\n")
    words = ["train", "posebert", "hand21", "--data", ".", "--config", str(file), "--out", str(tmp_path / "run")]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "unknown setting `backbone`; choose one of: begins, borrowed, clean, data, depth" in error
    assert error.count("\n") == 1


def test_the_options_of_a_training_need_no_other_network() -> None:
    code = (
        "import sys\nfrom humanrt_export.cli import main\ntry:\n    main(['train', 'posebert', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "found = [name for name in sys.modules if name.startswith('humanrt_export.training.tasks.')]\n"
        "assert sorted(name.rpartition('.')[2] for name in found) == ['posebert', 'posebert_losses'], found\n"
        "main(['train', '--help'])\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    code = "import sys\nfrom humanrt_export.commands import train\nassert 'torch' not in sys.modules\n"
    subprocess.run([sys.executable, "-c", code], check=True)
