"""Export our own embedder (`networks.pose_embedder`) as a bundle for the runtime.

=========  ==================================================  ===============================================
graph      inputs                                              outputs
=========  ==================================================  ===============================================
`picture`  `numbers` [1, F]                                    `vector` [1, D], `heading` [1, 2]
`pose`     `numbers` [P, G]                                    `vectors` [P, D]
`text`     `words`, `present` [1, L], `letters` [1, L, K]      `vector` [1, D]
`core`     `embeddings` [1, 3, D], `given` bool [1, 3]         `token` [1, D], `predicted` [1, 3, D]
`body`     `token` [1, D]                                      `rotations` [1, 22, 3, 3]
=========  ==================================================  ===============================================

Nothing is written unless all graphs, run by ONNX Runtime, agree with PyTorch.
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

from humanrt.bundle.settings import OPEN_EMBEDDER, OpenEmbedderSettings
from humanrt.editing.words import GROUPS, LONGEST, UNKNOWN, encode, word_ids
from humanrt.embedding.inputs import PICTURE_NUMBERS, POSE_NUMBERS
from humanrt.embedding.words import words_of
from humanrt.errors import HumanrtError
from humanrt.geometry.skeleton import SMPLX_BODY
from humanrt_export.conversion.bundle_writer import BundleWriter
from humanrt_export.conversion.graphs import trace
from humanrt_export.conversion.onnx_cleanup import store_as_float16
from humanrt_export.conversion.parity import Tolerances, against_pytorch, gate
from humanrt_export.conversion.settings import entries
from humanrt_export.conversion.word_editor import ACKNOWLEDGEMENT, LICENCE
from humanrt_export.networks.pose_embedder import PoseEmbedder, PoseEmbedderConfig
from humanrt_export.runs import load_run

__all__ = ["export_embedder", "load_embedder"]

LANDMARKS = "landmarks"
"""The bundle whose network looks at pictures."""
UNKNOWN_SHARE = 0.6
"""Largest share of unknown words of a text that is read."""
_POSES = 256
TOLERANCES: Tolerances = dict.fromkeys(("vector", "vectors", "heading", "token", "predicted", "rotations"), (1e-3, "1"))
"""Max differences from PyTorch in FP64, of unit vectors and numbers of the order of 1."""
_PROBE = ("the left arm is raised", "sitting, hands on the knees; looking down", "somebody squats")

Report = Callable[[str], object]


def load_embedder(run: Path) -> tuple[PoseEmbedder, tuple[str, ...], Mapping[str, Any]]:
    """Return the embedder of a run of ``humanrt-export train poseembroider``, its words, and what it says of itself.

    Raises:
        HumanrtError: it is not such a run.
    """
    description, weights, step = load_run(run)
    task = description.get("task", {})
    if task.get("network") != OPEN_EMBEDDER:
        raise HumanrtError(f"{run}: is a run of {task.get('network', 'something else')}; give that of an embedder")
    known = {field.name for field in fields(PoseEmbedderConfig)}
    model = PoseEmbedder(PoseEmbedderConfig(**{key: value for key, value in task["settings"].items() if key in known}))
    model.load_state_dict(weights)
    shown = {**task, "words": len(task["words"])}
    return model.eval().requires_grad_(False), tuple(task["words"]), {**description, "task": shown, "step": step}


def export_embedder(run: Path, out: str | Path, *, report: Report = lambda _: None) -> Path:
    """Write the bundle of a run of ``humanrt-export train poseembroider``; returns its folder.

    Weights are rounded to float16, stored as such, and float32 again once loaded.

    Args:
        run: folder of the training.
        out: folder of the bundle.
        report: called with a line for every step.

    Raises:
        HumanrtError: the folder holds no such training; or a graph failed the parity gate, and nothing is written.
    """
    model, words, description = load_embedder(run)
    model.half().float()
    report(f"read {run}: {len(words)} words, step {description['step']}")
    settings = OpenEmbedderSettings(
        width=model.config.width,
        joints=SMPLX_BODY,
        file="words.txt",
        count=len(words),
        longest=LONGEST,
        unknown=UNKNOWN_SHARE,
        landmarks=LANDMARKS,
        picture_numbers=PICTURE_NUMBERS,
        pose_numbers=POSE_NUMBERS,
        poses=_POSES,
        body_joints=SMPLX_BODY,
    )
    provenance = {
        "source": "humanrt-export train poseembroider",
        "training": description,
        "weights": "rounded to float16",
        "acknowledgement": ACKNOWLEDGEMENT,
    }
    with BundleWriter(
        Path(out),
        task="poseembroider",
        name=OPEN_EMBEDDER,
        version="1",
        licence=LICENCE,
        provenance=provenance,
        settings=entries(settings),
    ) as writer:
        writer.add_file(settings.file, ("\n".join(words) + "\n").encode())
        verdicts = {}
        for name, (module, probe) in _graphs(model, words).items():
            traced = store_as_float16(trace(module, probe[0], module.outputs, name))
            inputs = {str(value.name): _ABOUT[f"{name}.{value.name}"] for value in traced.graph.inputs}
            outputs = {str(value.name): _ABOUT[f"{name}.{value.name}"] for value in traced.graph.outputs}
            writer.add_graph(name, traced, inputs, outputs, small=True)
            verdicts[name] = against_pytorch(writer.source(name), module, module.outputs, probe, TOLERANCES)
            report(f"traced {name}")
        gate(verdicts)
        writer.manifest["parity"] = verdicts
        report("parity with PyTorch passed")
        return writer.commit()


class _Part(nn.Module):
    """One part of the network, as a graph."""

    outputs: tuple[str, ...] = ()

    def __init__(self, network: PoseEmbedder) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)


class _Picture(_Part):
    outputs = ("vector", "heading")

    def forward(self, numbers: Tensor) -> tuple[Tensor, ...]:
        return self.network.read_picture(numbers)


class _Pose(_Part):
    outputs = ("vectors",)

    def forward(self, numbers: Tensor) -> tuple[Tensor, ...]:
        return (self.network.read_pose(numbers),)


class _Text(_Part):
    outputs = ("vector",)

    def forward(self, words: Tensor, letters: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        return (self.network.read_text(words, letters, present),)


class _Core(_Part):
    outputs = ("token", "predicted")

    def forward(self, embeddings: Tensor, given: Tensor) -> tuple[Tensor, ...]:
        return self.network.fuse(embeddings, given)


class _Body(_Part):
    outputs = ("rotations",)

    def forward(self, token: Tensor) -> tuple[Tensor, ...]:
        return (self.network.read_body(token),)


def _graphs(model: PoseEmbedder, words: tuple[str, ...]) -> dict[str, tuple[_Part, list[dict[str, Tensor]]]]:
    """Return the graphs, and inputs to try them with."""
    random = torch.Generator().manual_seed(20261130)
    width = model.config.width

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random)

    vectors = nn.functional.normalize(normal(1, 3, width), dim=-1)
    subsets = torch.tensor([[True, False, False], [False, True, True], [True, True, True]])
    texts = [_text(text, words) for text in _PROBE]
    with torch.inference_mode():
        tokens = [model.fuse(vectors, subset[None])[0] for subset in subsets]
    return {
        "picture": (_Picture(model).eval(), [{"numbers": 0.5 * normal(1, PICTURE_NUMBERS)} for _ in range(2)]),
        "pose": (_Pose(model).eval(), [{"numbers": 0.08 * normal(_POSES, POSE_NUMBERS)}]),
        "text": (_Text(model).eval(), texts),
        "core": (_Core(model).eval(), [{"embeddings": vectors, "given": subset[None]} for subset in subsets]),
        "body": (_Body(model).eval(), [{"token": token.clone()} for token in tokens]),
    }


def _text(text: str, words: tuple[str, ...]) -> dict[str, Tensor]:
    """Return a text as the graph takes it."""
    encoded = encode(words_of(text), word_ids(words))
    count = len(encoded.words)
    arrays: dict[str, Any] = {
        "words": np.zeros((1, LONGEST), np.int64),
        "letters": np.zeros((1, LONGEST, GROUPS), np.int64),
        "present": np.zeros((1, LONGEST), np.float32),
    }
    arrays["words"][0, :count], arrays["letters"][0, :count], arrays["present"][0, :count] = (
        encoded.words,
        encoded.letters,
        1,
    )
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


_ABOUT = {
    "picture.numbers": "what the landmark network saw of a person (humanrt.embedding.inputs.picture_numbers)",
    "picture.vector": "unit vector",
    "picture.heading": "sine and cosine of the way the person faces; 0 is to the camera, 90 degrees to the right",
    "pose.numbers": "descriptors of poses (humanrt.search.descriptor)",
    "pose.vectors": "unit vectors",
    "text.words": f"ids of the words: {UNKNOWN} is one that is not in words.txt, the list begins at 3",
    "text.letters": "hashed groups of each word's letters, 0 behind the last (humanrt.editing.words)",
    "text.present": "1 where there is a word",
    "text.vector": "unit vector",
    "core.embeddings": "unit vectors of picture, pose, text; anything where none is given",
    "core.given": "which are given",
    "core.token": "of what is given, not normalised",
    "core.predicted": "unit vectors to find pictures, poses and texts with",
    "body.token": "of the core",
    "body.rotations": "of settings.body_joints, each against its parent's; the root's to level axes (y up), no heading",
}
