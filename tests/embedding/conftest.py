"""A small bundle of PoseEmbroider, made once from random files in the published layout."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def poseembroider_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All encoders and heads, with a tokenizer's list."""
    for package in ("torch", "onnx", "onnxscript"):
        pytest.importorskip(package, reason="needs humanrt[export]")
    from humanrt_export.conversion.poseembroider import export_published
    from poseembroider_stand_ins import checkpoints, vocabulary

    folder = tmp_path_factory.mktemp("poseembroider")
    return export_published(checkpoints(folder), folder / "bundle", tokenizer=vocabulary(folder))
