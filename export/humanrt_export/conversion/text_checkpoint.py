"""Sizes and names of the published text encoder on DistilBERT, as its checkpoints hold it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from humanrt_export.checkpoint import CheckpointError, Names
from humanrt_export.conversion.shapes import Shapes
from humanrt_export.networks.distilbert import DistilBertConfig, TransformerTextConfig

__all__ = ["UNNEEDED_OF_BERT", "block_name", "cut_table", "transformer_text_config", "transformer_text_name"]

BERT = "pretrained_text_encoder."
UNNEEDED_OF_BERT = r"embeddings\.position_ids"
"""What files of some versions hold beside the network, as a regular expression of keys behind `BERT`."""

_BERT_HEAD = 64  # numbers of a head, of every published DistilBERT; no tensor tells
_HEADS = 4  # of the small transformer, likewise

_OWN_NAMES = Names(
    (
        ("bert.words.<rest>", f"{BERT}embeddings.word_embeddings.<rest>"),
        ("bert.positions.<rest>", f"{BERT}embeddings.position_embeddings.<rest>"),
        ("bert.norm.<rest>", f"{BERT}embeddings.LayerNorm.<rest>"),
        ("bert.blocks.<n>.project.0.<rest>", f"{BERT}transformer.layer.<n>.attention.q_lin.<rest>"),
        ("bert.blocks.<n>.project.1.<rest>", f"{BERT}transformer.layer.<n>.attention.k_lin.<rest>"),
        ("bert.blocks.<n>.project.2.<rest>", f"{BERT}transformer.layer.<n>.attention.v_lin.<rest>"),
        ("bert.blocks.<n>.attention_out.<rest>", f"{BERT}transformer.layer.<n>.attention.out_lin.<rest>"),
        ("bert.blocks.<n>.attention_norm.<rest>", f"{BERT}transformer.layer.<n>.sa_layer_norm.<rest>"),
        ("bert.blocks.<n>.mlp_in.<rest>", f"{BERT}transformer.layer.<n>.ffn.lin1.<rest>"),
        ("bert.blocks.<n>.mlp_out.<rest>", f"{BERT}transformer.layer.<n>.ffn.lin2.<rest>"),
        ("bert.blocks.<n>.mlp_norm.<rest>", f"{BERT}transformer.layer.<n>.output_layer_norm.<rest>"),
        ("project.<rest>", "projection.1.<rest>"),
        ("table", "positional_encoding.pe"),
    )
)
_BLOCK_NAMES = Names(
    (
        ("project.0.<rest>", "self_attn.in_proj_<rest>"),
        ("attention_out.<rest>", "self_attn.out_proj.<rest>"),
        ("attention_norm.<rest>", "norm1.<rest>"),
        ("mlp_in.<rest>", "linear1.<rest>"),
        ("mlp_out.<rest>", "linear2.<rest>"),
        ("mlp_norm.<rest>", "norm2.<rest>"),
    )
)
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")


def block_name(name: str) -> str:
    """Return the file's name of a parameter of a `PostNormBlock`, as PyTorch's own encoder layer names it."""
    return _BLOCK_NAMES(name)


def transformer_text_name(name: str) -> str:
    """Return the file's name, behind the encoder's prefix, of a parameter of a `TransformerText`."""
    if match := _BLOCK.fullmatch(name):
        return f"transformer_encoder.layers.{match[1]}.{block_name(match[2])}"
    return _OWN_NAMES(name)


def transformer_text_config(shapes: Shapes, prefix: str = "") -> TransformerTextConfig:
    """Read the sizes of a text encoder on DistilBERT.

    Args:
        shapes: of the checkpoint.
        prefix: what stands before the encoder's keys, such as ``text_encoder.``.

    Raises:
        CheckpointError: a tensor is missing, or sizes do not go together.
    """
    bert = f"{prefix}{BERT}"
    pieces, width = shapes.of(f"{bert}embeddings.word_embeddings.weight", 2)
    blocks = shapes.numbered(re.escape(bert) + r"transformer\.layer\.(\d+)\.")
    own_blocks = shapes.numbered(re.escape(prefix) + r"transformer_encoder\.layers\.(\d+)\.")
    own = shapes.of(f"{prefix}projection.1.weight", 2)[0]
    heads = max(1, width // _BERT_HEAD)
    for name, size, parts in ((f"{bert}embeddings.word_embeddings", width, heads), (f"{prefix}projection.1", own, 4)):
        if size % parts:
            raise CheckpointError(
                f"{shapes.path}: `{shapes.prefix}{name}.weight` is {size} wide; it must be a multiple of {parts}, the "
                "number of heads"
            )
    if not blocks or not own_blocks:
        where = f"{bert}transformer.layer.0" if not blocks else f"{prefix}transformer_encoder.layers.0"
        raise CheckpointError(f"{shapes.path}: `{shapes.prefix}{where}` is missing; not a checkpoint of {shapes.kind}")
    return TransformerTextConfig(
        bert=DistilBertConfig(
            pieces=pieces,
            positions=shapes.of(f"{bert}embeddings.position_embeddings.weight", 2)[0],
            width=width,
            hidden=shapes.of(f"{bert}transformer.layer.0.ffn.lin1.weight", 2)[0],
            blocks=blocks,
            heads=heads,
        ),
        width=own,
        hidden=shapes.of(f"{prefix}transformer_encoder.layers.0.linear1.weight", 2)[0],
        blocks=own_blocks,
        heads=_HEADS,
    )


def cut_table(state: Mapping[str, Tensor], key: str, rows: int) -> dict[str, Tensor]:
    """Return the tensors with a table of positions [N, 1, D] cut to its first rows, all that a network reads."""
    table = state.get(key)
    if table is None or table.ndim != 3 or len(table) <= rows:
        return dict(state)
    return {**state, key: table[:rows].clone()}
