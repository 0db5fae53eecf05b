"""Load the files of a published PoseEmbroider: encoders, core and heads, each in a file of its own.

A file is told by its content, so they may be given in any order and under any name. Loading is safe (no code of a file
runs) and strict: see `humanrt_export.checkpoint`. Sizes are read from the shapes of the tensors; what no tensor tells
is fixed in the published code (numbers of heads), and settings in the files that ask for another computation are
refused by name. Files of `posetext` and `posevae` hold keys of the same names: each is read for its own encoder only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from humanrt.errors import choices
from humanrt_export.checkpoint import CheckpointError, Names, arguments, built, read, tensors
from humanrt_export.conversion.posegpt_checkpoint import SKELETONS
from humanrt_export.conversion.shapes import Shapes
from humanrt_export.conversion.text_checkpoint import (
    BERT,
    UNNEEDED_OF_BERT,
    cut_table,
    transformer_text_config,
    transformer_text_name,
)
from humanrt_export.networks.distilbert import TransformerText
from humanrt_export.networks.poseembroider import (
    MODALITIES,
    BodyHead,
    CoreConfig,
    Embroider,
    ImageConfig,
    ImageTrunk,
    PictureEncoder,
    PoseTrunk,
    ProjectedEncoder,
    Writer,
)
from humanrt_export.networks.text_decoder import TextDecoderConfig

__all__ = ["LONGEST", "FileKind", "PublishedPoseEmbroider", "load_checkpoints"]

_KIND = "PoseEmbroider"
_TEXT = "text_encoder."
LONGEST = 200
"""Tokens of an instruction: where the authors' code stops."""

_IMAGE_HEADS = 12
_IMAGE_SIDES = 16, 12
_CORE_HEADS = 4
_WRITER_HEADS = 8
_NUMBERS_OF_A_POSE = 6  # of a joint: its matrix' first two columns

M = TypeVar("M", bound=nn.Module)


class FileKind(Enum):
    """A kind of file: the name of its model in its settings, and what it holds."""

    IMAGE = ("", "the encoder of pictures (smpler_x_b32)")
    TEXT = ("PoseText", "the encoder of words (posetext)")
    POSE = ("PoseVAE", "the encoder of poses (posevae)")
    CORE = ("PoseEmbroider", "the core (poseembroider)")
    BODY = ("HPSEstimator", "the head that reads a body (hpsestimator)")
    WRITER = ("InstructionGenerator", "the head that writes instructions (instructgen)")

    @property
    def title(self) -> str:
        """What such a file holds."""
        return self.value[1]


_SETTINGS: Mapping[FileKind, Mapping[str, tuple[Any, ...]]] = {
    FileKind.TEXT: {"text_encoder_name": ("distilbertUncased",), "transformer_topping": ("avgp", None)},
    FileKind.CORE: {
        "l2normalize": (True,),
        "embroider_core_type": ("transformer",),
        "encoder_projection_type": ("layerplus",),
        "external_encoder_projection_type": ("none", None),
        "no_projection_heads": (False,),
        "image_encoder_name": ("smplerx_vitb32",),
        "pose_encoder_name": ("posevae",),
        "text_encoder_name": ("posetext",),
    },
    FileKind.WRITER: {
        "comparison_module_mode": ("tirg",),
        "transformer_mode": ("crossattention",),
        "text_decoder_name": ("transformer_distilbertUncased",),
    },
}
"""Values that are read, where a file of this kind has the setting."""

_IMAGE_NAMES = Names(
    (
        ("tasks", "encoder.task_tokens"),
        ("positions", "encoder.pos_embed"),
        ("patches.<rest>", "encoder.patch_embed.proj.<rest>"),
        ("blocks.<n>.<rest>", "encoder.blocks.<n>.<rest>"),
        ("norm.<rest>", "encoder.last_norm.<rest>"),
    )
)
_CORE_NAMES = Names(
    (
        ("core.token", "intermodality_token"),
        ("core.kinds.0", "modality_encoding_image"),
        ("core.kinds.1", "modality_encoding_pose"),
        ("core.kinds.2", "modality_encoding_text"),
        ("core.narrow.<rest>", "embroider_core.0.<rest>"),
        ("core.layer.project.0.<rest>", "embroider_core.1.self_attn.in_proj_<rest>"),
        ("core.layer.attention_out.<rest>", "embroider_core.1.self_attn.out_proj.<rest>"),
        ("core.layer.attention_norm.<rest>", "embroider_core.1.norm1.<rest>"),
        ("core.layer.mlp_in.<rest>", "embroider_core.1.linear1.<rest>"),
        ("core.layer.mlp_out.<rest>", "embroider_core.1.linear2.<rest>"),
        ("core.layer.mlp_norm.<rest>", "embroider_core.1.norm2.<rest>"),
        ("core.widen.<rest>", "embroider_core.2.<rest>"),
        ("core.norm.<rest>", "norm.<rest>"),
        *(
            (f"core.heads.{index}.{ours}.<rest>", f"modality_projection_{name}.layers.{layer}.<rest>")
            for index, name in enumerate(("image", "pose", "text"))
            for ours, layer in (("first", 0), ("second", 2))
        ),
        ("projections.0.<rest>", "image_encoder.image_projection.0.<rest>"),
        ("projections.1.<rest>", "pose_encoder.pose_projection.0.<rest>"),
        ("projections.2.<rest>", "text_encoder.text_projection.0.<rest>"),
    )
)
_BODY_NAMES = Names(
    (
        ("start", "pose_prediction_head.init_value"),
        ("first.<rest>", "pose_prediction_head.regressor_residual.1.<rest>"),
        ("second.<rest>", "pose_prediction_head.regressor_residual.4.<rest>"),
        ("third.<rest>", "pose_prediction_head.regressor_residual.7.<rest>"),
        ("shape.first.<rest>", "bodyshape_prediction_head.layers.0.<rest>"),
        ("shape.second.<rest>", "bodyshape_prediction_head.layers.2.<rest>"),
    )
)


_POSE_NAMES = Names(
    (
        ("scale.mean", "pose_encoder.encoder.1.running_mean"),
        ("scale.variance", "pose_encoder.encoder.1.running_var"),
        ("scale.<rest>", "pose_encoder.encoder.1.<rest>"),
        ("first.<rest>", "pose_encoder.encoder.2.<rest>"),
        ("norm.mean", "pose_encoder.encoder.4.running_mean"),
        ("norm.variance", "pose_encoder.encoder.4.running_var"),
        ("norm.<rest>", "pose_encoder.encoder.4.<rest>"),
        ("second.<rest>", "pose_encoder.encoder.6.<rest>"),
        ("third.<rest>", "pose_encoder.encoder.7.<rest>"),
    )
)

_TIRG = "comparison_module.tirg."
_DECODER = "text_decoder."
_WRITER_NAMES = Names(
    (
        ("compare.amounts", f"{_TIRG}a"),
        ("compare.gate_norm.mean", f"{_TIRG}gated_feature_composer.1.running_mean"),
        ("compare.gate_norm.variance", f"{_TIRG}gated_feature_composer.1.running_var"),
        ("compare.gate_norm.<rest>", f"{_TIRG}gated_feature_composer.1.<rest>"),
        ("compare.gate.<rest>", f"{_TIRG}gated_feature_composer.3.<rest>"),
        ("compare.change_norm.mean", f"{_TIRG}res_info_composer.1.running_mean"),
        ("compare.change_norm.variance", f"{_TIRG}res_info_composer.1.running_var"),
        ("compare.change_norm.<rest>", f"{_TIRG}res_info_composer.1.<rest>"),
        ("compare.change_in.<rest>", f"{_TIRG}res_info_composer.3.<rest>"),
        ("compare.change_out.<rest>", f"{_TIRG}res_info_composer.5.<rest>"),
        ("adapt.<rest>", "modality_input_adapter.encoder_hidden_state_adaptor.<rest>"),
        ("decoder.words.<rest>", f"{_DECODER}embedding.<rest>"),
        ("decoder.table", f"{_DECODER}positional_encoding.pe"),
        ("decoder.out.<rest>", f"{_DECODER}final_layer.<rest>"),
        *(
            (f"decoder.blocks.<n>.{ours}<rest>", f"{_DECODER}transformer_decoder.layers.<n>.{theirs}<rest>")
            for ours, theirs in (
                ("project.0.", "self_attn.in_proj_"),
                ("attention_out.", "self_attn.out_proj."),
                ("memory_project.", "multihead_attn.in_proj_"),
                ("memory_out.", "multihead_attn.out_proj."),
                ("mlp_in.", "linear1."),
                ("mlp_out.", "linear2."),
                ("attention_norm.", "norm1."),
                ("memory_norm.", "norm2."),
                ("mlp_norm.", "norm3."),
            )
        ),
    )
)


@dataclass(frozen=True)
class PublishedPoseEmbroider:
    """The networks of a set of files, for evaluation.

    Attributes:
        embroider: the core, and the last layers of the encoders.
        image, pose, text: encoders; None where its file was not given.
        body: the head that reads a body; None without its file.
        writer: the head that writes instructions; None without its file.
        together: how many modalities the training of the core combined at most.
        files: the files, by kind.
    """

    embroider: Embroider
    image: PictureEncoder | None
    pose: ProjectedEncoder | None
    text: ProjectedEncoder | None
    body: BodyHead | None
    writer: Writer | None
    together: int
    files: Mapping[FileKind, Path]


@dataclass(frozen=True)
class _File:
    """A file that was read: its tensors, and its settings (none of the ViT's)."""

    path: Path
    kind: FileKind
    state: Mapping[str, Tensor]
    settings: Mapping[str, Any]

    @property
    def shapes(self) -> Shapes:
        return Shapes(self.path, self.state, "", _KIND)

    def error(self, key: str, problem: str) -> CheckpointError:
        return CheckpointError(f"{self.path}: `args.{key}` {problem}")


def load_checkpoints(paths: Sequence[str | Path]) -> PublishedPoseEmbroider:
    """Read the files of a model, in any order. The core is needed; encoders and heads may be left out.

    Raises:
        CheckpointError: a file is no part of such a model, is there twice, is hostile, or a key of it is missing,
            unexpected, misshapen or not finite; the core is missing; or files do not belong together.
    """
    files: dict[FileKind, _File] = {}
    for path in paths:
        file = _opened(Path(path))
        if file.kind in files:
            raise CheckpointError(f"{path}: {file.kind.title} is given twice; the other is {files[file.kind].path}")
        files[file.kind] = file
    if FileKind.CORE not in files:
        found = ", ".join(kind.title for kind in files) or "nothing"
        raise CheckpointError(f"{FileKind.CORE.title} is missing among the files; here are: {found}")
    embroider = _core(files[FileKind.CORE])
    image, pose, text = embroider.projections
    picture = _picture(files, image)
    poses = _joined(files, FileKind.POSE, _pose, pose)
    words = _joined(files, FileKind.TEXT, _text, text)
    settings = files[FileKind.CORE].settings
    return PublishedPoseEmbroider(
        embroider,
        picture,
        poses,
        words,
        _body(files[FileKind.BODY], embroider.core.config.width) if FileKind.BODY in files else None,
        _writer(files[FileKind.WRITER], embroider.core.config.width) if FileKind.WRITER in files else None,
        len(MODALITIES) if settings.get("triplet_partial") else len(MODALITIES) - 1,
        {kind: file.path for kind, file in files.items()},
    )


def _picture(files: Mapping[FileKind, _File], projection: nn.Linear) -> PictureEncoder | None:
    if FileKind.IMAGE not in files:
        return None
    trunk = _image(files[FileKind.IMAGE])
    _fits(files, FileKind.IMAGE, trunk.config.width, projection)
    encoder = PictureEncoder(trunk, projection)
    encoder.eval()
    return encoder


def _joined(
    files: Mapping[FileKind, _File],
    kind: FileKind,
    load: Callable[[_File], tuple[nn.Module, int]],
    projection: nn.Linear,
) -> ProjectedEncoder | None:
    """Return an encoder: the trunk of a file, and its projection from the core's file."""
    if kind not in files:
        return None
    trunk, width = load(files[kind])
    _fits(files, kind, width, projection)
    encoder = ProjectedEncoder(trunk, projection)
    encoder.eval()
    return encoder


def _fits(files: Mapping[FileKind, _File], kind: FileKind, width: int, projection: nn.Linear) -> None:
    if width != projection.in_features:
        raise CheckpointError(
            f"{files[kind].path}: gives {width} numbers, but the core in {files[FileKind.CORE].path} takes "
            f"{projection.in_features} from it; they do not belong together"
        )


def _opened(path: Path) -> _File:
    """Read a file and tell its kind."""
    content = read(path, _KIND)
    if "network" in content:
        state = tensors(path, content, "network", _KIND)
        return _File(path, FileKind.IMAGE, _without_prefix(state), {})
    settings = arguments(path, content, _KIND)
    model = settings.get("model")
    kinds = {kind.value[0]: kind for kind in FileKind if kind.value[0]}
    if not isinstance(model, str) or model not in kinds:
        raise CheckpointError(
            f"{path}: holds a model `{str(model)[:60]}`, which is no part of a {_KIND}; its parts are "
            f"{choices(kinds)}, and the ViT of smpler_x_b32"
        )
    file = _File(path, kinds[model], _without_prefix(tensors(path, content, "model", _KIND)), settings)
    for key, known in _SETTINGS.get(file.kind, {}).items():
        if key in settings and settings[key] not in known:
            raise file.error(key, f"is {str(settings[key])[:60]!r}; this version reads {known[0]!r} only")
    return file


def _without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix("module."): value for key, value in state.items()}


def _image(file: _File) -> ImageTrunk:
    shapes = file.shapes
    width = shapes.of("encoder.patch_embed.proj.weight", 4)[0]
    rows, columns = _IMAGE_SIDES
    if (patches := shapes.of("encoder.pos_embed", 3)[1] - 1) != rows * columns:
        raise CheckpointError(
            f"{file.path}: `encoder.pos_embed` is for {patches} patches; pictures of 256 x 192 px have {rows * columns}"
        )
    _divides(file, _IMAGE_HEADS, width, "encoder.patch_embed.proj.weight")
    config = ImageConfig(
        width=width,
        hidden=shapes.of("encoder.blocks.0.mlp.fc1.weight", 2)[0],
        blocks=shapes.numbered(r"encoder\.blocks\.(\d+)\."),
        heads=_IMAGE_HEADS,
        rows=rows,
        columns=columns,
        tasks=shapes.of("encoder.task_tokens", 3)[1],
    )
    # A file of SMPLer-X holds the rest of that network too.
    return _built(file, lambda: ImageTrunk(config), _IMAGE_NAMES, unneeded=r"(?!encoder\.).+")


def _pose(file: _File) -> tuple[PoseTrunk, int]:
    shapes = file.shapes
    width, numbers = shapes.of("pose_encoder.encoder.2.weight", 2)
    joints = numbers // 3
    if numbers % 3 or joints not in SKELETONS:
        known = ", ".join(str(3 * count) for count in SKELETONS)
        raise CheckpointError(
            f"{file.path}: `pose_encoder.encoder.2.weight` takes {numbers} numbers; poses that are known have {known}"
        )
    # The latent's two layers are no part of the trunk, nor is the decoder.
    unneeded = (
        r"pose_encoder\.encoder\.8\..+|pose_decoder\..+|decsigma_\w+|pose_encoder\.encoder\.\d\.num_batches_tracked"
    )
    return _built(file, lambda: PoseTrunk(joints, width), _POSE_NAMES, unneeded=unneeded), width


def _text(file: _File) -> tuple[TransformerText, int]:
    config = transformer_text_config(file.shapes, _TEXT)
    state = cut_table(file.state, f"{_TEXT}positional_encoding.pe", config.bert.positions)
    # Its encoder of poses has the keys of another file's, and is another network.
    unneeded = rf"pose_encoder\..+|loss_weight|{re.escape(_TEXT)}{re.escape(BERT)}{UNNEEDED_OF_BERT}"
    text = _built(
        replace(file, state=state),
        lambda: TransformerText(config),
        lambda name: _TEXT + transformer_text_name(name),
        unneeded=unneeded,
    )
    return text, config.width


def _core(file: _File) -> Embroider:
    shapes = file.shapes
    inner, width = shapes.of("embroider_core.0.weight", 2)
    _divides(file, _CORE_HEADS, inner, "embroider_core.0.weight")
    config = CoreConfig(
        width=width,
        inner=inner,
        hidden=shapes.of("embroider_core.1.linear1.weight", 2)[0],
        heads=_CORE_HEADS,
        projected=shapes.of("modality_projection_image.layers.0.weight", 2)[0],
    )
    image, pose, text = (
        shapes.of(f"{name}_encoder.{name}_projection.0.weight", 2)[1] for name in ("image", "pose", "text")
    )
    return _built(file, lambda: Embroider(config, (image, pose, text)), _CORE_NAMES, unneeded="temperature")


def _body(file: _File, token: int) -> BodyHead:
    shapes = file.shapes
    hidden, inputs = shapes.of("pose_prediction_head.regressor_residual.1.weight", 2)
    numbers = shapes.of("pose_prediction_head.init_value", 1)[0]
    if numbers % _NUMBERS_OF_A_POSE or numbers >= inputs:
        raise CheckpointError(
            f"{file.path}: `pose_prediction_head.init_value` has {numbers} numbers, and the layer behind it takes "
            f"{inputs}; a pose has {_NUMBERS_OF_A_POSE} a joint, and the token comes on top"
        )
    shape_hidden = shapes_of_body = 0
    if "bodyshape_prediction_head.layers.0.weight" in shapes:
        shape_hidden = shapes.of("bodyshape_prediction_head.layers.0.weight", 2)[0]
        shapes_of_body = shapes.of("bodyshape_prediction_head.layers.2.weight", 2)[0]
    width, joints = inputs - numbers, numbers // _NUMBERS_OF_A_POSE
    if width != token:
        raise CheckpointError(
            f"{file.path}: reads tokens of {width} numbers, but those of the core have {token}; they do not belong "
            "together"
        )
    return _built(file, lambda: BodyHead(width, joints, hidden, shape_hidden, shapes_of_body), _BODY_NAMES)


def _writer(file: _File, token: int) -> Writer:
    shapes = file.shapes
    width, both = shapes.of(f"{_TIRG}gated_feature_composer.3.weight", 2)
    if (width, both) != (token, 2 * token):
        raise CheckpointError(
            f"{file.path}: compares tokens of {both // 2} numbers, but those of the core have {token}; they do not "
            "belong together"
        )
    words, own = shapes.of(f"{_DECODER}embedding.weight", 2)
    heads = file.settings.get("decoder_nhead", _WRITER_HEADS)
    if isinstance(heads, bool) or not isinstance(heads, int) or heads < 1 or own % heads:
        raise file.error("decoder_nhead", f"is {str(heads)[:40]}; it must divide {own}, the width of the decoder")
    config = TextDecoderConfig(
        words=words,
        positions=min(LONGEST, shapes.of(f"{_DECODER}positional_encoding.pe", 3)[0]),
        width=own,
        hidden=shapes.of(f"{_DECODER}transformer_decoder.layers.0.linear1.weight", 2)[0],
        blocks=shapes.numbered(re.escape(f"{_DECODER}transformer_decoder.layers.") + r"(\d+)\."),
        heads=heads,
        mode="crossattention",
    )
    # The memory is one token, and gets no position.
    unneeded = r"text_decoder\.encoder_positional_encoding\.pe|.+\.num_batches_tracked"
    return _built(
        replace(file, state=cut_table(file.state, f"{_DECODER}positional_encoding.pe", config.positions)),
        lambda: Writer(token, config),
        _WRITER_NAMES,
        unneeded=unneeded,
    )


def _built(file: _File, make: Callable[[], M], names: Callable[[str], str | Sequence[str]], *, unneeded: str = "") -> M:
    model = built(
        file.path, make, file.state, names, unneeded=unneeded, about=f"{file.kind.title} as the authors publish it"
    )
    model.eval()
    return model


def _divides(file: _File, heads: int, width: int, key: str) -> None:
    if width % heads:
        raise CheckpointError(f"{file.path}: `{key}` has {width} rows; the published network has {heads} heads there")
