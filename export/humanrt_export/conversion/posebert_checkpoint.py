"""Load published PoseBERT checkpoints, ``{"model_state_dict": ...}``, as `PublishedPoseBert`.

Loading is safe (no code of the file runs) and strict: see `humanrt_export.checkpoint`. The files hold the one
regressor of all blocks once for each of them; copies that differ are another network and are refused.
"""

from __future__ import annotations

from pathlib import Path

from humanrt_export.checkpoint import CheckpointError, Names, fill, read, tensors
from humanrt_export.networks.checkpoint_layouts import layout_of
from humanrt_export.networks.posebert import PublishedConfig, PublishedPoseBert

__all__ = ["INPUTS", "load_checkpoint", "official_names"]

INPUTS = {144: "smpl24", 54: "h36m17"}
"""Numbers per frame -> form: 24 rotations as 6-d `rows`, or such a root rotation and 16 joints in m."""

_KIND = "PoseBERT"
_LAYER = "decoder.layers.<n>."
_NAMES = Names(
    (
        ("embed.<rest>", "emb.<rest>"),
        ("mask_token", "mask_token"),
        ("mean_pose", "init_pose"),
        ("positions", "pos.pe"),
        ("blocks.<n>.attention_norm.<rest>", _LAYER + "0.norm.<rest>"),
        ("blocks.<n>.qkv.<rest>", _LAYER + "0.fn.to_qkv.<rest>"),
        ("blocks.<n>.attention_out.<rest>", _LAYER + "0.fn.to_out.0.<rest>"),
        ("blocks.<n>.mlp_norm.<rest>", _LAYER + "1.norm.<rest>"),
        ("blocks.<n>.mlp_in.<rest>", _LAYER + "1.fn.net.0.<rest>"),
        ("blocks.<n>.mlp_out.<rest>", _LAYER + "1.fn.net.3.<rest>"),
        ("regressor.norm.<rest>", _LAYER + "2.norm.<rest>"),
        ("regressor.hidden.<rest>", _LAYER + "2.fn.net.0.<rest>"),
        ("regressor.out.<rest>", _LAYER + "2.fn.net.3.<rest>"),
    )
)
# The authors' body model, for their losses.
_UNNEEDED = r"smpl_layer\..+"


def load_checkpoint(path: str | Path) -> PublishedPoseBert:
    """Read a published `.pt` file (rotations, 144 numbers a frame, or keypoints, 54) into a network for evaluation.

    Raises:
        CheckpointError: not such a file; hostile; or a key that is missing, unexpected, misshapen, not finite, or
            (the regressor's) not the same in all blocks.
    """
    path = Path(path)
    content = read(path, _KIND)
    state = tensors(path, content, "model_state_dict", _KIND)
    embedding = state.get("emb.weight", state.get("module.emb.weight"))
    if embedding is None and (layout := layout_of(content)):
        raise CheckpointError(f"{path}: this is {layout.title}; export it with `humanrt-export multihmr`")
    inputs = 144 if embedding is None or embedding.ndim != 2 else embedding.shape[1]
    if inputs not in INPUTS:
        known = " or ".join(map(str, INPUTS))
        raise CheckpointError(f"{path}: `emb.weight` takes {inputs} numbers a frame; published models take {known}")
    model = PublishedPoseBert(PublishedConfig(inputs=inputs))
    fill(
        path,
        model,
        state,
        lambda name: official_names(name, model.config.depth),
        unneeded=_UNNEEDED,
        about=f"the published network is {model.config.depth} blocks of width {model.config.width}",
    )
    model.eval()
    return model


def official_names(name: str, depth: int = PublishedConfig.depth) -> tuple[str, ...]:
    """Return the published names of a parameter of ours: several for the regressor, which all blocks share."""
    official = _NAMES(name)
    return tuple(official.replace("<n>", str(block)) for block in range(depth)) if "<n>" in official else (official,)
