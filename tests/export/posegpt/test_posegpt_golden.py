"""PoseGPT computes what the authors' code computed on the same weights: tokens, z, logits, motion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'humanrt[export]'")
pytest.importorskip("onnx", reason="needs humanrt[export]")

import torch

from humanrt import PoseGPT
from humanrt.motion.sampling import Sampling, probabilities
from humanrt_export.conversion.hparams import read_hparams
from humanrt_export.conversion.posegpt_checkpoint import PublishedPoseGpt, load_checkpoint
from posegpt_stand_ins import VARIANTS, golden, golden_checkpoint, golden_motions


def loaded(folder: Path, case: Any, module: Any, variant: str = "causal") -> PublishedPoseGpt:
    checkpoint, hparams = golden_checkpoint(folder, case, module, variant)
    return load_checkpoint(checkpoint, read_hparams(hparams), hparams, window=case.get("frames", 128) // 2)


@pytest.mark.parametrize(
    "variant", [name if name == "causal" else pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS]
)
def test_the_auto_encoder(variant: str, tmp_path: Path) -> None:
    case, recorded, module = golden("posegpt_ae")
    model = loaded(tmp_path, case, module, variant)
    assert (model.variant, model.gpt, model.notes) == (variant, None, ())
    there = recorded["token_valid"].astype(bool)
    expected = recorded["offline_indices" if variant == "offline" else "indices"]
    clips = list(golden_motions(case, module))
    motion = np.stack([np.concatenate((R[..., :2].reshape(len(R), -1), t), axis=1) for R, t, _ in clips])
    valid = torch.from_numpy(np.stack([clip[2] for clip in clips]))
    motion = torch.from_numpy(motion.astype(np.float32))
    np.testing.assert_allclose(motion[:, ::3, ::7], recorded["x_probe"], atol=1e-6)
    with torch.inference_mode():
        z = model.auto_encoder.encode(motion, torch.ones_like(valid), valid)
        tokens = model.auto_encoder.quantizer(z).numpy()
        given = torch.from_numpy(np.where(there[..., None], expected, 0).astype(np.int64))
        decoded = model.auto_encoder.decode(given, torch.from_numpy(there))
    np.testing.assert_array_equal(tokens[there], expected[there])
    if variant != "offline":
        probed = there[:, ::5]
        np.testing.assert_allclose(z.numpy()[:, ::5, ::9][probed], recorded["z_probe"][probed], atol=2e-5)
    for clip, length in enumerate(case["lengths"]):
        frames = length if length == case["frames"] else length - 1
        found = decoded.rotations.numpy()[clip, :frames:3, ::6]
        np.testing.assert_allclose(found, recorded[f"{variant}_rot"][clip, : len(found)], atol=5e-4)
        deltas = recorded[f"{variant}_delta"][clip, :frames]
        np.testing.assert_allclose(decoded.deltas.numpy()[clip, :frames], deltas, atol=2e-5)


def test_the_gpt(tmp_path: Path) -> None:
    case, recorded, module = golden("posegpt_gpt")
    model = loaded(tmp_path, case, module)
    gpt = model.gpt
    assert gpt is not None
    given = torch.from_numpy(recorded["idx"].astype(np.int64))
    conditions = {
        "label": torch.from_numpy(recorded["actions"].astype(np.float32)),
        "duration": torch.from_numpy(recorded["seqlens"].astype(np.int64)),
    }
    with torch.inference_mode():
        logits = gpt(torch.cat((given, given[:, :1]), dim=1), **conditions).logits.numpy()
        np.testing.assert_allclose(logits[:, ::3, :, ::4], recorded["logits_probe"], atol=2e-5)
        np.testing.assert_allclose(logits[:, -1], recorded["next_logits"], atol=2e-5)
        for start, name in ((0, "free_idx"), (case["observed_tokens"], "forecast_idx")):
            expected = recorded[name]
            config = gpt.config
            cache = torch.zeros(config.blocks, 2, len(given), config.heads, config.window, config.width // config.heads)
            tokens = torch.from_numpy(expected.astype(np.int64))
            for place in range(start + 6):
                before = tokens[:, max(0, place - 1)]
                output = gpt.step(before, torch.tensor([place]), cache, **conditions)
                cache[..., place : place + 1, :] = output.cache
                if place >= start:
                    np.testing.assert_array_equal(output.logits[:, 0].argmax(-1).numpy(), expected[:, place])


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_auto_encoder_as_a_bundle(variant: str, tmp_path: Path) -> None:
    from humanrt_export.conversion.posegpt import export_published

    case, recorded, module = golden("posegpt_ae")
    bundle = export_published(*golden_checkpoint(tmp_path, case, module, variant), tmp_path / "bundle")
    there = recorded["token_valid"].astype(bool)
    expected = recorded["offline_indices" if variant == "offline" else "indices"]
    with PoseGPT(bundle) as model:
        for clip, (rotations, translation, valid) in enumerate(golden_motions(case, module)):
            tokens = model.encode(rotations, translation, valid)
            np.testing.assert_array_equal(tokens[there[clip]], expected[clip][there[clip]])
            length = case["lengths"][clip]
            if variant != "offline":
                alone = model.encode(rotations[:length], translation[:length])
                np.testing.assert_array_equal(alone, expected[clip][: length // 2])
                z = model.latents(rotations, translation, valid)[::5, ::9]
                probed = there[clip, ::5]
                np.testing.assert_allclose(z[probed], recorded["z_probe"][clip][probed], atol=2e-5)
            motion = model.decode(expected[clip][there[clip]])
            frames = length if length == case["frames"] else length - 1
            found = motion.rotations[:frames:3, ::6]
            np.testing.assert_allclose(found, recorded[f"{variant}_rot"][clip, : len(found)], atol=5e-4)
            places = recorded[f"{variant}_trans"][clip, :frames]
            np.testing.assert_allclose(motion.translation[:frames], places, atol=2e-5)
            if variant == "online":
                count = case["prefix_tokens"]
                prefix = model.decode(expected[clip][:count]).rotations[:-1, ::6]
                np.testing.assert_allclose(prefix, recorded["online_prefix_rot"][clip][: len(prefix)], atol=5e-4)


@pytest.mark.slow
def test_the_gpt_as_a_bundle(tmp_path: Path) -> None:
    from humanrt_export.conversion.posegpt import export_published

    case, recorded, module = golden("posegpt_gpt")
    bundle = export_published(*golden_checkpoint(tmp_path, case, module), tmp_path / "bundle")
    with PoseGPT(bundle) as model:
        for clip in range(3):
            about = recorded["actions"][clip], int(recorded["seqlens"][clip])
            logits = model.logits(recorded["idx"][clip], *about)
            np.testing.assert_allclose(logits[::3, :, ::4], recorded["logits_probe"][clip], atol=2e-5)
            np.testing.assert_allclose(logits[-1], recorded["next_logits"][clip], atol=2e-5)
            chances = probabilities(logits[-1], Sampling(0.7, top_k=8))
            np.testing.assert_allclose(chances, recorded["next_probs_t07_k8"][clip], atol=1e-5)
            free = model.sample(case["free_steps"], None, *about, top_k=1)
            np.testing.assert_array_equal(free, recorded["free_idx"][clip])
            seen = recorded["idx"][clip, : case["observed_tokens"]]
            forecast = model.sample(case["forecast_steps"], seen, *about, temperature=0)
            np.testing.assert_array_equal(forecast, recorded["forecast_idx"][clip])
            for name, tokens in (("free", free), ("forecast", forecast)):
                motion = model.decode(tokens)
                np.testing.assert_allclose(motion.rotations[::3, ::6], recorded[f"{name}_rot"][clip], atol=5e-4)
                np.testing.assert_allclose(motion.translation, recorded[f"{name}_trans"][clip], atol=2e-5)
