"""Small bundles of PoseGPT, made once from random checkpoints in the published layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from once import made_once


@pytest.fixture(scope="session")
def posegpt_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``posegpt_bundle("causal")``: GPT and auto-encoder; ``online``: an auto-encoder of two time resolutions alone."""
    for package in ("torch", "onnx", "onnxscript"):
        pytest.importorskip(package, reason="needs humanrt[export]")
    from humanrt_export.conversion.posegpt import export_published
    from posegpt_stand_ins import Sizes, checkpoint

    made: dict[str, Path] = {}

    def make(variant: str) -> Path:
        if variant not in made:
            whole = variant == "causal"
            sizes = Sizes(variant=variant, layers=(0, 1) if whole else (0, 1, 1), gpt_layers=1)

            def export(folder: Path) -> Path:
                files = checkpoint(folder, sizes, gpt=whole)
                return export_published(*files, folder / "bundle", window=24 if whole else 8)

            made[variant] = made_once(tmp_path_factory, f"posegpt-{variant}", export)
        return made[variant]

    return make
