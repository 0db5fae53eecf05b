"""Export a checkpoint of PoseFix or PoseScript as a bundle for the runtime: an editor, a writer, or retrieval.

Graphs have static shapes, for one pose of J joints (axis-angle in rad) and one text of L tokens:

=============  ==============================================  ===================================================
graph          inputs                                          outputs
=============  ==============================================  ===================================================
`text_L`       `tokens`, `present` [1, L]                      `vector` [1, D]
`edit`         `pose` [1, J, 3], `text` [1, D], `noise`        `rotations` [1, J, 3, 3], `mean`, `scale` [1, Z]
`reconstruct`  `pose` [1, J, 3]                                the same
`compare`      `pose_a`, `pose_b` [1, J, 3]                    `memory` [1, W]; `constants` [1, blocks, W]
`begin`        `token` [1], `memory`                           `logits` [1, V], `rows` [blocks, 2, heads, 2, W / heads]
`step`         `token`, `place` [1], `cache`, `constants`      `logits` [1, V], `row` [blocks, 2, heads, 1, W / heads]
`pose`         `pose` [1, J, 3]                                `vector` [1, D]
`pair`         `pose_a`, `pose_b` [1, J, 3]                    `vector` [1, D]
=============  ==============================================  ===================================================

An editor has the first three, a writer `compare` and `step` (and `begin` in mode ``prompt``), retrieval `text_L` and
`pose` or `pair`. There are several `text_L` on one file of weights: a text is padded to the next L. Attention of the
writer to a single vector does not depend on the words, so it is folded into `constants`; `row` belongs into `cache` at
`place`.

Nothing is written unless every graph, run by ONNX Runtime, agrees with PyTorch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor, nn

from humanrt.bundle.settings import EditorSettings, RetrievalSettings, TextSettings, WriterSettings
from humanrt_export.conversion.bundle_writer import BundleWriter, sha256
from humanrt_export.conversion.graphs import share_weights, trace
from humanrt_export.conversion.parity import Tolerances, against_pytorch, gate
from humanrt_export.conversion.posefix_checkpoint import load_posefix
from humanrt_export.conversion.posegpt_checkpoint import SKELETONS
from humanrt_export.conversion.settings import entries
from humanrt_export.conversion.word_lists import Words, read_words
from humanrt_export.networks.distilbert import TransformerText
from humanrt_export.networks.gru_text import GruText
from humanrt_export.networks.posefix import Editor, Retrieval, Writer
from humanrt_export.networks.text_decoder import TextDecoder

__all__ = ["LICENCE", "export_posefix", "text_lengths"]

LICENCE = "CC-BY-NC-SA-4.0"
LICENCE_NOTE = """\
This bundle was made from a checkpoint of PoseFix or PoseScript, by NAVER LABS Europe and the Institut de Robotica i
Informatica Industrial (https://github.com/naver/posescript), whose code, weights and texts are under Creative Commons
Attribution-NonCommercial-ShareAlike 4.0 (https://creativecommons.org/licenses/by-nc-sa/4.0/) and which was trained on
motion capture (AMASS) whose licence forbids commercial use. It is for non-commercial use only. A DistilBERT in it is
under Apache-2.0. humanrt, which reads it, is under Apache-2.0.
"""
LENGTHS = (16, 48, 128)
"""Tokens of texts for which there are graphs, beside the longest: most sentences take 10 to 40."""
RECURRENT_LENGTH = 256
"""Tokens of the longest text for a GRU, which takes no time for what is not there."""
TOLERANCES: Tolerances = {
    "vector": (2e-5, "1"),
    "rotations": (1e-4, "matrix entry"),
    "mean": (2e-5, "1"),
    "scale": (2e-5, "1"),
    "memory": (2e-5, "1"),
    "constants": (2e-5, "1"),
    "logits": (5e-5, "1"),
    "row": (2e-5, "1"),
    "rows": (2e-5, "1"),
}
"""Max differences from PyTorch in FP64; see `parity.against_pytorch`."""
_SEED = 20260201

Report = Callable[[str], object]
_Feeds = dict[str, Tensor]


def export_posefix(
    checkpoint: str | Path, out: str | Path, *, words: str | Path | None = None, report: Report = lambda _: None
) -> Path:
    """Write the bundle of a checkpoint; returns its folder.

    Args:
        checkpoint: `.pth` file of an editor, a writer or a retrieval model.
        out: folder of the bundle.
        words: the word list that belongs to it (`word_lists`): BERT's ``vocab.txt`` for a text encoder on DistilBERT,
            the training's list else. Without, the bundle takes and gives token ids only.
        report: called with a line for every step.

    Raises:
        HumanrtError: a file is refused, or a graph failed the parity gate. Nothing is written then.
    """
    checkpoint = Path(checkpoint)
    network = load_posefix(checkpoint)
    list_of_words = None
    if words is not None:
        bert = isinstance(network, Editor | Retrieval) and isinstance(network.text, TransformerText)
        list_of_words = read_words(words, _known(network), "wordpiece" if bert else "treebank")
    settings, graphs = _PARTS[type(network)](network, list_of_words)
    about = _about(network)
    report(f"read {checkpoint.name}: {about}")
    if words is None:
        report("note: without --words the bundle takes and gives token ids only, no words")
    notes: dict[str, Any] = {
        "rotations": "matrices, and axis-angle in rad, against the parent joint, the root's to the world, in the axes "
        "of the training (AMASS: z up, heading 0)",
        # For conversion to other precisions.
        "fp32_nodes": "all but MatMul",
    }
    if list_of_words is not None:
        notes["words"] = list_of_words.entry
    files = {checkpoint.name: {"sha256": sha256(checkpoint)}, **(list_of_words.source if list_of_words else {})}
    return _write(
        graphs,
        list_of_words,
        Path(out),
        report,
        name=f"posefix-{_KINDS[type(network)]}",
        version="1",
        licence=LICENCE,
        provenance={
            "source": "a checkpoint of the user's, in the layout of the published code of PoseFix and PoseScript",
            "authors": "Delmas, Weinzaepfel, Lucas, Moreno-Noguer, Rogez (PoseScript, ECCV 2022; PoseFix, ICCV 2023)",
            "files": files,
            "converted_by": "humanrt-export posefix",
            "tools": {
                tool: version_of(tool) for tool in ("torch", "onnx", "onnx-ir", "onnxscript", "onnxruntime", "numpy")
            },
        },
        settings=entries(settings, notes=notes),
    )


def _known(network: Editor | Writer | Retrieval) -> int:
    """Return how many words a network knows."""
    if isinstance(network, Writer):
        return network.config.decoder.words
    return _text_words(network.text)


def _text_words(text: TransformerText | GruText) -> int:
    return text.config.words if isinstance(text, GruText) else text.config.bert.pieces


def _about(network: Editor | Writer | Retrieval) -> str:
    joints = network.config.pose.numbers // 3
    if isinstance(network, Writer):
        decoder = network.config.decoder
        return f"writer, {decoder.mode}, {joints} joints, {decoder.words} words, {decoder.blocks} blocks"
    text = (
        f"{'word vectors and GRU' if isinstance(network.text, GruText) else 'DistilBERT'}, {_text_words(network.text)}"
    )
    if isinstance(network, Editor):
        return f"editor, {joints} joints, {text} words"
    return f"retrieval of {'pairs of poses' if network.config.pair else 'poses'}, {joints} joints, {text} words"


def _joints(count: int) -> tuple[str, ...]:
    """Return the names of a pose's joints, as far as skeletons of this size have names."""
    return SKELETONS.get(count) or tuple(f"joint_{index:02d}" for index in range(count))


# --------------------------------------------------------------------------------------------- graphs


class _Graph(nn.Module):
    """A function of a network as a module, for tracing."""

    def __init__(self, network: nn.Module, function: Callable[..., Any], outputs: Sequence[str]) -> None:
        super().__init__()
        self.network, self.function, self.outputs = network, function, tuple(outputs)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        result = self.function(self.network, *inputs)
        return result if isinstance(result, tuple) else (result,)


_Graphs = dict[str, tuple[_Graph, list[_Feeds]]]


def text_lengths(text: TransformerText | GruText) -> tuple[int, ...]:
    """Return the numbers of tokens for which a text encoder gets graphs, increasing."""
    if isinstance(text, GruText):
        return (RECURRENT_LENGTH,)
    longest = text.config.bert.positions
    return (*(length for length in LENGTHS if length < longest), longest)


def _text_graphs(network: Editor | Retrieval, embed: Callable[..., Any], random: torch.Generator) -> _Graphs:
    words = _text_words(network.text)
    graphs: _Graphs = {}
    for length in text_lengths(network.text):
        probe = []
        for present in dict.fromkeys((length, max(1, length // 3))):
            tokens = torch.randint(words, (1, length), generator=random)
            probe.append({"tokens": tokens, "present": (torch.arange(length) < present)[None]})
        graphs[f"text_{length}"] = _Graph(network, embed, ("vector",)), probe
    return graphs


def _poses(joints: int, names: Sequence[str], random: torch.Generator) -> list[_Feeds]:
    return [{name: size * torch.randn(1, joints, 3, generator=random) for name in names} for size in (0.3, 0.8)]


def _editor(network: Editor, _: Words | None) -> tuple[EditorSettings, _Graphs]:
    config, random = network.config, torch.Generator().manual_seed(_SEED)
    joints = config.pose.numbers // 3
    graphs = _text_graphs(network, lambda net, *given: net.text(*given), random)
    edits = [
        {
            **pose,
            "text": torch.randn(1, config.text.width, generator=random),
            "noise": amount * torch.randn(1, config.code, generator=random),
        }
        for pose, amount in zip(_poses(joints, ["pose"], random), (0.0, 1.0), strict=True)
    ]
    outputs = ("rotations", "mean", "scale")
    graphs["edit"] = _Graph(network, lambda net, *given: net(*given), outputs), edits
    graphs["reconstruct"] = (
        _Graph(network, lambda net, pose: net.reconstruct(pose), outputs),
        _poses(joints, ["pose"], random),
    )
    text = TextSettings(text_lengths(network.text), _text_words(network.text), config.text.width)
    return EditorSettings(_joints(joints), text, config.code), graphs


def _writer(network: Writer, words: Words | None) -> tuple[WriterSettings, _Graphs]:
    config, random = network.config, torch.Generator().manual_seed(_SEED)
    joints, decoder = config.pose.numbers // 3, config.decoder
    prompt = decoder.mode == "prompt"
    comparisons = _poses(joints, ["pose_a", "pose_b"], random)
    graphs: _Graphs = {}
    if prompt:
        graphs["compare"] = _Graph(network, lambda net, a, b: net.memory(a, b), ("memory",)), comparisons
        begins = [
            {"token": torch.tensor([index]), "memory": torch.randn(1, decoder.width, generator=random)}
            for index in (0, decoder.words - 1)
        ]
        graphs["begin"] = _Graph(network.decoder, _begin, ("logits", "rows")), begins
    else:
        graphs["compare"] = _Graph(network, _constants, ("memory", "constants")), comparisons
    shape = (decoder.blocks, 2, decoder.heads, decoder.positions, decoder.width // decoder.heads)
    steps = []
    for place in dict.fromkeys((decoder.before, decoder.positions // 3, decoder.positions - 1)):
        feeds = {
            "token": torch.randint(decoder.words, (1,), generator=random),
            "place": torch.tensor([place]),
            "cache": torch.randn(shape, generator=random),
        }
        constants = torch.randn(1, decoder.blocks, decoder.width, generator=random)
        steps.append(feeds if prompt else {**feeds, "constants": constants})
    graphs["step"] = _Graph(network.decoder, _step, ("logits", "row")), steps
    start, end, padding = _marks(words)
    return (
        WriterSettings(_joints(joints), decoder.mode, decoder.words, decoder.longest, start, end, padding),
        graphs,
    )


def _constants(network: Writer, pose_a: Tensor, pose_b: Tensor) -> tuple[Tensor, Tensor]:
    memory = network.memory(pose_a, pose_b)
    return memory, network.decoder.constants(memory)


def _begin(decoder: TextDecoder, token: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    logits, rows = decoder(token[:, None], memory)
    return logits[:, 0], rows[:, :, 0]


def _step(
    decoder: TextDecoder, token: Tensor, place: Tensor, cache: Tensor, constants: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    return decoder.step(token, place, cache, constants)


def _marks(words: Words | None) -> tuple[int, int, int]:
    """Return the ids of start, end and padding: the list's, or where the published lists have them."""
    if words is None:
        return 1, 2, 0
    start, end, padding = (words.words.index(mark) for mark in ("<start>", "<end>", "<pad>"))
    return start, end, padding


def _retrieval(network: Retrieval, _: Words | None) -> tuple[RetrievalSettings, _Graphs]:
    config, random = network.config, torch.Generator().manual_seed(_SEED)
    joints = config.pose.numbers // 3
    graphs = _text_graphs(network, lambda net, *given: net.embed_text(*given), random)
    if config.pair:
        pairs = _poses(joints, ["pose_a", "pose_b"], random)
        graphs["pair"] = _Graph(network, lambda net, a, b: net.embed_pair(a, b), ("vector",)), pairs
    else:
        poses = _poses(joints, ["pose"], random)
        graphs["pose"] = _Graph(network, lambda net, pose: net.pose(pose), ("vector",)), poses
    text = TextSettings(text_lengths(network.text), _text_words(network.text), config.text.width)
    return RetrievalSettings(_joints(joints), text, bool(config.pair), float(network.temperature)), graphs


_PARTS: Mapping[type, Callable[..., tuple[EditorSettings | WriterSettings | RetrievalSettings, _Graphs]]] = {
    Editor: _editor,
    Writer: _writer,
    Retrieval: _retrieval,
}
_KINDS = {Editor: "editor", Writer: "writer", Retrieval: "retrieval"}


def _write(modules: _Graphs, words: Words | None, out: Path, report: Report, **about: Any) -> Path:
    """Trace the graphs, check each against PyTorch, and write the bundle."""
    graphs: dict[str, ir.Model] = {}
    for name, (module, probe) in modules.items():
        with _operators(module):
            graphs[name] = trace(module.eval(), probe[0], module.outputs, name)
        report(f"traced {name}")
    with BundleWriter(out, task="posefix", **about) as writer:
        writer.add_file("LICENCE-NOTE.txt", LICENCE_NOTE.encode())
        if words is not None:
            words.add_to(writer)
        for kind, members in _sharing(graphs).items():
            writer.add_file(f"{kind}.bin", share_weights(members, f"{kind}.bin"))
        verdicts = {}
        for name, graph in graphs.items():
            inputs = {value.name: _TEXTS[value.name] for value in graph.graph.inputs}
            outputs = {value.name: _TEXTS[value.name] for value in graph.graph.outputs}
            writer.add_graph(name, graph, inputs, outputs)
            module, probe = modules[name]
            verdicts[name] = against_pytorch(writer.source(name), module, module.outputs, probe, TOLERANCES)
        gate(verdicts)
        writer.manifest["parity"] = verdicts
        report("parity with PyTorch passed")
        return writer.commit()


def _sharing(graphs: Mapping[str, ir.Model]) -> dict[str, list[ir.Model]]:
    """Return the graphs that share a file of weights, by its name."""
    texts = [graph for name, graph in graphs.items() if name.startswith("text_")]
    writing = [graphs[name] for name in ("begin", "step") if name in graphs]
    editing = [graphs[name] for name in ("edit", "reconstruct") if name in graphs]
    kinds = (("text", texts), ("writer", writing), ("editor", editing))
    return {kind: members for kind, members in kinds if len(members) > 1}


@contextlib.contextmanager
def _operators(module: nn.Module) -> Iterator[None]:
    """Let a module emit ONNX's operators where PyTorch's own cannot be traced."""
    recurrent = [part for part in module.modules() if isinstance(part, GruText)]
    for part in recurrent:
        part.emit_operator(True)
    try:
        yield
    finally:
        for part in recurrent:
            part.emit_operator(False)


_TEXTS = {
    "tokens": "ids of the words, or pieces of words, from the start's to the end's",
    "present": "true up to the end of the text; what `tokens` holds behind it has no influence",
    "vector": "of the text, the pose, or the pair of poses; of retrieval models of length 1",
    "pose": "axis-angle vectors of settings.joints, rad, against the parent joint; the root's to the world",
    "pose_a": "the pose from which the words go, as `pose`",
    "pose_b": "the pose to which the words go, as `pose`",
    "text": "`vector` of the text",
    "noise": "standard deviations from the most probable code; zeros give the most probable pose",
    "rotations": "matrices of settings.joints, against the parent joint; the root's to the world",
    "mean": "of the latent code",
    "scale": "standard deviations of the latent code",
    "memory": "vector of the difference of two poses",
    "constants": "what each block adds for `memory`",
    "token": "id of the word before",
    "place": "how many rows of `cache` were written before",
    "cache": "keys and values of earlier words, blocks x (key, value) x heads x places x numbers",
    "logits": "of the next word, before softmax",
    "row": "keys and values of this word, for the cache",
    "rows": "keys and values of the poses and of this word, the first two of the cache",
}
