"""Our own PoseGPT in PyTorch: what it sees, and how its codes follow."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'humanrt[export]'")

import torch

from humanrt_export.networks.streaming_gpt import (
    CoderConfig,
    MotionCoder,
    StreamingGpt,
    StreamingGptConfig,
    StreamingQuantizer,
)


def randomised(model: torch.nn.Module, std: float = 0.3) -> None:
    torch.manual_seed(1)
    for value in model.parameters():
        torch.nn.init.normal_(value, std=std)
    model.eval()


@torch.inference_mode()
def test_the_coder_is_causal_and_its_reach_is_what_it_says() -> None:
    coder = MotionCoder(CoderConfig(20, 16, codes=8, code_width=2))
    randomised(coder)
    frames = torch.randn(1, 4 * 24, 20)
    z = coder.encode(frames)
    torch.testing.assert_close(coder.encode(frames[:, :28]), z[:, :7], atol=1e-5, rtol=1e-5)
    start = 5
    late = coder.encode(frames[:, 4 * start :])
    reach = coder.config.reach
    torch.testing.assert_close(late[:, reach:], z[:, start + reach :], atol=1e-5, rtol=1e-5)
    tokens = coder.quantizer(z)
    whole = coder.decode(tokens)
    torch.testing.assert_close(coder.decode(tokens[:, :7]), whole[:, :28], atol=1e-5, rtol=1e-5)
    late = coder.decode(tokens[:, start:])
    torch.testing.assert_close(late[:, 4 * reach :], whole[:, 4 * (start + reach) :], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(late[:, : 4 * reach], whole[:, 4 * start : 4 * (start + reach)], atol=1e-3)


@torch.inference_mode()
def test_steps_with_a_ring_of_any_age_are_the_whole_pass() -> None:
    config = StreamingGptConfig(books=3, codes=7, labels=4, width=24, blocks=2, heads=3, hidden=32, window=5)
    gpt = StreamingGpt(config)
    randomised(gpt)
    tokens = torch.randint(7, (1, 20, 3))
    labels = torch.rand(1, 20, 4)  # a different one at every step
    whole = gpt(tokens, labels)
    cache = torch.full((2, 2, 1, 3, config.window, 8), 1e3)  # of whatever was there before
    for place in range(20):
        hidden, row = gpt.step(tokens[:, max(0, place - 1)], torch.tensor([place]), labels[:, place], cache)
        cache[..., place % config.window, :] = row[..., 0, :]
        logits = gpt.read(hidden, tokens[:, place : place + 1])
        torch.testing.assert_close(logits[0, 0], whole[0, place], atol=1e-4, rtol=1e-4)
        # A book sees the codes of those before it, and no others.
        other = tokens[:, place : place + 1].clone()
        other[..., 1] = (other[..., 1] + 1) % 7
        changed = gpt.read(hidden, other)
        torch.testing.assert_close(changed[0, 0, :2], logits[0, 0, :2])
        assert not torch.allclose(changed[0, 0, 2], logits[0, 0, 2], atol=1e-3)
    # A million tokens later the ring still turns.
    later, _ = gpt.step(tokens[:, -1], torch.tensor([1_000_000]), labels[:, -1], cache)
    assert torch.isfinite(later).all()
    # Nothing later is seen, and nothing older than the blocks together reach.
    changed = tokens.clone()
    changed[:, 12:] = (changed[:, 12:] + 1) % 7
    torch.testing.assert_close(gpt(changed, labels)[:, :12], whole[:, :12], atol=1e-5, rtol=1e-5)
    changed = tokens.clone()
    changed[:, 0] = (changed[:, 0] + 1) % 7
    oldest = 2 * (config.window - 1)  # of two blocks, and the token before
    torch.testing.assert_close(gpt(changed, labels)[:, oldest + 2 :], whole[:, oldest + 2 :], atol=1e-5, rtol=1e-5)


def test_codes_follow_their_vectors_and_dead_ones_are_drawn_anew() -> None:
    torch.manual_seed(0)
    quantizer = StreamingQuantizer(2, 8, 3)
    centres = 4 * torch.randn(2, 8, 3)
    with torch.no_grad():
        quantizer.codes[:, :] = 0.01 * torch.randn(2, 8, 3) + 50  # all far away: one takes everything
        quantizer.sums[:, :] = quantizer.codes
    for _ in range(400):
        chosen = torch.randint(8, (64, 1))
        z = torch.cat([centres[book][chosen] for book in range(2)], dim=-1) + 0.05 * torch.randn(64, 1, 6)
        quantizer.follow(z, quantizer(z))
    chosen = torch.arange(8)[:, None]
    z = torch.cat([centres[book][chosen] for book in range(2)], dim=-1)
    assert (quantizer.look_up(quantizer(z)) - z).norm(dim=-1).mean() < 4  # it was over 100
    for book in range(2):
        # A code may stand for two centres, and two codes for one; none is left where nobody is.
        assert torch.cdist(centres[book], quantizer.codes[book]).min(dim=0).values.max() < 3
