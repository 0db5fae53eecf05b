"""Training our own PoseGPT: from motion files to a bundle, in two stages that can be resumed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'humanrt[export]'")

import torch

from humanrt_export.cli import main
from humanrt_export.data.poses.labelled import JOINTS, load_labelled, read_labels
from humanrt_export.motion.body_fk import forward
from humanrt_export.networks.streaming_gpt import CoderConfig, MotionCoder, StreamingGptConfig
from humanrt_export.networks.streaming_runs import load_coder, load_gpt
from humanrt_export.training.tasks.posegpt import CoderTask, GptTask, at_pace, joints_of, moves_of

SMALL = ["--width", "32", "--frames", "16", "--codes", "8", "--books", "2", "--threads", "1"]
SHORT = ["--warmup", "1", "--batch", "4", "--report-every", "4", "--validate-every", "4"]


@pytest.fixture(scope="module")
def motions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four made-up clips of two subjects in AMASS's format, and their labels."""
    folder = tmp_path_factory.mktemp("motions")
    random = np.random.default_rng(0)
    labels = {}
    for index in range(4):
        t = np.arange(180)[:, None] / 60
        poses = 0.3 * np.sin(2 * np.pi * random.uniform(0.3, 1, 165) * t + random.uniform(0, 6, 165))
        poses[:, 3:6] *= 0.5
        trans = np.concatenate((0.5 * t, 0 * t, 0.9 + 0 * t), axis=1)
        np.savez(
            folder / f"clip_{index}.npz",
            poses=poses,
            trans=trans,
            mocap_frame_rate=60.0,
        )
        labels[f"clip_{index}"] = {"label": ("walk", "jump")[index % 2], "subject": "ab"[index // 2]}
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder


def arguments(stage: str, motions: Path, out: Path, *more: str) -> list[str]:
    given = ["train", "posegpt", stage, "--data", str(motions), "--labels", str(motions / "labels.json")]
    return [*given, "--out", str(out), *SMALL, *SHORT, *more]


def test_both_stages_from_files_to_a_bundle(
    motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    coder, gpt = tmp_path / "coder", tmp_path / "gpt"
    assert main(arguments("auto-encoder", motions, coder, "--steps", "8", "--hold-out", "b")) == 0
    assert "2 clips, 6 s, and 2, 6 s, to validate" in capsys.readouterr().out
    assert main(arguments("gpt", motions, gpt, "--steps", "8", "--coder", str(coder))) == 0
    capsys.readouterr()
    # Resumed: more steps are another training, the same ones are done.
    assert main(arguments("gpt", motions, gpt, "--steps", "8", "--coder", str(coder))) == 0
    assert "goes on at step 8 of 8" in capsys.readouterr().out
    network, labels, description = load_gpt(gpt)
    assert (labels, network.config.books, description["step"]) == (("jump", "walk"), 2, 8)
    assert load_coder(coder).config.codes == 8
    made: list[object] = []
    from humanrt_export.conversion import posegpt_streaming

    monkeypatch.setattr(posegpt_streaming, "export_streaming", lambda *given, **about: made.append(given) or given[3])
    assert main(["posegpt", str(gpt), "--coder", str(coder), "--out", str(tmp_path / "bundle")]) == 0
    assert len(made) == 1
    # Another auto-encoder's tokens mean something else.
    other = tmp_path / "other"
    assert main(arguments("auto-encoder", motions, other, "--steps", "2", "--seed", "1")) == 0
    capsys.readouterr()
    assert main(["posegpt", str(gpt), "--coder", str(other), "--out", str(tmp_path / "b")]) == 2
    assert "is not the auto-encoder on whose tokens" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stage", "more", "message"),
    [
        ("gpt", [], "--coder DIR is missing"),
        ("gpt", ["--coder", "nowhere"], "no such file"),
        ("auto-encoder", ["--hold-out", "zz"], "--hold-out names zz, of whom there is nothing; subjects: a, b"),
        ("auto-encoder", ["--frames", "18"], "--frames is 18; it must be a multiple of 4"),
        ("auto-encoder", ["--frames", "4000"], "no clip is as long as --frames 4000"),
        ("auto-encoder", ["--labels", "nowhere.json"], "cannot be read as JSON"),
    ],
)
def test_mistakes_are_one_line(
    stage: str, more: list[str], message: str, motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(stage, motions, tmp_path / "run", "--steps", "2", *more)) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "--coder DIR is missing"),
        (["--coder", "x", "--window", "3"], "--window is for a .pt file"),
    ],
)
def test_a_folder_needs_its_coder(
    more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["posegpt", str(tmp_path), "--out", str(tmp_path / "b"), *more]) == 2
    assert message in capsys.readouterr().err


def test_joints_are_the_forward_kinematics(motions: Path) -> None:
    clip = load_labelled([motions], read_labels(motions / "labels.json"))[0]
    rotations = clip.motion.rotations.copy()
    joints, _ = forward(rotations)
    heading = np.arctan2(rotations[:, 0, 0, 2] - rotations[:, 0, 2, 0], rotations[:, 0, 0, 0] + rotations[:, 0, 2, 2])
    found = joints_of(torch.from_numpy(clip.frames)).numpy()
    cosine, sine = np.cos(heading)[:, None], np.sin(heading)[:, None]
    turned = found.copy()
    turned[..., 0] = cosine * found[..., 0] + sine * found[..., 2]
    turned[..., 2] = cosine * found[..., 2] - sine * found[..., 0]
    np.testing.assert_allclose(turned, joints[:, :JOINTS], atol=1e-4)


def test_moves_are_those_of_the_joints_in_the_world(motions: Path) -> None:
    clip = load_labelled([motions], read_labels(motions / "labels.json"))[1]
    joints, _ = forward(clip.motion.rotations.copy())
    world = joints[:, :JOINTS] + clip.motion.translation[:, None]
    frames = torch.from_numpy(clip.frames)[None]
    found = moves_of(frames, joints_of(frames))[0].numpy()
    # Axes of the heading turn, lengths do not.
    np.testing.assert_allclose(
        np.linalg.norm(found, axis=-1), np.linalg.norm(np.diff(world, axis=0), axis=-1), atol=1e-4
    )
    np.testing.assert_allclose(found[..., 1], np.diff(world[..., 1], axis=0), atol=1e-4)


def test_another_pace_goes_the_same_way_in_another_time() -> None:
    t = np.arange(31, dtype=np.float32)
    source = np.stack((t, 0 * t, 0 * t + 2.0, 0 * t + 1.0, 0 * t), axis=1)
    frames = at_pace(source, 1.5, 20)
    np.testing.assert_allclose(frames[:, 0], 1.5 * np.arange(20), atol=1e-5)
    np.testing.assert_allclose(frames[:, 1:], np.tile(np.float32([0, 3.0, 1.5, 0]), (20, 1)))
    assert at_pace(source, 1.0, 31) is source


def test_batches_are_varied_and_the_same_for_the_same_step(motions: Path) -> None:
    clips = load_labelled([motions], read_labels(motions / "labels.json"))
    task = CoderTask(CoderConfig(6 * JOINTS + 4, 16), clips, clips, 16)
    first, again, other = (task.batch(0, step, 16).frames for step in (3, 3, 4))
    torch.testing.assert_close(first, again, rtol=0, atol=0)
    assert not torch.equal(first, other)
    windows = np.concatenate(
        [
            np.lib.stride_tricks.sliding_window_view(rows, 16, 0)
            for clip in clips
            for rows in (clip.frames, clip.mirrored)
        ]
    )  # [n, D, 16]
    arm, leg = 6 * 16, 6 * 1
    whole = 0
    for row in first.numpy():
        same = (np.abs(windows[:, leg : leg + 6] - row.T[leg : leg + 6]).max((1, 2)) < 1e-6).nonzero()[0]
        whole += bool(len(same)) and np.abs(windows[same[0], arm : arm + 6] - row.T[arm : arm + 6]).max() < 1e-6
    assert 2 < whole < 16  # some as they are, some with other arms or at another pace


def test_some_codes_are_misread_in_training_and_none_in_validation(motions: Path) -> None:
    clips = load_labelled([motions], read_labels(motions / "labels.json"))
    torch.manual_seed(0)
    coder = MotionCoder(CoderConfig(6 * JOINTS + 4, 16, codes=8)).eval()
    task = GptTask(StreamingGptConfig(4, 8, 2, 32, 1, 1, 32, 8), coder, ("jump", "walk"), clips, clips, 12)
    batch = task.batch(0, 1, 32)
    wrong = (batch.tokens != batch.before).float().mean()
    assert 0.03 < wrong < 0.2  # a tenth on average, an eighth of which is right by chance
    found = task.validate(task.model.eval())
    assert abs(found["labelled"] - np.log(8)) < 0.5
