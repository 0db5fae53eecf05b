"""A small bundle of PoseEmbroider, made once from random files in the published layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from once import made_once


@pytest.fixture(scope="session")
def poseembroider_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All encoders and heads, with a tokenizer's list."""
    for package in ("torch", "onnx", "onnxscript"):
        pytest.importorskip(package, reason="needs humanrt[export]")
    from humanrt_export.conversion.poseembroider import export_published
    from poseembroider_stand_ins import checkpoints, vocabulary

    return made_once(
        tmp_path_factory,
        "poseembroider",
        lambda folder: export_published(checkpoints(folder), folder / "bundle", tokenizer=vocabulary(folder)),
    )
