"""Training our own editor: from motion files to a bundle, resumed on the way."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'humanrt[export]'")

import torch

from humanrt import PoseEditor
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt_export.cli import main
from humanrt_export.networks.word_editor import WordEditor, WordEditorConfig
from humanrt_export.training.tasks import posefix

SMALL = ["--width", "16", "--blocks", "1", "--looks", "1", "--pairs", "12", "--threads", "1", "--batch", "8"]


@pytest.fixture(scope="module")
def motions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("motions")
    random = np.random.default_rng(0)
    for index in range(2):
        t = np.arange(90)[:, None] / 60
        poses = 0.3 * np.sin(2 * np.pi * random.uniform(0.3, 1, 165) * t + random.uniform(0, 6, 165))
        poses[:, :3] += (np.pi / 2, 0, 0)
        np.savez(folder / f"clip_{index}.npz", poses=poses, trans=np.zeros((90, 3)), mocap_frame_rate=60.0)
    return folder


def arguments(motions: Path, out: Path, steps: int) -> list[str]:
    given = ["train", "posefix", "--data", str(motions), "--out", str(out), *SMALL, "--steps", str(steps)]
    return [*given, "--report-every", "2", "--validate-every", "100", "--warmup", "1"]


def test_from_files_to_a_bundle(
    motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posefix, "_SAMPLED", 200)
    monkeypatch.setattr(posefix, "_VALIDATED", 20)
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    assert main([*arguments(motions, run, 4), "--minutes", "0"]) == 0  # stops after a step, and is gone on with
    assert main(arguments(motions, run, 4)) == 0
    assert "goes on at step 1 of 4" in capsys.readouterr().out
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert {"said", "size", "way", "place", "sure"} <= lines[0].keys()
    assert {"channels", "changes", "texts"} <= lines[-1]["validation"].keys()
    assert main(["posefix", str(run), "--out", str(bundle)]) == 0
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["licence"] == "Apache-2.0"
    assert manifest["provenance"]["training"]["step"] == 4
    with PoseEditor(bundle, threads=1) as editor:
        assert editor.joint_names == SMPLX_BODY
        assert editor.bundle.manifest["parity"]["text"]["passed"]
    assert main(["posefix", str(run), "--out", str(tmp_path / "b"), "--words", "w.txt"]) == 2
    assert main(["posefix", str(motions), "--out", str(tmp_path / "b")]) == 2
    said = capsys.readouterr().err
    assert "--words is for a .pth file" in said
    assert "no such file; give the folder of a training run" in said


def test_numbers_are_pointed_at_and_padding_is_not_seen() -> None:
    torch.manual_seed(0)
    model = WordEditor(WordEditorConfig(30, 16, 1, 1)).eval()
    words, letters = torch.randint(3, 30, (1, 6)), torch.randint(0, 9, (1, 6, 14))
    words[0, 2] = 2
    numbers, present = torch.zeros(1, 6), torch.ones(1, 6)
    numbers[0, 2] = 0.9
    vector = model.read(words, letters, numbers, present)
    assert vector.shape == (1, model.config.vector)
    rows = vector[0, :-1].unflatten(0, (-1, 18))
    assert torch.allclose(rows[:, 16], 0.9 * (1 - rows[:, 17]), atol=1e-5)
    longer = [torch.cat((one, torch.ones_like(one)), 1) for one in (words, letters, numbers)]
    padded = model.read(*longer, torch.cat((present, torch.zeros(1, 6)), 1))
    assert torch.allclose(padded, vector, atol=1e-5)
