"""PoseFix computes what the authors' code computed on the same weights: from the file through ONNX to the runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'humanrt[export]'")
pytest.importorskip("onnx", reason="needs humanrt[export]")

import torch

from humanrt import PoseCoach, PoseEditor
from humanrt.geometry.rotation import matrices_from_vectors
from humanrt_export.conversion.posefix import export_posefix
from humanrt_export.conversion.posefix_checkpoint import load_posefix
from humanrt_export.networks.posefix import Editor, Writer
from posefix_stand_ins import golden, golden_checkpoint

EDITS = ("posefix_edit", "posefix_edit_glove")
TEXTS = ("posefix_text", "posefix_text_prompt")


def present(recorded: dict[str, np.ndarray]) -> torch.Tensor:
    return torch.arange(recorded["tokens"].shape[1]) < torch.from_numpy(recorded["lengths"])[:, None]


@pytest.mark.parametrize("name", [pytest.param(EDITS[0], marks=pytest.mark.slow), EDITS[1]])
def test_the_editor(name: str, tmp_path: Path) -> None:
    case, recorded, module = golden(name)
    network = load_posefix(golden_checkpoint(tmp_path, case, module))
    assert isinstance(network, Editor)
    given = {key: torch.from_numpy(value) for key, value in recorded.items()}
    with torch.inference_mode():
        text = network.text(given["tokens"], present(recorded))
        edited, mean, scale = network(given["pose_a"], text, torch.zeros_like(given["eps"]))
        sampled = network(given["pose_a"], text, given["eps"])[0]
        fused = network.fuse(network.pose(given["pose_a"]), text)
        found = {"text_embedding": text, "fused": fused, "mean": mean, "scale": scale}
        found["reconstructed"], found["qz_mean"], found["qz_scale"] = network.reconstruct(given["pose_b"])
    for key, value in {**found, "edited": edited, "sampled": sampled}.items():
        atol = 3e-4 if value.ndim == 4 else 2e-5
        np.testing.assert_allclose(value, recorded[key], atol=atol, err_msg=key)


@pytest.mark.parametrize("name", TEXTS)
def test_the_writer(name: str, tmp_path: Path) -> None:
    case, recorded, module = golden(name)
    network = load_posefix(golden_checkpoint(tmp_path, case, module))
    assert isinstance(network, Writer)
    poses = [torch.from_numpy(recorded[key]) for key in ("pose_a", "pose_b")]
    with torch.inference_mode():
        memory = network.memory(*poses)
        np.testing.assert_allclose(memory[:, None], recorded["memory"], atol=2e-5)
        logits, _ = network.decoder(torch.from_numpy(recorded["tokens"]), memory)
    there = present(recorded)
    np.testing.assert_allclose(logits[there], recorded["logits"][there.numpy()], atol=1e-4)


def words_file(folder: Path, case: dict[str, Any]) -> Path | None:
    if "vocabulary" not in case:
        return None
    path = folder / "words.txt"
    path.write_text("\n".join(case["vocabulary"]))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", EDITS)
def test_the_editor_as_a_bundle(name: str, tmp_path: Path) -> None:
    case, recorded, module = golden(name)
    checkpoint = golden_checkpoint(tmp_path, case, module)
    with PoseEditor(export_posefix(checkpoint, tmp_path / "bundle", words=words_file(tmp_path, case))) as editor:
        for row, length in enumerate(recorded["lengths"]):
            pose_a, ids = matrices_from_vectors(recorded["pose_a"][row]), recorded["tokens"][row, :length]
            text = editor.encode_text(token_ids=ids)
            np.testing.assert_allclose(text, recorded["text_embedding"][row], atol=2e-5)
            np.testing.assert_allclose(editor.edit(pose_a, token_ids=ids), recorded["edited"][row], atol=3e-4)
            sampled = editor.edit(pose_a, text=text, noise=recorded["eps"][row])
            np.testing.assert_allclose(sampled, recorded["sampled"][row], atol=3e-4)
            for key, value in zip(("mean", "scale"), editor.distribution(pose_a, text=text), strict=True):
                np.testing.assert_allclose(value, recorded[key][row], atol=2e-5)
            rotations, mean, scale = editor.reconstruct(recorded["pose_b"][row])
            np.testing.assert_allclose(rotations, recorded["reconstructed"][row], atol=3e-4)
            np.testing.assert_allclose((mean, scale), (recorded["qz_mean"][row], recorded["qz_scale"][row]), atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_the_writer_as_a_bundle(name: str, tmp_path: Path) -> None:
    case, recorded, module = golden(name)
    checkpoint = golden_checkpoint(tmp_path, case, module)
    limits = case["greedy"]["min_decoded_length"], case["greedy"]["max_decoded_length"]
    with PoseCoach(export_posefix(checkpoint, tmp_path / "bundle", words=words_file(tmp_path, case))) as coach:
        writer = coach._writer
        assert writer is not None
        for row, length in enumerate(recorded["lengths"]):
            poses = [matrices_from_vectors(recorded[key][row]) for key in ("pose_a", "pose_b")]
            logits = coach.logits(*poses, recorded["tokens"][row, :length])
            np.testing.assert_allclose(logits, recorded["logits"][row, :length], atol=1e-4)
            expected = recorded["greedy_tokens"][row]
            ids = coach.greedy(*poses, *limits)
            np.testing.assert_array_equal(ids, expected[: len(ids)])
            assert not expected[len(ids) :].any()
            assert writer.greedy(*poses, *limits)[1] == pytest.approx(recorded["greedy_score"][row], abs=1e-5)
            assert writer.text(ids) == case["greedy_text"][row]
