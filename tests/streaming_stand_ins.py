"""Small random networks of our own PoseGPT, and a bundle of them."""

from __future__ import annotations

from pathlib import Path

import torch

from humanrt.motion.features import frame_numbers
from humanrt_export.conversion.posegpt_streaming import export_streaming
from humanrt_export.networks.streaming_gpt import CoderConfig, MotionCoder, StreamingGpt, StreamingGptConfig

STREAMING_LABELS = ("jump", "run", "walk")
STREAMING_WINDOW = 6


def streaming_networks() -> tuple[MotionCoder, StreamingGpt]:
    """Return small random networks of our own PoseGPT."""
    torch.manual_seed(0)
    sizes = CoderConfig(frame_numbers(22), 24, codes=16, code_width=4, frame_dilations=(2,), token_dilations=(1,))
    coder = MotionCoder(sizes)
    gpt = StreamingGpt(StreamingGptConfig(4, 16, len(STREAMING_LABELS), 32, 1, 2, 64, STREAMING_WINDOW))
    for value in (*coder.parameters(), *gpt.parameters()):
        torch.nn.init.normal_(value, std=0.3)
    for network in (coder, gpt):
        network.half().float().eval()  # as the exporter rounds them
    return coder, gpt


def streaming_bundle(folder: Path) -> Path:
    """Write a bundle of them; returns its folder."""
    return export_streaming(*streaming_networks(), STREAMING_LABELS, folder, provenance={})
