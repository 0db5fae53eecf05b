"""Checkpoints of PoseGPT: what is read from a file and its settings, and what is refused."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'humanrt[export]'")

import torch

from humanrt.errors import HumanrtError
from humanrt.stats import peak_memory
from humanrt_export.checkpoint import read
from humanrt_export.conversion.hparams import read_hparams
from humanrt_export.conversion.posegpt_checkpoint import PublishedPoseGpt, load_checkpoint
from humanrt_export.networks.posegpt import AutoEncoder
from posegpt_stand_ins import Sizes, coder_shapes, gpt_shapes, tensors, write

SIZES = Sizes()


def load(folder: Path, state: dict[str, Any], sizes: Sizes = SIZES, **settings: Any) -> PublishedPoseGpt:
    checkpoint, hparams = write(folder, state, {**sizes.hparams, **settings})
    return load_checkpoint(checkpoint, read_hparams(hparams), hparams)


def a_motion(model: AutoEncoder, frames: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    return torch.randn(2, frames, model.config.motion_width, generator=random)


def test_sizes_are_read_from_the_file(tmp_path: Path) -> None:
    sizes = Sizes(joints=55, width=24, heads=3, layers=(2, 0, 1), books=2, codes=16, code_width=5, seq_len=40)
    model = load(tmp_path, tensors(gpt_shapes(sizes)), sizes)
    config = model.auto_encoder.config
    assert (config.joints, config.books, config.codes, config.code_width, config.factor) == (55, 2, 16, 5, 2)
    assert [(stack.blocks, stack.heads, stack.sampling, stack.hidden) for stack in config.encoder] == [
        (2, 3, "none", 96),
        (1, 3, "down", 96),
    ]
    assert [stack.sampling for stack in config.decoder] == ["up", "none"]
    assert (model.gpt.config.labels, model.gpt.config.durations, model.seq_len) == (60, 1024, 40)
    # Positions that were never trained are exactly zero: they end the window.
    state = tensors(gpt_shapes(sizes))
    state["gpt.pos_emb"][:, 20:] = 0
    assert load(tmp_path, state, sizes).gpt.config.window == 20


@pytest.mark.parametrize("variant", ["causal", "online", "offline"])
@pytest.mark.parametrize("masks", [True, False])
def test_the_variant_is_the_file_s(variant: str, masks: bool, tmp_path: Path) -> None:
    sizes = replace(SIZES, variant=variant)
    state = tensors(coder_shapes(sizes))
    if masks and variant != "offline":
        for coder in ("encoder", "decoder") if variant == "online" else ("encoder",):
            for block in range(2):
                state[f"{coder}_stacks.0.blocks.{block}.attn.mask"] = torch.ones(1, 1, 4, 4)
        model = load(tmp_path, state, sizes, vq_model="OfflineVQVAE")
        assert len(model.notes) == 1  # said, and the file followed
    else:
        model = load(tmp_path, state, sizes)
        assert model.notes == ()
    assert model.variant == variant
    assert [stack.causal for stack in model.auto_encoder.config.encoder] == [variant != "offline"]
    assert [stack.causal for stack in model.auto_encoder.config.decoder] == [variant == "online"]


@pytest.mark.parametrize("variant", ["causal", "online", "offline"])
def test_what_stands_behind_a_sequence_has_no_influence(variant: str, tmp_path: Path) -> None:
    sizes = replace(SIZES, layers=(1, 1, 1), variant=variant)
    model = load(tmp_path, tensors(coder_shapes(sizes)), sizes).auto_encoder
    motion = a_motion(model, 16)
    there = torch.arange(16) < 8
    with torch.inference_mode():
        alone = model.encode(motion[:, :8], torch.ones(2, 8).bool(), torch.ones(2, 8).bool())
        padded = model.encode(motion, there.expand(2, -1), torch.ones(2, 16).bool())[:, :2]
        whole = model.encode(motion, torch.ones(2, 16).bool(), torch.ones(2, 16).bool())[:, :2]
        torch.testing.assert_close(padded, alone, atol=1e-5, rtol=0)
        assert torch.allclose(whole, alone, atol=1e-5) == (variant != "offline")
        tokens = model.quantizer(model.encode(motion, torch.ones(2, 16).bool(), torch.ones(2, 16).bool()))
        alone = model.decode(tokens[:, :2], torch.ones(2, 2).bool())
        padded = model.decode(tokens, (torch.arange(4) < 2).expand(2, -1))
        torch.testing.assert_close(padded.rotations[:, :8], alone.rotations, atol=1e-4, rtol=0)
        torch.testing.assert_close(padded.deltas[:, :8], alone.deltas, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "change",
    [
        {"labels": False},
        {"durations": False},
        {"labels": False, "durations": False},
        {"concatenated": False},
        {"every_step": False, "durations": False},
    ],
)
def test_steps_agree_with_whole_passes_in_every_mode(change: dict[str, bool], tmp_path: Path) -> None:
    sizes = replace(SIZES, **change)
    state = tensors(gpt_shapes(replace(sizes, labels=True) if "labels" not in change else sizes))
    if not sizes.concatenated or not sizes.every_step:  # in the file, and not used
        state["gpt.fc_emb.weight"] = torch.zeros(32, 128)
    gpt = load(tmp_path, state, sizes).gpt
    config = gpt.config
    assert (bool(config.labels), bool(config.durations)) == (sizes.labels, sizes.durations)
    random = torch.Generator().manual_seed(2)
    tokens = torch.randint(config.codes, (2, 10, config.books), generator=random)
    conditions: dict[str, Any] = {}
    if config.labels:
        conditions["label"] = torch.eye(60)[[3, 7]]
    if config.durations:
        conditions["duration"] = torch.tensor([20, 31])
    with torch.inference_mode():
        whole = gpt(tokens, **conditions).logits
        cache = torch.zeros(config.blocks, 2, 2, config.heads, config.window, config.width // config.heads)
        for place in range(10):
            step = gpt.step(tokens[:, max(0, place - 1)], torch.tensor([place]), cache, **conditions)
            cache[..., place : place + 1, :] = step.cache
            torch.testing.assert_close(step.logits[:, 0], whole[:, place], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": 3}, r"hparams\.yaml: `heads` is 3; it must divide 16"),
        ({"heads": None}, r"`heads` is missing; give the hparams\.yaml"),
        ({"heads": "many"}, "`heads` is 'many'; it must be a whole number"),
        ({"gpt_nhead": 5}, "`gpt_nhead` is 5; it must divide 32"),
        ({"n_codebook": 2}, "`n_codebook` is 2, but the checkpoint has 4 codebooks; they do not belong together"),
        ({"n_e": 512}, "`n_e` is 512, but the checkpoint has 32 codes in all"),
        ({"n_layers": [0, 6]}, r"`n_layers` is \[0, 6\], but the checkpoint's stacks have \[2\] blocks"),
        ({"seqlen_conditional": 0}, r"`gpt\.fc_emb\.weight` takes 96 numbers; it takes 128"),
        ({"hid_dim": [32]}, r"`hid_dim` is \[32\], but the checkpoint's stacks are 16 wide"),
        ({"gpt_blocksize": 64}, "`gpt_blocksize` is 64, but the checkpoint has 96 positions in its GPT"),
        ({"gen_eos": 1}, "`gen_eos` is 1; this version reads 0 only"),
        ({"autoreg_pq": 1}, "`autoreg_pq` is 1"),
        ({"vq_model": "SomeVQVAE"}, "is SomeVQVAE; known: CausalVQVAE, OfflineVQVAE, OnlineVQVAE"),
        ({"seq_len": 1}, "`seq_len` is 1; a token alone is 2 frames"),
    ],
)
def test_settings_that_are_wrong_are_named(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    values = {**SIZES.hparams, **settings}
    if settings.get("heads", 0) is None:
        del values["heads"]
    checkpoint, hparams = write(tmp_path, tensors(gpt_shapes(SIZES)), values)
    with pytest.raises(HumanrtError, match=message) as caught:
        load_checkpoint(checkpoint, read_hparams(hparams), hparams)
    assert "\n" not in str(caught.value)


def drop(state: dict[str, Any], pattern: str) -> dict[str, Any]:
    return {key: value for key, value in state.items() if not key.startswith(pattern)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: drop(s, "vqvae."), "holds a GPT without its auto-encoder"),
        (lambda s: drop(s, "vqvae.reg_root"), r"`vqvae\.reg_root\.0\.weight` is missing"),
        (lambda s: drop(s, "gpt.list_head.2"), r"missing `gpt\.list_head\.2\.weight`"),
        (lambda s: drop(s, "vqvae.quantizer.embeddings.1"), "are not numbered from 0 on"),
        (lambda s: drop(s, "vqvae.emb"), r"`vqvae\.emb\.weight` is missing"),
        (lambda s: s | {"vqvae.new.weight": torch.zeros(3)}, r"unexpected `vqvae\.new\.weight`"),
        (lambda s: s | {"gpt.new": torch.zeros(3)}, r"unexpected `gpt\.new`"),
        (lambda s: s | {"gpt.ln_f.bias": torch.zeros(3)}, r"misshapen `gpt\.ln_f\.bias` \[3\] \(need \[32\]\)"),
        (lambda s: s | {"gpt.ln_f.bias": torch.full((32,), torch.nan)}, r"non-finite numbers in `gpt\.ln_f\.bias`"),
        (lambda s: s | {"gpt.tok_emb.weight": torch.zeros(3, 8)}, r"need \[36, 8\]"),
        (lambda s: s | {"vqvae.emb.weight": torch.zeros(16, 100)}, "takes 100 numbers a frame; known are 135"),
    ],
)
def test_files_that_do_not_fit_are_refused_by_key(change: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(HumanrtError, match=message):
        load(tmp_path, change(tensors(gpt_shapes(SIZES))))


class Huge:
    """Asks for an array, or bytes, of a size that no machine has."""

    def __init__(self, make: Any, *arguments: Any) -> None:
        self.make, self.arguments = make, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.make, self.arguments


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (np._core.multiarray._reconstruct, (np.ndarray, (1 << 40,), b"b")),
        (bytes, (1 << 40,)),
    ],
)
def test_arrays_of_the_training_are_read_and_never_of_a_size_that_a_file_asks_for(
    make: Any, arguments: tuple[Any, ...], tmp_path: Path
) -> None:
    content = {"balance_stats": {0: np.arange(3.0), 1: np.zeros((2, 2), np.int64), 2: np.zeros(0)}}
    torch.save(content, tmp_path / "good.pt")
    found = read(tmp_path / "good.pt", "PoseGPT")["balance_stats"]
    np.testing.assert_array_equal(found[0], [0, 1, 2])
    assert (found[1].shape, found[1].dtype, found[2].shape) == ((2, 2), np.int64, (0,))
    torch.save({"balance_stats": Huge(make, *arguments)}, tmp_path / "huge.pt")
    before = peak_memory()
    assert len(read(tmp_path / "huge.pt", "PoseGPT")["balance_stats"]) == 0
    assert peak_memory() - before < 1 << 28


@pytest.mark.parametrize("make", [os.system, eval, np.fromfile, np.load])
def test_whatever_else_a_file_asks_for_is_refused_by_name(make: Any, tmp_path: Path) -> None:
    torch.save({"balance_stats": Huge(make, "x")}, tmp_path / "bad.pt")
    with pytest.raises(HumanrtError, match=r"refused: it asks for `[\w.]+`, which no PoseGPT checkpoint needs"):
        read(tmp_path / "bad.pt", "PoseGPT")
