"""Load checkpoints that the published code of PoseFix and PoseScript writes: ``{"model": ..., "args": Namespace}``.

A file is one of three models, told by its keys: the editor (`PoseBGenerator`), the writer (`FeedbackGenerator`), or
retrieval (`PairText`, `PoseText`). A frozen DistilBERT is inside; word lists are not (`word_lists`).

Loading is safe (no code of the file runs) and strict: see `humanrt_export.checkpoint`. Sizes are read from the shapes
of the tensors; where an argument says one too, the two must agree. Only what no tensor tells is taken from the
arguments: the decoder's number of heads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from humanrt.errors import choices
from humanrt_export.checkpoint import CheckpointError, Names, arguments, built, listed, read, tensors
from humanrt_export.conversion.shapes import Shapes
from humanrt_export.conversion.text_checkpoint import (
    BERT,
    UNNEEDED_OF_BERT,
    block_name,
    cut_table,
    transformer_text_config,
    transformer_text_name,
)
from humanrt_export.networks.gru_text import GruTextConfig
from humanrt_export.networks.posefix import (
    Editor,
    EditorConfig,
    PoseEncoderConfig,
    Retrieval,
    RetrievalConfig,
    TextConfig,
    Writer,
    WriterConfig,
)
from humanrt_export.networks.text_decoder import Mode, TextDecoderConfig

__all__ = ["LONGEST_TEXT", "load_posefix", "text_decoder_name"]

LONGEST_TEXT = 256
"""Tokens of the longest text that a writer's bundle writes; the published code stops at 200."""

_KIND = "PoseFix"
_JOINTS = 52  # of files that do not say it
_MARKS = 4  # padding, start, end, unknown
_CLASSES = {
    "PoseBGenerator": "editor",
    "FeedbackGenerator": "writer",
    "PairText": "retrieval",
    "PoseText": "retrieval",
    "CondTextPoser": "words to a pose",
    "DescriptionGenerator": "a pose to words",
}
_UNNEEDED = (
    r".*\.num_batches_tracked|decsigma_\w+|.*encoder_positional_encoding\.pe|"
    rf".*{re.escape(BERT)}{UNNEEDED_OF_BERT}"
)

_NORM = (
    ("<>weight", "<>weight"),
    ("<>bias", "<>bias"),
    ("<>mean", "<>running_mean"),
    ("<>variance", "<>running_var"),
)


def _norms(ours: str, theirs: str) -> tuple[tuple[str, str], ...]:
    return tuple((a.replace("<>", f"{ours}."), b.replace("<>", f"{theirs}.")) for a, b in _NORM)


_POSE_NAMES = Names(
    (
        *_norms("pose_norm", "1"),
        ("first.<rest>", "2.<rest>"),
        *_norms("norm", "4"),
        ("second.<rest>", "6.<rest>"),
        ("third.<rest>", "7.<rest>"),
        ("code.<rest>", "8.<rest>"),
        ("embed.<rest>", "10.<rest>"),
    )
)
_TIRG_NAMES = Names(
    (
        ("amounts", "a"),
        *_norms("gate_norm", "gated_feature_composer.1"),
        ("gate.<rest>", "gated_feature_composer.3.<rest>"),
        *_norms("change_norm", "res_info_composer.1"),
        ("change_in.<rest>", "res_info_composer.3.<rest>"),
        ("change_out.<rest>", "res_info_composer.5.<rest>"),
    )
)
_HEAD_NAMES = Names((("mean.<rest>", "mu.<rest>"), ("scale.<rest>", "logvar.<rest>")))
_POSE_DECODER_NAMES = Names((("first.<rest>", "0.<rest>"), ("second.<rest>", "3.<rest>"), ("out.<rest>", "5.<rest>")))
_GRU_NAMES = Names((("words.<rest>", "embed.<rest>"), ("gru.<rest>", "sent_enc.<rest>")))
_DECODER_NAMES = Names(
    (
        ("words.<rest>", "embedding.<rest>"),
        ("table", "positional_encoding.pe"),
        ("out.<rest>", "final_layer.<rest>"),
    )
)
_MEMORY_NAMES = Names(
    (
        ("memory_project.<rest>", "multihead_attn.in_proj_<rest>"),
        ("memory_out.<rest>", "multihead_attn.out_proj.<rest>"),
        ("memory_norm.<rest>", "norm2.<rest>"),
        ("mlp_norm.<rest>", "norm3.<rest>"),
    )
)
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")


def text_decoder_name(name: str, mode: Mode) -> str:
    """Return the file's name, behind the decoder's prefix, of a parameter of a `TextDecoder`."""
    match = _BLOCK.fullmatch(name)
    if not match:
        return _DECODER_NAMES(name)
    crossed = mode == "crossattention" and match[2].startswith(("memory_", "mlp_norm"))
    return f"transformer_decoder.layers.{match[1]}.{(_MEMORY_NAMES if crossed else block_name)(match[2])}"


def load_posefix(path: str | Path) -> Editor | Writer | Retrieval:
    """Read a checkpoint into a network for evaluation.

    Raises:
        CheckpointError: not such a file; hostile; of a model that is not read; or a key or an argument is missing,
            unexpected, misshapen, not finite or contradicts another.
    """
    path = Path(path)
    content = read(path, _KIND)
    args = _Arguments(path, arguments(path, content, _KIND))
    state = {key.removeprefix("module."): value for key, value in tensors(path, content, "model", _KIND).items()}
    if len(state) < len(content["model"]):
        raise CheckpointError(f"{path}: has some keys twice, with `module.` and without; the file is damaged")
    shapes = Shapes(path, state, "", _KIND)
    kind = _kind(shapes, args)
    args.refuse("transformer_topping", "augtokens", "learned tokens beside the text")
    for key, value in state.items():
        if key.endswith(".running_var") and value.is_floating_point() and bool((value < 0).any()):
            raise CheckpointError(f"{path}: `{key}` must not be negative: it is a variance; download it again")
    network = _LOADERS[kind](shapes, args)
    network.eval()
    return network


class _Arguments:
    """The arguments of a training."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self.path, self._values = path, values

    def get(self, name: str) -> Any:
        return self._values.get(name)

    def agree(self, name: str, found: int, what: str, absent: int | None = None) -> None:
        """Raise CheckpointError if the argument is there and says another number than the tensors do."""
        value = self._values.get(name, absent)
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int) or value != found:
            raise CheckpointError(
                f"{self.path}: argument `{name}` is {str(value)[:40]}, but the tensors have {found} {what}; the file "
                "is of several trainings, or damaged"
            )

    def integer(self, name: str, low: int, high: int) -> int:
        """Return an argument that no tensor tells."""
        value = self._values.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            problem = "is missing" if value is None else f"is {str(value)[:40]}"
            raise CheckpointError(
                f"{self.path}: argument `{name}` {problem}; a {_KIND} checkpoint says there a whole number from {low} "
                f"to {high}"
            )
        return value

    def refuse(self, name: str, value: str, what: str) -> None:
        if self._values.get(name) == value:
            raise CheckpointError(f"{self.path}: argument `{name}` is {value}: {what} are not read; no published file")


def _kind(shapes: Shapes, args: _Arguments) -> str:
    """Return which model a file holds, by its keys."""
    named = args.get("model")
    said = _CLASSES.get(str(named))
    if "text_decoder.embedding.weight" in shapes:
        found = "writer" if any(key.startswith("comparison_module.") for key in shapes.state) else "a pose to words"
    elif any(key.startswith("pose_decoder.") for key in shapes.state):
        edits = any(key.startswith("correction_module.") for key in shapes.state)
        found = "editor" if edits else "words to a pose"
    elif any("text_encoder." in key for key in shapes.state):
        found = "retrieval"
    else:
        keys = listed([f"`{key[:60]}`" for key in shapes.state], 3) or "none"
        raise CheckpointError(
            f"{shapes.path}: no checkpoint of {_KIND} or PoseScript (its keys: {keys}); give an editor, a writer or a "
            "retrieval model of theirs"
        )
    if found not in _LOADERS:
        raise CheckpointError(
            f"{shapes.path}: turns {found}; such models of PoseScript are not read, only PoseBGenerator, "
            "FeedbackGenerator, PairText and PoseText"
        )
    if named is not None and said != found:
        raise CheckpointError(
            f"{shapes.path}: argument `model` is {str(named)[:40]}, but its keys are those of the {found}; the file is "
            "damaged"
        )
    return found


# --------------------------------------------------------------------------------------------- models


def _editor(shapes: Shapes, args: _Arguments) -> Editor:
    args.refuse("correction_module_mode", "concat-mlp", "pose and text that are joined by an MLP")
    pose = _pose_encoder(shapes, args, "pose_encoder.encoder.")
    text, text_name = _text_encoder(shapes, args, "text_encoder.")
    code = shapes.of("pose_text_fusion_distribution_layer.mu.weight", 2)[0]
    args.agree("latentD", code, "numbers in a code")
    _check_joined(shapes, "correction_module.tirg.", pose.code, text.width)
    joints = shapes.of("pose_decoder.decoder.5.weight", 2)[0]
    if joints * 3 != 6 * pose.numbers:
        raise CheckpointError(
            f"{shapes.path}: the pose decoder gives {joints / 6:g} joints, the encoder takes {pose.numbers // 3}"
        )
    config = EditorConfig(pose, text, code, shapes.of("pose_decoder.decoder.0.weight", 2)[0])
    parts: Parts = {
        "pose": ("pose_encoder.encoder.", _POSE_NAMES),
        "text": ("text_encoder.", text_name),
        "fuse": ("correction_module.tirg.", _TIRG_NAMES),
        "fused": ("pose_text_fusion_distribution_layer.", _HEAD_NAMES),
        "known": ("pose_decoder_distribution_layer.", _HEAD_NAMES),
        "decode": ("pose_decoder.decoder.", _POSE_DECODER_NAMES),
    }
    state = _cut_text(shapes.state, text, "text_encoder.")
    about = "the editor as the published code writes it"
    return built(shapes.path, lambda: Editor(config), state, _named(parts), unneeded=_UNNEEDED, about=about)


def _writer(shapes: Shapes, args: _Arguments) -> Writer:
    args.refuse("comparison_module_mode", "concat-mlp", "poses that are joined by an MLP")
    pose = _pose_encoder(shapes, args, "pose_encoder.encoder.")
    width = pose.embedding or pose.code
    args.agree("latentD", width, "numbers in an embedding")
    args.agree("comparison_latentD", width, "numbers in a comparison")
    _check_joined(shapes, "comparison_module.tirg.", width, width)
    decoder = _text_decoder(shapes, args, "text_decoder.")
    config = WriterConfig(pose, decoder)
    parts: Parts = {
        "pose": ("pose_encoder.encoder.", _POSE_NAMES),
        "compare": ("comparison_module.tirg.", _TIRG_NAMES),
        "adapt": ("modalityInputAdapter.encoder_hidden_state_adaptor.", lambda name: name),
        "decoder": ("text_decoder.", lambda name: text_decoder_name(name, decoder.mode)),
    }
    state = cut_table(shapes.state, "text_decoder.positional_encoding.pe", decoder.positions)
    about = "the writer as the published code writes it"
    return built(shapes.path, lambda: Writer(config), state, _named(parts), unneeded=_UNNEEDED, about=about)


def _retrieval(shapes: Shapes, args: _Arguments) -> Retrieval:
    pose_prefix = _prefix(shapes, r"(.*\b)?pose_encoder\.encoder\.1\.weight") + "pose_encoder.encoder."
    text_prefix = _prefix(shapes, r"(.*\b)?text_encoder\.(projection\.1|embed)\.weight") + "text_encoder."
    pose = _pose_encoder(shapes, args, pose_prefix)
    if pose.embedding is None:
        raise CheckpointError(f"{shapes.path}: `{pose_prefix}10.weight` is missing; no retrieval model of {_KIND}")
    text, text_name = _text_encoder(shapes, args, text_prefix)
    args.agree("latentD", text.width, "numbers in a text's vector")
    pair_prefix, places = _pair(shapes, (pose_prefix, text_prefix))
    widths = tuple(shapes.of(f"{pair_prefix}{place}.weight", 2)[0] for place in places)
    if (widths[-1] if widths else pose.embedding) != text.width:
        raise CheckpointError(
            f"{shapes.path}: vectors of poses have {(widths or (pose.embedding,))[-1]} numbers, those of texts "
            f"{text.width}; they must be of one length"
        )
    config = RetrievalConfig(pose, text, widths)
    parts: Parts = {
        "pose": (pose_prefix, _POSE_NAMES),
        "text": (text_prefix, text_name),
        "pair": (pair_prefix, lambda name: _replaced(name, places)),
        "temperature": ("loss_weight", lambda _: ""),
    }
    state = _cut_text(shapes.state, text, text_prefix)
    if (weight := state.get("loss_weight")) is not None and weight.numel() == 1:
        state["loss_weight"] = weight.reshape(1)
    about = "a retrieval model as the published code writes it"
    return built(shapes.path, lambda: Retrieval(config), state, _named(parts), unneeded=_UNNEEDED, about=about)


_LOADERS: Mapping[str, Callable[[Shapes, _Arguments], Editor | Writer | Retrieval]] = {
    "editor": _editor,
    "writer": _writer,
    "retrieval": _retrieval,
}
Parts = Mapping[str, tuple[str, Callable[[str], str]]]


def _named(parts: Parts) -> Callable[[str], str]:
    """Return the function from our name to the file's, of a model's parts: prefix in the file, and names behind it."""

    def name_of(ours: str) -> str:
        part, _, rest = ours.partition(".")
        prefix, names = parts[part]
        return prefix + names(rest)

    return name_of


def _prefix(shapes: Shapes, pattern: str) -> str:
    """Return what stands before the part of a model that ``pattern`` finds; nothing if there is no such part."""
    return next((match[1] or "" for key in shapes.state if (match := re.fullmatch(pattern, key))), "")


def _pair(shapes: Shapes, others: tuple[str, ...]) -> tuple[str, list[int]]:
    """Return prefix and numbers of the layers that join two poses: the only numbered ones outside of the encoders."""
    rest = [key for key in shapes.state if not key.startswith(others) and key != "loss_weight"]
    found = sorted(
        {(match[1], int(match[2][:6])) for key in rest if (match := re.fullmatch(r"(.*?)(\d+)\.weight", key))}
    )
    prefixes = {prefix for prefix, _ in found}
    if len(prefixes) > 1:
        raise CheckpointError(f"{shapes.path}: layers that are not known, below {listed(sorted(prefixes), 3)}")
    return (found[0][0] if found else ""), [place for _, place in found]


def _replaced(name: str, places: list[int]) -> str:
    index, _, rest = name.partition(".")
    return f"{places[int(index)]}.{rest}"


# --------------------------------------------------------------------------------------------- parts


def _pose_encoder(shapes: Shapes, args: _Arguments, prefix: str) -> PoseEncoderConfig:
    numbers = shapes.of(f"{prefix}1.weight", 1)[0]
    if numbers % 3:
        raise CheckpointError(f"{shapes.path}: `{prefix}1.weight` has {numbers} numbers; it must have 3 for each joint")
    args.agree("num_body_joints", numbers // 3, "joints", absent=_JOINTS)
    hidden = shapes.of(f"{prefix}2.weight", 2)[0]
    embedding = shapes.of(f"{prefix}10.weight", 2)[0] if f"{prefix}10.weight" in shapes else None
    return PoseEncoderConfig(numbers, hidden, shapes.of(f"{prefix}8.weight", 2)[0], embedding)


def _text_encoder(shapes: Shapes, args: _Arguments, prefix: str) -> tuple[TextConfig, Callable[[str], str]]:
    """Return sizes of a text encoder, and the function from our names to the file's."""
    name = args.get("text_encoder_name")
    recurrent = f"{prefix}embed.weight" in shapes
    known = {"distilbert": not recurrent, "glovebigru": recurrent}
    if name is not None and not any(str(name).startswith(start) and fits for start, fits in known.items()):
        raise CheckpointError(
            f"{shapes.path}: argument `text_encoder_name` is {str(name)[:40]}, and its text encoder has "
            f"{'word vectors' if recurrent else 'no word vectors'}; those that are read begin with: {choices(known)}"
        )
    config: TextConfig
    if recurrent:
        words, inputs = shapes.of(f"{prefix}embed.weight", 2)
        config = GruTextConfig(words, inputs, 2 * shapes.of(f"{prefix}sent_enc.weight_hh_l0", 2)[1])
    else:
        config = transformer_text_config(shapes, prefix)
    args.agree("special_text_latentD", config.width, "numbers in a text's vector")
    return config, (_GRU_NAMES if recurrent else transformer_text_name)


def _cut_text(state: Mapping[str, Tensor], config: TextConfig, prefix: str) -> dict[str, Tensor]:
    if isinstance(config, GruTextConfig):
        return dict(state)
    return cut_table(state, f"{prefix}positional_encoding.pe", config.bert.positions)


def _text_decoder(shapes: Shapes, args: _Arguments, prefix: str) -> TextDecoderConfig:
    words, width = shapes.of(f"{prefix}embedding.weight", 2)
    layers = f"{prefix}transformer_decoder.layers."
    blocks = shapes.numbered(re.escape(layers) + r"(\d+)\.")
    if not blocks:
        raise CheckpointError(f"{shapes.path}: `{layers}0` is missing; not a checkpoint of {_KIND}")
    mode: Mode = "crossattention" if f"{layers}0.multihead_attn.in_proj_weight" in shapes else "prompt"
    said = args.get("transformer_mode")
    if said is not None and said != mode:
        raise CheckpointError(f"{shapes.path}: argument `transformer_mode` is {str(said)[:40]}, its keys are of {mode}")
    heads = args.integer("decoder_nhead", 1, 1024)
    if width % heads:
        raise CheckpointError(
            f"{shapes.path}: argument `decoder_nhead` is {heads}; it must divide {width}, the decoder's width"
        )
    args.agree("decoder_latentD", width, "numbers in a vector of the decoder")
    args.agree("decoder_nlayers", blocks, "blocks in the decoder")
    rows = shapes.of(f"{prefix}positional_encoding.pe", 3)[0]
    if words <= _MARKS or rows < 2:
        raise CheckpointError(f"{shapes.path}: its decoder knows {words} words and {rows} places; too few for a text")
    hidden = shapes.of(f"{layers}0.linear1.weight", 2)[0]
    return TextDecoderConfig(words, width, hidden, blocks, heads, min(rows, LONGEST_TEXT + (mode == "prompt")), mode)


def _check_joined(shapes: Shapes, prefix: str, main: int, other: int) -> None:
    """Raise CheckpointError unless a TIRG takes vectors of these sizes."""
    found = shapes.of(f"{prefix}gated_feature_composer.3.weight", 2)
    if found != (main, main + other):
        raise CheckpointError(
            f"{shapes.path}: `{prefix}gated_feature_composer.3.weight` is {list(found)}; vectors of {main} and {other} "
            f"numbers need {[main, main + other]}"
        )
