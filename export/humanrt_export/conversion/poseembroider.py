"""Export the files of a published PoseEmbroider as a bundle for the runtime.

Graphs have static shapes, for one item of D numbers:

===========  =========================================================  ==============================================
graph        inputs                                                     outputs
===========  =========================================================  ==============================================
`image`      `image` [1, 3, H, W], R, G, B in 0..1                      `vector` [1, D]
`pose`       `axis_angle` [1, J, 3] rad                                 `vector` [1, D]
`text_L`     `tokens` [1, L], `present` [1, L]                          `vector` [1, D]
`core`       `embeddings` [1, 3, D], `given` [1, 3]                     `token` [1, D], `predicted` [1, 3, D]
`body`       `token` [1, D]                                             `rotations` [1, J, 3, 3], `shape` [1, S]
`compare`    `token_a`, `token_b` [1, D]                                `memory` [1, 1, W], `constants`
`write`      `token`, `place` [1], `cache`, `constants`                 `logits` [1, words], `row`
===========  =========================================================  ==============================================

The core is one graph for every subset: what is not `given` is masked, which is the same as a sequence without it. The
graphs of texts share one file of weights, and are for texts of at most L tokens. An instruction is written from one
vector, so that attention to it is a constant of each block. Graphs whose file was not given are left out.

Nothing is written unless every graph, run by ONNX Runtime, agrees with PyTorch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn

from humanrt.bundle.settings import MODALITIES, PoseEmbroiderSettings, TextSettings
from humanrt.errors import HumanrtError
from humanrt.text.wordpiece import WordPiece
from humanrt_export.conversion.bundle_writer import BundleWriter, sha256
from humanrt_export.conversion.graphs import share_weights, trace
from humanrt_export.conversion.parity import Tolerances, against_pytorch, gate
from humanrt_export.conversion.poseembroider_checkpoint import PublishedPoseEmbroider, load_checkpoints
from humanrt_export.conversion.posegpt_checkpoint import SKELETONS
from humanrt_export.conversion.settings import entries
from humanrt_export.conversion.word_lists import Words, read_words
from humanrt_export.networks.poseembroider import BodyHead, Embroider, PictureEncoder, ProjectedEncoder, Writer

__all__ = ["LICENCE", "export_published"]

LICENCE = "CC-BY-NC-SA-4.0"
LICENCE_NOTE = """\
This bundle was made from checkpoints that its user brought: PoseEmbroider, PoseText and PoseVAE by NAVER LABS Europe
(https://github.com/naver/poseembroider), under Creative Commons Attribution-NonCommercial-ShareAlike 4.0
(https://creativecommons.org/licenses/by-nc-sa/4.0/), and, where pictures are embedded, the ViT of SMPLer-X, under the
S-Lab Licence 1.0, which is for non-commercial use. It is for non-commercial use only. humanrt, which reads it, is under
Apache-2.0.
"""
TEXT_LENGTHS = (64, 192, 512)
"""Tokens of the text graphs, where the network reads as many; the longest that it reads is always there."""
TOLERANCES: Tolerances = {
    "vector": (1e-5, "1"),
    "token": (5e-5, "1"),
    "predicted": (1e-5, "1"),
    "rotations": (1e-4, "matrix entry"),
    "shape": (5e-5, "1"),
    "memory": (5e-5, "1"),
    "constants": (5e-5, "1"),
    "logits": (5e-5, "1"),
    "row": (5e-5, "1"),
}
"""Max differences from PyTorch in FP64, see `parity.against_pytorch`."""
_MARKS = (101, 102, 0)  # start, end, padding of BERT's uncased list; without --tokenizer
_SEED = 20260101

Report = Callable[[str], object]
_Feeds = dict[str, Tensor]


def export_published(
    checkpoints: Sequence[str | Path],
    out: str | Path,
    *,
    tokenizer: str | Path | None = None,
    report: Report = lambda _: None,
) -> Path:
    """Write the bundle of a set of files; returns its folder.

    Args:
        checkpoints: the files, in any order: the core, and whichever encoders and heads are wanted.
        out: folder of the bundle.
        tokenizer: `vocab.txt` of the text encoder's WordPieces; without, texts are given as ids of tokens.
        report: called with a line for every step.

    Raises:
        HumanrtError: a file is refused, or a graph failed the parity gate. Nothing is written then.
    """
    loaded = load_checkpoints(checkpoints)
    words = None if tokenizer is None else _words(tokenizer, loaded)
    settings = _settings(loaded, words)
    report(f"read {len(loaded.files)} files: {settings.width} numbers, of {', '.join(settings.modalities)}")
    if settings.together < len(MODALITIES):
        report(
            f"note: this core's training combined at most {settings.together} of {', '.join(MODALITIES)}; what comes "
            "out of all three at once was never trained or measured, and the runtime says so"
        )
    return _write(
        _modules(loaded, settings),
        words,
        Path(out),
        report,
        name="poseembroider-published",
        version="1",
        licence=LICENCE,
        provenance={
            "source": "checkpoints that the user brought",
            "authors": "Delmas, Weinzaepfel, Moreno-Noguer, Rogez, NAVER LABS Europe (PoseEmbroider, PoseScript); the "
            "picture's trunk: SMPLer-X",
            "files": {path.name: {"sha256": sha256(path), "holds": kind.title} for kind, path in loaded.files.items()},
            **({"tokenizer": dict(words.source)} if words else {}),
            "converted_by": "humanrt-export poseembroider",
            "tools": {
                tool: version_of(tool) for tool in ("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy")
            },
        },
        settings=entries(
            settings,
            notes={
                "poses": "axis-angle against the parent joint, SMPL-X; the root turned by the user as in the training: "
                "the hips face the front, then 90 degrees about x (z up)",
                "picture": "RGB / 255, nothing subtracted; the person's box and 5 % of its diagonal, padded to 4:3",
                **({"words": words.entry} if words else {}),
            },
        ),
    )


def _pieces(loaded: PublishedPoseEmbroider) -> int:
    """Return the number of WordPieces; 0 if no file reads or writes words."""
    if loaded.text:
        return int(loaded.text.trunk.bert.config.pieces)
    return loaded.writer.decoder.config.words if loaded.writer else 0


def _words(tokenizer: str | Path, loaded: PublishedPoseEmbroider) -> Words:
    pieces = _pieces(loaded)
    if not pieces:
        raise HumanrtError(f"--tokenizer {tokenizer}: none of the files reads or writes words; leave it out")
    try:
        return read_words(tokenizer, pieces, WordPiece.KIND)
    except HumanrtError as error:
        raise HumanrtError(str(error).replace("--words", "--tokenizer", 1)) from error


def _settings(loaded: PublishedPoseEmbroider, words: Words | None) -> PoseEmbroiderSettings:
    width, text = loaded.embroider.core.config.width, None
    if loaded.text:
        longest = int(loaded.text.trunk.bert.config.positions)
        lengths = (*(length for length in TEXT_LENGTHS if length < longest), longest)
        text = TextSettings(lengths, _pieces(loaded), width)
    start, end, padding = _MARKS
    if words:
        listed = WordPiece(words.words)
        start, end, padding = listed.start, listed.end, listed.padding
    return PoseEmbroiderSettings(
        width=width,
        modalities=tuple(name for name in MODALITIES if getattr(loaded, name) is not None),
        together=loaded.together,
        joints=SKELETONS[int(loaded.pose.trunk.joints)] if loaded.pose else (),
        image_size=loaded.image.trunk.config.size if loaded.image else (0, 0),
        text=text,
        words=_pieces(loaded),
        start=start,
        end=end,
        padding=padding,
        body_joints=SKELETONS[loaded.body.joints] if loaded.body else (),
        shapes=loaded.body.shapes if loaded.body else 0,
        longest=loaded.writer.decoder.config.positions if loaded.writer else 0,
    )


# --------------------------------------------------------------------------------------------- graphs


class _Encoder(nn.Module):
    outputs = ("vector",)

    def __init__(self, network: PictureEncoder | ProjectedEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, given: Tensor) -> tuple[Tensor, ...]:
        return (self.network(given),)


class _Text(nn.Module):
    outputs = ("vector",)

    def __init__(self, network: ProjectedEncoder) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        return (self.network(tokens, present),)


class _Core(nn.Module):
    outputs = ("token", "predicted")

    def __init__(self, network: Embroider) -> None:
        super().__init__()
        self.network = network.core

    def forward(self, embeddings: Tensor, given: Tensor) -> tuple[Tensor, ...]:
        token = self.network(embeddings, given)
        return token, torch.stack(self.network.predicted(token), dim=1)


class _Body(nn.Module):
    def __init__(self, network: BodyHead) -> None:
        super().__init__()
        self.network = network
        self.outputs = ("rotations", "shape") if network.shape else ("rotations",)

    def forward(self, token: Tensor) -> tuple[Tensor, ...]:
        out: tuple[Tensor, ...] = self.network(token)
        return out


class _Compare(nn.Module):
    outputs = ("memory", "constants")

    def __init__(self, network: Writer) -> None:
        super().__init__()
        self.network = network

    def forward(self, token_a: Tensor, token_b: Tensor) -> tuple[Tensor, ...]:
        memory = self.network.memory(token_a, token_b)
        return memory[:, None], self.network.decoder.constants(memory)


class _Write(nn.Module):
    outputs = ("logits", "row")

    def __init__(self, network: Writer) -> None:
        super().__init__()
        self.network = network.decoder

    def forward(self, token: Tensor, place: Tensor, cache: Tensor, constants: Tensor) -> tuple[Tensor, ...]:
        return self.network.step(token, place, cache, constants)


_Graph = _Encoder | _Text | _Compare | _Write | _Core | _Body


def _modules(loaded: PublishedPoseEmbroider, settings: PoseEmbroiderSettings) -> dict[str, tuple[_Graph, list[_Feeds]]]:
    """Return the graphs' modules by name, each with inputs to try them on."""
    random = torch.Generator().manual_seed(_SEED)
    graphs: dict[str, tuple[_Graph, list[_Feeds]]] = {}
    if loaded.image:
        rows, columns = loaded.image.trunk.config.rows, loaded.image.trunk.config.columns
        blocks = torch.rand(1, 3, 2 * rows, 2 * columns, generator=random)
        picture = blocks.repeat_interleave(8, 2).repeat_interleave(8, 3)
        graphs["image"] = _Encoder(loaded.image), [{"image": picture}]
    if loaded.pose:
        vectors = [0.7 * torch.randn(1, len(settings.joints), 3, generator=random) for _ in range(3)]
        graphs["pose"] = _Encoder(loaded.pose), [{"axis_angle": one} for one in vectors]
    if loaded.text and settings.text:
        for length in settings.text.lengths:
            tokens = torch.randint(settings.words, (1, length), generator=random)
            counts = dict.fromkeys((max(2, length // 4), length))
            texts = [{"tokens": tokens, "present": (torch.arange(length) < count)[None]} for count in counts]
            graphs[f"text_{length}"] = _Text(loaded.text), texts
    core, probe = _Core(loaded.embroider), []
    for subset in range(1, 1 << len(MODALITIES)):
        embeddings = torch.rand(1, len(MODALITIES), settings.width, generator=random)
        embeddings = embeddings / embeddings.norm(dim=-1, keepdim=True)
        given = torch.tensor([[bool(subset >> place & 1) for place in range(len(MODALITIES))]])
        probe.append({"embeddings": embeddings, "given": given})
    graphs["core"] = core, probe
    with torch.inference_mode():
        tokens = [core(**feeds)[0].clone() for feeds in probe]
    if loaded.writer:
        decoder = loaded.writer.decoder
        sizes = decoder.config
        pairs = [{"token_a": a, "token_b": b} for a, b in itertools.pairwise(tokens)]
        graphs["compare"] = _Compare(loaded.writer), pairs
        shape = (sizes.blocks, 2, sizes.heads, sizes.positions, sizes.width // sizes.heads)
        steps = []
        for place in dict.fromkeys((0, 1, sizes.positions // 2, sizes.positions - 1)):
            with torch.inference_mode():
                constants = decoder.constants(loaded.writer.memory(*pairs[place % len(pairs)].values()))
            steps.append(
                {
                    "token": torch.randint(sizes.words, (1,), generator=random),
                    "place": torch.tensor([place]),
                    "cache": torch.randn(shape, generator=random),
                    "constants": constants.clone(),
                }
            )
        graphs["write"] = _Write(loaded.writer), steps
    if loaded.body:
        graphs["body"] = _Body(loaded.body), [{"token": token} for token in tokens]
    return graphs


def _write(
    modules: Mapping[str, tuple[_Graph, list[_Feeds]]], words: Words | None, out: Path, report: Report, **about: Any
) -> Path:
    """Trace the graphs, check each against PyTorch, and write the bundle."""
    graphs: dict[str, ir.Model] = {}
    for name, (module, probe) in modules.items():
        graphs[name] = trace(module.eval(), probe[0], module.outputs, name)
        report(f"traced {name}")
    with BundleWriter(out, task="poseembroider", **about) as writer:
        writer.add_file("LICENCE-NOTE.txt", LICENCE_NOTE.encode())
        if words:
            words.add_to(writer)
        if texts := [graph for name, graph in graphs.items() if name.startswith("text_")]:
            writer.add_file("text.bin", share_weights(texts, "text.bin"))
        verdicts = {}
        for name, graph in graphs.items():
            inputs = {value.name: _TEXTS[value.name] for value in graph.graph.inputs}
            outputs = {value.name: _TEXTS[value.name] for value in graph.graph.outputs}
            writer.add_graph(name, graph, inputs, outputs)
            module, probe = modules[name]
            verdicts[name] = against_pytorch(writer.source(name), module, module.outputs, probe, TOLERANCES)
            report(f"checked {name}")
        gate(verdicts)
        writer.manifest["parity"] = verdicts
        report("parity with PyTorch passed")
        return writer.commit()


_TEXTS = {
    "image": "a person's picture, R, G, B from 0 to 1",
    "axis_angle": "axis-angle of settings.joints, rad, against the parent joint; norms at most pi",
    "tokens": "ids of WordPieces, marks of start and end included",
    "present": "true up to the end of the text; what `tokens` holds behind it has no influence",
    "vector": "unit vector, no entry below 0",
    "embeddings": "of image, pose and text; of what is not given anything finite",
    "given": "which of image, pose and text are there; at least one",
    "token": "what was given, as one vector, not normalised; of graph write: id of a word",
    "predicted": "unit vectors of the token in the spaces of image, pose and text, to compare embeddings with",
    "rotations": "matrices of settings.body_joints against the parent joint, in the frame of the training's poses",
    "shape": "SMPL-X shape coefficients",
    "token_a": "token of what is there",
    "token_b": "token of what is wanted",
    "memory": "the vector that the instruction is written from",
    "constants": "what attention to `memory` adds in each block: [1, blocks, numbers]",
    "place": "how many words stand before it",
    "cache": "keys and values of the words before: [blocks, 2, heads, places, numbers]",
    "row": "keys and values of this word, for the row `place` of the cache",
    "logits": "of the word behind it",
}
