"""PoseFix's networks compute what the authors' code computed on the same weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'humanrt[export]'")
pytest.importorskip("onnx", reason="needs humanrt[export]")

import torch

from humanrt_export.checkpoint import built
from humanrt_export.conversion.shapes import Shapes
from humanrt_export.conversion.text_checkpoint import cut_table, transformer_text_config, transformer_text_name
from humanrt_export.networks.distilbert import TransformerText
from posefix_stand_ins import golden

PATH, TEXT = Path("best_model.pth"), "text_encoder."


@pytest.mark.slow
def test_the_text_encoder_on_distilbert() -> None:
    case, recorded, module = golden("posefix_edit")
    case["keys"] = {key: shape for key, shape in case["keys"].items() if key.startswith(TEXT)}
    state = {key: torch.from_numpy(value) for key, value in module.checkpoint(case).items()}
    config = transformer_text_config(Shapes(PATH, state, "", "PoseFix"), TEXT)
    network = built(
        PATH,
        lambda: TransformerText(config),
        cut_table(state, f"{TEXT}positional_encoding.pe", config.bert.positions),
        lambda name: TEXT + transformer_text_name(name),
        about="a text encoder",
    ).eval()
    tokens = torch.from_numpy(recorded["tokens"])
    present = torch.arange(tokens.shape[1]) < torch.from_numpy(recorded["lengths"])[:, None]
    with torch.inference_mode():
        features, embedding = network.bert(tokens, present), network(tokens, present)
    probed = present[:, ::3]
    found = features[:, ::3, ::31][probed]
    np.testing.assert_allclose(found, recorded["token_probe"][probed.numpy()], atol=2e-5)
    np.testing.assert_allclose(embedding, recorded["text_embedding"], atol=2e-5)
