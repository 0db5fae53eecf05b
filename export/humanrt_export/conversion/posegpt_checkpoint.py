"""Load checkpoints that the published code of PoseGPT writes: ``{"model_state_dict": ...}`` with ``hparams.yaml``.

The authors released no weights as far as is known: these are files that users trained with their code. A file of the
GPT holds the auto-encoder too, under ``vqvae.``; a file of the auto-encoder alone gives a model that encodes and
decodes.

Loading is safe (no code of the file runs) and strict: see `humanrt_export.checkpoint`. Sizes are read from the shapes
of the tensors. Only what no tensor tells is taken from the settings: numbers of heads, the length of a training's
sequences, and how the GPT's inputs are joined; where both tell, they must agree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from humanrt.errors import choices
from humanrt.geometry.skeleton import SMPL_24, SMPLX_55, SMPLX_BODY
from humanrt_export.checkpoint import CheckpointError, Names, built, read, tensors
from humanrt_export.conversion.hparams import HparamsError
from humanrt_export.conversion.shapes import Shapes
from humanrt_export.networks.posegpt import AutoEncoder, AutoEncoderConfig, Gpt, GptConfig, Sampling, StackConfig

__all__ = ["LABELS", "SKELETONS", "PublishedPoseGpt", "load_checkpoint"]

SKELETONS: Mapping[int, tuple[str, ...]] = {
    22: SMPLX_BODY,
    24: SMPL_24,
    52: tuple(name for name in SMPLX_55 if name not in ("jaw", "left_eye", "right_eye")),
    55: SMPLX_55,
}
"""Names of the joints, by their number."""

LABELS = 60
"""Labels of the published recipe (BABEL); further rows of the table are untrained."""

SHORTEST = 16
"""Frames of the shortest motions that the published recipe trains on."""

Variant = Literal["causal", "online", "offline"]

_KIND = "PoseGPT"
_AUTO_ENCODER = "vqvae."
_UNNEEDED = r"log_sigmas\..+|.*\.attn\.mask"
_SPACIOUS = 64  # tokens of a window, where a file has positions beyond its training's

_STACK_NAMES = tuple(
    (f"{ours}.<n>.{mine}", f"{theirs}.<n>.{official}")
    for ours, theirs in (("encoder", "encoder_stacks"), ("decoder", "decoder_stacks"))
    for mine, official in (
        ("down.<rest>", "down_conv.conv.<rest>"),
        ("up.<rest>", "up_conv.conv.<rest>"),
        ("norm.<rest>", "ln_f.<rest>"),
        ("out.<rest>", "head.<rest>"),
    )
)
_NAMES = Names(
    (
        ("embed.<rest>", "emb.<rest>"),
        ("to_codes.<rest>", "quant_emb.<rest>"),
        ("from_codes.<rest>", "post_quant_emb.<rest>"),
        ("quantizer.books.<n>", "quantizer.embeddings.<n>.weight"),
        ("body_in.<rest>", "reg_body.0.<rest>"),
        ("body_out.<rest>", "reg_body.2.<rest>"),
        ("root_in.<rest>", "reg_root.0.<rest>"),
        ("root_out.<rest>", "reg_root.2.<rest>"),
        *_STACK_NAMES,
    )
)
_GPT_NAMES = Names(
    (
        ("tokens", "gpt.tok_emb.weight"),
        ("positions", "gpt.pos_emb"),
        ("labels", "action_emb.weight"),
        ("durations", "seqlen_emb.weight"),
        ("join.<rest>", "gpt.fc_emb.<rest>"),
        ("norm.<rest>", "gpt.ln_f.<rest>"),
        ("heads.<n>.<rest>", "gpt.list_head.<n>.<rest>"),
    )
)
_BLOCK_NAMES = Names(
    (
        ("attention_norm.<rest>", "ln1.<rest>"),
        ("mlp_norm.<rest>", "ln2.<rest>"),
        ("query.<rest>", "attn.query.<rest>"),
        ("key.<rest>", "attn.key.<rest>"),
        ("value.<rest>", "attn.value.<rest>"),
        ("attention_out.<rest>", "attn.proj.<rest>"),
        ("mlp_in.<rest>", "mlp.0.<rest>"),
        ("mlp_out.<rest>", "mlp.2.<rest>"),
    )
)
_BLOCK = re.compile(r"(?P<where>.*)blocks\.(?P<n>\d+)\.(?P<rest>.+)")
_POSITION = re.compile(r"(?P<coder>encoder|decoder)\.(?P<stack>\d+)\.positions\.(?P<n>\d+)")


@dataclass(frozen=True)
class PublishedPoseGpt:
    """A checkpoint's networks.

    Attributes:
        auto_encoder: motion to tokens and back.
        gpt: None for a file of the auto-encoder alone.
        variant: ``causal``, ``online`` or ``offline``.
        seq_len: frames of the training's sequences.
        notes: what the settings and the file say differently, a line each, where the file was followed.
    """

    auto_encoder: AutoEncoder
    gpt: Gpt | None
    variant: Variant
    seq_len: int
    notes: tuple[str, ...] = ()


def load_checkpoint(
    path: str | Path, hparams: Mapping[str, Any], where: str | Path, *, window: int | None = None
) -> PublishedPoseGpt:
    """Read a checkpoint of the GPT, or of the auto-encoder alone, into networks for evaluation.

    Args:
        path: `.pt` file.
        hparams: the training's settings (`hparams.read_hparams`).
        where: their file, for messages.
        window: tokens of a window; None: the training's, and more where the file has positions for them.

    Raises:
        CheckpointError: not such a file; hostile; or a key is missing, unexpected, misshapen or not finite.
        HparamsError: a setting is missing, not possible, or contradicts the file.
    """
    path = Path(path)
    content = read(path, _KIND)
    state = {
        key.removeprefix("module."): value for key, value in tensors(path, content, "model_state_dict", _KIND).items()
    }
    settings = _Settings(hparams, Path(where))
    settings.check_supported()
    gpt_state = {key: value for key, value in state.items() if not key.startswith(_AUTO_ENCODER)}
    if "gpt.tok_emb.weight" in state or any(key.startswith("gpt.") for key in state):
        coder_state = {
            key.removeprefix(_AUTO_ENCODER): value for key, value in state.items() if key.startswith(_AUTO_ENCODER)
        }
        prefix = _AUTO_ENCODER
        if not coder_state:
            raise CheckpointError(
                f"{path}: holds a GPT without its auto-encoder (no key begins with `{_AUTO_ENCODER}`); give the whole "
                "file that the training wrote, whose `model_state_dict` has both"
            )
    else:
        coder_state, gpt_state, prefix = state, {}, ""
    shapes = Shapes(path, coder_state, prefix, _KIND)
    factor = 2 ** shapes.count(r"encoder_stacks\.\d+\.down_conv\.conv\.weight")
    seq_len = settings.integer("seq_len", 1, 1 << 20, default=64)
    gpt_shapes = Shapes(path, gpt_state, "", _KIND) if gpt_state else None
    window = _window(shapes, gpt_shapes, factor, seq_len, settings, window)
    variant, notes = _variant(shapes, settings)
    config = _auto_encoder(shapes, settings, variant, window)
    coder = built(
        path,
        lambda: AutoEncoder(config),
        {f"{prefix}{key}": value for key, value in _cut(coder_state, config, window).items()},
        lambda name: prefix + _official(name),
        unneeded=re.escape(prefix) + f"({_UNNEEDED})",
        about="an auto-encoder of motion as the published code writes it",
    )
    coder.eval()
    gpt = None
    if gpt_shapes:
        gpt_config = _gpt(gpt_shapes, settings, config)
        gpt = built(
            path,
            lambda: Gpt(gpt_config),
            _cut_gpt(gpt_state, gpt_config),
            _official_gpt,
            unneeded=rf".*\.attn\.mask|log_sigmas\..+{_unused(gpt_config)}",
            about="a GPT as the published code writes it",
        )
        gpt.eval()
    return PublishedPoseGpt(coder, gpt, variant, seq_len, notes)


def _official(name: str) -> str:
    """Return the published name of a parameter of the auto-encoder."""
    if match := _POSITION.fullmatch(name):
        return f"{match['coder']}_stacks.{match['stack']}.pos.{match['n']}.pe"
    if match := _BLOCK.fullmatch(name):
        coder, stack, _ = match["where"].split(".")
        return f"{coder}_stacks.{stack}.blocks.{match['n']}.{_BLOCK_NAMES(match['rest'])}"
    return _official_stack(name)


def _official_stack(name: str) -> str:
    coder, _, rest = name.partition(".")
    if coder in ("encoder", "decoder"):
        stack, _, rest = rest.partition(".")
        return _NAMES(f"{coder}.0.{rest}").replace("_stacks.0.", f"_stacks.{stack}.")
    return _NAMES(name)


def _official_gpt(name: str) -> str:
    """Return the published name of a parameter of the GPT."""
    if match := _BLOCK.fullmatch(name):
        return f"gpt.blocks.{match['n']}.{_BLOCK_NAMES(match['rest'])}"
    return _GPT_NAMES(name)


# --------------------------------------------------------------------------------------------- settings


class _Settings:
    """The training's settings, read with checks of type and range."""

    def __init__(self, values: Mapping[str, Any], path: Path) -> None:
        self._values, self._path = values, path

    def error(self, key: str, problem: str) -> HparamsError:
        return HparamsError(f"{self._path}: `{key}` {problem}")

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        value = self._values.get(key, default)
        if value is None:
            raise self.error(key, "is missing; give the hparams.yaml that the training wrote")
        if not isinstance(value, int) or not low <= value <= high:
            raise self.error(key, f"is {str(value)[:40]!r}; it must be a whole number from {low} to {high}")
        return int(value)

    def flag(self, key: str, default: bool) -> bool:
        return bool(self.integer(key, 0, 1, int(default)))

    def agree(self, key: str, found: int, what: str) -> None:
        """Raise HparamsError if the settings say something else than the file."""
        value = self._values.get(key)
        if value is not None and value != found:
            raise self.error(
                key, f"is {str(value)[:40]}, but the checkpoint has {found} {what}; they do not belong together"
            )

    def check_supported(self) -> None:
        """Refuse settings that change what is computed, and that this version does not have."""
        known: dict[str, tuple[Any, ...]] = {
            "sample_method": ("conv",),
            "pos_type": ("sine_frozen",),
            "pred_trans": (1, True),
            "mask_trans": (0, False),
            "gen_eos": (0, False),
            "autoreg_pq": (0, False),
            "head_type": ("fc_wo_bias",),
            "causal_gpt": (1, True),
            "pos_emb": ("scratch",),
            "seqlen_emb": ("scratch",),
            "action_emb": ("scratch",),
        }
        for key, values in known.items():
            if key in self._values and self._values[key] not in values:
                found = str(self._values[key])[:40]
                raise self.error(key, f"is {found}; this version reads {choices(map(str, values[:1]))} only")


def _variant(shapes: Shapes, settings: _Settings) -> tuple[Variant, tuple[str, ...]]:
    """Return the variant, and what settings and file say differently."""
    named = next((str(settings.get(key)) for key in ("vq_model", "model") if "VQVAE" in str(settings.get(key))), "")
    known: dict[str, Variant] = {
        "CausalVQVAE": "causal", "OnlineVQVAE": "online", "OfflineVQVAE": "offline",
    }  # fmt: skip
    if named and named not in known:
        raise settings.error(
            "vq_model" if settings.get("vq_model") else "model", f"is {named}; known: {choices(known)}"
        )
    said = known.get(named)
    widths = {
        tensor.shape[-1]
        for key, tensor in shapes.state.items()
        if re.fullmatch(r"encoder_stacks\.\d+\.down_conv\.conv\.weight", key)
    }
    encoder_masks = shapes.count(r"encoder_stacks\.\d+\.blocks\.\d+\.attn\.mask")
    decoder_masks = shapes.count(r"decoder_stacks\.\d+\.blocks\.\d+\.attn\.mask")
    found: Variant
    if decoder_masks:
        found = "online"
    elif encoder_masks:
        found = "causal"
    elif widths == {3}:
        found = "offline"
    elif widths and said == "offline":
        found = "causal"
    else:
        found = said or "causal"
    if said is not None and said != found:
        return found, (f"hparams say {named}; the checkpoint holds the {found} variant, and was followed",)
    return found, ()


def _window(
    coder: Shapes, gpt: Shapes | None, factor: int, seq_len: int, settings: _Settings, asked: int | None
) -> int:
    """Return the number of tokens of a window.

    Positions that a training never reached stay exactly zero: where there are such, those before them are the window.
    """
    trained = seq_len // factor
    if trained < 1:
        raise settings.error("seq_len", f"is {seq_len}; a token alone is {factor} frames")
    tables = [
        tensor.shape[1]
        for key, tensor in coder.state.items()
        if re.fullmatch(r"(en|de)coder_stacks\.\d+\.pos\.\d+\.pe", key) and tensor.ndim == 3
    ]
    # A table is long enough for as many frames, for a stack may work at their rate.
    longest = min(tables, default=1 << 20) // factor
    if gpt is not None:
        blocks = gpt.of("gpt.pos_emb", 3)[1]
        reached = gpt.state["gpt.pos_emb"][0].abs().amax(dim=-1).nonzero()
        longest = min(longest, blocks, int(reached.max()) + 1 if len(reached) else 1)
    if asked is not None:
        if not 1 <= asked <= longest:
            raise CheckpointError(f"--window is {asked}; this checkpoint has positions for 1 to {longest} tokens")
        return asked
    return min(longest, max(2 * trained, _SPACIOUS))


# --------------------------------------------------------------------------------------------- sizes


def _auto_encoder(shapes: Shapes, settings: _Settings, variant: Variant, window: int) -> AutoEncoderConfig:
    motion = shapes.of("emb.weight", 2)[1]
    if motion < 9 or (motion - 3) % 6 or (motion - 3) // 6 not in SKELETONS:
        known = ", ".join(f"{6 * joints + 3} ({joints} joints)" for joints in SKELETONS)
        raise CheckpointError(f"{shapes.path}: `emb.weight` takes {motion} numbers a frame; known are {known}")
    books = shapes.numbered(r"quantizer\.embeddings\.(\d+)\.")
    if not books:
        raise CheckpointError(f"{shapes.path}: `quantizer.embeddings.0.weight` is missing; not a checkpoint of {_KIND}")
    codes, code_width = shapes.of("quantizer.embeddings.0.weight", 2)
    settings.agree("n_codebook", books, "codebooks")
    settings.agree("n_e", books * codes, "codes in all")
    settings.agree("e_dim", books * code_width, "numbers in a code")
    heads = settings.integer("heads", 1, 1024)
    stacks: dict[str, tuple[StackConfig, ...]] = {}
    for coder, causal in (("encoder", variant != "offline"), ("decoder", variant == "online")):
        count = shapes.numbered(rf"{coder}_stacks\.(\d+)\.")
        if not count:
            raise CheckpointError(f"{shapes.path}: there is no key `{coder}_stacks.0...`; not a checkpoint of {_KIND}")
        stacks[coder] = tuple(
            _stack(shapes, settings, f"{coder}_stacks.{index}.", heads, causal) for index in range(count)
        )
    _check_layers(settings, stacks["encoder"])
    _check_chain(shapes, stacks["encoder"], shapes.of("emb.weight", 2)[0], "encoder")
    _check_chain(shapes, stacks["decoder"], shapes.of("post_quant_emb.weight", 2)[0], "decoder")
    return AutoEncoderConfig(
        joints=(motion - 3) // 6,
        encoder=stacks["encoder"],
        decoder=stacks["decoder"],
        books=books,
        codes=codes,
        code_width=code_width,
        root_hidden=shapes.of("reg_root.0.weight", 2)[0],
        body_hidden=shapes.of("reg_body.0.weight", 2)[0],
        window=window,
    )


def _stack(shapes: Shapes, settings: _Settings, where: str, heads: int, causal: bool) -> StackConfig:
    blocks = shapes.numbered(re.escape(where) + r"blocks\.(\d+)\.")
    if not blocks:
        raise CheckpointError(f"{shapes.path}: `{where}` has no blocks; not a checkpoint of {_KIND}")
    hidden, width = shapes.of(f"{where}blocks.0.mlp.0.weight", 2)
    if width % heads:
        raise settings.error("heads", f"is {heads}; it must divide {width}, the width of the checkpoint's blocks")
    down, up = f"{where}down_conv.conv.weight", f"{where}up_conv.conv.weight"
    sampling: Sampling = "down" if down in shapes else "up" if up in shapes else "none"
    positioned = shapes.numbered(re.escape(where) + r"pos\.(\d+)\.pe")
    if settings.get("pos_all") in (0, False):
        positioned = min(positioned, 1)
    return StackConfig(
        inputs=shapes.of(down, 3)[1] if sampling == "down" else width,
        width=width,
        sampled=shapes.of(up, 3)[1] if sampling == "up" else width,
        outputs=shapes.of(f"{where}head.weight", 2)[0],
        hidden=hidden,
        blocks=blocks,
        heads=heads,
        sampling=sampling,
        causal=causal,
        positioned=positioned,
    )


def _check_layers(settings: _Settings, stacks: tuple[StackConfig, ...]) -> None:
    widths = settings.get("hid_dim")
    if isinstance(widths, list) and not {stack.width for stack in stacks} <= set(widths):
        raise settings.error("hid_dim", f"is {widths}, but the checkpoint's stacks are {stacks[-1].width} wide")
    given = settings.get("n_layers")
    found = [stack.blocks for stack in stacks]
    if isinstance(given, list) and [count for count in given if count] != found:
        raise settings.error("n_layers", f"is {given}, but the checkpoint's stacks have {found} blocks")


def _check_chain(shapes: Shapes, stacks: tuple[StackConfig, ...], width: int, coder: str) -> None:
    """Raise CheckpointError unless each stack takes what the one before it gives."""
    for index, stack in enumerate(stacks):
        if stack.inputs != width:
            raise CheckpointError(
                f"{shapes.path}: `{coder}_stacks.{index}` takes vectors of {stack.inputs} numbers, but gets {width}"
            )
        width = stack.outputs


def _gpt(shapes: Shapes, settings: _Settings, coder: AutoEncoderConfig) -> GptConfig:
    rows, part = shapes.of("gpt.tok_emb.weight", 2)
    width = shapes.of("gpt.pos_emb", 3)[2]
    if part * coder.books != width or rows != coder.books * (coder.codes + 1):
        raise CheckpointError(
            f"{shapes.path}: `gpt.tok_emb.weight` is {[rows, part]}; {coder.books} books of {coder.codes} codes and a "
            f"width of {width} need {[coder.books * (coder.codes + 1), width // coder.books]}"
        )
    blocks = shapes.numbered(r"gpt\.blocks\.(\d+)\.")
    if not blocks:
        raise CheckpointError(f"{shapes.path}: `gpt.blocks` has no blocks; not a checkpoint of {_KIND}")
    heads = settings.integer("gpt_nhead", 1, 1024)
    if width % heads:
        raise settings.error("gpt_nhead", f"is {heads}; it must divide {width}, the width of the checkpoint's GPT")
    settings.agree("gpt_blocksize", shapes.of("gpt.pos_emb", 3)[1], "positions in its GPT")
    settings.agree("gpt_nembd", width, "numbers in a vector of its GPT")
    settings.agree("gpt_nlayer", blocks, "blocks in its GPT")
    table = shapes.of("action_emb.weight", 2)[0] if "action_emb.weight" in shapes else 0
    labelled = settings.flag("class_conditional", bool(table))
    timed = settings.flag("seqlen_conditional", "seqlen_emb.weight" in shapes)
    every, concatenated = settings.flag("embed_every_step", True), settings.flag("concat_emb", True)
    joined: Literal["linear", "sum", "first"] = "first" if not every else "linear" if concatenated else "sum"
    if joined == "first" and timed:
        raise settings.error("seqlen_conditional", "is 1 with `embed_every_step` 0; the published code has no such GPT")
    if joined == "linear":
        needed, found = (2 + labelled + timed) * width, shapes.of("gpt.fc_emb.weight", 2)[1]
        if needed != found:
            raise settings.error(
                "class_conditional",
                f"and `seqlen_conditional` are {int(labelled)} and {int(timed)}, for which `gpt.fc_emb.weight` takes "
                f"{needed} numbers; it takes {found}",
            )
    return GptConfig(
        width=width,
        hidden=shapes.of("gpt.blocks.0.mlp.0.weight", 2)[0],
        blocks=blocks,
        heads=heads,
        books=coder.books,
        codes=coder.codes,
        window=coder.window,
        labels=min(table, LABELS) if labelled else 0,
        durations=shapes.of("seqlen_emb.weight", 2)[0] if timed else 0,
        joined=joined,
    )


def _unused(config: GptConfig) -> str:
    """Return what else a file may hold for this way of joining, as alternatives of a regular expression."""
    unused = [
        *([] if config.joined == "linear" else [r"gpt\.fc_emb\..+"]),
        *([] if config.labels else [r"action_emb\..+"]),
        *([] if config.durations else [r"seqlen_emb\..+"]),
    ]
    return "".join(f"|{pattern}" for pattern in unused)


def _cut(state: Mapping[str, Tensor], config: AutoEncoderConfig, window: int) -> dict[str, Tensor]:
    """Return the tensors with tables of positions cut to what a window reads."""
    with torch.device("meta"):
        wanted = {_official(name): value.shape for name, value in AutoEncoder(config).state_dict().items()}
    cut = dict(state)
    for key, tensor in state.items():
        if key.endswith(".pe") and tensor.ndim == 3 and key in wanted and tensor.shape[1] > wanted[key][1]:
            cut[key] = tensor[:, : wanted[key][1]].clone()
    if config.encoder[0].positioned == 0:
        return cut
    # With `pos_all` 0 only the first table of a stack is used.
    return {key: value for key, value in cut.items() if not key.endswith(".pe") or key in wanted}


def _cut_gpt(state: Mapping[str, Tensor], config: GptConfig) -> dict[str, Tensor]:
    cut = dict(state)
    if (positions := cut.get("gpt.pos_emb")) is not None and positions.ndim == 3:
        cut["gpt.pos_emb"] = positions[:, : config.window].clone()
    if (labels := cut.get("action_emb.weight")) is not None and config.labels:
        cut["action_emb.weight"] = labels[: config.labels].clone()
    return cut
