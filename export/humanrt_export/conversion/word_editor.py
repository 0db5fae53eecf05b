"""Export our own editor (`networks.word_editor`) as a bundle for the runtime.

========  ==========================================================  =================================================
graph     inputs                                                      outputs
========  ==========================================================  =================================================
`text`    `words`, `numbers`, `present` [1, L], `letters` [1, L, G]   `vector` [1, V]
`edit`    `text` [1, V], `seen` [1, C, 3]                             `said`, `absolute`, `value` [1, C],
                                                                      `way` [1, C, 3], `place` [1, C, P], `sure` [1]
========  ==========================================================  =================================================

Nothing is written unless both graphs, run by ONNX Runtime, agree with PyTorch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from humanrt.bundle.settings import WordEditorSettings
from humanrt.editing.changes import CHANNELS, PLACES
from humanrt.editing.words import GROUPS, LONGEST, NUMBER, UNKNOWN, encode, word_ids
from humanrt.errors import HumanrtError
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt_export.conversion.bundle_writer import BundleWriter
from humanrt_export.conversion.graphs import trace
from humanrt_export.conversion.onnx_cleanup import store_as_float16
from humanrt_export.conversion.parity import Tolerances, against_pytorch, gate
from humanrt_export.conversion.settings import entries
from humanrt_export.networks.word_editor import WordEditor, WordEditorConfig
from humanrt_export.runs import load_run

__all__ = ["export_editor", "load_editor"]

NAME = "word-editor"
LICENCE = "Apache-2.0"
ACKNOWLEDGEMENT = (
    "If trained on CMU's motion: the data used in this project was obtained from mocap.cs.cmu.edu. The database was "
    "created with funding from NSF EIA-0196217."
)
SURE, UNKNOWN_SHARE = 0.5, 0.6
"""Least probability that a text asks for a change, and largest share of unknown words, of what is done."""
TOLERANCES: Tolerances = {
    **dict.fromkeys(("vector", "said", "absolute", "way", "place", "sure"), (1e-3, "1")),
    "value": (1e-3, "50 degrees or 0.25 m"),
}
"""Max differences from PyTorch in FP64; logits and vectors are of the order of 10."""
_PROBE = (
    "raise your left arm a little and bend both knees by 30 degrees",
    "hands on hips",
    "move your right foot 20 cm back, then look to the left. Keep everything else as it is.",
    "lorem ipsum",
)

Report = Callable[[str], object]


def load_editor(run: Path) -> tuple[WordEditor, tuple[str, ...], Mapping[str, Any]]:
    """Return the editor of a run of ``humanrt-export train posefix``, its words, and what the run says of itself.

    Raises:
        HumanrtError: it is not such a run, or of another version.
    """
    description, weights, step = load_run(run)
    task = description.get("task", {})
    if task.get("network") != NAME:
        raise HumanrtError(f"{run}: is a run of {task.get('network', 'something else')}; give that of an editor")
    if (tuple(task["channels"]), tuple(task["places"])) != (CHANNELS, PLACES):
        raise HumanrtError(f"{run}: changes other things than this version does; train it again")
    known = {field.name for field in fields(WordEditorConfig)}
    model = WordEditor(WordEditorConfig(**{key: value for key, value in task["settings"].items() if key in known}))
    model.load_state_dict(weights)
    shown = {**task, "words": len(task["words"])}
    return model.eval().requires_grad_(False), tuple(task["words"]), {**description, "task": shown, "step": step}


def export_editor(run: Path, out: str | Path, *, report: Report = lambda _: None) -> Path:
    """Write the bundle of a run of ``humanrt-export train posefix``; returns its folder.

    Weights are rounded to float16, stored as such, and float32 again once loaded.

    Args:
        run: folder of the training.
        out: folder of the bundle.
        report: called with a line for every step.

    Raises:
        HumanrtError: the folder holds no such training; or a graph failed the parity gate, and nothing is written.
    """
    model, words, description = load_editor(run)
    model.half().float()
    report(f"read {run}: {len(words)} words, step {description['step']}")
    settings = WordEditorSettings(
        joints=SMPLX_BODY,
        file="words.txt",
        count=len(words),
        channels=CHANNELS,
        places=PLACES,
        longest=LONGEST,
        sure=SURE,
        unknown=UNKNOWN_SHARE,
    )
    texts = [_text(text, words) for text in _PROBE]
    random = torch.Generator().manual_seed(20260301)
    seen = torch.randn(1, len(CHANNELS), 3, generator=random)
    reader, changer = _Read(model).eval(), _Change(model).eval()
    with torch.inference_mode():
        vectors = [{"text": reader(*text.values())[0], "seen": seen} for text in texts]
    graphs: dict[str, tuple[_Read | _Change, list[dict[str, Tensor]]]] = {
        "text": (reader, texts),
        "edit": (changer, vectors),
    }
    provenance = {
        "source": "humanrt-export train posefix",
        "training": description,
        "weights": "rounded to float16",
        "acknowledgement": ACKNOWLEDGEMENT,
    }
    with BundleWriter(
        Path(out),
        task="posefix",
        name=NAME,
        version="1",
        licence=LICENCE,
        provenance=provenance,
        settings=entries(settings, notes={"fp32_nodes": "all but MatMul"}),
    ) as writer:
        writer.add_file(settings.file, ("\n".join(words) + "\n").encode())
        verdicts = {}
        for name, (module, probe) in graphs.items():
            traced = store_as_float16(trace(module, probe[0], module.outputs, name))
            inputs = {value.name: _ABOUT[str(value.name)] for value in traced.graph.inputs}
            outputs = {value.name: _ABOUT[str(value.name)] for value in traced.graph.outputs}
            writer.add_graph(name, traced, inputs, outputs, small=True)
            verdicts[name] = against_pytorch(writer.source(name), module, module.outputs, probe, TOLERANCES)
            report(f"traced {name}")
        gate(verdicts)
        writer.manifest["parity"] = verdicts
        report("parity with PyTorch passed")
        return writer.commit()


class _Read(nn.Module):
    outputs = ("vector",)

    def __init__(self, network: WordEditor) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)

    def forward(self, words: Tensor, letters: Tensor, numbers: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        return (self.network.read(words, letters, numbers, present),)


class _Change(nn.Module):
    outputs = ("said", "absolute", "value", "way", "place", "sure")

    def __init__(self, network: WordEditor) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)

    def forward(self, text: Tensor, seen: Tensor) -> tuple[Tensor, ...]:
        found = self.network.change(text, seen)
        return tuple(found[name] for name in self.outputs)


def _text(text: str, words: tuple[str, ...]) -> dict[str, Tensor]:
    """Return a text as the graph takes it."""
    encoded = encode(text, word_ids(words))
    count = len(encoded.words)
    arrays: dict[str, Any] = {
        "words": np.zeros((1, LONGEST), np.int64),
        "letters": np.zeros((1, LONGEST, GROUPS), np.int64),
        "numbers": np.zeros((1, LONGEST), np.float32),
        "present": np.zeros((1, LONGEST), np.float32),
    }
    arrays["words"][0, :count], arrays["letters"][0, :count] = encoded.words, encoded.letters
    arrays["numbers"][0, :count], arrays["present"][0, :count] = encoded.numbers, 1
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


_ABOUT = {
    "words": f"ids of the words: {UNKNOWN} is one that is not in words.txt, {NUMBER} a number, the list begins at 3",
    "letters": "hashed groups of each word's letters, 0 behind the last (humanrt.editing.words)",
    "numbers": "amounts where a number stands, in units of 50 degrees or 0.25 m, else 0",
    "present": "1 where there is a word",
    "vector": "of the text; the last is the logit that it asks for a change",
    "text": "the vector of a text",
    "seen": "readings of the pose, a row for each of settings.channels (humanrt.editing.body.readings)",
    "said": "logits that a channel is to change",
    "absolute": "logits that value is the new one, not added",
    "value": "in units of 50 degrees or 0.25 m",
    "way": "directions (out, up, front) of arms, thighs, hands and feet, of any length",
    "place": "logits of settings.places for hands",
    "sure": "logit that the text asks for a change",
}
