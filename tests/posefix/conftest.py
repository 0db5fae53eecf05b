"""Small bundles of PoseFix, made once from random checkpoints in the published layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from once import made_once


@pytest.fixture(scope="session")
def posefix_bundle(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``posefix_bundle("editor")``: an editor on DistilBERT; the others are below."""
    for package in ("torch", "onnx", "onnxscript"):
        pytest.importorskip(package, reason="needs humanrt[export]")
    from humanrt_export.conversion.posefix import export_posefix
    from posefix_stand_ins import PIECES, WORDS, checkpoint, editor_shapes, retrieval_shapes, writer_shapes

    kinds = {
        "editor": lambda: (editor_shapes(), PIECES),
        "editor-gru": lambda: (editor_shapes(recurrent=True), None),
        "writer": lambda: (writer_shapes(), WORDS),
        "writer-prompt": lambda: (writer_shapes(mode="prompt"), None),
        "retrieval": lambda: (retrieval_shapes(), PIECES),
        "retrieval-pairs": lambda: (retrieval_shapes(pairs=True), None),
    }
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:

            def export(folder: Path) -> Path:
                shapes, words = kinds[kind]()
                file = None
                if words is not None:
                    file = folder / "words.txt"
                    file.write_text("\n".join(words))
                return export_posefix(checkpoint(folder, shapes), folder / "bundle", words=file)

            made[kind] = made_once(tmp_path_factory, f"posefix-{kind}", export)
        return made[kind]

    return make
